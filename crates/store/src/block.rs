//! A row of bytes that remembers which stream each came on, kept in small blocks.
//!
//! A block holds at most [`BLOCK`] bytes and, for each run of bytes of one stream, two more; so even streams that take
//! turns byte by byte cost three bytes a byte.

use std::collections::VecDeque;

use sshepherd_model::Stream;

use crate::row::Span;

/// Most bytes in a block: small enough that cutting at the front frees soon, large enough that the block itself costs
/// nothing; a run fits the 15 bits of its length.
pub(crate) const BLOCK: usize = 8 << 10;

/// Bit of a run that says standard error.
const STDERR: u16 = 0x8000;

#[derive(Debug, Clone)]
struct Block {
    /// Offset of the first byte of `bytes`, cut off or not.
    at: u64,
    bytes: Vec<u8>,
    /// Lengths of the runs, each with the bit of its stream; they add up to `bytes`.
    runs: Vec<u16>,
}

/// Bytes of one stream in a row.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Run<'a> {
    /// Offset of the first byte.
    pub(crate) at: u64,
    pub(crate) stream: Stream,
    /// Never empty.
    pub(crate) bytes: &'a [u8],
}

impl Run<'_> {
    /// Where it stands, without the bytes.
    pub(crate) fn span(&self) -> Span {
        Span { at: self.at, stream: self.stream, length: self.bytes.len() as u64 }
    }

    /// Offset after the last byte.
    pub(crate) fn end(&self) -> u64 {
        self.at + self.bytes.len() as u64
    }

    /// The part from offset `from` up to offset `to`, if there is any.
    pub(crate) fn clip(self, from: u64, to: u64) -> Option<Self> {
        let start = from.max(self.at);
        let end = to.min(self.end());
        let first = usize::try_from(start - self.at).ok()?;
        let last = usize::try_from(end.checked_sub(self.at)?).ok()?;
        let bytes = self.bytes.get(first..last).filter(|bytes| !bytes.is_empty())?;
        Some(Self { at: start, stream: self.stream, bytes })
    }
}

fn stream_of(run: u16) -> Stream {
    if run & STDERR == 0 { Stream::Stdout } else { Stream::Stderr }
}

fn bit_of(stream: Stream) -> u16 {
    match stream {
        Stream::Stdout => 0,
        Stream::Stderr => STDERR,
    }
}

impl Block {
    fn end(&self) -> u64 {
        self.at + self.bytes.len() as u64
    }

    fn room(&self) -> usize {
        BLOCK.saturating_sub(self.bytes.len())
    }

    /// Adds bytes for which there is room.
    fn push(&mut self, stream: Stream, bytes: &[u8]) {
        let needed = self.bytes.len() + bytes.len();
        if needed > self.bytes.capacity() {
            // Doubling, but never beyond the block.
            let target = needed.max(self.bytes.capacity() * 2).min(BLOCK);
            self.bytes.reserve_exact(target - self.bytes.len());
        }
        self.bytes.extend_from_slice(bytes);
        let length = u16::try_from(bytes.len()).unwrap_or(0);
        match self.runs.last_mut() {
            Some(last) if *last & STDERR == bit_of(stream) => *last += length,
            Some(_) | None => self.runs.push(length | bit_of(stream)),
        }
    }

    fn runs(&self) -> Vec<Run<'_>> {
        let mut rest = self.bytes.as_slice();
        let mut at = self.at;
        let mut runs = Vec::with_capacity(self.runs.len());
        for run in &self.runs {
            let Some((bytes, after)) = rest.split_at_checked(usize::from(run & !STDERR)) else {
                break;
            };
            runs.push(Run { at, stream: stream_of(*run), bytes });
            at += bytes.len() as u64;
            rest = after;
        }
        runs
    }

    fn footprint(&self) -> usize {
        size_of::<Self>() + self.bytes.capacity() + self.runs.capacity() * size_of::<u16>()
    }
}

/// The bytes from offset `start` to offset `end` of a task's output.
#[derive(Debug, Clone, Default)]
pub(crate) struct Region {
    start: u64,
    end: u64,
    blocks: VecDeque<Block>,
    footprint: usize,
}

impl Region {
    pub(crate) fn start(&self) -> u64 {
        self.start
    }

    pub(crate) fn end(&self) -> u64 {
        self.end
    }

