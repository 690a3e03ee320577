//! The command line: output, exit codes and JSON, against a real sshd and without one.

use std::io::BufReader;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

use crate::site::{ALIAS, DENIED, OK, Site, TAG};

pub(crate) fn run(site: &Site, words: &[&str]) -> Output {
    let serve = site.serve();
    let (program, rest) = serve.split_first().unwrap();
    // Everything after `serve` is folders.
    Command::new(program)
        .args(&rest[1..])
        .args(words)
        .stdin(Stdio::null())
        .env_remove("SSHEPHERD_LOG")
        .output()
        .unwrap()
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

pub(crate) fn json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap()
}

pub(crate) fn code(output: &Output) -> i32 {
    output.status.code().unwrap()
}

#[test]
fn run_streams_both_outputs_and_gives_the_exit_codes() {
    let site = Site::new();
    let done = run(&site, &["run", ALIAS, "echo out; echo also"]);
    assert_eq!((code(&done), text(&done.stdout)), (0, "out\nalso\n".to_owned()));
    assert_eq!(code(&run(&site, &["run", ALIAS, "false"])), 1);
    let usage = run(&site, &["run", "nobody", "true"]);
    assert_eq!(code(&usage), 2);
    assert!(text(&usage.stderr).contains("no host is called nobody"));
    let denied = run(&site, &["run", ALIAS, "touch /tmp/never"]);
    assert_eq!((code(&denied), text(&denied.stdout)), (3, String::new()));
    let refused = run(&site, &["run", ALIAS, "echo $(id)"]);
    assert_eq!(code(&refused), 3);
    assert!(text(&refused.stderr).contains("at byte 5"), "{}", text(&refused.stderr));
}

#[test]
fn several_words_are_taken_as_they_are() {
    let site = Site::new();
    let done = run(&site, &["run", ALIAS, "echo", "a  b", "it's;", "$HOME"]);
    assert_eq!(text(&done.stdout), "a  b it's; $HOME\n");
}

#[test]
fn a_host_that_cannot_be_reached_gives_4() {
    let site = Site::new();
    site.unreachable("gone");
    let gone = run(&site, &["--json", "run", "gone", "true"]);
    assert_eq!(code(&gone), 4);
    let answer = json(&gone);
    assert_eq!(answer["status"], "could_not_connect");
    assert_eq!(answer["exit_code"], Value::Null);
    assert_eq!(answer["safe_to_resend"], true);
    assert_eq!(code(&run(&site, &["check", "--connect"])), 4);
}

#[test]
fn a_full_shell_is_not_said_to_have_run_where_the_host_was_never_reached() {
    let site = Site::new();
    site.unreachable("gone");
    site.rules("  - {action: allow, commands: [\"*\"], shell: unrestricted}\n");
    let gone = run(&site, &["run", "gone", "echo $HOME"]);
    assert_eq!(code(&gone), 4);
    assert!(!text(&gone.stderr).contains("full shell"), "{}", text(&gone.stderr));
    let answer = json(&run(&site, &["--json", "run", "gone", "echo $HOME"]));
    assert_eq!(answer["raw_shell"], Value::Null, "{answer}");
    let ran = run(&site, &["run", ALIAS, "echo $HOME"]);
    assert!(text(&ran.stderr).contains("run by a full shell"), "{}", text(&ran.stderr));
}

/// sudo(8) exits with 1 and says why last, in the language of the account.
#[test]
fn a_sudo_that_refuses_carries_a_hint() {
    let site = Site::new();
    site.rules("  - {action: allow, commands: [\"*\"], shell: unrestricted}\n");
    let hint = |command: &str| {
        let answer = json(&run(&site, &["--json", "run", ALIAS, command]));
        answer["hint"].as_str().unwrap_or_default().to_owned()
    };
    for words in ["a password is required", "se requiere una contraseña"] {
        assert!(hint(&format!("echo 'sudo: {words}' >&2; exit 1")).contains("NOPASSWD"), "{words}");
    }
    let plain = run(&site, &["run", ALIAS, "echo 'sudo: a password is required' >&2; exit 1"]);
    assert!(text(&plain.stderr).contains("NOPASSWD"), "{}", text(&plain.stderr));
    // Of sudo's, but a warning: the command itself ran and failed.
    assert_eq!(
        hint("echo 'sudo: unable to resolve host web1' >&2; echo no such unit >&2; exit 1"),
        ""
    );
    assert_eq!(hint("echo 'sudo: a password is required' >&2; exit 0"), "");
}

