//! Working folder, variables and input reach the host where the policy grants them, and only there; and the oldest
//! revision is served.

use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use super::client::{Client, Era};
use crate::site::{ALIAS, OK, Site, TAG};

/// What a command says that is run with these surroundings, by each of the three tools that run.
async fn everywhere(client: &Client, command: &str, around: Value) -> Vec<String> {
    let with = |mut arguments: Value| {
        arguments["command"] = json!(command);
        for (name, value) in around.as_object().unwrap() {
            arguments[name] = value.clone();
        }
        arguments
    };
    let one = client.good("ssh_run", with(json!({"alias": ALIAS}))).await;
    let all = client.good("ssh_run_on_tag", with(json!({"tag": TAG}))).await;
    let task = client.good("ssh_run_async", with(json!({"alias": ALIAS}))).await;
    let poll = json!({"task_id": task["task_id"], "cursor": 0, "wait_ms": 20000});
    let later = client.good("ssh_get_task_output", poll).await;
    let text = |value: &Value| value.as_str().unwrap_or_default().trim_end().to_owned();
    let mut said = vec![text(&one["output"]), text(&later["output_lines"][0])];
    said.extend(all["results"].as_array().unwrap().iter().map(|host| text(&host["output"])));
    said
}

#[tokio::test]
async fn surroundings_reach_the_host_where_they_are_granted() {
    let site = Site::new();
    site.grant(&["pwd", "printenv *", "cat"]);
    let client = Client::start(&site.serve(), Era::Session).await;
    for (command, around, wanted) in [
        ("pwd", json!({"cwd": "/usr"}), "/usr"),
        ("printenv GREETING", json!({"env": {"GREETING": "it's me"}}), "it's me"),
        ("cat", json!({"stdin": "typed\n"}), "typed"),
    ] {
        assert_eq!(everywhere(&client, command, around).await, vec![wanted; 4], "{command}");
    }
    for (command, around) in
        [("pwd", json!({"cwd": "/etc"})), ("printenv PATH", json!({"env": {"PATH": "/tmp"}}))]
    {
        let mut arguments = json!({"alias": ALIAS, "command": command});
        arguments.as_object_mut().unwrap().extend(around.as_object().unwrap().clone());
        let denied = client.bad("ssh_run", arguments).await;
        assert_eq!(denied["status"], "denied", "{denied}");
    }
}

#[tokio::test]
async fn surroundings_are_denied_where_nothing_grants_them() {
    let site = Site::new();
    let client = Client::start(&site.serve(), Era::Session).await;
    for around in [json!({"cwd": "/usr"}), json!({"env": {"A": "b"}}), json!({"stdin": "x"})] {
        let mut arguments = json!({"alias": ALIAS, "command": OK});
        arguments.as_object_mut().unwrap().extend(around.as_object().unwrap().clone());
        let denied = client.bad("ssh_run", arguments).await;
        assert_eq!((&denied["status"], &denied["reason"]), (&json!("denied"), &json!("policy")));
    }
}

/// Codex and Gemini CLI begin with 2025-06-18.
#[test]
fn a_client_of_2025_06_18_can_list_and_call() {
    let site = Site::new();
    let serve = site.serve();
    let mut child = Command::new(&serve[0])
        .args(&serve[1..])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    let mut output = BufReader::new(child.stdout.take().unwrap());
    let mut ask = |id: u64, method: &str, params: Value| -> Value {
        let request = json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params});
        writeln!(input, "{request}").unwrap();
        if id == 1 {
            writeln!(input, r#"{{"jsonrpc":"2.0","method":"notifications/initialized"}}"#).unwrap();
        }
        loop {
            let mut line = String::new();
            assert!(output.read_line(&mut line).unwrap() > 0, "the server ended");
            let answer: Value = serde_json::from_str(&line).unwrap();
            if answer["id"] == json!(id) {
                return answer["result"].clone();
            }
        }
    };
    let hello = json!({
        "protocolVersion": "2025-06-18", "capabilities": {},
        "clientInfo": {"name": "older", "version": "1"}
    });
    assert_eq!(ask(1, "initialize", hello)["protocolVersion"], "2025-06-18");
    let tools = ask(2, "tools/list", json!({}));
    assert!(tools["tools"].as_array().unwrap().len() >= 13, "{tools}");
    let arguments = json!({"name": "ssh_run", "arguments": {"alias": ALIAS, "command": OK}});
    let ran = ask(3, "tools/call", arguments);
    assert_eq!(ran["structuredContent"]["output"], "hello\n", "{ran}");
    drop(input);
    assert!(child.wait().unwrap().success());
}
