//! One command: sent once, read to its end, stopped on request.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use russh::client::Msg;
use russh::{Channel, ChannelMsg, ChannelReadHalf, ChannelWriteHalf, Sig};
use sshepherd_model::{ConnectFailure, HostWords, LoginShell, Outcome, Phase, Stream};
use tokio_util::task::AbortOnDropHandle;

use crate::feed::{Feed, WITHHELD};
use crate::launch::{self, Marker};
use crate::link::Link;
use crate::pool::{Pool, Slot};
use crate::stopper::{Stopper, Tell};
use crate::target::Target;
use crate::terminal::Size;

/// What to send.
#[derive(Debug)]
pub struct Exec {
    /// The judged text.
    pub wire: String,
    /// Standard input; without it the input is closed at once.
    pub stdin: Option<Bytes>,
    /// Variables to set; names are `[A-Za-z_][A-Za-z0-9_]*`. They are in no text that other accounts on the host can see.
    pub env: Vec<(String, String)>,
    /// A mark for the environment of everything that the command starts: `[A-Za-z0-9:._-]`, unique, and no cookie the
    /// beginning of another (task ids end in a nonce of fixed length).
    pub cookie: String,
}

/// What a running command does. Exactly one event, the last, is not `Output`.
#[derive(Debug, PartialEq, Eq)]
pub enum Event {
    /// It wrote.
    Output {
        /// Where to.
        stream: Stream,
        /// What.
        bytes: Bytes,
    },
    /// It ended by itself.
    Exited {
        /// Its exit status.
        status: u32,
    },
    /// A signal ended it.
    Signalled {
        /// The signal's name without `SIG`.
        signal: HostWords,
    },
    /// The connection or the channel ended without a word about the command.
    Lost {
        /// What was seen.
        detail: HostWords,
    },
}

/// An open channel on which nothing has been sent yet. Dropped, it is kept for the next command on its link.
pub struct Ready {
    pool: Pool,
    target: Arc<Target>,
    // Before the place, so that it is back when the place is free.
    channel: Untouched,
    slot: Slot,
}

/// Goes back to its link when dropped, for the next command.
struct Untouched {
    link: Arc<Link>,
    channel: Option<Channel<Msg>>,
}

impl Drop for Untouched {
    fn drop(&mut self) {
        if let Some(channel) = self.channel.take() {
            self.link.keep(channel);
        }
    }
}

/// A command that was sent.
///
/// Its owner must read it to the end, also while it is being stopped. Dropped before, its channel is closed, which ends no
/// command.
///
/// There is no back-pressure for one channel alone. The SSH library (russh 0.65) grants the server a new window whenever
/// half of one (1 MiB of 2 MiB) has arrived, read or not, and hands messages on through a queue of 256 for each channel;
/// when one is full it waits, and with it everything on that connection: other commands, new channels, keepalives.
/// So a reader that falls behind by more than 256 messages (8 MiB at most, a few hundred short lines at least; 64 MiB from a
/// server that does not heed our packet size, for the library takes packets of 256 KiB) slows all commands on that
/// connection down to its own pace; other connections, also to the same host, are not touched. A server that does not heed
/// the window gets no further.
pub struct Running {
    reader: ChannelReadHalf,
    early: VecDeque<ChannelMsg>,
    marker: Option<Marker>,
    tell: Tell,
    last: Option<Event>,
    /// What a script that was given up would say first, and whether it said it after all.
    given_up: Option<Vec<u8>>,
    late: bool,
    /// What is sent when the marker was seen, and whether it never was.
    feed: Option<Feed>,
    withheld: bool,
    held: VecDeque<Event>,
    done: bool,
    stopper: Stopper,
    stdin: Option<AbortOnDropHandle<()>>,
    slot: Slot,
}

impl Ready {
    pub(crate) fn new(pool: Pool, target: Arc<Target>, slot: Slot, channel: Channel<Msg>) -> Self {
        let channel = Untouched { link: Arc::clone(&slot.link), channel: Some(channel) };
        Self { pool, target, channel, slot }
    }

