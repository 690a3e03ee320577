//! The shell that a server serves, and the files of one shell.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use sshepherd_model::ShellId;

use crate::disk::owners_file;
use crate::error::Error;

use super::record::ShellRecord;
use super::recorder::Recorder;

/// Longest record that is read; a whole one has a few hundred bytes, and its longest part is a command.
const LONGEST: u64 = 1 << 20;

/// How long a lock is tried for that is held by those who only look whether it is held. They take microseconds, but on a busy machine
/// one may be put to sleep while it looks.
const LOOKERS: Duration = Duration::from_secs(10);
const LOOK_AGAIN: Duration = Duration::from_millis(1);

/// The folder of one shell.
#[derive(Debug, Clone)]
pub(super) struct Place(pub(super) PathBuf);

impl Place {
    pub(super) fn cast(&self) -> PathBuf {
        self.0.join("cast")
    }

    pub(super) fn record(&self) -> PathBuf {
        self.0.join("record.json")
    }

    fn lock(&self) -> PathBuf {
        self.0.join("lock")
    }

    /// What is written down; an error of the kind `NotFound` when there is no such shell.
    pub(super) fn read(&self) -> io::Result<ShellRecord> {
        let mut text = Vec::new();
        File::open(self.record())?.take(LONGEST).read_to_end(&mut text)?;
        let record: ShellRecord = serde_json::from_slice(&text)?;
        if self.0.file_name().is_some_and(|name| name == record.id.as_str()) {
            Ok(record)
        } else {
            Err(io::Error::new(io::ErrorKind::InvalidData, "it speaks of another shell"))
        }
    }

    /// Replaces what is written down: after a crash or a power cut it is the old or the new.
    pub(super) fn write(&self, record: &ShellRecord) -> io::Result<()> {
        let draft = self.0.join("record.json.new");
        let mut options = OpenOptions::new();
        let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(&draft)?;
        file.write_all(&serde_json::to_vec_pretty(record)?)?;
        file.sync_all()?;
        crate::crash::point("shell.record-draft");
        fs::rename(&draft, self.record())?;
        File::open(&self.0)?.sync_all()
    }

    /// Whether a living process holds the lock.
    pub(super) fn is_held(&self) -> bool {
        // Shared, so that two who look at once do not take each other for the holder.
        File::open(self.lock())
            .is_ok_and(|file| matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock)))
    }

    /// Takes the lock of a folder that nobody else knows yet.
    pub(super) fn lock_first(&self) -> io::Result<File> {
        let lock = owners_file(&self.lock())?;
        lock.lock()?;
        Ok(lock)
    }

    /// Takes the lock if nobody holds it; `None` when somebody does, or the shell was removed meanwhile.
    pub(super) fn try_lock(&self) -> io::Result<Option<File>> {
        let file = match owners_file(&self.lock()) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            opened => opened?,
        };
        let until = Instant::now() + LOOKERS;
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(self.still_ours(&file).then_some(file)),
                Err(TryLockError::Error(error)) => return Err(error),
                Err(TryLockError::WouldBlock) => {}
            }
            // Whoever holds it shared only looks, and is gone at once.
            let only_looked_at = match file.try_lock_shared() {
                Ok(()) => file.unlock().map(|()| true)?,
                Err(_) => false,
            };
            if !only_looked_at || Instant::now() >= until {
                return Ok(None);
            }
            std::thread::sleep(LOOK_AGAIN);
        }
    }

    /// Whether the file that was locked is the one that lies here, and not one that was removed before.
    fn still_ours(&self, file: &File) -> bool {
        let both = (file.metadata(), fs::metadata(self.lock()));
        matches!(&both, (Ok(a), Ok(b)) if (a.dev(), a.ino()) == (b.dev(), b.ino()))
    }
}

/// The shell that this process serves. Dropping it frees the lock.
#[derive(Debug)]
pub struct HeldShell {
    id: ShellId,
    place: Place,
    _lock: File,
}

impl HeldShell {
    pub(super) fn new(id: ShellId, place: Place, lock: File) -> Self {
        Self { id, place, _lock: lock }
    }

    /// Its id.
    #[must_use]
    pub fn id(&self) -> &ShellId {
        &self.id
    }

    /// Replaces what is written down of it.
    ///
    /// Errors: [`Error::Folder`]; what was written down before stays.
    pub fn update(&mut self, record: &ShellRecord) -> Result<(), Error> {
        if record.id != self.id {
            let source = io::Error::new(io::ErrorKind::InvalidInput, "another shell's record");
            return Err(unwritten(self.place.record())(source));
        }
        self.place.write(record).map_err(unwritten(self.place.record()))
    }

    /// Opens its recording, to go on behind what is there, until it has `max_bytes`.
    ///
    /// Errors: [`Error::Folder`].
    pub fn recorder(&self, max_bytes: u64) -> Result<Recorder, Error> {
        let path = self.place.cast();
        Recorder::open(&path, max_bytes).map_err(|source| Error::Folder {
            what: "cannot open the recording",
            path,
            source,
        })
    }
}

/// What could not be written down, as an error of this crate.
pub(super) fn unwritten(path: impl AsRef<Path>) -> impl FnOnce(io::Error) -> Error {
    let path = path.as_ref().to_path_buf();
    move |source| Error::Folder { what: "cannot write down an interactive shell in", path, source }
}
