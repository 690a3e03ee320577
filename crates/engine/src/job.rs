//! One command that outlives this server: started at most once, followed from any byte, by whoever owns its task.
//!
//! The store says "running, as a job" before the start is sent. From then on the start may be sent again, by anyone:
//! the host makes a job's folder once. What is lost is the connection, never the job.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use sshepherd_model::{Cause, ConnectFailure, Interruption, Outcome, Phase, Stopped};
use sshepherd_ssh::job::{self, JobEnd, JobEvent, JobPlace, Launched, Tombstone};
use sshepherd_ssh::{Ready, Target};
use sshepherd_store::Patch;

use crate::engine::Engine;
use crate::hole;
use crate::places::Bound;
use crate::plan::Brief;
use crate::runner;
use crate::watch::{Bounds, GRACE, Line, Said, Watched, Why, watch};

/// Time between two attempts to reach a host that a job runs on: from this, doubled each time,
const AGAIN_FIRST: Duration = Duration::from_millis(200);
/// up to this. A network that comes back sends no event.
const AGAIN_MOST: Duration = Duration::from_secs(5);

/// How long a job that must be stopped is looked for on a host that cannot be reached, before the answer is that its end was
/// not seen,
const STOP_PATIENCE: Duration = Duration::from_millis(4500);
/// and after that answer. The host ends it at its time limit all the same.
const STOP_LATER: Duration = Duration::from_secs(20);

/// What is said while an alias leads to another host, account or home than the one that the job was sent to.
pub(crate) const ELSEWHERE: &str =
    "alias leads elsewhere: to another host, account or home than the one it was sent to";

/// Sites that a start is bound to one after the other before it waits: behind one address there may be several hosts.
const BINDINGS: usize = 4;

/// What is sent to start the job; at hand only for those who hold a permit.
pub(crate) struct Start {
    pub(crate) wire: String,
    pub(crate) stdin: Option<Bytes>,
    pub(crate) env: Vec<(String, String)>,
}

/// What is known of the job's start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sent {
    /// Nothing has been sent.
    Never,
    /// A start was sent, here or by a server that is gone, and was not answered.
    Unanswered,
}

/// A job that is being run.
pub(crate) struct Job<'a> {
    pub(crate) engine: &'a Engine,
    pub(crate) brief: &'a Brief,
    pub(crate) start: Option<Start>,
    pub(crate) sent: Sent,
    pub(crate) place: Option<JobPlace>,
    pub(crate) tombstone: Tombstone,
    /// It is only looked for, to be stopped: what never started is not started now.
    pub(crate) stopping: Option<Why>,
    /// It was to be stopped, and nobody has seen it end.
    pub(crate) unseen: Option<Why>,
    /// Where its start may be, or may have been, sent.
    pub(crate) bound: Bound,
}

/// How it went.
pub(crate) enum Ended {
    /// The outcome is known.
    Over(Outcome),
    /// It is left to whoever claims the task next.
    HandedOn,
    /// The host cannot run jobs, and has run nothing: send it attached.
    NoJobs,
}

/// What came of trying to reach it.
pub(crate) enum Reached {
    Line(Box<Line>),
    Ended(Ended),
    /// Try again.
    Away(String),
}

/// How a job's event reads on a line.
pub(crate) fn said(event: Option<JobEvent>) -> Said {
    match event {
        Some(JobEvent::Output { stream, bytes }) => Said::Output(stream, bytes),
        Some(JobEvent::Skipped { stream, bytes }) => Said::Skipped(stream, bytes),
        Some(JobEvent::Lost { detail }) => Said::Cut(detail.to_string()),
        Some(JobEvent::Elsewhere) => Said::Cut(ELSEWHERE.to_owned()),
        Some(JobEvent::Ended(JobEnd::Limit)) => Said::LimitThere,
        Some(JobEvent::Ended(end)) => Said::Over(outcome(end)),
        None => Said::Cut("the job's stream ended without a word".to_owned()),
    }
}

