//! The last bytes of a terminal, by their offset from its beginning.

use std::collections::VecDeque;
use std::fmt;

/// A ring of at most `capacity` bytes that takes memory only as it fills.
#[derive(Debug, Clone)]
pub struct Scrollback {
    capacity: usize,
    start: u64,
    kept: VecDeque<u8>,
}

/// A read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Piece {
    /// The offset of the first byte given.
    pub from: u64,
    /// How many bytes between the offset that was asked for and `from` are gone.
    pub missing_before: u64,
    /// The bytes.
    pub bytes: Vec<u8>,
}

/// An offset that was not reached yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BeyondEnd {
    /// What was asked for.
    pub asked: u64,
    /// Where the bytes end: the largest offset that may be asked for.
    pub end: u64,
}

impl fmt::Display for BeyondEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "offset {} is beyond the end, which is {}", self.asked, self.end)
    }
}

impl std::error::Error for BeyondEnd {}

impl Scrollback {
    /// Nothing yet, and at most `capacity` bytes later.
    #[must_use]
    pub fn new(capacity: usize) -> Self {
        Self { capacity, start: 0, kept: VecDeque::new() }
    }

    /// Appends; the oldest bytes go when there is no room.
    pub fn push(&mut self, bytes: &[u8]) {
        let passed_over = bytes.len().saturating_sub(self.capacity);
        let tail = bytes.get(passed_over..).unwrap_or_default();
        let dropped =
            (self.kept.len() + tail.len()).saturating_sub(self.capacity).min(self.kept.len());
        self.kept.drain(..dropped);
        self.start = self.start.saturating_add((passed_over + dropped) as u64);
        let wanted = self.kept.len() + tail.len();
        if wanted > self.kept.capacity() {
            // Doubling as VecDeque does it, but never beyond what will be kept.
            let room = self.kept.capacity().saturating_mul(2).max(wanted).min(self.capacity);
            self.kept.reserve_exact(room - self.kept.len());
        }
        self.kept.extend(tail);
    }

    /// The offset of the oldest byte that is kept.
    #[must_use]
    pub fn start(&self) -> u64 {
        self.start
    }

    /// The offset after the newest byte: how many bytes there were in all.
    #[must_use]
    pub fn end(&self) -> u64 {
        self.start.saturating_add(self.kept.len() as u64)
    }

    /// At most `most` bytes from `from` on, or from the oldest that is kept.
    pub fn read(&self, from: u64, most: usize) -> Result<Piece, BeyondEnd> {
        let end = self.end();
        if from > end {
            return Err(BeyondEnd { asked: from, end });
        }
        let first = from.max(self.start);
        let skip = usize::try_from(first - self.start).unwrap_or(usize::MAX).min(self.kept.len());
        let till = skip.saturating_add(most).min(self.kept.len());
        Ok(Piece {
            from: first,
            missing_before: first - from,
            bytes: self.kept.range(skip..till).copied().collect(),
        })
    }
}
