//! One script on one channel: sent, greeted by its header, read.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

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

    /// Sends a line that the script reads, unless one is still on its way.
    pub(super) fn tell(&mut self, line: String) {
        let sent = self.sent.as_ref().and_then(|sent| sent.stdin.as_ref());
        if sent.is_none_or(AbortOnDropHandle::is_finished) {
            self.feed(Some(line.into()));
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

/// Most bytes that may come between the first line of a script and its words: its streams overtake each other by little.
const MAX_BETWEEN: usize = 256 * 1024;

/// Most messages that are kept until it is known what answers.
const MAX_SEEN: usize = 4096;

/// Sends a text and waits for its header. Without a sign of it within the time of an exec request, nobody runs scripts
/// there; a script that runs has `patience` more to say what it did. `feed` is what the script reads, sent when it has shown
/// that it runs.
pub(super) async fn greet(
    ready: Ready,
    text: String,
    nonce: &str,
    mut feed: Option<Bytes>,
    patience: Duration,
) -> Result<Greeting, Outcome> {
    let sent = ready.ask(text, Input::Held).await?;
    let deadline = tokio::time::Instant::now() + sent.target.deadlines.exec;
    let channel = Channel { sent: Some(sent), held: VecDeque::new(), status: None };
    let mut listening = Listening {
        channel,
        out: Header::new(nonce),
        err: Header::new(nonce),
        seen: VecDeque::new(),
        ended: false,
    };
    loop {
        if listening.runs() {
            listening.channel.feed(feed.take());
        }
        let until = if listening.runs() { deadline + patience } else { deadline };
        let Ok(message) = tokio::time::timeout_at(until, listening.channel.receive()).await else {
            return Ok(listening.give_up());
        };
        match listening.hear(message) {
            Heard::More => {}
            Heard::Words => return Ok(listening.answered()),
            Heard::Enough => return Ok(listening.give_up()),
            Heard::Closed => return Ok(listening.closed()),
        }
    }
}

/// A text that has been sent and has not answered yet.
struct Listening {
    channel: Channel,
    out: Header,
    err: Header,
    /// Kept as it came, for a command that is no script of ours.
    seen: VecDeque<ChannelMsg>,
    ended: bool,
}

/// What a message comes to.
enum Heard {
    More,
    /// Both lines are there.
    Words,
    /// No script of ours says so much before its words.
    Enough,
    Closed,
}

impl Listening {
    /// Whether a script of ours runs there.
    fn runs(&self) -> bool {
        self.out.line().is_some()
    }

    fn hear(&mut self, message: Option<ChannelMsg>) -> Heard {
        let (stream, bytes) = match message {
            Some(ChannelMsg::Data { data }) => (Stream::Stdout, data),
            Some(ChannelMsg::ExtendedData { data, ext: 1 }) => (Stream::Stderr, data),
            Some(ChannelMsg::Close) | None => return Heard::Closed,
            Some(end @ (ChannelMsg::ExitStatus { .. } | ChannelMsg::ExitSignal { .. })) => {
                if let ChannelMsg::ExitStatus { exit_status } = &end {
                    self.channel.status = Some(*exit_status);
                }
                self.ended = true;
                return self.keep(end);
            }
            // Nobody reads any other.
            Some(_) => return Heard::More,
        };
        let fed = match stream {
            Stream::Stdout => self.out.feed(bytes.clone()),
            Stream::Stderr => self.err.feed(bytes.clone()),
        };
        match fed {
            Fed::More => {}
            Fed::After(bytes) => self.channel.hold(stream, bytes),
            Fed::Noise => {
                self.keep(piece(stream, bytes));
                return Heard::Enough;
            }
        }
        if self.runs() && self.err.line().is_some() {
            return Heard::Words;
        }
        self.keep(piece(stream, bytes))
    }

    /// Keeps a message for whoever reads what is no script of ours.
    fn keep(&mut self, message: ChannelMsg) -> Heard {
        if self.runs() {
            self.seen.clear();
        } else {
            self.seen.push_back(message);
        }
        let between: usize = self.channel.held.iter().map(|(_, bytes)| bytes.len()).sum();
        if between > MAX_BETWEEN || self.seen.len() > MAX_SEEN {
            Heard::Enough
        } else {
            Heard::More
        }
    }

    fn answered(self) -> Greeting {
        match self.err.line() {
            Some(words) => Greeting::Answered(self.channel, words.to_owned()),
            None => Greeting::Lost(SAID_HALF.to_owned()),
        }
    }

    fn give_up(self) -> Greeting {
        if self.runs() {
            return Greeting::Lost(SAID_HALF.to_owned());
        }
        foreign(self.channel, self.seen)
    }

    fn closed(self) -> Greeting {
        if self.ended && !self.runs() && self.err.line().is_none() {
            return foreign(self.channel, self.seen);
        }
        Greeting::Lost("the channel closed before the host said what it did".to_owned())
    }
}

fn piece(stream: Stream, data: Bytes) -> ChannelMsg {
    match stream {
        Stream::Stdout => ChannelMsg::Data { data },
        Stream::Stderr => ChannelMsg::ExtendedData { data, ext: 1 },
    }
}

/// Why a script that runs is given up.
const SAID_HALF: &str = "the host said that the script runs, and then not what it did";

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
    match greet(ready, text, nonce, None, target.deadlines.exec).await {
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