    /// The address of the host; none is known where a program connected.
    #[must_use]
    pub fn peer(&self) -> Option<IpAddr> {
        self.slot.link.peer()
    }

    /// How the host takes what is sent.
    pub(crate) fn login_shell(&self) -> LoginShell {
        self.target.login_shell
    }

    /// Returns when the connection has stopped answering; no other command is put on it then.
    pub(crate) fn falls_silent(&self) -> impl Future<Output = ()> + Send + 'static {
        self.slot.falls_silent()
    }

    /// Whose channel it is.
    pub(crate) fn owner(&self) -> (Pool, Arc<Target>) {
        (self.pool.clone(), Arc::clone(&self.target))
    }

    /// Sends the command with the prefix that makes it stoppable.
    ///
    /// The error is the outcome: `NotStarted` when the server refused it, `Lost` when it may have run.
    pub async fn exec(self, exec: Exec) -> Result<Running, Outcome> {
        let nonce = nonce().map_err(Outcome::NotStarted)?;
        let Exec { wire, stdin, env, cookie } = exec;
        let shell = self.target.login_shell;
        if shell == LoginShell::RawWords {
            if !env.is_empty() {
                return Err(Outcome::NotStarted(no_variables(&self.target)));
            }
            return self.send(wire, None, stdin, cookie).await;
        }
        let feed = launch::feed(&env, stdin, &nonce);
        let launched = launch::launch(shell, &wire, &cookie, &nonce, feed.is_some());
        let input = if feed.is_some() { Input::Held } else { Input::Closed };
        let sent = self.ask(launched.text, input).await?;
        let patience = sent.target.deadlines.shell;
        let feed = feed.map(|bytes| Feed::new(Arc::clone(&sent.writer), bytes, patience));
        Ok(Running { feed, ..sent.running(launched.marker, cookie) })
    }

    pub(crate) async fn send(
        self,
        text: String,
        marker: Option<Marker>,
        stdin: Option<Bytes>,
        cookie: String,
    ) -> Result<Running, Outcome> {
        let input = stdin.map_or(Input::Closed, Input::Then);
        Ok(self.ask(text, input).await?.running(marker, cookie))
    }

    /// Sends a text and waits until the server has confirmed it.
    pub(crate) async fn ask(self, text: String, input: Input) -> Result<Sent, Outcome> {
        self.begin(Some(text), None, input).await
    }

    /// Asks for a terminal, if one is wanted, then for the text or, without one, the account's shell, and waits until the
    /// server has confirmed both. A connection that has ended before it took the first request is replaced without a word.
    pub(crate) async fn begin(
        self,
        text: Option<String>,
        pty: Option<Pty>,
        input: Input,
    ) -> Result<Sent, Outcome> {
        let (pool, target) = self.owner();
        match Box::pin(self.begin_here(&text, &pty, input.clone())).await {
            Err(Unbegun::NothingSent(_)) => {}
            begun => return begun.map_err(Unbegun::outcome),
        }
        let ready = Box::pin(pool.open(target)).await.map_err(Outcome::NotStarted)?;
        Box::pin(ready.begin_here(&text, &pty, input)).await.map_err(Unbegun::outcome)
    }

    async fn begin_here(
        self,
        text: &Option<String>,
        pty: &Option<Pty>,
        input: Input,
    ) -> Result<Sent, Unbegun> {
        let Self { pool, target, mut channel, mut slot } = self;
        let Some(channel) = channel.channel.take() else {
            return Err(Outcome::lost("the channel is gone").into());
        };
        let (mut reader, writer) = channel.split();
        let writer = Arc::new(writer);
        slot.open = Some(Arc::clone(&writer));
        let link = Arc::clone(&slot.link);
        let mut early = VecDeque::new();
        if let Some(pty) = pty {
            let size = (u32::from(pty.size.cols), u32::from(pty.size.rows));
            let modes = [(russh::Pty::IUTF8, 1)];
            handed(
                writer.request_pty(true, &pty.term, size.0, size.1, 0, 0, &modes),
                (&target, &link),
            )
            .await?;
            let given = confirmed(&mut reader, &mut early, (&target, &link), "a terminal").await;
            // Nothing runs before the text is sent.
            if let Err(Outcome::Interrupted(interruption)) = given {
                return Err(Outcome::NotStarted(no_terminal(&target, &interruption.detail)).into());
            }
            given?;
        }
        match text {
            Some(text) => handed(writer.exec(true, text.as_str()), (&target, &link)).await?,
            None => handed(writer.request_shell(true), (&target, &link)).await?,
        }
        let giving = give(Arc::clone(&writer), input);
        let stdin = tokio::time::timeout(target.deadlines.exec, giving).await.ok().flatten();
        confirmed(&mut reader, &mut early, (&target, &link), "a command").await?;
        Ok(Sent { pool, target, slot, reader, writer, early, stdin })
    }
}

