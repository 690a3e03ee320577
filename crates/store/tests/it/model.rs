//! The plainest possible retention: every byte that came in one list, and a rule for which are kept.

use sshepherd_model::Stream;

/// Everything that came.
#[derive(Debug, Default)]
pub(crate) struct Model {
    pub(crate) row: Vec<(Stream, u8)>,
}

impl Model {
    pub(crate) fn append(&mut self, stream: Stream, bytes: &[u8]) {
        self.row.extend(bytes.iter().map(|byte| (stream, *byte)));
    }

    /// The gap as offsets, under a limit of `most` bytes; empty when nothing is missing.
    pub(crate) fn gap(&self, most: usize) -> std::ops::Range<usize> {
        if self.row.len() <= most { 0..0 } else { most / 2..self.row.len() - (most - most / 2) }
    }

    pub(crate) fn lines(&self) -> u64 {
        let bytes: Vec<u8> = self.row.iter().map(|(_, byte)| *byte).collect();
        bytes.split_inclusive(|byte| *byte == b'\n').count() as u64
    }
}