fn outcome(end: JobEnd) -> Outcome {
    let interrupted =
        |cause, detail: &str| Outcome::Interrupted(Interruption { cause, detail: detail.into() });
    match end {
        JobEnd::Exited { status } => Outcome::Exited { status },
        JobEnd::Cut { status } => interrupted(
            Cause::Unknown,
            &format!(
                "it ended with exit status {status}, but the host could not keep all of its output; is its disk full?"
            ),
        ),
        JobEnd::Limit => Outcome::TimedOut { stopped: Stopped::Unconfirmed },
        JobEnd::Rebooted => interrupted(Cause::HostRebooted, "the host restarted while it ran"),
        JobEnd::Killed => interrupted(
            Cause::Lost,
            "what watched over it on the host was killed, so nobody knows how it ended",
        ),
        JobEnd::NotStarted => Outcome::NotStarted(ConnectFailure {
            phase: Phase::Exec,
            detail: "the start broke off before the command ran".into(),
            hint: "nothing was run; send it again".to_owned(),
        }),
        JobEnd::Spoiled { detail } => interrupted(
            Cause::Unknown,
            &format!(
                "somebody changed its files on the host ({}), so its output and its end cannot be known; it may still run",
                detail.as_str()
            ),
        ),
        JobEnd::Gone => interrupted(Cause::Unknown, "its folder on the host is gone"),
    }
}

