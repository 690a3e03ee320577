//! Looking at a chain afterwards: whole, or where it is not.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use crate::chain::{self, Head, Record};
use crate::checkpoint::{self, Checkpoint};
use crate::end::Between;
use crate::file;

/// Longest line that is read, in bytes; records are bounded far below.
const MAX_LINE: u64 = 1 << 20;

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// The files, in the order of the chain.
    pub files: Vec<PathBuf>,
    /// Records of the chain that are right.
    pub records: u64,
    /// Number of the first of them; not 1 when older files were taken away.
    pub first: u64,
    /// Number of the last.
    pub last: u64,
    /// Its hash.
    pub hash: String,
    /// Bytes that are no record of the chain and that a later record vouches for.
    pub vouched: u64,
    /// Checkpoints that agree.
    pub checkpoints: u64,
    /// Number of the last record that a checkpoint tells of; 0 for none. Of what comes after it nobody can tell whether more was there.
    pub anchored: u64,
    /// How it stands.
    pub state: State,
}

/// How a chain stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// Every record follows the one before it. Whether the last one that was written is there is for [`Report::anchored`] to say.
    Whole,
    /// So far; the last line is not finished, as after a crash in the middle of a write. The next record will vouch for it.
    Unfinished {
        /// Bytes of that line.
        bytes: u64,
    },
    /// There is no chain yet: the file was written by a version that had none, or holds something else.
    Before {
        /// Its bytes.
        bytes: u64,
    },
    /// Something was changed, taken away or put in.
    Bad {
        /// The file.
        file: PathBuf,
        /// The first line that is not right, from 1.
        line: u64,
        /// What is wrong.
        what: String,
    },
}

/// The files of the chain that `path` ends: those that were put aside before, then itself.
///
/// Errors: the folder cannot be read, or there is no such file.
pub fn series(path: &Path) -> io::Result<Vec<PathBuf>> {
    // One that was put aside belongs to the series of its own name.
    let own = path.to_str().and_then(|name| name.rsplit_once('.'));
    if let Some((name, _)) = own {
        let mut files = file::aside(Path::new(name))?;
        if let Some(place) = files.iter().position(|file| file.file_name() == path.file_name()) {
            files.truncate(place + 1);
            return Ok(files);
        }
    }
    let mut files = file::aside(path)?;
    if path.symlink_metadata().is_ok() || files.is_empty() {
        files.push(path.to_owned());
    }
    Ok(files)
}

/// Checks the records of `files`, which are one chain in this order and begin with record `from`, and that they agree with
/// `checkpoints`.
///
/// Errors: a file cannot be read, or the file of checkpoints holds something else.
pub fn verify(files: &[PathBuf], from: u64, checkpoints: Option<&Path>) -> io::Result<Report> {
    let wanted = checkpoints.map(checkpoint::read).transpose()?.unwrap_or_default();
    let mut check = Check::new(Some(from), wanted);
    let mut state = State::Whole;
    for (place, path) in files.iter().enumerate() {
        let last = place + 1 == files.len();
        state = check.file(path, last)?;
        if state != State::Whole {
            break;
        }
    }
    if !matches!(state, State::Bad { .. })
        && let Some(bad) = check.beyond(files)
    {
        state = bad;
    }
    let head = check.head.unwrap_or_else(Head::start);
    Ok(Report {
        files: files.to_vec(),
        records: check.records,
        first: check.first,
        last: head.seq,
        hash: head.hash,
        vouched: check.vouched,
        checkpoints: check.agreed,
        anchored: check.anchored,
        state,
    })
}

struct Check {
    /// Number of the record that must come first, if that is known.
    from: Option<u64>,
    head: Option<Head>,
    records: u64,
    first: u64,
    vouched: u64,
    agreed: u64,
    anchored: u64,
    wanted: BTreeMap<u64, Checkpoint>,
    between: Between,
    /// Line of the first of them.
    between_at: u64,
    /// A record that is right in itself was seen, in its place or not.
    sealed: bool,
}

impl Check {
    fn new(from: Option<u64>, wanted: BTreeMap<u64, Checkpoint>) -> Self {
        Self {
            from,
            head: None,
            records: 0,
            first: 0,
            vouched: 0,
            agreed: 0,
            anchored: 0,
            wanted,
            between: Between::default(),
            between_at: 0,
            sealed: false,
        }
    }

    fn file(&mut self, path: &Path, last: bool) -> io::Result<State> {
        let bad = |line: u64, what: &str| State::Bad {
            file: path.to_owned(),
            line,
            what: what.to_owned(),
        };
        let mut reader = BufReader::new(File::open(path)?);
        let (mut number, mut line) = (0, Vec::new());
        let mut open = false;
        loop {
            line.clear();
            let read = reader.by_ref().take(MAX_LINE).read_until(b'\n', &mut line)?;
            if read == 0 {
                break;
            }
            // The rest of a line that is longer than any record is none either.
            let rest = open;
            number += u64::from(!rest);
            open = line.last() != Some(&b'\n');
            let text =
                if open { line.as_slice() } else { line.get(..read - 1).unwrap_or_default() };
            let sealed = chain::opened(text).filter(|_| !rest);
            self.sealed |= sealed.is_some();
            match sealed {
                // A record without its newline is not finished either.
                Some(record) if !open && self.fits(&record) => {
                    if let Some(what) = self.take(&record) {
                        return Ok(bad(number, &what));
                    }
                }
                Some(_) | None => {
                    if self.between.bytes == 0 {
                        self.between_at = number;
                    }
                    self.between.take(&line, !rest);
                }
            }
        }
        if self.between.bytes == 0 {
            return Ok(State::Whole);
        }
        let (bytes, first) = (self.between.bytes, self.between_at);
        if self.between.changed() {
            return Ok(bad(
                first,
                &format!("{bytes} bytes from here on hold records that were changed"),
            ));
        }
        if last && open && first == number {
            return Ok(State::Unfinished { bytes });
        }
        if last && !self.sealed {
            return Ok(State::Before { bytes });
        }
        let what = match self.head {
            None => "no record of the chain follows it",
            Some(_) => "it is not the record that follows, and no later record vouches for it",
        };
        Ok(bad(first, what))
    }