/// Why nothing is known to run.
enum Unbegun {
    /// The connection took none of it, so it may be sent on another.
    NothingSent(ConnectFailure),
    /// This came of it.
    Over(Outcome),
}

impl Unbegun {
    fn outcome(self) -> Outcome {
        match self {
            Self::NothingSent(failure) => Outcome::NotStarted(failure),
            Self::Over(outcome) => outcome,
        }
    }
}

impl From<Outcome> for Unbegun {
    fn from(outcome: Outcome) -> Self {
        Self::Over(outcome)
    }
}

/// Hands a request to the connection: what this fails with has not been written, for the connection has not taken it. One
/// whose server reads nothing takes no more.
async fn handed(
    request: impl Future<Output = Result<(), russh::Error>>,
    (target, link): (&Target, &Link),
) -> Result<(), Unbegun> {
    let why = match tokio::time::timeout(target.deadlines.exec, request).await {
        Ok(Ok(())) => return Ok(()),
        Ok(Err(_)) => link.how_it_ended(),
        Err(_) => {
            link.cut();
            "the server takes nothing more on this connection".to_owned()
        }
    };
    Err(Unbegun::NothingSent(ConnectFailure {
        phase: Phase::Exec,
        detail: format!("{}: {why}", target.alias).into(),
        hint: "nothing was sent; try again".to_owned(),
    }))
}

fn no_terminal(target: &Target, detail: &str) -> ConnectFailure {
    ConnectFailure {
        phase: Phase::Exec,
        detail: format!("{}: {detail}", target.alias).into(),
        hint: "no terminal was opened, so nothing was run; try again".to_owned(),
    }
}

/// Waits for the server's word on a request; what else comes meanwhile is kept.
async fn confirmed(
    reader: &mut ChannelReadHalf,
    early: &mut VecDeque<ChannelMsg>,
    (target, link): (&Target, &Link),
    what: &str,
) -> Result<(), Outcome> {
    let lost = |detail: &str| Outcome::lost(detail.to_owned());
    let accepted = async {
        while let Some(message) = reader.wait().await {
            if matches!(message, ChannelMsg::Success) {
                return Ok(());
            }
            if matches!(message, ChannelMsg::Failure) {
                return Err(Outcome::NotStarted(refused(target, what)));
            }
            let bytes = early.iter().chain([&message]).map(weight).sum::<usize>();
            if early.len() == MAX_EARLY || bytes > MAX_EARLY_BYTES {
                return Err(lost("the server sent too much before it confirmed"));
            }
            early.push_back(message);
        }
        let how = link.how_it_ended();
        Err(lost(&format!("the connection ended before the server confirmed the command: {how}")))
    };
    match tokio::time::timeout(target.deadlines.exec, accepted).await {
        Ok(result) => result,
        Err(_) => Err(lost("the server did not confirm that it runs the command")),
    }
}

/// A terminal to ask for.
pub(crate) struct Pty {
    pub(crate) term: String,
    pub(crate) size: Size,
}

/// Messages that may come before the confirmation, each at most one SSH packet: sshd confirms before it reads
/// the command's first output, others may send a few.
const MAX_EARLY: usize = 64;

