//! How shells end: by their limits, with their connection, with their server; and what goes on in another one.

use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use sshepherd_testkit::{FaultProxy, processes};

use super::client::{Client, Era};
use super::programs::Shell;
use crate::site::{ALIAS, Site};

const OPEN: &str = "  - {id: shells, shells: allow, persistent: true}\n";
const SOON: Duration = Duration::from_secs(10);

fn site(limits: &str) -> Site {
    let site = Site::new();
    site.rules(&format!("{OPEN}limits: {{{limits}}}\n"));
    site
}

async fn start(site: &Site) -> Client {
    Client::start(&site.serve(), Era::Session).await
}

/// The server that serves this site; there is one.
fn server(site: &Site) -> u32 {
    let servers = processes::pids_with_argument(site.path("state").to_str().unwrap());
    assert_eq!(servers.len(), 1, "{servers:?}");
    servers[0]
}

fn signal(name: &str, pid: u32) {
    assert!(Command::new("kill").args([name, &pid.to_string()]).status().unwrap().success());
}

/// A program in a shell that says its process id.
async fn started(shell: &Shell<'_>, line: &str) -> u32 {
    let said = shell.line(line, r"\npid \d+\n").await;
    said.lines().rev().find_map(|line| line.strip_prefix("pid ")).unwrap().parse().unwrap()
}

async fn kept(client: &Client) -> Shell<'_> {
    let arguments = json!({"alias": ALIAS, "persistent": true, "command": "sh", "timeout": 20000});
    Shell::opened(client, arguments).await
}

#[tokio::test]
async fn a_plain_shell_ends_with_its_connection_and_its_output_stays() {
    let site = site("");
    let proxy = FaultProxy::start(site.server().address());
    site.reached_at(proxy.port());
    let client = start(&site).await;
    let shell = Shell::open(&client, None).await;
    shell.line("echo before the cut", r"\nbefore the cut\n").await;
    let waiting = client
        .begin(
            "ssh_read_output",
            json!({"session_id": shell.id, "wait_for": "never", "timeout": 45000}),
        )
        .await;
    // The reader waits by the time that this has come back.
    shell.line("echo wai''ts", r"waits\n").await;
    let began = Instant::now();
    proxy.cut();
    let answer = serde_json::to_value(waiting.await_response().await.unwrap()).unwrap();
    let answer = &answer["structuredContent"];
    assert!(began.elapsed() < SOON, "{:?}", began.elapsed());
    assert_eq!(
        (&answer["ended_by"], &answer["status"]),
        (&json!("closed"), &json!("ended")),
        "{answer}"
    );
    assert!(answer["why"].as_str().unwrap().contains("connection"), "{answer}");
    let past = shell.read(json!({"cursor": 0, "timeout": 0})).await;
    assert!(past["output"].as_str().unwrap().contains("before the cut"), "{past}");
    let answer = client.bad("ssh_send_input", json!({"session_id": shell.id, "text": "x"})).await;
    assert!(answer["error"].as_str().unwrap().contains("has ended"), "{answer}");
}

#[tokio::test]
async fn a_persistent_shell_is_detached_by_a_cut_and_the_next_call_connects_again() {
    // Idle for longer than the limit while nobody was connected is not held against it.
    let site = site("shell_idle_seconds: 4");
    let proxy = FaultProxy::start(site.server().address());
    site.reached_at(proxy.port());
    let client = start(&site).await;
    let shell = kept(&client).await;
    shell.line("kept=yes; echo $kept$$", r"yes\d+").await;
    let waiting = client
        .begin(
            "ssh_read_output",
            json!({"session_id": shell.id, "wait_for": "never", "timeout": 45000}),
        )
        .await;
    // The reader waits by the time that this has come back.
    shell.line("echo wai''ts", r"waits\n").await;
    let began = Instant::now();
    proxy.cut();
    let answer = serde_json::to_value(waiting.await_response().await.unwrap()).unwrap();
    let answer = &answer["structuredContent"];
    assert!(began.elapsed() < SOON, "{:?}", began.elapsed());
    assert_eq!(
        (&answer["ended_by"], &answer["status"]),
        (&json!("closed"), &json!("detached")),
        "{answer}"
    );
    proxy.refuse();
    let down = client.bad("ssh_send_input", json!({"session_id": shell.id, "text": "x"})).await;
    assert!(!down["error"].as_str().unwrap().contains("has ended"), "{down}");
    proxy.admit();
    // The limit of time itself is what has to pass.
    tokio::time::sleep(Duration::from_millis(4500)).await;
    shell.line("echo again-$kept", "again-yes").await;
    let past = shell.read(json!({"cursor": 0, "timeout": 0})).await;
    assert!(past["output"].as_str().unwrap().contains("kept=yes"), "what came before: {past}");
    shell.close().await;
}

