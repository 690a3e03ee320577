//! Ansible inventories against what Ansible itself says of them: every host, its groups and its variables; then what is taken over.
//!
//! `data/ansible/NAME.answer.json` is the output of `ansible-inventory -i data/ansible/NAME --list` of ansible-core 2.19.14 (with the
//! password of the vault, `pw`), made in `data/ansible`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use proptest::prelude::*;
use serde_json::Value as Json;
use sshepherd_config::ansible::{Ansible, Value};
use sshepherd_config::hops::Candidate;

fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/ansible").join(name)
}

/// The groups of each host, also through others, but for `all` and `ungrouped`.
fn groups(answer: &Json) -> BTreeMap<&str, BTreeSet<&str>> {
    let names = |of: &'static str, group: &str| -> Vec<&str> {
        let list = answer[group].get(of).and_then(Json::as_array);
        list.into_iter().flatten().filter_map(Json::as_str).collect()
    };
    let mut found: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for group in answer.as_object().unwrap().keys() {
        let mut below = vec![group.as_str()];
        while let Some(next) = below.pop() {
            below.extend(names("children", next));
            for host in names("hosts", next) {
                let groups = found.entry(host).or_default();
                if group != "all" && group != "ungrouped" {
                    groups.insert(group);
                }
            }
        }
    }
    found
}

/// A variable as far as it matters here.
fn shape(value: &Json) -> Value {
    match value {
        Json::String(text) => Value::Text(text.clone()),
        Json::Number(number) => number.as_i64().map_or(Value::Other, Value::Integer),
        Json::Bool(value) => Value::Boolean(*value),
        Json::Null => Value::Null,
        Json::Object(map) if map.contains_key("__ansible_vault") => Value::Tagged,
        Json::Object(_) | Json::Array(_) => Value::Other,
    }
}

fn compared(file: &str, answer: &str) -> Ansible {
    let mut inventory = Ansible::read(&data(file)).unwrap();
    let answer: Json = serde_json::from_slice(&fs::read(data(answer)).unwrap()).unwrap();
    let told = groups(&answer);
    let names: Vec<String> = inventory.names().map(str::to_owned).collect();
    let mut sorted: Vec<&str> = names.iter().map(String::as_str).collect();
    sorted.sort_unstable();
    assert_eq!(sorted, told.keys().copied().collect::<Vec<_>>(), "{file}: the hosts");
    for name in &names {
        assert_eq!(
            inventory.groups(name),
            *told.get(name.as_str()).unwrap(),
            "{file}: groups of {name}"
        );
    }
    for (name, variables) in names.iter().zip(inventory.variables()) {
        let told = answer.pointer("/_meta/hostvars").unwrap().get(name).and_then(Json::as_object);
        let told: BTreeMap<String, Value> = told
            .into_iter()
            .flatten()
            // Those of a vaulted file are not read.
            .filter(|(key, _)| !key.starts_with("vault_"))
            .map(|(key, value)| (key.clone(), shape(value)))
            .collect();
        let mut variables = variables;
        variables.retain(|key, _| !key.starts_with("vault_"));
        assert_eq!(variables, told, "{file}: variables of {name}");
    }
    inventory
}

#[test]
fn hosts_groups_and_variables_are_those_of_ansible() {
    let fleet = compared("fleet/hosts", "fleet.answer.json");
    let vault = format!(
        "{}: is in a vault, and is not opened",
        data("fleet/group_vars/web/vault.yml").display()
    );
    assert_eq!(fleet.notes, [vault]);
    for (file, answer) in [
        ("sites.yml", "sites.answer.json"),
        ("lab.ini", "lab.answer.json"),
        ("folder", "folder.answer.json"),
    ] {
        let inventory = compared(file, answer);
        assert_eq!(inventory.notes, Vec::<String>::new(), "{file}");
    }
}

fn host<'a>(hosts: &'a [Candidate], alias: &str) -> &'a Candidate {
    hosts.iter().find(|host| host.reached.alias == alias).unwrap()
}

