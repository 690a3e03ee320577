//! One `sshd -D` that listens by itself.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::process::{Child, ChildStderr, Stdio};
use std::thread::JoinHandle;

use super::Setup;
use super::kill::{kill_tree, wait_all};
use crate::processes;

/// How often another free port is tried when one was taken between our look and sshd's bind.
const PORT_TRIES: usize = 20;

/// The daemon and the thread that copies its log.
#[derive(Debug)]
pub(super) struct Daemon {
    child: Child,
    log: Option<JoinHandle<()>>,
}

impl Daemon {
    pub(super) fn start(setup: &Setup, again: Option<SocketAddr>) -> (SocketAddr, Self) {
        for _ in 0..PORT_TRIES {
            let address = again.unwrap_or_else(free_address);
            if let Some(daemon) = Self::try_start(setup, address) {
                return (address, daemon);
            }
        }
        panic!(
            "sshd -D did not come up; it said:\n{}",
            std::fs::read_to_string(&setup.log).unwrap_or_default()
        );
    }

    fn try_start(setup: &Setup, address: SocketAddr) -> Option<Self> {
        let mut child = setup
            .command()
            .args(["-D", "-e", "-p", &address.port().to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("cannot run {} ({error})", setup.sshd.display()));
        let mut lines = BufReader::new(child.stderr.take().expect("stderr is a pipe"));
        let mut log = File::options()
            .create(true)
            .append(true)
            .open(&setup.log)
            .expect("the log can be opened");
        if !wait_listening(&mut lines, &mut log) {
            let _ = child.wait();
            return None;
        }
        let thread = std::thread::spawn(move || {
            let _ = std::io::copy(&mut lines, &mut log);
        });
        Some(Self { child, log: Some(thread) })
    }

    pub(super) fn kill_connections(&self) {
        let sessions: Vec<u32> = processes::tree(self.child.id())
            .into_iter()
            .filter(|process| process.parent == self.child.id() && process.name.starts_with("sshd"))
            .map(|process| process.pid)
            .collect();
        let killed: Vec<u32> = sessions.into_iter().flat_map(kill_tree).collect();
        wait_all(&killed);
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let killed = kill_tree(self.child.id());
        let _ = self.child.wait();
        wait_all(&killed);
        // The log's pipe closes with its last writer. A remote command never holds it, so this ends at once.
        if let Some(thread) = self.log.take() {
            let _ = thread.join();
        }
    }
}

/// Reads the log until the server says it listens; `false` when it ends before.
fn wait_listening(lines: &mut BufReader<ChildStderr>, log: &mut File) -> bool {
    let mut line = String::new();
    loop {
        line.clear();
        match lines.read_line(&mut line) {
            Ok(0) | Err(_) => return false,
            Ok(_) => {
                let _ = log.write_all(line.as_bytes());
                if line.contains("Server listening on") {
                    return true;
                }
            }
        }
    }
}

fn free_address() -> SocketAddr {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .and_then(|listener| listener.local_addr())
        .expect("a loopback port is free")
}
