//! A program that reaches a host: its standard input and output are the connection, as with `ProxyCommand` of `ssh`.
//!
//! It is run by argv, in a process group of its own that ends with the connection. Our own input and output are never its.

use std::ffi::OsString;
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::pin::Pin;
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::FusedFuture as _;
use rustix::process::{Pid, Signal, kill_process_group};
use sshepherd_model::{ConnectFailure, Phase};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};
use tokio::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command};
use tokio::sync::{OwnedSemaphorePermit, watch};
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

use crate::target::Target;

/// A program with its arguments for one host.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ProxyProgram {
    /// The file, checked when the configuration was read, or why it cannot be run.
    pub program: Result<PathBuf, String>,
    /// Its arguments, filled in.
    pub arguments: Vec<String>,
    /// Variables of our environment that it does not get: they hold secrets.
    pub hidden: Vec<OsString>,
}

/// Bytes kept of what it writes to standard error: the last lines say what went wrong.
const MAX_SAID: usize = 2048;
/// Letters of it that are shown.
const MAX_SHOWN: usize = 400;
/// How long it may take to end when it is asked to, before it is made to.
const GRACE: Duration = Duration::from_millis(250);
/// How long its end is waited for once the connection has failed, for the sake of the message.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// What is known of a program that was started.
#[derive(Debug, Clone, Default)]
struct Life {
    said: Vec<u8>,
    ended: Option<Ending>,
}

/// How a program ended.
#[derive(Debug, Clone, Copy)]
enum Ending {
    /// By itself.
    Own(ExitStatus),
    /// It was made to, when the connection was over.
    Ours,
}

/// A connection through a program. When it is dropped the program ends.
pub(crate) struct ProxyStream {
    // Before the guard, so that the program sees the end of its input when it is asked to end.
    input: ChildStdin,
    output: ChildStdout,
    life: watch::Receiver<Life>,
    name: Arc<str>,
    _end: DropGuard,
    _place: OwnedSemaphorePermit,
}

/// Says what became of the program under a connection that failed.
pub(crate) struct LastWords {
    life: watch::Receiver<Life>,
    name: Arc<str>,
}

impl ProxyStream {
    /// Starts the program; it is looked after by a task of `tracker`.
    pub(crate) fn start(
        target: &Target,
        proxy: &ProxyProgram,
        place: OwnedSemaphorePermit,
        tracker: &TaskTracker,
    ) -> Result<Self, ConnectFailure> {
        let failed = |why: String| {
            ConnectFailure {
            phase: Phase::Dial,
            detail: format!("{}: proxy_command {why}", target.alias).into(),
            hint: "check proxy_command in servers.yml; its first word is a program on PATH or an absolute path"
                .to_owned(),
        }
        };
        let program = proxy.program.as_ref().map_err(|why| failed(why.clone()))?;
        let name: Arc<str> = program.file_name().unwrap_or_default().to_string_lossy().into();
        let mut command = Command::new(program);
        command
            .args(&proxy.arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true);
        for variable in &proxy.hidden {
            command.env_remove(variable);
        }
        let mut child =
            command.spawn().map_err(|error| failed(format!("{name} cannot be run: {error}")))?;
        let pipes = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let (Some(input), Some(output), Some(errors)) = pipes else {
            return Err(failed(format!("{name} has no pipes")));
        };
        let end = CancellationToken::new();
        let (lived, life) = watch::channel(Life::default());
        tracker.spawn(keep(child, errors, end.clone(), lived));
        Ok(Self { input, output, life, name, _end: end.drop_guard(), _place: place })
    }

    /// What to ask when the connection has failed.
    pub(crate) fn last_words(&self) -> LastWords {
        LastWords { life: self.life.clone(), name: Arc::clone(&self.name) }
    }
}

