//! One task's output as its owner writes it: into the spool while it is short, into a log of its own from then on.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use sshepherd_model::{Stream, TaskId};

use crate::block::Region;
use crate::retained::Retained;

use super::entry::Sums;
use super::files::OpenFiles;
use super::log::{self, Log, Unflushed};
use super::spool::{EACH, Spool, encode};

/// Bytes that are remembered of a log: most of a screen of a slow reader. A thousand of them are 16 MiB.
const LAST: u64 = 16 << 10;
/// Largest piece that is remembered.
const SMALL: u64 = 4 << 10;

/// Where the output is.
#[derive(Debug)]
enum Place {
    /// Whole in the spool, or there is none yet.
    Spool,
    Log(Log),
}

/// The writer.
#[derive(Debug)]
pub(super) struct Written {
    id: TaskId,
    folder: PathBuf,
    most: u64,
    sums: Sums,
    place: Place,
    /// The last bytes of what went to the log in small pieces: who follows a task reads them a moment later.
    last: Region,
    spool: Arc<Spool>,
    open: Arc<OpenFiles>,
}

/// What is to be done about an output when its task ends.
#[derive(Debug)]
pub(super) enum Ending {
    /// It goes into the row, as these bytes.
    Row(Vec<u8>),
    /// It is in its log, of which this is not on the disk yet.
    Log(Unflushed),
}

impl Written {
    /// Nothing yet, of a task that keeps at most `most` bytes; a log of it would be in `folder`.
    pub(super) fn new(
        id: TaskId,
        folder: PathBuf,
        most: u64,
        spool: Arc<Spool>,
        open: Arc<OpenFiles>,
    ) -> Self {
        Self {
            id,
            folder,
            most,
            sums: Sums::default(),
            place: Place::Spool,
            last: Region::default(),
            spool,
            open,
        }
    }

    /// Goes on with the output of a task that another server wrote: what the spool has taken from that one's, or the log,
    /// whichever is longer.
    pub(super) fn found(mut self) -> io::Result<Self> {
        let log = Log::open(self.folder.clone(), self.most, Arc::clone(&self.open))?;
        let spooled = self.spool.get(&self.id);
        let short = spooled.as_deref().map_or(0, Retained::total);
        if log.sums().bytes() > short {
            self.sums = log.sums();
            self.place = Place::Log(log);
            self.spool.take(&self.id);
            return Ok(self);
        }
        log::remove(&self.folder)?;
        for run in spooled.as_deref().into_iter().flat_map(Retained::runs) {
            self.sums = self.sums.after(run.stream, run.bytes);
        }
        Ok(self)
    }

    pub(super) fn sums(&self) -> Sums {
        self.sums
    }

    /// Adds bytes at the end. After an error nothing has changed.
    pub(super) fn append(&mut self, stream: Stream, bytes: &[u8]) -> io::Result<()> {
        if bytes.is_empty() {
            return Ok(());
        }
        let sums = self.sums.after(stream, bytes);
        if matches!(self.place, Place::Spool) && sums.bytes() > self.most.min(EACH) {
            self.place = Place::Log(self.moved()?);
            self.spool.take(&self.id);
        }
        match &mut self.place {
            Place::Spool => self.spool.append(&self.id, stream, bytes)?,
            Place::Log(log) => {
                log.append(stream, bytes)?;
                remember(&mut self.last, self.sums.bytes(), stream, bytes);
            }
        }
        self.sums = sums;
        Ok(())
    }

    /// A log with what the spool has, in place of one that failed half-way.
    fn moved(&self) -> io::Result<Log> {
        log::remove(&self.folder)?;
        let mut log = Log::fresh(self.folder.clone(), self.most, Arc::clone(&self.open));
        if let Some(output) = self.spool.get(&self.id) {
            for run in output.runs() {
                log.append(run.stream, run.bytes)?;
            }
        }
        crate::crash::point("spool.moved");
        Ok(log)
    }

    /// The whole output while it is in the spool; `None` when it is in its log.
    pub(super) fn short(&self) -> Option<Arc<Retained>> {
        match self.place {
            Place::Spool => Some(self.spool.get(&self.id).unwrap_or_else(empty)),
            Place::Log(_) => None,
        }
    }

    /// The last bytes, when they begin at offset `from` or before it and nothing is missing.
    pub(super) fn last(&self, from: u64) -> Option<Region> {
        let whole = self.sums.bytes() <= self.most && self.last.end() == self.sums.bytes();
        (whole && self.last.start() <= from).then(|| self.last.since(from))
    }

    /// What is to be done before its task can end.
    pub(super) fn ending(&self) -> Ending {
        match &self.place {
            Place::Spool => Ending::Row(
                self.spool.get(&self.id).map_or_else(Vec::new, |output| encode(&output)),
            ),
            Place::Log(log) => Ending::Log(log.unflushed()),
        }
    }
}

/// Adds to the last bytes what came at offset `at`. A flood is not worth the copying: whoever reads it reads files.
fn remember(last: &mut Region, at: u64, stream: Stream, bytes: &[u8]) {
    let end = at + bytes.len() as u64;
    if bytes.len() as u64 > SMALL {
        return last.restart(end);
    }
    if last.end() != at {
        last.restart(at);
    }
    last.push(stream, bytes);
    last.keep_last(LAST);
}

fn empty() -> Arc<Retained> {
    Arc::new(Retained::new(EACH))
}
