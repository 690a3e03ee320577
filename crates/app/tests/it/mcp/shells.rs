//! Interactive shells through the tools: the seed's reading, typing and waiting, screens, keys, the policy, the end.

use std::time::Duration;

use rmcp::model::ReadResourceRequestParams;
use serde_json::{Value, json};
use sshepherd_testkit::processes;

use super::client::{Client, Era};
use crate::site::{ALIAS, DENIED, Site};

const OPEN: &str = "  - {id: shells, shells: allow}\n";

async fn client(rules: &str) -> (Site, Client) {
    let site = Site::new();
    site.rules(rules);
    let client = Client::start(&site.serve(), Era::Session).await;
    (site, client)
}

/// Opens a shell and gives its id.
async fn open(client: &Client, arguments: Value) -> String {
    let mut all = json!({"alias": ALIAS});
    for (key, value) in arguments.as_object().unwrap() {
        all[key] = value.clone();
    }
    let answer = client.good("ssh_open_shell", all).await;
    answer["session_id"].as_str().unwrap().to_owned()
}

/// `cat` without an echo: what it writes is what a test types, and nothing else.
async fn quiet_cat(client: &Client) -> String {
    let id = open(client, json!({"command": "cat", "timeout": 100})).await;
    let typed = json!({"session_id": id, "text": "ready\n", "wait_for": "ready\\s+ready"});
    client.good("ssh_send_input", typed).await;
    id
}

async fn read(client: &Client, arguments: Value) -> Value {
    client.good("ssh_read_output", arguments).await
}

#[tokio::test]
async fn reading_gives_at_once_what_is_buffered() {
    let (_site, client) = client(OPEN).await;
    let id = quiet_cat(&client).await;
    let typed = json!({"session_id": id, "text": "one\n", "timeout": 0, "clear_buffer": false});
    client.good("ssh_send_input", typed).await;
    // The seed's spelling of both parameters.
    let answer =
        read(&client, json!({"sessionId": id, "timeout": 20000, "wait_for": "one\\s+one"})).await;
    assert_eq!((&answer["output"], &answer["ended_by"]), (&json!("one\none\n"), &json!("match")));
}

#[tokio::test]
async fn reading_waits_for_the_first_output() {
    let (_site, client) = client(OPEN).await;
    let line = "sh -c 'stty -echo; echo quiet; read x; echo got; cat'";
    let id = open(&client, json!({"command": line, "timeout": 0})).await;
    read(&client, json!({"session_id": id, "timeout": 20000, "wait_for": "quiet\\n"})).await;
    let waiting =
        client.begin("ssh_read_output", json!({"session_id": id, "timeout": 20000})).await;
    let typed = json!({"session_id": id, "text": "x\n", "timeout": 0, "clear_buffer": false});
    client.good("ssh_send_input", typed).await;
    let answer = waiting.await_response().await.unwrap();
    let answer = serde_json::to_value(answer).unwrap();
    let structured = &answer["structuredContent"];
    assert_eq!(structured["ended_by"], "output", "{answer}");
    assert_eq!(structured["output"], "got\n", "{answer}");
}

#[tokio::test]
async fn reading_ends_at_the_timeout_with_nothing() {
    let (_site, client) = client(OPEN).await;
    let id = quiet_cat(&client).await;
    let answer = read(&client, json!({"session_id": id, "timeout": 50})).await;
    assert_eq!((&answer["output"], &answer["ended_by"]), (&json!(""), &json!("timeout")));
}

#[tokio::test]
async fn what_is_not_cleared_is_read_again_and_what_is_cleared_is_not() {
    let (_site, client) = client(OPEN).await;
    let id = quiet_cat(&client).await;
    let typed = json!({"session_id": id, "text": "two\n", "timeout": 0, "clear_buffer": false});
    client.good("ssh_send_input", typed).await;
    let again = json!({"session_id": id, "clear_buffer": false, "wait_for": "two\\s+two"});
    for _ in 0..2 {
        assert_eq!(read(&client, again.clone()).await["output"], "two\ntwo\n");
    }
    assert_eq!(
        read(&client, json!({"sessionId": id, "clearBuffer": true})).await["output"],
        "two\ntwo\n"
    );
    let answer = read(&client, json!({"session_id": id, "timeout": 0})).await;
    assert_eq!((&answer["output"], &answer["ended_by"]), (&json!(""), &json!("timeout")));
    // A cursor reads the past without touching what counts as read.
    let answer = read(&client, json!({"session_id": id, "cursor": 0, "timeout": 0})).await;
    assert!(answer["output"].as_str().unwrap().ends_with("two\ntwo\n"), "{answer}");
}

