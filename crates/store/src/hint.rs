//! Live news about tasks: hints only. Bytes and states always come from the store.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

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
    /// Someone wants something else of it: its owner should look what.
    Wished,
}

/// A listener. One that lags is told so and misses hints, never data; it does not slow anyone down.
#[derive(Debug)]
pub struct Subscription {
    receiver: broadcast::Receiver<Heard>,
    /// Which task it is about, and whom to tell when it is dropped.
    of: Option<(TaskId, Weak<Inner>)>,
}

impl Drop for Subscription {
    fn drop(&mut self) {
        if let Some((id, inner)) = self.of.take()
            && let Some(inner) = inner.upgrade()
        {
            let mut tasks = inner.tasks();
            if tasks.get(&id).is_some_and(|sender| sender.receiver_count() <= 1) {
                tasks.remove(&id);
            }
        }
    }
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
    /// The next thing to hear. Cancel safe: nothing is lost when the future is dropped.
    pub async fn next(&mut self) -> Heard {
        match self.receiver.recv().await {
            Ok(heard) => heard,
            Err(broadcast::error::RecvError::Lagged(missed)) => Heard::Lagged(missed),
            Err(broadcast::error::RecvError::Closed) => Heard::Closed,
        }
    }
}

/// Hints that may wait for a listener of one task; one that lags reads the store again, as it would anyway.
const TASK_BACKLOG: usize = 16;

/// Where a backend sends its hints. Who listens to one task hears of that task alone: two hundred readers would otherwise
/// wake at each chunk of each task.
#[derive(Debug, Clone)]
pub(crate) struct Hints {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    all: broadcast::Sender<Heard>,
    tasks: Mutex<HashMap<TaskId, broadcast::Sender<Heard>>>,
}

impl Inner {
    fn tasks(&self) -> MutexGuard<'_, HashMap<TaskId, broadcast::Sender<Heard>>> {
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Hints {
    /// `backlog` is how many hints may wait for a listener to all tasks.
    pub(crate) fn new(backlog: usize) -> Self {
        let (all, _) = broadcast::channel(backlog.max(1));
        Self { inner: Arc::new(Inner { all, tasks: Mutex::default() }) }
    }

    pub(crate) fn subscribe(&self) -> Subscription {
        Subscription { receiver: self.inner.all.subscribe(), of: None }
    }

    pub(crate) fn subscribe_to(&self, id: &TaskId) -> Subscription {
        let mut tasks = self.inner.tasks();
        let sender = tasks.entry(id.clone()).or_insert_with(|| broadcast::channel(TASK_BACKLOG).0);
        let receiver = sender.subscribe();
        Subscription { receiver, of: Some((id.clone(), Arc::downgrade(&self.inner))) }
    }

    /// Tells all whom it concerns. Nobody listening is no error.
    pub(crate) fn publish(&self, heard: Heard) {
        let tasks = self.inner.tasks();
        match &heard {
            Heard::Hint(hint) => {
                if let Some(sender) = tasks.get(&hint.id) {
                    let _ = sender.send(heard.clone());
                }
            }
            Heard::Lagged(_) | Heard::Orphans | Heard::Closed => {
                for sender in tasks.values() {
                    let _ = sender.send(heard.clone());
                }
            }
        }
        drop(tasks);
        if self.inner.all.receiver_count() > 0 {
            let _ = self.inner.all.send(heard);
        }
    }
}
