//! Output that lies: what steers a terminal or hides does not reach an agent, and neither do secrets, however they are cut.

use std::process::Command;

use serde_json::{Value, json};

use super::client::{Client, ERAS, Era};
use crate::site::{ALIAS, Site};

const CANARY: &str = "c4n4ry-Pa55word";

/// Prints what no agent should see, between two lines that it should.
fn hostile() -> String {
    let half = CANARY.split_at(7);
    let encoded = data_encoding::BASE64.encode(format!("ops:{CANARY}").as_bytes());
    format!(
        "printf 'first\\n\\033[31m{CANARY}\\033[0m \\033]0;title\\007{}\\342\\200\\256\\342\\200\\213\\363\\240\\201\\201 {encoded}\\n\
         {}\\033[1m{}\\n\\033]never ended\\nAKIAIOSFODNN7EXAMPLE\\nsafe\\rlast\\n'",
        CANARY, half.0, half.1,
    )
}

const SEEN: [&str; 4] = ["first", "safe", "last", "[redacted: secret]"];

fn check(answer: &Value) {
    let text = answer.to_string();
    for part in [
        CANARY,
        "c4n4ry",
        "YzRuNHJ5",
        "AKIAIOSFODNN7EXAMPLE",
        "\\u001b",
        "\u{202e}",
        "\u{200b}",
        "\u{e0041}",
        "title",
    ] {
        assert!(!text.contains(part), "{part:?} in {text}");
    }
}

fn site() -> Site {
    let site = Site::new();
    site.rules("  - {id: open, action: allow, shell: unrestricted, commands: [\"*\"]}\n");
    site.password(CANARY);
    site
}

#[tokio::test]
async fn no_answer_carries_what_lies_or_a_secret() {
    let site = site();
    let arguments = json!({"alias": ALIAS, "command": hostile()});
    for era in ERAS {
        let client = Client::start(&site.serve(), era).await;
        let run = client.good("ssh_run", arguments.clone()).await;
        check(&run["output"]);
        for part in SEEN {
            assert!(run["output"].as_str().unwrap().contains(part), "{part}: {run}");
        }
        let cleaned = run["cleaned"].as_str().unwrap();
        for part in [
            "escape sequences",
            "bidi",
            "invisible",
            "tag characters",
            "secret redacted",
            "aws-access-key",
        ] {
            assert!(cleaned.contains(part), "{part}: {cleaned}");
        }
        let id = &run["task_id"];
        check(&client.good("ssh_get_task_result", json!({"task_id": id})).await["output"]);
        let tail = client.good("ssh_get_task_output", json!({"task_id": id, "max_lines": 3})).await;
        check(&tail["output_lines"]);
        let total = tail["total_bytes"].as_u64().unwrap();
        for cursor in 0..total {
            for max_bytes in [7, 4096] {
                let page = json!({"task_id": id, "cursor": cursor, "max_bytes": max_bytes});
                check(&client.good("ssh_get_task_output", page).await["output_lines"]);
            }
        }
    }
}

/// A pattern that is looked for finds what may be read, so that nobody can guess a secret by asking.
#[tokio::test]
async fn a_match_finds_out_nothing_that_is_not_shown() {
    let site = site();
    let client = Client::start(&site.serve(), Era::Session).await;
    let run = client.good("ssh_run", json!({"alias": ALIAS, "command": hostile()})).await;
    let matched = async |pattern: &str| {
        let wanted = json!({"task_id": run["task_id"], "match": pattern});
        client.good("ssh_get_task_output", wanted).await
    };
    for pattern in ["c4n", "^c.n", "AKIA", "title", "\\x1b"] {
        let found = matched(pattern).await;
        assert_eq!(found["lines_matched"], 0, "{pattern}: {found}");
    }
    let found = matched("redacted: secret").await;
    assert_eq!(found["lines_matched"], 2, "{found}");
    check(&found["output_lines"]);
}

/// A secret of which only the beginning has come is not shown piece by piece.
#[tokio::test]
async fn the_beginning_of_a_secret_waits_for_the_rest() {
    let site = site();
    let client = Client::start(&site.serve(), Era::Session).await;
    let command = format!("printf 'start\n{}'; exec sleep 1000", CANARY.split_at(9).0);
    let started = client.good("ssh_run_async", json!({"alias": ALIAS, "command": command})).await;
    let id = &started["task_id"];
    let read = json!({"task_id": id, "cursor": 0, "wait_ms": 20000});
    let first = client.good("ssh_get_task_output", read).await;
    assert_eq!(first["output_lines"], json!(["start"]), "{first}");
    assert_eq!(first["next_cursor"], 6, "what is held back is read again: {first}");
    let tail = client.good("ssh_get_task_output", json!({"task_id": id})).await;
    check(&tail["output_lines"]);
    client.good("ssh_cancel", json!({"task_id": id})).await;
}

#[test]
fn a_person_sees_clean_text_and_may_ask_for_all_of_it() {
    let site = site();
    let serve = site.serve();
    let run = |words: &[&str]| {
        Command::new(&serve[0]).args(&serve[2..]).arg("run").args(words).output().unwrap()
    };
    let clean = run(&[ALIAS, &hostile()]);
    let text = String::from_utf8(clean.stdout).unwrap();
    assert!(!text.contains(CANARY) && !text.contains('\u{1b}'), "{text:?}");
    assert!(text.starts_with("first\n[redacted: secret]"), "{text:?}");
    assert!(String::from_utf8(clean.stderr).unwrap().contains("--raw shows it as it came"));
    let raw = String::from_utf8(run(&["--raw", ALIAS, &hostile()]).stdout).unwrap();
    assert!(
        raw.contains(CANARY) && raw.contains("\u{1b}[31m") && raw.contains('\u{202e}'),
        "{raw:?}"
    );
}
