//! What changes tasks: each step in memory by the one state machine, then in the table, then told to those who listen.

use bytes::Bytes;
use sshepherd_model::{Stream, TaskId};

use crate::error::Error;
use crate::hint::News;
use crate::output::Totals;
use crate::record::{Care, Finish, Lookup, NewTask, Orphans, Patch, Task};
use crate::state::State;

use super::database::Safe;
use super::log::Log;
use super::rows::{self, Known, Stored};
use super::shared::{Own, locked};
use super::{DiskStore, blocking, safety};

/// What came of entering a new task into the table.
enum Entered {
    Yes,
    Exists,
    KeyTaken(Box<Task>),
}

impl DiskStore {
    /// See `Store::create`.
    pub(super) async fn accept(&self, new: NewTask) -> Result<Task, Error> {
        let shared = &self.shared;
        let live = shared.owned();
        if live >= shared.bounds.live_tasks {
            return Err(Error::Full { live });
        }
        let (stored, most) = (shared.stored(), shared.bounds.total_bytes);
        if stored >= most {
            return Err(Error::NoRoom { stored, most });
        }
        let task = Task::pending(new);
        let log = Log::fresh(shared.folder().log(task.id.as_str()), self.most(&task));
        if !shared.enter(Own { task: task.clone(), log, epoch: 1 }) {
            return Err(Error::Exists { id: task.id });
        }
        let entered = self.enter_row(task.clone()).await;
        let refused = match entered {
            Ok(Entered::Yes) => {
                shared.hint(&task.id, News::State(State::Pending));
                return Ok(task);
            }
            Ok(Entered::Exists) => Error::Exists { id: task.id.clone() },
            Ok(Entered::KeyTaken(other)) => Error::KeyTaken { task: other },
            Err(error) => error,
        };
        shared.leave(&task.id);
        Err(refused)
    }

    async fn enter_row(&self, task: Task) -> Result<Entered, Error> {
        let (care, me) = (task.care, self.shared.instance().to_owned());
        let enter = move |table: &rusqlite::Connection| {
            match rows::get(table, &task.id)? {
                Known::Here(_) | Known::Expired => return Ok(Entered::Exists),
                Known::Never => {}
            }
            if let Some(key) = &task.key
                && let Some(other) = rows::named(table, key)?
            {
                return Ok(Entered::KeyTaken(Box::new(other.task)));
            }
            rows::insert(table, &task, &me)?;
            Ok(Entered::Yes)
        };
        match care {
            Care::EachStep => self.shared.writer.call(safety(care), enter).await,
            // The caller hears of the task with its result, whose row is written after this one.
            Care::Result => {
                self.shared.writer.submit(safety(care), enter).await.map(|_| Entered::Yes)
            }
        }
    }

    /// See `Store::append`.
    pub(super) async fn add(
        &self,
        id: &TaskId,
        stream: Stream,
        bytes: Bytes,
    ) -> Result<Totals, Error> {
        let Some(own) = self.shared.own(id) else { return Err(self.not_ours(id).await) };
        let most;
        let totals = {
            let mut own = locked(&own);
            if own.task.status != State::Running {
                return Err(Error::NotRunning { id: id.clone(), state: own.task.status });
            }
            most = self.most(&own.task);
            // Two writes to the page cache: microseconds, less than handing them to another thread.
            own.log.append(stream, &bytes).map_err(|source| Error::Folder {
                what: "cannot write output to",
                path: self.shared.folder().log(id.as_str()),
                source,
            })?;
            own.task.output = own.log.sums().totals(most);
            own.task.output
        };
        if !bytes.is_empty() {
            let before = totals.bytes() - bytes.len() as u64;
            self.shared.stored_more(totals.bytes().min(most) - before.min(most));
            self.shared.hint(id, News::Grew { total: totals.bytes() });
        }
        Ok(totals)
    }

    /// Why this server may not write to a task.
    async fn not_ours(&self, id: &TaskId) -> Error {
        match self.known(id).await {
            Ok(Known::Here(stored)) if stored.task.status.is_final() => {
                Error::NotRunning { id: id.clone(), state: stored.task.status }
            }
            Ok(Known::Here(_)) => Error::Fenced { id: id.clone() },
            Ok(Known::Expired | Known::Never) => Error::Gone { id: id.clone() },
            Err(error) => error,
        }
    }

    /// See `Store::finish`.
    pub(super) async fn end(&self, id: &TaskId, end: Finish) -> Result<Task, Error> {
        let Some(own) = self.shared.own(id) else {
            return Err(match self.known(id).await? {
                Known::Here(mut stored) => match stored.task.end(end) {
                    Err(illegal) => illegal,
                    Ok(()) => Error::Fenced { id: id.clone() },
                },
                Known::Expired | Known::Never => Error::Gone { id: id.clone() },
            });
        };
        let mut task = locked(&own).task.clone();
        task.end(end)?;
        if task.care == Care::EachStep && task.output.bytes() > 0 {
            let flushed = std::sync::Arc::clone(&own);
            let path = self.shared.folder().log(id.as_str());
            blocking(path, move |_| locked(&flushed).log.flush()).await?;
        }
        crate::crash::point("finish.flushed");
        let kept = task.output.bytes() - task.output.missing;
        let epoch = locked(&own).epoch;
        self.write_row(task.clone(), kept, epoch, safety(task.care)).await?;
        crate::crash::point("finish.committed");
        self.shared.leave(id);
        self.shared.hint(id, News::State(task.status));
        Ok(task)
    }

