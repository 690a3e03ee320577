//! One task's output on disk, as its owner writes it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use sshepherd_model::Stream;

use crate::row::Span;

use super::entry::{Entry, Sums};
use super::segment::{self, Segment};

/// Smallest segment: below that, files cost more than the bytes in them.
const MIN_SEGMENT: u64 = 64 << 10;
/// Largest segment: what an append over the limit can free at once, and what a search for an offset has to look through.
const MAX_SEGMENT: u64 = 64 << 20;

/// How long head and tail of a task are that keeps at most `most` bytes: half and half, the odd byte to the tail.
pub(super) fn halves(most: u64) -> (u64, u64) {
    (most / 2, most - most / 2)
}

/// The offsets between which nothing is kept when `total` bytes came.
pub(super) fn gap(most: u64, total: u64) -> Option<(u64, u64)> {
    let (head, tail) = halves(most);
    (total > most).then(|| (head, total - tail))
}

/// The writer. Nothing is on disk before the first byte.
#[derive(Debug)]
pub(super) struct Log {
    folder: PathBuf,
    most: u64,
    sums: Sums,
    /// Where the segments on disk begin, the newest last.
    starts: Vec<u64>,
    newest: Option<Segment>,
}

impl Log {
    /// Opens the log in `folder`, which may not be there yet, where its last whole entry ends.
    pub(super) fn open(folder: PathBuf, most: u64) -> io::Result<Self> {
        let starts = segment::list(&folder)?;
        let mut log = Self { folder, most, sums: Sums::default(), starts, newest: None };
        while let Some(start) = log.starts.last().copied() {
            let segment = Segment::create(&log.folder, start)?;
            if let Some(last) = segment.last()? {
                log.sums = last.sums;
                log.newest = Some(segment);
                break;
            }
            // Made, and never written to.
            segment::remove(&log.folder, start)?;
            log.starts.pop();
        }
        Ok(log)
    }

    /// A log that has nothing on disk.
    pub(super) fn fresh(folder: PathBuf, most: u64) -> Self {
        Self { folder, most, sums: Sums::default(), starts: Vec::new(), newest: None }
    }

    pub(super) fn sums(&self) -> Sums {
        self.sums
    }

    /// Adds bytes at the end. After an error nothing has changed.
    pub(super) fn append(&mut self, stream: Stream, bytes: &[u8]) -> io::Result<()> {
        if bytes.is_empty() {
            return Ok(());
        }
        let at = self.sums.bytes();
        let sums = self.sums.after(stream, bytes);
        let entry = Entry { span: Span { at, stream, length: bytes.len() as u64 }, sums };
        self.segment(at)?.append(bytes, entry)?;
        self.sums = sums;
        crate::crash::point("append.entry");
        self.forget_the_gap()
    }

    /// The segment that takes bytes at offset `at`.
    fn segment(&mut self, at: u64) -> io::Result<&mut Segment> {
        let size = (self.most / 2).clamp(MIN_SEGMENT, MAX_SEGMENT);
        let full = self.newest.as_ref().is_none_or(|newest| at - newest.start() >= size);
        if full {
            if self.newest.is_none() {
                fs::create_dir_all(&self.folder)?;
            }
            let segment = Segment::create(&self.folder, at)?;
            self.starts.push(at);
            self.newest = Some(segment);
        }
        self.newest.as_mut().ok_or_else(|| io::Error::other("a log without a segment"))
    }

    /// Removes the segments that lie in the gap whole.
    fn forget_the_gap(&mut self) -> io::Result<()> {
        let Some((from, to)) = gap(self.most, self.sums.bytes()) else { return Ok(()) };
        let mut place = 0;
        while let (Some(start), Some(next)) =
            (self.starts.get(place).copied(), self.starts.get(place + 1).copied())
        {
            if start >= from && next <= to {
                segment::remove(&self.folder, start)?;
                self.starts.remove(place);
            } else {
                place += 1;
            }
        }
        Ok(())
    }

    /// Brings everything to the disk.
    pub(super) fn flush(&self) -> io::Result<()> {
        // What lies in older segments was brought there when the next one was begun, or by the system since.
        for start in &self.starts {
            if let Some(segment) = Segment::open(&self.folder, *start)? {
                segment.flush()?;
            }
        }
        Ok(())
    }
}

/// Removes a log.
pub(super) fn remove(folder: &Path) -> io::Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        done => done,
    }
}
