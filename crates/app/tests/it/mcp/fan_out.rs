//! Fan-outs in the background: followed by one cursor, paused, one host left out, by any server, across the death of one.

use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};

use super::client::{Client, ERAS, Era};
use super::shell_servers::kill_server;
use crate::site::Site;

/// Hosts whose command ends when the test lets it: each reads one line of a pipe.
struct Held {
    site: Site,
    pipe: std::path::PathBuf,
}

impl Held {
    fn new() -> Self {
        let site = Site::new();
        let aliases: Vec<String> = (1..=4).map(|n| format!("web{n:02}")).collect();
        site.hosts(&aliases.iter().map(String::as_str).collect::<Vec<_>>());
        let pipe = site.path("pipe");
        assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        site.rules("  - {action: allow, commands: [\"head -n 1 *\", \"seq *\", \"false\"]}\n");
        Self { site, pipe }
    }

    async fn client(&self, era: Era) -> Client {
        Client::start(&self.site.serve(), era).await
    }

    /// Starts one that is at work on one host at a time, and answers its id.
    async fn start(&self, client: &Client) -> Value {
        let call = json!({
            "selector": "web[01-04]", "command": format!("head -n 1 {}", self.pipe.display()),
            "batch": "1", "background": true
        });
        let started = client.good("ssh_run_on_tag", call).await;
        assert_eq!((&started["status"], &started["alias"]), (&json!("pending"), &json!("fleet")));
        started["task_id"].clone()
    }

    /// Lets the host end that is at work, or the next one that is.
    async fn let_one_end(&self, line: &str) {
        let (pipe, text) = (self.pipe.clone(), format!("{line}\n"));
        // Opening it waits for a reader.
        tokio::task::spawn_blocking(move || std::fs::write(pipe, text)).await.unwrap().unwrap();
    }

    /// Lets one after the other end, and answers what is new by then.
    async fn let_end(
        &self,
        client: &Client,
        id: &Value,
        mut cursor: Value,
        said: &[&str],
    ) -> Vec<String> {
        let mut all = Vec::new();
        for line in said {
            self.let_one_end(line).await;
            // One reader takes all that is written while it is there.
            let (lines, at, _) = next(client, id, &cursor).await;
            all.extend(lines);
            cursor = at;
        }
        all
    }

    fn cli(&self, words: &[&str]) -> (Option<i32>, String, String) {
        let serve = self.site.serve();
        let output = Command::new(&serve[0]).args(&serve[2..]).args(words).output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (output.status.code(), text(output.stdout), text(output.stderr))
    }
}

/// What is new behind a cursor, when it comes.
async fn next(client: &Client, id: &Value, cursor: &Value) -> (Vec<String>, Value, bool) {
    let call = json!({"task_id": id, "cursor": cursor, "wait_ms": 20_000});
    let page = client.good("ssh_get_task_output", call).await;
    let lines = page["output_lines"].as_array().unwrap();
    let lines = lines.iter().map(|line| line.as_str().unwrap().to_owned()).collect();
    (lines, page["next_cursor"].clone(), page["eof"] == true)
}

/// Everything from the beginning to the end.
async fn all(client: &Client, id: &Value) -> Vec<String> {
    let (mut lines, mut cursor) = (Vec::new(), json!(0));
    loop {
        let (more, at, end) = next(client, id, &cursor).await;
        lines.extend(more);
        cursor = at;
        if end {
            return lines;
        }
    }
}

/// The headings, without sizes and ids.
fn headings(lines: &[String]) -> Vec<&str> {
    let heading = |line: &'_ &String| line.starts_with("== ");
    lines.iter().filter(heading).map(|line| line.split([',', ' ']).nth(1).unwrap()).collect()
}

async fn status(client: &Client, id: &Value) -> Value {
    client.good("ssh_get_task_status", json!({"task_id": id})).await
}

/// Asks until a host is at work.
async fn at_work(client: &Client, id: &Value) {
    let asking = async { while status(client, id).await["hosts"]["running"] != 1 {} };
    tokio::time::timeout(Duration::from_secs(30), asking).await.unwrap();
}

