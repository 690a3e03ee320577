//! The real `ssh` over loopback, with the fleet's key and known hosts in files.

use std::os::unix::fs::PermissionsExt;
use std::process::Stdio;

use sshepherd_fakehost::{FakeFleet, FakeHostSpec};
use tokio::process::Command;
use tokio::time::timeout;

use crate::client::LIMIT;

#[tokio::test]
async fn ssh_logs_in_runs_and_checks_the_host_key() {
    let fleet = FakeFleet::start(vec![FakeHostSpec::new("web-1"), FakeHostSpec::new("db-1")])
        .await
        .unwrap();
    let folder = tempfile::tempdir().unwrap();
    let (key, known_hosts) = (folder.path().join("key"), folder.path().join("known_hosts"));
    std::fs::write(&key, fleet.client_key_text().unwrap()).unwrap();
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o600)).unwrap();
    std::fs::write(&known_hosts, fleet.known_hosts()).unwrap();
    let ssh = |name: &str, command: &str| {
        let address = fleet.host(name).unwrap().address().unwrap();
        let mut ssh = Command::new("ssh");
        ssh.args([
            "-F",
            "none",
            "-o",
            "BatchMode=yes",
            "-o",
            "IdentityAgent=none",
            "-o",
            "StrictHostKeyChecking=yes",
        ])
        .arg("-o")
        .arg(format!("UserKnownHostsFile={}", known_hosts.display()))
        .arg("-i")
        .arg(&key)
        .args(["-l", "demo", "-p", &address.port().to_string(), "127.0.0.1", command])
        .stdin(Stdio::null())
        .kill_on_drop(true);
        async move { timeout(LIMIT, ssh.output()).await.unwrap().unwrap() }
    };
    for name in ["web-1", "db-1"] {
        let output = ssh(name, "hostname; frob").await;
        assert_eq!(String::from_utf8_lossy(&output.stdout), format!("{name}\n"), "{output:?}");
        assert_eq!(String::from_utf8_lossy(&output.stderr), "sh: frob: command not found\n");
        assert_eq!(output.status.code(), Some(127));
    }
    // A key that the file does not have is refused by ssh.
    std::fs::write(&known_hosts, fleet.known_hosts().replace("web-1,", "").replace("AAAA", "AAAB"))
        .unwrap();
    assert_eq!(ssh("web-1", "hostname").await.status.code(), Some(255));
}
