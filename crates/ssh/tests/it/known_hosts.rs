//! known_hosts, generated: many small patterns against `ssh-keygen -F`, and texts of any kind that must not panic.

use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;

use proptest::prelude::*;
use russh::keys::{Algorithm, PublicKey};
use sshepherd_ssh::KnownHosts;
use sshepherd_testkit::{KeyKind, KeyPair, Sshd};
use tempfile::TempDir;

use crate::common::{Ran, known, pool, run, target};

/// Keys of this module, and the folder they are in.
struct Keys {
    folder: TempDir,
    ed25519: String,
    ecdsa: String,
}

fn keys() -> Keys {
    let folder = tempfile::tempdir().unwrap();
    let make = |name: &str, kind| KeyPair::generate(&folder.path().join(name), kind, "");
    let (ed25519, ecdsa) = (make("a", KeyKind::Ed25519), make("b", KeyKind::Ecdsa));
    let (ed25519, ecdsa) = (ed25519.public_key().to_owned(), ecdsa.public_key().to_owned());
    Keys { folder, ed25519, ecdsa }
}

fn parsed(key: &str) -> PublicKey {
    PublicKey::from_openssh(key).unwrap()
}

fn verdict(text: &str, name: &str, port: u16, key: &str) -> String {
    format!("{:?}", known(text).verdict(name, port, &parsed(key)))
}

/// The line numbers that `ssh-keygen -F` finds.
fn found_lines(file: &Path, name: &str) -> Vec<usize> {
    let output =
        Command::new("ssh-keygen").arg("-F").arg(name).arg("-f").arg(file).output().unwrap();
    String::from_utf8(output.stdout)
        .unwrap()
        .lines()
        .filter_map(|line| line.strip_prefix("# Host ")?.split_once(": line ")?.1.split(' ').next())
        .map(|number| number.parse().unwrap())
        .collect()
}

/// Every list of one or two of these, for names on port 22 and on another: each line must match for both or for neither.
#[test]
fn generated_pattern_lists_agree_with_ssh_keygen() {
    let keys = keys();
    let parts = [
        "a.b",
        "A.B",
        "a.c",
        "*",
        "?.b",
        "a.*",
        "*.b",
        "a?b",
        "a*b*",
        "**",
        "!a.b",
        "!*.b",
        "!?.c",
        "[a.b]:23",
        "[*]:23",
        "[a.b]:*",
        "![a.b]:23",
        "[A.?]:2?",
        "[a.b]:22",
        "",
    ];
    let mut lists: Vec<String> =
        parts.iter().filter(|p| !p.is_empty()).map(|p| (*p).to_owned()).collect();
    for first in parts {
        lists.extend(parts.iter().map(|second| format!("{first},{second}")));
    }
    let lines: Vec<String> = lists.iter().map(|list| format!("{list} {}", keys.ed25519)).collect();
    let file = keys.folder.path().join("known_hosts");
    std::fs::write(&file, lines.join("\n") + "\n").unwrap();
    let mut matched = 0;
    for (name, port) in
        [("a.b", 22), ("a.c", 22), ("A.b", 22), ("a.b", 23), ("a.c", 23), ("b", 22), ("a.b", 24)]
    {
        let shown = if port == 22 { name.to_owned() } else { format!("[{name}]:{port}") };
        let theirs = found_lines(&file, &shown);
        for (index, line) in lines.iter().enumerate() {
            let ours = verdict(line, name, port, &keys.ed25519) == "Known";
            assert_eq!(ours, theirs.contains(&(index + 1)), "{:?} for {shown}", lists.get(index));
            matched += usize::from(ours);
        }
    }
    assert!(matched > 500, "only {matched} matches: the cases say little");
}

#[test]
fn revocation_wins_in_any_order_and_through_wildcards_and_hashes() {
    let keys = keys();
    let key = &keys.ed25519;
    let file = keys.folder.path().join("hashed");
    std::fs::write(&file, format!("web {key}\n")).unwrap();
    assert!(
        Command::new("ssh-keygen")
            .arg("-H")
            .arg("-f")
            .arg(&file)
            .output()
            .unwrap()
            .status
            .success()
    );
    let hashed = std::fs::read_to_string(&file).unwrap();
    for text in [
        format!("@revoked web {key}\nweb {key}\n"),
        format!("web {key}\n@revoked\tW?B\t{key}\n"),
        format!("web {key}\n@revoked *,!other {key}\n"),
        format!("@cert-authority * {key}\nweb {key}\n@revoked {hashed}"),
        format!("@revoked * {key}\n"),
    ] {
        let verdict = verdict(&text, "web", 22, key);
        assert!(verdict.starts_with("Revoked"), "{verdict}: {text}");
    }
    let spared = format!("web {key}\n@revoked *,!web {key}\n@revoked web {}\n", keys.ecdsa);
    assert_eq!(verdict(&spared, "web", 22, key), "Known");
}

#[test]
fn another_algorithm_is_changed_unless_the_key_is_stored_too() {
    let keys = keys();
    let other = format!("web {}\n", keys.ecdsa);
    assert!(verdict(&other, "web", 22, &keys.ed25519).starts_with("Changed"));
    let both = format!("{other}* {}\n", keys.ed25519);
    assert_eq!(verdict(&both, "web", 22, &keys.ed25519), "Known");
    let authority = format!("@cert-authority web {}\n", keys.ed25519);
    assert_eq!(verdict(&authority, "web", 22, &keys.ed25519), "Unknown");
    let mixed = format!("{authority}{other}");
    assert!(verdict(&mixed, "web", 22, &keys.ed25519).starts_with("Changed"));
}

