//! The spool: one file in which a server keeps the output of its running tasks while it is short.
//!
//! Most commands write little, and a folder with two files for each would cost more than the rest of its record. Once a
//! task has more than [`EACH`] bytes its output moves to a log of its own; when it ends with less, to its row. The file
//! is there for those who read from another server, and for whoever takes the tasks over should this one die. A task may
//! be found both here and in a log: both are beginnings of the same output, and the longer one holds.

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use sshepherd_model::{Stream, TaskId};

use crate::retained::Retained;

use super::entry::{STDERR, check};

/// Longest output in the spool or in a row: more than most commands write, and a thousand of them are 4 MiB.
pub(super) const EACH: u64 = 4096;

/// Length from which the file is written anew when three quarters of it are of tasks that are not in it any more.
const LONG: u64 = 1 << 20;

/// Bytes of a record before its id: check sum, length of the id, length with stream, offset.
const HEADER: usize = 4 + 4 + 4 + 8;

/// The spool of this server. Nothing is on disk before the first byte.
#[derive(Debug)]
pub(super) struct Spool {
    path: PathBuf,
    state: Mutex<Held>,
}

#[derive(Debug, Default)]
struct Held {
    file: Option<File>,
    /// Where the next record goes.
    end: u64,
    /// The whole outputs that are in it.
    outputs: HashMap<TaskId, Retained>,
}

impl Spool {
    pub(super) fn new(path: PathBuf) -> Self {
        Self { path, state: Mutex::default() }
    }

    /// Adds bytes at the end of a task's output. After an error nothing has changed.
    pub(super) fn append(&self, id: &TaskId, stream: Stream, bytes: &[u8]) -> io::Result<()> {
        let mut held = self.held();
        let at = held.outputs.get(id).map_or(0, Retained::total);
        self.write(&mut held, &record(id, at, stream, bytes))?;
        crate::crash::point("spool.record");
        let output = held.outputs.entry(id.clone()).or_insert_with(|| Retained::new(EACH));
        output.append(stream, bytes, output.full_quota());
        if held.end > LONG && held.end / 4 > held.outputs.values().map(Retained::total).sum() {
            // Should it fail, the next append tries it again.
            let _ = self.shorten(&mut held);
        }
        Ok(())
    }

    fn write(&self, held: &mut Held, record: &[u8]) -> io::Result<()> {
        if held.file.is_none() {
            held.file = Some(create(&self.path)?);
        }
        if let Some(file) = &held.file {
            file.write_all_at(record, held.end)?;
        }
        held.end += record.len() as u64;
        Ok(())
    }

    /// Writes what is in it anew, in place of the file.
    fn shorten(&self, held: &mut Held) -> io::Result<()> {
        let mut all = Vec::new();
        for (id, output) in &held.outputs {
            all.extend(records(id, output));
        }
        let draft = self.path.with_extension("spool.new");
        let file = create(&draft)?;
        file.write_all_at(&all, 0)?;
        crate::crash::point("spool.draft");
        fs::rename(&draft, &self.path)?;
        (held.file, held.end) = (Some(file), all.len() as u64);
        Ok(())
    }

    /// A task's output as it is now, if there is any.
    pub(super) fn get(&self, id: &TaskId) -> Option<Arc<Retained>> {
        self.held().outputs.get(id).cloned().map(Arc::new)
    }

    /// Forgets a task: its output lies elsewhere, or is nobody's.
    pub(super) fn take(&self, id: &TaskId) -> Option<Retained> {
        let mut held = self.held();
        let output = held.outputs.remove(id);
        if held.outputs.is_empty() {
            // Older records that happen to follow on new ones are of tasks that are not in it any more.
            held.end = 0;
        }
        output
    }

