//! One task's output on disk, as anyone reads it, at one moment: its owner may be writing in another process.

use std::io;
use std::path::{Path, PathBuf};

use crate::output::Totals;
use crate::row::{Row, Span};

use super::entry::Sums;
use super::log::gap;
use super::segment::{self, Segment};

/// What is in a log, up to the last whole entry at the time of opening.
#[derive(Debug)]
pub(super) struct Reader {
    folder: PathBuf,
    most: u64,
    ended: bool,
    starts: Vec<u64>,
    sums: Sums,
}

/// Which way a walk over the entries goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    On,
    Back,
}

/// The sums at the end of the log in `folder`.
pub(super) fn sums(folder: &Path) -> io::Result<Sums> {
    Ok(Reader::open(folder.to_path_buf(), 0, false)?.sums)
}

impl Reader {
    /// Opens the log of a task that keeps at most `most` bytes.
    pub(super) fn open(folder: PathBuf, most: u64, ended: bool) -> io::Result<Self> {
        let mut starts = segment::list(&folder)?;
        let mut sums = Sums::default();
        while let Some(start) = starts.last().copied() {
            let last = match Segment::open(&folder, start)? {
                Some(segment) => segment.last()?,
                None => None,
            };
            if let Some(last) = last {
                sums = last.sums;
                break;
            }
            // Begun, and nothing in it yet.
            starts.pop();
        }
        Ok(Self { folder, most, ended, starts, sums })
    }

    /// The number of the segment that holds offset `at`, or of the first one after it.
    fn place(&self, at: u64) -> usize {
        self.starts.partition_point(|start| *start <= at).saturating_sub(1)
    }
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
        let walk =
            Walk { reader: self, place: Some(self.place(from)), at: None, from, way: Way::On };
        let total = self.sums.bytes();
        let (lo, hi) = self.gap().unwrap_or((total, total));
        Ok(walk.flat_map(move |span| {
            split(span, [(from, lo.max(from)), (hi.max(from), total)]).into_iter().flatten()
        }))
    }

    fn spans_back(&self, floor: u64) -> io::Result<impl Iterator<Item = io::Result<Span>>> {
        let last = self.starts.len().checked_sub(1);
        let walk = Walk { reader: self, place: last, at: None, from: floor, way: Way::Back };
        let total = self.sums.bytes();
        let (lo, hi) = self.gap().unwrap_or((total, total));
        Ok(walk.flat_map(move |span| {
            split(span, [(hi.max(floor), total), (floor, lo.max(floor))]).into_iter().flatten()
        }))
    }

    fn load(&self, span: Span, into: &mut Vec<u8>) -> io::Result<()> {
        let start = self.starts.get(self.place(span.at)).copied().unwrap_or_default();
        let before = into.len();
        if let Some(segment) = Segment::open(&self.folder, start)? {
            segment.load(span.at, span.length, into)?;
        }
        if into.len() == before {
            return Err(io::Error::other("the output went over its limit while it was read"));
        }
        Ok(())
    }
}

/// The parts of a span that lie in the two kept ranges.
fn split(span: io::Result<Span>, kept: [(u64, u64); 2]) -> [Option<io::Result<Span>>; 2] {
    match span {
        Ok(span) => kept.map(|(from, to)| span.clip(from, to).map(Ok)),
        Err(error) => [Some(Err(error)), None],
    }
}

/// Goes over the entries of all segments, one file open at a time.
struct Walk<'a> {
    reader: &'a Reader,
    /// The number of the segment to look at; `None` at the end.
    place: Option<usize>,
    /// The open segment and the next entry in it.
    at: Option<(Segment, u64)>,
    from: u64,
    way: Way,
}

impl Walk<'_> {
    fn step(&mut self) -> io::Result<Option<Span>> {
        loop {
            if self.at.is_none() && !self.enter()? {
                return Ok(None);
            }
            let Some((segment, number)) = &mut self.at else { return Ok(None) };
            let entry = match self.way {
                Way::On if *number < segment.entries() => segment.entry(*number)?,
                Way::Back if *number > 0 => segment.entry(*number - 1)?,
                Way::On | Way::Back => None,
            };
            // Entries that came after the reader was opened are not of its moment.
            match entry.map(|entry| entry.span) {
                Some(span) if span.end() <= self.reader.sums.bytes() => {
                    match self.way {
                        Way::On => *number += 1,
                        Way::Back => *number -= 1,
                    }
                    if self.way == Way::Back && span.end() <= self.from {
                        self.place = None;
                        self.at = None;
                        return Ok(None);
                    }
                    return Ok(Some(span));
                }
                Some(_) if self.way == Way::Back => *number -= 1,
                Some(_) | None => self.leave(),
            }
        }
    }

    /// Opens the segment to look at; `false` at the end.
    fn enter(&mut self) -> io::Result<bool> {
        while let Some(place) = self.place {
            let Some(start) = self.reader.starts.get(place).copied() else { break };
            if let Some(segment) = Segment::open(&self.reader.folder, start)? {
                let first = match self.way {
                    Way::On => segment.find(self.from)?,
                    Way::Back => segment.entries(),
                };
                self.at = Some((segment, first));
                return Ok(true);
            }
            // Removed since: it lay in the gap.
            self.leave();
        }
        Ok(false)
    }

    fn leave(&mut self) {
        self.at = None;
        self.place = match self.way {
            Way::On => self.place.map(|place| place + 1),
            Way::Back => self.place.and_then(|place| place.checked_sub(1)),
        };
    }
}

impl Iterator for Walk<'_> {
    type Item = io::Result<Span>;

    fn next(&mut self) -> Option<Self::Item> {
        match self.step() {
            Ok(span) => span.map(Ok),
            Err(error) => {
                self.place = None;
                self.at = None;
                Some(Err(error))
            }
        }
    }
}
