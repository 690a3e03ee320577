//! An interactive program under a pseudo-terminal: typed into, read, resized, signalled, ended.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use russh::client::Msg;
use russh::{ChannelMsg, ChannelReadHalf, ChannelWriteHalf};
use sshepherd_model::{ConnectFailure, HostWords, LoginShell, Outcome, Phase, Stopped};
use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;

use crate::exec::{Input, Pty, Ready, nonce, signal};
use crate::launch;
use crate::pool::Slot;
use crate::setup::{self, Greeting};
use crate::stopper::{Stopper, Tell};
use crate::words::{bare, command};

/// Columns and rows, each at least 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size {
    /// Characters in a row.
    pub cols: u16,
    /// Rows.
    pub rows: u16,
}

/// What is to run under the terminal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Interactive {
    /// The account's shell, as when a person logs in.
    LoginShell,
    /// A judged text in its place.
    Command(String),
    /// Either of them, kept on the host by a terminal multiplexer under this name.
    Persistent {
        /// `[a-z0-9-]`; unique on the host.
        name: String,
        /// In place of the log-in shell.
        command: Option<String>,
        /// It is there already; when it is not, nothing is started.
        resume: bool,
    },
}

/// What to open.
#[derive(Debug)]
pub struct Opening {
    /// What runs.
    pub program: Interactive,
    /// Variables to set; names are `[A-Za-z_][A-Za-z0-9_]*`.
    pub env: Vec<(String, String)>,
    /// The terminal's type, for `TERM`.
    pub term: String,
    /// Its size.
    pub size: Size,
    /// A mark for the environment of everything that is started; as of [`crate::Exec`].
    pub cookie: String,
}

/// What the host said of the program before its first output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Greeted {
    /// The terminal's device on the host.
    pub tty: Option<HostWords>,
    /// `bash`, `zsh`, `fish`, `sh`, `none`, `tmux` or `screen`.
    pub kind: HostWords,
    /// Whether prompts will be marked, under [`Terminal::nonce`].
    pub marks: bool,
}

/// What happens in a terminal. Exactly one event, the last, is `Exited`, `Signalled` or `Lost`.
#[derive(Debug, PartialEq, Eq)]
pub enum TerminalEvent {
    /// The program is about to start.
    Greeted(Greeted),
    /// The host started nothing, for this reason: `gone` or `no-multiplexer`.
    Refused(HostWords),
    /// It wrote.
    Output(Bytes),
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
    /// The connection or the channel ended without a word about the program.
    Lost {
        /// What was seen.
        detail: HostWords,
    },
}

/// An open terminal. Its owner must read it all the while, as a [`crate::Running`]. Dropped, it is closed: the host hangs up on
/// the program, unless a multiplexer keeps it.
pub struct Terminal {
    reader: ChannelReadHalf,
    early: VecDeque<ChannelMsg>,
    greeting: Option<Greeting>,
    /// What is typed when the text asks for it.
    variables: Bytes,
    typing: Option<AbortOnDropHandle<()>>,
    /// Lets through what is typed; gone once it will not change any more.
    gate: Option<watch::Sender<bool>>,
    nonce: String,
    tell: Tell,
    last: Option<TerminalEvent>,
    held: VecDeque<TerminalEvent>,
    done: bool,
    keyboard: Keyboard,
    slot: Slot,
}

/// Acts on a terminal from outside. Clones share it.
#[derive(Clone)]
pub struct Keyboard {
    writer: Arc<ChannelWriteHalf<Msg>>,
    /// Whether what is typed reaches the program, and nothing before it.
    gate: watch::Receiver<bool>,
    stopper: Stopper,
    /// The terminal's device on the host, once it is known.
    tty: Arc<Mutex<Option<String>>>,
}

/// The terminal is no more, or the host never said that its program runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the terminal takes no input")]
pub struct Closed;

