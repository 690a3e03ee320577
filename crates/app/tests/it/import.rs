//! `import ssh-config` against `ssh -G`: generated configurations, each field of each host as OpenSSH itself reads it. And what `import
//! ansible` writes, which the configuration reader takes.

use std::fs;
use std::path::Path;
use std::process::Command;

use sshepherd_config::ssh_config::{SshConfig, SshHost};

/// A generator of numbers that is the same at every run (xorshift).
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % end as u64).unwrap()
    }

    fn pick<'a>(&mut self, of: &[&'a str]) -> &'a str {
        of[self.below(of.len())]
    }
}

const NAMES: [&str; 8] = ["web1", "Web1", "web2", "db.lab", "no.lab", "bastion", "x-1", "last"];
const PATTERNS: [&str; 12] = [
    "web1",
    "Web1",
    "web2 db.lab",
    "*.lab !no.lab",
    "!web2 *",
    "web? x-1",
    "*",
    "no.lab",
    "last",
    "\"bastion\"",
    "w*b[1]",
    "x-1 !x-1",
];
const SETTINGS: [(&str, &[&str]); 6] = [
    ("HostName", &["%h.Example.org", "10.0.0.7", "\"Quoted.example\"", "a%%b", "n-%h"]),
    ("Port", &["22", "2222", "\"10022\""]),
    ("User", &["me", "\"a b\"", r#""do\"main""#, "'single'", r"corp\\me", r"corp\me", r"a\ b"]),
    ("identityfile", &["~/.ssh/id_a", "\"~/.ssh/id b\"", "/k/x", "%d/y", "none", "'/k/x'"]),
    ("ProxyJump", &["bastion", "none", "u@jump.example:2200", "one,two", "Web1"]),
    ("PROXYCOMMAND", &["nc %h %p", "none", "sh -c \"nc '%h' %p\""]),
];
const INCLUDES: [&str; 11] = [
    "conf.d/*",
    "conf.d/[ab].conf",
    "conf.d/[!a]*",
    "conf.d/?.conf conf.d/[0-9]",
    "d?/x",
    "d[!1]*/x",
    "~/.ssh/conf.d/a.conf",
    "missing*/x",
    r"conf.d/c\[1\].conf",
    "\"conf.d/with blank\"",
    "*/x",
];
const FILES: [&str; 9] = [
    "conf.d/a.conf",
    "conf.d/b.conf",
    "conf.d/c[1].conf",
    "conf.d/.hidden",
    "conf.d/7",
    "conf.d/with blank",
    "d1/x",
    "d2/x",
    "d2.b/x",
];

/// Some lines of a file; only the first file includes others.
fn lines(dice: &mut Dice, count: usize, includes: bool) -> String {
    let mut text = String::new();
    for _ in 0..count {
        let line = match dice.below(12) {
            0..3 => format!("Host {}", dice.pick(&PATTERNS)),
            3 => dice.pick(&["Match all", "# said", "", "Match All"]).to_owned(),
            4..6 if includes => format!("Include {}", dice.pick(&INCLUDES)),
            _ => {
                let (keyword, values) = SETTINGS[dice.below(SETTINGS.len())];
                let between = dice.pick(&[" ", "=", " = ", "\t", "  "]);
                // The value of a ProxyCommand goes to the end of the line.
                let comment = keyword != "PROXYCOMMAND" && dice.below(5) == 0;
                let end = if comment { " # said" } else { "" };
                format!("{keyword}{between}{}{end}", dice.pick(values))
            }
        };
        text.push_str(dice.pick(&["", "  ", "\t"]));
        text.push_str(&line);
        text.push_str(dice.pick(&["\n", " \n", "\r\n"]));
    }
    text
}

/// What `ssh -G` says of a host, by keyword.
fn told(home: &Path, file: &Path, alias: &str) -> Result<Vec<(String, String)>, String> {
    let mut ssh = Command::new("ssh");
    let output = ssh.env("HOME", home).args(["-G", "-F"]).arg(file).arg(alias).output().unwrap();
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned());
    }
    let text = String::from_utf8(output.stdout).unwrap();
    let pair =
        |line: &str| line.split_once(' ').map(|(key, value)| (key.to_owned(), value.to_owned()));
    Ok(text.lines().filter_map(pair).collect())
}

