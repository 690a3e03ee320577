//! Durable jobs: commands that survive the end of client, connection and sshd session.
//!
//! Rooms: `script` (the fixed texts that run on the host), `header` (how they answer), `channel` (one text on one
//! channel), `site` (which home on which host), `start`, [`JobRunning`] (its output and its end), `act` (stop, remove, settle).
//!
//! A job is a folder on the host, named by its id. Making the folder is the start: whoever made it runs the command,
//! so an id runs at most once, whatever is sent again. A supervisor in a session of its own keeps the command's output
//! in files and its exit status in a name. Whoever knows the [`JobPlace`] reads on at any byte, from any process.

mod act;
mod channel;
mod header;
mod running;
mod script;
#[cfg(test)]
mod shells;
mod site;
mod start;

use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use sshepherd_model::{HostWords, Stream};

pub use act::{Order, Removed, Settled, Tombstone, remove, settle, stop};
pub use running::{JobRunning, follow, runs};
pub(crate) use script::{HERE, WHERE};
pub use site::{Compared, JobSite};
pub use start::Launched;

/// Least room for output on the host.
pub const LEAST_ROOM: u64 = 64 << 20;

/// A job to start.
#[derive(Debug, Clone)]
pub struct JobSpec {
    /// Names the job: 1 to 200 of `[A-Za-z0-9:._-]` (a task id). The same id never runs twice on a host.
    pub id: String,
    /// The judged text.
    pub wire: String,
    /// As in [`crate::Exec`].
    pub cookie: String,
    /// Standard input; without it the command reads nothing.
    pub stdin: Option<Bytes>,
    /// As in [`crate::Exec`].
    pub env: Vec<(String, String)>,
    /// The host itself ends the command after this long, in whole seconds, rounded up.
    pub max_time: Duration,
    /// Time between TERM and KILL when it does.
    pub grace: Duration,
    /// Bytes of output that may wait on the host; beyond them the middle goes. At least [`LEAST_ROOM`].
    pub room: u64,
    /// The only site where it may run; without one nothing runs, and the host says where it is.
    pub site: Option<JobSite>,
    /// Whose it is, `[A-Za-z0-9]`: stands in its folder.
    pub owner: String,
}

/// Where a job is: all that a later process needs. Fields are as the host gave them, `-` where it could not tell.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobPlace {
    /// Absolute path of its folder.
    pub folder: String,
    /// Process id of the command, which leads its process group.
    pub pid: String,
    /// When that process started, in ticks since the boot.
    pub start: String,
    /// The boot it started in.
    pub boot: String,
    /// As in [`JobSpec`]; 0 where it is not known.
    #[serde(default)]
    pub room: u64,
    /// Identity of the place that the folder is in.
    #[serde(default = "none")]
    pub identity: String,
    /// The machine it runs on: a home may be shared.
    #[serde(default = "none")]
    pub machine: String,
}

fn none() -> String {
    site::NONE.to_owned()
}

/// How many bytes of each stream the caller has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Offsets {
    /// Of standard output.
    pub stdout: u64,
    /// Of standard error.
    pub stderr: u64,
}

impl Offsets {
    /// How much of a stream.
    #[must_use]
    pub fn of(self, stream: Stream) -> u64 {
        match stream {
            Stream::Stdout => self.stdout,
            Stream::Stderr => self.stderr,
        }
    }

    fn count(&mut self, stream: Stream, bytes: u64) {
        match stream {
            Stream::Stdout => self.stdout = self.stdout.saturating_add(bytes),
            Stream::Stderr => self.stderr = self.stderr.saturating_add(bytes),
        }
    }
}

/// What a job does. Exactly one event, the last, is neither `Output` nor `Skipped`.
#[derive(Debug, PartialEq, Eq)]
pub enum JobEvent {
    /// It wrote.
    Output {
        /// Where to.
        stream: Stream,
        /// What: the bytes that follow those the caller has.
        bytes: Bytes,
    },
    /// So many bytes come next that the host could not keep. Where its disk failed it is an upper bound.
    Skipped {
        /// Of which stream.
        stream: Stream,
        /// How many.
        bytes: u64,
    },
    /// It has ended, and every byte that was kept was given.
    Ended(JobEnd),
    /// It is out of sight, and may live on: follow it again from the bytes that were given.
    Lost {
        /// What was seen.
        detail: HostWords,
    },
    /// What was reached is not where it is.
    Elsewhere,
}

/// How a job ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum JobEnd {
    /// The command ended; all its output was kept.
    Exited {
        /// Its exit status as the shell gives it: 128 + n after signal n.
        status: u32,
    },
    /// The command ended, but the host could not keep all of its output (a full disk).
    Cut {
        /// As in `Exited`.
        status: u32,
    },
    /// It was ended at its limit, by the host or by an [`Order`].
    Limit,
    /// An [`Order`] ended it.
    Stopped,
    /// The host was started anew while it ran.
    Rebooted,
    /// Its supervisor was killed, so nobody knows how it ended. It has closed its output, but may still run.
    Killed,
    /// The start broke off before the command ran, and now it never will.
    NotStarted,
    /// Its folder is not there any more.
    Gone,
    /// Its files were changed by somebody else, so what they tell cannot be trusted. It may still run.
    Spoiled {
        /// What was seen.
        detail: HostWords,
    },
}
