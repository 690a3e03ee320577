//! Many hosts at once: selected by more than a tag, answered in groups when there is much to say.

use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::client::{Client, ERAS, Era};
use crate::site::Site;

fn site() -> Site {
    let site = Site::new();
    let aliases: Vec<String> =
        (1..=12).map(|n| format!("web{n:02}")).chain(["db-1".to_owned()]).collect();
    site.hosts(&aliases.iter().map(String::as_str).collect::<Vec<_>>());
    site
}

#[tokio::test]
async fn hosts_are_listed_and_run_on_by_selector_in_both_eras() {
    let site = site();
    for era in ERAS {
        let client = Client::start(&site.serve(), era).await;
        let some = json!({"selector": "web[01-03] minus web02, db*"});
        let answer = client.good("ssh_list_hosts", some.clone()).await;
        assert_eq!(answer["hosts"], json!(["web01", "web03", "db-1"]));
        let mut call = some;
        call["command"] = json!("echo hello");
        let answer = client.good("ssh_run_on_tag", call).await;
        let hosts: Vec<&Value> =
            answer["results"].as_array().unwrap().iter().map(|one| &one["alias"]).collect();
        assert_eq!(hosts, ["web01", "web03", "db-1"], "{answer}");
        assert_eq!(
            (&answer["selector"], &answer["summary"]["completed"]),
            (&json!("web[01-03] minus web02, db*"), &json!(3))
        );
        let none = client
            .good("ssh_run_on_tag", json!({"selector": "@web and @none", "command": "true"}))
            .await;
        assert_eq!(none["results"], json!([]), "{none}");
    }
}

#[tokio::test]
async fn a_selector_that_is_wrong_runs_nothing_and_says_where() {
    let site = site();
    let client = Client::start(&site.serve(), Era::Session).await;
    let many = vec!["a[1-99999]"; 500].join(",");
    for (selector, said) in [
        ("web[01-", "byte 3"),
        ("web[11-14]", "web[13-14]"),
        ("@web @db", "byte 5"),
        ("web[1-99999]*", "at most 1000"),
        (many.as_str(), "more than 100000"),
    ] {
        for (tool, call) in [
            ("ssh_run_on_tag", json!({"selector": selector, "command": "echo hello"})),
            ("ssh_list_hosts", json!({"selector": selector})),
        ] {
            let answer = client.bad(tool, call).await;
            assert_eq!(answer["field"], "selector", "{answer}");
            assert!(answer["error"].as_str().unwrap().contains(said), "{answer}");
        }
    }
    let both = json!({"selector": "all", "tag": "web", "command": "true"});
    assert_eq!(client.bad("ssh_run_on_tag", both).await["field"], "selector");
    assert_eq!(client.bad("ssh_run_on_tag", json!({"command": "true"})).await["field"], "tag");
}

#[tokio::test]
async fn what_does_not_fit_is_folded() {
    let site = site();
    site.unreachable("far1");
    let client = Client::start(&site.serve(), Era::Session).await;
    let answer =
        client.good("ssh_run_on_tag", json!({"selector": "all", "command": "seq 1 400"})).await;
    assert!(answer.to_string().len() <= 8192 + 100, "{}", answer.to_string().len());
    let groups = answer["groups"].as_array().unwrap();
    let told: Vec<_> = groups
        .iter()
        .map(|group| (group["hosts"].as_str().unwrap(), group["status"].as_str().unwrap()))
        .collect();
    assert_eq!(told, [("far1", "could_not_connect"), ("db-1,web[01-12]", "completed")], "{answer}");
    let output = groups[1]["output"].as_str().unwrap();
    assert!(output.starts_with("1\n2\n") && output.ends_with("400\n"), "{output}");
    assert_eq!(answer["slowest"].as_array().unwrap().len(), 3);
}

/// Forty results of which no two are the same do not fit; the cursor leads through the rest, and each host is told of once. The same
/// for a call that waited and for one in the background.
#[tokio::test]
async fn groups_that_did_not_fit_are_read_by_cursor() {
    let site = Site::new();
    let aliases: Vec<String> = (1..=40).map(|n| format!("web{n:02}")).collect();
    site.hosts(&aliases.iter().map(String::as_str).collect::<Vec<_>>());
    site.rules("  - {action: allow, commands: [\"printenv *\"]}\n");
    let client = Client::start(&site.serve(), Era::Session).await;
    for background in [false, true] {
        // Each host's task is another, and its command sees it.
        let call = json!({
            "selector": "web*", "command": "printenv SSHEPHERD_TASK", "background": background
        });
        let mut answer = client.good("ssh_run_on_tag", call).await;
        let id = answer["task_id"].clone();
        if background {
            let end = json!({"task_id": id, "cursor": 0, "wait_ms": 40_000});
            while client.good("ssh_get_task_output", end.clone()).await["eof"] != json!(true) {}
            answer = client.good("ssh_get_task_result", json!({"task_id": id})).await;
        }
        let (mut told, mut pages) = (Vec::new(), 1);
        loop {
            assert!(answer.to_string().len() <= 8192 + 100, "{}", answer.to_string().len());
            assert_eq!(answer["summary"]["completed"], json!(40), "{answer}");
            let groups = answer["groups"].as_array().unwrap();
            told.extend(groups.iter().map(|group| group["hosts"].as_str().unwrap().to_owned()));
            let Some(cursor) = answer["next_cursor"].as_u64() else { break };
            assert_eq!(
                (cursor, answer["missing_groups"].as_u64()),
                (told.len() as u64, Some(40 - cursor))
            );
            let next = json!({"task_id": id, "cursor": cursor});
            answer = client.good("ssh_get_task_result", next).await;
            pages += 1;
        }
        told.sort();
        assert_eq!((told, pages > 1), (aliases.clone(), true), "{background}");
        let past = json!({"task_id": id, "cursor": 41});
        let answer = client.bad("ssh_get_task_result", past).await;
        assert_eq!((&answer["field"], &answer["task_id"]), (&json!("cursor"), &id), "{answer}");
    }
}

