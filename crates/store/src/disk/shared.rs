//! What one server holds of a state folder: its place, the tasks that it owns, and who hears its news.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use sshepherd_model::TaskId;
use tokio::sync::{Semaphore, broadcast};

use crate::error::Error;
use crate::hint::{Heard, Hint, Hints, News};
use crate::record::Task;

use super::DiskBounds;
use super::desk::{Desk, Safe};
use super::files::{self, OpenFiles};
use super::folder::{Folder, Instance};
use super::recent::Recent;
use super::rows;
use super::spool::Spool;
use super::written::Written;

/// What there is to be written of a task beside its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Row {
    /// Nothing.
    AsItIs,
    /// What has changed, soon.
    Later,
}

/// A task that this server writes.
#[derive(Debug)]
pub(super) struct Own {
    pub(super) task: Task,
    pub(super) output: Written,
    pub(super) epoch: i64,
    pub(super) row: Row,
    /// Held over each step: the table and memory see the steps of a task in the same order.
    pub(super) turn: Arc<tokio::sync::Mutex<()>>,
}

impl Own {
    pub(super) fn new(task: Task, output: Written, epoch: i64) -> Self {
        Self { task, output, epoch, row: Row::AsItIs, turn: Arc::default() }
    }
}

/// Held by the store's handle; what runs beside it holds it weakly.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) writer: Desk,
    pub(super) reader: Desk,
    /// After the desks: the place is given up when no more work comes.
    instance: Instance,
    folder: Folder,
    pub(super) spool: Arc<Spool>,
    open: Arc<OpenFiles>,
    /// Held over a take-over: two at once would take in the same spool.
    pub(super) claiming: tokio::sync::Mutex<()>,
    pub(super) reads: Semaphore,
    pub(super) bounds: DiskBounds,
    own: Mutex<HashMap<TaskId, Arc<Mutex<Own>>>>,
    /// Bytes of output on the disk, as of the last sweep, plus what came since.
    stored: AtomicU64,
    /// For those who listen in this process.
    pub(super) hints: Hints,
    pub(super) recent: Recent,
    /// The part of them that the other servers are told.
    outward: broadcast::Sender<Hint>,
}

impl Shared {
    pub(super) fn new(
        folder: Folder,
        instance: Instance,
        (writer, reader): (Desk, Desk),
        bounds: DiskBounds,
    ) -> Self {
        let hints = Hints::new(bounds.hint_backlog);
        let (outward, _) = broadcast::channel(bounds.hint_backlog.max(1));
        Self {
            spool: Arc::new(Spool::new(folder.spool(instance.id()))),
            claiming: tokio::sync::Mutex::default(),
            folder,
            instance,
            writer,
            reader,
            open: Arc::default(),
            reads: Semaphore::new(files::reads()),
            bounds,
            own: Mutex::default(),
            stored: AtomicU64::new(0),
            hints,
            recent: Recent::default(),
            outward,
        }
    }

    pub(super) fn folder(&self) -> &Folder {
        &self.folder
    }

    pub(super) fn instance(&self) -> &str {
        self.instance.id()
    }

    pub(super) fn own_hints(&self) -> broadcast::Receiver<Hint> {
        self.outward.subscribe()
    }

    /// Tells those who listen here.
    pub(super) fn publish(&self, heard: Heard) {
        self.hints.publish(heard);
    }

    /// Tells everyone.
    pub(super) fn hint(&self, id: &TaskId, news: News) {
        let hint = Hint { id: id.clone(), news };
        if self.outward.receiver_count() > 0 {
            let _ = self.outward.send(hint.clone());
        }
        self.publish(Heard::Hint(hint));
    }

    /// News from another server.
    pub(super) async fn heard(this: &Arc<Self>, hint: Hint) {
        if matches!(hint.news, News::CancelRequested | News::Wished) {
            this.learn(&hint.id).await;
        }
        this.publish(Heard::Hint(hint));
    }

