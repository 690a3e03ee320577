//! `import ssh-config` against `ssh -G`: generated configurations, each field of each host as OpenSSH itself reads it; and what
//! `import` writes.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};

use sshepherd_config::ssh_config::{Asking, SshConfig, SshHost};
use sshepherd_config::{Environment, Folders};
use sshepherd_model::Inventory;

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
    assert_eq!(host.proxy_command.is_some(), one("proxycommand").is_some(), "{what}");
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
    let mut whole = 0;
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
        let mut asking = Asking::about(&file).unwrap();
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
            commands += usize::from(host.proxy_command.is_some());
            keys += usize::from(!host.identities.is_empty());
            // It looks for includes in the home of this process.
            if what.contains("Include") {
                continue;
            }
            let mut asked = asking.host(alias, &config, home.path()).unwrap();
            whole += 1;
            // Where it is the same as without a configuration, ssh does not say that it stands there.
            asked.user = Some(asked.user.unwrap_or_else(|| usual.user.clone()));
            let host = SshHost {
                user: host.user.or_else(|| Some(usual.user.clone())),
                port: host.port.filter(|port| *port != 22),
                ..host
            };
            asked.left_out.clone_from(&host.left_out);
            assert_eq!(asked, host, "{what}");
        }
    }
    // What is compared must be there to be compared.
    let counts = format!(
        "{compared} compared, {loops} loops, {jumps} jumps, {commands} commands, {keys} keys"
    );
    assert!(compared + loops == 960 && loops < 40, "{counts}");
    assert!(whole > 20, "{whole} asked");
    assert!(jumps > 50 && commands > 50 && keys > 200, "{counts}");
}

/// Imports a file in a home of its own, where no variable says who runs it.
fn import(home: &Path, words: &[&str]) -> Output {
    let mut import = Command::new(env!("CARGO_BIN_EXE_sshepherd"));
    import.arg("--config").arg(home.join("config")).arg("import").args(words).current_dir(home);
    import.env_remove("USER").env_remove("LOGNAME").env_remove("SSH_AUTH_SOCK");
    import.env("HOME", home).output().unwrap()
}

fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap()
}

/// Whether the configuration that was written is one, and the credentials of its hosts.
fn loads(home: &Path) -> Inventory {
    fs::write(home.join("config/policy.yml"), "rules: []\n").unwrap();
    struct WithAgent;
    impl Environment for WithAgent {
        fn var(&self, name: &str) -> Option<String> {
            (name == "SSH_AUTH_SOCK").then(|| "/run/agent".to_owned())
        }
    }
    let folder = |name: &str| home.join("config").join(name);
    let folders = Folders {
        config: home.join("config"),
        keys: folder("keys"),
        secrets: folder("secrets"),
        state: folder("state"),
    };
    sshepherd_config::load(&folders, &WithAgent).unwrap().inventory
}

fn user_of(inventory: &Inventory, alias: &str) -> String {
    let host = inventory.hosts().iter().find(|host| host.alias.as_str() == alias).unwrap();
    inventory.credential(host).unwrap().username.clone()
}

fn imported(config: &str) -> (String, String) {
    let home = tempfile::tempdir().unwrap();
    fs::write(home.path().join("file"), config).unwrap();
    let output = import(home.path(), &["ssh-config", "file"]);
    (text(output.stdout), text(output.stderr))
}

#[test]
fn what_cannot_be_imported_is_said() {
    let (files, notes) = imported(
        "Host a\n  ProxyCommand nc %h %p | tee x\n  ProxyJump b\n  ForwardAgent yes\nHost b\n  Port ssh\nHost c !c\nHost d\n  User \"open\n  Include ~other/x\nMatch user x\n  Port 1\n",
    );
    for note in [
        "a: not taken over: proxycommand nc %h %p | tee x (it needs a shell",
        "a: not taken over: forwardagent yes",
        "file:6: port ssh is no number",
        "c is left out: no block that names it speaks of it",
        "file:9: user has no value or an open quote",
        "file:10: ~other/x: another account's folder is not looked into",
        "file:11: this Match block is passed over: file:10: ~other/x: what is included there is not known",
    ] {
        assert!(notes.contains(note), "{note}: {notes}");
    }
    assert!(!files.contains("jump: \"b\""), "ProxyCommand came first: {files}");
}

