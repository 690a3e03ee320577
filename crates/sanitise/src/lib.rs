//! Makes text that may be read of output that may lie: what steers a terminal or hides from a reader goes, and secrets are
//! redacted; each is counted.
//!
//! Rooms: [`clean`] (control, escape sequences, invisible characters), `foreign` (bytes of other encodings), [`shapes`] (what well-known tokens look like),
//! [`redact`] (those and the secrets that are loaded here), [`screen`] (both over a piece of output with what stands before and
//! after it).
//!
//! Everything begins anew at a newline, so a piece that begins with a line gives the same text however it was cut. This crate
//! reads nothing and knows no host.

pub mod clean;
mod foreign;
pub mod redact;
pub mod screen;
mod shapes;

pub use clean::{Cleaner, Removed};
pub use redact::Redactor;
pub use screen::{Lens, Line, More, Screen, View};
