//! One connection, logged in: opens channels until it ends.

use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use russh::client::{Handle, Msg};
use russh::{Channel, ChannelWriteHalf, Disconnect};
use sshepherd_model::{ConnectFailure, Keepalive, Phase};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::algorithms;
use crate::auth::{Ended, Login};
use crate::client::{self, Client, Verdict};
use crate::target::{Deadlines, Target};
use crate::wire::{Carrier, MAX_BEFORE_LOG_IN, Meter, Progress, Wire};

/// What a place on a connection is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Seat {
    /// A command's session; the server allows so many (`MaxSessions`).
    Session,
    /// A connection to a host behind this one; the server counts none of them.
    Tunnel,
}

/// What a connection carries.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Load {
    sessions: usize,
    tunnels: usize,
}

impl Load {
    /// How many places of one kind are taken.
    pub(crate) fn taken(&self, seat: Seat) -> usize {
        match seat {
            Seat::Session => self.sessions,
            Seat::Tunnel => self.tunnels,
        }
    }

    /// Whether it carries nothing.
    pub(crate) fn is_idle(&self) -> bool {
        self.sessions == 0 && self.tunnels == 0
    }

    pub(crate) fn enter(&mut self, seat: Seat) {
        *self.count(seat) += 1;
    }

    pub(crate) fn leave(&mut self, seat: Seat) {
        let count = self.count(seat);
        *count = count.saturating_sub(1);
    }

    fn count(&mut self, seat: Seat) -> &mut usize {
        match seat {
            Seat::Session => &mut self.sessions,
            Seat::Tunnel => &mut self.tunnels,
        }
    }
}

/// When a connection gets no more commands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Renewal {
    /// So long after its log-in.
    pub after: Duration,
    /// When it has carried so many bytes in one direction.
    pub bytes: u64,
}

impl Default for Renewal {
    /// Well below `RekeyLimit 1G 1h`, the strictest that guides for hardening ask of sshd: a second key exchange ends the
    /// connection and the commands on it.
    fn default() -> Self {
        Self { after: Duration::from_secs(30 * 60), bytes: 256 * 1024 * 1024 }
    }
}

/// A connection.
pub(crate) struct Link {
    pub(crate) handle: Handle<Client>,
    peer: Option<IpAddr>,
    closed: CancellationToken,
    cut: CancellationToken,
    pub(crate) verdict: Verdict,
    pub(crate) keepalive: Option<Keepalive>,
    /// Whether the server has answered a question outside a channel.
    pub(crate) answered: AtomicBool,
    since: Instant,
    meter: Arc<Meter>,
    pub(crate) load: watch::Sender<Load>,
    /// Channels that are being closed before their end.
    closing: watch::Sender<usize>,
    /// Open channels that nobody wanted; never more than were in use at once.
    spares: Mutex<Vec<Channel<Msg>>>,
}

/// Why there is no connection.
pub(crate) enum NoLink {
    /// The server hung up before its version line, as a busy sshd does: it may take the next one.
    HungUp(ConnectFailure),
    /// Trying again at once would end the same way.
    Failed(ConnectFailure),
}

impl From<ConnectFailure> for NoLink {
    fn from(failure: ConnectFailure) -> Self {
        Self::Failed(failure)
    }
}

impl Link {
    /// Exchanges keys and logs in over `carrier`, which reached `peer`; each step under its own deadline, and a failure
    /// says which. `None` is a log-in that goes on with the methods left on another connection.
    pub(crate) async fn over(
        carrier: Carrier,
        peer: Option<IpAddr>,
        target: &Arc<Target>,
        login: &mut Login,
    ) -> Result<Option<Self>, NoLink> {
        let cut = CancellationToken::new();
        let closed = CancellationToken::new();
        // Whatever goes wrong below, the session's own task must not outlive this attempt.
        let guard = cut.clone().drop_guard();
        let verdict = Verdict::default();
        let (progress, watching) = watch::channel(Progress::new());
        let callbacks = Client {
            target: Arc::clone(target),
            verdict: Arc::clone(&verdict),
            progress: progress.clone(),
            closed: closed.clone(),
            keyed: false,
            warned: false,
        };
        let wire = Wire::new(carrier, &cut, progress);
        let meter = wire.meter();
        let config = Arc::new(client::config(target));
        let handshake = russh::client::connect_stream(config, wire, callbacks);
        let mut handle =
            timed(handshake, watching, &target.deadlines).await.map_err(|(progress, error)| {
                match flood(target, &meter, Phase::KeyExchange) {
                    Some(failure) => NoLink::Failed(failure),
                    None => failed(target, &verdict, &progress, error),
                }
            })?;
        if let Err(ended) = login.over(&mut handle, &closed).await {
            let known = found(&verdict).or_else(|| flood(target, &meter, Phase::Auth));
            return match (known, ended) {
                (Some(failure), _) | (None, Ended::Failed(failure)) => Err(failure.into()),
                (None, Ended::Again) => Ok(None),
            };
        }
        meter.logged_in();
        let (load, _) = watch::channel(Load::default());
        guard.disarm();
        let (closing, _) = watch::channel(0);
        let (since, spares) = (Instant::now(), Mutex::default());
        let (keepalive, answered) = (target.transport.keepalive, AtomicBool::new(false));
        Ok(Some(Self {
            handle,
            peer,
            closed,
            cut,
            verdict,
            keepalive,
            answered,
            since,
            meter,
            load,
            closing,
            spares,
        }))
    }

