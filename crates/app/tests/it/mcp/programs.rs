//! Shells with real programs in them, as an agent works with them: other shells, a REPL, editors, pagers, dialogs, passwords.

use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};
use sshepherd_testkit::{Sshd, TestUser, processes};

use super::client::{Client, Era};
use crate::site::{ALIAS, Site};

const OPEN: &str = "  - {id: shells, shells: allow, persistent: true}\n";

/// A shell and what works in it.
pub(super) struct Shell<'a> {
    client: &'a Client,
    pub(super) id: String,
}

impl<'a> Shell<'a> {
    pub(super) async fn open(client: &'a Client, command: Option<&str>) -> Self {
        let mut arguments = json!({"alias": ALIAS, "timeout": 20000});
        if let Some(command) = command {
            arguments["command"] = json!(command);
        }
        Self::opened(client, arguments).await
    }

    /// Opened with these arguments.
    pub(super) async fn opened(client: &'a Client, arguments: Value) -> Self {
        let answer = client.good("ssh_open_shell", arguments).await;
        Self::of(client, answer["session_id"].as_str().unwrap())
    }

    /// One that is there.
    pub(super) fn of(client: &'a Client, id: &str) -> Self {
        Self { client, id: id.to_owned() }
    }

    pub(super) async fn read(&self, mut arguments: Value) -> Value {
        arguments["session_id"] = json!(self.id);
        self.client.good("ssh_read_output", arguments).await
    }

    pub(super) async fn send(&self, mut arguments: Value) -> Value {
        arguments["session_id"] = json!(self.id);
        arguments["timeout"] = json!(20000);
        self.client.good("ssh_send_input", arguments).await
    }

    /// Types a line and waits for text that matches.
    pub(super) async fn line(&self, line: &str, wait_for: &str) -> String {
        let answer = self.send(json!({"text": format!("{line}\n"), "wait_for": wait_for})).await;
        assert_eq!(answer["ended_by"], "match", "{line}: {answer}");
        answer["output"].as_str().unwrap().to_owned()
    }

    async fn screen(&self) -> Value {
        self.client.good("ssh_read_screen", json!({"session_id": self.id})).await
    }

    /// The screen, once `ready` likes it: a program draws when it has something to draw.
    pub(super) async fn screen_when(&self, ready: impl Fn(&str) -> bool) -> String {
        let mut shown = String::new();
        for _ in 0..100 {
            let screen = self.screen().await;
            let rows = screen["rows"].as_array().unwrap();
            shown = rows.iter().map(|row| row.as_str().unwrap()).collect::<Vec<_>>().join("\n");
            if ready(&shown) {
                return shown;
            }
            let more = json!({"session_id": self.id, "timeout": 1000});
            self.client.good("ssh_read_output", more).await;
        }
        panic!("never drawn; but\n{shown}");
    }

    pub(super) async fn close(self) {
        let answer = self.client.good("ssh_close_shell", json!({"session_id": self.id})).await;
        assert_eq!(answer["status"], "ended", "{answer}");
    }
}

async fn site() -> (Site, Client) {
    let site = Site::new();
    site.rules(OPEN);
    let client = Client::start(&site.serve(), Era::Session).await;
    (site, client)
}

#[tokio::test]
async fn other_shells_and_a_repl_answer_at_their_prompts() {
    let (_site, client) = site().await;
    for (shell, prompt) in
        [("bash --norc", r"\$ $|# $"), ("dash", r"[$#] $"), ("zsh -f", r"[%#] $")]
    {
        let shell = Shell::open(&client, Some(shell)).await;
        let output = shell.line("echo $((6*7))", &format!(r"\n42\s[\s\S]*({prompt})")).await;
        assert!(output.contains("42"), "{output}");
        shell.close().await;
    }
    let python = Shell::open(&client, Some("python3 -q")).await;
    let answer = python.send(json!({"text": "6 * 7\n", "wait_prompt": true})).await;
    assert_eq!(
        (&answer["ended_by"], &answer["prompt_by"]),
        (&json!("prompt"), &json!("look")),
        "{answer}"
    );
    assert!(answer["output"].as_str().unwrap().contains("42"), "{answer}");
    // A block, typed as a person would.
    python.line("for n in range(3):\n  print('n', n)\n", r"n 2[\s\S]*>>> $").await;
    let answer = python.send(json!({"keys": ["Ctrl-D"], "wait_for": "never"})).await;
    assert_eq!(answer["ended_by"], "closed", "{answer}");
}

