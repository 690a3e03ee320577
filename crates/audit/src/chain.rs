//! The chain: every record carries the hash of the one before it and its own, over the exact bytes of its line.
//!
//! What stands in the file and is no record of the chain (a line that a crash cut short, records of a version that had no
//! chain) is vouched for by the next record, which carries its length and its hash.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::entry::Entry;
use crate::error::Error;
use crate::escape;

/// Version of the record's shape, in its field `v`. 2 is the first with a chain.
pub const VERSION: u32 = 2;

/// What the first record of a chain names as the hash before it.
pub(crate) const NOTHING: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// Length of a hash in hex digits.
const HASH: usize = 64;

/// Bytes before a record that are none of the chain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unchained {
    /// How many, from the end of the record before to the beginning of this line.
    pub bytes: u64,
    /// Their SHA-256 in hex.
    pub sha256: String,
}

/// A line of the audit file: an entry with what the sink adds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// [`VERSION`].
    pub v: u32,
    /// Counts the records of the chain from 1, whichever process writes them.
    pub seq: u64,
    /// SHA-256 in hex of the record before, as in its field `chain`; zeros for the first.
    #[serde(default)]
    pub prev: String,
    /// What stands before it and is no record of the chain.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unchained: Option<Unchained>,
    /// The instance that wrote it.
    pub instance: String,
    /// What it says.
    #[serde(flatten)]
    pub entry: Entry,
    /// SHA-256 in hex of this line up to this field, `chain`.
    #[serde(rename = "chain", default, skip_serializing_if = "String::is_empty")]
    pub own: String,
}

/// Where a chain ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) seq: u64,
    pub(crate) hash: String,
}

impl Head {
    /// The head of a chain without records.
    pub(crate) fn start() -> Self {
        Self { seq: 0, hash: NOTHING.to_owned() }
    }
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    let digit = |half: u8| char::from_digit(u32::from(half), 16).unwrap_or('0');
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

/// SHA-256 in hex.
pub(crate) fn sha256(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

/// What stands between a record and its own hash.
const SEAM: &[u8] = b",\"chain\":\"";
const END: &[u8] = b"\"}";

/// The line of a record with its newline, and the head that it makes.
pub(crate) fn seal(record: &Record) -> Result<(Vec<u8>, Head), Error> {
    let mut line = escape::line(record).map_err(Error::Encode)?;
    // The object's closing brace and the newline give way to the hash.
    line.truncate(line.len().saturating_sub(2));
    let hash = sha256(&line);
    line.extend_from_slice(SEAM);
    line.extend_from_slice(hash.as_bytes());
    line.extend_from_slice(END);
    line.push(b'\n');
    Ok((line, Head { seq: record.seq, hash }))
}

/// A line, without its newline, that carries its own right hash; `None` for any other.
pub(crate) fn opened(line: &[u8]) -> Option<Record> {
    let rest = line.strip_suffix(END)?;
    let (rest, hash) = rest.split_at_checked(rest.len().checked_sub(HASH)?)?;
    let body = rest.strip_suffix(SEAM)?;
    if sha256(body).as_bytes() != hash {
        return None;
    }
    serde_json::from_slice(line).ok()
}

/// What every record of a chain begins with.
const BEGINNING: &[u8] = b"{\"v\":2,";

/// Whether a line that carries no right hash is a record of a chain that was changed, or the beginning of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Claim {
    /// Neither.
    None,
    /// It begins as one; a crash may have cut it short.
    Begun,
    /// It is one from its beginning to its end.
    Whole,
}

/// What a line without a right hash claims to be.
pub(crate) fn claim(line: &[u8]) -> Claim {
    #[derive(Deserialize)]
    struct Fields {
        #[serde(default)]
        v: u64,
        seq: Option<serde::de::IgnoredAny>,
        prev: Option<serde::de::IgnoredAny>,
    }
    match serde_json::from_slice::<Fields>(line) {
        // Unchanged: only its newline is missing.
        _ if opened(line).is_some() => Claim::Begun,
        Ok(fields) if fields.seq.is_some() => {
            if fields.v >= u64::from(VERSION) || fields.prev.is_some() {
                Claim::Whole
            } else {
                Claim::None
            }
        }
        _ if line.starts_with(BEGINNING) => Claim::Begun,
        _ => Claim::None,
    }
}

impl Record {
    /// Its place in the chain.
    pub(crate) fn head(&self) -> Head {
        Head { seq: self.seq, hash: self.own.clone() }
    }

    /// Whether it follows `head`, with `between` the bytes that stand before it.
    pub(crate) fn follows(&self, head: &Head, between: Option<&Unchained>) -> bool {
        self.seq == head.seq + 1 && self.prev == head.hash && self.unchained.as_ref() == between
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Event, Source, Timestamp};

    #[test]
    fn a_sealed_line_opens_and_a_changed_one_does_not() {
        let source = Source { face: "cli".into(), client: Some("x\",\"chain\":\"y".into()) };
        let record = Record {
            v: VERSION,
            seq: 1,
            prev: NOTHING.to_owned(),
            unchained: None,
            instance: "i".to_owned(),
            entry: Entry::new(Timestamp::from_millis(0), Event::Reload, source),
            own: String::new(),
        };
        let (line, head) = seal(&record).unwrap();
        let line = line.strip_suffix(b"\n").unwrap();
        let back = opened(line).unwrap();
        assert_eq!((back.head(), back.entry), (head, record.entry));
        for at in 0..line.len() {
            let mut changed = line.to_vec();
            changed[at] ^= 1;
            assert!(opened(&changed).is_none(), "byte {at}");
            assert!(opened(&line[..at]).is_none(), "cut at {at}");
        }
    }
}
