//! The backend in a folder that several servers share: state in SQLite, output in one log a task.
//!
//! Rooms: `folder` (what lies where, and who is alive), `database`, `desk` and `rows` (the task table), `approvals` (questions to people), `entry`, `files`,
//! `segment`, `log` and `reader` (long outputs), `spool` (short ones), `written` and `source` (either), `peers` (hints between servers), `shared` (what one server holds) with `find`,
//! `write` and `upkeep` (what it does), `recent` (short outputs of a moment ago), and here the handle that serves [`Store`].
//!
//! What survives: everything acknowledged survives the death of the process. The end of a task recorded with
//! [`Care::EachStep`], and every step before it, survives the death of the machine too.

mod approvals;
mod database;
mod desk;
mod entry;
mod files;
mod find;
mod folder;
mod holder;
mod log;
mod peers;
mod reader;
mod recent;
mod rows;
mod segment;
mod shared;
mod source;
mod spool;
mod upkeep;
mod write;
mod written;

use std::path::Path;
use std::sync::Arc;
use std::task::Poll;

use bytes::Bytes;
use sshepherd_model::{ApprovalId, Stream, TaskId};
use tokio::task::AbortHandle;

use crate::approval::{Approval, NewApproval, Settled, Settlement};
use crate::boundary::{Answer, DigestKey, Store};
use crate::error::Error;
use crate::hint::Subscription;
use crate::output::{HeadTail, Page, StreamFilter, TailLines, Totals};
use crate::reading;
use crate::record::{
    Finish, ListPage, ListQuery, Lookup, NewTask, Orphans, Patch, Spent, Swept, Task,
};
use crate::row::Row;
use desk::Safe;
use folder::{Folder, Instance};
pub(crate) use folder::{make, owners_file};
use shared::Shared;
use source::{Part, Source};

/// What the folder may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DiskBounds {
    /// Most pending and running tasks of one server. Default 1,024: a fan-out over a thousand hosts at once fits.
    pub live_tasks: usize,
    /// Most bytes of output kept by all tasks together; above it no task is accepted. Default 8 GiB.
    pub total_bytes: u64,
    /// Most bytes of output kept for one task, whatever its own limit says. Default 2 GiB.
    pub task_bytes: u64,
    /// Ids that are remembered as expired. Default 8,192.
    pub expired_ids: usize,
    /// How long a caller's own name for a task is kept, from its acceptance. Default a day.
    pub key_seconds: u64,
    /// Hints that a listener may lag behind. Default 4,096: most of a second at 5,000 appends/s.
    pub hint_backlog: usize,
}

impl Default for DiskBounds {
    fn default() -> Self {
        Self {
            live_tasks: 1024,
            total_bytes: 8 << 30,
            task_bytes: 2 << 30,
            expired_ids: 8192,
            key_seconds: 86_400,
            hint_backlog: 4096,
        }
    }
}

/// Tasks and output in a folder. Share it behind an `Arc`; dropping it gives up its place in the folder, and what it
/// owned can be claimed by another server.
#[derive(Debug)]
pub struct DiskStore {
    shared: Arc<Shared>,
    digest_key: DigestKey,
    peers: Option<AbortHandle>,
}

impl Drop for DiskStore {
    fn drop(&mut self) {
        if let Some(peers) = &self.peers {
            peers.abort();
        }
    }
}

impl DiskStore {
    /// Opens the folder, making it when it is not there, and takes a place among the servers that share it.
    /// Needs a tokio runtime.
    ///
    /// Errors: [`Error::Folder`], [`Error::Newer`], [`Error::Database`].
    pub async fn open(folder: &Path, bounds: DiskBounds) -> Result<Self, Error> {
        let root = folder.to_path_buf();
        let opened = tokio::task::spawn_blocking(move || {
            let folder = Folder::open(&root)?;
            let opening = folder.opening()?;
            let desks = database::open(folder.root(), &folder.database())?;
            let digest_key = folder.digest_key()?;
            let instance = Instance::enter(&folder, &opening)?;
            Ok((folder, instance, desks, digest_key))
        });
        let (folder, instance, desks, digest_key) = opened.await.map_err(unfinished).flatten()?;
        let shared = Arc::new(Shared::new(folder, instance, desks, bounds));
        let peers = peers::open(&shared).await.map(|(listener, others)| {
            tokio::spawn(peers::serve(Arc::downgrade(&shared), listener, others)).abort_handle()
        });
        let store = Self { shared, digest_key, peers };
        store.shared.count().await?;
        Ok(store)
    }
}

impl DiskStore {
    /// Does `work` to its end, even if nobody waits for it any more: a step is in the table and in memory, or in neither.
    fn whole<T: Send + 'static, F: Future<Output = Result<T, Error>> + Send + 'static>(
        &self,
        work: impl FnOnce(Arc<Shared>) -> F,
    ) -> Answer<'_, T> {
        let mut work = Box::pin(work(Arc::clone(&self.shared)));
        Box::pin(async move {
            // Most steps of a task whose caller waits for its result alone never wait: a task of their own would only wake threads.
            let at_once = std::future::poll_fn(|cx| Poll::Ready(work.as_mut().poll(cx)));
            match at_once.await {
                Poll::Ready(done) => done,
                Poll::Pending => tokio::spawn(work).await.map_err(unfinished).flatten(),
            }
        })
    }
}

