//! The files that logs write to, of which only so many are open at a time.

use std::collections::HashMap;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// Most segments that are open for writing, two files each: most of 200 tasks that write all the time.
const OPEN: usize = 176;

/// How many files this process may have open.
fn allowed() -> usize {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
    limit.and_then(|files| usize::try_from(files).ok()).unwrap_or(usize::MAX)
}

/// Files that a server has open whatever it does, connections to some hosts among them.
const ALWAYS_OPEN: usize = 30;

/// Reads of output at a time, each with at most a dozen files: a fifth of what is allowed, and no more than are of use.
pub(super) fn reads() -> usize {
    (allowed() / 64).clamp(1, 16)
}

/// The two files of a segment.
#[derive(Debug)]
pub(super) struct Files {
    pub(super) data: File,
    pub(super) index: File,
}

/// Whether files are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Make {
    IfMissing,
    Never,
}

pub(super) fn data_path(folder: &Path, start: u64) -> PathBuf {
    folder.join(format!("{start:020}.log"))
}

pub(super) fn index_path(folder: &Path, start: u64) -> PathBuf {
    folder.join(format!("{start:020}.idx"))
}

impl Files {
    /// Opens the files of the segment that begins at `start` for writing.
    pub(super) fn to_write(folder: &Path, start: u64, make: Make) -> io::Result<Self> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).mode(0o600);
        if make == Make::IfMissing {
            DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
            options.create(true).truncate(false);
        }
        let data = options.open(data_path(folder, start))?;
        crate::crash::point("segment.without-index");
        let index = options.open(index_path(folder, start))?;
        Ok(Self { data, index })
    }

    /// Opens them for reading; `None` when they have been removed.
    pub(super) fn to_read(folder: &Path, start: u64) -> io::Result<Option<Self>> {
        let opened = File::open(data_path(folder, start))
            .and_then(|data| Ok(Self { data, index: File::open(index_path(folder, start))? }));
        match opened {
            Ok(files) => Ok(Some(files)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Removes them. What is not there is removed.
    pub(super) fn remove(folder: &Path, start: u64) -> io::Result<()> {
        // The index first: a segment without one does not exist.
        unlink(&index_path(folder, start))?;
        crate::crash::point("segment.half-removed");
        unlink(&data_path(folder, start))
    }

    /// As [`Files::remove`]; long files, which take a file system many milliseconds, go on another thread. Should the
    /// process die before, the log's next owner removes them, or its expiry.
    pub(super) fn forget(folder: &Path, start: u64) -> io::Result<()> {
        let data = data_path(folder, start);
        let long = fs::metadata(&data).is_ok_and(|data| data.len() > AT_ONCE);
        match tokio::runtime::Handle::try_current() {
            Ok(runtime) if long => {
                unlink(&index_path(folder, start))?;
                runtime.spawn_blocking(move || unlink(&data));
                Ok(())
            }
            Ok(_) | Err(_) => Self::remove(folder, start),
        }
    }
}

/// Longest file that is removed while the caller waits: a fraction of a millisecond.
const AT_ONCE: u64 = 1 << 20;

fn unlink(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        done => done,
    }
}

/// The segments that are open for writing, by the number of their log.
#[derive(Debug)]
pub(super) struct OpenFiles {
    most: usize,
    next: AtomicU64,
    open: Mutex<HashMap<u64, Arc<Files>>>,
}

impl Default for OpenFiles {
    /// A third of the files that are allowed, at most.
    fn default() -> Self {
        let most = (allowed().saturating_sub(ALWAYS_OPEN) / 6).clamp(1, OPEN);
        Self { most, next: AtomicU64::default(), open: Mutex::default() }
    }
}

impl OpenFiles {
    /// A number for a log.
    pub(super) fn number(&self) -> u64 {
        self.next.fetch_add(1, Ordering::Relaxed)
    }

    /// The files of a log's newest segment, opened when they are not. Others are closed when there are too many: any
    /// ones, for with the least used ones many tasks that write in turn would each find theirs closed.
    pub(super) fn get(
        &self,
        log: u64,
        open: impl FnOnce() -> io::Result<Files>,
    ) -> io::Result<Arc<Files>> {
        if let Some(files) = self.table().get(&log) {
            return Ok(Arc::clone(files));
        }
        let files = Arc::new(open()?);
        let mut table = self.table();
        let spare = table.keys().next().copied().filter(|_| table.len() >= self.most);
        let closed = spare.and_then(|spare| table.remove(&spare));
        table.insert(log, Arc::clone(&files));
        drop(table);
        drop(closed);
        Ok(files)
    }

    /// Closes the files of a log.
    pub(super) fn close(&self, log: u64) {
        let closed = self.table().remove(&log);
        drop(closed);
    }

    fn table(&self) -> std::sync::MutexGuard<'_, HashMap<u64, Arc<Files>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_files_are_open_than_that() {
        let folder = tempfile::tempdir().unwrap();
        let open = OpenFiles { most: 8, ..OpenFiles::default() };
        for _ in 0..60 {
            let log = open.number();
            let make = || Files::to_write(folder.path(), log, Make::IfMissing);
            let first = open.get(log, make).unwrap();
            let again = open.get(log, || Err(io::Error::other("opened twice"))).unwrap();
            assert!(Arc::ptr_eq(&first, &again));
        }
        assert_eq!(open.table().len(), 8);
    }
}
