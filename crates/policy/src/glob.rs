//! Patterns of a rule: `*`, `?`, `[seq]` and `[!seq]` over a whole text, as in the shell's `fnmatch`.
//!
//! `*` crosses blanks and slashes; letters count as they are written. A pattern is turned into a regular expression of
//! the `regex` crate, which takes time linear in the text.

use std::fmt;
use std::sync::OnceLock;

use regex::bytes::Regex;

mod loose;
pub(crate) use loose::Loose;

/// A pattern that was checked.
#[derive(Clone)]
pub struct Glob {
    text: String,
    regex: Regex,
    /// How deny rules read it, made when one first does.
    loose: OnceLock<Box<Loose>>,
}

/// A text that is no pattern.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("bad pattern {text:?}: {problem}")]
pub struct BadGlob {
    /// The text.
    pub text: String,
    /// What is wrong.
    pub problem: &'static str,
}

/// Longest pattern in bytes; bounds the compiled size.
const MAX_BYTES: usize = 4096;

impl Glob {
    /// Checks and compiles a pattern. Errors: empty, too long, `[` without `]`, a control character.
    pub fn new(text: &str) -> Result<Self, BadGlob> {
        let bad = |problem| BadGlob { text: text.chars().take(100).collect(), problem };
        if text.is_empty() {
            return Err(bad("it is empty"));
        }
        if text.len() > MAX_BYTES {
            return Err(bad("it is longer than 4096 bytes"));
        }
        if text.chars().any(char::is_control) {
            return Err(bad("it contains a control character"));
        }
        let body = body(text).map_err(bad)?;
        let regex = Regex::new(&format!("(?s-u)^{body}$")).map_err(|_| bad("it is too complex"))?;
        Ok(Self { text: text.to_owned(), regex, loose: OnceLock::new() })
    }

    /// The pattern that matches `text` only.
    #[must_use]
    pub fn escape(text: &str) -> String {
        let mut pattern = String::with_capacity(text.len());
        for character in text.chars() {
            if matches!(character, '*' | '?' | '[') {
                pattern.extend(['[', character, ']']);
            } else {
                pattern.push(character);
            }
        }
        pattern
    }

    /// The pattern as it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether the whole of `text` matches.
    #[must_use]
    pub fn matches(&self, text: &str) -> bool {
        self.regex.is_match(text.as_bytes())
    }

    /// Its looser readings, for deny rules.
    pub(crate) fn loose(&self) -> &Loose {
        self.loose.get_or_init(|| Box::new(Loose::of(&self.text)))
    }

    /// Whether it fits a command that stands within `text`.
    pub(crate) fn matches_within(&self, text: &str) -> bool {
        self.loose().fits_within(text)
    }

    /// Whether the pattern has no wildcard, so that it matches its own text only.
    #[must_use]
    pub fn is_literal(&self) -> bool {
        !self.text.contains(['*', '?', '['])
    }
}

/// The regular expression of a pattern, without its anchors.
fn body(text: &str) -> Result<String, &'static str> {
    let mut pattern = String::new();
    let mut rest = text.chars().peekable();
    while let Some(next) = rest.next() {
        match next {
            '*' => {
                // Neighbouring stars mean one; more would only make the automaton larger.
                while rest.next_if_eq(&'*').is_some() {}
                pattern.push_str(".*");
            }
            '?' => pattern.push('.'),
            '[' => class(&mut rest, &mut pattern)?,
            other => literal(other, &mut pattern),
        }
    }
    Ok(pattern)
}

/// Copies one character so that it stands for its bytes.
fn literal(character: char, pattern: &mut String) {
    let mut buffer = [0u8; 4];
    for byte in character.encode_utf8(&mut buffer).bytes() {
        pattern.push_str(&format!("\\x{byte:02x}"));
    }
}

/// Reads the rest of a bracket expression.
fn class(
    rest: &mut std::iter::Peekable<std::str::Chars<'_>>,
    pattern: &mut String,
) -> Result<(), &'static str> {
    pattern.push('[');
    if rest.next_if_eq(&'!').is_some() {
        pattern.push('^');
    }
    let mut first = true;
    loop {
        let next = rest.next().ok_or("a [ has no ] that closes it")?;
        match next {
            ']' if !first => break,
            '-' if !first && rest.peek().is_some_and(|after| *after != ']') => pattern.push('-'),
            other if other.is_ascii() => literal(other, pattern),
            _ => return Err("only ASCII is allowed between [ and ]"),
        }
        first = false;
    }
    pattern.push(']');
    Ok(())
}

impl fmt::Debug for Glob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Glob({:?})", self.text)
    }
}

impl fmt::Display for Glob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl PartialEq for Glob {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Glob {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_whole_texts_as_fnmatch_does() {
        for (pattern, text, matches) in [
            ("uptime", "uptime", true),
            ("uptime", "uptime ", false),
            ("uptime*", "uptime -p", true),
            ("df -h*", "df -h /var/log", true),
            ("tail -n ? /x", "tail -n 5 /x", true),
            ("tail -n ? /x", "tail -n 50 /x", false),
            ("web[0-9]", "web3", true),
            ("web[!0-9]", "web3", false),
            ("a.b", "axb", false),
            ("[]]x", "]x", true),
            ("a\u{e4}", "a\u{e4}", true),
            ("Uptime", "uptime", false),
            ("[-a]", "-", true),
            ("[a-]", "-", true),
            ("[--a]", "A", true),
            ("[!--a]", "A", false),
            ("(x|y)+$", "(x|y)+$", true),
        ] {
            assert_eq!(Glob::new(pattern).unwrap().matches(text), matches, "{pattern} on {text}");
        }
    }

    #[test]
    fn a_bad_pattern_is_an_error() {
        for bad in ["", "web[0-9", "web[", "a\nb", "[z-a]", "[\u{e4}]"] {
            assert!(Glob::new(bad).is_err(), "{bad:?}");
        }
    }
}
