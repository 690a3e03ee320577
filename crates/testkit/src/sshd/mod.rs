//! A real OpenSSH server on loopback with its own keys and configuration, ended on drop.
//!
//! By default the test owns a listener on `127.0.0.1:0` and hands each accepted socket to `sshd -i`: no race for a
//! port, nothing to wait for. [`SshdBuilder::daemon`] runs `sshd -D` instead, for what only a daemon has
//! (`MaxStartups`, one master process). PAM is off, so that it also works without root.

mod builder;
mod daemon;
mod inetd;
mod kill;

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::keys::{KeyKind, KeyPair};

pub use builder::SshdBuilder;

/// How connections reach a server process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Inetd,
    Daemon,
}

/// What is serving now.
#[derive(Debug)]
enum Running {
    Inetd(inetd::Inetd),
    Daemon(daemon::Daemon),
    Stopped,
}

/// Paths and choices that survive a restart.
#[derive(Debug)]
struct Setup {
    sshd: PathBuf,
    config: PathBuf,
    log: PathBuf,
    /// Whether the server must be started as root though we are not.
    through_sudo: bool,
}

/// A running server. Dropping it kills and reaps every process it started.
#[derive(Debug)]
pub struct Sshd {
    running: Running,
    mode: Mode,
    address: SocketAddr,
    setup: Setup,
    login: String,
    accounts: Vec<String>,
    key_options: Option<String>,
    host_keys: Vec<KeyPair>,
    user_key: KeyPair,
    made_keys: usize,
    folder: TempDir,
}

impl Sshd {
    /// Starts to describe a server.
    pub fn builder() -> SshdBuilder {
        SshdBuilder::new()
    }

    /// A server with all defaults: one Ed25519 host key, key login of the user who runs the tests.
    #[must_use]
    pub fn start() -> Self {
        Self::builder().start()
    }

    /// Port on `127.0.0.1`; the same after a restart.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The name `ssh` looks this server up by in `known_hosts`: `[127.0.0.1]:PORT`.
    #[must_use]
    pub fn known_hosts_name(&self) -> String {
        format!("[{}]:{}", self.address.ip(), self.address.port())
    }

    /// `NAME TYPE BASE64` for the first host key, without a line end.
    #[must_use]
    pub fn host_key_line(&self, name: &str) -> String {
        self.host_key_lines(name).lines().next().unwrap_or_default().to_owned()
    }

    /// One such line for each host key, each with a line end.
    #[must_use]
    pub fn host_key_lines(&self, name: &str) -> String {
        self.host_keys.iter().map(|key| format!("{name} {}\n", key.public_key())).collect()
    }

    /// The first host key.
    ///
    /// # Panics
    /// When the server was built without one.
    #[must_use]
    pub fn host_key(&self) -> &KeyPair {
        self.host_keys.first().expect("a server has a host key")
    }

    /// Writes a `known_hosts` file that knows this server by `[127.0.0.1]:PORT`.
    ///
    /// # Panics
    /// When the file cannot be written.
    pub fn write_known_hosts(&self, path: &Path) {
        fs::write(path, self.host_key_lines(&self.known_hosts_name()))
            .expect("known_hosts can be written");
    }

    /// The folder that commands see as their home.
    #[must_use]
    pub fn home(&self) -> &Path {
        self.folder.path()
    }

    /// Login name.
    #[must_use]
    pub fn user(&self) -> &str {
        &self.login
    }

    /// A private key file (in clear) that may log in.
    #[must_use]
    pub fn user_key_path(&self) -> &Path {
        self.user_key.path()
    }

    /// The same with its public half.
    #[must_use]
    pub fn user_key(&self) -> &KeyPair {
        &self.user_key
    }

    /// A new private key file under `passphrase` that may log in.
    pub fn encrypted_user_key(&mut self, passphrase: &str) -> KeyPair {
        let key = self.make_key(KeyKind::Ed25519, passphrase);
        self.authorize(key.public_line());
        key
    }

