//! File and standard error behind one handle.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use serde::{Deserialize, Serialize};

use crate::entry::Entry;
use crate::error::Error;
use crate::escape;
use crate::file::AuditFile;
use crate::stderr::Stderr;

/// Version of the record's shape, in its field `v`.
pub const VERSION: u32 = 1;

/// Most characters of a free text (`client`, `host`, `reason`, each of `rules`) in a record; what is cut is marked with an
/// ellipsis. It bounds a line against clients that name themselves at length.
pub const MAX_TEXT: usize = 1024;

/// Most rules in a record: as many as a command may have parts.
pub const MAX_RULES: usize = 32;

/// A line of the audit file: an entry with what the sink adds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// [`VERSION`].
    pub v: u32,
    /// Counts the records of one instance from 1. A number that is not there is a record that was not written.
    pub seq: u64,
    /// The instance that wrote it.
    pub instance: String,
    /// What it says.
    #[serde(flatten)]
    pub entry: Entry,
}

/// Takes records. Clones share the file, the sequence and the instance.
#[derive(Debug, Clone)]
pub struct Sink {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    instance: String,
    /// Held while a record is written, so that the order of sequence numbers is the order of the lines.
    book: Mutex<Book>,
    stderr: Stderr,
}

#[derive(Debug)]
struct Book {
    seq: u64,
    file: Option<AuditFile>,
}

impl Sink {
    /// Records go to standard error and, with a path, to that file, which is opened now.
    ///
    /// The file is made with mode 0600 and its missing folders with 0700. Errors: [`Error::NotPlain`] for a symbolic link
    /// or anything but a file, [`Error::TooOpen`] when group or others may write to it, [`Error::Open`].
    pub fn open(path: Option<PathBuf>) -> Result<Self, Error> {
        Self::open_with(path, Box::new(io::stderr()))
    }

    /// The same with `stderr` in place of standard error.
    pub fn open_with(path: Option<PathBuf>, stderr: Box<dyn Write + Send>) -> Result<Self, Error> {
        let file = path.as_deref().map(AuditFile::open).transpose()?;
        let inner = Inner {
            instance: instance(),
            book: Mutex::new(Book { seq: 0, file }),
            stderr: Stderr::start(stderr)?,
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// The id of this instance, as in its records: 16 hex digits, random for each open.
    #[must_use]
    pub fn instance(&self) -> &str {
        &self.inner.instance
    }

    /// Writes one record. Returns once the file has it; standard error gets it soon, or not at all.
    ///
    /// Blocks for one write to a file, which is short; there is no flush to disk.
    /// Errors: [`Error::Write`], [`Error::Encode`]. What is to be recorded must then not be done.
    pub fn record(&self, entry: &Entry) -> Result<(), Error> {
        let mut book = self.inner.book.lock().unwrap_or_else(PoisonError::into_inner);
        book.seq = book.seq.saturating_add(1);
        let record = Record {
            v: VERSION,
            seq: book.seq,
            instance: self.inner.instance.clone(),
            entry: bounded(entry),
        };
        let line: Arc<[u8]> = escape::line(&record).map_err(Error::Encode)?.into();
        let written = book.file.as_mut().map_or(Ok(()), |file| file.append(&line));
        self.inner.stderr.write(line);
        written
    }
}

/// Random enough to tell instances apart: the standard library seeds its hash maps from the system's randomness.
fn instance() -> String {
    let mut hasher = RandomState::new().build_hasher();
    hasher.write_u32(std::process::id());
    format!("{:016x}", hasher.finish())
}

/// The entry with its free texts cut to [`MAX_TEXT`].
fn bounded(entry: &Entry) -> Entry {
    let mut entry = entry.clone();
    cut(&mut entry.source.face);
    for text in [&mut entry.source.client, &mut entry.host, &mut entry.reason]
        .into_iter()
        .chain([&mut entry.policy_hash, &mut entry.exit_signal])
        .flatten()
    {
        cut(text);
    }
    entry.rules.truncate(MAX_RULES);
    entry.rules.iter_mut().for_each(cut);
    entry
}

fn cut(text: &mut String) {
    if let Some((end, _)) = text.char_indices().nth(MAX_TEXT) {
        text.truncate(end);
        text.push('…');
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Event, Source, Timestamp};

    /// What cannot be recorded must be an error, so that it is not run; and it is an error each time.
    #[test]
    fn a_record_that_cannot_be_written_to_the_file_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.jsonl");
        let sink = Sink::open_with(Some(path.clone()), Box::new(io::sink())).unwrap();
        sink.inner.book.lock().unwrap().file = Some(AuditFile::read_only(&path));
        let source = Source { face: "cli".into(), client: None };
        let entry = Entry::new(Timestamp::from_millis(0), Event::Decision, source);
        for _ in 0..2 {
            assert!(matches!(sink.record(&entry), Err(Error::Write { .. })));
        }
    }
}
