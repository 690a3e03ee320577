//! The files of one log: segments named by the offset at which they begin, each with the index of its entries.
//!
//! `OFFSET.log` holds bytes, `OFFSET.idx` one [`Entry`] an append. Bytes only ever go to the end of the newest segment;
//! expiry and the gap are unlinked whole.

use std::fs;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

use super::entry::{ENTRY, Entry};
use super::files::Files;

/// Entries that are read at once: one page of the index.
pub(super) const BLOCK: usize = 128;

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

/// Removes bytes without an index, as a crash leaves them when a segment is made or removed.
pub(super) fn remove_strays(folder: &Path) -> io::Result<()> {
    let starts = list(folder)?;
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    for entry in entries {
        let entry = entry?;
        let name = entry.file_name();
        let start = name.to_str().and_then(|name| name.strip_suffix(".log"));
        if start.and_then(|start| start.parse().ok()).is_some_and(|start| !starts.contains(&start))
        {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

/// One open segment.
#[derive(Debug)]
pub(super) struct Segment {
    start: u64,
    files: Arc<Files>,
    entries: u64,
}

impl Segment {
    /// Looks what is in the segment that begins at `start`.
    pub(super) fn of(start: u64, files: Arc<Files>) -> io::Result<Self> {
        Self { start, files, entries: 0 }.counted()
    }

    /// A segment of which is known how many entries it has.
    pub(super) fn known(start: u64, files: Arc<Files>, entries: u64) -> Self {
        Self { start, files, entries }
    }

    /// Opens the segment that begins at `start`; `None` when it has been removed.
    pub(super) fn open(folder: &Path, start: u64) -> io::Result<Option<Self>> {
        let files = Files::to_read(folder, start)?;
        files.map(|files| Self::of(start, Arc::new(files))).transpose()
    }

    /// Counts the whole entries by the last one; its owner sees to it that those before it are whole too.
    fn counted(mut self) -> io::Result<Self> {
        self.entries = self.files.index.metadata()?.len() / ENTRY as u64;
        let length = self.files.data.metadata()?.len();
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
        match self.files.index.read_exact_at(&mut bytes, number * ENTRY as u64) {
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

    /// Cuts off everything behind the first entry that does not go on where the one before it ended, as a power cut
    /// can leave them, or that is behind the end of the bytes. Readers elsewhere then believe the last entry.
    pub(super) fn repair(&mut self) -> io::Result<()> {
        let length = self.files.data.metadata()?.len();
        let (mut whole, mut end) = (0, self.start);
        let mut block = Vec::new();
        while whole < self.entries {
            let wanted = usize::try_from(self.entries - whole).unwrap_or(BLOCK).min(BLOCK);
            block.resize(wanted * ENTRY, 0);
            self.files.index.read_exact_at(&mut block, whole * ENTRY as u64)?;
            let (entries, _) = block.as_chunks::<ENTRY>();
            let before = whole;
            for entry in entries.iter().map_while(Entry::decode) {
                let span = entry.span;
                if span.at != end || span.length == 0 || span.end() > self.start + length {
                    break;
                }
                end = span.end();
                whole += 1;
            }
            if whole < before + wanted as u64 {
                break;
            }
        }
        self.entries = whole;
        self.files.index.set_len(whole * ENTRY as u64)
    }

    /// Writes bytes and then their entry. After an error nothing has changed: the next append writes over what is left.
    pub(super) fn append(&mut self, bytes: &[u8], entry: Entry) -> io::Result<()> {
        self.files.data.write_all_at(bytes, entry.span.at - self.start)?;
        crate::crash::point("append.bytes-without-entry");
        self.files.index.write_all_at(&entry.encode(), self.entries * ENTRY as u64)?;
        self.entries += 1;
        Ok(())
    }

    /// `count` entries from number `from` on, which are known to be there.
    pub(super) fn block(&self, from: u64, count: u64) -> io::Result<Vec<Entry>> {
        let mut bytes = vec![0; usize::try_from(count).unwrap_or(BLOCK) * ENTRY];
        self.files.index.read_exact_at(&mut bytes, from * ENTRY as u64)?;
        let (entries, _) = bytes.as_chunks::<ENTRY>();
        let entries: Option<Vec<Entry>> = entries.iter().map(Entry::decode).collect();
        entries.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "its index is damaged"))
    }

    /// Adds `length` bytes from offset `at` to `into`.
    pub(super) fn load(&self, at: u64, length: u64, into: &mut Vec<u8>) -> io::Result<()> {
        let before = into.len();
        into.resize(before + usize::try_from(length).unwrap_or(usize::MAX - before), 0);
        let space = into.get_mut(before..).unwrap_or_default();
        self.files.data.read_exact_at(space, at - self.start)
    }

    /// Brings everything to the disk.
    pub(super) fn flush(&self) -> io::Result<()> {
        self.files.data.sync_data()?;
        self.files.index.sync_data()
    }
}