/// What the host says about a terminal's echo.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Echo {
    /// What is typed is shown.
    On,
    /// A line is read and not shown, as for a password.
    Off,
    /// The program reads single keys, and may show them itself.
    Raw,
    /// Nobody could say.
    Unknown,
}

/// How long a look at a terminal on a channel of its own may take.
const LOOK: Duration = Duration::from_secs(5);

/// How long a server may take to take a short request.
const TAKEN: Duration = Duration::from_secs(1);

impl Ready {
    /// Opens a terminal. After an error the program may have been started all the same, when the failure says that the
    /// connection ended meanwhile; it ends with its connection, unless a multiplexer keeps it.
    pub async fn terminal(self, opening: Opening) -> Result<Terminal, ConnectFailure> {
        let nonce = nonce()?;
        let shell = self.login_shell();
        let program = match &opening.program {
            Interactive::LoginShell => setup::Program::LoginShell,
            Interactive::Command(text) => setup::Program::Command(text),
            Interactive::Persistent { name, command, resume } => {
                setup::Program::Persistent { name, command: command.as_deref(), resume: *resume }
            }
        };
        // Without a shell that takes a prefix nothing can be set up, and the account's shell is all that there is.
        let plain = shell == LoginShell::RawWords;
        let persistent = matches!(opening.program, Interactive::Persistent { .. });
        if plain && (persistent || !opening.env.is_empty()) {
            return Err(ConnectFailure {
                phase: Phase::Exec,
                detail: "a host with login_shell: raw-words takes no variables and keeps no shell"
                    .into(),
                hint: "nothing was opened; leave persistent and env out".to_owned(),
            });
        }
        // What comes before a program may read what is typed, too; of the account's shell, whoever types has the use anyway.
        let free =
            plain || matches!(opening.program, Interactive::LoginShell) && opening.env.is_empty();
        let (gate, gated) = watch::channel(free);
        let text = match (&opening.program, plain) {
            (Interactive::Command(text), true) => Some(text.clone()),
            (_, true) => None,
            (_, false) => {
                let asks = !opening.env.is_empty();
                Some(setup::text(shell, &program, asks, &opening.cookie, &nonce))
            }
        };
        let pty = Pty { term: opening.term, size: opening.size };
        let sent = self.begin(text, Some(pty), Input::Held).await.map_err(not_opened)?;
        let (stopper, mut tell) = sent.stopper(opening.cookie);
        if plain {
            tell.no_process();
        }
        let keyboard = Keyboard {
            writer: Arc::clone(&sent.writer),
            gate: gated,
            stopper,
            tty: Arc::default(),
        };
        Ok(Terminal {
            reader: sent.reader,
            early: sent.early,
            greeting: (!plain).then(|| Greeting::new(&nonce)),
            variables: Bytes::from(launch::typed_variables(&opening.env, &nonce)),
            typing: None,
            gate: Some(gate),
            nonce,
            tell,
            last: None,
            held: VecDeque::new(),
            done: false,
            keyboard,
            slot: sent.slot,
        })
    }
}

fn not_opened(outcome: Outcome) -> ConnectFailure {
    let failure = |detail: String| ConnectFailure {
        phase: Phase::Exec,
        detail: detail.into(),
        hint: "the shell may have been started; it ends with its connection".to_owned(),
    };
    match outcome {
        Outcome::NotStarted(failure) => failure,
        Outcome::Interrupted(interruption) => failure(interruption.detail.to_string()),
        Outcome::NotSeenToRun(unseen) => failure(unseen.detail.to_string()),
        Outcome::Exited { .. }
        | Outcome::Signalled { .. }
        | Outcome::TimedOut { .. }
        | Outcome::Cancelled { .. }
        | Outcome::Denied { .. } => failure("no terminal was opened".to_owned()),
    }
}

impl Terminal {
    /// The address of the host; none is known where a program connected.
    #[must_use]
    pub fn peer(&self) -> Option<IpAddr> {
        self.slot.link.peer()
    }

    /// What marks of prompts carry, so that output cannot forge them.
    #[must_use]
    pub fn nonce(&self) -> &str {
        &self.nonce
    }

