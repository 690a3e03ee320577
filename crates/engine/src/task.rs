//! Asking about tasks: state, output, the end, and a stop.

use std::time::Duration;

use sshepherd_model::{Outcome, TaskId};
use sshepherd_store::{
    Error, HeadTail, Heard, Lookup, News, Page, Patch, StreamFilter, TailLines, Task,
};
use tokio_util::sync::CancellationToken;

use crate::engine::{Engine, now_ms};
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
    Stopping,
    /// It had ended before.
    AlreadyEnded(Box<Finished>),
    /// Its result has expired.
    Expired,
    /// No such task.
    Unknown,
}

/// How long a cancel waits for the end before it answers `Stopping`: the grace between TERM and KILL, the time the
/// stop script takes to look again, and a second link if the first is full.
const CANCEL_PATIENCE: Duration = Duration::from_secs(12);

impl Engine {
    /// The task as it stands.
    pub async fn task(&self, id: &TaskId) -> Result<Lookup<Task>, Refusal> {
        self.store().get(id).await.map_err(Refusal::Store)
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
        cursor: u64,
        max_bytes: usize,
    ) -> Result<Lookup<Page>, Error> {
        let mut hints = self.store().subscribe();
        loop {
            let page = match self.page(id, cursor, max_bytes, StreamFilter::Both).await? {
                Lookup::Found(page) => page,
                gone @ (Lookup::Expired | Lookup::Unknown) => return Ok(gone),
            };
            if page.end || page.next > cursor {
                return Ok(Lookup::Found(page));
            }
            // Only news of this task, or news that was missed, is worth another look.
            loop {
                match hints.next().await {
                    Heard::Hint(hint) if hint.id == *id => match hint.news {
                        News::Grew { .. } | News::State(_) => break,
                        News::CancelRequested => {}
                    },
                    Heard::Hint(_) => {}
                    Heard::Orphans => {}
                    Heard::Lagged(_) => break,
                    Heard::Closed => return Ok(Lookup::Found(page)),
                }
            }
        }
    }

    /// Waits for the end of a task.
    pub async fn wait(&self, id: &TaskId) -> Result<Lookup<Finished>, Refusal> {
        if let Some(live) = self.live().get(id) {
            live.ended().await;
        }
        Ok(match self.task(id).await? {
            Lookup::Found(task) => match task.outcome.clone() {
                Some(outcome) => Lookup::Found(Finished { task, outcome }),
                None => Lookup::Unknown,
            },
            Lookup::Expired => Lookup::Expired,
            Lookup::Unknown => Lookup::Unknown,
        })
    }

    /// Waits for the end of a task that this caller has just started, and stops it when `cancel` fires.
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
                    self.cancel(id, origin).await?;
                    self.wait(id).await
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
        let patched = self.store().patch(id, Patch::RequestCancel { at: now_ms() }).await;
        let task = match patched.map_err(Refusal::Store)? {
            Lookup::Found(task) => task,
            Lookup::Expired => return Ok(CancelAnswer::Expired),
            Lookup::Unknown => return Ok(CancelAnswer::Unknown),
        };
        if let Some(outcome) = task.outcome.clone() {
            return Ok(CancelAnswer::AlreadyEnded(Box::new(Finished { task, outcome })));
        }
        if let Some(live) = self.live().get(id) {
            live.cancel.cancel();
        }
        match tokio::time::timeout(CANCEL_PATIENCE, self.wait(id)).await {
            Err(_) => Ok(CancelAnswer::Stopping),
            Ok(found) => Ok(match found? {
                Lookup::Found(finished) => match finished.outcome {
                    Outcome::Cancelled { .. } => CancelAnswer::Stopped(Box::new(finished)),
                    Outcome::Exited { .. }
                    | Outcome::Signalled { .. }
                    | Outcome::TimedOut { .. }
                    | Outcome::NotStarted(_)
                    | Outcome::Denied { .. }
                    | Outcome::Interrupted(_) => CancelAnswer::AlreadyEnded(Box::new(finished)),
                },
                Lookup::Expired => CancelAnswer::Expired,
                Lookup::Unknown => CancelAnswer::Unknown,
            }),
        }
    }
}