#[tokio::test]
async fn an_unknown_id_is_an_error_that_names_it() {
    let (_site, client) = client(OPEN).await;
    for (tool, arguments) in [
        ("ssh_read_output", json!({"sessionId": "sh-nowhere"})),
        ("ssh_send_input", json!({"session_id": "sh-nowhere", "text": "x"})),
        ("ssh_read_screen", json!({"session_id": "sh-nowhere"})),
        ("ssh_close_shell", json!({"session_id": "sh-nowhere"})),
    ] {
        let answer = client.bad(tool, arguments).await;
        assert_eq!(answer["field"], "session_id", "{tool}: {answer}");
        assert!(answer["error"].as_str().unwrap().contains("sh-nowhere"), "{tool}: {answer}");
    }
}

#[tokio::test]
async fn shells_are_closed_unless_a_rule_opens_them() {
    let (_site, client) =
        client("  - {action: allow, commands: [\"*\"], shell: unrestricted}\n").await;
    let answer = client.bad("ssh_open_shell", json!({"alias": ALIAS})).await;
    assert_eq!(
        (&answer["status"], &answer["reason"]),
        (&json!("denied"), &json!("policy")),
        "{answer}"
    );
}

#[tokio::test]
async fn a_host_says_what_the_policy_says_to_shells_there() {
    for (rules, shells, programs) in [
        (OPEN, "allow", None),
        ("  - {shells: ask}\n  - {shells: allow}\n", "ask", None),
        ("  - {shells: deny}\n  - {shells: allow, commands: [top]}\n", "deny", None),
        ("  - {shells: ask, commands: [top, htop]}\n", "deny", Some(json!(["top", "htop"]))),
        ("  - {action: allow, commands: [id]}\n", "deny", None),
    ] {
        let (_site, client) = client(rules).await;
        let host = client.good("ssh_describe_host", json!({"alias": ALIAS})).await;
        assert_eq!(
            (&host["shells"], host.get("shell_programs")),
            (&json!(shells), programs.as_ref())
        );
        let uri = format!("ssh://host/{ALIAS}/capabilities");
        let read = ReadResourceRequestParams::new(uri);
        let read = client.running.read_resource(read).await.unwrap();
        let text = serde_json::to_value(&read).unwrap()["contents"][0]["text"].clone();
        let told: Value = serde_json::from_str(text.as_str().unwrap()).unwrap();
        assert_eq!(told["shells"], shells, "{rules}: {told}");
        assert_eq!(told["shell_programs"], programs.unwrap_or(json!([])), "{rules}: {told}");
    }
}

#[tokio::test]
async fn a_rule_may_open_certain_programs_only_and_gives_no_leave_to_run_them() {
    let (_site, client) = client(
        "  - {id: monitors, shells: allow, commands: [\"top\", \"cat\"]}\n  - {action: deny, commands: [\"cat /etc/*\"]}\n",
    )
    .await;
    for denied in [
        json!({}),
        json!({"command": "sh"}),
        json!({"command": "cat /etc/passwd"}),
        json!({"command": "cat; sh"}),
    ] {
        let mut arguments = json!({"alias": ALIAS});
        for (key, value) in denied.as_object().unwrap() {
            arguments[key] = value.clone();
        }
        let answer = client.bad("ssh_open_shell", arguments).await;
        assert_eq!(answer["status"], "denied", "{denied}: {answer}");
    }
    let id = quiet_cat(&client).await;
    client.good("ssh_close_shell", json!({"session_id": id})).await;
    assert_eq!(
        client.bad("ssh_run", json!({"alias": ALIAS, "command": "cat"})).await["status"],
        "denied"
    );
    assert_eq!(
        client.bad("ssh_run", json!({"alias": ALIAS, "command": DENIED})).await["status"],
        "denied"
    );
}

