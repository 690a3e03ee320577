//! One command, from connecting to its outcome in the store.
//!
//! The order of steps is what makes "run at most once" true: the store says "running" before the command is sent, and
//! nothing is sent twice, but for the start of a job, which the host takes once. A failure before that is `NotStarted`,
//! after it the command is followed or `Interrupted`.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use sshepherd_model::{ConnectFailure, Host, LoginShell, Outcome, Phase, Stopped, TaskId};
use sshepherd_ssh::job::Tombstone;
use sshepherd_ssh::{Deadlines, Exec, ProxyProgram, Ready, Target, Transport};
use sshepherd_store::{Durability, Error, Finish, Patch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use crate::config::Config;
use crate::engine::{Engine, elapsed_ms};
use crate::event::TaskEventKind;
use crate::job::{Job, Start};
use crate::places::Bound;
use crate::plan::{Brief, Manner, Plan};
use crate::pursuit::{Ended, Known, Sent, Watched, pursue};
use crate::refusal::chain;
use crate::resolve;
use crate::task::STORE_PATIENCE;
use crate::usable;
use crate::watch::{Bounds, watch};

/// How long to wait before an outcome that could not be stored is tried again: a full disk has no event for room.
const FINISH_AGAIN: Duration = Duration::from_millis(500);

/// How long a task that nobody waits for tries to connect through trouble of the network, as when sshd restarts or a laptop
/// wakes up: long enough for those, short enough that a host that is down is told soon.
const CONNECT_PATIENCE: Duration = Duration::from_secs(10);

/// Time before the second attempt; it doubles each time. The network sends no event when it is back.
const CONNECT_AGAIN: Duration = Duration::from_millis(250);

/// Runs `plan` to its end and records the outcome. Never fails: what goes wrong is the outcome.
pub(crate) async fn drive(
    engine: &Engine,
    plan: Plan,
    approach: Option<Approach>,
    cancel: CancellationToken,
) {
    let began = Instant::now();
    match ready(engine, &plan, approach, &cancel).await {
        Connected::No(outcome) => {
            finish(engine, &plan.brief, outcome, None, began).await;
        }
        Connected::HandedOn => {}
        Connected::Yes(ready) => send(engine, plan, ready, cancel, began).await,
    }
}

/// A channel that is being opened while its task is recorded: nothing is sent on it before. Dropped, it is given up.
pub(crate) struct Approach(AbortOnDropHandle<Result<Ready, ConnectFailure>>);

impl Approach {
    pub(crate) fn begin(engine: &Engine, brief: &Brief) -> Self {
        let (engine, config, host) =
            (engine.clone(), Arc::clone(&brief.config), Arc::clone(&brief.host));
        let opening = async move { open(&engine, &config, &host).await };
        Self(AbortOnDropHandle::new(tokio::spawn(opening)))
    }
}

async fn open(
    engine: &Engine,
    config: &Arc<Config>,
    host: &Arc<Host>,
) -> Result<Ready, ConnectFailure> {
    let target = target(engine, config, host).await?;
    engine.pool().open(target).await
}

/// What came of connecting.
enum Connected {
    Yes(Ready),
    No(Outcome),
    /// This server is closing; the task is still pending, and another server can run it.
    HandedOn,
}

/// Connects and opens a channel; a cancel on the way means that nothing was sent.
async fn ready(
    engine: &Engine,
    plan: &Plan,
    approach: Option<Approach>,
    cancel: &CancellationToken,
) -> Connected {
    let brief = &plan.brief;
    let outlives = matches!(plan.manner, Manner::Background { .. });
    let patience = if outlives { CONNECT_PATIENCE } else { Duration::ZERO };
    let connecting = connect(engine, brief, approach, patience);
    tokio::pin!(connecting);
    let last_starts = engine.last_starts();
    tokio::pin!(last_starts);
    let began = Instant::now();
    let mut ticks = ticker(brief);
    loop {
        tokio::select! {
            biased;
            () = &mut last_starts, if outlives => return Connected::HandedOn,
            () = cancel.cancelled() => {
                return Connected::No(Outcome::Cancelled { stopped: Stopped::Confirmed });
            }
            connected = &mut connecting => return match connected {
                Ok(ready) => Connected::Yes(ready),
                Err(failure) => Connected::No(Outcome::NotStarted(failure)),
            },
            _ = ticks.tick() => report(engine, brief, "connecting", began).await,
        }
    }
}

/// Connects and opens a channel; tries again for as long as `patience` lasts when the network was in the way. Nothing is
/// sent by it, so nothing can run twice.
async fn connect(
    engine: &Engine,
    brief: &Brief,
    mut approach: Option<Approach>,
    patience: Duration,
) -> Result<Ready, ConnectFailure> {
    let (began, mut first) = (Instant::now(), true);
    let mut wait = CONNECT_AGAIN;
    loop {
        let begun = match approach.take() {
            Some(approach) => approach.0.await.ok(),
            None => None,
        };
        let opened = match begun {
            Some(opened) => opened,
            None => open(engine, &brief.config, &brief.host).await,
        };
        match opened {
            Err(failure)
                if may_pass(failure.phase)
                    // A link that stood before takes as long to fail as all of the patience is.
                    && (began.elapsed() + wait < patience
                        || (first && failure.phase == Phase::Channel && !patience.is_zero())) =>
            {
                first = false;
                tracing::debug!(task = %brief.task_id, %failure, "connecting again");
                if let Some(live) = engine.live().get(&brief.task_id) {
                    live.unreached.cancel();
                }
                tokio::time::sleep(wait).await;
                wait *= 2;
            }
            done => return done,
        }
    }
}

/// Whether a failure at this step may be the network's, and pass.
fn may_pass(phase: Phase) -> bool {
    match phase {
        Phase::Dial | Phase::Banner | Phase::KeyExchange | Phase::Channel => true,
        Phase::Resolve
        | Phase::Network
        | Phase::HostKey
        | Phase::Auth
        | Phase::Exec
        | Phase::Record => false,
    }
}

/// Everything the transport needs for `host` and for each jump host on the way: judged addresses, known keys,
/// credentials.
pub(crate) async fn target(
    engine: &Engine,
    config: &Arc<Config>,
    host: &Arc<Host>,
) -> Result<Arc<Target>, ConnectFailure> {
    usable::check(config, host)?;
    let known_hosts = engine.host_keys().get(&config.known_hosts)?;
    let mut via = None;
    for (hop, addresses) in resolve::way(host, config).await? {
        via = Some(Arc::new(Target {
            via: via.take(),
            prompter: engine.prompter().cloned(),
            on_touch: Some(engine.on_touch()),
            known_hosts: Arc::clone(&known_hosts),
            ..one(config, hop, addresses)?
        }));
    }
    via.ok_or_else(|| ConnectFailure {
        phase: Phase::Resolve,
        detail: format!("there is no way to {}", host.alias).into(),
        hint: "see servers.yml".to_owned(),
    })
}

/// One host of a way, as if it were reached straight and no key were known.
fn one(
    config: &Arc<Config>,
    host: &Host,
    addresses: Vec<SocketAddr>,
) -> Result<Target, ConnectFailure> {
    let credential = config.inventory.credential(host).ok_or_else(|| ConnectFailure {
        phase: Phase::Auth,
        detail: format!("no credentials entry is called {}", host.credentials).into(),
        hint: "add it to credentials.yml and reload".to_owned(),
    })?;
    let judging = Arc::clone(config);
    Ok(Target {
        alias: host.alias.clone(),
        addresses,
        host_key_name: host.address.clone(),
        port: host.port,
        username: credential.username.clone(),
        methods: credential.methods.clone(),
        known_hosts: Arc::default(),
        login_shell: host.login_shell,
        admit_peer: Arc::new(move |peer: IpAddr| {
            judging.policy.network().judge(peer).map(drop).map_err(|denial| denial.to_string())
        }),
        deadlines: deadlines(host),
        transport: transport(config, host, &credential.username),
        via: None,
        prompter: None,
        on_touch: None,
        password_prompt: credential.password_prompt.clone(),
    })
}

/// How long each step may take; a program that reaches the host has the time to connect as well before the version line comes.
fn deadlines(host: &Host) -> Deadlines {
    let connection = &host.connection;
    let mut deadlines = Deadlines::with(connection.timeouts);
    if connection.proxy.is_some() && connection.timeouts.connect.is_none() {
        deadlines.banner += deadlines.dial;
    }
    deadlines
}

/// What the owner set for the connection to `host`.
fn transport(config: &Config, host: &Host, user: &str) -> Transport {
    let connection = &host.connection;
    let bare = host.address.trim_start_matches('[').trim_end_matches(']');
    let proxy = connection.proxy.as_ref().map(|proxy| ProxyProgram {
        program: proxy.program.clone(),
        arguments: proxy.filled(bare, host.port, user),
        hidden: config.secret_variables(),
    });
    Transport { keepalive: connection.keepalive, legacy: connection.legacy.clone(), proxy }
}

/// Sends the command in the manner that was asked for, as far as the host can.
async fn send(
    engine: &Engine,
    plan: Plan,
    ready: Ready,
    cancel: CancellationToken,
    began: Instant,
) {
    let peer = ready.peer();
    let keeps_jobs = plan.brief.host.login_shell != LoginShell::RawWords;
    let background = matches!(plan.manner, Manner::Background { .. });
    let start = Start {
        wire: plan.wire,
        stdin: plan.stdin.map(|text| Bytes::from(text.into_bytes())),
        env: plan.env,
    };
    let brief = &plan.brief;
    let mut bounds = Bounds::new(cancel, brief.limits.max_time, began);
    let durability = if background && keeps_jobs { Durability::Job } else { Durability::Attached };
    let bound = Bound::first(engine.sites().get(&brief.host.alias));
    if let Err(failure) = mark_started(engine, brief, peer, (durability, &bound)).await {
        finish(engine, brief, Outcome::NotStarted(failure), peer, began).await;
        return;
    }
    match durability {
        Durability::Job => {
            let start = Some(start);
            let (place, tombstone) = (None, Tombstone::Leave);
            let job = Job { engine, brief, start, ready: Some(ready), place, tombstone, bound };
            bounds.are_the_hosts();
            run_job(job, Known::new(Sent::Never), &mut bounds, peer).await;
        }
        Durability::Attached => {
            let outcome = attached(engine, brief, start, ready, &mut bounds).await;
            finish(engine, brief, outcome, peer, began).await;
        }
    }
}

/// Runs a job, or goes on with it, to its end, then stores the outcome and tidies up.
pub(crate) async fn run_job(
    mut job: Job<'_>,
    mut known: Known,
    bounds: &mut Bounds,
    peer: Option<IpAddr>,
) {
    let (engine, brief, began) = (job.engine, job.brief, bounds.began);
    let ended = pursue(&mut job, &mut known, bounds).await;
    engine.sights().clear(&brief.task_id);
    let outcome = match ended {
        Ended::HandedOn => return,
        Ended::Over(outcome) => outcome,
        Ended::NoJobs => match job.start.take() {
            Some(start) => fall_back(engine, brief, start, bounds).await,
            None => Outcome::lost("the host keeps no jobs"),
        },
    };
    // What nobody has stored stays on the host, for whoever is to store it.
    if finish(engine, brief, outcome, peer, began).await == Kept::Yes {
        job.clean().await;
    }
}

/// The host has a shell and no folder for a job, and has run nothing: the command is sent as any other.
async fn fall_back(engine: &Engine, brief: &Brief, start: Start, bounds: &mut Bounds) -> Outcome {
    bounds.are_ours();
    let noted = engine.store().patch(&brief.task_id, Patch::Attached).await;
    if let Err(error) = noted {
        return Outcome::NotStarted(unrecorded(&error));
    }
    let connected = tokio::select! {
        biased;
        // Nothing was run, and nothing is sent yet.
        why = bounds.over() => return why.outcome(Stopped::Confirmed),
        connected = connect(engine, brief, None, CONNECT_PATIENCE) => connected,
    };
    match connected {
        Ok(ready) => attached(engine, brief, start, ready, bounds).await,
        Err(failure) => Outcome::NotStarted(failure),
    }
}

/// Sends the command on this channel and follows it there.
async fn attached(
    engine: &Engine,
    brief: &Brief,
    start: Start,
    ready: Ready,
    bounds: &mut Bounds,
) -> Outcome {
    engine.live().stop_at_close(&brief.task_id);
    let Start { wire, stdin, env } = start;
    let exec = Exec { wire, stdin, env, cookie: brief.task_id.to_string() };
    sshepherd_store::crash::point("attached.exec");
    let running = match bounds.hear(ready.exec(exec)).await {
        Ok(running) => running,
        Err(outcome) => return outcome,
    };
    match watch(engine, brief, running, bounds).await {
        Watched::Over(outcome) => outcome,
        Watched::Cut(detail) => Outcome::lost(detail),
        Watched::Ended(_) | Watched::RunsOn | Watched::HandedOn => {
            Outcome::lost("its output could not be stored")
        }
    }
}

async fn mark_started(
    engine: &Engine,
    brief: &Brief,
    peer: Option<IpAddr>,
    (durability, bound): (Durability, &Bound),
) -> Result<(), ConnectFailure> {
    engine.audit_start(brief, peer)?;
    let id = &brief.task_id;
    let started = Patch::Started { at: engine.now_of(id), durability };
    let connected = peer.map(|target_ip| Patch::Connected { target_ip });
    let bound = (durability == Durability::Job).then(|| Patch::Bound { site: bound.text() });
    for patch in connected.into_iter().chain(bound).chain([started]) {
        let _ = engine.store().patch(id, patch).await.map_err(|error| unrecorded(&error))?;
    }
    Ok(())
}

fn unrecorded(error: &Error) -> ConnectFailure {
    ConnectFailure {
        phase: Phase::Record,
        detail: format!("the task store failed: {}", chain(error)).into(),
        hint: "nothing was sent; try again".to_owned(),
    }
}

/// Whether a failure of the store is one of room and disk, which may pass; any other means that the task is not ours.
pub(crate) fn passes(error: &Error) -> bool {
    match error {
        Error::Folder { .. }
        | Error::Database { .. }
        | Error::Held { .. }
        | Error::Full { .. }
        | Error::NoRoom { .. } => true,
        Error::Exists { .. }
        | Error::KeyTaken { .. }
        | Error::KeySpent { .. }
        | Error::Gone { .. }
        | Error::Illegal { .. }
        | Error::Ended { .. }
        | Error::NotRunning { .. }
        | Error::BeyondEnd { .. }
        | Error::TooManyQuestions { .. }
        | Error::Newer { .. }
        | Error::Fenced { .. } => false,
    }
}

/// An answer of the store, however long it takes; who waits for the task hears when that is long.
pub(crate) async fn in_time<T>(
    engine: &Engine,
    id: &TaskId,
    answer: impl Future<Output = Result<T, Error>>,
) -> Result<T, Error> {
    tokio::pin!(answer);
    match tokio::time::timeout(STORE_PATIENCE, &mut answer).await {
        Ok(answered) => answered,
        Err(_) => {
            engine.live().unstored(id, "it does not answer".to_owned());
            answer.await
        }
    }
}

/// Whether the store has the end of a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kept {
    Yes,
    /// It refused it, or this server closes before it took it.
    No,
}

