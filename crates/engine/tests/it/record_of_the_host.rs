//! What the host wrote down of a job's end is the outcome, whatever else happened meanwhile.

use std::time::Duration;

use sshepherd_engine::CancelAnswer;
use sshepherd_engine::policy::LimitPatch;
use sshepherd_engine::store::Patch;
use sshepherd_model::{Outcome, TaskId};
use sshepherd_testkit::{FaultProxy, Sshd, processes};

use crate::durable::{Ground, release};
use crate::site::{Plan, Site, origin};

const EXITED: Outcome = Outcome::Exited { status: 3 };

/// A host behind a wire that fails, and a server with a time limit of so many seconds.
fn behind_a_wire(sshd: &Sshd, seconds: u64) -> (FaultProxy, Site) {
    let proxy = FaultProxy::start(sshd.address());
    let limits = LimitPatch { max_seconds: Some(seconds), ..LimitPatch::default() };
    let site = Site::with(sshd, Plan { port: Some(proxy.port()), limits, ..Plan::default() });
    (proxy, site)
}

/// Waits for the first line of a job, which is the process that watches over it.
async fn supervisor(site: &Site, id: &TaskId) -> u32 {
    site.first_line(id).await.parse().unwrap()
}

/// Returns when the host holds the job's end.
fn ended_on_the_host(supervisor: u32) {
    assert!(processes::wait_gone(supervisor, Duration::from_secs(30)), "{supervisor} is alive");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_ended_while_its_link_was_silent_ran_over_no_limit() {
    let sshd = Sshd::start();
    let (proxy, site) = behind_a_wire(&sshd, 2);
    let id = site.start_task("echo up; sleep 0.5; echo down; exit 3").await;
    site.first_line(&id).await;
    proxy.forget();
    assert_eq!(site.end(&id).await.outcome, EXITED);
    assert_eq!(site.text(&id).await, "up\ndown\n");
    site.engine.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_ended_while_the_network_was_away_past_its_limit_keeps_its_end() {
    let sshd = Sshd::start();
    let (proxy, site) = behind_a_wire(&sshd, 2);
    let id = site.start_task("echo $PPID; sleep 0.5; exit 3").await;
    let watcher = supervisor(&site, &id).await;
    proxy.refuse();
    proxy.reset();
    ended_on_the_host(watcher);
    // Nothing but time tells a server that a limit is over.
    tokio::time::sleep(Duration::from_secs(9)).await;
    proxy.admit();
    assert_eq!(site.end(&id).await.outcome, EXITED);
    site.engine.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancel_after_the_end_finds_the_end_though_its_news_never_came() {
    let ground = Ground::new();
    let gate = ground.fifo("gate");
    let (proxy, site) = behind_a_wire(&ground.sshd, 60);
    let id = site.start_task(&format!("echo $PPID; read x < {}; exit 3", gate.display())).await;
    let watcher = supervisor(&site, &id).await;
    proxy.forget();
    release(&gate).await;
    ended_on_the_host(watcher);
    let answer = site.engine.cancel(&id, &origin()).await.unwrap();
    let CancelAnswer::AlreadyEnded(finished) = answer else { panic!("{answer:?}") };
    assert_eq!(finished.outcome, EXITED);
    site.engine.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancel_that_the_next_server_finds_does_not_undo_an_end() {
    let ground = Ground::new();
    let gate = ground.fifo("gate");
    let first = ground.server().await;
    let id = first.start_task(&format!("echo $PPID; read x < {}; exit 3", gate.display())).await;
    let watcher = supervisor(&first, &id).await;
    first.engine.shutdown().await;
    drop(first);
    release(&gate).await;
    ended_on_the_host(watcher);
    let store = ground.store().await;
    let _ = store.patch(&id, Patch::RequestCancel { at: 2_000 }).await.unwrap();
    drop(store);
    let second = ground.server().await;
    assert_eq!(second.end(&id).await.outcome, EXITED);
    second.engine.shutdown().await;
}
