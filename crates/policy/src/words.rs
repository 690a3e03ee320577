//! The recogniser: turns a text into simple commands with argv, or refuses it with the byte that it does not understand.
//!
//! The language is small on purpose: printable ASCII and TAB, bare words of `[A-Za-z0-9_@%+:,./=-]`, `'…'`, `"…"`
//! without `$`, backquote, `\` and `!`, the operators `&& || ; |`, and redirections that touch nothing. Between quotes
//! letters and digits beyond ASCII are letters, too. Every POSIX shell gives these texts the same meaning. Whatever is
//! outside is refused, never guessed.

use std::sync::LazyLock;

use regex::Regex;
use sshepherd_model::LoginShell;

use crate::script::{Joiner, Redirection, Script, SimpleCommand};
use crate::{builtin, program, raw};

/// Longest text in bytes. Agents write far less; a longer text is a script and wants to be a file on the host.
pub const MAX_BYTES: usize = 4096;
/// Most simple commands in one text.
pub const MAX_COMMANDS: usize = 32;
/// Most redirections of one simple command.
const MAX_REDIRECTIONS: usize = 4;

/// Why a text was not understood.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("at byte {offset}: {found}")]
pub struct Refusal {
    /// Byte offset in the text.
    pub offset: usize,
    /// What stands there.
    pub found: String,
    /// The nearest form that would be understood.
    pub hint: &'static str,
}

pub(crate) fn refuse<T>(
    offset: usize,
    found: impl Into<String>,
    hint: &'static str,
) -> Result<T, Refusal> {
    Err(Refusal { offset, found: found.into(), hint })
}

/// Recognises `text` for a host on which `shell` reads it. fish and csh hand a POSIX text on to `sh`.
pub fn recognise_for(shell: LoginShell, text: &str) -> Result<Script, Refusal> {
    match shell {
        LoginShell::Posix | LoginShell::Fish | LoginShell::Csh => recognise(text),
        LoginShell::RawWords => raw::recognise(text),
    }
}

/// Recognises a POSIX `text`. Never panics, whatever the text; takes time linear in its length.
pub fn recognise(text: &str) -> Result<Script, Refusal> {
    not_too_long(text)?;
    let odd = text.char_indices().find(|(_, found)| {
        !matches!(found, '\t' | ' '..='~') && (found.is_ascii() || !is_letter_beyond_ascii(*found))
    });
    if let Some((offset, found)) = odd {
        let hint = match found {
            '\n' | '\r' => "separate commands with ; or && on one line",
            _ => "use printable ASCII, and between quotes letters and digits of any script",
        };
        return refuse(offset, format!("the character {found:?}"), hint);
    }
    Reader { text, bytes: text.as_bytes(), at: 0 }.script()
}

pub(crate) fn not_too_long(text: &str) -> Result<(), Refusal> {
    if text.len() <= MAX_BYTES {
        return Ok(());
    }
    refuse(
        MAX_BYTES,
        format!("the command has {} bytes; at most {MAX_BYTES} are read", text.len()),
        "split it into several calls, or put the work into a script on the host",
    )
}

/// Letters, the marks on them, and digits. Not what nobody sees: fillers, selectors and joiners are letters and marks, too.
fn is_letter_beyond_ascii(letter: char) -> bool {
    static LETTER: LazyLock<Option<Regex>> = LazyLock::new(|| {
        Regex::new(r"\A[\p{L}\p{M}\p{N}&&[^\p{Default_Ignorable_Code_Point}]]\z").ok()
    });
    let mut bytes = [0; 4];
    let text = letter.encode_utf8(&mut bytes);
    !letter.is_ascii() && LETTER.as_ref().is_some_and(|pattern| pattern.is_match(text))
}

/// Reads forward over bytes; all that it acts on are ASCII.
struct Reader<'a> {
    text: &'a str,
    bytes: &'a [u8],
    at: usize,
}

/// What stands between two commands.
enum Operator {
    Join(Joiner),
    Pipe,
}