#[test]
fn a_fleet_is_taken_over_with_notes_of_what_is_not() {
    let mut inventory = Ansible::read(&data("fleet/hosts")).unwrap();
    let hosts = inventory.taken(Path::new("/home/me"));
    let web = host(&hosts, "web07");
    assert_eq!((web.reached.port, web.reached.user.as_deref()), (Some(2200), Some("www")));
    assert_eq!(web.tags, ["prod", "eu", "web"]);
    assert_eq!(web.reached.jump.as_deref(), Some("bastion"));
    let alive = host(&hosts, "web01").reached.keep_alive.unwrap();
    assert_eq!((alive.seconds, alive.count), (5, 3));
    assert_eq!(host(&hosts, "cache1").reached.jump, None);
    let db = &host(&hosts, "db1").reached;
    assert_eq!(
        (db.host.as_str(), &db.identities),
        ("10.0.2.1", &vec!["/home/me/.ssh/id_db".to_owned()])
    );
    assert_eq!(hosts.len(), 15);
    let www = "www-a.example.com,www-b.example.com,www-c.example.com";
    for note in [
        // web02 is left out, and is not spoken of again.
        &format!(
            "web[01,03-07],{www}: ansible_password is not taken over: put it into a secret, and name that in password_secret"
        ),
        "web02: ansible_host is a template, and is not guessed",
        "web02: is left out: how it is reached is not guessed",
        "localhost: is left out: ansible_connection=local is not SSH",
        "db[1,5,9]: ansible_become is not taken over: a rule of policy.yml says as: ACCOUNT",
        "web[01,03-07],www-a.example.com,www-b.example.com,www-c.example.com: of ansible_ssh_common_args is not taken over: -o StrictHostKeyChecking=yes",
    ] {
        assert!(inventory.notes.iter().any(|line| line == note), "{note}\n{:#?}", inventory.notes);
    }
}

fn taken(name: &str, text: &str) -> (Vec<Candidate>, Vec<String>) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join(name);
    fs::write(&file, text).unwrap();
    let place = format!("{}/", folder.path().display());
    match Ansible::read(&file) {
        Ok(mut inventory) => {
            let hosts = inventory.taken(Path::new("/home/me"));
            (hosts, inventory.notes.iter().map(|note| note.replace(&place, "")).collect())
        }
        Err(unreadable) => (Vec::new(), vec![unreadable.source.to_string().replace(&place, "")]),
    }
}

#[test]
fn jump_hosts_are_found_by_name_and_address() {
    let (hosts, notes) = taken(
        "hosts",
        "b ansible_host=192.0.2.1 ansible_user=u\n\
         one ansible_ssh_common_args='-J b'\n\
         two ansible_ssh_common_args='-oProxyJump=u@192.0.2.1:22'\n\
         three ansible_ssh_extra_args='-o \"ProxyJump b\" -J c'\n\
         four ansible_ssh_common_args='-J other@b'\n\
         five ansible_ssh_common_args='-J b:23'\n\
         six ansible_ssh_common_args='-J b,c'\n\
         seven ansible_ssh_common_args='-o ProxyCommand=\"ssh -W %h:%p b\"'\n\
         eight ansible_ssh_common_args='-o \"open'\n",
    );
    let jump = |alias: &str| host(&hosts, alias).reached.jump.clone();
    for alias in ["one", "two", "three", "seven"] {
        assert_eq!(jump(alias).as_deref(), Some("b"), "{alias}");
    }
    // Those that are no hosts of the inventory become entries.
    for (alias, way) in [("four", "b-2"), ("five", "b-3"), ("six", "c")] {
        assert_eq!(jump(alias).as_deref(), Some(way), "{alias}");
    }
    let made = |alias: &str| {
        let it = host(&hosts, alias);
        assert!(it.made && it.tags.is_empty(), "{alias}");
        (it.reached.host.clone(), it.reached.user.clone(), it.reached.port, it.reached.jump.clone())
    };
    let address = || "192.0.2.1".to_owned();
    assert_eq!(made("b-2"), (address(), Some("other".to_owned()), None, None));
    assert_eq!(made("b-3"), (address(), Some("u".to_owned()), Some(23), None));
    assert_eq!(made("c"), ("c".to_owned(), None, None, Some("b".to_owned())));
    assert_eq!(jump("eight"), None);
    for note in [
        "other@b: this jump host becomes the entry b-2",
        "b:23: this jump host becomes the entry b-3",
        "c: this jump host becomes the entry c",
        "eight: ansible_ssh_common_args has an open quote",
    ] {
        assert!(notes.iter().any(|line| line.starts_with(note)), "{note}\n{notes:#?}");
    }
}

