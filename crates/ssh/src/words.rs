//! How texts travel, so that nothing but a POSIX shell can read them out of what is sent.
//!
//! What an account's shell is stands in a configuration, and may be wrong. A text that means one thing in `sh` means
//! another in fish, csh, PowerShell or a router's command line, and what an agent chose must run in none of them. So it
//! travels as words that are the same everywhere, or in escapes that only `printf %b` undoes, behind fixed text that
//! those others refuse.

/// The texts without their comments, which every start would send.
pub(crate) fn bare(texts: &[&str]) -> String {
    let lines = texts.iter().flat_map(|text| text.lines());
    lines.filter(|line| !line.starts_with('#')).flat_map(|line| [line, "\n"]).collect()
}

/// Longest word sent: csh takes no words of more than 1,024 bytes.
const MAX_WORD: usize = 1000;

/// A POSIX text in escapes. Between single quotes it is the same in POSIX shells, fish and csh: it holds no quote, newline
/// or `!`, and no backslash before anything that fish would take for an escape.
#[derive(Debug, Default)]
pub(crate) struct Packed(String);

impl Packed {
    /// Adds fixed text. Only what could part or redirect commands somewhere is escaped, to keep it short and readable.
    pub(crate) fn ours(mut self, text: &str) -> Self {
        let mut rest = text.bytes().peekable();
        while let Some(byte) = rest.next() {
            match byte {
                b'\n' => self.0.push_str("\\n"),
                // A digit behind a shorter escape would be read as part of it.
                _ if b"'\\!;&|<>`%^".contains(&byte) => match rest.peek() {
                    Some(next) if !next.is_ascii_digit() => {
                        self.0.push_str(&format!("\\0{byte:o}"))
                    }
                    Some(_) | None => self.0.push_str(&format!("\\0{byte:03o}")),
                },
                b' '..=b'~' => self.0.push(char::from(byte)),
                _ => self.0.push_str(&format!("\\0{byte:03o}")),
            }
        }
        self
    }

    /// Adds what others chose. Letters and digits stay readable, but no word, blank or sign of it stands there as itself.
    pub(crate) fn theirs(mut self, text: &str) -> Self {
        let mut inside = false;
        for byte in text.bytes() {
            if inside && byte.is_ascii_alphanumeric() {
                self.0.push(char::from(byte));
            } else {
                self.0.push_str(&format!("\\0{byte:03o}"));
            }
            inside = byte.is_ascii_alphanumeric();
        }
        self
    }

    /// The escapes, to stand between single quotes behind `printf %b`.
    pub(crate) fn escapes(&self) -> &str {
        &self.0
    }

    /// A line that runs the text in a POSIX shell, whether the log-in shell is one, fish or csh.
    pub(crate) fn in_sh(&self) -> String {
        let mut line =
            r#"exec sh -c 'IFS=;eval "unset IFS;$(printf %b "$*")"' sshepherd"#.to_owned();
        let mut rest = self.0.as_str();
        while !rest.is_empty() {
            let (word, _) = rest.split_at_checked(MAX_WORD).unwrap_or((rest, ""));
            // fish would read the backslash together with the quote behind it.
            let word = word.strip_suffix('\\').unwrap_or(word);
            line.push_str(&format!(" '{word}'"));
            rest = rest.strip_prefix(word).unwrap_or_default();
        }
        line
    }
}

/// A fixed text and its arguments, which become its positional parameters.
#[derive(Debug)]
pub(crate) struct Script(Packed);

impl Script {
    /// A text without arguments yet.
    pub(crate) fn new() -> Self {
        Self(Packed::default().ours("set --"))
    }

    /// Adds an argument that is ours.
    pub(crate) fn with(self, argument: &str) -> Self {
        Self(self.0.ours(&format!(" {}", quoted(argument))))
    }

    /// Adds an argument that others chose.
    pub(crate) fn with_theirs(self, argument: &str) -> Self {
        Self(self.0.ours(" ").theirs(&quoted(argument)))
    }

    /// The line that runs `text` with them.
    pub(crate) fn run(self, text: &str) -> String {
        self.0.ours(&format!("\n{text}")).in_sh()
    }
}

/// The line that runs a fixed text with arguments that are ours.
pub(crate) fn command(text: &str, arguments: &[&str]) -> String {
    arguments.iter().fold(Script::new(), |script, argument| script.with(argument)).run(text)
}

/// One word in a POSIX text.
pub(crate) fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', "'\\''"))
}

/// Whether a text is words that are the same in every language we know, so that it can stand as it is: shells that part
/// a line at signs, and those that heed no quotes, read the same words.
pub(crate) fn is_plain(text: &str) -> bool {
    text.split(' ').all(|word| {
        let inner = word.strip_prefix('\'').and_then(|rest| rest.strip_suffix('\''));
        let inner = inner.unwrap_or(word);
        !inner.is_empty() && inner.bytes().all(is_plain_byte)
    })
}

fn is_plain_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"_./:=+-".contains(&byte)
}

/// Whether a POSIX text is one command: words alone, the first of them in quotes, so that it is no keyword, assignment or
/// alias. Then its words can be run without being read again.
pub(crate) fn is_one_command(text: &str) -> bool {
    let mut bytes = text.bytes();
    if !text.starts_with('\'') {
        return false;
    }
    while let Some(byte) = bytes.next() {
        let sound = match byte {
            b'\'' => bytes.any(|byte| byte == b'\''),
            b'"' => loop {
                match bytes.next() {
                    Some(b'"') => break true,
                    None | Some(b'$' | b'`' | b'\\' | b'!') => break false,
                    Some(_) => {}
                }
            },
            b'\\' => matches!(bytes.next(), Some(b'\'' | b'\\' | b'!')),
            b' ' => true,
            other => is_plain_byte(other),
        };
        if !sound {
            return false;
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_words_are_the_same_everywhere_and_nothing_else_is_plain() {
        for text in ["uptime", "uptime -p", "'df' '-h' '/'", "show version", "a=b c:d/e"] {
            assert!(is_plain(text), "{text}");
        }
        for text in [
            "", "a  b", "a b ", "''", "'a b'", "a;b", "a\nb", "a|b", "it's", "a%b", "~", "@a",
            "a,b", "\"a\"", "é",
        ] {
            assert!(!is_plain(text), "{text}");
        }
    }

    #[test]
    fn one_command_is_words_alone() {
        for text in ["'echo' 'a; b'", "'echo' 'it'\"'\"'s'", "'a'\\''b' -n"] {
            assert!(is_one_command(text), "{text}");
        }
        for text in [
            "echo 'a'",
            "'a' && 'b'",
            "'a' 2>&1",
            "'a",
            "'a' \"$b\"",
            "'a'\n'b'",
            "'a' #",
            "'a' \\",
            "'a' *",
            "'a' ~",
        ] {
            assert!(!is_one_command(text), "{text}");
        }
    }

    #[test]
    fn nothing_of_others_stands_as_itself() {
        let packed = Packed::default().theirs("reboot; touch PWN\n%COMSPEC% 'x7\\'");
        let escapes = packed.escapes();
        assert!(
            escapes.bytes().all(|byte| byte == b'\\' || byte.is_ascii_alphanumeric()),
            "{escapes}"
        );
        assert!(!escapes.contains("reboot") && !escapes.contains("PWN"), "{escapes}");
    }

    #[test]
    fn no_word_is_too_long_for_csh() {
        let line = Script::new().with(&"x;".repeat(5000)).run("echo");
        assert!(line.split(' ').all(|word| word.len() <= 1024));
    }
}