    /// A new key of some kind that may log in.
    pub fn other_user_key(&mut self, kind: KeyKind) -> KeyPair {
        let key = self.make_key(kind, "");
        self.authorize(key.public_line());
        key
    }

    /// A new key that may not log in.
    pub fn wrong_user_key(&mut self) -> KeyPair {
        self.make_key(KeyKind::Ed25519, "")
    }

    fn make_key(&mut self, kind: KeyKind, passphrase: &str) -> KeyPair {
        self.made_keys += 1;
        let path = self.folder.path().join(format!("user_key_{}", self.made_keys));
        KeyPair::generate(&path, kind, passphrase)
    }

    /// Adds a line to `authorized_keys`, after the options given to the builder. In force for the next login.
    ///
    /// # Panics
    /// When the file cannot be written.
    pub fn authorize(&self, public_line: &str) {
        let line = match &self.key_options {
            Some(options) => format!("{options} {public_line}\n"),
            None => format!("{public_line}\n"),
        };
        for account in &self.accounts {
            let path = self.folder.path().join("authorized_keys").join(account);
            let text = fs::read_to_string(&path).unwrap_or_default() + &line;
            fs::write(&path, text).expect("authorized_keys can be written");
        }
    }

    /// Forgets every authorized key: the next login by key is refused.
    ///
    /// # Panics
    /// When the file cannot be written.
    pub fn authorize_nobody(&self) {
        for account in &self.accounts {
            let path = self.folder.path().join("authorized_keys").join(account);
            fs::write(&path, "").expect("authorized_keys can be written");
        }
    }

    /// Adds a line before all others of `sshd_config`: sshd heeds the first value of an option. In force for the next
    /// connection, in daemon mode after a restart.
    ///
    /// # Panics
    /// When the file cannot be written.
    pub fn prepend_config(&self, line: &str) {
        let text = fs::read_to_string(&self.setup.config).unwrap_or_default();
        fs::write(&self.setup.config, format!("{line}\n{text}"))
            .expect("sshd_config can be written");
    }

    /// What the server processes logged so far, at level VERBOSE unless the builder said otherwise.
    #[must_use]
    pub fn log(&self) -> String {
        fs::read_to_string(&self.setup.log).unwrap_or_default()
    }

    /// TCP connections accepted since the start; `None` in daemon mode, where only sshd knows.
    #[must_use]
    pub fn connections(&self) -> Option<usize> {
        match &self.running {
            Running::Inetd(inetd) => Some(inetd.accepted()),
            Running::Daemon(_) | Running::Stopped => None,
        }
    }

    /// Kills (SIGKILL) the server processes of all present connections, and waits for their end; new connections
    /// are served on. Remote commands are in sessions of their own and survive, as they do when a host's sshd
    /// dies: seeing to them is the test's business.
    pub fn kill_connections(&self) {
        match &self.running {
            Running::Inetd(inetd) => inetd.kill_connections(),
            Running::Daemon(daemon) => daemon.kill_connections(),
            Running::Stopped => {}
        }
    }

    /// Ends the server and all its connections; the port refuses connections from now on.
    pub fn stop(&mut self) {
        // Its drop does the work and waits for the end.
        self.running = Running::Stopped;
    }

    /// Ends everything as [`Sshd::stop`], then serves again on the same port with the same keys.
    ///
    /// # Panics
    /// When the port was taken meanwhile by another program.
    pub fn restart(&mut self) {
        self.stop();
        self.running = builder::serve(self.mode, &self.setup, Some(self.address)).1;
    }

    /// Restarts with new host keys of the same kinds, as after a reinstallation or an attack.
    pub fn restart_with_other_host_key(&mut self) {
        self.stop();
        let kinds: Vec<KeyKind> = self.host_keys.iter().map(KeyPair::kind).collect();
        self.host_keys = builder::host_keys(self.folder.path(), &kinds);
        self.restart();
    }
}
