//! A piece of a shell's output: copied out, made readable, searched, measured.

use std::time::Instant;

use regex::Regex;
use sshepherd_sanitise::screen::CONTEXT;
use sshepherd_sanitise::{More, View};

use super::session::Session;
use super::state::State;

/// Output with what stands around it, copied so that it is made readable without holding the shell up.
pub(super) struct Raw {
    before: Vec<u8>,
    pub(super) bytes: Vec<u8>,
    after: Vec<u8>,
    pub(super) from: u64,
    pub(super) missing_before: u64,
}

impl Raw {
    /// The bytes from `from` on, at most `most`.
    pub(super) fn of(state: &State, from: u64, most: usize) -> Self {
        let kept = &state.scrollback;
        let bytes = |from: u64, most: usize| {
            kept.read(from, most).map_or_else(|_| Vec::new(), |piece| piece.bytes)
        };
        let Ok(piece) = kept.read(from, most) else {
            let (before, bytes, after) = (Vec::new(), Vec::new(), Vec::new());
            return Self { before, bytes, after, from: kept.end(), missing_before: 0 };
        };
        let context = piece.from.saturating_sub(kept.start()).min(CONTEXT as u64);
        let end = piece.from + piece.bytes.len() as u64;
        Self {
            before: bytes(piece.from - context, usize::try_from(context).unwrap_or(CONTEXT)),
            after: bytes(end, CONTEXT),
            bytes: piece.bytes,
            from: piece.from,
            missing_before: piece.missing_before,
        }
    }

    /// Leaves the beginning of a character at the very end for the next reading.
    pub(super) fn leave_unfinished(&mut self) {
        if self.after.is_empty() {
            self.bytes.truncate(self.bytes.len() - unfinished(&self.bytes));
        }
    }

    /// As it may be read.
    pub(super) fn view(&self, session: &Session, more: More) -> View {
        let more = if self.after.is_empty() { more } else { More::No };
        session.config.screen().view_of(&self.before, &self.bytes, &self.after, more)
    }
}

/// How far output was searched for the text that a wait is for. All of it is searched each time, since what is written may
/// belong to what came before; so the search of a flood pauses three times as long as it took.
pub(super) struct Search {
    seen: u64,
    again: Instant,
}

const PAUSES: u32 = 3;

impl Search {
    /// Of what comes after `since`.
    pub(super) fn behind(since: u64, now: Instant) -> Self {
        Self { seen: since, again: now }
    }

    /// When to search again, if there is something new or the last search is not long over.
    pub(super) fn due(&self, end: u64, now: Instant) -> Option<Instant> {
        (end > self.seen || self.pauses(now)).then_some(self.again)
    }

    /// Whether news have to wait.
    pub(super) fn pauses(&self, now: Instant) -> bool {
        now < self.again
    }

    /// Whether the output since `since` matches; `last` when there will be no other look.
    pub(super) fn finds(
        &mut self,
        session: &Session,
        regex: &Regex,
        since: u64,
        last: bool,
    ) -> bool {
        let began = Instant::now();
        if began < self.again && !last {
            return false;
        }
        let raw = {
            let state = session.state();
            let end = state.scrollback.end();
            if end <= self.seen {
                return false;
            }
            self.seen = end;
            Raw::of(&state, since, usize::MAX)
        };
        let found = regex.is_match(&raw.view(session, More::No).text());
        self.again = Instant::now() + began.elapsed() * PAUSES;
        found
    }
}

/// Bytes of the longest character.
pub(super) const LEAST: usize = 4;

/// The bytes that a text takes as JSON.
pub(super) fn written(text: &str) -> usize {
    let one = |character: char| match character {
        '"' | '\\' | '\n' | '\r' | '\t' => 2,
        '\0'..='\u{1f}' => 6,
        _ => character.len_utf8(),
    };
    text.chars().map(one).sum()
}

/// Bytes at the end that are the beginning of a character.
fn unfinished(bytes: &[u8]) -> usize {
    match std::str::from_utf8(bytes) {
        Err(error) if error.error_len().is_none() => bytes.len() - error.valid_up_to(),
        Ok(_) | Err(_) => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_measured_as_json_writes_it() {
        for text in ["", "plain", "\"\\\n\r\t", "\u{1}\u{7f}", "ä€😀"] {
            let json = serde_json::Value::from(text).to_string();
            assert_eq!(written(text), json.len() - 2, "{json}");
        }
    }

    #[test]
    fn only_the_beginning_of_a_character_is_unfinished() {
        for (bytes, open) in [
            (b"a".as_slice(), 0),
            (b"a\xc3", 1),
            (b"a\xf0\x9f\x98", 3),
            (b"a\xff", 0),
            (b"\xc3\xa4", 0),
        ] {
            assert_eq!(unfinished(bytes), open, "{bytes:?}");
        }
    }
}
