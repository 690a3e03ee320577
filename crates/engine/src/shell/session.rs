//! One shell: what its callers share, and the pump that reads its terminal until it ends.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use sshepherd_model::{Alias, Host, ShellId, ShellLimits, Stopped};
use sshepherd_policy::ShellGrant;
use sshepherd_ssh::{Keyboard, Terminal, TerminalEvent};
use sshepherd_store::shells::{HeldShell, ShellEnd, ShellRecord};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::state::State;
use super::tape::Tape;
use super::{ShellEnded, ShellInfo, ShellLife, audit};
use crate::config::Config;
use crate::engine::{Engine, now_ms};
use crate::pipeline::Origin;
use crate::watch::GRACE;

/// How long a program may take to end by HUP before the terminal is closed under it.
const HEEDED: Duration = Duration::from_secs(1);

/// How long the host may take to close a terminal that was hung up.
const LAST_WORD: Duration = Duration::from_secs(2);

/// Time between TERM and KILL when the server ends.
const LAST_GRACE: Duration = Duration::from_secs(1);

/// A shell. Readers and writers share it; its pump alone reads the terminal.
pub(crate) struct Session {
    pub(super) id: ShellId,
    pub(super) alias: Alias,
    pub(super) host: Arc<Host>,
    pub(super) config: Arc<Config>,
    pub(super) origin: Origin,
    pub(super) grant: ShellGrant,
    pub(super) limits: ShellLimits,
    pub(super) opened_at: u64,
    /// Input goes out whole, one after the other.
    pub(super) typing: tokio::sync::Mutex<()>,
    keyboard: Mutex<Option<Keyboard>>,
    state: Mutex<State>,
    /// Counts what changed, for those who wait.
    changed: watch::Sender<u64>,
    record: Mutex<ShellRecord>,
    held: Mutex<Option<HeldShell>>,
    tape: Mutex<Option<Tape>>,
    closing: CancellationToken,
}

/// What a session is made of.
pub(super) struct Making {
    pub(super) record: ShellRecord,
    pub(super) host: Arc<Host>,
    pub(super) config: Arc<Config>,
    pub(super) origin: Origin,
    pub(super) grant: ShellGrant,
    pub(super) limits: ShellLimits,
    pub(super) held: Option<HeldShell>,
    pub(super) scrollback: usize,
}

impl Session {
    pub(super) fn new(making: Making) -> Self {
        let record = making.record;
        let state = State::new(record.cols, record.rows, making.scrollback, Instant::now());
        Self {
            id: record.id.clone(),
            alias: record.alias.clone(),
            opened_at: record.opened_at,
            host: making.host,
            config: making.config,
            origin: making.origin,
            grant: making.grant,
            limits: making.limits,
            typing: tokio::sync::Mutex::new(()),
            keyboard: Mutex::default(),
            state: Mutex::new(state),
            changed: watch::Sender::new(0),
            record: Mutex::new(record),
            held: Mutex::new(making.held),
            tape: Mutex::default(),
            closing: CancellationToken::new(),
        }
    }

