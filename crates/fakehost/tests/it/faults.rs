//! Each fault does what it says.

use std::time::Duration;

use russh::Error;
use russh::client::AuthResult;
use sshepherd_fakehost::{FakeHostSpec, Fault};
use tokio::time::timeout;

use crate::client::{LIMIT, connect, finish, first_output, fleet, key_login, login, run, start};

/// How long a thing that never happens is watched.
const WATCH: Duration = Duration::from_millis(100);

#[tokio::test]
async fn a_host_may_stop_before_the_login() {
    for fault in [Fault::SilentBanner, Fault::StopAfterBanner] {
        let fleet = fleet(FakeHostSpec::new("web-1").fault(fault));
        let host = fleet.hosts().first().unwrap();
        assert!(timeout(WATCH, connect(host)).await.is_err(), "{fault:?}");
        timeout(LIMIT, fleet.stop()).await.unwrap();
    }
}

#[tokio::test]
async fn logins_are_refused_or_never_answered() {
    let refusing = fleet(FakeHostSpec::new("web-1").fault(Fault::RefuseAuth));
    let mut ssh = connect(refusing.hosts().first().unwrap()).await.unwrap();
    assert!(!key_login(&refusing, &mut ssh, "demo").await);

    let good = fleet(FakeHostSpec::new("web-1").password("sesame"));
    let mut ssh = connect(good.hosts().first().unwrap()).await.unwrap();
    assert!(!key_login(&good, &mut ssh, "somebody").await);
    assert!(!key_login(&refusing, &mut ssh, "demo").await, "the key of another fleet");
    assert!(!matches!(
        ssh.authenticate_password("demo", "simsim").await.unwrap(),
        AuthResult::Success
    ));
    assert!(matches!(
        ssh.authenticate_password("demo", "sesame").await.unwrap(),
        AuthResult::Success
    ));

    let stuck = fleet(FakeHostSpec::new("web-1").fault(Fault::StopInAuth));
    let mut ssh = connect(stuck.hosts().first().unwrap()).await.unwrap();
    assert!(timeout(WATCH, key_login(&stuck, &mut ssh, "demo")).await.is_err());
    timeout(LIMIT, stuck.stop()).await.unwrap();
}

#[tokio::test]
async fn channels_are_refused_beyond_the_most_and_again_admitted() {
    let fleet = fleet(FakeHostSpec::new("web-1").fault(Fault::MaxSessions(2)));
    let ssh = login(&fleet).await;
    let mut first = start(&ssh, "cat").await;
    let _second = start(&ssh, "cat").await;
    assert!(matches!(ssh.channel_open_session().await, Err(Error::ChannelOpenFailure(_))));
    first.eof().await.unwrap();
    finish(&mut first).await;
    assert_eq!(run(&ssh, "echo again").await.out, "again\n");
}

#[tokio::test]
async fn channels_and_commands_are_refused_or_never_answered() {
    let host = |fault| fleet(FakeHostSpec::new("web-1").fault(fault));
    let fleet = host(Fault::RefuseChannels);
    assert!(login(&fleet).await.channel_open_session().await.is_err());
    let fleet = host(Fault::StopInChannelOpen);
    assert!(timeout(WATCH, login(&fleet).await.channel_open_session()).await.is_err());
    for fault in [Fault::StopInExec, Fault::RefuseExec] {
        let fleet = host(fault);
        let ssh = login(&fleet).await;
        let mut channel = start(&ssh, "hostname").await;
        let answer = timeout(WATCH, async {
            loop {
                match channel.wait().await {
                    Some(russh::ChannelMsg::WindowAdjusted { .. }) => {}
                    other => return other,
                }
            }
        });
        match (fault, answer.await) {
            (Fault::StopInExec, Err(_)) | (_, Ok(Some(russh::ChannelMsg::Failure))) => {}
            (_, other) => panic!("{fault:?}: {other:?}"),
        }
    }
}

#[tokio::test]
async fn a_connection_is_cut_in_the_middle_of_a_command() {
    let fleet = fleet(FakeHostSpec::new("web-1").fault(Fault::CutAfterBytes(100_000)));
    let ssh = login(&fleet).await;
    let ran = run(&ssh, "yes").await;
    assert_eq!((ran.status, ran.signal, ran.closed_in_order), (None, None, false));
}

#[tokio::test]
async fn endless_output_waits_for_its_reader() {
    let fleet = fleet(FakeHostSpec::new("web-1").fault(Fault::EndlessOutput));
    let ssh = login(&fleet).await;
    let mut channel = start(&ssh, "hostname").await;
    assert!(first_output(&mut channel).await.starts_with(b"endless\n"));
    channel.close().await.unwrap();
    let pid = fleet.hosts().first().unwrap().processes().first().copied();
    if let Some(pid) = pid {
        timeout(LIMIT, fleet.hosts().first().unwrap().process_gone(pid)).await.unwrap();
    }
}

#[tokio::test]
async fn a_channel_may_close_without_a_status() {
    let fleet = fleet(FakeHostSpec::new("web-1").fault(Fault::NoExitStatus));
    let ran = run(&login(&fleet).await, "hostname").await;
    assert_eq!((ran.out.as_str(), ran.status, ran.closed_in_order), ("web-1\n", None, true));
}