    /// Whether a record that is right in itself follows what was read before it.
    fn fits(&self, record: &Record) -> bool {
        let between = self.between.vouched();
        // One line may have been cut short; more were put there, but by a version that had no chain.
        let before = self.head.is_none() && record.seq == 1;
        if self.between.changed() || self.between.lines > 1 && !before {
            return false;
        }
        match &self.head {
            Some(head) => record.follows(head, between.as_ref()),
            // The first record that is there is taken at its word; its number says how many came before.
            None => record.unchained == between,
        }
    }

    /// Takes a record; an answer says how it disagrees with a checkpoint.
    fn take(&mut self, record: &Record) -> Option<String> {
        self.vouched += self.between.bytes;
        self.between = Between::default();
        if self.head.is_none() {
            self.first = record.seq;
            if let Some(from) = self.from.filter(|from| *from != record.seq) {
                return Some(format!(
                    "the chain begins with record {}, not {from}: what came before was taken away",
                    record.seq
                ));
            }
        }
        self.records += 1;
        self.head = Some(record.head());
        match self.wanted.remove(&record.seq) {
            Some(point) if point.hash != record.own => {
                Some(format!("record {} is not the one of the checkpoint", record.seq))
            }
            Some(_) => {
                self.agreed += 1;
                self.anchored = record.seq;
                None
            }
            None => None,
        }
    }

    /// A checkpoint of a record that should be there and is not.
    fn beyond(&self, files: &[PathBuf]) -> Option<State> {
        let last = self.head.as_ref().map_or(0, |head| head.seq);
        let (seq, _) = self.wanted.range(last + 1..).next_back()?;
        Some(State::Bad {
            file: files.last().cloned().unwrap_or_default(),
            line: 0,
            what: format!(
                "a checkpoint tells of record {seq}, but the chain ends at {last}: its end was cut off"
            ),
        })
    }
}

/// The end of a chain that somebody follows as it grows.
#[derive(Debug, Default)]
pub struct Tail(Option<Head>);

impl Tail {
    /// The chain is whole up to this record.
    pub fn is_at(&mut self, record: &Record) {
        self.0 = Some(record.head());
    }

    /// Whether a line with its newline goes on with it.
    pub fn takes(&mut self, line: &[u8]) -> bool {
        let text = line.strip_suffix(b"\n").unwrap_or(line);
        let Some(record) = chain::opened(text) else { return false };
        let follows = self
            .0
            .as_ref()
            .is_none_or(|head| record.seq == head.seq + 1 && record.prev == head.hash);
        if follows {
            self.is_at(&record);
        }
        follows
    }
}

/// Something in the files, as it is read.
#[derive(Debug, Clone, PartialEq)]
pub enum Found {
    /// A record of the chain: everything before it is there and unchanged.
    Chained(Box<Record>),
    /// A record outside the chain: changed, put in, or behind a place where something was.
    Outside(Box<Record>),
    /// Bytes of a line that is no record.
    Junk(u64),
}

/// Calls `each` with everything in the files, in their order. The first record is taken at its word, for older files may have been
/// put elsewhere; whether it should be the first is for [`verify`] to say.
pub fn read(files: &[PathBuf], mut each: impl FnMut(Found)) -> io::Result<()> {
    let mut check = Check::new(None, BTreeMap::new());
    let mut broken = false;
    for path in files {
        let mut reader = BufReader::new(File::open(path)?);
        let (mut line, mut open) = (Vec::new(), false);
        loop {
            line.clear();
            let bytes = reader.by_ref().take(MAX_LINE).read_until(b'\n', &mut line)? as u64;
            if bytes == 0 {
                break;
            }
            let rest = open;
            open = line.last() != Some(&b'\n');
            let text = line.strip_suffix(b"\n").unwrap_or(&line);
            let sealed = chain::opened(text).filter(|_| !rest);
            let first = check.head.is_none();
            match sealed {
                Some(record) if !broken && check.fits(&record) => {
                    check.take(&record);
                    each(Found::Chained(Box::new(record)));
                }
                _ => {
                    broken |= !first
                        && (check.between.lines > 0 || !open && chain::opened(text).is_some());
                    check.between.take(&line, !rest);
                    each(match serde_json::from_slice::<Record>(text) {
                        Ok(record) => Found::Outside(Box::new(record)),
                        Err(_) => Found::Junk(bytes),
                    });
                }
            }
        }
    }
    Ok(())
}
