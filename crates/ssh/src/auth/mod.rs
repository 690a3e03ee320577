//! Logging in: the configured methods in order. One that fails on our side is noted and the next one tried; one that a host
//! refuses is counted (`refusals`). No message carries a secret.

mod agent;
mod asked;
mod clock;
mod interactive;
mod key;
mod keychain;
mod login;
mod refusals;

use std::sync::Arc;
use std::time::Duration;

use russh::MethodSet;
use russh::client::AuthResult;
use sshepherd_model::Alias;

pub(crate) use login::{Ended, Login};

use keychain::Keychain;
use refusals::{Paused, Refusals};

/// What all log-ins of a pool share: opened keys, and what was refused.
#[derive(Default)]
pub(crate) struct Logins {
    keychain: Keychain,
    refusals: Arc<Refusals>,
}

impl Logins {
    /// Forgets the opened keys.
    pub(crate) fn forget_keys(&self) {
        self.keychain.forget_all();
    }

    /// Ends every pause.
    pub(crate) fn forgive(&self) {
        self.refusals.forgive();
    }
}

/// What the server said to one method, or why it was not asked.
enum Answer {
    In,
    No {
        remaining: Option<MethodSet>,
    },
    NotOffered {
        methods: MethodSet,
    },
    /// It was right, and another method is wanted as well.
    More {
        remaining: MethodSet,
    },
    /// It failed on our side.
    Ours(Note),
    /// It failed on our side half-way: this connection takes no other method.
    Stuck(Note),
}

impl Answer {
    fn refused(remaining: MethodSet, partial: bool) -> Self {
        if partial { Self::More { remaining } } else { Self::No { remaining: Some(remaining) } }
    }
}

impl From<AuthResult> for Answer {
    fn from(result: AuthResult) -> Self {
        match result {
            AuthResult::Success => Self::In,
            AuthResult::Failure { remaining_methods, partial_success } => {
                Self::refused(remaining_methods, partial_success)
            }
        }
    }
}

/// Why a method was not tried, or not to its end, and what to do.
#[derive(Debug, Clone)]
struct Note {
    what: String,
    hint: String,
}

impl Note {
    fn new(what: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { what: what.into(), hint: hint.into() }
    }

    /// The same with words before it.
    fn after(self, words: &str) -> Self {
        Self { what: format!("{words}{}", self.what), ..self }
    }

    fn password_paused(username: &str, paused: &Paused) -> Self {
        Self::new(
            format!(
                "password: the one of {username} was refused {} times in a row, last by {}, and is not sent to any host \
                 for another {}",
                paused.refused,
                paused.by,
                rough(paused.left)
            ),
            "this keeps the account from being locked: correct the secret and reload; SIGHUP or a restart of the server \
             ends the pause",
        )
    }

    fn keys_paused(alias: &Alias, paused: &Paused) -> Self {
        Self::new(
            format!(
                "keys: {alias} refused them {} times in a row, and they are not offered for another {}",
                paused.refused,
                rough(paused.left)
            ),
            "this keeps the host from banning this address: correct the key or authorized_keys; another key is tried at \
             once, and SIGHUP or a restart of the server ends the pause",
        )
    }
}

/// A time in minutes, or in seconds below one.
fn rough(time: Duration) -> String {
    match time.as_secs() {
        seconds @ 0..60 => format!("{} s", seconds.max(1)),
        seconds => format!("{} min", seconds.div_ceil(60)),
    }
}
