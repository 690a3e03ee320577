//! One command that outlives this server: started at most once, followed from any byte, by whoever owns its task.
//!
//! The store says "running, as a job" before the start is sent. From then on the start may be sent again, by anyone:
//! the host makes a job's folder once. What is lost is the connection, never the job.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;
use sshepherd_model::{ConnectFailure, Outcome, Stopped};
use sshepherd_ssh::job::{self, JobEvent, JobPlace, JobRunning, Launched, Order, Tombstone};
use sshepherd_ssh::{Ready, Target};
use sshepherd_store::{Error, Patch};

use crate::engine::Engine;
use crate::hole;
use crate::places::Bound;
use crate::plan::Brief;
use crate::pursuit::{Ended, Hands, Known, Reached, Sent, Watched};
use crate::runner;
use crate::watch::{self, Bounds, GRACE, Line, Storing, Why, watch};

/// Time after an order to end it that the host showed no sign of, before the next.
const ORDER_AGAIN: Duration = Duration::from_secs(2);

/// How long a job's end may take to show after the host was told to end it: on a line that may be dead,
const LAST_WORDS: Duration = Duration::from_secs(1);
/// and on one that was made after all of it had been seen gone.
const LAST_WORDS_SEEN: Duration = Duration::from_secs(5);

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

/// A job that is being run.
pub(crate) struct Job<'a> {
    pub(crate) engine: &'a Engine,
    pub(crate) brief: &'a Brief,
    pub(crate) start: Option<Start>,
    /// What the start is sent on first.
    pub(crate) ready: Option<Ready>,
    pub(crate) place: Option<JobPlace>,
    pub(crate) tombstone: Tombstone,
    /// Where its start may be, or may have been, sent.
    pub(crate) bound: Bound,
}

/// What came of reaching it.
pub(crate) type Met = Reached<Box<Line>>;

/// A future that tells the host to end it.
type Ordering = BoxFuture<'static, Option<Stopped>>;

impl Hands for Job<'_> {
    type Line = Box<Line>;

    fn closing(&self, known: &Known) -> BoxFuture<'static, ()> {
        let engine = self.engine.clone();
        let starts = self.start.is_some() && known.sent == Sent::Never;
        async move {
            match starts {
                true => engine.last_starts().await,
                false => engine.closing().cancelled().await,
            }
        }
        .boxed()
    }

    fn reach<'a>(&'a mut self, known: &'a mut Known) -> BoxFuture<'a, Met> {
        self.look_for(known).boxed()
    }

    fn follow<'a>(
        &'a mut self,
        line: Box<Line>,
        known: &'a mut Known,
        bounds: &'a mut Bounds,
    ) -> BoxFuture<'a, Watched> {
        async move {
            match *line {
                Line::Attached(running) => {
                    bounds.are_ours();
                    watch(self.engine, self.brief, running, bounds).await
                }
                Line::Job(running) => self.follow_job(running, known, bounds).await,
            }
        }
        .boxed()
    }

    fn stop(&mut self, why: Why) -> BoxFuture<'_, Option<Stopped>> {
        self.order(why)
    }
}

