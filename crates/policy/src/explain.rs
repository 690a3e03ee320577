//! What was decided and why, for people and agents; made by the same judgement that decides.

use serde::Serialize;
use sshepherd_model::Limits;

use crate::denial::Denial;
use crate::rule::RuleRef;

/// One judgement, whole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Explanation {
    /// Whether it would run.
    pub allowed: bool,
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
    /// Whether it may run.
    pub allowed: bool,
    /// The deciding rule's id, or `filter:` and a name; `None` when nothing allows it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// The deciding rule.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rule: Option<RuleRef>,
}
