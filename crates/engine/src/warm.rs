//! Connections that the owner wants to stand before anyone asks: made when a server starts, looked after while it runs.

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use sshepherd_model::Host;
use sshepherd_ssh::Target;

use crate::config::Config;
use crate::engine::Engine;
use crate::gate::Circuit;
use crate::runner;

/// How often each is looked at: a connection that was lost, or has served its time, is missed no longer than this.
const LOOK_EVERY: Duration = Duration::from_secs(60);

/// Hosts that are connected to at once, so that a large inventory does not crowd out commands.
const AT_ONCE: usize = 16;

impl Engine {
    /// Keeps the hosts that the configuration names connected, until the engine closes.
    pub(crate) async fn keep_warm(self) {
        let mut changes = self.config_changes();
        let mut timer = tokio::time::interval(LOOK_EVERY);
        timer.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = self.closing().cancelled() => return,
                _ = timer.tick() => {}
                Ok(()) = changes.changed() => {}
            }
            let round = self.warm_all();
            let _ = self.closing().run_until_cancelled(round).await;
        }
    }

    async fn warm_all(&self) {
        let config = self.config();
        let Some(targets) = &config.warm else { return };
        let hosts = match targets.select(&config.inventory) {
            Ok(hosts) => hosts,
            Err(problem) => {
                tracing::warn!(%problem, "no host is kept connected: the selector of warm is at fault");
                return;
            }
        };
        let config = &config;
        futures::stream::iter(hosts)
            .for_each_concurrent(AT_ONCE, |host| async move { self.warm(config, &host).await })
            .await;
    }

    async fn warm(&self, config: &Arc<Config>, host: &Arc<Host>) {
        // One that failed too often is left in peace, as by commands.
        if matches!(self.circuit(&host.alias), Circuit::Open { .. }) {
            return;
        }
        let warmed = async {
            let target = runner::target(self, config, host).await?;
            self.pool().warm(unasked(&target), 3 * LOOK_EVERY).await
        };
        if let Err(failure) = warmed.await {
            tracing::info!(host = %host.alias, %failure, "could not be connected to beforehand");
        }
    }
}

/// Nobody has asked for anything yet, so nobody is asked for a code.
fn unasked(target: &Target) -> Arc<Target> {
    let via = target.via.as_deref().map(unasked);
    Arc::new(Target { prompter: None, via, ..target.clone() })
}
