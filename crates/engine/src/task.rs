//! Asking about tasks: state, output, the end, and a stop.

use std::sync::Arc;
use std::time::Duration;

use sshepherd_model::{Outcome, Stopped, TaskId};
use sshepherd_store::{
    Error, HeadTail, Heard, ListPage, ListQuery, Lookup, News, Orphans, Page, Patch, State,
    StreamFilter, Subscription, TailLines, Task,
};
use tokio_util::sync::CancellationToken;

use crate::engine::{Engine, now_ms};
use crate::live::{Live, Told, Unstored};
use crate::pipeline::Origin;
use crate::refusal::Refusal;

/// A task that has ended.
#[derive(Debug, Clone)]
pub struct Finished {
    /// The task; its outcome is there.
    pub task: Task,
    /// How it ended.
    pub outcome: Outcome,
}

/// What came of asking to stop a task.
#[derive(Debug)]
pub enum CancelAnswer {
    /// It has ended because of this: the outcome says whether its end was seen.
    Stopped(Box<Finished>),
    /// It was asked to stop and has not ended yet; ask for its status later.
    Stopping {
        /// This is where it is,
        state: State,
        /// and why it is out of sight, if it is.
        detail: Option<String>,
    },
    /// It had ended before.
    AlreadyEnded(Box<Finished>),
    /// Its result has expired.
    Expired,
    /// No such task.
    Unknown,
}

impl CancelAnswer {
    /// Of a task that was asked to stop and has ended since.
    fn of(finished: Finished) -> Self {
        let finished = Box::new(finished);
        match finished.outcome {
            Outcome::Cancelled { .. } => Self::Stopped(finished),
            Outcome::Exited { .. }
            | Outcome::Signalled { .. }
            | Outcome::TimedOut { .. }
            | Outcome::NotStarted(_)
            | Outcome::NotSeenToRun(_)
            | Outcome::Denied { .. }
            | Outcome::Interrupted(_) => Self::AlreadyEnded(finished),
        }
    }
}

/// How long to wait for news before a task is looked at again: only a server whose socket cannot be reached keeps its
/// news to itself.
const LOOK_AGAIN: Duration = Duration::from_secs(2);

/// Which news is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ear {
    Output,
    End,
}

/// How long a cancel waits for the end before it answers `Stopping`: the grace between TERM and KILL, the time the
/// stop script takes to look again, and a second link if the first is full.
const CANCEL_PATIENCE: Duration = Duration::from_secs(12);

/// How long the store may take before what runs here is done without it.
pub(crate) const STORE_PATIENCE: Duration = Duration::from_secs(3);

impl Engine {
    /// Now, in milliseconds since the epoch, as this task counts: while it is at work here nobody's setting of the clock changes how
    /// long it has taken.
    #[must_use]
    pub fn now_of(&self, id: &TaskId) -> u64 {
        self.live().now_of(id).unwrap_or_else(now_ms)
    }

    /// The task as it stands.
    pub async fn task(&self, id: &TaskId) -> Result<Lookup<Task>, Refusal> {
        self.store().get(id).await.map_err(Refusal::Store)
    }

    /// Tasks of every server on this store, newest first.
    pub async fn tasks(&self, query: ListQuery) -> Result<ListPage, Refusal> {
        self.store().list(query).await.map_err(Refusal::Store)
    }

    /// News of tasks, of every server on this store.
    #[must_use]
    pub fn hints(&self) -> Subscription {
        self.store().subscribe()
    }

    /// The last `lines` lines of a task's output within `max_bytes`, while it runs too.
    pub async fn tail_lines(
        &self,
        id: &TaskId,
        lines: usize,
        max_bytes: usize,
    ) -> Result<Lookup<TailLines>, Refusal> {
        self.store().tail_lines(id, lines, max_bytes).await.map_err(Refusal::Store)
    }

