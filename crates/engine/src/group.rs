//! One command on every host of a tag as one task: a parent whose children are the hosts' own tasks.
//!
//! Each child carries a key made of the parent's id and its host, so that whoever goes on with the parent finds the children
//! that were started and starts the others: nothing runs twice.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use serde::{Deserialize, Serialize};
use sshepherd_model::{Alias, Host, Limits, Outcome, Request, Rollout, Stopped, Targets, TaskId};
use sshepherd_policy::Verdict;
use sshepherd_store::{
    Care, Durability, Finish, Lookup, NewTask, Patch, State, Task, TaskLimits, Wishes,
};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::approval::{Asking, EXPIRED, Granted};
use crate::config::Config;
use crate::engine::{Engine, now_ms};
use crate::errand::Errand;
use crate::fan_out::{FanOut, HostReport};
use crate::live::AtClose;
use crate::pipeline::{Origin, Ticket};
use crate::plan::{Manner, TaskKey};
use crate::refusal::Refusal;
use crate::roll::{self, Entry, OnHost};
use crate::roster::{self, HostEnd, Roster, Writer};
use crate::runner;
use crate::task::Finished;
use crate::turns::{Queue, Turn};
use crate::wish;

/// What is kept with the parent when it has ended, and its errand is gone.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Kept {
    fan_out: Hosts,
}

/// Which hosts it was for: those of the tag that stands in the place of an alias, or of a selector.
#[derive(Debug, Serialize, Deserialize)]
struct Hosts {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    on: Option<String>,
}

impl Kept {
    /// The hosts of a fan-out that has ended.
    pub(crate) fn of(task: &Task) -> Option<Targets> {
        let kept: Self = serde_json::from_str(task.place.as_deref()?).ok()?;
        match kept.fan_out.on {
            Some(text) => Some(Targets::On(text.parse().ok()?)),
            None => Some(Targets::Tag(task.alias.as_str().parse().ok()?)),
        }
    }

    fn text(targets: &Targets) -> String {
        let on = match targets {
            Targets::Tag(_) => None,
            Targets::On(selector) => Some(selector.to_string()),
        };
        // A struct of texts always has a form in JSON.
        serde_json::to_string(&Self { fan_out: Hosts { on } }).unwrap_or_default()
    }
}

/// How long to wait before a step that the store had no room for is tried again.
pub(crate) const STORE_AGAIN: Duration = Duration::from_millis(500);

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
        let granted = self.cleared(&config, &chosen, (request, rollout), &origin).await?;
        let hosts: Vec<Limits> = chosen.iter().map(|host| config.policy.limits(host)).collect();
        let mut limits = hosts.first().cloned().unwrap_or_default();
        limits.max_time = hosts.iter().map(|host| host.max_time).max().unwrap_or_default();
        // Room for two lines a host: what is written down there is never left out.
        limits.max_output_bytes = roster::LINE * 4 * (hosts.len() as u64 + 16);
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
            errand: Errand::of_group((request, rollout), &origin, targets, &granted),
            key: None,
            digest: None,
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
        self.at_work(
            &id,
            AtClose::HandOn,
            |cancel| async move { group.run(&engine, &cancel).await },
        );
    }

    /// What became of the hosts of a fan-out so far, in inventory order; `None` when the task is of one host.
    pub async fn group(&self, task: &Task) -> Option<FanOut> {
        let errand = task.errand.as_deref().and_then(Errand::targets);
        let targets = errand.or_else(|| Kept::of(task))?;
        let request = Request::new(&task.command).ok()?;
        let roster = self.roster(task).await.ok()??;
        let config = self.config();
        let order = config.inventory.hosts().iter().enumerate();
        let order: HashMap<&Alias, usize> = order.map(|(at, host)| (&host.alias, at)).collect();
        let mut hosts = Vec::with_capacity(roster.ended.len());
        for end in &roster.ended {
            let result = self.child(&config, &request, end).await;
            hosts.push(HostReport { alias: end.alias.clone(), result });
        }
        hosts.sort_by_key(|host| order.get(&host.alias).copied().unwrap_or(usize::MAX));
        Some(FanOut { targets, hosts })
    }

    async fn child(
        &self,
        config: &Arc<Config>,
        request: &Request,
        end: &HostEnd,
    ) -> Result<Finished, Refusal> {
        let Some(id) = &end.task else {
            // The denial itself was not kept; the policy gives it again.
            if let Some(host) = config.inventory.host(&end.alias)
                && let Verdict::Deny(denial) = config.policy.judge(host, request)
            {
                return Err(Refusal::Denied(Box::new(denial)));
            }
            return Err(end.refusal());
        };
        self.ended_before(id).await
    }

    async fn ended_before(&self, id: &TaskId) -> Result<Finished, Refusal> {
        let earlier = |reason: &str| Err(Refusal::Earlier { reason: reason.to_owned() });
        match self.task(id).await? {
            Lookup::Found(task) => match task.outcome.clone() {
                Some(outcome) => Ok(Finished { task, outcome }),
                None => earlier("it has not ended"),
            },
            Lookup::Expired | Lookup::Unknown => earlier("its result has expired"),
        }
    }
}

