//! What reads of a task's output answer.
//!
//! Output is one row of bytes in order of arrival, both streams together; an offset counts bytes of that row from 0 and
//! never changes its meaning. Over its limit a task keeps the head and the tail of the row; the gap between is counted.

use serde::{Deserialize, Serialize};
use sshepherd_model::{Chunk, Stream};

/// How much output came, and how much of it is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Totals {
    /// Bytes of standard output that came.
    pub stdout: u64,
    /// Bytes of standard error that came.
    pub stderr: u64,
    /// Lines that came, both streams together in order of arrival; a last line without its newline counts.
    pub lines: u64,
    /// Bytes that came but were not kept, because of the task's limit or of the backend's bounds.
    pub missing: u64,
}

impl Totals {
    /// Bytes that came on both streams; also the offset at which the next byte goes.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.stdout.saturating_add(self.stderr)
    }
}

/// Which streams a read is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum StreamFilter {
    /// Both, in order of arrival.
    #[default]
    Both,
    /// Standard output alone.
    Stdout,
    /// Standard error alone.
    Stderr,
}

impl StreamFilter {
    /// Whether bytes of `stream` pass.
    #[must_use]
    pub fn passes(self, stream: Stream) -> bool {
        match (self, stream) {
            (Self::Both, Stream::Stdout | Stream::Stderr)
            | (Self::Stdout, Stream::Stdout)
            | (Self::Stderr, Stream::Stderr) => true,
            (Self::Stdout, Stream::Stderr) | (Self::Stderr, Stream::Stdout) => false,
        }
    }
}

/// Bytes from one place on, without a hole inside: a hole can only lie before the page.
///
/// To read everything: start at 0, go on at `next` until `end`. A page without bytes and `end` false means: go on at
/// once if `next` is after the offset asked for, else wait for a hint and ask again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// The bytes that pass the filter, in order of arrival, neighbours of one stream merged.
    pub chunks: Vec<Chunk>,
    /// Offset at which this page begins: the offset asked for, plus `missing_before`.
    pub from: u64,
    /// Offset to go on at.
    pub next: u64,
    /// Bytes (of both streams) between the offset asked for and `from` that were not kept.
    pub missing_before: u64,
    /// The task has ended and everything up to its end has been read.
    pub end: bool,
    /// Bytes that came so far, both streams.
    pub total: u64,
}

/// The last lines of a task's output, whether or not it still runs.
///
/// Lines are those of both streams together, as they came. Line ends (`\n`) are left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TailLines {
    /// Offset of the first byte of the first line; that of the end when there is none.
    pub from: u64,
    /// The lines, oldest first, without their newline.
    pub lines: Vec<Vec<u8>>,
    /// The last of them has its newline.
    pub ended: bool,
    /// Lines that came so far; a last line without its newline counts.
    pub total_lines: u64,
    /// The first of `lines` lacks its beginning: it is longer than the budget, or the beginning was not kept.
    pub first_cut: bool,
    /// There is more before these lines, or was: other lines, or the beginning of the first.
    pub has_more: bool,
}

/// The beginning and the end of a task's output within a budget. `head`, `missing` and `tail` add up to `total`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeadTail {
    /// The first bytes that pass the filter.
    pub head: Vec<Chunk>,
    /// Bytes that pass the filter and are in neither `head` nor `tail`.
    pub missing: u64,
    /// The last bytes that pass the filter; empty when `head` is everything.
    pub tail: Vec<Chunk>,
    /// Bytes that came and pass the filter.
    pub total: u64,
}
