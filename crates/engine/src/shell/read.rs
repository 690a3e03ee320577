//! Waiting for output and showing it.

use std::time::{Duration, Instant};

use regex::Regex;
use sshepherd_model::ShellId;
use sshepherd_sanitise::screen::CONTEXT;
use sshepherd_sanitise::{More, View};
use sshepherd_terminal::prompt::looks_like_prompt;

use super::session::Session;
use super::state::State;
use super::{ShellInfo, ShellRefusal};
use crate::engine::Engine;

/// Output that has begun to come is waited for until it pauses for so long, at most so long: a reader that is woken by the
/// first bytes of many would be given a fragment.
const SETTLE: Duration = Duration::from_millis(30);
const SETTLE_MOST: Duration = Duration::from_millis(250);

/// Without marks, a line that looks like a prompt is taken for one after this long without output.
const PROMPT_QUIET: Duration = Duration::from_millis(400);

/// What a wait is for; whichever comes first ends it.
#[derive(Debug, Clone)]
pub struct Until {
    /// It ends after this long in any case.
    pub timeout: Duration,
    /// Text that matches, in output since the input that the wait belongs to, or since where the reading begins.
    pub matching: Option<Regex>,
    /// No output for this long.
    pub quiet: Option<Duration>,
    /// The shell waits for a command line again.
    pub prompt: bool,
}

impl Until {
    /// The first output, or so long without.
    #[must_use]
    pub fn output(timeout: Duration) -> Self {
        Self { timeout, matching: None, quiet: None, prompt: false }
    }

    fn any_output(&self) -> bool {
        self.matching.is_none() && self.quiet.is_none() && !self.prompt
    }
}

/// How to read.
#[derive(Debug, Clone)]
pub struct ReadShell {
    /// From this byte of all that was written, in place of what was not read yet.
    pub cursor: Option<u64>,
    /// Whether what is given counts as read.
    pub clear: bool,
    /// Most bytes to give.
    pub max_bytes: usize,
    /// What to wait for.
    pub until: Until,
}

/// What told of a prompt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PromptBy {
    /// The shell's own marks.
    Marks,
    /// The look of the last line, and silence.
    Look,
}

/// What ended a wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EndedBy {
    /// There was output.
    Output,
    /// Text matched.
    Match,
    /// There was no output for as long as was asked.
    Quiet,
    /// The shell waits for a command line.
    Prompt(PromptBy),
    /// The time was up.
    Timeout,
    /// The shell has ended, or its connection.
    Closed,
}

/// Output of a shell as it may be read.
#[derive(Debug)]
pub struct ShellOutput {
    /// The text, cleaned and redacted, and what was taken out.
    pub view: View,
    /// What ended the wait.
    pub ended_by: EndedBy,
    /// Where the text begins, in bytes of all that was written.
    pub from: u64,
    /// Where to read on.
    pub next: u64,
    /// Bytes of what was asked for that are no longer kept.
    pub missing_before: u64,
    /// Bytes that follow and are kept.
    pub left: u64,
    /// The shell.
    pub info: ShellInfo,
}

/// What a person would see.
#[derive(Debug)]
pub struct ScreenView {
    /// The rows as they may be read, blanks at their ends left out.
    pub rows: Vec<String>,
    /// The cursor's row and column, from 0.
    pub cursor: (u16, u16),
    /// Whether it is shown.
    pub cursor_visible: bool,
    /// The window's title, cleaned and redacted.
    pub title: Option<String>,
    /// Whether a program shows a screen of its own (vim, less, top).
    pub alternate: bool,
    /// What was taken out, in words.
    pub note: Option<String>,
    /// The shell.
    pub info: ShellInfo,
}

impl Engine {
    /// Waits, then gives what was written.
    pub async fn read_shell(
        &self,
        id: &ShellId,
        read: &ReadShell,
    ) -> Result<ShellOutput, ShellRefusal> {
        let session = self.session_to_read(id).await?;
        let since = {
            let state = session.state();
            read.cursor.unwrap_or(state.unread)
        };
        Ok(session.read(read, since).await)
    }

    /// What a person would see now.
    pub async fn shell_screen(&self, id: &ShellId) -> Result<ScreenView, ShellRefusal> {
        let session = self.session_to_read(id).await?;
        let info = session.info();
        let screen = {
            let mut state = session.state();
            state.last_used = Instant::now();
            state.emulator.screen()
        };
        let clean = session.config.screen();
        let mut shown = View::default();
        let rows = screen
            .rows
            .iter()
            .map(|row| {
                let view = clean.whole(row.as_bytes());
                shown.count(&view);
                // A row is one line, whatever stood in it.
                view.text().replace('\n', " ")
            })
            .collect();
        let title = (!screen.title.is_empty()).then(|| {
            let view = clean.whole(screen.title.as_bytes());
            shown.count(&view);
            view.text()
        });
        Ok(ScreenView {
            rows,
            cursor: (screen.cursor_row, screen.cursor_col),
            cursor_visible: screen.cursor_visible,
            title,
            alternate: screen.alternate_screen,
            note: shown.note(),
            info,
        })
    }
}

impl Session {
    /// Waits for output since `since`, then gives what `read` asks for.
    pub(super) async fn read(&self, read: &ReadShell, since: u64) -> ShellOutput {
        self.state().last_used = Instant::now();
        let ended_by = self.wait(&read.until, since).await;
        self.give(read, ended_by)
    }

