//! The SSH side of a fake host: login and channels, on russh's server.

use std::sync::Arc;
use std::time::Duration;

use russh::keys::{PrivateKey, PublicKey};
use russh::server::{
    Auth, ChannelOpenHandle, Config, Handler, Msg, PublicKeyOffer, Session, VerifiedPublicKey,
};
use russh::{Channel, ChannelId, ChannelOpenFailure, MethodKind, MethodSet};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::channel::{self, Seats, Surroundings};
use crate::fault::{Fault, Faults};
use crate::machine::Machine;
use crate::stream::Cuttable;

/// Tries a client has to log in: OpenSSH's default.
const MAX_AUTH_TRIES: usize = 6;

/// What all connections of a host share.
pub(crate) struct Shared {
    pub(crate) machine: Arc<Machine>,
    pub(crate) config: Arc<Config>,
    pub(crate) client_key: PublicKey,
    pub(crate) password: Option<String>,
    pub(crate) faults: Faults,
    pub(crate) tracker: TaskTracker,
    /// Ends the host with all its processes.
    pub(crate) stop: CancellationToken,
}

/// Settings of a host with this key.
pub(crate) fn config(key: PrivateKey) -> Config {
    Config {
        keys: vec![key],
        methods: MethodSet::from([MethodKind::PublicKey, MethodKind::Password].as_slice()),
        max_auth_attempts: MAX_AUTH_TRIES,
        // Nobody guesses at these logins, so a refusal need not be slow.
        auth_rejection_time: Duration::ZERO,
        inactivity_timeout: None,
        nodelay: true,
        ..Config::default()
    }
}

/// Serves one connection until its end or until it is cut.
pub(crate) async fn serve<S>(shared: Arc<Shared>, stream: S, cut: CancellationToken)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let mut stream = Cuttable::new(stream, &cut);
    let silent = shared.faults.has(Fault::SilentBanner);
    if silent || shared.faults.has(Fault::StopAfterBanner) {
        if !silent && stream.write_all(b"SSH-2.0-FakeHost\r\n").await.is_err() {
            return;
        }
        cut.cancelled().await;
        return;
    }
    let config = Arc::clone(&shared.config);
    let connection =
        Connection { shared, cut: cut.clone(), seats: Seats::default(), unanswered: Vec::new() };
    let result = match russh::server::run_stream(config, stream, connection).await {
        Ok(session) => session.await,
        Err(error) => Err(error),
    };
    if let Err(error) = result {
        tracing::debug!(%error, "a fake host's connection ended");
    }
    // Whatever still waits for this connection sees its end.
    cut.cancel();
}

/// One connection.
struct Connection {
    shared: Arc<Shared>,
    cut: CancellationToken,
    seats: Seats,
    /// Channel requests that are never answered; dropping one would answer it.
    unanswered: Vec<ChannelOpenHandle>,
}

impl Connection {
    fn has(&self, fault: Fault) -> bool {
        self.shared.faults.has(fault)
    }

    /// A login that `right` says is good, unless a fault is in the way.
    async fn judge(&self, user: &str, right: bool) -> Auth {
        if self.has(Fault::StopInAuth) {
            self.cut.cancelled().await;
        }
        if right && user == self.shared.machine.user && !self.has(Fault::RefuseAuth) {
            Auth::Accept
        } else {
            Auth::reject()
        }
    }

    fn full(&self) -> bool {
        let open = self.seats.taken();
        self.has(Fault::RefuseChannels)
            || self.shared.faults.max_sessions().is_some_and(|most| open >= most)
    }
}

impl Handler for Connection {
    type Error = russh::Error;

    async fn auth_password(&mut self, user: &str, password: &str) -> Result<Auth, Self::Error> {
        let right = self.shared.password.as_deref() == Some(password);
        Ok(self.judge(user, right).await)
    }

    async fn auth_publickey_offered(
        &mut self,
        user: &str,
        offer: PublicKeyOffer<'_>,
    ) -> Result<Auth, Self::Error> {
        let right = offer.public_key.key_data() == self.shared.client_key.key_data();
        Ok(self.judge(user, right).await)
    }

    async fn auth_publickey(
        &mut self,
        user: &str,
        key: VerifiedPublicKey<'_>,
    ) -> Result<Auth, Self::Error> {
        let right = key.public_key.key_data() == self.shared.client_key.key_data();
        Ok(self.judge(user, right).await)
    }

    async fn channel_open_session(
        &mut self,
        channel: Channel<Msg>,
        reply: ChannelOpenHandle,
        session: &mut Session,
    ) -> Result<(), Self::Error> {
        if self.has(Fault::StopInChannelOpen) {
            self.unanswered.push(reply);
            return Ok(());
        }
        if self.full() {
            // What sshd answers when MaxSessions is reached.
            let reason = "open failed".to_owned();
            reply.reject(ChannelOpenFailure::Other { code: 2, reason }).await;
            return Ok(());
        }
        reply.accept().await;
        self.seats.take(channel.id());
        let around = Surroundings {
            shared: Arc::clone(&self.shared),
            handle: session.handle(),
            seats: self.seats.clone(),
            cut: self.cut.clone(),
        };
        let serving = channel::serve(channel, around);
        self.shared.tracker.spawn(serving);
        Ok(())
    }

    async fn channel_close(
        &mut self,
        channel: ChannelId,
        _session: &mut Session,
    ) -> Result<(), Self::Error> {
        self.seats.free(channel);
        Ok(())
    }

    async fn exec_request(
        &mut self,
        channel: ChannelId,
        _data: &[u8],
        session: &mut Session,
    ) -> Result<(), Self::Error> {
        // The channel's own task sees the same request and runs it.
        if self.has(Fault::StopInExec) {
            return Ok(());
        }
        if self.has(Fault::RefuseExec) {
            return session.channel_failure(channel);
        }
        session.channel_success(channel)
    }

    async fn shell_request(
        &mut self,
        channel: ChannelId,
        session: &mut Session,
    ) -> Result<(), Self::Error> {
        session.channel_failure(channel)
    }

    async fn subsystem_request(
        &mut self,
        channel: ChannelId,
        _name: &str,
        session: &mut Session,
    ) -> Result<(), Self::Error> {
        session.channel_failure(channel)
    }

    async fn env_request(
        &mut self,
        channel: ChannelId,
        _name: &str,
        _value: &str,
        session: &mut Session,
    ) -> Result<(), Self::Error> {
        session.channel_failure(channel)
    }
}
