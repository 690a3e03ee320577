//! The audit file: one chain of records, written by any number of processes, one write(2) a record.
//!
//! A lock file beside it is held for each record, so that the chain has one order. The end of the file is read again only
//! when another process has written since.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, BufRead, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::chain::{self, Head, Unchained};
use crate::error::Error;

/// Permission bits that let others than the owner write.
const OTHERS_WRITE: u32 = 0o022;

/// Bytes looked at from the end of the file at first, to find its last line: a usual record has 700.
const LOOK_BACK: u64 = 16 << 10;

/// Most bytes that are looked at from the end: records are bounded far below.
const MOST_BACK: u64 = 1 << 20;

/// An open audit file.
#[derive(Debug)]
pub(crate) struct AuditFile {
    path: PathBuf,
    file: File,
    lock: File,
    /// What the file ended with when it was last looked at.
    end: Option<End>,
    most: Option<u64>,
    sync: bool,
}

/// How a file ends.
#[derive(Debug, Clone)]
struct End {
    length: u64,
    head: Head,
    /// Where the last record of the chain ends; what comes after is none.
    chained: u64,
    /// The file ends in a line without its newline.
    open: bool,
}

/// What was written.
pub(crate) struct Written {
    pub(crate) line: Vec<u8>,
    pub(crate) head: Head,
    /// The file was put aside before it, with this as its last record.
    pub(crate) rotated: Option<Head>,
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
        Ok(Self { path: path.to_owned(), file, lock, end: None, most, sync })
    }

    /// Appends the line that `record` makes of the head of the chain and of what stands behind it, with one write(2).
    pub(crate) fn append(
        &mut self,
        mut record: impl FnMut(&Head, Option<Unchained>) -> Result<(Vec<u8>, Head), Error>,
    ) -> Result<Written, Error> {
        self.hold()?;
        let written = self.append_locked(&mut record);
        if written.is_err() {
            // Whatever is there now is looked at anew.
            self.end = None;
        }
        let unlocked = self.lock.unlock().map_err(|source| self.failed(source));
        written.and_then(|written| unlocked.map(|()| written))
    }

    fn append_locked(
        &mut self,
        record: &mut impl FnMut(&Head, Option<Unchained>) -> Result<(Vec<u8>, Head), Error>,
    ) -> Result<Written, Error> {
        self.follow_rotation()?;
        let mut end = self.end()?;
        let mut rotated = None;
        // What a later record must vouch for stays in one file with that record.
        let whole = end.chained == end.length && end.length > 0;
        if whole && self.most.is_some_and(|most| end.length >= most) {
            rotated = Some(end.head.clone());
            self.rotate(&end.head)?;
            end = End { length: 0, head: end.head, chained: 0, open: false };
        }
        let mut bytes = Vec::new();
        if end.open {
            bytes.push(b'\n');
        }
        let between = self.between(&end)?;
        let (line, head) = record(&end.head, between)?;
        bytes.extend_from_slice(&line);
        write_whole(&mut self.file, &bytes).map_err(|source| self.failed(source))?;
        if self.sync {
            self.file.sync_data().map_err(|source| self.failed(source))?;
        }
        let length = end.length + bytes.len() as u64;
        self.end = Some(End { length, head: head.clone(), chained: length, open: false });
        Ok(Written { line, head, rotated })
    }

    /// Takes the lock, of the file that has its name now: one that somebody took away locks nobody else.
    fn hold(&mut self) -> Result<(), Error> {
        let path = beside(&self.path, ".lock");
        loop {
            self.lock.lock().map_err(|source| self.failed(source))?;
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

    /// Opens the file again when another process has put ours aside.
    fn follow_rotation(&mut self) -> Result<(), Error> {
        let ours = self.file.metadata().map_err(|source| self.failed(source))?;
        let same = fs::symlink_metadata(&self.path)
            .is_ok_and(|named| (named.dev(), named.ino()) == (ours.dev(), ours.ino()));
        if !same {
            self.file = plain(&self.path)?;
            self.end = None;
        }
        Ok(())
    }

    /// How the file ends now.
    fn end(&mut self) -> Result<End, Error> {
        let length = self.file.metadata().map_err(|source| self.failed(source))?.len();
        if let Some(end) = self.end.as_ref().filter(|end| end.length == length) {
            return Ok(end.clone());
        }
        let end = if length == 0 {
            // A new file goes on where the one that was put aside last ends.
            let head = last_aside(&self.path)?.unwrap_or_else(Head::start);
            End { length, head, chained: 0, open: false }
        } else {
            look(&mut self.file, length).map_err(|source| self.failed(source))?
        };
        Ok(end)
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
        // A whole record that only lacked its newline is taken up by the newline.
        if bytes == 1 && end.open {
            return Ok(None);
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

/// Looks for the last record of the chain, from the end backwards.
fn look(file: &mut File, length: u64) -> io::Result<End> {
    let mut window = LOOK_BACK.min(length);
    loop {
        let start = length - window;
        file.seek(SeekFrom::Start(start))?;
        let mut bytes = Vec::new();
        file.take(window).read_to_end(&mut bytes)?;
        let open = bytes.last() != Some(&b'\n');
        // Line by line backwards; the first of the window may lack its beginning.
        let mut stop = bytes.len();
        while stop > 0 {
            let text = bytes.get(..stop).unwrap_or_default();
            let line_end = if text.last() == Some(&b'\n') { stop - 1 } else { stop };
            let text = bytes.get(..line_end).unwrap_or_default();
            let begins = text.iter().rposition(|byte| *byte == b'\n').map(|at| at + 1);
            if begins.is_none() && start > 0 {
                break;
            }
            let begin = begins.unwrap_or(0);
            if let Some(record) = chain::opened(bytes.get(begin..line_end).unwrap_or_default()) {
                let chained = start + stop as u64;
                return Ok(End { length, head: record.head(), chained, open });
            }
            stop = begin;
        }
        if start == 0 {
            return Ok(End { length, head: Head::start(), chained: 0, open });
        }
        if window >= MOST_BACK {
            // No record is that long: what stands there is none of the chain.
            return scan(file, length, open);
        }
        window = (window * 4).min(length);
    }
}

/// Looks for the last record from the beginning on, for files whose end is none of the chain.
fn scan(file: &mut File, length: u64, open: bool) -> io::Result<End> {
    file.seek(SeekFrom::Start(0))?;
    let mut reader = io::BufReader::new(file.take(length));
    let mut end = End { length, head: Head::start(), chained: 0, open };
    let (mut at, mut line) = (0, Vec::new());
    loop {
        line.clear();
        let read = reader.by_ref().take(MOST_BACK).read_until(b'\n', &mut line)? as u64;
        if read == 0 {
            return Ok(end);
        }
        at += read;
        let text = line.strip_suffix(b"\n").unwrap_or(&line);
        if let Some(record) = chain::opened(text) {
            end.head = record.head();
            end.chained = at;
        }
    }
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
