//! One script on one channel: sent, greeted by its header, read.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use russh::ChannelMsg;
use sshepherd_model::{ConnectFailure, Outcome, Phase, Stream};
use tokio_util::task::AbortOnDropHandle;

use super::header::{Fed, Header};
use crate::exec::{Input, Ready, Sent, nonce};
use crate::pool::Pool;
use crate::target::Target;

/// A channel with a script on it. Dropping it closes the channel, which the script on the far side sees.
pub(super) struct Channel {
    sent: Option<Sent>,
    /// What came with the header.
    held: VecDeque<(Stream, Bytes)>,
    status: Option<u32>,
}

/// What came first.
pub(super) enum Greeting {
    /// The script answered with these words.
    Answered(Channel, String),
    /// Nothing on the other side runs scripts. All that came is still to be read.
    Foreign(Sent),
    /// The script runs and never answered, or the connection went before anything was known.
    Lost(String),
}

/// A piece of what a script that has answered says.
pub(super) enum Piece {
    /// It wrote.
    Output(Stream, Bytes),
    /// The channel has closed. The exit status, if there was one.
    Closed(Option<u32>),
}

impl Channel {
    /// The next piece. Cancel safe.
    pub(super) async fn next(&mut self) -> Piece {
        loop {
            if let Some((stream, bytes)) = self.held.pop_front() {
                return Piece::Output(stream, bytes);
            }
            match self.receive().await {
                Some(ChannelMsg::Data { data }) => self.hold(Stream::Stdout, data),
                Some(ChannelMsg::ExtendedData { data, ext: 1 }) => self.hold(Stream::Stderr, data),
                Some(ChannelMsg::ExitStatus { exit_status }) => self.status = Some(exit_status),
                Some(ChannelMsg::Close) | None => {
                    // Its place is free for the next question.
                    if let Some(mut sent) = self.sent.take() {
                        sent.slot.open = None;
                    }
                    return Piece::Closed(self.status);
                }
                Some(_) => {}
            }
        }
    }

    fn hold(&mut self, stream: Stream, bytes: Bytes) {
        if !bytes.is_empty() {
            self.held.push_back((stream, bytes));
        }
    }

    /// Sends what the script reads, if anything is left of it, beside the reading of what it says.
    fn feed(&mut self, bytes: Option<Bytes>) {
        if let (Some(sent), Some(bytes)) = (&mut self.sent, bytes) {
            let writer = Arc::clone(&sent.writer);
            sent.stdin = Some(AbortOnDropHandle::new(tokio::spawn(async move {
                let _ = writer.data_bytes(bytes).await;
            })));
        }
    }

    async fn receive(&mut self) -> Option<ChannelMsg> {
        let sent = self.sent.as_mut()?;
        match sent.early.pop_front() {
            Some(message) => Some(message),
            None => sent.reader.wait().await,
        }
    }
}

/// Sends a text and waits for its header. Without a sign of it within the time of an exec request, nobody runs scripts
/// there. `feed` is what the script reads, sent when it has shown that it runs.
pub(super) async fn greet(
    ready: Ready,
    text: String,
    nonce: &str,
    mut feed: Option<Bytes>,
) -> Result<Greeting, Outcome> {
    let sent = ready.ask(text, Input::Held).await?;
    let deadline = tokio::time::Instant::now() + sent.target.deadlines.exec;
    let mut channel = Channel { sent: Some(sent), held: VecDeque::new(), status: None };
    let (mut out, mut err) = (Header::new(nonce), Header::new(nonce));
    // Kept as it came, for a command that is no script of ours.
    let mut seen = VecDeque::new();
    let mut ended = false;
    loop {
        // A script that runs may take its time: its input may be long, or its disk slow.
        let message = if out.line().is_some() {
            channel.feed(feed.take());
            channel.receive().await
        } else {
            match tokio::time::timeout_at(deadline, channel.receive()).await {
                Ok(message) => message,
                Err(_) => return Ok(foreign(channel, seen)),
            }
        };
        if matches!(message, Some(ChannelMsg::ExitSignal { .. })) {
            ended = true;
        }
        let (stream, bytes) = match message {
            Some(ChannelMsg::Data { data }) => (Stream::Stdout, data),
            Some(ChannelMsg::ExtendedData { data, ext: 1 }) => (Stream::Stderr, data),
            Some(ChannelMsg::ExitStatus { exit_status }) => {
                channel.status = Some(exit_status);
                ended = true;
                seen.push_back(ChannelMsg::ExitStatus { exit_status });
                continue;
            }
            Some(ChannelMsg::Close) | None => break,
            Some(other) => {
                seen.push_back(other);
                continue;
            }
        };
        let fed = match stream {
            Stream::Stdout => {
                seen.push_back(ChannelMsg::Data { data: bytes.clone() });
                out.feed(bytes)
            }
            Stream::Stderr => {
                seen.push_back(ChannelMsg::ExtendedData { data: bytes.clone(), ext: 1 });
                err.feed(bytes)
            }
        };
        match fed {
            Fed::More => {}
            Fed::After(bytes) => channel.hold(stream, bytes),
            Fed::Noise => return Ok(foreign(channel, seen)),
        }
        if let (Some(_), Some(words)) = (out.line(), err.line()) {
            return Ok(Greeting::Answered(channel, words.to_owned()));
        }
    }
    if ended && out.line().is_none() && err.line().is_none() {
        return Ok(foreign(channel, seen));
    }
    Ok(Greeting::Lost("the channel closed before the host said what it did".to_owned()))
}

fn foreign(mut channel: Channel, mut seen: VecDeque<ChannelMsg>) -> Greeting {
    let Some(mut sent) = channel.sent.take() else {
        return Greeting::Lost("the channel has gone".to_owned());
    };
    // What runs there may wait for the end of its input.
    let writer = Arc::clone(&sent.writer);
    sent.stdin = Some(AbortOnDropHandle::new(tokio::spawn(async move {
        let _ = writer.eof().await;
    })));
    seen.append(&mut sent.early);
    sent.early = seen;
    Greeting::Foreign(sent)
}

/// Runs a text whose answer is needed, on a channel of its own.
pub(super) async fn ask(
    pool: &Pool,
    target: &Arc<Target>,
    text: String,
    nonce: &str,
) -> Result<(Channel, String), ConnectFailure> {
    let ready = pool.open(Arc::clone(target)).await?;
    let failure = |detail: String| ConnectFailure {
        phase: Phase::Exec,
        detail: format!("{}: {detail}", target.alias).into(),
        hint: "nothing was changed that cannot be asked for again".to_owned(),
    };
    match greet(ready, text, nonce, None).await {
        Ok(Greeting::Answered(channel, words)) => Ok((channel, words)),
        Ok(Greeting::Foreign(_)) => Err(failure("what answers there is no shell".to_owned())),
        Ok(Greeting::Lost(detail)) => Err(failure(detail)),
        Err(Outcome::NotStarted(refused)) => Err(refused),
        Err(other) => Err(failure(format!("{other:?}"))),
    }
}

/// A random mark for one answer.
pub(super) fn mark() -> Result<String, ConnectFailure> {
    nonce()
}
