//! A server that stops at a step fails that step, in time.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use sshepherd_model::{LoginShell, Outcome, Phase};
use sshepherd_ssh::{Deadlines, Target};
use sshepherd_testkit::fakehost::{FakeFleet, FakeHostSpec, Fault};
use sshepherd_testkit::{banner_only_server, mute, silent_server};
use tempfile::TempDir;

use crate::common::{exec, pool, refusal, target_at, target_fake};

const SHORT: Duration = Duration::from_millis(300);

fn short() -> Deadlines {
    Deadlines {
        person: Duration::ZERO,
        dial: Duration::from_secs(10),
        banner: SHORT,
        key_exchange: SHORT,
        auth: Duration::from_secs(10),
        channel: SHORT,
        exec: SHORT,
        shell: SHORT,
    }
}

#[tokio::test]
async fn a_silent_server_fails_at_its_banner() {
    let server = silent_server();
    let target = Target { deadlines: short(), ..target_at(server.address(), "") };
    assert_eq!(refusal(target).await.phase, Phase::Banner);
}

#[tokio::test]
async fn a_server_that_stalls_after_its_banner_fails_in_key_exchange() {
    let server = banner_only_server();
    let target = Target { deadlines: short(), ..target_at(server.address(), "") };
    assert_eq!(refusal(target).await.phase, Phase::KeyExchange);
}

#[tokio::test]
async fn a_closed_port_fails_to_dial() {
    let failure = refusal(target_at(mute::refused_address(), "")).await;
    assert_eq!(failure.phase, Phase::Dial);
    assert!(failure.detail.contains("127.0.0.1"), "{failure:?}");
}

#[tokio::test]
async fn a_peer_that_is_not_admitted_gets_no_byte() {
    let server = silent_server();
    let asked = Arc::new(AtomicUsize::new(0));
    let seen = Arc::clone(&asked);
    let target = Target {
        admit_peer: Arc::new(move |peer: IpAddr| {
            seen.fetch_add(1, Ordering::SeqCst);
            Err(format!("{peer} is on the block list"))
        }),
        ..target_at(server.address(), "")
    };
    let failure = refusal(target).await;
    assert_eq!(failure.phase, Phase::Network);
    assert_eq!(failure.detail, "127.0.0.1 is on the block list");
    assert_eq!(asked.load(Ordering::SeqCst), 1);
}

/// A fake host with a fault, and the target for it. The folder holds the key.
async fn faulty(fault: Fault) -> (FakeFleet, TempDir, Target) {
    let fleet = FakeFleet::start(vec![FakeHostSpec::new("web-1").fault(fault)]).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let target = Target {
        login_shell: LoginShell::RawWords,
        deadlines: short(),
        ..target_fake(&fleet, "web-1", &folder)
    };
    (fleet, folder, target)
}

#[tokio::test]
async fn a_log_in_that_is_never_answered_fails_in_authentication() {
    let (_fleet, _folder, target) = faulty(Fault::StopInAuth).await;
    let deadlines = Deadlines { auth: SHORT, key_exchange: Duration::from_secs(10), ..short() };
    let failure = refusal(Target { deadlines, ..target }).await;
    assert_eq!(failure.phase, Phase::Auth);
    assert!(failure.detail.contains("did not finish"), "{failure:?}");
}

#[tokio::test]
async fn channels_that_are_refused_or_never_answered_fail_there() {
    for fault in [Fault::RefuseChannels, Fault::StopInChannelOpen] {
        let (_fleet, _folder, target) = faulty(fault).await;
        assert_eq!(refusal(target).await.phase, Phase::Channel, "{fault:?}");
    }
}

#[tokio::test]
async fn a_refused_command_did_not_start_and_an_unanswered_one_may_have() {
    let (_fleet, _folder, target) = faulty(Fault::RefuseExec).await;
    let ready = pool().open(Arc::new(target)).await.unwrap();
    match ready.exec(exec("hostname")).await {
        Err(Outcome::NotStarted(failure)) => assert_eq!(failure.phase, Phase::Exec),
        other => panic!("{:?}", other.map(drop)),
    }
    let (_fleet, _folder, target) = faulty(Fault::StopInExec).await;
    let ready = pool().open(Arc::new(target)).await.unwrap();
    let outcome = ready.exec(exec("hostname")).await.map(drop).unwrap_err();
    assert!(matches!(outcome, Outcome::Interrupted(_)), "{outcome:?}");
}