    /// Takes in what a dead server's spool has of the tasks that are `wanted`. The dead one's file stays as it is.
    pub(super) fn inherit(
        &self,
        from: &Path,
        wanted: impl Fn(&TaskId) -> bool,
    ) -> io::Result<Vec<TaskId>> {
        let found = outputs(from)?;
        let mut held = self.held();
        let mut taken = Vec::new();
        for (id, output) in found.into_iter().filter(|(id, _)| wanted(id)) {
            self.write(&mut held, &records(&id, &output))?;
            held.outputs.insert(id.clone(), output);
            taken.push(id);
        }
        Ok(taken)
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Spool {
    /// What is in it is for whoever takes over.
    fn drop(&mut self) {
        let held = self.held();
        if held.file.is_some() && held.outputs.is_empty() {
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn create(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)
}

/// The outputs in a server's spool, each up to its last whole record. None when it has no spool.
pub(super) fn outputs(path: &Path) -> io::Result<HashMap<TaskId, Retained>> {
    let mut outputs = HashMap::new();
    let all = match fs::read(path) {
        Ok(all) => all,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(outputs),
        Err(error) => return Err(error),
    };
    let mut rest = all.as_slice();
    while let Some((record, after)) = Record::read(rest) {
        rest = after;
        let Ok(id) = record.id.parse::<TaskId>() else { continue };
        let output: &mut Retained = outputs.entry(id).or_insert_with(|| Retained::new(EACH));
        if record.at == output.total() && record.at + record.bytes.len() as u64 <= EACH {
            output.append(record.stream, record.bytes, output.full_quota());
        }
    }
    Ok(outputs)
}

/// One task's output in a server's spool.
pub(super) fn output(path: &Path, id: &TaskId) -> io::Result<Option<Retained>> {
    outputs(path).map(|mut outputs| outputs.remove(id))
}

struct Record<'a> {
    id: &'a str,
    at: u64,
    stream: Stream,
    bytes: &'a [u8],
}

impl<'a> Record<'a> {
    /// The first record of `all`, and what follows. `None` when it is not whole.
    fn read(all: &'a [u8]) -> Option<(Self, &'a [u8])> {
        let (sum, rest) = all.split_first_chunk::<4>()?;
        let (name, rest) = rest.split_first_chunk::<4>()?;
        let (length, rest) = rest.split_first_chunk::<4>()?;
        let (at, rest) = rest.split_first_chunk::<8>()?;
        let length = u32::from_le_bytes(*length);
        let (id, rest) = rest.split_at_checked(usize::try_from(u32::from_le_bytes(*name)).ok()?)?;
        let (bytes, rest) = rest.split_at_checked(usize::try_from(length & !STDERR).ok()?)?;
        let body = all.get(4..HEADER + id.len() + bytes.len())?;
        if u32::from_le_bytes(*sum) != check(body) {
            return None;
        }
        let stream = if length & STDERR == 0 { Stream::Stdout } else { Stream::Stderr };
        let id = std::str::from_utf8(id).ok()?;
        Some((Self { id, at: u64::from_le_bytes(*at), stream, bytes }, rest))
    }
}

/// Both fit: an id has at most 200 bytes, and an output in the spool at most [`EACH`].
fn length(of: usize) -> u32 {
    u32::try_from(of).unwrap_or(0)
}

fn with_stream(of: usize, stream: Stream) -> u32 {
    match stream {
        Stream::Stdout => length(of),
        Stream::Stderr => length(of) | STDERR,
    }
}

fn record(id: &TaskId, at: u64, stream: Stream, bytes: &[u8]) -> Vec<u8> {
    let id = id.as_str().as_bytes();
    let mut body = Vec::with_capacity(HEADER + id.len() + bytes.len());
    body.extend([0; 4]);
    body.extend(length(id.len()).to_le_bytes());
    body.extend(with_stream(bytes.len(), stream).to_le_bytes());
    body.extend(at.to_le_bytes());
    body.extend(id);
    body.extend(bytes);
    let sum = check(body.get(4..).unwrap_or_default()).to_le_bytes();
    for (place, byte) in body.iter_mut().zip(sum) {
        *place = byte;
    }
    body
}

fn records(id: &TaskId, output: &Retained) -> Vec<u8> {
    output.runs().flat_map(|run| record(id, run.at, run.stream, run.bytes)).collect()
}

/// An output as it stands in a row of the table: each run's length with its stream, then its bytes.
pub(super) fn encode(output: &Retained) -> Vec<u8> {
    let mut all = Vec::new();
    for run in output.runs() {
        all.extend(with_stream(run.bytes.len(), run.stream).to_le_bytes());
        all.extend(run.bytes);
    }
    all
}

/// The output of a row of the table. What is damaged ends it.
pub(super) fn decode(mut all: &[u8]) -> Retained {
    let mut output = Retained::new(EACH);
    while let Some((length, rest)) = all.split_first_chunk::<4>() {
        let length = u32::from_le_bytes(*length);
        let bytes = usize::try_from(length & !STDERR).unwrap_or(usize::MAX);
        let Some((bytes, rest)) = rest.split_at_checked(bytes) else { break };
        let stream = if length & STDERR == 0 { Stream::Stdout } else { Stream::Stderr };
        output.append(stream, bytes, output.full_quota());
        all = rest;
    }
    output.seal();
    output
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::row::Row as _;

    fn id(nonce: u128) -> TaskId {
        let hash = sshepherd_model::CommandHash::of("true");
        TaskId::compose(&"web".parse().unwrap(), &hash, nonce)
    }

    fn text(output: &Retained) -> Vec<u8> {
        output.runs().flat_map(|run| run.bytes.to_vec()).collect()
    }

    #[test]
    fn what_has_left_it_does_not_make_it_longer_for_ever() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.spool");
        let spool = Spool::new(path.clone());
        spool.append(&id(0), Stream::Stderr, b"stays").unwrap();
        let longest = || fs::metadata(&path).unwrap().len();
        let mut most = 0;
        for nonce in 1..2000 {
            spool.append(&id(nonce), Stream::Stdout, &[b'x'; 2000]).unwrap();
            spool.take(&id(nonce)).unwrap();
            most = most.max(longest());
        }
        assert!(most > LONG / 2 && most <= LONG, "{most}");
        spool.append(&id(0), Stream::Stdout, b" and goes on").unwrap();
        let found = output(&path, &id(0)).unwrap().unwrap();
        assert_eq!(text(&found), b"stays and goes on");
        assert_eq!((found.totals().stdout, found.totals().stderr), (12, 5));
        assert_eq!(text(&spool.get(&id(0)).unwrap()), text(&found));
        drop(spool);
        assert!(path.exists(), "it holds what nobody else has");
    }

    #[test]
    fn one_that_is_empty_begins_anew_and_goes_with_its_server() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.spool");
        let spool = Spool::new(path.clone());
        spool.append(&id(1), Stream::Stdout, b"abc").unwrap();
        spool.append(&id(2), Stream::Stdout, b"abc").unwrap();
        for nonce in 1..3 {
            spool.take(&id(nonce));
        }
        spool.append(&id(3), Stream::Stdout, b"abc").unwrap();
        let length = fs::metadata(&path).unwrap().len();
        let found = outputs(&path).unwrap();
        assert_eq!(text(&found[&id(3)]), b"abc");
        assert_eq!(length, 2 * (HEADER + id(3).as_str().len() + 3) as u64, "nothing was added");
        spool.take(&id(3));
        drop(spool);
        assert!(!path.exists());
    }

    #[test]
    fn a_row_holds_an_output_with_its_streams() {
        let mut output = Retained::new(EACH);
        for (stream, bytes) in
            [(Stream::Stdout, &b"one"[..]), (Stream::Stderr, b"two"), (Stream::Stdout, b"\n")]
        {
            output.append(stream, bytes, output.full_quota());
        }
        let row = encode(&output);
        let read = decode(&row);
        assert_eq!((text(&read), read.totals()), (b"onetwo\n".to_vec(), output.totals()));
        assert_eq!(decode(&[]).totals().bytes(), 0);
        // What is damaged ends it.
        assert_eq!(text(&decode(&row[..row.len() - 1])), b"onetwo");
    }
}
