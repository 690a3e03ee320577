//! Waiting for output and showing it.

use std::time::{Duration, Instant};

use regex::Regex;
use sshepherd_model::ShellId;
use sshepherd_sanitise::{More, View};
use sshepherd_terminal::prompt::looks_like_prompt;

use super::piece::{LEAST, Raw, Search, written};
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
    /// Most bytes to give, as they are written in JSON.
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

/// Counts one who waits for output, for as long as it lives.
struct Waiting<'a>(&'a Session);

impl<'a> Waiting<'a> {
    fn on(session: &'a Session) -> Self {
        session.state().waiting += 1;
        Self(session)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.waiting = state.waiting.saturating_sub(1);
        state.last_used = Instant::now();
    }
}

impl Session {
    /// Waits for output since `since`, then gives what `read` asks for.
    pub(super) async fn read(&self, read: &ReadShell, since: u64) -> ShellOutput {
        let _waiting = Waiting::on(self);
        let ended_by = self.wait(&read.until, since).await;
        self.give(read, since, ended_by)
    }

    async fn wait(&self, until: &Until, since: u64) -> EndedBy {
        let (began, mut changes) = (Instant::now(), self.changes());
        let deadline = began + until.timeout;
        let mut first: Option<Instant> = None;
        let mut search = Search::behind(since, began);
        loop {
            changes.borrow_and_update();
            let now = Instant::now();
            let over = now >= deadline || self.is_over();
            if let Some(regex) = &until.matching
                && search.finds(self, regex, since, over)
            {
                return EndedBy::Match;
            }
            let (met, next) = {
                let state = self.state();
                let end = state.scrollback.end();
                if end > since && first.is_none() {
                    first = Some(now);
                }
                let settled =
                    first.map(|first| (state.last_output + SETTLE).min(first + SETTLE_MOST));
                let search = until.matching.as_ref().and_then(|_| search.due(end, now));
                (
                    self.met(&state, until, (since, began, settled), now),
                    due(&state, until, began, settled).into_iter().chain(search).min(),
                )
            };
            match met {
                // It ended behind the last search.
                Some(EndedBy::Closed) if !over => continue,
                Some(met) => return met,
                None => {}
            }
            if now >= deadline {
                return EndedBy::Timeout;
            }
            let wake = next.map_or(deadline, |due| due.min(deadline));
            // News of a flood come faster than they can be searched; they wait for the search.
            let searching = until.matching.is_some() && search.pauses(now);
            tokio::select! {
                _ = changes.changed(), if !searching => {}
                () = tokio::time::sleep_until(wake.into()) => {}
            }
        }
    }

    /// Whether nothing more comes: it has ended, or its connection was lost.
    fn is_over(&self) -> bool {
        !self.state().connected
    }

    /// What of the wait has come, if anything, beside text that matches.
    fn met(
        &self,
        state: &State,
        until: &Until,
        (since, began, settled): (u64, Instant, Option<Instant>),
        now: Instant,
    ) -> Option<EndedBy> {
        let came = state.scrollback.end() > since;
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

    fn give(&self, read: &ReadShell, since: u64, ended_by: EndedBy) -> ShellOutput {
        let (view, raw, next, left) = {
            let mut state = self.state();
            let asked = read.cursor.unwrap_or(state.unread);
            let fresh = self.goes_on(&state, read, since.max(asked), ended_by);
            let (view, raw) = self.fitting(&state, asked, read.max_bytes, fresh);
            let next = raw.from + raw.bytes.len().saturating_sub(view.held) as u64;
            if read.clear && read.cursor.is_none() {
                state.unread = next;
            }
            (view, raw, next, state.scrollback.end().saturating_sub(next))
        };
        let (from, missing_before) = (raw.from, raw.missing_before);
        ShellOutput { view, ended_by, from, next, missing_before, left, info: self.info() }
    }

    /// Whether more may come at once that makes a secret, or a whole character, of the end. What the reader waited for is given
    /// at once.
    fn goes_on(&self, state: &State, read: &ReadShell, from: u64, ended_by: EndedBy) -> bool {
        if state.last_output.elapsed() >= SETTLE || state.ended.is_some() {
            return false;
        }
        match (ended_by, &read.until.matching) {
            (EndedBy::Prompt(_), _) => false,
            (EndedBy::Match, Some(regex)) => {
                let shown = Raw::of(state, from, usize::MAX).view(self, More::MayCome);
                regex.is_match(&shown.text())
            }
            _ => true,
        }
    }

    /// As much from `from` on as takes at most `most` bytes when it is written as JSON, and a character at least.
    fn fitting(&self, state: &State, from: u64, most: usize, fresh: bool) -> (View, Raw) {
        let more = if fresh { More::MayCome } else { More::No };
        let mut bytes = most.max(LEAST);
        loop {
            let mut raw = Raw::of(state, from, bytes);
            if fresh {
                raw.leave_unfinished();
            }
            let view = raw.view(self, more);
            let size = written(&view.text());
            if size <= most || bytes <= LEAST {
                return (view, raw);
            }
            bytes = (bytes.saturating_mul(most) / size).min(bytes - bytes / 8 - 1).max(LEAST);
        }
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
