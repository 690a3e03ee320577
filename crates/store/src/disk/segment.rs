//! The files of one log: segments named by the offset at which they begin, each with the index of its entries.
//!
//! `OFFSET.log` holds bytes, `OFFSET.idx` one [`Entry`] an append. Bytes only ever go to the end of the newest segment;
//! expiry and the gap are unlinked whole.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::entry::{ENTRY, Entry};

/// The offsets at which the segments in `folder` begin, in order. A folder that is not there has none.
pub(super) fn list(folder: &Path) -> io::Result<Vec<u64>> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut starts = Vec::new();
    for entry in entries {
        let name = entry?.file_name();
        let start = name.to_str().and_then(|name| name.strip_suffix(".idx"));
        starts.extend(start.and_then(|start| start.parse::<u64>().ok()));
    }
    starts.sort_unstable();
    Ok(starts)
}

fn data_path(folder: &Path, start: u64) -> PathBuf {
    folder.join(format!("{start:020}.log"))
}

fn index_path(folder: &Path, start: u64) -> PathBuf {
    folder.join(format!("{start:020}.idx"))
}

/// Removes a segment. One that is not there is removed.
pub(super) fn remove(folder: &Path, start: u64) -> io::Result<()> {
    // The index first: a segment without one does not exist.
    for path in [index_path(folder, start), data_path(folder, start)] {
        match fs::remove_file(path) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// One open segment.
#[derive(Debug)]
pub(super) struct Segment {
    start: u64,
    data: File,
    index: File,
    entries: u64,
}

impl Segment {
    /// Makes the segment that begins at `start`, or goes on with what an owner that is gone left of it.
    pub(super) fn create(folder: &Path, start: u64) -> io::Result<Self> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).mode(0o600);
        let data = options.open(data_path(folder, start))?;
        let index = options.open(index_path(folder, start))?;
        Self { start, data, index, entries: 0 }.counted()
    }

    /// Opens the segment that begins at `start`; `None` when it has been removed.
    pub(super) fn open(folder: &Path, start: u64) -> io::Result<Option<Self>> {
        let opened = File::open(data_path(folder, start))
            .and_then(|data| Ok((data, File::open(index_path(folder, start))?)));
        match opened {
            Ok((data, index)) => Self { start, data, index, entries: 0 }.counted().map(Some),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Counts the whole entries; a power cut may have left others behind them.
    fn counted(mut self) -> io::Result<Self> {
        self.entries = self.index.metadata()?.len() / ENTRY as u64;
        let length = self.data.metadata()?.len();
        while self.entries > 0 {
            let last = self.entry(self.entries - 1)?;
            if last.is_some_and(|entry| entry.span.end() <= self.start + length) {
                break;
            }
            self.entries -= 1;
        }
        Ok(self)
    }

    pub(super) fn start(&self) -> u64 {
        self.start
    }

    pub(super) fn entries(&self) -> u64 {
        self.entries
    }

    /// The entry with this number; `None` when it is not whole.
    pub(super) fn entry(&self, number: u64) -> io::Result<Option<Entry>> {
        let mut bytes = [0; ENTRY];
        match self.index.read_exact_at(&mut bytes, number * ENTRY as u64) {
            Ok(()) => Ok(Entry::decode(&bytes)),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The last entry, if there is one.
    pub(super) fn last(&self) -> io::Result<Option<Entry>> {
        match self.entries.checked_sub(1) {
            Some(number) => self.entry(number),
            None => Ok(None),
        }
    }

    /// The number of the first entry that ends after offset `from`: a binary search, a few reads.
    pub(super) fn find(&self, from: u64) -> io::Result<u64> {
        let (mut low, mut high) = (0, self.entries);
        while low < high {
            let middle = low + (high - low) / 2;
            let after = self.entry(middle)?.is_some_and(|entry| entry.span.end() > from);
            if after {
                high = middle;
            } else {
                low = middle + 1;
            }
        }
        Ok(low)
    }

    /// Writes bytes and then their entry. After an error nothing has changed: the next append writes over what is left.
    pub(super) fn append(&mut self, bytes: &[u8], entry: Entry) -> io::Result<()> {
        self.data.write_all_at(bytes, entry.span.at - self.start)?;
        crate::crash::point("append.bytes-without-entry");
        self.index.write_all_at(&entry.encode(), self.entries * ENTRY as u64)?;
        self.entries += 1;
        Ok(())
    }

    /// Adds `length` bytes from offset `at` to `into`.
    pub(super) fn load(&self, at: u64, length: u64, into: &mut Vec<u8>) -> io::Result<()> {
        let before = into.len();
        into.resize(before + usize::try_from(length).unwrap_or(usize::MAX - before), 0);
        let space = into.get_mut(before..).unwrap_or_default();
        self.data.read_exact_at(space, at - self.start)
    }

    /// Brings everything to the disk.
    pub(super) fn flush(&self) -> io::Result<()> {
        self.data.sync_data()?;
        self.index.sync_data()
    }
}
