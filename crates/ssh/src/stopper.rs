//! Ends what runs on a channel: by the fixed script, together with what else is to stop on the host, else by the server's signals.

use std::sync::Arc;
use std::time::Duration;

use russh::client::Msg;
use russh::{ChannelWriteHalf, Sig};
use sshepherd_model::{LoginShell, Stopped, Stream};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::exec::Event;
use crate::pool::Pool;
use crate::stop::Order;
use crate::stop_queue::Ticket;
use crate::target::Target;

/// Ends a running command from outside, on a channel of its own.
#[derive(Clone)]
pub struct Stopper {
    pool: Pool,
    target: Arc<Target>,
    writer: Arc<ChannelWriteHalf<Msg>>,
    cookie: String,
    pid: watch::Receiver<Option<u32>>,
    end: watch::Receiver<bool>,
    began: Instant,
}

/// Where a channel's reader tells a stop what it sees. Once a thing cannot come any more nobody waits for it.
pub(crate) struct Tell {
    pid: Option<watch::Sender<Option<u32>>>,
    end: Option<watch::Sender<bool>>,
}

impl Tell {
    /// The process that leads the command.
    pub(crate) fn process(&self, pid: u32) {
        if let Some(told) = &self.pid {
            told.send_replace(Some(pid));
        }
    }

    /// No process id will come, if none has.
    pub(crate) fn no_process(&mut self) {
        self.pid = None;
    }

    /// The server has told how the command ended.
    pub(crate) fn ended(&self) {
        if let Some(told) = &self.end {
            told.send_replace(true);
        }
    }

    /// The channel has closed.
    pub(crate) fn nothing_more(&mut self) {
        (self.pid, self.end) = (None, None);
    }
}

/// The marker comes with the first bytes of the shell; a stop that overtakes it waits this long, unless none can come.
const MARKER_PATIENCE: Duration = Duration::from_secs(1);
/// How long a script may be silent before the server's signals are tried beside it.
const SCRIPT_PATIENCE: Duration = Duration::from_secs(2);
/// Time beside its grace that a stop takes at most on a host that shows no sign of it.
const UNANSWERED: Duration = Duration::from_secs(1);
/// Time that the stop script needs beside its grace once it has begun: a KILL and a look.
const STOP_OVERHEAD: Duration = Duration::from_secs(6);
/// Time between the last signal and the verdict.
const AFTER_KILL: Duration = Duration::from_millis(500);
/// The texts that are asked say a few short lines; anything longer is not theirs.
const MAX_OUTPUT: usize = 64 * 1024;

/// The verdict on an order. One whose script has not begun at `until` is given up: the host may answer everything and do
/// nothing.
pub(crate) async fn verdict(ticket: Ticket, until: Instant, longest: Duration) -> Option<Stopped> {
    let begun = ticket.begun;
    let given_up = async {
        if tokio::time::timeout_at(until, begun.cancelled()).await.is_ok() {
            tokio::time::sleep(longest + STOP_OVERHEAD).await;
        }
    };
    tokio::select! {
        stopped = ticket.verdict => stopped.ok(),
        () = given_up => None,
    }
}

/// When a stop that begins now is given up on a host that shows no sign of it.
pub(crate) fn give_up_at(longest: Duration) -> Instant {
    Instant::now() + longest + UNANSWERED
}

/// Runs a fixed text on a channel of its own; what it printed.
async fn said(pool: &Pool, target: &Arc<Target>, text: String) -> Option<Vec<u8>> {
    let ready = Box::pin(pool.open(Arc::clone(target))).await.ok()?;
    let mut running = ready.send(text, None, None, String::new()).await.ok()?;
    let mut said = Vec::new();
    while let Some(event) = running.next().await {
        if let Event::Output { stream: Stream::Stdout, bytes } = event
            && said.len() + bytes.len() <= MAX_OUTPUT
        {
            said.extend_from_slice(&bytes);
        }
    }
    Some(said)
}

