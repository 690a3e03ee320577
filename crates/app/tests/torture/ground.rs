//! A real sshd behind a proxy that can fail, a configuration for it, and a state folder.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;

use sshepherd_testkit::{FaultProxy, Sshd};
use tempfile::TempDir;

pub(crate) struct Ground {
    pub(crate) sshd: Mutex<Sshd>,
    pub(crate) proxy: FaultProxy,
    /// The state folder is a file system of its own, small enough to be filled.
    pub(crate) small_disk: bool,
    folder: TempDir,
}

impl Ground {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let sshd = Sshd::builder()
            .daemon()
            .config_line("MaxStartups 200")
            .config_line("LoginGraceTime 600")
            .start();
        let proxy = FaultProxy::start(sshd.address());
        let path = |name: &str| folder.path().join(name);
        for name in ["keys", "secrets", "state", "ledger"] {
            private_folder(&path(name));
        }
        // The jobs run as the login of sshd, which may be another account.
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o711)).unwrap();
        fs::set_permissions(path("ledger"), fs::Permissions::from_mode(0o777)).unwrap();
        let key = fs::read_to_string(sshd.user_key_path()).unwrap();
        private_file(&path("keys/id"), &key);
        let known = sshd.host_key_lines(&format!("[127.0.0.1]:{}", proxy.port()));
        for (name, text) in [
            ("known_hosts", known),
            (
                "servers.yml",
                format!(
                    "hosts:\n  - {{alias: box, host: 127.0.0.1, port: {0}, credentials: test, tags: [all]}}\n  \
                     - {{alias: box2, host: 127.0.0.1, port: {0}, credentials: test, tags: [all]}}\n",
                    proxy.port()
                ),
            ),
            (
                "credentials.yml",
                format!(
                    "entries:\n  - name: test\n    username: {}\n    key_path: id\n",
                    sshd.user()
                ),
            ),
            // Hosts that cannot be reached for a while are what is tried here.
            ("sshepherd.yml", "limits: {breaker: {failures: 0}}\n".to_owned()),
            (
                "policy.yml",
                format!(
                    "known_hosts_path: {}\nlimits:\n  max_seconds: 120\n  task_result_ttl: 604800\nrules:\n  - action: allow\n    commands: [\"*\"]\n    shell: unrestricted\n",
                    path("known_hosts").display()
                ),
            ),
        ] {
            private_file(&path(name), &text);
        }
        let small_disk = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=48m,mode=700", "tmpfs"])
            .arg(path("state"))
            .output()
            .is_ok_and(|mounted| mounted.status.success());
        Self { sshd: Mutex::new(sshd), proxy, small_disk, folder }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn state(&self) -> PathBuf {
        self.path("state")
    }

    /// `sshepherd serve` on this ground.
    pub(crate) fn serve(&self) -> Command {
        serve(self.folder.path())
    }

    /// The entries of the ledger, sorted.
    pub(crate) fn ledger(&self) -> Vec<String> {
        let entries = fs::read_dir(self.path("ledger")).unwrap();
        let mut names: Vec<String> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

impl Drop for Ground {
    fn drop(&mut self) {
        if self.small_disk {
            unmount(&self.state());
        }
    }
}

/// `sshepherd serve` with its files in `folder`; what it logs goes to a file there.
pub(crate) fn serve(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sshepherd"));
    command.arg("serve");
    for (option, name) in
        [("--config", ""), ("--keys", "keys"), ("--secrets", "secrets"), ("--state", "state")]
    {
        command.arg(option).arg(folder.join(name));
    }
    let log = fs::OpenOptions::new().create(true).append(true).open(folder.join("stderr.log"));
    command.stderr(log.unwrap());
    command
}

/// Makes a folder that only its owner can enter.
pub(crate) fn private_folder(path: &Path) {
    fs::create_dir(path).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o700)).unwrap();
}

/// Writes a file that only its owner can read.
pub(crate) fn private_file(path: &Path, text: &str) {
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
}

fn unmount(path: &Path) {
    let _ = Command::new("umount").arg("-l").arg(path).output();
}
