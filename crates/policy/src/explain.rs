//! What was decided and why, for people and agents; made by the same judgement that decides.

use serde::Serialize;
use sshepherd_model::Limits;

use crate::approval::Terms;
use crate::denial::Denial;
use crate::rule::RuleRef;

/// What would happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Answer {
    /// It would run.
    Allow,
    /// A person would be asked first.
    Ask,
    /// It would not run.
    Deny,
}

/// One judgement, whole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Explanation {
    /// What would happen.
    pub answer: Answer,
    /// Whether it would run without further ado.
    pub allowed: bool,
    /// Whose yes would be wanted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub asks: Option<Terms>,
    /// What would have been said if the policy were enforced; it runs all the same.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unenforced: Option<Denial>,
    /// Why not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub denial: Option<Denial>,
    /// The simple commands in order; empty when the text was not understood.
    pub commands: Vec<Part>,
    /// The exact text that would be sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wire: Option<String>,
    /// Whether the raw text would go to a full shell.
    pub raw_shell: bool,
    /// The limits in force.
    #[serde(skip)]
    pub limits: Limits,
}

/// One simple command of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Part {
    /// Its re-quoted form.
    pub text: String,
    /// Its words.
    pub argv: Vec<String>,
    /// Its words as they would be sent, where a path or `sudo` makes them others.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sent: Option<Vec<String>>,
    /// What would happen to it.
    pub answer: Answer,
    /// Whether it may run without further ado.
    pub allowed: bool,
    /// The deciding rule's id, or `filter:` and a name; `None` when nothing allows it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// The deciding rule, or the one that comes nearest.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rule: Option<RuleRef>,
    /// Why it may not run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub denial: Option<Denial>,
}
