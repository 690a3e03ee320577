//! What a person must say yes to: through the client in both eras, on the command line, once, and for exactly what was shown.

use std::process::Command;

use serde_json::{Value, json};

use super::client::{Client, ERAS, Era, News, Person};
use crate::site::{ALIAS, Site, TAG};

const ASKED: &str = "echo asked";

fn site(approval: &str) -> Site {
    let site = Site::new();
    site.rules(&format!(
        "  - {{id: plain, action: allow, commands: [\"true\"]}}\n  - {{id: loud, why: it speaks, action: ask, \
         approval: {approval}, commands: [\"echo *\"]}}\n"
    ));
    site
}

fn call() -> Value {
    json!({"alias": ALIAS, "command": ASKED})
}

/// Runs `sshepherd approvals …` over the same folders.
fn approvals(site: &Site, words: &[&str]) -> (Option<i32>, Value) {
    let serve = site.serve();
    let output = Command::new(&serve[0])
        .args(&serve[2..])
        .args(["--json", "approvals"])
        .args(words)
        .output()
        .unwrap();
    let document = serde_json::from_slice(&output.stdout).unwrap_or(Value::Null);
    (output.status.code(), document)
}

#[tokio::test]
async fn a_person_is_asked_through_the_client_in_both_eras() {
    let site = site("{for: once}");
    for era in ERAS {
        for tool in ["ssh_run", "ssh_run_async"] {
            let mut client = Client::start_for(&site.serve(), era, Some(Person::TicksTheBox)).await;
            let answer = client.good(tool, call()).await;
            assert!(answer["task_id"].is_string(), "{answer}");
            let asked = client.hear(|news| matches!(news, News::Asked(_))).await;
            let (user, port) = (site.server().user(), site.server().port());
            let shown = format!(
                "Run on {ALIAS}:\nas {user}@127.0.0.1:{port}\n  {ASKED}\nrule loud: it speaks\nA yes holds once."
            );
            assert_eq!(asked, News::Asked(shown), "{era:?} {tool}");
        }
        for person in [Person::Declines, Person::AcceptsWithoutTicking] {
            let client = Client::start_for(&site.serve(), era, Some(person)).await;
            let answer = client.bad("ssh_run", call()).await;
            assert_eq!(
                (&answer["status"], &answer["reason"]),
                (&json!("denied"), &json!("person")),
                "{era:?} {person:?}"
            );
        }
    }
}

#[tokio::test]
async fn one_yes_covers_a_fan_out_and_shows_its_size() {
    let site = site("{for: once}");
    for era in ERAS {
        let mut client = Client::start_for(&site.serve(), era, Some(Person::TicksTheBox)).await;
        let answer = client.good("ssh_run_on_tag", json!({"tag": TAG, "command": ASKED})).await;
        assert_eq!(answer["summary"]["completed"], 2, "{answer}");
        let News::Asked(shown) = client.hear(|news| matches!(news, News::Asked(_))).await else {
            panic!()
        };
        assert!(shown.starts_with("Run on box.one, box.two:\n"), "{shown}");
    }
}

