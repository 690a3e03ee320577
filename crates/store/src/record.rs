//! What is kept of a task, and the values that make, change and list tasks.
//!
//! Every time is in milliseconds since the epoch and comes from the caller.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use sshepherd_model::{Alias, CommandHash, Limits, Outcome, TaskId};

use crate::error::Error;
use crate::hint::News;
use crate::output::Totals;
use crate::state::{Event, State};

/// The limits a task was accepted under.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskLimits {
    /// Longest run time.
    pub max_time: Duration,
    /// Most bytes of output kept, both streams together; the rest is counted.
    pub max_output_bytes: u64,
    /// How long the result is kept, counted from the end of the task.
    pub result_ttl: Duration,
}

impl From<&Limits> for TaskLimits {
    fn from(limits: &Limits) -> Self {
        Self {
            max_time: limits.max_time,
            max_output_bytes: limits.max_output_bytes,
            result_ttl: limits.result_ttl,
        }
    }
}

/// A task to be recorded, before it runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewTask {
    /// Its id, made by the caller, unique.
    pub id: TaskId,
    /// Its host.
    pub alias: Alias,
    /// Hash of the command.
    pub hash: CommandHash,
    /// The caller's trimmed command.
    pub command: String,
    /// The limits in force.
    pub limits: TaskLimits,
    /// Whether the owner granted a full shell and the raw text is sent.
    pub raw_shell: bool,
    /// When it was accepted.
    pub created_at: u64,
    /// What whoever takes the task over needs to run it; the store does not look inside. Kept until the task has ended.
    pub errand: String,
    /// The caller's own name for this piece of work: a second task with the same name is refused with
    /// [`Error::KeyTaken`](crate::Error::KeyTaken).
    pub key: Option<String>,
    /// Digest of all that was asked for, in the asker's words, so that the same key with something else is told apart.
    pub digest: Option<String>,
    /// How much must be safe before an answer.
    pub care: Care,
}

/// Before a caller's own names for tasks: such a name outlives its task's result, so that nothing runs again under it.
pub const CALLERS_KEY: &str = "caller/";

/// A caller's own name for a task that has ended, and whose result has expired.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spent {
    /// The task.
    pub id: TaskId,
    /// How it ended.
    pub status: State,
    /// Digest of all that was asked for.
    pub digest: Option<String>,
    /// When the name is free again.
    pub until: u64,
}

impl Spent {
    /// What is left of a task whose result expires, if its name is a caller's: for so long after it was accepted.
    pub(crate) fn of(task: &Task, keep_ms: u64) -> Option<Self> {
        task.key.as_deref()?.strip_prefix(CALLERS_KEY)?;
        let until = task.created_at.saturating_add(keep_ms).max(task.expires_at()?);
        Some(Self { id: task.id.clone(), status: task.status, digest: task.digest.clone(), until })
    }
}

/// How much of a task must be safe before its caller hears of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Care {
    /// The caller waits for the end anyway: the id is made known with the result. Only the end is waited for, and it
    /// outlives the death of the process, not of the machine.
    Result,
    /// The caller is told the id at once: every step is recorded before it is answered, and the end is on the disk.
    EachStep,
}

/// How a command hangs on the connection that started it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Durability {
    /// It runs under the job wrapper: it and its output outlive connection and server.
    Job,
    /// It runs on the channel that started it.
    Attached,
}

impl Durability {
    /// The name used in answers.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Job => "job",
            Self::Attached => "attached",
        }
    }
}

/// A task as it stands. It names no owner: any instance may read it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Task {
    /// Its id.
    pub id: TaskId,
    /// Its host.
    pub alias: Alias,
    /// Hash of the command.
    pub hash: CommandHash,
    /// The caller's trimmed command.
    pub command: String,
    /// Where it is in its life.
    pub status: State,
    /// The limits in force.
    pub limits: TaskLimits,
    /// Whether the raw text was sent to a full shell.
    pub raw_shell: bool,
    /// When it was accepted.
    pub created_at: u64,
    /// When the command was sent; `None` if it never was.
    pub started_at: Option<u64>,
    /// When it ended.
    pub ended_at: Option<u64>,
    /// When a caller first asked for it to be cancelled.
    pub cancel_requested_at: Option<u64>,
    /// The address that was connected to.
    pub target_ip: Option<IpAddr>,
    /// How it ended; `Some` exactly when the status is final.
    pub outcome: Option<Outcome>,
    /// How much output came and how much of it is missing.
    pub output: Totals,
    /// How it was started; `None` while it is pending.
    pub durability: Option<Durability>,
    /// Where its start may be sent, in the runner's own words; `None` in rows of versions that sent it anywhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub site: Option<String>,
    /// Where its job lives on the host, in the runner's own words; `None` until the host has said so.
    pub place: Option<String>,
    /// What running it takes, in the runner's own words; `None` once it has ended.
    pub errand: Option<String>,
    /// The caller's own name for it.
    pub key: Option<String>,
    /// Digest of all that was asked for; `None` in rows of versions that kept none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    /// How much must be safe before an answer.
    pub care: Care,
    /// What callers want of it while it runs.
    #[serde(default)]
    pub wishes: Wishes,
}