#[tokio::test]
async fn vim_edits_and_saves_a_file() {
    let (site, client) = site().await;
    let file = site.path("edited");
    let vim = Shell::open(&client, Some(&format!("vim -u NONE -n {}", file.display()))).await;
    vim.screen_when(|shown| shown.contains('~')).await;
    assert_eq!(vim.screen().await["alternate_screen"], true);
    vim.send(json!({"text": "ione\ntwo\t2", "keys": ["Escape"], "wait_quiet_ms": 100})).await;
    let shown = vim.screen_when(|shown| shown.contains("two")).await;
    assert!(shown.starts_with("one\ntwo     2\n"), "{shown}");
    let answer = vim.send(json!({"text": ":wq\n", "wait_for": "never"})).await;
    assert_eq!(answer["ended_by"], "closed", "{answer}");
    assert_eq!(std::fs::read_to_string(file).unwrap(), "one\ntwo\t2\n");
}

#[tokio::test]
async fn a_pager_and_a_monitor_show_their_screens() {
    let (site, client) = site().await;
    site.write("long", &(1..=100).map(|n| format!("line {n}\n")).collect::<String>());
    let less = Shell::open(&client, Some(&format!("less {}", site.path("long").display()))).await;
    less.screen_when(|shown| shown.starts_with("line 1\n")).await;
    less.send(json!({"keys": ["PageDown"]})).await;
    less.screen_when(|shown| shown.contains("line 46\n")).await;
    less.send(json!({"text": "G"})).await;
    less.screen_when(|shown| shown.contains("line 100\n")).await;
    less.send(json!({"text": "q", "wait_for": "never"})).await;
    let top = Shell::open(&client, Some("top -d 1")).await;
    let shown = top.screen_when(|shown| shown.contains("PID")).await;
    assert!(shown.starts_with("top - "), "{shown}");
    top.close().await;
}

#[tokio::test]
async fn a_dialog_is_driven_by_keys() {
    let (_site, client) = site().await;
    let dialog = "whiptail --menu Choose 15 40 3 one First two Second three Third";
    let menu = Shell::open(&client, Some(dialog)).await;
    menu.screen_when(|shown| shown.contains("Third")).await;
    let answer = menu.send(json!({"keys": ["Down", "Tab", "Enter"], "wait_for": "never"})).await;
    assert_eq!(answer["ended_by"], "closed", "{answer}");
    assert!(answer["output"].as_str().unwrap().contains("two"), "{answer}");
}

/// The log-in of the throw-away account, whose password a rule lets be typed at these prompts.
async fn with_secret(prompt: &str, program: &str) -> Option<(Site, Client, TestUser)> {
    // Without root there is no account whose password is known.
    let user = TestUser::ensure().ok()?;
    let site = Site::over(Sshd::builder().login_as(&user).start());
    site.write("secrets/account", user.password());
    site.rules(&format!(
        "  - {{id: shells, shells: allow, secrets: [{{name: account, prompt: '{prompt}', program: {program}}}]}}\n"
    ));
    site.write("sshepherd.yml", "audit: {path: audit.jsonl}\n");
    let client = Client::start(&site.serve(), Era::Session).await;
    Some((site, client, user))
}

/// Every file below a folder that holds this text.
fn holding(folder: &std::path::Path, text: &str) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
        let path = entry.path();
        if path.is_dir() {
            found.extend(holding(&path, text));
        } else if std::fs::read(&path)
            .is_ok_and(|bytes| bytes.windows(text.len()).any(|window| window == text.as_bytes()))
        {
            found.push(path);
        }
    }
    found
}

