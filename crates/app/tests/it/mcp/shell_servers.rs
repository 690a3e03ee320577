//! Shells that several servers know, and policies that change around them.

use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use sshepherd_testkit::{FaultProxy, processes};

use super::client::{Client, Era, News, Person};
use super::programs::Shell;
use crate::site::{ALIAS, Site};

const OPEN: &str = "  - {id: shells, shells: allow, persistent: true}\n";

fn persistent() -> Value {
    json!({"alias": ALIAS, "persistent": true, "command": "sh", "timeout": 20000})
}

async fn start(site: &Site) -> Client {
    Client::start(&site.serve(), Era::Session).await
}

/// Ends the one server of a site at once.
pub(crate) fn kill_server(site: &Site) {
    let servers = processes::pids_with_argument(site.path("state").to_str().unwrap());
    assert_eq!(servers.len(), 1, "{servers:?}");
    processes::kill(servers[0]);
    assert!(processes::wait_gone(servers[0], Duration::from_secs(10)));
}

#[tokio::test]
async fn a_shell_of_another_server_is_elsewhere() {
    let site = Site::new();
    site.rules(OPEN);
    let (one, two) = (start(&site).await, start(&site).await);
    let shell = Shell::opened(&one, persistent()).await;
    let list = two.good("ssh_list_shells", json!({})).await;
    assert_eq!(list["shells"][0]["status"], "elsewhere", "{list}");
    for (tool, arguments) in [
        ("ssh_read_output", json!({"session_id": shell.id})),
        ("ssh_send_input", json!({"session_id": shell.id, "text": "x"})),
        ("ssh_close_shell", json!({"session_id": shell.id})),
    ] {
        let answer = two.bad(tool, arguments).await;
        assert!(answer["error"].as_str().unwrap().contains("another server"), "{tool}: {answer}");
    }
    shell.close().await;
}

#[tokio::test]
async fn of_two_servers_that_want_a_detached_shell_one_gets_it() {
    let site = Site::new();
    site.rules(OPEN);
    let first = start(&site).await;
    let id = Shell::opened(&first, persistent()).await.id;
    kill_server(&site);
    let (one, two) = (start(&site).await, start(&site).await);
    let typed =
        json!({"session_id": id, "text": "echo $((6 * 7))\n", "wait_for": "42", "timeout": 20000});
    let (a, b) =
        tokio::join!(one.call("ssh_send_input", typed.clone()), two.call("ssh_send_input", typed));
    let (won, lost) = match (a, b) {
        ((won, false), (lost, true)) | ((lost, true), (won, false)) => (won, lost),
        other => panic!("{other:?}"),
    };
    assert_eq!(won["ended_by"], "match", "{won}");
    assert!(lost["error"].as_str().unwrap().contains("another server"), "{lost}");
    for client in [one, two] {
        client.call("ssh_close_shell", json!({"session_id": id})).await;
    }
}

#[tokio::test]
async fn a_policy_that_no_longer_opens_it_keeps_everyone_from_connecting_again() {
    let site = Site::new();
    let proxy = FaultProxy::start(site.server().address());
    site.rules(OPEN);
    site.reached_at(proxy.port());
    let client = start(&site).await;
    let shell = Shell::opened(&client, persistent()).await;
    shell.line("kept=yes; echo $kept$$", r"yes\d+").await;
    proxy.cut();
    until_detached(&client).await;
    // In the same server, then in one that claims it.
    site.rules("  - {id: none, action: allow, commands: [\"true\"]}\n");
    client.good("ssh_reload_config", json!({})).await;
    let id = shell.id.clone();
    let answer = client.bad("ssh_send_input", json!({"session_id": id, "text": "x"})).await;
    assert!(answer["error"].as_str().unwrap().contains("no rule opens"), "{answer}");
    kill_server(&site);
    let other = start(&site).await;
    let refused = other.call("ssh_send_input", json!({"session_id": id, "text": "x"})).await;
    assert!(refused.1, "{refused:?}");
    // With its rule it is there again, with all that was in it.
    site.rules(OPEN);
    other.good("ssh_reload_config", json!({})).await;
    let shell = Shell::of(&other, &id);
    shell.line("echo again-$kept", "again-yes").await;
    // At another address it is another machine's.
    kill_server(&site);
    site.reached_at(site.server().port());
    let moved = start(&site).await;
    let answer = moved.bad("ssh_send_input", json!({"session_id": id, "text": "x"})).await;
    assert!(answer["error"].as_str().unwrap().contains("was opened at"), "{answer}");
    kill_server(&site);
    site.reached_at(proxy.port());
    let last = start(&site).await;
    Shell::of(&last, &id).close().await;
}

/// Listing connects to nothing.
async fn until_detached(client: &Client) {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let list = client.good("ssh_list_shells", json!({})).await;
        if list["shells"][0]["status"] == "detached" {
            return;
        }
        assert!(Instant::now() < deadline, "{list}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Runs `sshepherd approvals …` over the same folders.
fn approve(site: &Site, id: &Value) {
    let serve = site.serve();
    let status = Command::new(&serve[0])
        .args(&serve[2..])
        .args(["approvals", "approve", id.as_str().unwrap(), "--yes"])
        .status()
        .unwrap();
    assert!(status.success());
}

fn asking() -> Site {
    let site = Site::new();
    site.rules(
        "  - {id: lab, why: they may, shells: ask, persistent: true}\n  - {id: loud, action: ask, commands: [\"cat\"]}\n",
    );
    site
}

#[tokio::test]
async fn a_person_is_asked_about_a_shell_through_the_client() {
    let site = asking();
    for person in [Person::TicksTheBox, Person::Declines] {
        let mut client = Client::start_for(&site.serve(), Era::Session, Some(person)).await;
        let (answer, failed) =
            client.call("ssh_open_shell", json!({"alias": ALIAS, "timeout": 0})).await;
        assert_eq!(failed, person == Person::Declines, "{answer}");
        let News::Asked(shown) = client.hear(|news| matches!(news, News::Asked(_))).await else {
            panic!()
        };
        assert!(shown.contains("interactive shell: the log-in shell"), "{shown}");
        assert!(shown.contains("not judged") && shown.contains("they may"), "{shown}");
    }
}

#[tokio::test]
async fn a_yes_for_a_shell_is_no_yes_for_a_command_and_the_other_way_round() {
    let site = asking();
    let client = start(&site).await;
    let command = json!({"alias": ALIAS, "command": "cat", "timeout": 0});
    let run = json!({"alias": ALIAS, "command": "cat"});
    let first = client.bad("ssh_open_shell", command.clone()).await;
    assert_eq!(first["status"], "approval_required", "{first}");
    approve(&site, &first["approval_id"]);
    let other = client.bad("ssh_run", run.clone()).await;
    assert_eq!(other["status"], "approval_required", "{other}");
    for different in [
        json!({"alias": ALIAS}),
        json!({"alias": ALIAS, "command": "cat", "persistent": true}),
        json!({"alias": "box.two", "command": "cat"}),
    ] {
        let answer = client.bad("ssh_open_shell", different).await;
        assert_eq!(answer["status"], "approval_required", "{answer}");
    }
    approve(&site, &other["approval_id"]);
    client.good("ssh_open_shell", command.clone()).await;
    let again = client.bad("ssh_open_shell", command).await;
    assert_eq!(
        again["status"], "approval_required",
        "a yes opens one, and the command's none: {again}"
    );
    client.good("ssh_run", run).await;
}
