//! Servers that accept a connection and then stop at a phase, for deadlines.

use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;

/// A listener on loopback that says its opening line, if any, and then nothing, holding each connection open.
/// Ends on drop.
#[derive(Debug)]
pub struct MuteServer {
    address: SocketAddr,
    closing: Arc<AtomicBool>,
    accepted: Arc<AtomicUsize>,
    thread: Option<JoinHandle<()>>,
}

/// Accepts and never speaks: a client waits for the banner.
#[must_use]
pub fn silent_server() -> MuteServer {
    MuteServer::start("")
}

/// Sends an SSH version line and nothing more: a client waits in the key exchange.
#[must_use]
pub fn banner_only_server() -> MuteServer {
    MuteServer::start("SSH-2.0-OpenSSH_9.2 mute\r\n")
}

/// Speaks another protocol than SSH.
#[must_use]
pub fn web_server() -> MuteServer {
    MuteServer::start("HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n")
}

/// An address on loopback where nobody listens.
///
/// # Panics
/// When loopback has no free port.
#[must_use]
pub fn refused_address() -> SocketAddr {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .and_then(|listener| listener.local_addr())
        .expect("a loopback port is free")
}

impl MuteServer {
    fn start(opening: &'static str) -> Self {
        let listener =
            TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a loopback port is free");
        let address = listener.local_addr().expect("a listener has an address");
        let closing = Arc::new(AtomicBool::new(false));
        let accepted = Arc::new(AtomicUsize::new(0));
        let (stop, count) = (Arc::clone(&closing), Arc::clone(&accepted));
        let thread = std::thread::spawn(move || {
            let mut held = Vec::new();
            while let Ok((mut socket, _)) = listener.accept() {
                if stop.load(Ordering::SeqCst) {
                    return;
                }
                count.fetch_add(1, Ordering::SeqCst);
                let _ = socket.write_all(opening.as_bytes());
                held.push(socket);
            }
        });
        Self { address, closing, accepted, thread: Some(thread) }
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Connections accepted so far.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.accepted.load(Ordering::SeqCst)
    }
}

impl Drop for MuteServer {
    fn drop(&mut self) {
        self.closing.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(self.address);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
