//! The recording of an interactive shell, line by line onto a screen: whole lines only, and what cannot be read is passed over
//! and told.

use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::Path;

use sshepherd_engine::store::ShellRecord;
use sshepherd_terminal::Emulator;
use sshepherd_terminal::cast::{self, BadLine, Event, Kind, Reader};

use super::out;
use crate::answer;

/// Lines that are told of by themselves; more are counted.
const TOLD: usize = 10;

/// A recording that is being read, and the screen after what was read.
pub(super) struct Recording {
    file: BufReader<File>,
    /// The beginning of a line whose end is not there yet.
    held: Vec<u8>,
    /// `None` before the header.
    reader: Option<Reader>,
    screen: Emulator,
    record: ShellRecord,
    bad: Vec<BadLine>,
    bad_lines: usize,
    note: Option<String>,
}

impl Recording {
    pub(super) fn open(path: &Path, record: &ShellRecord) -> io::Result<Self> {
        Ok(Self {
            file: BufReader::new(File::open(path)?),
            held: Vec::new(),
            reader: None,
            screen: Emulator::new(record.cols, record.rows),
            record: record.clone(),
            bad: Vec::new(),
            bad_lines: 0,
            note: None,
        })
    }

    /// The next event; `None` at the end of the whole lines that are there now.
    pub(super) fn next(&mut self) -> io::Result<Option<Event>> {
        loop {
            if self.file.read_until(b'\n', &mut self.held)? == 0 || !self.held.ends_with(b"\n") {
                return Ok(None);
            }
            let line = std::mem::take(&mut self.held);
            if let Some(event) = self.line(&String::from_utf8_lossy(&line)) {
                return Ok(Some(event));
            }
        }
    }

    /// What is left at the end of a recording that grows no more: a line that was cut short, or the last one without its newline.
    pub(super) fn rest(&mut self) -> Option<Event> {
        let line = std::mem::take(&mut self.held);
        if line.is_empty() { None } else { self.line(&String::from_utf8_lossy(&line)) }
    }

    fn line(&mut self, line: &str) -> Option<Event> {
        let read = match &mut self.reader {
            Some(reader) => reader.line(line),
            None => self.header(line).map(|()| None),
        };
        read.unwrap_or_else(|bad| {
            self.bad_lines += 1;
            if self.bad.len() < TOLD {
                self.bad.push(bad);
            }
            None
        })
    }

    /// Begins with the header; without a good one the size is what was written down of the shell.
    fn header(&mut self, line: &str) -> Result<(), BadLine> {
        let read = Reader::new(line);
        if let Ok(reader) = &read {
            self.screen.resize(reader.cols, reader.rows);
        }
        let bad = read.as_ref().err().cloned();
        let own = cast::header(self.record.cols.max(1), self.record.rows.max(1), 0, None);
        self.reader = read.or_else(|_| Reader::new(&own)).ok();
        bad.map_or(Ok(()), Err)
    }

    /// Draws an event.
    pub(super) fn draw(&mut self, event: &Event) {
        match event.kind {
            Kind::Output => self.screen.feed(event.text.as_bytes()),
            Kind::Resize => {
                let size = event.text.split_once('x');
                let size =
                    size.and_then(|(cols, rows)| Some((cols.parse().ok()?, rows.parse().ok()?)));
                if let Some((cols, rows)) = size {
                    self.screen.resize(cols, rows);
                }
            }
            Kind::Marker => self.note = Some(answer::visible(&event.text)),
            Kind::Input => {}
        }
    }

    /// Draws everything that is there now.
    pub(super) fn catch_up(&mut self) -> io::Result<()> {
        while let Some(event) = self.next()? {
            self.draw(&event);
        }
        Ok(())
    }

    pub(super) fn screen(&self) -> &Emulator {
        &self.screen
    }

    /// Says what could not be read and the last note.
    pub(super) fn tell(&self) {
        for bad in &self.bad {
            out::complain(&bad.to_string());
        }
        if self.bad_lines > self.bad.len() {
            let more = self.bad_lines - self.bad.len();
            out::complain(&format!("{more} more lines of the recording could not be read"));
        }
        if let Some(note) = &self.note {
            out::say(note);
        }
    }
}
