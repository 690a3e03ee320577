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

/// What becomes of a task when this server closes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AtClose {
    /// It is stopped: it cannot live without this server.
    Stop,
    /// It is left as it is, to the next server.
    HandOn,
}

/// A running command and where its end is told.
#[derive(Debug)]
struct Entry {
    live: Live,
    at_close: AtClose,
    finished: watch::Sender<Option<Arc<Task>>>,
}

/// All of them. The lock is held for a map operation only, never across an await.
#[derive(Debug, Default)]
pub(crate) struct LiveTable {
    tasks: Mutex<Tasks>,
}

#[derive(Debug, Default)]
struct Tasks {
    entries: HashMap<TaskId, Entry>,
    closed: bool,
}

impl LiveTable {
    /// Enters a task that is at work from now on.
    pub(crate) fn enter(&self, id: &TaskId, at_close: AtClose) -> Live {
        let (finished, done) = watch::channel(None);
        let (cancel, unreached) = (CancellationToken::new(), CancellationToken::new());
        let live = Live { cancel, unreached, done };
        let mut tasks = self.lock();
        if tasks.closed && at_close == AtClose::Stop {
            live.cancel.cancel();
        }
        tasks.entries.insert(id.clone(), Entry { live: live.clone(), at_close, finished });
        live
    }

    /// A task that was to be handed on turns out to live no longer than its channel.
    pub(crate) fn stop_at_close(&self, id: &TaskId) {
        let mut tasks = self.lock();
        let closed = tasks.closed;
        if let Some(entry) = tasks.entries.get_mut(id) {
            entry.at_close = AtClose::Stop;
            if closed {
                entry.live.cancel.cancel();
            }
        }
    }

    /// Keeps how a task ended for those who wait, so that they need not ask the store.
    pub(crate) fn ended(&self, task: Task) {
        if let Some(entry) = self.lock().entries.get(&task.id) {
            entry.finished.send_replace(Some(Arc::new(task)));
        }
    }

    /// Takes a finished task out, which tells those who wait.
    pub(crate) fn leave(&self, id: &TaskId) {
        self.lock().entries.remove(id);
    }

    /// The handles of a task that is still at work here.
    pub(crate) fn get(&self, id: &TaskId) -> Option<Live> {
        self.lock().entries.get(id).map(|entry| entry.live.clone())
    }

    /// All tasks that are at work here.
    pub(crate) fn all(&self) -> Vec<(TaskId, Live)> {
        self.lock().entries.iter().map(|(id, entry)| (id.clone(), entry.live.clone())).collect()
    }

    /// Asks the tasks to stop that cannot be handed on. A cancel is somebody's wish, so the others get none.
    pub(crate) fn close(&self) {
        let mut tasks = self.lock();
        tasks.closed = true;
        for entry in tasks.entries.values().filter(|entry| entry.at_close == AtClose::Stop) {
            entry.live.cancel.cancel();
        }
    }

    /// A poisoned map is still a whole map: no operation on it can panic half-way.
    fn lock(&self) -> MutexGuard<'_, Tasks> {
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Whatever comes first, the task or the close or the news that it is attached.
    #[test]
    fn a_close_stops_what_cannot_be_handed_on_and_nothing_else() {
        let id: TaskId = "web:0:task".parse().unwrap();
        for (at_close, attached, early, stopped) in [
            (AtClose::Stop, false, false, true),
            (AtClose::Stop, false, true, true),
            (AtClose::HandOn, false, false, false),
            (AtClose::HandOn, false, true, false),
            (AtClose::HandOn, true, false, true),
            (AtClose::HandOn, true, true, true),
        ] {
            let table = LiveTable::default();
            if early {
                table.close();
            }
            let live = table.enter(&id, at_close);
            if attached {
                table.stop_at_close(&id);
            }
            table.close();
            assert_eq!(live.cancel.is_cancelled(), stopped, "{at_close:?} {attached} {early}");
        }
    }
}
