//! A secret is nowhere: every place that gives one, every way that it breaks, and everything that the program says then.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::process::{Command, Output, Stdio};

use data_encoding::BASE64;
use serde_json::{Value, json};
use sshepherd_config::{Environment, Folders};
use sshepherd_testkit::{Sshd, TestUser};

use crate::serving::Serving;
use crate::site::{ALIAS, Site};

/// What stands in every secret of these tests.
const CANARY: &str = "Qx7wKz93";
/// The secret of the log-in, and one that may be typed into shells.
const NAMES: [&str; 2] = ["canary_login", "canary_typed"];

/// Where a secret comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Source {
    Variable,
    PrefixedVariable,
    Dotenv,
    File,
    Command,
    /// Through a stand-in for `secret-tool`; the real one needs a session of its own.
    Keyring,
}

/// What is wrong with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Broken {
    No,
    Fails,
    SaidOnStderr,
    Linked,
    TooLong,
    NoText,
    Open,
    Empty,
}

/// Which of them can go wrong how, and a part of what is then told.
const CASES: [(Source, &[(Broken, &str)]); 6] = [
    (Source::Variable, &[(Broken::No, ""), (Broken::Empty, "was not found")]),
    (Source::PrefixedVariable, &[(Broken::No, ""), (Broken::Empty, "was not found")]),
    (
        Source::Dotenv,
        &[
            (Broken::No, ""),
            (Broken::Linked, "symbolic link"),
            (Broken::TooLong, "at most 10 MB"),
            (Broken::NoText, "is no text"),
            (Broken::Open, "written by others"),
            (Broken::Empty, "was not found"),
        ],
    ),
    (
        Source::File,
        &[
            (Broken::No, ""),
            (Broken::Linked, "is no regular file"),
            (Broken::TooLong, "at most 10 MB"),
            (Broken::NoText, "is no text"),
            (Broken::Open, "written by others"),
            (Broken::Empty, "is empty"),
        ],
    ),
    (
        Source::Command,
        &[
            (Broken::No, ""),
            (Broken::Fails, "failed: exit status: 1"),
            (Broken::SaidOnStderr, "printed nothing"),
            (Broken::TooLong, "printed more than 65536 bytes"),
            (Broken::NoText, "printed no text"),
            (Broken::Empty, "printed nothing"),
        ],
    ),
    (
        Source::Keyring,
        &[
            (Broken::No, ""),
            (Broken::Fails, "the keyring gave no entry canary_login"),
            (Broken::SaidOnStderr, "the keyring gave no entry canary_login"),
            (Broken::TooLong, "printed more than 65536 bytes"),
            (Broken::NoText, "printed no text"),
            (
                Broken::Empty,
                "secret-tool store --label=canary_login service sshepherd account canary_login",
            ),
        ],
    ),
];

/// Prints the secret of a name, in one of the ways that it breaks, and always on standard error, too.
const STORE: &str = r#"#!/bin/sh
value=$(cat "$(dirname "$0")/$1")
[ "$2" = Empty ] && exit 0
printf '%s\n' "$value" >&2
case $2 in
    No) printf '%s\n' "$value" ;;
    Fails) printf '%s\n' "$value"; exit 1 ;;
    SaidOnStderr) ;;
    TooLong) printf '%s\n' "$value"; head -c 70000 /dev/zero | tr '\0' x ;;
    NoText) printf '%s\377\n' "$value" ;;
esac
"#;

struct Case {
    site: Site,
    from: Source,
    broken: Broken,
}

fn value(name: &str) -> String {
    format!("{name}-{CANARY}-of-ours")
}

