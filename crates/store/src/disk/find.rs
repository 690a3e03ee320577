//! What is asked about tasks: ours from memory, others' from the table, their owner's spool and their log.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sshepherd_model::TaskId;

use crate::error::Error;
use crate::output::Totals;
use crate::record::{ListCursor, ListPage, ListQuery, Lookup, Task};
use crate::row::Row;

use super::desk::Safe;
use super::reader::Reader;
use super::rows::{self, Known, Stored};
use super::shared::{Shared, locked};
use super::source::{Part, Source};
use super::spool;

/// Times that a read is tried again when its output goes over the limit meanwhile.
const READ_TRIES: usize = 8;

/// Where an output is.
enum Place {
    /// In memory, as much as is needed.
    Here(Source),
    /// In its log, with so much when it was asked.
    Log { total: u64, ended: bool },
    /// Wherever its owner has it now.
    Elsewhere(Box<Stored>),
}

/// The output of a task that another server writes: in that one's spool, or in the log.
fn elsewhere(spool: &Path, log: PathBuf, id: &TaskId, most: u64) -> io::Result<Source> {
    // The spool first: what has left it since is in the log.
    let short = spool::output(spool, id)?;
    let reader = Reader::open(log, most, false)?;
    match short {
        Some(short) if short.total() >= reader.totals().bytes() => {
            Ok(Source::Short { output: Arc::new(short), ended: false })
        }
        Some(_) | None => Ok(Source::Log(reader)),
    }
}

impl Shared {
    pub(super) async fn known(&self, id: &TaskId) -> Result<Known, Error> {
        let id = id.clone();
        self.reader.call(Safe::Process, move |table| rows::get(table, &id)).await
    }

    /// The task as it stands: ours from memory, others' from the table and where they write.
    pub(super) async fn find(&self, id: &TaskId) -> Result<Lookup<Task>, Error> {
        loop {
            if let Some(own) = self.own(id) {
                return Ok(Lookup::Found(locked(&own).task.clone()));
            }
            let mut stored = match self.known(id).await? {
                Known::Here(stored) => stored,
                Known::Expired => return Ok(Lookup::Expired),
                Known::Never => return Ok(Lookup::Unknown),
            };
            if !stored.task.status.is_final() {
                stored.task.output = self.so_far(&stored).await?;
                if !self.is_still(&stored).await? {
                    continue;
                }
            }
            return Ok(Lookup::Found(stored.task));
        }
    }

    /// How much output a task of another server has.
    async fn so_far(&self, stored: &Stored) -> Result<Totals, Error> {
        self.read_elsewhere(stored, |output| Ok(output.totals())).await
    }

    /// Whether the row is of the same owner, which may have ended the task since: its output then is in no spool.
    async fn is_still(&self, stored: &Stored) -> Result<bool, Error> {
        Ok(match self.known(&stored.task.id).await? {
            Known::Here(now) => (now.owner, now.epoch) == (stored.owner.clone(), stored.epoch),
            Known::Expired | Known::Never => false,
        })
    }

    /// Bytes that are kept of a task.
    pub(super) fn most(&self, task: &Task) -> u64 {
        task.limits.max_output_bytes.min(self.bounds.task_bytes)
    }

