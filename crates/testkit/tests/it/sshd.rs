//! Real `ssh` logs in to the real sshd that the harness starts.

use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use sshepherd_testkit::{Agent, KeyKind, Sshd, TestUser, processes};

/// `ssh` with nothing of the user's own configuration.
fn ssh(server: &Sshd, key: &Path, known_hosts: &Path) -> Command {
    let mut command = Command::new("ssh");
    command
        .args([
            "-F",
            "none",
            "-o",
            "BatchMode=yes",
            "-o",
            "IdentitiesOnly=yes",
            "-o",
            "IdentityAgent=none",
        ])
        .args(["-o", "StrictHostKeyChecking=yes", "-o", "LogLevel=ERROR"])
        .arg("-o")
        .arg(format!("UserKnownHostsFile={}", known_hosts.display()))
        .arg("-i")
        .arg(key)
        .args(["-p", &server.port().to_string(), "-l", server.user(), "127.0.0.1"])
        .stdin(Stdio::null());
    command
}

fn run(server: &Sshd, command: &str) -> Output {
    let folder = tempfile::tempdir().unwrap();
    let known_hosts = folder.path().join("known_hosts");
    server.write_known_hosts(&known_hosts);
    ssh(server, server.user_key_path(), &known_hosts).arg(command).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn ssh_logs_in_and_gets_output_and_status() {
    let server = Sshd::start();
    let output = run(&server, "echo out; echo err >&2; exit 7");
    assert_eq!(
        (text(&output.stdout), text(&output.stderr), output.status.code()),
        ("out\n".to_owned(), "err\n".to_owned(), Some(7)),
        "{}",
        server.log()
    );
    assert_eq!(server.connections(), Some(1));
}

#[test]
fn a_daemon_serves_and_restarts_on_its_port() {
    let mut server = Sshd::builder().daemon().start();
    assert!(run(&server, "true").status.success(), "{}", server.log());
    let port = server.port();
    server.restart();
    assert_eq!(server.port(), port);
    assert!(run(&server, "true").status.success(), "{}", server.log());
    server.stop();
    assert!(!run(&server, "true").status.success());
}

#[test]
fn another_host_key_is_noticed_by_ssh() {
    let mut server = Sshd::builder().host_keys(&[KeyKind::Ecdsa, KeyKind::Rsa]).start();
    let folder = tempfile::tempdir().unwrap();
    let known_hosts = folder.path().join("known_hosts");
    server.write_known_hosts(&known_hosts);
    let key = server.user_key_path().to_owned();
    assert!(ssh(&server, &key, &known_hosts).arg("true").status().unwrap().success());
    server.restart_with_other_host_key();
    assert_eq!(
        ssh(&server, &key, &known_hosts).arg("true").output().unwrap().status.code(),
        Some(255)
    );
    assert!(run(&server, "true").status.success());
}

#[test]
fn a_wrong_key_is_refused_and_each_kind_of_key_accepted() {
    let mut server = Sshd::start();
    let folder = tempfile::tempdir().unwrap();
    let known_hosts = folder.path().join("known_hosts");
    server.write_known_hosts(&known_hosts);
    let wrong = server.wrong_user_key();
    let refused = ssh(&server, wrong.path(), &known_hosts).arg("true").output().unwrap();
    assert!(text(&refused.stderr).contains("Permission denied"), "{}", text(&refused.stderr));
    for kind in [KeyKind::Ed25519, KeyKind::Ecdsa, KeyKind::Rsa] {
        let key = server.other_user_key(kind);
        assert!(
            ssh(&server, key.path(), &known_hosts).arg("true").status().unwrap().success(),
            "{kind:?}"
        );
    }
    // BatchMode asks for no passphrase, so an encrypted key is useless to it.
    let encrypted = server.encrypted_user_key("correct horse");
    assert!(!ssh(&server, encrypted.path(), &known_hosts).arg("true").status().unwrap().success());
    server.authorize_nobody();
    assert!(!run(&server, "true").status.success());
}

#[test]
fn forced_commands_and_config_lines_are_in_force() {
    let server = Sshd::builder().key_options("command=\"echo forced\"").start();
    assert_eq!(text(&run(&server, "echo asked").stdout), "forced\n");
    let server = Sshd::builder().config_line("ForceCommand echo by config").start();
    assert_eq!(text(&run(&server, "echo asked").stdout), "by config\n");
}

#[test]
#[should_panic(expected = "sshd refuses the test's configuration")]
fn a_bad_config_line_is_told() {
    let _ = Sshd::builder().config_line("NoSuchOption yes").start();
}

#[test]
fn the_agent_logs_in() {
    let server = Sshd::start();
    let agent = Agent::with_key(server.user_key());
    let folder = tempfile::tempdir().unwrap();
    let known_hosts = folder.path().join("known_hosts");
    server.write_known_hosts(&known_hosts);
    let output = Command::new("ssh")
        .args(["-F", "none", "-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=yes"])
        .arg("-o")
        .arg(format!("IdentityAgent={}", agent.socket().display()))
        .arg("-o")
        .arg(format!("UserKnownHostsFile={}", known_hosts.display()))
        .args(["-o", "IdentityFile=none"])
        .args(["-p", &server.port().to_string(), "-l", server.user(), "127.0.0.1", "echo by agent"])
        .output()
        .unwrap();
    assert_eq!(text(&output.stdout), "by agent\n", "{}", text(&output.stderr));
}

#[test]
fn killed_connections_end_the_client_and_leave_the_command() {
    for server in [Sshd::start(), Sshd::builder().daemon().start()] {
        let folder = tempfile::tempdir().unwrap();
        let known_hosts = folder.path().join("known_hosts");
        server.write_known_hosts(&known_hosts);
        let mut client = ssh(&server, server.user_key_path(), &known_hosts)
            .arg("echo $$; exec sleep 1000")
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        std::io::BufRead::read_line(
            &mut std::io::BufReader::new(client.stdout.as_mut().unwrap()),
            &mut line,
        )
        .unwrap();
        let command: u32 = line.trim().parse().unwrap();
        assert!(processes::alive(command));
        server.kill_connections();
        assert_eq!(client.wait().unwrap().code(), Some(255));
        assert!(processes::alive(command), "the command is nobody's to kill but the test's");
        processes::kill(command);
        assert!(processes::wait_gone(command, Duration::from_secs(5)));
        assert!(run(&server, "true").status.success(), "{}", server.log());
    }
}

#[test]
fn nothing_is_left_after_drop() {
    for server in [Sshd::start(), Sshd::builder().daemon().start()] {
        let folder = tempfile::tempdir().unwrap();
        let known_hosts = folder.path().join("known_hosts");
        server.write_known_hosts(&known_hosts);
        let mut client = ssh(&server, server.user_key_path(), &known_hosts)
            .arg("echo $$; read x")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        std::io::BufRead::read_line(
            &mut std::io::BufReader::new(client.stdout.as_mut().unwrap()),
            &mut line,
        )
        .unwrap();
        let command: u32 = line.trim().parse().unwrap();
        let mut servers = Vec::new();
        let mut next = processes::inspect(command).unwrap().parent;
        while let Some(process) =
            processes::inspect(next).filter(|found| found.name.starts_with("sshd"))
        {
            servers.push(process.pid);
            next = process.parent;
        }
        assert!(!servers.is_empty());
        let address = server.address();
        drop(server);
        assert!(servers.iter().all(|pid| !processes::alive(*pid)), "{servers:?}");
        assert!(std::net::TcpStream::connect(address).is_err());
        assert_eq!(client.wait().unwrap().code(), Some(255));
        // Its input is at an end, so the command ends by itself.
        assert!(processes::wait_gone(command, Duration::from_secs(5)));
    }
}

#[test]
fn a_plain_account_logs_in_by_key() {
    let user = match TestUser::ensure() {
        Ok(user) => user,
        Err(reason) => {
            assert!(!sshepherd_testkit::account::is_root(), "{reason}");
            return;
        }
    };
    let server = Sshd::builder().login_as(&user).passwords().start();
    assert_eq!(text(&run(&server, "id -un").stdout), "sshepherd-test\n", "{}", server.log());
    assert_eq!(
        login_by_password(&server, user.password()),
        (Some(0), "sshepherd-test\n".to_owned())
    );
    assert_eq!(login_by_password(&server, "wrong").0, Some(255));
    assert_eq!(TestUser::ensure().unwrap().password(), user.password());
    assert!(!format!("{user:?}").contains(user.password()));
}

/// `ssh` asks a program for the password; it reads it from its environment.
fn login_by_password(server: &Sshd, password: &str) -> (Option<i32>, String) {
    let folder = tempfile::tempdir().unwrap();
    let (known_hosts, ask) = (folder.path().join("known_hosts"), folder.path().join("ask"));
    server.write_known_hosts(&known_hosts);
    std::fs::write(&ask, "#!/bin/sh\necho \"$TEST_PASSWORD\"\n").unwrap();
    std::fs::set_permissions(&ask, std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
    let output = Command::new("ssh")
        .args(["-F", "none", "-o", "StrictHostKeyChecking=yes", "-o", "NumberOfPasswordPrompts=1"])
        .args(["-o", "PreferredAuthentications=password"])
        .arg("-o")
        .arg(format!("UserKnownHostsFile={}", known_hosts.display()))
        .args(["-p", &server.port().to_string(), "-l", server.user(), "127.0.0.1", "id -un"])
        .env("SSH_ASKPASS", &ask)
        .env("SSH_ASKPASS_REQUIRE", "force")
        .env("TEST_PASSWORD", password)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    (output.status.code(), text(&output.stdout))
}
