//! What is asked about tasks: ours from memory, others' from the table and their log.

use std::path::PathBuf;

use sshepherd_model::TaskId;

use crate::error::Error;
use crate::record::{ListCursor, ListPage, ListQuery, Lookup, Task};
use crate::row::Row;

use super::database::Safe;
use super::reader::{self, Reader};
use super::rows::{self, Known};
use super::shared::{Shared, locked};

/// Times that a read is tried again when its output goes over the limit meanwhile.
const READ_TRIES: usize = 8;

impl Shared {
    pub(super) async fn known(&self, id: &TaskId) -> Result<Known, Error> {
        let id = id.clone();
        self.reader.call(Safe::Process, move |table| rows::get(table, &id)).await
    }

    /// The task as it stands: ours from memory, others' from the table and their log.
    pub(super) async fn find(&self, id: &TaskId) -> Result<Lookup<Task>, Error> {
        if let Some(own) = self.own(id) {
            return Ok(Lookup::Found(locked(&own).task.clone()));
        }
        Ok(match self.known(id).await? {
            Known::Here(stored) => Lookup::Found(self.with_output(stored.task).await?),
            Known::Expired => Lookup::Expired,
            Known::Never => Lookup::Unknown,
        })
    }

    /// Fills in how much output a task of another server has so far.
    pub(super) async fn with_output(&self, mut task: Task) -> Result<Task, Error> {
        if task.status.is_final() {
            return Ok(task);
        }
        let (path, most) = (self.folder().log(task.id.as_str()), self.most(&task));
        let sums = blocking("cannot read", path, move |path| reader::sums(&path, most)).await?;
        task.output = sums.totals(most);
        Ok(task)
    }

    /// Bytes that are kept of a task.
    pub(super) fn most(&self, task: &Task) -> u64 {
        task.limits.max_output_bytes.min(self.bounds.task_bytes)
    }

    /// Answers `read` over the task's log, on a thread that may wait for the disk.
    pub(super) async fn reading<T: Send + 'static>(
        &self,
        id: &TaskId,
        read: impl Fn(&Reader) -> std::io::Result<Result<T, Error>> + Send + Sync + 'static,
    ) -> Result<Lookup<T>, Error> {
        let task = match self.find(id).await? {
            Lookup::Found(task) => task,
            Lookup::Expired => return Ok(Lookup::Expired),
            Lookup::Unknown => return Ok(Lookup::Unknown),
        };
        let (most, ended) = (self.most(&task), task.status.is_final());
        let path = self.folder().log(id.as_str());
        let _one_of_a_few = self.reads.acquire().await;
        let (total, answer) = blocking("cannot read", path, move |path| {
            let mut tried = 1;
            loop {
                let answer = Reader::open(path.clone(), most, ended)
                    .and_then(|reader| Ok((reader.totals().bytes(), read(&reader)?)));
                match answer {
                    Err(_) if tried < READ_TRIES => tried += 1,
                    answer => return answer,
                }
            }
        })
        .await?;
        if total < task.output.bytes() {
            // It may have expired since.
            match self.known(id).await? {
                Known::Here(_) => {}
                Known::Expired => return Ok(Lookup::Expired),
                Known::Never => return Ok(Lookup::Unknown),
            }
        }
        answer.map(Lookup::Found)
    }

    pub(super) async fn page_of_list(&self, query: ListQuery) -> Result<ListPage, Error> {
        let (found, more) =
            self.reader.call(Safe::Process, move |table| rows::list(table, &query)).await?;
        let mut tasks = Vec::with_capacity(found.len());
        for stored in found {
            let task = match self.own(&stored.task.id) {
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
}

/// Runs file work on a thread that may wait for the disk; `path` is what an error names.
pub(super) async fn blocking<T: Send + 'static>(
    what: &'static str,
    path: PathBuf,
    work: impl FnOnce(PathBuf) -> std::io::Result<T> + Send + 'static,
) -> Result<T, Error> {
    let named = path.clone();
    let done = tokio::task::spawn_blocking(move || work(path)).await;
    done.map_err(std::io::Error::other).flatten().map_err(|source| Error::Folder {
        what,
        path: named,
        source,
    })
}