    /// What is known of it; not held across an await.
    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn changes(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    fn tell(&self) {
        self.changed.send_modify(|count| *count = count.wrapping_add(1));
    }

    /// What types into it, while a terminal is connected.
    pub(super) fn keyboard(&self) -> Option<Keyboard> {
        self.keyboard.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set_keyboard(&self, keyboard: Option<Keyboard>) {
        *self.keyboard.lock().unwrap_or_else(PoisonError::into_inner) = keyboard;
    }

    pub(super) fn is_open(&self) -> bool {
        self.state().ended.is_none()
    }

    /// Asks it to end.
    pub(super) fn close(&self) {
        self.closing.cancel();
    }

    /// The session's record, after a change to it, written down where records are kept.
    pub(super) fn note(&self, change: impl FnOnce(&mut ShellRecord)) {
        let record = {
            let mut record = self.record.lock().unwrap_or_else(PoisonError::into_inner);
            change(&mut record);
            record.clone()
        };
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(held) = held.as_mut()
            && let Err(error) = held.update(&record)
        {
            tracing::warn!(session = %self.id, %error, "the record of a shell could not be written");
        }
    }

    /// The right to write its record, for the session that goes on with it.
    pub(super) fn take_held(&self) -> Option<HeldShell> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    pub(super) fn record(&self) -> ShellRecord {
        self.record.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn info(&self) -> ShellInfo {
        let record = self.record();
        let connected = self.keyboard().is_some();
        let state = self.state();
        ShellInfo {
            id: self.id.clone(),
            alias: self.alias.clone(),
            what: record.what,
            life: match (&state.ended, connected) {
                (Some(_), _) => ShellLife::Ended,
                (None, true) => ShellLife::Open,
                (None, false) => ShellLife::Detached,
            },
            size: (record.cols, record.rows),
            opened_at: self.opened_at,
            persistent: record.persistent.is_some(),
            kind: state.greeted.as_ref().map(|greeted| greeted.kind.to_string()),
            marked: state.prompt.marked,
            at_prompt: state.at_prompt(),
            exit_status: state.prompt.status,
            unread: state.scrollback.end().saturating_sub(state.unread),
            ended: state.ended.as_ref().map(|ended| ended.why.clone()),
            recorded: record.recording,
        }
    }

    /// Connects a terminal and reads it behind the caller.
    pub(super) fn connect(self: &Arc<Self>, engine: &Engine, terminal: Terminal) {
        self.state().connected(terminal.nonce(), Instant::now());
        self.set_keyboard(Some(terminal.keyboard()));
        *self.tape() = self.new_tape();
        let (engine, session) = (engine.clone(), Arc::clone(self));
        engine.clone().tracker().spawn(async move { session.pump(&engine, terminal).await });
    }

    /// The recording, while a terminal is connected and there is one.
    pub(super) fn tape(&self) -> MutexGuard<'_, Option<Tape>> {
        self.tape.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn new_tape(&self) -> Option<Tape> {
        if !self.grant.recording {
            return None;
        }
        let record = self.record();
        let held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let recorder = held.as_ref()?.recorder(self.config.shells.recording_bytes);
        match recorder {
            Ok(recorder) => Some(Tape::new(recorder, &record, now_ms())),
            Err(error) => {
                tracing::warn!(session = %self.id, %error, "a shell is not recorded");
                None
            }
        }
    }

    /// When the pump has to look up without an event.
    fn due(&self) -> Instant {
        let due = {
            let state = self.state();
            let idle = state.in_use(Instant::now()) + self.limits.idle;
            idle.min(state.connected_at + self.limits.lifetime)
        };
        self.tape().as_ref().and_then(Tape::due).map_or(due, |flush| flush.min(due))
    }

    /// Why it has to end by now, if it has to.
    fn overdue(&self, now: Instant) -> Option<String> {
        let state = self.state();
        let seconds = |duration: Duration| duration.as_secs();
        if state.came > self.limits.output_bytes {
            return Some(format!("it wrote more than {} bytes", self.limits.output_bytes));
        }
        if now >= state.connected_at + self.limits.lifetime {
            return Some(format!("it was open for {} s", seconds(self.limits.lifetime)));
        }
        (now >= state.in_use(now) + self.limits.idle)
            .then(|| format!("nobody used it for {} s", seconds(self.limits.idle)))
    }

    async fn pump(self: Arc<Self>, engine: &Engine, mut terminal: Terminal) {
        let persistent = self.record().persistent.is_some();
        let why = loop {
            let due = self.due();
            tokio::select! {
                biased;
                () = self.closing.cancelled() => break Some("it was closed".to_owned()),
                () = engine.closing().cancelled() => {
                    if persistent {
                        return self.let_go();
                    }
                    break Some("its server ended".to_owned());
                }
                event = terminal.next() => match event {
                    Some(event) => {
                        if let Some(ended) = self.take(event) {
                            return self.last(engine, ended, persistent);
                        }
                    }
                    None => break None,
                },
                () = tokio::time::sleep_until(due.into()) => {}
            }
            let now = Instant::now();
            if let Some(tape) = self.tape().as_mut() {
                tape.tick(&self.config, now);
            }
            if let Some(why) = self.overdue(now) {
                break Some(why);
            }
        };
        let why = why.unwrap_or_else(|| "the terminal was closed".to_owned());
        // A server that ends waits for a few seconds only, and whatever is left is hung up on anyway.
        let grace = if engine.closing().is_cancelled() { LAST_GRACE } else { GRACE };
        let stopped = self.stop(&mut terminal, grace).await;
        let ended = ShellEnded { why, exit_status: None, stopped: Some(stopped) };
        self.finish(engine, ended);
    }

    /// Takes what the terminal did; the end, if that was it.
    fn take(&self, event: TerminalEvent) -> Option<ShellEnded> {
        let event = match State::last_word(event) {
            Ok(ended) => return Some(ended),
            Err(event) => event,
        };
        match event {
            TerminalEvent::Output(bytes) => {
                let now = Instant::now();
                let shown = self.state().output(&bytes, now);
                if let Some(tape) = self.tape().as_mut() {
                    tape.output(&shown, &self.config, now);
                }
            }
            TerminalEvent::Greeted(greeted) => {
                let mut state = self.state();
                state.kept = true;
                state.greeted = Some(greeted);
            }
            TerminalEvent::Refused(reason) => {
                self.tell();
                return Some(ShellEnded {
                    why: refused(&reason),
                    exit_status: None,
                    stopped: None,
                });
            }
            TerminalEvent::Exited { .. }
            | TerminalEvent::Signalled { .. }
            | TerminalEvent::Lost { .. } => {}
        }
        self.tell();
        None
    }

    /// The terminal has said its last word: the end or, of a shell that the host keeps and a connection that was lost, a
    /// pause.
    fn last(&self, engine: &Engine, ended: ShellEnded, persistent: bool) {
        let lost = ended.exit_status.is_none() && ended.stopped.is_none();
        if persistent && lost && self.state().kept {
            return self.let_go();
        }
        self.finish(engine, ended);
    }

    fn let_go(&self) {
        self.set_keyboard(None);
        self.state().connected = false;
        self.end_tape();
        self.tell();
    }

    fn end_tape(&self) {
        if let Some(tape) = self.tape().take() {
            tape.finish(&self.config);
        }
    }

    /// Hangs up, which most programs end by (an interactive shell ignores TERM), and ends whatever is left; the terminal is
    /// read until the host has closed it.
    async fn stop(&self, terminal: &mut Terminal, grace: Duration) -> Stopped {
        let keyboard = terminal.keyboard();
        let heeded = if keyboard.has_process() { HEEDED } else { Duration::ZERO };
        let rest = async {
            while let Some(event) = terminal.next().await {
                let _ = self.take(event);
            }
        };
        let close = async {
            tokio::pin!(rest);
            if tokio::time::timeout(heeded, &mut rest).await.is_err() {
                keyboard.hang_up().await;
                let _ = tokio::time::timeout(LAST_WORD, rest).await;
            }
        };
        tokio::join!(keyboard.stop(grace), close).0
    }

    /// Nothing came of connecting.
    pub(super) fn never_opened(&self, engine: &Engine, why: &str) {
        let ended = ShellEnded { why: why.to_owned(), exit_status: None, stopped: None };
        self.finish(engine, ended);
    }

    fn finish(&self, engine: &Engine, ended: ShellEnded) {
        self.set_keyboard(None);
        self.end_tape();
        audit::end(engine, self, &ended);
        {
            let mut state = self.state();
            state.connected = false;
            state.ended = Some(ended.clone());
        }
        self.note(|record| record.ended = Some(ShellEnd { at: now_ms(), why: ended.why }));
        // Whoever lists shells sees that it has ended; the lock is for those that have not.
        drop(self.take_held());
        self.tell();
    }
}

/// What the host says when it starts nothing, in words.
fn refused(reason: &str) -> String {
    match reason {
        "gone" => "the host no longer keeps it: its multiplexer session is gone".to_owned(),
        "no-multiplexer" => {
            "the host has neither tmux nor screen, so no shell can be persistent there".to_owned()
        }
        "typed" => {
            "the host started nothing: something else was typed before its variables".to_owned()
        }
        other => format!("the host started nothing: {other}"),
    }
}
