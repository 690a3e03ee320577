//! Our reading of known_hosts against OpenSSH's: `ssh-keygen -F` and `ssh` itself, on the same lines.

use std::path::Path;
use std::process::{Command, Stdio};

use russh::keys::PublicKey;
use sshepherd_testkit::{KeyKind, KeyPair, Sshd};

use crate::common::known;

/// Patterns for the host `web.example`, on port 22 and on port 2222, and for other names.
const PATTERNS: [&str; 30] = [
    "web.example",
    "WEB.Example",
    "other.example",
    "web.example,other.example",
    "other.example,web.example",
    "*.example",
    "*",
    "w?b.example",
    "w??b.example",
    "web.*",
    "web.example*",
    "*web.example*",
    "!web.example",
    "*,!web.example",
    "!web.example,*",
    "*.example,!other.example",
    "!*.example,web.example",
    "[web.example]:22",
    "[web.example]:2222",
    "[WEB.example]:2222",
    "[web.example]:*",
    "[*.example]:2222",
    "[web.example]:222?",
    "*:2222",
    "[web.example]:2223",
    "web.example:2222",
    "[web.example]",
    "*,![web.example]:2222",
    "web.exampl",
    "eb.example",
];

fn public(pair: &KeyPair) -> PublicKey {
    PublicKey::from_openssh(pair.public_line()).unwrap()
}

fn keygen_finds(file: &Path, name: &str) -> bool {
    let output =
        Command::new("ssh-keygen").arg("-F").arg(name).arg("-f").arg(file).output().unwrap();
    output.status.success()
}

/// 30 patterns in three spellings (spaces, tab, comment), plain and hashed where that is possible, for two ports.
#[test]
fn matching_agrees_with_ssh_keygen() {
    let folder = tempfile::tempdir().unwrap();
    let pair = KeyPair::generate(&folder.path().join("key"), KeyKind::Ed25519, "");
    let key = pair.public_key();
    let file = folder.path().join("known_hosts");
    let mut cases = 0;
    for pattern in PATTERNS {
        for line in [
            format!("{pattern} {key}\n"),
            format!("{pattern}\t{}\n", key.replace(' ', "\t")),
            format!("# note\n\n  {pattern} {key} a comment\n"),
        ] {
            std::fs::write(&file, &line).unwrap();
            for port in [22, 2222] {
                let name = if port == 22 {
                    "web.example".to_owned()
                } else {
                    format!("[web.example]:{port}")
                };
                let ours =
                    format!("{:?}", known(&line).verdict("web.example", port, &public(&pair)));
                let theirs = if keygen_finds(&file, &name) { "Known" } else { "Unknown" };
                assert_eq!(ours, theirs, "{line:?} on port {port}");
                cases += 1;
            }
        }
    }
    assert!(cases >= 180);
}

#[test]
fn hashed_names_agree_with_ssh_keygen() {
    let folder = tempfile::tempdir().unwrap();
    let pair = KeyPair::generate(&folder.path().join("key"), KeyKind::Ed25519, "");
    let file = folder.path().join("known_hosts");
    let key = pair.public_key();
    std::fs::write(&file, format!("web.example {key}\n[web.example]:2222 {key}\n")).unwrap();
    let hashed = Command::new("ssh-keygen").arg("-H").arg("-f").arg(&file).output().unwrap();
    assert!(hashed.status.success());
    let text = std::fs::read_to_string(&file).unwrap();
    assert!(
        text.lines().count() == 2 && text.lines().all(|line| line.starts_with("|1|")),
        "{text}"
    );
    let known = known(&text);
    for (name, port, expected) in [
        ("web.example", 22, "Known"),
        ("WEB.EXAMPLE", 22, "Known"),
        ("web.example", 2222, "Known"),
        ("web.example", 2223, "Unknown"),
        ("other.example", 22, "Unknown"),
    ] {
        assert_eq!(
            format!("{:?}", known.verdict(name, port, &public(&pair))),
            expected,
            "{name}:{port}"
        );
    }
}

