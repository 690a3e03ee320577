//! Nobody's account is locked by us: what hosts refuse is counted, and then paused by name.

use std::sync::Arc;

use russh::MethodKind;
use sshepherd_model::{AuthMethod, ConnectFailure, Secret};
use sshepherd_ssh::{Pool, Target};
use sshepherd_testkit::{KeyKind, Sshd, TestUser};
use tokio::task::JoinSet;

use crate::asks::{Fake, Nature};
use crate::common::{key, pool, target};

fn password(text: &str) -> AuthMethod {
    AuthMethod::Password(Secret::new(text.to_owned()))
}

async fn refused(pool: &Pool, target: Target) -> ConnectFailure {
    pool.open(Arc::new(target)).await.map(drop).unwrap_err()
}

/// A host that asks for the password and takes another one.
async fn strict() -> Fake {
    Fake::start(Nature {
        methods: vec![MethodKind::KeyboardInteractive],
        rounds: vec![vec![("Password: ", false)]],
        right: vec![vec!["right"]],
        ..Nature::default()
    })
    .await
}

#[tokio::test]
async fn of_forty_hosts_with_a_wrong_password_three_see_it() {
    let pool = pool();
    let mut hosts = Vec::new();
    for _ in 0..40 {
        hosts.push(strict().await);
    }
    let mut tries = JoinSet::new();
    for (number, host) in hosts.iter().enumerate() {
        let alias = format!("host{number}").parse().unwrap();
        let target = Target { alias, methods: vec![password("wrong")], ..host.target() };
        let pool = pool.clone();
        tries.spawn(async move { refused(&pool, target).await });
    }
    let failures = tries.join_all().await;
    let seen = |host: &&Fake| !host.nature.answers.lock().unwrap().is_empty();
    assert_eq!(hosts.iter().filter(seen).count(), 3);
    let named = |one: &&ConnectFailure| one.detail.contains("refused 3 times in a row");
    assert_eq!(failures.iter().filter(named).count(), 37, "{failures:?}");
    // At once from now on, and without a connection.
    let target = Target { methods: vec![password("wrong")], ..hosts[0].target() };
    let failure = refused(&pool, target).await;
    assert!(failure.detail.contains("no way to log in"), "{failure:?}");
    assert!(failure.detail.contains("for another 60 min"), "{failure:?}");
    assert!(!format!("{failure:?}").contains("wrong"), "{failure:?}");
    // A corrected password is another one.
    let target = Target { methods: vec![password("right")], ..hosts[0].target() };
    pool.open(Arc::new(target)).await.map(drop).unwrap();
    // And the owner ends a pause.
    pool.forgive_refusals();
    let target = Target { methods: vec![password("wrong")], ..hosts[1].target() };
    assert!(!refused(&pool, target).await.detail.contains("in a row"));
}

#[tokio::test]
async fn of_forty_hosts_with_the_right_password_all_are_logged_in_to() {
    let pool = pool();
    let mut hosts = Vec::new();
    for _ in 0..40 {
        hosts.push(strict().await);
    }
    let mut tries = JoinSet::new();
    for (number, host) in hosts.iter().enumerate() {
        let alias = format!("host{number}").parse().unwrap();
        let target = Target { alias, methods: vec![password("right")], ..host.target() };
        let pool = pool.clone();
        tries.spawn(async move { pool.open(Arc::new(target)).await.map(drop).is_ok() });
    }
    assert!(tries.join_all().await.into_iter().all(|reached| reached));
}

#[tokio::test]
async fn a_host_that_has_refused_the_keys_three_times_sees_no_fourth() {
    let (pool, mut server) = (pool(), Sshd::start());
    let stranger = server.wrong_user_key();
    let with = |path: &std::path::Path| Target { methods: vec![key(path)], ..target(&server) };
    for _ in 0..3 {
        let failure = refused(&pool, with(stranger.path())).await;
        assert!(failure.detail.contains("refused key"), "{failure:?}");
    }
    for _ in 0..3 {
        let failure = refused(&pool, with(stranger.path())).await;
        assert!(failure.detail.contains("3 times in a row"), "{failure:?}");
        assert!(failure.detail.contains("for another 10 min"), "{failure:?}");
    }
    assert_eq!(server.connections(), Some(3));
    // Other keys are another matter.
    let both = vec![key(stranger.path()), key(server.user_key_path())];
    let target = Target { methods: both, ..target(&server) };
    pool.open(Arc::new(target)).await.map(drop).unwrap();
}

#[tokio::test]
async fn a_success_ends_the_row_of_refused_keys() {
    let (pool, mut server) = (pool(), Sshd::start());
    let pair = server.other_user_key(KeyKind::Ed25519);
    let with = || Target { methods: vec![key(pair.path())], ..target(&server) };
    for _ in 0..2 {
        server.authorize_nobody();
        for _ in 0..2 {
            refused(&pool, with()).await;
        }
        server.authorize(pair.public_line());
        pool.open(Arc::new(with())).await.map(drop).unwrap();
        pool.forget_all();
    }
}

/// Real PAM: what it sees of a wrong password, over all log-ins.
#[tokio::test]
async fn an_account_sees_a_wrong_password_three_times() {
    let Ok(user) = TestUser::ensure() else {
        assert!(!sshepherd_testkit::account::is_root());
        return;
    };
    let (pool, server) = (pool(), Sshd::builder().login_as(&user).passwords().start());
    let mut last = None;
    for _ in 0..6 {
        let target = Target { methods: vec![password("not-the-password")], ..target(&server) };
        last = Some(refused(&pool, target).await);
    }
    assert_eq!(server.log().matches("Failed password").count(), 3, "{}", server.log());
    assert!(last.unwrap().detail.contains("3 times in a row"));
}