#[tokio::test]
async fn a_secret_is_typed_where_the_rule_says_and_nowhere_else() {
    let Some((site, client, user)) = with_secret("^Current password: ?$", "passwd").await else {
        return;
    };
    let shell = Shell::open(&client, None).await;
    let secret = json!({"session_id": shell.id, "name": "account", "timeout": 20000, "wait_for": "New password"});
    let other = json!({"session_id": shell.id, "name": "other"});
    // At the shell's own prompt, at an imitation that echoes, under another name: never.
    assert_eq!(client.bad("ssh_send_secret", secret.clone()).await["status"], "error");
    assert!(
        client.bad("ssh_send_secret", other).await["error"].as_str().unwrap().contains("other")
    );
    shell.line("printf 'Current password: '; read x", "password: $").await;
    let answer = client.bad("ssh_send_secret", secret.clone()).await;
    assert!(answer["error"].as_str().unwrap().contains("would be shown"), "{answer}");
    shell.send(json!({"keys": ["Enter"], "wait_prompt": true})).await;
    // Neither for an imitation that hides it, under the right name: it does not run as root.
    let fake = "cp /bin/sh ./passwd && ./passwd -c 'stty -echo; printf \"Current password: \"; read x; stty echo'; rm passwd";
    shell.line(fake, "\\nCurrent password: $").await;
    let answer = client.bad("ssh_send_secret", secret.clone()).await;
    assert!(answer["error"].as_str().unwrap().contains("running as root"), "{answer}");
    shell.send(json!({"keys": ["Enter"], "wait_prompt": true})).await;
    // The real one.
    shell.line("passwd", "Current password: $").await;
    let answer = client.good("ssh_send_secret", secret).await;
    assert_eq!(answer["ended_by"], "match", "{answer}");
    assert!(!answer.to_string().contains(user.password()), "{answer}");
    shell.send(json!({"keys": ["Ctrl-C"], "wait_quiet_ms": 200})).await;
    shell.close().await;
    drop(client);
    let known = site.path("secrets/account");
    assert_eq!(holding(&site.path(""), user.password()), [known], "the secret was written down");
    let audit = std::fs::read_to_string(site.path("audit.jsonl")).unwrap();
    assert_eq!(audit.matches("\"shell_secret\"").count(), 1, "{audit}");
}

/// A rule of sudo's own for the throw-away account: everything, with its password.
struct Sudoers;

const SUDOERS: &str = "/etc/sudoers.d/sshepherd-test";

impl Sudoers {
    /// Where there is an account whose password is known, root is at hand, so that a missing sudo is a failure.
    fn write() -> Self {
        let line = "sshepherd-test ALL=(root) ALL";
        assert!(
            Self::as_root(&format!("umask 227; echo '{line}' >{SUDOERS}")),
            "cannot write {SUDOERS}; install sudo (Debian: apt-get install sudo)"
        );
        Self
    }

    fn as_root(text: &str) -> bool {
        let run = Command::new("sudo").args(["-n", "sh", "-c", text]).status();
        run.is_ok_and(|status| status.success())
    }
}

impl Drop for Sudoers {
    fn drop(&mut self) {
        Self::as_root(&format!("rm -f {SUDOERS}"));
    }
}

/// What docs/shells.md shows: a program that asks for the password and then whether to go on.
#[tokio::test]
async fn sudo_gets_its_password_and_a_question_its_answer() {
    let prompt = r"^\[sudo\] password for sshepherd-test: ?$";
    let Some((site, client, user)) = with_secret(prompt, "sudo").await else { return };
    let _sudoers = Sudoers::write();
    let installer = "#!/bin/sh\necho The following NEW packages will be installed: hello\n\
        printf 'Do you want to continue? [Y/n] '\nread answer\n[ \"$answer\" = y ] || exit 1\n\
        id -un\necho Setting up hello ...\n";
    let path = std::env::temp_dir().join(format!("sshepherd-install-{}", std::process::id()));
    std::fs::write(&path, installer).unwrap();
    let shell = Shell::open(&client, None).await;
    shell.line(&format!("sudo -k sh {}", path.display()), r"password for sshepherd-test: $").await;
    let secret = json!({"session_id": shell.id, "name": "account", "timeout": 20000, "wait_for": r"\[Y/n\] $"});
    let answer = client.good("ssh_send_secret", secret).await;
    assert_eq!(answer["ended_by"], "match", "{answer}");
    let answer = shell.send(json!({"text": "y\n", "wait_prompt": true})).await;
    std::fs::remove_file(path).unwrap();
    assert_eq!(
        (&answer["ended_by"], &answer["exit_status"]),
        (&json!("prompt"), &json!(0)),
        "{answer}"
    );
    assert!(answer["output"].as_str().unwrap().contains("root\nSetting up hello"), "{answer}");
    shell.close().await;
    drop(client);
    assert_eq!(holding(&site.path(""), user.password()), [site.path("secrets/account")]);
}

