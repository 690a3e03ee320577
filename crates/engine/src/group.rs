//! One command on every host of a tag as one task: a parent whose children are the hosts' own tasks.
//!
//! Each child carries a key made of the parent's id and its host, so that whoever goes on with the parent finds the children
//! that were started and starts the others: nothing runs twice.

use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use serde::{Deserialize, Serialize};
use sshepherd_model::{Alias, Limits, Outcome, Request, Rollout, Stopped, Targets, TaskId};
use sshepherd_policy::{Lasts, Verdict};
use sshepherd_store::{Care, Durability, Finish, Lookup, NewTask, Patch, State, Task, TaskLimits};
use tokio_util::sync::CancellationToken;

use crate::approval::Granted;
use crate::config::Config;
use crate::engine::{Engine, now_ms};
use crate::errand::Errand;
use crate::fan_out::{FanOut, HostReport};
use crate::pipeline::{Origin, Ticket};
use crate::plan::Manner;
use crate::refusal::Refusal;
use crate::roll::{self, OnHost};
use crate::runner;
use crate::task::Finished;

/// What became of the hosts, as it is kept with the parent.
#[derive(Debug, Serialize, Deserialize)]
struct Children {
    /// The selector, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    on: Option<String>,
    children: Vec<Child>,
}

/// One host's task, or why it has none.
#[derive(Debug, Serialize, Deserialize)]
struct Child {
    alias: Alias,
    task_id: Option<TaskId>,
    refused: Option<String>,
}

/// How long to wait before a step that the store had no room for is tried again.
const STORE_AGAIN: Duration = Duration::from_millis(500);

/// One command for many hosts.
pub(crate) struct Group {
    pub(crate) id: TaskId,
    pub(crate) targets: Targets,
    pub(crate) request: Request,
    pub(crate) rollout: Rollout,
    pub(crate) origin: Origin,
    /// A person's yes, where one was wanted.
    pub(crate) granted: Granted,
}

impl Engine {
    /// Starts `request` on all of `targets` as `rollout` says, as one task that outlives this server. Its `alias` is the tag, or `fleet`.
    /// Each host's command is judged by itself.
    pub async fn submit_group(
        &self,
        targets: &Targets,
        (request, rollout): (&Request, &Rollout),
        origin: Origin,
    ) -> Result<Ticket, Refusal> {
        if self.closing().is_cancelled() {
            return Err(Refusal::ShuttingDown);
        }
        let config = self.config();
        let chosen = targets.select(&config.inventory)?;
        let (granted, lasts) = self.asked_for_all(&config, &chosen, request, &origin).await?;
        let kept = if lasts == Lasts::Once { Granted::default() } else { granted.clone() };
        let hosts: Vec<Limits> = chosen.iter().map(|host| config.policy.limits(host)).collect();
        let mut limits = hosts.first().cloned().unwrap_or_default();
        limits.max_time = hosts.iter().map(|host| host.max_time).max().unwrap_or_default();
        let alias = targets.label().ok_or(Refusal::NotReached)?;
        let id = TaskId::compose(&alias, &request.hash(), self.nonce()?);
        let task = NewTask {
            id: id.clone(),
            alias: alias.clone(),
            hash: request.hash(),
            command: request.command().to_owned(),
            limits: TaskLimits::from(&limits),
            raw_shell: false,
            created_at: now_ms(),
            errand: Errand::of_group((request, rollout), &origin, targets, &kept),
            key: None,
            care: Care::EachStep,
        };
        self.enter(task).await?;
        let (targets, request, rollout) = (targets.clone(), request.clone(), rollout.clone());
        let hash = request.hash();
        self.run_group(Group { id: id.clone(), targets, request, rollout, origin, granted });
        Ok(Ticket { task_id: id, alias, hash, limits, known: false })
    }

    /// Runs, or goes on with, a group behind the caller.
    pub(crate) fn run_group(&self, group: Group) {
        let engine = self.clone();
        let id = group.id.clone();
        self.at_work(&id, |cancel| async move { group.run(&engine, &cancel).await });
    }

    /// What became of the hosts of a group that has ended; `None` when the task is no group's.
    pub async fn group(&self, task: &Task) -> Option<FanOut> {
        let kept: Children = serde_json::from_str(task.place.as_deref()?).ok()?;
        let request = Request::new(&task.command).ok()?;
        let config = self.config();
        let targets = match kept.on {
            Some(text) => Targets::On(text.parse().ok()?),
            None => Targets::Tag(task.alias.as_str().parse().ok()?),
        };
        let mut hosts = Vec::with_capacity(kept.children.len());
        for child in kept.children {
            let result = self.child(&config, &request, &child).await;
            hosts.push(HostReport { alias: child.alias, result });
        }
        Some(FanOut { targets, hosts })
    }

    async fn child(
        &self,
        config: &Arc<Config>,
        request: &Request,
        child: &Child,
    ) -> Result<Finished, Refusal> {
        let earlier = |reason: &str| Refusal::Earlier { reason: reason.to_owned() };
        let Some(id) = &child.task_id else {
            // The denial itself was not kept; the policy gives it again.
            if let Some(host) = config.inventory.host(&child.alias)
                && let Verdict::Deny(denial) = config.policy.judge(host, request)
            {
                return Err(Refusal::Denied(Box::new(denial)));
            }
            return Err(earlier(child.refused.as_deref().unwrap_or("it was not started")));
        };
        match self.task(id).await? {
            Lookup::Found(task) => match task.outcome.clone() {
                Some(outcome) => Ok(Finished { task, outcome }),
                None => Err(earlier("it has not ended")),
            },
            Lookup::Expired | Lookup::Unknown => Err(earlier("its result has expired")),
        }
    }
}

