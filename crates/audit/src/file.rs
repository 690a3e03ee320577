//! The audit file: one chain of records, written by any number of processes, one write(2) a record.
//!
//! A lock file beside it is held for each record, so that the chain has one order. Before each record the file is compared with
//! what this process knows of it, and only what others have written since is read: records that were cut off or rewritten
//! meanwhile are found, and that is recorded.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use sha2::{Digest, Sha256};

use crate::chain::{self, Head, Unchained};
use crate::end::{End, Last, MOST_BACK, chain_on, changed, look};
use crate::error::Error;
use crate::holder::{holder, lock_within};

/// How long the lock may be held by others, who write one record each,
const PATIENCE: Duration = Duration::from_secs(5);
/// and after that was too short once: a process that is stopped must not cost every record so much.
const NO_PATIENCE: Duration = Duration::from_millis(100);

/// Permission bits that let others than the owner write.
const OTHERS_WRITE: u32 = 0o022;

/// An open audit file.
#[derive(Debug)]
pub(crate) struct AuditFile {
    path: PathBuf,
    file: File,
    lock: File,
    /// What the file ended with when it was last looked at; `None` when that could not be found out.
    known: Option<Known>,
    most: Option<u64>,
    sync: bool,
    /// The lock was not to be had the last time.
    stuck: bool,
}

/// The end of the file, and when it was changed last: an edit that leaves the length alone changes that.
#[derive(Debug, Clone)]
struct Known {
    end: End,
    changed: (i64, i64),
}

/// What was written.
pub(crate) struct Written {
    pub(crate) line: Vec<u8>,
    pub(crate) head: Head,
    /// The file was put aside before it, with this as its last record.
    pub(crate) rotated: Option<Head>,
    /// What somebody did to the file, as a record before it says.
    pub(crate) tampered: Option<String>,
}

/// What is there now, and what is wrong with it.
struct Found {
    end: End,
    /// What somebody did, and the head that the chain had before.
    tampered: Option<(String, Head)>,
}

/// What makes a line: of what was done to the file, or of the record that is to be written; after which head, and with what
/// between.
pub(crate) trait Sealing:
    FnMut(Option<&str>, &Head, Option<Unchained>) -> Result<(Vec<u8>, Head), Error>
{
}

impl<F> Sealing for F where
    F: FnMut(Option<&str>, &Head, Option<Unchained>) -> Result<(Vec<u8>, Head), Error>
{
}

