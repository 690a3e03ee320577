//! The record: everything that is decided or run is audited, and nothing runs that cannot be.

use sshepherd_engine::store::Wish;
use sshepherd_engine::{PauseAnswer, Refusal};
use sshepherd_model::{Outcome, Request, Rollout, Targets};
use sshepherd_testkit::Sshd;

use crate::site::{Site, origin};

fn records(site: &Site) -> Vec<serde_json::Value> {
    let text = std::fs::read_to_string(site.path("audit.jsonl")).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn seed_defect_12_every_decision_and_execution_is_audited() {
    let sshd = Sshd::start();
    let site = Site::new(&sshd);
    let finished = site.run("echo secret-text-4711").await;
    assert_eq!(finished.outcome, Outcome::Exited { status: 0 });
    let records = records(&site);
    let events: Vec<&str> =
        records.iter().map(|record| record["event"].as_str().unwrap()).collect();
    assert_eq!(events, ["decision", "execution_start", "execution_end"]);
    for record in &records {
        assert_eq!(record["hash"], finished.task.hash.as_str());
        assert_eq!(record["task_id"], finished.task.id.as_str());
    }
    assert_eq!(records[0]["decision"], "allow");
    assert_eq!(records[0]["rules"], serde_json::json!(["plain"]));
    assert_eq!(records[1]["target_ip"], "127.0.0.1");
    assert_eq!(records[2]["exit_status"], 0);
    let text = std::fs::read_to_string(site.path("audit.jsonl")).unwrap();
    assert!(!text.contains("secret-text"), "commands are named by their hash");
}

/// Going on begins hosts, so it is not done when it cannot be written down; a pause begins nothing and is.
#[tokio::test(flavor = "multi_thread")]
async fn a_fan_out_goes_on_only_when_that_can_be_audited_and_pauses_all_the_same() {
    let sshd = Sshd::start();
    let site = Site::new(&sshd);
    let (targets, request) = (Targets::On("all".parse().unwrap()), Request::new("true").unwrap());
    let at_once = Rollout::default();
    let group = site.engine.submit_group(&targets, (&request, &at_once), origin());
    let id = group.await.unwrap().task_id;
    // Then nothing else is written down while the file is taken away.
    site.engine.wait(&id).await.unwrap().found().unwrap();
    std::fs::remove_file(site.path("audit.jsonl")).unwrap();
    std::fs::create_dir(site.path("audit.jsonl")).unwrap();
    let on = site.engine.pause(&id, Wish::Resume, &origin()).await;
    assert!(matches!(on, Err(Refusal::Audit(_))), "{on:?}");
    let paused = site.engine.pause(&id, Wish::Pause, &origin()).await.unwrap();
    assert!(matches!(paused, PauseAnswer::AlreadyEnded(_)), "{paused:?}");
}
