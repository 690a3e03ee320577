//! The links of one host, the places on them, and what was learnt about its server.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use russh::ChannelWriteHalf;
use russh::client::Msg;
use sshepherd_model::ConnectFailure;
use tokio::sync::{Notify, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::{FIRST_GUESS_SESSIONS, HANDSHAKES, MAX_LINKS};
use crate::link::{Link, Renewal, Seat};
use crate::stop_queue::StopQueue;

/// Most tunnels through one link to a jump host. sshd sets no limit; links of this many share one stream and one cipher,
/// and a link that is lost takes no more hosts with it.
const MAX_TUNNELS: usize = 32;

/// How long a server that refused one more link is not asked for another while it has some of ours.
const LINKS_LEARNT: Duration = Duration::from_secs(30);

/// The links of one host.
pub(super) struct HostLinks {
    pub(super) links: Mutex<Vec<Arc<Link>>>,
    /// Most channels that a link of this host has been seen to take; forgotten when the last link is gone.
    pub(super) sessions: Mutex<usize>,
    /// How many links the server took when it refused one more, and when that was.
    taken_links: Mutex<Option<(Instant, usize)>>,
    pub(super) handshakes: Semaphore,
    /// Held while the first link is made: callers that come meanwhile wait for it.
    pub(super) first: tokio::sync::Mutex<()>,
    /// The last failure to connect and when it came: who asked before that shares it.
    pub(super) failure: Mutex<Option<(Instant, ConnectFailure)>>,
    /// Rings when a channel or a link has gone.
    pub(super) room: Notify,
    /// A link is kept until then, though it carries nothing.
    pub(super) wanted: Mutex<Option<Instant>>,
    /// Fires when the pool lets these links go.
    pub(super) forgotten: CancellationToken,
    /// The stops that are asked for.
    pub(super) stops: Arc<StopQueue>,
    /// The pool's.
    pub(super) tracker: TaskTracker,
    pub(super) renewal: Renewal,
}

/// A place on a link; gives it back when dropped, after closing the channel that is still open on it.
pub(crate) struct Slot {
    pub(crate) link: Arc<Link>,
    pub(crate) open: Option<Arc<ChannelWriteHalf<Msg>>>,
    pub(super) host: Arc<HostLinks>,
    pub(super) seat: Seat,
    /// Whether the link was made for it.
    pub(super) new: bool,
}

impl Slot {
    /// Returns when the connection has stopped answering, and gives it no other command.
    pub(crate) fn falls_silent(&self) -> impl Future<Output = ()> + Send + 'static {
        let (link, host) = (Arc::clone(&self.link), Arc::clone(&self.host));
        async move {
            link.falls_silent().await;
            host.remove(&link);
        }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        // Outside an event loop there is no connection left to tidy.
        let runtime = tokio::runtime::Handle::try_current();
        let open = self.open.take().filter(|_| !self.link.is_closed());
        if let (Some(channel), Ok(runtime)) = (open, runtime) {
            let closing = Arc::clone(&self.link).close_channel(channel);
            self.host.tracker.spawn_on(closing, &runtime);
        }
        self.link.load.send_modify(|load| load.leave(self.seat));
        self.host.room.notify_waiters();
    }
}

impl HostLinks {
    pub(super) fn new(tracker: TaskTracker, renewal: Renewal) -> Self {
        Self {
            links: Mutex::default(),
            sessions: Mutex::new(FIRST_GUESS_SESSIONS),
            taken_links: Mutex::default(),
            handshakes: Semaphore::new(HANDSHAKES),
            first: tokio::sync::Mutex::default(),
            failure: Mutex::default(),
            room: Notify::new(),
            wanted: Mutex::default(),
            stops: Arc::default(),
            forgotten: CancellationToken::new(),
            tracker,
            renewal,
        }
    }

    pub(super) fn links(&self) -> MutexGuard<'_, Vec<Arc<Link>>> {
        self.links.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn sessions(&self) -> MutexGuard<'_, usize> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A place on a living link that has room.
    pub(super) fn free(self: &Arc<Self>, seat: Seat) -> Option<Slot> {
        let most = match seat {
            Seat::Session => *self.sessions(),
            Seat::Tunnel => MAX_TUNNELS,
        };
        let links = self.links();
        let room = |link: &&Arc<Link>| {
            !link.is_closed()
                && !link.is_worn(self.renewal)
                && link.load.borrow().taken(seat) < most
        };
        let link = links.iter().find(room)?;
        // The lock on the list makes look and take one step.
        link.load.send_modify(|load| load.enter(seat));
        let (link, host) = (Arc::clone(link), Arc::clone(self));
        Some(Slot { link, open: None, host, seat, new: false })
    }

    /// Keeps a link for so long, though it may carry nothing.
    pub(super) fn want(&self, long: Duration) {
        *self.wanted.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now() + long);
    }

    pub(super) fn is_wanted(&self) -> bool {
        let wanted = self.wanted.lock().unwrap_or_else(PoisonError::into_inner);
        wanted.is_some_and(|until| until > Instant::now())
    }

    pub(super) fn failed(&self, failure: &ConnectFailure) {
        let now = Some((Instant::now(), failure.clone()));
        *self.failure.lock().unwrap_or_else(PoisonError::into_inner) = now;
    }

    /// A failure that came after `asked`: connecting again at once would only end the same way.
    pub(super) fn failure_since(&self, asked: Instant) -> Option<ConnectFailure> {
        let last = self.failure.lock().unwrap_or_else(PoisonError::into_inner);
        last.as_ref().filter(|(when, _)| *when > asked).map(|(_, failure)| failure.clone())
    }

    /// Takes a link out if it carries nothing; what looks for a place does so under the same lock.
    pub(super) fn retire(&self, link: &Arc<Link>) -> bool {
        let mut links = self.links();
        if !link.load.borrow().is_idle() {
            return false;
        }
        links.retain(|other| !Arc::ptr_eq(other, link));
        true
    }

    pub(super) fn remove(&self, link: &Arc<Link>) {
        let mut links = self.links();
        links.retain(|other| !Arc::ptr_eq(other, link));
        if links.is_empty() {
            // The server may have been configured anew meanwhile.
            *self.sessions() = FIRST_GUESS_SESSIONS;
        }
        drop(links);
        self.room.notify_waiters();
    }

    /// Most links to have at once.
    pub(super) fn most_links(&self) -> usize {
        let taken = self.taken_links.lock().unwrap_or_else(PoisonError::into_inner);
        let learnt = taken.filter(|(when, _)| when.elapsed() < LINKS_LEARNT);
        learnt.map_or(MAX_LINKS, |(_, links)| links).max(1)
    }

    /// The server hung up on one more link than there are.
    pub(super) fn learn_links(&self) {
        let taken = (Instant::now(), self.links().len());
        *self.taken_links.lock().unwrap_or_else(PoisonError::into_inner) = Some(taken);
    }

    /// Whether a link carries something, so that room will come.
    pub(super) fn is_at_work(&self) -> bool {
        self.links().iter().any(|link| !link.is_closed() && !link.load.borrow().is_idle())
    }

    /// The server refused a channel. Whether there are others of ours on the link: then it takes only so many.
    pub(super) fn learn(&self, slot: &Slot) -> bool {
        // A channel that was given up meanwhile takes a place as well; the next try gets it.
        let spare = slot.link.has_spare();
        let others =
            slot.link.load.borrow().taken(Seat::Session).saturating_sub(1) + usize::from(spare);
        if others == 0 {
            return false;
        }
        let mut most = self.sessions();
        *most = (*most).min(others);
        true
    }
}
