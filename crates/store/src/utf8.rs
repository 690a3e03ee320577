//! Where characters of UTF-8 begin and end, for cuts that must not fall inside one.

/// Most bytes of a character that can stand before or after a cut inside it.
pub(crate) const MOST_PARTIAL: usize = 3;

fn continues(byte: u8) -> bool {
    (0x80..0xC0).contains(&byte)
}

/// Bytes at the end of `bytes` that begin a character and do not finish it; 0 when the end is a border or the data is
/// not UTF-8 there.
pub(crate) fn open_end(bytes: &[u8]) -> usize {
    for (back, byte) in bytes.iter().rev().take(MOST_PARTIAL).enumerate() {
        let have = back + 1;
        let wants = match byte {
            0x80..0xC0 => continue,
            0xC2..0xE0 => 2,
            0xE0..0xF0 => 3,
            0xF0..0xF5 => 4,
            _ => 1,
        };
        return if have < wants { have } else { 0 };
    }
    0
}

/// Bytes at the beginning of `bytes` that finish a character begun before; 0 when there are more of them than a character
/// can have, because the data is not UTF-8 then.
pub(crate) fn open_start(bytes: &[u8]) -> usize {
    let count = bytes.iter().take(MOST_PARTIAL + 1).take_while(|byte| continues(**byte)).count();
    if count > MOST_PARTIAL { 0 } else { count }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_cut_of_a_text_is_told() {
        let text = "aé€😀z";
        for cut in 0..=text.len() {
            let border = (0..=cut).rev().find(|at| text.is_char_boundary(*at)).unwrap();
            let after = (cut..=text.len()).find(|at| text.is_char_boundary(*at)).unwrap();
            assert_eq!(open_end(&text.as_bytes()[..cut]), cut - border, "end at {cut}");
            assert_eq!(open_start(&text.as_bytes()[cut..]), after - cut, "start at {cut}");
        }
    }

    #[test]
    fn what_is_not_utf8_is_cut_anywhere() {
        assert_eq!(open_end(&[0x80; 9]), 0);
        assert_eq!(open_start(&[0x80; 9]), 0);
        assert_eq!(open_end(&[b'a', 0xFF]), 0);
        assert_eq!(open_end(&[0xC3, b'a']), 0);
        assert_eq!(open_end(&[]), 0);
    }
}