#[test]
fn keywords_are_named_once_for_all_their_hosts() {
    let hosts: String = (1..=9).map(|number| format!("Host web{number}\n")).collect();
    let (files, notes) = imported(&format!(
        "{hosts}Host web1 web2\n  KexAlgorithms +diffie-hellman-group1-sha1\nHost *\n  ForwardAgent yes\n"
    ));
    for note in [
        "all hosts: not taken over: forwardagent yes",
        "web[1-2]: not taken over: kexalgorithms +diffie-hellman-group1-sha1",
    ] {
        assert_eq!(notes.matches(note).count(), 1, "{note}: {notes}");
        assert!(files.contains(&format!("# {note}\n")), "{files}");
    }
}

#[test]
fn a_line_of_the_file_ends_no_comment_and_no_text_of_ours() {
    let (files, notes) = imported(
        "Host a\n  User \"x\ry\"\nHost b\n  ProxyCommand nc | x\rhosts: [evil]\n  HostName b\n",
    );
    assert!(!files.contains('\r') && !notes.contains('\r'), "{files:?}");
    assert!(notes.contains("a is left out: "), "{notes}");
    assert!(files.contains("  - alias: \"b\"\n") && !files.contains("alias: \"a\""), "{files}");
}

#[test]
fn the_account_is_that_of_the_process_where_no_variable_names_it() {
    let home = tempfile::tempdir().unwrap();
    fs::write(home.path().join("file"), "Host a\nHost b\n  User ops\n").unwrap();
    let written = import(home.path(), &["ssh-config", "--write", "file"]);
    assert_eq!(written.status.code(), Some(0), "{}", text(written.stderr));
    let me = text(Command::new("id").arg("-un").output().unwrap().stdout);
    let inventory = loads(home.path());
    assert_eq!(user_of(&inventory, "a"), me.trim());
    assert_eq!(user_of(&inventory, "b"), "ops");
}

#[test]
fn a_file_that_cannot_be_read_writes_nothing() {
    let home = tempfile::tempdir().unwrap();
    for (kind, name, content) in [
        ("ansible", "two.yml", "a: {hosts: {x: }}\n---\nb: \n"),
        ("ansible", "list.yml", "- a\n"),
        ("ansible", "broken.yml", "a: [\n"),
        ("ansible", "plugin.yml", "plugin: aws_ec2\n"),
        ("ansible", "vault", "$ANSIBLE_VAULT;1.1;AES256\n00\n"),
        ("ansible", "program", "#!/bin/sh\n"),
        ("ansible", "x.toml", "[a]\n"),
        ("ansible", "nothing.ini", "[a\n"),
        ("ansible", "missing", ""),
        ("ssh-config", "missing", ""),
    ] {
        if name != "missing" {
            fs::write(home.path().join(name), content).unwrap();
        }
        let done = import(home.path(), &[kind, "--write", name]);
        assert_eq!(done.status.code(), Some(2), "{name}");
        assert!(text(done.stderr).contains("cannot be read"), "{name}");
        assert!(!home.path().join("config").exists(), "{name}");
    }
}

#[test]
fn a_file_without_hosts_gives_files_that_load() {
    let home = tempfile::tempdir().unwrap();
    fs::write(home.path().join("file"), "Host *\n  User ops\n").unwrap();
    assert_eq!(import(home.path(), &["ssh-config", "--write", "file"]).status.code(), Some(0));
    assert_eq!(loads(home.path()).hosts().len(), 0);
}

