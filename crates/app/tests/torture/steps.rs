//! kill -9 between every pair of steps of start, append and finish: the restart is consistent each time.

use std::time::Duration;

use serde_json::json;
use sshepherd_model::TaskId;

use crate::ground::Ground;
use crate::ledger::{self, Counts};
use crate::server::{Pid, Server};

/// Where the server dies, and at which time that it comes by. Each step of a task is a commit (accepted, started, placed,
/// ended), and so is each of the store's own.
const PLACES: [&str; 23] = [
    "database.before-commit@1",
    "database.after-commit@1",
    "database.before-commit@2",
    "database.after-commit@2",
    "job.start@1",
    "job.started@1",
    "database.before-commit@3",
    "database.after-commit@3",
    "spool.record@1",
    "spool.record@5",
    "append.bytes-without-entry@1",
    "append.entry@1",
    "spool.moved@1",
    "append.bytes-without-entry@5",
    "append.entry@5",
    "finish.flushed@1",
    "database.before-commit@4",
    "database.after-commit@4",
    "database.before-commit@5",
    "database.after-commit@5",
    "database.before-commit@6",
    "database.after-commit@6",
    "finish.committed@1",
];

#[test]
fn a_server_that_dies_between_any_two_steps_leaves_one_run_and_a_whole_result() {
    let ground = Ground::new();
    let mut tasks: Vec<(String, TaskId)> = Vec::new();
    let mut died = Vec::new();
    for place in PLACES {
        let name = format!("step-{}", place.replace('@', "-"));
        let arguments = json!({
            "alias": "box", "command": ledger::command(&ground, &name), "idempotency_key": name
        });
        let mut command = ground.serve();
        command.env("SSHEPHERD_CRASH_AT", place);
        let (pid, next) = (Pid::default(), Pid::default());
        let mut doomed = Server::start(command, &pid);
        let told =
            doomed.as_mut().and_then(|server| server.call("ssh_run_async", arguments.clone()));
        let told = told.and_then(|answer| answer["task_id"].as_str().map(str::to_owned));
        // Whoever reads on sees the end of its output when it dies.
        let by_signal = doomed.is_none_or(|mut server| {
            while server.call("ssh_ping", json!({})).is_some() {
                std::thread::sleep(Duration::from_millis(10));
            }
            server.died()
        });
        died.push((place, by_signal));
        let mut heir = Server::start(ground.serve(), &next).unwrap_or_else(|| {
            panic!("{}", std::fs::read_to_string(ground.path("stderr.log")).unwrap())
        });
        let answer = heir.call("ssh_run_async", arguments).unwrap();
        let id = answer["task_id"].as_str().unwrap().to_owned();
        if let Some(told) = told {
            assert_eq!(told, id, "{place}: what was accepted is the same task after the restart");
        }
        let task = (name, id.parse().unwrap());
        let counts = ledger::settle(&ground, std::slice::from_ref(&task), Duration::from_secs(60));
        assert_eq!(counts, Counts { done: 1, ..Counts::default() }, "{place}");
        tasks.push(task);
    }
    assert!(died.iter().all(|(_, by_signal)| *by_signal), "{died:?}");
    assert_eq!(died.len(), PLACES.len());
    let names: Vec<String> = tasks.into_iter().map(|(name, _)| name).collect();
    let mut ledger = ground.ledger();
    ledger.retain(|entry| !names.contains(entry));
    assert_eq!(ledger, [""; 0], "each ran once");
}
