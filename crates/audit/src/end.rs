//! How a file of records ends, and whether what was added to it goes on with the chain.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};

use sha2::{Digest, Sha256};

use crate::chain::{self, Claim, Head, Unchained};

/// Bytes looked at from the end of the file at first, to find its last line: a usual record has 700.
const LOOK_BACK: u64 = 16 << 10;

/// Most bytes that are looked at from the end: records are bounded far below.
pub(crate) const MOST_BACK: u64 = 1 << 20;

/// How a file ends.
#[derive(Debug, Clone)]
pub(crate) struct End {
    pub(crate) length: u64,
    pub(crate) head: Head,
    /// Where the last record of the chain ends; what comes after is none.
    pub(crate) chained: u64,
    /// The file ends in a line without its newline.
    pub(crate) open: bool,
    pub(crate) last: Last,
}

/// The last record of the chain in a file, without its newline; empty where there is none.
#[derive(Debug, Clone, Default)]
pub(crate) struct Last {
    pub(crate) begins: u64,
    pub(crate) text: Vec<u8>,
}

impl End {
    /// The end of a file without anything in it that goes on after `head`.
    pub(crate) fn of_new_file(head: Head) -> Self {
        Self { length: 0, head, chained: 0, open: false, last: Last::default() }
    }

    /// The same where no record came behind `before`.
    pub(crate) fn after(self, before: &Self) -> Self {
        Self {
            head: before.head.clone(),
            chained: before.chained,
            last: before.last.clone(),
            ..self
        }
    }
}

/// Looks for the last record of the chain, from the end backwards.
pub(crate) fn look(file: &mut File, length: u64) -> io::Result<End> {
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
            let text = bytes.get(begin..line_end).unwrap_or_default();
            if let Some(record) = chain::opened(text) {
                let chained = start + stop as u64;
                let last = Last { begins: start + begin as u64, text: text.to_vec() };
                return Ok(End { length, head: record.head(), chained, open, last });
            }
            stop = begin;
        }
        if start == 0 {
            return Ok(End { length, open, ..End::of_new_file(Head::start()) });
        }
        if window >= MOST_BACK {
            // No record is that long: what stands there is none of the chain.
            return scan(file, length, open);
        }
        window = (window * 4).min(length);
    }
}

/// Whether records of the chain that were changed are among the bytes of a file from a place on.
pub(crate) fn changed(file: &mut File, from: u64, length: u64) -> io::Result<bool> {
    file.seek(SeekFrom::Start(from))?;
    let mut reader = BufReader::new(file.take(length.saturating_sub(from)));
    let (mut line, mut begins, mut between) = (Vec::new(), true, Between::default());
    while reader.by_ref().take(MOST_BACK).read_until(b'\n', &mut line)? > 0 && !between.changed() {
        between.take(&line, begins);
        begins = line.last() == Some(&b'\n');
        line.clear();
    }
    Ok(between.changed())
}

/// Looks for the last record from the beginning on, for files whose end is none of the chain.
fn scan(file: &mut File, length: u64, open: bool) -> io::Result<End> {
    let mut end = End { length, open, ..End::of_new_file(Head::start()) };
    file.seek(SeekFrom::Start(0))?;
    let mut reader = BufReader::new(file.take(length));
    let (mut at, mut line) = (0, Vec::new());
    loop {
        line.clear();
        let read = reader.by_ref().take(MOST_BACK).read_until(b'\n', &mut line)? as u64;
        if read == 0 {
            return Ok(end);
        }
        let text = line.strip_suffix(b"\n").unwrap_or(&line);
        if let Some(record) = chain::opened(text) {
            end.head = record.head();
            end.chained = at + read;
            end.last = Last { begins: at, text: text.to_vec() };
        }
        at += read;
    }
}

/// Whether the bytes of a file between two places go on with the chain after `head`, and how they end; else what is wrong. Without
/// a head the first record is taken at its word, and may vouch for what a version without a chain wrote. Any other may vouch for one
/// line that was cut short, and one such line may stand at the end.
pub(crate) fn chain_on(
    file: &mut File,
    (from, to): (u64, u64),
    head: Option<&Head>,
) -> io::Result<Result<End, String>> {
    file.seek(SeekFrom::Start(from))?;
    let mut reader = BufReader::new(file.take(to - from));
    let mut end = End { length: to, ..End::of_new_file(head.cloned().unwrap_or_else(Head::start)) };
    end.chained = from;
    let mut known = head.is_some();
    let (mut at, mut line, mut between) = (from, Vec::new(), Between::default());
    loop {
        line.clear();
        let read = reader.by_ref().take(MOST_BACK).read_until(b'\n', &mut line)? as u64;
        if read == 0 {
            break;
        }
        let rest = end.open;
        end.open = line.last() != Some(&b'\n');
        let text = line.strip_suffix(b"\n").unwrap_or(&line);
        let follows = |record: &chain::Record| {
            let vouched = between.vouched();
            let few = between.lines <= 1 || (!known && record.seq == 1);
            let few = few && !between.changed();
            let place = !known || record.follows(&end.head, vouched.as_ref());
            few && place && record.unchained == vouched
        };
        match chain::opened(text).filter(|_| !rest) {
            Some(record) if follows(&record) => {
                end.head = record.head();
                end.chained = at + read;
                end.last = Last { begins: at, text: text.to_vec() };
                between = Between::default();
                known = true;
            }
            Some(record) => {
                let (seq, last) = (record.seq, end.head.seq);
                return Ok(Err(format!("record {seq} does not follow record {last}")));
            }
            None => between.take(&line, !rest),
        }
        at += read;
    }
    // Nothing of the chain is there: written by a version that had none.
    let none = !known;
    if between.lines > 1 && !none || between.lines == 1 && !end.open && !none {
        let (bytes, last) = (between.bytes, end.head.seq);
        return Ok(Err(format!("{bytes} bytes behind record {last} are no records")));
    }
    Ok(Ok(end))
}

/// Bytes since the last record that are none.
#[derive(Default)]
pub(crate) struct Between {
    pub(crate) bytes: u64,
    pub(crate) lines: u64,
    /// Lines that begin as records of the chain do.
    claimed: u64,
    /// One of them is such a record to its end.
    whole: bool,
    digest: Sha256,
}

impl Between {
    /// Takes a line, or the rest of one.
    pub(crate) fn take(&mut self, line: &[u8], begins: bool) {
        self.bytes += line.len() as u64;
        self.lines += u64::from(begins);
        self.digest.update(line);
        if begins {
            let claim = chain::claim(line.strip_suffix(b"\n").unwrap_or(line));
            self.claimed += u64::from(claim != Claim::None);
            self.whole |= claim == Claim::Whole;
        }
    }

    /// Whether records of the chain that were changed are among them: a crash leaves the beginning of one, and no more.
    pub(crate) fn changed(&self) -> bool {
        self.whole || self.claimed > 1
    }

    /// What a record says that vouches for them.
    pub(crate) fn vouched(&self) -> Option<Unchained> {
        (self.bytes > 0).then(|| Unchained {
            bytes: self.bytes,
            sha256: chain::hex(&self.digest.clone().finalize()),
        })
    }
}
