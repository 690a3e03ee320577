//! The transport against a real sshd on loopback, and against servers that misbehave.
#![expect(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod addresses;
mod agree;
mod asks;
mod certificates;
mod commands;
mod common;
mod dialects;
mod early_typing;
mod fake;
mod faults;
mod floods;
mod full;
mod half_open;
mod host_keys;
mod hostile;
mod interactive;
mod job;
mod job_files;
mod jumps;
mod known_hosts;
mod launch;
mod legacy;
mod links;
mod login;
mod login_order;
mod negotiation;
mod phases;
mod proxies;
mod raw;
mod refused;
mod rekey;
mod stops;
mod touch;
mod user_certificates;
