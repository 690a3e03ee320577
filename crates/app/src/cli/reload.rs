//! Reading the configuration again without being asked over MCP: on SIGHUP, and when one of its files changes.
//!
//! Only the YAML files are looked at. Keys, secrets, `known_hosts` and what programs print are not: that is taken with the next
//! reading.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use sshepherd_engine::{Engine, Origin};
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::context;
use crate::mcp::Loader;

/// How often the files are looked at. No event tells of files on every system and file system that the folder may be on; a few
/// looks in two seconds cost nothing that can be measured.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// What is heard and was seen since before the first reading, so that nothing falls between that and [`Attention::attend`].
pub(crate) struct Attention {
    hangups: Option<Signal>,
    folder: PathBuf,
    seen: Stamps,
}

impl Attention {
    /// Hears SIGHUP from now on, which else ends the process, and notes how the files of `folder` look.
    pub(crate) fn begin(folder: &Path) -> Self {
        let hangups = signal(SignalKind::hangup());
        let told = |error: &std::io::Error| {
            tracing::warn!(%error, "SIGHUP cannot be heard; ssh_reload_config reads the configuration again");
        };
        let hangups = hangups.inspect_err(told).ok();
        Self { hangups, folder: folder.to_owned(), seen: stamps(folder) }
    }

    /// Reads the configuration again on each SIGHUP, and with `watch` when one of its files has changed.
    pub(crate) async fn attend(mut self, engine: Engine, loader: Loader, watch: bool) {
        let mut tick = tokio::time::interval(LOOK_EVERY);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        // Files that are being written are let come to rest: they must look the same twice.
        let mut resting: Option<Stamps> = None;
        loop {
            let face = tokio::select! {
                () = heard(&mut self.hangups) => "signal",
                _ = tick.tick(), if watch => {
                    let now = stamps(&self.folder);
                    if now == self.seen {
                        resting = None;
                        continue;
                    }
                    if resting.as_ref() != Some(&now) {
                        resting = Some(now);
                        continue;
                    }
                    "watch"
                }
            };
            resting = None;
            // Taken before the files are read: what is written meanwhile looks new afterwards.
            self.seen = stamps(&self.folder);
            reload(&engine, &loader, face).await;
        }
    }
}

/// Returns at the next SIGHUP.
async fn heard(hangups: &mut Option<Signal>) {
    if let Some(signals) = hangups
        && signals.recv().await.is_some()
    {
        return;
    }
    *hangups = None;
    std::future::pending().await
}

/// What tells one state of a file from another: device and inode (a file put in its place), its times to the nanosecond, its size.
type Stamp = Option<[u64; 7]>;
/// Which files there are belongs to it: one more or fewer in `servers.d` is a change.
type Stamps = Vec<(PathBuf, Stamp)>;

fn stamps(folder: &Path) -> Stamps {
    let stamp = |file: &Path| {
        let data = std::fs::metadata(file).ok()?;
        let times = [data.mtime(), data.mtime_nsec(), data.ctime(), data.ctime_nsec()];
        let [changed, changed_ns, touched, touched_ns] = times.map(i64::cast_unsigned);
        Some([data.dev(), data.ino(), data.size(), changed, changed_ns, touched, touched_ns])
    };
    let files = sshepherd_config::watched(folder).into_iter();
    files.map(|file| (file.clone(), stamp(&file))).collect()
}

/// Takes the new configuration, or keeps the old one and says why.
async fn reload(engine: &Engine, loader: &Loader, face: &'static str) {
    let origin = Origin { face, client: None };
    let reading = Arc::clone(loader);
    let Ok(loaded) = tokio::task::spawn_blocking(move || reading()).await else {
        engine.config_refused("reading it broke off", &origin);
        tracing::error!("reading the configuration broke off; the old one stays in force");
        return;
    };
    let refused = loaded.refused();
    let Some(config) = loaded.config else {
        // On record first: whoever hears of it may look there.
        engine.config_refused(&refused, &origin);
        for problem in &loaded.problems {
            tracing::error!("{problem}");
        }
        tracing::error!("the configuration has errors; the old one stays in force");
        return;
    };
    let hash = config.policy_hash.clone();
    match engine.replace_config(config, &origin) {
        Ok(()) => tracing::warn!(policy = %hash, "the configuration was read again"),
        Err(refusal) => {
            let why = context::chain(&refusal);
            tracing::error!("{why}; the old configuration stays in force");
        }
    }
}
