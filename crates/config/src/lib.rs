//! Reads the owner's files into typed values and reports every problem of all files with file, line and field.
//!
//! Rooms: [`folders`] (where the files are), `document` (YAML with line numbers), `files` (who may have written them),
//! `servers`, `credentials`, [`secrets`], `policy`, [`settings`] (one room a file), [`load`](mod@load) (all of them
//! together), [`starter`] (what `init` writes).
//!
//! This crate knows no engine and no face; what it makes is plain values of `model` and `policy`.

mod credentials;
mod document;
mod files;
pub mod folders;
pub mod load;
mod policy;
pub mod secrets;
mod servers;
pub mod settings;
pub mod starter;

pub use folders::{Environment, FolderFlags, Folders, ProcessEnvironment};
pub use load::{KnownHosts, Loaded, Report, load};
pub use settings::Settings;
