//! What tests need around the product: a real sshd on loopback, an ssh-agent, faults on the wire, and eyes on processes.
//!
//! Rooms: [`sshd`] (the machine's own OpenSSH server with throw-away keys), [`account`] (who to log in as, and a
//! plain system account with a password), [`keys`] (key pairs made with `ssh-keygen`), [`agent`] (a private
//! `ssh-agent`), [`security_key`] (an agent whose one key wants to be touched), [`proxy`] (a TCP proxy that cuts, stalls and resets), [`mute`] (servers that stop at a phase),
//! [`pty`] (a program under a pseudo terminal), [`processes`] (who is alive, read from `/proc`). Fake hosts that execute nothing are
//! [`sshepherd_fakehost`], re-exported as [`fakehost`].
//!
//! Everything a value starts ends when it is dropped, except remote commands that outlived their session:
//! whether those are gone is what tests want to see. Nothing here needs an async runtime. This crate panics,
//! with one line that says what to do, when the machine lacks something: it is a dev-dependency and nothing else.

#![expect(
    clippy::expect_used,
    clippy::panic,
    reason = "a test kit reports a machine that cannot run the test by failing the test"
)]

pub mod account;
pub mod agent;
pub mod keys;
pub mod mute;
pub mod processes;
pub mod proxy;
pub mod pty;
pub mod security_key;
pub mod sshd;

pub use account::TestUser;
pub use agent::Agent;
pub use keys::{KeyKind, KeyPair};
pub use mute::{MuteServer, banner_only_server, silent_server};
pub use proxy::{FaultProxy, LinkFate, Stall};
pub use pty::Pty;
pub use security_key::SecurityKey;
pub use sshd::{Sshd, SshdBuilder};
pub use sshepherd_fakehost as fakehost;
