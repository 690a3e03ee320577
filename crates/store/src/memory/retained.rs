//! What is kept of one task's output: the head, the tail, and a count of everything.
//!
//! The head half of the limit is filled first and then stays; the tail half holds the last bytes that came. Between them
//! is the gap. Without a gap the tail begins where the head ends.

use sshepherd_model::Stream;

use crate::output::Totals;

use super::block::{Region, Run};
use super::utf8;

/// How long head and tail may be after an append.
#[derive(Debug, Clone, Copy)]
pub(super) struct Quota {
    pub(super) head: u64,
    pub(super) tail: u64,
}

/// One task's output.
#[derive(Debug)]
pub(super) struct Retained {
    most: u64,
    head: Region,
    tail: Region,
    stdout: u64,
    stderr: u64,
    newlines: u64,
    /// The last byte that came was not a newline.
    open_line: bool,
    pub(super) ended: bool,
}

impl Retained {
    /// Nothing yet, and never more than `most` bytes.
    pub(super) fn new(most: u64) -> Self {
        Self {
            most,
            head: Region::default(),
            tail: Region::default(),
            stdout: 0,
            stderr: 0,
            newlines: 0,
            open_line: false,
            ended: false,
        }
    }

    /// Bytes that an append of `length` bytes adds to what is kept, at most.
    pub(super) fn growth(&self, length: usize) -> usize {
        let room = self.most.saturating_sub(self.head.len() + self.tail.len());
        length.min(usize::try_from(room).unwrap_or(usize::MAX))
    }

    /// The quota when there is memory: half and half, the odd byte to the tail.
    pub(super) fn full_quota(&self) -> Quota {
        let head = self.most / 2;
        Quota { head, tail: self.most - head }
    }

    /// The quota when there is none: no longer than now, or than half of `floor`.
    pub(super) fn tight_quota(&self, floor: u64) -> Quota {
        let full = self.full_quota();
        Quota {
            head: full.head.min(self.head.len().max(floor / 2)),
            tail: full.tail.min(self.tail.len().max(floor / 2)),
        }
    }

    /// Adds bytes at the end and forgets what no longer fits.
    pub(super) fn append(&mut self, stream: Stream, bytes: &[u8], quota: Quota) {
        self.count(stream, bytes);
        let room = if self.tail.is_empty() && self.gap().is_none() {
            quota.head.saturating_sub(self.head.len())
        } else {
            0
        };
        let first = usize::try_from(room).unwrap_or(usize::MAX).min(bytes.len());
        let (to_head, to_tail) = bytes.split_at(first);
        if !to_head.is_empty() {
            self.head.push(stream, to_head);
            self.tail.restart(self.head.end());
        }
        let most = usize::try_from(quota.tail).unwrap_or(usize::MAX);
        let (passed, kept) = to_tail.split_at(to_tail.len().saturating_sub(most));
        if !passed.is_empty() {
            self.tail.restart(self.tail.end() + passed.len() as u64);
        }
        self.tail.push(stream, kept);
        self.tail.keep_last(quota.tail);
    }

    fn count(&mut self, stream: Stream, bytes: &[u8]) {
        match stream {
            Stream::Stdout => self.stdout += bytes.len() as u64,
            Stream::Stderr => self.stderr += bytes.len() as u64,
        }
        self.newlines += bytes.iter().filter(|byte| **byte == b'\n').count() as u64;
        if let Some(last) = bytes.last() {
            self.open_line = *last != b'\n';
        }
    }

    /// The task has ended: nothing more will come.
    pub(super) fn seal(&mut self) {
        self.ended = true;
        self.head.seal();
        self.tail.seal();
    }

    pub(super) fn totals(&self) -> Totals {
        Totals {
            stdout: self.stdout,
            stderr: self.stderr,
            lines: self.newlines + u64::from(self.open_line),
            missing: self.tail.start() - self.head.end(),
        }
    }

    /// Bytes that came.
    pub(super) fn total(&self) -> u64 {
        self.tail.end()
    }

    pub(super) fn footprint(&self) -> usize {
        self.head.footprint() + self.tail.footprint()
    }

    fn gap(&self) -> Option<(u64, u64)> {
        let (from, to) = (self.head.end(), self.tail.start());
        (from < to).then_some((from, to))
    }

    /// The gap, widened by up to three bytes on each side so that no character is cut at its edges.
    pub(super) fn visible_gap(&self) -> Option<(u64, u64)> {
        let (from, to) = self.gap()?;
        let before = joined(self.head.runs_back(0), Side::Last);
        let after = joined(self.tail.runs(0), Side::First);
        Some((from - utf8::open_end(&before) as u64, to + utf8::open_start(&after) as u64))
    }

    /// What is kept from offset `from` on, in order. Only the gap can lie between two runs.
    pub(super) fn runs(&self, from: u64) -> impl Iterator<Item = Run<'_>> {
        self.head.runs(from).chain(self.tail.runs(from))
    }

    /// What is kept down to offset `floor`, last first.
    pub(super) fn runs_back(&self, floor: u64) -> impl Iterator<Item = Run<'_>> {
        self.tail.runs_back(floor).chain(self.head.runs_back(floor))
    }
}

/// Which end of the row the runs come from.
#[derive(Clone, Copy)]
enum Side {
    First,
    Last,
}

/// The few bytes nearest to the gap that came on one stream without a break, in order.
fn joined<'a>(runs: impl Iterator<Item = Run<'a>>, side: Side) -> Vec<u8> {
    let most = utf8::MOST_PARTIAL + 1;
    let mut near: Vec<u8> = Vec::new();
    let mut stream = None;
    for run in runs {
        if near.len() >= most || *stream.get_or_insert(run.stream) != run.stream {
            break;
        }
        match side {
            Side::First => near.extend(run.bytes.iter().take(most)),
            Side::Last => {
                let part = run.bytes.iter().rev().take(most).rev();
                near.splice(0..0, part.copied());
            }
        }
    }
    near
}
