//! One rule of the owner's, as checked values.

use serde::Serialize;
use sshepherd_model::Host;

use crate::glob::Glob;
use crate::script::SimpleCommand;

/// What a rule does with what it matches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Lets it run.
    Allow,
    /// Forbids it, whatever other rules say.
    Deny,
}

/// Where a rule stands.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Position {
    /// The file.
    pub file: String,
    /// Line, from 1.
    pub line: usize,
}

/// What a caller may choose beside the command. Nothing unless granted.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Grants {
    /// Working folders, as patterns of absolute paths.
    pub cwd: Vec<Glob>,
    /// Names of environment variables, as patterns; variables that steer loaders, shells or interpreters must be named
    /// literally.
    pub env: Vec<Glob>,
    /// Standard input, and a place after a pipe.
    pub stdin: bool,
}

/// A rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// The owner's name for it, or `rules[N]`.
    pub id: String,
    /// The owner's reason.
    pub why: Option<String>,
    /// Where it stands.
    pub position: Position,
    /// What it does.
    pub action: Action,
    /// Hosts by alias; empty for every host.
    pub aliases: Vec<Glob>,
    /// Hosts by tag; empty for every host. With both lists, a host must be on both.
    pub tags: Vec<Glob>,
    /// Commands, one simple command each; a rule without any matches nothing.
    pub commands: Vec<Glob>,
    /// Whether matching lines go to the host's shell as they are.
    pub shell_unrestricted: bool,
    /// What else a caller may choose.
    pub grants: Grants,
}

/// A rule named in an answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RuleRef {
    /// Its id.
    pub id: String,
    /// Its file.
    pub file: String,
    /// Its line.
    pub line: usize,
    /// The owner's reason.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

impl Rule {
    /// Whether the rule speaks of `host`.
    #[must_use]
    pub fn covers(&self, host: &Host) -> bool {
        let alias = self.aliases.is_empty()
            || self.aliases.iter().any(|glob| glob.matches(host.alias.as_str()));
        let tag = self.tags.is_empty()
            || host.tags.iter().any(|tag| self.tags.iter().any(|glob| glob.matches(tag.as_str())));
        alias && tag
    }

    /// Whether an allow rule's patterns admit a simple command.
    #[must_use]
    pub fn admits(&self, command: &SimpleCommand) -> bool {
        let joined = command.joined();
        self.commands.iter().any(|glob| glob.matches(&joined))
    }

    /// Whether a deny rule's patterns hit a simple command, in its plain form, its quoted form, or with the program's
    /// folder left out: `rm *` also catches `/bin/rm x`.
    #[must_use]
    pub fn hits(&self, command: &SimpleCommand) -> bool {
        let joined = command.joined();
        let canonical = command.canonical();
        let program = command.program();
        let base = program.rsplit('/').next().unwrap_or(program);
        let short = joined.strip_prefix(program).map(|rest| format!("{base}{rest}"));
        self.commands.iter().any(|glob| {
            glob.matches(&joined)
                || glob.matches(&canonical)
                || short.as_deref().is_some_and(|short| glob.matches(short))
        })
    }

    /// Whether its patterns match a whole line: for unrestricted shells only.
    #[must_use]
    pub fn matches_line(&self, line: &str) -> bool {
        self.commands.iter().any(|glob| glob.matches(line))
    }

    /// The rule as answers name it.
    #[must_use]
    pub fn reference(&self) -> RuleRef {
        RuleRef {
            id: self.id.clone(),
            file: self.position.file.clone(),
            line: self.position.line,
            why: self.why.clone(),
        }
    }
}
