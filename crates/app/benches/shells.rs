//! A hundred interactive shells on one real sshd: memory of each, the answer to a key beside that of `ssh -tt`, and a flood
//! that Ctrl-C ends.
//!
//! `cargo bench -p sshepherd --bench shells` prints what docs/performance.md shows.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::indexing_slicing,
    clippy::cast_precision_loss,
    reason = "a benchmark"
)]

mod served;

use std::fs;
use std::io::{Read, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use sshepherd_testkit::Sshd;

use served::{Mcp, configure};

const SHELLS: usize = 100;
/// Keys of each kind; they take turns.
const KEYS: usize = 500;
const FLOODS: usize = 20;
const FLOOD: Duration = Duration::from_secs(10);

/// A line of `/proc/PID/status` in KiB.
fn memory(mcp: &Mcp, line: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", mcp.child.id())).unwrap();
    let found = status.lines().find_map(|found| found.strip_prefix(line)).unwrap();
    found.trim_start_matches(':').split_whitespace().next().unwrap().parse().unwrap()
}

/// Seconds that the server has computed.
fn computed(mcp: &Mcp) -> f64 {
    let stat = fs::read_to_string(format!("/proc/{}/stat", mcp.child.id())).unwrap();
    let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
    let ticks = fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
    ticks as f64 / 100.0
}

fn open(mcp: &mut Mcp, command: Option<&str>) -> String {
    let mut arguments = json!({"alias": "box", "timeout": 20000});
    if let Some(command) = command {
        arguments["command"] = json!(command);
    }
    let answer = mcp.tool("ssh_open_shell", arguments);
    answer["session_id"].as_str().unwrap_or_else(|| panic!("{answer}")).to_owned()
}

fn send(mcp: &mut Mcp, id: &str, mut arguments: Value) -> Value {
    arguments["session_id"] = json!(id);
    mcp.tool("ssh_send_input", arguments)
}

/// `cat` under OpenSSH's own terminal, over a connection of its own.
struct Plain {
    child: Child,
    input: ChildStdin,
    output: ChildStdout,
}

impl Plain {
    fn open(sshd: &Sshd, folder: &Path) -> Self {
        let mut child = Command::new("ssh")
            .args(["-tt", "-F", "none", "-o", "BatchMode=yes", "-o", "ControlMaster=no"])
            .args(["-o", "ControlPath=none", "-o", "StrictHostKeyChecking=yes", "-o"])
            .arg(format!("UserKnownHostsFile={}", folder.join("known_hosts").display()))
            .arg("-i")
            .arg(folder.join("keys/id"))
            .args([
                "-p",
                &sshd.port().to_string(),
                "-l",
                sshd.user(),
                "127.0.0.1",
                "echo ready; exec cat",
            ])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let (input, output) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        let mut plain = Self { child, input, output };
        plain.until(b'\n');
        plain
    }

    fn until(&mut self, wanted: u8) {
        let mut byte = [0];
        while byte[0] != wanted {
            self.output.read_exact(&mut byte).unwrap();
        }
    }

    fn key(&mut self) {
        self.input.write_all(b"x").unwrap();
        self.until(b'x');
    }
}

impl Drop for Plain {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn shares(mut times: Vec<Duration>) -> String {
    times.sort();
    let at = |share: usize| times[(times.len() - 1) * share / 100].as_secs_f64() * 1000.0;
    format!("p50 {:.2} ms, p99 {:.2} ms, most {:.2} ms", at(50), at(99), at(100))
}

fn idle(mcp: &mut Mcp) {
    let first = open(mcp, None);
    let before = memory(mcp, "VmRSS");
    let began = Instant::now();
    let ids: Vec<String> = (0..SHELLS).map(|_| open(mcp, None)).collect();
    let opened = began.elapsed();
    let after = memory(mcp, "VmRSS");
    println!("{SHELLS} login shells opened one by one in {:.1} s", opened.as_secs_f64());
    let each = after.saturating_sub(before) as f64 / SHELLS as f64;
    println!(
        "memory of the server: {before} KiB with one, {after} KiB with {SHELLS} more: {each:.0} KiB each"
    );
    for id in ids.iter().chain([&first]) {
        let answer = mcp.tool("ssh_close_shell", json!({"session_id": id}));
        assert_eq!(answer["stopped"], "confirmed", "{answer}");
    }
}

fn keys(mcp: &mut Mcp, plain: &mut Plain) {
    let id = open(mcp, Some("cat"));
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for round in 0..KEYS {
        let began = Instant::now();
        let answer = send(mcp, &id, json!({"text": "x", "wait_for": "x"}));
        ours.push(began.elapsed());
        assert_eq!((&answer["ended_by"], &answer["output"]), (&json!("match"), &json!("x")));
        let began = Instant::now();
        plain.key();
        theirs.push(began.elapsed());
        // A line of a terminal has room for 4095 bytes.
        if round % 1000 == 999 {
            send(mcp, &id, json!({"text": "\n", "wait_quiet_ms": 50}));
        }
    }
    println!("a key and its echo, `ssh -tt`: {}", shares(theirs));
    println!("a key and its echo, through MCP: {}", shares(ours));
}

fn flood(mcp: &mut Mcp) {
    let id = open(mcp, None);
    send(mcp, &id, json!({"text": "yes\n", "wait_for": "y\\ny"}));
    let wait = json!({"session_id": id, "wait_for": "never", "timeout": 1000});
    mcp.tool("ssh_read_output", wait);
    let (before, cpu, began) = (memory(mcp, "VmHWM"), computed(mcp), Instant::now());
    let wait =
        json!({"session_id": id, "wait_quiet_ms": 40000, "timeout": FLOOD.as_millis() as u64});
    let answer = mcp.tool("ssh_read_output", wait);
    let alone = (computed(mcp) - cpu) / began.elapsed().as_secs_f64();
    let written = answer["cursor"].as_u64().unwrap();
    println!(
        "a flood for {} s: {} MB/s, {:.2} of a core, most memory {before} KiB before, {} KiB after",
        FLOOD.as_secs(),
        written / 1_000_000 / FLOOD.as_secs(),
        alone,
        memory(mcp, "VmHWM")
    );
    let (cpu, began) = (computed(mcp), Instant::now());
    let wait = json!({"session_id": id, "wait_for": "never", "timeout": FLOOD.as_millis() as u64});
    mcp.tool("ssh_read_output", wait);
    let searched = (computed(mcp) - cpu) / began.elapsed().as_secs_f64();
    println!(
        "the same while a call waits for text in it: {searched:.2} of a core, most memory {} KiB",
        memory(mcp, "VmHWM")
    );
    let mut times = Vec::new();
    for _ in 0..FLOODS {
        let began = Instant::now();
        let answer =
            send(mcp, &id, json!({"keys": ["Ctrl-C"], "wait_prompt": true, "timeout": 20000}));
        times.push(began.elapsed());
        assert_eq!(answer["exit_status"], json!(130), "{answer}");
        send(mcp, &id, json!({"text": "yes\n", "wait_for": "y\\ny\\ny"}));
        mcp.tool("ssh_read_output", json!({"session_id": id, "wait_for": "never", "timeout": 500}));
    }
    println!("Ctrl-C on a flood, from the call to the prompt in its answer: {}", shares(times));
}

fn main() {
    let folder = tempfile::tempdir().unwrap();
    let sshd = Sshd::builder().daemon().config_line("MaxStartups 100").start();
    configure(
        folder.path(),
        &sshd,
        "",
        "  - {id: shells, shells: allow}\nlimits: {max_shells: 200}\n",
    );
    let mut mcp = Mcp::start(folder.path());
    let mut plain = Plain::open(&sshd, folder.path());
    idle(&mut mcp);
    keys(&mut mcp, &mut plain);
    flood(&mut mcp);
}
