//! The harness itself, tried with the real `ssh`.

#![expect(clippy::unwrap_used, reason = "tests")]

mod sshd;
mod wire;