impl Reader<'_> {
    fn peek(&self) -> Option<u8> {
        self.peek_at(0)
    }

    fn peek_at(&self, ahead: usize) -> Option<u8> {
        self.bytes.get(self.at + ahead).copied()
    }

    fn blanks(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t')) {
            self.at += 1;
        }
    }

    fn script(mut self) -> Result<Script, Refusal> {
        let mut commands = Vec::new();
        let mut before: Option<Operator> = None;
        loop {
            self.blanks();
            if commands.len() == MAX_COMMANDS {
                return refuse(
                    self.at,
                    format!("more than {MAX_COMMANDS} commands"),
                    "split the list into several calls",
                );
            }
            let mut command = self.simple()?;
            match before {
                Some(Operator::Join(joiner)) => command.joiner = Some(joiner),
                Some(Operator::Pipe) => command.piped = true,
                None => {}
            }
            commands.push(command);
            match self.operator()? {
                Some(operator) => before = Some(operator),
                None => return Ok(Script { commands, raw: false }),
            }
        }
    }

    /// A simple command: words, then redirections among them.
    fn simple(&mut self) -> Result<SimpleCommand, Refusal> {
        let offset = self.at;
        let mut command = SimpleCommand {
            argv: Vec::new(),
            redirections: Vec::new(),
            piped: false,
            joiner: None,
        };
        loop {
            self.blanks();
            if let Some(redirection) = self.redirection()? {
                if command.argv.is_empty() {
                    return refuse(
                        offset,
                        "a redirection without a command",
                        "write it after the command",
                    );
                }
                if command.redirections.len() == MAX_REDIRECTIONS {
                    return refuse(self.at, "too many redirections", "one of each is enough");
                }
                command.redirections.push(redirection);
                continue;
            }
            match self.word()? {
                Some(word) => {
                    if command.argv.is_empty() {
                        program::name(&word, offset)?;
                    }
                    command.argv.push(word);
                }
                None => break,
            }
        }
        if command.argv.is_empty() {
            return match self.peek() {
                Some(byte) => refuse(
                    self.at,
                    format!("{:?} where a command should stand", char::from(byte)),
                    "write a command before and after each operator",
                ),
                None => refuse(self.at, "no command", "write a command after the last operator"),
            };
        }
        builtin::arguments(&command.argv, offset)?;
        Ok(command)
    }

    fn operator(&mut self) -> Result<Option<Operator>, Refusal> {
        let offset = self.at;
        let Some(byte) = self.peek() else { return Ok(None) };
        let (operator, length) = match (byte, self.peek_at(1)) {
            (b'&', Some(b'&')) => (Operator::Join(Joiner::And), 2),
            (b'|', Some(b'|')) => (Operator::Join(Joiner::Or), 2),
            (b'|', Some(b'&')) => {
                return refuse(offset, "the operator |&", "write 2>&1 | instead");
            }
            (b'|', _) => (Operator::Pipe, 1),
            (b';', Some(b';')) => return refuse(offset, "the operator ;;", "write one ;"),
            (b';', _) => (Operator::Join(Joiner::Then), 1),
            (b'&', Some(b'>')) => {
                return refuse(offset, "the operator &>", "write >/dev/null 2>&1");
            }
            (b'&', _) => {
                return refuse(offset, "a command in the background (&)", "use ssh_run_async");
            }
            (other, _) => return outside(offset, other),
        };
        self.at += length;
        Ok(Some(operator))
    }

    /// A redirection, if one stands here.
    fn redirection(&mut self) -> Result<Option<Redirection>, Refusal> {
        let offset = self.at;
        let digits =
            self.bytes.iter().skip(self.at).take_while(|byte| byte.is_ascii_digit()).count();
        let Some(angle @ (b'<' | b'>')) = self.peek_at(digits) else { return Ok(None) };
        let descriptor = self.bytes.get(self.at..self.at + digits).unwrap_or_default();
        let harmless = "only >/dev/null, 2>/dev/null, </dev/null, 2>&1 and >&2 are read; \
                        to write a file, ask the owner for a command that does it";
        self.at += digits + 1;
        let copies = angle == b'>' && self.peek() == Some(b'&');
        if copies {
            let target = self.peek_at(1);
            // The byte after the digit must end the word: `2>&1x` and `2>&-` are other things.
            let ends = matches!(self.peek_at(2), None | Some(b' ' | b'\t' | b';' | b'|' | b'&'));
            let redirection = match (descriptor, target) {
                (b"2", Some(b'1')) if ends => Redirection::ErrorsToOutput,
                (b"" | b"1", Some(b'2')) if ends => Redirection::OutputToErrors,
                _ => return refuse(offset, "a redirection of another descriptor", harmless),
            };
            self.at += 2;
            return Ok(Some(redirection));
        }
        if matches!(self.peek(), Some(b'<' | b'>' | b'|' | b'&' | b'(')) {
            let found = if angle == b'<' && self.peek() == Some(b'<') {
                "a here-document"
            } else {
                "a redirection that is not read"
            };
            return refuse(offset, found, harmless);
        }
        self.blanks();
        let start = self.at;
        let target = self.word()?;
        let bare = self.bytes.get(start..self.at) == Some(b"/dev/null".as_slice());
        match (angle, descriptor) {
            (b'>', b"" | b"1") if bare => Ok(Some(Redirection::DropOutput)),
            (b'>', b"2") if bare => Ok(Some(Redirection::DropErrors)),
            (b'<', b"" | b"0") if bare => Ok(Some(Redirection::EmptyInput)),
            _ => {
                let found = match target {
                    Some(target) => format!("a redirection to {target:?}"),
                    None => "a redirection to nothing".to_owned(),
                };
                refuse(offset, found, harmless)
            }
        }
    }

    /// A word, made of pieces without blanks between them; `None` where none begins.
    fn word(&mut self) -> Result<Option<String>, Refusal> {
        let start = self.at;
        let mut word = String::new();
        loop {
            match self.peek() {
                Some(quote @ (b'\'' | b'"')) => self.quoted(quote, &mut word)?,
                Some(byte) if bare(byte) => {
                    word.push(char::from(byte));
                    self.at += 1;
                }
                None | Some(b' ' | b'\t' | b';' | b'|' | b'&') => break,
                // A redirection may follow a word without a blank, but not split digits off it.
                Some(b'<' | b'>') if self.at > start => break,
                Some(other) if !other.is_ascii() => {
                    let letter = self.text.get(self.at..).and_then(|rest| rest.chars().next());
                    return refuse(
                        self.at,
                        format!("the letter {:?} outside quotes", letter.unwrap_or_default()),
                        "put the word between single quotes",
                    );
                }
                Some(other) => return outside(self.at, other),
            }
        }
        Ok((self.at > start).then_some(word))
    }

    fn quoted(&mut self, quote: u8, word: &mut String) -> Result<(), Refusal> {
        let open = self.at;
        self.at += 1;
        let start = self.at;
        loop {
            match self.peek() {
                None => {
                    return refuse(open, "a quote that is not closed", "close it on the same line");
                }
                Some(byte) if byte == quote => {
                    word.push_str(self.text.get(start..self.at).unwrap_or_default());
                    self.at += 1;
                    return Ok(());
                }
                Some(byte @ (b'$' | b'`' | b'\\' | b'!')) if quote == b'"' => {
                    return refuse(
                        self.at,
                        format!("{:?} inside double quotes", char::from(byte)),
                        "use single quotes for literal text",
                    );
                }
                Some(_) => self.at += 1,
            }
        }
    }
}

