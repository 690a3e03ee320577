//! What one record says.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};
use sshepherd_model::{Alias, ApprovalId, CommandHash, Outcome, ShellId, Stopped, TaskId};

use crate::time::Timestamp;

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// A request was judged; written before anything is run.
    Decision,
    /// A permitted command is about to be sent.
    ExecutionStart,
    /// It ended, or never started.
    ExecutionEnd,
    /// Someone asked for a task to be cancelled; with an alias, for that host of a fan-out to be left out.
    CancelRequest,
    /// Someone asked for a fan-out to begin no more hosts.
    PauseRequest,
    /// Someone asked for a paused fan-out to go on.
    ResumeRequest,
    /// A person answered, or an answer was used.
    Approval,
    /// The configuration was replaced, or with the outcome `refused` a new one was not taken.
    Reload,
    /// A person stored a key of a host.
    HostTrusted,
    /// An interactive shell is about to be opened, or connected to again.
    ShellOpened,
    /// Something is about to be typed into it, or a signal to be sent to it.
    ShellInput,
    /// A secret of the owner's is about to be typed into it.
    ShellSecret,
    /// It ended.
    ShellEnded,
    /// Records of this file were cut off, rewritten or put in since they were written.
    AuditTampered,
}

/// How a request was judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Decision {
    /// It may run.
    Allow,
    /// It may run once a person has said yes.
    Ask,
    /// It may not.
    Deny,
}

/// Who asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Source {
    /// The face: `cli` or `mcp`.
    #[serde(rename = "source")]
    pub face: String,
    /// The MCP client's name and version as it gave them: a claim, not a proof.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client: Option<String>,
}

/// One record, without what the sink adds (`v`, `seq`, `instance`). Fields that are `None` or empty are left out.
///
/// Free texts longer than [`crate::sink::MAX_TEXT`] characters are cut when written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// When it happened.
    pub ts: Timestamp,
    /// What happened.
    pub event: Event,
    /// Who asked: the fields `source` and `client`.
    #[serde(flatten)]
    pub source: Source,
    /// The host's name in the inventory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alias: Option<Alias>,
    /// The host's configured address and port.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// Hash of the command, in place of its text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hash: Option<CommandHash>,
    /// Keyed digest of the whole request: host and log-in shell, account, command, working folder, variables and standard input.
    /// Equal requests have equal ones; without the key of the state folder nobody can try guesses at what is in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_digest: Option<String>,
    /// How it was judged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decision: Option<Decision>,
    /// The rules that decided, in the order of the parts of the command.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rules: Vec<String>,
    /// Why it was denied, what failed, or what a reload changed. Never the command's text, never a secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The question that a person was asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approval_id: Option<ApprovalId>,
    /// What became of the question: `approved`, `refused` or `used`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer: Option<String>,
    /// Who answered: an account of this machine, or the MCP client that says a person did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// `audit` when the policy only watches: the decision was recorded and not enforced.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enforcement: Option<String>,
    /// The command's text, where the owner wants it recorded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<String>,
    /// Whether the raw text goes to a full shell that the owner granted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub raw_shell: Option<bool>,
    /// SHA-256 of the policy file that the request was judged under, in hex.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy_hash: Option<String>,
    /// The task.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task_id: Option<TaskId>,
    /// The interactive shell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_id: Option<ShellId>,
    /// Bytes that were typed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes_in: Option<u64>,
    /// SHA-256 in hex of what was typed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input_sha256: Option<String>,
    /// The address that was connected to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target_ip: Option<IpAddr>,
    /// How the command ended: `exited`, `signalled`, `timed_out`, `cancelled`, `not_started`, `not_seen_to_run` or `lost`; of a reload that was not taken, `refused`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<String>,
    /// Exit status, when it ended by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_status: Option<u32>,
    /// Signal name without `SIG`, when a signal that we did not send ended it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_signal: Option<String>,
    /// Milliseconds from acceptance to end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration_ms: Option<u64>,
    /// Bytes of output that came, both streams.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes_out: Option<u64>,
    /// For a timeout or a cancel: whether the end was seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stopped: Option<Stopped>,
}

impl Entry {
    /// An entry with everything optional left out.
    #[must_use]
    pub fn new(ts: impl Into<Timestamp>, event: Event, source: Source) -> Self {
        Self {
            ts: ts.into(),
            event,
            source,
            alias: None,
            host: None,
            hash: None,
            request_digest: None,
            decision: None,
            rules: Vec::new(),
            reason: None,
            approval_id: None,
            answer: None,
            by: None,
            enforcement: None,
            command: None,
            raw_shell: None,
            policy_hash: None,
            task_id: None,
            session_id: None,
            bytes_in: None,
            input_sha256: None,
            target_ip: None,
            outcome: None,
            exit_status: None,
            exit_signal: None,
            duration_ms: None,
            bytes_out: None,
            stopped: None,
        }
    }

    /// Fills `outcome`, `exit_status`, `exit_signal`, `stopped` and, where there is one, `reason`.
    #[must_use]
    pub fn with_outcome(mut self, outcome: &Outcome) -> Self {
        let kind = match outcome {
            Outcome::Exited { status } => {
                self.exit_status = Some(*status);
                "exited"
            }
            Outcome::Signalled { signal } => {
                self.exit_signal = Some(signal.to_string());
                "signalled"
            }
            Outcome::TimedOut { stopped } => {
                self.stopped = Some(*stopped);
                "timed_out"
            }
            Outcome::Cancelled { stopped } => {
                self.stopped = Some(*stopped);
                "cancelled"
            }
            Outcome::NotStarted(failure) => {
                self.reason = Some(failure.to_string());
                "not_started"
            }
            Outcome::NotSeenToRun(unseen) => {
                self.reason = Some(unseen.detail.to_string());
                "not_seen_to_run"
            }
            Outcome::Denied { reason } => {
                self.reason = Some(reason.clone());
                "denied"
            }
            Outcome::Interrupted(interruption) => {
                self.reason = Some(interruption.detail.to_string());
                interruption.cause.as_str()
            }
        };
        self.outcome = Some(kind.to_owned());
        self
    }
}