impl Job<'_> {
    /// Runs or goes on with the job to its end, through lost connections.
    pub(crate) async fn run(&mut self, ready: Option<Ready>, bounds: &mut Bounds) -> Ended {
        let mut ready = ready;
        let mut again = AGAIN_FIRST;
        loop {
            let (engine, starts) = (self.engine, self.start.is_some() && self.sent == Sent::Never);
            let leaving = async {
                match starts {
                    true => engine.last_starts().await,
                    false => engine.closing().cancelled().await,
                }
            };
            let reached = tokio::select! {
                biased;
                () = leaving => return Ended::HandedOn,
                reached = self.reach(ready.take()) => Ok(reached),
                why = bounds.over() => Err(why),
            };
            let reached = match reached {
                Ok(reached) => reached,
                Err(why) => return Box::pin(self.stop_at_last(why)).await,
            };
            let line = match reached {
                Reached::Ended(ended) => return ended,
                Reached::Line(line) => *line,
                Reached::Away(detail) => {
                    tracing::warn!(task = %self.brief.task_id, %detail, "the job is out of sight");
                    if let Some(ended) = self.away(bounds, again).await {
                        return ended;
                    }
                    again = (again * 2).min(AGAIN_MOST);
                    continue;
                }
            };
            match self.follow(line, bounds).await {
                Watched::Over(outcome) => return Ended::Over(outcome),
                Watched::LimitThere => return Ended::Over(self.limit_there().await),
                Watched::Cut(_, Some(outcome)) => return Ended::Over(outcome),
                Watched::Cut(detail, None) => {
                    tracing::warn!(task = %self.brief.task_id, %detail, "the job is out of sight");
                    again = AGAIN_FIRST;
                    if let Some(ended) = self.away(bounds, again).await {
                        return ended;
                    }
                }
                Watched::HandedOn => return Ended::HandedOn,
            }
        }
    }

    async fn follow(&self, line: Line, bounds: &mut Bounds) -> Watched {
        let (engine, cookie) = (self.engine.clone(), self.brief.task_id.to_string());
        let (place, config) = (self.place.clone(), Arc::clone(&self.brief.config));
        let host = Arc::clone(&self.brief.host);
        let stopper = match &line {
            Line::Attached(running) => Some(running.stopper()),
            Line::Job(_) => None,
        };
        watch(self.engine, self.brief, line, bounds, || {
            if let Some(stopper) = stopper.clone() {
                return Box::pin(stopper.stop(GRACE));
            }
            let (engine, config, host) = (engine.clone(), Arc::clone(&config), Arc::clone(&host));
            let (place, cookie) = (place.clone(), cookie.clone());
            Box::pin(async move {
                match (place, runner::target(&engine, &config, &host).await) {
                    (Some(place), Ok(target)) => {
                        job::stop(engine.pool(), target, &place, &cookie, GRACE).await
                    }
                    (None, _) | (_, Err(_)) => Stopped::Unconfirmed,
                }
            })
        })
        .await
    }

    /// The host ended it; whether all of it is gone is seen by looking.
    async fn limit_there(&self) -> Outcome {
        let mut stopped = Stopped::Unconfirmed;
        if let (Some(place), Ok(target)) = (&self.place, self.target().await) {
            let cookie = self.brief.task_id.to_string();
            stopped = job::stop(self.engine.pool(), target, place, &cookie, GRACE).await;
        }
        Outcome::TimedOut { stopped }
    }

    /// Waits before the next attempt. When the job must be stopped meanwhile, it is looked for a while longer.
    async fn away(&mut self, bounds: &mut Bounds, wait: Duration) -> Option<Ended> {
        let closing = self.engine.closing().clone();
        let why = tokio::select! {
            biased;
            () = closing.cancelled() => return Some(Ended::HandedOn),
            why = bounds.over() => why,
            () = tokio::time::sleep(wait) => return None,
        };
        Some(Box::pin(self.stop_at_last(why)).await)
    }

    /// The job is out of sight and must be stopped: what was never sent never runs, and what was is looked for a while longer.
    async fn stop_at_last(&mut self, why: Why) -> Ended {
        if self.place.is_none() && self.sent == Sent::Never {
            return Ended::Over(why.outcome(Stopped::Confirmed));
        }
        let ended = tokio::time::timeout(STOP_PATIENCE, self.look(why)).await;
        ended.unwrap_or_else(|_| {
            self.unseen = Some(why);
            Ended::Over(why.outcome(Stopped::Unconfirmed))
        })
    }

    async fn look(&mut self, why: Why) -> Ended {
        loop {
            if let Some(ended) = self.stop_if_seen(why).await {
                return ended;
            }
            tokio::time::sleep(AGAIN_FIRST).await;
        }
    }

    async fn stop_if_seen(&mut self, why: Why) -> Option<Ended> {
        self.stopping = Some(why);
        match self.reach(None).await {
            Reached::Away(_) => None,
            Reached::Ended(ended) => Some(ended),
            Reached::Line(line) => {
                let mut bounds = Bounds::reached(why);
                match self.follow(*line, &mut bounds).await {
                    Watched::Over(outcome) | Watched::Cut(_, Some(outcome)) => {
                        Some(Ended::Over(outcome))
                    }
                    Watched::LimitThere => Some(Ended::Over(self.limit_there().await)),
                    Watched::Cut(_, None) => None,
                    Watched::HandedOn => Some(Ended::HandedOn),
                }
            }
        }
    }

    pub(crate) async fn target(&self) -> Result<Arc<Target>, ConnectFailure> {
        runner::target(self.engine, &self.brief.config, &self.brief.host).await
    }

    /// Finds the job where it is, or starts it.
    async fn reach(&mut self, ready: Option<Ready>) -> Reached {
        let reached = self.find(ready).await;
        let (sights, id) = (self.engine.sights(), &self.brief.task_id);
        match &reached {
            Reached::Away(detail) if detail.starts_with(ELSEWHERE) => {
                sights.lost(id, detail.clone());
            }
            Reached::Away(detail) => sights.lost(id, format!("not reached: {detail}")),
            Reached::Line(_) | Reached::Ended(_) => sights.clear(id),
        }
        reached
    }

    async fn find(&mut self, ready: Option<Ready>) -> Reached {
        let target = match self.target().await {
            Ok(target) => target,
            Err(failure) => return Reached::Away(failure.to_string()),
        };
        if let Some(place) = self.place.clone() {
            return self.follow_at(target, place).await;
        }
        if self.start.is_none() || self.stopping.is_some() || self.bound == Bound::Anywhere {
            return self.settle(target).await;
        }
        let mut ready = ready;
        for _ in 0..BINDINGS {
            if let Some(reached) = self.send(Arc::clone(&target), ready.take()).await {
                return reached;
            }
        }
        Reached::Away("the alias leads to another host each time".to_owned())
    }

    pub(crate) async fn launched(
        &mut self,
        launched: Launched,
        target: Arc<Target>,
        before: Sent,
    ) -> Reached {
        match (launched, before) {
            (Launched::Job(running), Sent::Never) => {
                self.placed(running.place().clone(), Tombstone::Leave).await;
                Reached::Line(Box::new(Line::Job(running)))
            }
            (Launched::Job(running), Sent::Unanswered) => {
                self.placed(running.place().clone(), Tombstone::Keep).await;
                Reached::Line(Box::new(Line::Job(running)))
            }
            (Launched::Exists(place), Sent::Never | Sent::Unanswered) => {
                self.placed(place.clone(), Tombstone::Keep).await;
                self.follow_at(target, place).await
            }
            // Without a site nothing was sent that a host with a shell would have run.
            (Launched::Refused { reason }, before)
                if before == Sent::Never || self.bound == Bound::Nowhere =>
            {
                tracing::info!(task = %self.brief.task_id, %reason, "the host keeps no jobs");
                Reached::Ended(Ended::NoJobs)
            }
            (Launched::Attached(running), Sent::Never) => {
                self.patch(Patch::Attached).await;
                Reached::Line(Box::new(Line::Attached(running)))
            }
            (Launched::Refused { reason }, _) => Reached::Away(reason.to_string()),
            // Handled before it comes here.
            (Launched::Elsewhere(_), _) => Reached::Away(ELSEWHERE.to_owned()),
            (Launched::Attached(running), Sent::Unanswered) => {
                drop(running);
                unanswered("the host does not keep jobs")
            }
        }
    }

    pub(crate) async fn follow_at(&self, target: Arc<Target>, place: JobPlace) -> Reached {
        let have = match self.engine.task(&self.brief.task_id).await {
            Ok(found) => found.found().map(|task| hole::had(&task)).unwrap_or_default(),
            Err(refusal) => return Reached::Away(refusal.to_string()),
        };
        match job::follow(self.engine.pool(), target, place, have).await {
            Ok(running) if running.is_elsewhere() => Reached::Away(ELSEWHERE.to_owned()),
            Ok(running) => Reached::Line(Box::new(Line::Job(running))),
            Err(failure) => Reached::Away(failure.to_string()),
        }
    }

    /// Head and tail of what the store keeps can wait on the host too.
    pub(crate) fn room(&self) -> u64 {
        self.brief.limits.max_output_bytes.saturating_mul(2).max(job::LEAST_ROOM)
    }

    pub(crate) async fn placed(&mut self, place: JobPlace, tombstone: Tombstone) {
        let place = JobPlace { room: self.room(), ..place };
        // A struct of texts always has a form in JSON.
        let text = serde_json::to_string(&place).unwrap_or_default();
        self.place = Some(place);
        self.tombstone = tombstone;
        self.patch(Patch::Placed { place: text }).await;
    }

    /// Without this note the next owner sends the start again, which finds the job: slower, not wrong.
    async fn patch(&self, patch: Patch) {
        if let Err(error) = self.engine.store().patch(&self.brief.task_id, patch).await {
            tracing::warn!(task = %self.brief.task_id, %error, "the job's place could not be noted");
        }
    }

    /// Removes what the job left on the host, now that its end is in the store.
    pub(crate) async fn clean(&mut self) {
        if let Some(why) = self.unseen.take() {
            // Nobody waits for it any more, but it is still to be stopped.
            let _ = tokio::time::timeout(STOP_LATER, Box::pin(self.look(why))).await;
        }
        let (Some(place), Ok(target)) = (&self.place, self.target().await) else { return };
        match job::remove(self.engine.pool(), target, place, self.tombstone).await {
            Ok(removed) => tracing::debug!(task = %self.brief.task_id, ?removed, "job folder"),
            Err(failure) => {
                let folder = &place.folder;
                tracing::warn!(task = %self.brief.task_id, %folder, %failure, "the job's folder stays");
            }
        }
    }
}

pub(crate) fn unanswered(reason: &str) -> Reached {
    Reached::Ended(Ended::Over(Outcome::lost(format!(
        "the server ended while it was started, and the host cannot tell whether it ran: {reason}"
    ))))
}
