//! The commands under way in this process: how to stop each and how to learn that it has ended.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use sshepherd_model::TaskId;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// One running command's handles.
#[derive(Debug, Clone)]
pub(crate) struct Live {
    /// Fires to stop the command.
    pub(crate) cancel: CancellationToken,
    /// Closes when the outcome is in the store.
    pub(crate) done: watch::Receiver<()>,
}

/// All of them. The lock is held for a map operation only, never across an await.
#[derive(Debug, Default)]
pub(crate) struct LiveTable {
    tasks: Mutex<HashMap<TaskId, Live>>,
}

impl LiveTable {
    /// Enters a task; dropping the returned guard takes it out and tells those who wait.
    pub(crate) fn enter(&self, id: &TaskId) -> (Live, watch::Sender<()>) {
        let (finished, done) = watch::channel(());
        let live = Live { cancel: CancellationToken::new(), done };
        self.lock().insert(id.clone(), live.clone());
        (live, finished)
    }

    /// Takes a finished task out.
    pub(crate) fn leave(&self, id: &TaskId) {
        self.lock().remove(id);
    }

    /// The handles of a task that is still at work here.
    pub(crate) fn get(&self, id: &TaskId) -> Option<Live> {
        self.lock().get(id).cloned()
    }

    /// All tasks that are at work here.
    pub(crate) fn all(&self) -> Vec<(TaskId, Live)> {
        self.lock().iter().map(|(id, live)| (id.clone(), live.clone())).collect()
    }

    /// Asks every task to stop.
    pub(crate) fn cancel_all(&self) {
        for live in self.lock().values() {
            live.cancel.cancel();
        }
    }

    /// A poisoned map is still a whole map: no operation on it can panic half-way.
    fn lock(&self) -> MutexGuard<'_, HashMap<TaskId, Live>> {
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Live {
    /// Returns when the outcome is in the store.
    pub(crate) async fn ended(mut self) {
        // The sender never sends; `changed` fails exactly when it is dropped, which is the end.
        while self.done.changed().await.is_ok() {}
    }
}
