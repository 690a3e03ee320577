//! The writer of a recording: whole lines at the end of a file, up to a size.

use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use crate::error::Error;

/// What the marker line of a full recording says.
const FULL: &str = "the recording has reached its limit and stops here";

/// Bytes that are kept for the marker line: a time, which is short, and the words.
const MARKER: u64 = 128;

/// Bytes at the end of an existing recording that are looked at.
const END: u64 = 4096;

/// Adds lines to a recording. What was written is in the file after [`Recorder::flush`], or when this is dropped.
#[derive(Debug)]
pub struct Recorder {
    path: PathBuf,
    /// `None` when no more is recorded.
    file: Option<BufWriter<File>>,
    bytes: u64,
    max_bytes: u64,
    /// The time of the last line, as it stood there.
    last: String,
    full: bool,
}

impl Recorder {
    /// Opens the file behind what is there. A line that a crash cut short ends where it was cut.
    pub(super) fn open(path: &Path, max_bytes: u64) -> io::Result<Self> {
        let mut options = OpenOptions::new();
        let mut file = options.read(true).append(true).create(true).mode(0o600).open(path)?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(END)))?;
        let mut end = Vec::new();
        file.read_to_end(&mut end)?;
        let end = String::from_utf8_lossy(&end);
        let full = end.trim_end().ends_with(&format!("\"{FULL}\"]"));
        let mut recorder = Self {
            path: path.to_path_buf(),
            file: (!full).then(|| BufWriter::new(file)),
            bytes: length,
            max_bytes,
            last: end.lines().rev().find_map(time).unwrap_or("0.0").to_owned(),
            full,
        };
        if !end.is_empty() && !end.ends_with('\n') {
            recorder.add("\n")?;
        }
        Ok(recorder)
    }

    /// Adds whole lines. Behind the size the last line says so, and no more is written.
    ///
    /// Errors: [`Error::Folder`], once; no more is recorded after it.
    pub fn write(&mut self, lines: &str) -> Result<(), Error> {
        for line in lines.split_inclusive('\n') {
            if self.file.is_none() {
                return Ok(());
            }
            let room = self.max_bytes.saturating_sub(self.bytes).saturating_sub(MARKER);
            if u64::try_from(line.len()).unwrap_or(u64::MAX) >= room {
                return self.fill();
            }
            if let Some(at) = time(line) {
                at.clone_into(&mut self.last);
            }
            self.add(line)
                .and_then(|()| if line.ends_with('\n') { Ok(()) } else { self.add("\n") })
                .map_err(|source| self.failed(source))?;
        }
        Ok(())
    }

    /// Brings what was written into the file, where others see it.
    ///
    /// Errors: as [`Recorder::write`].
    pub fn flush(&mut self) -> Result<(), Error> {
        let flushed = self.file.as_mut().map_or(Ok(()), Write::flush);
        flushed.map_err(|source| self.failed(source))
    }

    /// Whether the size was reached.
    #[must_use]
    pub fn full(&self) -> bool {
        self.full
    }

    /// Bytes of the recording, with what waits to be flushed.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    fn add(&mut self, text: &str) -> io::Result<()> {
        if let Some(file) = &mut self.file {
            file.write_all(text.as_bytes())?;
            self.bytes += u64::try_from(text.len()).unwrap_or(0);
        }
        Ok(())
    }

    fn fill(&mut self) -> Result<(), Error> {
        self.full = true;
        let marker = format!("[{}, \"m\", \"{FULL}\"]\n", self.last);
        self.add(&marker).map_err(|source| self.failed(source))?;
        self.flush()?;
        self.file = None;
        Ok(())
    }

    fn failed(&mut self, source: io::Error) -> Error {
        if let Some(file) = self.file.take() {
            // What is still in the buffer cannot be written either; dropping it would try again.
            let _ = file.into_parts();
        }
        let path = self.path.clone();
        Error::Folder { what: "cannot write the recording", path, source }
    }
}

/// The time of an event's line: its first element, if that is a short number.
fn time(line: &str) -> Option<&str> {
    let (at, _) = line.strip_prefix('[')?.split_once(',')?;
    let number = at.len() <= 32 && at.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    (number && !at.is_empty()).then_some(at)
}