impl Group {
    async fn run(self, engine: &Engine, cancel: &CancellationToken) {
        let started = Patch::Started { at: now_ms(), durability: Durability::Job };
        // A group that another server started is running already.
        let task = engine.task(&self.id).await.ok().and_then(Lookup::found);
        if task.is_some_and(|task| task.status == State::Pending)
            && let Err(error) = engine.store().patch(&self.id, started).await
        {
            tracing::error!(task = %self.id, %error, "the start could not be stored");
            return;
        }
        let closing = engine.closing().clone();
        let reports = tokio::select! {
            biased;
            // The children are handed on by themselves.
            () = closing.cancelled() => return,
            reports = self.on_all(engine, cancel) => reports,
        };
        if closing.is_cancelled() {
            return;
        }
        let on = match &self.targets {
            Targets::Tag(_) => None,
            Targets::On(selector) => Some(selector.to_string()),
        };
        let children = Children { on, children: reports.iter().map(Child::of).collect() };
        // A struct of texts always has a form in JSON.
        let place = serde_json::to_string(&children).unwrap_or_default();
        let outcome = outcome(&reports, cancel.is_cancelled());
        self.end(engine, place, outcome).await;
    }

    async fn on_all(&self, engine: &Engine, cancel: &CancellationToken) -> Vec<HostReport> {
        let config = engine.config();
        // A name that was taken out of the inventory meanwhile selects nothing, and the end says how many hosts there were.
        let hosts = self.targets.select(&config.inventory).unwrap_or_default();
        let aliases: Vec<Alias> = hosts.iter().map(|host| host.alias.clone()).collect();
        let parallel = config.fan_out_parallel;
        let call = Call { engine, config, group: self };
        roll::roll(aliases, &self.rollout, parallel, cancel, &call, |_, _| {}).await
    }

    async fn on_one(
        &self,
        engine: &Engine,
        config: &Arc<Config>,
        alias: Alias,
        cancel: &CancellationToken,
    ) -> HostReport {
        if cancel.is_cancelled() {
            return HostReport { alias, result: Err(Refusal::NotReached) };
        }
        let manner = Manner::Background { key: Some(format!("{}:{alias}", self.id)) };
        let (config, origin) = (Arc::clone(config), self.origin.clone());
        let submitted =
            engine.submit_under(config, &alias, &self.request, manner, origin, &self.granted).await;
        let result = match submitted {
            Ok(ticket) => engine.wait_or_cancel(&ticket.task_id, cancel, &self.origin).await,
            Err(refusal) => Err(refusal),
        };
        HostReport { alias, result }
    }

    /// Stores what became of the hosts, then the end, however long the store takes to have room.
    async fn end(&self, engine: &Engine, place: String, outcome: Outcome) {
        let end = Finish { outcome, at: now_ms() };
        loop {
            let stored = async {
                let patch = Patch::Placed { place: place.clone() };
                let _ = engine.store().patch(&self.id, patch).await?;
                engine.store().finish(&self.id, end.clone()).await
            };
            match stored.await {
                Err(error) if runner::passes(&error) && !engine.closing().is_cancelled() => {
                    tokio::time::sleep(STORE_AGAIN).await;
                }
                Err(error) => {
                    tracing::error!(task = %self.id, %error, "the outcome could not be stored");
                    return;
                }
                Ok(_) => return,
            }
        }
    }
}

/// What is the same for every host of a group.
struct Call<'a> {
    engine: &'a Engine,
    config: Arc<Config>,
    group: &'a Group,
}

impl OnHost for Call<'_> {
    fn run<'a>(&'a self, alias: Alias, stop: &'a CancellationToken) -> BoxFuture<'a, HostReport> {
        self.group.on_one(self.engine, &self.config, alias, stop).boxed()
    }

    fn passes<'a>(&'a self, alias: &'a Alias, stop: &'a CancellationToken) -> BoxFuture<'a, bool> {
        let gate = self.group.rollout.gate.as_ref();
        // Named like the children, so that whoever goes on with the group finds its answer and does not run it again.
        let key = format!("{}:gate:{alias}", self.group.id);
        let on = (alias, Manner::Background { key: Some(key) });
        self.engine.gate_passes((&self.config, gate), on, &self.group.origin, stop).boxed()
    }
}

impl Child {
    fn of(report: &HostReport) -> Self {
        let (task_id, refused) = match &report.result {
            Ok(finished) => (Some(finished.task.id.clone()), None),
            Err(refusal) => (None, Some(refusal.to_string())),
        };
        Self { alias: report.alias.clone(), task_id, refused }
    }
}

/// Exit status 0 when every host's was; of a cancel, whether every host was seen to have stopped.
fn outcome(reports: &[HostReport], cancelled: bool) -> Outcome {
    let outcomes = || reports.iter().map(|report| report.result.as_ref().map(|done| &done.outcome));
    if cancelled {
        let unsure = outcomes().any(|outcome| {
            matches!(
                outcome,
                Ok(Outcome::Cancelled { stopped: Stopped::Unconfirmed }
                    | Outcome::TimedOut { stopped: Stopped::Unconfirmed }
                    | Outcome::Interrupted(_))
            )
        });
        let stopped = if unsure { Stopped::Unconfirmed } else { Stopped::Confirmed };
        return Outcome::Cancelled { stopped };
    }
    let good = outcomes().all(|outcome| matches!(outcome, Ok(Outcome::Exited { status: 0 })));
    Outcome::Exited { status: u32::from(!good) }
}
