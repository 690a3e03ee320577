//! Connections: one for many commands, many at once, lost, refused, judged by address.

use std::sync::Arc;
use std::time::Duration;

use sshepherd_engine::policy::{LimitPatch, NetworkPolicy};
use sshepherd_engine::store::{MemoryStore, Store};
use sshepherd_model::{AuthMethod, Outcome, Phase, Request, Secret};
use sshepherd_testkit::Sshd;
use tokio_util::sync::CancellationToken;

use crate::site::{Jump, Plan, Site, alias, origin};

#[tokio::test(flavor = "multi_thread")]
async fn seed_defect_6_commands_share_a_connection() {
    let sshd = Sshd::start();
    let site = Site::new(&sshd);
    for _ in 0..5 {
        assert_eq!(site.run("true").await.outcome, Outcome::Exited { status: 0 });
    }
    assert_eq!(sshd.connections(), Some(1));
}

/// Nothing is asked for until the connection stands, and what is asked for then goes over it.
#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_is_to_be_warm_is_connected_before_anyone_asks() {
    let sshd = Sshd::start();
    let site = Site::with(&sshd, Plan { warm: true, ..Plan::default() });
    let connected = async {
        while sshd.connections() != Some(1) {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), connected).await.unwrap();
    assert_eq!(site.run("true").await.outcome, Outcome::Exited { status: 0 });
    assert_eq!(sshd.connections(), Some(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn sixty_four_commands_at_once_on_a_stock_server() {
    let sshd = Sshd::builder().daemon().start();
    let site = Site::new(&sshd);
    // Each ends only when all of them run: none may wait for another's place.
    let meet = site.path("meet");
    let command = format!(
        "echo x >> {0}; while [ $(wc -l < {0}) -lt 64 ]; do sleep 0.1; done",
        meet.display()
    );
    let runs = (0..64).map(|_| site.run(&command));
    for finished in futures::future::join_all(runs).await {
        assert_eq!(finished.outcome, Outcome::Exited { status: 0 });
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn seed_defect_6_a_fan_out_runs_side_by_side_and_answers_in_order() {
    let sshd = Sshd::start();
    let aliases = vec!["c", "a", "b"];
    let site = Site::with(&sshd, Plan { aliases: aliases.clone(), ..Plan::default() });
    let meet = site.path("meet");
    let request = Request::new(&format!(
        "echo x >> {0}; while [ $(wc -l < {0}) -lt 3 ]; do sleep 0.1; done",
        meet.display()
    ))
    .unwrap();
    let targets = sshepherd_model::Targets::Tag("all".parse().unwrap());
    let fan_out = site
        .engine
        .fan_out(
            &targets,
            (&request, &sshepherd_model::Rollout::default()),
            &origin(),
            &CancellationToken::new(),
            |_, _| {},
        )
        .await
        .unwrap();
    let order: Vec<&str> = fan_out.hosts.iter().map(|report| report.alias.as_str()).collect();
    assert_eq!(order, aliases);
    for report in &fan_out.hosts {
        assert_eq!(report.result.as_ref().unwrap().outcome, Outcome::Exited { status: 0 });
    }
}

/// Whoever goes on with a group after a restart asks for its gates again, by these names: they must be there.
#[tokio::test(flavor = "multi_thread")]
async fn a_gate_of_a_group_is_kept_under_its_name_and_not_run_again() {
    let sshd = Sshd::start();
    let store: Arc<dyn Store> = Arc::new(MemoryStore::default());
    let plan = Plan { aliases: vec!["a", "b"], store: Some(Arc::clone(&store)), ..Plan::default() };
    let site = Site::with(&sshd, plan);
    let targets = sshepherd_model::Targets::Tag("all".parse().unwrap());
    let (request, gate) = (Request::new("true").unwrap(), Request::new("echo gate").unwrap());
    let rollout = sshepherd_model::Rollout {
        canary: true,
        gate: Some(gate.clone()),
        ..sshepherd_model::Rollout::default()
    };
    let ticket = site.engine.submit_group(&targets, (&request, &rollout), origin()).await.unwrap();
    site.engine.wait(&ticket.task_id).await.unwrap().found().unwrap();
    let key = format!("{}:gate:a", ticket.task_id);
    let kept = store.named(&key).await.unwrap().expect("the gate was run without a name");
    assert_eq!((kept.alias.as_str(), kept.command.as_str()), ("a", "echo gate"));
    // A caller's key of that form is another one, and cannot stand in for it.
    let alias = "a".parse().unwrap();
    let callers = site.engine.submit_task(&alias, &gate, Some(key), origin()).await.unwrap();
    assert!(!callers.known && callers.task_id != kept.id);
}

/// Whoever asks again how far a fan-out has come costs no more the more hosts have ended.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_fan_out_has_written_down_is_read_once() {
    let sshd = Sshd::start();
    let site = Site::with(&sshd, Plan { aliases: vec!["a", "b", "c"], ..Plan::default() });
    let targets = sshepherd_model::Targets::Tag("all".parse().unwrap());
    let (request, rollout) = (Request::new("true").unwrap(), sshepherd_model::Rollout::default());
    let ticket = site.engine.submit_group(&targets, (&request, &rollout), origin()).await.unwrap();
    let roster = async || {
        let task = site.engine.task(&ticket.task_id).await.unwrap().found().unwrap();
        site.engine.roster(&task).await.unwrap().unwrap()
    };
    roster().await;
    site.engine.wait(&ticket.task_id).await.unwrap().found().unwrap();
    let (first, second) = (roster().await, roster().await);
    assert!(Arc::ptr_eq(&first, &second));
    assert_eq!((first.counts().completed, first.pieces().len()), (3, 3));
}

/// Only connecting is ever tried again: whatever becomes of its connections, a fan-out runs its command once on each host.
#[tokio::test(flavor = "multi_thread")]
async fn a_fan_out_whose_connections_die_sends_nothing_twice() {
    let sshd = Sshd::builder().daemon().start();
    let site = Site::with(&sshd, Plan { aliases: vec!["a", "b", "c"], ..Plan::default() });
    let targets = sshepherd_model::Targets::Tag("all".parse().unwrap());
    let rollout = sshepherd_model::Rollout::default();
    for background in [false, true] {
        let (ledger, go) =
            (site.path(&format!("ran-{background}")), site.path(&format!("go-{background}")));
        let request = Request::new(&format!(
            "echo ran >> {}; echo up; while [ ! -e {} ]; do sleep 0.1; done",
            ledger.display(),
            go.display()
        ))
        .unwrap();
        let ran = || std::fs::read_to_string(&ledger).unwrap_or_default().lines().count();
        let mut hints = site.engine.hints();
        let (engine, to) = (site.engine.clone(), targets.clone());
        let (what, how) = (request.clone(), rollout.clone());
        let fan_out = tokio::spawn(async move {
            if background {
                let ticket = engine.submit_group(&to, (&what, &how), origin()).await.unwrap();
                let parent = engine.wait(&ticket.task_id).await.unwrap().found().unwrap();
                return engine.group(&parent.task).await.unwrap();
            }
            let stop = CancellationToken::new();
            engine.fan_out(&to, (&what, &how), &origin(), &stop, |_, _| {}).await.unwrap()
        });
        let all_up = async {
            while ran() < 3 {
                hints.next().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(30), all_up).await.expect("not begun");
        sshd.kill_connections();
        if background {
            // Their jobs are found again and end well.
            std::fs::write(&go, "").unwrap();
        }
        let fan_out =
            tokio::time::timeout(Duration::from_secs(60), fan_out).await.expect("stuck").unwrap();
        std::fs::write(&go, "").unwrap();
        for report in &fan_out.hosts {
            let outcome = &report.result.as_ref().unwrap().outcome;
            match background {
                true => assert_eq!(*outcome, Outcome::Exited { status: 0 }),
                false => assert!(matches!(outcome, Outcome::Interrupted(_)), "{outcome:?}"),
            }
        }
        assert_eq!((fan_out.hosts.len(), ran()), (3, 3));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restarted_server_is_reached_again_without_a_word() {
    let mut sshd = Sshd::builder().daemon().start();
    let site = Site::new(&sshd);
    assert_eq!(site.run("true").await.outcome, Outcome::Exited { status: 0 });
    sshd.kill_connections();
    sshd.restart();
    assert_eq!(site.run("true").await.outcome, Outcome::Exited { status: 0 });
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_lost_in_mid_command_is_told_and_not_sent_again() {
    let sshd = Sshd::builder().daemon().start();
    let site = Site::new(&sshd);
    let ledger = site.path("ledger");
    let id = site.start(&format!("echo ran >> {}; echo up; sleep 20", ledger.display())).await;
    assert_eq!(site.first_line(&id).await, "up");
    sshd.kill_connections();
    let finished = site.end(&id).await;
    assert!(matches!(finished.outcome, Outcome::Interrupted(_)), "{:?}", finished.outcome);
    assert!(!finished.outcome.safe_to_resend());
    assert_eq!(std::fs::read_to_string(ledger).unwrap(), "ran\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn seed_defect_8_the_judged_address_is_the_one_connected_to() {
    let sshd = Sshd::start();
    let only = |net: &str| NetworkPolicy::new(Some(vec![net.parse().unwrap()]), vec![]);
    let plan = Plan { address: "localhost", network: only("127.0.0.1/32"), ..Plan::default() };
    let finished = Site::with(&sshd, plan).run("true").await;
    assert_eq!(finished.outcome, Outcome::Exited { status: 0 });
    assert_eq!(finished.task.target_ip, Some("127.0.0.1".parse().unwrap()));

    let blocked = NetworkPolicy::new(None, vec!["127.0.0.0/8".parse().unwrap()]);
    let site = Site::with(&sshd, Plan { network: blocked, ..Plan::default() });
    let finished = site.run("true").await;
    let Outcome::NotStarted(failure) = finished.outcome else { panic!("{:?}", finished.outcome) };
    assert_eq!(failure.phase, Phase::Network);
    let preview = site.engine.plan(&alias(), &Request::new("true").unwrap()).await.unwrap();
    assert!(!preview.allowed(), "a plan decides as a run does (seed defect 14)");
}

#[tokio::test(flavor = "multi_thread")]
async fn seed_defect_10_what_could_not_connect_has_no_exit_code() {
    let sshd = Sshd::start();
    // A port that was free a moment ago, and that nobody listens on.
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let finished =
        Site::with(&sshd, Plan { port: Some(free), ..Plan::default() }).run("true").await;
    let Outcome::NotStarted(failure) = &finished.outcome else { panic!("{:?}", finished.outcome) };
    assert_eq!(failure.phase, Phase::Dial);
    assert!(finished.outcome.safe_to_resend());
}

#[tokio::test(flavor = "multi_thread")]
async fn seed_defect_15_a_wrong_passphrase_is_no_network_error() {
    let mut sshd = Sshd::start();
    let path = sshd.encrypted_user_key("right").path().to_path_buf();
    let with = |phrase: &str| AuthMethod::Key {
        path: path.clone(),
        certificate: None,
        passphrase: Some(Secret::new(phrase.to_owned())),
    };
    let good = Site::with(&sshd, Plan { method: Some(with("right")), ..Plan::default() });
    assert_eq!(good.run("true").await.outcome, Outcome::Exited { status: 0 });
    let bad = Site::with(&sshd, Plan { method: Some(with("canary-4711")), ..Plan::default() });
    let Outcome::NotStarted(failure) = bad.run("true").await.outcome else { panic!("started") };
    assert_eq!(failure.phase, Phase::Auth);
    assert!(failure.detail.contains("passphrase"), "{failure}");
    assert!(!format!("{failure:?}").contains("canary"), "{failure:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unreachable_host_delays_nobody_and_its_task_can_be_cancelled_at_once() {
    let sshd = Sshd::start();
    let silent = sshepherd_testkit::silent_server();
    let plan = Plan { port: Some(silent.address().port()), ..Plan::default() };
    let stuck = Site::with(&sshd, plan);
    let id = stuck.start("true").await;
    let origin = origin();
    let cancelled = stuck.engine.cancel(&id, &origin);
    tokio::time::timeout(Duration::from_secs(5), cancelled).await.expect("stuck").unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn seed_defect_9_progress_comes_by_a_timer() {
    let sshd = Sshd::start();
    let limits = LimitPatch {
        max_seconds: Some(30),
        task_progress_interval: Some(1),
        ..LimitPatch::default()
    };
    let site = Site::with(&sshd, Plan { limits, ..Plan::default() });
    let mut events = site.engine.events();
    let finished = site.run("sleep 3.5").await;
    assert_eq!(finished.outcome, Outcome::Exited { status: 0 });
    let mut running = 0;
    while let Ok(event) = events.try_recv() {
        if let sshepherd_engine::TaskEventKind::Progress { phase: "running", .. } = event.kind {
            running += 1;
        }
    }
    assert!((2..=4).contains(&running), "{running} reports in 3.5 s");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_behind_a_jump_host_is_reached_through_it_alone() {
    let (inner, outer) = (Sshd::start(), Sshd::start());
    let behind = |address: &str, network| Plan {
        jump: Some(Jump::new(&outer, address)),
        network,
        ..Plan::default()
    };
    let site = Site::with(&inner, behind("127.0.0.1", NetworkPolicy::default()));
    assert_eq!(site.run("true").await.outcome, Outcome::Exited { status: 0 });
    assert_eq!((outer.connections(), inner.connections()), (Some(1), Some(1)));
    // The jump host is a host like others, on the same link.
    let jump = "jump".parse().unwrap();
    site.engine.connect(&jump).await.unwrap();
    assert_eq!(outer.connections(), Some(1));

    let blocked = || NetworkPolicy::new(None, vec!["127.0.0.2/32".parse().unwrap()]);
    let site = Site::with(&inner, behind("127.0.0.2", blocked()));
    let Outcome::NotStarted(failure) = site.run("true").await.outcome else { panic!("started") };
    assert_eq!(failure.phase, Phase::Network);
    assert!(failure.detail.starts_with("jump host jump: 127.0.0.2"), "{failure}");
    let preview = site.engine.plan(&alias(), &Request::new("true").unwrap()).await.unwrap();
    assert!(!preview.allowed());

    let plan = Plan { address: "127.0.0.2", ..behind("127.0.0.1", blocked()) };
    let site = Site::with(&inner, plan);
    let Outcome::NotStarted(failure) = site.run("true").await.outcome else { panic!("started") };
    assert_eq!(failure.phase, Phase::Network);
    assert_eq!((outer.connections(), inner.connections()), (Some(1), Some(1)));
}

/// Behind a jump host the unspecified address is the jump host's own loopback, in every spelling that a resolver takes.
#[tokio::test(flavor = "multi_thread")]
async fn the_unspecified_address_behind_a_jump_host_is_refused() {
    let sshd = Sshd::start();
    for address in ["0.0.0.0", "0", "0x0", "00.0.0.0", "::", "::ffff:0.0.0.0"] {
        let jump = Some(Jump::new(&sshd, "127.0.0.1"));
        let site = Site::with(&sshd, Plan { jump, address, ..Plan::default() });
        let Outcome::NotStarted(failure) = site.run("true").await.outcome else {
            panic!("{address}: started")
        };
        assert_eq!(failure.phase, Phase::Network, "{address}: {failure:?}");
        assert!(failure.detail.contains("write 127.0.0.1"), "{address}: {failure:?}");
    }
    assert_eq!(sshd.connections(), Some(0));
    // Loopback that is blocked is not reached by another name either.
    for address in ["0", "0.0.0.0", "0x7f.1", "0177.0.0.1", "::"] {
        let network = NetworkPolicy::new(None, vec!["127.0.0.0/8".parse().unwrap()]);
        let site = Site::with(&sshd, Plan { network, address, ..Plan::default() });
        let Outcome::NotStarted(failure) = site.run("true").await.outcome else {
            panic!("{address}: started")
        };
        assert_eq!(failure.phase, Phase::Network, "{address}: {failure:?}");
    }
    assert_eq!(sshd.connections(), Some(0));
}