/// The values of a keyword.
fn values(told: &[(String, String)], wanted: &str) -> Vec<String> {
    told.iter().filter(|(key, _)| key == wanted).map(|(_, value)| value.clone()).collect()
}

/// What `ssh` says where nothing is configured.
struct Usual {
    keys: Vec<String>,
    user: String,
}

/// Each field of a host as it was read against what `ssh` says.
fn compare(host: &SshHost, told: &[(String, String)], usual: &Usual, home: &Path, what: &str) {
    let one = |wanted: &str| values(told, wanted).into_iter().find(|value| value != "none");
    assert_eq!(Some(host.host.clone()), one("hostname"), "{what}");
    assert_eq!(Some(host.port.unwrap_or(22).to_string()), one("port"), "{what}");
    assert_eq!(host.user.clone().or(Some(usual.user.clone())), one("user"), "{what}");
    assert_eq!(host.jump, one("proxyjump"), "{what}");
    assert_eq!(command(host), one("proxycommand").as_deref(), "{what}");
    let mut files = values(told, "identityfile");
    if files == usual.keys && host.identities.is_empty() {
        files.clear();
    }
    let home = home.display().to_string();
    let expanded: Vec<String> = files
        .iter()
        .filter(|file| *file != "none")
        .map(|file| file.replacen("~/", &format!("{home}/"), 1).replace("%d", &home))
        .collect();
    assert_eq!(host.identities, expanded, "{what}");
}

/// The `ProxyCommand` that is said to be left out.
fn command(host: &SshHost) -> Option<&str> {
    let left = host.left_out.iter().find_map(|left| left.strip_prefix("proxycommand "))?;
    left.split_once(" (a connection through").map(|(command, _)| command)
}

#[test]
fn generated_configurations_mean_what_ssh_says() {
    let home = tempfile::tempdir().unwrap();
    let folder = home.path().join(".ssh");
    for name in FILES {
        fs::create_dir_all(folder.join(name).parent().unwrap()).unwrap();
    }
    fs::write(folder.join("empty"), "").unwrap();
    let none = told(home.path(), &folder.join("empty"), "x").unwrap();
    let usual =
        Usual { keys: values(&none, "identityfile"), user: values(&none, "user").remove(0) };
    let (mut compared, mut loops, mut jumps, mut commands, mut keys) = (0, 0, 0, 0, 0);
    for seed in 1..=120 {
        let mut dice = Dice(seed * 0x9e37_79b9_7f4a);
        for name in FILES {
            let count = 1 + dice.below(4);
            fs::write(folder.join(name), lines(&mut dice, count, false)).unwrap();
        }
        let file = folder.join("config");
        let count = 6 + dice.below(20);
        fs::write(&file, lines(&mut dice, count, true)).unwrap();
        let config = SshConfig::read(&file, home.path()).unwrap();
        assert_eq!(config.notes, Vec::<String>::new(), "seed {seed}");
        for alias in NAMES {
            let host = config.host(alias, home.path());
            let what = format!("seed {seed} {alias}\n{}", fs::read_to_string(&file).unwrap());
            match told(home.path(), &file, alias) {
                Ok(told) => compare(&host, &told, &usual, home.path(), &what),
                Err(why) => {
                    assert!(why.contains("jumphost loop via"), "{why}: {what}");
                    assert!(host.jump.is_some(), "{what}");
                    loops += 1;
                    continue;
                }
            }
            compared += 1;
            jumps += usize::from(host.jump.is_some());
            commands += usize::from(command(&host).is_some());
            keys += usize::from(!host.identities.is_empty());
        }
    }
    // What is compared must be there to be compared.
    let counts = format!(
        "{compared} compared, {loops} loops, {jumps} jumps, {commands} commands, {keys} keys"
    );
    assert!(compared + loops == 960 && loops < 40, "{counts}");
    assert!(jumps > 50 && commands > 50 && keys > 200, "{counts}");
}

