//! A person's terminal while a recorded screen is shown on it, and as it was before afterwards.

use std::io::{self, Write};

use rustix::termios::{
    LocalModes, OptionalActions, SpecialCodeIndex, Termios, isatty, tcgetattr, tcgetwinsize,
    tcsetattr,
};
use sshepherd_terminal::emulator::VIEW_END;
use sshepherd_terminal::{Emulator, Snapshot};
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Another screen, so that what was there before comes back.
const ENTER: &[u8] = b"\x1b[?1049h";
const LEAVE: &[u8] = b"\x1b[?1049l";

/// What a person or the system tells a view.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Told {
    /// Leave.
    Leave,
    /// The terminal has another size.
    Resized,
}

/// The signals that are heard during a view. Made before it, so that none ends the process while the terminal is changed.
pub(super) struct Signals {
    leave: [Signal; 3],
    resized: Signal,
}

impl Signals {
    pub(super) fn hear() -> io::Result<Self> {
        let leave = [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()];
        let [interrupt, terminate, hangup] = leave.map(signal);
        Ok(Self {
            leave: [interrupt?, terminate?, hangup?],
            resized: signal(SignalKind::window_change())?,
        })
    }

    pub(super) async fn next(&mut self) -> Told {
        let [interrupt, terminate, hangup] = &mut self.leave;
        tokio::select! {
            _ = interrupt.recv() => Told::Leave,
            _ = terminate.recv() => Told::Leave,
            _ = hangup.recv() => Told::Leave,
            _ = self.resized.recv() => Told::Resized,
        }
    }
}

/// A view on standard output. Dropping it gives the terminal back.
pub(super) struct View {
    terminal: bool,
    before: Option<Termios>,
    shown: Option<Snapshot>,
}

impl View {
    /// Begins a view. Where standard output is no terminal it gets the same bytes, at the recorded size.
    pub(super) fn begin() -> Self {
        let terminal = isatty(io::stdout());
        let before = if terminal { quiet() } else { None };
        if terminal {
            let _ = write(ENTER);
        }
        Self { terminal, before, shown: None }
    }

    /// Shows the screen, or as much of it as the terminal has place for; an error when nobody takes it any more.
    pub(super) fn paint(&mut self, screen: &Emulator) -> io::Result<()> {
        let now = match self.size() {
            Some((cols, rows)) => screen.snapshot_within(cols, rows),
            None => screen.snapshot(),
        };
        let bytes = match &self.shown {
            Some(shown) => now.since(shown),
            None => now.whole(),
        };
        self.shown = Some(now);
        if bytes.is_empty() { Ok(()) } else { write(&bytes) }
    }

    /// The terminal may show something else by now.
    pub(super) fn forget(&mut self) {
        self.shown = None;
    }

    fn size(&self) -> Option<(u16, u16)> {
        let size = tcgetwinsize(io::stdout()).ok().filter(|_| self.terminal)?;
        (size.ws_col > 0 && size.ws_row > 0).then_some((size.ws_col, size.ws_row))
    }
}

impl Drop for View {
    fn drop(&mut self) {
        // Nothing is left to do where that fails: the terminal is gone.
        let _ = write(VIEW_END);
        if self.terminal {
            let _ = write(LEAVE);
        }
        if let Some(before) = &self.before {
            // What was typed meanwhile was for nobody.
            let _ = tcsetattr(io::stdin(), OptionalActions::Flush, before);
        }
    }
}

/// Keeps keys off the screen; of those that act only Ctrl-C stays, for the others would leave the terminal changed.
fn quiet() -> Option<Termios> {
    let before = tcgetattr(io::stdin()).ok()?;
    let mut watching = before.clone();
    watching.local_modes -= LocalModes::ECHO | LocalModes::ICANON;
    watching.special_codes[SpecialCodeIndex::VSUSP] = 0;
    watching.special_codes[SpecialCodeIndex::VQUIT] = 0;
    tcsetattr(io::stdin(), OptionalActions::Flush, &watching).ok()?;
    Some(before)
}

fn write(bytes: &[u8]) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(bytes)?;
    out.flush()
}
