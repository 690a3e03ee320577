//! Bytes to text without anything that steers a terminal or hides from a reader.
//!
//! A small state machine after ECMA-48 (5.6, 8.3) and DEC's string sequences. It begins anew at every newline: a sequence that
//! is not ended there is taken for ended, so nothing that a host prints can swallow the lines after it.

use encoding_rs::Encoding;
use sshepherd_model::{Unseen, unseen};

use crate::foreign::Foreign;

/// What was removed, by kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Removed {
    /// Control characters: C0 but newline and tab, DEL, C1.
    pub control: u64,
    /// Escape sequences, each with all that belongs to it.
    pub escapes: u64,
    /// Characters that turn the direction of text.
    pub bidi: u64,
    /// Characters that are not seen: of no width, fillers, variation selectors.
    pub invisible: u64,
    /// Tag characters (U+E0000 to U+E007F), which can spell text that no person sees.
    pub tags: u64,
    /// Bytes that are no text in UTF-8, or in the host's own encoding, shown as U+FFFD.
    pub undecodable: u64,
}

impl Removed {
    /// All of them.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.control + self.escapes + self.bidi + self.invisible + self.tags + self.undecodable
    }

    pub(crate) fn add(&mut self, kind: Kind) {
        let count = match kind {
            Kind::Control => &mut self.control,
            Kind::Escape => &mut self.escapes,
            Kind::Bidi => &mut self.bidi,
            Kind::Invisible => &mut self.invisible,
            Kind::Tag => &mut self.tags,
            Kind::Undecodable => &mut self.undecodable,
        };
        *count += 1;
    }
}

/// Kinds of what is removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A control character.
    Control,
    /// The beginning of an escape sequence.
    Escape,
    /// It turns the direction of text.
    Bidi,
    /// It is not seen.
    Invisible,
    /// A tag character.
    Tag,
    /// A byte that is no text; U+FFFD is shown once for it and its neighbours.
    Undecodable,
}

impl From<Unseen> for Kind {
    fn from(why: Unseen) -> Self {
        match why {
            Unseen::Control => Self::Control,
            Unseen::Bidi => Self::Bidi,
            Unseen::Tag => Self::Tag,
            Unseen::Invisible => Self::Invisible,
        }
    }
}

/// What comes out, each with the place of the byte that it came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Out {
    /// A character to show.
    Show(char),
    /// Something was removed here.
    Gone(Kind),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Ground,
    /// After a carriage return, which may belong to a newline.
    Return(u64),
    /// After ESC.
    Escape,
    /// ESC and an intermediate byte: one more ends it.
    Intermediate,
    /// A control sequence, up to its final byte.
    Csi,
    /// A string (OSC, DCS, APC, PM, SOS), up to its terminator.
    Text,
    /// ESC inside a string: with `\` it ends.
    TextEscape,
}

/// Reads bytes as they come; what comes out does not depend on how they were cut.
#[derive(Debug, Clone)]
pub struct Cleaner {
    state: State,
    /// Bytes that begin a character, with the place of the first.
    partial: Vec<u8>,
    at: u64,
    /// What reads bytes that are not UTF-8.
    foreign: Option<Foreign>,
}

impl Default for Cleaner {
    fn default() -> Self {
        Self { state: State::Ground, partial: Vec::new(), at: 0, foreign: None }
    }
}

impl Cleaner {
    /// One for bytes of another encoding.
    pub(crate) fn reading(encoding: Option<&'static Encoding>) -> Self {
        Self { foreign: encoding.map(Foreign::new), ..Self::default() }
    }

    /// Reads more bytes.
    pub fn push(&mut self, bytes: &[u8], mut out: impl FnMut(u64, Out)) {
        if let Some(foreign) = self.foreign.take() {
            return self.push_foreign(foreign, bytes, &mut out);
        }
        let mut held = std::mem::take(&mut self.partial);
        held.extend_from_slice(bytes);
        let mut chunks = held.utf8_chunks().peekable();
        while let Some(chunk) = chunks.next() {
            for character in chunk.valid().chars() {
                self.character(character, &mut out);
                self.at += character.len_utf8() as u64;
            }
            let invalid = chunk.invalid();
            if invalid.is_empty() {
                continue;
            }
            let begun =
                std::str::from_utf8(invalid).is_err_and(|error| error.error_len().is_none());
            if begun && chunks.peek().is_none() {
                self.partial = invalid.to_vec();
                return;
            }
            self.replace(invalid.len(), &mut out);
        }
    }

    fn push_foreign(&mut self, mut foreign: Foreign, bytes: &[u8], out: &mut impl FnMut(u64, Out)) {
        let start = self.at;
        for (place, byte) in (start..).zip(bytes) {
            for (back, character) in foreign.push(*byte) {
                self.at = place - back as u64;
                if character == char::REPLACEMENT_CHARACTER {
                    out(self.at, Out::Gone(Kind::Undecodable));
                }
                self.character(character, out);
            }
        }
        self.at = start + bytes.len() as u64;
        self.foreign = Some(foreign);
    }

