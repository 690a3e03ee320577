//! Checkpoints: number and hash of a record, told to a second place from time to time, so that a chain that was cut off or
//! written anew is found out.
//!
//! They are not signed: whoever can write to both places can make both agree. Keep them on another machine, or under
//! another account.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::chain::Head;
use crate::file;
use crate::time::Timestamp;

/// Where syslog listens: Linux and the BSDs, then macOS.
const SYSLOG: [&str; 2] = ["/dev/log", "/var/run/syslog"];

/// Facility `authpriv` (10), severity `notice` (5): RFC 5424, 6.2.1.
const PRIORITY: u8 = 10 * 8 + 5;

/// Where checkpoints go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoints {
    /// A file that they are appended to.
    pub file: Option<PathBuf>,
    /// Whether they go to the system's log too.
    pub syslog: bool,
    /// After every so many records.
    pub every: u64,
}

/// One of them, a line of JSON in the file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checkpoint {
    /// When it was made.
    pub ts: Timestamp,
    /// Number of the record.
    pub seq: u64,
    /// Its hash.
    pub hash: String,
}

impl Checkpoints {
    /// Tells of a record; the first thing that goes wrong. The record itself is safe.
    pub(crate) fn tell(&self, head: &Head, ts: Timestamp) -> Result<(), String> {
        let point = Checkpoint { ts, seq: head.seq, hash: head.hash.clone() };
        let written = self.file.as_deref().map_or(Ok(()), |path| {
            append(path, &point).map_err(|error| {
                format!("checkpoints cannot be written to {}: {error}", path.display())
            })
        });
        let sent = match self.syslog {
            true => syslog(&point).map_err(|error| {
                format!("checkpoints cannot be sent to the system's log: {error}")
            }),
            false => Ok(()),
        };
        written.and(sent)
    }

    /// Whether a record is one to tell of.
    pub(crate) fn due(&self, seq: u64) -> bool {
        seq.is_multiple_of(self.every.max(1))
    }
}

fn append(path: &Path, point: &Checkpoint) -> io::Result<()> {
    let mut file = file::plain(path).map_err(io::Error::other)?;
    let mut line = serde_json::to_vec(point)?;
    line.push(b'\n');
    // A line that a crash cut short must not swallow this one.
    let length = file.metadata()?.len();
    if length > 0 {
        let mut last = [0];
        file.seek(SeekFrom::Start(length - 1))?;
        file.read_exact(&mut last)?;
        if last != *b"\n" {
            line.insert(0, b'\n');
        }
    }
    file.write_all(&line)
}

fn syslog(point: &Checkpoint) -> io::Result<()> {
    let socket = UnixDatagram::unbound()?;
    // A log that is stopped must not stop us.
    socket.set_nonblocking(true)?;
    let text = format!(
        "<{PRIORITY}>sshepherd[{}]: audit checkpoint seq={} sha256={}",
        std::process::id(),
        point.seq,
        point.hash
    );
    let mut last = io::Error::from(io::ErrorKind::NotFound);
    for path in SYSLOG {
        match socket.send_to(text.as_bytes(), path) {
            Ok(_) => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// The checkpoints of a file. A line that is none is passed over: a crash may have cut it short, and what it told of is then
/// told by the chain alone. Two that differ about one record are an error: one of them is not ours.
pub(crate) fn read(path: &Path) -> io::Result<BTreeMap<u64, Checkpoint>> {
    let mut points: BTreeMap<u64, Checkpoint> = BTreeMap::new();
    for line in BufReader::new(File::open(path)?).lines() {
        let Ok(point) = serde_json::from_str::<Checkpoint>(&line?) else { continue };
        if let Some(known) = points.get(&point.seq)
            && known.hash != point.hash
        {
            let seq = point.seq;
            let message = format!("{} tells two things of record {seq}", path.display());
            return Err(io::Error::new(io::ErrorKind::InvalidData, message));
        }
        points.insert(point.seq, point);
    }
    Ok(points)
}
