//! Stalled links, busy servers, and channels that nobody wants any more.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use sshepherd_model::{Keepalive, Phase};
use sshepherd_ssh::{Event, Pool};
use sshepherd_testkit::{Sshd, Stall, processes};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use crate::common::{
    LIMIT, Ran, exec, finish, first_line, pool, proxy, refusal, run, start, target, target_at,
    target_through,
};

#[tokio::test]
async fn a_stalled_link_is_noticed_and_the_others_work_on() {
    let (server, other) = (Sshd::start(), Sshd::start());
    let proxy = proxy(&server);
    let keepalive = Some(Keepalive { every: Duration::from_millis(200), missed: 2 });
    let pool = pool();
    let mut stalled = target_through(&server, proxy.address());
    stalled.transport.keepalive = keepalive;
    let stalled = Arc::new(stalled);
    let mut running = start(&pool, &stalled, exec("echo $$; exec sleep 1000")).await;
    let pid: u32 = first_line(&mut running).await.parse().unwrap();
    proxy.stall(Stall::Both);
    let lost = async { tokio::time::timeout(LIMIT, finish(&mut running)).await.unwrap() };
    let good = Arc::new(target(&other));
    let (ran, beside) = tokio::join!(lost, run(&pool, &good, "echo in"));
    assert!(matches!(ran.end, Event::Lost { .. }), "{:?}", ran.end);
    assert_eq!(beside, Ran::said("in\n", "", 0));
    assert_eq!(run(&pool, &good, "echo on").await, Ran::said("on\n", "", 0));
    processes::kill(pid);
}

/// Forty clients at once, each with a pool of its own, on an sshd that takes three at a time and refuses at random.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_busy_sshd_takes_everyone_in_the_end() {
    let server = Sshd::builder().daemon().config_line("MaxStartups 3:80:5").start();
    let mut target = target(&server);
    target.deadlines.banner = Duration::from_secs(45);
    let target = Arc::new(target);
    let mut all = JoinSet::new();
    for _ in 0..40 {
        let target = Arc::clone(&target);
        all.spawn(async move { run(&pool(), &target, "echo in").await.out });
    }
    while let Some(out) = all.join_next().await {
        assert_eq!(out.unwrap(), b"in\n");
    }
    assert!(server.log().contains("MaxStartups"), "nobody was refused:\n{}", server.log());
}

/// A server that hangs up with `text` on the first `times` connections and shows its version line on the next.
async fn grumpy(text: &'static str, times: usize) -> (std::net::SocketAddr, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let count = Arc::new(AtomicUsize::new(0));
    let seen = Arc::clone(&count);
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            let before = seen.fetch_add(1, Ordering::SeqCst);
            let line = if before < times { text } else { "SSH-2.0-fake\r\n" };
            let _ = socket.write_all(line.as_bytes()).await;
        }
    });
    (address, count)
}

#[tokio::test]
async fn only_a_server_that_says_that_it_is_busy_is_tried_again() {
    for (text, count, phase) in [
        ("", 3, Phase::KeyExchange),
        ("Exceeded MaxStartups\r\n", 3, Phase::KeyExchange),
        ("Not allowed at this time\r\n", 3, Phase::KeyExchange),
        ("HTTP/1.1 400 Bad Request\r\n\r\n", 1, Phase::Banner),
    ] {
        let (address, seen) = grumpy(text, 2).await;
        let failure = refusal(target_at(address, "")).await;
        assert_eq!((failure.phase, seen.load(Ordering::SeqCst)), (phase, count), "{failure:?}");
    }
}

#[tokio::test]
async fn a_server_that_stays_busy_is_told_as_such() {
    let (address, seen) = grumpy("Exceeded MaxStartups\r\n", usize::MAX).await;
    let mut target = target_at(address, "");
    target.deadlines.banner = Duration::from_millis(400);
    let failure = refusal(target).await;
    assert_eq!(failure.phase, Phase::Banner);
    assert!(failure.detail.contains("takes no more connections now"), "{failure:?}");
    assert!(seen.load(Ordering::SeqCst) > 1);
}

#[tokio::test]
async fn a_channel_that_nobody_wants_any_more_is_closed() {
    let server = Sshd::builder().config_line("MaxSessions 1").start();
    let proxy = proxy(&server);
    let (pool, target) = (pool(), Arc::new(target_through(&server, proxy.address())));
    drop(pool.open(Arc::clone(&target)).await.unwrap());
    assert_eq!(run(&pool, &target, "echo in").await, Ran::said("in\n", "", 0));
    // Given up while the server's answer is on its way.
    proxy.stall(Stall::ToClient);
    let opening = tokio::time::timeout(Duration::from_millis(300), pool.open(Arc::clone(&target)));
    assert!(opening.await.is_err());
    proxy.resume();
    assert_eq!(run(&pool, &target, "echo in").await, Ran::said("in\n", "", 0));
    assert_eq!(proxy.connections(), 1);
}

/// How many connections some commands at once need.
async fn connections_for(pool: &Pool, server: &Sshd, commands: usize) -> usize {
    let target = Arc::new(target(server));
    let before = server.connections().unwrap();
    let mut all = Vec::new();
    for _ in 0..commands {
        all.push(start(pool, &target, exec("echo up; read line")).await);
    }
    server.connections().unwrap() - before
}

#[tokio::test]
async fn what_was_learnt_of_max_sessions_is_forgotten_with_the_last_link() {
    let server = Sshd::builder().config_line("MaxSessions 1").start();
    let pool = pool();
    assert_eq!(connections_for(&pool, &server, 3).await, 3);
    server.prepend_config("MaxSessions 10");
    server.kill_connections();
    let target = Arc::new(target(&server));
    // Finds the links gone.
    assert_eq!(run(&pool, &target, "echo in").await, Ran::said("in\n", "", 0));
    assert_eq!(connections_for(&pool, &server, 5).await, 0);
}
