//! Servers that take few sessions or few connections: everyone gets a turn.

use std::sync::Arc;
use std::time::{Duration, Instant};

use sshepherd_model::Phase;
use sshepherd_ssh::job::{JobEnd, JobEvent, Launched};
use sshepherd_ssh::{Pool, Target};
use sshepherd_testkit::Sshd;
use tokio::task::JoinSet;

use crate::common::{LIMIT, Ran, pool, refusal, run, target};
use crate::job::{launch, spec};

/// What each of so many does.
#[derive(Clone, Copy)]
enum Kind {
    Command,
    Job,
}

async fn one(pool: &Pool, target: &Arc<Target>, kind: Kind) {
    match kind {
        Kind::Command => {
            assert_eq!(run(pool, target, "echo in").await, Ran::said("in\n", "", 0));
        }
        Kind::Job => {
            let Launched::Job(mut running) = launch(pool, target, spec("echo in")).await else {
                panic!("no job");
            };
            let mut last = None;
            while let Some(event) = running.next().await {
                last = Some(event);
            }
            assert_eq!(last, Some(JobEvent::Ended(JobEnd::Exited { status: 0 })));
        }
    }
}

/// Sixty at once, each of which must come to its end.
async fn sixty(lines: &[&str], kinds: [Kind; 2]) {
    let server = lines
        .iter()
        .fold(Sshd::builder().daemon(), |builder, line| builder.config_line(line))
        .start();
    let (pool, target) = (pool(), Arc::new(target(&server)));
    let mut all = JoinSet::new();
    for kind in kinds.into_iter().cycle().take(60) {
        let (pool, target) = (pool.clone(), Arc::clone(&target));
        all.spawn(async move { one(&pool, &target, kind).await });
    }
    let mut done = 0;
    while let Some(ran) = all.join_next().await {
        ran.unwrap();
        done += 1;
    }
    assert_eq!(done, 60);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sixty_commands_on_one_session_for_each_connection() {
    sixty(&["MaxSessions 1", "MaxStartups 100"], [Kind::Command; 2]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sixty_commands_and_jobs_on_one_session_for_each_connection() {
    sixty(&["MaxSessions 1", "MaxStartups 100"], [Kind::Command, Kind::Job]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sixty_commands_on_two_sessions_and_few_log_ins_at_a_time() {
    sixty(&["MaxSessions 2", "MaxStartups 2:60:4"], [Kind::Command; 2]).await;
}

/// One after the other on one connection: each comes as soon as the one before has gone, and the server may still count that.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commands_that_follow_at_once_use_the_one_session_in_turn() {
    let server = Sshd::builder().config_line("MaxSessions 1").start();
    let (pool, target) = (pool(), Arc::new(target(&server)));
    for _ in 0..60 {
        assert_eq!(run(&pool, &target, "true").await, Ran::said("", "", 0));
    }
}

/// No session at all is said soon, and not tried for ever.
#[tokio::test]
async fn a_server_that_takes_no_session_is_a_failure() {
    let server = Sshd::builder().config_line("MaxSessions 0").start();
    let began = Instant::now();
    let failure = tokio::time::timeout(LIMIT, refusal(target(&server))).await.unwrap();
    assert_eq!(failure.phase, Phase::Channel, "{failure:?}");
    assert!(failure.detail.contains("refuses to open a session"), "{failure:?}");
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
}