    /// Answers `read`, which looks at a part of the task's output, on a thread that may wait for the disk unless it is in memory.
    pub(super) async fn reading<T: Send + 'static>(
        &self,
        id: &TaskId,
        part: Part,
        read: impl Fn(&Source) -> io::Result<Result<T, Error>> + Send + Sync + 'static,
    ) -> Result<Lookup<T>, Error> {
        let read = Arc::new(read);
        loop {
            let (place, most) = match self.place(id, part).await? {
                Lookup::Found(found) => found,
                Lookup::Expired => return Ok(Lookup::Expired),
                Lookup::Unknown => return Ok(Lookup::Unknown),
            };
            let (again, log) = (Arc::clone(&read), self.folder().log(id.as_str()));
            let answer = match place {
                Place::Here(source) => {
                    let failed = |source| Error::Folder { what: "cannot read", path: log, source };
                    read(&source).map_err(failed)?
                }
                Place::Log { total, ended } => {
                    let open = move |tried| {
                        let trusting = match tried {
                            1 => Reader::trusting(log.clone(), most, total, ended)?,
                            _ => None,
                        };
                        let looking = || Reader::open(log.clone(), most, ended);
                        trusting.map_or_else(looking, Ok).map(Source::Log)
                    };
                    let (there, answer) = self.read_files(id, open, again).await?;
                    if there < total {
                        // It may have expired since.
                        match self.known(id).await? {
                            Known::Here(_) => {}
                            Known::Expired => return Ok(Lookup::Expired),
                            Known::Never => return Ok(Lookup::Unknown),
                        }
                    }
                    answer
                }
                Place::Elsewhere(stored) => {
                    let answer = self.read_elsewhere(&stored, move |output| again(output)).await?;
                    if !self.is_still(&stored).await? {
                        continue;
                    }
                    answer
                }
            };
            return answer.map(Lookup::Found);
        }
    }

    /// Where a part of a task's output is, and how much of all of it is kept.
    async fn place(&self, id: &TaskId, part: Part) -> Result<Lookup<(Place, u64)>, Error> {
        if let Some(own) = self.own(id) {
            let own = locked(&own);
            let (most, sums) = (self.most(&own.task), own.output.sums());
            let (total, ended) = (sums.bytes(), own.task.status.is_final());
            let place = if let Some(output) = own.output.short() {
                Place::Here(Source::Short { output, ended })
            } else if let Some(output) = own.output.last(part.start(total)) {
                Place::Here(Source::Last { output, totals: sums.totals(most), ended })
            } else {
                Place::Log { total, ended }
            };
            return Ok(Lookup::Found((place, most)));
        }
        let asked = id.clone();
        let look = move |table: &rusqlite::Connection| {
            Ok((rows::get(table, &asked)?, rows::output(table, &asked)?))
        };
        let (stored, output) = match self.reader.call(Safe::Process, look).await? {
            (Known::Here(stored), output) => (stored, output),
            (Known::Expired, _) => return Ok(Lookup::Expired),
            (Known::Never, _) => return Ok(Lookup::Unknown),
        };
        let (most, total) = (self.most(&stored.task), stored.task.output.bytes());
        let place = match output {
            Some(output) => {
                let output = Arc::new(spool::decode(&output));
                Place::Here(Source::Short { output, ended: true })
            }
            None if stored.task.status.is_final() => Place::Log { total, ended: true },
            None => Place::Elsewhere(stored),
        };
        Ok(Lookup::Found((place, most)))
    }

    async fn read_elsewhere<T: Send + 'static>(
        &self,
        stored: &Stored,
        read: impl Fn(&Source) -> io::Result<T> + Send + Sync + 'static,
    ) -> Result<T, Error> {
        let (id, most) = (stored.task.id.clone(), self.most(&stored.task));
        let log = self.folder().log(id.as_str());
        let spool = self.folder().spool(stored.owner.as_deref().unwrap_or_default());
        let of = id.clone();
        let open = move |_| elsewhere(&spool, log.clone(), &of, most);
        Ok(self.read_files(&id, open, Arc::new(read)).await?.1)
    }

    /// Answers `read` over what `open` opens, which hears how often it has been tried, and how much was there, on a thread that may wait for the disk.
    async fn read_files<T: Send + 'static>(
        &self,
        id: &TaskId,
        open: impl Fn(usize) -> io::Result<Source> + Send + 'static,
        read: Arc<impl Fn(&Source) -> io::Result<T> + Send + Sync + 'static>,
    ) -> Result<(u64, T), Error> {
        let _one_of_a_few = self.reads.acquire().await;
        blocking("cannot read", self.folder().log(id.as_str()), move |_| {
            let mut tried = 1;
            loop {
                let answer =
                    open(tried).and_then(|output| Ok((output.totals().bytes(), read(&output)?)));
                match answer {
                    Err(_) if tried < READ_TRIES => tried += 1,
                    answer => return answer,
                }
            }
        })
        .await
    }

    pub(super) async fn page_of_list(&self, query: ListQuery) -> Result<ListPage, Error> {
        let (found, more) =
            self.reader.call(Safe::Process, move |table| rows::list(table, &query)).await?;
        let mut tasks = Vec::with_capacity(found.len());
        for stored in found {
            let task = match self.own(&stored.task.id) {
                Some(own) => locked(&own).task.clone(),
                None if stored.task.status.is_final() => stored.task,
                None => {
                    let output = self.so_far(&stored).await?;
                    Task { output, ..stored.task }
                }
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
    work: impl FnOnce(PathBuf) -> io::Result<T> + Send + 'static,
) -> Result<T, Error> {
    let named = path.clone();
    let done = tokio::task::spawn_blocking(move || work(path)).await;
    done.map_err(io::Error::other).flatten().map_err(|source| Error::Folder {
        what,
        path: named,
        source,
    })
}
