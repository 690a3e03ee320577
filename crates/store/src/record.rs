//! What is kept of a task, and the values that make, change and list tasks.
//!
//! Every time is in milliseconds since the epoch and comes from the caller.

use std::net::IpAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use sshepherd_model::{Alias, CommandHash, Limits, Outcome, TaskId};

use crate::output::Totals;
use crate::state::State;

/// The limits a task was accepted under.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskLimits {
    /// Longest run time.
    pub max_time: Duration,
    /// Most bytes of output kept, both streams together; the rest is counted.
    pub max_output_bytes: u64,
    /// How long the result is kept, counted from the end of the task.
    pub result_ttl: Duration,
}

impl From<&Limits> for TaskLimits {
    fn from(limits: &Limits) -> Self {
        Self {
            max_time: limits.max_time,
            max_output_bytes: limits.max_output_bytes,
            result_ttl: limits.result_ttl,
        }
    }
}

/// A task to be recorded, before it runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewTask {
    /// Its id, made by the caller, unique.
    pub id: TaskId,
    /// Its host.
    pub alias: Alias,
    /// Hash of the command.
    pub hash: CommandHash,
    /// The caller's trimmed command.
    pub command: String,
    /// The limits in force.
    pub limits: TaskLimits,
    /// Whether the owner granted a full shell and the raw text is sent.
    pub raw_shell: bool,
    /// When it was accepted.
    pub created_at: u64,
}

/// A task as it stands. It names no owner: any instance may read it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Task {
    /// Its id.
    pub id: TaskId,
    /// Its host.
    pub alias: Alias,
    /// Hash of the command.
    pub hash: CommandHash,
    /// The caller's trimmed command.
    pub command: String,
    /// Where it is in its life.
    pub status: State,
    /// The limits in force.
    pub limits: TaskLimits,
    /// Whether the raw text was sent to a full shell.
    pub raw_shell: bool,
    /// When it was accepted.
    pub created_at: u64,
    /// When the command was sent; `None` if it never was.
    pub started_at: Option<u64>,
    /// When it ended.
    pub ended_at: Option<u64>,
    /// When a caller first asked for it to be cancelled.
    pub cancel_requested_at: Option<u64>,
    /// The address that was connected to.
    pub target_ip: Option<IpAddr>,
    /// How it ended; `Some` exactly when the status is final.
    pub outcome: Option<Outcome>,
    /// How much output came and how much of it is missing.
    pub output: Totals,
}

impl Task {
    /// Milliseconds from acceptance to the end, or to `now` while it is at work; 0 if the clock went back.
    #[must_use]
    pub fn elapsed_ms(&self, now: u64) -> u64 {
        self.ended_at.unwrap_or(now).saturating_sub(self.created_at)
    }

    /// When its result expires; `None` while it is at work, for a running task never expires.
    #[must_use]
    pub fn expires_at(&self) -> Option<u64> {
        let ttl = u64::try_from(self.limits.result_ttl.as_millis()).unwrap_or(u64::MAX);
        self.ended_at.map(|ended| ended.saturating_add(ttl))
    }
}

/// The answer to a question about an id: an expired task and one that never was are told apart.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub enum Lookup<T> {
    /// Here it is.
    Found(T),
    /// It was here; its result has expired or had to make room.
    Expired,
    /// No such task is known here. An id that expired very long ago may be forgotten, and then reads as this.
    Unknown,
}

impl<T> Lookup<T> {
    /// The value, if there is one.
    pub fn found(self) -> Option<T> {
        match self {
            Self::Found(value) => Some(value),
            Self::Expired | Self::Unknown => None,
        }
    }

    /// Changes the value, if there is one.
    pub fn map<U>(self, change: impl FnOnce(T) -> U) -> Lookup<U> {
        match self {
            Self::Found(value) => Lookup::Found(change(value)),
            Self::Expired => Lookup::Expired,
            Self::Unknown => Lookup::Unknown,
        }
    }
}

/// A change of a task that has not ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Patch {
    /// The connection stands, to this address. Comes from the task's owner.
    Connected {
        /// The peer's address.
        target_ip: IpAddr,
    },
    /// The command was sent: pending becomes running. Comes from the task's owner.
    Started {
        /// When.
        at: u64,
    },
    /// Someone, anywhere, wants the task stopped. The status changes only when the owner finishes the task.
    RequestCancel {
        /// When.
        at: u64,
    },
}

/// The end of a task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finish {
    /// How it ended; decides the final status.
    pub outcome: Outcome,
    /// When.
    pub at: u64,
}

/// Which tasks to list.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ListQuery {
    /// Only tasks in one of these states; empty for all.
    pub states: Vec<State>,
    /// Only tasks of this host.
    pub alias: Option<Alias>,
    /// Go on after this place, from the previous page.
    pub after: Option<ListCursor>,
    /// Most tasks in the answer; 0 and anything above [`MAX_LIST`] mean [`MAX_LIST`].
    pub limit: usize,
}

/// Most tasks in one page of a list: about 1 MB at the usual size of a command.
pub const MAX_LIST: usize = 1000;

/// A place in the list, which stays valid when the task it names expires.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ListCursor {
    /// When that task was accepted.
    pub created_at: u64,
    /// Its id.
    pub id: TaskId,
}

/// One page of tasks, newest first (by time of acceptance, then by id).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListPage {
    /// The tasks.
    pub tasks: Vec<Task>,
    /// Where the next page starts; `None` when this was the last.
    pub next: Option<ListCursor>,
}

/// What a sweep removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Swept {
    /// Tasks whose result expired.
    pub expired: usize,
}
