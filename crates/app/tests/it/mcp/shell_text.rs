//! What of a terminal's bytes comes to a reader: characters, line ends, pastes, much of it, and never a secret.

use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use sshepherd_testkit::processes;

use super::client::{Client, Era};
use super::programs::Shell;
use crate::site::{ALIAS, Site};

const OPEN: &str = "  - {id: shells, shells: allow, persistent: true}\n";

async fn site() -> (Site, Client) {
    let site = Site::new();
    site.rules(OPEN);
    let client = Client::start(&site.serve(), Era::Session).await;
    (site, client)
}

/// A shell that shows nothing of what is typed.
async fn mute(client: &Client) -> Shell<'_> {
    let arguments = json!({"alias": ALIAS, "command": "sh", "timeout": 500});
    let shell = Shell::opened(client, arguments).await;
    shell.line("PS1= PS2=; stty -echo; echo re''ady", r"(?m)^ready\n").await;
    shell
}

fn text(answer: &Value) -> &str {
    answer["output"].as_str().unwrap_or_else(|| panic!("{answer}"))
}

#[tokio::test]
async fn what_matched_is_in_the_answer_that_says_so_at_once() {
    let (_site, client) = site().await;
    let shell =
        Shell::opened(&client, json!({"alias": ALIAS, "command": "cat", "timeout": 0})).await;
    for letter in ["x", "y", "z"] {
        let answer = shell.send(json!({"text": letter, "wait_for": format!("{letter}$")})).await;
        assert_eq!((&answer["ended_by"], text(&answer)), (&json!("match"), letter), "{answer}");
    }
    shell.close().await;
}

#[tokio::test]
async fn a_character_that_comes_in_pieces_is_one() {
    let (_site, client) = site().await;
    let shell = mute(&client).await;
    let drip = r"printf '\342'; sleep 0.1; printf '\202'; sleep 0.1; printf '\254.done\n'";
    let mut all = text(&shell.send(json!({"text": format!("{drip}\n")})).await).to_owned();
    let deadline = Instant::now() + Duration::from_secs(20);
    while !all.contains("done") && Instant::now() < deadline {
        all.push_str(text(&shell.read(json!({"timeout": 2000})).await));
    }
    // A byte that waits for longer than output pauses is shown as what it is: no character.
    assert!(all.ends_with(".done\n") && !all.contains("\u{82}"), "{all:?}");
    let answer = shell
        .send(json!({"text": "printf 'äöü 漢字 😀\\n'; echo end\n", "wait_for": "end\\n"}))
        .await;
    assert_eq!(text(&answer), "äöü 漢字 😀\nend\n");
    // However small the pieces that it is read in.
    let (mut at, mut pieces) = (answer["cursor"].as_u64().unwrap() - 32, String::new());
    let whole = shell.read(json!({"cursor": at, "timeout": 0})).await;
    while at < answer["cursor"].as_u64().unwrap() {
        let piece = shell.read(json!({"cursor": at, "timeout": 0, "max_bytes": 1})).await;
        let next = piece["cursor"].as_u64().unwrap();
        assert!(next > at, "{piece}");
        pieces.push_str(text(&piece));
        at = next;
    }
    assert_eq!(pieces, text(&whole));
    shell.close().await;
}

#[tokio::test]
async fn wide_characters_line_ends_and_other_bytes_are_shown() {
    let (_site, client) = site().await;
    let shell = mute(&client).await;
    shell.line(r"printf '\033[2J\033[H漢字|\r\nold\rnew\n'; echo e''nd", "end\n").await;
    let shown = shell.screen_when(|shown| shown.contains("end")).await;
    assert_eq!(shown, "漢字|\nnew\nend");
    let answer = shell.line(r"printf '\377\200 a\000b\007c\n'; echo e''nd", "end\n").await;
    assert_eq!(answer, "\u{fffd}\u{fffd} abc\nend\n");
    shell.close().await;
}

#[tokio::test]
async fn a_paste_is_one_text_for_programs_that_know_pastes() {
    let (_site, client) = site().await;
    let bash = Shell::open(&client, Some("bash --norc -i")).await;
    bash.line("bind 'set enable-bracketed-paste on'; echo b''ound", "bound\\n").await;
    bash.send(json!({"keys": ["Enter"], "wait_quiet_ms": 300})).await;
    // Nothing of it runs before Enter is pressed.
    let pasted =
        json!({"paste": "echo fi''rst\necho sec''ond\n\u{1b}[201~\u{3}", "wait_quiet_ms": 500});
    let answer = bash.send(pasted).await;
    assert!(!text(&answer).contains("first\n"), "{answer}");
    let answer = bash.send(json!({"keys": ["Enter"], "wait_for": r"\nfirst\nsecond\n"})).await;
    assert_eq!(answer["ended_by"], "match", "{answer}");
    bash.close().await;
    let python = Shell::open(&client, Some("python3 -q")).await;
    let block = json!({"paste": "for n in (1, 2):\n    print('n', n)\n", "wait_quiet_ms": 300});
    python.send(block).await;
    let answer = python.send(json!({"keys": ["Enter", "Enter"], "wait_for": r"n 1\nn 2\n"})).await;
    assert_eq!(answer["ended_by"], "match", "{answer}");
    python.close().await;
}

