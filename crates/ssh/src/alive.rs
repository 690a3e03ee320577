//! Whether the other side of a connection is still there: it is asked while nothing comes.
//!
//! Silence tells something only of a peer that has answered before: some servers answer no questions outside a channel, and are
//! no less alive.

use std::sync::PoisonError;
use std::sync::atomic::Ordering;
use std::time::Duration;

use sshepherd_model::{ConnectFailure, Phase};

use crate::link::Link;

/// How long nothing may come from a peer that was sent something which it answers at once, before it is asked whether it is there;
/// and how long that answer may take.
const SILENCE: Duration = Duration::from_secs(2);

impl Link {
    /// Whether the server answers a question within `limit`.
    pub(crate) async fn answers(&self, limit: Duration) -> bool {
        let answered = tokio::time::timeout(limit, self.handle.send_ping()).await;
        // The library takes the end of the connection for an answer.
        let answered = matches!(answered, Ok(Ok(()))) && !self.is_closed();
        self.answered.fetch_or(answered, Ordering::Relaxed);
        answered
    }

    fn has_answered(&self) -> bool {
        self.answered.load(Ordering::Relaxed)
    }

    /// Asks at intervals while nothing comes; returns when the peer has missed as many answers as it may.
    pub(crate) async fn dies(&self) {
        let Some(keepalive) = self.keepalive else { return std::future::pending().await };
        let most = u32::try_from(keepalive.missed).unwrap_or(u32::MAX).saturating_add(1);
        // At once, so that a silence later on can be told.
        self.answers(keepalive.every).await;
        loop {
            let silent = self.silent_for();
            if silent < keepalive.every || self.is_closed() {
                tokio::time::sleep(keepalive.every.saturating_sub(silent).max(TURN)).await;
            } else if self.has_answered() && silent >= keepalive.every.saturating_mul(most) {
                return self.note_silence(silent);
            } else {
                tokio::join!(self.answers(keepalive.every), tokio::time::sleep(TURN));
            }
        }
    }

    fn note_silence(&self, silent: Duration) {
        let failure = ConnectFailure {
            phase: Phase::Channel,
            detail: format!(
                "the connection fell silent: nothing came for {} s, answers to keepalives included",
                silent.as_secs()
            )
            .into(),
            hint: "the path to the host has dropped it, or the host has stopped; see keepalive in servers.yml"
                .to_owned(),
        };
        self.verdict.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(failure);
    }

    /// Returns when the peer has stopped answering.
    pub(crate) async fn falls_silent(&self) {
        loop {
            let silent = self.silent_for();
            if silent < SILENCE {
                tokio::time::sleep(SILENCE.saturating_sub(silent).max(TURN)).await;
                continue;
            }
            let (answers, ()) = tokio::join!(self.answers(SILENCE), tokio::time::sleep(TURN));
            if !answers && self.has_answered() && self.silent_for() >= SILENCE {
                return;
            }
        }
    }
}

/// Least time between two looks.
const TURN: Duration = Duration::from_millis(50);
