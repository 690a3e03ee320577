//! The commands under way in this process: how to stop each and how to learn that it has ended.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use sshepherd_model::{Outcome, TaskId};
use sshepherd_store::Task;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::engine::{elapsed_ms, now_ms};

/// One running command's handles.
#[derive(Debug, Clone)]
pub(crate) struct Live {
    /// Fires to stop the command.
    pub(crate) cancel: CancellationToken,
    /// Fires when its host could not be connected to and is tried again.
    pub(crate) unreached: CancellationToken,
    /// Somebody waits who must have an answer, whatever is wrong with the store.
    waited: bool,
    /// Closes when the work is over.
    told: watch::Receiver<Option<Told>>,
}

/// What is known of a task that the store could not take so far.
#[derive(Debug, Clone)]
pub(crate) struct Unstored {
    /// What is wrong with the store.
    pub(crate) why: String,
    /// How the command ended; `None` while it runs.
    pub(crate) known: Option<Outcome>,
}

/// What those who wait for a task are told.
#[derive(Debug, Clone)]
pub(crate) enum Told {
    /// It has ended, and the store has it.
    Ended(Arc<Task>),
    /// The store is in the way.
    Unstored(Arc<Unstored>),
}

/// How long the end of a command is still waited for when its output cannot be stored: many are over by then.
const OVER_SOON: Duration = Duration::from_secs(2);

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
    known: Option<Outcome>,
    tell: watch::Sender<Option<Told>>,
    /// When it was entered, by the clock on the wall and by one that nobody sets.
    entered: (u64, Instant),
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
        let (tell, told) = watch::channel(None);
        let waited = at_close == AtClose::Stop;
        let (cancel, unreached) = (CancellationToken::new(), CancellationToken::new());
        let live = Live { cancel, unreached, waited, told };
        let mut tasks = self.lock();
        if tasks.closed && at_close == AtClose::Stop {
            live.cancel.cancel();
        }
        let entered = (now_ms(), Instant::now());
        let entry = Entry { live: live.clone(), at_close, known: None, tell, entered };
        tasks.entries.insert(id.clone(), entry);
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
            entry.tell.send_replace(Some(Told::Ended(Arc::new(task))));
        }
    }

    /// A command is over, and the store is still to hear of it.
    pub(crate) fn known(&self, id: &TaskId, outcome: &Outcome) {
        if let Some(entry) = self.lock().entries.get_mut(id) {
            entry.known = Some(outcome.clone());
            entry.tell.send_if_modified(|told| match told {
                Some(Told::Unstored(unstored)) => {
                    let (why, known) = (unstored.why.clone(), entry.known.clone());
                    *told = Some(Told::Unstored(Arc::new(Unstored { why, known })));
                    true
                }
                Some(Told::Ended(_)) | None => false,
            });
        }
    }

    /// The store does not take what there is of a task; it is tried again.
    pub(crate) fn unstored(&self, id: &TaskId, why: String) {
        if let Some(entry) = self.lock().entries.get(id) {
            let known = entry.known.clone();
            entry.tell.send_replace(Some(Told::Unstored(Arc::new(Unstored { why, known }))));
        }
    }

    /// The store takes it again.
    pub(crate) fn stored(&self, id: &TaskId) {
        if let Some(entry) = self.lock().entries.get(id) {
            entry.tell.send_if_modified(|told| {
                let was = matches!(told, Some(Told::Unstored(_)));
                if was {
                    *told = None;
                }
                was
            });
        }
    }

    /// Now, as a task counts that is at work here: its times do not jump with the clock on the wall.
    pub(crate) fn now_of(&self, id: &TaskId) -> Option<u64> {
        let entered = self.lock().entries.get(id).map(|entry| entry.entered);
        entered.map(|(at, since)| at.saturating_add(elapsed_ms(since)))
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
    /// The same for one who must have an answer.
    pub(crate) fn that_is_waited_for(self) -> Self {
        Self { waited: true, ..self }
    }

    /// Returns when the work is over, with the task as it ended if it ended here; to one who must have an answer also when the store is
    /// in the way, with what is known by then.
    pub(crate) async fn ended(mut self) -> Option<Told> {
        let mut since = None;
        loop {
            let told = self.told.borrow_and_update().clone();
            let changed = match &told {
                Some(Told::Unstored(unstored)) if self.waited => {
                    if unstored.known.is_some() {
                        return told;
                    }
                    let since = *since.get_or_insert_with(tokio::time::Instant::now);
                    let soon = tokio::time::timeout_at(since + OVER_SOON, self.told.changed());
                    match soon.await {
                        Ok(changed) => changed,
                        Err(_) => return told,
                    }
                }
                Some(Told::Unstored(_) | Told::Ended(_)) | None => self.told.changed().await,
            };
            // `changed` fails exactly when the sender is dropped, which is the end.
            if changed.is_err() {
                return self.told.borrow().clone();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

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

    #[test]
    fn how_long_a_task_has_taken_does_not_jump_with_the_clock() {
        let id: TaskId = "web:0:task".parse().unwrap();
        for by in [3_600_000, -3_600_000] {
            let table = LiveTable::default();
            let before = now_ms();
            let _live = table.enter(&id, AtClose::Stop);
            crate::engine::jump::by(by);
            let now = table.now_of(&id).unwrap();
            crate::engine::jump::by(0);
            assert!((before..before + 60_000).contains(&now), "{by}: {before} {now}");
            table.leave(&id);
            assert_eq!(table.now_of(&id), None);
        }
    }

    /// Who waits hears what is known; nobody else is told of trouble that may pass.
    #[tokio::test]
    async fn a_store_that_takes_nothing_keeps_nobody_waiting() {
        let id: TaskId = "web:0:task".parse().unwrap();
        let full = || "the disk is full".to_owned();
        let table = LiveTable::default();
        let live = table.enter(&id, AtClose::Stop);
        table.unstored(&id, full());
        let told = live.clone().ended().await;
        assert!(
            matches!(told, Some(Told::Unstored(unstored)) if unstored.known.is_none()),
            "it runs"
        );
        table.stored(&id);
        table.known(&id, &Outcome::Exited { status: 7 });
        table.unstored(&id, full());
        let Some(Told::Unstored(unstored)) = live.clone().ended().await else { panic!("nothing") };
        assert_eq!(unstored.known, Some(Outcome::Exited { status: 7 }));
        let background = table.enter(&id, AtClose::HandOn);
        table.unstored(&id, full());
        table.known(&id, &Outcome::Exited { status: 7 });
        assert!(background.ended().now_or_never().is_none(), "it waits for the store");
    }
}
