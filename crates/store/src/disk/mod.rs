//! The backend in a folder that several servers share: state in SQLite, output in one log a task.
//!
//! Rooms: `folder` (what lies where, and who is alive), `database` and `rows` (the task table), `entry`, `segment`, `log`
//! and `reader` (output), `peers` (hints between servers), `shared` (what one server holds), and here the handle that
//! serves [`Store`].
//!
//! What survives: everything acknowledged survives the death of the process. The end of a task recorded with
//! [`Care::EachStep`], and every step before it, survives the death of the machine too.

mod database;
mod entry;
mod folder;
mod log;
mod peers;
mod reader;
mod rows;
mod segment;
mod shared;
mod write;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use sshepherd_model::{Stream, TaskId};
use tokio::task::AbortHandle;

use crate::boundary::{Answer, Store};
use crate::error::Error;
use crate::hint::Subscription;
use crate::output::{HeadTail, Page, StreamFilter, TailLines, Totals};
use crate::reading;
use crate::record::{
    Care, Finish, ListCursor, ListPage, ListQuery, Lookup, NewTask, Orphans, Patch, Swept, Task,
};
use crate::row::Row;
use database::Safe;
use folder::{Folder, Instance};
use reader::Reader;
use rows::Known;
use shared::{Shared, locked};

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
            hint_backlog: 4096,
        }
    }
}

/// Times that a read is tried again when its output goes over the limit meanwhile.
const READ_TRIES: usize = 8;

/// Tasks and output in a folder. Share it behind an `Arc`; dropping it gives up its place in the folder, and what it
/// owned can be claimed by another server.
#[derive(Debug)]
pub struct DiskStore {
    shared: Arc<Shared>,
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
        let folder = Folder::open(folder.to_path_buf())?;
        let desks = database::open(folder.root(), &folder.database())?;
        let instance = Instance::enter(&folder)?;
        let shared = Arc::new(Shared::new(folder, instance, desks, bounds));
        let peers = peers::open(&shared).await.map(|(listener, others)| {
            tokio::spawn(peers::serve(Arc::downgrade(&shared), listener, others)).abort_handle()
        });
        let store = Self { shared, peers };
        store.count().await?;
        Ok(store)
    }

    async fn known(&self, id: &TaskId) -> Result<Known, Error> {
        let id = id.clone();
        self.shared.reader.call(Safe::Process, move |table| rows::get(table, &id)).await
    }

    /// The task as it stands: ours from memory, others' from the table and their log.
    async fn find(&self, id: &TaskId) -> Result<Lookup<Task>, Error> {
        if let Some(own) = self.shared.own(id) {
            return Ok(Lookup::Found(locked(&own).task.clone()));
        }
        Ok(match self.known(id).await? {
            Known::Here(stored) => Lookup::Found(self.with_output(stored.task).await?),
            Known::Expired => Lookup::Expired,
            Known::Never => Lookup::Unknown,
        })
    }

    /// Fills in how much output a task of another server has so far.
    async fn with_output(&self, mut task: Task) -> Result<Task, Error> {
        if task.status.is_final() {
            return Ok(task);
        }
        let path = self.shared.folder().log(task.id.as_str());
        let sums = blocking(path, |path| reader::sums(&path)).await?;
        task.output = sums.totals(self.most(&task));
        Ok(task)
    }

    /// Bytes that are kept of a task.
    fn most(&self, task: &Task) -> u64 {
        task.limits.max_output_bytes.min(self.shared.bounds.task_bytes)
    }

    /// Answers `read` over the task's log, on a thread that may wait for the disk.
    async fn reading<T: Send + 'static>(
        &self,
        id: &TaskId,
        read: impl Fn(&Reader) -> std::io::Result<Result<T, Error>> + Send + 'static,
    ) -> Result<Lookup<T>, Error> {
        let task = match self.find(id).await? {
            Lookup::Found(task) => task,
            Lookup::Expired => return Ok(Lookup::Expired),
            Lookup::Unknown => return Ok(Lookup::Unknown),
        };
        let (most, ended) = (self.most(&task), task.status.is_final());
        let path = self.shared.folder().log(id.as_str());
        let answer = blocking(path, move |path| {
            let mut tried = 1;
            loop {
                match Reader::open(path.clone(), most, ended).and_then(|reader| read(&reader)) {
                    Err(_) if tried < READ_TRIES => tried += 1,
                    answer => return answer,
                }
            }
        });
        answer.await?.map(Lookup::Found)
    }

    async fn page_of_list(&self, query: ListQuery) -> Result<ListPage, Error> {
        let (found, more) =
            self.shared.reader.call(Safe::Process, move |table| rows::list(table, &query)).await?;
        let mut tasks = Vec::with_capacity(found.len());
        for stored in found {
            let task = match self.shared.own(&stored.task.id) {
                Some(own) => locked(&own).task.clone(),
                None => self.with_output(stored.task).await?,
            };
            tasks.push(task);
        }
        let next = tasks
            .last()
            .filter(|_| more)
            .map(|task| ListCursor { created_at: task.created_at, id: task.id.clone() });
        Ok(ListPage { tasks, next })
    }

    async fn expire(&self, now: u64) -> Result<Swept, Error> {
        self.shared.look_for_cancels().await;
        let due = self.shared.writer.call(Safe::Process, move |table| rows::expire(table, now));
        let due = due.await?;
        let swept = Swept { expired: due.len() };
        if !due.is_empty() {
            let folder = self.shared.folder().clone();
            let ids = blocking(folder.root().to_path_buf(), move |_| {
                for id in &due {
                    log::remove(&folder.log(id))?;
                }
                Ok(due)
            })
            .await?;
            let remember = self.shared.bounds.expired_ids;
            let noted =
                move |table: &rusqlite::Connection| rows::log_removed(table, &ids, remember);
            self.shared.writer.call(Safe::Process, noted).await?;
        }
        self.count().await?;
        Ok(swept)
    }

    async fn count(&self) -> Result<(), Error> {
        let kept = self.shared.reader.call(Safe::Process, rows::kept).await?;
        self.shared.count_stored(kept);
        Ok(())
    }
}

