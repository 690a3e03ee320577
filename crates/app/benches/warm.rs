//! `true` on one host over a warm connection: through MCP, through raw russh, and through OpenSSH's ControlMaster, in turns
//! on the same real sshd, so that the ratios hold on a noisy machine.
//!
//! `cargo bench -p sshepherd --bench warm` prints a table of p50 and p99 in milliseconds.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::indexing_slicing,
    reason = "a benchmark"
)]

mod raw;
mod served;

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::json;
use sshepherd_testkit::Sshd;

use served::{Mcp, configure};

/// Calls of each kind; they take turns.
const ROUNDS: usize = 400;

fn run_true(mcp: &mut Mcp) {
    let answer = mcp.tool("ssh_run", json!({"alias": "box", "command": "true"}));
    assert_eq!(answer["exit_code"], json!(0), "{answer}");
}

fn ssh(sshd: &Sshd, folder: &Path) -> Command {
    let mut ssh = Command::new("ssh");
    ssh.args(["-F", "none", "-o", "BatchMode=yes", "-o", "ControlMaster=auto"])
        .args(["-o", "ControlPersist=60", "-o", "StrictHostKeyChecking=yes", "-o"])
        .arg(format!("ControlPath={}", folder.join("cm").display()))
        .arg("-o")
        .arg(format!("UserKnownHostsFile={}", folder.join("known_hosts").display()))
        .arg("-i")
        .arg(folder.join("keys/id"))
        .args(["-p", &sshd.port().to_string(), "-l", sshd.user(), "127.0.0.1", "true"]);
    ssh
}

fn row(name: &str, mut times: Vec<Duration>, base: Option<(f64, f64)>) -> (f64, f64) {
    times.sort();
    let at = |share: usize| times[(times.len() - 1) * share / 100].as_secs_f64() * 1000.0;
    let (p50, p99) = (at(50), at(99));
    let (r50, r99) = base.map_or((1.0, 1.0), |(b50, b99)| (p50 / b50, p99 / b99));
    println!("| {name} | {p50:.2} | {p99:.2} | {r50:.2} | {r99:.2} |");
    (p50, p99)
}

fn main() {
    let folder = tempfile::tempdir().unwrap();
    let sshd = Sshd::start();
    configure(folder.path(), &sshd, "", "  - {action: allow, commands: [\"true\"]}\n");
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let key = raw::key(sshd.user_key_path());
    let connecting = raw::connect(raw::nodelay(), sshd.address(), sshd.user(), key);
    let handle = runtime.block_on(connecting);
    let mut mcp = Mcp::start(folder.path());
    run_true(&mut mcp);
    assert!(ssh(&sshd, folder.path()).status().unwrap().success());
    let (mut raws, mut mcps, mut masters) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let began = Instant::now();
        runtime.block_on(raw::run(&handle, "true"));
        raws.push(began.elapsed());
        let began = Instant::now();
        run_true(&mut mcp);
        mcps.push(began.elapsed());
    }
    for _ in 0..ROUNDS / 8 {
        let began = Instant::now();
        assert!(ssh(&sshd, folder.path()).status().unwrap().success());
        masters.push(began.elapsed());
    }
    println!("| `true`, warm, one at a time | p50 ms | p99 ms | p50 / raw | p99 / raw |");
    println!("|---|---:|---:|---:|---:|");
    let base = row("raw russh, pooled, nodelay", raws, None);
    row("`ssh_run` through MCP, recorded and audited", mcps, Some(base));
    row("`ssh` with ControlMaster", masters, Some(base));
    let _ = Command::new("ssh")
        .args(["-F", "none", "-O", "exit", "-o"])
        .arg(format!("ControlPath={}", folder.path().join("cm").display()))
        .arg("127.0.0.1")
        .stderr(Stdio::null())
        .status();
}