    /// What types into it.
    #[must_use]
    pub fn keyboard(&self) -> Keyboard {
        self.keyboard.clone()
    }

    /// The next event; `None` after the last. Cancel safe.
    pub async fn next(&mut self) -> Option<TerminalEvent> {
        loop {
            if let Some(event) = self.held.pop_front() {
                return Some(event);
            }
            if self.done {
                return None;
            }
            let message = match self.early.pop_front() {
                Some(message) => Some(message),
                None => self.reader.wait().await,
            };
            self.take(message);
        }
    }

    fn take(&mut self, message: Option<ChannelMsg>) {
        match message {
            Some(ChannelMsg::Data { data } | ChannelMsg::ExtendedData { data, ext: 1 }) => {
                self.output(data);
            }
            Some(ChannelMsg::ExitStatus { exit_status }) => {
                self.ended(TerminalEvent::Exited { status: exit_status });
            }
            Some(ChannelMsg::ExitSignal { signal_name, .. }) => {
                self.ended(TerminalEvent::Signalled { signal: signal(&signal_name) });
            }
            Some(ChannelMsg::Close) | None => self.finish(),
            Some(_) => {}
        }
    }

    fn output(&mut self, bytes: Bytes) {
        let Some(greeting) = &mut self.greeting else {
            return self.show(bytes);
        };
        let fed = greeting.feed(&bytes);
        if fed.done {
            self.greeting = None;
            if let Some(gate) = self.gate.take()
                && let Some(Ok(_)) = &fed.greeting
            {
                gate.send_replace(true);
            }
        }
        if fed.asks {
            let writer = Arc::clone(&self.keyboard.writer);
            let variables = std::mem::take(&mut self.variables);
            self.typing = Some(AbortOnDropHandle::new(tokio::spawn(async move {
                let _ = writer.data_bytes(variables).await;
            })));
        }
        match fed.greeting {
            Some(Ok(greeted)) => {
                self.tell.process(greeted.pid);
                self.keyboard.know_tty(greeted.tty.clone());
                self.held.push_back(TerminalEvent::Greeted(Greeted {
                    tty: greeted.tty.map(HostWords::from),
                    kind: greeted.kind.into(),
                    marks: greeted.marks,
                }));
            }
            Some(Err(reason)) => self.held.push_back(TerminalEvent::Refused(reason.into())),
            None => {}
        }
        self.show(Bytes::from(fed.bytes));
    }

    fn show(&mut self, bytes: Bytes) {
        if !bytes.is_empty() {
            self.held.push_back(TerminalEvent::Output(bytes));
        }
    }

    fn ended(&mut self, event: TerminalEvent) {
        self.last = Some(event);
        self.tell.ended();
    }

    fn finish(&mut self) {
        self.done = true;
        self.gate = None;
        self.tell.nothing_more();
        self.slot.open = None;
        if let Some(greeting) = self.greeting.take() {
            self.show(Bytes::from(greeting.finish()));
        }
        let last = self.last.take().unwrap_or_else(|| TerminalEvent::Lost {
            detail: if self.slot.link.is_closed() {
                self.slot.link.how_it_ended().into()
            } else {
                "the server closed the terminal without an exit status".into()
            },
        });
        self.held.push_back(last);
    }
}

