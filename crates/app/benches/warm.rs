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

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use russh::ChannelMsg;
use russh::client::{self, Handle};
use russh::keys::{PrivateKeyWithHashAlg, load_secret_key};
use serde_json::{Value, json};
use sshepherd_testkit::Sshd;

/// Calls of each kind; they take turns.
const ROUNDS: usize = 400;

struct AnyKey;

impl client::Handler for AnyKey {
    type Error = russh::Error;

    async fn check_server_key(
        &mut self,
        _key: &russh::keys::PublicKeyOrCertificate,
    ) -> Result<bool, russh::Error> {
        Ok(true)
    }
}

/// The server under test, spoken to line by line.
struct Mcp {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    last: u64,
}

impl Mcp {
    fn start(folder: &Path) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_sshepherd"))
            .arg("serve")
            .arg("--config")
            .arg(folder)
            .arg("--keys")
            .arg(folder.join("keys"))
            .arg("--state")
            .arg(folder.join("state"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let (input, output) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        let mut mcp = Self { child, input, output: BufReader::new(output), last: 0 };
        let hello = json!({
            "protocolVersion": "2025-11-25", "capabilities": {},
            "clientInfo": {"name": "bench", "version": "1"}
        });
        mcp.ask("initialize", &hello);
        writeln!(mcp.input, r#"{{"jsonrpc":"2.0","method":"notifications/initialized"}}"#).unwrap();
        mcp
    }

    fn ask(&mut self, method: &str, params: &Value) -> Value {
        self.last += 1;
        let id = self.last;
        let request = json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params});
        writeln!(self.input, "{request}").unwrap();
        loop {
            let mut line = String::new();
            self.output.read_line(&mut line).unwrap();
            let answer: Value = serde_json::from_str(&line).unwrap();
            if answer["id"] == json!(id) {
                return answer["result"].clone();
            }
        }
    }

    fn run_true(&mut self) {
        let params = json!({"name": "ssh_run", "arguments": {"alias": "box", "command": "true"}});
        let answer = self.ask("tools/call", &params);
        assert_eq!(answer["structuredContent"]["exit_code"], json!(0), "{answer}");
    }
}

impl Drop for Mcp {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

async fn raw(sshd: &Sshd) -> Handle<AnyKey> {
    let config = client::Config { nodelay: true, ..client::Config::default() };
    let mut handle = client::connect(Arc::new(config), sshd.address(), AnyKey).await.unwrap();
    let key = load_secret_key(sshd.user_key_path(), None).unwrap();
    let key = PrivateKeyWithHashAlg::new(Arc::new(key), None);
    assert!(handle.authenticate_publickey(sshd.user(), key).await.unwrap().success());
    handle
}

async fn raw_true(handle: &Handle<AnyKey>) {
    let mut channel = handle.channel_open_session().await.unwrap();
    channel.exec(true, "true").await.unwrap();
    let mut status = None;
    while let Some(message) = channel.wait().await {
        if let ChannelMsg::ExitStatus { exit_status } = message {
            status = Some(exit_status);
        }
    }
    assert_eq!(status, Some(0));
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

fn write(path: &Path, text: &str) {
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
}

fn configure(folder: &Path, sshd: &Sshd) {
    for name in ["keys", "state"] {
        fs::create_dir(folder.join(name)).unwrap();
        fs::set_permissions(folder.join(name), fs::Permissions::from_mode(0o700)).unwrap();
    }
    let key = fs::read_to_string(sshd.user_key_path()).unwrap();
    write(&folder.join("keys/id"), &key);
    sshd.write_known_hosts(&folder.join("known_hosts"));
    let port = sshd.port();
    let inventory =
        format!("hosts:\n  - {{alias: box, host: 127.0.0.1, port: {port}, credentials: t}}\n");
    write(&folder.join("servers.yml"), &inventory);
    let login = format!("entries:\n  - {{name: t, username: {}, key_path: id}}\n", sshd.user());
    write(&folder.join("credentials.yml"), &login);
    let known = folder.join("known_hosts");
    let policy = format!(
        "known_hosts_path: {}\nrules:\n  - {{action: allow, commands: [\"true\"]}}\n",
        known.display()
    );
    write(&folder.join("policy.yml"), &policy);
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
    configure(folder.path(), &sshd);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let handle = runtime.block_on(raw(&sshd));
    let mut mcp = Mcp::start(folder.path());
    mcp.run_true();
    assert!(ssh(&sshd, folder.path()).status().unwrap().success());
    let (mut raws, mut mcps, mut masters) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let began = Instant::now();
        runtime.block_on(raw_true(&handle));
        raws.push(began.elapsed());
        let began = Instant::now();
        mcp.run_true();
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
