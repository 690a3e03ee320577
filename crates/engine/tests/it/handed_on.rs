//! What a server that ends in good order leaves to the next one, or to whoever asks.

use std::time::Duration;

use sshepherd_engine::store::{Durability, State};
use sshepherd_model::{Outcome, Request, Rollout, Targets};

use crate::durable::{Ground, found, new_task};
use crate::site::{Plan, Site, origin};

/// What the client did not ask for is not recorded as asked for, and what can go on goes on.
#[tokio::test(flavor = "multi_thread")]
async fn a_graceful_end_in_the_middle_of_a_fan_out_cancels_nothing() {
    let ground = Ground::new();
    let aliases: Vec<&'static str> =
        ["h01", "h02", "h03", "h04", "h05", "h06", "h07", "h08", "h09", "h10", "h11", "h12"].into();
    let request = Request::new("sleep 1; echo done").unwrap();
    let targets = Targets::Tag("all".parse().unwrap());
    let server = async || {
        let (store, aliases) = (Some(ground.store().await), aliases.clone());
        Site::with(&ground.sshd, Plan { store, aliases, ..Plan::default() })
    };
    let (mut ids, mut site) = (Vec::new(), server().await);
    for round in 0..4 {
        let what = (&request, &Rollout::default());
        let ticket = site.engine.submit_group(&targets, what, origin()).await.unwrap();
        let mut hints = site.engine.hints();
        // Later each time: before the first host, among them, after the last.
        let begun = async {
            loop {
                let task = found(&site, &ticket.task_id).await;
                let begun =
                    site.engine.roster(&task).await.unwrap().map_or(0, |all| all.begun.len());
                if begun >= round * 4 {
                    return;
                }
                hints.next().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(30), begun).await.unwrap();
        ids.push(ticket.task_id);
        site.engine.shutdown().await;
        let audit = std::fs::read_to_string(site.path("audit.jsonl")).unwrap();
        assert!(!audit.contains("cancel_request"), "{audit}");
        drop(site);
        site = server().await;
    }
    for id in ids {
        let finished = site.end(&id).await;
        let counts = site.engine.roster(&finished.task).await.unwrap().unwrap().counts();
        assert_eq!((counts.completed, finished.outcome), (12, Outcome::Exited { status: 0 }));
    }
    site.engine.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_accepted_just_before_the_end_is_brought_to_its_host() {
    let ground = Ground::new();
    let ledger = ground.folder.path().join("ledger");
    let site = ground.server().await;
    let id = site.start_task(&format!("mkdir {}", ledger.display())).await;
    site.engine.shutdown().await;
    drop(site);
    let (store, began) = (ground.store().await, std::time::Instant::now());
    let task = store.get(&id).await.unwrap().found().unwrap();
    assert_eq!((task.status, task.durability), (State::Running, Some(Durability::Job)));
    while !ledger.is_dir() {
        assert!(
            began.elapsed() < Duration::from_secs(10),
            "no server runs, and it should be there"
        );
        tokio::task::yield_now().await;
    }
}

/// Without a server: one that asks about it is enough.
#[tokio::test(flavor = "multi_thread")]
async fn a_task_that_was_left_behind_is_taken_up_by_whoever_asks_about_it() {
    let ground = Ground::new();
    let store = ground.store().await;
    let id = store.create(new_task("true", 4)).await.unwrap().id;
    drop(store);
    let plan = Plan { store: Some(ground.store().await), ..Plan::default() };
    let visitor = Site::visitor(&ground.sshd, plan);
    assert_eq!(
        found(&visitor, &id).await.status,
        State::Pending,
        "a visitor takes up nothing unasked"
    );
    let task = found(&visitor, &id).await;
    assert!(visitor.engine.take_up(&task).await.unwrap());
    assert_ne!(found(&visitor, &id).await.status, State::Pending);
    visitor.engine.shutdown().await;
}
