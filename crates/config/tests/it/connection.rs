//! How hosts are reached: every key with its bounds, who comes first, and which programs may be run for it.

use std::time::Duration;

use sshepherd_model::{ConnectionSettings, Keepalive, LegacyAlgorithm, TextEncoding};

use crate::folder::Folder;

/// A folder whose only host has these keys besides, on line 3.
fn host(keys: &str) -> Folder {
    let folder = Folder::sound();
    let text = format!(
        "hosts:\n  - {{alias: web1, host: web1.example, credentials: ops,\n     {keys}}}\n"
    );
    folder.write("servers.yml", &text);
    folder
}

fn settings(folder: &Folder, alias: &str) -> ConnectionSettings {
    let loaded = folder.load().unwrap();
    loaded.inventory.host(&alias.parse().unwrap()).unwrap().connection.clone()
}

fn seconds(count: u64) -> Option<Duration> {
    Some(Duration::from_secs(count))
}

#[test]
fn every_key_is_read() {
    let folder = host(
        "timeouts: {connect: 1, login: 600, channel: 7}, keepalive: {seconds: 5, count: 2}, encoding: latin1",
    );
    let read = settings(&folder, "web1");
    let timeouts = read.timeouts;
    assert_eq!(
        (timeouts.connect, timeouts.login, timeouts.channel),
        (seconds(1), seconds(600), seconds(7))
    );
    assert_eq!(read.keepalive, Some(Keepalive { every: Duration::from_secs(5), missed: 2 }));
    assert_eq!(read.encoding, Some(TextEncoding("windows-1252")));

    for off in ["off", "false", "'off'"] {
        assert_eq!(settings(&host(&format!("keepalive: {off}")), "web1").keepalive, None, "{off}");
    }
    let partly = settings(&host("keepalive: {seconds: 60}"), "web1").keepalive.unwrap();
    assert_eq!((partly.every.as_secs(), partly.missed), (60, 3));
    assert_eq!(settings(&host("encoding: UTF-8"), "web1").encoding, None);
    assert_eq!(settings(&host("port: 22"), "web1"), ConnectionSettings::default());
}

#[test]
fn each_bad_value_is_an_error_at_its_place() {
    for (keys, problem) in [
        ("timeouts: {connect: 0}", "timeouts.connect: must be between 1 and 600"),
        ("timeouts: {login: 601}", "timeouts.login: must be between 1 and 600"),
        ("timeouts: {channel: soon}", "timeouts.channel: must be a whole number"),
        ("timeouts: {chanel: 5}", "timeouts.chanel: unknown key; did you mean channel?"),
        ("timeouts: {connect: }", "timeouts.connect: has no value"),
        ("timeouts: 5", "timeouts: must be a mapping"),
        ("keepalive: never", "keepalive: \"never\" is neither off nor a mapping"),
        ("keepalive: 15", "keepalive: must be a mapping"),
        ("keepalive: {seconds: 0}", "keepalive.seconds: must be between 1 and 3600"),
        ("keepalive: {count: 0}", "keepalive.count: must be between 1 and 1000"),
        ("keepalive: {every: 5}", "keepalive.every: unknown key"),
        ("legacy: ssh-rsa", "legacy: must be a list"),
        (
            "legacy: [ssh-dss]",
            "legacy[0]: \"ssh-dss\" is no legacy algorithm; known are ssh-rsa, group14-sha1",
        ),
        ("legacy: [SSH-RSA]", "legacy[0]: \"SSH-RSA\" is no legacy algorithm"),
        ("legacy: ", "legacy: must be a list"),
        ("encoding: klingon", "encoding: \"klingon\" is no encoding of text"),
        ("encoding: utf-16", "encoding: UTF-16LE does not contain ASCII"),
        ("encoding: iso-2022-jp", "encoding: ISO-2022-JP does not contain ASCII"),
        ("proxy_command: ssh -W gate", "proxy_command: must be a list of words"),
        ("proxy_command: []", "proxy_command: must be a list of words"),
        ("proxy_command: ['']", "proxy_command: must be a list of words"),
        ("proxy_command: [bin/nc]", "proxy_command: must be a list of words"),
        ("proxy_command: ['%h']", "proxy_command: must be a list of words"),
        ("proxy_command: [sh, 22]", "proxy_command[1]: must be text"),
        ("proxy_command: [sh, '%x']", "proxy_command[1]: %x stands for nothing; known are %h"),
        ("proxy_command: [sh, '50%']", "proxy_command[1]: % stands for nothing"),
        (
            "proxy_command: [/etc/passwd]",
            "proxy_command[0]: /etc/passwd is no program that can be run",
        ),
        ("proxy_command_trusted: maybe", "proxy_command_trusted: must be true or false"),
    ] {
        let problems = host(keys).problems();
        let found = problems.iter().any(|text| {
            text.starts_with("servers.yml:3 Error hosts[0].") && text.contains(problem)
        });
        assert!(found, "{keys}: {problems:?}");
    }
}