    /// The end: what was begun is ended.
    pub fn finish(mut self, mut out: impl FnMut(u64, Out)) {
        if !self.partial.is_empty() {
            self.replace(self.partial.len(), &mut out);
        }
        if let Some(unfinished) =
            self.foreign.take().map(|foreign| foreign.unfinished()).filter(|count| *count > 0)
        {
            self.at -= unfinished as u64;
            self.replace(unfinished, &mut out);
        }
        if let State::Return(at) = self.state {
            out(at, Out::Show('\n'));
        }
    }

    /// Shows one U+FFFD for bytes that are no text, and counts each.
    fn replace(&mut self, bytes: usize, out: &mut impl FnMut(u64, Out)) {
        self.character(char::REPLACEMENT_CHARACTER, out);
        for _ in 0..bytes {
            out(self.at, Out::Gone(Kind::Undecodable));
            self.at += 1;
        }
    }

    fn character(&mut self, character: char, out: &mut impl FnMut(u64, Out)) {
        if let State::Return(at) = self.state {
            self.state = State::Ground;
            // Alone it would put what follows over the line: the line ends instead, so that both are seen.
            if character != '\n' {
                out(at, Out::Show('\n'));
            }
        }
        if character == '\n' {
            self.state = State::Ground;
            out(self.at, Out::Show('\n'));
            return;
        }
        match self.state {
            State::Ground | State::Return(_) => self.ground(character, out),
            State::Escape => self.escape(character, out),
            State::Intermediate => match character {
                ' '..='/' => {}
                '0'..='~' => self.state = State::Ground,
                _ => {
                    self.state = State::Ground;
                    self.ground(character, out);
                }
            },
            State::Csi | State::Text | State::TextEscape if character == '\r' => {
                self.state = State::Return(self.at);
            }
            State::Csi => match character {
                '@'..='~' => self.state = State::Ground,
                ' '..='?' => {}
                '\u{18}' | '\u{1a}' => self.state = State::Ground,
                '\u{1b}' => self.begin(State::Escape, out),
                '\0'..='\u{1f}' | '\u{7f}' => {}
                _ => {
                    self.state = State::Ground;
                    self.ground(character, out);
                }
            },
            State::Text => match character {
                '\u{7}' | '\u{9c}' | '\u{18}' | '\u{1a}' => self.state = State::Ground,
                '\u{1b}' => self.state = State::TextEscape,
                _ => {}
            },
            State::TextEscape => {
                if character == '\\' {
                    self.state = State::Ground;
                } else {
                    // The string has ended without a word; what comes is a sequence of its own.
                    out(self.at, Out::Gone(Kind::Escape));
                    self.state = State::Escape;
                    self.escape(character, out);
                }
            }
        }
    }

    fn begin(&mut self, state: State, out: &mut impl FnMut(u64, Out)) {
        out(self.at, Out::Gone(Kind::Escape));
        self.state = state;
    }

    fn escape(&mut self, character: char, out: &mut impl FnMut(u64, Out)) {
        self.state = match character {
            '[' => State::Csi,
            ']' | 'P' | '_' | '^' | 'X' => State::Text,
            ' '..='/' => State::Intermediate,
            '0'..='~' | '\u{18}' | '\u{1a}' => State::Ground,
            '\u{1b}' => return self.begin(State::Escape, out),
            _ => {
                self.state = State::Ground;
                return self.ground(character, out);
            }
        };
    }

