//! The other MCP servers: two npm packages, each as shipped and with `TCP_NODELAY` set on its sockets.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};
use sshepherd_testkit::Sshd;

use crate::Setting;
use crate::report::Report;
use crate::served::Mcp;

/// Sets the option on every socket, which the packages' SSH library leaves off.
const NODELAY: &str = "const { Socket } = require('net'); const connect = Socket.prototype.connect;
Socket.prototype.connect = function (...how) { this.setNoDelay(true); return connect.apply(this, how); };
";

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Package {
    SshMcp,
    SshManager,
}

/// How one of them is started and asked to run `true`.
pub(crate) struct Peer {
    pub(crate) name: &'static str,
    pub(crate) package: Package,
    pub(crate) nodelay: bool,
    script: PathBuf,
    home: PathBuf,
    host: (u16, String, PathBuf),
}

impl Peer {
    /// All of them, set up for this server where they are installed.
    pub(crate) fn all(
        setting: &Setting,
        sshd: &Sshd,
        folder: &Path,
        report: &mut Report,
    ) -> Vec<Self> {
        let all = [
            ("ssh-mcp", Package::SshMcp, false, "ssh-mcp/build/index.js"),
            ("mcp-ssh-manager", Package::SshManager, false, "mcp-ssh-manager/src/index.js"),
            ("ssh-mcp, nodelay injected", Package::SshMcp, true, "ssh-mcp/build/index.js"),
            (
                "mcp-ssh-manager, nodelay injected",
                Package::SshManager,
                true,
                "mcp-ssh-manager/src/index.js",
            ),
        ];
        let modules = fs::canonicalize(&setting.tools).unwrap().join("peers/node_modules");
        let mut peers = Vec::new();
        for (name, package, nodelay, script) in all {
            let script = modules.join(script);
            let home = folder.join(name.replace([' ', ','], "-"));
            let host = (sshd.port(), sshd.user().to_owned(), sshd.user_key_path().to_owned());
            let peer = Self { name, package, nodelay, script, home, host };
            if peer.installed() {
                peer.set_up();
            } else {
                report.missing(name, "not installed (npm)");
            }
            peers.push(peer);
        }
        peers
    }

    pub(crate) fn installed(&self) -> bool {
        self.script.exists()
    }

    fn set_up(&self) {
        fs::create_dir(&self.home).unwrap();
        fs::set_permissions(&self.home, fs::Permissions::from_mode(0o700)).unwrap();
        fs::write(self.home.join("nodelay.cjs"), NODELAY).unwrap();
        let (port, user, key) = (self.host.0, &self.host.1, self.host.2.display());
        let config = format!(
            "[defaults]\ndefaultProfile = \"box\"\napprovalMode = \"auto\"\n\n[[profiles]]\nname = \"box\"\n\
             host = \"127.0.0.1\"\nport = {port}\nuser = \"{user}\"\nauth = \"key\"\nkeyRef = \"{key}\"\n\
             group = \"dev\"\nrole = \"admin\"\napprovalPolicy = \"auto\"\nsessionMaxPerConnection = 100\n"
        );
        let path = self.home.join("ssh-mcp.toml");
        fs::write(&path, config).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    }

    /// The server, greeted.
    pub(crate) fn start(&self) -> Mcp {
        let mut node = Command::new("node");
        if self.nodelay {
            node.arg("-r").arg(self.home.join("nodelay.cjs"));
        }
        node.arg(&self.script).env("HOME", &self.home).current_dir(&self.home);
        match self.package {
            Package::SshMcp => {
                let config = self.home.join("ssh-mcp.toml");
                node.arg(format!("--config={}", config.display()));
            }
            Package::SshManager => {
                node.env("SSH_SERVER_BOX_HOST", "127.0.0.1")
                    .env("SSH_SERVER_BOX_PORT", self.host.0.to_string())
                    .env("SSH_SERVER_BOX_USER", &self.host.1)
                    .env("SSH_SERVER_BOX_KEYPATH", &self.host.2);
            }
        }
        Mcp::spawn(node)
    }

    /// The call that runs `true`.
    pub(crate) fn call(&self) -> Value {
        match self.package {
            Package::SshMcp => json!({
                "name": "run-command", "arguments": {"command": "true", "profile": "box"}
            }),
            Package::SshManager => json!({
                "name": "ssh_execute", "arguments": {"server": "box", "command": "true"}
            }),
        }
    }

    /// Whether the answer says that it ran and ended well.
    pub(crate) fn well(&self, answer: &Value) -> bool {
        let text = answer["content"][0]["text"].as_str();
        answer["isError"] != json!(true)
            && match self.package {
                Package::SshMcp => text == Some(""),
                Package::SshManager => text.is_some_and(|text| text.contains("\"success\": true")),
            }
    }
}
