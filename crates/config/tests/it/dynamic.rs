//! Hosts from the files of `servers.d` and from programs: what is taken, in which order, and where each error is said to be.

use std::fs;

use crate::folder::Folder;

fn with(files: &[(&str, &str)]) -> Folder {
    let folder = Folder::sound();
    fs::create_dir(folder.path("servers.d")).unwrap();
    folder.mode("servers.d", 0o700);
    for (name, text) in files {
        folder.write(name, text);
    }
    folder
}

fn host(alias: &str, more: &str) -> String {
    format!("hosts:\n  - {{alias: {alias}, host: {alias}.example, credentials: ops{more}}}\n")
}

/// `servers.yml` with the host web1 and a program of these words.
fn printing(folder: &Folder, argv: &str, more: &str) {
    let servers = format!("{}inventory:\n  - command: {argv}\n{more}", host("web1", ""));
    folder.write("servers.yml", &servers);
}

fn aliases(folder: &Folder) -> Vec<String> {
    let loaded = folder.load().unwrap_or_else(|report| panic!("{report}"));
    loaded.inventory.hosts().iter().map(|host| host.alias.to_string()).collect()
}

#[track_caller]
fn told(folder: &Folder, wanted: &str) {
    let problems = folder.problems();
    assert!(problems.iter().any(|line| line.contains(wanted)), "{wanted}\n{problems:#?}");
}

#[test]
fn files_and_programs_come_after_servers_yml_in_order() {
    let folder = with(&[
        ("servers.d/20-db.yml", &host("db1", ", jump: web1")),
        ("servers.d/10-cache.yml", &host("cache1", "")),
        ("servers.d/.hidden.yml", "no"),
        ("servers.d/note.txt", "no"),
        (
            "list.json",
            r#"{"hosts": [{"alias": "vm1", "host": "10.0.0.1", "port": 2222, "credentials": "ops",
            "tags": ["cloud"], "description": "\ud83d\ude00 na\u00efve \/ x", "jump": "db1"}]}"#,
        ),
    ]);
    let list = folder.path("list.json");
    printing(
        &folder,
        &format!("[/bin/cat, {}]", list.display()),
        "  - {command: [printf, 'hosts: []'], timeout_seconds: 5}\n",
    );
    assert_eq!(aliases(&folder), ["web1", "cache1", "db1", "vm1"]);
    let loaded = folder.load().unwrap();
    let host = loaded.inventory.host(&"vm1".parse().unwrap()).unwrap();
    assert_eq!((host.port, host.description.as_str()), (2222, "\u{1f600} na\u{ef}ve / x"));
    assert!(loaded.warnings.is_empty(), "{:?}", loaded.warnings);
}

#[test]
fn an_alias_that_stands_twice_names_both_places() {
    let folder = with(&[
        ("servers.d/a.yml", &host("web1", "")),
        ("servers.d/b.yml", &host("x", "")),
        ("servers.d/c.yml", &host("x", "")),
    ]);
    let first = format!(
        "a.yml:2 Error hosts[0].alias: web1 is already the alias of the host at {}:2",
        folder.path("servers.yml").display()
    );
    told(&folder, &first);
    told(
        &folder,
        &format!(
            "c.yml:2 Error hosts[0].alias: x is already the alias of the host at {}:2",
            folder.path("servers.d/b.yml").display()
        ),
    );
    fs::remove_dir_all(folder.path("servers.d")).unwrap();
    printing(
        &folder,
        "[printf, '%s\\n', 'hosts:', '- {alias: web1, host: a, credentials: ops}']",
        "",
    );
    let place = format!(
        "inventory[0] (what printf prints):2: error: hosts[0].alias: web1 is already the alias of the host at {}:2",
        folder.path("servers.yml").display()
    );
    let report = folder.load().unwrap_err().to_string();
    assert!(report.contains(&place), "{report}");
}

#[test]
fn errors_of_a_file_are_told_with_its_name_and_line() {
    let folder = with(&[(
        "servers.d/a.yml",
        "hosts:\n  - alias: a\n    host: -x\n    credentials: nobody\n    tag: x\n",
    )]);
    told(&folder, "a.yml:3 Error hosts[0].host:");
    told(
        &folder,
        "a.yml:4 Unusable hosts[0].credentials: no entry of credentials.yml is called nobody",
    );
    told(&folder, "a.yml:5 Error hosts[0].tag: unknown key; did you mean tags?");
    folder.write("servers.d/a.yml", "inventory: []\nhosts: [\n");
    told(&folder, "not YAML");
    folder.write("servers.d/a.yml", "inventory: []\n");
    let warnings = folder.warnings();
    assert!(
        warnings[0].starts_with("a.yml:1 Warning inventory: unknown key"),
        "programs are named in servers.yml alone: {warnings:?}"
    );
    folder.write("servers.d/b.yaml", &host("b", ""));
    assert!(
        folder
            .warnings()
            .contains(&"b.yaml Warning : is not read: files of servers.d end in .yml".to_owned()),
        "{:?}",
        folder.warnings()
    );
}

