//! One connection, logged in: opens channels until it ends.

use std::net::IpAddr;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use russh::client::{Handle, Msg};
use russh::{Channel, Disconnect};
use sshepherd_model::{ConnectFailure, Phase};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::client::{self, Client, Verdict};
use crate::target::{Deadlines, Target};
use crate::wire::Wire;
use crate::{auth, dial};

/// A connection. `in_use` counts its channels.
pub(crate) struct Link {
    handle: Handle<Client>,
    peer: IpAddr,
    closed: CancellationToken,
    cut: CancellationToken,
    pub(crate) in_use: watch::Sender<usize>,
}

impl Link {
    /// Dials, exchanges keys and logs in; each step under its own deadline, and a failure says which.
    pub(crate) async fn connect(target: &Arc<Target>) -> Result<Self, ConnectFailure> {
        let (tcp, peer) = dial::dial(target).await?;
        let cut = CancellationToken::new();
        let closed = CancellationToken::new();
        // Whatever goes wrong below, the session's own task must not outlive this attempt.
        let guard = cut.clone().drop_guard();
        let verdict = Verdict::default();
        let (phase, watching) = watch::channel(Phase::Banner);
        let callbacks = Client {
            target: Arc::clone(target),
            verdict: Arc::clone(&verdict),
            phase: phase.clone(),
            closed: closed.clone(),
        };
        let wire = Wire::new(tcp, cut.clone(), phase);
        let handshake =
            russh::client::connect_stream(Arc::new(client::config(target)), wire, callbacks);
        let mut handle = timed(handshake, watching, &target.deadlines)
            .await
            .map_err(|(phase, error)| failed(target, &verdict, phase, error))?;
        tokio::time::timeout(target.deadlines.auth, auth::log_in(&mut handle, target))
            .await
            .map_err(|_| ConnectFailure {
                phase: Phase::Auth,
                detail: format!(
                    "{} did not finish the log-in within {} s",
                    target.alias,
                    target.deadlines.auth.as_secs()
                ),
                hint: "the server may be overloaded or waiting for a name service; see its log"
                    .to_owned(),
            })??;
        let (in_use, _) = watch::channel(0);
        guard.disarm();
        Ok(Self { handle, peer, closed, cut, in_use })
    }

    /// The address that was reached.
    pub(crate) fn peer(&self) -> IpAddr {
        self.peer
    }

    /// Whether the connection has ended.
    pub(crate) fn is_closed(&self) -> bool {
        self.closed.is_cancelled() || self.handle.is_closed()
    }

    /// Returns when the connection has ended.
    pub(crate) async fn ended(&self) {
        self.closed.cancelled().await;
    }

    /// Opens a session channel.
    pub(crate) async fn channel(&self) -> Result<Channel<Msg>, russh::Error> {
        self.handle.channel_open_session().await
    }

    /// Says goodbye and closes; bounded, for the other side may not read any more.
    pub(crate) async fn close(&self) {
        let goodbye = self.handle.disconnect(Disconnect::ByApplication, "", "");
        let _ = tokio::time::timeout(GOODBYE, goodbye).await;
        let _ = tokio::time::timeout(GOODBYE, self.closed.cancelled()).await;
        self.cut.cancel();
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

/// How long a goodbye may take.
const GOODBYE: Duration = Duration::from_millis(250);

/// Runs a handshake under the deadline of whichever phase it is in.
async fn timed<T>(
    handshake: impl Future<Output = Result<T, russh::Error>>,
    mut phase: watch::Receiver<Phase>,
    deadlines: &Deadlines,
) -> Result<T, (Phase, Option<russh::Error>)> {
    tokio::pin!(handshake);
    loop {
        let now = *phase.borrow_and_update();
        let limit = if now == Phase::Banner { deadlines.banner } else { deadlines.key_exchange };
        tokio::select! {
            done = &mut handshake => {
                let now = *phase.borrow();
                return done.map_err(|error| (now, Some(error)));
            }
            Ok(()) = phase.changed() => {}
            () = tokio::time::sleep(limit) => return Err((now, None)),
        }
    }
}

/// What a failed handshake means: our own verdict on the key first, then the phase it stopped in.
fn failed(
    target: &Target,
    verdict: &Verdict,
    phase: Phase,
    error: Option<russh::Error>,
) -> ConnectFailure {
    if let Some(failure) = verdict.lock().unwrap_or_else(PoisonError::into_inner).take() {
        return failure;
    }
    let phase = if phase == Phase::Auth { Phase::KeyExchange } else { phase };
    let detail = match error {
        Some(error) => format!("{}: {error}", target.alias),
        None => format!("{} said nothing for too long", target.alias),
    };
    let hint = if phase == Phase::Banner {
        "the port may not be sshd's, or the server refuses new connections (MaxStartups, a full machine)"
    } else {
        "client and server may share no algorithm, or the path between them drops packets"
    };
    ConnectFailure { phase, detail, hint: hint.to_owned() }
}
