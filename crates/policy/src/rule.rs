//! One rule of the owner's, as checked values.

use serde::Serialize;
use sshepherd_model::Host;

use crate::approval::Terms;
use crate::doubt::Doubt;
use crate::glob::Glob;
use crate::script::SimpleCommand;
use crate::sudo;
use crate::typed::{Mismatch, Spec};

/// What a rule does with what it matches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Lets it run.
    Allow,
    /// Lets it run when a person has said yes; beats an allow.
    Ask,
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
    /// Names of environment variables, in full or as patterns that begin with letters of the owner's; a variable that makes
    /// programs run or load something must be named in full.
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
    /// Commands as patterns, one simple command each; a rule without any, and without `spec`, matches nothing.
    pub commands: Vec<Glob>,
    /// The command word by word; stands instead of `commands`.
    pub spec: Option<Spec>,
    /// The account that the command runs as, through `sudo -n -u`; callers may write that themselves or leave it out.
    pub as_user: Option<String>,
    /// Whose yes is wanted, and for how long it holds, when the action is to ask.
    pub terms: Terms,
    /// Commands that the owner gives as examples of what it is for.
    pub examples: Vec<String>,
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

    /// The argv to send for a simple command that the rule lets through; else why not.
    pub fn admits(&self, command: &SimpleCommand) -> Result<Vec<String>, Mismatch> {
        let Some(user) = &self.as_user else { return self.reads(command.argv()) };
        let plain = match sudo::read(command.argv()) {
            Some((asked, rest)) if asked == *user => rest,
            Some(_) => return Err(Mismatch::Program),
            None => command.argv(),
        };
        self.reads(plain).map(|argv| sudo::write(user, &argv))
    }

    fn reads(&self, argv: &[String]) -> Result<Vec<String>, Mismatch> {
        if let Some(spec) = &self.spec {
            return spec.read(argv);
        }
        let joined = argv.join(" ");
        let matches = self.commands.iter().any(|glob| glob.matches(&joined));
        matches.then(|| argv.to_vec()).ok_or(Mismatch::Program)
    }

    /// Whether a deny rule hits a simple command in any form in which it may be meant: its patterns in its plain form, its
    /// quoted form, or with the program's folder left out (`rm *` also catches `/bin/rm x`), and word by word; a typed rule as
    /// loosely as [`Spec::hits`]. What stands behind `sudo` and other wrappers is looked at by itself, too.
    #[must_use]
    pub fn hits(&self, command: &SimpleCommand) -> bool {
        Doubt::of(command.argv(), &command.canonical(), None).is_hit_by(self)
    }

    /// Whether it hits a line that goes to a shell as it is, or was not understood: a typed rule wherever its program's name
    /// stands as a word.
    #[must_use]
    pub fn matches_line(&self, line: &str) -> bool {
        let Some(spec) = &self.spec else {
            return self.commands.iter().any(|glob| glob.matches(line));
        };
        let words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        (0..words.len()).any(|at| words.get(at..).is_some_and(|words| spec.hits(words)))
    }

    /// What it takes, one line each, as hints show it.
    #[must_use]
    pub fn forms(&self) -> Vec<String> {
        let forms = match &self.spec {
            Some(spec) => vec![spec.usage()],
            None => self.commands.iter().map(|glob| glob.as_str().to_owned()).collect(),
        };
        match &self.as_user {
            Some(user) => forms.into_iter().map(|form| format!("{form} (as {user})")).collect(),
            None => forms,
        }
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