/// And so many bytes of them.
const MAX_EARLY_BYTES: usize = 1024 * 1024;

/// The bytes that a message holds.
fn weight(message: &ChannelMsg) -> usize {
    if let ChannelMsg::Data { data } | ChannelMsg::ExtendedData { data, .. } = message {
        return data.len();
    }
    if let ChannelMsg::ExitSignal { error_message, lang_tag, .. } = message {
        return error_message.len().saturating_add(lang_tag.len());
    }
    0
}

/// What becomes of the channel's input.
#[derive(Clone)]
pub(crate) enum Input {
    /// Its end is sent at once.
    Closed,
    /// These bytes, then its end.
    Then(Bytes),
    /// It stays open, for what comes later, and so that the far side sees by its end that the channel has gone.
    Held,
}

/// A text that the server runs.
pub(crate) struct Sent {
    pub(crate) pool: Pool,
    pub(crate) target: Arc<Target>,
    pub(crate) slot: Slot,
    pub(crate) reader: ChannelReadHalf,
    pub(crate) writer: Arc<ChannelWriteHalf<Msg>>,
    /// What came before the confirmation.
    pub(crate) early: VecDeque<ChannelMsg>,
    pub(crate) stdin: Option<AbortOnDropHandle<()>>,
}

impl Sent {
    /// What can end it from outside, and where that is told what is seen.
    pub(crate) fn stopper(&self, cookie: String) -> (Stopper, Tell) {
        let of = (self.pool.clone(), Arc::clone(&self.target));
        Stopper::new(of, Arc::clone(&self.writer), cookie)
    }

    /// A command of which nothing has been read yet.
    pub(crate) fn running(self, marker: Option<Marker>, cookie: String) -> Running {
        let (stopper, mut tell) = self.stopper(cookie);
        if marker.is_none() {
            tell.no_process();
        }
        Running {
            reader: self.reader,
            early: self.early,
            marker,
            tell,
            last: None,
            given_up: None,
            late: false,
            feed: None,
            withheld: false,
            held: VecDeque::new(),
            done: false,
            stopper,
            stdin: self.stdin,
            slot: self.slot,
        }
    }
}

async fn give(writer: Arc<ChannelWriteHalf<Msg>>, input: Input) -> Option<AbortOnDropHandle<()>> {
    match input {
        Input::Closed => {
            // A command that has already ended needs no end of input.
            let _ = writer.eof().await;
            None
        }
        Input::Held => None,
        Input::Then(bytes) => Some(Feed::new(writer, bytes, Duration::ZERO).send()),
    }
}

fn no_variables(target: &Target) -> ConnectFailure {
    ConnectFailure {
        phase: Phase::Exec,
        detail: format!("{} has no shell that could set variables", target.alias).into(),
        hint: "nothing was sent; leave env out".to_owned(),
    }
}

fn refused(target: &Target, what: &str) -> ConnectFailure {
    let verb = if what == "a command" { "run" } else { "give" };
    ConnectFailure {
        phase: Phase::Exec,
        detail: format!("{} refused to {verb} {what}", target.alias).into(),
        hint: "the account may not do that; see the server's log".to_owned(),
    }
}

/// 64 random bits in hex: a marker that output cannot imitate by chance or foresight.
pub(crate) fn nonce() -> Result<String, ConnectFailure> {
    let mut bytes = [0u8; 8];
    getrandom::fill(&mut bytes).map_err(|error| ConnectFailure {
        phase: Phase::Exec,
        detail: format!("the system gives no random numbers: {error}").into(),
        hint: "nothing was sent".to_owned(),
    })?;
    Ok(format!("{:016x}", u64::from_le_bytes(bytes)))
}

impl Running {
    /// The address of the host; none is known where a program connected.
    #[must_use]
    pub fn peer(&self) -> Option<IpAddr> {
        self.slot.link.peer()
    }

