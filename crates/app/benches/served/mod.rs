//! A server over a folder of configuration, spoken to line by line: what benchmarks share.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use serde_json::{Value, json};
use sshepherd_testkit::Sshd;

/// The server under test, spoken to line by line.
pub(crate) struct Mcp {
    pub(crate) child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    last: u64,
}

impl Mcp {
    /// Ours, on a folder of configuration.
    pub(crate) fn start(folder: &Path) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_sshepherd"));
        command
            .arg("serve")
            .arg("--config")
            .arg(folder)
            .arg("--keys")
            .arg(folder.join("keys"))
            .arg("--state")
            .arg(folder.join("state"));
        Self::spawn(command)
    }

    /// Any server that speaks MCP on its standard streams.
    pub(crate) fn spawn(mut command: Command) -> Self {
        let mut child = command
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

    /// Sends a request without waiting for its answer.
    pub(crate) fn send(&mut self, method: &str, params: &Value) {
        self.last += 1;
        let id = self.last;
        let request = json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params});
        writeln!(self.input, "{request}").unwrap();
    }

    /// The next answer, whichever request it belongs to; notifications are passed over.
    pub(crate) fn receive(&mut self) -> Value {
        loop {
            let mut line = String::new();
            assert_ne!(self.output.read_line(&mut line).unwrap(), 0, "the server is gone");
            let mut answer: Value = serde_json::from_str(&line).unwrap();
            if answer["id"].is_u64() {
                return answer["result"].take();
            }
        }
    }

    /// One request and its answer, while no other is open.
    pub(crate) fn ask(&mut self, method: &str, params: &Value) -> Value {
        self.send(method, params);
        self.receive()
    }

    /// Calls a tool; its answer.
    pub(crate) fn tool(&mut self, name: &str, arguments: Value) -> Value {
        let answer = self.ask("tools/call", &json!({"name": name, "arguments": arguments}));
        answer["structuredContent"].clone()
    }
}

impl Drop for Mcp {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn write(path: &Path, text: &str) {
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
}

/// What a folder of configuration is made of.
pub(crate) struct Site<'a> {
    pub(crate) key: &'a str,
    pub(crate) known_hosts: &'a str,
    pub(crate) hosts: &'a str,
    /// Entries of credentials.yml; their `key_path` is `id`.
    pub(crate) logins: &'a str,
    pub(crate) rules: &'a str,
}

/// Writes a folder of configuration.
pub(crate) fn lay_out(folder: &Path, site: &Site) {
    for name in ["keys", "state"] {
        fs::create_dir(folder.join(name)).unwrap();
        fs::set_permissions(folder.join(name), fs::Permissions::from_mode(0o700)).unwrap();
    }
    write(&folder.join("keys/id"), site.key);
    let known = folder.join("known_hosts");
    write(&known, site.known_hosts);
    write(&folder.join("servers.yml"), &format!("hosts:\n{}", site.hosts));
    write(&folder.join("credentials.yml"), &format!("entries:\n{}", site.logins));
    let policy = format!("known_hosts_path: {}\nrules:\n{}", known.display(), site.rules);
    write(&folder.join("policy.yml"), &policy);
}

/// A folder of configuration for one host, `box`, and more entries of servers.yml (their credentials are `t`), with these rules.
pub(crate) fn configure(folder: &Path, sshd: &Sshd, more: &str, rules: &str) {
    let (name, port, user) = (sshd.known_hosts_name(), sshd.port(), sshd.user());
    let site = Site {
        key: &fs::read_to_string(sshd.user_key_path()).unwrap(),
        known_hosts: &sshd.host_key_lines(&name),
        hosts: &format!(
            "  - {{alias: box, host: 127.0.0.1, port: {port}, credentials: t}}\n{more}"
        ),
        logins: &format!("  - {{name: t, username: {user}, key_path: id}}\n"),
        rules,
    };
    lay_out(folder, &site);
}
