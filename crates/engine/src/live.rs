//! The commands under way in this process: how to stop each and how to learn that it has ended.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use sshepherd_model::TaskId;
use sshepherd_store::Task;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// One running command's handles.
#[derive(Debug, Clone)]
pub(crate) struct Live {
    /// Fires to stop the command.
    pub(crate) cancel: CancellationToken,
    /// Fires when its host could not be connected to and is tried again.
    pub(crate) unreached: CancellationToken,
    /// Closes when the outcome is in the store; holds the task as it ended, where this process ended it.
    pub(crate) done: watch::Receiver<Option<Arc<Task>>>,
}

/// A running command and where its end is told.
#[derive(Debug)]
struct Entry {
    live: Live,
    finished: watch::Sender<Option<Arc<Task>>>,
}

/// All of them. The lock is held for a map operation only, never across an await.
#[derive(Debug, Default)]
pub(crate) struct LiveTable {
    tasks: Mutex<HashMap<TaskId, Entry>>,
}

impl LiveTable {
    /// Enters a task that is at work from now on.
    pub(crate) fn enter(&self, id: &TaskId) -> Live {
        let (finished, done) = watch::channel(None);
        let (cancel, unreached) = (CancellationToken::new(), CancellationToken::new());
        let live = Live { cancel, unreached, done };
        self.lock().insert(id.clone(), Entry { live: live.clone(), finished });
        live
    }

    /// Keeps how a task ended for those who wait, so that they need not ask the store.
    pub(crate) fn ended(&self, task: Task) {
        if let Some(entry) = self.lock().get(&task.id) {
            entry.finished.send_replace(Some(Arc::new(task)));
        }
    }

    /// Takes a finished task out, which tells those who wait.
    pub(crate) fn leave(&self, id: &TaskId) {
        self.lock().remove(id);
    }

    /// The handles of a task that is still at work here.
    pub(crate) fn get(&self, id: &TaskId) -> Option<Live> {
        self.lock().get(id).map(|entry| entry.live.clone())
    }

    /// All tasks that are at work here.
    pub(crate) fn all(&self) -> Vec<(TaskId, Live)> {
        self.lock().iter().map(|(id, entry)| (id.clone(), entry.live.clone())).collect()
    }

    /// Asks every task to stop.
    pub(crate) fn cancel_all(&self) {
        for entry in self.lock().values() {
            entry.live.cancel.cancel();
        }
    }

    /// A poisoned map is still a whole map: no operation on it can panic half-way.
    fn lock(&self) -> MutexGuard<'_, HashMap<TaskId, Entry>> {
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Live {
    /// Returns when the work is over, with the task as it ended if it ended here.
    pub(crate) async fn ended(mut self) -> Option<Arc<Task>> {
        // `changed` fails exactly when the sender is dropped, which is the end.
        while self.done.changed().await.is_ok() {}
        self.done.borrow().clone()
    }
}
