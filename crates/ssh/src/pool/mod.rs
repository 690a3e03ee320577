//! All connections: shared by commands, replaced when dead, closed when idle.
//!
//! Each host has its own set of links, so a host that hangs delays nobody else. A link carries as many channels as the
//! server takes (`MaxSessions`, 10 on a stock sshd), which is learnt from its refusals; more commands get more links.

use std::collections::HashMap;
use std::hash::RandomState;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustix::process::Resource;
use sshepherd_model::{ConnectFailure, Phase};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::auth::{Login, Logins};
use crate::dial;
use crate::link::{Link, Load, NoLink, Renewal, Seat};
use crate::proxy::ProxyStream;
use crate::stop::Order;
use crate::stop_queue::Ticket;
use crate::target::Target;
use crate::wire::Carrier;

use host::HostLinks;
use key::Key;

mod host;
mod key;
mod open;
mod tunnel;

pub(crate) use host::Slot;
pub(crate) use tunnel::Tunnel;

/// How a pool behaves.
#[derive(Debug, Clone, Copy)]
pub struct PoolSettings {
    /// A link without commands is closed after this long.
    pub idle: Duration,
    /// When a link gets no more commands.
    pub renewal: Renewal,
    /// Most connections at once. At the bound, a new one waits for one that carries nothing, which is closed for it.
    pub connections: usize,
}

impl Default for PoolSettings {
    fn default() -> Self {
        Self {
            idle: Duration::from_secs(300),
            renewal: Renewal::default(),
            connections: affordable(rustix::process::getrlimit(Resource::Nofile).current),
        }
    }
}

/// Files that a server has open whatever it does: its store, its record, its streams and those it opens for a moment.
const ALWAYS_OPEN: u64 = 28;

/// Three of eight files that this process may have open beside those: a half is for output, the rest for everything else.
fn affordable(files: Option<u64>) -> usize {
    let most = Semaphore::MAX_PERMITS.min(1 << 20);
    let share = |files: u64| files.saturating_sub(ALWAYS_OPEN) / 8 * 3;
    let share = files.map(|files| usize::try_from(share(files)).unwrap_or(most));
    share.map_or(most, |share| share.clamp(2, most))
}

/// sshd's stock `MaxSessions`; the first guess for a server.
const FIRST_GUESS_SESSIONS: usize = 10;
/// Most links to one host: 32 × 10 sessions are more commands than one host should run at once.
const MAX_LINKS: usize = 32;
/// Handshakes with one host at a time; a stock sshd starts to refuse at 10 (`MaxStartups` 10:30:100).
const HANDSHAKES: usize = 4;
/// Times a link that dies before anything was sent is replaced for one command.
const REPLACEMENTS: usize = 3;
/// The first and the longest wait before a server that hung up before its version line is tried again; doubled each time.
/// `MaxStartups` refuses at random while others log in, which takes each some tenths of a second.
const KNOCK_AGAIN: Duration = Duration::from_millis(150);
const KNOCK_AT_LONGEST: Duration = Duration::from_secs(1);

/// How many times the time for a connection one waits for its place: the others are at work, and nothing is wrong with its host. A
/// command's own limit ends its wait before.
const PLACE_PATIENCE: u32 = 12;

/// How often those who wait for a place ask for one.
const RING_AGAIN: Duration = Duration::from_millis(100);

/// The handle; clones share the links.
#[derive(Clone)]
pub struct Pool {
    inner: Arc<Inner>,
}

struct Inner {
    settings: PoolSettings,
    hashing: RandomState,
    hosts: Mutex<HashMap<Key, Arc<HostLinks>>>,
    /// A permit for each connection that may be made.
    sockets: Arc<Semaphore>,
    /// Rings for one connection that carries nothing, when another one waits for its place.
    full: Notify,
    logins: Arc<Logins>,
    tracker: TaskTracker,
    closing: CancellationToken,
}