fn mode(path: &std::path::Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

impl Case {
    fn new(from: Source, broken: Broken) -> Self {
        let site = Site::new();
        site.password("");
        fs::remove_file(site.path("secrets/canary")).unwrap();
        let text = fs::read_to_string(site.path("credentials.yml")).unwrap();
        site.write(
            "credentials.yml",
            &text.replace("password_secret: canary", "password_secret: canary_login"),
        );
        let typed = "{name: canary_typed, prompt: \"^pw: $\", program: sudo}";
        site.rules(&format!(
            "  - {{id: read, action: allow, commands: [\"cat *\", \"base64 *\"]}}\n  - {{id: shells, shells: allow, audit_input: true, \
             secrets: [{typed}]}}\n"
        ));
        let leak: Vec<String> = NAMES.iter().map(|name| value(name)).collect();
        site.write("leak", &(leak.join(" ") + "\n"));
        let case = Self { site, from, broken };
        case.provide();
        case
    }

    /// Puts the secrets where they come from.
    fn provide(&self) {
        let site = &self.site;
        let mut settings = "audit: {path: audit.jsonl, commands: true}\n".to_owned();
        match self.from {
            Source::Variable | Source::PrefixedVariable => {}
            Source::Dotenv => {
                let lines = NAMES.map(|name| format!("{name}={}\n", self.text(name))).concat();
                self.file("secrets/.env", &lines);
            }
            Source::File => {
                for name in NAMES {
                    self.file(&format!("secrets/{name}"), &self.text(name));
                }
            }
            Source::Command | Source::Keyring => {
                fs::create_dir_all(site.path("vault")).unwrap();
                fs::create_dir_all(site.path("bin")).unwrap();
                NAMES.iter().for_each(|name| site.write(&format!("vault/{name}"), &value(name)));
                site.write("vault/store", STORE);
                mode(&site.path("vault/store"), 0o700);
                let (store, broken) = (site.path("vault/store"), self.broken);
                let store = store.display();
                let stand_in = format!(
                    "#!/bin/sh\n# A stand-in for secret-tool of libsecret.\n\
                     [ \"$*\" = \"lookup service sshepherd account $5\" ] || exit 9\nexec {store} \"$5\" {broken:?}\n"
                );
                site.write("bin/secret-tool", &stand_in);
                mode(&site.path("bin/secret-tool"), 0o700);
                settings.push_str("secrets:\n");
                for name in NAMES {
                    let helper = format!("command: [\"{store}\", {name}, {broken:?}]");
                    let keyring = self.from == Source::Keyring;
                    let from = if keyring { "keyring: true" } else { &helper };
                    settings.push_str(&format!("  {name}: {{{from}}}\n"));
                }
            }
        }
        site.write("sshepherd.yml", &settings);
    }

    fn text(&self, name: &str) -> String {
        if self.broken == Broken::Empty { String::new() } else { value(name) }
    }

    /// Writes a file of secrets, and breaks it.
    fn file(&self, name: &str, text: &str) {
        let path = self.site.path(name);
        if self.broken == Broken::Linked {
            let real = format!("real-{}", name.rsplit('/').next().unwrap());
            self.site.write(&real, text);
            symlink(self.site.path(&real), path).unwrap();
            return;
        }
        self.site.write(name, text);
        let mut file = OpenOptions::new().append(true).open(&path).unwrap();
        match self.broken {
            Broken::TooLong => file.set_len(11 << 20).unwrap(),
            Broken::NoText => file.write_all(b"\xff\n").unwrap(),
            Broken::Open => mode(&path, 0o666),
            Broken::No | Broken::Fails | Broken::SaidOnStderr | Broken::Linked | Broken::Empty => {}
        }
    }

    /// The variables of a process that is to find the secrets.
    fn variables(&self) -> Vec<(String, String)> {
        let path = std::env::var("PATH").unwrap();
        let mut variables =
            vec![("PATH".to_owned(), format!("{}:{path}", self.site.path("bin").display()))];
        for name in NAMES {
            match self.from {
                Source::Variable => variables.push((name.to_owned(), self.text(name))),
                Source::PrefixedVariable => {
                    variables.push((format!("SSHEPHERD_SECRET_{name}"), self.text(name)));
                }
                Source::Dotenv | Source::File | Source::Command | Source::Keyring => {}
            }
        }
        variables
    }

    /// The program on this folder, with the most verbose log.
    fn command(&self, words: &[&str]) -> Command {
        let serve = self.site.serve();
        let mut command = Command::new(&serve[0]);
        command.args(&serve[2..]).args(words).envs(self.variables());
        command.env("SSHEPHERD_LOG", "trace").stdin(Stdio::null());
        command
    }

    fn run(&self, words: &[&str]) -> Output {
        let output = self.command(words).output().unwrap();
        for bytes in [&output.stdout, &output.stderr] {
            self.nowhere(&format!("{words:?}"), &String::from_utf8_lossy(bytes));
        }
        output
    }

    fn nowhere(&self, place: &str, text: &str) {
        let encoded = BASE64.encode(value(NAMES[0]).as_bytes());
        for canary in [CANARY, encoded.trim_end_matches('=')] {
            let (before, _) = text.split_once(canary).unwrap_or(("", ""));
            let around: String = before.chars().rev().take(300).collect();
            let around: String = around.chars().rev().collect();
            assert!(
                !text.contains(canary),
                "{:?} {:?} {place}: after {around}",
                self.from,
                self.broken
            );
        }
    }

    /// Every file below a folder.
    fn files(&self, folder: &str) {
        let mut folders = vec![self.site.path(folder)];
        while let Some(folder) = folders.pop() {
            let Ok(entries) = fs::read_dir(folder) else { continue };
            for path in entries.map(|entry| entry.unwrap().path()) {
                if path.is_dir() {
                    folders.push(path);
                } else {
                    let bytes = fs::read(&path).unwrap();
                    self.nowhere(&path.display().to_string(), &String::from_utf8_lossy(&bytes));
                }
            }
        }
    }
}

impl Environment for Case {
    fn var(&self, name: &str) -> Option<String> {
        self.variables().into_iter().find(|(known, _)| known == name).map(|(_, value)| value)
    }
}

fn call(serving: &mut Serving, id: u64, tool: &str, mut arguments: Value) -> String {
    if tool != "ssh_list_tasks" && arguments.get("session_id").is_none() {
        arguments["alias"] = ALIAS.into();
    }
    serving.ask(id, "tools/call", &json!({"name": tool, "arguments": arguments}))
}

/// A server whose hosts print the secrets that it knows.
fn serves(case: &Case) {
    let mut serving = Serving::spawn(case.command(&["serve"]));
    serving.hello();
    let leak = case.site.path("leak").display().to_string();
    let plain = call(&mut serving, 2, "ssh_run", json!({"command": format!("cat {leak}")}));
    case.nowhere("ssh_run", &plain);
    assert_eq!(plain.matches("[redacted: secret]").count(), 4, "both, in text and typed: {plain}");
    let encoded =
        call(&mut serving, 3, "ssh_run", json!({"command": format!("base64 -w 0 {leak}")}));
    case.nowhere("base64", &encoded);
    let opened = json!({"command": format!("cat {leak} -"), "timeout": 20_000});
    let opened = call(&mut serving, 4, "ssh_open_shell", opened);
    case.nowhere("ssh_open_shell", &opened);
    let answer: Value = serde_json::from_str(&opened).unwrap();
    let id = answer["result"]["structuredContent"]["session_id"].clone();
    for (number, (tool, arguments)) in [
        ("ssh_read_output", json!({"session_id": id, "cursor": 0, "timeout": 20_000, "wait_for": "redacted.*redacted"})),
        ("ssh_read_screen", json!({"session_id": id})),
        ("ssh_send_secret", json!({"session_id": id, "name": "canary_typed", "timeout": 0})),
        ("ssh_close_shell", json!({"session_id": id})),
        ("ssh_describe_host", json!({})),
        ("ssh_plan", json!({"command": "cat x"})),
        ("ssh_list_tasks", json!({})),
    ]
    .into_iter()
    .enumerate()
    {
        let answer = call(&mut serving, 10 + number as u64, tool, arguments);
        case.nowhere(tool, &answer);
    }
    let reloaded =
        serving.ask(30, "tools/call", &json!({"name": "ssh_reload_config", "arguments": {}}));
    assert!(reloaded.contains("reloaded"), "{reloaded}");
    case.nowhere("ssh_reload_config", &reloaded);
    let log = serving.end();
    // Below this level nothing of rmcp is written.
    assert!(log.contains(" INFO "), "more than warnings: {log}");
    case.nowhere("the log", &log);
    case.nowhere("audit", &fs::read_to_string(case.site.path("audit.jsonl")).unwrap());
    // Recordings are of what is shown; the tasks' own files keep what came, for `--raw`.
    case.files("state/shells");
}

fn tried(from: Source, broken: Broken, told: &str) {
    let case = Case::new(from, broken);
    let checked = case.run(&["check"]);
    let json = case.run(&["--json", "check"]);
    let expected = if broken == Broken::No { 0 } else { 1 };
    for output in [&checked, &json] {
        assert_eq!(output.status.code(), Some(expected), "{from:?} {broken:?}: {output:?}");
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(said.contains(told), "{from:?} {broken:?}: {told:?} is not in {said}");
    }
    for words in [
        &["--json", "hosts"][..],
        &["--json", "plan", ALIAS, "cat x"],
        &["--json", "policy", "explain", ALIAS, "cat x"],
        &["run", ALIAS, "true"],
    ] {
        case.run(words);
    }
    let folder = |name: &str| case.site.path(name);
    let folders = Folders {
        config: folder("."),
        keys: folder("keys"),
        secrets: folder("secrets"),
        state: folder("state"),
    };
    match sshepherd_config::load(&folders, &case) {
        Ok(loaded) => case.nowhere("Debug", &format!("{loaded:?}")),
        Err(report) => case.nowhere("the report", &format!("{report} {report:?}")),
    }
    if broken == Broken::No {
        serves(&case);
    } else {
        // It starts all the same, and ends with its input.
        assert_eq!(case.run(&["serve"]).status.code(), Some(0), "{from:?} {broken:?}");
    }
    for words in [&["audit", "show"][..], &["--json", "audit", "show"], &["audit", "verify"]] {
        case.run(words);
    }
}

fn all(from: Source) {
    let (_, ways) = CASES.iter().find(|(known, _)| *known == from).unwrap();
    for (broken, told) in *ways {
        tried(from, *broken, told);
    }
}

#[test]
fn a_variable_is_nowhere() {
    all(Source::Variable);
}

#[test]
fn a_variable_with_our_prefix_is_nowhere() {
    all(Source::PrefixedVariable);
}

#[test]
fn a_line_of_dotenv_is_nowhere() {
    all(Source::Dotenv);
}

#[test]
fn a_secret_file_is_nowhere() {
    all(Source::File);
}

#[test]
fn what_a_helper_prints_is_nowhere() {
    all(Source::Command);
}

#[test]
fn what_the_keyring_prints_is_nowhere() {
    all(Source::Keyring);
}

#[test]
fn a_keyring_without_its_program_names_the_package() {
    let case = Case::new(Source::Keyring, Broken::No);
    let mut check = case.command(&["check"]);
    check.env("PATH", case.site.path("vault"));
    let said = String::from_utf8(check.output().unwrap().stdout).unwrap();
    assert!(said.contains("secret-tool is not installed (package libsecret-tools)"), "{said}");
}

/// A password that is really sent, with the most verbose log.
#[test]
fn a_password_that_logs_in_is_nowhere() {
    let user = match TestUser::ensure() {
        Ok(user) => user,
        Err(reason) => {
            assert!(!sshepherd_testkit::account::is_root(), "{reason}");
            return;
        }
    };
    let server = Sshd::builder()
        .login_as(&user)
        .config_line("PasswordAuthentication yes")
        .config_line("UsePAM yes");
    let site = Site::over(server.start());
    let login = format!("{{name: test, username: {}, password_secret: pw}}", user.name());
    site.write("credentials.yml", &format!("entries:\n  - {login}\n"));
    site.write("secrets/pw", user.password());
    site.write("sshepherd.yml", "audit: {path: audit.jsonl, commands: true}\n");
    let serve = site.serve();
    let output = Command::new(&serve[0])
        .args(&serve[2..])
        .args(["run", ALIAS, "echo", "in"])
        .env("SSHEPHERD_LOG", "trace")
        .output()
        .unwrap();
    let log = String::from_utf8_lossy(&output.stderr);
    assert_eq!(String::from_utf8_lossy(&output.stdout), "in\n", "{log}");
    for text in [log.as_ref(), &fs::read_to_string(site.path("audit.jsonl")).unwrap()] {
        assert!(!text.contains(user.password()), "the password is in {text}");
    }
}