    /// A command that comes in place of a script which was given up, and whose answer begins like this.
    pub(crate) fn in_place_of(mut self, answer: String) -> Self {
        self.given_up = Some(answer.into_bytes());
        self
    }

    /// A command whose input was not sent, for nobody knew what would read it.
    pub(crate) fn without_input(mut self) -> Self {
        self.withheld = true;
        self
    }

    fn withhold(&mut self) {
        if let Some(feed) = self.feed.take() {
            self.withheld = true;
            self.stdin = Some(feed.withhold());
        }
    }

    /// What can end it from outside.
    #[must_use]
    pub fn stopper(&self) -> Stopper {
        self.stopper.clone()
    }

    /// The next event; `None` after the last. Cancel safe.
    pub async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some(event) = self.held.pop_front() {
                return Some(event);
            }
            if self.done {
                return None;
            }
            let message = match self.early.pop_front() {
                Some(message) => Some(message),
                None => match &self.feed {
                    None => self.reader.wait().await,
                    Some(feed) => {
                        let waited = tokio::time::timeout_at(feed.until, self.reader.wait()).await;
                        let Ok(message) = waited else {
                            self.withhold();
                            continue;
                        };
                        message
                    }
                },
            };
            self.take(message);
        }
    }

    fn take(&mut self, message: Option<ChannelMsg>) {
        match message {
            Some(ChannelMsg::Data { data }) => self.output(Stream::Stdout, data),
            Some(ChannelMsg::ExtendedData { data, ext: 1 }) => self.errors(data),
            Some(ChannelMsg::ExitStatus { exit_status }) => {
                self.ended(Event::Exited { status: exit_status });
            }
            Some(ChannelMsg::ExitSignal { signal_name, .. }) => {
                self.ended(Event::Signalled { signal: signal(&signal_name) });
            }
            Some(ChannelMsg::Close) | None => self.finish(),
            Some(_) => {}
        }
    }

    fn output(&mut self, stream: Stream, bytes: Bytes) {
        if !bytes.is_empty() {
            self.held.push_back(Event::Output { stream, bytes });
        }
    }

    /// Standard error, with the marker line taken out.
    fn errors(&mut self, bytes: Bytes) {
        if let Some(answer) = &self.given_up {
            // Written in one piece, so it comes in one.
            self.late |= bytes.windows(answer.len()).any(|text| text == answer);
        }
        let Some(marker) = &mut self.marker else {
            self.output(Stream::Stderr, bytes);
            return;
        };
        let fed = marker.feed(&bytes);
        if let Some(pid) = fed.pid {
            self.tell.process(pid);
            self.stdin = self.feed.take().map(Feed::send);
        }
        if fed.done {
            self.marker = None;
            self.tell.no_process();
            self.withhold();
        }
        self.output(Stream::Stderr, Bytes::from(fed.bytes));
    }

    fn ended(&mut self, event: Event) {
        self.last = Some(event);
        self.tell.ended();
    }

    fn finish(&mut self) {
        self.done = true;
        self.tell.nothing_more();
        // Closed by the other side.
        self.slot.open = None;
        self.withheld |= self.feed.take().is_some();
        if let Some(marker) = self.marker.take() {
            self.output(Stream::Stderr, Bytes::from(marker.finish()));
        }
        let told = self.last.take().filter(|_| !self.late && !self.withheld);
        let last = told.unwrap_or_else(|| Event::Lost {
            detail: if self.withheld {
                WITHHELD.into()
            } else if self.late {
                "the host took longer to start the command than anyone waits, and then did".into()
            } else if self.slot.link.is_closed() {
                self.slot.link.how_it_ended().into()
            } else {
                "the server closed the channel without an exit status".into()
            },
        });
        self.held.push_back(last);
    }
}

/// Longest name of a signal; those that systems know are shorter.
const MAX_SIGNAL: usize = 32;

pub(crate) fn signal(name: &Sig) -> HostWords {
    if let Sig::Custom(name) = name {
        return HostWords::within(name, MAX_SIGNAL);
    }
    HostWords::from(format!("{name:?}"))
}