#[test]
fn an_entry_comes_before_its_tags_and_those_before_the_defaults() {
    let folder = Folder::sound();
    folder.write(
        "servers.yml",
        "defaults: {timeouts: {connect: 1, login: 2, channel: 3}, keepalive: off, legacy: [3des]}\n\
         tags:\n  old: {timeouts: {login: 20}, legacy: [ssh-rsa, cbc], encoding: gbk}\n  \
         slow: {timeouts: {login: 30, channel: 30}}\n  gone: {keepalive: off}\n\
         hosts:\n  - {alias: a, host: a, credentials: ops, tags: [old, slow], timeouts: {channel: 300}, legacy: []}\n  \
         - {alias: b, host: b, credentials: ops, tags: [slow, old], keepalive: {seconds: 9, count: 9}}\n  \
         - {alias: c, host: c, credentials: ops}\n",
    );
    let times = |alias: &str| {
        let timeouts = settings(&folder, alias).timeouts;
        [timeouts.connect, timeouts.login, timeouts.channel].map(|time| time.unwrap().as_secs())
    };
    assert_eq!(times("a"), [1, 20, 300], "the first of a host's tags counts");
    assert_eq!(times("b"), [1, 30, 30]);
    assert_eq!(times("c"), [1, 2, 3]);
    assert_eq!(settings(&folder, "a").legacy.len(), 0);
    let cbc = LegacyAlgorithm::named("cbc").unwrap().iter().copied();
    assert_eq!(
        settings(&folder, "b").legacy,
        cbc.chain([LegacyAlgorithm::SshRsa]).collect(),
        "a list replaces the one that it comes before"
    );
    assert_eq!(settings(&folder, "c").legacy, [LegacyAlgorithm::TripleDesCbc].into());
    assert_eq!(settings(&folder, "b").encoding, Some(TextEncoding("GBK")));
    assert_eq!(settings(&folder, "a").keepalive, None);
    assert_eq!(settings(&folder, "b").keepalive.unwrap().missed, 9);
    let warnings = folder.warnings();
    let said = |wanted: &str| warnings.iter().any(|warning| warning.contains(wanted));
    assert!(said("servers.yml:5 Warning tags.gone: no host has the tag gone"), "{warnings:?}");
}

#[test]
fn a_weak_algorithm_is_a_warning_that_says_what_it_weakens() {
    for (word, weakness) in [
        ("ssh-rsa", "SHA-1"),
        ("group1-sha1", "1024 bits"),
        ("diffie-hellman-group14-sha1", "SHA-1"),
        ("cbc", "guess at parts of the text"),
        ("3des-cbc", "64 bits"),
        ("hmac-sha1", "SHA-1"),
    ] {
        let warnings = host(&format!("legacy: [{word}]")).warnings();
        let wanted =
            format!("servers.yml:3 Warning hosts[0].legacy: weakens the connection: {word} ");
        assert!(
            warnings.iter().any(|text| text.starts_with(&wanted) && text.contains(weakness)),
            "{warnings:?}"
        );
    }
    assert_eq!(host("legacy: []").warnings(), Vec::<String>::new());
}

#[test]
fn a_program_is_found_and_held_against_its_writers() {
    let proxy = |folder: &Folder| settings(folder, "web1").proxy.unwrap();
    let found = proxy(&host("proxy_command: [sh, -c, \"x %h:%p\"], proxy_command_trusted: true"));
    assert!(found.program.as_ref().unwrap().is_absolute(), "{found:?}");
    assert_eq!(found.arguments, ["-c", "x %h:%p"]);
    assert!(found.trusted);

    let folder = host("port: 22");
    folder.write("nc", "#!/bin/sh\n");
    let path = folder.path("nc");
    let with = |folder: &Folder| {
        let line = format!("proxy_command: [{}]", path.display());
        folder.write(
            "servers.yml",
            &format!(
                "hosts:\n  - {{alias: web1, host: web1.example, credentials: ops,\n     {line}}}\n"
            ),
        );
    };
    with(&folder);
    for (mode, problem) in [
        (0o600, "is no program that can be run"),
        (0o777, "can be written by others"),
        (0o770, "can be written by others"),
    ] {
        folder.mode("nc", mode);
        let problems = folder.problems();
        assert!(problems.iter().any(|text| text.contains(problem)), "{mode:o}: {problems:?}");
    }
    folder.mode("nc", 0o755);
    assert_eq!(proxy(&folder).program.unwrap(), path);
    folder.mode("", 0o777);
    let problems = folder.problems();
    assert!(problems.iter().any(|text| text.contains("its folder")), "{problems:?}");
    folder.mode("", 0o700);

    // One that is not there is no reason to lose the other hosts.
    std::fs::remove_file(&path).unwrap();
    let warnings = folder.warnings();
    assert!(warnings.iter().any(|text| text.contains("is not there")), "{warnings:?}");
    assert!(proxy(&folder).program.unwrap_err().contains("is not there"));
}

