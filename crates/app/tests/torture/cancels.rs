//! Cancels of every kind of process tree: what was confirmed is gone, and nothing survives.

use std::time::Duration;

use serde_json::json;
use sshepherd_testkit::processes;

use crate::ground::Ground;
use crate::server::{Pid, Server};
use crate::setting;

/// Each prints the ids of its processes on one line.
const TREES: [&str; 5] = [
    "echo $$; exec sleep 1000",
    "sleep 1000 & a=$!; sleep 1000 & echo $$ $a $!; wait",
    "trap '' TERM; sleep 1000 & echo $$ $!; wait; sleep 1000",
    "setsid sleep 1000 & echo $$ $!; wait",
    "(setsid sh -c 'echo $$ >&3; exec sleep 1000' 3>&1 >/dev/null & ) ; exec sleep 1000",
];

#[test]
fn what_is_confirmed_is_gone_and_nothing_survives() {
    let rounds = setting("CANCELS", 10);
    let ground = Ground::new();
    let mut server = Server::start(ground.serve(), &Pid::default()).unwrap();
    let (mut confirmed, mut unconfirmed, mut survivors, mut wrong) = (0, 0, 0, 0);
    for round in 0..rounds {
        let tree = TREES[usize::try_from(round).unwrap() % TREES.len()];
        let started =
            server.call("ssh_run_async", json!({"alias": "box", "command": tree})).unwrap();
        let id = started["task_id"].as_str().unwrap().to_owned();
        let pids = pids(&mut server, &id);
        let answer = server.call("ssh_cancel_async_task", json!({"task_id": id})).unwrap();
        let alive = pids.iter().filter(|pid| processes::alive(**pid)).count();
        match answer["stopped"].as_str() {
            Some("confirmed") => {
                confirmed += 1;
                wrong += usize::from(alive > 0);
            }
            _ => {
                println!("{tree}: {answer}");
                unconfirmed += 1;
            }
        }
        survivors += processes::wait_env_gone(&id, Duration::from_secs(5)).len();
    }
    println!(
        "cancels: {rounds}, confirmed {confirmed}, unconfirmed {unconfirmed}, survivors {survivors}, wrongly confirmed {wrong}"
    );
    assert_eq!((survivors, wrong, unconfirmed), (0, 0, 0));
}

/// Waits for the line with the ids.
fn pids(server: &mut Server, id: &str) -> Vec<u32> {
    loop {
        let answer =
            server.call("ssh_get_task_output", json!({"task_id": id, "max_lines": 1})).unwrap();
        let line = answer["output_lines"][0].as_str().unwrap_or_default();
        let pids: Vec<u32> = line.split_whitespace().filter_map(|pid| pid.parse().ok()).collect();
        if !pids.is_empty() {
            return pids;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}
