//! Ending a command: seen dead, on root log-ins and on plain accounts.

use std::sync::Arc;
use std::time::{Duration, Instant};

use sshepherd_model::{LoginShell, Stopped};
use sshepherd_ssh::{Event, Running, Target};
use sshepherd_testkit::fakehost::{FakeFleet, FakeHostSpec, Fault};
use sshepherd_testkit::{Sshd, TestUser, processes};
use tempfile::TempDir;

use crate::common::{LIMIT, exec, finish, first_line, pool, run, start, target, target_fake};

const GRACE: Duration = Duration::from_millis(500);

/// Stops a command while it is read to its end, as its owner does.
async fn stop(running: &mut Running, grace: Duration) -> Stopped {
    let stopping = running.stopper().stop(grace);
    let both = async { tokio::join!(stopping, finish(running)).0 };
    tokio::time::timeout(LIMIT, both).await.unwrap()
}

/// A tree with a child that ignores TERM and one in a session of its own. Prints one line when all run.
const STUBBORN: &str = "trap '' TERM; setsid sh -c 'echo up; exec sleep 1000 >/dev/null 2>&1' & \
     sh -c 'echo up; while :; do sleep 1; done' & echo up; while :; do sleep 1; done";

async fn stubborn_tree_dies(server: &Sshd) {
    let (pool, target) = (pool(), Arc::new(target(server)));
    let exec = exec(STUBBORN);
    let entry = format!("SSHEPHERD_TASK={}", exec.cookie);
    let mut running = start(&pool, &target, exec).await;
    let mut up = Vec::new();
    while up != b"up\nup\nup\n" {
        match running.next().await.unwrap() {
            Event::Output { bytes, .. } => up.extend_from_slice(&bytes),
            end @ (Event::Exited { .. } | Event::Signalled { .. } | Event::Lost { .. }) => {
                panic!("{end:?} after {up:?}")
            }
        }
    }
    assert!(processes::pids_with_env(&entry).len() >= 2, "the tree is up");
    assert_eq!(stop(&mut running, GRACE).await, Stopped::Confirmed);
    assert_eq!(processes::pids_with_env(&entry), Vec::<u32>::new());
    // The link is none the worse for it.
    assert_eq!(run(&pool, &target, "echo still").await.out, b"still\n");
}

#[tokio::test]
async fn a_stubborn_tree_is_seen_dead() {
    stubborn_tree_dies(&Sshd::start()).await;
}

#[tokio::test]
async fn a_stubborn_tree_of_a_plain_account_is_seen_dead() {
    let user = match TestUser::ensure() {
        Ok(user) => user,
        Err(reason) => {
            assert!(!sshepherd_testkit::account::is_root(), "{reason}");
            return;
        }
    };
    stubborn_tree_dies(&Sshd::builder().login_as(&user).start()).await;
}

#[tokio::test]
async fn a_command_that_heeds_term_ends_well_within_its_grace() {
    let server = Sshd::start();
    let (pool, target) = (pool(), Arc::new(target(&server)));
    let mut running = start(&pool, &target, exec("echo $$; exec sleep 1000")).await;
    let pid: u32 = first_line(&mut running).await.parse().unwrap();
    let began = Instant::now();
    assert_eq!(stop(&mut running, Duration::from_secs(30)).await, Stopped::Confirmed);
    assert!(began.elapsed() < Duration::from_secs(15), "{:?}", began.elapsed());
    assert!(!processes::alive(pid));
}

#[tokio::test]
async fn only_the_stopped_command_ends() {
    let server = Sshd::start();
    let (pool, target) = (pool(), Arc::new(target(&server)));
    let mut first = start(&pool, &target, exec("echo up; exec sleep 1000")).await;
    let mut second = start(&pool, &target, exec("echo $$; exec sleep 1000")).await;
    assert_eq!(first_line(&mut first).await, "up");
    let other: u32 = first_line(&mut second).await.parse().unwrap();
    assert_eq!(stop(&mut first, GRACE).await, Stopped::Confirmed);
    assert!(processes::alive(other), "the other command was hit");
    assert_eq!(stop(&mut second, GRACE).await, Stopped::Confirmed);
}

#[tokio::test]
async fn a_stop_finds_a_way_when_every_session_is_taken() {
    let server = Sshd::builder().config_line("MaxSessions 1").start();
    let (pool, target) = (pool(), Arc::new(target(&server)));
    let mut running = start(&pool, &target, exec("echo up; exec sleep 1000")).await;
    assert_eq!(first_line(&mut running).await, "up");
    assert_eq!(stop(&mut running, GRACE).await, Stopped::Confirmed);
}

