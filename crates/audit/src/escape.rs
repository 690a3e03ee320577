//! JSON as one line of printable ASCII, so that no text in a record can change how it looks on a terminal.

use std::io;

use serde::Serialize;
use serde_json::ser::{Formatter, Serializer};

/// Compact JSON in which every character outside printable ASCII is written as `\uXXXX`.
struct Ascii;

impl Formatter for Ascii {
    fn write_string_fragment<W: ?Sized + io::Write>(
        &mut self,
        writer: &mut W,
        fragment: &str,
    ) -> io::Result<()> {
        let printable = |c: char| c == ' ' || c.is_ascii_graphic();
        let mut units = [0_u16; 2];
        let mut rest = fragment;
        while let Some(c) = rest.chars().next() {
            let plain = rest.find(|c| !printable(c)).unwrap_or(rest.len());
            let (now, later) = rest.split_at(if plain == 0 { c.len_utf8() } else { plain });
            rest = later;
            if plain > 0 {
                writer.write_all(now.as_bytes())?;
                continue;
            }
            for unit in c.encode_utf16(&mut units) {
                write!(writer, "\\u{unit:04x}")?;
            }
        }
        Ok(())
    }
}

/// `value` as one line, with its newline.
pub(crate) fn line(value: &impl Serialize) -> Result<Vec<u8>, serde_json::Error> {
    // A usual record is 300 to 700 bytes.
    let mut bytes = Vec::with_capacity(768);
    value.serialize(&mut Serializer::with_formatter(&mut bytes, Ascii))?;
    bytes.push(b'\n');
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_but_printable_ascii_is_written_and_the_text_comes_back() {
        let nasty = "a\u{1b}[2J\r\n\t\"\\\u{7f}\u{9b}é\u{202e}\u{200b}\u{feff}\u{e0041}😀\0 z";
        let line = line(&nasty).unwrap();
        let (newline, text) = line.split_last().unwrap();
        assert_eq!(*newline, b'\n');
        assert!(text.iter().all(|byte| (0x20..0x7f).contains(byte)), "{text:?}");
        assert_eq!(serde_json::from_slice::<String>(text).unwrap(), nasty);
    }
}
