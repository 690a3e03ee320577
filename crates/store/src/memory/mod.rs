//! The backend that lives in this process: complete, and bounded whatever its tasks write.
//!
//! Rooms: [`block`] (bytes with their stream, in small blocks), [`retained`] (one task's head and tail), [`shelf`]
//! (all tasks, and who must make room), `approvals` (questions to people), and here the handle that serves [`Store`].

mod approvals;
mod shelf;

use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use bytes::Bytes;
use sshepherd_model::{ApprovalId, Stream, TaskId};

use crate::approval::{Approval, NewApproval, Settled, Settlement};
use crate::boundary::{Answer, DigestKey, Store};
use crate::error::Error;
use crate::hint::{Hints, Subscription};
use crate::output::{HeadTail, Page, StreamFilter, TailLines, Totals};
use crate::reading;
use crate::record::{
    Finish, ListPage, ListQuery, Lookup, NewTask, Orphans, Patch, Spent, Swept, Task,
};
use approvals::Approvals;
use shelf::Shelf;

/// What the store may hold.
///
/// All of it together is at most `total_bytes`, plus, when the live tasks alone fill that, about six times
/// [`FLOOR_BYTES`] for each live task, plus one append.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Most pending and running tasks. Default 1,024: a fan-out over a thousand hosts at once fits.
    pub live_tasks: usize,
    /// Most finished tasks; the one that ended first makes room. Default 4,096.
    pub finished_tasks: usize,
    /// Most memory for output and records, in bytes. Default 256 MiB: every live task at the seed's limit of 1 MiB up to
    /// 256 of them. Finished tasks make room first, the one that ended first at the head.
    pub total_bytes: usize,
    /// Most bytes of output kept for one task, whatever its own limit says. Default 64 MiB.
    pub task_bytes: u64,
    /// Ids that are remembered as expired. Default 8,192, about 1 MB.
    pub expired_ids: usize,
    /// How long a caller's own name for a task is kept, from its acceptance. Default a day.
    pub key_seconds: u64,
    /// Hints that a listener may lag behind. Default 4,096: most of a second at 5,000 appends/s.
    pub hint_backlog: usize,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            live_tasks: 1024,
            finished_tasks: 4096,
            total_bytes: 256 << 20,
            task_bytes: 64 << 20,
            expired_ids: 8192,
            key_seconds: 86_400,
            hint_backlog: 4096,
        }
    }
}

/// Bytes of output that a task may keep (half head, half tail) even when the live tasks fill the store: enough to see how
/// a command began and ended.
pub const FLOOR_BYTES: u64 = 16 << 10;

/// Tasks and output in memory. Share it behind an `Arc`.
#[derive(Debug)]
pub struct MemoryStore {
    /// Held for one operation on memory, never across an await.
    shelf: Mutex<Shelf>,
    questions: Mutex<Approvals>,
    digest_key: OnceLock<DigestKey>,
    hints: Hints,
}

impl MemoryStore {
    /// An empty store.
    #[must_use]
    pub fn new(bounds: Bounds) -> Self {
        let hints = Hints::new(bounds.hint_backlog);
        let shelf = Mutex::new(Shelf::new(bounds, hints.clone()));
        Self { shelf, questions: Mutex::default(), digest_key: OnceLock::new(), hints }
    }

    /// Bytes of memory in use for output and records, as counted against [`Bounds::total_bytes`].
    #[must_use]
    pub fn footprint(&self) -> usize {
        self.lock().footprint()
    }

    /// A poisoned shelf is still whole: nothing on it can panic half-way.
    fn lock(&self) -> MutexGuard<'_, Shelf> {
        self.shelf.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn questions(&self) -> MutexGuard<'_, Approvals> {
        self.questions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::new(Bounds::default())
    }
}