    /// Takes over from the table what someone wants of a task of ours; the news in it, if there are any.
    async fn learn(&self, id: &TaskId) -> Vec<News> {
        let Some(own) = self.own(id) else { return Vec::new() };
        let asked = id.clone();
        let known = self.reader.call(Safe::Process, move |table| rows::get(table, &asked)).await;
        let Ok(rows::Known::Here(stored)) = known else { return Vec::new() };
        let (at, wishes) = (stored.task.cancel_requested_at, stored.task.wishes);
        let mut own = locked(&own);
        let mut news = Vec::new();
        if at.is_some() && own.task.cancel_requested_at.is_none() {
            own.task.cancel_requested_at = at;
            news.push(News::CancelRequested);
        }
        if wishes != own.task.wishes {
            own.task.wishes = wishes;
            news.push(News::Wished);
        }
        news
    }

    /// Looks whether anyone wants something of a task of ours whose hint was lost.
    pub(super) async fn look_for_wants(&self) {
        let me = self.instance().to_owned();
        let owned = self.reader.call(Safe::Process, move |table| rows::owned(table, &me)).await;
        for stored in owned.unwrap_or_default() {
            let own = self.own(&stored.task.id);
            let wishes = |own: Arc<Mutex<Own>>| locked(&own).task.wishes != stored.task.wishes;
            let wanted = stored.task.cancel_requested_at.is_some() || own.is_some_and(wishes);
            let news = if wanted { self.learn(&stored.task.id).await } else { Vec::new() };
            for news in news {
                self.hint(&stored.task.id, news);
            }
        }
    }

    /// Whether another server, whose connection ended, is dead by now; if so that is news.
    pub(super) fn is_gone(&self, other: &str) -> bool {
        let dead = self.folder.is_dead(other);
        if dead {
            self.publish(Heard::Orphans);
        }
        dead
    }

    /// How many tasks this server has that have not ended.
    pub(super) fn live(&self) -> usize {
        self.table().len()
    }

    pub(super) fn own(&self, id: &TaskId) -> Option<Arc<Mutex<Own>>> {
        self.table().get(id).cloned()
    }

    /// The tasks of this server.
    pub(super) fn ids(&self) -> HashSet<TaskId> {
        self.table().keys().cloned().collect()
    }

    /// Takes a new task, if there is room for it.
    pub(super) fn enter_new(&self, own: Own) -> Result<(), Error> {
        let id = own.task.id.clone();
        let mut table = self.table();
        let live = table.len();
        match table.entry(id) {
            Entry::Occupied(other) => Err(Error::Exists { id: other.key().clone() }),
            Entry::Vacant(_) if live >= self.bounds.live_tasks => Err(Error::Full { live }),
            Entry::Vacant(place) => {
                place.insert(Arc::new(Mutex::new(own)));
                Ok(())
            }
        }
    }

    /// Takes a task over.
    pub(super) fn enter(&self, own: Own) {
        let id = own.task.id.clone();
        self.table().insert(id, Arc::new(Mutex::new(own)));
    }

    pub(super) fn leave(&self, id: &TaskId) {
        self.table().remove(id);
        self.spool.take(id);
    }

    /// The output of a task of ours, which has none so far.
    pub(super) fn written(&self, task: &Task) -> Written {
        let folder = self.folder.log(task.id.as_str());
        let (spool, open) = (Arc::clone(&self.spool), Arc::clone(&self.open));
        Written::new(task.id.clone(), folder, self.most(task), spool, open)
    }

    pub(super) fn stored(&self) -> u64 {
        self.stored.load(Ordering::Relaxed)
    }

    pub(super) fn stored_more(&self, bytes: u64) {
        self.stored.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Counts anew: what finished tasks keep, and what ours have so far.
    pub(super) fn count_stored(&self, finished: u64) {
        let tasks: Vec<_> = self.table().values().cloned().collect();
        let running: u64 = tasks
            .iter()
            .map(|own| {
                let own = locked(own);
                own.output.sums().bytes().min(self.most(&own.task))
            })
            .sum();
        self.stored.store(finished.saturating_add(running), Ordering::Relaxed);
    }

    /// A poisoned map is still whole: nothing done under the lock can panic half-way.
    fn table(&self) -> MutexGuard<'_, HashMap<TaskId, Arc<Mutex<Own>>>> {
        self.own.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A poisoned task is still whole, for the same reason.
pub(super) fn locked(own: &Mutex<Own>) -> MutexGuard<'_, Own> {
    own.lock().unwrap_or_else(PoisonError::into_inner)
}