    async fn wait(&self, until: &Until, since: u64) -> EndedBy {
        let (began, mut changes) = (Instant::now(), self.changes());
        let deadline = began + until.timeout;
        let mut first: Option<Instant> = None;
        loop {
            changes.borrow_and_update();
            let now = Instant::now();
            let (met, next) = {
                let state = self.state();
                let came = state.scrollback.end() > since;
                if came && first.is_none() {
                    first = Some(now);
                }
                let settled =
                    first.map(|first| (state.last_output + SETTLE).min(first + SETTLE_MOST));
                (
                    self.met(&state, until, (since, began, settled), now),
                    due(&state, until, began, settled),
                )
            };
            if let Some(met) = met {
                return met;
            }
            if now >= deadline {
                return EndedBy::Timeout;
            }
            let wake = next.filter(|due| *due > now).map_or(deadline, |due| due.min(deadline));
            tokio::select! {
                _ = changes.changed() => {}
                () = tokio::time::sleep_until(wake.into()) => {}
            }
        }
    }

    /// What of the wait has come, if anything.
    fn met(
        &self,
        state: &State,
        until: &Until,
        (since, began, settled): (u64, Instant, Option<Instant>),
        now: Instant,
    ) -> Option<EndedBy> {
        let came = state.scrollback.end() > since;
        if let Some(regex) = &until.matching
            && came
            && regex.is_match(&self.text(state, since, usize::MAX, More::No).0.text())
        {
            return Some(EndedBy::Match);
        }
        if until.prompt {
            if state.at_prompt() == Some(true) {
                return Some(EndedBy::Prompt(PromptBy::Marks));
            }
            let quiet = now >= state.last_output.max(began) + PROMPT_QUIET;
            if quiet && (came || state.typed == 0) && asks(state) {
                return Some(EndedBy::Prompt(PromptBy::Look));
            }
        }
        if until.quiet.is_some_and(|quiet| now >= state.last_output.max(began) + quiet) {
            return Some(EndedBy::Quiet);
        }
        if until.any_output() && came && settled.is_some_and(|settled| now >= settled) {
            return Some(EndedBy::Output);
        }
        (!state.connected).then_some(EndedBy::Closed)
    }

    /// The bytes from `from` on, at most `most`, as they may be read; where they begin, what is missing before, their number.
    fn text(&self, state: &State, from: u64, most: usize, more: More) -> (View, u64, u64, usize) {
        let Ok(piece) = state.scrollback.read(from, most) else {
            return (View::default(), state.scrollback.end(), 0, 0);
        };
        let context = usize::try_from(piece.from.saturating_sub(state.scrollback.start()))
            .unwrap_or(usize::MAX)
            .min(CONTEXT);
        let before = state
            .scrollback
            .read(piece.from - context as u64, context)
            .map_or_else(|_| Vec::new(), |piece| piece.bytes);
        let end = piece.from + piece.bytes.len() as u64;
        let after =
            state.scrollback.read(end, CONTEXT).map_or_else(|_| Vec::new(), |piece| piece.bytes);
        let more = if after.is_empty() { more } else { More::No };
        let view = self.config.screen().view_of(&before, &piece.bytes, &after, more);
        (view, piece.from, piece.missing_before, piece.bytes.len())
    }

    fn give(&self, read: &ReadShell, ended_by: EndedBy) -> ShellOutput {
        let (view, from, missing_before, next, left) = {
            let mut state = self.state();
            let asked = read.cursor.unwrap_or(state.unread);
            // More may come at once that makes a secret, or a whole character, of the end.
            let fresh = state.last_output.elapsed() < SETTLE && state.ended.is_none();
            let more = if fresh { More::MayCome } else { More::No };
            let (view, from, missing, raw) = self.text(&state, asked, read.max_bytes, more);
            let cut = state
                .scrollback
                .read(from, raw)
                .map_or(0, |piece| unfinished(&piece.bytes))
                .min(if fresh { usize::MAX } else { 0 });
            let held = view.held.max(cut);
            let next = from + (raw - held.min(raw)) as u64;
            if read.clear && read.cursor.is_none() {
                state.unread = next;
            }
            state.last_used = Instant::now();
            (view, from, missing, next, state.scrollback.end().saturating_sub(next))
        };
        ShellOutput { view, ended_by, from, next, missing_before, left, info: self.info() }
    }
}

/// Bytes at the end that are the beginning of a character.
fn unfinished(bytes: &[u8]) -> usize {
    match std::str::from_utf8(bytes) {
        Err(error) if error.error_len().is_none() => bytes.len() - error.valid_up_to(),
        Ok(_) | Err(_) => 0,
    }
}

/// When to look again without news.
fn due(state: &State, until: &Until, began: Instant, settled: Option<Instant>) -> Option<Instant> {
    let since = state.last_output.max(began);
    let quiet = until.quiet.map(|quiet| since + quiet);
    let prompt = until.prompt.then(|| since + PROMPT_QUIET);
    let settled = settled.filter(|_| until.any_output());
    [quiet, prompt, settled].into_iter().flatten().filter(|due| *due > Instant::now()).min()
}

/// Whether the line of the cursor looks as if something waited for an answer.
fn asks(state: &State) -> bool {
    looks_like_prompt(&state.emulator.screen().before_cursor)
}
