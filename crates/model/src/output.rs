//! Output of a command as it arrives.

use serde::{Deserialize, Serialize};

/// Which of the two streams some bytes came on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// A run of bytes of one stream, in order of arrival.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chunk {
    /// Where the bytes came from.
    pub stream: Stream,
    /// The bytes.
    pub bytes: Vec<u8>,
}
