//! Fan-outs under hostile words: every value that makes no sense is refused with its field, and outputs that are hard to tell apart
//! are told apart.

use std::process::Command;

use serde_json::{Value, json};

use super::client::{Client, ERAS, Era};
use crate::site::Site;

/// Each host writes something else, by the name of its task.
const SPEAK: &str = "case $SSHEPHERD_TASK in \
    web01:*) printf 'same\\n';; web02:*) printf 'same';; web03:*) printf 'same\\0\\n';; \
    web04:*) printf '\\033[31msame\\033[0m\\n';; web05:*) ;; web06:*) printf '\\n';; \
    web07:*) printf '\\377same\\n';; web08:*) printf 'same\\n\\n';; *) printf 'same\\n';; esac";

fn site(hosts: usize) -> Site {
    let site = Site::new();
    let aliases: Vec<String> = (1..=hosts).map(|n| format!("web{n:02}")).collect();
    site.hosts(&aliases.iter().map(String::as_str).collect::<Vec<_>>());
    site.rules("  - {id: open, action: allow, shell: unrestricted, commands: [\"*\"]}\n");
    site
}

fn cli(site: &Site, words: &[&str]) -> (Option<i32>, String, String) {
    let serve = site.serve();
    let output = Command::new(&serve[0]).args(&serve[2..]).args(words).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

#[tokio::test]
async fn values_that_make_no_sense_are_refused_with_their_field() {
    let site = site(3);
    let long = "x".repeat(1_000_000);
    for era in ERAS {
        let client = Client::start(&site.serve(), era).await;
        for (field, values) in [
            ("batch", json!([0, "0%", "101%", -1, 1.5, "", long, "99999999999999999999999", [1]])),
            ("stop_after", json!(["0", "0%", "200%", "many"])),
            ("deadline_seconds", json!([-5, 0, 1e30, 86_401, "soon", 1.5])),
            ("canary", json!(["yes", 1])),
            ("gate", json!(["", "a\u{0}b", long])),
            ("background", json!(["perhaps"])),
            ("selector", json!(["", "  ", long, ["web01"], "web[1-999999999]", "\u{202e}web01"])),
            ("selector", json!(["((web01)", "web[1-3", "web01]", "web01 web02", "web[01-99999]"])),
        ] {
            for value in values.as_array().unwrap() {
                let mut call = json!({"selector": "web*", "command": "echo hello"});
                call[field] = value.clone();
                let answer = client.bad("ssh_run_on_tag", call).await;
                let said = answer["error"].as_str().unwrap();
                assert_eq!(answer["field"], field, "{answer}");
                assert_eq!(said.matches(&format!("{field}:")).count(), 1, "{answer}");
                assert!(answer.to_string().len() < 1000, "{}", answer.to_string().len());
            }
        }
        // None of them ran anything.
        assert_eq!(client.good("ssh_list_tasks", json!({})).await["tasks"], json!([]));
    }
}

#[tokio::test]
async fn values_at_the_edge_are_taken_as_they_are_meant() {
    let site = site(3);
    let client = Client::start(&site.serve(), Era::Session).await;
    for (more, hosts) in [
        (json!({"stop_after": 10_000}), 3),
        (json!({"stop_after": "100%", "batch": "1%"}), 3),
        (json!({"batch": 10_000, "canary": true, "deadline_seconds": 86_400}), 3),
        (json!({"selector": "web01", "canary": true, "gate": "true"}), 1),
        (json!({"selector": "web01,web01,web[01,01-01] or web01"}), 1),
    ] {
        let mut call = json!({"selector": "web*", "command": "echo hello"});
        call.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let answer = client.good("ssh_run_on_tag", call).await;
        assert_eq!(answer["summary"]["completed"], hosts, "{answer}");
        assert_eq!(answer["summary"]["hosts"], hosts, "{answer}");
    }
}

#[tokio::test]
async fn the_command_line_names_the_option_that_is_wrong() {
    let site = site(2);
    for (words, said) in [
        (["--batch", "0", "--on", "web*"], "--batch"),
        (["--batch", "101%", "--on", "web*"], "--batch"),
        (["--stop-after", "0%", "--on", "web*"], "--stop-after"),
        (["--deadline=-5", "--canary", "--on", "web*"], "--deadline"),
        (["--gate", "", "--on", "web*"], "--gate"),
        (["--canary", "--on", "web*", "--tag=web"], "--tag"),
        (["--canary", "--per-host", "--on", "web[1-99999]*"], "1000 tags and patterns"),
        // On one host they would do nothing.
        (["--deadline", "5", "--canary", "web01"], "--canary is for a run on many hosts"),
        (["--deadline", "5", "--raw", "web01"], "--deadline is for a run on many hosts"),
    ] {
        let words: Vec<&str> = [&["run"], &words[..], &["echo hello"]].concat();
        let (code, text, told) = cli(&site, &words);
        assert_eq!((code, text.as_str()), (Some(2), ""), "{words:?}: {told}");
        assert!(told.contains(said), "{words:?}: {told}");
    }
}

#[tokio::test]
async fn outputs_that_differ_in_what_cannot_be_seen_are_told_apart() {
    let site = site(40);
    let client = Client::start(&site.serve(), Era::Session).await;
    let call = json!({"selector": "web*", "command": SPEAK});
    let answer = client.good("ssh_run_on_tag", call).await;
    let groups: Vec<(&Value, &Value, &Value)> = answer["groups"]
        .as_array()
        .unwrap()
        .iter()
        .map(|group| {
            let said = group.get("output").unwrap_or(&group["diff"]);
            (&group["hosts"], said, &group["cleaned"])
        })
        .collect();
    let replaced = json!("1 bytes that cannot be read replaced");
    let told = json!("1 control characters (web03); 2 escape sequences (web04)");
    assert_eq!(
        groups,
        [
            (&json!("web02"), &json!("same"), &Value::Null),
            (&json!("web05"), &json!(""), &Value::Null),
            (&json!("web06"), &json!("\n"), &Value::Null),
            (&json!("web07"), &json!("\u{fffd}same\n"), &replaced),
            (&json!("web08"), &json!("=1\n+\n"), &Value::Null),
            (&json!("web[01,03-04,09-40]"), &json!("same\n"), &told),
        ],
        "{answer}"
    );
    let (_, text, told) = cli(&site, &["run", "--on", "web*", SPEAK]);
    assert!(text.starts_with("web02: exit status 0; without a newline at the end\n  same\n"));
    assert!(text.contains("taken out: 1 control characters (web03); 2 escape"), "{text} {told}");
    assert!(!text.contains(['\0', '\u{1b}']), "{text:?}");
}

/// What a host may write is bounded, and so is what of it is answered.
#[tokio::test]
async fn megabytes_of_each_host_are_answered_in_a_few_pages() {
    let site = site(20);
    let client = Client::start(&site.serve(), Era::Session).await;
    let command =
        "echo $SSHEPHERD_TASK; head -c 1000000 /dev/zero | tr '\\0' x; yes | head -c 1000000";
    let call = json!({"selector": "web*", "command": command});
    let mut answer = client.good("ssh_run_on_tag", call).await;
    let (id, mut hosts) = (answer["task_id"].clone(), 0);
    loop {
        assert!(answer.to_string().len() <= 8192 + 100, "{}", answer.to_string().len());
        for group in answer["groups"].as_array().unwrap() {
            // Each differs from the others in its first line alone, which is shown as that.
            let cut = group["missing_bytes"].as_u64() > Some(1_900_000);
            assert!(cut || group["diff"].as_str().unwrap().starts_with("-1\n+web"), "{group}");
            hosts += group["count"].as_u64().unwrap();
        }
        let Some(cursor) = answer["next_cursor"].as_u64() else { break };
        let next = json!({"task_id": id, "cursor": cursor});
        answer = client.good("ssh_get_task_result", next).await;
    }
    assert_eq!(hosts, 20);
}