/// Stores the outcome, however long the store takes to have room for it, and tells everyone.
pub(crate) async fn finish(
    engine: &Engine,
    brief: &Brief,
    outcome: Outcome,
    peer: Option<IpAddr>,
    began: Instant,
) -> Kept {
    let end = Finish { outcome: outcome.clone(), at: engine.now_of(&brief.task_id) };
    engine.live().known(&brief.task_id, &outcome);
    // A host that was not contacted for our own sake has not failed.
    let learnt = match usable::unusable(&brief.config, &brief.host) {
        Some(_) => &Outcome::Cancelled { stopped: Stopped::Confirmed },
        None => &outcome,
    };
    engine.gate().learn(&brief.host.alias, learnt, &brief.config.gate, Instant::now());
    let totals = loop {
        match in_time(engine, &brief.task_id, engine.store().finish(&brief.task_id, end.clone()))
            .await
        {
            Ok(task) => {
                let totals = task.output;
                engine.live().ended(task);
                break totals;
            }
            Err(error) if passes(&error) && !engine.closing().is_cancelled() => {
                tracing::warn!(task = %brief.task_id, %error, "the outcome waits for the store");
                engine.live().unstored(&brief.task_id, chain(&error));
                tokio::time::sleep(FINISH_AGAIN).await;
            }
            Err(error) => {
                tracing::error!(task = %brief.task_id, %error, "the outcome could not be stored");
                engine.audit_refused_end(brief, &outcome, peer, &error);
                return Kept::No;
            }
        }
    };
    let duration_ms = elapsed_ms(began);
    engine.audit_end(brief, &outcome, peer, duration_ms, totals);
    engine.emit(brief, TaskEventKind::Ended { outcome, duration_ms, target_ip: peer });
    Kept::Yes
}

/// Ticks at the host's progress interval.
pub(crate) fn ticker(brief: &Brief) -> tokio::time::Interval {
    let every = brief.limits.progress_interval.max(Duration::from_millis(100));
    let mut ticks = tokio::time::interval_at(tokio::time::Instant::now() + every, every);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    ticks
}

/// Tells those who listen how far it is.
pub(crate) async fn report(engine: &Engine, brief: &Brief, phase: &'static str, began: Instant) {
    let output = match engine.task(&brief.task_id).await {
        Ok(found) => found.found().map(|task| task.output).unwrap_or_default(),
        Err(_) => sshepherd_store::Totals::default(),
    };
    engine.emit(
        brief,
        TaskEventKind::Progress {
            phase,
            bytes_read: output.bytes(),
            output_lines: output.lines,
            elapsed_ms: elapsed_ms(began),
            max_seconds: brief.limits.max_time.as_secs(),
        },
    );
}
