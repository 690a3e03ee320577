//! Shells on hosts that give no terminal, run something else, or keep nothing.

use std::os::unix::fs::symlink;

use serde_json::json;
use sshepherd_testkit::{Sshd, processes};

use super::client::{Client, Era};
use super::programs::Shell;
use crate::site::{ALIAS, Site};

const OPEN: &str = "  - {id: shells, shells: allow, persistent: true}\n";

async fn over(server: Sshd) -> (Site, Client) {
    let site = Site::over(server);
    site.rules(OPEN);
    let client = Client::start(&site.serve(), Era::Session).await;
    (site, client)
}

#[tokio::test]
async fn a_host_that_gives_no_terminal_is_told_and_runs_nothing() {
    for server in [
        Sshd::builder().key_options("no-pty").start(),
        Sshd::builder().config_line("PermitTTY no").start(),
    ] {
        let (site, client) = over(server).await;
        let file = site.path("ran");
        let command = format!("touch {}", file.display());
        for arguments in [
            json!({"alias": ALIAS}),
            json!({"alias": ALIAS, "command": command}),
            json!({"alias": ALIAS, "command": command, "persistent": true}),
        ] {
            let answer = client.bad("ssh_open_shell", arguments).await;
            let error = answer["error"].as_str().unwrap();
            assert!(error.contains("refused to give a terminal"), "{answer}");
        }
        assert!(!file.exists());
        let list = client.good("ssh_list_shells", json!({})).await;
        for shell in list["shells"].as_array().unwrap() {
            assert_eq!(shell["status"], "ended", "{list}");
        }
    }
}

/// Closes a shell where no script can look whether all is gone; it is hung up on, and nobody says that it was seen dead.
async fn unseen(client: &Client, shell: &Shell<'_>) {
    let answer = client.good("ssh_close_shell", json!({"session_id": shell.id})).await;
    assert_eq!(answer["stopped"], "unconfirmed", "{answer}");
    let list = client.good("ssh_list_shells", json!({})).await;
    let shells = list["shells"].as_array().unwrap();
    let listed = shells.iter().find(|listed| listed["session_id"] == json!(shell.id)).unwrap();
    assert_eq!(listed["status"], "ended", "{list}");
}

#[tokio::test]
async fn a_forced_command_is_what_runs_and_is_never_called_persistent() {
    let word = format!("forced-{}", std::process::id());
    let forced = format!("command=\"sh -c 'echo forced; cat' {word}\"");
    let (_site, client) = over(Sshd::builder().key_options(&forced).start()).await;
    let shell = Shell::opened(&client, json!({"alias": ALIAS, "timeout": 500})).await;
    let past = shell.read(json!({"cursor": 0, "wait_for": "forced"})).await;
    assert_eq!(past["output"], "forced\n", "{past}");
    shell.line("typed", r"typed\s+typed").await;
    unseen(&client, &shell).await;
    let arguments = json!({"alias": ALIAS, "persistent": true});
    let answer = client.bad("ssh_open_shell", arguments).await;
    assert!(answer["error"].as_str().unwrap().contains("keeps the shell"), "{answer}");
    for pid in processes::pids_with_argument(&word) {
        assert!(processes::wait_gone(pid, std::time::Duration::from_secs(10)), "{pid} still runs");
    }
}

#[tokio::test]
async fn a_host_without_a_login_shell_gives_the_accounts_shell_and_keeps_none() {
    let (site, client) = over(Sshd::start()).await;
    site.login_shell("none");
    client.good("ssh_reload_config", json!({})).await;
    let shell = Shell::opened(&client, json!({"alias": ALIAS, "timeout": 500})).await;
    shell.line("echo $((6 * 7))", r"\n42\s").await;
    let cat = Shell::opened(&client, json!({"alias": ALIAS, "command": "cat", "timeout": 0})).await;
    cat.line("typed", r"typed\s+typed").await;
    for shell in [shell, cat] {
        unseen(&client, &shell).await;
    }
    let answer = client.bad("ssh_open_shell", json!({"alias": ALIAS, "persistent": true})).await;
    assert!(answer["error"].as_str().unwrap().contains("login_shell: raw-words"), "{answer}");
}

#[tokio::test]
async fn a_host_with_another_login_shell_opens_the_same() {
    let (site, client) = over(Sshd::start()).await;
    site.login_shell("other");
    client.good("ssh_reload_config", json!({})).await;
    let shell = Shell::open(&client, None).await;
    let answer = shell.send(json!({"text": "(exit 3)\n", "wait_prompt": true})).await;
    assert_eq!((&answer["prompt_by"], &answer["exit_status"]), (&json!("marks"), &json!(3)));
    shell.close().await;
}

#[tokio::test]
async fn without_a_multiplexer_no_shell_is_persistent() {
    let folder = tempfile::tempdir().unwrap();
    for program in
        ["sh", "bash", "awk", "cat", "grep", "tr", "tty", "rm", "rmdir", "mktemp", "sleep", "stty"]
    {
        let real = ["/usr/bin", "/bin"].map(|folder| std::path::Path::new(folder).join(program));
        let real = real.into_iter().find(|path| path.exists()).unwrap();
        symlink(real, folder.path().join(program)).unwrap();
    }
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(folder.path(), mode).unwrap();
    let path = folder.path().display();
    let server = Sshd::builder().config_line(&format!("SetEnv PATH={path} HOME={path}")).start();
    let (_site, client) = over(server).await;
    let arguments = json!({"alias": ALIAS, "persistent": true, "command": "sh"});
    let answer = client.bad("ssh_open_shell", arguments).await;
    assert!(answer["error"].as_str().unwrap().contains("neither tmux nor screen"), "{answer}");
    // A plain one needs neither.
    let shell =
        Shell::opened(&client, json!({"alias": ALIAS, "command": "sh", "timeout": 500})).await;
    let id = shell.id.clone();
    shell.line("echo $((6 * 7))", r"\n42\s").await;
    shell.close().await;
    assert!(processes::pids_with_env(&id).is_empty());
}
