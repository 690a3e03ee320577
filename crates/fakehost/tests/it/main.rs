//! Fake hosts driven by russh's client over pipes and by the real `ssh` over loopback.

#![expect(clippy::unwrap_used, clippy::panic, clippy::wildcard_enum_match_arm, reason = "tests")]

mod client;
mod commands;
mod faults;
mod real_ssh;
