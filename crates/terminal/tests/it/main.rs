//! The crate's tests, one file a room.

mod emulator;
mod hostile;
mod keys;
mod marks;
mod prompt;