    /// The address that was reached.
    pub(crate) fn peer(&self) -> Option<IpAddr> {
        self.peer
    }

    /// Whether the connection has ended.
    pub(crate) fn is_closed(&self) -> bool {
        self.closed.is_cancelled() || self.handle.is_closed()
    }

    /// Whether it has served long enough: new commands get a new one, before the server asks for new keys.
    pub(crate) fn is_worn(&self, renewal: Renewal) -> bool {
        self.since.elapsed() >= renewal.after || self.meter.carried() >= renewal.bytes
    }

    /// Why it ended, where our side knows more than that it did.
    pub(crate) fn failure(&self) -> Option<ConnectFailure> {
        found(&self.verdict)
    }

    /// The same in words.
    pub(crate) fn how_it_ended(&self) -> String {
        self.failure().map_or_else(
            || "the connection was lost".to_owned(),
            |failure| failure.detail.to_string(),
        )
    }

    /// Returns when the connection has ended.
    pub(crate) async fn ended(&self) {
        self.closed.cancelled().await;
    }

    /// How long nothing has come from the server.
    pub(crate) fn silent_for(&self) -> Duration {
        self.meter.silent_for()
    }

    /// Opens a session channel, after those that are being closed have made room.
    ///
    /// One that was opened and never used is taken first, when the server is known to be there: opening one would show it.
    pub(crate) async fn channel(&self) -> Result<Channel<Msg>, russh::Error> {
        let spare = self.spares().pop();
        if let Some(spare) = spare {
            let there = self.silent_for() < FRESH || self.answers(Duration::MAX).await;
            return if there { Ok(spare) } else { Err(russh::Error::Disconnect) };
        }
        // The sender lives as long as this link.
        let _ = self.closing.subscribe().wait_for(|count| *count == 0).await;
        self.handle.channel_open_session().await
    }

    /// Keeps a channel on which nothing was sent for the next command: sshd 9.2 does not free a session that is closed
    /// before a request came, so closing it would cost one of its places for good.
    pub(crate) fn keep(&self, channel: Channel<Msg>) {
        self.spares().push(channel);
    }

    /// Whether a channel is kept.
    pub(crate) fn has_spare(&self) -> bool {
        !self.spares().is_empty()
    }

    fn spares(&self) -> MutexGuard<'_, Vec<Channel<Msg>>> {
        self.spares.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks the server to connect to `to`; nothing is sent there yet.
    pub(crate) async fn reach(&self, to: SocketAddr) -> Result<Channel<Msg>, russh::Error> {
        // Where we come from is nobody's business (RFC 4254, 7.2 wants an address).
        let port = u32::from(to.port());
        self.handle.channel_open_direct_tcpip(to.ip().to_string(), port, "127.0.0.1", 0).await
    }

    /// Closes a channel that is still open; no other is opened until the server has dealt with it. sshd counts a closed
    /// session until its next turn, which has come when it answers a question that was sent after.
    pub(crate) fn close_channel(
        self: Arc<Self>,
        channel: Arc<ChannelWriteHalf<Msg>>,
    ) -> impl Future<Output = ()> + Send + 'static {
        // Counted now, not when the future is first polled.
        self.closing.send_modify(|count| *count += 1);
        async move {
            let settled = async {
                let _ = channel.close().await;
                let _ = self.handle.send_ping().await;
            };
            // Some servers answer no questions; they must not hold up those who want a channel.
            let settled = tokio::time::timeout(SETTLED, settled);
            tokio::select! {
                _ = settled => {}
                () = self.ended() => {}
            }
            self.closing.send_modify(|count| *count = count.saturating_sub(1));
        }
    }

    /// Says goodbye and closes; bounded, for the other side may not read any more.
    pub(crate) async fn close(&self) {
        let goodbye = self.handle.disconnect(Disconnect::ByApplication, "", "");
        let _ = tokio::time::timeout(GOODBYE, goodbye).await;
        let _ = tokio::time::timeout(GOODBYE, self.closed.cancelled()).await;
        self.cut.cancel();
    }

    /// Closes without a word, unless somebody else is on it.
    pub(crate) fn give_up(&self) {
        let alone = {
            let load = self.load.borrow();
            load.sessions <= 1 && load.tunnels == 0
        };
        if alone {
            self.cut();
        }
    }

    /// Closes without a word: the connection is stuck.
    pub(crate) fn cut(&self) {
        self.cut.cancel();
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.cut.cancel();
    }
}

