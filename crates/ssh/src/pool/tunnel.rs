//! A way to a host through another: a channel of the jump host's pooled link, to the address that was judged here.

use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use russh::client::Msg;
use russh::{ChannelOpenFailure, ChannelStream};
use sshepherd_model::{ConnectFailure, Phase};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::oneshot;

use super::open::SILENCE;
use super::{Pool, REPLACEMENTS, Slot};
use crate::dial::admitted;
use crate::link::{Link, Seat};
use crate::race::race;
use crate::target::Target;
use crate::wire::Carrier;

/// A stream to a host behind a jump host. It ends with the jump host's link, and keeps that link while it lasts.
pub(crate) struct Tunnel {
    // Before the place, so that the channel is being closed when the place is free.
    stream: ChannelStream<Msg>,
    _slot: Slot,
}

impl AsyncRead for Tunnel {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Tunnel {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// A carrier and the address that it reaches.
type Reached = Result<(Carrier, IpAddr), ConnectFailure>;

impl Pool {
    /// Reaches the first of the target's addresses that answers the jump host. The jump host is asked for the address,
    /// never for a name, so it is the one that was judged. Boxed, for the jump host may be behind another.
    pub(super) fn tunnel<'a>(
        &'a self,
        target: &'a Arc<Target>,
        jump: &'a Arc<Target>,
    ) -> Pin<Box<dyn Future<Output = Reached> + Send + 'a>> {
        Box::pin(async move {
            // What the jump host itself fails at ends the race, as an answer would.
            let attempt = |address: SocketAddr| async move {
                match self.reach(target, jump, address).await {
                    Ok(reached) => reached.map(|tunnel| Ok((tunnel, address))),
                    Err(failure) => Ok(Err(failure)),
                }
            };
            for address in &target.addresses {
                admitted(target, address.ip())?;
            }
            let tried = match race(&target.addresses, None, attempt).await {
                Ok(reached) => {
                    let (tunnel, address) = reached?;
                    let peer = admitted(target, address.ip())?;
                    return Ok((Carrier::Tunnel(Box::new(tunnel)), peer));
                }
                Err(tried) => tried,
            };
            Err(ConnectFailure {
                phase: Phase::Dial,
                detail: format!("{}: {tried}", jump.alias).into(),
                hint: format!(
                    "check that the host is up and that {} may forward to it (AllowTcpForwarding and PermitOpen in its \
                     sshd_config)",
                    jump.alias
                ),
            })
        })
    }

    /// One address; the inner error is the jump host's word about it.
    async fn reach(
        &self,
        target: &Target,
        jump: &Arc<Target>,
        to: SocketAddr,
    ) -> Result<Result<Tunnel, String>, ConnectFailure> {
        let host = self.host(jump);
        let mut replaced = 0;
        loop {
            let slot = self
                .slot(&host, jump, Seat::Tunnel)
                .await
                .map_err(|failure| by_way_of(jump, failure))?;
            let (link, new) = (Arc::clone(&slot.link), slot.new);
            let limit = target.deadlines.dial;
            let opening = self.channel_to(slot, to);
            tokio::pin!(opening);
            let early = tokio::select! {
                opened = &mut opening => Some(opened),
                dead = is_dead((&link, jump), limit, new) => {
                    if dead {
                        host.remove(&link);
                        link.give_up();
                        continue;
                    }
                    None
                }
            };
            let opened = match early {
                Some(opened) => Ok(opened),
                None => tokio::time::timeout(limit, opening).await,
            };
            match opened {
                Ok(Ok(tunnel)) => return Ok(Ok(tunnel)),
                Ok(Err(russh::Error::ChannelOpenFailure(reason))) => {
                    return Ok(Err(refusal(to, reason)));
                }
                Ok(Err(error)) => {
                    host.remove(&link);
                    replaced += 1;
                    if replaced > REPLACEMENTS {
                        return Ok(Err(format!("{to}: {error}")));
                    }
                }
                Err(_) => {
                    return Ok(Err(format!("{to} did not answer within {} s", limit.as_secs())));
                }
            }
        }
    }

    /// Opens the channel in a task of its own: if nobody waits any more when it is open, it is closed again.
    async fn channel_to(&self, slot: Slot, to: SocketAddr) -> Result<Tunnel, russh::Error> {
        let (give, take) = oneshot::channel();
        self.inner.tracker.spawn(async move {
            let opened = tokio::select! {
                opened = slot.link.reach(to) => opened,
                () = slot.link.ended() => Err(russh::Error::Disconnect),
            };
            let tunnel =
                opened.map(|channel| Tunnel { stream: channel.into_stream(), _slot: slot });
            let _ = give.send(tunnel);
        });
        // The task always answers; it ends without only together with the event loop.
        match take.await {
            Ok(opened) => opened,
            Err(_) => std::future::pending().await,
        }
    }
}

/// Whether the jump host itself has gone. One that was there before is asked when it has said nothing for a while: it may well
/// wait for the host behind it.
async fn is_dead((link, jump): (&Link, &Target), limit: Duration, new: bool) -> bool {
    if new {
        // It has just let us in.
        return false;
    }
    let asked = Instant::now();
    tokio::time::sleep(Pool::patience(link, jump).min(limit)).await;
    link.silent_for() >= asked.elapsed() && !link.answers(SILENCE).await
}

fn refusal(to: SocketAddr, reason: ChannelOpenFailure) -> String {
    match reason {
        ChannelOpenFailure::AdministrativelyProhibited => {
            format!("it does not forward connections to {to}")
        }
        ChannelOpenFailure::ConnectFailed => format!("it cannot connect to {to}"),
        other @ (ChannelOpenFailure::UnknownChannelType
        | ChannelOpenFailure::ResourceShortage
        | ChannelOpenFailure::Other { .. }) => format!("it refuses to connect to {to}: {other:?}"),
    }
}

/// A failure on the way, which is not the target's own.
fn by_way_of(jump: &Target, failure: ConnectFailure) -> ConnectFailure {
    let detail = format!("jump host {}: {}", jump.alias, failure.detail);
    ConnectFailure { detail: detail.into(), ..failure }
}