#[test]
fn what_others_may_write_gives_no_hosts() {
    let folder = with(&[("servers.d/a.yml", &host("a", ""))]);
    folder.mode("servers.d/a.yml", 0o666);
    told(&folder, "a.yml Error : can be written by others (mode 666)");
    folder.mode("servers.d/a.yml", 0o600);
    folder.mode("servers.d", 0o777);
    told(&folder, "servers.d can be written by others (mode 777)");
    fs::remove_dir_all(folder.path("servers.d")).unwrap();
    folder.write("servers.d", "");
    told(&folder, "servers.d cannot be read: Not a directory");
}

#[test]
fn a_jump_host_in_a_file_that_cannot_be_read_is_not_said_to_be_missing() {
    let folder = with(&[("servers.d/a.yml", "["), ("servers.yml", &host("web1", ", jump: a"))]);
    let problems = folder.problems();
    assert!(problems.len() == 1 && problems[0].starts_with("a.yml:"), "{problems:?}");
    folder.write("servers.d/a.yml", &host("b", ""));
    told(&folder, "servers.yml:2 Error hosts[0].jump: no host is called a");
}

#[test]
fn a_program_that_gives_no_hosts_is_named_with_its_place() {
    let folder = Folder::sound();
    for (argv, more, wanted) in [
        (
            "[/no/such/program]",
            "",
            "servers.yml:4: error: inventory[0].command: the program /no/such/program cannot be run",
        ),
        (
            "[/bin/sh, -c, 'exit 3']",
            "",
            "inventory[0].command: the program /bin/sh failed: exit status: 3",
        ),
        (
            "[/bin/sh, -c, 'sleep 600']",
            "    timeout_seconds: 1\n",
            "inventory[0].command: the program /bin/sh did not end within 1 s",
        ),
        (
            "[cat, /dev/zero]",
            "",
            "inventory[0].command: the program cat printed more than 4194304 bytes",
        ),
        ("['true']", "", "inventory[0].command: the program true printed nothing"),
        (
            "[printf, '\\377']",
            "",
            "inventory[0].command: the program printf printed no text in UTF-8",
        ),
        (
            "[./here]",
            "",
            "servers.yml:4: error: inventory[0].command: must be a list whose first word is a program on PATH or an absolute path",
        ),
        ("a program", "", "servers.yml:4: error: inventory[0].command: must be a list"),
        (
            "[date]",
            "    timeout_seconds: 0\n",
            "servers.yml:5: error: inventory[0].timeout_seconds: must be between 1 and 300",
        ),
        ("[printf, 'hosts: ]']", "", "not YAML"),
        ("[printf, '{\"all\": {}}']", "", "(what printf prints): error: hosts: is missing"),
    ] {
        printing(&folder, argv, more);
        let problems = folder.load().unwrap_err().to_string();
        let said = problems.contains(wanted);
        assert!(said, "{argv}: {wanted}\n{problems}");
    }
}

#[test]
fn a_program_gives_only_hosts_whose_log_in_the_owner_has() {
    let folder = Folder::sound();
    let host =
        "{\"hosts\": [{\"alias\": \"x\", \"host\": \"x\", \"credentials\": \"root\\u001b[2J\"}]}";
    folder.write("list", host);
    printing(&folder, &format!("[cat, {}]", folder.path("list").display()), "");
    let report = folder.load().unwrap_err().to_string();
    assert!(report.contains("(what cat prints):1: unusable: hosts[0].credentials: no entry of credentials.yml is called root"), "{report}");
    assert!(!report.contains('\u{1b}'), "{report:?}");
}

#[test]
fn a_program_is_not_given_to_a_shell() {
    let folder = Folder::sound();
    printing(&folder, "[printf, '%s\\n', 'hosts: [] # $(touch /tmp/x); `id`']", "");
    assert_eq!(aliases(&folder), ["web1"]);
}

#[test]
fn what_is_nested_without_end_is_refused() {
    let folder = Folder::sound();
    for text in [
        format!("hosts:\n{}x\n", "- ".repeat(100_000)),
        "[".repeat(100_000),
        "? ".repeat(100_000),
        "{a: ".repeat(100_000),
    ] {
        folder.write("list", &text);
        printing(&folder, &format!("[cat, {}]", folder.path("list").display()), "");
        assert!(folder.load().is_err());
    }
}
