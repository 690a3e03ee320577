//! One command, from connecting to its outcome in the store.
//!
//! The order of steps is what makes "run at most once" true: the store says "running" before the command is sent, and
//! nothing is sent twice. A failure before that is `NotStarted`, after it `Lost`.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use sshepherd_model::{ConnectFailure, Host, Outcome, Phase, Stopped, TaskId};
use sshepherd_ssh::{Event, Exec, Ready, Running, Target};
use sshepherd_store::{Durability, Finish, Patch};
use tokio_util::sync::CancellationToken;

use crate::config::Config;
use crate::engine::{Engine, elapsed_ms, now_ms};
use crate::event::TaskEventKind;
use crate::plan::Plan;
use crate::resolve;

/// Time between TERM and KILL when a command is stopped; long enough for a service to close its files.
const GRACE: Duration = Duration::from_secs(3);

/// How long output may still come after a stop.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// Runs `plan` to its end and records the outcome. Never fails: what goes wrong is the outcome.
pub(crate) async fn drive(engine: &Engine, mut plan: Plan, cancel: CancellationToken) {
    let began = Instant::now();
    let mut peer = None;
    let outcome = match ready(engine, &plan, &cancel).await {
        Err(outcome) => outcome,
        Ok(ready) => {
            peer = Some(ready.peer());
            send_and_watch(engine, &mut plan, ready, &cancel, began).await
        }
    };
    finish(engine, &plan, outcome, peer, began).await;
}

/// Connects and opens a channel; a cancel on the way means that nothing was sent.
async fn ready(engine: &Engine, plan: &Plan, cancel: &CancellationToken) -> Result<Ready, Outcome> {
    let connecting = async {
        let target = target(engine, &plan.config, &plan.host).await?;
        engine.pool().open(target).await
    };
    tokio::pin!(connecting);
    let began = Instant::now();
    let mut ticks = ticker(plan);
    loop {
        tokio::select! {
            connected = &mut connecting => return connected.map_err(Outcome::NotStarted),
            () = cancel.cancelled() => {
                return Err(Outcome::Cancelled { stopped: Stopped::Confirmed });
            }
            _ = ticks.tick() => report(engine, plan, "connecting", began).await,
        }
    }
}

/// Everything the transport needs for `host`: judged addresses, known keys, credentials.
pub(crate) async fn target(
    engine: &Engine,
    config: &Arc<Config>,
    host: &Host,
) -> Result<Arc<Target>, ConnectFailure> {
    let addresses = resolve::resolve(host, config.policy.network()).await?;
    let known_hosts = engine.host_keys().get(&config.known_hosts)?;
    let credential = config.inventory.credential(host).ok_or_else(|| ConnectFailure {
        phase: Phase::Auth,
        detail: format!("no credentials entry is called {}", host.credentials),
        hint: "add it to credentials.yml and reload".to_owned(),
    })?;
    let judging = Arc::clone(config);
    Ok(Arc::new(Target {
        alias: host.alias.clone(),
        addresses,
        host_key_name: host.address.clone(),
        port: host.port,
        username: credential.username.clone(),
        methods: credential.methods.clone(),
        known_hosts,
        login_shell: host.login_shell,
        admit_peer: Arc::new(move |peer: IpAddr| {
            judging.policy.network().judge(peer).map(drop).map_err(|denial| denial.to_string())
        }),
        deadlines: sshepherd_ssh::Deadlines::default(),
    }))
}

/// Records the start, sends the command, and follows it to its end.
async fn send_and_watch(
    engine: &Engine,
    plan: &mut Plan,
    ready: Ready,
    cancel: &CancellationToken,
    began: Instant,
) -> Outcome {
    if let Err(failure) = mark_started(engine, plan, ready.peer()).await {
        return Outcome::NotStarted(failure);
    }
    let exec = Exec {
        wire: std::mem::take(&mut plan.wire),
        stdin: plan.stdin.take().map(|text| Bytes::from(text.into_bytes())),
        cookie: plan.task_id.to_string(),
    };
    match ready.exec(exec).await {
        Ok(running) => watch(engine, plan, running, cancel, began).await,
        Err(outcome) => outcome,
    }
}

