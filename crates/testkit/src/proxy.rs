//! A TCP proxy on loopback that cuts, stalls and resets connections on demand.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// Bytes read at once in one direction; also the most that a stall lets slip into the proxy.
const BUFFER_BYTES: usize = 64 * 1024;

/// Which way bytes are held back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stall {
    /// From the client to the server.
    ToServer,
    /// From the server to the client.
    ToClient,
    /// Both ways.
    Both,
}

/// The direction of one pump.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    ToServer,
    ToClient,
}

/// What comes over one connection at a byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LinkFate {
    /// Nothing passes any more, either way, and neither side hears of it.
    Silence,
    /// It is closed on both sides.
    Cut,
}

/// Where one connection fails.
#[derive(Debug, Clone, Copy)]
struct LinkFailure {
    /// The direction in which bytes are counted.
    way: Way,
    /// So many of them pass.
    after: usize,
    fate: LinkFate,
}

/// What the wire does; each change is seen by every connection.
#[derive(Debug, Clone, Copy, Default)]
struct Wire {
    stall: Option<Stall>,
    /// New connections are closed at once.
    refusing: bool,
    /// Counts cuts: a connection ends when it differs from what it saw at its start.
    cuts: u64,
    /// Whether the last cut was a reset.
    reset: bool,
    /// Counts how often the path forgot its connections: those from before pass nothing more.
    forgotten: u64,
    closing: bool,
}

impl Wire {
    fn holds(self, way: Way) -> bool {
        match self.stall {
            None => false,
            Some(Stall::Both) => true,
            Some(Stall::ToServer) => way == Way::ToServer,
            Some(Stall::ToClient) => way == Way::ToClient,
        }
    }
}

#[derive(Debug)]
struct Counts {
    accepted: AtomicUsize,
    open: watch::Sender<usize>,
    /// What the next connection meets.
    next: Mutex<Option<LinkFailure>>,
    target: Mutex<SocketAddr>,
}

/// The value behind a lock, whoever died with it.
fn locked<T>(value: &Mutex<T>) -> MutexGuard<'_, T> {
    value.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The proxy, with a thread and an event loop of its own, so that it works in any test. Ends on drop.
#[derive(Debug)]
pub struct FaultProxy {
    address: SocketAddr,
    wire: watch::Sender<Wire>,
    counts: Arc<Counts>,
    thread: Option<JoinHandle<()>>,
}

impl FaultProxy {
    /// Forwards `127.0.0.1:PORT` (see [`FaultProxy::address`]) to `target`.
    ///
    /// # Panics
    /// When no event loop or loopback port can be had.
    #[must_use]
    pub fn start(target: SocketAddr) -> Self {
        let listener =
            std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a loopback port is free");
        let address = listener.local_addr().expect("a listener has an address");
        listener.set_nonblocking(true).expect("a listener can be made non-blocking");
        let (wire, seen) = watch::channel(Wire::default());
        let counts = Arc::new(Counts {
            accepted: AtomicUsize::default(),
            open: watch::Sender::default(),
            next: Mutex::default(),
            target: Mutex::new(target),
        });
        let shared = Arc::clone(&counts);
        // All of it in the thread: the caller may be inside an event loop of its own.
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_io()
                .build()
                .expect("an event loop can be made");
            runtime.block_on(async {
                let listener = TcpListener::from_std(listener).expect("an event loop takes it");
                accept(listener, seen, shared).await;
            });
        });
        Self { address, wire, counts, thread: Some(thread) }
    }

    /// Where clients connect.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Port where clients connect.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// Connections accepted so far.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.counts.accepted.load(Ordering::SeqCst)
    }

    /// Connections open now.
    #[must_use]
    pub fn open(&self) -> usize {
        *self.counts.open.borrow()
    }

    /// Returns when no connection is open.
    pub async fn all_closed(&self) {
        // The sender lives as long as this value.
        let _ = self.counts.open.subscribe().wait_for(|open| *open == 0).await;
    }

    /// Holds bytes back from now on; connections stay open.
    pub fn stall(&self, stall: Stall) {
        self.wire.send_modify(|wire| wire.stall = Some(stall));
    }

    /// Lets bytes flow again, the held ones first.
    pub fn resume(&self) {
        self.wire.send_modify(|wire| wire.stall = None);
    }

    /// Closes all present connections in order (FIN) on both sides.
    pub fn cut(&self) {
        self.wire.send_modify(|wire| (wire.cuts, wire.reset) = (wire.cuts + 1, false));
    }

    /// Resets all present connections (RST) on both sides.
    pub fn reset(&self) {
        self.wire.send_modify(|wire| (wire.cuts, wire.reset) = (wire.cuts + 1, true));
    }

    /// The path forgets all present connections, as a NAT does or a machine that slept: their bytes are dropped and neither
    /// side hears of it. New ones work.
    pub fn forget(&self) {
        self.wire.send_modify(|wire| wire.forgotten += 1);
    }

    /// Lets so many bytes of the next connection pass to the server; then its fate comes. Those after it work.
    pub fn fail_next_to_server(&self, after: usize, fate: LinkFate) {
        *locked(&self.counts.next) = Some(LinkFailure { way: Way::ToServer, after, fate });
    }

    /// The same with bytes to the client.
    pub fn fail_next_to_client(&self, after: usize, fate: LinkFate) {
        *locked(&self.counts.next) = Some(LinkFailure { way: Way::ToClient, after, fate });
    }

    /// New connections lead to `target` from now on.
    pub fn lead_to(&self, target: SocketAddr) {
        *locked(&self.counts.target) = target;
    }

    /// Closes each new connection as soon as it is accepted.
    pub fn refuse(&self) {
        self.wire.send_modify(|wire| wire.refusing = true);
    }

    /// Serves new connections again.
    pub fn admit(&self) {
        self.wire.send_modify(|wire| wire.refusing = false);
    }
}

