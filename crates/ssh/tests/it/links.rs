//! Links: shared, replaced when dead, lost when a command was under way, never stalled by one reader.

use std::sync::Arc;
use std::time::Duration;

use sshepherd_model::Phase;
use sshepherd_ssh::{Deadlines, Event, Pool, PoolSettings, Renewal, Target};
use sshepherd_testkit::{Sshd, Stall, processes, silent_server};
use tokio::task::JoinSet;

use crate::common::{
    LIMIT, Ran, exec, finish, first_line, pool, proxy, run, start, target, target_at,
    target_through,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sixty_four_commands_at_once_on_a_stock_sshd() {
    let server = Sshd::builder().daemon().start();
    let (pool, target) = (pool(), Arc::new(target(&server)));
    let mut all = JoinSet::new();
    for number in 0..64 {
        let (pool, target) = (pool.clone(), Arc::clone(&target));
        all.spawn(async move {
            (number, run(&pool, &target, &format!("sleep 0.5; echo {number}")).await)
        });
    }
    let mut done = 0;
    while let Some(ran) = all.join_next().await {
        let (number, ran) = ran.unwrap();
        // Start-up files of the account may complain when 64 of them run at once.
        assert_eq!(ran.out, format!("{number}\n").into_bytes());
        assert_eq!(ran.end, Event::Exited { status: 0 });
        done += 1;
    }
    assert_eq!(done, 64);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_smaller_max_sessions_is_learnt() {
    let server = Sshd::builder().config_line("MaxSessions 2").start();
    let (pool, target) = (pool(), Arc::new(target(&server)));
    let mut all = JoinSet::new();
    for _ in 0..7 {
        let (pool, target) = (pool.clone(), Arc::clone(&target));
        all.spawn(async move { run(&pool, &target, "sleep 0.5; echo done").await });
    }
    while let Some(ran) = all.join_next().await {
        assert_eq!(ran.unwrap(), Ran::said("done\n", "", 0));
    }
}

#[tokio::test]
async fn a_restarted_server_is_found_again_without_a_word() {
    let mut server = Sshd::start();
    let (pool, target) = (pool(), Arc::new(target(&server)));
    for _ in 0..3 {
        assert_eq!(run(&pool, &target, "echo in").await, Ran::said("in\n", "", 0));
        server.restart();
    }
}

#[tokio::test]
async fn a_link_that_was_cut_or_reset_is_replaced_without_a_word() {
    let server = Sshd::start();
    let proxy = proxy(&server);
    let (pool, target) = (pool(), Arc::new(target_through(&server, proxy.address())));
    assert_eq!(run(&pool, &target, "echo 1").await, Ran::said("1\n", "", 0));
    proxy.cut();
    assert_eq!(run(&pool, &target, "echo 2").await, Ran::said("2\n", "", 0));
    proxy.reset();
    assert_eq!(run(&pool, &target, "echo 3").await, Ran::said("3\n", "", 0));
    assert_eq!(proxy.connections(), 3);
}

#[tokio::test]
async fn a_connection_that_dies_under_a_command_is_lost_and_the_command_is_not_sent_again() {
    let folder = tempfile::tempdir().unwrap();
    let runs = folder.path().join("runs");
    let server = Sshd::start();
    let (pool, target) = (pool(), Arc::new(target(&server)));
    let wire = format!("echo run >> {}; echo $$; exec sleep 1000", runs.display());
    let mut running = start(&pool, &target, exec(&wire)).await;
    let pid: u32 = first_line(&mut running).await.parse().unwrap();
    server.kill_connections();
    let ran = tokio::time::timeout(LIMIT, finish(&mut running)).await.unwrap();
    assert!(matches!(ran.end, Event::Lost { .. }), "{:?}", ran.end);
    assert_eq!(run(&pool, &target, "echo in").await, Ran::said("in\n", "", 0));
    assert_eq!(std::fs::read_to_string(&runs).unwrap(), "run\n");
    processes::kill(pid);
}

#[tokio::test]
async fn idle_links_are_closed_and_used_ones_are_kept() {
    let server = Sshd::start();
    let pool =
        Pool::new(PoolSettings { idle: Duration::from_millis(50), ..PoolSettings::default() });
    let proxy = proxy(&server);
    let target = Arc::new(target_through(&server, proxy.address()));
    assert_eq!(run(&pool, &target, "sleep 0.3; echo 1").await, Ran::said("1\n", "", 0));
    assert_eq!(proxy.connections(), 1);
    tokio::time::timeout(LIMIT, proxy.all_closed()).await.unwrap();
    assert_eq!(run(&pool, &target, "echo 2").await, Ran::said("2\n", "", 0));
    assert_eq!(proxy.connections(), 2);
}

/// Each of many who wait at the bound gets its turn, as soon as those before it are done.
#[tokio::test]
async fn many_hosts_take_turns_on_few_connections() {
    let server = Sshd::start();
    let pool = Pool::new(PoolSettings { connections: 2, ..PoolSettings::default() });
    let proxies: Vec<_> = (0..10).map(|_| proxy(&server)).collect();
    let mut runs = tokio::task::JoinSet::new();
    for proxy in &proxies {
        let (pool, target) = (pool.clone(), target_through(&server, proxy.address()));
        runs.spawn(async move { run(&pool, &Arc::new(target), "echo in; sleep 0.2").await });
    }
    let all = tokio::time::timeout(LIMIT, runs.join_all()).await.unwrap();
    assert!(all.iter().all(|ran| *ran == Ran::said("in\n", "", 0)), "{all:?}");
}

/// At the bound, the connection that has carried nothing for longest makes way; those at work never do.
#[tokio::test]
async fn the_longest_idle_link_makes_way_for_a_new_one() {
    let server = Sshd::start();
    let pool = Pool::new(PoolSettings { connections: 2, ..PoolSettings::default() });
    let proxies = [proxy(&server), proxy(&server), proxy(&server)];
    let targets =
        proxies.each_ref().map(|proxy| Arc::new(target_through(&server, proxy.address())));
    for target in [&targets[0], &targets[1]] {
        assert_eq!(run(&pool, target, "echo in").await, Ran::said("in\n", "", 0));
    }
    assert_eq!(run(&pool, &targets[2], "echo in").await, Ran::said("in\n", "", 0));
    tokio::time::timeout(LIMIT, proxies[0].all_closed()).await.unwrap();
    assert_eq!([proxies[1].open(), proxies[2].open()], [1, 1]);
    // While both are at work there is no place, and it is said why.
    let folder = tempfile::tempdir().unwrap();
    let gate = folder.path().join("gate");
    let until_open = format!("echo up; while [ ! -e {} ]; do sleep 0.05; done", gate.display());
    let mut at_work = Vec::new();
    for target in [&targets[1], &targets[2]] {
        let mut running = start(&pool, target, exec(&until_open)).await;
        assert_eq!(first_line(&mut running).await, "up");
        at_work.push(running);
    }
    let deadlines = Deadlines { dial: Duration::from_millis(300), ..targets[0].deadlines };
    let hasty = Arc::new(Target { deadlines, ..(*targets[0]).clone() });
    let failure = pool.open(hasty).await.err().unwrap();
    assert!(failure.detail.contains("all of them at work"), "{failure}");
    std::fs::write(&gate, "").unwrap();
    for mut running in at_work {
        assert_eq!(finish(&mut running).await.end, Event::Exited { status: 0 });
    }
    assert_eq!(run(&pool, &targets[0], "echo in").await, Ran::said("in\n", "", 0));
}

#[tokio::test]
async fn a_shutdown_ends_links_and_what_comes_later() {
    let server = Sshd::start();
    let (pool, target) = (pool(), Arc::new(target(&server)));
    let mut running = start(&pool, &target, exec("echo $$; exec sleep 1000")).await;
    let pid: u32 = first_line(&mut running).await.parse().unwrap();
    tokio::time::timeout(Duration::from_secs(5), pool.shutdown()).await.unwrap();
    let ran = tokio::time::timeout(LIMIT, finish(&mut running)).await.unwrap();
    assert!(matches!(ran.end, Event::Lost { .. }), "{:?}", ran.end);
    processes::kill(pid);
}

#[tokio::test]
async fn links_that_were_let_go_are_not_used_again() {
    let server = Sshd::start();
    let (pool, target) = (pool(), Arc::new(target(&server)));
    let mut running = start(&pool, &target, exec("echo up; sleep 0.3; echo end")).await;
    assert_eq!(first_line(&mut running).await, "up");
    pool.forget_all();
    assert_eq!(run(&pool, &target, "echo in").await, Ran::said("in\n", "", 0));
    assert_eq!(server.connections(), Some(2));
    let ran = finish(&mut running).await;
    assert_eq!((ran.out.as_slice(), ran.end), (b"end\n".as_slice(), Event::Exited { status: 0 }));
}

#[tokio::test]
async fn a_wedged_host_delays_nobody_else() {
    let (silent, server) = (silent_server(), Sshd::start());
    let pool = pool();
    let wedged = Arc::new(target_at(silent.address(), ""));
    let stuck = tokio::spawn({
        let pool = pool.clone();
        async move { pool.open(wedged).await.map(drop) }
    });
    let good = Arc::new(target(&server));
    let ran = tokio::time::timeout(Duration::from_secs(8), run(&pool, &good, "echo in"));
    assert_eq!(ran.await.unwrap(), Ran::said("in\n", "", 0));
    assert!(!stuck.is_finished());
    stuck.abort();
}

/// Sharing what is under way: one silent host must not cost each caller its own deadline, one after the other.
#[tokio::test]
async fn callers_of_a_dead_host_share_one_failure() {
    let silent = silent_server();
    let mut target = target_at(silent.address(), "");
    target.deadlines.banner = Duration::from_millis(500);
    let (pool, target) = (pool(), Arc::new(target));
    let began = std::time::Instant::now();
    let mut all = JoinSet::new();
    for _ in 0..32 {
        let (pool, target) = (pool.clone(), Arc::clone(&target));
        all.spawn(async move { pool.open(target).await.map(drop).unwrap_err().phase });
    }
    while let Some(phase) = all.join_next().await {
        assert_eq!(phase.unwrap(), Phase::Banner);
    }
    assert!(began.elapsed() < Duration::from_millis(1500), "{:?}", began.elapsed());
}

/// A few callers at once need one connection, not one each.
#[tokio::test]
async fn callers_share_a_connection_that_is_being_made() {
    let server = Sshd::start();
    let (pool, target) = (pool(), Arc::new(target(&server)));
    let mut all = JoinSet::new();
    for _ in 0..4 {
        let (pool, target) = (pool.clone(), Arc::clone(&target));
        all.spawn(async move { run(&pool, &target, "echo in").await });
    }
    while let Some(ran) = all.join_next().await {
        assert_eq!(ran.unwrap(), Ran::said("in\n", "", 0));
    }
    assert_eq!(server.connections(), Some(1));
}

/// A link that fell silent while idle fails its channel in time, and the next command gets another link.
#[tokio::test]
async fn a_link_that_fell_silent_is_given_up_after_its_deadline() {
    let server = Sshd::start();
    let proxy = proxy(&server);
    let mut target = target_through(&server, proxy.address());
    target.deadlines.channel = Duration::from_secs(1);
    let (pool, target) = (pool(), Arc::new(target));
    assert_eq!(run(&pool, &target, "echo 1").await, Ran::said("1\n", "", 0));
    proxy.stall(Stall::Both);
    let failure = pool.open(Arc::clone(&target)).await.map(drop).unwrap_err();
    assert_eq!(failure.phase, Phase::Channel, "{failure:?}");
    proxy.resume();
    assert_eq!(run(&pool, &target, "echo 2").await, Ran::said("2\n", "", 0));
    assert_eq!(proxy.connections(), 2);
}

/// A later key exchange ends a link, so links are renewed before one comes; what runs on the old one goes on.
#[tokio::test]
async fn a_worn_link_gets_no_more_commands_and_keeps_those_it_has() {
    let server = Sshd::start();
    let target = Arc::new(target(&server));
    let whole = Renewal::default();
    for renewal in
        [Renewal { bytes: 64 * 1024, ..whole }, Renewal { after: Duration::ZERO, ..whole }]
    {
        let pool = Pool::new(PoolSettings { renewal, ..PoolSettings::default() });
        let before = server.connections().unwrap();
        let wire = "head -c 200000 /dev/zero | tr '\\0' x; echo; sleep 0.3; echo end";
        let mut running = start(&pool, &target, exec(wire)).await;
        assert_eq!(first_line(&mut running).await.len(), 200_000);
        assert_eq!(run(&pool, &target, "echo in").await, Ran::said("in\n", "", 0));
        assert_eq!(server.connections().unwrap() - before, 2, "{renewal:?}");
        let ran = finish(&mut running).await;
        assert_eq!((ran.out.as_slice(), ran.end), (&b"end\n"[..], Event::Exited { status: 0 }));
    }
}

/// Idle, it is closed at once, so that worn links do not fill the host's number of links.
#[tokio::test]
async fn a_worn_link_is_closed_with_its_last_command() {
    let server = Sshd::start();
    let proxy = proxy(&server);
    let renewal = Renewal { after: Duration::ZERO, ..Renewal::default() };
    let pool = Pool::new(PoolSettings { renewal, ..PoolSettings::default() });
    let target = Arc::new(target_through(&server, proxy.address()));
    assert_eq!(run(&pool, &target, "echo in").await, Ran::said("in\n", "", 0));
    tokio::time::timeout(LIMIT, proxy.all_closed()).await.unwrap();
}

/// A real sshd that wants new keys: the command that runs is lost with a word about why, the next gets a new link.
#[tokio::test]
async fn an_sshd_that_exchanges_keys_again_loses_the_link_and_gets_a_new_one() {
    let server = Sshd::builder().config_line("RekeyLimit 100K").start();
    let (pool, target) = (pool(), Arc::new(target(&server)));
    let ran = run(&pool, &target, "head -c 1000000 /dev/zero").await;
    let Event::Lost { detail } = &ran.end else { panic!("{ran:?}") };
    assert!(detail.contains("host key"), "{detail}");
    assert_eq!(run(&pool, &target, "echo in").await, Ran::said("in\n", "", 0));
    assert_eq!(server.connections(), Some(2));
}