#[tokio::test]
async fn the_hosts_that_ended_are_read_by_one_cursor_and_told_in_part() {
    let held = Held::new();
    for era in ERAS {
        let client = held.client(era).await;
        let id = held.start(&client).await;
        held.let_one_end("one").await;
        let (lines, cursor, end) = next(&client, &id, &json!(0)).await;
        assert!(lines[0].starts_with("== web01: completed, 4 bytes, task web01:"), "{lines:?}");
        assert_eq!((lines[1].as_str(), lines.len(), end), ("one", 2, false));
        let now = status(&client, &id).await;
        let hosts = &now["hosts"];
        assert_eq!((&hosts["all"], &hosts["completed"]), (&json!(4), &json!(1)), "{now}");
        let left = hosts["pending"].as_u64().unwrap() + hosts["running"].as_u64().unwrap();
        assert_eq!((left, &now["bytes_read"]), (3, &json!(4)), "{now}");
        let part = client.good("ssh_get_task_result", json!({"task_id": id})).await;
        assert_eq!((&part["summary"]["hosts"], &part["status"]), (&json!(1), &json!("running")));
        assert!(part["note"].as_str().unwrap().starts_with("1 of 4 hosts"), "{part}");
        let lines = held.let_end(&client, &id, cursor, &["two", "three", "four"]).await;
        assert!(lines[0].starts_with("== web02: completed"), "{lines:?}");
        let lines = all(&client, &id).await;
        assert_eq!(headings(&lines), ["web01:", "web02:", "web03:", "web04:"]);
        assert_eq!(lines.len(), 8, "{lines:?}");
        let whole = client.good("ssh_get_task_result", json!({"task_id": id})).await;
        assert_eq!(
            (&whole["summary"]["completed"], &whole["status"]),
            (&json!(4), &json!("completed"))
        );
        let far = json!({"task_id": id, "cursor": 1_000_000});
        assert_eq!(client.bad("ssh_get_task_output", far).await["field"], "cursor");
    }
}

#[tokio::test]
async fn its_output_can_be_searched_and_its_end_looked_at() {
    let held = Held::new();
    let client = held.client(Era::Session).await;
    let call = json!({"selector": "web[01-03]", "command": "seq 1 200", "background": true});
    let id = client.good("ssh_run_on_tag", call).await["task_id"].clone();
    let lines = all(&client, &id).await;
    let count = |wanted: &str| lines.iter().filter(|line| line.as_str() == wanted).count();
    assert_eq!((headings(&lines).len(), count("1"), count("199")), (3, 3, 3));
    let (mut found, mut cursor) = (Vec::new(), json!(0));
    loop {
        let call = json!({"task_id": id, "cursor": cursor, "match": "^199$"});
        let page = client.good("ssh_get_task_output", call).await;
        found.extend(page["output_lines"].as_array().unwrap().iter().map(Value::to_string));
        cursor = page["next_cursor"].clone();
        if page["eof"] == true {
            break;
        }
    }
    assert_eq!(found.len(), 6, "a heading and a line for each: {found:?}");
    let tail = client.good("ssh_get_task_output", json!({"task_id": id, "max_lines": 5})).await;
    let tail: Vec<&str> = tail["output_lines"]
        .as_array()
        .unwrap()
        .iter()
        .map(|line| line.as_str().unwrap())
        .collect();
    assert!(tail[0].starts_with("== web0"), "{tail:?}");
    assert_eq!(tail[1..], ["197", "198", "199", "200"]);
    let call = json!({"selector": "web[01-02]", "command": "false", "background": true});
    let id = client.good("ssh_run_on_tag", call).await["task_id"].clone();
    assert_eq!(all(&client, &id).await.len(), 2);
    let now = status(&client, &id).await;
    assert_eq!((&now["hosts"]["failed"], &now["failed_hosts"]), (&json!(2), &json!("web[01-02]")));
}

