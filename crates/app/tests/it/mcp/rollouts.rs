//! What a rollout needs before anything starts, what a person sees of it, and that a yes does not wait with it.

use std::process::Command;

use serde_json::{Value, json};

use super::client::{Client, ERAS, Era};
use crate::site::Site;

const HOSTS: [&str; 4] = ["web01", "web02", "web03", "web04"];

/// Hosts where a command makes a folder, so that it is seen what ran; `more` are rules beside that.
fn site(more: &str) -> Site {
    let site = Site::new();
    site.hosts(&HOSTS);
    site.rules(&format!("  - {{id: make, action: allow, commands: [\"mkdir -p *\"]}}\n{more}"));
    site
}

fn cli(site: &Site, clock: i64, words: &[&str]) -> (Option<i32>, Value, String) {
    let serve = site.serve();
    let output = Command::new(&serve[0])
        .args(&serve[2..])
        .arg("--json")
        .args(words)
        .env("SSHEPHERD_CLOCK_OFFSET_MS", clock.to_string())
        .output()
        .unwrap();
    let document = serde_json::from_slice(&output.stdout).unwrap_or(Value::Null);
    (output.status.code(), document, String::from_utf8(output.stderr).unwrap())
}

fn approve(site: &Site, id: &Value) {
    let (code, ..) = cli(site, 0, &["approvals", "approve", id.as_str().unwrap(), "--yes"]);
    assert_eq!(code, Some(0));
}

/// Was: the canary ran, and then the rollout stopped half-way at a gate that could never pass.
#[tokio::test]
async fn a_gate_that_is_denied_on_one_host_denies_the_call_before_anything_starts() {
    let site = site("  - {action: allow, aliases: [web01, web02, web04], commands: [\"true\"]}\n");
    let ledger = site.path("ledger");
    let call = |more: Value| {
        let command = format!("mkdir -p {}", ledger.display());
        let mut call = json!({"selector": "web[01-04]", "command": command});
        call.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        call
    };
    for era in ERAS {
        let client = Client::start(&site.serve(), era).await;
        for how in
            [json!({"canary": true}), json!({"batch": "1"}), json!({"background": true}), json!({})]
        {
            let mut how = how;
            how["gate"] = json!("true");
            let denied = client.bad("ssh_run_on_tag", call(how.clone())).await;
            assert_eq!((&denied["status"], &denied["denied"]), (&json!("denied"), &json!(true)));
            let detail = denied["detail"].as_str().unwrap();
            assert!(detail.contains("on 1 of 4 hosts (web03)"), "{detail}");
            assert!(detail.contains("no rule allows"), "{detail}");
            assert_eq!(denied["command"], "true", "{denied}");
            assert!(denied["hint"].is_string() && !ledger.exists(), "{how}: {denied}");
        }
    }
    let command = ["mkdir", "-p", ledger.to_str().unwrap()];
    let words = [&["run", "--on", "web[01-04]", "--gate", "true", "--canary", "--"], &command[..]];
    let (code, document, said) = cli(&site, 0, &words.concat());
    assert_eq!((code, &document["status"]), (Some(3), &json!("denied")), "{said}");
    assert!(said.contains("web03") && !ledger.exists(), "{said}");
    let client = Client::start(&site.serve(), Era::Session).await;
    let without =
        json!({"selector": "web[01-04]", "command": format!("mkdir -p {}", ledger.display())});
    client.good("ssh_run_on_tag", without).await;
    assert!(ledger.exists());
}

