//! One command on many hosts: side by side, bounded, answered in inventory order.

use std::sync::Arc;

use futures::StreamExt;
use sshepherd_model::{Alias, Host, Request, Targets};
use sshepherd_policy::{Lasts, Verdict};
use tokio_util::sync::CancellationToken;

use crate::Engine;
use crate::approval::Granted;
use crate::pipeline::Origin;
use crate::plan::Manner;
use crate::refusal::Refusal;
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
    /// Runs `request` on all of `targets`, at most `fan_out_parallel` at a time.
    ///
    /// `done` is called as each host finishes, with the count so far and the total. When `cancel` fires, hosts not
    /// yet started are reported as cancelled and running ones are stopped.
    ///
    /// Errors: [`Refusal::Selector`] when a selector names what is no host, [`Refusal::ApprovalRequired`] when a person must say yes first, once for all hosts; nothing runs until then.
    pub async fn fan_out(
        &self,
        targets: &Targets,
        request: &Request,
        origin: &Origin,
        cancel: &CancellationToken,
        mut done: impl FnMut(usize, usize) + Send,
    ) -> Result<FanOut, Refusal> {
        let config = self.config();
        let hosts = targets.select(&config.inventory)?;
        let (granted, _) = self.asked_for_all(&config, &hosts, request, origin).await?;
        let aliases: Vec<Alias> = hosts.iter().map(|host| host.alias.clone()).collect();
        let total = aliases.len();
        let parallel = config.fan_out_parallel.max(1);
        let call = Call { config, request, origin, granted, cancel };
        let mut finished = futures::stream::iter(aliases.into_iter().enumerate())
            .map(|(place, alias)| self.one_host(place, alias, &call))
            .buffer_unordered(parallel);
        let mut reports: Vec<(usize, HostReport)> = Vec::with_capacity(total);
        while let Some(report) = finished.next().await {
            reports.push(report);
            done(reports.len(), total);
        }
        reports.sort_by_key(|(place, _)| *place);
        let targets = targets.clone();
        Ok(FanOut { targets, hosts: reports.into_iter().map(|(_, report)| report).collect() })
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

    async fn one_host(&self, place: usize, alias: Alias, call: &Call<'_>) -> (usize, HostReport) {
        if call.cancel.is_cancelled() {
            return (place, HostReport { alias, result: Err(Refusal::NotReached) });
        }
        let (config, origin) = (Arc::clone(&call.config), call.origin.clone());
        let result = match self
            .submit_under(config, &alias, call.request, Manner::Waited, origin, &call.granted)
            .await
        {
            Ok(ticket) => self.wait_or_cancel(&ticket.task_id, call.cancel, call.origin).await,
            Err(refusal) => Err(refusal),
        };
        (place, HostReport { alias, result })
    }
}

/// What is the same for every host.
struct Call<'a> {
    config: Arc<crate::Config>,
    request: &'a Request,
    origin: &'a Origin,
    granted: Granted,
    cancel: &'a CancellationToken,
}
