//! `audit show --follow`: the records that are written while somebody looks, over the files that are put aside meanwhile.

use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::time::Duration;

use sshepherd_engine::audit::{Found, Record, series, verify, verify::Tail};

/// How often the file is looked at. No event tells of files on every system and file system that it may be on; a look at a file
/// that has not grown costs nothing that can be measured.
pub(crate) const LOOK_EVERY: Duration = Duration::from_millis(500);

/// Reads what is new of an audit record.
pub(crate) struct Follower {
    path: PathBuf,
    open: Option<BufReader<File>>,
    /// The beginning of a line whose end is not written yet.
    begun: Vec<u8>,
    /// Number of the last record that was given.
    seen: u64,
    tail: Tail,
}

impl Follower {
    /// Goes on after record `seen` of the record at `path`.
    pub(crate) fn new(path: PathBuf, seen: u64) -> Self {
        Self { path, open: None, begun: Vec::new(), seen, tail: Tail::default() }
    }

    /// The records since the last look, and whether each is in the chain.
    pub(crate) fn look(&mut self) -> io::Result<Vec<(Record, bool)>> {
        let mut new = self.read_on()?;
        if self.put_aside()? {
            // Others may have been put aside since: all of them are read once, and what was given is left out.
            let (mut seen, files) = (self.seen, series(&self.path)?);
            let mut tail = Tail::default();
            verify::read(&files, |found| {
                let (record, chained) = match found {
                    Found::Chained(record) => (record, true),
                    Found::Outside(record) => (record, false),
                    Found::Junk(_) => return,
                };
                if chained {
                    tail.is_at(&record);
                }
                if record.seq > seen {
                    seen = record.seq;
                    new.push((*record, chained));
                }
            })?;
            (self.seen, self.tail) = (seen, tail);
            self.begun.clear();
            self.open = open(&self.path)?;
            new.extend(self.read_on()?);
        }
        Ok(new)
    }

    /// Whether the file that is open is no longer the one at the path, or none was open.
    fn put_aside(&self) -> io::Result<bool> {
        let now = match self.path.metadata() {
            Ok(now) => now,
            // Between one file and the next.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(error),
        };
        let Some(open) = &self.open else { return Ok(true) };
        let then = open.get_ref().metadata()?;
        Ok((now.dev(), now.ino()) != (then.dev(), then.ino()))
    }

    /// The whole lines behind what was read.
    fn read_on(&mut self) -> io::Result<Vec<(Record, bool)>> {
        let mut new = Vec::new();
        let Some(reader) = &mut self.open else { return Ok(new) };
        while reader.read_until(b'\n', &mut self.begun)? > 0 && self.begun.ends_with(b"\n") {
            if let Ok(record) = serde_json::from_slice::<Record>(&self.begun)
                && record.seq > self.seen
            {
                self.seen = record.seq;
                let chained = self.tail.takes(&self.begun);
                new.push((record, chained));
            }
            self.begun.clear();
        }
        Ok(new)
    }
}

fn open(path: &std::path::Path) -> io::Result<Option<BufReader<File>>> {
    match File::open(path) {
        Ok(file) => Ok(Some(BufReader::new(file))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use sshepherd_engine::audit::{Entry, Event, Keeping, Sink, Source, Timestamp};

    use super::*;

    fn sink(path: &std::path::Path, max_bytes: Option<u64>) -> Sink {
        let keeping = Keeping { path: Some(path.to_owned()), max_bytes, ..Keeping::default() };
        Sink::open_beside(keeping, Box::new(io::sink())).unwrap()
    }

    fn entry() -> Entry {
        let source = Source { face: "cli".to_owned(), client: None };
        Entry::new(Timestamp::from_millis(951_782_400_000), Event::Reload, source)
    }

    fn numbers(follower: &mut Follower) -> Vec<u64> {
        let new = follower.look().unwrap();
        assert!(new.iter().all(|(_, chained)| *chained));
        new.iter().map(|(record, _)| record.seq).collect()
    }

    #[test]
    fn every_record_comes_once_and_in_order_whatever_is_put_aside() {
        for max_bytes in [None, Some(1), Some(700)] {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("audit.jsonl");
            let sink = sink(&path, max_bytes);
            for _ in 0..3 {
                sink.record(&entry()).unwrap();
            }
            let mut follower = Follower::new(path, 1);
            assert_eq!(numbers(&mut follower), [2, 3], "{max_bytes:?}");
            assert_eq!(numbers(&mut follower), [0; 0], "{max_bytes:?}");
            for first in [4, 9] {
                for _ in 0..5 {
                    sink.record(&entry()).unwrap();
                }
                let wanted: Vec<u64> = (first..first + 5).collect();
                assert_eq!(numbers(&mut follower), wanted, "{max_bytes:?}");
            }
        }
    }

    #[test]
    fn a_line_counts_when_it_is_whole() {
        let folder = tempfile::tempdir().unwrap();
        let (path, whole) = (folder.path().join("audit.jsonl"), folder.path().join("whole"));
        sink(&whole, None).record(&entry()).unwrap();
        let line = std::fs::read(whole).unwrap();
        let (first, second) = line.split_at(line.len() / 2);
        let mut follower = Follower::new(path.clone(), 0);
        assert_eq!(numbers(&mut follower), [0; 0], "the file is not there yet");
        let mut file = File::create(path).unwrap();
        file.write_all(first).unwrap();
        assert_eq!(numbers(&mut follower), [0; 0]);
        file.write_all(second).unwrap();
        assert_eq!(numbers(&mut follower), [1]);
    }
}