/// The gate is a part of what a person is asked, and so is how it goes over the hosts: with anything else they are asked again.
#[tokio::test]
async fn a_gate_that_asks_is_in_the_question_with_all_that_the_yes_is_for() {
    let site = site(
        "  - {id: check, action: ask, approval: {for: once}, commands: [\"true\"]}\n  - {id: other, action: allow, commands: \
         [\"echo *\"]}\n",
    );
    let command = format!("mkdir -p {}", site.path("ledger").display());
    let call = json!({
        "selector": "web[01-04]", "command": command, "gate": "true", "canary": true, "batch": "2",
        "stop_after": "3", "deadline_seconds": 600
    });
    let client = Client::start(&site.serve(), Era::Session).await;
    let asked = client.bad("ssh_run_on_tag", call.clone()).await;
    assert_eq!(asked["status"], "approval_required", "{asked}");
    assert!(!site.path("ledger").exists());
    let (_, shown, _) =
        cli(&site, 0, &["approvals", "show", asked["approval_id"].as_str().unwrap()]);
    let rollout = json!({
        "hosts": 4, "canary": "web01", "batch": "2", "stop_after": "3", "deadline_seconds": 600, "gate": "true"
    });
    assert_eq!(
        (&shown["about"]["rollout"], &shown["about"]["command"]),
        (&rollout, &json!(command))
    );
    assert_eq!(shown["about"]["hosts"], json!(HOSTS));
    approve(&site, &asked["approval_id"]);
    for (field, other) in [
        ("selector", json!("web[01-03]")),
        ("canary", json!(false)),
        ("batch", json!("1")),
        ("stop_after", json!("4")),
        ("deadline_seconds", json!(601)),
        ("command", json!(format!("{command}/other"))),
    ] {
        let mut changed = call.clone();
        changed[field] = other;
        let answer = client.bad("ssh_run_on_tag", changed).await;
        assert_eq!(answer["status"], "approval_required", "{field}: {answer}");
        assert_ne!(answer["approval_id"], asked["approval_id"], "{field}");
    }
    let ran = client.good("ssh_run_on_tag", call).await;
    assert_eq!(ran["summary"]["completed"], 4, "{ran}");
}

/// A background rollout that was approved once: it pauses after its first host.
async fn paused(site: &Site, client: &Client) -> Value {
    let pipe = site.path("pipe");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let call = json!({
        "selector": "web[01-04]", "command": format!("head -n 1 {}", pipe.display()), "batch": "1",
        "background": true
    });
    let asked = client.bad("ssh_run_on_tag", call.clone()).await;
    approve(site, &asked["approval_id"]);
    let started = client.good("ssh_run_on_tag", call).await;
    let id = started["task_id"].clone();
    client.good("ssh_pause_task", json!({"task_id": id})).await;
    // The first host is under way or not, by when the pause came; if it is, it ends now.
    let writer = std::fs::OpenOptions::new().read(true).write(true).open(&pipe).unwrap();
    std::io::Write::write_all(&mut &writer, b"one\n").unwrap();
    std::mem::forget(writer);
    id
}

/// Whoever may pause could else wait with an old yes for as long as they like.
#[tokio::test]
async fn an_approval_expires_while_a_fan_out_is_paused() {
    for lasts in ["once", "task", "5m"] {
        let site = site(&format!(
            "  - {{id: held, action: ask, approval: {{for: {lasts}, expires: 300}}, commands: [\"head -n 1 *\"]}}\n"
        ));
        let client = Client::start(&site.serve(), Era::Session).await;
        let id = paused(&site, &client).await;
        // By a clock that is an hour on.
        let (code, _, said) = cli(&site, 3_600_000, &["tasks", "resume", id.as_str().unwrap()]);
        assert_eq!(code, Some(0), "{said}");
        let result = loop {
            let call = json!({"task_id": id, "cursor": 0, "wait_ms": 20_000});
            let page = client.good("ssh_get_task_output", call).await;
            if page["eof"] == true {
                break page;
            }
        };
        let text = result["output_lines"].to_string();
        assert!(text.contains("web04: not_begun, the approval has expired"), "{lasts}: {text}");
        assert!(text.contains("web03: not_begun"), "{lasts}: {text}");
    }
}

