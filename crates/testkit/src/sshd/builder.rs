//! Describes a server, writes its keys and configuration, and starts it.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::{Mode, Running, Setup, Sshd, daemon::Daemon, inetd::Inetd};
use crate::account::{TestUser, as_root, current_user, is_root, root_reason};
use crate::keys::{KeyKind, KeyPair};

/// Choices for a server; [`SshdBuilder::start`] makes it.
#[derive(Debug)]
#[must_use]
pub struct SshdBuilder {
    mode: Mode,
    login: Option<String>,
    host_keys: Vec<KeyKind>,
    twin: Option<Vec<KeyPair>>,
    passwords: bool,
    lines: Vec<String>,
    key_options: Option<String>,
}

impl SshdBuilder {
    pub(super) fn new() -> Self {
        Self {
            mode: Mode::Inetd,
            login: None,
            host_keys: vec![KeyKind::Ed25519],
            twin: None,
            passwords: false,
            lines: Vec::new(),
            key_options: None,
        }
    }

    /// One `sshd -D` instead of one `sshd -i` a connection.
    pub fn daemon(mut self) -> Self {
        self.mode = Mode::Daemon;
        self
    }

    /// Logs in as the plain account instead of the user who runs the tests. The server then runs as root.
    pub fn login_as(mut self, user: &TestUser) -> Self {
        self.login = Some(user.name().to_owned());
        self
    }

    /// Host keys in the server's order; one Ed25519 key unless told otherwise.
    pub fn host_keys(mut self, kinds: &[KeyKind]) -> Self {
        self.host_keys = kinds.to_vec();
        self
    }

    /// Has the host keys of another server, as machines made from one image have. That one has to live as long.
    pub fn twin_of(mut self, other: &Sshd) -> Self {
        self.twin = Some(other.host_keys.clone());
        self
    }

    /// Also accepts passwords of system accounts (see [`TestUser`]).
    pub fn passwords(mut self) -> Self {
        self.passwords = true;
        self
    }

    /// Adds a line to `sshd_config`, before ours: sshd heeds the first value of an option.
    pub fn config_line(mut self, line: &str) -> Self {
        self.lines.push(line.to_owned());
        self
    }

    /// Options before each key in `authorized_keys`, for example `command="date",no-pty`.
    pub fn key_options(mut self, options: &str) -> Self {
        self.key_options = Some(options.to_owned());
        self
    }

    /// Makes the keys, checks the configuration with `sshd -t`, and serves.
    ///
    /// # Panics
    /// When sshd is missing, refuses the configuration, or needs root that is not to be had.
    #[must_use]
    pub fn start(self) -> Sshd {
        let sshd = find_sshd();
        let folder = tempfile::Builder::new()
            .prefix("sshepherd-sshd-")
            .tempdir()
            .expect("a temp folder can be made");
        // sshd reads authorized_keys with the rights of the account that logs in.
        open_folder(folder.path());
        let login = self.login.clone().unwrap_or_else(|| current_user().to_owned());
        let mut accounts = vec![current_user().to_owned()];
        if !accounts.contains(&login) {
            accounts.push(login.clone());
        }
        let keys_folder = folder.path().join("authorized_keys");
        fs::create_dir(&keys_folder).expect("a folder can be made");
        open_folder(&keys_folder);
        let own = || host_keys(folder.path(), &self.host_keys);
        let host_keys = self.twin.clone().unwrap_or_else(own);
        let user_key = KeyPair::generate(&folder.path().join("user_key"), KeyKind::Ed25519, "");
        let setup = Setup {
            sshd,
            config: folder.path().join("sshd_config"),
            log: folder.path().join("log"),
            through_sudo: self.login.is_some() && !is_root(),
        };
        fs::write(&setup.config, self.config(folder.path(), &host_keys))
            .expect("sshd_config can be written");
        make_privilege_folder(&setup);
        check(&setup);
        let (address, running) = serve(self.mode, &setup, None);
        let server = Sshd {
            running,
            mode: self.mode,
            address,
            setup,
            login,
            accounts,
            key_options: self.key_options,
            host_keys,
            user_key,
            made_keys: 0,
            folder,
        };
        server.authorize(server.user_key.public_line());
        server
    }

