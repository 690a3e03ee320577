//! The handle that faces hold: a cheap clone around what the engine owns.

use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant, SystemTime};

use sshepherd_audit::Sink;
use sshepherd_model::Alias;
use sshepherd_ssh::{OnTouch, Pool, Prompter};
use sshepherd_store::{Orphans, Store};
use tokio::sync::{broadcast, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::config::Config;
use crate::event::{EVENT_BACKLOG, TaskEvent, TaskEventKind};
use crate::gate::{Circuit, Gate};
use crate::host_keys::HostKeys;
use crate::live::LiveTable;
use crate::places::{Sights, Sites};
use crate::plan::Brief;
use crate::refusal::Refusal;
use crate::rosters::Rosters;
use crate::shell::Shells;
use crate::turns::Turns;

/// What an engine is started with.
pub struct Services {
    /// Where tasks and their output are kept.
    pub store: Arc<dyn Store>,
    /// Where every decision and execution is recorded.
    pub audit: Sink,
    /// Whether tasks of servers that are gone are gone on with unasked.
    pub orphans: Adopt,
}

/// What an engine does about tasks whose server is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Adopt {
    /// Goes on with them: a server.
    Unasked,
    /// Leaves them, but for one that it is asked to stop: a short visit from the command line.
    OnRequest,
}

/// The one road to a host. Clones share everything.
#[derive(Clone)]
pub struct Engine {
    inner: Arc<Inner>,
}

struct Inner {
    config: watch::Sender<Arc<Config>>,
    store: Arc<dyn Store>,
    audit: Sink,
    pool: Pool,
    host_keys: HostKeys,
    live: LiveTable,
    sites: Sites,
    sights: Sights,
    gate: Gate,
    turns: Turns,
    rosters: Rosters,
    shells: Shells,
    events: broadcast::Sender<TaskEvent>,
    touches: broadcast::Sender<Alias>,
    tracker: TaskTracker,
    closing: CancellationToken,
    closed_at: OnceLock<tokio::time::Instant>,
    prompter: OnceLock<Arc<dyn Prompter>>,
}

/// How long a shutdown waits for running commands to be stopped and for links to close.
/// A stop takes its grace (3 s) plus a round trip or two.
const SHUTDOWN_PATIENCE: Duration = Duration::from_secs(6);

/// How long a closing engine goes on bringing accepted tasks to their hosts.
pub(crate) const LAST_STARTS: Duration = Duration::from_secs(3);

impl Engine {
    /// An engine over `config`; needs a tokio runtime.
    #[must_use]
    pub fn start(config: Config, services: Services) -> Self {
        let (config, _) = watch::channel(Arc::new(config));
        let (events, _) = broadcast::channel(EVENT_BACKLOG);
        let (touches, _) = broadcast::channel(EVENT_BACKLOG);
        let inner = Inner {
            config,
            store: services.store,
            audit: services.audit,
            pool: Pool::new(sshepherd_ssh::PoolSettings::default()),
            host_keys: HostKeys::default(),
            live: LiveTable::default(),
            sites: Sites::default(),
            sights: Sights::default(),
            gate: Gate::default(),
            turns: Turns::default(),
            rosters: Rosters::default(),
            shells: Shells::default(),
            events,
            touches,
            tracker: TaskTracker::new(),
            closing: CancellationToken::new(),
            closed_at: OnceLock::new(),
            prompter: OnceLock::new(),
        };
        let engine = Self { inner: Arc::new(inner) };
        engine.tracker().spawn(engine.clone().sweep(services.orphans));
        engine.tracker().spawn(engine.clone().attend(services.orphans));
        if services.orphans == Adopt::Unasked {
            engine.tracker().spawn(engine.clone().keep_warm());
        }
        engine
    }

    /// Takes what hosts ask while logging in (keyboard-interactive) to a person from now on. The first one that is given
    /// stays; without one, such log-ins fail and say so.
    pub fn prompt_with(&self, prompter: Arc<dyn Prompter>) {
        let _ = self.inner.prompter.set(prompter);
    }

