//! How a run on many hosts gets on, on the last line of the terminal. Where standard error is no terminal there is nothing.
//!
//! The process has one terminal, so there is one line, and whoever asks a person something there has it cleared first.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, IsTerminal, Write};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use sshepherd_engine::{Engine, HostReport, TaskEventKind};
use sshepherd_model::{Alias, Request};
use tokio::sync::broadcast::error::RecvError;

/// How many of those that run longest are named.
const NAMED: usize = 3;
/// How often the line is drawn when nothing happens, for the seconds in it.
const TICK: Duration = Duration::from_secs(1);

/// What the line tells.
struct Line {
    began: Option<Instant>,
    done: usize,
    failed: usize,
    total: usize,
    running: BTreeMap<Alias, Instant>,
    bar: Option<ProgressBar>,
    /// How many need the terminal for themselves.
    held: usize,
}

static LINE: Mutex<Line> = Mutex::new(Line::NONE);

/// Nothing in it can be half done: each change is one assignment.
fn line() -> MutexGuard<'static, Line> {
    LINE.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Line {
    const NONE: Self = Self {
        began: None,
        done: 0,
        failed: 0,
        total: 0,
        running: BTreeMap::new(),
        bar: None,
        held: 0,
    };

    fn draw(&mut self) {
        let Some(began) = self.began.filter(|_| self.held == 0) else { return };
        let words = self.words(Instant::now());
        let total = self.total as u64;
        let bar = self.bar.get_or_insert_with(|| {
            let bar = ProgressBar::new(total).with_elapsed(began.elapsed());
            if let Ok(style) =
                ProgressStyle::with_template("{bar:20} {pos}/{len} hosts  {elapsed}{wide_msg}")
            {
                bar.set_style(style);
            }
            bar
        });
        bar.set_position(self.done as u64);
        bar.set_message(words);
    }

    fn clear(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
    }

    /// How many failed, how many run, and who runs longest.
    fn words(&self, now: Instant) -> String {
        let mut words = String::new();
        if self.failed > 0 {
            words.push_str(&format!("  {} failed", self.failed));
        }
        let mut running: Vec<(&Instant, &Alias)> =
            self.running.iter().map(|(alias, since)| (since, alias)).collect();
        running.sort();
        for (place, (since, alias)) in running.iter().take(NAMED).enumerate() {
            let seconds = now.saturating_duration_since(**since).as_secs();
            let before =
                if place == 0 { format!("  {} running:", running.len()) } else { ",".to_owned() };
            words.push_str(&format!("{before} {alias} {seconds} s"));
        }
        words
    }
}

/// A run that the line tells of until this is dropped.
pub(crate) struct Progress {
    listening: Option<tokio::task::JoinHandle<()>>,
}

impl Progress {
    /// Begins to tell of `request` on these hosts.
    pub(crate) fn begin(engine: &Engine, request: &Request, hosts: BTreeSet<Alias>) -> Self {
        if !io::stderr().is_terminal() {
            return Self { listening: None };
        }
        {
            let mut line = line();
            *line = Line { held: line.held, ..Line::NONE };
            line.began = Some(Instant::now());
            line.total = hosts.len();
            line.draw();
        }
        let (mut events, hash) = (engine.events(), request.hash());
        let listening = tokio::spawn(async move {
            let mut tick = tokio::time::interval(TICK);
            loop {
                let event = tokio::select! {
                    event = events.recv() => event,
                    _ = tick.tick() => {
                        line().draw();
                        continue;
                    }
                };
                match event {
                    Ok(event) => {
                        let begins = matches!(event.kind, TaskEventKind::Created);
                        if begins && event.hash == hash && hosts.contains(&event.alias) {
                            let mut line = line();
                            line.running.insert(event.alias, Instant::now());
                            line.draw();
                        }
                    }
                    // Some are then not named, and counted all the same.
                    Err(RecvError::Lagged(_)) => {}
                    Err(RecvError::Closed) => return,
                }
            }
        });
        Self { listening: Some(listening) }
    }

    /// A host has answered.
    pub(crate) fn answered(&self, report: &HostReport, done: usize) {
        if self.listening.is_none() {
            return;
        }
        let mut line = line();
        line.running.remove(&report.alias);
        line.done = done;
        line.failed += usize::from(!report.went_well());
        line.draw();
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(listening) = self.listening.take() {
            listening.abort();
            let mut line = line();
            line.clear();
            line.began = None;
        }
    }
}

/// Keeps the terminal free of the line while it is held.
pub(crate) struct Free(());

/// Clears the line, and leaves it out until what this returns is dropped.
pub(crate) fn aside() -> Free {
    let mut line = line();
    line.held += 1;
    line.clear();
    Free(())
}

/// Standard error for those who write whole lines whenever they like: the line makes way for each.
pub(crate) struct Beside;

impl Write for Beside {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        line().clear();
        io::stderr().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}

impl Drop for Free {
    fn drop(&mut self) {
        let mut line = line();
        line.held = line.held.saturating_sub(1);
        line.draw();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn those_that_run_longest_are_named() {
        let began = Instant::now();
        let now = began + Duration::from_secs(60);
        let mut line = Line { failed: 2, ..Line::NONE };
        assert_eq!(line.words(now), "  2 failed");
        for (place, name) in ["d", "b", "c", "a"].into_iter().enumerate() {
            let since = began + Duration::from_secs(place as u64);
            line.running.insert(name.parse().unwrap(), since);
        }
        assert_eq!(line.words(now), "  2 failed  4 running: d 60 s, b 59 s, c 58 s");
    }
}
