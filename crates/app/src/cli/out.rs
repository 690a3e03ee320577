//! Printing: results to standard output, words for people to standard error. A closed pipe ends nothing and panics nowhere.

use std::io::{self, Write};

use serde::Serialize;

/// A line on standard output.
pub(crate) fn line(text: &str) {
    let mut out = io::stdout().lock();
    let _ = writeln!(out, "{text}").and_then(|()| out.flush());
}

/// Text on standard output, as it is.
pub(crate) fn text(text: &str) {
    bytes(text.as_bytes());
}

/// A line; `false` when nobody reads any more.
pub(crate) fn taken(text: &str) -> bool {
    let mut out = io::stdout().lock();
    writeln!(out, "{text}").and_then(|()| out.flush()).is_ok()
}

/// Bytes on standard output, as they are.
pub(crate) fn bytes(bytes: &[u8]) {
    let mut out = io::stdout().lock();
    let _ = out.write_all(bytes).and_then(|()| out.flush());
}

/// Bytes on standard error, as they are.
pub(crate) fn error_bytes(bytes: &[u8]) {
    let _ = io::stderr().lock().write_all(bytes);
}

/// A line for people on standard error.
pub(crate) fn say(text: &str) {
    let _ = writeln!(io::stderr().lock(), "{text}");
}

/// A complaint on standard error.
pub(crate) fn complain(text: &str) {
    say(&format!("sshepherd: {text}"));
}

/// One JSON document on standard output.
pub(crate) fn json<T: Serialize>(value: &T) {
    match serde_json::to_string_pretty(value) {
        Ok(text) => line(&text),
        Err(error) => complain(&format!("the answer cannot be written as JSON: {error}")),
    }
}