#[tokio::test]
async fn another_shell_is_stopped_the_same_way() {
    let server = Sshd::start();
    let target = Arc::new(Target { login_shell: LoginShell::Fish, ..target(&server) });
    let mut running = start(&pool(), &target, exec("echo $$; exec sleep 1000")).await;
    let pid: u32 = first_line(&mut running).await.parse().unwrap();
    assert_eq!(stop(&mut running, GRACE).await, Stopped::Confirmed);
    assert!(!processes::alive(pid));
}

/// Without a shell there is only the signal request, which sshd refuses on root log-ins: honest, not hopeful.
#[tokio::test]
async fn a_stop_that_was_not_seen_is_not_claimed() {
    let server = Sshd::start();
    let target = Arc::new(Target { login_shell: LoginShell::RawWords, ..target(&server) });
    let mut running = start(&pool(), &target, exec("echo $$; exec sleep 1000")).await;
    let pid: u32 = first_line(&mut running).await.parse().unwrap();
    let stopped = running.stopper().stop(Duration::from_millis(200)).await;
    assert_eq!(stopped == Stopped::Confirmed, !processes::alive(pid), "{stopped:?}");
    processes::kill(pid);
    assert!(processes::wait_gone(pid, Duration::from_secs(5)));
}

/// A forced command gets our text as SSH_ORIGINAL_COMMAND only. A stop must not run it a second time.
#[tokio::test]
async fn a_stop_does_not_run_a_forced_command_again() {
    let folder = tempfile::tempdir().unwrap();
    let runs = folder.path().join("runs");
    let options = format!("command=\"echo run >> {}; echo up; exec sleep 1000\"", runs.display());
    let server = Sshd::builder().key_options(&options).start();
    let target = Arc::new(target(&server));
    let exec = exec("anything");
    let cookie = exec.cookie.clone();
    let mut running = start(&pool(), &target, exec).await;
    assert_eq!(first_line(&mut running).await, "up");
    let stopped = running.stopper().stop(Duration::from_millis(200)).await;
    let count = std::fs::read_to_string(&runs).unwrap().lines().count();
    server.kill_connections();
    // Both runs carry the cookie in SSH_ORIGINAL_COMMAND.
    for pid in processes::all().into_iter().map(|process| process.pid) {
        let ours = std::fs::read(format!("/proc/{pid}/environ"))
            .is_ok_and(|text| String::from_utf8_lossy(&text).contains(&cookie));
        if ours {
            processes::kill(pid);
        }
    }
    assert_eq!((count, stopped), (1, Stopped::Unconfirmed));
}

/// The marker with the process id may still be under way when a stop comes.
#[tokio::test]
async fn a_stop_at_once_does_not_claim_a_death_that_was_not_seen() {
    let server = Sshd::start();
    let folder = tempfile::tempdir().unwrap();
    let pipe = folder.path().join("pid");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let wire = format!("echo $$ > {}; while :; do :; done", pipe.display());
    let mut running = start(&pool(), &Arc::new(target(&server)), exec(&wire)).await;
    // It runs, and nothing of what it wrote has been read yet.
    let said = tokio::time::timeout(LIMIT, tokio::fs::read_to_string(&pipe)).await.unwrap();
    let pid: u32 = said.unwrap().trim().parse().unwrap();
    // As its owner must, it is read while it is stopped.
    let stopper = running.stopper();
    let (stopped, _) = tokio::join!(stopper.stop(GRACE), finish(&mut running));
    let alive = processes::alive(pid);
    processes::kill(pid);
    assert_eq!((stopped, alive), (Stopped::Confirmed, false));
}

/// A host without a shell, which never tells a process id, and which dies when the command is ended.
async fn dying(folder: &TempDir) -> (FakeFleet, Arc<Target>) {
    let host = FakeHostSpec::new("dying").fault(Fault::CutAfterBytes(1 << 20));
    let fleet = FakeFleet::start(vec![host]).await.unwrap();
    let target = target_fake(&fleet, "dying", folder);
    (fleet, Arc::new(Target { login_shell: LoginShell::RawWords, ..target }))
}

#[tokio::test]
async fn a_stop_waits_for_no_word_of_a_channel_that_has_closed() {
    let folder = tempfile::tempdir().unwrap();
    let (_fleet, target) = dying(&folder).await;
    let mut running = start(&pool(), &target, exec("sleep 600")).await;
    // Nobody saw what became of the command when the connection went.
    assert_eq!(stop(&mut running, 10 * LIMIT).await, Stopped::Unconfirmed);
}

#[tokio::test]
async fn a_stop_waits_for_no_process_id_where_none_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let (_fleet, target) = dying(&folder).await;
    // A loaded machine may be slow once, but not each time; a process id would be waited for for two seconds.
    let mut quick = false;
    for _ in 0..5 {
        let mut running = start(&pool(), &target, exec("sleep 600")).await;
        let began = Instant::now();
        stop(&mut running, GRACE).await;
        quick |= began.elapsed() < Duration::from_secs(2);
    }
    assert!(quick);
}