#[test]
fn hosts_without_a_posix_shell_get_their_dialect() {
    let (hosts, notes) = taken(
        "hosts",
        "a\nb ansible_shell_type=fish\nc ansible_shell_type=csh\nd ansible_shell_type=powershell\ne ansible_shell_type=cmd\n\
         f ansible_connection=network_cli\ng ansible_connection=ansible.netcommon.network_cli\nh ansible_connection=paramiko\n\
         i ansible_connection=community.general.paramiko_ssh\nj ansible_connection=winrm\nk ansible_connection=psrp\nl ansible_shell_type=xonsh\n",
    );
    let shells: Vec<(&str, Option<&str>)> =
        hosts.iter().map(|it| (it.reached.alias.as_str(), it.reached.login_shell)).collect();
    let (raw, posix) = (Some("raw-words"), None);
    assert_eq!(
        shells,
        [
            ("a", posix),
            ("b", Some("fish")),
            ("c", Some("csh")),
            ("d", raw),
            ("e", raw),
            ("f", raw),
            ("g", raw),
            ("h", posix),
            ("i", posix),
            ("l", posix),
        ]
    );
    for note in [
        "j: is left out: ansible_connection=winrm is not SSH",
        "k: is left out: ansible_connection=psrp is not SSH",
        "l: ansible_shell_type \"xonsh\" is not taken over",
    ] {
        assert!(notes.iter().any(|line| line.starts_with(note)), "{note}\n{notes:#?}");
    }
}

#[test]
fn addresses_of_ipv6_are_hosts_under_another_name() {
    let (hosts, notes) = taken(
        "x.yml",
        "all: {hosts: {'2001:db8::5': {}, '[2001:db8::6]:2200': {}, v6b: {ansible_host: '[2001:db8::7]'}}}\n",
    );
    let read: Vec<(&str, &str, Option<u16>, bool)> = hosts
        .iter()
        .map(|it| (it.reached.alias.as_str(), it.reached.host.as_str(), it.reached.port, it.made))
        .collect();
    assert_eq!(
        read,
        [
            ("2001-db8--5", "2001:db8::5", None, true),
            ("2001-db8--6", "2001:db8::6", Some(2200), true),
            ("v6b", "[2001:db8::7]", None, false),
        ]
    );
    for name in ["2001:db8::5", "2001:db8::6"] {
        assert!(notes.iter().any(|note| note.starts_with(&format!("{name}: "))), "{notes:#?}");
    }
}

#[test]
fn a_byte_order_mark_is_no_part_of_a_file() {
    for (name, text) in [("x.yml", "\u{feff}all: {hosts: {w: }}\n"), ("x", "\u{feff}[web]\nw\n")] {
        let (hosts, notes) = taken(name, text);
        assert_eq!((hosts.len(), notes), (1, vec![]), "{name}");
    }
}

/// What `ansible-inventory --list` prints of an inventory is the same inventory.
#[test]
fn a_listing_is_read_as_what_it_lists() {
    for name in ["fleet", "lab", "sites", "folder"] {
        let file = format!("{name}.answer.json");
        compared(&file, &file);
    }
}

#[test]
fn ansible_reads_no_further_than_the_first_line_that_it_refuses() {
    for (text, wanted, known) in [
        ("all: {hosts: {a: , no: , b: }}\n", "false is no text", vec!["a"]),
        ("all: {hosts: {a: , 1001: }}\n", "1001 is no text", vec!["a"]),
        (
            "all: {hosts: {a: }, children: {c: {hosts: [x, y]}, d: {hosts: {z: }}}}\n",
            "hosts of c is no mapping",
            vec!["a"],
        ),
        ("all: {hosts: {a: }, hosts: {b: , b: {ansible_port: 0022}}}\n", "", vec!["b"]),
    ] {
        let (hosts, notes) = taken("x.yml", text);
        let names: Vec<&str> = hosts.iter().map(|it| it.reached.alias.as_str()).collect();
        assert_eq!(names, known, "{text}");
        assert_eq!(
            notes.iter().any(|note| note.contains("ansible reads no further")),
            !wanted.is_empty(),
            "{notes:?}"
        );
        assert!(
            notes.iter().any(|note| note.contains(wanted)) || wanted.is_empty(),
            "{wanted}: {notes:?}"
        );
        assert!(
            names != ["b"] || hosts[0].reached.port == Some(18),
            "an octal number, as in YAML 1.1"
        );
    }
}

