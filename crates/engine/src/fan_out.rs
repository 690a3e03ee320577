//! One command on every host of a tag: side by side, bounded, answered in inventory order.

use std::sync::Arc;

use futures::StreamExt;
use sshepherd_model::{Alias, Request, Tag};
use tokio_util::sync::CancellationToken;

use crate::Engine;
use crate::pipeline::Origin;
use crate::plan::Manner;
use crate::refusal::Refusal;
use crate::task::Finished;

/// What came of a fan-out.
#[derive(Debug)]
pub struct FanOut {
    /// One entry a host, in inventory order; empty when no host has the tag.
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
    /// Runs `request` on every host that carries `tag`, at most `fan_out_parallel` at a time.
    ///
    /// `done` is called as each host finishes, with the count so far and the total. When `cancel` fires, hosts not
    /// yet started are reported as cancelled and running ones are stopped.
    pub async fn fan_out(
        &self,
        tag: &Tag,
        request: &Request,
        origin: &Origin,
        cancel: &CancellationToken,
        mut done: impl FnMut(usize, usize) + Send,
    ) -> FanOut {
        let config = self.config();
        let aliases: Vec<Alias> =
            config.inventory.tagged(tag).map(|host| host.alias.clone()).collect();
        let total = aliases.len();
        let parallel = config.fan_out_parallel.max(1);
        let mut finished = futures::stream::iter(aliases.into_iter().enumerate())
            .map(|(place, alias)| {
                self.one_host(place, alias, Arc::clone(&config), request, origin, cancel)
            })
            .buffer_unordered(parallel);
        let mut reports: Vec<(usize, HostReport)> = Vec::with_capacity(total);
        while let Some(report) = finished.next().await {
            reports.push(report);
            done(reports.len(), total);
        }
        reports.sort_by_key(|(place, _)| *place);
        FanOut { hosts: reports.into_iter().map(|(_, report)| report).collect() }
    }

    async fn one_host(
        &self,
        place: usize,
        alias: Alias,
        config: Arc<crate::Config>,
        request: &Request,
        origin: &Origin,
        cancel: &CancellationToken,
    ) -> (usize, HostReport) {
        if cancel.is_cancelled() {
            return (place, HostReport { alias, result: Err(Refusal::NotReached) });
        }
        let result = match self
            .submit_under(config, &alias, request, Manner::Waited, origin.clone())
            .await
        {
            Ok(ticket) => self.wait_or_cancel(&ticket.task_id, cancel, origin).await,
            Err(refusal) => Err(refusal),
        };
        (place, HostReport { alias, result })
    }
}