#[test]
fn only_the_owners_files_name_programs() {
    let folder = Folder::sound();
    let printed =
        "hosts: [{alias: x, host: x, credentials: ops, tags: [ssm], proxy_command: [sh]}]";
    folder.write("cloud", &format!("#!/bin/sh\ncat <<'E'\n{printed}\nE\n"));
    folder.mode("cloud", 0o700);
    let servers = |keys: &str| {
        let command = folder.path("cloud");
        format!("{keys}inventory: [{{command: [{}]}}]\nhosts: []\n", command.display())
    };
    folder.write("servers.yml", &servers(""));
    let problems = folder.problems();
    assert!(
        problems
            .iter()
            .any(|text| text
                .contains("proxy_command: is taken from servers.yml and servers.d alone")),
        "{problems:?}"
    );
    // A tag of the owner's may name one for such hosts, but nobody else lifts the network policy.
    folder.write(
        "cloud",
        &format!("#!/bin/sh\necho '{}'\n", printed.replace(", proxy_command: [sh]", "")),
    );
    folder.mode("cloud", 0o700);
    folder.write("servers.yml", &servers("tags: {ssm: {proxy_command: [sh, '%h']}}\n"));
    let proxy = settings(&folder, "x").proxy.unwrap();
    assert!(!proxy.trusted);
    folder.write(
        "servers.yml",
        &servers("tags: {ssm: {proxy_command: [sh], proxy_command_trusted: true}}\n"),
    );
    let problems = folder.problems();
    assert!(
        problems.iter().any(|text| text.contains("proxy_command_trusted: unknown key")),
        "{problems:?}"
    );
}

#[test]
fn a_host_is_reached_one_way() {
    let folder = Folder::sound();
    let write = |own: &str| {
        folder.write(
            "servers.yml",
            &format!(
                "tags: {{t: {{proxy_command: [sh]}}}}\nhosts:\n  - {{alias: gate, host: gate, credentials: ops}}\n  \
                 - {{alias: a, host: a, credentials: ops, tags: [t], {own}}}\n"
            ),
        );
    };
    write("jump: gate, proxy_command: [sh]");
    let problems = folder.problems();
    assert!(
        problems
            .iter()
            .any(|text| text
                .contains("servers.yml:4 Error hosts[1].proxy_command: stands beside jump")),
        "{problems:?}"
    );
    write("jump: gate");
    assert_eq!(settings(&folder, "a").proxy, None, "its own entry comes first");
    write("proxy_command: none");
    assert_eq!(settings(&folder, "a").proxy, None);
    write("port: 22");
    assert!(settings(&folder, "a").proxy.is_some());
}

#[test]
fn what_escapes_the_network_policy_is_a_warning() {
    let with = |network: &str, trusted: bool| {
        let folder = host(&format!("proxy_command: [sh], proxy_command_trusted: {trusted}"));
        folder.write("policy.yml", &format!("network: {network}\nrules: []\n"));
        let warnings = folder.warnings();
        warnings
            .into_iter()
            .filter(|text| text.contains("hosts[0].proxy_command: web1"))
            .collect::<Vec<_>>()
    };
    let allow = with("{allow_cidrs: [10.0.0.0/8]}", false);
    assert!(
        allow.iter().any(|text| text.contains("is refused when it is connected to")),
        "{allow:?}"
    );
    assert!(allow.iter().any(|text| text.contains("proxy_command_trusted: true")), "{allow:?}");
    let block = with("{block_cidrs: [10.0.0.0/8]}", false);
    assert!(
        block.iter().any(|text| text.contains("cannot be held against the block list")),
        "{block:?}"
    );
    assert_eq!(with("{allow_cidrs: [10.0.0.0/8]}", true), Vec::<String>::new());
}

#[test]
fn a_zone_belongs_to_a_link_local_address() {
    let load = |address: &str, more: &str| {
        let folder = Folder::sound();
        folder.write(
            "servers.yml",
            &format!(
                "hosts:\n  - {{alias: gate, host: gate, credentials: ops}}\n  \
                 - {{alias: a, host: '{address}', credentials: ops{more}}}\n"
            ),
        );
        folder
    };
    for address in ["fe80::1%eth0", "[fe80::1%eth0]", "fe80::fc:ff:fe00:1%2", "fe80::1%br-lan.10"] {
        let loaded = load(address, "").load().unwrap();
        assert_eq!(loaded.inventory.host(&"a".parse().unwrap()).unwrap().address, address);
    }
    for address in [
        "fe80::1%",
        "fe80::1%eth 0",
        "fe80::1%-x",
        "2001:db8::1%eth0",
        "10.0.0.1%eth0",
        "a%eth0",
        "fe80::1%eth0/64",
        "fe80::1%0123456789abcdef",
    ] {
        let problems = load(address, "").problems();
        assert!(
            problems.iter().any(|text| text.contains("hosts[1].host:")),
            "{address}: {problems:?}"
        );
    }
    let problems = load("fe80::1%eth0", ", jump: gate").problems();
    assert!(
        problems.iter().any(|text| text.contains("names an interface of this machine")),
        "{problems:?}"
    );
}
