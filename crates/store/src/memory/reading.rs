//! The answers of reads over one task's kept output.

use sshepherd_model::Chunk;

use crate::output::{HeadTail, Page, StreamFilter, TailLines};

use super::block::Run;
use super::retained::Retained;
use super::utf8;

/// Bytes that passed a filter, and where each piece came from.
#[derive(Debug, Default)]
struct Taken {
    chunks: Vec<Chunk>,
    /// Offset and length of each piece, in order; they add up to the chunks.
    pieces: Vec<(u64, usize)>,
    bytes: usize,
    /// Offset after the last byte taken or passed over.
    next: u64,
}

impl Taken {
    /// Takes from offset `from` up to `stop`, at most `most` bytes.
    fn forward(output: &Retained, from: u64, stop: u64, most: usize, filter: StreamFilter) -> Self {
        let mut taken = Self { next: from, ..Self::default() };
        for run in output.runs(from) {
            let Some(run) = run.clip(from, stop) else { break };
            if !filter.passes(run.stream) {
                taken.next = run.end();
                continue;
            }
            let room = (most - taken.bytes) as u64;
            if let Some(run) = run.clip(run.at, run.at.saturating_add(room)) {
                taken.push(run);
            }
            if taken.bytes == most {
                break;
            }
        }
        taken
    }

    /// Takes the last bytes down to offset `floor`, at most `most` of them.
    fn backward(output: &Retained, floor: u64, most: usize, filter: StreamFilter) -> Self {
        let mut runs = Vec::new();
        let mut room = most as u64;
        for run in output.runs_back(floor).filter(|run| filter.passes(run.stream)) {
            let Some(run) = run.clip(run.end().saturating_sub(room), run.end()) else { break };
            room -= run.bytes.len() as u64;
            runs.push(run);
        }
        let mut taken = Self { next: floor, ..Self::default() };
        runs.into_iter().rev().for_each(|run| taken.push(run));
        taken
    }

    fn push(&mut self, run: Run<'_>) {
        match self.chunks.last_mut() {
            Some(last) if last.stream == run.stream => last.bytes.extend_from_slice(run.bytes),
            Some(_) | None => {
                self.chunks.push(Chunk { stream: run.stream, bytes: run.bytes.to_vec() });
            }
        }
        self.pieces.push((run.at, run.bytes.len()));
        self.bytes += run.bytes.len();
        self.next = run.end();
    }

    /// Gives back the bytes at the end that begin a character without finishing it. When that is all there is and
    /// `must_advance`, it stays.
    fn end_at_border(&mut self, must_advance: MustAdvance) {
        let open = self.chunks.last().map_or(0, |last| utf8::open_end(&last.bytes));
        if open == 0 || (must_advance == MustAdvance::Yes && open == self.bytes) {
            return;
        }
        if let Some(last) = self.chunks.last_mut() {
            last.bytes.truncate(last.bytes.len() - open);
        }
        self.chunks.pop_if(|last| last.bytes.is_empty());
        self.bytes -= open;
        let mut left = open;
        while let Some((at, length)) = self.pieces.pop() {
            if length >= left {
                self.next = at + (length - left) as u64;
                self.pieces.push((at, length - left));
                return;
            }
            left -= length;
        }
    }

    /// Leaves out the bytes at the beginning that finish a character begun before.
    fn start_at_border(&mut self) {
        let open = self.chunks.first().map_or(0, |first| utf8::open_start(&first.bytes));
        if let Some(first) = self.chunks.first_mut() {
            first.bytes.drain(..open);
        }
        self.chunks.retain(|chunk| !chunk.bytes.is_empty());
        self.bytes -= open;
    }
}

/// Whether an answer without bytes would bring its reader no further.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum MustAdvance {
    Yes,
    No,
}