impl Job<'_> {
    /// Output is taken in while the host is told to end it: a channel that nobody reads would stall the very connection that
    /// the order goes over.
    async fn follow_job(
        &self,
        mut running: JobRunning,
        known: &mut Known,
        bounds: &mut Bounds,
    ) -> Watched {
        let (engine, brief) = (self.engine, self.brief);
        let mut ticks = runner::ticker(brief);
        let (mut storing, mut ordering): (Option<Storing>, Option<Ordering>) = (None, None);
        let mut pause = Box::pin(tokio::time::sleep(Duration::ZERO));
        let told = known.heard.is_some();
        let words = match known.heard {
            Some(Stopped::Confirmed) => LAST_WORDS_SEEN,
            Some(_) => LAST_WORDS,
            None => Duration::MAX,
        };
        let mut last_words = Box::pin(tokio::time::sleep(words));
        loop {
            let due = known.wanted.filter(|_| known.heard.is_none() && ordering.is_none());
            tokio::select! {
                biased;
                () = engine.closing().cancelled() => return Watched::HandedOn,
                why = bounds.over(), if known.wanted.is_none() => known.wanted = Some(why),
                // What has ended by itself is not ended, however long its output is on its way.
                () = &mut pause, if due.is_some() && !running.has_ended() => {
                    ordering = due.map(|why| self.order(why));
                }
                heard = answer(&mut ordering), if ordering.is_some() => {
                    ordering = None;
                    known.heard = heard;
                    match heard {
                        Some(_) => last_words = Box::pin(tokio::time::sleep(LAST_WORDS)),
                        None => pause = Box::pin(tokio::time::sleep(ORDER_AGAIN)),
                    }
                }
                () = &mut last_words, if !running.has_ended() => {
                    let ask = told || known.heard != Some(Stopped::Confirmed);
                    return match ask && self.runs(running.place()).await {
                        true => Watched::RunsOn,
                        false => Watched::Cut("its stream does not end".to_owned()),
                    };
                }
                stored = watch::stored(&mut storing), if storing.is_some() => {
                    storing = None;
                    if let Err(error) = stored {
                        return self.unstored(&error);
                    }
                }
                event = running.next(), if storing.is_none() => match self.take(event) {
                    Ok(taking) => storing = Some(taking),
                    Err(watched) => return watched,
                },
                _ = ticks.tick() => runner::report(engine, brief, "running", bounds.began).await,
            }
        }
    }

    /// Begins to store what it wrote; the error is how following ended.
    fn take(&self, event: Option<JobEvent>) -> Result<Storing, Watched> {
        let (engine, id) = (self.engine.clone(), self.brief.task_id.clone());
        Err(match event {
            Some(JobEvent::Output { stream, bytes }) => {
                return Ok(Box::pin(watch::store(engine, id, stream, bytes)));
            }
            Some(JobEvent::Skipped { stream, bytes }) => {
                return Ok(Box::pin(hole::note(engine, id, stream, bytes)));
            }
            Some(JobEvent::Ended(end)) => Watched::Ended(end),
            Some(JobEvent::Lost { detail }) => Watched::Cut(detail.to_string()),
            Some(JobEvent::Elsewhere) => Watched::Cut(ELSEWHERE.to_owned()),
            None => Watched::Cut("the stream ended without a word".to_owned()),
        })
    }

    /// What it wrote is safe on the host; where the store may take it later, it is read again then.
    fn unstored(&self, error: &Error) -> Watched {
        if runner::passes(error) {
            return Watched::Cut(format!("output cannot be stored: {error}"));
        }
        tracing::error!(task = %self.brief.task_id, %error, "the task is no longer ours");
        Watched::HandedOn
    }

    /// Whether the host says that it still runs.
    async fn runs(&self, place: &JobPlace) -> bool {
        match self.target().await {
            Ok(target) => job::runs(self.engine.pool(), target, place).await.unwrap_or(false),
            Err(_) => false,
        }
    }

    /// Tells the host to end it.
    fn order(&self, why: Why) -> Ordering {
        let (engine, cookie) = (self.engine.clone(), self.brief.task_id.to_string());
        let (config, host) = (Arc::clone(&self.brief.config), Arc::clone(&self.brief.host));
        let place = self.place.clone();
        let order = match why {
            Why::Cancelled => Order::Stop,
            Why::TimedOut => Order::Limit,
        };
        async move {
            let target = runner::target(&engine, &config, &host).await.ok()?;
            job::stop(engine.pool(), target, &place?, &cookie, (GRACE, order)).await
        }
        .boxed()
    }

    pub(crate) async fn target(&self) -> Result<Arc<Target>, ConnectFailure> {
        runner::target(self.engine, &self.brief.config, &self.brief.host).await
    }

    /// Finds the job where it is, or starts it.
    async fn look_for(&mut self, known: &mut Known) -> Met {
        let reached = self.find(known).await;
        let (sights, id) = (self.engine.sights(), &self.brief.task_id);
        match &reached {
            Reached::Away(detail) if detail.starts_with(ELSEWHERE) => {
                sights.lost(id, detail.clone());
            }
            Reached::Away(detail) => sights.lost(id, format!("not reached: {detail}")),
            Reached::Line(_) | Reached::Ended(_) | Reached::Buried => sights.clear(id),
        }
        reached
    }

    async fn find(&mut self, known: &mut Known) -> Met {
        let target = match self.target().await {
            Ok(target) => target,
            Err(failure) => return Reached::Away(failure.to_string()),
        };
        if let Some(place) = self.place.clone() {
            return self.follow_at(target, place).await;
        }
        if self.start.is_none() || known.wanted.is_some() || self.bound == Bound::Anywhere {
            return self.settle(target).await;
        }
        for _ in 0..BINDINGS {
            if let Some(reached) = self.send(Arc::clone(&target), known).await {
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
    ) -> Met {
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

    pub(crate) async fn follow_at(&self, target: Arc<Target>, place: JobPlace) -> Met {
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
    pub(crate) async fn clean(&self) {
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

async fn answer(ordering: &mut Option<Ordering>) -> Option<Stopped> {
    match ordering {
        Some(ordering) => ordering.await,
        None => std::future::pending().await,
    }
}

pub(crate) fn unanswered(reason: &str) -> Met {
    Reached::Ended(Ended::Over(Outcome::lost(format!(
        "the server ended while it was started, and the host cannot tell whether it ran: {reason}"
    ))))
}
