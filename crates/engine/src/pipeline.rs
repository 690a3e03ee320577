//! From request to running command, on one screen: judge → (ask) → plan → audit → record → run.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use sshepherd_model::{Alias, CommandHash, ConnectFailure, Host, Limits, Phase, Request, TaskId};
use sshepherd_policy::Verdict;
use sshepherd_store::Task;
use tokio_util::sync::CancellationToken;

use crate::approval::{Asking, Granted, Released};
use crate::config::Config;
use crate::engine::Engine;
use crate::event::TaskEventKind;
use crate::gate::Seat;
use crate::live::AtClose;
use crate::plan::{Manner, Plan, Preview, TaskKey};
use crate::record::Recorded;
use crate::refusal::Refusal;
use crate::resolve;
use crate::runner::{self, Approach};
use crate::usable;

/// Who asks: written to the audit record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// The face: `mcp` or `cli`.
    pub face: &'static str,
    /// The MCP client's name and version, if it gave one.
    pub client: Option<String>,
}

/// A command that was accepted and recorded.
#[derive(Debug, Clone)]
#[must_use]
pub struct Ticket {
    /// The task to ask about.
    pub task_id: TaskId,
    /// Its host.
    pub alias: Alias,
    /// Hash of the command.
    pub hash: CommandHash,
    /// The limits in force.
    pub limits: Limits,
    /// The caller has asked for this task before, under the same key.
    pub known: bool,
}

impl Ticket {
    /// A task that was there already.
    fn of(task: Task, limits: Limits) -> Self {
        Self { task_id: task.id, alias: task.alias, hash: task.hash, limits, known: true }
    }
}

impl Engine {
    /// Judges `request` for the host `alias` and, when the policy allows it, records and starts it, for a caller who
    /// waits for the result.
    ///
    /// Returns as soon as the task is recorded; connecting and running go on behind it.
    pub async fn submit(
        &self,
        alias: &Alias,
        request: &Request,
        origin: Origin,
    ) -> Result<Ticket, Refusal> {
        let config = self.config();
        self.submit_under(config, alias, request, Manner::Waited, origin, Asking::Now).await
    }

    /// The same for a caller who asks later: the task outlives this server where the host can keep it.
    ///
    /// With a `key`, the caller's own name for this piece of work, the same request for the same host is the same task
    /// as long as its result is kept; for anything else it is [`Refusal::KeyTaken`].
    pub async fn submit_task(
        &self,
        alias: &Alias,
        request: &Request,
        key: Option<String>,
        origin: Origin,
    ) -> Result<Ticket, Refusal> {
        let manner = Manner::Background { key: key.map(TaskKey::Caller) };
        let config = self.config();
        self.submit_under(config, alias, request, manner, origin, Asking::Now).await
    }

    /// The pipeline, under one configuration from start to end.
    pub(crate) async fn submit_under(
        &self,
        config: Arc<Config>,
        alias: &Alias,
        request: &Request,
        manner: Manner,
        origin: Origin,
        asking: Asking<'_>,
    ) -> Result<Ticket, Refusal> {
        if self.closing().is_cancelled() {
            return Err(Refusal::ShuttingDown);
        }
        let host = find(&config, alias)?;
        let seat = |limits: &Limits| {
            self.gate().enter(alias, limits, &config.gate, Instant::now()).map_err(|wait| {
                // Nothing is run in either case.
                let _ = self.audit_throttled(&config, &host, request, &wait, &origin);
                Refusal::Throttled(wait)
            })
        };
        let (released, seat) = match config.policy.judge(&host, request) {
            Verdict::Allow(permit) => {
                let seat = seat(&permit.parts().limits)?;
                (Released { permit, kept: Granted::default() }, seat)
            }
            Verdict::Ask(question) => {
                if let Some(ticket) = self.asked_before(&manner, alias, request).await? {
                    return Ok(ticket);
                }
                // Before a yes is used up.
                let seat = seat(&question.parts().limits)?;
                let released = self.released(&config, question, &origin, asking).await?;
                (released, seat)
            }
            Verdict::Deny(denial) => {
                self.audit_denial(&config, &host, request, &denial, &origin)?;
                return Err(Refusal::Denied(Box::new(denial)));
            }
        };
        let mut plan = Plan::new(released.permit, config, origin, manner, self.nonce()?);
        plan.granted = released.kept;
        self.audit_permit(&plan, request)?;
        let waited = plan.manner == Manner::Waited;
        let approach = waited.then(|| Approach::begin(self, &plan.brief));
        match self.record(&plan, request).await? {
            Recorded::New => Ok(self.run(plan, approach, seat)),
            Recorded::Known(task) => Ok(Ticket::of(*task, plan.brief.limits)),
        }
    }

