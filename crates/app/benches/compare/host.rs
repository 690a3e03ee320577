//! One real sshd, and everybody who talks to it over a connection that stands.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use russh::client::Handle;
use serde_json::json;
use sshepherd_testkit::Sshd;
use tokio::runtime::Runtime;

use crate::Setting;
use crate::peers::Peer;
use crate::raw::{self, AnyKey};
use crate::report::Report;
use crate::served::{Mcp, configure};

/// Aliases of the same host, each for one cold call.
pub(crate) const COLD: usize = 80;

/// The host, ours, raw russh, and the peers, all connected.
pub(crate) struct Host<'a> {
    pub(crate) runtime: &'a Runtime,
    pub(crate) sshd: Sshd,
    pub(crate) ours: Mcp,
    pub(crate) raw: Handle<AnyKey>,
    /// The server is there where its package is installed.
    pub(crate) peers: Vec<(Peer, Option<Mcp>)>,
    folder: PathBuf,
}

impl<'a> Host<'a> {
    pub(crate) fn start(setting: &Setting, runtime: &'a Runtime, report: &mut Report) -> Self {
        let folder = setting.folder();
        // Room for 64 channels on one connection and for a crowd of cold ones; else a stock server.
        let sshd = Sshd::builder()
            .daemon()
            .config_line("MaxSessions 128")
            .config_line("MaxStartups 200")
            .start();
        set_up(&folder, &sshd);
        let key = raw::key(sshd.user_key_path());
        let connecting = raw::connect(raw::nodelay(), sshd.address(), sshd.user(), key);
        let raw = runtime.block_on(connecting);
        let mut ours = Mcp::start(&folder);
        run_true(&mut ours, "box");
        let peers = Peer::all(setting, &sshd, &folder, report)
            .into_iter()
            .map(|peer| {
                let server = peer.installed().then(|| {
                    let mut mcp = peer.start();
                    let answer = mcp.ask("tools/call", &peer.call());
                    assert!(peer.well(&answer), "{}: {answer}", peer.name);
                    mcp
                });
                (peer, server)
            })
            .collect();
        let host = Self { runtime, sshd, ours, raw, peers, folder };
        assert!(host.ssh(&["-o", "ControlMaster=auto"], "true").status().unwrap().success());
        host
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// `ssh` with these options, its output thrown away; with the master's socket at hand.
    pub(crate) fn ssh(&self, options: &[&str], command: &str) -> Command {
        let folder = self.folder();
        let mut ssh = Command::new("ssh");
        // Of an option that is given twice, ssh takes the first.
        ssh.args(options)
            .args(["-F", "none", "-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=yes"])
            .args(["-o", "ControlPersist=600", "-o", "IdentityAgent=none"])
            .arg("-o")
            .arg(format!("ControlPath={}", folder.join("cm").display()))
            .arg("-o")
            .arg(format!("UserKnownHostsFile={}", folder.join("known_hosts").display()))
            .arg("-i")
            .arg(folder.join("keys/id"))
            .args(["-p", &self.sshd.port().to_string(), "-l", self.sshd.user()])
            .args(["127.0.0.1", command])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        ssh
    }

    /// `ssh` that connects anew.
    pub(crate) fn alone(&self, options: &[&str], command: &str) -> Command {
        let alone = ["-o", "ControlMaster=no", "-o", "ControlPath=none"];
        self.ssh(&[options, &alone].concat(), command)
    }
}

impl Drop for Host<'_> {
    fn drop(&mut self) {
        let _ = self.ssh(&["-O", "exit"], "").status();
    }
}

/// `true` through MCP.
pub(crate) fn run_true(mcp: &mut Mcp, alias: &str) {
    let answer = mcp.tool("ssh_run", json!({"alias": alias, "command": "true"}));
    assert_eq!(answer["exit_code"], json!(0), "{answer}");
}

/// `box`, the same without jobs, and the same again for every cold call.
fn set_up(folder: &Path, sshd: &Sshd) {
    let place = format!("host: 127.0.0.1, port: {}, credentials: t", sshd.port());
    let mut more = format!("  - {{alias: attached, {place}, login_shell: raw-words}}\n");
    more.extend((0..COLD).map(|number| format!("  - {{alias: cold{number}, {place}}}\n")));
    let rules = "  - {action: allow, commands: [\"*\"]}\n\
                 limits: {max_seconds: 600, max_output_bytes: 1073741824}\n";
    configure(folder, sshd, &more, rules);
}
