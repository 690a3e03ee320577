//! The crate's tests, one file a room.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "tests fail by panicking"
)]

mod cast;
mod conformance;
mod emulator;
mod hostile;
mod keys;
mod marks;
mod prompt;
mod scrollback;
mod watch;