/// Whether a byte stands for itself outside quotes, in every shell.
fn bare(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"_@%+:,./=-".contains(&byte)
}

/// Refuses a byte that is outside the language, with the nearest form.
fn outside<T>(offset: usize, byte: u8) -> Result<T, Refusal> {
    let (found, hint) = match byte {
        b'$' => (
            "a variable or substitution ($)",
            "run the inner command first and write its result as literal text; in a literal, use single quotes",
        ),
        b'`' => (
            "a substitution (`)",
            "run the inner command first and write its result as literal text",
        ),
        b'*' | b'?' | b'[' | b']' => {
            ("a file pattern", "name the files; to pass the character itself, use single quotes")
        }
        b'~' => ("a home folder (~)", "write the absolute path"),
        b'{' | b'}' => {
            ("a brace", "write the words out; to pass the character itself, use single quotes")
        }
        b'(' | b')' => ("a parenthesis", "subshells are not read; write the commands as a list"),
        b'\\' => ("a backslash", "use single quotes instead"),
        b'#' => ("a comment (#)", "leave it out, or use single quotes"),
        b'!' => ("an exclamation mark", "use single quotes to pass it on"),
        b'<' | b'>' => ("a redirection in the middle of a word", "write a blank before it"),
        _ => ("a character that is not read here", "use single quotes to pass it on"),
    };
    refuse(offset, format!("{found}: {:?}", char::from(byte)), hint)
}
