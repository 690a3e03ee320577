//! What came of a command on one host, or on every host of a tag.

use std::sync::Arc;

use super::{Group, Slow, answer};

answer! {
    /// The fate of one command. `status` tells which fields apply: `completed`, `failed`, `timeout` and `cancelled` come
    /// with an `outcome`; `denied` and `could_not_connect` mean that nothing was sent; `not_recorded`, that state folder or audit record cannot be written.
    RunAnswer {
        /// Id for the task tools.
        task_id: String,
        /// The host.
        alias: String,
        /// First 16 hex digits of the SHA-256 of the command.
        hash: String,
        /// completed, failed, cancelled, timeout, denied, approval_required or could_not_connect
        status: String,
        /// exited, signalled, timed_out, cancelled, not_started, not_seen_to_run or lost
        outcome: String,
        /// Exit status; absent when there was none.
        exit_code: u32,
        /// Signal that ended it, without `SIG`.
        signal: String,
        /// Milliseconds from acceptance to the end.
        duration_ms: u64,
        /// Milliseconds of it before the command was sent: for the connection and, on a host that takes few at once, its turn.
        /// Not in the schema, which every turn pays for: it is rarely there, and speaks for itself.
        #[schemars(skip)]
        waited_ms: u64,
        /// It was stopped because a caller asked.
        cancelled: bool,
        /// It was stopped because its time was up.
        timeout: bool,
        /// Whether its end was seen after a stop: `confirmed` or `unconfirmed`.
        stopped: String,
        /// The address connected to.
        target_ip: String,
        /// Both streams in order of arrival; beginning and end when it is long.
        output: String,
        /// What was taken out of `output`: escape sequences, invisible characters, secrets.
        cleaned: String,
        /// How many bytes of it came on standard error.
        stderr_bytes: u64,
        /// Something is missing from `output`.
        truncated: bool,
        /// How many bytes are missing from `output`.
        missing_bytes: u64,
        /// Where the missing part begins, for `ssh_get_task_output`.
        cursor: u64,
        /// The time limit in seconds.
        max_seconds: u64,
        /// Sending the command again cannot run it twice.
        safe_to_resend: bool,
        /// The owner granted a full shell and the raw text was sent.
        raw_shell: bool,
        /// The step that failed when connecting.
        phase: String,
        /// Nothing was sent: the owner's policy does not allow it.
        denied: bool,
        /// Who denied it: `policy` or `network`.
        reason: String,
        /// The host name that the network policy refused.
        hostname: String,
        /// The question that a person must answer first.
        approval_id: String,
        /// `audit` while the owner's policy only watches and what it would deny runs all the same.
        enforcement: String,
        /// The command as asked for, when it was denied.
        command: String,
        /// The part of a chain that is to blame for a denial.
        denied_command: String,
        /// What happened, in words.
        detail: String,
        /// What to do next.
        hint: String,
        /// All of its output; not a part of the answer.
        #[serde(skip)]
        #[schemars(skip)]
        whole: Whole,
    }
}

/// All that a host wrote, as it may be read, however little of it an answer shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Whole {
    /// Its digest: what has the same one is the same.
    pub(crate) digest: [u8; 32],
    /// The text itself, where there is room for it.
    pub(crate) text: Option<Arc<str>>,
}

answer! {
    /// What came of a fan-out.
    TagAnswer {
        /// Id for the task tools.
        task_id: String,
        /// Of one in the background: where it is in its life.
        status: String,
        /// The tag.
        tag: String,
        /// The selector.
        selector: String,
        /// One entry a host, in inventory order, when all of them fit.
        results: Vec<RunAnswer>,
        /// Otherwise the hosts in groups: those that failed first, the most common result last.
        // Their fields' names speak, and a schema of them is paid for by every client on every turn.
        #[schemars(with = "Option<Vec<serde_json::Map<String, serde_json::Value>>>")]
        groups: Vec<Group>,
        /// Groups after these.
        missing_groups: u64,
        /// Where they begin.
        next_cursor: u64,
        /// The hosts that took longest.
        slowest: Vec<Slow>,
        /// How many hosts ended how.
        summary: TagSummary,
        /// Why there is nothing, or not everything.
        note: String,
    }
}

/// How many hosts ended how.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, schemars::JsonSchema)]
pub(crate) struct TagSummary {
    /// All hosts of the tag.
    pub(crate) hosts: u64,
    /// Exit status 0.
    pub(crate) completed: u64,
    /// Another end.
    pub(crate) failed: u64,
    /// Not allowed.
    pub(crate) denied: u64,
    /// Never started.
    pub(crate) could_not_connect: u64,
}

impl RunAnswer {
    /// Whether a client should show this as a failed call: nothing ran, or nobody knows whether it ran to its end.
    ///
    /// A command that ended by itself is an answer whatever its exit status: `grep` without a match is no error.
    pub(crate) fn is_error(&self) -> bool {
        !matches!(self.outcome.as_deref(), Some("exited" | "signalled" | "cancelled"))
    }
}
