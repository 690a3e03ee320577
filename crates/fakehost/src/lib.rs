//! Fake SSH hosts inside this process: real SSH on the wire, throw-away keys, and a handful of built-in commands.
//!
//! They execute nothing on the machine and read none of its files. The demo shows the product against them, and
//! tests use any number of them, over loopback or over in-memory pipes.
//!
//! Rooms: [`spec`] (what a host is to be like), [`fleet`] (start, addresses, keys, known hosts), [`fault`] (how
//! hosts misbehave for tests). Inside: `server` and `channel` (the SSH side), `script` and `run` (the little shell
//! language), `builtin` (the commands), `process` (process ids that can be signalled and seen gone), `machine`
//! (numbers that follow from a host's name), `launch` (what the product sends around commands), `io`, `stream`, `keys`.
//!
//! As on a real host, a command whose channel is closed lives on until it writes or is signalled.

mod builtin;
mod channel;
pub mod error;
pub mod fault;
pub mod fleet;
mod io;
mod keys;
mod launch;
mod machine;
mod process;
mod run;
mod script;
mod server;
pub mod spec;
mod stream;

pub use error::Error;
pub use fault::Fault;
pub use fleet::{FakeFleet, FakeHost};
pub use spec::{DEFAULT_USER, FakeHostSpec};