impl AuditFile {
    /// Opens `path` for appending; makes it (0600) and its folder (0700) where they are missing.
    pub(crate) fn open(path: &Path, most: Option<u64>, sync: bool) -> Result<Self, Error> {
        let failed = |source| Error::Open { path: path.to_owned(), source };
        if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(failed)?;
        }
        let file = plain(path)?;
        let lock = plain(&beside(path, ".lock"))?;
        let mut opened =
            Self { path: path.to_owned(), file, lock, known: None, most, sync, stuck: false };
        // What happens to the file from now on is noticed, also before the first record.
        opened.hold()?;
        let seen = opened.first_look();
        opened.lock.unlock().map_err(failed)?;
        seen?;
        Ok(opened)
    }

    fn first_look(&mut self) -> Result<(), Error> {
        let length = self.length()?;
        let end = self.unknown_end(length)?;
        // What is wrong already is recorded with the first record.
        if self.excess(&end)?.is_none() {
            self.know(end)?;
        }
        Ok(())
    }

    /// Appends the line that `seal` makes of the head of the chain and of what stands behind it, with one write(2).
    pub(crate) fn append(&mut self, mut seal: impl Sealing) -> Result<Written, Error> {
        self.hold()?;
        let written = self.append_locked(&mut seal);
        let unlocked = self.lock.unlock().map_err(|source| self.failed(source));
        written.and_then(|written| unlocked.map(|()| written))
    }

    fn append_locked(&mut self, seal: &mut impl Sealing) -> Result<Written, Error> {
        let Found { mut end, tampered } = self.find()?;
        let mut rotated = None;
        // What a later record must vouch for, or cannot, stays in one file with that record.
        let whole = tampered.is_none() && end.chained == end.length && end.length > 0;
        if whole && self.most.is_some_and(|most| end.length >= most) {
            rotated = Some(end.head.clone());
            self.rotate(&end.head)?;
            end = End::of_new_file(end.head);
        }
        let mut bytes = Vec::new();
        if end.open {
            bytes.push(b'\n');
        }
        let mut line = Vec::new();
        let (mut head, mut between) = (end.head.clone(), None);
        if let Some((what, before)) = &tampered {
            // It follows what this process knows, not what was made of it, and vouches for nothing: so it shows where the chain is
            // broken, for good.
            let seq = end.head.seq.max(before.seq);
            let (first, next) = seal(Some(what), &Head { seq, hash: before.hash.clone() }, None)?;
            line.extend_from_slice(&first);
            head = next;
        } else {
            between = self.between(&end)?;
        }
        let (last, head) = seal(None, &head, between)?;
        line.extend_from_slice(&last);
        bytes.extend_from_slice(&line);
        let begins = end.length + (bytes.len() - last.len()) as u64;
        let safe = write_whole(&mut self.file, &bytes)
            .and_then(|()| if self.sync { self.file.sync_data() } else { Ok(()) });
        if let Err(source) = safe {
            // Ours, and nobody else has written since; where it cannot be taken back, the next record vouches for it.
            let _ = self.file.set_len(end.length);
            let length = self.length()?;
            // What somebody did is still to be recorded.
            if tampered.is_none() {
                let open = end.open || length > end.length;
                self.know(End { length, open, ..end })?;
            }
            return Err(self.failed(source));
        }
        let length = end.length + bytes.len() as u64;
        let text = last.strip_suffix(b"\n").unwrap_or(&last).to_vec();
        let last = Last { begins, text };
        self.know(End { length, head: head.clone(), chained: length, open: false, last })?;
        Ok(Written { line, head, rotated, tampered: tampered.map(|(what, _)| what) })
    }

    /// Takes the lock, of the file that has its name now: one that somebody took away locks nobody else.
    fn hold(&mut self) -> Result<(), Error> {
        let path = beside(&self.path, ".lock");
        loop {
            let patience = if self.stuck { NO_PATIENCE } else { PATIENCE };
            let taken = lock_within(&self.lock, patience).map_err(|source| self.failed(source))?;
            self.stuck = !taken;
            if !taken {
                return Err(Error::Held { path: self.path.clone(), by: holder(&path) });
            }
            let ours = self.lock.metadata().map_err(|source| self.failed(source))?;
            let named = fs::symlink_metadata(&path);
            if named.is_ok_and(|named| (named.dev(), named.ino()) == (ours.dev(), ours.ino())) {
                return Ok(());
            }
            self.lock = plain(&path)?;
        }
    }

    fn failed(&self, source: io::Error) -> Error {
        Error::Write { path: self.path.clone(), source }
    }

    fn length(&self) -> Result<u64, Error> {
        Ok(self.file.metadata().map_err(|source| self.failed(source))?.len())
    }

    /// Remembers how the file ends.
    fn know(&mut self, end: End) -> Result<(), Error> {
        let data = self.file.metadata().map_err(|source| self.failed(source))?;
        self.known = Some(Known { end, changed: (data.ctime(), data.ctime_nsec()) });
        Ok(())
    }

    /// How the file ends now, compared with what is known of it.
    fn find(&mut self) -> Result<Found, Error> {
        let ours = self.file.metadata().map_err(|source| self.failed(source))?;
        let same = fs::symlink_metadata(&self.path)
            .is_ok_and(|named| (named.dev(), named.ino()) == (ours.dev(), ours.ino()));
        let seen = match (self.known.clone(), same) {
            (None, _) => {
                if !same {
                    self.file = plain(&self.path)?;
                }
                let length = self.length()?;
                let end = self.unknown_end(length)?;
                let tampered = self.excess(&end)?.map(|what| (what, end.head.clone()));
                return Ok(Found { end, tampered });
            }
            (Some(known), true) => {
                self.compare(&known, &ours).map_err(|source| self.failed(source))?
            }
            (Some(known), false) => {
                // Another process put ours aside, or somebody took it away.
                let seen = self.after_rotation(&known).map_err(|source| self.failed(source))?;
                let mut fresh = plain(&self.path)?;
                let seen = match seen {
                    Ok(head) => {
                        let length = fresh.metadata().map_err(|source| self.failed(source))?.len();
                        chain_on(&mut fresh, (0, length), Some(&head))
                            .map_err(|source| self.failed(source))?
                    }
                    Err(what) => Err(what),
                };
                self.file = fresh;
                match seen {
                    // Nothing is lost of a file that held nothing.
                    Err(_) if known.end.head.seq == 0 => {
                        let length = self.length()?;
                        Ok(self.unknown_end(length)?)
                    }
                    seen => seen,
                }
            }
        };
        let before = self.known.as_ref().map_or_else(Head::start, |known| known.end.head.clone());
        match seen {
            Ok(end) => Ok(Found { end, tampered: None }),
            Err(what) => {
                let length = self.length()?;
                let end = self.unknown_end(length)?;
                Ok(Found { end, tampered: Some((what, before)) })
            }
        }
    }

    /// The same file as before: is what was there still there, and does what came since follow it? Else what is wrong.
    fn compare(&mut self, known: &Known, now: &fs::Metadata) -> io::Result<Result<End, String>> {
        let (end, length) = (&known.end, now.len());
        if length < end.length {
            let (seq, before) = (end.head.seq, end.length);
            return Ok(Err(format!(
                "the file had {before} bytes and record {seq} as its last, and now has {length} bytes: records were cut off"
            )));
        }
        if end.head.seq > 0 && !self.still_holds(&end.last)? {
            let seq = end.head.seq;
            return Ok(Err(format!(
                "record {seq}, the last that was known, was rewritten or moved"
            )));
        }
        if length > end.length {
            // A newline that was missing comes first.
            let from = end.chained + u64::from(end.open && end.chained == end.length);
            let head = (end.head.seq > 0).then_some(&end.head);
            let seen = chain_on(&mut self.file, (from.min(length), length), head)?;
            return Ok(seen.map(|new| if new.last.text.is_empty() { new.after(end) } else { new }));
        }
        if known.changed == (now.ctime(), now.ctime_nsec()) {
            return Ok(Ok(end.clone()));
        }
        // Touched, and as long as before: only looking at all of it tells whether it is as before.
        let whole = chain_on(&mut self.file, (0, length), None)?;
        Ok(match whole {
            Ok(seen) if seen.head == end.head => Ok(end.clone()),
            Ok(_) => Err("records were rewritten".to_owned()),
            Err(what) => Err(what),
        })
    }

    fn still_holds(&mut self, last: &Last) -> io::Result<bool> {
        let mut bytes = vec![0; last.text.len()];
        self.file.seek(SeekFrom::Start(last.begins))?;
        match self.file.read_exact(&mut bytes) {
            Ok(()) => Ok(bytes == last.text),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// The head that the files end with that were put aside since, ours the first of them; else what is wrong.
    fn after_rotation(&mut self, known: &Known) -> io::Result<Result<Head, String>> {
        let ours = self.file.metadata()?;
        let files = aside(&self.path)?;
        let is_ours = |path: &PathBuf| {
            fs::symlink_metadata(path)
                .is_ok_and(|named| (named.dev(), named.ino()) == (ours.dev(), ours.ino()))
        };
        let Some(place) = files.iter().position(is_ours) else {
            return Ok(Err("the file was taken away or replaced".to_owned()));
        };
        // A rename changes the file's times, and is all that may have.
        let mut head = match self.compare(
            &Known { changed: (ours.ctime(), ours.ctime_nsec()), ..known.clone() },
            &ours,
        )? {
            Ok(end) => end.head,
            Err(what) => return Ok(Err(what)),
        };
        for path in files.iter().skip(place + 1) {
            let mut file = File::open(path)?;
            let length = file.metadata()?.len();
            match chain_on(&mut file, (0, length), Some(&head))? {
                Ok(end) => head = end.head,
                Err(what) => return Ok(Err(format!("{}: {what}", path.display()))),
            }
        }
        Ok(Ok(head))
    }

    /// How a file ends that nothing is known of.
    fn unknown_end(&mut self, length: u64) -> Result<End, Error> {
        if length == 0 {
            // A new file goes on where the one that was put aside last ends.
            let head = last_aside(&self.path)?.unwrap_or_else(Head::start);
            return Ok(End::of_new_file(head));
        }
        look(&mut self.file, length).map_err(|source| self.failed(source))
    }

    /// What stands behind the last record and is more than one line that a crash cut short. A file without any record of the chain
    /// is one of a version that had none, unless what it holds were such records.
    fn excess(&mut self, end: &End) -> Result<Option<String>, Error> {
        let bytes = end.length - end.chained;
        if bytes == 0 {
            return Ok(None);
        }
        let changed = changed(&mut self.file, end.chained, end.length);
        if changed.map_err(|source| self.failed(source))? {
            let seq = end.head.seq;
            let what = format!("{bytes} bytes behind record {seq} hold records that were changed");
            return Ok(Some(what));
        }
        if end.chained == 0 {
            return Ok(None);
        }
        let half = end.open && bytes < MOST_BACK && {
            let mut tail = Vec::new();
            let from = SeekFrom::Start(end.chained);
            let read =
                self.file.seek(from).and_then(|_| (&self.file).take(bytes).read_to_end(&mut tail));
            read.map_err(|source| self.failed(source))?;
            !tail.contains(&b'\n')
        };
        let seq = end.head.seq;
        Ok((!half).then(|| format!("{bytes} bytes behind record {seq} are no records")))
    }

    /// What stands behind the last record, with the newline that is about to be put there.
    fn between(&mut self, end: &End) -> Result<Option<Unchained>, Error> {
        if end.chained == end.length {
            return Ok(None);
        }
        let mut digest = Sha256::new();
        let copied = self
            .file
            .seek(SeekFrom::Start(end.chained))
            .and_then(|_| copy(&mut self.file, end.length - end.chained, &mut digest));
        copied.map_err(|source| self.failed(source))?;
        let mut bytes = end.length - end.chained;
        if end.open {
            digest.update(b"\n");
            bytes += 1;
        }
        Ok(Some(Unchained { bytes, sha256: chain::hex(&digest.finalize()) }))
    }

    /// Puts the file aside under the number of its last record and begins a new one.
    fn rotate(&mut self, head: &Head) -> Result<(), Error> {
        let aside = beside(&self.path, &format!(".{:016}", head.seq));
        if aside.symlink_metadata().is_ok() {
            let source = io::Error::from(io::ErrorKind::AlreadyExists);
            return Err(Error::Write { path: aside, source });
        }
        fs::rename(&self.path, &aside).map_err(|source| self.failed(source))?;
        self.file = plain(&self.path)?;
        Ok(())
    }
}

/// `path` with something after its name.
pub(crate) fn beside(path: &Path, more: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(more);
    PathBuf::from(name)
}

/// The files that were put aside for `path`, the oldest first: their names end with the number of their last record.
pub(crate) fn aside(path: &Path) -> io::Result<Vec<PathBuf>> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let Some(name) = path.file_name().and_then(|name| name.to_str()) else { return Ok(Vec::new()) };
    let mut files = Vec::new();
    for entry in fs::read_dir(folder.unwrap_or(Path::new(".")))? {
        let entry = entry?;
        let number = entry
            .file_name()
            .to_str()
            .and_then(|found| found.strip_prefix(name)?.strip_prefix('.'))
            .filter(|rest| rest.len() == 16 && rest.bytes().all(|byte| byte.is_ascii_digit()))
            .and_then(|rest| rest.parse::<u64>().ok());
        files.extend(number.map(|number| (number, entry.path())));
    }
    files.sort();
    Ok(files.into_iter().map(|(_, path)| path).collect())
}