/// A server that folded it once reads no host again for the next pages: they come even where nothing can be read any more.
#[tokio::test]
async fn pages_of_one_that_has_ended_agree_and_read_no_host_again() {
    let site = Site::new();
    let aliases: Vec<String> = (1..=40).map(|n| format!("web{n:02}")).collect();
    site.hosts(&aliases.iter().map(String::as_str).collect::<Vec<_>>());
    site.rules("  - {action: allow, commands: [\"printenv *\"]}\n");
    let owner = Client::start(&site.serve(), Era::Session).await;
    let other = Client::start(&site.serve(), Era::Stateless).await;
    let call =
        json!({"selector": "web*", "command": "printenv SSHEPHERD_TASK", "background": true});
    let id = owner.good("ssh_run_on_tag", call).await["task_id"].clone();
    let end = json!({"task_id": id, "cursor": 0, "wait_ms": 40_000});
    while owner.good("ssh_get_task_output", end.clone()).await["eof"] != json!(true) {}
    let first = other.good("ssh_get_task_result", json!({"task_id": id})).await;
    let logs = (site.path("state/logs"), site.path("state/elsewhere"));
    std::fs::rename(&logs.0, &logs.1).unwrap();
    let pages = rest_of(&other, first.clone()).await;
    std::fs::rename(&logs.1, &logs.0).unwrap();
    assert!(pages.len() > 1, "{}", pages.len());
    let again = owner.good("ssh_get_task_result", json!({"task_id": id})).await;
    assert_eq!(rest_of(&owner, again).await, pages, "as another server reads them");
    let serve = site.serve();
    let words = ["--json", "tasks", "result", id.as_str().unwrap()];
    let output = Command::new(&serve[0]).args(&serve[2..]).args(words).output().unwrap();
    let whole: Value = serde_json::from_slice(&output.stdout).unwrap();
    let pair = |one: &Value, name: &str| (one[name].to_string(), one["output"].to_string());
    let mut groups: Vec<_> = pages
        .iter()
        .flat_map(|page| page["groups"].as_array().unwrap())
        .map(|group| pair(group, "hosts"))
        .collect();
    groups.sort();
    let results = whole["results"].as_array().unwrap();
    let results: Vec<_> = results.iter().map(|one| pair(one, "alias")).collect();
    assert_eq!(groups, results, "and as the whole says");
}

/// This page and all that follow.
async fn rest_of(client: &Client, first: Value) -> Vec<Value> {
    let mut pages = vec![first];
    while let Some(cursor) = pages.last().unwrap().get("next_cursor") {
        let next = json!({"task_id": pages[0]["task_id"], "cursor": cursor});
        pages.push(client.good("ssh_get_task_result", next).await);
    }
    pages
}

#[tokio::test]
async fn a_rollout_stops_at_its_gate_and_at_its_failures_in_both_eras() {
    let site = site();
    for era in ERAS {
        let client = Client::start(&site.serve(), era).await;
        let call = |more: Value| {
            let mut call = json!({"selector": "web[01-06]", "command": "echo hello"});
            call.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            call
        };
        let counts = |answer: &Value| {
            let results = answer["results"].as_array().unwrap();
            let of = |status: &str| results.iter().filter(|one| one["status"] == status).count();
            (of("completed"), of("failed"), results.len())
        };
        let answer = client
            .good("ssh_run_on_tag", call(json!({"canary": true, "batch": "50%", "gate": "true"})))
            .await;
        assert_eq!(counts(&answer), (6, 0, 6), "{answer}");
        let answer =
            client.good("ssh_run_on_tag", call(json!({"batch": 2, "gate": "false"}))).await;
        assert_eq!(counts(&answer).0, 2, "{answer}");
        assert!(answer["results"][5].to_string().contains("the gate failed on web0"), "{answer}");
        // A gate that the policy does not allow lets nothing through.
        let answer = client
            .bad("ssh_run_on_tag", call(json!({"canary": true, "gate": "touch /tmp/never"})))
            .await;
        assert!(answer["detail"].as_str().unwrap().contains("on 6 of 6 hosts"), "{answer}");
        let answer = client
            .good(
                "ssh_run_on_tag",
                call(json!({"command": "false", "batch": "1", "stop_after": "2"})),
            )
            .await;
        assert_eq!(counts(&answer).1, 2, "{answer}");
        let answer = client
            .good(
                "ssh_run_on_tag",
                call(json!({"command": "sleep 30", "batch": "3", "deadline_seconds": 1})),
            )
            .await;
        let stopped =
            answer["results"].as_array().unwrap().iter().filter(|one| one["status"] == "cancelled");
        assert_eq!(stopped.count(), 3, "{answer}");
    }
    let client = Client::start(&site.serve(), Era::Session).await;
    for (field, value) in [
        ("batch", json!("0")),
        ("stop_after", json!("x")),
        ("deadline_seconds", json!(0)),
        ("gate", json!("")),
    ] {
        let mut bad = json!({"tag": "web", "command": "true"});
        bad[field] = value;
        assert_eq!(client.bad("ssh_run_on_tag", bad).await["field"], field);
    }
}