#[test]
fn broken_lines_are_never_accepted() {
    let folder = tempfile::tempdir().unwrap();
    let pair = KeyPair::generate(&folder.path().join("key"), KeyKind::Ed25519, "");
    let key = pair.public_key();
    let blob = key.split(' ').nth(1).unwrap();
    for line in [
        format!("@unknown-marker web.example {key}"),
        format!("web.example ssh-rsa {blob}"),
        "web.example ssh-ed25519".to_owned(),
        "web.example ssh-ed25519 AAAA".to_owned(),
        format!("web.example {blob}"),
        format!("|1|bad {key}"),
        format!("|2|a|b {key}"),
        format!("web.example, {}", key.replace("ssh-ed25519", "")),
    ] {
        assert_eq!(
            format!("{:?}", known(&line).verdict("web.example", 22, &public(&pair))),
            "Unknown",
            "{line}"
        );
    }
}

/// Whether `ssh` itself gets past the host key of this server.
fn ssh_accepts(server: &Sshd, file: &Path) -> bool {
    let output = Command::new("ssh")
        .args(["-F", "none", "-o", "BatchMode=yes", "-o", "IdentitiesOnly=yes"])
        .args(["-o", "IdentityAgent=none", "-o", "StrictHostKeyChecking=yes"])
        .args(["-o", "GlobalKnownHostsFile=/dev/null", "-o", "UpdateHostKeys=no"])
        .arg("-o")
        .arg(format!("UserKnownHostsFile={}", file.display()))
        .arg("-i")
        .arg(server.user_key_path())
        .args(["-p", &server.port().to_string(), "-l", server.user(), "127.0.0.1", "true"])
        .stdin(Stdio::null())
        .output()
        .unwrap();
    output.status.success()
}

/// The same files, read by `ssh` and by us, against a real server on a port of its own.
#[test]
fn acceptance_agrees_with_ssh() {
    let folder = tempfile::tempdir().unwrap();
    let server = Sshd::start();
    let other = KeyPair::generate(&folder.path().join("other"), KeyKind::Ed25519, "").public_key();
    let ecdsa = KeyPair::generate(&folder.path().join("ecdsa"), KeyKind::Ecdsa, "").public_key();
    let name = server.known_hosts_name();
    let line = server.host_key_line(&name);
    let own = line.split_once(' ').unwrap().1.to_owned();
    let key = PublicKey::from_openssh(&own).unwrap();
    let file = folder.path().join("known_hosts");
    for text in [
        String::new(),
        format!("{name} {own}\n"),
        format!("{name}\t{own} comment\n"),
        format!("{name} {other}\n"),
        format!("{name} {ecdsa}\n"),
        format!("{name} {other}\n{name} {own}\n"),
        format!("{name} {own}\n{name} {other}\n"),
        format!("{name} {ecdsa}\n{name} {own}\n"),
        format!("{name} {own}\n@revoked {name} {own}\n"),
        format!("@revoked * {own}\n{name} {own}\n"),
        format!("{name} {own}\n@revoked {name} {other}\n"),
        format!("@cert-authority {name} {own}\n"),
        format!("* {own}\n"),
        format!("[127.0.0.1]:* {own}\n"),
        format!("[127.0.0.?]:{} {own}\n", server.port()),
        format!("*,!10.* {own}\n"),
        format!("127.0.0.2 {own}\n"),
        format!("127.0.0.1 {other}\n"),
        format!("@bad {name} {own}\n"),
    ] {
        std::fs::write(&file, &text).unwrap();
        let ours = known(&text).check("127.0.0.1", server.port(), &key).is_ok();
        assert_eq!(ours, ssh_accepts(&server, &file), "{text}");
    }
}

/// `ssh` falls back to the bare name when no key is stored under `[name]:port` and the bare name's key is the one shown;
/// so also past a pattern that takes `[name]:port` out. Ours does not: stricter.
#[test]
fn the_bare_name_does_not_vouch_for_another_port() {
    let folder = tempfile::tempdir().unwrap();
    let server = Sshd::start();
    let text = format!("{}\n", server.host_key_line("127.0.0.1"));
    let file = folder.path().join("known_hosts");
    let own = text.trim().split_once(' ').unwrap().1.to_owned();
    let key = PublicKey::from_openssh(&own).unwrap();
    for text in [text, format!("!{},* {own}\n", server.known_hosts_name())] {
        std::fs::write(&file, &text).unwrap();
        assert!(ssh_accepts(&server, &file), "OpenSSH has changed; see whether ours should");
        let failure = known(&text).check("127.0.0.1", server.port(), &key).unwrap_err();
        assert!(failure.detail.contains("is not known"), "{failure:?}");
    }
}