/// The head of the file that was put aside last.
fn last_aside(path: &Path) -> Result<Option<Head>, Error> {
    let failed = |source| Error::Open { path: path.to_owned(), source };
    let Some(last) = aside(path).map_err(failed)?.pop() else { return Ok(None) };
    let mut file = File::open(&last).map_err(failed)?;
    let length = file.metadata().map_err(failed)?.len();
    Ok(Some(look(&mut file, length).map_err(failed)?.head))
}

fn copy(file: &mut File, length: u64, digest: &mut Sha256) -> io::Result<()> {
    let mut left = length;
    let mut buffer = vec![0_u8; 64 << 10];
    while left > 0 {
        let want = usize::try_from(left).unwrap_or(usize::MAX).min(buffer.len());
        let part = buffer.get_mut(..want).unwrap_or_default();
        file.read_exact(part)?;
        digest.update(part);
        left -= want as u64;
    }
    Ok(())
}

/// Opens a plain file of ours for reading and appending.
pub(crate) fn plain(path: &Path) -> Result<File, Error> {
    let failed = |source| Error::Open { path: path.to_owned(), source };
    // Looked at before opening, because opening a pipe would wait for a reader.
    match fs::symlink_metadata(path) {
        Ok(found) if !found.is_file() => return Err(Error::NotPlain { path: path.to_owned() }),
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(failed(error)),
    }
    let file = OpenOptions::new()
        .append(true)
        .read(true)
        .create(true)
        .mode(0o600)
        .open(path)
        .map_err(failed)?;
    // And again afterwards: what was opened must be what the name itself stands for, not what a link put there in
    // between leads to.
    let opened = file.metadata().map_err(failed)?;
    let named = fs::symlink_metadata(path).map_err(failed)?;
    let same = (opened.dev(), opened.ino()) == (named.dev(), named.ino());
    if !named.is_file() || !same {
        return Err(Error::NotPlain { path: path.to_owned() });
    }
    let mode = opened.mode() & 0o777;
    if mode & OTHERS_WRITE != 0 {
        return Err(Error::TooOpen { path: path.to_owned(), mode });
    }
    Ok(file)
}

/// One write of `bytes`; a part of it is a failure, which the next record vouches for.
fn write_whole(to: &mut impl Write, bytes: &[u8]) -> io::Result<()> {
    loop {
        match to.write(bytes) {
            Ok(written) if written == bytes.len() => return Ok(()),
            Ok(written) => {
                return Err(io::Error::new(
                    io::ErrorKind::WriteZero,
                    format!("only {written} of {} bytes were written", bytes.len()),
                ));
            }
            // Interrupted means that nothing was written.
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}