    fn config(&self, folder: &Path, host_keys: &[KeyPair]) -> String {
        let mut text: String = self.lines.iter().map(|line| format!("{line}\n")).collect();
        for key in host_keys {
            text += &format!("HostKey {}\n", key.path().display());
        }
        let passwords = if self.passwords { "yes" } else { "no" };
        text += &format!("AuthorizedKeysFile {}/authorized_keys/%u\n", folder.display());
        text += &format!("PasswordAuthentication {passwords}\n");
        text += "KbdInteractiveAuthentication no\nPubkeyAuthentication yes\nPermitRootLogin yes\n\
                 StrictModes no\nUsePAM no\nUseDNS no\nPidFile none\nPrintMotd no\nPrintLastLog no\n\
                 ListenAddress 127.0.0.1\nLogLevel VERBOSE\n";
        // The account's own start-up files print and wait as they like; bash looks for them here instead.
        text += &format!("SetEnv HOME={}\n", folder.display());
        text
    }
}

/// Starts to serve, on `again` or on a free port; where, and what runs.
pub(super) fn serve(mode: Mode, setup: &Setup, again: Option<SocketAddr>) -> (SocketAddr, Running) {
    match mode {
        Mode::Inetd => {
            let (address, inetd) = Inetd::start(setup, again);
            (address, Running::Inetd(inetd))
        }
        Mode::Daemon => {
            let (address, daemon) = Daemon::start(setup, again);
            (address, Running::Daemon(daemon))
        }
    }
}

/// Makes host keys of these kinds, replacing older ones.
pub(super) fn host_keys(folder: &Path, kinds: &[KeyKind]) -> Vec<KeyPair> {
    kinds
        .iter()
        .map(|kind| KeyPair::generate(&folder.join(format!("host_key_{}", kind.name())), *kind, ""))
        .collect()
}

impl Setup {
    /// `sshd` with our configuration, as root if it must be.
    pub(super) fn command(&self) -> Command {
        let mut command = if self.through_sudo {
            as_root(&self.sshd.display().to_string())
        } else {
            Command::new(&self.sshd)
        };
        command.arg("-f").arg(&self.config);
        command
    }
}

fn find_sshd() -> PathBuf {
    ["/usr/sbin/sshd", "/usr/local/sbin/sshd", "/sbin/sshd", "/usr/bin/sshd"]
        .iter()
        .map(PathBuf::from)
        .find(|path| path.exists())
        .unwrap_or_else(|| {
            panic!(
                "no sshd found; install the OpenSSH server (Debian: apt-get install openssh-server)"
            )
        })
}

fn open_folder(path: &Path) {
    fs::set_permissions(path, fs::Permissions::from_mode(0o755))
        .expect("a folder's mode can be set");
}

/// As root sshd wants its empty folder; a package's service script makes it, which does not run here.
fn make_privilege_folder(setup: &Setup) {
    if !is_root() && !setup.through_sudo {
        return;
    }
    if let Err(reason) = root_reason() {
        panic!("logging in as another account {reason}");
    }
    let made = as_root("mkdir")
        .args(["-p", "-m", "0755", "/run/sshd"])
        .status()
        .is_ok_and(|status| status.success());
    assert!(made, "cannot make /run/sshd, which sshd needs as root; make it with mode 0755");
}

fn check(setup: &Setup) {
    let output = setup
        .command()
        .arg("-t")
        .stdin(Stdio::null())
        .output()
        .unwrap_or_else(|error| panic!("cannot run {} ({error})", setup.sshd.display()));
    assert!(
        output.status.success(),
        "sshd refuses the test's configuration: {}",
        String::from_utf8_lossy(&output.stderr)
    );
}
