//! `hosts trust`: only a person, or a fingerprint that fits exactly, stores a key; a stored one is never replaced.

use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use sshepherd_testkit::{KeyKind, Sshd};

use crate::cli::{code, json, run, text};
use crate::site::{ALIAS, OK, Site};
use crate::terminal::Person;

/// A host with three keys, of which none is stored.
fn unknown() -> Site {
    let kinds = [KeyKind::Ed25519, KeyKind::Ecdsa, KeyKind::Rsa];
    let site = Site::over(Sshd::builder().host_keys(&kinds).start());
    site.write("known_hosts", "# mine\n");
    site
}

fn stored(site: &Site) -> String {
    std::fs::read_to_string(site.path("known_hosts")).unwrap()
}

/// The fingerprint of the first key, as `ssh-keygen` tells it.
fn fingerprint(site: &Site) -> String {
    let path = site.server().host_key().path();
    let output = Command::new("ssh-keygen").arg("-lf").arg(path).output().unwrap();
    text(&output.stdout).split(' ').nth(1).unwrap().to_owned()
}

fn lines(site: &Site) -> String {
    site.server().host_key_lines(&site.server().known_hosts_name())
}

#[test]
fn a_person_types_yes_and_all_shown_keys_are_stored() {
    let site = unknown();
    assert_eq!(code(&run(&site, &["run", ALIAS, OK])), 4);
    let mut person = Person::at(&site, &["hosts", "trust", ALIAS]);
    person.sees("Type the fingerprint, or yes to trust all of them: ");
    person.types("yes\n");
    let (screen, exit) = person.ends();
    assert_eq!(exit, 0, "{screen}");
    assert!(screen.contains(&fingerprint(&site)), "{screen}");
    assert!(screen.contains("host_trusted"), "{screen}");
    assert_eq!(stored(&site), format!("# mine\n{}", lines(&site)));
    assert_eq!(code(&run(&site, &["run", ALIAS, OK])), 0);
    let again = run(&site, &["hosts", "trust", ALIAS, "--fingerprint", "SHA256:any"]);
    assert_eq!(code(&again), 0);
    assert!(text(&again.stderr).contains("stored already"), "{}", text(&again.stderr));
    assert_eq!(stored(&site), format!("# mine\n{}", lines(&site)));
}

#[test]
fn a_typed_fingerprint_stores_its_key_alone_and_anything_else_nothing() {
    let site = unknown();
    let print = fingerprint(&site);
    for (typed, expected) in
        [("y\n", 1), ("SHA256:x\n", 1), ("\u{3}", 1), (&*format!("{print}\n"), 0)]
    {
        assert_eq!(stored(&site), "# mine\n");
        let mut person = Person::at(&site, &["hosts", "trust", ALIAS]);
        person.sees("trust all of them: ");
        person.types(typed);
        let (screen, exit) = person.ends();
        assert_eq!(exit, expected, "{typed:?}: {screen}");
    }
    let first = lines(&site).lines().next().unwrap().to_owned();
    assert_eq!(stored(&site), format!("# mine\n{first}\n"));
}

#[test]
fn without_a_person_only_the_right_fingerprint_will_do() {
    let site = unknown();
    let alone = run(&site, &["hosts", "trust", ALIAS]);
    assert_eq!(code(&alone), 2);
    assert!(text(&alone.stderr).contains("by a person at a terminal"), "{}", text(&alone.stderr));
    let print = fingerprint(&site);
    for wrong in
        ["yes", "SHA256:AAAA", print.strip_suffix(|_| true).unwrap(), &print.to_lowercase()]
    {
        let refused = run(&site, &["hosts", "trust", ALIAS, "--fingerprint", wrong]);
        assert_eq!(code(&refused), 4, "{wrong}");
        assert!(text(&refused.stderr).contains("shows no key with that fingerprint"));
    }
    assert_eq!(stored(&site), "# mine\n");
    let done = run(&site, &["--json", "hosts", "trust", ALIAS, "--fingerprint", &print]);
    assert_eq!(code(&done), 0, "{}", text(&done.stderr));
    assert_eq!(json(&done)["keys"][0]["stored"], true);
    assert_eq!(json(&done)["keys"][1]["stored"], false);
    assert_eq!(code(&run(&site, &["run", ALIAS, OK])), 0);
}

#[test]
fn the_first_key_makes_the_persons_own_file() {
    let site = unknown();
    site.write("policy.yml", "rules: []\n");
    std::fs::create_dir(site.path(".ssh")).unwrap();
    let serve = site.serve();
    let (program, rest) = serve.split_first().unwrap();
    let done = Command::new(program)
        .args(&rest[1..])
        .args(["hosts", "trust", ALIAS, "--fingerprint", &fingerprint(&site)])
        .env("HOME", site.path(""))
        .output()
        .unwrap();
    assert_eq!(code(&done), 0, "{}", text(&done.stderr));
    let own = site.path(".ssh/known_hosts");
    let first = lines(&site).lines().next().unwrap().to_owned();
    assert_eq!(std::fs::read_to_string(&own).unwrap(), format!("{first}\n"));
    assert_eq!(std::fs::metadata(&own).unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn another_stored_key_and_a_revoked_one_are_left_to_a_hand() {
    let site = unknown();
    let other = Sshd::start().host_key_line(&site.server().known_hosts_name());
    let own = lines(&site);
    let revoked = format!("@revoked {}\n", own.lines().next().unwrap());
    for (before, words) in [
        (format!("{other}\n"), "take the old one out by hand (ssh-keygen -R '["),
        (revoked, "is revoked"),
    ] {
        site.write("known_hosts", &before);
        let refused = run(&site, &["hosts", "trust", ALIAS, "--fingerprint", &fingerprint(&site)]);
        assert_eq!(code(&refused), 4);
        assert!(text(&refused.stderr).contains(words), "{}", text(&refused.stderr));
        assert_eq!(stored(&site), before);
    }
}

#[test]
fn hosts_alone_still_lists_them() {
    let site = unknown();
    let listed = run(&site, &["hosts"]);
    assert_eq!(code(&listed), 0);
    assert!(text(&listed.stdout).contains(ALIAS));
    assert_eq!(code(&run(&site, &["hosts", "trust", "nobody", "--fingerprint", "x"])), 2);
}
