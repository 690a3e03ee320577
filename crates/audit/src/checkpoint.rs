//! Checkpoints: number and hash of a record, told to a second place from time to time, so that a chain that was cut off or
//! written anew is found out.
//!
//! They are not signed: whoever can write to both places can make both agree. Keep them on another machine, or under
//! another account.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::chain::Head;
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
    let mut line = serde_json::to_vec(point)?;
    line.push(b'\n');
    let mut options = OpenOptions::new();
    options.append(true).create(true).mode(0o600).open(path)?.write_all(&line)
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

/// The checkpoints of a file; lines that are none are errors.
pub(crate) fn read(path: &Path) -> io::Result<Vec<Checkpoint>> {
    let text = std::fs::read_to_string(path)?;
    let line = |(at, line): (usize, &str)| {
        serde_json::from_str(line).map_err(|error| {
            let place = format!("{}:{}: no checkpoint: {error}", path.display(), at + 1);
            io::Error::new(io::ErrorKind::InvalidData, place)
        })
    };
    text.lines().enumerate().map(line).collect()
}