#[tokio::test]
async fn a_fan_out_that_is_resumed_in_time_goes_on_by_its_approval() {
    let site =
        site("  - {id: held, action: ask, approval: {for: once}, commands: [\"head -n 1 *\"]}\n");
    let client = Client::start(&site.serve(), Era::Session).await;
    let id = paused(&site, &client).await;
    let (code, _, said) = cli(&site, 1000, &["tasks", "resume", id.as_str().unwrap()]);
    assert_eq!(code, Some(0), "{said}");
    let writer =
        std::fs::OpenOptions::new().read(true).write(true).open(site.path("pipe")).unwrap();
    let mut cursor = json!(0);
    loop {
        let call = json!({"task_id": id, "cursor": cursor, "wait_ms": 500});
        let page = client.good("ssh_get_task_output", call).await;
        if page["eof"] == true {
            break;
        }
        cursor = page["next_cursor"].clone();
        std::io::Write::write_all(&mut &writer, b"more\n").unwrap();
    }
    let whole = client.good("ssh_get_task_result", json!({"task_id": id})).await;
    assert_eq!(whole["summary"]["completed"], 4, "{whole}");
}

/// Was: the answer of a caller's own task was taken for that of the rollout's gate.
#[tokio::test]
async fn a_callers_key_is_never_one_of_a_rollouts_own() {
    let site = site("  - {action: allow, commands: [\"head -n 1 *\", \"ls *\"]}\n");
    let (pipe, flag) = (site.path("pipe"), site.path("flag"));
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    std::fs::write(&flag, "").unwrap();
    let gate = format!("ls {}", flag.display());
    let call = json!({
        "selector": "web[01-04]", "command": format!("head -n 1 {}", pipe.display()), "batch": "1",
        "background": true, "gate": gate
    });
    let client = Client::start(&site.serve(), Era::Session).await;
    let id = client.good("ssh_run_on_tag", call).await["task_id"].as_str().unwrap().to_owned();
    for key in [format!("{id}:gate:web01"), format!("caller/{id}:gate:web01").replace('/', ".")] {
        let early = json!({"alias": "web01", "command": gate, "idempotency_key": key});
        let early = client.good("ssh_run_async", early).await;
        loop {
            let call = json!({"task_id": early["task_id"]});
            let result = client.call("ssh_get_task_result", call).await.0;
            if result["exit_code"] == 0 {
                break;
            }
        }
    }
    std::fs::remove_file(&flag).unwrap();
    tokio::task::spawn_blocking(move || std::fs::write(pipe, "go\n")).await.unwrap().unwrap();
    let text = loop {
        let call = json!({"task_id": id, "cursor": 0, "wait_ms": 20_000});
        let page = client.good("ssh_get_task_output", call).await;
        if page["eof"] == true {
            break page["output_lines"].to_string();
        }
    };
    assert!(text.contains("web02: not_begun, the gate failed on web01"), "{text}");
}

/// The same key with anything else is an error that names the task; with the same it is the same task, also when that has ended.
#[tokio::test]
async fn a_key_is_for_one_whole_request() {
    let site = Site::new();
    site.grant(&["cat", "echo *"]);
    let client = Client::start(&site.serve(), Era::Session).await;
    let call = json!({
        "alias": "box.one", "command": "cat", "cwd": "/usr", "env": {"GREETING": "a"}, "stdin": "x",
        "idempotency_key": "deploy-7"
    });
    let first = client.good("ssh_run_async", call.clone()).await;
    for ended in [false, true] {
        if ended {
            while client.call("ssh_get_task_result", json!({"task_id": first["task_id"]})).await.0["exit_code"]
                != 0
            {}
        }
        let again = client.good("ssh_run_async", call.clone()).await;
        assert_eq!((&again["task_id"], &again["existing"]), (&first["task_id"], &json!(true)));
        for (field, other) in [
            ("alias", json!("box.two")),
            ("command", json!("echo x")),
            ("stdin", json!("y")),
            ("stdin", Value::Null),
            ("cwd", Value::Null),
            ("env", json!({"GREETING": "b"})),
            ("env", Value::Null),
        ] {
            let mut changed = call.clone();
            if other.is_null() {
                changed.as_object_mut().unwrap().remove(field);
            } else {
                changed[field] = other;
            }
            let refused = client.bad("ssh_run_async", changed).await;
            assert_eq!(refused["field"], "idempotency_key", "{field}: {refused}");
            assert_eq!(refused["task_id"], first["task_id"], "{field}: {refused}");
        }
    }
}