/// Runs file work on a thread that may wait for the disk; `path` is what an error names.
async fn blocking<T: Send + 'static>(
    path: PathBuf,
    work: impl FnOnce(PathBuf) -> std::io::Result<T> + Send + 'static,
) -> Result<T, Error> {
    let named = path.clone();
    let done = tokio::task::spawn_blocking(move || work(path)).await;
    done.map_err(std::io::Error::other).flatten().map_err(|source| Error::Folder {
        what: "cannot read",
        path: named,
        source,
    })
}

impl Store for DiskStore {
    fn create(&self, task: NewTask) -> Answer<'_, Task> {
        Box::pin(self.accept(task))
    }

    fn get<'a>(&'a self, id: &'a TaskId) -> Answer<'a, Lookup<Task>> {
        Box::pin(self.find(id))
    }

    fn list(&self, query: ListQuery) -> Answer<'_, ListPage> {
        Box::pin(self.page_of_list(query))
    }

    fn append<'a>(&'a self, id: &'a TaskId, stream: Stream, bytes: Bytes) -> Answer<'a, Totals> {
        Box::pin(self.add(id, stream, bytes))
    }

    fn read<'a>(
        &'a self,
        id: &'a TaskId,
        from: u64,
        max_bytes: usize,
        filter: StreamFilter,
    ) -> Answer<'a, Lookup<Page>> {
        let asked = id.clone();
        Box::pin(self.reading(id, move |reader| {
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
        Box::pin(
            self.reading(id, move |reader| reading::tail_lines(reader, lines, max_bytes).map(Ok)),
        )
    }

    fn head_tail<'a>(
        &'a self,
        id: &'a TaskId,
        budget: usize,
        filter: StreamFilter,
    ) -> Answer<'a, Lookup<HeadTail>> {
        Box::pin(self.reading(id, move |reader| reading::head_tail(reader, budget, filter).map(Ok)))
    }

    fn finish<'a>(&'a self, id: &'a TaskId, end: Finish) -> Answer<'a, Task> {
        Box::pin(self.end(id, end))
    }

    fn patch<'a>(&'a self, id: &'a TaskId, patch: Patch) -> Answer<'a, Lookup<Task>> {
        Box::pin(self.change(id, patch))
    }

    fn claim(&self, which: Orphans) -> Answer<'_, Vec<Task>> {
        Box::pin(self.take_over(which))
    }

    fn sweep(&self, now: u64) -> Answer<'_, Swept> {
        Box::pin(self.expire(now))
    }

    fn subscribe(&self) -> Subscription {
        self.shared.subscribe()
    }
}

/// How safe a step of a task with this care is made before it is answered.
fn safety(care: Care) -> Safe {
    match care {
        Care::Result => Safe::Process,
        Care::EachStep => Safe::Machine,
    }
}
