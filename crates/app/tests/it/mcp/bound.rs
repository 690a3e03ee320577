//! What a yes is bound to, what a person sees before it, and how it is given on the command line.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Output, Stdio};

use serde_json::{Value, json};
use sshepherd_testkit::Sshd;

use super::client::{Client, Era};
use crate::site::{ALIAS, Site};
use crate::terminal::Person;

fn asking() -> Site {
    let site = Site::new();
    site.rules(
        "  - {id: loud, why: it speaks, action: ask, approval: {for: 10m}, commands: [\"cat\"], stdin: true, cwd: [/usr], \
         env: [GREETING]}\n",
    );
    site
}

fn run(site: &Site, words: &[&str]) -> Output {
    let serve = site.serve();
    Command::new(&serve[0]).args(&serve[2..]).args(words).stdin(Stdio::null()).output().unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

fn begins(id: &str, length: usize) -> &str {
    id.get(..length).unwrap()
}

/// A question about a command with everything around it.
async fn asked(client: &Client) -> String {
    let input = format!("first\u{1b}[2K line\n{}last line\n", "x".repeat(3000));
    let call = json!({
        "alias": ALIAS, "command": "cat", "cwd": "/usr", "env": {"GREETING": "hello"}, "stdin": input
    });
    let answer = client.bad("ssh_run", call).await;
    answer["approval_id"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_person_sees_everything_before_a_yes_and_may_say_no() {
    let site = asking();
    let client = Client::start(&site.serve(), Era::Session).await;
    let id = asked(&client).await;
    let port = site.server().port().to_string();
    let wanted = [
        "on      box.one",
        &format!("{}@127.0.0.1:{port}", site.server().user()),
        "cd -- /usr && {",
        "cwd     /usr",
        "env     GREETING",
        "stdin   3025 bytes, SHA-256 ",
        "first\\u{1b}[2K line",
        "more characters)",
        "last line",
        "rule    loud: it speaks",
        "holds   for 10 minutes",
    ];
    let shown = said(&run(&site, &["approvals", "show", &id]));
    for text in wanted {
        assert!(shown.contains(text), "{text}: {shown}");
    }
    // No person, no yes.
    let refused = run(&site, &["approvals", "approve", &id]);
    assert_eq!(refused.status.code(), Some(2), "{}", said(&refused));
    assert!(said(&refused).contains("--yes"), "{}", said(&refused));
    for (typed, code, state) in [("no\n", 1, "open"), ("yes\n", 0, "approved")] {
        let mut person = Person::at(&site, &["approvals", "approve", begins(&id, 8)]);
        person.sees("Approve exactly this? yes or no:");
        person.types(typed);
        let (screen, ended) = person.ends();
        for text in wanted {
            assert!(screen.contains(text), "{text}: {screen}");
        }
        assert_eq!(ended, code, "{screen}");
        let list = run(&site, &["--json", "approvals", "list", "--all"]);
        let list: Value = serde_json::from_slice(&list.stdout).unwrap();
        assert_eq!(list["approvals"][0]["state"], state, "{list}");
    }
}

/// A short beginning is one that another question can be made to share.
#[tokio::test]
async fn an_id_is_given_by_eight_characters_or_more() {
    let site = asking();
    let client = Client::start(&site.serve(), Era::Session).await;
    let id = asked(&client).await;
    for verb in ["show", "deny", "approve"] {
        for length in [0, 1, 4, 7] {
            let mut words = vec!["approvals", verb, begins(&id, length)];
            words.extend((verb == "approve").then_some("--yes"));
            let refused = run(&site, &words);
            assert_eq!(refused.status.code(), Some(2), "{verb} {length}: {}", said(&refused));
        }
    }
    assert_eq!(run(&site, &["approvals", "show", begins(&id, 8)]).status.code(), Some(0));
    assert_eq!(run(&site, &["approvals", "deny", begins(&id, 8)]).status.code(), Some(0));
}

fn private(site: &Site, name: &str, text: &[u8]) {
    fs::write(site.path(name), text).unwrap();
    fs::set_permissions(site.path(name), fs::Permissions::from_mode(0o600)).unwrap();
}

/// Was: bound to the name of the entry, so a yes for one account was one for whatever was written there later.
#[tokio::test]
async fn a_log_in_that_was_edited_after_the_yes_asks_again() {
    let site = asking();
    let other = Sshd::start();
    let user = site.server().user().to_owned();
    let entry =
        |user: &str, more: &str| format!("entries:\n  - name: test\n    username: {user}\n{more}");
    let private = |name: &str, text: &[u8]| private(&site, name, text);
    private("secrets/first", b"one-password-of-it\n");
    private("keys/second", &fs::read(other.user_key_path()).unwrap());
    let plain = entry(&user, "    key_path: id\n    password_secret: first\n");
    let servers = fs::read_to_string(site.path("servers.yml")).unwrap();
    site.write("credentials.yml", &plain);
    let client = Client::start(&site.serve(), Era::Session).await;
    let call = json!({"alias": ALIAS, "command": "cat"});
    let asked = client.bad("ssh_run", call.clone()).await;
    let approved =
        run(&site, &["approvals", "approve", asked["approval_id"].as_str().unwrap(), "--yes"]);
    assert_eq!(approved.status.code(), Some(0));
    client.good("ssh_run", call.clone()).await;
    let key = fs::read(site.path("keys/id")).unwrap();
    let changes: [(&str, &dyn Fn()); 7] = [
        ("the account", &|| {
            site.write(
                "credentials.yml",
                &entry("somebody", "    key_path: id\n    password_secret: first\n"),
            );
        }),
        ("the key's name", &|| {
            site.write(
                "credentials.yml",
                &entry(&user, "    key_path: second\n    password_secret: first\n"),
            );
        }),
        ("the key's content", &|| private("keys/id", &fs::read(other.user_key_path()).unwrap())),
        ("the password", &|| private("secrets/first", b"another-password\n")),
        ("no password", &|| site.write("credentials.yml", &entry(&user, "    key_path: id\n"))),
        ("the port", &|| {
            let (ours, theirs) = (site.server().port().to_string(), other.port().to_string());
            site.write("servers.yml", &servers.replace(&ours, &theirs));
        }),
        ("the way", &|| {
            let line = "    credentials: test\n";
            site.write(
                "servers.yml",
                &servers.replacen(line, &format!("{line}    jump: box.two\n"), 1),
            );
        }),
    ];
    for (what, change) in changes {
        change();
        client.good("ssh_reload_config", json!({})).await;
        let answer = client.bad("ssh_run", call.clone()).await;
        assert_eq!(answer["status"], "approval_required", "{what}: {answer}");
        site.write("credentials.yml", &plain);
        site.write("servers.yml", &servers);
        private("keys/id", &key);
        private("secrets/first", b"one-password-of-it\n");
        client.good("ssh_reload_config", json!({})).await;
        client.good("ssh_run", call.clone()).await;
    }
    keyed(&site);
}

/// Nobody finds the password by trying: the key of the digests is for the owner's eyes only.
fn keyed(site: &Site) {
    let texts = fs::read(site.path("state/tasks.db")).unwrap();
    assert!(!texts.windows(12).any(|part| part == b"one-password"));
    let mode = fs::metadata(site.path("state/digest.key")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

/// Was: the record named a command by a hash of its text alone.
#[tokio::test]
async fn the_audit_record_tells_requests_apart_by_everything_around_the_command() {
    let site = asking();
    site.grant(&["cat"]);
    let audit = site.path("audit.jsonl");
    site.write("sshepherd.yml", &format!("audit:\n  path: {}\n", audit.display()));
    let client = Client::start(&site.serve(), Era::Session).await;
    let base = json!({"alias": ALIAS, "command": "cat", "stdin": "a", "cwd": "/usr", "env": {"GREETING": "a"}});
    let mut calls = vec![base.clone(), base.clone()];
    for (field, other) in [
        ("stdin", json!("b")),
        ("stdin", Value::Null),
        ("cwd", Value::Null),
        ("env", json!({"GREETING": "b"})),
        ("alias", json!("box.two")),
    ] {
        let mut call = base.clone();
        call[field] = other;
        call.as_object_mut().unwrap().retain(|_, value| !value.is_null());
        calls.push(call);
    }
    for call in calls {
        client.good("ssh_run", call).await;
    }
    let text = fs::read_to_string(&audit).unwrap();
    let records = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let digests: Vec<String> = records
        .filter(|record| record["event"] == "decision")
        .map(|record| record["request_digest"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(digests.len(), 7, "{text}");
    assert_eq!(digests[0], digests[1], "equal requests");
    let several: std::collections::BTreeSet<&String> = digests.iter().skip(1).collect();
    assert_eq!(several.len(), 6, "{digests:?}");
}