/// What callers, anywhere, want of a task over many hosts that has not ended; its owner hears of it and does it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Wishes {
    /// No more hosts are to be begun for now.
    pub paused: bool,
    /// Hosts that are not to be begun, or are to be stopped.
    pub skipped: BTreeSet<Alias>,
    /// A person's yes was over before the pause was: no more hosts are to be begun at all.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub lapsed: bool,
}

/// One such wish.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wish {
    /// Begin no more hosts.
    Pause,
    /// Go on.
    Resume,
    /// End the pause and begin no more hosts: the yes to them is over.
    Lapse,
    /// Leave this host out.
    Skip(Alias),
}

impl Wishes {
    /// Takes a wish; `true` when it was news.
    pub(crate) fn take(&mut self, wish: &Wish) -> bool {
        match wish {
            Wish::Pause => !std::mem::replace(&mut self.paused, true),
            Wish::Resume => std::mem::replace(&mut self.paused, false),
            Wish::Lapse => {
                self.paused = false;
                !std::mem::replace(&mut self.lapsed, true)
            }
            Wish::Skip(alias) => self.skipped.insert(alias.clone()),
        }
    }
}

impl Task {
    /// Whether it was named as a part of the task with this id.
    #[must_use]
    pub fn is_part_of(&self, id: &TaskId) -> bool {
        let rest = self.key.as_deref().and_then(|key| key.strip_prefix(id.as_str()));
        rest.is_some_and(|rest| rest.starts_with(':'))
    }

    /// A task that has just been accepted.
    pub(crate) fn pending(new: NewTask) -> Self {
        Self {
            id: new.id,
            alias: new.alias,
            hash: new.hash,
            command: new.command,
            status: State::Pending,
            limits: new.limits,
            raw_shell: new.raw_shell,
            created_at: new.created_at,
            started_at: None,
            ended_at: None,
            cancel_requested_at: None,
            target_ip: None,
            outcome: None,
            output: Totals::default(),
            durability: None,
            site: None,
            place: None,
            errand: Some(new.errand),
            key: new.key,
            digest: new.digest,
            care: new.care,
            wishes: Wishes::default(),
        }
    }

    /// Takes a step of its life.
    pub(crate) fn step(&mut self, event: Event) -> Result<(), Error> {
        let next = self.status.next(event);
        self.status = next.map_err(|source| Error::Illegal { id: self.id.clone(), source })?;
        Ok(())
    }

    /// Ends it.
    pub(crate) fn end(&mut self, end: Finish) -> Result<(), Error> {
        self.step(Event::ending(&end.outcome))?;
        self.outcome = Some(end.outcome);
        self.ended_at = Some(end.at);
        self.errand = None;
        Ok(())
    }

    /// Changes it and says what there is to tell listeners; a patch that changes nothing has no news.
    pub(crate) fn patch(&mut self, patch: Patch) -> Result<Option<News>, Error> {
        match patch {
            Patch::Connected { target_ip } => {
                self.must_live()?;
                self.target_ip = Some(target_ip);
                Ok(None)
            }
            Patch::Started { at, durability } => {
                self.step(Event::Start)?;
                self.started_at = Some(at);
                self.durability = Some(durability);
                Ok(Some(News::State(State::Running)))
            }
            Patch::Bound { site } => {
                self.must_live()?;
                self.site = Some(site);
                Ok(None)
            }
            Patch::Placed { place } => {
                self.must_live()?;
                self.place = Some(place);
                Ok(None)
            }
            Patch::Attached => {
                self.must_live()?;
                self.durability = Some(Durability::Attached);
                Ok(None)
            }
            Patch::RequestCancel { at } => {
                if self.cancel_requested_at.is_some() || self.status.is_final() {
                    return Ok(None);
                }
                self.cancel_requested_at = Some(at);
                Ok(Some(News::CancelRequested))
            }
            Patch::Wish(wish) => {
                let news = !self.status.is_final() && self.wishes.take(&wish);
                Ok(news.then_some(News::Wished))
            }
        }
    }

    fn must_live(&self) -> Result<(), Error> {
        if self.status.is_final() {
            return Err(Error::Ended { id: self.id.clone(), state: self.status });
        }
        Ok(())
    }

