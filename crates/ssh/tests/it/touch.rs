//! A security key in the agent: the person is told before it must be touched, and has the time to do it.

use std::sync::Arc;
use std::time::Duration;

use sshepherd_model::{AuthMethod, Phase};
use sshepherd_ssh::{Deadlines, Target};
use sshepherd_testkit::{SecurityKey, Sshd};
use tokio::sync::mpsc;

use crate::common::{LIMIT, Ran, pool, refusal, run, target};

fn with(key: &SecurityKey, server: &Sshd) -> Target {
    let methods = vec![AuthMethod::Agent { socket: key.socket().to_owned(), only: None }];
    Target { methods, ..target(server) }
}

#[tokio::test]
async fn the_log_in_says_that_it_waits_and_goes_on_after_the_touch() {
    let (key, server) = (SecurityKey::start(), Sshd::start());
    server.authorize(key.public_line());
    let (told, mut hears) = mpsc::unbounded_channel();
    let target = Target {
        on_touch: Some(Arc::new(move |alias| told.send(alias.clone()).unwrap())),
        ..with(&key, &server)
    };
    let running = tokio::spawn(async move { run(&pool(), &Arc::new(target), "echo in").await });
    let alias = tokio::time::timeout(LIMIT, hears.recv()).await.unwrap().unwrap();
    assert_eq!(alias.as_str(), "test");
    assert!(!running.is_finished(), "nothing is signed before the touch");
    key.touch();
    assert_eq!(running.await.unwrap(), Ran::said("in\n", "", 0));
}

#[tokio::test]
async fn a_key_that_is_not_touched_is_told_so() {
    let (key, server) = (SecurityKey::start(), Sshd::start());
    server.authorize(key.public_line());
    let (auth, person) = (Duration::from_secs(4), Duration::from_secs(1));
    let deadlines = Deadlines { auth, person, ..Deadlines::default() };
    let failure = refusal(Target { deadlines, ..with(&key, &server) }).await;
    assert_eq!(failure.phase, Phase::Auth);
    assert!(
        failure.detail.contains("not touched within 5 s"),
        "a person takes longer: {failure:?}"
    );
    assert!(failure.hint.contains("not touched in time"), "{failure:?}");
}

#[tokio::test]
async fn a_key_that_may_not_log_in_need_not_be_touched() {
    let (key, server) = (SecurityKey::start(), Sshd::start());
    let failure = refusal(with(&key, &server)).await;
    assert!(failure.detail.contains("refused ssh-agent"), "{failure:?}");
}
