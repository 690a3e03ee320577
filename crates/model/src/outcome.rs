//! What came of a command that was allowed: each fate is its own case, never a made-up exit code.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The step of setting up a command that failed or ran out of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Looking up the host's name.
    Resolve,
    /// Judging the host's addresses by the network policy.
    Network,
    /// Opening the TCP connection.
    Dial,
    /// Reading the server's version line.
    Banner,
    /// Key exchange.
    KeyExchange,
    /// Checking the host key.
    HostKey,
    /// Loading credentials and logging in.
    Auth,
    /// Opening a channel on the connection.
    Channel,
    /// Sending the exec request.
    Exec,
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Resolve => "name resolution",
            Self::Network => "network policy",
            Self::Dial => "TCP connect",
            Self::Banner => "SSH banner",
            Self::KeyExchange => "key exchange",
            Self::HostKey => "host key check",
            Self::Auth => "authentication",
            Self::Channel => "channel open",
            Self::Exec => "exec request",
        })
    }
}

/// Why a command never started.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{phase} failed: {detail}")]
pub struct ConnectFailure {
    /// The step that failed.
    pub phase: Phase,
    /// What happened, in words for the caller; no secrets.
    pub detail: String,
    /// What to do next.
    pub hint: String,
}

/// Whether the end of a stopped command was seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Stopped {
    /// Its whole process group was seen gone.
    Confirmed,
    /// A stop was asked for, but the end was not seen: it may still run.
    Unconfirmed,
}

/// The fate of one command.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum Outcome {
    /// It ended by itself.
    Exited {
        /// Exit status, 0 for success.
        status: u32,
    },
    /// It was ended by a signal that we did not send.
    Signalled {
        /// Signal name without `SIG`, for example `SEGV`.
        signal: String,
    },
    /// It ran over its time limit and was stopped.
    TimedOut {
        /// Whether its end was seen.
        stopped: Stopped,
    },
    /// A caller stopped it.
    Cancelled {
        /// Whether its end was seen; `Confirmed` too when it had not been sent yet.
        stopped: Stopped,
    },
    /// It never started.
    NotStarted(ConnectFailure),
    /// The connection was lost after the command had been sent: whether it ran to its end is unknown.
    Lost {
        /// What was seen.
        detail: String,
    },
}

impl Outcome {
    /// Whether sending the same command again cannot run it twice.
    #[must_use]
    pub fn safe_to_resend(&self) -> bool {
        match self {
            Self::NotStarted(_) => true,
            Self::Exited { .. }
            | Self::Signalled { .. }
            | Self::TimedOut { .. }
            | Self::Cancelled { .. }
            | Self::Lost { .. } => false,
        }
    }
}
