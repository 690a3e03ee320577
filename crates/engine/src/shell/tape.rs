//! The recording of one shell: asciicast lines, secrets redacted.

use std::time::{Duration, Instant};

use sshepherd_store::shells::{Recorder, ShellRecord};
use sshepherd_terminal::Utf8Carry;
use sshepherd_terminal::cast::{self, Kind};

use crate::config::Config;

/// Output that may be the beginning of a secret is written without waiting for the rest after this long.
const HOLD: Duration = Duration::from_millis(200);

/// Writes a recording. An error ends the recording, never the shell.
pub(super) struct Tape {
    recorder: Recorder,
    carry: Utf8Carry,
    pending: String,
    since: Option<Instant>,
    /// Milliseconds between the first line of the recording and `began`.
    offset: u64,
    began: Instant,
    broken: bool,
}

impl Tape {
    pub(super) fn new(recorder: Recorder, record: &ShellRecord, now_ms: u64) -> Self {
        let mut tape = Self {
            recorder,
            carry: Utf8Carry::default(),
            pending: String::new(),
            since: None,
            offset: now_ms.saturating_sub(record.opened_at),
            began: Instant::now(),
            broken: false,
        };
        if tape.recorder.bytes() == 0 {
            let title = format!("{} {}", record.alias, record.id);
            let header =
                cast::header(record.cols, record.rows, record.opened_at / 1000, Some(&title));
            tape.write(&header);
        }
        tape
    }

    /// When held text has to be written.
    pub(super) fn due(&self) -> Option<Instant> {
        self.since.map(|since| since + HOLD)
    }

    pub(super) fn output(&mut self, bytes: &[u8], config: &Config, now: Instant) {
        let text = self.carry.push(bytes);
        self.pending.push_str(&text);
        let whole = config.screen().begins(&self.pending);
        self.emit(whole, config);
        self.since = (!self.pending.is_empty()).then(|| self.since.unwrap_or(now));
    }

    /// Writes what was held for long enough.
    pub(super) fn tick(&mut self, config: &Config, now: Instant) {
        if self.due().is_some_and(|due| now >= due) {
            self.emit(self.pending.len(), config);
            self.since = None;
        }
    }

    /// Notes a new size.
    pub(super) fn resized(&mut self, cols: u16, rows: u16) {
        let line = cast::event(self.at(), Kind::Resize, &format!("{cols}x{rows}"));
        self.write(&line);
    }

    pub(super) fn finish(mut self, config: &Config) {
        self.emit(self.pending.len(), config);
    }

    fn emit(&mut self, end: usize, config: &Config) {
        let rest = self.pending.split_off(end);
        let text = std::mem::replace(&mut self.pending, rest);
        if text.is_empty() {
            return;
        }
        let line = cast::event(self.at(), Kind::Output, &config.screen().redacted(&text));
        self.write(&line);
    }

    fn at(&self) -> u64 {
        self.offset + u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn write(&mut self, line: &str) {
        if self.broken {
            return;
        }
        let written = self.recorder.write(line).and_then(|()| self.recorder.flush());
        if let Err(error) = written {
            self.broken = true;
            tracing::warn!(%error, "the recording of a shell ends here");
        }
    }
}