    pub(crate) fn len(&self) -> u64 {
        self.end - self.start
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// Bytes of memory in use.
    pub(crate) fn footprint(&self) -> usize {
        self.footprint
    }

    /// Forgets everything and goes on at offset `at`.
    pub(crate) fn restart(&mut self, at: u64) {
        *self = Self { start: at, end: at, ..Self::default() };
    }

    /// Adds bytes at the end.
    pub(crate) fn push(&mut self, stream: Stream, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            if self.blocks.back().is_none_or(|last| last.room() == 0) {
                let block = Block { at: self.end, bytes: Vec::new(), runs: Vec::new() };
                self.footprint += block.footprint();
                self.blocks.push_back(block);
            }
            let Some(last) = self.blocks.back_mut() else { return };
            let (now, later) = bytes.split_at(bytes.len().min(last.room()));
            let before = last.footprint();
            last.push(stream, now);
            self.footprint = self.footprint - before + last.footprint();
            self.end = last.end();
            bytes = later;
        }
    }

    /// Forgets bytes at the front until at most `most` are left. A block goes when all of it is forgotten.
    pub(crate) fn keep_last(&mut self, most: u64) {
        self.start = self.start.max(self.end.saturating_sub(most));
        while self.blocks.front().is_some_and(|block| block.end() <= self.start) {
            if let Some(gone) = self.blocks.pop_front() {
                self.footprint -= gone.footprint();
            }
        }
    }

    /// What there is from offset `from` on, or from a little before.
    pub(crate) fn since(&self, from: u64) -> Self {
        let first = self.blocks.partition_point(|block| block.end() <= from);
        let blocks: VecDeque<Block> = self.blocks.iter().skip(first).cloned().collect();
        let footprint = blocks.iter().map(Block::footprint).sum();
        Self { start: self.start.max(from.min(self.end)), end: self.end, blocks, footprint }
    }

    /// Adds the bytes of a span to `into`.
    pub(crate) fn load(&self, span: Span, into: &mut Vec<u8>) {
        for run in self.runs(span.at) {
            let Some(run) = run.clip(span.at, span.end()) else { break };
            into.extend_from_slice(run.bytes);
        }
    }

    /// Gives back memory that was reserved for bytes to come.
    pub(crate) fn seal(&mut self) {
        if let Some(last) = self.blocks.back_mut() {
            let before = last.footprint();
            last.bytes.shrink_to_fit();
            last.runs.shrink_to_fit();
            self.footprint = self.footprint - before + last.footprint();
        }
    }

    /// The runs from offset `from` on, in order. A run never spans two blocks.
    pub(crate) fn runs(&self, from: u64) -> impl Iterator<Item = Run<'_>> {
        let from = from.max(self.start);
        let first = self.blocks.partition_point(|block| block.end() <= from);
        self.blocks
            .iter()
            .skip(first)
            .flat_map(Block::runs)
            .filter_map(move |run| run.clip(from, u64::MAX))
    }

    /// The runs down to offset `floor`, last first.
    pub(crate) fn runs_back(&self, floor: u64) -> impl Iterator<Item = Run<'_>> {
        let floor = floor.max(self.start);
        self.blocks
            .iter()
            .rev()
            .take_while(move |block| block.end() > floor)
            .flat_map(|block| block.runs().into_iter().rev())
            .filter_map(move |run| run.clip(floor, u64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_that_take_turns_byte_by_byte_cost_three_bytes_a_byte() {
        let mut region = Region::default();
        for _ in 0..BLOCK * 4 {
            region.push(Stream::Stdout, b"o");
            region.push(Stream::Stderr, b"e");
        }
        let bytes = BLOCK * 8;
        assert_eq!(region.len(), bytes as u64);
        assert!(region.footprint() <= bytes * 3 + 1024, "{}", region.footprint());
        assert_eq!(region.runs(0).count(), bytes);
    }

    #[test]
    fn forgetting_at_the_front_frees_blocks_and_keeps_offsets() {
        let mut region = Region::default();
        let data: Vec<u8> = (0..BLOCK * 3).map(|n| (n % 251) as u8).collect();
        region.push(Stream::Stdout, &data);
        region.keep_last(10);
        assert_eq!((region.start(), region.end()), ((BLOCK * 3 - 10) as u64, (BLOCK * 3) as u64));
        assert!(region.footprint() <= BLOCK + 1024, "{}", region.footprint());
        let kept: Vec<u8> = region.runs(0).flat_map(|run| run.bytes.to_vec()).collect();
        assert_eq!(kept, data[BLOCK * 3 - 10..]);
        let back: Vec<u64> = region.runs_back(0).map(|run| run.at).collect();
        assert_eq!(back, [region.start()]);
    }
}
