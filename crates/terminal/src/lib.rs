//! What the bytes of an interactive terminal mean: what is on its screen, where a prompt stands, what a key sends.
//!
//! Rooms: [`scrollback`] (the last bytes, by offset), [`emulator`] (bytes → screen, and the screen → bytes that are safe for a
//! person's terminal) over `dialect` (what the emulator beneath lacks, in terms of what it has), `tokens` (bytes → text,
//! controls and sequences) and `paint` (cells → bytes), [`marks`] (OSC 133 with a nonce), [`keys`] (names → bytes), [`prompt`]
//! (a guess, where no marks are), [`cast`] (recordings, asciicast v2), [`utf8`] (no character is split between two pieces).
//!
//! Every reader here takes bytes in pieces and gives the same whole however they were cut; none holds more than a bounded
//! number of bytes back. This crate reads nothing, has no clock and knows no host.

pub mod cast;
mod dialect;
pub mod emulator;
pub mod keys;
pub mod marks;
mod paint;
pub mod prompt;
pub mod scrollback;
mod tokens;
pub mod utf8;

pub use emulator::{Emulator, Screen, Snapshot};
pub use marks::{Mark, Marked, Marks};
pub use prompt::looks_like_prompt;
pub use scrollback::{Piece, Scrollback};
pub use utf8::Utf8Carry;