#[tokio::test]
async fn a_cut_while_it_connects_again_ends_nothing() {
    let site = site("");
    let proxy = FaultProxy::start(site.server().address());
    site.reached_at(proxy.port());
    let client = start(&site).await;
    let shell = kept(&client).await;
    shell.line("kept=yes; echo $kept$$", r"yes\d+").await;
    for _ in 0..3 {
        proxy.cut();
        proxy.all_closed().await;
        let before = proxy.connections();
        let again =
            client.begin("ssh_send_input", json!({"session_id": shell.id, "text": ""})).await;
        let deadline = Instant::now() + SOON;
        while proxy.connections() == before && Instant::now() < deadline {
            tokio::task::yield_now().await;
        }
        proxy.cut();
        let _ = again.await_response().await;
        let list = client.good("ssh_list_shells", json!({})).await;
        assert_ne!(list["shells"][0]["status"], "ended", "{list}");
    }
    shell.line("echo again-$kept", "again-yes").await;
    shell.close().await;
}

#[tokio::test]
async fn limits_of_time_end_a_shell_and_say_so() {
    let idle = site("shell_idle_seconds: 1");
    let client = start(&idle).await;
    let shell = Shell::open(&client, Some("cat")).await;
    // Whoever waits uses it: the limit counts from the end of the wait.
    let answer = shell.read(json!({"wait_for": "never", "timeout": 2500})).await;
    assert_eq!(answer["ended_by"], "timeout", "{answer}");
    let list = until_ended(&client).await;
    assert_eq!(list["shells"][0]["why"], "nobody used it for 1 s", "{list}");
    let short = site("shell_max_seconds: 1");
    let client = start(&short).await;
    let arguments = json!({"alias": ALIAS, "command": "cat", "timeout": 0});
    let shell = Shell::opened(&client, arguments).await;
    let answer = shell.read(json!({"wait_for": "never", "timeout": 20000})).await;
    assert_eq!(
        (&answer["ended_by"], &answer["why"]),
        (&json!("closed"), &json!("it was open for 1 s")),
        "{answer}"
    );
}