impl Stopper {
    /// What ends the command on the channel of `writer`, and where its reader tells what it sees.
    pub(crate) fn new(
        (pool, target): (Pool, Arc<Target>),
        writer: Arc<ChannelWriteHalf<Msg>>,
        cookie: String,
    ) -> (Self, Tell) {
        let ((tell_pid, pid), (tell_end, end)) = (watch::channel(None), watch::channel(false));
        let tell = Tell { pid: Some(tell_pid), end: Some(tell_end) };
        (Self { pool, target, writer, cookie, pid, end, began: Instant::now() }, tell)
    }

    /// The process that leads it, once it is known.
    pub(crate) fn process(&self) -> Option<u32> {
        *self.pid.borrow()
    }

    /// Ends the command's process group and everything else that is its own: TERM, `grace`, KILL.
    ///
    /// `Confirmed` only when they were seen gone. Works beside the reading of the command, which must go on.
    pub async fn stop(self, grace: Duration) -> Stopped {
        self.end(false, grace).await
    }

    /// As [`Self::stop`], after a hang-up, which most programs that have a terminal end by.
    pub(crate) async fn hang_up(self, grace: Duration) -> Stopped {
        self.end(true, grace).await
    }

    async fn end(mut self, hang_up: bool, grace: Duration) -> Stopped {
        // Without the marker nobody knows which process it is, or whether a script would be run at all: a forced command
        // would be run a second time.
        let marked =
            tokio::time::timeout(MARKER_PATIENCE, self.pid.wait_for(Option::is_some)).await;
        let pid = marked.ok().and_then(Result::ok).and_then(|pid| *pid);
        let (age, cookie) = (Some(self.began.elapsed()), self.cookie.clone());
        let order = Order { pid, age, cookie, held: None, hang_up, grace };
        let longest = order.longest();
        let until = give_up_at(longest);
        if pid.is_none() || self.target.login_shell == LoginShell::RawWords {
            return self.signals(until).await;
        }
        let ticket = self.pool.stop(&self.target, order);
        let begun = ticket.begun.clone();
        let mut run = Box::pin(verdict(ticket, until, longest));
        let silent = async {
            if tokio::time::timeout(SCRIPT_PATIENCE, begun.cancelled()).await.is_ok() {
                std::future::pending::<()>().await;
            }
        };
        let ended = tokio::select! {
            stopped = &mut run => Some(stopped),
            () = silent => None,
        };
        match ended {
            Some(Some(stopped @ (Stopped::Confirmed | Stopped::Left(_)))) => stopped,
            Some(_) => self.signals(until).await,
            None => {
                let (stopped, _) = tokio::join!(run, self.signals(until));
                stopped.unwrap_or(Stopped::Unconfirmed)
            }
        }
    }

    /// Runs a fixed text on a channel of its own; what it printed.
    pub(crate) async fn said(&self, text: String) -> Option<Vec<u8>> {
        said(&self.pool, &self.target, text).await
    }

    /// Asks the server, which may refuse: TERM, and KILL shortly before `until`. Its word that the command ended is a proof only
    /// where there is no shell that could have left children behind.
    async fn signals(mut self, until: Instant) -> Stopped {
        let last = until.max(Instant::now() + 2 * AFTER_KILL);
        for (signal, until) in [(Sig::TERM, last - AFTER_KILL), (Sig::KILL, last)] {
            // A server that reads nothing takes no signal either.
            let sent = tokio::time::timeout_at(until, self.writer.signal(signal)).await;
            if !matches!(sent, Ok(Ok(()))) {
                break;
            }
            // It has ended, or its channel has closed without a word of it.
            if tokio::time::timeout_at(until, self.end.wait_for(|end| *end)).await.is_ok() {
                break;
            }
        }
        let seen = *self.end.borrow() && self.target.login_shell == LoginShell::RawWords;
        if seen { Stopped::Confirmed } else { Stopped::Unconfirmed }
    }
}