impl Pool {
    /// An empty pool.
    #[must_use]
    pub fn new(settings: PoolSettings) -> Self {
        Self {
            inner: Arc::new(Inner {
                settings,
                hashing: RandomState::new(),
                hosts: Mutex::default(),
                sockets: Arc::new(Semaphore::new(settings.connections)),
                full: Notify::new(),
                logins: Arc::default(),
                tracker: TaskTracker::new(),
                closing: CancellationToken::new(),
            }),
        }
    }

    /// Sees to it that a link to `target` stands and is not closed for idleness for `long`; runs nothing there.
    pub async fn warm(&self, target: Arc<Target>, long: Duration) -> Result<(), ConnectFailure> {
        let host = self.host(&target);
        host.want(long);
        self.slot(&host, &target, Seat::Session).await.map(drop)
    }

    /// Lets all links go: new commands connect anew, running ones keep theirs to their end. Decrypted keys are forgotten.
    pub fn forget_all(&self) {
        self.inner.logins.forget_keys();
        for (_, host) in self.hosts().drain() {
            host.forgotten.cancel();
        }
    }

    /// Ends the pauses of log-ins that hosts have refused too often: the owner says that the reason is gone.
    pub fn forgive_refusals(&self) {
        self.inner.logins.forgive();
    }

    /// Closes every link; takes well under a second.
    pub async fn shutdown(&self) {
        self.inner.closing.cancel();
        self.inner.tracker.close();
        self.inner.tracker.wait().await;
        self.forget_all();
    }

    /// Has something stopped on a host, together with what else is to stop there.
    pub(crate) fn stop(&self, target: &Arc<Target>, order: Order) -> Ticket {
        self.host(target).stops.place((self, target), order)
    }

    fn hosts(&self) -> MutexGuard<'_, HashMap<Key, Arc<HostLinks>>> {
        self.inner.hosts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn host(&self, target: &Target) -> Arc<HostLinks> {
        let key = Key::new(target, &self.inner.hashing);
        let renewal = self.inner.settings.renewal;
        let fresh = || Arc::new(HostLinks::new(self.inner.tracker.clone(), renewal));
        Arc::clone(self.hosts().entry(key).or_insert_with(fresh))
    }

    /// A place on a link with room, on a new link, or when both are at their bounds on the first that gets free.
    async fn slot(
        &self,
        host: &Arc<HostLinks>,
        target: &Arc<Target>,
        seat: Seat,
    ) -> Result<Slot, ConnectFailure> {
        let asked = Instant::now();
        loop {
            // Registered before looking, so that a place given back in between is not missed.
            let room = host.room.notified();
            if let Some(slot) = host.free(seat) {
                return Ok(slot);
            }
            if host.links().len() >= host.most_links() {
                room.await;
                continue;
            }
            let first = if host.links().is_empty() { Some(host.first.lock().await) } else { None };
            let Ok(_turn) = host.handshakes.acquire().await else {
                return Err(channel_failure(target, "the pool is closed"));
            };
            // Someone may have connected, or failed to, while we waited for our turn.
            if let Some(slot) = host.free(seat) {
                return Ok(slot);
            }
            if let Some(failure) = host.failure_since(asked) {
                return Err(failure);
            }
            let answer = match self.connect(target).await {
                Ok(link) => Ok(self.adopt(host, Arc::new(link), seat)),
                // It takes us on other connections: one more is too many for it now.
                Err(NoLink::HungUp(_)) if host.is_at_work() => {
                    drop(first);
                    host.learn_links();
                    room.await;
                    continue;
                }
                Err(NoLink::HungUp(failure) | NoLink::Failed(failure)) => {
                    host.failed(&failure);
                    Err(failure)
                }
            };
            // Only now: who waits must find the link, or the failure.
            drop(first);
            return answer;
        }
    }

    /// What carries a connection to the target, and the address that it reaches: straight, through its jump host, or by a
    /// program, which keeps the address to itself.
    pub(crate) async fn carrier(
        &self,
        target: &Arc<Target>,
    ) -> Result<(Carrier, Option<IpAddr>), ConnectFailure> {
        if let Some(proxy) = &target.transport.proxy {
            let place = self.socket(target).await?;
            let stream = ProxyStream::start(target, proxy, place, &self.inner.tracker)?;
            return Ok((Carrier::Program(Box::new(stream)), None));
        }
        let (carrier, peer) = match &target.via {
            None => {
                let place = self.socket(target).await?;
                let (tcp, peer) = dial::dial(target).await?;
                (Carrier::tcp(tcp, place), peer)
            }
            Some(jump) => self.tunnel(target, jump).await?,
        };
        Ok((carrier, Some(peer)))
    }

