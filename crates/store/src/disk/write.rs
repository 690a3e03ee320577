//! What changes tasks: each step in memory by the one state machine, then in the table, then told to those who listen.

use bytes::Bytes;
use sshepherd_model::{Stream, TaskId};

use crate::error::Error;
use crate::hint::News;
use crate::output::Totals;
use crate::record::{Care, Finish, Lookup, NewTask, Patch, Spent, Task, Wish};
use crate::state::State;

use super::desk::Safe;
use super::find::blocking;
use super::rows::{self, Kept, Known};
use super::shared::{Own, Row, Shared, locked};
use super::spool::decode;
use super::written::Ending;

/// Tasks at once up to which each writes its row itself.
const FEW: usize = 4;

/// What came of entering a new task into the table.
enum Entered {
    Yes,
    Exists,
    KeyTaken(Box<Task>),
    KeySpent(Box<Spent>),
}

impl Shared {
    /// See `Store::create`.
    pub(super) async fn accept(&self, new: NewTask) -> Result<Task, Error> {
        let shared = self;
        let (stored, most) = (shared.stored(), shared.bounds.total_bytes);
        if stored >= most {
            return Err(Error::NoRoom { stored, most });
        }
        let task = Task::pending(new);
        shared.enter_new(Own::new(task.clone(), shared.written(&task), 1))?;
        if task.care == Care::Result && task.key.is_none() {
            // The caller hears of the task with its result, which makes up for this row should it fail.
            self.write_later(&task.id);
            shared.hint(&task.id, News::State(State::Pending));
            return Ok(task);
        }
        let entered = self.enter_row(task.clone()).await;
        let refused = match entered {
            Ok(Entered::Yes) => {
                shared.hint(&task.id, News::State(State::Pending));
                return Ok(task);
            }
            Ok(Entered::Exists) => Error::Exists { id: task.id.clone() },
            Ok(Entered::KeyTaken(other)) => Error::KeyTaken { task: other },
            Ok(Entered::KeySpent(spent)) => Error::KeySpent { spent },
            Err(error) => error,
        };
        shared.leave(&task.id);
        Err(refused)
    }

    async fn enter_row(&self, task: Task) -> Result<Entered, Error> {
        let (care, me) = (task.care, self.instance().to_owned());
        let enter = move |table: &rusqlite::Connection| {
            match rows::get(table, &task.id)? {
                Known::Here(_) | Known::Expired => return Ok(Entered::Exists),
                Known::Never => {}
            }
            if let Some(key) = &task.key {
                if let Some(other) = rows::named(table, key)? {
                    return Ok(Entered::KeyTaken(Box::new(other.task)));
                }
                match rows::spent(table, key)? {
                    Some(spent) if spent.until > task.created_at => {
                        return Ok(Entered::KeySpent(Box::new(spent)));
                    }
                    Some(_) | None => rows::free(table, key)?,
                }
            }
            rows::insert(table, &task, &me)?;
            Ok(Entered::Yes)
        };
        self.writer.call(safety(care), enter).await
    }

    /// Has the row of a task written soon, as the task then is, unless its end is written before that. Many commands are
    /// over so fast that their end is all that is ever written.
    fn write_later(&self, id: &TaskId) {
        let Some(own) = self.own(id) else { return };
        let me = self.instance().to_owned();
        {
            let mut own = locked(&own);
            if std::mem::replace(&mut own.row, Row::Later) == Row::Later {
                return;
            }
        }
        self.writer.later(move |table| {
            let (task, epoch) = {
                let mut own = locked(&own);
                if std::mem::replace(&mut own.row, Row::AsItIs) != Row::Later {
                    return Ok(());
                }
                (own.task.clone(), own.epoch)
            };
            put(table, &task, &Kept::default(), &me, epoch).map(drop)
        });
    }

