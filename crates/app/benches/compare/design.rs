//! A connection for each command, the design of MCP SSH Orchestrator: that is not on PyPI, so a small server of the same making
//! (Python, the MCP SDK, paramiko) stands in.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::json;

use crate::Setting;
use crate::clock::{median, percentile, timed};
use crate::host::Host;
use crate::report::{Report, Table, Wanted};
use crate::served::Mcp;

/// What it is called with, and the libraries that it needs.
const IMPORTS: &str = "import mcp.server.fastmcp, paramiko";

/// One form of it.
pub(crate) struct Design {
    name: &'static str,
    /// As the original does it, so this is the one with the goal.
    polled: bool,
    server: Option<Mcp>,
    times: Vec<f64>,
}

impl Design {
    /// Both forms: as the original, which looks for the end every 50 ms, and with the end awaited.
    pub(crate) fn all(setting: &Setting, host: &Host, report: &mut Report) -> Vec<Self> {
        report.missing("MCP SSH Orchestrator itself", "not on PyPI; its design stands in");
        let python = fs::canonicalize(&setting.tools).unwrap().join("venv/bin/python");
        let mut found = Command::new(&python);
        found.args(["-c", IMPORTS]).stderr(Stdio::null());
        let installed = found.status().is_ok_and(|status| status.success());
        let forms = [
            ("a connection each (paramiko), as MCP SSH Orchestrator", true, "0.05"),
            ("a connection each (paramiko), its end awaited", false, "0"),
        ];
        let designs = forms.map(|(name, polled, pause)| {
            if !installed {
                report.missing(name, "not installed (pip)");
            }
            let server = installed.then(|| start(&python, host, pause));
            Self { name, polled, server, times: Vec::new() }
        });
        designs.into()
    }

    /// One `true`.
    pub(crate) fn take(&mut self) {
        let Some(mcp) = &mut self.server else { return };
        self.times.push(timed(|| {
            let answer = mcp.tool("ssh_run", json!({"command": "true"}));
            assert_eq!(answer["exit_code"], json!(0), "{}: {answer}", self.name);
        }));
    }

    pub(crate) fn row(&self, table: &mut Table) {
        table.row(self.name, &[median(&self.times), percentile(&self.times, 99)]);
    }

    /// What is asked of `ours`, the median of the same calls.
    pub(crate) fn goal(&self, ours: Option<f64>, report: &mut Report) {
        if self.polled {
            let what = "warm p50 ms, MCP SSH Orchestrator's design";
            report.goal(("P1", what), (ours, median(&self.times)), Wanted::AtLeast(60.0));
        }
    }
}

fn start(python: &Path, host: &Host, pause: &str) -> Mcp {
    let mut command = Command::new(python);
    command
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/compare/paramiko_each.py"))
        .arg(host.sshd.port().to_string())
        .arg(host.sshd.user())
        .arg(host.sshd.user_key_path())
        .arg(host.folder().join("known_hosts"))
        .arg(pause);
    Mcp::spawn(command)
}