    /// A place for one more connection.
    async fn socket(&self, target: &Target) -> Result<OwnedSemaphorePermit, ConnectFailure> {
        let sockets = Arc::clone(&self.inner.sockets);
        if let Ok(place) = Arc::clone(&sockets).try_acquire_owned() {
            return Ok(place);
        }
        let patience = target.deadlines.dial.saturating_mul(PLACE_PATIENCE);
        let place = sockets.acquire_owned();
        tokio::pin!(place);
        let place = async {
            loop {
                // Those that carry nothing hear of it in the order in which they fell silent. One hears, and many may wait.
                self.inner.full.notify_one();
                if let Ok(place) = tokio::time::timeout(RING_AGAIN, &mut place).await {
                    return place;
                }
            }
        };
        match tokio::time::timeout(patience, place).await {
            Ok(Ok(place)) => Ok(place),
            Ok(Err(_)) | Err(_) => Err(ConnectFailure {
                phase: Phase::Dial,
                detail: format!(
                    "{}: {} connections are open, all of them at work, and this server can afford no more",
                    target.alias, self.inner.settings.connections
                ).into(),
                hint: "try again, or raise the limit of open files (ulimit -n) that the server is started under"
                    .to_owned(),
            }),
        }
    }

    /// Connects, knocking again where a busy sshd hangs up before its version line, for as long as that line may take.
    async fn connect(&self, target: &Arc<Target>) -> Result<Link, NoLink> {
        let mut login = Login::prepare(target, &self.inner.logins).await?;
        let until = Instant::now() + target.deadlines.banner;
        let mut wait = KNOCK_AGAIN;
        loop {
            let (carrier, peer) = self.carrier(target).await?;
            let program = carrier.last_words();
            let failure = match (Link::over(carrier, peer, target, &mut login).await, program) {
                (Ok(Some(link)), _) => return Ok(link),
                // Each time with fewer methods.
                (Ok(None), _) => continue,
                (Err(NoLink::Failed(failure) | NoLink::HungUp(failure)), Some(program)) => {
                    return Err(NoLink::Failed(program.explain(failure).await));
                }
                (Err(failed @ NoLink::Failed(_)), None) => return Err(failed),
                (Err(hung_up @ NoLink::HungUp(_)), None) => hung_up,
            };
            let pause = wait.mul_f64(jitter());
            if Instant::now() + pause >= until {
                return Err(failure);
            }
            tokio::time::sleep(pause).await;
            wait = (wait * 2).min(KNOCK_AT_LONGEST);
        }
    }

    /// Enters a new link with its first place taken, and watches over it until its end.
    fn adopt(&self, host: &Arc<HostLinks>, link: Arc<Link>, seat: Seat) -> Slot {
        link.load.send_modify(|load| load.enter(seat));
        host.links().push(Arc::clone(&link));
        host.room.notify_waiters();
        let (to, host_links) = (Arc::clone(&link), Arc::clone(host));
        let slot = Slot { link: to, open: None, host: host_links, seat, new: true };
        let keeper = keep(self.inner.clone(), Arc::clone(host), link);
        self.inner.tracker.spawn(keeper);
        slot
    }
}