#[tokio::test]
async fn another_server_pauses_it_and_leaves_hosts_out() {
    let held = Held::new();
    let (owner, other) = (held.client(Era::Session).await, held.client(Era::Stateless).await);
    let id = held.start(&owner).await;
    held.let_one_end("one").await;
    let (_, cursor, _) = next(&other, &id, &json!(0)).await;
    let left = other.good("ssh_cancel", json!({"task_id": id, "alias": "web03"})).await;
    assert_eq!(
        (&left["cancelled"], &left["status"]),
        (&json!(true), &json!("not_begun")),
        "{left}"
    );
    let paused = other.good("ssh_pause_task", json!({"task_id": id})).await;
    assert_eq!(paused["status"], "paused");
    held.let_one_end("two").await;
    // The one that is left out has its end when its turn comes, paused or not.
    let (mut lines, mut cursor) = (Vec::new(), cursor);
    while lines.len() < 3 {
        let (more, at, _) = next(&owner, &id, &cursor).await;
        lines.extend(more);
        cursor = at;
    }
    assert_eq!(headings(&lines), ["web02:", "web03:"]);
    assert_eq!(lines[2], "== web03: not_begun, cancelled ==");
    let now = status(&owner, &id).await;
    assert_eq!((&now["status"], &now["hosts"]["pending"]), (&json!("paused"), &json!(1)), "{now}");
    let listed = owner.good("ssh_list_tasks", json!({"alias": "fleet"})).await;
    assert_eq!(listed["tasks"][0]["status"], "paused", "{listed}");
    let on = other.good("ssh_pause_task", json!({"task_id": id, "resume": true})).await;
    assert_eq!(on["status"], "running");
    // One that is at work is stopped like any task.
    let opened = next(&owner, &id, &cursor);
    let stopped = async {
        at_work(&owner, &id).await;
        other.good("ssh_cancel", json!({"task_id": id, "alias": "web04"})).await
    };
    let ((lines, ..), stopped) = tokio::join!(opened, stopped);
    assert_eq!((&stopped["cancelled"], &stopped["stopped"]), (&json!(true), &json!("confirmed")));
    assert_eq!(headings(&lines), ["web04:"]);
    // The last host's end comes before that of the fan-out.
    assert_eq!(headings(&all(&owner, &id).await).len(), 4);
    let whole = owner.good("ssh_get_task_result", json!({"task_id": id})).await;
    assert_eq!(whole["summary"]["completed"], 2, "{whole}");
    for (tool, call, said) in [
        ("ssh_cancel", json!({"task_id": id, "alias": "web04"}), "had ended"),
        ("ssh_pause_task", json!({"task_id": id}), "failed"),
    ] {
        let answer = owner.good(tool, call).await;
        assert!(answer.to_string().contains(said), "{answer}");
    }
}

#[tokio::test]
async fn what_is_no_fan_out_is_not_paused_and_a_host_must_be_one_of_it() {
    let held = Held::new();
    let client = held.client(Era::Session).await;
    let one = client.good("ssh_run_async", json!({"alias": "web01", "command": "seq 1 2"})).await;
    for (tool, call) in [
        ("ssh_pause_task", json!({"task_id": one["task_id"]})),
        ("ssh_cancel", json!({"task_id": one["task_id"], "alias": "web01"})),
    ] {
        let answer = client.bad(tool, call).await;
        assert!(answer["error"].as_str().unwrap().contains("single host"), "{answer}");
    }
    // Or it may be the one that is running there below.
    let end = json!({"task_id": one["task_id"], "cursor": 0, "wait_ms": 40_000});
    while client.good("ssh_get_task_output", end.clone()).await["eof"] != true {}
    let id = held.start(&client).await;
    let wrong = client.bad("ssh_cancel", json!({"task_id": id, "alias": "db1"})).await;
    assert_eq!(wrong["field"], "alias", "{wrong}");
    at_work(&client, &id).await;
    // A host's own task is a task as any other; the fan-out goes on with the next host.
    let list = json!({"alias": "web01", "status": "running"});
    let own = async {
        loop {
            let listed = client.good("ssh_list_tasks", list.clone()).await;
            if let Some(task) = listed["tasks"].as_array().unwrap().first() {
                break task["task_id"].clone();
            }
        }
    };
    let own = tokio::time::timeout(Duration::from_secs(30), own).await.unwrap();
    client.good("ssh_cancel", json!({"task_id": own})).await;
    let (lines, ..) = next(&client, &id, &json!(0)).await;
    assert!(lines[0].starts_with("== web01: cancelled"), "{lines:?}");
    at_work(&client, &id).await;
    client.good("ssh_cancel", json!({"task_id": id})).await;
    let now = status(&client, &id).await;
    assert_eq!(
        (&now["status"], &now["hosts"]["not_begun"]),
        (&json!("cancelled"), &json!(2)),
        "{now}"
    );
}