#[test]
fn what_the_reader_refuses_is_left_out_and_named() {
    let home = tempfile::tempdir().unwrap();
    let long = "x".repeat(70);
    let file = format!(
        "Host sound\nHost named-badly\n  HostName a_{long}.example\nHost -dash\nHost round\n  ProxyJump other\nHost other\n  ProxyJump round\n\
         Host deep\n  ProxyJump a1,a2,a3,a4,a5\nHost user\n  User \"tab\\there\ttab\"\n"
    );
    fs::write(home.path().join("file"), file).unwrap();
    let written = import(home.path(), &["ssh-config", "--write", "file"]);
    let notes = text(written.stderr);
    assert_eq!(written.status.code(), Some(0), "{notes}");
    let inventory = loads(home.path());
    let sound = |alias: &str| inventory.hosts().iter().any(|host| host.alias.as_str() == alias);
    assert!(sound("sound"), "{notes}");
    for alias in ["named-badly", "round", "other", "deep", "user"] {
        assert!(
            !sound(alias) && notes.contains(&format!("{alias} is left out: ")),
            "{alias}: {notes}"
        );
    }
}

#[test]
fn match_blocks_are_judged_by_ssh() {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("file");
    let ran = home.path().join("ran");
    let config = format!(
        "Match originalhost web1\n  Port 2201\nMatch host *.example user ops\n  Port 2202\nMatch exec \"touch {}\" host db\n  User dba\n\
         Match !host web1 all\nMatch localuser nobody-here\n  Port 1\nMatch originalhost alone\n  HostName 10.0.0.9\n\
         Host web1\nHost web2\n  HostName web2.example\n  User ops\nHost db\n  HostName db\nMatch final all\n  ConnectTimeout 7\n",
        ran.display()
    );
    fs::write(&file, config).unwrap();
    let seen = |output: Output| (text(output.stdout), text(output.stderr));
    // One that others may write is not given to ssh unasked.
    fs::set_permissions(&file, fs::Permissions::from_mode(0o666)).unwrap();
    let (files, notes) = seen(import(home.path(), &["ssh-config", "file"]));
    assert!(!ran.exists() && !files.contains("dba"), "{notes}");
    assert!(
        notes.contains("file:1: this Match block is passed over: file can be written by others"),
        "{notes}"
    );
    assert!(notes.contains("give --yes"), "{notes}");
    let (files, _) = seen(import(home.path(), &["ssh-config", "--yes", "file"]));
    assert!(ran.exists() && files.contains("dba"), "{files}");
    // The caller's own is.
    fs::remove_file(&ran).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    let config = SshConfig::read(&file, home.path()).unwrap();
    config.owned().unwrap();
    let mut asking = Asking::about(&file).unwrap();
    for alias in ["web1", "web2", "db", "alone"] {
        let told = told(home.path(), &file, alias).unwrap();
        let host = asking.host(alias, &config, home.path()).unwrap();
        assert_eq!(Some(host.host), values(&told, "hostname").pop(), "{alias}");
        assert_eq!(vec![host.port.unwrap_or(22).to_string()], values(&told, "port"), "{alias}");
        assert_eq!(host.connect_seconds, Some(7), "{alias}");
    }
    assert!(ran.exists());
    let (files, notes) = seen(import(home.path(), &["ssh-config", "file"]));
    for wanted in ["    port: 2201\n", "    port: 2202\n", "username: \"dba\"", "alias: \"alone\""]
    {
        assert!(files.contains(wanted), "{wanted}: {files}");
    }
    assert!(!notes.contains("Match"), "{notes}");
}