#[test]
fn only_plain_entries_of_the_host_order_the_negotiation() {
    let keys = keys();
    let text = format!(
        "web {}\n@revoked web {}\n@cert-authority web {}\nother {}\n[web]:23 {}\n",
        keys.ecdsa, keys.ed25519, keys.ed25519, keys.ed25519, keys.ed25519
    );
    let known = known(&text);
    assert_eq!(known.algorithms_for("WEB", 22), [parsed(&keys.ecdsa).algorithm()]);
    assert_eq!(known.algorithms_for("web", 23), [Algorithm::Ed25519]);
    assert_eq!(known.algorithms_for("web", 24), []);
}

#[test]
fn entries_of_many_types_beside_the_right_one_do_no_harm() {
    let keys = keys();
    let text =
        format!("web ssh-dss AAAAB3NzaC1kc3MAAAAB\nweb 1024 35 1234567\nweb {}\n", keys.ed25519);
    assert_eq!(verdict(&text, "web", 22, &keys.ed25519), "Known");
    let crlf = format!("# note\r\nweb {}\r\n", keys.ed25519);
    assert_eq!(verdict(&crlf, "web", 22, &keys.ed25519), "Known");
}

#[test]
fn failures_show_the_fingerprint_that_ssh_keygen_shows() {
    let keys = keys();
    let output = Command::new("ssh-keygen")
        .arg("-lf")
        .arg(keys.folder.path().join("a.pub"))
        .output()
        .unwrap();
    let shown = String::from_utf8(output.stdout).unwrap();
    let print = shown.split(' ').find(|word| word.starts_with("SHA256:")).unwrap();
    let key = parsed(&keys.ed25519);
    let unknown = known("").check("web", 2222, &key).unwrap_err();
    assert!(unknown.detail.contains(print), "{unknown:?}");
    assert!(unknown.hint.contains("ssh-keyscan -p 2222 web"), "{unknown:?}");
    let changed =
        known(&format!("\n[web]:2222 {}\n", keys.ecdsa)).check("web", 2222, &key).unwrap_err();
    assert!(changed.detail.contains(print) && changed.detail.contains("known:2"), "{changed:?}");
    assert!(changed.hint.contains("ssh-keygen -R '[web]:2222' -f '"), "{changed:?}");
}

#[tokio::test]
async fn seed_defect_14_a_host_on_another_port_needs_just_its_one_line() {
    let server = Sshd::start();
    let line = server.host_key_line(&server.known_hosts_name());
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("known_hosts");
    std::fs::write(&file, format!("{line}\n")).unwrap();
    let mut target = target(&server);
    target.known_hosts = std::sync::Arc::new(KnownHosts::load_file(&file).unwrap());
    let ran = run(&pool(), &std::sync::Arc::new(target), "echo in").await;
    assert_eq!(ran, Ran::said("in\n", "", 0));
}

/// OpenSSH separates fields by blanks and tabs only; a line with anything else between or before them is no entry.
#[test]
fn only_blanks_and_tabs_separate() {
    let keys = keys();
    let file = keys.folder.path().join("known_hosts");
    for odd in ["\u{b}", "\u{c}", "\r", "\u{a0}"] {
        for line in [format!("web{odd}{}\n", keys.ed25519), format!("{odd}web {}\n", keys.ed25519)]
        {
            std::fs::write(&file, &line).unwrap();
            assert!(found_lines(&file, "web").is_empty(), "OpenSSH has changed: {line:?}");
            assert_eq!(verdict(&line, "web", 22, &keys.ed25519), "Unknown", "{line:?}");
        }
    }
}

const KEY: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f";

proptest! {
    /// Nothing that a file can hold panics, and nothing but a whole entry makes a key known.
    #[test]
    fn any_text_is_read_without_panic(text in any::<String>(), name in any::<String>(), port: u16) {
        let key = parsed(KEY);
        prop_assert_ne!(format!("{:?}", known(&text).verdict(&name, port, &key)), "Known");
        drop(known(&text).algorithms_for(&name, port));
    }

    /// The same near real entries: markers, hashes, lists and torn keys in any order.
    #[test]
    fn texts_near_entries_are_read_without_panic(
        words in proptest::collection::vec(
            prop_oneof![
                Just("@revoked"), Just("@cert-authority"), Just("|1|"), Just("|1||"), Just("*,!"), Just("[w]:"),
                Just("\n"), Just("\t"), Just(" "), Just("ssh-ed25519"), Just("AAAA"), Just("é"), Just("\0"),
                Just("\u{a0}"), Just("="), Just(KEY),
            ],
            0..40,
        ),
        port: u16,
    ) {
        let mut text = String::new();
        for word in words {
            write!(text, "{word}").unwrap();
        }
        let known = known(&text);
        let plain = text.lines().any(|line| line.contains(KEY));
        let verdict = format!("{:?}", known.verdict("w", port, &parsed(KEY)));
        prop_assert!(plain || verdict != "Known", "{text:?}");
        drop(known.algorithms_for("w", port));
    }
}

#[test]
fn only_regular_files_of_a_bounded_size_are_read() {
    let folder = tempfile::tempdir().unwrap();
    let pipe = folder.path().join("pipe");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    for odd in [folder.path(), pipe.as_path(), Path::new("/dev/null")] {
        let failure = KnownHosts::load_file(odd).map(drop).unwrap_err();
        assert!(failure.detail.contains("not a regular file"), "{failure:?}");
    }
    let large = folder.path().join("large");
    std::fs::File::create(&large).unwrap().set_len(64 * 1024 * 1024 + 1).unwrap();
    let failure = KnownHosts::load_file(&large).map(drop).unwrap_err();
    assert!(failure.detail.contains("larger than"), "{failure:?}");
}
