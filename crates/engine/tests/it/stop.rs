//! Cancel and timeout: the remote tree is seen gone, and what was stopped is reported as stopped.

use std::time::Duration;

use sshepherd_engine::CancelAnswer;
use sshepherd_engine::policy::LimitPatch;
use sshepherd_engine::store::State;
use sshepherd_model::{Outcome, Stopped, TaskId};
use sshepherd_testkit::{Sshd, TestUser, processes};

use crate::site::{Plan, Site, origin};

/// A shell that ignores TERM, with a child, and a child in a session of its own; prints their process ids.
const TREE: &str = "trap '' TERM; sleep 1000 & a=$!; setsid sleep 1000 & b=$!; echo $$ $a $b; wait";

async fn pids(site: &Site, id: &TaskId) -> Vec<u32> {
    let line = site.first_line(id).await;
    line.split(' ').map(|pid| pid.parse().unwrap()).collect()
}

fn all_gone(pids: &[u32]) {
    for pid in pids {
        assert!(!processes::alive(*pid), "{pid} is alive");
    }
}

async fn cancelled_tree(site: &Site) {
    let id = site.start(TREE).await;
    let pids = pids(site, &id).await;
    assert_eq!(pids.len(), 3);
    let answer = site.engine.cancel(&id, &origin()).await.unwrap();
    let CancelAnswer::Stopped(finished) = answer else { panic!("{answer:?}") };
    assert_eq!(finished.outcome, Outcome::Cancelled { stopped: Stopped::Confirmed });
    assert_eq!(finished.task.status, State::Cancelled);
    all_gone(&pids);
}

#[tokio::test(flavor = "multi_thread")]
async fn seed_defect_4_a_cancel_ends_the_whole_remote_tree() {
    let sshd = Sshd::start();
    cancelled_tree(&Site::new(&sshd)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn seed_defect_4_a_cancel_ends_the_tree_of_an_ordinary_account_too() {
    // Without the right to make accounts, the test above already runs as an ordinary one.
    let Ok(user) = TestUser::ensure() else { return };
    let sshd = Sshd::builder().login_as(&user).start();
    cancelled_tree(&Site::new(&sshd)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn seed_defect_2_and_4_a_timeout_is_a_timeout_and_ends_the_process() {
    let sshd = Sshd::start();
    let limits = LimitPatch { max_seconds: Some(2), ..LimitPatch::default() };
    let site = Site::with(&sshd, Plan { limits, ..Plan::default() });
    let id = site.start("echo $$; exec sleep 1000").await;
    let pids = pids(&site, &id).await;
    let finished = site.end(&id).await;
    assert_eq!(finished.outcome, Outcome::TimedOut { stopped: Stopped::Confirmed });
    assert_eq!(finished.task.status, State::TimedOut);
    all_gone(&pids);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_can_be_cancelled() {
    let sshd = Sshd::start();
    let site = Site::new(&sshd);
    let id = site.start("echo $$; exec yes").await;
    let pids = pids(&site, &id).await;
    let origin = origin();
    let stopping = site.engine.cancel(&id, &origin);
    let answer = tokio::time::timeout(Duration::from_secs(20), stopping).await.unwrap().unwrap();
    let CancelAnswer::Stopped(finished) = answer else { panic!("{answer:?}") };
    assert_eq!(finished.outcome, Outcome::Cancelled { stopped: Stopped::Confirmed });
    all_gone(&pids);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_finished_task_is_not_cancelled_again() {
    let sshd = Sshd::start();
    let site = Site::new(&sshd);
    let finished = site.run("true").await;
    let answer = site.engine.cancel(&finished.task.id, &origin()).await.unwrap();
    assert!(matches!(answer, CancelAnswer::AlreadyEnded(_)), "{answer:?}");
    let unknown = "box:0123456789abcdef:1".parse().unwrap();
    let answer = site.engine.cancel(&unknown, &origin()).await.unwrap();
    assert!(matches!(answer, CancelAnswer::Unknown), "{answer:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn shutdown_ends_what_runs() {
    let sshd = Sshd::start();
    let site = Site::new(&sshd);
    let id = site.start(TREE).await;
    let pids = pids(&site, &id).await;
    site.engine.shutdown().await;
    all_gone(&pids);
}
