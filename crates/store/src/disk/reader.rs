//! One task's output on disk, as anyone reads it, at one moment: its owner may be writing in another process.

use std::cell::RefCell;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::output::Totals;
use crate::row::{Row, Span};

use super::entry::Sums;
use super::log::{Part, gap, keep_whole};
use super::segment::{self, BLOCK, Segment};

/// Times that a log is looked at again when its owner removed a segment meanwhile.
const TRIES: usize = 64;

/// Segments that are open at a time: all there are below the largest size of a segment.
const NEAR: usize = 6;

/// What is in a log, up to the last whole entry at the time of opening.
#[derive(Debug)]
pub(super) struct Reader {
    folder: PathBuf,
    most: u64,
    ended: bool,
    starts: Vec<u64>,
    sums: Sums,
    /// Open segments. Those of a small log are all open from the beginning, so that its owner, who removes segments
    /// fast when the limit is small, cannot disturb the reader.
    near: RefCell<Vec<Arc<Segment>>>,
}

/// Which way a walk over the entries goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    On,
    Back,
}

impl Reader {
    /// Opens a log of which is known that all `total` bytes came, without looking at each of its segments; `None` when its
    /// end says otherwise, or when it has so few that looking at them is as well. A hole in it, as a power cut leaves it,
    /// is an error of the read that comes upon it.
    pub(super) fn trusting(
        folder: PathBuf,
        most: u64,
        total: u64,
        ended: bool,
    ) -> io::Result<Option<Self>> {
        let starts = segment::list(&folder)?;
        let last = match starts.last() {
            Some(last) if starts.len() > NEAR => Segment::open(&folder, *last)?,
            Some(_) | None => None,
        };
        let Some(last) = last else { return Ok(None) };
        let sums = Part::of(&last)?.sums;
        let whole = sums.bytes() >= total;
        let near = RefCell::new(vec![Arc::new(last)]);
        Ok(whole.then_some(Self { folder, most, ended, starts, sums, near }))
    }

    /// Opens the log of a task that keeps at most `most` bytes.
    pub(super) fn open(folder: PathBuf, most: u64, ended: bool) -> io::Result<Self> {
        let mut tried = 1;
        let (parts, near) = loop {
            let (mut parts, near, removed) = look(&folder)?;
            let seen = parts.iter().rposition(|part| part.entries > 0).map_or(0, |last| last + 1);
            keep_whole(&mut parts, most);
            if tried == TRIES || (!removed && parts.len() == seen) {
                break (parts, near);
            }
            tried += 1;
        };
        let sums = parts.last().map_or_else(Sums::default, |last| last.sums);
        let starts = parts.into_iter().map(|part| part.start).collect();
        Ok(Self { folder, most, ended, starts, sums, near: RefCell::new(near) })
    }

    /// The number of the segment that holds offset `at`, or of the first one after it.
    fn place(&self, at: u64) -> usize {
        self.starts.partition_point(|start| *start <= at).saturating_sub(1)
    }

    fn segment(&self, start: u64) -> io::Result<Arc<Segment>> {
        let mut near = self.near.borrow_mut();
        if let Some(segment) = near.iter().find(|near| near.start() == start) {
            return Ok(Arc::clone(segment));
        }
        let Some(segment) = Segment::open(&self.folder, start)? else {
            return Err(io::Error::other("the output went over its limit while it was read"));
        };
        let segment = Arc::new(segment);
        if near.len() >= NEAR {
            near.clear();
        }
        near.push(Arc::clone(&segment));
        Ok(segment)
    }
}

/// What is in each segment, some of them open, and whether one was removed while they were looked at.
fn look(folder: &Path) -> io::Result<(Vec<Part>, Vec<Arc<Segment>>, bool)> {
    let (mut parts, mut near) = (Vec::new(), Vec::new());
    let mut removed = false;
    for start in segment::list(folder)? {
        match Segment::open(folder, start)? {
            Some(segment) => {
                parts.push(Part::of(&segment)?);
                if near.len() < NEAR {
                    near.push(Arc::new(segment));
                }
            }
            None => removed = true,
        }
    }
    Ok((parts, near, removed))
}

impl Row for Reader {
    type Error = io::Error;

    fn totals(&self) -> Totals {
        self.sums.totals(self.most)
    }

    fn gap(&self) -> Option<(u64, u64)> {
        gap(self.most, self.sums.bytes())
    }

    fn ended(&self) -> bool {
        self.ended
    }

    fn spans(&self, from: u64) -> io::Result<impl Iterator<Item = io::Result<Span>>> {
        let walk = Walk {
            reader: self,
            place: Some(self.place(from)),
            at: None,
            ready: Vec::new(),
            from,
            way: Way::On,
        };
        let total = self.sums.bytes();
        let (lo, hi) = self.gap().unwrap_or((total, total));
        let kept = walk.flat_map(move |span| {
            split(span, [(from, lo.max(from)), (hi.max(from), total)]).into_iter().flatten()
        });
        let mut next = if (lo..hi).contains(&from) { hi } else { from };
        Ok(kept.map(move |span| {
            let span = span?;
            let follows = span.at == next || (next == lo && span.at == hi);
            next = span.end();
            if follows { Ok(span) } else { Err(hole()) }
        }))
    }