fn unfinished(error: tokio::task::JoinError) -> Error {
    Error::Database { detail: error.to_string() }
}

impl Store for DiskStore {
    fn create(&self, task: NewTask) -> Answer<'_, Task> {
        self.whole(|shared| async move { shared.accept(task).await })
    }

    fn get<'a>(&'a self, id: &'a TaskId) -> Answer<'a, Lookup<Task>> {
        Box::pin(self.shared.find(id))
    }

    fn list(&self, query: ListQuery) -> Answer<'_, ListPage> {
        Box::pin(self.shared.page_of_list(query))
    }

    fn append<'a>(&'a self, id: &'a TaskId, stream: Stream, bytes: Bytes) -> Answer<'a, Totals> {
        Box::pin(self.shared.add(id, stream, bytes))
    }

    fn read<'a>(
        &'a self,
        id: &'a TaskId,
        from: u64,
        max_bytes: usize,
        filter: StreamFilter,
    ) -> Answer<'a, Lookup<Page>> {
        let asked = id.clone();
        Box::pin(self.shared.reading(id, Part::From(from), move |reader| {
            let total = reader.totals().bytes();
            if from > total {
                return Ok(Err(Error::BeyondEnd { id: asked.clone(), from, total }));
            }
            reading::page(reader, from, max_bytes, filter).map(Ok)
        }))
    }

    fn tail_lines<'a>(
        &'a self,
        id: &'a TaskId,
        lines: usize,
        max_bytes: usize,
    ) -> Answer<'a, Lookup<TailLines>> {
        let part = Part::Last(max_bytes as u64);
        let read = move |output: &Source| reading::tail_lines(output, lines, max_bytes).map(Ok);
        Box::pin(self.shared.reading(id, part, read))
    }

    fn head_tail<'a>(
        &'a self,
        id: &'a TaskId,
        budget: usize,
        filter: StreamFilter,
    ) -> Answer<'a, Lookup<HeadTail>> {
        Box::pin(async move {
            if let Some(output) = self.shared.recent.get(id) {
                let Ok(ends) = reading::head_tail(&*output, budget, filter);
                return Ok(Lookup::Found(ends));
            }
            let read = move |output: &Source| reading::head_tail(output, budget, filter).map(Ok);
            self.shared.reading(id, Part::All, read).await
        })
    }

    fn finish<'a>(&'a self, id: &'a TaskId, end: Finish) -> Answer<'a, Task> {
        let id = id.clone();
        self.whole(|shared| async move { shared.end(&id, end).await })
    }

    fn patch<'a>(&'a self, id: &'a TaskId, patch: Patch) -> Answer<'a, Lookup<Task>> {
        let id = id.clone();
        self.whole(|shared| async move { shared.change(&id, patch).await })
    }

    fn claim(&self, which: Orphans) -> Answer<'_, Vec<Task>> {
        self.whole(|shared| async move { shared.take_over(which).await })
    }

    fn sweep(&self, now: u64) -> Answer<'_, Swept> {
        self.whole(|shared| async move { shared.expire(now).await })
    }

    fn named<'a>(&'a self, key: &'a str) -> Answer<'a, Option<Task>> {
        let key = key.to_owned();
        Box::pin(async move {
            let found =
                self.shared.reader.call(Safe::Process, move |table| rows::named(table, &key));
            Ok(found.await?.map(|stored| stored.task))
        })
    }

    fn spent<'a>(&'a self, key: &'a str, now: u64) -> Answer<'a, Option<Spent>> {
        let key = key.to_owned();
        Box::pin(async move {
            let found =
                self.shared.reader.call(Safe::Process, move |table| rows::spent(table, &key));
            Ok(found.await?.filter(|spent| spent.until > now))
        })
    }

    fn ask(&self, question: NewApproval) -> Answer<'_, Approval> {
        self.whole(|shared| async move { shared.ask(question).await })
    }

    fn approvals(&self) -> Answer<'_, Vec<Approval>> {
        Box::pin(self.shared.approvals())
    }

    fn settle<'a>(&'a self, id: &'a ApprovalId, answer: Settlement) -> Answer<'a, Settled> {
        let id = id.clone();
        self.whole(|shared| async move { shared.settle(id, answer).await })
    }

    fn redeem<'a>(&'a self, binding: &'a str, now: u64) -> Answer<'a, Option<Approval>> {
        let binding = binding.to_owned();
        self.whole(|shared| async move { shared.redeem(binding, now).await })
    }

    fn digest_key(&self) -> Result<DigestKey, Error> {
        Ok(self.digest_key)
    }

    fn subscribe(&self) -> Subscription {
        self.shared.hints.subscribe()
    }

    fn subscribe_to(&self, id: &TaskId) -> Subscription {
        self.shared.hints.subscribe_to(id)
    }
}
