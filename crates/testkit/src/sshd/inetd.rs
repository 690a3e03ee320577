//! One `sshd -i` for each accepted connection; the listener is ours.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use rustix::process::{Pid, WaitId, WaitIdOptions, waitid};

use super::Setup;
use super::kill::{END_LIMIT, kill_tree, wait_all};

/// The processes of present connections. A process leaves the set before it is reaped and under the same lock
/// that a kill holds, so a kill never meets a reused id.
#[derive(Debug, Default)]
struct Sessions {
    pids: Mutex<BTreeSet<u32>>,
    changed: Condvar,
    accepted: AtomicUsize,
    closing: AtomicBool,
}

impl Sessions {
    fn lock(&self) -> MutexGuard<'_, BTreeSet<u32>> {
        self.pids.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for the end of one process and reaps it.
    fn reap(&self, mut child: Child) {
        if let Some(pid) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) {
            let look = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
            while let Err(rustix::io::Errno::INTR) = waitid(WaitId::Pid(pid), look) {}
        }
        let mut pids = self.lock();
        pids.remove(&child.id());
        let _ = child.wait();
        self.changed.notify_all();
    }

    fn kill(&self) {
        let pids = self.lock();
        let killed: Vec<u32> = pids.iter().flat_map(|pid| kill_tree(*pid)).collect();
        let before = pids.clone();
        let (pids, timeout) = self
            .changed
            .wait_timeout_while(pids, END_LIMIT, |now| now.iter().any(|pid| before.contains(pid)))
            .unwrap_or_else(PoisonError::into_inner);
        drop(pids);
        assert!(!timeout.timed_out(), "sshd processes {before:?} do not die");
        wait_all(&killed);
    }
}

/// A listener and the sessions behind it.
#[derive(Debug)]
pub(super) struct Inetd {
    address: SocketAddr,
    sessions: Arc<Sessions>,
    listener: Option<JoinHandle<()>>,
}

impl Inetd {
    pub(super) fn start(setup: &Setup, again: Option<SocketAddr>) -> (SocketAddr, Self) {
        let wanted = again.unwrap_or_else(|| SocketAddr::from((Ipv4Addr::LOCALHOST, 0)));
        let listener = TcpListener::bind(wanted)
            .unwrap_or_else(|error| panic!("cannot listen on {wanted}: {error}"));
        let address = listener.local_addr().expect("a listener has an address");
        let sessions = Arc::new(Sessions::default());
        let mut template = setup.command();
        template.arg("-i").arg("-E").arg(&setup.log);
        let shared = Arc::clone(&sessions);
        let thread = std::thread::spawn(move || accept(&listener, template, &shared));
        let inetd = Self { address, sessions, listener: Some(thread) };
        (address, inetd)
    }

    pub(super) fn accepted(&self) -> usize {
        self.sessions.accepted.load(Ordering::SeqCst)
    }

    pub(super) fn kill_connections(&self) {
        self.sessions.kill();
    }
}

impl Drop for Inetd {
    fn drop(&mut self) {
        self.sessions.closing.store(true, Ordering::SeqCst);
        // Wakes the accept below.
        let _ = TcpStream::connect(self.address);
        if let Some(thread) = self.listener.take() {
            let _ = thread.join();
        }
        self.sessions.kill();
    }
}

fn accept(listener: &TcpListener, mut template: Command, sessions: &Arc<Sessions>) {
    loop {
        let Ok((socket, _)) = listener.accept() else {
            return;
        };
        if sessions.closing.load(Ordering::SeqCst) {
            return;
        }
        sessions.accepted.fetch_add(1, Ordering::SeqCst);
        let Ok(twin) = socket.try_clone() else {
            continue;
        };
        // Held over the spawn, so that a kill sees every process.
        let mut pids = sessions.lock();
        let child = template
            .stdin(Stdio::from(OwnedFd::from(socket)))
            .stdout(Stdio::from(OwnedFd::from(twin)))
            .stderr(Stdio::null())
            .spawn()
            .expect("sshd started a moment ago");
        // Else the command would keep the client's socket open until the next connection.
        template.stdin(Stdio::null()).stdout(Stdio::null());
        pids.insert(child.id());
        drop(pids);
        let sessions = Arc::clone(sessions);
        std::thread::spawn(move || sessions.reap(child));
    }
}
