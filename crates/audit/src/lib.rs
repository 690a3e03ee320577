//! Writes one JSON record a line for every decision and execution.
//!
//! Rooms: [`entry`] (what a record says), [`time`] (its time stamp), [`escape`] (how it is written: one line of printable
//! ASCII), [`file`](mod@file) (the file it goes to, shared by several processes), [`sink`] (file and standard error behind
//! one handle), [`error`].
//!
//! A record names commands by their hash, never by their text. A record that cannot be written to the file is an error,
//! so that the caller can refuse to run what it cannot record. This crate reads no clock and writes nothing to stdout.

pub mod entry;
pub mod error;
mod escape;
mod file;
pub mod sink;
mod stderr;
pub mod time;

pub use entry::{Decision, Entry, Event, Source};
pub use error::Error;
pub use sink::{Record, Sink};
pub use time::Timestamp;