fn found(verdict: &Verdict) -> Option<ConnectFailure> {
    verdict.lock().unwrap_or_else(PoisonError::into_inner).clone()
}

fn flood(target: &Target, meter: &Meter, phase: Phase) -> Option<ConnectFailure> {
    meter.is_over().then(|| ConnectFailure {
        phase,
        detail: format!(
            "{} sent more than {MAX_BEFORE_LOG_IN} bytes before the log-in was over",
            target.alias
        )
        .into(),
        hint: "no SSH server in order does this; see what listens on this port".to_owned(),
    })
}

/// A link is taken to be alive for so long after something came.
const FRESH: Duration = Duration::from_secs(1);

/// How long the closing of one channel may hold up the opening of the next.
const SETTLED: Duration = Duration::from_secs(2);

/// How long a goodbye may take.
const GOODBYE: Duration = Duration::from_millis(250);

/// Runs a handshake under the deadline of whichever phase it is in.
pub(crate) async fn timed<T>(
    handshake: impl Future<Output = Result<T, russh::Error>>,
    mut progress: watch::Receiver<Progress>,
    deadlines: &Deadlines,
) -> Result<T, (Progress, Option<russh::Error>)> {
    tokio::pin!(handshake);
    loop {
        let now = progress.borrow_and_update().phase;
        let limit = if now == Phase::Banner { deadlines.banner } else { deadlines.key_exchange };
        tokio::select! {
            done = &mut handshake => {
                return done.map_err(|error| (progress.borrow().clone(), Some(error)));
            }
            Ok(()) = progress.changed() => {}
            () = tokio::time::sleep(limit) => {
                return Err((progress.borrow().clone(), None));
            }
        }
    }
}

/// What a failed handshake means: our own verdict on the key first, then the phase it stopped in.
pub(crate) fn failed(
    target: &Target,
    verdict: &Verdict,
    progress: &Progress,
    error: Option<russh::Error>,
) -> NoLink {
    if let Some(failure) = found(verdict) {
        return NoLink::Failed(failure);
    }
    let alias = &target.alias;
    if let Some(russh::Error::NoCommonAlgo { kind, theirs, .. }) = &error {
        return NoLink::Failed(algorithms::disagreement(target, kind, theirs));
    }
    if progress.phase != Phase::Banner {
        return NoLink::Failed(ConnectFailure {
            phase: Phase::KeyExchange,
            detail: error
                .map_or_else(|| silent(target), |error| format!("{alias}: {error}"))
                .into(),
            hint:
                "client and server may share no algorithm, or the path between them drops packets"
                    .to_owned(),
        });
    }
    let said = progress.said.trim();
    let failure = |detail: String| {
        ConnectFailure {
        phase: Phase::Banner,
        detail: detail.into(),
        hint: "the port may not be sshd's, or the server refuses new connections (MaxStartups, a full machine)"
            .to_owned(),
    }
    };
    match error {
        None => NoLink::Failed(failure(silent(target))),
        Some(error @ (russh::Error::Disconnect | russh::Error::IO(_))) if said.is_empty() => {
            NoLink::HungUp(failure(format!("{alias} hung up before its version line: {error}")))
        }
        Some(_) if REFUSALS.contains(&said) => {
            NoLink::HungUp(failure(format!("{alias} takes no more connections now: {said}")))
        }
        Some(error) if said.is_empty() => NoLink::Failed(failure(format!("{alias}: {error}"))),
        Some(error) => {
            NoLink::Failed(failure(format!("{alias} is no SSH server: {error}; it said: {said}")))
        }
    }
}

/// What sshd says before it hangs up on a connection that it may take later (9.8 and newer; older ones say nothing).
const REFUSALS: [&str; 2] = ["Exceeded MaxStartups", "Not allowed at this time"];

fn silent(target: &Target) -> String {
    format!("{} said nothing for too long", target.alias)
}
