//! Writes one JSON record a line for every decision and execution, as a chain that shows whether it is whole.
//!
//! Rooms: [`entry`] (what a record says), [`time`] (its time stamp), [`escape`] (how it is written: one line of printable
//! ASCII), [`chain`] (how records hang together), [`file`](mod@file) (the file they go to, shared by several processes), [`end`] (how it ends),
//! [`checkpoint`] (a second place that hears of the chain), [`sink`] (all of it behind one handle, and standard error),
//! [`verify`](mod@verify) (looking at it afterwards), [`error`].
//!
//! A record names commands by their hash, and by their text only where the owner wants it. A record that cannot be written
//! to the file is an error, so that the caller can refuse to run what it cannot record. This crate reads no clock and
//! writes nothing to stdout.

pub mod chain;
pub mod checkpoint;
mod end;
pub mod entry;
pub mod error;
mod escape;
mod file;
mod holder;
pub mod sink;
mod stderr;
pub mod time;
pub mod verify;

pub use chain::Record;
pub use checkpoint::Checkpoints;
pub use entry::{Decision, Entry, Event, Source};
pub use error::Error;
pub use sink::{Keeping, Sink};
pub use time::Timestamp;
pub use verify::{Found, Report, State, series, verify};
