//! Tasks: started, asked about, read, stopped.

use super::answer;

answer! {
    /// A task that was just started, or the reason why none was.
    StartedAnswer {
        /// Id for the task tools.
        task_id: String,
        /// `pending`, or `denied`; of a task that was there already, where it is.
        status: String,
        /// The task was there already, under the same idempotency key.
        existing: bool,
        /// Seconds the result is kept after the end.
        #[serde(rename = "keepAlive")]
        keep_alive: u64,
        /// Seconds to wait between two questions about it.
        #[serde(rename = "pollFrequency")]
        poll_frequency: u64,
        /// The host.
        alias: String,
        /// The command as asked for.
        command: String,
        /// First 16 hex digits of the SHA-256 of the command.
        hash: String,
        /// Who denied it.
        reason: String,
        /// The part of a chain that is to blame for a denial.
        denied_command: String,
        /// What happened, in words.
        detail: String,
        /// What to do next.
        hint: String,
    }
}

answer! {
    /// A task as it stands.
    StatusAnswer {
        /// The task.
        task_id: String,
        /// The host.
        alias: String,
        /// pending, running, completed, failed, cancelled, timeout or interrupted
        status: String,
        /// `job`: it outlives connection and server; `attached`: it does not. Absent while pending.
        durability: String,
        /// Sending the command again cannot run it twice. Absent until it has ended.
        safe_to_resend: bool,
        /// Seconds the result is kept after the end.
        #[serde(rename = "keepAlive")]
        keep_alive: u64,
        /// Seconds to wait between two questions about it.
        #[serde(rename = "pollFrequency")]
        poll_frequency: u64,
        /// 100 once it has ended; until then elapsed time over the limit, at most 99.
        progress_percent: u64,
        /// Milliseconds since it was accepted, or until it ended.
        elapsed_ms: u64,
        /// Why it is out of sight at present: host not configured, not reached, or alias leads elsewhere.
        // Rarely there, and it speaks for itself.
        #[schemars(skip)]
        detail: String,
        /// Bytes of output so far.
        bytes_read: u64,
        /// Lines of output so far.
        output_lines_available: u64,
        /// Of a fan-out: how many hosts are where. Their names speak.
        #[schemars(with = "Option<serde_json::Map<String, serde_json::Value>>")]
        hosts: HostCounts,
        /// Of a fan-out: the hosts that were begun and did not end well so far, as in `web[01-20,25]`.
        failed_hosts: String,
    }
}

/// How many hosts of a fan-out are where.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub(crate) struct HostCounts {
    /// All of them.
    pub(crate) all: usize,
    /// Not begun yet.
    pub(crate) pending: usize,
    /// At work.
    pub(crate) running: usize,
    /// Exit status 0.
    pub(crate) completed: usize,
    /// Begun, and any other end.
    pub(crate) failed: usize,
    /// Never begun, and will not be.
    pub(crate) not_begun: usize,
}

answer! {
    /// Output of a task: its last lines, or one page from a cursor on.
    OutputAnswer {
        /// The task.
        task_id: String,
        /// Where it is in its life.
        status: String,
        /// The lines, oldest first. With a cursor the last may be unfinished.
        output_lines: Vec<String>,
        /// What was taken out of the lines: escape sequences, invisible characters, secrets.
        cleaned: String,
        /// Lines that came so far.
        total_lines: u64,
        /// There is more: before these lines, or with a cursor after them.
        has_more: bool,
        /// The first line lacks its beginning.
        first_line_cut: bool,
        /// Lines looked at for `match`.
        lines_seen: u64,
        /// Lines among them that match.
        lines_matched: u64,
        /// Where to go on reading; everything before it has been seen or counted as missing.
        next_cursor: u64,
        /// Bytes before this page that were not kept.
        missing_before: u64,
        /// Bytes of the whole output that were not kept.
        missing_bytes: u64,
        /// Bytes of output so far.
        total_bytes: u64,
        /// The task has ended and everything has been read.
        eof: bool,
    }
}

answer! {
    /// What came of asking to stop a task.
    CancelledAnswer {
        /// The task.
        task_id: String,
        /// It has ended because of this.
        cancelled: bool,
        /// What happened, in words.
        message: String,
        /// Where it is in its life now.
        status: String,
        /// Whether its end on the host was seen: `confirmed` or `unconfirmed`.
        stopped: String,
    }
}

answer! {
    /// What came of asking a fan-out to pause or to go on.
    PausedAnswer {
        /// The task.
        task_id: String,
        /// Where it is in its life now: `paused`, or else.
        status: String,
    }
}

answer! {
    /// Tasks, newest first.
    TaskListAnswer {
        /// The tasks.
        tasks: Vec<TaskRow>,
        /// Where the next page begins; absent when this was the last.
        next_cursor: String,
    }
}

answer! {
    /// One task of a list.
    TaskRow {
        /// The task.
        task_id: String,
        /// The host.
        alias: String,
        /// Where it is in its life.
        status: String,
        /// The command, shortened.
        command: String,
        /// Milliseconds since it was accepted.
        age_ms: u64,
        /// Milliseconds since it was accepted, or until it ended.
        elapsed_ms: u64,
        /// Bytes of output so far.
        bytes: u64,
        /// `job` or `attached`.
        durability: String,
        /// Exit status, if it exited.
        exit_code: u32,
    }
}