    /// Writes the row of a task of ours and waits until it is as safe as asked.
    async fn write_row(&self, task: Task, kept: u64, epoch: i64, safe: Safe) -> Result<(), Error> {
        let (id, me) = (task.id.clone(), self.shared.instance().to_owned());
        let update =
            move |table: &rusqlite::Connection| rows::update(table, &task, kept, &me, epoch);
        if self.shared.writer.call(safe, update).await? {
            Ok(())
        } else {
            Err(Error::Fenced { id })
        }
    }

    /// See `Store::patch`.
    pub(super) async fn change(&self, id: &TaskId, patch: Patch) -> Result<Lookup<Task>, Error> {
        if let Patch::RequestCancel { at } = patch {
            return self.ask_to_cancel(id, at).await;
        }
        let Some(own) = self.shared.own(id) else {
            return match self.known(id).await? {
                Known::Here(mut stored) => {
                    stored.task.patch(patch)?;
                    Err(Error::Fenced { id: id.clone() })
                }
                Known::Expired => Ok(Lookup::Expired),
                Known::Never => Ok(Lookup::Unknown),
            };
        };
        let (mut task, epoch) = {
            let own = locked(&own);
            (own.task.clone(), own.epoch)
        };
        let safe = match &patch {
            Patch::Started { .. } | Patch::Attached => safety(task.care),
            Patch::Connected { .. } | Patch::Placed { .. } | Patch::RequestCancel { .. } => {
                Safe::Process
            }
        };
        let connected = matches!(patch, Patch::Connected { .. });
        let news = task.patch(patch)?;
        // The address alone is worth no waiting: the row of the start, which follows, has it.
        if !connected {
            match task.care {
                Care::EachStep => self.write_row(task.clone(), 0, epoch, safe).await?,
                Care::Result => {
                    let (row, me) = (task.clone(), self.shared.instance().to_owned());
                    let update = move |table: &rusqlite::Connection| {
                        rows::update(table, &row, 0, &me, epoch)
                    };
                    self.shared.writer.submit(safe, update).await?;
                }
            }
        }
        {
            let mut own = locked(&own);
            task.cancel_requested_at = own.task.cancel_requested_at;
            task.output = own.task.output;
            own.task = task.clone();
        }
        if let Some(news) = news {
            self.shared.hint(id, news);
        }
        Ok(Lookup::Found(task))
    }

    /// Anyone may ask, for any task; its owner hears of it.
    async fn ask_to_cancel(&self, id: &TaskId, at: u64) -> Result<Lookup<Task>, Error> {
        let asked = id.clone();
        let ask = move |table: &rusqlite::Connection| rows::request_cancel(table, &asked, at);
        let first = self.shared.writer.call(Safe::Process, ask).await?;
        if first {
            if let Some(own) = self.shared.own(id) {
                locked(&own).task.cancel_requested_at = Some(at);
            }
            self.shared.hint(id, News::CancelRequested);
        }
        self.find(id).await
    }

    /// See `Store::claim`.
    pub(super) async fn take_over(&self, which: Orphans) -> Result<Vec<Task>, Error> {
        let folder = self.shared.folder().clone();
        let owners = self.shared.reader.call(Safe::Process, rows::owners).await?;
        let me = self.shared.instance().to_owned();
        let dead: Vec<String> =
            owners.into_iter().filter(|owner| *owner != me && folder.is_dead(owner)).collect();
        let taken = match dead.is_empty() {
            true => Vec::new(),
            false => {
                let take = move |table: &rusqlite::Connection| take(table, &dead, &which, &me);
                self.shared.writer.call(Safe::Process, take).await?
            }
        };
        let mut tasks = Vec::with_capacity(taken.len());
        for stored in taken {
            tasks.push(self.adopt(stored).await?);
        }
        let left = self.shared.reader.call(Safe::Process, rows::owners).await?;
        for known in folder.known().unwrap_or_default() {
            if !left.contains(&known) && folder.is_dead(&known) {
                folder.bury(&known);
            }
        }
        Ok(tasks)
    }

    /// Opens the log of a task that is ours now, where its last whole entry ends.
    async fn adopt(&self, stored: Stored) -> Result<Task, Error> {
        let most = self.most(&stored.task);
        let path = self.shared.folder().log(stored.task.id.as_str());
        let log = blocking(path, move |path| Log::open(path, most)).await?;
        let mut task = stored.task;
        task.output = log.sums().totals(most);
        self.shared.enter(Own { task: task.clone(), log, epoch: stored.epoch + 1 });
        Ok(task)
    }
}

fn take(
    table: &rusqlite::Connection,
    dead: &[String],
    which: &Orphans,
    me: &str,
) -> rusqlite::Result<Vec<Stored>> {
    let mut taken = Vec::new();
    for owner in dead {
        for stored in rows::owned(table, owner)? {
            let wanted = match which {
                Orphans::All => true,
                Orphans::One(id) => stored.task.id == *id,
            };
            if wanted && rows::take_over(table, &stored, me)? {
                taken.push(stored);
            }
        }
    }
    Ok(taken)
}