/// Takes a link out when it ends, when it has been idle for long, or when the pool lets it go and its last command is done.
async fn keep(inner: Arc<Inner>, host: Arc<HostLinks>, link: Arc<Link>) {
    let mut load = link.load.subscribe();
    let idle = async {
        loop {
            // A worn link gets no other command.
            if load.wait_for(Load::is_idle).await.is_err() || link.is_worn(inner.settings.renewal) {
                return;
            }
            let busy =
                tokio::time::timeout(inner.settings.idle, load.wait_for(|load| !load.is_idle()));
            let (over, asked) = tokio::select! {
                busy = busy => (busy.is_err() && !host.is_wanted(), false),
                () = inner.full.notified() => (true, true),
            };
            if over && host.retire(&link) {
                return;
            }
            if asked {
                // It has just been taken: another one is to go.
                inner.full.notify_one();
            }
        }
    };
    let mut last = link.load.subscribe();
    let let_go = async {
        host.forgotten.cancelled().await;
        let _ = last.wait_for(Load::is_idle).await;
    };
    tokio::select! {
        () = link.ended() => {}
        () = link.dies() => {}
        () = idle => {}
        () = let_go => {}
        () = inner.closing.cancelled() => {}
    }
    host.remove(&link);
    link.close().await;
}

/// Between a half and one, so that callers who were refused together do not come back together.
fn jitter() -> f64 {
    let mut byte = [0; 1];
    // Without random numbers they come back together: slower, not wrong.
    let _ = getrandom::fill(&mut byte);
    0.5 + f64::from(u8::from_ne_bytes(byte)) / 510.0
}

fn channel_failure(target: &Target, what: &str) -> ConnectFailure {
    ConnectFailure {
        phase: Phase::Channel,
        detail: format!("{}: {what}", target.alias).into(),
        hint: "nothing was sent; try again".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hostkey::KnownHosts;
    use crate::target::{Deadlines, Transport};
    use sshepherd_model::{AuthMethod, LoginShell, Secret};

    fn target(addresses: &[&str], password: &str) -> Target {
        Target {
            alias: "web".parse().unwrap(),
            addresses: addresses.iter().map(|address| address.parse().unwrap()).collect(),
            host_key_name: "web".to_owned(),
            port: 22,
            username: "ops".to_owned(),
            methods: vec![AuthMethod::Password(Secret::new(password.to_owned()))],
            known_hosts: Arc::new(KnownHosts::default()),
            login_shell: LoginShell::Posix,
            admit_peer: Arc::new(|_| Ok(())),
            deadlines: Deadlines::default(),
            transport: Transport::default(),
            via: None,
            prompter: None,
            on_touch: None,
            password_prompt: None,
        }
    }

    #[test]
    fn links_are_shared_whatever_the_order_of_addresses_and_never_between_logins() {
        let pool = Pool::new(PoolSettings::default());
        let host = |addresses: &[&str], password: &str| pool.host(&target(addresses, password));
        let first = host(&["10.0.0.1:22", "10.0.0.2:22"], "a");
        assert!(Arc::ptr_eq(&first, &host(&["10.0.0.2:22", "10.0.0.1:22"], "a")));
        assert!(!Arc::ptr_eq(&first, &host(&["10.0.0.1:22"], "a")));
        assert!(!Arc::ptr_eq(&first, &host(&["10.0.0.1:22", "10.0.0.2:22"], "b")));
    }
    #[test]
    fn the_way_there_tells_links_apart() {
        let pool = Pool::new(PoolSettings::default());
        let behind = |jump: Option<&str>| {
            let via = jump.map(|password| Arc::new(target(&["10.0.0.9:22"], password)));
            pool.host(&Target { via, ..target(&["10.0.0.1:22"], "a") })
        };
        assert!(Arc::ptr_eq(&behind(Some("a")), &behind(Some("a"))));
        assert!(!Arc::ptr_eq(&behind(Some("a")), &behind(Some("b"))));
        assert!(!Arc::ptr_eq(&behind(Some("a")), &behind(None)));
    }

    /// A server starts with some twenty files, and each connection may have an output of two.
    #[test]
    fn a_low_limit_of_files_has_room_for_all_that_is_open_at_once() {
        for limit in [36, 40, 48, 64, 100, 128, 256, 1024] {
            let outputs = (limit - 30) / 6;
            let open = 20 + affordable(Some(limit)) + 2 * usize::try_from(outputs).unwrap();
            assert!(open < usize::try_from(limit).unwrap(), "{limit}: {open}");
        }
        assert_eq!(affordable(Some(1024)), 372);
    }
}
