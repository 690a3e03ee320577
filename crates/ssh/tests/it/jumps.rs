//! Hosts behind jump hosts, all real sshds: each hop judged, checked and logged in to by its own values.

use std::sync::Arc;
use std::time::Duration;

use sshepherd_model::Phase;
use sshepherd_ssh::{Deadlines, Event, Pool, PoolSettings, Target};
use sshepherd_testkit::{KeyKind, Sshd, silent_server};

use crate::asks::{Fake, Nature};
use crate::common::{
    LIMIT, Ran, exec, finish, first_line, known, pool, refusal, run, start, target, target_at,
};

/// `inner` behind `jump`.
fn behind(inner: Target, jump: Target) -> Target {
    let jump = Target { alias: "jump".parse().unwrap(), ..jump };
    Target { via: Some(Arc::new(jump)), ..inner }
}

#[tokio::test]
async fn one_hop_and_two_run_commands() {
    let (inner, middle, outer) = (Sshd::start(), Sshd::start(), Sshd::start());
    let one = Arc::new(behind(target(&inner), target(&outer)));
    let pool = pool();
    assert_eq!(run(&pool, &one, "echo in").await, Ran::said("in\n", "", 0));
    assert_eq!((outer.connections(), middle.connections()), (Some(1), Some(0)));

    let middle_target =
        Target { alias: "middle".parse().unwrap(), ..behind(target(&middle), target(&outer)) };
    let two = Arc::new(Target { via: Some(Arc::new(middle_target)), ..target(&inner) });
    let big = run(&pool, &two, "head -c 3000000 /dev/zero | wc -c").await;
    assert_eq!(big, Ran::said("3000000\n", "", 0));
    // The link to the outer one is shared by both ways; the inner one has a link for each.
    let made = [&outer, &middle, &inner].map(Sshd::connections);
    assert_eq!(made, [Some(1), Some(1), Some(2)]);
    assert_eq!(pool.open(Arc::clone(&two)).await.unwrap().peer(), Some(inner.address().ip()));
    tokio::time::timeout(LIMIT, pool.shutdown()).await.unwrap();
}

#[tokio::test]
async fn tunnels_take_no_sessions_of_the_jump_host() {
    let jump = Sshd::builder().config_line("MaxSessions 1").start();
    let inner = Sshd::start();
    let pool = pool();
    let straight = Arc::new(Target { alias: "jump".parse().unwrap(), ..target(&jump) });
    let mut busy = start(&pool, &straight, exec("echo on; read x; sleep 60")).await;
    assert_eq!(first_line(&mut busy).await, "on");
    let through = Arc::new(behind(target(&inner), target(&jump)));
    let all = (0..12).map(|_| {
        let (pool, through) = (pool.clone(), Arc::clone(&through));
        tokio::spawn(async move { run(&pool, &through, "echo in").await })
    });
    for ran in all.collect::<Vec<_>>() {
        assert_eq!(ran.await.unwrap(), Ran::said("in\n", "", 0));
    }
    assert_eq!(jump.connections(), Some(1));

    let none = Sshd::builder().config_line("MaxSessions 0").start();
    let through = Arc::new(behind(target(&inner), target(&none)));
    assert_eq!(run(&pool, &through, "echo in").await, Ran::said("in\n", "", 0));
}

#[tokio::test]
async fn the_network_policy_judges_every_hop() {
    let (jump, inner) = (Sshd::start(), Sshd::start());
    let blocked = |server: &Sshd| Target {
        admit_peer: Arc::new(|peer| Err(format!("{peer} is blocked"))),
        ..target(server)
    };
    let failure = refusal(behind(target(&inner), blocked(&jump))).await;
    assert_eq!(failure.phase, Phase::Network, "{failure:?}");
    assert!(failure.detail.contains("jump host jump: 127.0.0.1 is blocked"), "{failure:?}");
    let failure = refusal(behind(blocked(&inner), target(&jump))).await;
    assert_eq!(failure.phase, Phase::Network, "{failure:?}");
    assert_eq!(failure.detail, "127.0.0.1 is blocked");
    assert_eq!(inner.connections(), Some(0));
}

#[tokio::test]
async fn keys_are_checked_at_every_hop() {
    let (jump, inner, other) = (Sshd::start(), Sshd::start(), Sshd::start());
    let with = |server: &Sshd, lines: &str| Target { known_hosts: known(lines), ..target(server) };
    let changed = other.host_key_line(&inner.known_hosts_name());
    let failure = refusal(behind(with(&inner, &changed), target(&jump))).await;
    assert_eq!(failure.phase, Phase::HostKey, "{failure:?}");
    assert!(failure.detail.contains("not the stored one"), "{failure:?}");
    assert!(failure.detail.contains(&inner.known_hosts_name()), "{failure:?}");
    let failure = refusal(behind(target(&inner), with(&jump, ""))).await;
    assert_eq!(failure.phase, Phase::HostKey, "{failure:?}");
    assert!(failure.detail.starts_with("jump host jump: the host key of"), "{failure:?}");
    // The key of one hop says nothing about another.
    let own = inner.host_key_line(&inner.known_hosts_name());
    assert!(refusal(behind(with(&inner, &own), with(&jump, &own))).await.detail.contains("jump"));
}

#[tokio::test]
async fn each_hop_logs_in_by_its_own_credentials() {
    let (mut jump, inner) = (Sshd::start(), Sshd::start());
    let mixed = behind(Target { methods: target(&jump).methods, ..target(&inner) }, target(&jump));
    let failure = refusal(mixed).await;
    assert_eq!(failure.phase, Phase::Auth, "{failure:?}");
    assert!(failure.detail.starts_with("test refused key"), "{failure:?}");
    let other = jump.other_user_key(KeyKind::Ecdsa);
    jump.authorize_nobody();
    jump.authorize(other.public_line());
    let failure = refusal(behind(target(&inner), target(&jump))).await;
    assert!(failure.detail.starts_with("jump host jump: jump refused key"), "{failure:?}");
}

