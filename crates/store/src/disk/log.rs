//! One task's output on disk, as its owner writes it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sshepherd_model::Stream;

use super::entry::{Entry, Sums};
use super::files::{Files, Make, OpenFiles};
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

/// What lies in one segment.
#[derive(Debug, Clone, Copy)]
pub(super) struct Part {
    pub(super) start: u64,
    pub(super) entries: u64,
    /// Up to the last entry; nothing when there is none.
    pub(super) sums: Sums,
}

impl Part {
    pub(super) fn of(segment: &Segment) -> io::Result<Self> {
        let sums = segment.last()?.map_or_else(Sums::default, |last| last.sums);
        Ok(Self { start: segment.start(), entries: segment.entries(), sums })
    }
}

/// Drops the segments behind a hole that is not the gap: a power cut took what was between. What is kept of a log is
/// always what was written up to some moment.
pub(super) fn keep_whole(parts: &mut Vec<Part>, most: u64) {
    loop {
        // Made, and never written to.
        while parts.pop_if(|part| part.entries == 0).is_some() {}
        let total = parts.last().map_or(0, |last| last.sums.bytes());
        let gap = gap(most, total);
        let mut end = 0;
        let broken = parts.iter().position(|part| {
            let removed =
                gap.is_some_and(|(from, to)| end >= from && part.start > end && part.start <= to);
            let whole = (part.start == end && part.entries > 0) || removed;
            end = part.sums.bytes();
            !whole
        });
        match broken {
            Some(broken) => parts.truncate(broken),
            None => return,
        }
    }
}

/// The writer. Nothing is on disk before the first byte.
#[derive(Debug)]
pub(super) struct Log {
    folder: PathBuf,
    most: u64,
    sums: Sums,
    /// Where the segments on disk begin, the newest last.
    starts: Vec<u64>,
    /// Entries in the newest segment.
    entries: u64,
    open: Arc<OpenFiles>,
    number: u64,
}

impl Drop for Log {
    fn drop(&mut self) {
        self.open.close(self.number);
    }
}

impl Log {
    /// Opens the log in `folder`, which may not be there yet, where its last whole entry ends, and removes what lies
    /// behind that.
    pub(super) fn open(folder: PathBuf, most: u64, open: Arc<OpenFiles>) -> io::Result<Self> {
        let mut log = Self::fresh(folder, most, open);
        let mut parts = Vec::new();
        let starts = segment::list(&log.folder)?;
        for start in &starts {
            let files = Files::to_write(&log.folder, *start, Make::IfMissing)?;
            let mut segment = Segment::of(*start, Arc::new(files))?;
            segment.repair()?;
            parts.push(Part::of(&segment)?);
        }
        keep_whole(&mut parts, most);
        log.starts = parts.iter().map(|part| part.start).collect();
        if let Some(last) = parts.last() {
            (log.sums, log.entries) = (last.sums, last.entries);
        }
        for start in starts.into_iter().filter(|start| !log.starts.contains(start)) {
            Files::remove(&log.folder, start)?;
        }
        segment::remove_strays(&log.folder)?;
        Ok(log)
    }

    /// A log that has nothing on disk.
    pub(super) fn fresh(folder: PathBuf, most: u64, open: Arc<OpenFiles>) -> Self {
        let number = open.number();
        Self { folder, most, sums: Sums::default(), starts: Vec::new(), entries: 0, open, number }
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
        let entry = Entry::new(at, stream, bytes.len(), sums)?;
        let mut segment = self.segment(at)?;
        segment.append(bytes, entry)?;
        self.entries = segment.entries();
        self.sums = sums;
        crate::crash::point("append.entry");
        self.forget_the_gap();
        Ok(())
    }

    /// The segment that takes bytes at offset `at`.
    fn segment(&mut self, at: u64) -> io::Result<Segment> {
        let size = (self.most / 2).clamp(MIN_SEGMENT, MAX_SEGMENT);
        let folder = &self.folder;
        if let Some(start) = self.starts.last().copied().filter(|start| at - start < size) {
            let reopen = || Files::to_write(folder, start, Make::Never);
            let files = self.open.get(self.number, reopen)?;
            return Ok(Segment::known(start, files, self.entries));
        }
        self.open.close(self.number);
        let make = || Files::to_write(folder, at, Make::IfMissing);
        let files = self.open.get(self.number, make)?;
        crate::crash::point("segment.created");
        self.starts.push(at);
        self.entries = 0;
        Ok(Segment::known(at, files, 0))
    }

    /// Removes the segments that lie in the gap whole. One that cannot be removed now is tried again at the next append.
    fn forget_the_gap(&mut self) {
        let Some((from, to)) = gap(self.most, self.sums.bytes()) else { return };
        let mut place = 0;
        while let (Some(start), Some(next)) =
            (self.starts.get(place).copied(), self.starts.get(place + 1).copied())
        {
            if next > to {
                return;
            }
            if start >= from && Files::forget(&self.folder, start).is_ok() {
                self.starts.remove(place);
            } else {
                place += 1;
            }
        }
    }

    /// What has to be brought to the disk.
    pub(super) fn unflushed(&self) -> Unflushed {
        Unflushed { folder: self.folder.clone(), starts: self.starts.clone() }
    }
}

/// What has to be brought to the disk of a log, apart from the log: it takes long.
#[derive(Debug)]
pub(super) struct Unflushed {
    folder: PathBuf,
    starts: Vec<u64>,
}

impl Unflushed {
    /// Brings it to the disk, names of files included.
    pub(super) fn flush(&self) -> io::Result<()> {
        for start in &self.starts {
            if let Some(segment) = Segment::open(&self.folder, *start)? {
                segment.flush()?;
            }
        }
        for folder in [Some(self.folder.as_path()), self.folder.parent()].into_iter().flatten() {
            fs::File::open(folder)?.sync_all()?;
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
