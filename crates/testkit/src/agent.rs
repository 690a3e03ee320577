//! A private `ssh-agent` that lives as long as the test.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use crate::keys::KeyPair;

/// A running agent with its own socket; killed and reaped on drop.
#[derive(Debug)]
pub struct Agent {
    child: Child,
    socket: PathBuf,
    _folder: TempDir,
}

impl Agent {
    /// Starts an empty agent.
    ///
    /// # Panics
    /// When `ssh-agent` is missing or does not come up.
    #[must_use]
    pub fn start() -> Self {
        let folder = tempfile::tempdir().expect("a temp folder can be made");
        let socket = folder.path().join("agent");
        let mut child = Command::new("ssh-agent")
            .arg("-D")
            .arg("-a")
            .arg(&socket)
            .env("SSH_ASKPASS", "/bin/false")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| {
                panic!("cannot run ssh-agent ({error}); install the OpenSSH client (Debian: apt-get install openssh-client)")
            });
        // It prints its variables once the socket listens.
        let mut line = String::new();
        if let Some(stdout) = child.stdout.take() {
            BufReader::new(stdout).read_line(&mut line).expect("ssh-agent's output can be read");
        }
        assert!(line.contains("SSH_AUTH_SOCK"), "ssh-agent did not start; it said {line:?}");
        Self { child, socket, _folder: folder }
    }

    /// Starts an agent that holds `key`, whose private file must be in clear.
    #[must_use]
    pub fn with_key(key: &KeyPair) -> Self {
        let agent = Self::start();
        agent.add(key.path());
        agent
    }

    /// Adds the private key file `path`, which must be in clear.
    ///
    /// # Panics
    /// When `ssh-add` refuses it.
    pub fn add(&self, path: &Path) {
        let output = Command::new("ssh-add")
            .arg("-q")
            .arg(path)
            .env("SSH_AUTH_SOCK", &self.socket)
            .stdin(Stdio::null())
            .output()
            .expect("ssh-add runs");
        assert!(
            output.status.success(),
            "ssh-add {} failed: {}",
            path.display(),
            String::from_utf8_lossy(&output.stderr)
        );
    }

    /// Adds a key that the agent signs with only after a question to its owner (`ssh-add -c`), whom nobody can ask here: it
    /// refuses to sign.
    ///
    /// # Panics
    /// When `ssh-add` refuses it.
    pub fn add_to_be_confirmed(&self, path: &Path) {
        let status = Command::new("ssh-add")
            .args(["-q", "-c"])
            .arg(path)
            .env("SSH_AUTH_SOCK", &self.socket)
            .stdin(Stdio::null())
            .status()
            .expect("ssh-add runs");
        assert!(status.success(), "ssh-add -c {} failed", path.display());
    }

    /// The socket, for `SSH_AUTH_SOCK` or a credential.
    #[must_use]
    pub fn socket(&self) -> &Path {
        &self.socket
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
