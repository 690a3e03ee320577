//! What is known of one shell: its output, its screen, its prompts, its end. No waiting here.

use std::time::Instant;

use sshepherd_ssh::{Greeted, TerminalEvent};
use sshepherd_terminal::emulator::Emulator;
use sshepherd_terminal::marks::{Mark, Marks};
use sshepherd_terminal::scrollback::Scrollback;

use super::ShellEnded;

/// The prompt, as marks tell of it.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Prompt {
    /// Marks have come.
    pub(super) marked: bool,
    /// The shell waits for a command line.
    pub(super) waits: bool,
    /// Something was typed since it began to wait.
    pub(super) typed_since: bool,
    /// How the last command ended.
    pub(super) status: Option<u8>,
}

/// Everything known of a shell. Behind one lock, held for as long as a piece of output takes.
pub(super) struct State {
    pub(super) scrollback: Scrollback,
    pub(super) emulator: Emulator,
    marks: Option<Marks>,
    pub(super) prompt: Prompt,
    pub(super) greeted: Option<Greeted>,
    /// Where the caller has read to.
    pub(super) unread: u64,
    /// Bytes that were typed, and that came.
    pub(super) typed: u64,
    pub(super) came: u64,
    pub(super) last_output: Instant,
    pub(super) last_used: Instant,
    /// When the terminal was connected.
    pub(super) connected_at: Instant,
    /// Those who wait for its output now.
    pub(super) waiting: usize,
    /// The host has shown that it keeps it.
    pub(super) kept: bool,
    pub(super) ended: Option<ShellEnded>,
    /// A terminal is there.
    pub(super) connected: bool,
}

impl State {
    pub(super) fn new(cols: u16, rows: u16, scrollback: usize, now: Instant) -> Self {
        Self {
            scrollback: Scrollback::new(scrollback),
            emulator: Emulator::new(cols, rows),
            marks: None,
            prompt: Prompt::default(),
            greeted: None,
            unread: 0,
            typed: 0,
            came: 0,
            last_output: now,
            last_used: now,
            connected_at: now,
            waiting: 0,
            kept: false,
            ended: None,
            connected: false,
        }
    }

    /// A terminal was connected, whose marks carry this nonce; what was held back of the one before is shown.
    /// Its limits of time begin anew, for nobody could use it meanwhile.
    pub(super) fn connected(&mut self, nonce: &str, now: Instant) {
        (self.connected_at, self.last_used) = (now, now);
        if let Some(mut before) = self.marks.replace(Marks::new(nonce)) {
            self.show(&before.finish());
        }
        self.greeted = None;
        self.prompt = Prompt::default();
        self.connected = true;
    }

    /// Takes output; what is to be shown of it, marks cut out.
    pub(super) fn output(&mut self, bytes: &[u8], now: Instant) -> Vec<u8> {
        self.came = self.came.saturating_add(bytes.len() as u64);
        self.last_output = now;
        let Some(marks) = &mut self.marks else {
            self.show(bytes);
            return bytes.to_vec();
        };
        let marked = marks.feed(bytes);
        for (_, mark) in &marked.marks {
            self.mark(*mark);
        }
        self.show(&marked.bytes);
        marked.bytes
    }

    fn mark(&mut self, mark: Mark) {
        let prompt = &mut self.prompt;
        prompt.marked = true;
        match mark {
            Mark::PromptStart => {}
            Mark::PromptEnd => {
                prompt.waits = true;
                prompt.typed_since = false;
            }
            Mark::CommandStart => {
                prompt.waits = false;
                prompt.status = None;
            }
            Mark::CommandEnd { status } => prompt.status = status,
        }
    }

    fn show(&mut self, bytes: &[u8]) {
        self.scrollback.push(bytes);
        self.emulator.feed(bytes);
    }

    /// The last word of the host about the program, as an end.
    pub(super) fn last_word(event: TerminalEvent) -> Result<ShellEnded, TerminalEvent> {
        let (why, exit_status) = match event {
            TerminalEvent::Exited { status } => {
                (format!("the program ended with exit status {status}"), Some(status))
            }
            TerminalEvent::Signalled { signal } => {
                (format!("the program was ended by the signal {signal}"), None)
            }
            TerminalEvent::Lost { detail } => (detail.into(), None),
            other @ (TerminalEvent::Greeted(_)
            | TerminalEvent::Refused(_)
            | TerminalEvent::Output(_)) => return Err(other),
        };
        Ok(ShellEnded { why, exit_status, stopped: None })
    }

    /// When it was in use last: now, while someone waits for it.
    pub(super) fn in_use(&self, now: Instant) -> Instant {
        if self.waiting > 0 { now } else { self.last_used }
    }

    /// Notes that something was typed.
    pub(super) fn typed(&mut self, bytes: u64, now: Instant) {
        self.typed = self.typed.saturating_add(bytes);
        self.prompt.typed_since = true;
        self.last_used = now;
    }

    /// Whether it waits at a prompt with nothing typed, as far as marks tell.
    pub(super) fn at_prompt(&self) -> Option<bool> {
        self.prompt.marked.then_some(self.prompt.waits && !self.prompt.typed_since)
    }
}