#[tokio::test]
async fn a_persistent_shell_survives_the_death_of_its_server() {
    let (site, client) = site().await;
    let arguments = json!({"alias": ALIAS, "persistent": true, "command": "sh", "timeout": 5000});
    let answer = client.good("ssh_open_shell", arguments).await;
    let id = answer["session_id"].as_str().unwrap().to_owned();
    assert_eq!(answer["program"], "tmux", "{answer}");
    let typed = json!({"session_id": id, "text": "kept=yes; echo $kept$$\n", "wait_for": r"yes\d+", "timeout": 20000});
    let answer = client.good("ssh_send_input", typed).await;
    let said = answer["output"].as_str().unwrap();
    let kept = said.split_whitespace().find(|word| word.starts_with("yes")).unwrap().to_owned();
    let servers = processes::pids_with_argument(site.path("state").to_str().unwrap());
    assert_eq!(servers.len(), 1);
    let pid = servers[0];
    assert!(Command::new("kill").args(["-9", &pid.to_string()]).status().unwrap().success());
    assert!(processes::wait_gone(pid, Duration::from_secs(10)));
    drop(client);
    let client = Client::start(&site.serve(), Era::Session).await;
    let list = client.good("ssh_list_shells", json!({})).await;
    assert_eq!(
        (&list["shells"][0]["session_id"], &list["shells"][0]["status"]),
        (&json!(id), &json!("detached")),
        "{list}"
    );
    let typed =
        json!({"session_id": id, "text": "echo $kept$$\n", "wait_for": &kept, "timeout": 20000});
    let answer = client.good("ssh_send_input", typed).await;
    assert_eq!(answer["ended_by"], "match", "{answer}");
    let screen = client.good("ssh_read_screen", json!({"session_id": id})).await;
    assert!(screen["rows"].to_string().contains(&kept), "{screen}");
    let answer = client.good("ssh_close_shell", json!({"session_id": id})).await;
    assert_eq!(
        (&answer["status"], &answer["stopped"]),
        (&json!("ended"), &json!("confirmed")),
        "{answer}"
    );
}

#[tokio::test]
async fn a_flood_is_bounded_and_a_key_ends_it() {
    let (_site, client) = site().await;
    let shell = Shell::open(&client, None).await;
    shell.send(json!({"text": "yes flood\n", "wait_for": r"flood\nflood"})).await;
    // Some hundred megabytes later the reader is told what it missed.
    let mut read = json!({"session_id": shell.id, "wait_quiet_ms": 40000, "timeout": 1000});
    let answer = client.good("ssh_read_output", read.clone()).await;
    assert_eq!(answer["ended_by"], "timeout", "{answer}");
    assert!(answer["missing_before"].as_u64().is_some_and(|missing| missing > 0), "{answer}");
    let answer = shell.send(json!({"keys": ["Ctrl-C"], "wait_prompt": true})).await;
    assert_eq!(
        (&answer["ended_by"], &answer["exit_status"]),
        (&json!("prompt"), &json!(130)),
        "{answer}"
    );
    read["cursor"] = json!(0);
    read["wait_quiet_ms"] = Value::Null;
    let answer = client.good("ssh_read_output", read).await;
    let gone = answer["missing_before"].as_u64().unwrap();
    assert!(gone > 1 << 20, "{answer}");
    shell.close().await;
}
