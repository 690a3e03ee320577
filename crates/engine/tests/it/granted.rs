//! A person's yes and a server that ends: what was approved goes on without a second question, runs once, and frees nothing
//! else.

use sshepherd_engine::policy::Lasts;
use sshepherd_engine::store::{Durability, Lookup, Settled, State};
use sshepherd_engine::{Channel, Refusal};
use sshepherd_model::{Outcome, Request, TaskId};
use sshepherd_testkit::{FaultProxy, Stall};

use crate::durable::{Ground, release};
use crate::site::{Plan, Site, alias, origin};

async fn server(ground: &Ground, lasts: Lasts, port: Option<u16>) -> Site {
    let store = Some(ground.store().await);
    Site::with(&ground.sshd, Plan { store, ask: Some(lasts), port, ..Plan::default() })
}

async fn asked(site: &Site, command: &str) -> sshepherd_engine::Asked {
    let request = Request::new(command).unwrap();
    match site.engine.submit_task(&alias(), &request, None, origin()).await {
        Err(Refusal::ApprovalRequired(asked)) => *asked,
        other => panic!("not asked: {other:?}"),
    }
}

/// Asks, says yes and starts.
async fn approved(site: &Site, command: &str) -> TaskId {
    let question = asked(site, command).await;
    let channel = Channel::CommandLine { account: "tester".to_owned() };
    let settled = site.engine.settle(&question.id, true, &channel, &origin()).await.unwrap();
    assert!(matches!(settled, Settled::Done(_)), "{settled:?}");
    site.start_task(command).await
}

/// No question is open that was not answered.
async fn nothing_was_asked(site: &Site, answered: usize) {
    assert_eq!(site.engine.approvals().await.unwrap().len(), answered);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_approved_job_goes_on_under_the_next_server_and_its_yes_is_used_up() {
    for lasts in [Lasts::Once, Lasts::Task] {
        let ground = Ground::new();
        let (ledger, gate) = (ground.folder.path().join("ledger"), ground.fifo("gate"));
        let command = format!("mkdir {} && echo made && cat {}", ledger.display(), gate.display());
        let first = server(&ground, lasts, None).await;
        let id = approved(&first, &command).await;
        assert_eq!(first.first_line(&id).await, "made");
        first.engine.shutdown().await;
        drop(first);
        let second = server(&ground, lasts, None).await;
        let Lookup::Found(task) = second.engine.task(&id).await.unwrap() else { panic!("gone") };
        assert_eq!((task.status, task.durability), (State::Running, Some(Durability::Job)));
        release(&gate).await;
        // A second `mkdir` of the same folder would have failed.
        assert_eq!(second.end(&id).await.outcome, Outcome::Exited { status: 0 }, "{lasts:?}");
        assert_eq!(second.text(&id).await, "made\ngo\n", "{lasts:?}");
        nothing_was_asked(&second, 1).await;
        asked(&second, &command).await;
        second.engine.shutdown().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_that_was_never_sent_runs_once_by_a_yes_for_the_task_and_not_by_one_for_one_start() {
    for lasts in [Lasts::Once, Lasts::Task] {
        let ground = Ground::new();
        let proxy = FaultProxy::start(ground.sshd.address());
        proxy.stall(Stall::Both);
        let ledger = ground.folder.path().join("ledger");
        let command = format!("mkdir {}", ledger.display());
        let first = server(&ground, lasts, Some(proxy.port())).await;
        let id = approved(&first, &command).await;
        first.engine.shutdown().await;
        drop(first);
        assert!(!ledger.exists());
        proxy.resume();
        let second = server(&ground, lasts, Some(proxy.port())).await;
        let finished = second.end(&id).await;
        nothing_was_asked(&second, 1).await;
        if lasts == Lasts::Task {
            assert_eq!(finished.outcome, Outcome::Exited { status: 0 });
            assert!(ledger.exists());
        } else {
            let Outcome::Denied { reason } = &finished.outcome else { panic!("{finished:?}") };
            assert!(reason.contains("ask again"), "{reason}");
            assert!(!ledger.exists());
        }
        // Neither yes is good for another run.
        asked(&second, &command).await;
        second.engine.shutdown().await;
    }
}
