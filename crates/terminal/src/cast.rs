//! Recordings of terminals: asciicast v2, one JSON value a line.

use std::fmt;

use serde_json::{Value, json};

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The terminal was sent this.
    Output,
    /// This was typed.
    Input,
    /// The size became this: `COLSxROWS`.
    Resize,
    /// A note.
    Marker,
}

impl Kind {
    const ALL: [(Self, &str); 4] =
        [(Self::Output, "o"), (Self::Input, "i"), (Self::Resize, "r"), (Self::Marker, "m")];

    fn code(self) -> &'static str {
        match self {
            Self::Output => "o",
            Self::Input => "i",
            Self::Resize => "r",
            Self::Marker => "m",
        }
    }
}

/// The first line of a recording, with its newline; `timestamp_s` is when it began, in seconds since 1970.
#[must_use]
pub fn header(cols: u16, rows: u16, timestamp_s: u64, title: Option<&str>) -> String {
    let mut header = json!({"version": 2, "width": cols, "height": rows, "timestamp": timestamp_s, "env": {"TERM": "xterm-256color"}});
    if let (Some(title), Some(members)) = (title, header.as_object_mut()) {
        members.insert("title".to_owned(), title.into());
    }
    format!("{header}\n")
}

/// One event, with its newline; `at_ms` counts from the beginning of the recording.
#[must_use]
pub fn event(at_ms: u64, kind: Kind, text: &str) -> String {
    format!("[{}.{:03}, \"{}\", {}]\n", at_ms / 1000, at_ms % 1000, kind.code(), Value::from(text))
}

/// An event that was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Milliseconds since the beginning.
    pub at_ms: u64,
    /// What happened.
    pub kind: Kind,
    /// With what.
    pub text: String,
}

/// A line that says nothing; the reader goes on with the next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadLine {
    /// From 1, the header.
    pub line: usize,
    /// What was wrong.
    pub why: &'static str,
}

impl fmt::Display for BadLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {} of the recording: {}", self.line, self.why)
    }
}

impl std::error::Error for BadLine {}

/// Reads a recording, line by line.
#[derive(Debug, Clone)]
pub struct Reader {
    /// The width that the recording began with.
    pub cols: u16,
    /// The height that the recording began with.
    pub rows: u16,
    /// When it began, where it says so.
    pub timestamp_s: Option<u64>,
    /// Its title, where it has one.
    pub title: Option<String>,
    line: usize,
}

impl Reader {
    /// Begins with the header.
    pub fn new(header: &str) -> Result<Self, BadLine> {
        let bad = |why| BadLine { line: 1, why };
        let header: Value = serde_json::from_str(header).map_err(|_| bad("no JSON"))?;
        if header.get("version").and_then(Value::as_u64) != Some(2) {
            return Err(bad("not the header of an asciicast of version 2"));
        }
        let size = |name| {
            header
                .get(name)
                .and_then(Value::as_u64)
                .and_then(|size| u16::try_from(size).ok())
                .filter(|size| *size > 0)
        };
        Ok(Self {
            cols: size("width").ok_or_else(|| bad("no width"))?,
            rows: size("height").ok_or_else(|| bad("no height"))?,
            timestamp_s: header.get("timestamp").and_then(Value::as_u64),
            title: header.get("title").and_then(Value::as_str).map(str::to_owned),
            line: 1,
        })
    }

    /// The next line's event; none for an empty line and for kinds that are not known here.
    pub fn line(&mut self, line: &str) -> Result<Option<Event>, BadLine> {
        self.line += 1;
        if line.trim().is_empty() {
            return Ok(None);
        }
        let bad = |why| BadLine { line: self.line, why };
        let event: Value = serde_json::from_str(line).map_err(|_| bad("no JSON"))?;
        let Some([at, code, text]) = event.as_array().map(Vec::as_slice) else {
            return Err(bad("not [time, kind, text]"));
        };
        let seconds = at
            .as_f64()
            .filter(|at| *at >= 0.0)
            .ok_or_else(|| bad("its time is no number from 0 on"))?;
        let code = code.as_str().ok_or_else(|| bad("its kind is no text"))?;
        let text = text.as_str().ok_or_else(|| bad("its text is no text"))?;
        let Some((kind, _)) = Kind::ALL.into_iter().find(|(_, known)| *known == code) else {
            return Ok(None);
        };
        // A conversion from f64 saturates.
        let at_ms = (seconds * 1000.0).round() as u64;
        Ok(Some(Event { at_ms, kind, text: text.to_owned() }))
    }
}