#[tokio::test]
async fn a_login_shell_tells_prompts_and_exit_statuses() {
    let (_site, client) = client(OPEN).await;
    let id = open(&client, json!({"timeout": 20000})).await;
    let run = |line: &str| {
        let typed = json!({"session_id": id, "text": format!("{line}\n"), "wait_prompt": true, "timeout": 20000});
        client.good("ssh_send_input", typed)
    };
    let answer = run("echo hello; false").await;
    assert_eq!(
        (&answer["ended_by"], &answer["prompt_by"]),
        (&json!("prompt"), &json!("marks")),
        "{answer}"
    );
    assert_eq!(
        (&answer["exit_status"], &answer["at_prompt"]),
        (&json!(1), &json!(true)),
        "{answer}"
    );
    assert!(answer["output"].as_str().unwrap().contains("\nhello\n"), "{answer}");
    assert_eq!(run("(exit 3)").await["exit_status"], 3);
    assert_eq!(run("true").await["exit_status"], 0);
    let ended =
        json!({"session_id": id, "text": "exit 7\n", "timeout": 20000, "wait_for": "never"});
    let answer = client.good("ssh_send_input", ended).await;
    assert_eq!(
        (&answer["ended_by"], &answer["status"]),
        (&json!("closed"), &json!("ended")),
        "{answer}"
    );
    assert!(answer["why"].as_str().unwrap().contains("exit status 7"), "{answer}");
    let answer = client.bad("ssh_send_input", json!({"session_id": id, "text": "x"})).await;
    assert!(answer["error"].as_str().unwrap().contains("has ended"), "{answer}");
    // Its output can still be read.
    let answer = read(&client, json!({"session_id": id, "cursor": 0, "timeout": 0})).await;
    assert!(answer["output"].as_str().unwrap().contains("hello"), "{answer}");
}

#[tokio::test]
async fn control_c_stops_a_sleep_and_a_signal_ends_one() {
    let (_site, client) = client(OPEN).await;
    let id = open(&client, json!({"timeout": 20000})).await;
    // One process group says that it runs and then sleeps: a key that comes before bash has started a command is bash's own.
    let start = json!({"session_id": id, "text": "sh -c 'echo going; exec sleep 600'\n", "wait_for": "\\ngoing\\n", "timeout": 20000});
    client.good("ssh_send_input", start.clone()).await;
    let stop = json!({"session_id": id, "keys": ["Ctrl-C"], "wait_prompt": true, "timeout": 20000});
    let answer = client.good("ssh_send_input", stop).await;
    assert_eq!(
        (&answer["ended_by"], &answer["exit_status"]),
        (&json!("prompt"), &json!(130)),
        "{answer}"
    );
    client.good("ssh_send_input", start).await;
    client.good("ssh_signal_shell", json!({"session_id": id, "signal": "SIGTERM"})).await;
    let answer =
        read(&client, json!({"session_id": id, "wait_prompt": true, "timeout": 20000})).await;
    assert_eq!(
        (&answer["ended_by"], &answer["exit_status"]),
        (&json!("prompt"), &json!(143)),
        "{answer}"
    );
    let answer = client.bad("ssh_signal_shell", json!({"session_id": id, "signal": "NOPE"})).await;
    assert_eq!(answer["field"], "signal");
}

#[tokio::test]
async fn closing_ends_what_was_started_and_says_so() {
    let (_site, client) = client(OPEN).await;
    let id = open(&client, json!({"timeout": 20000})).await;
    let line = "sh -c 'trap \"\" HUP INT TERM; echo deaf $$; while :; do sleep 1; done'\n";
    let typed =
        json!({"session_id": id, "text": line, "wait_for": "deaf \\d+\\n", "timeout": 20000});
    let answer = client.good("ssh_send_input", typed).await;
    let output = answer["output"].as_str().unwrap();
    let pid =
        output.lines().rev().find_map(|line| line.strip_prefix("deaf ")).unwrap().parse().unwrap();
    let answer = client.good("ssh_close_shell", json!({"session_id": id})).await;
    assert_eq!(
        (&answer["status"], &answer["stopped"]),
        (&json!("ended"), &json!("confirmed")),
        "{answer}"
    );
    assert!(processes::wait_gone(pid, Duration::from_secs(10)), "{pid} still runs");
    let list = client.good("ssh_list_shells", json!({})).await;
    assert_eq!(list["shells"][0]["status"], "ended", "{list}");
}