impl Group {
    async fn run(self, engine: &Engine, cancel: &CancellationToken) {
        let started = Patch::Started { at: engine.now_of(&self.id), durability: Durability::Job };
        let Some(task) = engine.task(&self.id).await.ok().and_then(Lookup::found) else { return };
        // A group that another server started is running already.
        if task.status == State::Pending
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
            reports = self.on_all(engine, &task, cancel) => reports,
        };
        if closing.is_cancelled() {
            return;
        }
        let outcome = outcome(&reports, cancel.is_cancelled());
        self.end(engine, Kept::text(&self.targets), outcome).await;
    }

    async fn on_all(
        &self,
        engine: &Engine,
        task: &Task,
        cancel: &CancellationToken,
    ) -> Vec<HostReport> {
        let config = engine.config();
        // A name that was taken out of the inventory meanwhile selects nothing, and the end says how many hosts there were.
        let hosts = self.targets.select(&config.inventory).unwrap_or_default();
        let aliases: Vec<Alias> = hosts.iter().map(|host| host.alias.clone()).collect();
        let before = engine.roster(task).await.ok().flatten().unwrap_or_default();
        let log = Writer::open(engine, &self.id, aliases.len(), before.read).await;
        let ended = before.ended.iter().map(|end| (end.alias.clone(), end.clone())).collect();
        let (wanted, wishes) = watch::channel(task.wishes.clone());
        let queue = engine.turns().background_queue(config.turns());
        let begun = before.begun.clone();
        let held_back = self.held_back(engine, &config, &hosts, &before);
        let call = Call { engine, config, group: self, log, ended, begun, wishes, queue };
        // The wall clock is all that goes on while no server runs.
        let gone = task.started_at.map_or(0, |at| now_ms().saturating_sub(at));
        let rollout = (&self.rollout, Duration::from_millis(gone));
        tokio::select! {
            biased;
            reports = roll::roll(aliases, rollout, held_back, cancel, &call) => reports,
            () = engine.hear_wishes(&self.id, &wanted) => Vec::new(),
        }
    }

    /// Why no more of its hosts may be begun, if so: the configuration may be another one by now, and the yes over.
    fn held_back(
        &self,
        engine: &Engine,
        config: &Config,
        hosts: &[Arc<Host>],
        before: &Roster,
    ) -> Option<String> {
        let ended: BTreeSet<&Alias> = before.ended.iter().map(|end| &end.alias).collect();
        let over =
            |host: &Arc<Host>| before.begun.contains(&host.alias) || ended.contains(&host.alias);
        let left: Vec<Arc<Host>> = hosts.iter().filter(|host| !over(host)).cloned().collect();
        let what = (&self.request, &self.rollout);
        let judged = engine.held_back(config, (hosts, &left), what, &self.granted);
        judged.unwrap_or_else(|refusal| Some(refusal.to_string()))
    }

    /// Stores what became of the hosts, then the end, however long the store takes to have room.
    async fn end(&self, engine: &Engine, place: String, outcome: Outcome) {
        let end = Finish { outcome, at: engine.now_of(&self.id) };
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
    log: Writer<'a>,
    /// What was there when this server went on with it.
    ended: HashMap<Alias, HostEnd>,
    begun: BTreeSet<Alias>,
    wishes: watch::Receiver<Wishes>,
    queue: Queue,
}

