//! The same bodies on a real sshd and on the fake host, so that the fake cannot drift from what it stands for.

use std::sync::Arc;
use std::time::Duration;

use sshepherd_model::{Outcome, Stopped, Stream};
use sshepherd_ssh::job::{JobSpec, Launched};
use sshepherd_ssh::{Event, Target};
use sshepherd_testkit::Sshd;
use sshepherd_testkit::fakehost::{FakeFleet, FakeHostSpec};
use tempfile::TempDir;

use crate::common::{
    LIMIT, Ran, cookie, exec, finish, pool, run, run_with, start, target, target_fake,
};

/// A host of either kind, up for as long as this lives.
struct Ground {
    target: Arc<Target>,
    _real: Option<Sshd>,
    _fake: Option<(FakeFleet, TempDir)>,
}

fn real() -> Ground {
    let server = Sshd::start();
    Ground { target: Arc::new(target(&server)), _real: Some(server), _fake: None }
}

async fn fake() -> Ground {
    let fleet = FakeFleet::start(vec![FakeHostSpec::new("fake")]).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let target = target_fake(&fleet, "fake", &folder);
    Ground { target: Arc::new(target), _real: None, _fake: Some((fleet, folder)) }
}

async fn output_and_status(ground: &Ground) {
    let pool = pool();
    assert_eq!(run(&pool, &ground.target, "echo out").await, Ran::said("out\n", "", 0));
    assert_eq!(run(&pool, &ground.target, "false").await, Ran::said("", "", 1));
    let both = run(&pool, &ground.target, "echo one && false || echo two").await;
    assert_eq!(both, Ran::said("one\ntwo\n", "", 0));
    assert_eq!(run(&pool, &ground.target, "cat").await, Ran::said("", "", 0));
    assert_eq!(run_with(&pool, &ground.target, "cat", b"in\n").await, Ran::said("in\n", "", 0));
    let missing = run(&pool, &ground.target, "no-such-program-here").await;
    assert!(!missing.err.is_empty() && missing.out.is_empty());
    assert_eq!(missing.end, Event::Exited { status: 127 });
}

async fn many_at_once(ground: &Ground) {
    let pool = pool();
    let mut running = tokio::task::JoinSet::new();
    for number in 0..64 {
        let (pool, target) = (pool.clone(), Arc::clone(&ground.target));
        running.spawn(async move {
            assert_eq!(
                run(&pool, &target, &format!("echo {number}")).await,
                Ran::said(&format!("{number}\n"), "", 0)
            );
        });
    }
    while let Some(done) = running.join_next().await {
        done.unwrap();
    }
}

async fn a_stop(ground: &Ground) {
    let pool = pool();
    let mut running = start(&pool, &ground.target, exec("sleep 1000")).await;
    let stopping = tokio::spawn(running.stopper().stop(Duration::from_secs(1)));
    let ran = tokio::time::timeout(LIMIT, finish(&mut running)).await.unwrap();
    assert_eq!(stopping.await.unwrap(), Stopped::Confirmed);
    assert_eq!((ran.out, ran.err), (Vec::new(), Vec::new()), "no mark of ours shows");
}

#[tokio::test]
async fn output_and_status_are_the_same_on_both() {
    output_and_status(&real()).await;
    output_and_status(&fake().await).await;
}

#[tokio::test]
async fn many_commands_at_once_are_the_same_on_both() {
    many_at_once(&real()).await;
    many_at_once(&fake().await).await;
}

#[tokio::test]
async fn a_stop_is_confirmed_on_both() {
    a_stop(&real()).await;
    a_stop(&fake().await).await;
}

/// A host without files keeps no jobs, and says so before anything runs.
#[tokio::test]
async fn the_fake_host_refuses_jobs_and_runs_nothing() {
    let ground = fake().await;
    let pool = pool();
    let ready = pool.open(Arc::clone(&ground.target)).await.unwrap();
    let spec = JobSpec {
        id: "fake:0:1".to_owned(),
        wire: "echo never".to_owned(),
        cookie: cookie(),
        stdin: None,
        env: Vec::new(),
        max_time: Duration::from_secs(9),
        grace: Duration::from_secs(1),
        room: sshepherd_ssh::job::LEAST_ROOM,
        site: None,
        owner: "0123".to_owned(),
    };
    let launched: Result<Launched, Outcome> = ready.start_job(spec).await;
    assert!(matches!(launched, Ok(Launched::Refused { .. })));
    let text = "exec sh -c 'echo hi'";
    let mut running = start(&pool, &ground.target, exec(text)).await;
    let first = running.next().await.unwrap();
    assert!(matches!(first, Event::Output { stream: Stream::Stderr, .. }), "{first:?}");
}