impl Drop for FaultProxy {
    fn drop(&mut self) {
        self.wire.send_modify(|wire| wire.closing = true);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

async fn accept(listener: TcpListener, mut wire: watch::Receiver<Wire>, counts: Arc<Counts>) {
    let mut connections = tokio::task::JoinSet::new();
    let mut watched = wire.clone();
    loop {
        let socket = tokio::select! {
            _ = watched.wait_for(|wire| wire.closing) => return,
            accepted = listener.accept() => accepted,
            Some(_) = connections.join_next() => continue,
        };
        let Ok((client, _)) = socket else { return };
        counts.accepted.fetch_add(1, Ordering::SeqCst);
        let now = *wire.borrow_and_update();
        if now.refusing {
            continue;
        }
        let target = Target {
            address: *locked(&counts.target),
            born: now.cuts,
            known: now.forgotten,
            failing: locked(&counts.next).take(),
        };
        connections.spawn(forward(client, target, wire.clone(), Arc::clone(&counts)));
    }
}

/// Where a connection goes, and how many cuts there were when it was accepted.
struct Target {
    address: SocketAddr,
    born: u64,
    /// How often the path had forgotten its connections by then.
    known: u64,
    failing: Option<LinkFailure>,
}

async fn forward(
    mut client: TcpStream,
    target: Target,
    mut wire: watch::Receiver<Wire>,
    counts: Arc<Counts>,
) {
    let Ok(mut server) = TcpStream::connect(target.address).await else {
        return;
    };
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    counts.open.send_modify(|open| *open += 1);
    let (client_read, client_write) = client.split();
    let (server_read, server_write) = server.split();
    let fate = watch::Sender::new(None);
    let mut met = fate.subscribe();
    let lane = |way| Lane {
        way,
        known: target.known,
        failing: target.failing.filter(|failing| failing.way == way),
        fate: &fate,
    };
    let up = pump(client_read, server_write, lane(Way::ToServer), wire.clone());
    let down = pump(server_read, client_write, lane(Way::ToClient), wire.clone());
    let reset = tokio::select! {
        _ = async { tokio::join!(up, down) } => false,
        _ = met.wait_for(|fate| *fate == Some(LinkFate::Cut)) => false,
        cut = wire.wait_for(|wire| wire.cuts != target.born) => cut.is_ok_and(|wire| wire.reset),
    };
    if reset {
        let _ = (client.set_zero_linger(), server.set_zero_linger());
    }
    drop((client, server));
    counts.open.send_modify(|open| *open -= 1);
}

/// One direction of one connection.
struct Lane<'a> {
    way: Way,
    known: u64,
    failing: Option<LinkFailure>,
    /// What has come over the connection.
    fate: &'a watch::Sender<Option<LinkFate>>,
}

/// Moves bytes one way until the end of input, waiting before each write while the wire holds this way; those of a connection
/// that the path has forgotten, or over which silence has come, go nowhere.
async fn pump(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    lane: Lane<'_>,
    mut wire: watch::Receiver<Wire>,
) {
    let mut buffer = vec![0; BUFFER_BYTES];
    let mut passed: usize = 0;
    loop {
        let Ok(length) = from.read(&mut buffer).await else { return };
        if wire.wait_for(|wire| !wire.holds(lane.way)).await.is_err() {
            return;
        }
        if lane.fate.borrow().is_some() || wire.borrow().forgotten != lane.known {
            if length == 0 {
                // The other side hears of no end either.
                return;
            }
            continue;
        }
        let Some(bytes) = buffer.get(..length).filter(|bytes| !bytes.is_empty()) else {
            let _ = to.shutdown().await;
            return;
        };
        let left = lane.failing.map_or(length, |failing| failing.after.saturating_sub(passed));
        passed = passed.saturating_add(length);
        let bytes = bytes.get(..left).unwrap_or(bytes);
        if to.write_all(bytes).await.is_err() {
            return;
        }
        if let Some(failing) = lane.failing.filter(|failing| failing.after <= passed) {
            lane.fate.send_replace(Some(failing.fate));
        }
    }
}
