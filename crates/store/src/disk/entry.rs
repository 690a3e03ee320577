//! One entry of a log's index: what one append added, and the sums up to its end.
//!
//! An entry is written after its bytes: bytes without an entry were never acknowledged and are written over. The check
//! sum keeps a half-written or zeroed entry, as a power cut leaves it, from being believed.

use std::io;

use sshepherd_model::Stream;

use crate::output::Totals;
use crate::row::Span;

/// Bytes of an entry on disk.
pub(super) const ENTRY: usize = 32;

/// Bit of a length that says standard error.
pub(super) const STDERR: u32 = 0x8000_0000;

/// Bit of the line count that says that the last line is open.
const OPEN_LINE: u64 = 1 << 63;

/// What came so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Sums {
    pub(super) stdout: u64,
    pub(super) stderr: u64,
    pub(super) newlines: u64,
    /// The last byte that came was not a newline.
    pub(super) open_line: bool,
}

impl Sums {
    /// Bytes on both streams.
    pub(super) fn bytes(self) -> u64 {
        self.stdout.saturating_add(self.stderr)
    }

    /// The sums after `bytes` on `stream`.
    pub(super) fn after(self, stream: Stream, bytes: &[u8]) -> Self {
        let mut sums = self;
        match stream {
            Stream::Stdout => sums.stdout += bytes.len() as u64,
            Stream::Stderr => sums.stderr += bytes.len() as u64,
        }
        sums.newlines += memchr::memchr_iter(b'\n', bytes).count() as u64;
        if let Some(last) = bytes.last() {
            sums.open_line = *last != b'\n';
        }
        sums
    }

    /// The totals of a task that keeps at most `most` bytes.
    pub(super) fn totals(self, most: u64) -> Totals {
        Totals {
            stdout: self.stdout,
            stderr: self.stderr,
            lines: self.newlines + u64::from(self.open_line),
            missing: self.bytes().saturating_sub(most),
        }
    }
}

/// What one append added.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) span: Span,
    /// Everything up to the end of the span.
    pub(super) sums: Sums,
}

impl Entry {
    /// What an append of `length` bytes at offset `at` added. An append that an entry cannot describe is refused.
    pub(super) fn new(at: u64, stream: Stream, length: usize, sums: Sums) -> io::Result<Self> {
        match u32::try_from(length) {
            Ok(length) if length < STDERR => {
                Ok(Self { span: Span { at, stream, length: u64::from(length) }, sums })
            }
            Ok(_) | Err(_) => Err(io::ErrorKind::FileTooLarge.into()),
        }
    }

    /// As it stands on disk: offset, standard output so far, newlines so far, length with stream, check sum.
    pub(super) fn encode(self) -> [u8; ENTRY] {
        let length = u32::try_from(self.span.length).unwrap_or(!STDERR) & !STDERR;
        let stream = match self.span.stream {
            Stream::Stdout => 0,
            Stream::Stderr => STDERR,
        };
        let lines = self.sums.newlines | if self.sums.open_line { OPEN_LINE } else { 0 };
        let mut bytes = [0; ENTRY];
        let fields = self
            .span
            .at
            .to_le_bytes()
            .into_iter()
            .chain(self.sums.stdout.to_le_bytes())
            .chain(lines.to_le_bytes())
            .chain((length | stream).to_le_bytes());
        for (place, byte) in bytes.iter_mut().zip(fields) {
            *place = byte;
        }
        let (body, _) = bytes.split_at(ENTRY - 4);
        let sum = check(body).to_le_bytes();
        for (place, byte) in bytes.iter_mut().rev().zip(sum.into_iter().rev()) {
            *place = byte;
        }
        bytes
    }

    /// `None` when these are not the bytes of a whole entry.
    pub(super) fn decode(bytes: &[u8; ENTRY]) -> Option<Self> {
        let (body, sum) = bytes.split_last_chunk::<4>()?;
        if u32::from_le_bytes(*sum) != check(body) {
            return None;
        }
        let (at, rest) = body.split_first_chunk::<8>()?;
        let (stdout, rest) = rest.split_first_chunk::<8>()?;
        let (lines, rest) = rest.split_first_chunk::<8>()?;
        let length = u32::from_le_bytes(*rest.first_chunk::<4>()?);
        let lines = u64::from_le_bytes(*lines);
        let stream = if length & STDERR == 0 { Stream::Stdout } else { Stream::Stderr };
        let span =
            Span { at: u64::from_le_bytes(*at), stream, length: u64::from(length & !STDERR) };
        let stdout = u64::from_le_bytes(*stdout);
        let sums = Sums {
            stdout,
            stderr: span.end().checked_sub(stdout)?,
            newlines: lines & !OPEN_LINE,
            open_line: lines & OPEN_LINE != 0,
        };
        Some(Self { span, sums })
    }
}

/// FNV-1a (Fowler, Noll, Vo; 32 bits), never that of zeros. It guards against torn writes, not malice.
pub(super) fn check(bytes: &[u8]) -> u32 {
    bytes
        .iter()
        .fold(0x811C_9DC5_u32, |sum, byte| (sum ^ u32::from(*byte)).wrapping_mul(0x0100_0193))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_reads_as_it_was_written_and_a_torn_one_does_not() {
        let sums = Sums { stdout: 5, stderr: 7, newlines: 3, open_line: true };
        let entry = Entry { span: Span { at: 5, stream: Stream::Stderr, length: 7 }, sums };
        let bytes = entry.encode();
        assert_eq!(Entry::decode(&bytes), Some(entry));
        assert_eq!(Entry::decode(&[0; ENTRY]), None);
        for place in 0..ENTRY {
            let mut torn = bytes;
            torn[place] ^= 1;
            assert_eq!(Entry::decode(&torn), None, "byte {place}");
        }
    }
}