    pub(crate) fn prompter(&self) -> Option<&Arc<dyn Prompter>> {
        self.inner.prompter.get()
    }

    /// The configuration in force now.
    #[must_use]
    pub fn config(&self) -> Arc<Config> {
        self.inner.config.borrow().clone()
    }

    /// Hears of every later configuration.
    #[must_use]
    pub fn config_changes(&self) -> watch::Receiver<Arc<Config>> {
        self.inner.config.subscribe()
    }

    /// Swaps the configuration whole. Requests under way finish under the one they were judged by; pooled links are
    /// let go, so that the next command logs in as the new configuration says.
    pub fn replace_config(&self, config: Config, origin: &crate::Origin) -> Result<(), Refusal> {
        self.audit_reload(&config, origin)?;
        self.inner.config.send_replace(Arc::new(config));
        self.inner.pool.forget_all();
        self.inner.sites.forget();
        // Only the owner sends a signal: a client that could end pauses by a reload could lock accounts.
        if origin.face == "signal" {
            self.inner.pool.forgive_refusals();
        }
        Ok(())
    }

    /// Writes down that a configuration was not taken and the old one stays in force; `why` holds nothing of its text.
    pub fn config_refused(&self, why: &str, origin: &crate::Origin) {
        if let Err(error) = self.audit_reload_refused(&self.config(), why, origin) {
            tracing::error!(%error, "a configuration that was not taken could not be audited");
        }
    }

    /// Hears of what happens to tasks. A listener that lags misses events, never data.
    #[must_use]
    pub fn events(&self) -> broadcast::Receiver<TaskEvent> {
        self.inner.events.subscribe()
    }

    /// Hears of each host whose log-in waits for the touch of a security key.
    #[must_use]
    pub fn touches(&self) -> broadcast::Receiver<Alias> {
        self.inner.touches.subscribe()
    }

    /// What a log-in calls that waits for the touch of a security key.
    pub(crate) fn on_touch(&self) -> OnTouch {
        let touches = self.inner.touches.clone();
        Arc::new(move |alias: &Alias| {
            tracing::info!(host = %alias, "waiting for touch: a security key must confirm the log-in");
            // No listener is not an error: it is told where somebody listens.
            let _ = touches.send(alias.clone());
        })
    }

    /// The first step of [`Engine::shutdown`], which waits for nothing: no new commands are taken, and those that cannot be handed
    /// on are stopped.
    pub fn close(&self) {
        self.inner.closed_at.get_or_init(tokio::time::Instant::now);
        self.inner.closing.cancel();
        self.inner.live.close();
    }

    /// Takes no new commands, hands on the tasks that outlive this server, stops the other running ones, and closes every
    /// link; bounded by a few seconds.
    pub async fn shutdown(&self) {
        self.close();
        self.inner.tracker.close();
        if tokio::time::timeout(SHUTDOWN_PATIENCE, self.inner.tracker.wait()).await.is_err() {
            tracing::warn!("some commands could not be seen to end before shutdown");
        }
        self.inner.pool.shutdown().await;
    }

    /// Expires results when their time has come, and finds tasks of servers whose end went unheard.
    async fn sweep(self, adopt: Adopt) {
        let mut timer = tokio::time::interval(SWEEP_EVERY);
        loop {
            tokio::select! {
                () = self.inner.closing.cancelled() => return,
                _ = timer.tick() => {}
            }
            if let Err(error) = self.inner.store.sweep(now_ms()).await {
                tracing::warn!(%error, "expired results could not be removed");
            }
            if adopt == Adopt::Unasked {
                self.take_over(Orphans::All).await;
            }
            if let Some(folder) = self.inner.shells.folder() {
                let keep = self.config().shells.keep.as_millis();
                let keep = u64::try_from(keep).unwrap_or(u64::MAX);
                folder.sweep(now_ms().saturating_sub(keep));
            }
        }
    }

