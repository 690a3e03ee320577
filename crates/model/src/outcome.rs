//! What came of a command that was allowed: each fate is its own case, never a made-up exit code.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::HostWords;

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
    /// Writing down, here, that it is sent: the audit record and the task store.
    Record,
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
            Self::Record => "writing it down",
        })
    }
}

/// Why a command never started.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{phase} failed: {detail}")]
pub struct ConnectFailure {
    /// The step that failed.
    pub phase: Phase,
    /// What happened, in words for the caller, the host's among them; no secrets.
    pub detail: HostWords,
    /// What to do next.
    pub hint: String,
}

/// Whether the end of a stopped command was seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Stopped {
    /// Every process that could be its own was seen gone.
    Confirmed,
    /// A stop was asked for, but the end was not seen: it may still run.
    Unconfirmed,
    /// As [`Stopped::Unconfirmed`], and these processes, which are or could be its own, were seen to run after the last signal.
    Left(Survivors),
}

impl Stopped {
    /// The word used in answers and records.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Confirmed => "confirmed",
            Self::Unconfirmed | Self::Left(_) => "unconfirmed",
        }
    }

    /// Whether the end was seen.
    #[must_use]
    pub fn is_confirmed(self) -> bool {
        self == Self::Confirmed
    }
}

/// The ids of processes that a stop left; the first few of many.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(from = "Vec<u32>", into = "Vec<u32>")]
pub struct Survivors {
    ids: [u32; Survivors::MOST],
    count: usize,
}

impl Survivors {
    /// Most ids that are kept.
    pub const MOST: usize = 8;

    /// The ids.
    pub fn ids(&self) -> impl Iterator<Item = u32> {
        self.ids.into_iter().take(self.count)
    }
}

impl From<Vec<u32>> for Survivors {
    fn from(all: Vec<u32>) -> Self {
        let mut ids = [0; Self::MOST];
        ids.iter_mut().zip(&all).for_each(|(kept, id)| *kept = *id);
        Self { ids, count: all.len().min(Self::MOST) }
    }
}

impl From<Survivors> for Vec<u32> {
    fn from(survivors: Survivors) -> Self {
        survivors.ids().collect()
    }
}

impl std::fmt::Display for Survivors {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let ids: Vec<String> = self.ids().map(|id| id.to_string()).collect();
        match ids.as_slice() {
            [id] => write!(formatter, "process {id}"),
            _ => write!(formatter, "processes {}", ids.join(", ")),
        }
    }
}

/// Why the end of a command was not seen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Interruption {
    /// The kind.
    pub cause: Cause,
    /// What was seen, in words for the caller, the host's among them; no secrets.
    pub detail: HostWords,
}

/// What is known of a command whose end was not seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// The connection or the server went away: it may have ended, and it may still run.
    Lost,
    /// The host started anew while it ran: it no longer runs.
    HostRebooted,
    /// Nothing is left of it on the host that tells how it ended.
    Unknown,
}

impl Cause {
    /// The name used in answers and records.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Lost => "lost",
            Self::HostRebooted => "host_rebooted",
            Self::Unknown => "unknown",
        }
    }

    /// What to do next.
    #[must_use]
    pub fn hint(self) -> &'static str {
        match self {
            Self::Lost => {
                "the command had been sent and may have run or still run: look on the host before sending it again"
            }
            Self::HostRebooted => {
                "the host restarted while the command ran: look what it left behind before sending it again"
            }
            Self::Unknown => {
                "the command was started and left no record of its end: look on the host before sending it again"
            }
        }
    }
}

/// What is known of a command that was sent, and of which the host gave no sign that it ran.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NotSeen {
    /// What was seen instead, in words for the caller, the host's among them; no secrets.
    pub detail: HostWords,
    /// What to do next.
    pub hint: String,
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
        signal: HostWords,
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
    /// It never started: nothing was sent, or the server refused the request.
    NotStarted(ConnectFailure),
    /// It was sent, and the host never showed that it ran: a forced command, an account without a shell, a start-up file
    /// that ends or replaces the shell, another language than the one that is configured. It may have run.
    NotSeenToRun(NotSeen),
    /// The policy that is now in force no longer allows it; it was never sent. Comes only from a task that was accepted
    /// by a server that ended before sending it.
    Denied {
        /// What forbids it.
        reason: String,
    },
    /// It was sent, and its end was not seen.
    Interrupted(Interruption),
}

impl Outcome {
    /// It was lost from sight; `detail` says what was seen.
    #[must_use]
    pub fn lost(detail: impl Into<HostWords>) -> Self {
        Self::Interrupted(Interruption { cause: Cause::Lost, detail: detail.into() })
    }

    /// Whether nothing was sent to the host.
    #[must_use]
    pub fn nothing_was_sent(&self) -> bool {
        match self {
            Self::NotStarted(_) | Self::Denied { .. } => true,
            Self::Exited { .. }
            | Self::Signalled { .. }
            | Self::TimedOut { .. }
            | Self::Cancelled { .. }
            | Self::NotSeenToRun(_)
            | Self::Interrupted(_) => false,
        }
    }

    /// Whether sending the same command again cannot run it twice.
    #[must_use]
    pub fn safe_to_resend(&self) -> bool {
        self.nothing_was_sent()
    }
}