#[test]
fn run_on_a_tag_answers_in_inventory_order() {
    let site = Site::new();
    let done = run(&site, &["run", "--per-host", "--tag", TAG, "echo hello"]);
    assert_eq!(
        (code(&done), text(&done.stdout)),
        (0, "box.one: hello\nbox.two: hello\n".to_owned())
    );
    let answer = json(&run(&site, &["--json", "run", "--tag", TAG, "echo hello"]));
    let aliases: Vec<&str> = answer["results"]
        .as_array()
        .unwrap()
        .iter()
        .map(|r| r["alias"].as_str().unwrap())
        .collect();
    assert_eq!(aliases, ["box.one", "box.two"]);
}

#[test]
fn run_on_many_puts_hosts_with_the_same_result_together() {
    let site = Site::new();
    site.hosts(&["web01", "web02", "web03"]);
    site.unreachable("far1");
    let done = run(&site, &["run", "--on", "all", "seq 1 3"]);
    let told = text(&done.stdout);
    assert_eq!(code(&done), 4, "{told}");
    assert!(told.starts_with("far1: could not connect: "), "{told}");
    assert!(told.ends_with("\nweb[01-03] (3 hosts): exit status 0\n  1\n  2\n  3\n"), "{told}");
    let stderr = text(&done.stderr);
    let said: Vec<&str> = stderr.lines().filter(|line| !line.starts_with('{')).collect();
    assert!(said[0].starts_with("3 of 4 hosts done; not done: far1; slowest: "), "{stderr}");
    assert_eq!(
        said.len(),
        1,
        "but for the record, nothing else where there is no terminal: {stderr}"
    );
    let failed = run(&site, &["run", "--on", "web[01-02]", "false"]);
    assert_eq!(
        (code(&failed), text(&failed.stdout)),
        (1, "web[01-02] (2 hosts): exit status 1\n".to_owned())
    );
    let denied = run(&site, &["run", "--on", "web[01-02]", DENIED]);
    assert_eq!(code(&denied), 3);
    assert!(
        text(&denied.stdout).starts_with("web[01-02] (2 hosts): denied: "),
        "{}",
        text(&denied.stdout)
    );
}

#[test]
fn hosts_plan_explain_and_check_tell_people_and_programs() {
    let site = Site::new();
    assert!(text(&run(&site, &["hosts"]).stdout).starts_with("box.one  127.0.0.1:"));
    let plan = run(&site, &["--json", "plan", ALIAS, "echo a | grep a"]);
    assert_eq!(code(&plan), 0);
    assert_eq!(json(&plan)["allowed"], true);
    let explained = run(&site, &["--json", "policy", "explain", ALIAS, "echo a; id"]);
    assert_eq!(code(&explained), 3);
    let explained = json(&explained);
    assert_eq!(explained["commands"][0]["argv"], serde_json::json!(["echo", "a"]));
    assert_eq!(explained["commands"][1]["allowed"], false);
    let check = run(&site, &["check", "--connect"]);
    assert_eq!(code(&check), 0);
    assert!(text(&check.stdout).contains("box.two: logged in"));
    assert_eq!(code(&run(&site, &["policy", "lint"])), 0);
}

#[test]
fn policy_test_judges_a_corpus_and_fails_on_a_mismatch() {
    let site = Site::new();
    let file = tempfile::NamedTempFile::new().unwrap();
    let path = file.path().to_str().unwrap();
    std::fs::write(path, "{\"command\": \"echo a\", \"expect\": \"allow\", \"why\": \"rule\"}\n")
        .unwrap();
    assert_eq!(code(&run(&site, &["policy", "test", "--cases", path])), 0);
    std::fs::write(path, "{\"command\": \"echo a;id\", \"expect\": \"allow\", \"why\": \"no\"}\n")
        .unwrap();
    let wrong = run(&site, &["--json", "policy", "test", "--cases", path]);
    assert_eq!((code(&wrong), json(&wrong)["right"].clone()), (1, Value::from(0)));
    std::fs::write(path, "nonsense\n").unwrap();
    assert_eq!(code(&run(&site, &["policy", "test", "--cases", path])), 2);
}

