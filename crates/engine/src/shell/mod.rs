//! Interactive shells: opened once by permit, then typed into and read until they end.
//!
//! Rooms: [`table`] (those of this server), [`open`] (judge → (ask) → audit → open), [`adopt`] (going on with one that a host keeps), [`session`] (one shell and its pump),
//! [`state`] (what is known of it), [`read`] (waiting for output and showing it), [`piece`] (output copied, searched and
//! measured), [`typing`] (input, secrets, signals, size,
//! end), [`tape`] (its recording), [`audit`] (what is written down).

mod adopt;
mod audit;
mod open;
mod piece;
mod read;
mod session;
mod state;
mod table;
mod tape;
mod typing;

use std::time::Duration;

use sshepherd_model::{Alias, ConnectFailure, InvalidField, ShellId, Stopped};

use crate::refusal::Refusal;

pub use open::OpenShell;
pub use read::{EndedBy, PromptBy, ReadShell, ScreenView, ShellOutput, Until};
pub use typing::Input;

pub(crate) use table::Shells;

/// What shells of this server may cost beside the limits of each host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ShellSettings {
    /// Most that are open at once.
    pub open: usize,
    /// Bytes of output that are kept of each for reading.
    pub scrollback_bytes: usize,
    /// Bytes of a recording; what comes after is not recorded.
    pub recording_bytes: u64,
    /// How long records and recordings of ended shells are kept.
    pub keep: Duration,
}

impl Default for ShellSettings {
    fn default() -> Self {
        Self {
            open: 128,
            scrollback_bytes: 256 * 1024,
            recording_bytes: 16 << 20,
            keep: Duration::from_secs(30 * 86_400),
        }
    }
}

/// Whether a shell can be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ShellLife {
    /// It is open.
    Open,
    /// The host keeps it and nobody is connected to it; using it connects.
    Detached,
    /// It is open in another server on this machine.
    Elsewhere,
    /// It has ended.
    Ended,
}

/// What is known of a shell.
#[derive(Debug, Clone)]
pub struct ShellInfo {
    /// Its id.
    pub id: ShellId,
    /// Its host.
    pub alias: Alias,
    /// What was opened, in words.
    pub what: String,
    /// Whether it can be used.
    pub life: ShellLife,
    /// Columns and rows.
    pub size: (u16, u16),
    /// Milliseconds since the epoch at which it was opened.
    pub opened_at: u64,
    /// Whether the host keeps it when nobody is connected.
    pub persistent: bool,
    /// The program as the host named it: `bash`, `zsh`, `fish`, `sh`, `none`, `tmux` or `screen`.
    pub kind: Option<String>,
    /// Whether its prompts are marked, so that their coming is known and not guessed.
    pub marked: bool,
    /// Whether it waits at a prompt, as far as marks tell.
    pub at_prompt: Option<bool>,
    /// How the last command ended, as far as marks tell.
    pub exit_status: Option<u8>,
    /// Bytes of output that were not read yet.
    pub unread: u64,
    /// Why it ended.
    pub ended: Option<String>,
    /// Whether what it shows is recorded.
    pub recorded: bool,
}

/// How a shell came to its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShellEnded {
    /// Why, in words.
    pub why: String,
    /// The program's exit status, when it ended by itself.
    pub exit_status: Option<u32>,
    /// Whether everything that it had started was seen dead, when it was ended from here.
    pub stopped: Option<Stopped>,
}

/// Why something could not be done with a shell.
#[derive(Debug, thiserror::Error)]
pub enum ShellRefusal {
    /// No shell has this id.
    #[error("no shell has the session_id {0}")]
    Unknown(ShellId),
    /// It is open in another server.
    #[error("the shell {0} is in use by another server on this machine")]
    Elsewhere(ShellId),
    /// It has ended.
    #[error("the shell {id} has ended: {why}")]
    Ended {
        /// Its id.
        id: ShellId,
        /// Why it ended.
        why: String,
    },
    /// The same refusals as for any command.
    #[error(transparent)]
    Refusal(#[from] Refusal),
    /// A parameter breaks its rule.
    #[error(transparent)]
    Invalid(#[from] InvalidField),
    /// The host could not be reached, or gave no terminal.
    #[error("{0}")]
    NotOpened(ConnectFailure),
    /// The owner's bound for what may be typed is reached.
    #[error("{typed} of {most} bytes have been typed into this shell; {wanted} more are not taken")]
    InputLimit {
        /// Bytes so far.
        typed: u64,
        /// The bound.
        most: u64,
        /// Bytes of this input.
        wanted: u64,
    },
    /// The program does not read what is typed.
    #[error(
        "the program in the shell does not read its input; part of this input may have been typed"
    )]
    NotTaken,
    /// The host has not said what it runs.
    #[error("the host has not said that it runs the program; nothing was typed")]
    NotGreeted,
    /// A secret is not typed here and now.
    #[error("{0} was not typed: {1}")]
    SecretHeld(String, String),
    /// The signal did not go out.
    #[error("the host did not confirm that the signal was sent")]
    NotSignalled,
}