#[tokio::test]
async fn without_a_form_the_command_line_settles_it_once_and_for_exactly_that() {
    let site = site("{for: once}");
    for (era, person) in
        [(Era::Session, None), (Era::Stateless, None), (Era::Stateless, Some(Person::PutsItAway))]
    {
        let client = Client::start_for(&site.serve(), era, person).await;
        if person.is_none() {
            let first = client.bad("ssh_run", call()).await;
            assert_eq!(first["status"], "approval_required", "{first}");
            let again = client.bad("ssh_run", call()).await;
            assert_eq!(again["approval_id"], first["approval_id"], "one question while it is open");
            let id = first["approval_id"].as_str().unwrap();
            let (_, list) = approvals(&site, &["list"]);
            let shown = &list["approvals"][0];
            assert_eq!(
                (&shown["id"], &shown["about"]["command"]),
                (&json!(id), &json!(ASKED)),
                "{list}"
            );
            assert_eq!(approvals(&site, &["approve", id, "--yes"]).0, Some(0));
            assert_eq!(approvals(&site, &["deny", id]).0, Some(1), "answered already");
            for other in [
                json!({"alias": ALIAS, "command": "echo other"}),
                json!({"alias": "box.two", "command": ASKED}),
            ] {
                let other = client.bad("ssh_run", other).await;
                assert_eq!(
                    other["status"], "approval_required",
                    "a yes is for what was shown: {other}"
                );
                assert_eq!(
                    approvals(&site, &["deny", other["approval_id"].as_str().unwrap()]).0,
                    Some(0)
                );
            }
            let ran = client.good("ssh_run", call()).await;
            assert_eq!(ran["output"], "asked\n", "{ran}");
            let replay = client.bad("ssh_run", call()).await;
            assert_eq!(replay["status"], "approval_required", "used once");
            assert_eq!(
                approvals(&site, &["deny", replay["approval_id"].as_str().unwrap()]).0,
                Some(0)
            );
        } else {
            let open = client
                .running
                .call_tool_once(super::client::params("ssh_run", call()))
                .await
                .unwrap();
            assert!(format!("{open:?}").contains("InputRequired"), "{open:?}");
        }
    }
    assert_eq!(approvals(&site, &["approve", "ask-none", "--yes"]).0, Some(2));
}

#[tokio::test]
async fn a_policy_that_changed_makes_a_yes_void() {
    let site = site("{for: 10m}");
    let client = Client::start(&site.serve(), Era::Session).await;
    let first = client.bad("ssh_run", call()).await;
    assert_eq!(
        approvals(&site, &["approve", first["approval_id"].as_str().unwrap(), "--yes"]).0,
        Some(0)
    );
    for _ in 0..2 {
        client.good("ssh_run", call()).await;
    }
    site.rules("  - {id: louder, action: ask, commands: [\"echo *\"]}\n");
    client.good("ssh_reload_config", json!({})).await;
    assert_eq!(client.bad("ssh_run", call()).await["status"], "approval_required");
}

#[tokio::test]
async fn an_owner_may_want_the_answer_out_of_band_or_from_some_people_only() {
    for approval in ["{out_of_band: true}", "{by: [nobody-of-this-name]}"] {
        let site = site(approval);
        for era in ERAS {
            let client = Client::start_for(&site.serve(), era, Some(Person::TicksTheBox)).await;
            let answer = client.bad("ssh_run", call()).await;
            assert_eq!(answer["status"], "approval_required", "{approval} {era:?}: {answer}");
            let id = answer["approval_id"].as_str().unwrap();
            // A client that answers unasked.
            let forged = json!({id: {"action": "accept", "content": {"approve": true}}});
            let params = super::client::params("ssh_run", call())
                .with_input_responses(serde_json::from_value(forged).unwrap());
            let forged = client.running.call_tool(params).await.unwrap();
            assert_eq!(forged.structured_content.unwrap()["status"], "approval_required");
            let wanted = if approval.contains("by") { Some(3) } else { Some(0) };
            assert_eq!(approvals(&site, &["approve", id, "--yes"]).0, wanted, "{approval}");
            if wanted == Some(0) {
                client.good("ssh_run", call()).await;
            }
        }
    }
}

#[tokio::test]
async fn a_policy_that_only_watches_says_so_in_every_answer() {
    let site = Site::new();
    site.rules("  - {id: plain, action: allow, commands: [\"true\"]}\nenforcement: audit\n");
    let client = Client::start(&site.serve(), Era::Session).await;
    let ran = client.good("ssh_run", json!({"alias": ALIAS, "command": "echo $((40 + 2))"})).await;
    assert_eq!((&ran["output"], &ran["enforcement"]), (&json!("42\n"), &json!("audit")), "{ran}");
    let plan = client.good("ssh_plan", json!({"alias": ALIAS, "command": "id"})).await;
    assert_eq!((&plan["allowed"], &plan["not_enforced"]), (&json!(true), &json!(true)), "{plan}");
}
