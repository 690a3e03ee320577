//! From the start of a server to its list of tools, what it takes while it is idle, and how long the list is.

use std::time::Duration;

use serde_json::json;

use crate::Setting;
use crate::clock::{median, memory_mb, timed};
use crate::host::Host;
use crate::peers::Package;
use crate::report::{Report, Table, Wanted};
use crate::served::Mcp;

/// How long a server is left alone before its memory is read.
const IDLE: Duration = Duration::from_secs(1);

#[derive(Default)]
struct Figures {
    times: Vec<f64>,
    resident_mb: Option<f64>,
    anonymous_mb: Option<f64>,
    tools: Option<f64>,
    bytes: Option<f64>,
}

impl Figures {
    fn take(&mut self, start: impl FnOnce() -> Mcp, last: bool) {
        let mut answer = None;
        self.times.push(timed(|| {
            let mut mcp = start();
            let list = mcp.ask("tools/list", &json!({}));
            answer = Some((mcp, list));
        }));
        let (mcp, list) = answer.unwrap();
        self.tools = Some(list["tools"].as_array().unwrap().len() as f64);
        self.bytes = Some(list.to_string().len() as f64);
        if last {
            std::thread::sleep(IDLE);
            self.resident_mb = Some(memory_mb(mcp.child.id(), "VmRSS"));
            self.anonymous_mb = Some(memory_mb(mcp.child.id(), "RssAnon"));
        }
    }

    fn row(&self) -> [Option<f64>; 6] {
        let time = median(&self.times);
        let tokens = self.bytes.map(|bytes| bytes / 4.0);
        [time, self.resident_mb, self.anonymous_mb, self.tools, self.bytes, tokens]
    }
}

pub(crate) fn measure(setting: &Setting, host: &Host, report: &mut Report) {
    let rounds = setting.rounds(3, 15);
    let mut ours = Figures::default();
    let mut peers: Vec<Figures> = host.peers.iter().map(|_| Figures::default()).collect();
    for round in 1..=rounds {
        ours.take(|| Mcp::start(host.folder()), round == rounds);
        for (figures, (peer, _)) in peers.iter_mut().zip(&host.peers) {
            if !peer.nodelay && peer.installed() {
                figures.take(|| peer.start(), round == rounds);
            }
        }
    }
    let columns = [
        "start to tools/list, ms",
        "idle, MB",
        "of it not from files, MB",
        "tools",
        "tools/list, bytes",
        "tokens, estimated as bytes/4",
    ];
    let mut table = Table::new("Start and idle memory", &columns);
    table.row("ours", &ours.row());
    for (figures, (peer, _)) in peers.iter().zip(&host.peers) {
        if !peer.nodelay {
            table.row(peer.name, &figures.row());
        }
    }
    report.table(table.against_first(0, "time / ours"));
    let time = median(&ours.times);
    report.bound("P7", "start to tools/list, ms", time, 20.0);
    for (package, what) in [(Package::SshMcp, "ssh-mcp"), (Package::SshManager, "mcp-ssh-manager")]
    {
        let of = |figures: &Figures| median(&figures.times);
        let peer = host.peers.iter().position(|(peer, _)| peer.package == package);
        let peer = peer.and_then(|at| of(&peers[at]));
        report.goal(
            ("P7", &format!("start to tools/list, {what}")),
            (time, peer),
            Wanted::AtLeast(25.0),
        );
    }
    report.bound("P6", "idle server, MB", ours.resident_mb, 12.0);
}
