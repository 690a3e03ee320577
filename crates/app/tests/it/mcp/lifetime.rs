//! Calls that overlap, calls that are given up, and the end of input.

use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::json;
use sshepherd_testkit::processes;

use super::client::{Client, ERAS, News};
use crate::site::{ALIAS, Site, TAG};

/// A word that no other process of the machine has on its command line.
fn unique(seconds: u32) -> String {
    format!("{seconds}.{}", std::process::id())
}

fn running(news: &News) -> bool {
    matches!(news, News::Progress { message, .. } if message.starts_with("running"))
}

#[tokio::test]
async fn a_slow_call_tells_its_progress_delays_nobody_and_ends_on_the_host_when_given_up() {
    let site = Site::new();
    for (era, seconds) in ERAS.into_iter().zip([41, 42]) {
        let mut client = Client::start(&site.serve(), era).await;
        let word = unique(seconds);
        let command = format!("sleep {word}");
        let slow = client.begin("ssh_run", json!({"alias": ALIAS, "command": command})).await;
        client.hear(running).await;
        let pids = processes::pids_with_argument(&word);
        assert!(!pids.is_empty(), "the command runs");
        let began = Instant::now();
        client.good("ssh_run", json!({"alias": ALIAS, "command": "echo quick"})).await;
        assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
        slow.cancel(Some("not needed any more".to_owned())).await.unwrap();
        for pid in pids {
            assert!(processes::wait_gone(pid, Duration::from_secs(10)), "{pid} outlived its call");
        }
    }
}

#[tokio::test]
async fn a_fan_out_counts_its_hosts() {
    let site = Site::new();
    let mut client = Client::start(&site.serve(), ERAS[1]).await;
    let call = client.begin("ssh_run_on_tag", json!({"tag": TAG, "command": "echo hello"})).await;
    client
        .hear(|news| matches!(news, News::Progress { done, message } if *done >= 2.0 && message.contains("2 of 2")))
        .await;
    call.await_response().await.unwrap();
}

/// The server ends what runs and exits, though the client said nothing but the end of input.
#[test]
fn the_end_of_input_ends_the_command_and_the_server() {
    let site = Site::new();
    let serve = site.serve();
    let mut child = Command::new(&serve[0])
        .args(&serve[1..])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let word = unique(43);
    let call = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {
        "name": "ssh_run",
        "arguments": {"alias": ALIAS, "command": format!("sleep {word}")},
        "_meta": {
            "progressToken": "t",
            "io.modelcontextprotocol/protocolVersion": "2026-07-28",
            "io.modelcontextprotocol/clientInfo": {"name": "test", "version": "1"},
            "io.modelcontextprotocol/clientCapabilities": {},
        },
    }});
    let mut stdin = child.stdin.take().unwrap();
    writeln!(stdin, "{call}").unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    lines.find(|line| line.as_ref().unwrap().contains("running: ")).expect("progress").unwrap();
    let pids = processes::pids_with_argument(&word);
    assert!(!pids.is_empty(), "the command runs");
    let began = Instant::now();
    drop(stdin);
    let last = lines.last().expect("an answer to the call").unwrap();
    assert!(child.wait().unwrap().success());
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    assert!(last.contains(r#""status":"cancelled""#), "{last}");
    for pid in pids {
        assert!(processes::wait_gone(pid, Duration::from_secs(5)), "{pid} outlived the server");
    }
}

#[tokio::test]
async fn too_much_and_a_host_that_is_down_are_told_with_a_time() {
    let site = Site::new();
    site.rules(
        "  - {id: plain, action: allow, commands: [\"true\"]}\nlimits: {max_per_minute: 2}\n",
    );
    site.write("sshepherd.yml", "limits: {breaker: {failures: 2, seconds: 300}}\n");
    site.unreachable("down");
    let client = Client::start(&site.serve(), ERAS[1]).await;
    let call = |alias: &str| json!({"alias": alias, "command": "true"});
    for _ in 0..2 {
        client.good("ssh_run", call(ALIAS)).await;
    }
    let third = client.bad("ssh_run", call(ALIAS)).await;
    assert!(third["error"].as_str().unwrap().contains("takes 2 commands a minute"), "{third}");
    let wait = third["retry_after_seconds"].as_u64().unwrap();
    assert!((1..=30).contains(&wait), "{third}");
    for _ in 0..2 {
        let down = client.bad("ssh_run", call("down")).await;
        assert_eq!(down["status"], "could_not_connect", "{down}");
    }
    let open = client.bad("ssh_run", call("down")).await;
    assert!(open["error"].as_str().unwrap().contains("down is not tried for now"), "{open}");
    assert!(open["retry_after_seconds"].as_u64().unwrap() > 200, "{open}");
    let described = client.good("ssh_describe_host", json!({"alias": "down"})).await;
    assert!(
        described["circuit"].as_str().unwrap().starts_with("open: not tried for another"),
        "{described}"
    );
    let described = client.good("ssh_describe_host", json!({"alias": ALIAS})).await;
    assert_eq!(described.get("circuit"), None, "{described}");
}