#[tokio::test]
async fn a_way_that_is_cut_off_says_where() {
    let (mut jump, mut inner) = (Sshd::start(), Sshd::start());
    let through = || behind(target(&inner), target(&jump));
    let dead = through();
    inner.stop();
    let failure = refusal(dead.clone()).await;
    assert_eq!(failure.phase, Phase::Dial, "{failure:?}");
    let words = format!("jump: it cannot connect to {}", inner.address());
    assert!(failure.detail.contains(&words), "{failure:?}");
    inner.restart();
    jump.prepend_config("AllowTcpForwarding no");
    let failure = refusal(dead.clone()).await;
    assert_eq!(failure.phase, Phase::Dial, "{failure:?}");
    assert!(failure.detail.contains("it does not forward"), "{failure:?}");
    jump.stop();
    let failure = refusal(dead).await;
    assert_eq!(failure.phase, Phase::Dial, "{failure:?}");
    assert!(failure.detail.starts_with("jump host jump: "), "{failure:?}");
}

#[tokio::test]
async fn silence_behind_a_jump_host_has_its_deadline() {
    let (jump, silent) = (Sshd::start(), silent_server());
    let deadlines = Deadlines { banner: Duration::from_millis(300), ..Deadlines::default() };
    let inner = Target { deadlines, ..target_at(silent.address(), "") };
    let failure = refusal(behind(inner, target(&jump))).await;
    assert_eq!(failure.phase, Phase::Banner, "{failure:?}");
    assert!(failure.detail.contains("said nothing for too long"), "{failure:?}");
}

#[tokio::test]
async fn a_jump_link_that_dies_ends_the_links_behind_it() {
    let (jump, inner) = (Sshd::start(), Sshd::start());
    let (pool, through) = (pool(), Arc::new(behind(target(&inner), target(&jump))));
    let mut running = start(&pool, &through, exec("echo on; exec sleep 60")).await;
    assert_eq!(first_line(&mut running).await, "on");
    jump.kill_connections();
    let ran = tokio::time::timeout(LIMIT, finish(&mut running)).await.unwrap();
    assert!(matches!(ran.end, Event::Lost { .. }), "{ran:?}");
    assert_eq!(run(&pool, &through, "echo in").await, Ran::said("in\n", "", 0));
    inner.kill_connections();
}

#[tokio::test]
async fn a_link_that_carries_a_tunnel_is_not_idle() {
    let (jump, inner) = (Sshd::start(), Sshd::start());
    let pool =
        Pool::new(PoolSettings { idle: Duration::from_millis(20), ..PoolSettings::default() });
    let through = Arc::new(behind(target(&inner), target(&jump)));
    let ran = run(&pool, &through, "sleep 0.5; echo in").await;
    assert_eq!(ran, Ran::said("in\n", "", 0));
    tokio::time::timeout(LIMIT, pool.shutdown()).await.unwrap();
}

#[tokio::test]
async fn the_keys_of_a_host_behind_a_jump_host_can_be_seen() {
    let jump = Sshd::start();
    let inner = Sshd::builder().host_keys(&[KeyKind::Ed25519, KeyKind::Rsa]).start();
    let unknown = |server: &Sshd| Target { known_hosts: known(""), ..target(server) };
    let through = Arc::new(behind(unknown(&inner), target(&jump)));
    let shown = pool().survey(&through).await.unwrap();
    let lines: Vec<String> = shown.iter().map(|key| key.to_openssh().unwrap()).collect();
    let stored = inner.host_key_lines("x");
    let stored: Vec<&str> = stored.lines().map(|line| line.strip_prefix("x ").unwrap()).collect();
    assert_eq!(lines.iter().map(|line| line.trim()).collect::<Vec<_>>(), stored);
    assert!(!inner.log().contains("Accepted"), "{}", inner.log());
    let failure =
        pool().survey(&Arc::new(behind(target(&inner), unknown(&jump)))).await.unwrap_err();
    assert!(failure.detail.contains("jump host jump: the host key"), "{failure:?}");
}

#[tokio::test]
async fn a_jump_host_that_says_nothing_or_lies_is_told_from_the_host_behind_it() {
    let inner = Sshd::start();
    let deadlines = Deadlines { dial: Duration::from_millis(300), ..Deadlines::default() };
    let mute = Fake::start(Nature::default()).await;
    let hasty = Target { deadlines, ..target(&inner) };
    let failure = refusal(behind(hasty, mute.target())).await;
    assert_eq!(failure.phase, Phase::Dial, "{failure:?}");
    assert!(failure.detail.starts_with("jump: 127.0.0.1:"), "{failure:?}");
    assert!(failure.detail.contains("did not answer within"), "{failure:?}");

    for (words, said) in [
        (&b"HTTP/1.1 400 Bad Request\r\n\r\n"[..], "it said: HTTP/1.1 400 Bad Request"),
        (b"\0\0\0\0", "test"),
    ] {
        let liar = Fake::start(Nature { in_its_place: Some(words), ..Nature::default() }).await;
        let deadlines = Deadlines { banner: Duration::from_secs(1), ..Deadlines::default() };
        let hasty = Target { deadlines, ..target(&inner) };
        let failure = refusal(behind(hasty, liar.target())).await;
        assert_eq!(failure.phase, Phase::Banner, "{failure:?}");
        assert!(failure.detail.contains(said), "{failure:?}");
    }
    assert_eq!(inner.connections(), Some(0));
}
