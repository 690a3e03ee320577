//! One command on many hosts, for a caller who waits: bounded, answered in inventory order.

use std::sync::Arc;

use futures::FutureExt;
use futures::future::BoxFuture;
use sshepherd_model::{Alias, Host, Outcome, Request, Rollout, Targets};
use sshepherd_policy::{Lasts, Verdict};
use tokio_util::sync::CancellationToken;

use crate::Engine;
use crate::approval::Granted;
use crate::pipeline::Origin;
use crate::plan::Manner;
use crate::refusal::Refusal;
use crate::roll::{self, OnHost};
use crate::task::Finished;

/// What came of a fan-out.
#[derive(Debug)]
pub struct FanOut {
    /// What was asked for.
    pub targets: Targets,
    /// One entry a host, in inventory order; empty when nothing was selected.
    pub hosts: Vec<HostReport>,
}

/// What came of it on one host.
#[derive(Debug)]
pub struct HostReport {
    /// The host.
    pub alias: Alias,
    /// Its finished task, or why there is none.
    pub result: Result<Finished, Refusal>,
}

impl Engine {
    /// Runs `request` on all of `targets` as `rollout` says, at most `fan_out_parallel` at a time.
    ///
    /// `done` is called as each host finishes, with the count so far and the total. When `cancel` fires, hosts not
    /// yet started are reported as cancelled and running ones are stopped.
    ///
    /// Errors: [`Refusal::Selector`] when a selector names what is no host, [`Refusal::ApprovalRequired`] when a person must say
    /// yes first, once for all hosts; nothing runs until then. A gate is judged by itself, on each host, when its turn comes.
    pub async fn fan_out(
        &self,
        targets: &Targets,
        (request, rollout): (&Request, &Rollout),
        origin: &Origin,
        cancel: &CancellationToken,
        done: impl FnMut(usize, usize) + Send,
    ) -> Result<FanOut, Refusal> {
        let config = self.config();
        let hosts = targets.select(&config.inventory)?;
        let (granted, _) = self.asked_for_all(&config, &hosts, request, origin).await?;
        let aliases: Vec<Alias> = hosts.iter().map(|host| host.alias.clone()).collect();
        let parallel = config.fan_out_parallel;
        let gate = rollout.gate.as_ref();
        let call = Call { engine: self, config, request, gate, origin, granted };
        let hosts = roll::roll(aliases, rollout, parallel, cancel, &call, done).await;
        Ok(FanOut { targets: targets.clone(), hosts })
    }

    /// One yes for all hosts where a person must be asked.
    pub(crate) async fn asked_for_all(
        &self,
        config: &crate::Config,
        hosts: &[Arc<Host>],
        request: &Request,
        origin: &Origin,
    ) -> Result<(Granted, Lasts), Refusal> {
        let asking = hosts.iter().filter_map(|host| {
            match config.policy.judge(host, request) {
                Verdict::Ask(question) => Some(question),
                // Judged again, one by one, when their turn comes.
                Verdict::Allow(_) | Verdict::Deny(_) => None,
            }
        });
        self.released_for_all(config, asking.collect(), origin).await
    }

    /// Whether the gate went well on a host: it ended by itself with status 0, or there is none.
    pub(crate) async fn gate_passes(
        &self,
        (config, gate): (&Arc<crate::Config>, Option<&Request>),
        (alias, manner): (&Alias, Manner),
        origin: &Origin,
        stop: &CancellationToken,
    ) -> bool {
        let Some(gate) = gate else { return true };
        let (config, none) = (Arc::clone(config), Granted::default());
        let submitted = self.submit_under(config, alias, gate, manner, origin.clone(), &none).await;
        let Ok(ticket) = submitted else { return false };
        let finished = self.wait_or_cancel(&ticket.task_id, stop, origin).await;
        matches!(finished, Ok(finished) if finished.outcome == Outcome::Exited { status: 0 })
    }
}

/// What is the same for every host.
struct Call<'a> {
    engine: &'a Engine,
    config: Arc<crate::Config>,
    request: &'a Request,
    gate: Option<&'a Request>,
    origin: &'a Origin,
    granted: Granted,
}

impl OnHost for Call<'_> {
    fn run<'a>(&'a self, alias: Alias, stop: &'a CancellationToken) -> BoxFuture<'a, HostReport> {
        self.on_one(alias, stop).boxed()
    }

    fn passes<'a>(&'a self, alias: &'a Alias, stop: &'a CancellationToken) -> BoxFuture<'a, bool> {
        let on = (alias, Manner::Waited);
        self.engine.gate_passes((&self.config, self.gate), on, self.origin, stop).boxed()
    }
}

impl Call<'_> {
    async fn on_one(&self, alias: Alias, stop: &CancellationToken) -> HostReport {
        if stop.is_cancelled() {
            return HostReport { alias, result: Err(Refusal::NotReached) };
        }
        let (config, origin) = (Arc::clone(&self.config), self.origin.clone());
        let submitted = self
            .engine
            .submit_under(config, &alias, self.request, Manner::Waited, origin, &self.granted)
            .await;
        let result = match submitted {
            Ok(ticket) => self.engine.wait_or_cancel(&ticket.task_id, stop, self.origin).await,
            Err(refusal) => Err(refusal),
        };
        HostReport { alias, result }
    }
}
