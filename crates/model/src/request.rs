//! What a caller asks to run on one host.

use crate::{CommandHash, InvalidField};

/// Longest command in characters (seed rule).
pub const MAX_COMMAND_CHARS: usize = 10_000;
/// Most bytes of standard input that one request may carry.
pub const MAX_STDIN_BYTES: usize = 256 * 1024;

/// A command with its surroundings, in the form the caller gave it, checked for shape but not judged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    command: String,
    /// Working folder on the host, if one was asked for.
    pub cwd: Option<String>,
    /// Environment variables to set, in the caller's order.
    pub env: Vec<(String, String)>,
    /// Standard input; without it the command's input is closed.
    pub stdin: Option<String>,
}

/// A command without the blanks around it. Only the four ASCII ones go: a no-break space or a vertical
/// tab is part of a word and must reach the judgement.
pub(crate) fn trimmed(command: &str) -> &str {
    command.trim_matches([' ', '\t', '\n', '\r'])
}

impl Request {
    /// Trims (blank, tab, newline, carriage return) and checks a command: not empty, at most 10,000
    /// characters, no control character but tab,
    /// newline and carriage return.
    pub fn new(command: &str) -> Result<Self, InvalidField> {
        let command = trimmed(command);
        if command.is_empty() {
            return Err(InvalidField::new("command", "must not be empty"));
        }
        let length = command.chars().count();
        if length > MAX_COMMAND_CHARS {
            return Err(InvalidField::new(
                "command",
                format!("has {length} characters; at most {MAX_COMMAND_CHARS} are allowed"),
            ));
        }
        let bad = command
            .char_indices()
            .find(|(_, c)| c.is_control() && !matches!(c, '\t' | '\n' | '\r'));
        if let Some((offset, bad)) = bad {
            return Err(InvalidField::new(
                "command",
                format!("contains the control character {bad:?} at byte {offset}; remove it"),
            ));
        }
        Ok(Self { command: command.to_owned(), cwd: None, env: Vec::new(), stdin: None })
    }

    /// The trimmed command.
    #[must_use]
    pub fn command(&self) -> &str {
        &self.command
    }

    /// The hash that stands for the command in logs.
    #[must_use]
    pub fn hash(&self) -> CommandHash {
        CommandHash::of(&self.command)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_trimmed_and_its_shape_checked() {
        assert_eq!(Request::new("  uptime \n").unwrap().command(), "uptime");
        let long = "x".repeat(10_001);
        for bad in [
            "",
            " \t ",
            "up\0time",
            "up\u{7f}time",
            "a\u{1b}[2K",
            "uptime\u{b}",
            "\u{c}uptime",
            long.as_str(),
        ] {
            assert_eq!(Request::new(bad).unwrap_err().field, "command", "{bad:?}");
        }
        assert!(Request::new("a\tb\nc\rd").is_ok());
        assert_eq!(Request::new("uptime\u{a0}").unwrap().command(), "uptime\u{a0}");
        assert_ne!(CommandHash::of("uptime\u{a0}"), CommandHash::of("uptime"));
    }
}
