//! Any text is read as known_hosts, and a key that is not in it is never known.
#![no_main]

use std::path::Path;
use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use sshepherd_ssh::{KnownHosts, PublicKey, Verdict};

/// No line of the input holds it: its text is not in the program.
static STRANGER: LazyLock<PublicKey> = LazyLock::new(|| {
    let text = ["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI", "J0NJAlNWXFjanF4f4aNlJuiqbC3vsXM09rh6O/2/QQL"].concat();
    PublicKey::from_openssh(&text).expect("a key")
});

fuzz_target!(|input: (&str, &str, u16)| {
    let (text, name, port) = input;
    if text.contains("J0NJAlNWXFjanF4f4aNlJuiqbC3vsXM09rh6O/2/QQL") {
        return;
    }
    let mut known = KnownHosts::default();
    known.add(text, Path::new("known_hosts"));
    assert_ne!(known.verdict(name, port, &STRANGER), Verdict::Known);
    let _ = known.algorithms_for(name, port);
    let _ = known.wants_certificate(name, port);
});
