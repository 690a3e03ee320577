//! The answers of reads, the same for every backend.

use sshepherd_model::Chunk;

use crate::output::{HeadTail, Page, StreamFilter, TailLines};
use crate::row::{Row, Span, visible_gap};
use crate::utf8;

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
    fn forward<R: Row>(
        row: &R,
        from: u64,
        stop: u64,
        most: usize,
        filter: StreamFilter,
    ) -> Result<Self, R::Error> {
        let mut taken = Self { next: from, ..Self::default() };
        for span in row.spans(from)? {
            let Some(span) = span?.clip(from, stop) else { break };
            if !filter.passes(span.stream) {
                taken.next = span.end();
                continue;
            }
            let room = (most - taken.bytes) as u64;
            if let Some(span) = span.clip(span.at, span.at.saturating_add(room)) {
                taken.push(row, span)?;
            }
            if taken.bytes == most {
                break;
            }
        }
        Ok(taken)
    }

    /// Takes the last bytes down to offset `floor`, at most `most` of them.
    fn backward<R: Row>(
        row: &R,
        floor: u64,
        most: usize,
        filter: StreamFilter,
    ) -> Result<Self, R::Error> {
        let mut spans = Vec::new();
        let mut room = most as u64;
        for span in row.spans_back(floor)? {
            let span = span?;
            if !filter.passes(span.stream) {
                continue;
            }
            let Some(span) = span.clip(span.end().saturating_sub(room), span.end()) else { break };
            room -= span.length;
            spans.push(span);
        }
        let mut taken = Self { next: floor, ..Self::default() };
        for span in spans.into_iter().rev() {
            taken.push(row, span)?;
        }
        Ok(taken)
    }

    fn push<R: Row>(&mut self, row: &R, span: Span) -> Result<(), R::Error> {
        if self.chunks.last().is_none_or(|last| last.stream != span.stream) {
            self.chunks.push(Chunk { stream: span.stream, bytes: Vec::new() });
        }
        if let Some(last) = self.chunks.last_mut() {
            let before = last.bytes.len();
            row.load(span, &mut last.bytes)?;
            let length = last.bytes.len() - before;
            self.pieces.push((span.at, length));
            self.bytes += length;
        }
        self.next = span.end();
        Ok(())
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

/// See `Store::read`; `from` is not beyond the end.
pub(crate) fn page<R: Row>(
    row: &R,
    asked: u64,
    most: usize,
    filter: StreamFilter,
) -> Result<Page, R::Error> {
    let (most, total) = (most.max(1), row.totals().bytes());
    let gap = visible_gap(row)?;
    let from = match gap {
        Some((lo, hi)) if (lo..hi).contains(&asked) => hi,
        Some(_) | None => asked,
    };
    let stop = match gap {
        Some((lo, _)) if from < lo => lo,
        Some(_) | None => total,
    };
    let mut taken = Taken::forward(row, from, stop, most, filter)?;
    if taken.next < stop {
        taken.end_at_border(MustAdvance::Yes);
    } else if stop == total && !row.ended() {
        // The rest of the character is on its way.
        taken.end_at_border(MustAdvance::No);
    }
    Ok(Page {
        from,
        next: taken.next,
        missing_before: from - asked,
        end: row.ended() && taken.next == total,
        total,
        chunks: taken.chunks,
    })
}

/// See `Store::tail_lines`.
pub(crate) fn tail_lines<R: Row>(
    row: &R,
    most_lines: usize,
    most_bytes: usize,
) -> Result<TailLines, R::Error> {
    let totals = row.totals();
    let total = totals.bytes();
    let floor = visible_gap(row)?.map_or(0, |(_, hi)| hi);
    let start = floor.max(total.saturating_sub(most_bytes as u64));
    // One byte more tells whether the window begins with a line.
    let peek = start.saturating_sub(1).max(floor);
    let mut window: Vec<u8> = Vec::new();
    for span in row.spans(peek)? {
        row.load(span?, &mut window)?;
    }
    let begins_line = if peek < start { window.first() == Some(&b'\n') } else { start == 0 };
    if peek < start {
        window.remove(0);
    }
    let total_lines = totals.lines;
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
    // Every line but the last has its newline, and the last has one when the output ends with it.
    let shown: usize = lines.iter().map(|line| line.len() + 1).sum();
    let ended = window.last() == Some(&b'\n');
    let open = usize::from(!lines.is_empty() && !ended);
    let from = total - (shown - open) as u64;
    Ok(TailLines { from, lines, ended, total_lines, first_cut, has_more })
}

/// See `Store::head_tail`.
pub(crate) fn head_tail<R: Row>(
    row: &R,
    budget: usize,
    filter: StreamFilter,
) -> Result<HeadTail, R::Error> {
    let totals = row.totals();
    let total = match filter {
        StreamFilter::Both => totals.bytes(),
        StreamFilter::Stdout => totals.stdout,
        StreamFilter::Stderr => totals.stderr,
    };
    let end = totals.bytes();
    let gap = visible_gap(row)?;
    if gap.is_none() && total <= budget as u64 {
        let all = Taken::forward(row, 0, end, budget, filter)?;
        return Ok(HeadTail { head: all.chunks, missing: 0, tail: Vec::new(), total });
    }
    let (lo, hi) = gap.unwrap_or((end, 0));
    // What the tail cannot fill goes to the head.
    let for_head = (budget / 2).max(budget - passing(row, hi, filter, budget)?);
    let mut head = Taken::forward(row, 0, lo, for_head, filter)?;
    head.end_at_border(MustAdvance::No);
    let floor = hi.max(head.next);
    let mut tail = Taken::backward(row, floor, budget - head.bytes, filter)?;
    tail.start_at_border();
    let missing = total - (head.bytes + tail.bytes) as u64;
    Ok(HeadTail { head: head.chunks, missing, tail: tail.chunks, total })
}

/// Bytes from offset `from` on that pass `filter`, counted no further than `most`.
fn passing<R: Row>(
    row: &R,
    from: u64,
    filter: StreamFilter,
    most: usize,
) -> Result<usize, R::Error> {
    let mut sum = 0_u64;
    for span in row.spans(from)? {
        let span = span?;
        if filter.passes(span.stream) {
            sum += span.length;
        }
        if sum >= most as u64 {
            return Ok(most);
        }
    }
    Ok(usize::try_from(sum).unwrap_or(most))
}

/// The lines of a text; the newline at its end begins no further line.
fn split(text: &[u8]) -> Vec<&[u8]> {
    if text.is_empty() {
        return Vec::new();
    }
    text.strip_suffix(b"\n").unwrap_or(text).split(|byte| *byte == b'\n').collect()
}
