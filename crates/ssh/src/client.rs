//! Our side of a connection: checks the host key and refuses everything that the server asks of us.

use std::borrow::Cow;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use russh::client::{Config, DisconnectReason, GexParams, Handler, Msg, Session};
use russh::keys::{Algorithm, PublicKeyOrCertificate};
use russh::{Channel, ChannelId, ChannelOpenFailure, Limits, Preferred};
use sshepherd_model::{ConnectFailure, Phase};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::algorithms;
use crate::target::Target;
use crate::wire::Progress;

/// Bytes after which the library asks for new keys, which ends the connection (see [`Client::kex_done`]): a bound that every
/// cipher allows (RFC 4344, 3.2: 2^32 blocks of 16 bytes), far beyond what the pool lets a link carry.
const MAX_BYTES_PER_KEY: u64 = 32 * 1024 * 1024 * 1024;
/// And the time: never, in practice. The pool renews links far sooner.
const MAX_TIME_PER_KEY: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// Messages of one channel that may wait for their reader; each is at most one SSH packet, 32 KiB from servers in order. When they are used
/// up the library stops reading the whole connection (see [`crate::exec::Running`]).
const CHANNEL_BACKLOG: usize = 256;

/// The SSH settings for `target`. Algorithms of keys that are stored for the host come first: a host with several keys
/// must show the one we know. Certificates are asked for, before all keys, where an authority or a revoked key is stored for the host.
pub(crate) fn config(target: &Target) -> Config {
    let certified = target.known_hosts.wants_certificate(&target.host_key_name, target.port);
    let certificates: &[Algorithm] = if certified { &algorithms::HOST_KEYS } else { &[] };
    let most = usize::try_from(MAX_BYTES_PER_KEY).unwrap_or(usize::MAX);
    let (least, wanted, largest) = algorithms::GROUP_BITS;
    Config {
        limits: Limits {
            rekey_write_limit: most,
            rekey_read_limit: most,
            rekey_time_limit: MAX_TIME_PER_KEY,
        },
        preferred: Preferred {
            host_key_certificates: Cow::Borrowed(certificates),
            ..algorithms::offered(target)
        },
        // Outside its bounds it would be an error, and the library's own value is within.
        gex: GexParams::new(least, wanted, largest).unwrap_or_default(),
        // The library takes a server that answers no keepalive for a dead one (see `crate::alive`).
        keepalive_interval: None,
        keepalive_max: 0,
        channel_buffer_size: CHANNEL_BACKLOG,
        nodelay: true,
        ..Config::default()
    }
}

/// Why the connection failed, as far as our side knows.
pub(crate) type Verdict = Arc<Mutex<Option<ConnectFailure>>>;

/// The callbacks of one connection.
pub(crate) struct Client {
    pub(crate) target: Arc<Target>,
    pub(crate) verdict: Verdict,
    pub(crate) progress: watch::Sender<Progress>,
    /// Cancelled when the connection has ended.
    pub(crate) closed: CancellationToken,
    /// Whether the first key exchange is over.
    pub(crate) keyed: bool,
    /// Whether a refused channel has been logged: a server that opens thousands gets one line.
    pub(crate) warned: bool,
}

/// Largest piece of a channel that is taken. Servers are told 32 KiB and keep to it; the library takes eight times that, in as
/// many messages as may wait for a reader.
const MAX_PIECE: usize = 64 * 1024;

/// What a server gets that opens a channel to us.
const REFUSED: ChannelOpenFailure = ChannelOpenFailure::AdministrativelyProhibited;

impl Client {
    /// Ends the connection when a piece is larger than any may be.
    fn weigh(&mut self, bytes: usize) -> Result<(), russh::Error> {
        if bytes <= MAX_PIECE {
            return Ok(());
        }
        let failure = oversized(&self.target, bytes);
        *self.verdict.lock().unwrap_or_else(PoisonError::into_inner) = Some(failure);
        self.closed.cancel();
        Err(russh::Error::PacketSize(bytes))
    }

    fn refused(&mut self, kind: &'static str) {
        if !std::mem::replace(&mut self.warned, true) {
            tracing::warn!(host = %self.target.alias, kind, "the server tries to open channels; refused");
        }
    }
}

fn oversized(target: &Target, bytes: usize) -> ConnectFailure {
    ConnectFailure {
        phase: Phase::Channel,
        detail: format!(
            "{} sent {bytes} bytes at once, which no channel takes, so the connection was ended",
            target.alias
        )
        .into(),
        hint: "no SSH server in order does this; see what answers there".to_owned(),
    }
}

/// Why a connection ends at its second key exchange.
fn unchecked(target: &Target) -> ConnectFailure {
    ConnectFailure {
        phase: Phase::HostKey,
        detail: format!(
            "{} exchanged keys again, and its host key cannot be checked a second time, so the connection was ended",
            target.alias
        ).into(),
        hint: "try again: a new connection checks the host key; sshd's RekeyLimit says how often it does this"
            .to_owned(),
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        // The session owns its callbacks: when they go, it has ended, however it ended.
        self.closed.cancel();
    }
}

impl Handler for Client {
    type Error = russh::Error;

