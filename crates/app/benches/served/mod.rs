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
    pub(crate) fn start(folder: &Path) -> Self {
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

/// A folder of configuration for one host, `box`, with these rules.
pub(crate) fn configure(folder: &Path, sshd: &Sshd, rules: &str) {
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
    let policy = format!("known_hosts_path: {}\nrules:\n{rules}", known.display());
    write(&folder.join("policy.yml"), &policy);
}
