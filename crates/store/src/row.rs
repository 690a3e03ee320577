//! One task's output as a backend keeps it: spans of bytes of one stream, found without loading them.

use sshepherd_model::Stream;

use crate::output::Totals;
use crate::utf8;

/// Bytes of one stream in a row, not loaded yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Span {
    /// Offset of the first byte.
    pub(crate) at: u64,
    pub(crate) stream: Stream,
    /// Bytes, never 0.
    pub(crate) length: u64,
}

impl Span {
    /// Offset after the last byte.
    pub(crate) fn end(self) -> u64 {
        self.at + self.length
    }

    /// The part from offset `from` up to offset `to`, if there is any.
    pub(crate) fn clip(self, from: u64, to: u64) -> Option<Self> {
        let start = from.max(self.at);
        let end = to.min(self.end());
        let length = end.checked_sub(start).filter(|length| *length > 0)?;
        Some(Self { at: start, stream: self.stream, length })
    }
}

/// What is kept of one task's output at one moment.
///
/// The head half of the limit is filled first and then stays; the tail half holds the last bytes that came. Between them
/// is the gap.
pub(crate) trait Row {
    /// Why bytes could not be had.
    type Error;

    /// What came.
    fn totals(&self) -> Totals;

    /// The offsets between which nothing was kept.
    fn gap(&self) -> Option<(u64, u64)>;

    /// Nothing more will come.
    fn ended(&self) -> bool;

    /// What is kept from offset `from` on, in order, the first span clipped. Only the gap can lie between two spans.
    fn spans(
        &self,
        from: u64,
    ) -> Result<impl Iterator<Item = Result<Span, Self::Error>>, Self::Error>;

    /// What is kept down to offset `floor`, last first, the last span clipped.
    fn spans_back(
        &self,
        floor: u64,
    ) -> Result<impl Iterator<Item = Result<Span, Self::Error>>, Self::Error>;

    /// Adds the bytes of a span to `into`.
    fn load(&self, span: Span, into: &mut Vec<u8>) -> Result<(), Self::Error>;
}

/// The gap, widened by up to three bytes on each side so that no character is cut at its edges.
pub(crate) fn visible_gap<R: Row>(row: &R) -> Result<Option<(u64, u64)>, R::Error> {
    let Some((from, to)) = row.gap() else { return Ok(None) };
    let most = utf8::MOST_PARTIAL as u64 + 1;
    let before = before(row, from, most)?;
    let after = after(row, to, most)?;
    Ok(Some((from - utf8::open_end(&before) as u64, to + utf8::open_start(&after) as u64)))
}

/// The few bytes after offset `at` that came on one stream without a break.
fn after<R: Row>(row: &R, at: u64, most: u64) -> Result<Vec<u8>, R::Error> {
    let mut near = Vec::new();
    let mut stream = None;
    for span in row.spans(at)? {
        let Some(span) = span?.clip(at, at + most) else { break };
        if *stream.get_or_insert(span.stream) != span.stream {
            break;
        }
        row.load(span, &mut near)?;
    }
    Ok(near)
}

/// The few bytes before offset `end` that came on one stream without a break.
fn before<R: Row>(row: &R, end: u64, most: u64) -> Result<Vec<u8>, R::Error> {
    let floor = end.saturating_sub(most);
    let mut spans = Vec::new();
    for span in row.spans(floor)? {
        let Some(span) = span?.clip(floor, end) else { break };
        spans.push(span);
    }
    let Some(last) = spans.last().map(|span| span.stream) else { return Ok(Vec::new()) };
    let start = spans.iter().rposition(|span| span.stream != last).map_or(0, |other| other + 1);
    let mut near = Vec::new();
    for span in spans.into_iter().skip(start) {
        row.load(span, &mut near)?;
    }
    Ok(near)
}