    fn spans_back(&self, floor: u64) -> io::Result<impl Iterator<Item = io::Result<Span>>> {
        let last = self.starts.len().checked_sub(1);
        let walk = Walk {
            reader: self,
            place: last,
            at: None,
            ready: Vec::new(),
            from: floor,
            way: Way::Back,
        };
        let total = self.sums.bytes();
        let (lo, hi) = self.gap().unwrap_or((total, total));
        let kept = walk.flat_map(move |span| {
            split(span, [(hi.max(floor), total), (floor, lo.max(floor))]).into_iter().flatten()
        });
        let mut next = total;
        Ok(kept.map(move |span| {
            let span = span?;
            let follows = span.end() == next || (next == hi && span.end() == lo);
            next = span.at;
            if follows { Ok(span) } else { Err(hole()) }
        }))
    }

    fn load(&self, span: Span, into: &mut Vec<u8>) -> io::Result<()> {
        let start = self.starts.get(self.place(span.at)).copied().unwrap_or_default();
        self.segment(start)?.load(span.at, span.length, into)
    }
}

/// A log that was trusted has lost something: it is to be looked at.
fn hole() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "a part of the output is missing from its log")
}

/// The parts of a span that lie in the two kept ranges.
fn split(span: io::Result<Span>, kept: [(u64, u64); 2]) -> [Option<io::Result<Span>>; 2] {
    match span {
        Ok(span) => kept.map(|(from, to)| span.clip(from, to).map(Ok)),
        Err(error) => [Some(Err(error)), None],
    }
}

/// Goes over the entries of all segments, block by block. Neighbours of one stream in a block are one span.
struct Walk<'a> {
    reader: &'a Reader,
    /// The number of the segment to look at next; `None` at the end.
    place: Option<usize>,
    /// The open segment, and the entries in it that are still to be read.
    at: Option<(Arc<Segment>, Range<u64>)>,
    /// Spans that were read and come next, the next one last.
    ready: Vec<Span>,
    from: u64,
    way: Way,
}

impl Walk<'_> {
    fn step(&mut self) -> io::Result<Option<Span>> {
        loop {
            if let Some(span) = self.ready.pop() {
                return Ok(Some(span));
            }
            match self.at.take() {
                Some((segment, left)) if !left.is_empty() => self.read(segment, left)?,
                Some(_) | None => {
                    if !self.enter()? {
                        return Ok(None);
                    }
                }
            }
        }
    }

    /// Reads the next block of entries.
    fn read(&mut self, segment: Arc<Segment>, left: Range<u64>) -> io::Result<()> {
        let block = BLOCK as u64;
        let (entries, left) = match self.way {
            Way::On => {
                let most = (left.end - left.start).min(block);
                (segment.block(left.start, most)?, left.start + most..left.end)
            }
            Way::Back => {
                let first = left.start.max(left.end.saturating_sub(block));
                (segment.block(first, left.end - first)?, left.start..first)
            }
        };
        let total = self.reader.sums.bytes();
        // Entries that came after the reader was opened are not of its moment.
        let spans = entries.into_iter().map(|entry| entry.span).filter(|span| span.end() <= total);
        for span in spans {
            match self.ready.last_mut() {
                Some(last) if last.stream == span.stream && last.end() == span.at => {
                    last.length += span.length;
                }
                Some(_) | None => self.ready.push(span),
            }
        }
        let done =
            self.way == Way::Back && self.ready.first().is_some_and(|first| first.at <= self.from);
        if self.way == Way::On {
            self.ready.reverse();
        }
        if done {
            self.place = None;
        } else {
            self.at = Some((segment, left));
        }
        Ok(())
    }

    /// Opens the segment to look at; `false` at the end.
    fn enter(&mut self) -> io::Result<bool> {
        let Some(place) = self.place else { return Ok(false) };
        let Some(start) = self.reader.starts.get(place).copied() else { return Ok(false) };
        let segment = self.reader.segment(start)?;
        let first = match self.way {
            Way::On => segment.find(self.from)?,
            Way::Back => 0,
        };
        let left = first..segment.entries();
        self.at = Some((segment, left));
        self.place = match self.way {
            Way::On => Some(place + 1),
            Way::Back => place.checked_sub(1),
        };
        Ok(true)
    }
}

impl Iterator for Walk<'_> {
    type Item = io::Result<Span>;

    fn next(&mut self) -> Option<Self::Item> {
        self.step().transpose().inspect(|span| {
            if span.is_err() {
                self.place = None;
                self.at = None;
            }
        })
    }
}
