//! What the recogniser understood, and the one text that means exactly that where it is sent.
//!
//! There are two forms of it. [`Script::sent`] has every word in quotes, for zsh's global aliases expand bare words and mksh
//! looks for an alias after `nohup`; [`Script::canonical`] is for people and for deny rules, and quotes what must be.

use std::fmt::Write;

use crate::raw;
use crate::words::Refusal;

/// How a pipeline follows the one before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Joiner {
    /// `&&`
    And,
    /// `||`
    Or,
    /// `;`
    Then,
}

impl Joiner {
    fn text(self) -> &'static str {
        match self {
            Self::And => " && ",
            Self::Or => " || ",
            Self::Then => "; ",
        }
    }
}

/// A redirection that can neither write nor read anything of the host's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Redirection {
    /// `>/dev/null`
    DropOutput,
    /// `2>/dev/null`
    DropErrors,
    /// `</dev/null`
    EmptyInput,
    /// `2>&1`
    ErrorsToOutput,
    /// `>&2`
    OutputToErrors,
}

impl Redirection {
    fn text(self) -> &'static str {
        match self {
            Self::DropOutput => ">/dev/null",
            Self::DropErrors => "2>/dev/null",
            Self::EmptyInput => "</dev/null",
            Self::ErrorsToOutput => "2>&1",
            Self::OutputToErrors => ">&2",
        }
    }

    fn sent(self) -> &'static str {
        match self {
            Self::DropOutput => ">'/dev/null'",
            Self::DropErrors => "2>'/dev/null'",
            Self::EmptyInput => "<'/dev/null'",
            Self::ErrorsToOutput | Self::OutputToErrors => self.text(),
        }
    }
}

/// One program with its arguments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SimpleCommand {
    pub(crate) argv: Vec<String>,
    pub(crate) redirections: Vec<Redirection>,
    /// Whether its input is the output of the command before it.
    pub(crate) piped: bool,
    /// How it follows the command before it; `None` for the first and for one after a pipe.
    pub(crate) joiner: Option<Joiner>,
}

impl SimpleCommand {
    /// The words; the program is the first.
    #[must_use]
    pub fn argv(&self) -> &[String] {
        &self.argv
    }

    /// The program word.
    #[must_use]
    pub fn program(&self) -> &str {
        self.argv.first().map_or("", String::as_str)
    }

    /// Whether it reads the output of the command before it.
    #[must_use]
    pub fn piped(&self) -> bool {
        self.piped
    }

    /// How it follows the pipeline before it; `None` for the first command and for one after a pipe.
    #[must_use]
    pub fn joiner(&self) -> Option<Joiner> {
        self.joiner
    }

    /// The redirections, in order.
    #[must_use]
    pub fn redirections(&self) -> &[Redirection] {
        &self.redirections
    }

    /// The words joined by one blank, unquoted: what a rule's globs are judged against.
    #[must_use]
    pub fn joined(&self) -> String {
        self.argv.join(" ")
    }

    /// The re-quoted form with its redirections.
    #[must_use]
    pub fn canonical(&self) -> String {
        self.with_redirections(quote_words(&self.argv), Redirection::text)
    }

    /// The form to send to a POSIX shell.
    fn sent(&self) -> String {
        let words: Vec<String> = self.argv.iter().map(|word| quote_always(word)).collect();
        self.with_redirections(words.join(" "), Redirection::sent)
    }

    fn with_redirections(
        &self,
        mut text: String,
        written: fn(Redirection) -> &'static str,
    ) -> String {
        for redirection in &self.redirections {
            text.push(' ');
            text.push_str(written(*redirection));
        }
        text
    }
}

/// A list of pipelines, flattened: every simple command says how it follows the one before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Script {
    pub(crate) commands: Vec<SimpleCommand>,
    /// Whether it is one command of words that are sent without quotes.
    pub(crate) raw: bool,
}

impl Script {
    /// The simple commands in order; never empty.
    #[must_use]
    pub fn commands(&self) -> &[SimpleCommand] {
        &self.commands
    }

    /// The text to send: it means exactly the recognised commands in sh, bash, dash, ash, mksh, ksh93 and zsh; or, of a text
    /// of raw words, those words.
    #[must_use]
    pub fn sent(&self) -> String {
        if self.raw { self.normalised() } else { self.render(SimpleCommand::sent) }
    }

    /// The text as people read it, with quotes only where they are needed.
    #[must_use]
    pub fn canonical(&self) -> String {
        self.render(SimpleCommand::canonical)
    }

    /// The words of all commands joined by one blank, with the operators, unquoted: for denied texts.
    #[must_use]
    pub fn normalised(&self) -> String {
        self.render(SimpleCommand::joined)
    }

    /// The same script with other words, one argv for each simple command.
    pub(crate) fn with_argvs(mut self, argvs: Vec<Vec<String>>) -> Result<Self, Refusal> {
        for (command, argv) in self.commands.iter_mut().zip(argvs) {
            if self.raw {
                raw::check_all(&argv)?;
            }
            command.argv = argv;
        }
        Ok(self)
    }

    fn render(&self, command: impl Fn(&SimpleCommand) -> String) -> String {
        let mut text = String::new();
        for simple in &self.commands {
            match simple.joiner {
                Some(joiner) => text.push_str(joiner.text()),
                None if simple.piped => text.push_str(" | "),
                None => {}
            }
            // Writing into a String cannot fail.
            let _ = write!(text, "{}", command(simple));
        }
        text
    }
}

/// Words, each quoted as far as it must be, with one blank between.
pub(crate) fn quote_words(words: &[String]) -> String {
    words.iter().map(|word| quote(word)).collect::<Vec<_>>().join(" ")
}

/// One word, quoted if any shell could read it as more than its letters.
///
/// `=` at the start is quoted for zsh's `=command`; everything outside `[A-Za-z0-9_@%+:,./=-]` is.
#[must_use]
pub fn quote(word: &str) -> String {
    let plain = !word.is_empty()
        && !word.starts_with('=')
        && word.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_@%+:,./=-".contains(&byte));
    if plain { word.to_owned() } else { quote_always(word) }
}

/// One word in quotes whatever it holds. A single quote becomes `'"'"'`, which the recogniser reads too, so that a canonical
/// text is recognised as itself.
#[must_use]
pub fn quote_always(word: &str) -> String {
    format!("'{}'", word.replace('\'', "'\"'\"'"))
}