#[tokio::test]
async fn a_pause_and_the_order_of_ends_outlive_the_server() {
    let held = Held::new();
    let owner = held.client(Era::Session).await;
    let id = held.start(&owner).await;
    held.let_one_end("one").await;
    next(&owner, &id, &json!(0)).await;
    at_work(&owner, &id).await;
    owner.good("ssh_pause_task", json!({"task_id": id})).await;
    kill_server(&held.site);
    let next_owner = held.client(Era::Session).await;
    let (lines, cursor, _) = next(&next_owner, &id, &json!(0)).await;
    assert_eq!(headings(&lines), ["web01:"]);
    // What was at work goes on, paused or not.
    held.let_one_end("two").await;
    let (lines, cursor, _) = next(&next_owner, &id, &cursor).await;
    assert_eq!((headings(&lines), lines[1].as_str()), (vec!["web02:"], "two"));
    let now = status(&next_owner, &id).await;
    assert_eq!((&now["status"], &now["hosts"]["pending"]), (&json!("paused"), &json!(2)), "{now}");
    next_owner.good("ssh_pause_task", json!({"task_id": id, "resume": true})).await;
    held.let_end(&next_owner, &id, cursor, &["three", "four"]).await;
    let lines = all(&next_owner, &id).await;
    assert_eq!(headings(&lines), ["web01:", "web02:", "web03:", "web04:"], "none twice");
    let said: Vec<&str> =
        lines.iter().filter(|line| !line.starts_with("== ")).map(String::as_str).collect();
    assert_eq!(said, ["one", "two", "three", "four"]);
}

#[tokio::test]
async fn the_command_line_follows_pauses_and_leaves_out() {
    let held = Held::new();
    let client = held.client(Era::Session).await;
    let id = held.start(&client).await;
    let all = id.clone();
    let id = id.as_str().unwrap();
    let (code, _, said) = held.cli(&["tasks", "pause", id]);
    assert!(code == Some(0) && said.contains("paused"), "{said}");
    let (code, _, said) = held.cli(&["tasks", "cancel", id, "--host", "web04"]);
    assert!(code == Some(0) && said.contains("web04 was not begun and will not be"), "{said}");
    let (code, _, said) = held.cli(&["tasks", "cancel", id, "--host", "db1"]);
    assert!(code == Some(2) && said.contains("db1"), "{said}");
    let (_, text, _) = held.cli(&["tasks", "status", id]);
    assert!(text.contains("paused") && text.contains("4 in all"), "{text}");
    let (code, _, said) = held.cli(&["tasks", "resume", id]);
    assert!(code == Some(0) && said.contains("running"), "{said}");
    held.let_end(&client, &all, json!(0), &["one", "two", "three"]).await;
    let (code, text, said) = held.cli(&["tasks", "output", "--follow", id]);
    assert_eq!(code, Some(1), "{text} {said}");
    let lines: Vec<String> = text.lines().map(str::to_owned).collect();
    assert_eq!(headings(&lines), ["web01:", "web02:", "web03:", "web04:"]);
    assert_eq!((lines.len(), lines[1].as_str()), (7, "one"), "{text}");
    let (code, text, said) = held.cli(&["tasks", "result", "--per-host", id]);
    assert_eq!((code, text.as_str()), (Some(1), "web01: one\nweb02: two\nweb03: three\n"));
    assert!(said.contains("web04: not begun: cancelled"), "{said}");
}