/// Looks after the program until the connection is over or it ends by itself, then ends what is left of its group.
async fn keep(
    mut child: Child,
    errors: ChildStderr,
    end: CancellationToken,
    lived: watch::Sender<Life>,
) {
    let group = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
    let signal = |signal| group.map(|group| kill_process_group(group, signal));
    // It may be over before the program's end is waited for a second time.
    let listening = listen(errors, &lived).fuse();
    tokio::pin!(listening);
    tokio::select! {
        _ = async { tokio::join!(child.wait(), &mut listening) } => {}
        () = end.cancelled() => {
            signal(Signal::TERM);
            let _ = tokio::time::timeout(GRACE, child.wait()).await;
        }
    }
    // Also what it has started and left behind.
    signal(Signal::KILL);
    let status = child.wait().await.ok();
    // All that could hold its standard error open is gone; what is in the pipe is read.
    if !listening.is_terminated() {
        let _ = tokio::time::timeout(GRACE, listening).await;
    }
    let ours = |status: &ExitStatus| {
        let signals = [Signal::TERM, Signal::KILL].map(Signal::as_raw);
        end.is_cancelled() && status.signal().is_some_and(|signal| signals.contains(&signal))
    };
    let ending = match status.filter(|status| !ours(status)) {
        Some(status) => Ending::Own(status),
        None => Ending::Ours,
    };
    lived.send_modify(|life| life.ended = Some(ending));
}

/// Reads what the program writes to standard error, to its end, so that it never waits for us; keeps the last of it.
async fn listen(mut errors: ChildStderr, lived: &watch::Sender<Life>) {
    let mut piece = [0; 1024];
    while let Ok(count @ 1..) = errors.read(&mut piece).await {
        let new = piece.get(..count).unwrap_or_default();
        lived.send_modify(|life| {
            life.said.extend_from_slice(new);
            let surplus = life.said.len().saturating_sub(MAX_SAID);
            life.said.drain(..surplus);
        });
    }
}

impl LastWords {
    /// The failure of the connection, with what the program came to: where it reached nothing, that is the failure.
    pub(crate) async fn explain(mut self, failure: ConnectFailure) -> ConnectFailure {
        let over = self.life.wait_for(|life| life.ended.is_some());
        let _ = tokio::time::timeout(LAST_WORDS, over).await;
        let life = self.life.borrow().clone();
        let end = match life.ended {
            Some(Ending::Own(status)) => format!("ended by itself ({status})"),
            Some(Ending::Ours) | None => "was still running".to_owned(),
        };
        let said = match shown(&life.said) {
            said if said.is_empty() => String::new(),
            said => format!(" and wrote: {said}"),
        };
        let detail = format!("{}; proxy_command {} {end}{said}", failure.detail, self.name).into();
        match failure.phase {
            Phase::Dial | Phase::Banner => ConnectFailure {
                phase: Phase::Dial,
                detail,
                hint: "run the host's proxy_command by hand; it must connect its input and output to sshd"
                    .to_owned(),
            },
            Phase::Resolve
            | Phase::Network
            | Phase::KeyExchange
            | Phase::HostKey
            | Phase::Auth
            | Phase::Channel
            | Phase::Exec
            | Phase::Record => ConnectFailure { detail, ..failure },
        }
    }
}

/// The end of a text that steers no terminal, in one line.
fn shown(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let plain: String = text
        .chars()
        .map(
            |letter| {
                if letter.is_alphanumeric() || letter.is_ascii_graphic() { letter } else { ' ' }
            },
        )
        .collect();
    let words = plain.split_whitespace().collect::<Vec<_>>().join(" ");
    let surplus = words.chars().count().saturating_sub(MAX_SHOWN);
    words.chars().skip(surplus).collect()
}

impl AsyncRead for ProxyStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.output).poll_read(cx, buf)
    }
}

impl AsyncWrite for ProxyStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.input).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.input).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.input).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_program_writes_steers_nothing_and_is_cut_at_its_beginning() {
        assert_eq!(shown(b"\x1b[31mno route\x07\r\nto \xff host\n"), "[31mno route to host");
        assert_eq!(shown("caf\u{e9} \u{202e}abc".as_bytes()), "caf\u{e9} abc");
        let long = format!("{}end", "x ".repeat(1000));
        let cut = shown(long.as_bytes());
        assert_eq!(cut.chars().count(), MAX_SHOWN);
        assert!(cut.ends_with("end"));
        assert_eq!(shown(b""), "");
    }
}
