//! What would happen to a command.

use super::answer;

answer! {
    /// The judgement of a command, without running it.
    PlanAnswer {
        /// The host.
        alias: String,
        /// The command as asked for, trimmed.
        command: String,
        /// First 16 hex digits of its SHA-256.
        hash: String,
        /// Whether a run would be let through.
        allowed: bool,
        /// The limits that would be in force.
        limits: Limits,
        /// The simple commands it is made of, and who decided each.
        commands: Vec<PlannedCommand>,
        /// The exact text that would be sent.
        would_send: String,
        /// The addresses that would be tried.
        addresses: Vec<String>,
        /// The owner granted a full shell: the raw text would be sent.
        raw_shell: bool,
        /// Why not.
        why: String,
        /// A command that would be let through in its place.
        nearest: String,
        /// A person must say yes first.
        needs_approval: bool,
        /// The policy only watches: it would deny this, and it runs all the same.
        not_enforced: bool,
        /// What to do next.
        hint: String,
        /// The part of a chain that is to blame.
        denied_command: String,
    }
}

/// The limits of a planned command.
#[derive(Debug, Clone, Default, serde::Serialize, schemars::JsonSchema)]
pub(crate) struct Limits {
    /// Longest run time in seconds.
    pub(crate) max_seconds: u64,
    /// Most bytes of output kept.
    pub(crate) max_output_bytes: u64,
    /// Read from the policy; an unknown host key is refused all the same.
    pub(crate) host_key_auto_add: bool,
    /// Always in force.
    pub(crate) require_known_host: bool,
}

impl From<&sshepherd_model::Limits> for Limits {
    fn from(limits: &sshepherd_model::Limits) -> Self {
        Self {
            max_seconds: limits.max_time.as_secs(),
            max_output_bytes: limits.max_output_bytes,
            host_key_auto_add: limits.host_key_auto_add,
            require_known_host: limits.require_known_host,
        }
    }
}

/// One simple command and its judgement.
#[derive(Debug, Clone, Default, serde::Serialize, schemars::JsonSchema)]
pub(crate) struct PlannedCommand {
    /// Its words, joined by blanks.
    pub(crate) command: String,
    /// Whether it may run.
    pub(crate) allowed: bool,
    /// The rule, filter or default that decided.
    pub(crate) by: String,
}