#[test]
fn a_broken_configuration_is_told_whole_and_gives_2() {
    let site = Site::new();
    site.hosts(&["a", "a"]);
    let broken = run(&site, &["check"]);
    assert_eq!(code(&broken), 2);
    assert!(
        text(&broken.stdout).contains("servers.yml:7: error: hosts[1].alias"),
        "{}",
        text(&broken.stdout)
    );
    assert_eq!(code(&run(&site, &["run", "a", "true"])), 2);
}

#[test]
fn init_writes_a_folder_that_checks() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("new").display().to_string();
    let program = env!("CARGO_BIN_EXE_sshepherd");
    let init = Command::new(program).args(["--config", &config, "init"]).output().unwrap();
    assert_eq!(code(&init), 0, "{}", text(&init.stderr));
    assert!(text(&init.stderr).contains("next:"));
    let check = Command::new(program).args(["--config", &config, "check"]).output().unwrap();
    assert_eq!(code(&check), 0, "{}", text(&check.stdout));
    let again = Command::new(program).args(["--config", &config, "init"]).output().unwrap();
    assert_eq!(code(&again), 2);
}

#[test]
fn the_demo_shows_everything_and_ends() {
    let demo = Command::new(env!("CARGO_BIN_EXE_sshepherd")).arg("demo").output().unwrap();
    let shown = text(&demo.stdout);
    assert_eq!(code(&demo), 0, "{shown}{}", text(&demo.stderr));
    for wanted in [
        "denied: ",
        "hint: ",
        "db1: ",
        "completed: exit status 0",
        "cancelled: confirmed",
        "claude mcp add",
    ] {
        assert!(shown.contains(wanted), "{wanted} is not in\n{shown}");
    }
}

/// Few enough to read: every package is code that runs beside people's keys.
#[test]
fn at_most_280_packages_are_locked() {
    let lock = include_str!("../../../../Cargo.lock");
    let packages = lock.matches("[[package]]").count();
    assert!(packages <= 280, "{packages} packages");
}

#[test]
fn the_audit_record_is_shown_and_checked() {
    let site = Site::new();
    site.write(
        "sshepherd.yml",
        "audit: {path: audit.jsonl, commands: true, checkpoints: {file: points, every: 1}}\n",
    );
    let serve = site.serve();
    let sshepherd =
        |words: &[&str]| Command::new(&serve[0]).args(&serve[2..]).args(words).output().unwrap();
    assert!(sshepherd(&["run", ALIAS, OK]).status.success());
    assert_eq!(sshepherd(&["run", ALIAS, DENIED]).status.code(), Some(3));
    let verified = sshepherd(&["audit", "verify"]);
    let text = String::from_utf8(verified.stdout).unwrap();
    assert!(
        verified.status.success()
            && text.starts_with("whole to record 4, anchored to 4\n4 records"),
        "{text}"
    );
    assert!(text.contains("4 checkpoints"), "{text}");
    let shown = sshepherd(&["audit", "show", "--decision", "deny", "--host", ALIAS]);
    let text = String::from_utf8(shown.stdout).unwrap();
    assert!(text.contains("decision deny") && text.contains(DENIED), "{text}");
    assert_eq!(text.lines().count(), 1, "{text}");
    let path = site.path("audit.jsonl");
    let whole = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, whole.replacen("deny", "allow", 1)).unwrap();
    let verified = sshepherd(&["audit", "verify"]);
    let text = String::from_utf8(verified.stdout).unwrap();
    assert_eq!(verified.status.code(), Some(1), "{text}");
    assert!(text.contains("audit.jsonl:4: "), "{text}");
    assert!(text.starts_with("whole to record 3, anchored to 3\n"), "{text}");
    let shown = sshepherd(&["audit", "show"]);
    let text = String::from_utf8(shown.stdout).unwrap();
    let marked: Vec<bool> = text.lines().map(|line| line.starts_with("OUTSIDE")).collect();
    assert_eq!((shown.status.code(), marked), (Some(1), vec![false, false, false, true]), "{text}");
    let shown = sshepherd(&["--json", "audit", "show"]);
    let document: serde_json::Value = serde_json::from_slice(&shown.stdout).unwrap();
    assert_eq!(document["records"][3]["outside_chain"], true, "{document}");
    assert!(document["records"][2]["outside_chain"].is_null(), "{document}");
    // Nothing stands before what is left of its beginning, and nothing in place of what was all changed.
    let without: Vec<&str> = whole.split_inclusive('\n').skip(1).collect();
    let changed = whole.replace("\"chain\"", "\"chaim\"").replace("deny", "allow");
    for (text, records) in [(without.concat(), 3), (changed, 4)] {
        std::fs::write(&path, text).unwrap();
        assert_eq!(sshepherd(&["audit", "verify"]).status.code(), Some(1));
        let shown = sshepherd(&["audit", "show"]);
        let text = String::from_utf8(shown.stdout).unwrap();
        assert_eq!(text.matches("OUTSIDE").count(), records, "{text}");
        assert_eq!(shown.status.code(), Some(1), "{text}");
    }
    std::fs::write(&path, without.concat()).unwrap();
    let shown = sshepherd(&["audit", "show", "--from", "2"]);
    let text = String::from_utf8(shown.stdout).unwrap();
    assert!(shown.status.success() && !text.contains("OUTSIDE"), "{text}");
    let first: Vec<&str> = whole.split_inclusive('\n').take(2).collect();
    std::fs::write(&path, first.concat()).unwrap();
    let cut = sshepherd(&["--json", "audit", "verify"]);
    let document: serde_json::Value = serde_json::from_slice(&cut.stdout).unwrap();
    assert_eq!((cut.status.code(), &document["state"]), (Some(1), &"bad".into()), "{document}");
}