async fn mark_started(engine: &Engine, plan: &Plan, peer: IpAddr) -> Result<(), ConnectFailure> {
    engine.audit_start(plan, peer)?;
    let id = &plan.task_id;
    let started = Patch::Started { at: now_ms(), durability: Durability::Attached };
    for patch in [Patch::Connected { target_ip: peer }, started] {
        engine.store().patch(id, patch).await.map(drop).map_err(|error| ConnectFailure {
            phase: Phase::Exec,
            detail: format!("the task store failed: {error}"),
            hint: "nothing was sent; try again".to_owned(),
        })?;
    }
    Ok(())
}

/// Follows a running command: its output into the store, its end, its time limit, a cancel.
async fn watch(
    engine: &Engine,
    plan: &Plan,
    mut running: Running,
    cancel: &CancellationToken,
    began: Instant,
) -> Outcome {
    let limit = tokio::time::sleep(plan.limits.max_time);
    tokio::pin!(limit);
    let mut ticks = ticker(plan);
    loop {
        tokio::select! {
            biased;
            () = cancel.cancelled() => {
                let stopped = stop(engine, plan, &mut running).await;
                return Outcome::Cancelled { stopped };
            }
            () = &mut limit => {
                let stopped = stop(engine, plan, &mut running).await;
                return Outcome::TimedOut { stopped };
            }
            event = running.next() => {
                if let Some(outcome) = take(engine, &plan.task_id, event).await {
                    return outcome;
                }
            }
            _ = ticks.tick() => report(engine, plan, "running", began).await,
        }
    }
}

/// Puts output into the store; anything else is the end.
async fn take(engine: &Engine, id: &TaskId, event: Option<Event>) -> Option<Outcome> {
    match event {
        Some(Event::Output { stream, bytes }) => {
            let kept = engine.store().append(id, stream, bytes).await;
            if let Err(error) = kept {
                tracing::error!(task = %id, %error, "output could not be stored");
                return Some(Outcome::lost(format!("output could not be stored: {error}")));
            }
            None
        }
        Some(Event::Exited { status }) => Some(Outcome::Exited { status }),
        Some(Event::Signalled { signal }) => Some(Outcome::Signalled { signal }),
        Some(Event::Lost { detail }) => Some(Outcome::lost(detail)),
        None => Some(Outcome::lost("the channel ended without an exit status".to_owned())),
    }
}

/// Ends the remote process group while its output is still taken in: a channel that nobody reads would stall the very
/// connection that the stop goes over.
async fn stop(engine: &Engine, plan: &Plan, running: &mut Running) -> Stopped {
    let stopping = running.stopper().stop(GRACE);
    tokio::pin!(stopping);
    let mut open = true;
    let stopped = loop {
        tokio::select! {
            stopped = &mut stopping => break stopped,
            event = running.next(), if open => {
                open = take(engine, &plan.task_id, event).await.is_none();
            }
        }
    };
    let rest = async {
        while open {
            open = take(engine, &plan.task_id, running.next().await).await.is_none();
        }
    };
    // The end of the channel follows the death of the process within a round trip; a process that could not be stopped
    // may never end it.
    let _ = tokio::time::timeout(LAST_WORDS, rest).await;
    stopped
}

async fn finish(
    engine: &Engine,
    plan: &Plan,
    outcome: Outcome,
    peer: Option<IpAddr>,
    began: Instant,
) {
    let end = Finish { outcome: outcome.clone(), at: now_ms() };
    let duration_ms = elapsed_ms(began);
    let totals = match engine.store().finish(&plan.task_id, end).await {
        Ok(task) => task.output,
        Err(error) => {
            tracing::error!(task = %plan.task_id, %error, "the outcome could not be stored");
            sshepherd_store::Totals::default()
        }
    };
    engine.audit_end(plan, &outcome, peer, duration_ms, totals);
    engine.emit(plan, TaskEventKind::Ended { outcome, duration_ms, target_ip: peer });
}

fn ticker(plan: &Plan) -> tokio::time::Interval {
    let every = plan.limits.progress_interval.max(Duration::from_millis(100));
    let mut ticks = tokio::time::interval_at(tokio::time::Instant::now() + every, every);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    ticks
}

async fn report(engine: &Engine, plan: &Plan, phase: &'static str, began: Instant) {
    let output = match engine.task(&plan.task_id).await {
        Ok(found) => found.found().map(|task| task.output).unwrap_or_default(),
        Err(_) => sshepherd_store::Totals::default(),
    };
    engine.emit(
        plan,
        TaskEventKind::Progress {
            phase,
            bytes_read: output.bytes(),
            output_lines: output.lines,
            elapsed_ms: elapsed_ms(began),
            max_seconds: plan.limits.max_time.as_secs(),
        },
    );
}
