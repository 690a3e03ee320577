//! What is known of one interactive shell.

use serde::{Deserialize, Serialize};
use sshepherd_model::{Alias, ShellId};

/// What its server wrote down of a shell.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShellRecord {
    /// Its id, which is also the name of its folder.
    pub id: ShellId,
    /// The host.
    pub alias: Alias,
    /// When it was opened, in milliseconds since the epoch.
    pub opened_at: u64,
    /// What was opened, in words for people.
    pub what: String,
    /// The program that was started, if it is not the account's shell.
    pub command: Option<String>,
    /// Columns of the terminal.
    pub cols: u16,
    /// Rows of the terminal.
    pub rows: u16,
    /// The terminal type that the host was told.
    pub term: String,
    /// The multiplexer session on the host that goes on without a connection, by name.
    pub persistent: Option<String>,
    /// What its processes carry in their environment, to be found by.
    pub cookie: String,
    /// The policy under which it was opened.
    pub policy_hash: String,
    /// Address and port that it was opened at.
    pub host: String,
    /// The client that asked for it, as that called itself.
    pub client: Option<String>,
    /// Whether there is a recording.
    pub recording: bool,
    /// How it ended, if it did.
    pub ended: Option<ShellEnd>,
}

/// How a shell ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShellEnd {
    /// When, in milliseconds since the epoch.
    pub at: u64,
    /// Why, in words for people.
    pub why: String,
}

/// Where a shell is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Life {
    /// A living server serves it.
    Open,
    /// Its server is gone, and it goes on in a multiplexer on the host.
    Detached,
    /// It has ended, or its server is gone and it with that.
    Ended,
}

impl Life {
    /// As people and programs are told it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Detached => "detached",
            Self::Ended => "ended",
        }
    }

    /// Where a shell is, by what is written down of it and by whether anyone holds its lock.
    pub(super) fn of(record: &ShellRecord, held: bool) -> Self {
        match (&record.ended, held, &record.persistent) {
            (Some(_), _, _) | (None, false, None) => Self::Ended,
            (None, true, _) => Self::Open,
            (None, false, Some(_)) => Self::Detached,
        }
    }
}

/// One of the shells that a folder knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedShell {
    /// What is written down of it.
    pub record: ShellRecord,
    /// Where it is.
    pub life: Life,
    /// Bytes of its recording.
    pub cast_bytes: u64,
}
