//! Speaks SSH: opens judged addresses, checks host keys, logs in, runs texts and stops them.
//!
//! Rooms: [`target`] (who to connect to and how), `dial`, `race` (its addresses side by side), [`ProxyProgram`] (a program in its place) and `wire` (TCP, a
//! tunnel or a program), `hostkey` (known_hosts, certificates), `client` (what the
//! server may ask of us: nothing), `algorithms` (what is offered), `auth`, [`prompt`] (what it asks of a person), `link` (one connection), [`pool`] (all of them), [`exec`] (one command), `feed` (its input, once a shell reads it),
//! [`launch`] (the fixed prefix that makes a command stoppable), [`stop`] (the fixed script that stops commands), `stop_queue` (what is to stop on one host), `stopper` (who asks for it), `survey` (the keys that a host shows), [`terminal`] (an interactive program under a PTY),
//! [`job`] (a command that outlives its connection), `setup` (the fixed text that starts an interactive program), `words` (texts in a form that only a POSIX shell reads).
//!
//! This crate takes texts as already judged: it knows no policy, no store, no face.

mod algorithms;
mod alive;
mod auth;
mod client;
mod dial;
pub mod exec;
mod feed;
mod hostkey;
pub mod job;
pub mod launch;
mod link;
pub mod pool;
pub mod prompt;
mod proxy;
mod race;
mod setup;
pub mod stop;
mod stop_queue;
mod stopper;
mod survey;
pub mod target;
pub mod terminal;
mod wire;
mod words;

/// A host's key.
pub use russh::keys::PublicKey;

pub use exec::{Event, Exec, Ready, Running};
pub use hostkey::{KnownHosts, Verdict, fingerprint};
pub use link::Renewal;
pub use pool::{Pool, PoolSettings};
pub use prompt::{Answers, Prompt, Prompter, Questions};
pub use proxy::ProxyProgram;
pub use stopper::Stopper;
pub use target::{AdmitPeer, Deadlines, OnTouch, Target, Transport};
pub use terminal::{
    Closed, Echo, Greeted, Interactive, Keyboard, Opening, Size, Terminal, TerminalEvent,
};