    /// Output from `cursor` on. A cursor past the end is the caller's mistake and is told as [`Error::BeyondEnd`].
    pub async fn page(
        &self,
        id: &TaskId,
        cursor: u64,
        max_bytes: usize,
        filter: StreamFilter,
    ) -> Result<Lookup<Page>, Error> {
        self.store().read(id, cursor, max_bytes, filter).await
    }

    /// Beginning and end of the output within `budget` bytes.
    pub async fn head_tail(
        &self,
        id: &TaskId,
        budget: usize,
        filter: StreamFilter,
    ) -> Result<Lookup<HeadTail>, Refusal> {
        self.store().head_tail(id, budget, filter).await.map_err(Refusal::Store)
    }

    /// Output from `cursor` on, waiting until there is some or the task has ended.
    pub async fn follow(
        &self,
        id: &TaskId,
        mut cursor: u64,
        max_bytes: usize,
        filter: StreamFilter,
    ) -> Result<Lookup<Page>, Error> {
        let mut hints = self.store().subscribe_to(id);
        loop {
            let page = match self.page(id, cursor, max_bytes, filter).await? {
                Lookup::Found(page) => page,
                gone @ (Lookup::Expired | Lookup::Unknown) => return Ok(gone),
            };
            let some = !page.chunks.is_empty() || page.missing_before > 0;
            if !some {
                // Bytes of the other stream are not looked at again.
                cursor = page.next;
            }
            if page.end || some || !self.hears_of(&mut hints, id, Ear::Output).await {
                return Ok(Lookup::Found(page));
            }
        }
    }

    /// Waits for the end of a task, whichever server runs it.
    pub async fn wait(&self, id: &TaskId) -> Result<Lookup<Finished>, Refusal> {
        self.wait_with(id, self.live().get(id)).await
    }

    async fn wait_with(
        &self,
        id: &TaskId,
        live: Option<Live>,
    ) -> Result<Lookup<Finished>, Refusal> {
        let ours = live.is_some();
        let told = match live {
            Some(live) => live.ended().await,
            None => None,
        };
        match told {
            Some(Told::Ended(task)) => {
                if let Some(outcome) = task.outcome.clone() {
                    let task = Arc::unwrap_or_clone(task);
                    return Ok(Lookup::Found(Finished { task, outcome }));
                }
            }
            Some(Told::Unstored(unstored)) => {
                let Unstored { why, known } = Arc::unwrap_or_clone(unstored);
                let known = known.map(Box::new);
                return Err(Refusal::Unstored { task_id: id.clone(), why, known });
            }
            None => {}
        }
        let mut hints = self.store().subscribe_to(id);
        loop {
            let task = match self.task(id).await? {
                Lookup::Found(task) => task,
                Lookup::Expired => return Ok(Lookup::Expired),
                Lookup::Unknown => return Ok(Lookup::Unknown),
            };
            if let Some(outcome) = task.outcome.clone() {
                return Ok(Lookup::Found(Finished { task, outcome }));
            }
            // Let go here without an end: handed on, or no longer ours to write. Another server may end it, or nobody.
            if ours && !self.closing().is_cancelled() {
                return Err(Refusal::Store(Error::Fenced { id: id.clone() }));
            }
            if !self.hears_of(&mut hints, id, Ear::End).await {
                return Err(Refusal::ShuttingDown);
            }
        }
    }

    /// Returns at the next news of a task, or when news was missed; `false` when there will be none. Of the other
    /// servers' tasks some news may never come: then a while is long enough to look again.
    async fn hears_of(&self, hints: &mut Subscription, id: &TaskId, ear: Ear) -> bool {
        let news = async {
            loop {
                match hints.next().await {
                    Heard::Hint(hint) if hint.id == *id => match hint.news {
                        News::Grew { .. } if ear == Ear::Output => return true,
                        News::State(_) => return true,
                        News::Grew { .. } | News::CancelRequested | News::Wished => {}
                    },
                    Heard::Hint(_) => {}
                    Heard::Orphans | Heard::Lagged(_) => return true,
                    Heard::Closed => return false,
                }
            }
        };
        tokio::select! {
            () = self.closing().cancelled() => false,
            heard = tokio::time::timeout(LOOK_AGAIN, news) => heard.unwrap_or(true),
        }
    }

