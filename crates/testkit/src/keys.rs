//! Key pairs made with `ssh-keygen`, in files as `ssh` wants them.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The kinds of keys that `ssh-keygen` makes for tests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum KeyKind {
    /// Ed25519.
    Ed25519,
    /// ECDSA on NIST P-256.
    Ecdsa,
    /// RSA with 2048 bits: the shortest that sshd accepts without complaint, to be quick.
    Rsa,
}

impl KeyKind {
    /// The name `ssh-keygen -t` knows it by.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Ed25519 => "ed25519",
            Self::Ecdsa => "ecdsa",
            Self::Rsa => "rsa",
        }
    }
}

/// A private key file (mode 0600) with its public half beside it in `PATH.pub`.
#[derive(Debug, Clone)]
pub struct KeyPair {
    kind: KeyKind,
    path: PathBuf,
    public: String,
}

impl KeyPair {
    /// Makes a new pair in `path` and `path.pub`, replacing what is there. An empty passphrase leaves the
    /// private key in clear.
    ///
    /// # Panics
    /// When `ssh-keygen` is missing or fails.
    #[must_use]
    pub fn generate(path: &Path, kind: KeyKind, passphrase: &str) -> Self {
        let public_path = PathBuf::from(format!("{}.pub", path.display()));
        for old in [path, public_path.as_path()] {
            if old.exists() {
                std::fs::remove_file(old).expect("an old key file can be removed");
            }
        }
        let mut command = Command::new("ssh-keygen");
        command.args(["-q", "-t", kind.name(), "-C", "sshepherd test", "-N", passphrase]);
        match kind {
            KeyKind::Rsa => drop(command.args(["-b", "2048"])),
            // Sixteen rounds of key derivation are the default; one is enough for a key that lives a second.
            KeyKind::Ed25519 | KeyKind::Ecdsa => drop(command.args(["-a", "1"])),
        }
        let output = command
            .arg("-f")
            .arg(path)
            .stdin(Stdio::null())
            .output()
            .unwrap_or_else(|error| {
                panic!("cannot run ssh-keygen ({error}); install the OpenSSH client (Debian: apt-get install openssh-client)")
            });
        assert!(
            output.status.success(),
            "ssh-keygen -t {} failed: {}",
            kind.name(),
            String::from_utf8_lossy(&output.stderr)
        );
        let public = std::fs::read_to_string(&public_path).expect("ssh-keygen wrote a public key");
        Self { kind, path: path.to_owned(), public: public.trim().to_owned() }
    }

    /// What kind of key it is.
    #[must_use]
    pub fn kind(&self) -> KeyKind {
        self.kind
    }

    /// The private key file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The public key as one line `TYPE BASE64 COMMENT`.
    #[must_use]
    pub fn public_line(&self) -> &str {
        &self.public
    }

    /// The public key as `TYPE BASE64`, the form that follows the names in `known_hosts`.
    #[must_use]
    pub fn public_key(&self) -> String {
        self.public.split(' ').take(2).collect::<Vec<_>>().join(" ")
    }

    /// Has this key certified by `authority` with more arguments for `ssh-keygen -s` (`-h` for a host, `-n NAMES`,
    /// `-V VALIDITY`, `-O OPTION`); the certificate's file, which is `PATH-cert.pub` and replaces an older one.
    ///
    /// # Panics
    /// When `ssh-keygen` is missing or fails.
    pub fn certify(&self, authority: &KeyPair, arguments: &[&str]) -> PathBuf {
        let output = Command::new("ssh-keygen")
            .args(["-q", "-I", "sshepherd test", "-s"])
            .arg(authority.path())
            .args(arguments)
            .arg(format!("{}.pub", self.path.display()))
            .stdin(Stdio::null())
            .output()
            .expect("ssh-keygen can be run");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "ssh-keygen -s failed: {said}");
        PathBuf::from(format!("{}-cert.pub", self.path.display()))
    }
}
