//! Reads the owner's files into typed values and reports every problem of all files with file, line and field.
//!
//! Rooms: [`folders`] (where the files are), `document` (YAML with line numbers), `files` (who may have written them),
//! `servers`, `connection` (how hosts are reached), `inventory` (what else gives hosts), `credentials`, [`secrets`], `helper` (programs that print them, or hosts), `keyring` (the system's), `policy`, [`settings`] (one room a file), `rules` (one rule), `shells` (one about interactive shells), `typed` (the typed part
//! of one), [`packs`] (ready-made rules), [`load`](mod@load) (all files together), [`starter`] (what `init` writes), [`ssh_config`] (OpenSSH's own file) and [`ansible`] (its inventories), for `import`, [`hops`] (jump hosts as entries), [`account`] (who runs this).
//!
//! This crate knows no engine and no face; what it makes is plain values of `model` and `policy`.

pub mod account;
pub mod ansible;
mod connection;
mod credentials;
mod document;
mod files;
pub mod folders;
mod helper;
pub mod hops;
mod inventory;
mod keyfile;
mod keyring;
pub mod load;
pub mod packs;
mod policy;
mod program;
mod rules;
pub mod secrets;
mod servers;
pub mod settings;
mod shells;
pub mod ssh_config;
pub mod starter;
mod typed;

pub use folders::{Environment, FolderFlags, Folders, ProcessEnvironment};
pub use inventory::watched;
pub use load::{KnownHosts, Loaded, Report, load, load_to_judge, read_policy};
pub use packs::{PACKS, Pack};
pub use settings::{Audit, Elicitation, ServerLimits, Settings, ShellBounds};
