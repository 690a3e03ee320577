//! A channel for one command: on a link that is there, through links that have died unnoticed and servers that are full.
//!
//! Nothing is sent for the command by any of it, so all of it may be tried again.

use std::sync::Arc;
use std::time::Duration;

use russh::ChannelOpenFailure;
use sshepherd_model::{ConnectFailure, Phase};
use tokio::sync::oneshot;

use super::{HostLinks, Pool, REPLACEMENTS, Slot, channel_failure};
use crate::exec::Ready;
use crate::link::{Link, Seat};
use crate::target::Target;

/// How long a server that stays wholly silent is waited for on a link that stood before, until another link is made beside the
/// waiting. After a sleep or a cut on the way nothing else tells that a link is dead; a server that is only slow costs a
/// connection too many.
pub(super) const SILENCE: Duration = Duration::from_secs(2);

/// The same where keepalives have gone unanswered: the link is dead more likely than not.
const LONG_SILENCE: Duration = Duration::from_millis(500);

/// Times that a server may refuse a channel on a link that carries nothing else of ours.
const REFUSALS: usize = 6;

/// Why there is no channel on a link.
enum NoChannel {
    /// The server refused it.
    Refused(Slot, ChannelOpenFailure),
    /// The link has ended.
    Ended(russh::Error),
    /// Nothing came in time.
    Silent,
}

/// What a silent link and a new one beside it came to.
type Either = Result<Ready, ConnectFailure>;

impl Pool {
    /// A channel on a link to `target`, ready to run one command. Nothing has been sent yet, so dropping this future or
    /// its result is safe, and a link that turns out dead is replaced without a word.
    pub async fn open(&self, target: Arc<Target>) -> Result<Ready, ConnectFailure> {
        let host = self.host(&target);
        let slot = self.slot(&host, &target, Seat::Session).await?;
        // Boxed, here and below: what calls this would hold all of it on its stack.
        if slot.new {
            return Box::pin(self.open_from(slot, &host, &target)).await;
        }
        let link = Arc::clone(&slot.link);
        let asked = tokio::time::Instant::now();
        let patience = Self::patience(&link, &target).min(target.deadlines.channel);
        let mut opening = Box::pin(self.open_from(slot, &host, &target));
        if let Ok(opened) = tokio::time::timeout(patience, &mut opening).await {
            return opened;
        }
        // It may have gone on to another link, and one that says anything is alive.
        if link.silent_for() < asked.elapsed() {
            return opening.await;
        }
        host.remove(&link);
        let beside = Box::pin(async {
            let slot = self.slot(&host, &target, Seat::Session).await?;
            self.open_from(slot, &host, &target).await
        });
        let opened = first_of(opening, beside).await;
        if link.silent_for() >= asked.elapsed() {
            link.give_up();
        }
        opened
    }

    /// How long a link may be silent before another is made.
    pub(super) fn patience(link: &Link, target: &Target) -> Duration {
        // A link in order says something at each keepalive.
        let overdue = target.transport.keepalive.map(|keepalive| keepalive.every + SILENCE);
        if overdue.is_some_and(|overdue| link.silent_for() > overdue) {
            LONG_SILENCE
        } else {
            SILENCE
        }
    }

    /// A channel on the link of this place, or on the next one when that has ended or takes no more.
    async fn open_from(
        &self,
        slot: Slot,
        host: &Arc<HostLinks>,
        target: &Arc<Target>,
    ) -> Result<Ready, ConnectFailure> {
        let (mut replaced, mut refused) = (0, 0);
        let mut place = Some(slot);
        loop {
            let slot = match place.take() {
                Some(slot) => slot,
                None => self.slot(host, target, Seat::Session).await?,
            };
            let (link, new) = (Arc::clone(&slot.link), slot.new);
            match self.channel(slot, target).await {
                Ok(ready) => return Ok(ready),
                Err(NoChannel::Refused(slot, reason)) => {
                    if host.learn(&slot) {
                        continue;
                    }
                    refused += 1;
                    // Asked anew after a round trip, it has dealt with sessions that were closed just before; a process that
                    // outlives its channel keeps its session, and another link has room.
                    if refused % 2 == 1 {
                        link.answers(SILENCE).await;
                        place = Some(slot);
                    } else if new || refused >= REFUSALS {
                        return Err(full(target, &reason));
                    } else {
                        host.remove(&link);
                        link.give_up();
                    }
                }
                Err(NoChannel::Ended(error)) => {
                    host.remove(&link);
                    replaced += 1;
                    if replaced > REPLACEMENTS {
                        let why = || channel_failure(target, &error.to_string());
                        return Err(link.failure().unwrap_or_else(why));
                    }
                }
                Err(NoChannel::Silent) => {
                    // Whatever else waits on this link is stuck as well.
                    link.cut();
                    host.remove(&link);
                    return Err(channel_failure(target, "no answer"));
                }
            }
        }
    }

    /// Opens a channel, in a task of its own: if nobody waits any more when the server has opened it, it is kept for the next.
    async fn channel(&self, slot: Slot, target: &Arc<Target>) -> Result<Ready, NoChannel> {
        let (give, take) = oneshot::channel();
        let (pool, of) = (self.clone(), Arc::clone(target));
        self.inner.tracker.spawn(async move {
            let opened = match slot.link.channel().await {
                Ok(channel) => Ok(Ready::new(pool, of, slot, channel)),
                Err(russh::Error::ChannelOpenFailure(why)) => Err(NoChannel::Refused(slot, why)),
                Err(error) => Err(NoChannel::Ended(error)),
            };
            let _ = give.send(opened);
        });
        match tokio::time::timeout(target.deadlines.channel, take).await {
            Ok(Ok(opened)) => opened,
            // The task always answers; it ends without only together with the event loop.
            Ok(Err(_)) => std::future::pending().await,
            Err(_) => Err(NoChannel::Silent),
        }
    }
}

/// The first channel of two; when there is none, why the second failed, which knows the host as it is now.
async fn first_of(
    mut opening: impl Future<Output = Either> + Unpin,
    mut beside: impl Future<Output = Either> + Unpin,
) -> Either {
    tokio::select! {
        opened = &mut opening => match opened {
            Ok(ready) => Ok(ready),
            Err(_) => beside.await,
        },
        opened = &mut beside => match opened {
            Ok(ready) => Ok(ready),
            Err(failure) => opening.await.map_err(|_| failure),
        },
    }
}

fn full(target: &Target, reason: &ChannelOpenFailure) -> ConnectFailure {
    ConnectFailure {
        phase: Phase::Channel,
        detail: format!("{} refuses to open a session: {reason:?}", target.alias).into(),
        hint: "the account may not run commands (MaxSessions 0, a forced subsystem), or the server is full"
            .to_owned(),
    }
}
