//! Ends what runs on a channel: by the fixed script on a channel of its own, else by the server's signals.

use std::sync::Arc;
use std::time::Duration;

use russh::client::Msg;
use russh::{ChannelWriteHalf, Sig};
use sshepherd_model::{LoginShell, Stopped, Stream};
use tokio::sync::watch;

use crate::exec::Event;
use crate::pool::Pool;
use crate::stop;
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
const MARKER_PATIENCE: Duration = Duration::from_secs(2);
/// Time the stop script needs beside its grace: a link, a channel, a KILL and a look.
pub(crate) const STOP_OVERHEAD: Duration = Duration::from_secs(6);
/// The script says one short line; anything longer is not it.
const MAX_STOP_OUTPUT: usize = 64 * 1024;

impl Stopper {
    /// What ends the command on the channel of `writer`, and where its reader tells what it sees.
    pub(crate) fn new(
        (pool, target): (Pool, Arc<Target>),
        writer: Arc<ChannelWriteHalf<Msg>>,
        cookie: String,
    ) -> (Self, Tell) {
        let ((tell_pid, pid), (tell_end, end)) = (watch::channel(None), watch::channel(false));
        let tell = Tell { pid: Some(tell_pid), end: Some(tell_end) };
        (Self { pool, target, writer, cookie, pid, end }, tell)
    }

    /// The process that leads it, once it is known.
    pub(crate) fn process(&self) -> Option<u32> {
        *self.pid.borrow()
    }

    /// Ends the command's process group and everything that carries its cookie: TERM, `grace`, KILL.
    ///
    /// `Confirmed` only when they were seen gone. Works beside the reading of the command, which must go on.
    pub async fn stop(mut self, grace: Duration) -> Stopped {
        // Without the marker nobody knows which process it is, or whether a script would be run at all: a forced command
        // would be run a second time.
        let marked =
            tokio::time::timeout(MARKER_PATIENCE, self.pid.wait_for(Option::is_some)).await;
        let pid = marked.ok().and_then(Result::ok).and_then(|pid| *pid);
        if let Some(pid) = pid
            && let Some(script) =
                stop::command(self.target.login_shell, Some(pid), &self.cookie, grace)
        {
            let run = tokio::time::timeout(grace + STOP_OVERHEAD, self.script(script)).await;
            if matches!(run, Ok(Some(Stopped::Confirmed))) {
                return Stopped::Confirmed;
            }
        }
        self.signals(grace).await
    }

    /// Runs the stop script on a channel of its own and reads its verdict.
    async fn script(&self, script: String) -> Option<Stopped> {
        self.said(script).await.map(|said| stop::parse(&said))
    }

    /// Runs a fixed text on a channel of its own; what it printed.
    pub(crate) async fn said(&self, text: String) -> Option<Vec<u8>> {
        let ready = self.pool.open(Arc::clone(&self.target)).await.ok()?;
        let mut running = ready.send(text, None, None, String::new()).await.ok()?;
        let mut said = Vec::new();
        while let Some(event) = running.next().await {
            if let Event::Output { stream: Stream::Stdout, bytes } = event
                && said.len() + bytes.len() <= MAX_STOP_OUTPUT
            {
                said.extend_from_slice(&bytes);
            }
        }
        Some(said)
    }

    /// Asks the server, which may refuse. Its word that the command ended is a proof only where there is no shell that
    /// could have left children behind.
    async fn signals(mut self, grace: Duration) -> Stopped {
        for signal in [Sig::TERM, Sig::KILL] {
            if self.writer.signal(signal).await.is_err() {
                break;
            }
            // It has ended, or its channel has closed without a word of it.
            if tokio::time::timeout(grace, self.end.wait_for(|end| *end)).await.is_ok() {
                break;
            }
        }
        let seen = *self.end.borrow() && self.target.login_shell == LoginShell::RawWords;
        if seen { Stopped::Confirmed } else { Stopped::Unconfirmed }
    }
}