#[test]
fn programs_and_patience_are_taken_over_from_the_callers_own_file() {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("file");
    fs::write(&file, "Host a\n  ProxyCommand cat --port=%p %n 2>/dev/null\n  ConnectTimeout 1m\n  ServerAliveInterval 30\n  ServerAliveCountMax 4\n").unwrap();
    let written = import(home.path(), &["ssh-config", "--write", "file"]);
    assert_eq!(written.status.code(), Some(0), "{}", text(written.stderr));
    let servers = fs::read_to_string(home.path().join("config/servers.yml")).unwrap();
    for wanted in [
        "    proxy_command: [\"cat\", \"--port=%p\", \"a\"]\n",
        "    timeouts: {connect: 60}\n",
        "    keepalive: {seconds: 30, count: 4}\n",
    ] {
        assert!(servers.contains(wanted), "{wanted}: {servers}");
    }
    loads(home.path());
    fs::set_permissions(&file, fs::Permissions::from_mode(0o666)).unwrap();
    let foreign = import(home.path(), &["ssh-config", "file"]);
    assert!(!text(foreign.stdout).contains("    proxy_command:"));
    assert!(text(foreign.stderr).contains("a: not taken over: proxycommand cat"));
}

#[test]
fn a_public_key_means_that_key_of_the_agent_and_check_is_content_without_one() {
    let home = tempfile::tempdir().unwrap();
    let file = "Host a\n  IdentityFile ~/.ssh/only.pub\n  IdentityFile ~/.ssh/two.pub\n  IdentityAgent ~/.agent.sock\nHost b\n";
    fs::write(home.path().join("file"), file).unwrap();
    let written = import(home.path(), &["ssh-config", "--write", "file"]);
    assert!(text(written.stderr).contains("a: not taken over: identityfile /"));
    let logins = fs::read_to_string(home.path().join("config/credentials.yml")).unwrap();
    assert!(logins.contains("/.ssh/only.pub\"\n    agent_socket: \"/"), "{logins}");
    fs::write(home.path().join("config/policy.yml"), "rules: []\n").unwrap();
    let mut check = Command::new(env!("CARGO_BIN_EXE_sshepherd"));
    check.arg("--config").arg(home.path().join("config")).arg("check");
    let checked = check.env("HOME", home.path()).env_remove("SSH_AUTH_SOCK").output().unwrap();
    assert_eq!(checked.status.code(), Some(0), "{}", text(checked.stdout));
}

#[test]
fn jump_hosts_that_have_no_entry_get_one_in_a_file_of_their_own() {
    let home = tempfile::tempdir().unwrap();
    let file = "Host web\n  HostName 10.0.0.1\n  ProxyJump ops@gate.example:2222,inner\nHost db\n  ProxyCommand ssh -W %h:%p gate\nHost gate\n  HostName 10.0.0.2\n\
                Host inner\n  HostName 10.0.0.3\nHost 2001:db8::5\n  Port 23\n";
    fs::write(home.path().join("file"), file).unwrap();
    let written = import(home.path(), &["ssh-config", "--write", "file"]);
    let notes = text(written.stderr);
    assert!(notes.contains("this jump host becomes the entry gate.example"), "{notes}");
    let inventory = loads(home.path());
    let way = |alias: &str| -> Vec<String> {
        let host = inventory.hosts().iter().find(|host| host.alias.as_str() == alias).unwrap();
        inventory
            .way_to(host)
            .iter()
            .map(|hop| format!("{} {}:{}", hop.alias, hop.address, hop.port))
            .collect()
    };
    let mut to_web = way("web");
    to_web.sort();
    assert_eq!(to_web, ["gate.example gate.example:2222", "inner-2 10.0.0.3:22"]);
    assert_eq!(way("db"), ["gate 10.0.0.2:22"]);
    assert_eq!(user_of(&inventory, "gate.example"), "ops");
    assert!(notes.contains("2001:db8::5: an alias cannot hold this address"), "{notes}");
    let named = inventory.hosts().iter().find(|it| it.alias.as_str() == "2001-db8--5").unwrap();
    assert_eq!((named.address.as_str(), named.port), ("2001:db8::5", 23));
    let own = fs::read_to_string(home.path().join("config/servers.yml")).unwrap();
    assert_eq!(own.matches("- alias:").count(), 4, "{own}");
}