    /// The task that a caller has asked for before, under the same key: it needs no second yes.
    async fn asked_before(
        &self,
        manner: &Manner,
        alias: &Alias,
        request: &Request,
    ) -> Result<Option<Ticket>, Refusal> {
        let Manner::Background { key: Some(key) } = manner else { return Ok(None) };
        let Some(task) = self.named(key).await? else {
            self.unspent(key, alias, request).await?;
            return Ok(None);
        };
        if !self.is_same(&task, alias, request)? {
            return Err(Refusal::KeyTaken { task_id: task.id });
        }
        let limits = Limits {
            max_time: task.limits.max_time,
            max_output_bytes: task.limits.max_output_bytes,
            result_ttl: task.limits.result_ttl,
            ..Limits::default()
        };
        Ok(Some(Ticket::of(task, limits)))
    }

    /// The host called `alias`, or [`Refusal::UnknownHost`] with the aliases that look alike.
    pub fn host(&self, alias: &Alias) -> Result<Arc<Host>, Refusal> {
        find(&self.config(), alias)
    }

    /// What would happen to `request`, from the same judgement; looks the names up but contacts no host.
    pub async fn plan(&self, alias: &Alias, request: &Request) -> Result<Preview, Refusal> {
        let config = self.config();
        let host = find(&config, alias)?;
        let explanation = config.policy.explain(&host, request);
        let way = match usable::check(&config, &host) {
            Ok(()) => resolve::way(&host, &config).await,
            Err(failure) => Err(failure),
        };
        let addresses = way.map(|mut way| way.pop().map(|(_, last)| last).unwrap_or_default());
        Ok(Preview { explanation, addresses })
    }

    /// Connects and logs in to a host, and runs nothing there. The address that was reached; none is known where a program
    /// connected.
    pub async fn connect(&self, alias: &Alias) -> Result<Option<IpAddr>, ConnectFailure> {
        let config = self.config();
        let host = config.inventory.host(alias).ok_or_else(|| ConnectFailure {
            phase: Phase::Resolve,
            detail: format!("no host is called {alias}").into(),
            hint: "see the list of hosts".to_owned(),
        })?;
        let target = runner::target(self, &config, host).await?;
        Ok(self.pool().open(target).await?.peer())
    }

    fn run(&self, plan: Plan, approach: Option<Approach>, seat: Seat) -> Ticket {
        let brief = &plan.brief;
        let ticket = Ticket {
            task_id: brief.task_id.clone(),
            alias: brief.host.alias.clone(),
            hash: brief.hash.clone(),
            limits: brief.limits.clone(),
            known: false,
        };
        self.emit(brief, TaskEventKind::Created);
        let engine = self.clone();
        let at_close = match &plan.manner {
            Manner::Waited => AtClose::Stop,
            Manner::Background { .. } => AtClose::HandOn,
        };
        self.at_work(&ticket.task_id, at_close, |cancel| async move {
            runner::drive(&engine, plan, approach, cancel).await;
            drop(seat);
        });
        ticket
    }

    /// Does the work of a task behind the caller, who can have it stopped and hear of its end.
    pub(crate) fn at_work<F>(
        &self,
        id: &TaskId,
        at_close: AtClose,
        work: impl FnOnce(CancellationToken) -> F,
    ) where
        F: Future<Output = ()> + Send + 'static,
    {
        let live = self.live().enter(id, at_close);
        let (engine, id) = (self.clone(), id.clone());
        let work = work(live.cancel);
        self.tracker().spawn(async move {
            work.await;
            engine.live().leave(&id);
        });
    }
}

pub(crate) fn find(config: &Config, alias: &Alias) -> Result<Arc<Host>, Refusal> {
    config
        .inventory
        .host(alias)
        .cloned()
        .ok_or_else(|| Refusal::UnknownHost { alias: alias.clone(), near: near(config, alias) })
}

/// The aliases within a third of edits (Levenshtein) of what was asked for: a typing slip, not a guess.
fn near(config: &Config, alias: &Alias) -> Vec<Alias> {
    let wanted = alias.as_str().to_ascii_lowercase();
    let mut scored: Vec<(usize, &Alias)> = config
        .inventory
        .hosts()
        .iter()
        .map(|host| {
            (strsim::levenshtein(&wanted, &host.alias.as_str().to_ascii_lowercase()), &host.alias)
        })
        .filter(|(distance, _)| *distance <= 2.max(wanted.len() / 3))
        .collect();
    scored.sort();
    scored.into_iter().take(3).map(|(_, alias)| alias.clone()).collect()
}
