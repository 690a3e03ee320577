//! The promise of tasks under attack: accepted jobs are not lost, not run twice, and their output is whole.
//!
//! Beside it the load: endless outputs and silent hosts; and fan-outs over a thousand hosts of which some fail.
//!
//! The plain test run makes a short slice. `scripts/torture`, `scripts/load` and `scripts/fleet` make the long forms; see there for their
//! settings.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::wildcard_enum_match_arm,
    reason = "tests"
)]

mod cancels;
mod chaos;
mod crowd;
mod fleet;
mod ground;
mod ledger;
mod load;
mod native;
mod person;
mod server;
mod steps;

/// A setting of the long form, or the short slice's value.
fn setting(name: &str, short: u64) -> u64 {
    let variable = format!("SSHEPHERD_TORTURE_{name}");
    match std::env::var(&variable) {
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("{variable}={text} is no number")),
        Err(_) => short,
    }
}
