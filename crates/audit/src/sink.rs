//! File and standard error behind one handle.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::chain::{self, Head, Record, Unchained, VERSION};
use crate::checkpoint::Checkpoints;
use crate::entry::{Entry, Event, Source};
use crate::error::Error;
use crate::file::{AuditFile, Written};
use crate::stderr::Stderr;

/// Most characters of a free text (`client`, `host`, `reason`, each of `rules`) in a record; what is cut is marked with an
/// ellipsis. It bounds a line against clients that name themselves at length.
pub const MAX_TEXT: usize = 1024;

/// Most rules in a record: as many as a command may have parts.
pub const MAX_RULES: usize = 32;

/// How records are kept.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Keeping {
    /// The file; without one records go to standard error only.
    pub path: Option<PathBuf>,
    /// Bytes above which the file is put aside and a new one begun.
    pub max_bytes: Option<u64>,
    /// Whether each record is flushed to the disk before it counts, which outlives a power cut and costs milliseconds.
    pub sync: bool,
    /// A second place that hears of the chain.
    pub checkpoints: Option<Checkpoints>,
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
    checkpoints: Option<Checkpoints>,
    /// A second place that does not hear is complained of once.
    complained: AtomicBool,
}

#[derive(Debug)]
enum Book {
    File(Box<AuditFile>),
    /// No file: the chain goes on here.
    Head(Head),
}

impl Sink {
    /// Records go to standard error and, with a path, to that file, which is opened now.
    ///
    /// The file is made with mode 0600 and its missing folders with 0700. Errors: [`Error::NotPlain`] for a symbolic link
    /// or anything but a file, [`Error::TooOpen`] when group or others may write to it, [`Error::Open`].
    pub fn open(keeping: Keeping) -> Result<Self, Error> {
        Self::open_beside(keeping, Box::new(io::stderr()))
    }

    /// The same for a file alone, with `stderr` in place of standard error.
    pub fn open_with(path: Option<PathBuf>, stderr: Box<dyn Write + Send>) -> Result<Self, Error> {
        Self::open_beside(Keeping { path, ..Keeping::default() }, stderr)
    }

    /// The same with `stderr` in place of standard error.
    pub fn open_beside(keeping: Keeping, stderr: Box<dyn Write + Send>) -> Result<Self, Error> {
        let book = match &keeping.path {
            Some(path) => {
                Book::File(Box::new(AuditFile::open(path, keeping.max_bytes, keeping.sync)?))
            }
            None => Book::Head(Head::start()),
        };
        let inner = Inner {
            instance: instance(),
            book: Mutex::new(book),
            stderr: Stderr::start(stderr)?,
            checkpoints: keeping.checkpoints,
            complained: AtomicBool::new(false),
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
    /// Blocks for one write to a file and for other processes that write to it, which is short.
    /// Errors: [`Error::Write`], [`Error::Encode`]. What is to be recorded must then not be done.
    pub fn record(&self, entry: &Entry) -> Result<(), Error> {
        let of = |entry: Entry| Record {
            v: VERSION,
            seq: 0,
            prev: String::new(),
            unchained: None,
            instance: self.inner.instance.clone(),
            entry,
            own: String::new(),
        };
        let mut record = of(bounded(entry));
        let mut seal = |tampered: Option<&str>, head: &Head, unchained: Option<Unchained>| {
            let mut found = tampered.map(|what| {
                let source = Source { face: "audit".to_owned(), client: None };
                let mut entry = Entry::new(entry.ts, Event::AuditTampered, source);
                entry.reason = Some(what.to_owned());
                of(bounded(&entry))
            });
            let record = found.as_mut().unwrap_or(&mut record);
            (record.seq, record.unchained) = (head.seq + 1, unchained);
            record.prev.clone_from(&head.hash);
            chain::seal(record)
        };
        let mut book = self.inner.book.lock().unwrap_or_else(PoisonError::into_inner);
        let written = match &mut *book {
            Book::File(file) => file.append(&mut seal),
            Book::Head(head) => seal(None, head, None).map(|(line, next)| {
                *head = next.clone();
                Written { line, head: next, rotated: None, tampered: None }
            }),
        };
        let written = match written {
            Ok(written) => written,
            Err(error) => {
                // Nothing is in the file; whoever watches standard error shall know of it all the same.
                if let Ok((line, _)) = seal(None, &Head::start(), None) {
                    self.inner.stderr.write(line.into());
                }
                return Err(error);
            }
        };
        self.inner.stderr.write(written.line.into());
        if let Some(last) = &written.rotated {
            self.tell(last, entry.ts);
        }
        if let Some(what) = &written.tampered {
            tracing::error!("the audit record was tampered with: {what}");
        }
        let found = written.tampered.is_some();
        let due = |points: &Checkpoints| found || points.due(written.head.seq);
        if self.inner.checkpoints.as_ref().is_some_and(due) {
            self.tell(&written.head, entry.ts);
        }
        Ok(())
    }

    fn tell(&self, head: &Head, ts: crate::Timestamp) {
        let Some(points) = &self.inner.checkpoints else { return };
        if let Err(problem) = points.tell(head, ts)
            && !self.inner.complained.swap(true, Ordering::Relaxed)
        {
            tracing::warn!("{problem}; said once");
        }
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
    for text in [&mut entry.source.client, &mut entry.host, &mut entry.reason, &mut entry.by]
        .into_iter()
        .chain([&mut entry.policy_hash, &mut entry.exit_signal, &mut entry.command])
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
    use crate::Timestamp;

    /// What cannot be recorded must be an error, so that it is not run; and it is an error each time.
    #[test]
    fn a_record_that_cannot_be_written_to_the_file_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.jsonl");
        let sink = Sink::open_with(Some(path.clone()), Box::new(io::sink())).unwrap();
        std::fs::remove_file(&path).unwrap();
        std::fs::create_dir(&path).unwrap();
        let source = Source { face: "cli".into(), client: None };
        let entry = Entry::new(Timestamp::from_millis(0), Event::Decision, source);
        for _ in 0..2 {
            assert!(matches!(sink.record(&entry), Err(Error::NotPlain { .. })));
        }
        std::fs::remove_dir(&path).unwrap();
        sink.record(&entry).unwrap();
    }
}