#[tokio::test]
async fn the_command_line_shows_its_result_as_that_of_a_run_that_is_waited_for() {
    let held = Held::new();
    let client = held.client(Era::Session).await;
    let id = held.start(&client).await;
    let task = id.as_str().unwrap();
    held.let_one_end("one").await;
    next(&client, &id, &json!(0)).await;
    let (code, text, said) = held.cli(&["tasks", "result", task]);
    assert_eq!((code, text.as_str()), (Some(0), "web01: exit status 0\n  one\n"), "{said}");
    assert!(
        said.contains("1 of 4 hosts done") && said.contains("is running; 1 of 4 hosts"),
        "{said}"
    );
    held.cli(&["tasks", "cancel", task]);
    let call = json!({"selector": "web[01-04]", "command": "seq 1 30", "background": true});
    let id = client.good("ssh_run_on_tag", call).await["task_id"].clone();
    all(&client, &id).await;
    let (task, mut words) = (id.as_str().unwrap(), vec!["tasks", "result"]);
    words.push(task);
    let (code, text, said) = held.cli(&words);
    let ran = held.cli(&["run", "--on", "web[01-04]", "seq", "1", "30"]);
    assert_eq!((code, &text), (Some(0), &ran.1), "{said}");
    assert!(text.starts_with("web[01-04] (4 hosts): exit status 0\n  1\n"), "{text}");
    assert!(said.contains("4 of 4 hosts done"), "{said}");
    words.insert(0, "--json");
    let whole: Value = serde_json::from_str(&held.cli(&words).1).unwrap();
    assert_eq!((&whole["task_id"], whole["results"].as_array().unwrap().len()), (&id, 4));
    let (code, _, said) = held.cli(&["tasks", "result", "--raw", task]);
    assert!(code == Some(2) && said.contains("tasks output --raw"), "{said}");
}

#[tokio::test]
async fn who_paused_it_went_on_and_left_hosts_out_is_audited() {
    let held = Held::new();
    held.site.write("sshepherd.yml", "audit: {path: audit.jsonl}\n");
    let owner = held.client(Era::Session).await;
    let id = held.start(&owner).await;
    owner.good("ssh_pause_task", json!({"task_id": id})).await;
    owner.good("ssh_cancel", json!({"task_id": id, "alias": "web03"})).await;
    let task = id.as_str().unwrap();
    assert_eq!(held.cli(&["tasks", "cancel", task, "--host", "web04"]).0, Some(0));
    assert_eq!(held.cli(&["tasks", "resume", task]).0, Some(0));
    let records = |kind: &str| -> Vec<Value> {
        let words = ["--json", "audit", "show", "--event", kind, "--task", task];
        let (code, text, said) = held.cli(&words);
        assert_eq!(code, Some(0), "{said}");
        let shown: Value = serde_json::from_str(&text).unwrap();
        let mut records = shown["records"].as_array().unwrap().clone();
        records.sort_by_key(|record| record["seq"].as_u64());
        records
    };
    let paused = records("pause_request");
    assert_eq!((paused.len(), &paused[0]["source"]), (1, &json!("mcp")), "{paused:?}");
    assert!(paused[0]["client"].is_string(), "{paused:?}");
    let left = records("cancel_request");
    let told: Vec<_> = left.iter().map(|record| (&record["source"], &record["alias"])).collect();
    assert_eq!(told, [(&json!("mcp"), &json!("web03")), (&json!("cli"), &json!("web04"))]);
    let on = records("resume_request");
    assert_eq!((on.len(), &on[0]["source"]), (1, &json!("cli")), "{on:?}");
    // Which process it was that wrote: the owner, and one for each command.
    assert_eq!(paused[0]["instance"], left[0]["instance"]);
    assert_ne!(left[0]["instance"], left[1]["instance"]);
    owner.good("ssh_cancel", json!({"task_id": id})).await;
}