    fn ground(&mut self, character: char, out: &mut impl FnMut(u64, Out)) {
        match character {
            '\t' => out(self.at, Out::Show('\t')),
            '\r' => self.state = State::Return(self.at),
            '\u{1b}' => self.begin(State::Escape, out),
            '\u{9b}' => self.begin(State::Csi, out),
            '\u{90}' | '\u{98}' | '\u{9d}' | '\u{9e}' | '\u{9f}' => self.begin(State::Text, out),
            // They end a line where they are shown at all.
            '\u{85}' | '\u{2028}' | '\u{2029}' => {
                out(self.at, Out::Gone(Kind::Control));
                out(self.at, Out::Show('\n'));
            }
            other => match unseen(other) {
                Some(why) => out(self.at, Out::Gone(why.into())),
                None => out(self.at, Out::Show(other)),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clean(pieces: &[&[u8]]) -> (String, Removed) {
        let (mut text, mut removed) = (String::new(), Removed::default());
        let mut out = |_, out| match out {
            Out::Show(character) => text.push(character),
            Out::Gone(kind) => removed.add(kind),
        };
        let mut cleaner = Cleaner::default();
        pieces.iter().for_each(|piece| cleaner.push(piece, &mut out));
        cleaner.finish(&mut out);
        (text, removed)
    }

    const NASTY: [(&str, &str, [u64; 5]); 26] = [
        ("plain\ttext\n", "plain\ttext\n", [0; 5]),
        ("a\r\nb\r\n", "a\nb\n", [0; 5]),
        ("safe\rEVIL\n", "safe\nEVIL\n", [0; 5]),
        ("end\r", "end\n", [0; 5]),
        ("a\0b\u{7}c\u{8}d\u{7f}e", "abcde", [4, 0, 0, 0, 0]),
        ("\u{1b}[31mred\u{1b}[0m", "red", [0, 2, 0, 0, 0]),
        ("\u{1b}[38;5;1mred\u{1b}[?25l", "red", [0, 2, 0, 0, 0]),
        ("\u{1b}]0;title\u{7}x", "x", [0, 1, 0, 0, 0]),
        ("\u{1b}]8;;http://x\u{1b}\\link\u{1b}]8;;\u{1b}\\", "link", [0, 2, 0, 0, 0]),
        ("\u{1b}Pdcs\u{1b}\\x\u{1b}_apc\u{1b}\\y\u{1b}^pm\u{1b}\\z", "xyz", [0, 3, 0, 0, 0]),
        ("\u{1b}]0;never ended\nnext line\n", "\nnext line\n", [0, 1, 0, 0, 0]),
        ("\u{1b}[31\nm", "\nm", [0, 1, 0, 0, 0]),
        ("\u{1b}(Bx\u{1b}#8y\u{1b}7z\u{1b}c!", "xyz!", [0, 4, 0, 0, 0]),
        ("\u{1b}\u{1b}[1mx", "x", [0, 2, 0, 0, 0]),
        ("\u{1b}]0;a\u{1b}[31mb", "b", [0, 2, 0, 0, 0]),
        ("\u{9b}31mx\u{9d}0;t\u{9c}y", "xy", [0, 2, 0, 0, 0]),
        ("\u{1b}[31\u{18}x", "x", [0, 1, 0, 0, 0]),
        ("\u{1b}[3\u{e9}x", "\u{e9}x", [0, 1, 0, 0, 0]),
        ("\u{202e}abc\u{2066}d\u{61c}", "abcd", [0, 0, 3, 0, 0]),
        ("a\u{200b}b\u{feff}c\u{ad}d\u{fe0f}e\u{e0100}", "abcde", [0, 0, 0, 5, 0]),
        ("hi\u{e0041}\u{e0042}\u{e007f}", "hi", [0, 0, 0, 0, 3]),
        ("a\u{2028}b\u{85}c", "a\nb\nc", [2, 0, 0, 0, 0]),
        (
            "gr\u{fc}\u{df}e \u{4f60}\u{597d} \u{1f600}",
            "gr\u{fc}\u{df}e \u{4f60}\u{597d} \u{1f600}",
            [0; 5],
        ),
        ("\u{1b}", "", [0, 1, 0, 0, 0]),
        ("\u{1b}]0;t\rseen\n", "\nseen\n", [0, 1, 0, 0, 0]),
        ("\u{1b}(\u{e9}", "\u{e9}", [0, 1, 0, 0, 0]),
    ];

    #[test]
    fn what_lies_goes_and_is_counted_however_it_was_cut() {
        for (raw, shown, [control, escapes, bidi, invisible, tags]) in NASTY {
            let wanted = (
                shown.to_owned(),
                Removed { control, escapes, bidi, invisible, tags, ..Removed::default() },
            );
            let bytes = raw.as_bytes();
            assert_eq!(clean(&[bytes]), wanted, "{raw:?}");
            for first in 0..=bytes.len() {
                let (head, tail) = bytes.split_at(first);
                assert_eq!(clean(&[head, tail]), wanted, "{raw:?} cut at {first}");
                for second in 0..=tail.len() {
                    let (middle, end) = tail.split_at(second);
                    assert_eq!(
                        clean(&[head, middle, end]),
                        wanted,
                        "{raw:?} cut at {first} and {second} after"
                    );
                }
            }
            assert_eq!(clean(&[shown.as_bytes()]).0, shown, "clean text stays as it is");
        }
    }

    #[test]
    fn what_is_not_utf8_reads_as_the_standard_library_has_it() {
        for bytes in [
            &b"a\xffb"[..],
            b"\xe2\x82",
            b"\xe2\x82x",
            b"\xf0\x9f\x98",
            b"\xed\xa0\x80",
            b"\xc0\xaf",
            b"\x80\x80",
            b"\x9b31m",
        ] {
            let lossy = String::from_utf8_lossy(bytes);
            assert_eq!(clean(&[bytes]).0, lossy, "{bytes:?}");
            let single: Vec<&[u8]> = bytes.chunks(1).collect();
            assert_eq!(clean(&single).0, lossy, "{bytes:?} byte by byte");
        }
    }
}