impl Keyboard {
    fn tty(&self) -> Option<String> {
        self.tty.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn know_tty(&self, tty: Option<String>) {
        *self.tty.lock().unwrap_or_else(PoisonError::into_inner) = tty;
    }

    /// Waits until what is typed can reach nothing but what was to be opened: of a program, and of whatever is given
    /// variables or kept by the host, until the host said that it runs. The terminal must be read meanwhile.
    pub async fn ready(&self) -> Result<(), Closed> {
        self.gate.clone().wait_for(|open| *open).await.map(drop).map_err(|_| Closed)
    }

    /// Types these bytes once it is [`Self::ready`]; returns when the server has room for all of them. Dropped before it is
    /// ready, it types nothing.
    pub async fn send(&self, bytes: Bytes) -> Result<(), Closed> {
        self.ready().await?;
        self.writer.data_bytes(bytes).await.map_err(|_| Closed)
    }

    /// Tells the program that its window has another size.
    pub async fn resize(&self, size: Size) -> Result<(), Closed> {
        let (cols, rows) = (u32::from(size.cols), u32::from(size.rows));
        let told = self.writer.window_change(cols, rows, 0, 0);
        tokio::time::timeout(TAKEN, told).await.ok().and_then(Result::ok).ok_or(Closed)
    }

    /// Sends a signal to the process group in the foreground, by a fixed text on a channel of its own; true when the host
    /// says that it was sent. `name` is a signal's name without `SIG`.
    pub async fn signal(&self, name: &str) -> bool {
        let Some(pid) = self.stopper.process() else { return false };
        let text = about_foreground(SIGNAL, self.tty().as_deref(), pid, &[name]);
        let said = tokio::time::timeout(LOOK, self.stopper.said(text)).await;
        let Ok(Some(said)) = said else { return false };
        said.split(|byte| *byte == b'\n').any(|line| line == b"sshepherd-signal sent")
    }

    /// Whose program leads the foreground, and its name: the account in whose name it acts, and the file that was started. To be
    /// compared, never shown.
    pub async fn foreground(&self) -> Option<(String, String)> {
        let pid = self.stopper.process()?;
        let text = about_foreground(WHO, self.tty().as_deref(), pid, &[]);
        let said = tokio::time::timeout(LOOK, self.stopper.said(text)).await.ok()??;
        let said = String::from_utf8(said).ok()?;
        let told = said.lines().find_map(|line| line.strip_prefix("sshepherd-foreground "))?;
        told.split_once(' ').map(|(user, program)| (user.to_owned(), program.to_owned()))
    }

    /// Whether what is typed now would be shown.
    pub async fn echo(&self) -> Echo {
        let Some(tty) = self.tty() else { return Echo::Unknown };
        let text = setup::echo_state_text(&tty);
        let said = tokio::time::timeout(LOOK, self.stopper.said(text)).await;
        let Ok(Some(said)) = said else { return Echo::Unknown };
        match setup::parse_echo(&said) {
            None => Echo::Unknown,
            Some(state) if state.echo => Echo::On,
            Some(state) if state.canonical => Echo::Off,
            Some(_) => Echo::Raw,
        }
    }

    /// Closes the terminal: the host hangs up on the program.
    pub async fn hang_up(&self) {
        // A connection whose server reads nothing takes no more; what comes of it is its end.
        let _ = tokio::time::timeout(TAKEN, self.writer.close()).await;
    }

    /// Whether the process is known that a signal can reach beside the terminal.
    #[must_use]
    pub fn has_process(&self) -> bool {
        self.stopper.process().is_some()
    }

    /// Ends everything that was started in the terminal: HUP to its program, then TERM, `grace`, KILL. The terminal stands
    /// meanwhile: hung up by the kernel, bash reads the end of its input before the signal comes, which then kills it within
    /// its exit trap.
    pub async fn stop(&self, grace: Duration) -> Stopped {
        self.stopper.clone().hang_up(grace).await
    }
}

/// In `/proc/PID/stat` (proc(5)) the foreground process group is the sixth field behind the name; elsewhere `ps` knows it.
const FOREGROUND: &str = include_str!("setup/foreground.sh");
const SIGNAL: &str = include_str!("setup/signal.sh");
const WHO: &str = include_str!("setup/who.sh");

/// A fixed text about what runs in the foreground of a terminal, with these arguments behind its device and a process on it.
fn about_foreground(then: &str, tty: Option<&str>, pid: u32, more: &[&str]) -> String {
    let pid = pid.to_string();
    let arguments = [&[tty.unwrap_or("-"), &pid], more].concat();
    command(&bare(&[FOREGROUND, then]), &arguments)
}