#[tokio::test]
async fn an_answer_keeps_to_its_bytes_however_badly_they_are_written() {
    let (_site, client) = site().await;
    let shell = mute(&client).await;
    // JSON doubles quotes, and each byte that is no character becomes three.
    let lines = r#"i=0; while [ $i -lt 3000 ]; do printf '"\\\\"\377\377\377\n'; i=$((i+1)); done; echo e''nd"#;
    let typed = json!({"text": format!("{lines}\n"), "clear_buffer": false, "wait_for": "end\\n"});
    let answer = shell.send(typed).await;
    assert_eq!(answer["ended_by"], "match", "{answer}");
    let (mut all, mut last) = (String::new(), 0);
    loop {
        let answer = shell.read(json!({"timeout": 0})).await;
        let size = answer.to_string().len();
        assert!(size <= 8192, "{size} bytes");
        all.push_str(text(&answer));
        let cursor = answer["cursor"].as_u64().unwrap();
        let Some(left) = answer["unread_bytes"].as_u64() else { break };
        assert!(cursor > last && size > 4096, "{size} bytes, {left} left");
        last = cursor;
    }
    let line = "\"\\\\\"\u{fffd}\u{fffd}\u{fffd}\n";
    assert_eq!(all, line.repeat(3000) + "end\n");
    shell.close().await;
}

#[tokio::test]
async fn two_readers_share_what_comes_and_nothing_is_lost() {
    let (_site, client) = site().await;
    let shell = mute(&client).await;
    shell.send(json!({"text": "seq 1 20000; echo e''nd\n", "timeout": 0, "clear_buffer": false, "wait_for": "end\\n"})).await;
    let mut all = Vec::new();
    while !all.iter().any(|(_, text): &(u64, String)| text.contains("end")) {
        let read =
            || client.call("ssh_read_output", json!({"session_id": shell.id, "timeout": 1000}));
        let (one, two) = tokio::join!(read(), read());
        for (answer, _) in [one, two] {
            all.push((answer["cursor"].as_u64().unwrap(), text(&answer).to_owned()));
        }
    }
    all.sort();
    let all: String = all.into_iter().map(|(_, text)| text).collect();
    let wanted: String = (1..=20000).map(|n| format!("{n}\n")).collect();
    assert_eq!(all, wanted + "end\n");
    shell.close().await;
}

/// Seconds that a process has computed.
fn cpu_seconds(pid: u32) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
    let ticks: u64 = fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
    ticks as f64 / 100.0
}

#[tokio::test]
async fn waiting_for_text_in_a_trickle_costs_little() {
    let (site, client) = site().await;
    let shell = mute(&client).await;
    // The scrollback is full, and then comes a line every few milliseconds.
    shell.line("seq 1 60000; echo f''ull", "full\n").await;
    let trickle = "i=0; while :; do echo line $i; i=$((i+1)); sleep 0.002; done";
    shell.send(json!({"text": format!("{trickle}\n"), "timeout": 0})).await;
    let pids = processes::pids_with_argument(site.path("state").to_str().unwrap());
    let (before, began) = (cpu_seconds(pids[0]), Instant::now());
    let wait = json!({"cursor": 0, "wait_for": "never to come", "timeout": 3000});
    let answer = shell.read(wait).await;
    assert_eq!(answer["ended_by"], "timeout", "{answer}");
    let share = (cpu_seconds(pids[0]) - before) / began.elapsed().as_secs_f64();
    assert!(share < 0.5, "{share} of a core");
    shell.close().await;
}

#[tokio::test]
async fn no_secret_is_in_a_recording_however_its_pieces_come() {
    let site = Site::new();
    site.rules(OPEN);
    site.password("canary-Qx7-recorded");
    let client = Client::start(&site.serve(), Era::Session).await;
    let shell = mute(&client).await;
    let drip = "printf 'now canary-Qx7'; sleep 0.05; printf -- '-recorded then ghp_abcdefghijklm'; sleep 0.05; \
                printf 'nopqrstuvwxyz0123456789 done\\n'";
    // What is typed here is not shown, so the recording can only have it from the output.
    shell.line(drip, "done\n").await;
    let id = shell.id.clone();
    shell.close().await;
    let cast = std::fs::read_to_string(site.path(&format!("state/shells/{id}/cast"))).unwrap();
    for part in ["recorded", "canary", "ghp_", "456789"] {
        assert!(!cast.contains(part), "{part}: {cast}");
    }
    assert!(cast.contains("[redacted: secret]") && cast.contains("done"), "{cast}");
    let found =
        Command::new("grep").args(["-rl", "canary-Qx7"]).arg(site.path("state")).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&found.stdout), "");
}