    /// See `Store::append`.
    pub(super) async fn add(
        &self,
        id: &TaskId,
        stream: Stream,
        bytes: Bytes,
    ) -> Result<Totals, Error> {
        let Some(own) = self.own(id) else { return Err(self.not_ours(id).await) };
        let turn = turn(&own);
        let _turn = turn.lock().await;
        let most;
        let totals = {
            let mut own = locked(&own);
            if own.task.status != State::Running {
                return Err(Error::NotRunning { id: id.clone(), state: own.task.status });
            }
            most = self.most(&own.task);
            // A write or two to the page cache: microseconds, less than handing them to another thread.
            own.output.append(stream, &bytes).map_err(|source| Error::Folder {
                what: "cannot write output to",
                path: self.folder().log(id.as_str()),
                source,
            })?;
            own.task.output = own.output.sums().totals(most);
            own.task.output
        };
        if !bytes.is_empty() {
            let before = totals.bytes() - bytes.len() as u64;
            self.stored_more(totals.bytes().min(most) - before.min(most));
            self.hint(id, News::Grew { total: totals.bytes() });
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
        let Some(own) = self.own(id) else {
            return Err(match self.known(id).await? {
                Known::Here(mut stored) => match stored.task.end(end) {
                    Err(illegal) => illegal,
                    Ok(()) => Error::Fenced { id: id.clone() },
                },
                Known::Expired | Known::Never => Error::Gone { id: id.clone() },
            });
        };
        let turn = turn(&own);
        let _turn = turn.lock().await;
        let (mut task, epoch, ending) = {
            let own = locked(&own);
            (own.task.clone(), own.epoch, own.output.ending())
        };
        task.end(end)?;
        let output = match ending {
            Ending::Row(output) => Some(output),
            Ending::Log(unflushed) if task.care == Care::EachStep => {
                let path = self.folder().log(id.as_str());
                blocking("cannot flush", path, move |_| unflushed.flush()).await?;
                None
            }
            Ending::Log(_) => None,
        };
        crate::crash::point("finish.flushed");
        let short = output.as_deref().map(decode);
        let kept = Kept { bytes: task.output.bytes() - task.output.missing, output };
        locked(&own).row = Row::AsItIs;
        self.write_row(task.clone(), kept, epoch, safety(task.care)).await?;
        crate::crash::point("finish.committed");
        // Whoever holds it still sees that it has ended.
        locked(&own).task = task.clone();
        if let Some(short) = short {
            self.recent.keep(id, short);
        }
        self.leave(id);
        self.hint(id, News::State(task.status));
        Ok(task)
    }

    /// Writes the row of a task of ours and waits until it is as safe as asked.
    async fn write_row(&self, task: Task, kept: Kept, epoch: i64, safe: Safe) -> Result<(), Error> {
        let (id, me) = (task.id.clone(), self.instance().to_owned());
        let put = move |table: &rusqlite::Connection| put(table, &task, &kept, &me, epoch);
        // Who has company shares a transaction.
        let written = match self.live() > FEW {
            true => self.writer.call(safe, put).await?,
            false => self.writer.call_at_once(safe, put).await?,
        };
        if written {
            return Ok(());
        }
        self.leave(&id);
        Err(Error::Fenced { id })
    }

    /// See `Store::patch`.
    pub(super) async fn change(&self, id: &TaskId, patch: Patch) -> Result<Lookup<Task>, Error> {
        if let Patch::RequestCancel { at } = patch {
            return self.ask_to_cancel(id, at).await;
        }
        if let Patch::Wish(wish) = patch {
            return self.note_wish(id, wish).await;
        }
        let Some(own) = self.own(id) else {
            return match self.known(id).await? {
                Known::Here(mut stored) => {
                    stored.task.patch(patch)?;
                    Err(Error::Fenced { id: id.clone() })
                }
                Known::Expired => Ok(Lookup::Expired),
                Known::Never => Ok(Lookup::Unknown),
            };
        };
        let turn = turn(&own);
        let _turn = turn.lock().await;
        let (mut task, epoch) = {
            let own = locked(&own);
            (own.task.clone(), own.epoch)
        };
        let safe = match &patch {
            Patch::Started { .. } | Patch::Attached | Patch::Bound { .. } => safety(task.care),
            Patch::Connected { .. }
            | Patch::Placed { .. }
            | Patch::RequestCancel { .. }
            | Patch::Wish(_) => Safe::Process,
        };
        // These are worth no waiting before a start, whose row follows and has them.
        let connected = match patch {
            Patch::Connected { .. } => true,
            Patch::Bound { .. } => task.status == State::Pending,
            Patch::Started { .. }
            | Patch::Placed { .. }
            | Patch::Attached
            | Patch::RequestCancel { .. }
            | Patch::Wish(_) => false,
        };
        let news = task.patch(patch)?;
        if !connected && task.care == Care::EachStep {
            self.write_row(task.clone(), Kept::default(), epoch, safe).await?;
        }
        crate::crash::point("patch.committed");
        {
            let mut own = locked(&own);
            task.cancel_requested_at = own.task.cancel_requested_at;
            task.wishes = own.task.wishes.clone();
            task.output = own.task.output;
            own.task = task.clone();
        }
        if !connected && task.care == Care::Result {
            self.write_later(id);
        }
        if let Some(news) = news {
            self.hint(id, news);
        }
        Ok(Lookup::Found(task))
    }

    /// Anyone may ask, for any task; its owner hears of it.
    async fn ask_to_cancel(&self, id: &TaskId, at: u64) -> Result<Lookup<Task>, Error> {
        let asked = id.clone();
        let ask = move |table: &rusqlite::Connection| rows::request_cancel(table, &asked, at);
        let first = self.writer.call(Safe::Process, ask).await?;
        if first {
            if let Some(own) = self.own(id) {
                locked(&own).task.cancel_requested_at = Some(at);
            }
            self.hint(id, News::CancelRequested);
        }
        self.find(id).await
    }

    /// The same for what else may be wanted.
    async fn note_wish(&self, id: &TaskId, wish: Wish) -> Result<Lookup<Task>, Error> {
        let (asked, wanted) = (id.clone(), wish.clone());
        let note = move |table: &rusqlite::Connection| rows::wish(table, &asked, &wanted);
        let own = self.own(id);
        let turn = own.as_deref().map(turn);
        let _turn = match &turn {
            Some(turn) => Some(turn.lock().await),
            None => None,
        };
        // Its caller is told that it is so: it holds whatever happens then.
        if self.writer.call(Safe::Machine, note).await? {
            if let Some(own) = own {
                locked(&own).task.wishes.take(&wish);
            }
            self.hint(id, News::Wished);
        }
        self.find(id).await
    }
}

/// Writes the row of a task that this server owns, `false` when it has another owner by now.
fn put(
    table: &rusqlite::Connection,
    task: &Task,
    kept: &Kept,
    me: &str,
    epoch: i64,
) -> rusqlite::Result<bool> {
    // One whose caller waits for its result alone may have no row yet.
    if task.care == Care::Result && epoch == 1 {
        return rows::insert_or_update(table, task, kept, me);
    }
    rows::update(table, task, kept, me, epoch)
}

fn turn(own: &std::sync::Mutex<Own>) -> std::sync::Arc<tokio::sync::Mutex<()>> {
    std::sync::Arc::clone(&locked(own).turn)
}

/// How safe a step of a task with this care is made before it is answered.
fn safety(care: Care) -> Safe {
    match care {
        Care::Result => Safe::Process,
        Care::EachStep => Safe::Machine,
    }
}
