//! The crate from outside: the language against real shells, the corpora, the rules, the network lists.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    reason = "tests"
)]

mod builtins;
mod commands;
mod corpora;
mod denials;
mod detours;
mod edges;
mod executed;
mod filters;
mod globs;
mod language;
mod limits;
mod lints;
mod opening;
mod shells;
mod site;
mod surroundings;
mod terminals;