    /// Its status in a word, where a fan-out that begins no more hosts for now is `paused`.
    #[must_use]
    pub fn status_word(&self) -> &'static str {
        if self.wishes.paused && !self.status.is_final() { "paused" } else { self.status.as_str() }
    }

    /// Milliseconds from acceptance to the end, or to `now` while it is at work; 0 if the clock went back.
    #[must_use]
    pub fn elapsed_ms(&self, now: u64) -> u64 {
        self.ended_at.unwrap_or(now).saturating_sub(self.created_at)
    }

    /// When its result expires; `None` while it is at work, for a running task never expires.
    #[must_use]
    pub fn expires_at(&self) -> Option<u64> {
        let ttl = u64::try_from(self.limits.result_ttl.as_millis()).unwrap_or(u64::MAX);
        self.ended_at.map(|ended| ended.saturating_add(ttl))
    }
}

/// The answer to a question about an id: an expired task and one that never was are told apart.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub enum Lookup<T> {
    /// Here it is.
    Found(T),
    /// It was here; its result has expired or had to make room.
    Expired,
    /// No such task is known here. An id that expired very long ago may be forgotten, and then reads as this.
    Unknown,
}

impl<T> Lookup<T> {
    /// The value, if there is one.
    pub fn found(self) -> Option<T> {
        match self {
            Self::Found(value) => Some(value),
            Self::Expired | Self::Unknown => None,
        }
    }

    /// Changes the value, if there is one.
    pub fn map<U>(self, change: impl FnOnce(T) -> U) -> Lookup<U> {
        match self {
            Self::Found(value) => Lookup::Found(change(value)),
            Self::Expired => Lookup::Expired,
            Self::Unknown => Lookup::Unknown,
        }
    }
}

/// A change of a task that has not ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Patch {
    /// The connection stands, to this address. Comes from the task's owner.
    Connected {
        /// The peer's address.
        target_ip: IpAddr,
    },
    /// The command was sent: pending becomes running. Comes from the task's owner.
    Started {
        /// When.
        at: u64,
        /// How it is about to be sent.
        durability: Durability,
    },
    /// Where its start may be sent from now on, and nowhere else. Comes from the task's owner. Before `Started` it is recorded with
    /// that.
    Bound {
        /// In the runner's own words.
        site: String,
    },
    /// The host told where the job lives. Comes from the task's owner.
    Placed {
        /// In the runner's own words.
        place: String,
    },
    /// The host cannot run it as a job and has not started it; it is about to be sent attached. Comes from the owner.
    Attached,
    /// Someone, anywhere, wants the task stopped. The status changes only when the owner finishes the task.
    RequestCancel {
        /// When.
        at: u64,
    },
    /// Someone, anywhere, wants something of a task over many hosts. One that has ended stays as it is.
    Wish(Wish),
}

/// The end of a task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finish {
    /// How it ended; decides the final status.
    pub outcome: Outcome,
    /// When.
    pub at: u64,
}

/// Which tasks to list.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ListQuery {
    /// Only tasks in one of these states; empty for all.
    pub states: Vec<State>,
    /// Only tasks of this host.
    pub alias: Option<Alias>,
    /// Go on after this place, from the previous page.
    pub after: Option<ListCursor>,
    /// Most tasks in the answer; 0 and anything above [`MAX_LIST`] mean [`MAX_LIST`].
    pub limit: usize,
}

/// Most tasks in one page of a list: about 1 MB at the usual size of a command.
pub const MAX_LIST: usize = 1000;

/// A place in the list, which stays valid when the task it names expires.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ListCursor {
    /// When that task was accepted.
    pub created_at: u64,
    /// Its id.
    pub id: TaskId,
}

/// One page of tasks, newest first (by time of acceptance, then by id).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListPage {
    /// The tasks.
    pub tasks: Vec<Task>,
    /// Where the next page starts; `None` when this was the last.
    pub next: Option<ListCursor>,
}

/// Which tasks suit whoever takes them over.
#[derive(Clone)]
pub struct Fits(pub Arc<dyn Fn(&Task) -> bool + Send + Sync>);

impl std::fmt::Debug for Fits {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Fits").finish_non_exhaustive()
    }
}

impl Orphans {
    /// Those of them that suit; the others stay for somebody else.
    #[must_use]
    pub fn that(self, fits: impl Fn(&Task) -> bool + Send + Sync + 'static) -> Self {
        Self::That(Box::new(self), Fits(Arc::new(fits)))
    }

    /// Whether a task is one of them.
    pub(crate) fn takes(&self, task: &Task) -> bool {
        match self {
            Self::All => true,
            Self::One(id) => task.id == *id || task.is_part_of(id),
            Self::That(which, fits) => which.takes(task) && (fits.0)(task),
        }
    }
}

/// Whose tasks to take over.
#[derive(Debug, Clone)]
pub enum Orphans {
    /// All of them.
    All,
    /// This one, if it is one, and those that carry a name of its own: its id, a colon and more.
    One(TaskId),
    /// Those of them that suit.
    That(Box<Orphans>, Fits),
}

/// What a sweep removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Swept {
    /// Tasks whose result expired.
    pub expired: usize,
}
