//! Reading the configuration again without being asked over MCP: on SIGHUP, and when a file of it changes.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use sshepherd_config::Folders;
use sshepherd_engine::{Engine, Origin};
use tokio::signal::unix::{SignalKind, signal};

use super::context;
use crate::mcp::Loader;

/// The files of a configuration folder.
const FILES: [&str; 4] = ["servers.yml", "credentials.yml", "policy.yml", "sshepherd.yml"];

/// How often the files are looked at. No event tells of files on every system and file system that the folder may be on; four
/// looks in two seconds cost nothing that can be measured.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// Reads the configuration again on each SIGHUP, and with `watched` when a file in that folder has changed.
pub(crate) async fn attend(engine: Engine, loader: Loader, watched: Option<Folders>) {
    let Ok(mut hangups) = signal(SignalKind::hangup()) else {
        tracing::warn!("SIGHUP cannot be heard; ssh_reload_config reads the configuration again");
        return;
    };
    let folder = watched.map(|folders| folders.config);
    let mut seen = folder.as_deref().map(stamps);
    let mut tick = tokio::time::interval(LOOK_EVERY);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    // Files that are being written are let come to rest: they must look the same twice.
    let mut changed = false;
    loop {
        tokio::select! {
            heard = hangups.recv() => {
                if heard.is_none() {
                    return;
                }
                reload(&engine, &loader, "signal").await;
                seen = folder.as_deref().map(stamps);
                changed = false;
            }
            _ = tick.tick(), if folder.is_some() => {
                let now = folder.as_deref().map(stamps);
                if now != seen {
                    seen = now;
                    changed = true;
                } else if std::mem::take(&mut changed) {
                    reload(&engine, &loader, "watch").await;
                }
            }
        }
    }
}

type Stamp = Option<(SystemTime, u64)>;

fn stamps(folder: &Path) -> [Stamp; 4] {
    FILES.map(|name| {
        let data = std::fs::metadata(folder.join(name)).ok()?;
        Some((data.modified().ok()?, data.len()))
    })
}

/// Takes the new configuration, or keeps the old one and says why.
async fn reload(engine: &Engine, loader: &Loader, face: &'static str) {
    let reading = Arc::clone(loader);
    let Ok(loaded) = tokio::task::spawn_blocking(move || reading()).await else {
        tracing::error!("reading the configuration broke off; the old one stays in force");
        return;
    };
    let Some(config) = loaded.config else {
        for problem in &loaded.problems {
            tracing::error!("{problem}");
        }
        tracing::error!("the configuration has errors; the old one stays in force");
        return;
    };
    let hash = config.policy_hash.clone();
    match engine.replace_config(config, &Origin { face, client: None }) {
        Ok(()) => tracing::warn!(policy = %hash, "the configuration was read again"),
        Err(refusal) => {
            let why = context::chain(&refusal);
            tracing::error!("{why}; the old configuration stays in force");
        }
    }
}
