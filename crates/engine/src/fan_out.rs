//! One command on many hosts, for a caller who waits: bounded, answered in inventory order.

use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use sshepherd_model::{Alias, Outcome, Request, Rollout, Targets, TaskId};
use sshepherd_store::{Lookup, State};
use tokio_util::sync::CancellationToken;

use crate::approval::{Asking, EXPIRED, Granted};
use crate::engine::{Engine, now_ms};
use crate::pipeline::Origin;
use crate::plan::Manner;
use crate::refusal::Refusal;
use crate::roll::{self, Entry, OnHost};
use crate::task::Finished;
use crate::turns::{Queue, Turn};

/// A host that has not been reached by then makes room, and one that refuses does at once: log-ins take tenths of a second, also far
/// away.
const SLOW: Duration = Duration::from_millis(500);

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

impl HostReport {
    /// Whether the command ended there by itself, with status 0.
    #[must_use]
    pub fn went_well(&self) -> bool {
        matches!(&self.result, Ok(finished) if finished.outcome == Outcome::Exited { status: 0 })
    }
}

impl Engine {
    /// Runs `request` on all of `targets` as `rollout` says, at most `fan_out_parallel` at a time.
    ///
    /// `done` is called as each host finishes, with its report, the count so far and the total. When `cancel` fires, hosts not
    /// yet started are reported as cancelled and running ones are stopped.
    ///
    /// Errors: [`Refusal::Selector`] when a selector names what is no host, [`Refusal::ApprovalRequired`] when a person must say
    /// yes first, once for all hosts and gates, [`Refusal::GateDenied`] when the policy denies the gate on one of them; nothing runs
    /// then.
    pub async fn fan_out(
        &self,
        targets: &Targets,
        (request, rollout): (&Request, &Rollout),
        origin: &Origin,
        cancel: &CancellationToken,
        done: impl FnMut(&HostReport, (usize, usize)) + Send,
    ) -> Result<FanOut, Refusal> {
        let config = self.config();
        let hosts = targets.select(&config.inventory)?;
        let granted = self.cleared(&config, &hosts, (request, rollout), origin).await?;
        let aliases: Vec<Alias> = hosts.iter().map(|host| host.alias.clone()).collect();
        let (gate, queue) = (rollout.gate.as_ref(), self.turns().queue(config.turns()));
        let done = Mutex::new((0, aliases.len(), done));
        let call = Call { engine: self, config, request, gate, origin, granted, queue, done };
        let hosts = roll::roll(aliases, (rollout, Duration::ZERO), None, cancel, &call).await;
        Ok(FanOut { targets: targets.clone(), hosts })
    }

    /// The jump hosts on the way to a host.
    pub(crate) fn jumps(config: &crate::Config, alias: &Alias) -> Vec<Alias> {
        let way = config.inventory.host(alias).map(|host| config.inventory.way_to(host));
        way.unwrap_or_default().iter().map(|hop| hop.alias.clone()).collect()
    }

    /// Waits for the end of a host's task. One that has not been reached by then makes room for another: hosts that are
    /// down would else hold all places for as long as it takes to give them up.
    pub(crate) async fn wait_in_turn(
        &self,
        id: &TaskId,
        turn: &Turn,
        stop: &CancellationToken,
        origin: &Origin,
    ) -> Result<Finished, Refusal> {
        let unreached = self.live().get(id).map(|live| live.unreached).unwrap_or_default();
        let slow = async {
            let _ = tokio::time::timeout(SLOW, unreached.cancelled()).await;
            let task = self.task(id).await.ok().and_then(Lookup::found);
            if task.is_none_or(|task| task.status == State::Pending) {
                turn.step_aside();
            }
            std::future::pending::<Infallible>().await
        };
        tokio::select! {
            finished = self.wait_or_cancel(id, stop, origin) => finished,
            never = slow => match never {},
        }
    }

    /// Whether the gate went well on a host: it ended by itself with status 0, or there is none.
    pub(crate) async fn gate_passes(
        &self,
        (config, gate): (&Arc<crate::Config>, Option<&Request>),
        (alias, manner): (&Alias, Manner),
        (origin, granted): (&Origin, &Granted),
        stop: &CancellationToken,
    ) -> bool {
        let Some(gate) = gate else { return true };
        let (config, asking) = (Arc::clone(config), Asking::Done(granted));
        let submitted =
            self.submit_under(config, alias, gate, manner, origin.clone(), asking).await;
        let Ok(ticket) = submitted else { return false };
        let finished = self.wait_or_cancel(&ticket.task_id, stop, origin).await;
        matches!(finished, Ok(finished) if finished.outcome == Outcome::Exited { status: 0 })
    }
}

/// What is the same for every host.
struct Call<'a, F> {
    engine: &'a Engine,
    config: Arc<crate::Config>,
    request: &'a Request,
    gate: Option<&'a Request>,
    origin: &'a Origin,
    granted: Granted,
    queue: Queue,
    /// How many are done, of how many, and who wants to know.
    done: Mutex<(usize, usize, F)>,
}

impl<F: FnMut(&HostReport, (usize, usize)) + Send> OnHost for Call<'_, F> {
    fn enter<'a>(&'a self, place: usize, alias: &'a Alias) -> BoxFuture<'a, Entry> {
        let jumps = Engine::jumps(&self.config, alias);
        async move {
            let turn = self.queue.turn(place, jumps).await;
            match self.granted.is_over(now_ms()) {
                true => Entry::Over(EXPIRED),
                false => Entry::Turn(turn),
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
        self.on_one(alias, turn, stop).boxed()
    }

    fn done<'a>(&'a self, report: &'a HostReport) -> BoxFuture<'a, ()> {
        let mut done = self.done.lock().unwrap_or_else(PoisonError::into_inner);
        let (count, total, tell) = &mut *done;
        *count += 1;
        tell(report, (*count, *total));
        futures::future::ready(()).boxed()
    }

    fn passes<'a>(&'a self, alias: &'a Alias, stop: &'a CancellationToken) -> BoxFuture<'a, bool> {
        let on = (alias, Manner::Waited);
        let whose = (self.origin, &self.granted);
        self.engine.gate_passes((&self.config, self.gate), on, whose, stop).boxed()
    }
}

impl<F> Call<'_, F> {
    async fn on_one(&self, alias: Alias, turn: Turn, stop: &CancellationToken) -> HostReport {
        let (config, origin) = (Arc::clone(&self.config), self.origin.clone());
        let submitted = self
            .engine
            .submit_under(
                config,
                &alias,
                self.request,
                Manner::Waited,
                origin,
                Asking::Done(&self.granted),
            )
            .await;
        let result = match submitted {
            Ok(ticket) => self.engine.wait_in_turn(&ticket.task_id, &turn, stop, self.origin).await,
            Err(refusal) => Err(refusal),
        };
        HostReport { alias, result }
    }
}
