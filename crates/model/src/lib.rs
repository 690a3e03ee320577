//! Plain values that every other crate speaks in.
//!
//! Rooms: [`id`] (names and ids with their rules), [`host`], [`connection`] (how it is reached), [`credential`] and [`inventory`] (what the
//! owner configured), [`selector`] and [`targets`] (which hosts), [`rollout`] (how many at a time, and when to stop), [`names`] (sets of names, `web[01-20]`), [`limits`], [`request`] (what is asked), [`output`] and [`outcome`] (what came of it),
//! [`secret`] (values that never print), [`problem`] (what is wrong with a configuration file), [`words`] (what hosts say).
//!
//! This crate knows no I/O, no clock, no async runtime and no other crate of the workspace.

pub mod connection;
pub mod credential;
pub mod host;
pub mod id;
pub mod inventory;
pub mod limits;
pub mod names;
pub mod outcome;
pub mod output;
pub mod problem;
pub mod request;
pub mod rollout;
pub mod secret;
pub mod selector;
pub mod targets;
pub mod words;

pub use connection::{
    AlgorithmUse, ConnectionSettings, Keepalive, LegacyAlgorithm, ProxyCommand, TextEncoding,
    Timeouts,
};
pub use credential::{AgentKey, AuthMethod, Credential};
pub use host::{Host, LoginShell};
pub use id::{Alias, ApprovalId, CommandHash, CredentialName, InvalidField, ShellId, Tag, TaskId};
pub use inventory::Inventory;
pub use limits::{Limits, ShellLimits};
pub use outcome::{
    Cause, ConnectFailure, Interruption, NotSeen, Outcome, Phase, Stopped, Survivors,
};
pub use output::{Chunk, Stream};
pub use problem::{Problem, Severity};
pub use request::Request;
pub use rollout::{Rollout, Share};
pub use secret::Secret;
pub use selector::{BadSelector, Selector};
pub use targets::Targets;
pub use words::{HostWords, Unseen, unseen};
