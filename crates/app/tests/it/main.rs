//! The built binary from outside: over MCP with two clients in both protocol eras, against a real sshd.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]

mod canaries;
mod cli;
mod import;
mod import_ansible;
mod mcp;
mod memory;
mod python;
mod reload;
mod serving;
mod shells;
mod site;
mod terminal;
mod touch;
mod trust;
mod typescript;
mod unusable;
