//! What callers want of a fan-out that is under way: pausing it, going on, leaving one host out. Asked by any process, kept in the
//! store, done by the server that runs it, which hears of it as it hears of cancels.

use std::time::Duration;

use sshepherd_model::{Alias, Outcome, TaskId};
use sshepherd_store::{Heard, Lookup, News, Patch, State, Task, Wish, Wishes};
use tokio::sync::watch;

use crate::engine::{Engine, now_ms};
use crate::errand::Errand;
use crate::pipeline::Origin;
use crate::refusal::Refusal;
use crate::task::CancelAnswer;

/// What came of asking a fan-out to pause or to go on.
#[derive(Debug)]
pub enum PauseAnswer {
    /// It is so: the task as it stands.
    Done(Box<Task>),
    /// It had ended before.
    AlreadyEnded(State),
    /// It is a task of one host.
    OneHost,
    /// Its result has expired.
    Expired,
    /// No such task.
    Unknown,
}

/// What came of asking for one host of a fan-out to be left out.
#[derive(Debug)]
pub enum HostCancel {
    /// It had been begun: its task, and what came of stopping that.
    Stopped(TaskId, Box<CancelAnswer>),
    /// It was not begun, and will not be.
    NotBegun,
    /// The fan-out is for other hosts.
    NotOne,
    /// The fan-out had ended before.
    AlreadyEnded(State),
    /// It is a task of one host.
    OneHost,
    /// Its result has expired.
    Expired,
    /// No such task.
    Unknown,
}

/// How long a host that is just being begun is looked for.
const LOOK: Duration = Duration::from_secs(1);
/// How often a fan-out looks for wishes whose news was lost.
const LOOK_AGAIN: Duration = Duration::from_secs(2);

impl Engine {
    /// Has a fan-out begin no more hosts, or go on. Hosts that are at work stay at work, and its deadline goes on running.
    ///
    /// One whose approval expired meanwhile begins no more hosts when it goes on: whoever asked for the pause could else wait with an
    /// old yes for as long as they like.
    ///
    /// Errors: besides those of the store, [`Refusal::Audit`] when going on cannot be audited; then it stays paused.
    pub async fn pause(
        &self,
        id: &TaskId,
        wish: Wish,
        origin: &Origin,
    ) -> Result<PauseAnswer, Refusal> {
        let task = match self.task(id).await? {
            Lookup::Found(task) => task,
            Lookup::Expired => return Ok(PauseAnswer::Expired),
            Lookup::Unknown => return Ok(PauseAnswer::Unknown),
        };
        if !Self::is_group(&task) {
            return Ok(PauseAnswer::OneHost);
        }
        let granted = task.errand.as_deref().map(Errand::granted).unwrap_or_default();
        let lapsed = wish == Wish::Resume && task.wishes.paused && granted.has_lapsed(now_ms());
        let wish = if lapsed { Wish::Lapse } else { wish };
        self.audit_wish(id, &wish, origin)?;
        let patched = self.store().patch(id, Patch::Wish(wish)).await.map_err(Refusal::Store)?;
        Ok(match patched {
            Lookup::Found(task) if task.status.is_final() => PauseAnswer::AlreadyEnded(task.status),
            Lookup::Found(task) => PauseAnswer::Done(Box::new(task)),
            Lookup::Expired => PauseAnswer::Expired,
            Lookup::Unknown => PauseAnswer::Unknown,
        })
    }

    /// Leaves one host of a fan-out out: stopped if it is at work, never begun if it is not.
    pub async fn cancel_host(
        &self,
        id: &TaskId,
        alias: &Alias,
        origin: &Origin,
    ) -> Result<HostCancel, Refusal> {
        let task = match self.task(id).await? {
            Lookup::Found(task) => task,
            Lookup::Expired => return Ok(HostCancel::Expired),
            Lookup::Unknown => return Ok(HostCancel::Unknown),
        };
        if !Self::is_group(&task) {
            return Ok(HostCancel::OneHost);
        }
        if task.status.is_final() {
            return Ok(HostCancel::AlreadyEnded(task.status));
        }
        let targets = task.errand.as_deref().and_then(Errand::targets);
        // Of a fan-out that a process without the inventory asks about, the hosts are not known here.
        let inventory = &self.config().inventory;
        let all = targets.and_then(|targets| targets.select(inventory).ok()).unwrap_or_default();
        let one = all.iter().any(|host| host.alias == *alias);
        if !one && !inventory.hosts().is_empty() {
            return Ok(HostCancel::NotOne);
        }
        let wish = Wish::Skip(alias.clone());
        self.audit_wish(id, &wish, origin)?;
        let mut hints = self.hints();
        let _ = self.store().patch(id, Patch::Wish(wish)).await.map_err(Refusal::Store)?;
        let looking = async {
            loop {
                if let Some(child) = self.child_of(id, alias).await? {
                    return Ok(Some(child));
                }
                let roster = self.roster(&task).await?.unwrap_or_default();
                if roster.ended.iter().any(|end| end.alias == *alias) {
                    return Ok::<_, Refusal>(None);
                }
                hints.next().await;
            }
        };
        // A host of a later batch has no news for long; the wish holds when its turn comes.
        let child = tokio::time::timeout(LOOK, looking).await.unwrap_or(Ok(None))?;
        Ok(match child {
            Some(child) => {
                // The server that runs it may have heard of the wish before.
                let mut answer = self.cancel(&child, origin).await?;
                if let CancelAnswer::AlreadyEnded(finished) = answer {
                    let stopped = matches!(finished.outcome, Outcome::Cancelled { .. });
                    answer = if stopped {
                        CancelAnswer::Stopped(finished)
                    } else {
                        CancelAnswer::AlreadyEnded(finished)
                    };
                }
                HostCancel::Stopped(child, Box::new(answer))
            }
            None => HostCancel::NotBegun,
        })
    }

    /// The task of one host of a fan-out, once it has one.
    pub(crate) async fn child_of(
        &self,
        id: &TaskId,
        alias: &Alias,
    ) -> Result<Option<TaskId>, Refusal> {
        let child = self.store().named(&key(id, alias)).await.map_err(Refusal::Store)?;
        Ok(child.map(|task| task.id))
    }

    /// Tells a fan-out that runs here what is wanted of it, until it ends.
    pub(crate) async fn hear_wishes(&self, id: &TaskId, wishes: &watch::Sender<Wishes>) {
        let mut hints = self.hints();
        loop {
            if let Some(task) = self.task(id).await.ok().and_then(Lookup::found) {
                wishes.send_if_modified(|known| {
                    let news = *known != task.wishes;
                    known.clone_from(&task.wishes);
                    news
                });
            }
            let news = async {
                loop {
                    match hints.next().await {
                        Heard::Hint(hint) if hint.id == *id && hint.news == News::Wished => return,
                        Heard::Lagged(_) => return,
                        // The store is gone, and with it everything that could be wanted.
                        Heard::Closed => std::future::pending().await,
                        Heard::Hint(_) | Heard::Orphans => {}
                    }
                }
            };
            // News of servers whose sockets cannot be reached does not come.
            let _ = tokio::time::timeout(LOOK_AGAIN, news).await;
        }
    }
}

/// The name of a host's task in a fan-out.
pub(crate) fn key(id: &TaskId, alias: &Alias) -> String {
    format!("{id}:{alias}")
}