#[tokio::test]
async fn the_screen_is_what_a_person_would_see() {
    let (_site, client) = client(OPEN).await;
    let id = open(&client, json!({"command": "sh", "cols": 40, "rows": 5, "timeout": 1000})).await;
    let draw = "stty -echo; printf '\\033[2J\\033[2;3Hhere\\033]0;title\\007'; read x\n";
    let typed = json!({"session_id": id, "text": draw, "wait_for": "here$", "timeout": 20000});
    client.good("ssh_send_input", typed).await;
    let screen = client.good("ssh_read_screen", json!({"session_id": id})).await;
    assert_eq!(screen["rows"], json!(["", "  here"]), "{screen}");
    assert_eq!((&screen["cursor_row"], &screen["cursor_col"]), (&json!(1), &json!(6)));
    assert_eq!(
        (&screen["title"], &screen["cols"], &screen["height"]),
        (&json!("title"), &json!(40), &json!(5))
    );
    client.good("ssh_resize_shell", json!({"session_id": id, "cols": 100, "rows": 30})).await;
    let size = json!({"session_id": id, "text": "\nstty size\n", "wait_for": "\\d+ \\d+", "timeout": 20000});
    let answer = client.good("ssh_send_input", size).await;
    assert!(answer["output"].as_str().unwrap().contains("30 100"), "{answer}");
}

#[tokio::test]
async fn more_shells_than_the_owner_lets_are_not_opened() {
    let site = Site::new();
    let policy = std::fs::read_to_string(site.path("policy.yml")).unwrap();
    site.write(
        "policy.yml",
        &policy
            .replace("max_seconds: 60", "max_shells: 1")
            .replace("rules:\n", &format!("rules:\n{OPEN}")),
    );
    let client = Client::start(&site.serve(), Era::Session).await;
    let id = quiet_cat(&client).await;
    let answer = client.bad("ssh_open_shell", json!({"alias": ALIAS, "command": "cat"})).await;
    assert!(answer["error"].as_str().unwrap().contains("max_shells"), "{answer}");
    client.good("ssh_close_shell", json!({"session_id": id})).await;
    quiet_cat(&client).await;
}

#[tokio::test]
async fn what_is_typed_is_in_the_audit_record_by_hash_alone() {
    let site = Site::new();
    site.rules(OPEN);
    site.write("sshepherd.yml", "audit: {path: audit.jsonl}\n");
    let client = Client::start(&site.serve(), Era::Session).await;
    let id = quiet_cat(&client).await;
    client.good("ssh_close_shell", json!({"session_id": id})).await;
    let text = std::fs::read_to_string(site.path("audit.jsonl")).unwrap();
    let records: Vec<Value> =
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let of = |event: &str| {
        records
            .iter()
            .find(|record| record["event"] == event)
            .unwrap_or_else(|| panic!("{event}: {text}"))
    };
    assert_eq!(
        (&of("decision")["decision"], &of("decision")["rules"]),
        (&json!("allow"), &json!(["shells"]))
    );
    assert_eq!(of("shell_opened")["session_id"], json!(id));
    // printf 'ready\r' | sha256sum
    let typed = "0274d0756560e318b5f38d11d8742a52b31838d4df98379c45e3380f048a8677";
    assert_eq!(of("shell_input")["bytes_in"], 6);
    assert_eq!(of("shell_input")["input_sha256"], typed);
    assert_eq!(of("shell_ended")["stopped"], "confirmed");
    assert!(!text.contains("ready"), "{text}");
}

#[tokio::test]
async fn a_key_gets_through_while_another_call_waits() {
    let (_site, client) = client(OPEN).await;
    let id = open(&client, json!({"timeout": 20000})).await;
    let line = "sh -c 'echo going; exec sleep 600'\n";
    let waiting = json!({"session_id": id, "text": line, "wait_prompt": true, "timeout": 40000});
    let waiting = client.begin("ssh_send_input", waiting).await;
    let started =
        json!({"session_id": id, "cursor": 0, "wait_for": "\\ngoing\\n", "timeout": 20000});
    assert_eq!(read(&client, started).await["ended_by"], "match");
    let key = json!({"session_id": id, "keys": ["Ctrl-C"], "timeout": 0, "clear_buffer": false});
    client.good("ssh_send_input", key).await;
    let answer = serde_json::to_value(waiting.await_response().await.unwrap()).unwrap();
    assert_eq!(answer["structuredContent"]["exit_status"], 130, "{answer}");
}
