//! A crowd of fake hosts, healthy, silent and never-ending, and a configuration that names them all.
//!
//! They live in the test's process, so nothing of theirs counts as the server's. The healthy ones have a thread of their
//! own: what the endless ones burn must not look like slowness of the healthy ones.

use std::path::Path;
use std::process::Command;

use sshepherd_testkit::fakehost::{FakeFleet, FakeHost, FakeHostSpec, Fault};
use tempfile::TempDir;
use tokio::runtime::{Builder, Runtime};

use crate::ground::{private_file, private_folder, serve};

/// How many hosts of each kind.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Size {
    pub(crate) healthy: usize,
    pub(crate) silent: usize,
    pub(crate) endless: usize,
    /// Bytes a second that each endless host writes at most; without it as fast as they are read.
    pub(crate) rate: Option<u64>,
}

/// Hosts of one kind on a thread of their own.
pub(crate) struct Kind {
    name: &'static str,
    fleet: Option<FakeFleet>,
    runtime: Runtime,
}

impl Kind {
    pub(crate) fn start(name: &'static str, count: usize, fault: Option<Fault>) -> Self {
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let specs = (0..count).map(|number| {
            let spec = FakeHostSpec::new(format!("{name}{number}"));
            match fault {
                Some(fault) => spec.fault(fault),
                None => spec,
            }
        });
        let fleet = runtime.block_on(FakeFleet::start(specs.collect())).unwrap();
        Self { name, fleet: Some(fleet), runtime }
    }

    /// Ids of the processes that run there.
    pub(crate) fn processes(&self) -> Vec<u32> {
        self.fleet().hosts().iter().flat_map(FakeHost::processes).collect()
    }

    fn fleet(&self) -> &FakeFleet {
        self.fleet.as_ref().unwrap()
    }
}

impl Drop for Kind {
    fn drop(&mut self) {
        if let Some(fleet) = self.fleet.take() {
            self.runtime.block_on(fleet.stop());
        }
    }
}

pub(crate) struct Crowd {
    kinds: [Kind; 3],
    folder: TempDir,
}

impl Crowd {
    pub(crate) fn new(size: Size) -> Self {
        let endless = size.rate.map_or(Fault::EndlessOutput, Fault::EndlessOutputAt);
        let kinds = [
            Kind::start("healthy", size.healthy, None),
            Kind::start("silent", size.silent, Some(Fault::SilentBanner)),
            Kind::start("endless", size.endless, Some(endless)),
        ];
        let folder = tempfile::tempdir().unwrap();
        configure(folder.path(), &kinds, &[], "");
        Self { kinds, folder }
    }

    /// `sshepherd serve` for these hosts.
    pub(crate) fn serve(&self) -> Command {
        serve(self.folder.path())
    }

    /// Ids of the processes that run on the endless hosts.
    pub(crate) fn endless_processes(&self) -> Vec<u32> {
        let [_, _, endless] = &self.kinds;
        endless.processes()
    }
}

/// Names the hosts of all kinds, each kind spread evenly among the others, and those at ports that nobody listens on; `settings`
/// are more of sshepherd.yml.
pub(crate) fn configure(folder: &Path, kinds: &[Kind], closed: &[u16], settings: &str) {
    for name in ["keys", "secrets", "state"] {
        private_folder(&folder.join(name));
    }
    let (mut known, mut logins) = (String::new(), "entries:\n".to_owned());
    // Each with its share of the way through its kind.
    let mut lines: Vec<(usize, String)> = Vec::new();
    let mut line = |(at, all): (usize, usize), alias: &str, port: u16, rest: &str| {
        let text = format!("  - {{alias: {alias}, host: 127.0.0.1, port: {port}, {rest}}}\n");
        lines.push((at * 1_000_000 / all, text));
    };
    for (at, port) in closed.iter().enumerate() {
        let rest = format!("credentials: {}", kinds[0].name);
        line((at, closed.len()), &format!("closed{at}"), *port, &rest);
    }
    for Kind { name, fleet, .. } in kinds {
        let fleet = fleet.as_ref().unwrap();
        private_file(&folder.join("keys").join(name), &fleet.client_key_text().unwrap());
        logins += &format!("  - {{name: {name}, username: demo, key_path: {name}}}\n");
        known += &fleet.known_hosts();
        // What a fake host is told about jobs is output too, and would be cut.
        let shell = if *name == "dying" { ", login_shell: raw-words" } else { "" };
        let hosts = fleet.hosts();
        for (at, host) in hosts.iter().enumerate() {
            let rest = format!("credentials: {name}{shell}");
            line((at, hosts.len()), host.name(), host.address().unwrap().port(), &rest);
        }
    }
    lines.sort();
    let hosts: String = lines.into_iter().map(|(_, text)| text).collect();
    let servers = format!("hosts:\n{hosts}");
    let policy = format!(
        "known_hosts_path: {}\nlimits: {{max_seconds: 600}}\nrules:\n  - {{action: allow, commands: [\"*\"]}}\n",
        folder.join("known_hosts").display()
    );
    // Silent hosts are to be tried each time.
    let settings = format!("limits: {{breaker: {{failures: 0}}}}\n{settings}");
    for (name, text) in [
        ("known_hosts", known.as_str()),
        ("servers.yml", servers.as_str()),
        ("credentials.yml", logins.as_str()),
        ("policy.yml", policy.as_str()),
        ("sshepherd.yml", settings.as_str()),
    ] {
        private_file(&folder.join(name), text);
    }
}