#[test]
fn names_that_are_no_tags_become_tags_that_differ() {
    let (hosts, notes) =
        taken("x.yml", "a b: {hosts: {h: }}\na/b: {hosts: {h: }}\na-b: {hosts: {g: }}\n");
    assert_eq!(host(&hosts, "g").tags, ["a-b"]);
    assert_eq!(host(&hosts, "h").tags, ["a-b-2", "a-b-3"]);
    assert!(
        notes.contains(&"a b: this group's name is no tag; its tag is a-b-2".to_owned()),
        "{notes:?}"
    );
}

#[test]
fn what_is_no_inventory_is_said_with_its_line() {
    for (name, text, wanted) in [
        ("hosts", "[a\nx y\n", "hosts:2: \"y\" is no name=value; the line is passed over"),
        ("hosts", "[a:b]\nx y=\n", "hosts:1: [a:b] is no section; its lines are passed over"),
        ("hosts", "[a:children]\nb\n", "hosts:2: no section is called [b]"),
        ("hosts", "[b:vars]\nx=1\n", "hosts:1: no section is called [b]"),
        ("hosts", "[a]\n[a b]\n", "hosts:2: is no section"),
        ("hosts", "[a:children]\nb\n[b:children]\na\n", "hosts:4: a in b goes round"),
        ("hosts", "web[1:3\n", "hosts:1: \"web[1:3\" has no range like"),
        ("hosts", "web[0:100000]\n", "hosts:1: "),
        ("hosts", "a 'b\n", "hosts:1: a quote is not closed"),
        ("hosts", "#!/usr/bin/env python\n", "is a program; nothing is run"),
        ("hosts", "$ANSIBLE_VAULT;1.1;AES256\n00\n", "is in a vault, and is not opened"),
        ("aws.yml", "plugin: aws_ec2\n", "names a plugin; nothing is run"),
        ("x.yml", "- a\n", "is no inventory: there are no groups in it"),
        ("x.yml", "a: [\n", "line 2: not YAML"),
        ("x.yml", "a: {host: {b: }}\n", "x.yml:1: host of a is none of hosts, children and vars"),
        ("x.yml", "a: 7\nb: {hosts: 5}\n", "x.yml:1: a is no group"),
        ("x.yml", "b: {hosts: [5]}\n", "x.yml:1: hosts of b is no mapping"),
        ("x.yml", "a: {children: {b: {children: {a: }}}}\n", "x.yml:1: b in a goes round"),
        ("x.yml", "a: {hosts: {'h i': }}\n", "h i: is left out: an alias has letters"),
        ("hosts", "h ansible_host=-x\n", "h: is left out: \"-x\" is no host name"),
        ("hosts", "h ansible_port=70000\n", "h: is left out: \"70000\" is no port"),
        ("hosts", "h ansible_user='{{ x }}'\n", "h: ansible_user is a template"),
        ("hosts", "h ansible_user=True\n", "h: ansible_user is neither text nor a whole number"),
        (
            "hosts",
            "[h]\nh ansible_connection=winrm\n",
            "h: is left out: ansible_connection=winrm is not SSH",
        ),
    ] {
        let (_, notes) = taken(name, text);
        assert!(notes.iter().any(|note| note.contains(wanted)), "{text:?}: {wanted}\n{notes:#?}");
    }
}

/// Pieces that files are made of, so that what is tried is often nearly one.
const PIECES: [&str; 32] = [
    "[",
    "]",
    ":",
    "children",
    "vars",
    "hosts",
    "web",
    "[01:03]",
    "[a:",
    "=",
    " ",
    "\n",
    "\n  ",
    "'",
    "\"",
    "\\",
    "#",
    "{{",
    "{",
    "}",
    "- ",
    "? ",
    "&a ",
    "*a",
    "<<: ",
    "!vault ",
    "ansible_host",
    "ansible_ssh_common_args=",
    "-J ",
    "22",
    "é",
    "ansible_group_priority",
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn any_text_is_read(pieces in proptest::collection::vec(0..PIECES.len(), 0..40), yaml: bool, other in ".{0,6}") {
        let text: String = pieces.iter().map(|place| PIECES[*place]).collect::<String>() + &other;
        let _ = taken(if yaml { "x.yml" } else { "x" }, &text);
    }
}
