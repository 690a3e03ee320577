//! What happens to tasks, for those who listen. Hints only: the store has the truth.

use sshepherd_model::{Alias, CommandHash, Outcome, TaskId};

/// How many events a slow listener may lag behind before it misses some; a listener that lags re-reads the store.
pub(crate) const EVENT_BACKLOG: usize = 1024;

/// Something happened to a task.
#[derive(Debug, Clone)]
pub struct TaskEvent {
    /// The task.
    pub task_id: TaskId,
    /// Its host.
    pub alias: Alias,
    /// Hash of its command.
    pub hash: CommandHash,
    /// What happened.
    pub kind: TaskEventKind,
}

/// What happened.
#[derive(Debug, Clone)]
pub enum TaskEventKind {
    /// It was accepted and recorded.
    Created,
    /// It is still at work; sent every `task_progress_interval`.
    Progress {
        /// `connecting` or `running`.
        phase: &'static str,
        /// Bytes of output so far, both streams.
        bytes_read: u64,
        /// Lines of output so far.
        output_lines: u64,
        /// Milliseconds since it was accepted.
        elapsed_ms: u64,
        /// Its time limit in seconds.
        max_seconds: u64,
    },
    /// It ended.
    Ended {
        /// How.
        outcome: Outcome,
        /// Milliseconds from acceptance to end.
        duration_ms: u64,
        /// The address that was connected to, if any.
        target_ip: Option<std::net::IpAddr>,
    },
}
