//! From request to running command, on one screen: judge → plan → audit → record → run.

use std::net::IpAddr;
use std::sync::Arc;

use sshepherd_model::{Alias, CommandHash, ConnectFailure, Host, Limits, Phase, Request, TaskId};
use sshepherd_policy::Verdict;

use crate::config::Config;
use crate::engine::Engine;
use crate::event::TaskEventKind;
use crate::plan::{Plan, Preview};
use crate::refusal::Refusal;
use crate::{resolve, runner};

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
}

impl Engine {
    /// Judges `request` for the host `alias` and, when the policy allows it, records and starts it.
    ///
    /// Returns as soon as the task is recorded; connecting and running go on behind it.
    pub async fn submit(
        &self,
        alias: &Alias,
        request: &Request,
        origin: Origin,
    ) -> Result<Ticket, Refusal> {
        self.submit_under(self.config(), alias, request, origin).await
    }

    /// The pipeline, under one configuration from start to end.
    pub(crate) async fn submit_under(
        &self,
        config: Arc<Config>,
        alias: &Alias,
        request: &Request,
        origin: Origin,
    ) -> Result<Ticket, Refusal> {
        if self.closing() {
            return Err(Refusal::ShuttingDown);
        }
        let host = find(&config, alias)?;
        let permit = match config.policy.judge(&host, request) {
            Verdict::Allow(permit) => permit,
            Verdict::Deny(denial) => {
                self.audit_denial(&config, &host, request, &denial, &origin)?;
                return Err(Refusal::Denied(Box::new(denial)));
            }
        };
        let plan = Plan::new(permit, config, origin, self.nonce()?);
        self.audit_permit(&plan)?;
        self.record(&plan).await?;
        Ok(self.run(plan))
    }

    /// The host called `alias`, or [`Refusal::UnknownHost`] with the aliases that look alike.
    pub fn host(&self, alias: &Alias) -> Result<Arc<Host>, Refusal> {
        find(&self.config(), alias)
    }

    /// What would happen to `request`, from the same judgement; looks the name up but contacts no host.
    pub async fn plan(&self, alias: &Alias, request: &Request) -> Result<Preview, Refusal> {
        let config = self.config();
        let host = find(&config, alias)?;
        let explanation = config.policy.explain(&host, request);
        let addresses = resolve::resolve(&host, config.policy.network()).await;
        Ok(Preview { explanation, addresses })
    }

    /// Connects and logs in to a host, and runs nothing there.
    pub async fn connect(&self, alias: &Alias) -> Result<IpAddr, ConnectFailure> {
        let config = self.config();
        let host = config.inventory.host(alias).ok_or_else(|| ConnectFailure {
            phase: Phase::Resolve,
            detail: format!("no host is called {alias}"),
            hint: "see the list of hosts".to_owned(),
        })?;
        let target = runner::target(self, &config, host).await?;
        Ok(self.pool().open(target).await?.peer())
    }

    fn run(&self, plan: Plan) -> Ticket {
        let ticket = Ticket {
            task_id: plan.task_id.clone(),
            alias: plan.host.alias.clone(),
            hash: plan.hash.clone(),
            limits: plan.limits.clone(),
        };
        let (live, finished) = self.live().enter(&plan.task_id);
        self.emit(&plan, TaskEventKind::Created);
        let engine = self.clone();
        self.tracker().spawn(async move {
            let id = plan.task_id.clone();
            runner::drive(&engine, plan, live.cancel).await;
            engine.live().leave(&id);
            drop(finished);
        });
        ticket
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