impl OnHost for Call<'_> {
    fn known<'a>(&'a self, alias: &'a Alias) -> BoxFuture<'a, Option<HostReport>> {
        async move {
            let end = self.ended.get(alias)?;
            let result = match &end.task {
                Some(id) => self.engine.ended_before(id).await,
                None => Err(end.refusal()),
            };
            Some(HostReport { alias: alias.clone(), result })
        }
        .boxed()
    }

    fn has_begun(&self, alias: &Alias) -> bool {
        self.begun.contains(alias)
    }

    fn enter<'a>(&'a self, place: usize, alias: &'a Alias) -> BoxFuture<'a, Entry> {
        let jumps = Engine::jumps(&self.config, alias);
        let mut wishes = self.wishes.clone();
        async move {
            loop {
                let (paused, left_out, lapsed) = {
                    let wishes = wishes.borrow_and_update();
                    (wishes.paused, wishes.skipped.contains(alias), wishes.lapsed)
                };
                let begun = self.begun.contains(alias);
                if left_out && !begun {
                    return Entry::LeftOut;
                }
                if !begun && (lapsed || self.group.granted.is_over(now_ms())) {
                    return Entry::Over(EXPIRED);
                }
                tokio::select! {
                    biased;
                    Ok(()) = wishes.changed() => {}
                    // What another server has begun is under way, paused or not.
                    turn = self.queue.turn(place, jumps.clone()), if !paused || begun => {
                        if !begun && self.group.granted.is_over(now_ms()) {
                            return Entry::Over(EXPIRED);
                        }
                        return Entry::Turn(turn);
                    }
                    // Nobody is left who could want anything.
                    else => std::future::pending().await,
                }
            }
        }
        .boxed()
    }

    fn run<'a>(
        &'a self,
        alias: Alias,
        turn: Turn,
        stop: &'a CancellationToken,
    ) -> BoxFuture<'a, HostReport> {
        async move {
            let result = self.on_one(&alias, &turn, stop).await;
            HostReport { alias, result }
        }
        .boxed()
    }

    fn passes<'a>(&'a self, alias: &'a Alias, stop: &'a CancellationToken) -> BoxFuture<'a, bool> {
        let gate = self.group.rollout.gate.as_ref();
        // Named like the children, so that whoever goes on with the group finds its answer and does not run it again.
        let key = format!("{}:gate:{alias}", self.group.id);
        let on = (alias, Manner::Background { key: Some(TaskKey::Own(key)) });
        let whose = (&self.group.origin, &self.group.granted);
        self.engine.gate_passes((&self.config, gate), on, whose, stop).boxed()
    }

    fn done<'a>(&'a self, report: &'a HostReport) -> BoxFuture<'a, ()> {
        async move {
            // A server that closes has not ended what it hands on.
            if !self.ended.contains_key(&report.alias) && !self.engine.closing().is_cancelled() {
                self.log.ended(report).await;
            }
        }
        .boxed()
    }
}

impl Call<'_> {
    async fn on_one(
        &self,
        alias: &Alias,
        turn: &Turn,
        stop: &CancellationToken,
    ) -> Result<Finished, Refusal> {
        let (engine, group) = (self.engine, self.group);
        let before = match self.begun.contains(alias) {
            true => engine.child_of(&group.id, alias).await?,
            false => None,
        };
        let id = match before {
            Some(id) => id,
            // A server that was gone before it had a task here.
            None if self.wishes.borrow().skipped.contains(alias) => {
                return Err(Refusal::NotBegun { why: roll::LEFT_OUT.to_owned() });
            }
            None => {
                self.log.begun(alias).await;
                let key = TaskKey::Own(wish::key(&group.id, alias));
                let manner = Manner::Background { key: Some(key) };
                let (config, origin) = (Arc::clone(&self.config), group.origin.clone());
                let (request, asking) = (&group.request, Asking::Done(&group.granted));
                engine.submit_under(config, alias, request, manner, origin, asking).await?.task_id
            }
        };
        // Whoever wants this host left out stops its task, unless it was not there yet.
        let own = stop.child_token();
        let waiting = engine.wait_in_turn(&id, turn, &own, &group.origin);
        tokio::pin!(waiting);
        let mut wishes = self.wishes.clone();
        tokio::select! {
            biased;
            finished = &mut waiting => return finished,
            Ok(_) = wishes.wait_for(|wishes| wishes.skipped.contains(alias)) => own.cancel(),
        }
        waiting.await
    }
}

/// Exit status 0 when every host's was; of a cancel, whether every host was seen to have stopped.
fn outcome(reports: &[HostReport], cancelled: bool) -> Outcome {
    let outcomes = || reports.iter().map(|report| report.result.as_ref().map(|done| &done.outcome));
    if cancelled {
        let unsure = outcomes().any(|outcome| {
            matches!(
                outcome,
                Ok(Outcome::Cancelled { stopped: Stopped::Unconfirmed | Stopped::Left(_) }
                    | Outcome::TimedOut { stopped: Stopped::Unconfirmed | Stopped::Left(_) }
                    | Outcome::NotSeenToRun(_)
                    | Outcome::Interrupted(_))
            )
        });
        let stopped = if unsure { Stopped::Unconfirmed } else { Stopped::Confirmed };
        return Outcome::Cancelled { stopped };
    }
    let good = outcomes().all(|outcome| matches!(outcome, Ok(Outcome::Exited { status: 0 })));
    Outcome::Exited { status: u32::from(!good) }
}