async fn until_ended(client: &Client) -> Value {
    let deadline = Instant::now() + 2 * SOON;
    loop {
        let list = client.good("ssh_list_shells", json!({})).await;
        if list["shells"][0]["status"] == "ended" {
            return list;
        }
        assert!(Instant::now() < deadline, "{list}");
        // Asking is no use of the shell.
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn limits_of_bytes_are_kept() {
    let site = site("shell_max_input_bytes: 1024, shell_max_output_bytes: 1048576");
    let client = start(&site).await;
    let shell = Shell::open(&client, None).await;
    let typed = json!({"session_id": shell.id, "text": "#".repeat(1025)});
    let answer = client.bad("ssh_send_input", typed).await;
    assert!(answer["error"].as_str().unwrap().contains("0 of 1024 bytes"), "{answer}");
    let answer = shell.send(json!({"text": "yes\n", "wait_for": "never"})).await;
    assert_eq!(
        (&answer["ended_by"], &answer["status"]),
        (&json!("closed"), &json!("ended")),
        "{answer}"
    );
    assert_eq!(answer["why"], "it wrote more than 1048576 bytes", "{answer}");
}

#[tokio::test]
async fn of_many_that_are_opened_at_once_no_more_than_the_limit_are() {
    let site = site("max_shells: 2");
    let client = start(&site).await;
    let mut calls = Vec::new();
    for _ in 0..12 {
        let arguments = json!({"alias": ALIAS, "command": "cat", "timeout": 0});
        calls.push(client.begin("ssh_open_shell", arguments).await);
    }
    let mut opened = 0;
    for call in calls {
        let answer = serde_json::to_value(call.await_response().await.unwrap()).unwrap();
        opened += usize::from(answer["structuredContent"]["session_id"].is_string());
    }
    assert_eq!(opened, 2);
}

#[tokio::test]
async fn a_key_reaches_a_program_that_another_call_waits_for() {
    let site = site("");
    let client = start(&site).await;
    let shell = Shell::open(&client, None).await;
    let line = "sh -c 'echo going; exec sleep 600'\n";
    let typed = json!({"session_id": shell.id, "text": line, "wait_prompt": true, "timeout": 45000, "clear_buffer": false});
    let waiting = client.begin("ssh_send_input", typed).await;
    shell.read(json!({"wait_for": "\\ngoing\\n", "clear_buffer": false})).await;
    let began = Instant::now();
    shell.send(json!({"keys": ["Ctrl-C"], "wait_prompt": true})).await;
    let answer = serde_json::to_value(waiting.await_response().await.unwrap()).unwrap();
    assert!(began.elapsed() < SOON, "{:?}", began.elapsed());
    assert_eq!(answer["structuredContent"]["exit_status"], 130, "{answer}");
}

/// An interactive shell heeds no TERM; it is not waited for until it is killed.
#[tokio::test]
async fn a_shell_at_its_prompt_is_closed_at_once() {
    let site = site("");
    let client = start(&site).await;
    let shell = Shell::open(&client, Some("bash --norc -i")).await;
    let file = site.path("left");
    shell
        .line(&format!("trap 'echo hup >{}' EXIT; echo tr''apped", file.display()), "trapped")
        .await;
    shell.close().await;
    // A terminal that is closed under it lets bash read the end of its input before the kernel's HUP, which kills it in its trap.
    assert_eq!(std::fs::read_to_string(file).unwrap(), "hup\n");
}

#[tokio::test]
async fn closing_wakes_who_waits() {
    let site = site("");
    let client = start(&site).await;
    let shell = Shell::open(&client, Some("cat")).await;
    let wait = json!({"session_id": shell.id, "wait_for": "never", "timeout": 45000});
    let readers = [
        client.begin("ssh_read_output", wait.clone()).await,
        client.begin("ssh_read_output", wait).await,
    ];
    let began = Instant::now();
    shell.close().await;
    for reader in readers {
        let answer = serde_json::to_value(reader.await_response().await.unwrap()).unwrap();
        let answer = &answer["structuredContent"];
        let closed = answer["ended_by"] == "closed" || answer["error"].is_string();
        assert!(closed, "{answer}");
    }
    assert!(began.elapsed() < SOON, "{:?}", began.elapsed());
}

#[tokio::test]
async fn a_server_that_is_asked_to_end_ends_plain_shells_and_leaves_persistent_ones() {
    for by_signal in [false, true] {
        let site = site("");
        site.write("sshepherd.yml", "audit: {path: audit.jsonl}\n");
        let client = start(&site).await;
        let plain = Shell::open(&client, None).await;
        let pid =
            started(&plain, "sh -c 'trap \"\" HUP; echo pid $$; while :; do sleep 1; done'").await;
        let shell = kept(&client).await;
        shell.line("kept=yes; echo $kept$$", r"yes\d+").await;
        let (plain, id) = (plain.id, shell.id);
        // A reader of the one that goes on does not hold the end up.
        let wait = json!({"session_id": id, "wait_for": "never", "timeout": 45000});
        let reader = client.begin("ssh_read_output", wait).await;
        let server = server(&site);
        let began = Instant::now();
        if by_signal {
            signal("-TERM", server);
        } else {
            client.running.cancel().await.unwrap();
        }
        assert!(processes::wait_gone(server, 2 * SOON), "the server is still there");
        assert!(began.elapsed() < 2 * SOON, "{:?}", began.elapsed());
        drop(reader);
        assert!(processes::wait_gone(pid, SOON), "{pid} outlived its server");
        let audit = std::fs::read_to_string(site.path("audit.jsonl")).unwrap();
        let ends: Vec<Value> = audit
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .filter(|record: &Value| record["event"] == "shell_ended")
            .collect();
        assert_eq!(ends.len(), 1, "{audit}");
        assert_eq!(
            (&ends[0]["session_id"], &ends[0]["stopped"], &ends[0]["reason"]),
            (&json!(plain), &json!("confirmed"), &json!("its server ended")),
            "{audit}"
        );
        let client = start(&site).await;
        let shell = Shell::of(&client, &id);
        shell.line("echo again-$kept", "again-yes").await;
        shell.close().await;
    }
}

#[tokio::test]
async fn a_killed_server_leaves_of_plain_shells_only_what_does_not_heed_a_hang_up() {
    let site = site("");
    let client = start(&site).await;
    let shell = Shell::open(&client, None).await;
    let word = format!("600.{}", std::process::id());
    let deaf = started(&shell, &format!("nohup sleep {word} >/dev/null 2>&1 & echo pid $!")).await;
    let plain = started(&shell, "sh -c 'echo pid $$; exec sleep 600'").await;
    let server = server(&site);
    signal("-9", server);
    assert!(processes::wait_gone(server, SOON));
    assert!(processes::wait_gone(plain, SOON), "sshd hangs up on what is in the foreground");
    assert!(processes::alive(deaf), "nohup is what it is for");
    signal("-9", deaf);
    let client = start(&site).await;
    let list = client.good("ssh_list_shells", json!({})).await;
    assert_eq!(
        (&list["shells"][0]["status"], &list["shells"][0]["why"]),
        (&json!("ended"), &json!("its server ended")),
        "{list}"
    );
}
