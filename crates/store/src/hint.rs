//! Live news about tasks: hints only. Bytes and states always come from the store.

use serde::{Deserialize, Serialize};
use sshepherd_model::TaskId;
use tokio::sync::broadcast;

use crate::state::State;

/// Something about a task changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hint {
    /// The task.
    pub id: TaskId,
    /// What changed.
    pub news: News,
}

/// What changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum News {
    /// Its output grew to this many bytes, both streams.
    Grew {
        /// Bytes so far.
        total: u64,
    },
    /// It was created in, or went to, this state.
    State(State),
    /// Someone asked for it to be cancelled: its owner should stop it.
    CancelRequested,
}

/// A listener. One that lags is told so and misses hints, never data; it does not slow anyone down.
#[derive(Debug)]
pub struct Subscription {
    receiver: broadcast::Receiver<Heard>,
}

/// What a listener hears.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Heard {
    /// A hint.
    Hint(Hint),
    /// So many hints were missed: read the store again for everything of interest, then listen on.
    Lagged(u64),
    /// A server that shared the store is gone: what it ran can be taken over.
    Orphans,
    /// The store is gone; nothing more will come.
    Closed,
}

impl Subscription {
    /// Listens on a channel that a backend sends its hints to.
    pub(crate) fn new(receiver: broadcast::Receiver<Heard>) -> Self {
        Self { receiver }
    }

    /// The next thing to hear. Cancel safe: nothing is lost when the future is dropped.
    pub async fn next(&mut self) -> Heard {
        match self.receiver.recv().await {
            Ok(heard) => heard,
            Err(broadcast::error::RecvError::Lagged(missed)) => Heard::Lagged(missed),
            Err(broadcast::error::RecvError::Closed) => Heard::Closed,
        }
    }
}