/// Was: called whole, though nothing outside the file said that its end is there.
#[test]
fn a_record_without_checkpoints_is_not_called_whole_beyond_them() {
    let site = Site::new();
    site.write("sshepherd.yml", "audit: {path: audit.jsonl}\n");
    let serve = site.serve();
    let sshepherd =
        |words: &[&str]| Command::new(&serve[0]).args(&serve[2..]).args(words).output().unwrap();
    assert!(sshepherd(&["run", ALIAS, OK]).status.success());
    let verified = sshepherd(&["audit", "verify"]);
    let text = String::from_utf8(verified.stdout).unwrap();
    assert!(text.starts_with("whole to record 3, anchored to 0\nno checkpoint"), "{text}");
    assert_eq!(verified.status.code(), Some(0), "{text}");
    let verified = sshepherd(&["--json", "audit", "verify"]);
    let document: serde_json::Value = serde_json::from_slice(&verified.stdout).unwrap();
    assert_eq!(
        (&document["state"], &document["whole_to"], &document["anchored_to"]),
        (&"unanchored".into(), &3.into(), &0.into()),
        "{document}"
    );
}

#[test]
fn the_audit_record_is_followed_and_picked_by_kind() {
    let site = Site::new();
    site.write("sshepherd.yml", "audit: {path: audit.jsonl}\n");
    let serve = site.serve();
    let sshepherd = |words: &[&str]| {
        let mut command = Command::new(&serve[0]);
        command.args(&serve[2..]).args(words);
        command
    };
    let runs = || assert!(sshepherd(&["run", ALIAS, OK]).output().unwrap().status.success());
    runs();
    let mut follower = sshepherd(&["--json", "audit", "show", "--follow", "--event", "decision"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = std::io::BufRead::lines(BufReader::new(follower.stdout.take().unwrap()));
    let mut next =
        || -> serde_json::Value { serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap() };
    let first = next();
    assert_eq!((&first["event"], &first["seq"]), (&"decision".into(), &1.into()), "{first}");
    runs();
    let second = next();
    assert_eq!((&second["event"], &second["seq"]), (&"decision".into(), &4.into()), "{second}");
    follower.kill().unwrap();
    follower.wait().unwrap();
}

/// Real `ssh -G` is the judge of what a file means.
#[test]
fn an_ssh_config_is_taken_over_as_ssh_reads_it() {
    let home = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(home.path().join(".ssh/conf.d")).unwrap();
    let write =
        |name: &str, text: &str| std::fs::write(home.path().join(".ssh").join(name), text).unwrap();
    write("conf.d/a.conf", "Host inc-a\n  Port 2201\nHost *\n  User fromany\n");
    write("conf.d/b.conf", "Host inc-b\n  HostName=b.example\n");
    write("conf.d/.hidden", "Host hidden\n");
    write(
        "config",
        "User early # said\nInclude conf.d/a.conf\nHost web1 web2\n  HostName %h.example.org\n  Port 2222\n  IdentityFile ~/.ssh/id_web\n  Include conf.d/*\n\
         Host web2\n  Port 9\n  ProxyJump bastion\nHost bastion\n  HostName \"192.0.2.7\"\n  ProxyJump none\n\
         Host *.lab !no.lab\n  User lab\nHost x.lab no.lab\n  IdentityFile /k/x\nMatch host web1\n  User never\nHost last\n  hostname last.example\n",
    );
    let file = home.path().join(".ssh/config");
    let config = sshepherd_config::ssh_config::SshConfig::read(&file, home.path()).unwrap();
    let aliases = config.aliases();
    assert_eq!(aliases, ["inc-a", "web1", "web2", "bastion", "x.lab", "no.lab", "last"]);
    assert_eq!(config.unreached(), ["inc-b"], "it is included below web1 and web2 alone");
    for alias in &aliases {
        let host = config.host(alias, home.path());
        // ssh looks for ~ and for relative includes where the account's home is, so the file is given with whole paths.
        let whole = std::fs::read_to_string(&file)
            .unwrap()
            .replace("conf.d/", &format!("{}/.ssh/conf.d/", home.path().display()));
        let copy = home.path().join("whole");
        std::fs::write(
            &copy,
            whole.split("Match host").next().unwrap().to_owned()
                + "Host last\n  hostname last.example\n",
        )
        .unwrap();
        let told = Command::new("ssh").args(["-G", "-F"]).arg(&copy).arg(alias).output().unwrap();
        let told = String::from_utf8(told.stdout).unwrap();
        let get = |key: &str| told.lines().find_map(|line| line.strip_prefix(&format!("{key} ")));
        assert_eq!(Some(host.host.as_str()), get("hostname"), "{alias}");
        assert_eq!(host.port.unwrap_or(22).to_string(), get("port").unwrap(), "{alias}");
        assert_eq!(host.user.as_deref(), get("user"), "{alias}");
        assert_eq!(
            host.jump.as_deref(),
            get("proxyjump").filter(|jump| *jump != "none"),
            "{alias}"
        );
    }
    let config_folder = home.path().join("config");
    let import = |more: &[&str]| {
        Command::new(env!("CARGO_BIN_EXE_sshepherd"))
            .env("HOME", home.path())
            .args(["--config", config_folder.to_str().unwrap(), "import", "ssh-config"])
            .args(more)
            .output()
            .unwrap()
    };
    let written = import(&["--write"]);
    assert!(written.status.success(), "{}", text(&written.stderr));
    assert!(!text(&written.stderr).contains("Match block"), "ssh judges them");
    let check = Command::new(env!("CARGO_BIN_EXE_sshepherd"))
        .env("SSH_AUTH_SOCK", "/run/agent.sock")
        .args(["--config", config_folder.to_str().unwrap(), "--json", "hosts"])
        .output()
        .unwrap();
    let hosts = json(&check);
    assert_eq!(hosts["hosts"].as_array().unwrap().len(), 7, "{hosts} {}", text(&check.stderr));
    assert_eq!(code(&import(&["--write"])), 2, "a person's file is not changed");
}

#[test]
fn imported_users_that_differ_never_share_a_login() {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("config");
    let users = ["a+b", "a-b", "a.b", "a_b", "me"];
    let hosts: String = users
        .iter()
        .enumerate()
        .map(|(number, user)| format!("Host h{number}\n  User {user}\n"))
        .collect();
    std::fs::write(&file, hosts + "Host none\n  HostName none.example\n").unwrap();
    let shown = Command::new(env!("CARGO_BIN_EXE_sshepherd"))
        .env("USER", "somebody")
        .args(["import", "ssh-config"])
        .arg(&file)
        .output()
        .unwrap();
    // The account is that of the process, whatever a variable says.
    let me = Command::new("id").arg("-un").output().unwrap().stdout;
    let me = text(&me);
    for user in users.into_iter().chain([me.trim()]) {
        let entry = format!("    username: \"{user}\"\n");
        assert!(text(&shown.stdout).contains(&entry), "{user}: {}", text(&shown.stdout));
    }
}