    /// Waits for the end of a task that this caller has just started, and stops it when `cancel` fires. What has not ended a
    /// bounded time later is given as cancelled and unconfirmed, while the task itself is still followed.
    pub async fn wait_or_cancel(
        &self,
        id: &TaskId,
        cancel: &CancellationToken,
        origin: &Origin,
    ) -> Result<Finished, Refusal> {
        let ended = async {
            tokio::select! {
                found = self.wait(id) => found,
                () = cancel.cancelled() => {
                    // A server that closes stops what it must, and nobody has asked for that.
                    if self.closing().is_cancelled() {
                        return self.wait(id).await;
                    }
                    match self.cancel(id, origin).await? {
                        CancelAnswer::Stopped(finished) | CancelAnswer::AlreadyEnded(finished) => {
                            Ok(Lookup::Found(*finished))
                        }
                        // Its host may be away for long; the final word follows on the task.
                        CancelAnswer::Stopping { .. } => Ok(self.task(id).await?.map(|task| {
                            let outcome = Outcome::Cancelled { stopped: Stopped::Unconfirmed };
                            Finished { task, outcome }
                        })),
                        CancelAnswer::Expired => Ok(Lookup::Expired),
                        CancelAnswer::Unknown => Ok(Lookup::Unknown),
                    }
                }
            }
        };
        match ended.await? {
            Lookup::Found(finished) => Ok(finished),
            Lookup::Expired | Lookup::Unknown => {
                Err(Refusal::Store(Error::Gone { id: id.clone() }))
            }
        }
    }

    /// Asks a task to stop and waits a bounded time for its end.
    pub async fn cancel(&self, id: &TaskId, origin: &Origin) -> Result<CancelAnswer, Refusal> {
        self.audit_cancel(id, origin);
        let live = self.live().get(id).map(Live::that_is_waited_for);
        let patched = self.store().patch(id, Patch::RequestCancel { at: now_ms() });
        let patched = match &live {
            None => Some(patched.await.map_err(Refusal::Store)?),
            // What runs here is stopped whether or not the store answers.
            Some(live) => {
                live.cancel.cancel();
                tokio::time::timeout(STORE_PATIENCE, patched).await.ok().and_then(Result::ok)
            }
        };
        match patched {
            Some(Lookup::Found(task)) => {
                if let Some(outcome) = task.outcome.clone() {
                    let finished = Finished { task, outcome };
                    return Ok(match live {
                        // It may have been faster than the store.
                        Some(_) => CancelAnswer::of(finished),
                        None => CancelAnswer::AlreadyEnded(Box::new(finished)),
                    });
                }
            }
            Some(Lookup::Expired) => return Ok(CancelAnswer::Expired),
            Some(Lookup::Unknown) => return Ok(CancelAnswer::Unknown),
            None => {}
        }
        if live.is_none() {
            // Another server hears of the request by a hint. When that one is gone, this one goes on.
            self.take_over(Orphans::One(id.clone())).await;
        }
        let live = live.or_else(|| self.live().get(id));
        let waited = tokio::time::timeout(CANCEL_PATIENCE, self.wait_with(id, live)).await;
        let found = match waited {
            Ok(found) => found?,
            // It may have ended in this very moment.
            Err(_) => match self.task(id).await? {
                Lookup::Found(task) => match task.outcome.clone() {
                    Some(outcome) => Lookup::Found(Finished { task, outcome }),
                    None => {
                        let detail = self.out_of_sight(&task);
                        return Ok(CancelAnswer::Stopping { detail, state: task.status });
                    }
                },
                Lookup::Expired => Lookup::Expired,
                Lookup::Unknown => Lookup::Unknown,
            },
        };
        Ok(match found {
            Lookup::Found(finished) => CancelAnswer::of(finished),
            Lookup::Expired => CancelAnswer::Expired,
            Lookup::Unknown => CancelAnswer::Unknown,
        })
    }
}