    pub(crate) fn emit(&self, brief: &Brief, kind: TaskEventKind) {
        // No listener is not an error: events are hints.
        let _ = self.inner.events.send(TaskEvent {
            task_id: brief.task_id.clone(),
            alias: brief.host.alias.clone(),
            hash: brief.hash.clone(),
            kind,
        });
    }

    /// Fires when no new work is taken and what can be handed on is.
    pub(crate) fn closing(&self) -> &CancellationToken {
        &self.inner.closing
    }

    /// Returns when a task that was accepted is no longer brought to its host by this server.
    pub(crate) async fn last_starts(&self) {
        self.closing().cancelled().await;
        let closed = self.inner.closed_at.get_or_init(tokio::time::Instant::now);
        tokio::time::sleep_until(*closed + LAST_STARTS).await;
    }

    pub(crate) fn live(&self) -> &LiveTable {
        &self.inner.live
    }

    /// Keeps records and recordings of interactive shells there from now on; without a folder, none are kept.
    pub fn keep_shells_in(&self, folder: sshepherd_store::shells::ShellFolder) {
        self.inner.shells.kept_in(folder);
    }

    pub(crate) fn shells(&self) -> &Shells {
        &self.inner.shells
    }

    /// Why tasks are out of sight.
    pub(crate) fn sights(&self) -> &Sights {
        &self.inner.sights
    }

    /// What hosts have said of where they are.
    pub(crate) fn sites(&self) -> &Sites {
        &self.inner.sites
    }

    pub(crate) fn gate(&self) -> &Gate {
        &self.inner.gate
    }

    /// The places of hosts in fan-outs.
    pub(crate) fn turns(&self) -> &Turns {
        &self.inner.turns
    }

    /// What has been read of fan-outs' logs.
    pub(crate) fn rosters(&self) -> &Rosters {
        &self.inner.rosters
    }

    /// Whether a host is tried at present.
    #[must_use]
    pub fn circuit(&self, alias: &Alias) -> Circuit {
        self.inner.gate.circuit(alias, Instant::now())
    }

    pub(crate) fn tracker(&self) -> &TaskTracker {
        &self.inner.tracker
    }

    pub(crate) fn store(&self) -> &dyn Store {
        &*self.inner.store
    }

    pub(crate) fn audit(&self) -> &Sink {
        &self.inner.audit
    }

    pub(crate) fn pool(&self) -> &Pool {
        &self.inner.pool
    }

    pub(crate) fn host_keys(&self) -> &HostKeys {
        &self.inner.host_keys
    }
}

/// Granularity of expiry; results live for minutes, so ten seconds late is in the noise.
const SWEEP_EVERY: Duration = Duration::from_secs(10);

/// The one place that reads the wall clock: milliseconds since the epoch.
pub(crate) fn now_ms() -> u64 {
    SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
        .saturating_add_signed(clock_offset_ms().saturating_add(jumped()))
}

/// How far a test wants this clock to be wrong, in milliseconds; only in builds with debug assertions.
#[cfg(debug_assertions)]
fn clock_offset_ms() -> i64 {
    static OFFSET: std::sync::OnceLock<i64> = std::sync::OnceLock::new();
    *OFFSET.get_or_init(|| {
        let wanted = std::env::var("SSHEPHERD_CLOCK_OFFSET_MS");
        wanted.ok().and_then(|text| text.parse().ok()).unwrap_or(0)
    })
}

#[cfg(not(debug_assertions))]
const fn clock_offset_ms() -> i64 {
    0
}

/// Milliseconds since `start`, saturating.
pub(crate) fn elapsed_ms(start: Instant) -> u64 {
    u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX)
}

#[cfg(not(test))]
const fn jumped() -> i64 {
    0
}

#[cfg(test)]
pub(crate) use jump::jumped;

/// What a test adds to this clock in its own thread.
#[cfg(test)]
pub(crate) mod jump {
    use std::cell::Cell;

    thread_local! {
        static BY: Cell<i64> = const { Cell::new(0) };
    }

    pub(crate) fn by(milliseconds: i64) {
        BY.set(milliseconds);
    }

    pub(crate) fn jumped() -> i64 {
        BY.get()
    }
}
