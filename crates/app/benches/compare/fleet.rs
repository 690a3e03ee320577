//! Fake hosts in a process of their own, and ours on as many of them as are wanted.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::Setting;
use crate::clock::{cpu, memory_mb, timed};
use crate::served::{Mcp, Site, lay_out};

/// What everybody runs: its answer differs from host to host.
pub(crate) const COMMAND: &str = "uptime";

/// The program that `crates/fakehost/examples/fleet.rs` is built to, beside the benchmark's folder.
fn program() -> PathBuf {
    let own = std::env::current_exe().unwrap();
    own.parent().and_then(Path::parent).unwrap().join("examples/fleet")
}

/// Running fake hosts.
pub(crate) struct Fleet {
    child: Child,
    folder: TempDir,
    pub(crate) port: u16,
    /// Address and user of each.
    pub(crate) hosts: Vec<(String, String)>,
}

impl Fleet {
    pub(crate) fn start(count: usize) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut child = Command::new(program())
            .arg(count.to_string())
            .arg(folder.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut port = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut port).unwrap();
        let port = port.trim().parse().unwrap();
        let hosts = fs::read_to_string(folder.path().join("hosts")).unwrap();
        let pair = |line: &str| {
            let (address, user) = line.split_once(' ').unwrap();
            (address.to_owned(), user.to_owned())
        };
        let hosts = hosts.lines().map(pair).collect();
        Self { child, folder, port, hosts }
    }

    /// `key`, `known_hosts`, `ssh_config`, and what else is put there.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A file that names the first hosts, an address a line.
    pub(crate) fn list(&self, count: usize) -> PathBuf {
        let path = self.path(&format!("first{count}"));
        let lines: String =
            self.hosts[..count].iter().map(|(host, _)| format!("{host}\n")).collect();
        fs::write(&path, lines).unwrap();
        path
    }

    /// Ours on these hosts, all with the tag `all`.
    pub(crate) fn ours(&self, setting: &Setting, hosts: &[(String, String)]) -> Ours {
        let folder = setting.folder();
        let (mut entries, mut users) = (String::new(), Vec::new());
        for (number, (address, user)) in hosts.iter().enumerate() {
            let (name, port) = (number + 1, self.port);
            entries += &format!(
                "  - {{alias: node{name:04}, host: {address}, port: {port}, credentials: {user}, tags: [all]}}\n"
            );
            if !users.contains(user) {
                users.push(user.clone());
            }
        }
        let login =
            |user: &String| format!("  - {{name: {user}, username: {user}, key_path: id}}\n");
        let site = Site {
            key: &fs::read_to_string(self.path("key")).unwrap(),
            known_hosts: &fs::read_to_string(self.path("known_hosts")).unwrap(),
            hosts: &entries,
            logins: &users.iter().map(login).collect::<String>(),
            rules: "  - {action: allow, commands: [\"*\"]}\n",
        };
        lay_out(&folder, &site);
        Ours { mcp: Mcp::start(&folder), hosts: hosts.len() }
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}

/// What a fan-out cost.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cost {
    pub(crate) seconds: f64,
    /// Milliseconds of the client's processor.
    pub(crate) cpu_ms: f64,
}

/// Our server on some fake hosts.
pub(crate) struct Ours {
    mcp: Mcp,
    hosts: usize,
}

impl Ours {
    /// One command on every host; all must end well.
    pub(crate) fn run(&mut self, command: &str) -> (Cost, Value) {
        let pid = self.mcp.child.id();
        let (before, mut answer) = (cpu(pid), Value::Null);
        let time = timed(|| {
            let call = json!({"tag": "all", "command": command});
            let params = json!({"name": "ssh_run_on_tag", "arguments": call});
            answer = self.mcp.ask("tools/call", &params);
        });
        let cost = Cost { seconds: time / 1000.0, cpu_ms: (cpu(pid) - before) * 1000.0 };
        let summary = &answer["structuredContent"]["summary"];
        assert_eq!(summary["completed"], json!(self.hosts), "{summary}");
        (cost, answer)
    }

    pub(crate) fn resident_mb(&self) -> f64 {
        memory_mb(self.mcp.child.id(), "VmRSS")
    }
}
