//! What a command writes, reads and ends with.

use std::sync::Arc;

use sshepherd_model::LoginShell;
use sshepherd_ssh::{Event, Target};
use sshepherd_testkit::Sshd;

use crate::common::{Ran, exec, pool, run, run_exec, run_with, target};

#[tokio::test]
async fn output_is_kept_apart_and_the_status_is_the_commands_own() {
    let server = Sshd::start();
    let (pool, target) = (pool(), Arc::new(target(&server)));
    let ran = run(&pool, &target, "echo out; echo err >&2; exit 7").await;
    assert_eq!(ran, Ran::said("out\n", "err\n", 7));
    assert_eq!(run(&pool, &target, "true").await, Ran::said("", "", 0));
    assert_eq!(
        run(&pool, &target, "no-such-program-here").await.end,
        Event::Exited { status: 127 }
    );
    // One connection carried them all.
    assert_eq!(server.connections(), Some(1));
}

#[tokio::test]
async fn a_signal_is_not_an_exit_status() {
    let server = Sshd::start();
    let ran = run(&pool(), &Arc::new(target(&server)), "ulimit -c 0; kill -SEGV $$").await;
    assert_eq!(ran.end, Event::Signalled { signal: "SEGV".into() });
}

#[tokio::test]
async fn standard_error_keeps_its_order_and_nothing_of_ours_shows() {
    let server = Sshd::start();
    let ran = run(
        &pool(),
        &Arc::new(target(&server)),
        "i=0; while [ $i -lt 2000 ]; do echo $i >&2; i=$((i+1)); done",
    )
    .await;
    let expected: String = (0..2000).map(|i| format!("{i}\n")).collect();
    assert_eq!(ran, Ran::said("", &expected, 0));
}

#[tokio::test]
async fn standard_input_is_closed_unless_given() {
    let server = Sshd::start();
    let (pool, target) = (pool(), Arc::new(target(&server)));
    // Seed defect 14: an open input lets `cat` hang to its limit.
    assert_eq!(run(&pool, &target, "cat").await, Ran::said("", "", 0));
    assert_eq!(run_with(&pool, &target, "cat", b"one\ntwo").await, Ran::said("one\ntwo", "", 0));
    // More than a window, and a command that writes while it reads.
    let much: Vec<u8> = (0..5_000_000_u32).map(|i| (i % 251) as u8).collect();
    let ran = run_with(&pool, &target, "cat", &much).await;
    assert!(ran.out == much, "{} of {} bytes came back", ran.out.len(), much.len());
    // A command that reads nothing of it.
    assert_eq!(run_with(&pool, &target, "exit 3", &much).await.end, Event::Exited { status: 3 });
}

#[tokio::test]
async fn every_byte_arrives() {
    let server = Sshd::start();
    let (pool, target) = (pool(), Arc::new(target(&server)));
    let ran = run(&pool, &target, "head -c 52428800 /dev/zero").await;
    assert_eq!((ran.out.len(), ran.end), (52_428_800, Event::Exited { status: 0 }));
    let all: Vec<u8> = (0..=255).collect();
    assert_eq!(run_with(&pool, &target, "cat", &all).await.out, all);
}

#[tokio::test]
async fn each_kind_of_shell_runs_the_text() {
    let server = Sshd::start();
    for login_shell in [LoginShell::Posix, LoginShell::Fish, LoginShell::RawWords] {
        let target = Arc::new(Target { login_shell, ..target(&server) });
        let ran = run(&pool(), &target, "echo 'it'\\''s'; echo \"$0\" >/dev/null; exit 4").await;
        assert_eq!(ran, Ran::said("it's\n", "", 4), "{login_shell:?}");
    }
}

#[tokio::test]
async fn a_cookie_reaches_the_command_and_the_marker_does_not_reach_us() {
    let server = Sshd::start();
    let exec = exec("sh -c 'echo $SSHEPHERD_TASK'");
    let expected = format!("{}\n", exec.cookie);
    let ran = run_exec(&pool(), &Arc::new(target(&server)), exec).await;
    assert_eq!(ran, Ran::said(&expected, "", 0));
}
