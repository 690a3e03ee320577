//! Words of others: what a host says, and what stands about hosts in an inventory. They may lie, steer a terminal, pass for
//! answers of ours or have no end, so they are kept in one type alone, which can hold none of that.

use std::fmt;
use std::ops::Deref;

use serde::{Deserialize, Serialize};

/// Why a character is not shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unseen {
    /// A control character.
    Control,
    /// It turns the direction of text.
    Bidi,
    /// A tag character (U+E0000 to U+E007F), which can spell text that no person sees.
    Tag,
    /// It is not seen: of no width, a filler, a variation selector.
    Invisible,
}

/// Why a character is not shown; `None` for one that is. After Unicode 16: `Bidi_Control`, `Default_Ignorable_Code_Point` and the
/// controls; characters of private use are shown, for fonts give them shapes.
#[must_use]
pub fn unseen(character: char) -> Option<Unseen> {
    match character {
        '\0'..='\u{1f}' | '\u{7f}'..='\u{9f}' => Some(Unseen::Control),
        '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => {
            Some(Unseen::Bidi)
        }
        '\u{e0000}'..='\u{e007f}' => Some(Unseen::Tag),
        '\u{ad}'
        | '\u{34f}'
        | '\u{115f}'..='\u{1160}'
        | '\u{17b4}'..='\u{17b5}'
        | '\u{180b}'..='\u{180f}'
        | '\u{200b}'..='\u{200d}'
        | '\u{2060}'..='\u{2065}'
        | '\u{206a}'..='\u{206f}'
        | '\u{2800}'
        | '\u{3164}'
        | '\u{fe00}'..='\u{fe0f}'
        | '\u{feff}'
        | '\u{ffa0}'
        | '\u{fff0}'..='\u{fffb}'
        | '\u{1bca0}'..='\u{1bca3}'
        | '\u{1d173}'..='\u{1d17a}'
        | '\u{e0080}'..='\u{e0fff}' => Some(Unseen::Invisible),
        _ => None,
    }
}

/// One line of text that is safe to show to a person, a terminal and a model, and short: controls and line ends are blanks, what
/// is not seen or turns the direction is gone, and so is what is beyond [`HostWords::MOST`] characters.
#[derive(Clone, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub struct HostWords(String);

impl HostWords {
    /// Most characters: longer than any message of a server in order.
    pub const MOST: usize = 1024;

    /// The words of `text`, at most so many characters of them; `…` stands where more came.
    #[must_use]
    pub fn within(text: &str, most: usize) -> Self {
        let mut words = String::new();
        let shown = text.chars().filter_map(|character| match unseen(character) {
            Some(Unseen::Control) => Some(' '),
            // They end a line where they are shown at all.
            None if matches!(character, '\u{2028}' | '\u{2029}') => Some(' '),
            None => Some(character),
            Some(Unseen::Bidi | Unseen::Tag | Unseen::Invisible) => None,
        });
        for (count, character) in shown.enumerate() {
            if count == most {
                words.pop();
                words.push('…');
                break;
            }
            words.push(character);
        }
        Self(words)
    }

    /// As text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<&str> for HostWords {
    fn from(text: &str) -> Self {
        Self::within(text, Self::MOST)
    }
}

impl From<String> for HostWords {
    fn from(text: String) -> Self {
        Self::from(text.as_str())
    }
}

impl From<HostWords> for String {
    fn from(words: HostWords) -> Self {
        words.0
    }
}

impl Deref for HostWords {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for HostWords {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for HostWords {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl PartialEq<str> for HostWords {
    fn eq(&self, other: &str) -> bool {
        self.0 == other
    }
}

impl PartialEq<&str> for HostWords {
    fn eq(&self, other: &&str) -> bool {
        self.0 == *other
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn words_are_one_line_of_what_is_seen() {
        for (said, shown) in [
            ("plain words", "plain words"),
            ("a\u{1b}[2Jb\r\n\u{202e}c\u{e0041}", "a [2Jb  c"),
            ("\u{1b}]52;c;ZXZpbA==\u{7}x", " ]52;c;ZXZpbA== x"),
            ("x\n{\"status\":\"completed\"}", "x {\"status\":\"completed\"}"),
            ("a\u{200b}b\u{feff}c\u{2028}d\u{9b}31m", "abc d 31m"),
            ("gr\u{fc}\u{df}e \u{4f60}", "gr\u{fc}\u{df}e \u{4f60}"),
        ] {
            assert_eq!(HostWords::from(said), shown, "{said:?}");
        }
        assert_eq!(HostWords::within(&"\u{e9}".repeat(9), 4), "\u{e9}\u{e9}\u{e9}…");
        assert_eq!(HostWords::within("four", 4), "four");
        assert_eq!(HostWords::from("x".repeat(100_000)).chars().count(), HostWords::MOST);
    }

    proptest! {
        #[test]
        fn nothing_else_gets_in(text in any::<String>(), most in 1usize..40) {
            let words = HostWords::within(&text, most);
            let line = |c: char| unseen(c).is_none() && !matches!(c, '\u{2028}' | '\u{2029}');
            prop_assert!(words.chars().all(line));
            prop_assert!(words.chars().count() <= most);
            prop_assert_eq!(&HostWords::within(&words, most), &words);
        }
    }
}
