//! Links that died and nobody was told: after a sleep, or when a path forgot them. What comes next works, after a short wait.

use std::sync::Arc;
use std::time::{Duration, Instant};

use sshepherd_model::Keepalive;
use sshepherd_ssh::job::Launched;
use sshepherd_ssh::{Event, Interactive, Opening, Pool, Size, Target, TerminalEvent};
use sshepherd_testkit::{FaultProxy, Sshd};

use crate::common::{
    LIMIT, Ran, exec, finish, first_line, pool, proxy, run, start, target, target_through,
};
use crate::job::{launch, spec};

/// Far below the deadline of a channel, 10 s: the link is given up as soon as it stays silent, a new one takes its time.
const SOON: Duration = Duration::from_secs(8);

/// A host behind a path that forgets, with a pool that has a link to it.
async fn warm() -> (Sshd, FaultProxy, Pool, Arc<Target>) {
    let server = Sshd::start();
    let proxy = proxy(&server);
    let target = Arc::new(target_through(&server, proxy.address()));
    let pool = pool();
    assert_eq!(run(&pool, &target, "echo in").await, Ran::said("in\n", "", 0));
    (server, proxy, pool, target)
}

#[tokio::test]
async fn a_command_after_a_silent_cut_runs_on_a_new_link() {
    let (_server, proxy, pool, target) = warm().await;
    proxy.forget();
    let began = Instant::now();
    assert_eq!(run(&pool, &target, "echo in").await, Ran::said("in\n", "", 0));
    assert!(began.elapsed() < SOON, "{:?}", began.elapsed());
    assert_eq!(proxy.connections(), 2);
}

/// A channel that was opened and not used needs no round trip, so nothing else would show that its link is dead.
#[tokio::test]
async fn a_spare_channel_on_a_dead_link_is_not_used() {
    let (_server, proxy, pool, target) = warm().await;
    drop(pool.open(Arc::clone(&target)).await.unwrap());
    proxy.forget();
    // Long enough for the link not to count as heard just now; nothing tells it.
    tokio::time::sleep(Duration::from_millis(1100)).await;
    assert_eq!(run(&pool, &target, "echo in").await, Ran::said("in\n", "", 0));
}

#[tokio::test]
async fn a_job_after_a_silent_cut_runs_on_a_new_link() {
    let (_server, proxy, pool, target) = warm().await;
    proxy.forget();
    let began = Instant::now();
    let launched = launch(&pool, &target, spec("true")).await;
    assert!(matches!(launched, Launched::Job(_)));
    assert!(began.elapsed() < SOON, "{:?}", began.elapsed());
}

#[tokio::test]
async fn a_shell_after_a_silent_cut_opens_on_a_new_link() {
    let (_server, proxy, pool, target) = warm().await;
    proxy.forget();
    let began = Instant::now();
    let ready = pool.open(Arc::clone(&target)).await.unwrap();
    let opening = Opening {
        program: Interactive::Command("echo in".to_owned()),
        env: Vec::new(),
        term: "xterm".to_owned(),
        size: Size { cols: 80, rows: 24 },
        cookie: crate::common::cookie(),
    };
    let mut terminal = ready.terminal(opening).await.unwrap();
    assert!(began.elapsed() < SOON, "{:?}", began.elapsed());
    let mut last = None;
    while let Some(event) = terminal.next().await {
        last = Some(event);
    }
    assert_eq!(last, Some(TerminalEvent::Exited { status: 0 }));
}

/// All of them meet the dead link together, and need one new one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_commands_after_a_silent_cut_share_a_new_link() {
    let (_server, proxy, pool, target) = warm().await;
    proxy.forget();
    let mut all = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let (pool, target) = (pool.clone(), Arc::clone(&target));
        all.spawn(async move { run(&pool, &target, "echo in").await });
    }
    while let Some(ran) = all.join_next().await {
        assert_eq!(ran.unwrap(), Ran::said("in\n", "", 0));
    }
    assert_eq!(proxy.connections(), 2);
}

#[tokio::test]
async fn a_jump_hosts_dead_link_is_replaced_too() {
    let (jump, inner) = (Sshd::start(), Sshd::start());
    let proxy = proxy(&jump);
    let via = Arc::new(Target {
        alias: "jump".parse().unwrap(),
        ..target_through(&jump, proxy.address())
    });
    let behind = |server: &Sshd| Arc::new(Target { via: Some(Arc::clone(&via)), ..target(server) });
    let pool = pool();
    assert_eq!(run(&pool, &behind(&inner), "echo in").await, Ran::said("in\n", "", 0));
    proxy.forget();
    // Another host behind it: the link to the jump host is all that stands.
    let other = Sshd::start();
    let began = Instant::now();
    assert_eq!(run(&pool, &behind(&other), "echo in").await, Ran::said("in\n", "", 0));
    assert!(began.elapsed() < SOON, "{:?}", began.elapsed());
    assert_eq!(proxy.connections(), 2);
}

/// A command that was sent is never sent again, whatever becomes of its link, and its neighbour gets another link.
#[tokio::test]
async fn what_was_sent_on_a_link_that_died_is_lost_and_not_repeated() {
    let folder = tempfile::tempdir().unwrap();
    let runs = folder.path().join("runs");
    let server = Sshd::start();
    let proxy = proxy(&server);
    let mut target = target_through(&server, proxy.address());
    target.transport.keepalive = Some(Keepalive { every: Duration::from_millis(500), missed: 4 });
    let (pool, target) = (pool(), Arc::new(target));
    let wire = format!("echo run >> {}; echo up; exec sleep 20", runs.display());
    let mut running = start(&pool, &target, exec(&wire)).await;
    assert_eq!(first_line(&mut running).await, "up");
    proxy.forget();
    assert_eq!(run(&pool, &target, "echo in").await, Ran::said("in\n", "", 0));
    let ran = tokio::time::timeout(LIMIT, finish(&mut running)).await.unwrap();
    assert!(matches!(ran.end, Event::Lost { .. }), "{:?}", ran.end);
    assert_eq!(std::fs::read_to_string(&runs).unwrap(), "run\n");
}