impl Retained {
    /// See `Store::read`; `from` is not beyond the end.
    pub(super) fn page(&self, asked: u64, most: usize, filter: StreamFilter) -> Page {
        let (most, total) = (most.max(1), self.total());
        let gap = self.visible_gap();
        let from = match gap {
            Some((lo, hi)) if (lo..hi).contains(&asked) => hi,
            Some(_) | None => asked,
        };
        let stop = match gap {
            Some((lo, _)) if from < lo => lo,
            Some(_) | None => total,
        };
        let mut taken = Taken::forward(self, from, stop, most, filter);
        if taken.next < stop {
            taken.end_at_border(MustAdvance::Yes);
        } else if stop == total && !self.ended {
            // The rest of the character is on its way.
            taken.end_at_border(MustAdvance::No);
        }
        Page {
            from,
            next: taken.next,
            missing_before: from - asked,
            end: self.ended && taken.next == total,
            total,
            chunks: taken.chunks,
        }
    }

    /// See `Store::tail_lines`.
    pub(super) fn tail_lines(&self, most_lines: usize, most_bytes: usize) -> TailLines {
        let total = self.total();
        let floor = self.visible_gap().map_or(0, |(_, hi)| hi);
        let start = floor.max(total.saturating_sub(most_bytes as u64));
        // One byte more tells whether the window begins with a line.
        let peek = start.saturating_sub(1).max(floor);
        let mut window: Vec<u8> =
            self.runs(peek).flat_map(|run| run.bytes.iter().copied()).collect();
        let begins_line = if peek < start { window.first() == Some(&b'\n') } else { start == 0 };
        if peek < start {
            window.remove(0);
        }
        let total_lines = self.totals().lines;
        let mut lines = split(&window);
        let mut first_cut = !lines.is_empty() && !begins_line;
        if lines.len() > most_lines {
            lines.drain(..lines.len() - most_lines);
            first_cut = false;
        } else if first_cut && lines.len() > 1 && start > floor {
            // Cut by the budget, not by the gap: whole lines only.
            lines.remove(0);
            first_cut = false;
        }
        let mut lines: Vec<Vec<u8>> = lines.into_iter().map(<[u8]>::to_vec).collect();
        if let Some(first) = lines.first_mut().filter(|_| first_cut) {
            first.drain(..utf8::open_start(first));
        }
        let has_more = first_cut || total_lines > lines.len() as u64;
        TailLines { lines, total_lines, first_cut, has_more }
    }

    /// See `Store::head_tail`.
    pub(super) fn head_tail(&self, budget: usize, filter: StreamFilter) -> HeadTail {
        let totals = self.totals();
        let total = match filter {
            StreamFilter::Both => totals.bytes(),
            StreamFilter::Stdout => totals.stdout,
            StreamFilter::Stderr => totals.stderr,
        };
        let end = self.total();
        let gap = self.visible_gap();
        if gap.is_none() && total <= budget as u64 {
            let all = Taken::forward(self, 0, end, budget, filter);
            return HeadTail { head: all.chunks, missing: 0, tail: Vec::new(), total };
        }
        let (lo, hi) = gap.unwrap_or((end, 0));
        // What the tail cannot fill goes to the head.
        let for_head = (budget / 2).max(budget - self.passing(hi, filter, budget));
        let mut head = Taken::forward(self, 0, lo, for_head, filter);
        head.end_at_border(MustAdvance::No);
        let floor = hi.max(head.next);
        let mut tail = Taken::backward(self, floor, budget - head.bytes, filter);
        tail.start_at_border();
        let missing = total - (head.bytes + tail.bytes) as u64;
        HeadTail { head: head.chunks, missing, tail: tail.chunks, total }
    }

    /// Bytes from offset `from` on that pass `filter`, counted no further than `most`.
    fn passing(&self, from: u64, filter: StreamFilter, most: usize) -> usize {
        let mut sum = 0_usize;
        for run in self.runs(from).filter(|run| filter.passes(run.stream)) {
            sum += run.bytes.len();
            if sum >= most {
                return most;
            }
        }
        sum
    }
}

/// The lines of a text; the newline at its end begins no further line.
fn split(text: &[u8]) -> Vec<&[u8]> {
    if text.is_empty() {
        return Vec::new();
    }
    text.strip_suffix(b"\n").unwrap_or(text).split(|byte| *byte == b'\n').collect()
}