    async fn check_server_key(
        &mut self,
        offered: &PublicKeyOrCertificate,
    ) -> Result<bool, Self::Error> {
        let target = &self.target;
        let (name, port, known) = (&target.host_key_name, target.port, &target.known_hosts);
        let checked = match offered {
            PublicKeyOrCertificate::PublicKey { key, .. } => known.check(name, port, key),
            PublicKeyOrCertificate::Certificate(certificate) => {
                // A clock before 1970 makes every certificate one that is not valid yet.
                let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
                known.check_certificate(name, port, certificate, now.as_secs())
            }
        };
        match checked {
            Ok(()) => Ok(true),
            Err(failure) => {
                *self.verdict.lock().unwrap_or_else(PoisonError::into_inner) = Some(failure);
                Ok(false)
            }
        }
    }

    async fn kex_done(
        &mut self,
        _shared_secret: Option<&[u8]>,
        _names: &russh::Names,
        _session: &mut Session,
    ) -> Result<(), Self::Error> {
        // The library (russh 0.65) has the host key checked in the first exchange alone and shows it in no other, so what
        // comes after a later one could be anyone's. Refused here, the new keys are never used.
        if std::mem::replace(&mut self.keyed, true) {
            tracing::warn!(host = %self.target.alias, "a second key exchange; the connection is ended");
            let failure = unchecked(&self.target);
            *self.verdict.lock().unwrap_or_else(PoisonError::into_inner) = Some(failure);
            self.closed.cancel();
            return Err(russh::Error::UnknownKey);
        }
        self.progress.send_modify(|progress| progress.phase = Phase::Auth);
        Ok(())
    }

    async fn data(
        &mut self,
        _channel: ChannelId,
        data: &[u8],
        _session: &mut Session,
    ) -> Result<(), Self::Error> {
        self.weigh(data.len())
    }

    async fn extended_data(
        &mut self,
        _channel: ChannelId,
        _kind: u32,
        data: &[u8],
        _session: &mut Session,
    ) -> Result<(), Self::Error> {
        self.weigh(data.len())
    }

    async fn exit_signal(
        &mut self,
        _channel: ChannelId,
        _name: russh::Sig,
        _core_dumped: bool,
        message: &str,
        language: &str,
        _session: &mut Session,
    ) -> Result<(), Self::Error> {
        self.weigh(message.len().saturating_add(language.len()))
    }

    async fn server_channel_open_forwarded_tcpip(
        &mut self,
        _channel: Channel<Msg>,
        _connected_address: &str,
        _connected_port: u32,
        _originator_address: &str,
        _originator_port: u32,
        reply: russh::client::ChannelOpenHandle,
        _session: &mut Session,
    ) -> Result<(), Self::Error> {
        self.refused("forwarded-tcpip");
        reply.reject(REFUSED).await;
        Ok(())
    }

    async fn server_channel_open_forwarded_streamlocal(
        &mut self,
        _channel: Channel<Msg>,
        _socket_path: &str,
        reply: russh::client::ChannelOpenHandle,
        _session: &mut Session,
    ) -> Result<(), Self::Error> {
        self.refused("forwarded-streamlocal");
        reply.reject(REFUSED).await;
        Ok(())
    }

    async fn server_channel_open_agent_forward(
        &mut self,
        _channel: Channel<Msg>,
        reply: russh::client::ChannelOpenHandle,
        _session: &mut Session,
    ) -> Result<(), Self::Error> {
        self.refused("auth-agent");
        reply.reject(REFUSED).await;
        Ok(())
    }

    async fn should_accept_unknown_server_channel(
        &mut self,
        _id: ChannelId,
        _channel_type: &str,
    ) -> bool {
        self.refused("unknown");
        false
    }

    async fn server_channel_open_session(
        &mut self,
        _channel: Channel<Msg>,
        reply: russh::client::ChannelOpenHandle,
        _session: &mut Session,
    ) -> Result<(), Self::Error> {
        self.refused("session");
        reply.reject(REFUSED).await;
        Ok(())
    }

    async fn server_channel_open_direct_tcpip(
        &mut self,
        _channel: Channel<Msg>,
        _host_to_connect: &str,
        _port_to_connect: u32,
        _originator_address: &str,
        _originator_port: u32,
        reply: russh::client::ChannelOpenHandle,
        _session: &mut Session,
    ) -> Result<(), Self::Error> {
        self.refused("direct-tcpip");
        reply.reject(REFUSED).await;
        Ok(())
    }

    async fn server_channel_open_direct_streamlocal(
        &mut self,
        _channel: Channel<Msg>,
        _socket_path: &str,
        reply: russh::client::ChannelOpenHandle,
        _session: &mut Session,
    ) -> Result<(), Self::Error> {
        self.refused("direct-streamlocal");
        reply.reject(REFUSED).await;
        Ok(())
    }

    async fn server_channel_open_x11(
        &mut self,
        _channel: Channel<Msg>,
        _originator_address: &str,
        _originator_port: u32,
        reply: russh::client::ChannelOpenHandle,
        _session: &mut Session,
    ) -> Result<(), Self::Error> {
        self.refused("x11");
        reply.reject(REFUSED).await;
        Ok(())
    }

    async fn disconnected(
        &mut self,
        reason: DisconnectReason<Self::Error>,
    ) -> Result<(), Self::Error> {
        self.closed.cancel();
        match reason {
            DisconnectReason::ReceivedDisconnect(_) => Ok(()),
            DisconnectReason::Error(error) => Err(error),
        }
    }
}