#[tokio::test]
async fn what_runs_at_the_deadline_is_seen_dead_whether_or_not_its_caller_waits() {
    let site = site();
    let client = Client::start(&site.serve(), Era::Session).await;
    for background in [false, true] {
        let call = json!({
            "selector": "web[01-05]", "command": "sleep 600", "deadline_seconds": 1,
            "background": background
        });
        let mut answer = client.good("ssh_run_on_tag", call).await;
        if background {
            let end = json!({"task_id": answer["task_id"], "cursor": 0, "wait_ms": 40_000});
            while client.good("ssh_get_task_output", end.clone()).await["eof"] != json!(true) {}
            let id = json!({"task_id": answer["task_id"]});
            answer = client.good("ssh_get_task_result", id).await;
        }
        for host in answer["results"].as_array().unwrap() {
            assert_eq!(host["status"], "cancelled", "{answer}");
            assert_eq!(host["stopped"], "confirmed", "{answer}");
        }
    }
}

/// Were they waited for, each would hold the only place for half a second. A loaded machine may be slow once, but not each time.
#[tokio::test]
async fn hosts_that_refuse_connections_make_room_at_once() {
    let site = Site::new();
    let hosts = || fs::read_to_string(site.path("servers.yml")).unwrap();
    site.hosts(&["near1"]);
    let near = hosts().replacen("hosts:\n", "", 1);
    site.hosts(&[]);
    ["far1", "far2"].into_iter().for_each(|alias| site.unreachable(alias));
    site.write("servers.yml", &(hosts() + &near));
    site.write("sshepherd.yml", "fan_out: {parallel: 1}\n");
    let client = Client::start(&site.serve(), Era::Session).await;
    let mut quick = false;
    for _ in 0..5 {
        let began = Instant::now();
        let call = json!({"selector": "all", "command": "true", "background": true});
        let id = client.good("ssh_run_on_tag", call).await["task_id"].clone();
        let wait = json!({"task_id": id, "cursor": 0, "wait_ms": 40_000});
        let first = client.good("ssh_get_task_output", wait).await;
        quick |= began.elapsed() < Duration::from_secs(1);
        let line = first["output_lines"][0].as_str().unwrap();
        assert!(line.starts_with("== near1: completed"), "{first}");
        client.good("ssh_cancel", json!({"task_id": id})).await;
    }
    assert!(quick);
}

#[test]
fn the_command_line_takes_selectors_too() {
    let site = site();
    let serve = site.serve();
    let run = |words: &[&str]| {
        let output = Command::new(&serve[0]).args(&serve[2..]).args(words).output().unwrap();
        (
            output.status.code(),
            String::from_utf8(output.stdout).unwrap(),
            String::from_utf8(output.stderr).unwrap(),
        )
    };
    let (code, out, _) = run(&["run", "--on", "web[01-02] or db-1", "echo", "hello"]);
    assert_eq!(
        (code, out.as_str()),
        (Some(0), "db-1,web[01-02] (3 hosts): exit status 0\n  hello\n")
    );
    let (code, out, err) =
        run(&["run", "--on", "web[01-04]", "--batch", "1", "--stop-after", "1", "false"]);
    assert_eq!(code, Some(1), "{err}");
    assert!(out.starts_with("web[02-04] (3 hosts): not begun: 1 hosts had failed"), "{out}");
    assert!(out.ends_with("\nweb01: exit status 1\n"), "{out}");
    assert!(err.contains("0 of 4 hosts done; not done: web[01-04]"), "{err}");
    let each =
        ["run", "--per-host", "--on", "web[01-04]", "--batch", "1", "--stop-after", "1", "false"];
    let (code, out, err) = run(&each);
    assert_eq!((code, out.as_str()), (Some(1), ""), "{err}");
    assert!(err.contains("web02: not begun: 1 hosts had failed"), "{err}");
    let (code, _, err) = run(&["run", "--on", "web[01-99]", "true"]);
    assert_eq!(code, Some(2), "{err}");
    assert!(err.contains("no host is called web[13-99]"), "{err}");
    let (code, out, _) = run(&["hosts", "--on", "db*"]);
    assert_eq!((code, out.lines().count()), (Some(0), 1), "{out}");
}