impl Store for MemoryStore {
    fn create(&self, task: NewTask) -> Answer<'_, Task> {
        Box::pin(async move { self.lock().create(task) })
    }

    fn get<'a>(&'a self, id: &'a TaskId) -> Answer<'a, Lookup<Task>> {
        Box::pin(async move { Ok(self.lock().look_up(id).map(|kept| kept.task.clone())) })
    }

    fn list(&self, query: ListQuery) -> Answer<'_, ListPage> {
        Box::pin(async move { Ok(self.lock().list(&query)) })
    }

    fn append<'a>(&'a self, id: &'a TaskId, stream: Stream, bytes: Bytes) -> Answer<'a, Totals> {
        Box::pin(async move { self.lock().append(id, stream, &bytes) })
    }

    fn read<'a>(
        &'a self,
        id: &'a TaskId,
        from: u64,
        max_bytes: usize,
        filter: StreamFilter,
    ) -> Answer<'a, Lookup<Page>> {
        Box::pin(async move { self.lock().read(id, from, max_bytes, filter) })
    }

    fn tail_lines<'a>(
        &'a self,
        id: &'a TaskId,
        lines: usize,
        max_bytes: usize,
    ) -> Answer<'a, Lookup<TailLines>> {
        Box::pin(async move {
            let shelf = self.lock();
            Ok(shelf.look_up(id).map(|kept| {
                let Ok(tail) = reading::tail_lines(&kept.output, lines, max_bytes);
                tail
            }))
        })
    }

    fn head_tail<'a>(
        &'a self,
        id: &'a TaskId,
        budget: usize,
        filter: StreamFilter,
    ) -> Answer<'a, Lookup<HeadTail>> {
        Box::pin(async move {
            let shelf = self.lock();
            Ok(shelf.look_up(id).map(|kept| {
                let Ok(ends) = reading::head_tail(&kept.output, budget, filter);
                ends
            }))
        })
    }

    fn finish<'a>(&'a self, id: &'a TaskId, end: Finish) -> Answer<'a, Task> {
        Box::pin(async move { self.lock().finish(id, end) })
    }

    fn patch<'a>(&'a self, id: &'a TaskId, patch: Patch) -> Answer<'a, Lookup<Task>> {
        Box::pin(async move { self.lock().patch(id, patch) })
    }

    fn sweep(&self, now: u64) -> Answer<'_, Swept> {
        Box::pin(async move {
            self.questions().sweep(now);
            Ok(self.lock().sweep(now))
        })
    }

    fn claim(&self, _which: Orphans) -> Answer<'_, Vec<Task>> {
        // One process: its tasks have no other owner.
        Box::pin(async move { Ok(Vec::new()) })
    }

    fn named<'a>(&'a self, key: &'a str) -> Answer<'a, Option<Task>> {
        Box::pin(async move { Ok(self.lock().keyed(key).cloned()) })
    }

    fn spent<'a>(&'a self, key: &'a str, now: u64) -> Answer<'a, Option<Spent>> {
        Box::pin(async move { Ok(self.lock().spent(key, now).cloned()) })
    }

    fn ask(&self, question: NewApproval) -> Answer<'_, Approval> {
        Box::pin(async move { self.questions().ask(question) })
    }

    fn approvals(&self) -> Answer<'_, Vec<Approval>> {
        Box::pin(async move { Ok(self.questions().list()) })
    }

    fn settle<'a>(&'a self, id: &'a ApprovalId, answer: Settlement) -> Answer<'a, Settled> {
        Box::pin(async move { Ok(self.questions().settle(id, &answer)) })
    }

    fn redeem<'a>(&'a self, binding: &'a str, now: u64) -> Answer<'a, Option<Approval>> {
        Box::pin(async move { Ok(self.questions().redeem(binding, now)) })
    }

    fn digest_key(&self) -> Result<DigestKey, Error> {
        if let Some(key) = self.digest_key.get() {
            return Ok(*key);
        }
        let mut key = [0; 64];
        getrandom::fill(&mut key).map_err(|error| Error::Database { detail: error.to_string() })?;
        Ok(*self.digest_key.get_or_init(|| key))
    }

    fn subscribe(&self) -> Subscription {
        self.hints.subscribe()
    }

    fn subscribe_to(&self, id: &TaskId) -> Subscription {
        self.hints.subscribe_to(id)
    }
}
