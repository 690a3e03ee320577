//! Ends server processes without touching the remote commands they started.

use std::time::Duration;

use rustix::process::Signal;

use crate::processes::{self, Process};

/// A killed process is gone at once; this is for a machine under heavy load.
pub(super) const END_LIMIT: Duration = Duration::from_secs(20);

/// Whether this is part of the server: sshd (also split into programs by newer releases) or the sudo around it.
fn of_server(process: &Process) -> bool {
    process.name.starts_with("sshd") || process.name == "sudo"
}

/// The server processes under `root`, and `root` itself.
fn servers(root: u32) -> Vec<u32> {
    processes::tree(root)
        .iter()
        .filter(|process| process.pid == root || of_server(process))
        .map(|process| process.pid)
        .collect()
}

/// Kills `root` and the server processes under it, children included that are being forked just now: all are
/// stopped first, until a look finds no new one.
pub(super) fn kill_tree(root: u32) -> Vec<u32> {
    let mut stopped: Vec<u32> = Vec::new();
    loop {
        let new: Vec<u32> =
            servers(root).into_iter().filter(|pid| !stopped.contains(pid)).collect();
        if new.is_empty() {
            break;
        }
        for pid in new {
            processes::send(pid, Signal::STOP);
            stopped.push(pid);
        }
    }
    for pid in &stopped {
        processes::kill(*pid);
    }
    stopped
}

/// Waits for the end of processes that were killed.
pub(super) fn wait_all(pids: &[u32]) {
    for pid in pids {
        assert!(processes::wait_gone(*pid, END_LIMIT), "sshd process {pid} does not die");
    }
}
