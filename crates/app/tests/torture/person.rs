//! A person at the command line beside servers, and after they are gone.

use std::process::{Command, Output, Stdio};

use serde_json::{Value, json};
use sshepherd_testkit::processes;

use crate::ground::Ground;
use crate::server::{Pid, Server};

fn tasks(ground: &Ground, words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sshepherd"));
    command.arg("tasks").args(words);
    command.args(["--config", &ground.path("").display().to_string()]);
    command.args(["--state", &ground.state().display().to_string()]);
    command
}

fn said(output: &Output) -> (i32, String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code().unwrap_or(-1), text(&output.stdout), text(&output.stderr))
}

fn run(ground: &Ground, words: &[&str]) -> (i32, String, String) {
    said(&tasks(ground, words).output().unwrap())
}

fn start(server: &mut Server, command: &str) -> String {
    let arguments = json!({"alias": "box", "command": command});
    let answer = server.call("ssh_run_async", arguments).unwrap();
    answer["task_id"].as_str().unwrap().to_owned()
}

#[test]
fn a_person_lists_follows_and_stops_with_and_without_a_server() {
    let ground = Ground::new();
    let (code, out, err) = run(&ground, &["list"]);
    assert_eq!((code, out.as_str()), (0, ""), "{err}");
    let gate = ground.path("ledger/gate");
    assert!(Command::new("mkfifo").arg(&gate).status().unwrap().success());
    let pid = Pid::default();
    let mut server = Server::start(ground.serve(), &pid).unwrap();
    let gated = format!("echo one; read x < {}; echo two; echo bad >&2; exit 3", gate.display());
    let waiting = start(&mut server, &gated);
    let endless =
        start(&mut server, "trap '' TERM; setsid sleep 1000 & echo $! $$; wait; sleep 1000");
    let pids = first_line(&mut server, &endless);

    let follower = tasks(&ground, &["output", "--follow", &waiting])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    processes::kill(pid.load(std::sync::atomic::Ordering::SeqCst));
    assert!(server.died());

    let (code, out, _) = run(&ground, &["list", "--json"]);
    let listed: Value = serde_json::from_str(&out).unwrap();
    let ids: Vec<&str> = listed["tasks"]
        .as_array()
        .unwrap()
        .iter()
        .map(|task| task["task_id"].as_str().unwrap())
        .collect();
    assert_eq!((code, ids), (0, vec![endless.as_str(), waiting.as_str()]));
    let (code, _, err) = run(&ground, &["status", "box:"]);
    assert!(code == 2 && err.contains("several tasks"), "{err}");
    let mut short = endless.clone();
    short.truncate(endless.len() - 3);
    let (code, out, err) = run(&ground, &["status", &short]);
    assert!(code == 0 && out.contains("running") && out.contains("job"), "{out}{err}");
    let (code, _, err) = run(&ground, &["result", &endless]);
    assert!(code == 2 && err.contains("no result yet"), "{err}");

    let (code, _, err) = run(&ground, &["cancel", &endless]);
    assert!(code == 0 && err.contains("confirmed"), "{err}");
    for pid in pids {
        assert!(!processes::alive(pid), "{pid} is alive");
    }

    let heir = Server::start(ground.serve(), &Pid::default()).unwrap();
    std::fs::write(&gate, "go\n").unwrap();
    let (code, out, err) = said(&follower.wait_with_output().unwrap());
    assert_eq!((code, out.as_str()), (1, "one\ntwo\n"), "{err}");
    assert!(err.contains("bad\n") && err.contains("exit status 3"), "{err}");
    drop(heir);
    let (code, out, _) = run(&ground, &["output", &waiting, "--tail", "1", "--stream", "both"]);
    assert_eq!((code, out.as_str()), (2, ""), "--tail and --stream exclude each other");
    let (code, out, _) = run(&ground, &["output", &waiting, "--stream", "stderr"]);
    assert_eq!((code, out.as_str()), (0, ""));
    as_documents(&ground, &waiting);
    let (code, out, _) = run(&ground, &["result", &waiting]);
    assert_eq!((code, out.as_str()), (1, "one\ntwo\n"));
    let (code, _, err) = run(&ground, &["status", "box:0000000000000000:none"]);
    assert!(code == 2 && err.contains("no task has this id"), "{err}");
}

fn as_documents(ground: &Ground, ended: &str) {
    let (code, out, _) = run(ground, &["output", ended, "--json"]);
    let document: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, &document["stdout"]), (0, &json!("one\ntwo\n")), "{document}");
    assert_eq!((&document["stderr"], &document["eof"]), (&json!("bad\n"), &json!(true)));
    let (code, out, _) = run(ground, &["cancel", ended, "--json"]);
    let document: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, &document["cancelled"]), (0, &json!(false)), "{document}");
}

fn first_line(server: &mut Server, id: &str) -> Vec<u32> {
    let arguments = json!({"task_id": id, "cursor": 0, "wait_ms": 20000});
    let answer = server.call("ssh_get_task_output", arguments).unwrap();
    let line = answer["output_lines"][0].as_str().unwrap();
    line.split(' ').map(|pid| pid.parse().unwrap()).collect()
}
