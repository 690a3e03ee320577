//! Why something may not run, and what to do instead.

use serde::Serialize;

use crate::rule::{Rule, RuleRef};
use crate::script::SimpleCommand;
use crate::surroundings::NotGranted;
use crate::words::Refusal;

/// Why something may not run. An answer the caller can act on, not an error.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Denial {
    /// The kind of reason.
    pub reason: DenialReason,
    /// What is wrong, in words.
    pub message: String,
    /// What to do next: the nearest permitted form, or whom to ask.
    pub hint: String,
    /// The simple command that is to blame, re-quoted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub command: Option<String>,
    /// A command that would be let through in its place.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nearest: Option<String>,
    /// The rule that forbids it, or that came nearest to allowing it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rule: Option<RuleRef>,
    /// Byte offset in the trimmed command of what was not understood.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub offset: Option<usize>,
}

/// Kinds of denial.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum DenialReason {
    /// The text is outside the recognised language.
    NotUnderstood,
    /// It contains a denied text.
    DeniedText,
    /// A deny rule matches.
    DenyRule,
    /// No allow rule matches.
    NoRule,
    /// A rule speaks of the program, but not with these arguments.
    Arguments,
    /// After a pipe stands a filter with an option or operand that is not harmless.
    Filter,
    /// After a pipe stands a command whose rule does not grant standard input.
    PipedInput,
    /// A redirection, where the policy lets none through.
    Redirection,
    /// cwd, env or stdin is not granted, or has no sound form.
    NotGranted,
    /// A person would have to be asked.
    Approval,
}

impl Denial {
    pub(crate) fn new(reason: DenialReason, message: String, hint: String) -> Self {
        Self { reason, message, hint, command: None, nearest: None, rule: None, offset: None }
    }

    pub(crate) fn of(mut self, command: &SimpleCommand) -> Self {
        self.command = Some(command.canonical());
        self
    }

    /// Denied by a deny rule.
    pub(crate) fn by_rule(rule: &Rule) -> Self {
        let why = rule.why.as_deref().map(|why| format!(": {why}")).unwrap_or_default();
        Self {
            rule: Some(rule.reference()),
            ..Self::new(
                DenialReason::DenyRule,
                format!("rule {} denies it{why}", rule.id),
                "a deny beats every allow; only the owner can change the rule".to_owned(),
            )
        }
    }

    /// Noted where the owner only watches and the policy would ask a person.
    pub(crate) fn would_ask() -> Self {
        Self::new(
            DenialReason::Approval,
            "a person would be asked first".to_owned(),
            "once the policy is enforced, the command waits for an approval".to_owned(),
        )
    }

    /// Denied because the text is outside the language.
    pub(crate) fn not_understood(refusal: &Refusal) -> Self {
        Self {
            offset: Some(refusal.offset),
            ..Self::new(
                DenialReason::NotUnderstood,
                format!("not understood at byte {}: {}", refusal.offset, refusal.found),
                refusal.hint.to_owned(),
            )
        }
    }

    /// The kind in one word, for records.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self.reason {
            DenialReason::NotUnderstood => "not_understood",
            DenialReason::DeniedText => "denied_text",
            DenialReason::DenyRule => "deny_rule",
            DenialReason::NoRule => "no_rule",
            DenialReason::Arguments => "arguments",
            DenialReason::Filter => "filter",
            DenialReason::PipedInput => "piped_input",
            DenialReason::Redirection => "redirection",
            DenialReason::NotGranted => "not_granted",
            DenialReason::Approval => "approval",
        }
    }
}

impl From<NotGranted> for Denial {
    fn from(problem: NotGranted) -> Self {
        let message = if problem.message.starts_with("rule ") {
            format!("{}: {}", problem.what, problem.message)
        } else {
            problem.message
        };
        Self::new(DenialReason::NotGranted, message, problem.hint)
    }
}