fn imported(config: &str) -> (String, String) {
    let home = tempfile::tempdir().unwrap();
    fs::write(home.path().join("config"), config).unwrap();
    let mut import = Command::new(env!("CARGO_BIN_EXE_sshepherd"));
    let import = import.args(["import", "ssh-config"]).arg(home.path().join("config"));
    let output = import.env("HOME", home.path()).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (text(output.stdout), text(output.stderr))
}

#[test]
fn what_cannot_be_imported_is_said() {
    let (files, notes) = imported(
        "Host a\n  ProxyCommand nc %h %p\n  ProxyJump b\nHost b\n  Port ssh\nHost c !c\nHost d\n  User \"open\n  Include ~other/x\nMatch user x\n  Port 1\n",
    );
    for note in [
        "a: not taken over: proxycommand nc %h %p (a connection through a program cannot be imported; use jump:)",
        "config:5: port ssh is no number",
        "c is left out: no block that names it speaks of it",
        "config:8: user has no value or an open quote",
        "config:9: ~other/x: another account's folder is not looked into",
        "config:10: a Match block is passed over",
    ] {
        assert!(notes.contains(note), "{note}: {notes}");
    }
    assert!(!files.contains("jump: \"b\""), "ProxyCommand came first: {files}");
}

#[test]
fn a_line_of_the_file_ends_no_comment_and_no_text_of_ours() {
    let (files, _) =
        imported("Host a\n  User \"x\ry\"\n  ProxyCommand nc\rhosts: [evil]\n  HostName b\n");
    assert!(!files.contains('\r'), "{files:?}");
    assert!(files.contains(r#"username: "x\u000dy""#), "{files}");
}

#[test]
fn an_ansible_inventory_is_taken_over_and_loads() {
    let home = tempfile::tempdir().unwrap();
    let inventory = "[web]\nweb[01:03] ansible_ssh_common_args='-J bastion'\n[edge machines]\n[edge]\nbastion ansible_host=192.0.2.7 ansible_user=jump\n\
                     [prod:children]\nweb\n[web:vars]\nansible_user=www\nansible_ssh_private_key_file=~/.ssh/id_web\n[local]\nlocalhost ansible_connection=local\n\
                     [bad]\nx ansible_host='a\rb'\n";
    fs::write(home.path().join("hosts"), inventory).unwrap();
    fs::create_dir(home.path().join("group_vars")).unwrap();
    fs::write(home.path().join("group_vars/prod.yml"), "ansible_port: 2222\n").unwrap();
    let folder = home.path().join("config");
    let sshepherd = |words: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_sshepherd"));
        command.arg("--config").arg(&folder).args(words);
        command.env("HOME", home.path()).env("SSH_AUTH_SOCK", "/run/agent.sock").output().unwrap()
    };
    let file = home.path().join("hosts").display().to_string();
    let printed = sshepherd(&["import", "ansible", &file]);
    let text = String::from_utf8(printed.stdout).unwrap();
    for wanted in [
        "    tags: [\"prod\", \"web\"]\n    jump: \"bastion\"\n",
        "    port: 2222\n",
        "  - name: \"www\"\n    username: \"www\"\n    agent: true\n    # key_path: id_web ",
    ] {
        assert!(text.contains(wanted), "{wanted}\n{text}");
    }
    let written = sshepherd(&["import", "ansible", "--write", &file]);
    let notes = String::from_utf8(written.stderr).unwrap();
    for note in [
        "localhost: is left out: ansible_connection=local is not SSH",
        "hosts:3: is no section; the line is passed over",
        "4 hosts; look them over",
    ] {
        assert!(notes.contains(note), "{note}\n{notes}");
    }
    assert!(!notes.contains('\r'), "{notes:?}");
    let hosts = sshepherd(&["--json", "hosts", "--on", "@prod and web[01-02]"]);
    let hosts: serde_json::Value = serde_json::from_slice(&hosts.stdout).unwrap();
    assert_eq!(hosts["hosts"].as_array().unwrap().len(), 2, "{hosts}");
    assert_eq!(sshepherd(&["import", "ansible", "--write", &file]).status.code(), Some(2));
    assert_eq!(sshepherd(&["import", "ansible", "/no/such"]).status.code(), Some(2));
}
