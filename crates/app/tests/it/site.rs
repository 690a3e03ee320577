//! A configuration folder with two aliases for one real sshd, and the command that serves it.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use sshepherd_testkit::Sshd;
use tempfile::TempDir;

/// A folder of the seed's three files for a running sshd.
pub(crate) struct Site {
    folder: TempDir,
    server: Sshd,
}

/// The alias that tests use.
pub(crate) const ALIAS: &str = "box.one";
/// The tag of both aliases.
pub(crate) const TAG: &str = "web";
/// Allowed; prints `hello`.
pub(crate) const OK: &str = "echo hello";
/// Denied: no rule allows it.
pub(crate) const DENIED: &str = "touch /tmp/never";
/// Allowed; prints this many numbered lines, far over the byte budget of an answer.
pub(crate) const LONG: &str = "seq 1 20000";

impl Site {
    pub(crate) fn new() -> Self {
        Self::over(Sshd::start())
    }

    pub(crate) fn over(server: Sshd) -> Self {
        let site = Self { folder: tempfile::tempdir().unwrap(), server };
        for folder in ["keys", "secrets", "state"] {
            fs::create_dir(site.path(folder)).unwrap();
            private(&site.path(folder), 0o700);
        }
        fs::copy(site.server.user_key_path(), site.path("keys/id")).unwrap();
        private(&site.path("keys/id"), 0o600);
        site.server.write_known_hosts(&site.path("known_hosts"));
        site.write(
            "credentials.yml",
            &format!(
                "entries:\n  - name: test\n    username: {}\n    key_path: id\n",
                site.server.user()
            ),
        );
        site.write("policy.yml", &format!(
            "known_hosts_path: {}\nlimits:\n  max_seconds: 60\n  task_progress_interval: 1\nrules:\n  - action: allow\n    \
             commands: [\"echo *\", \"sleep *\", \"seq *\", \"true\", \"false\"]\n",
            site.path("known_hosts").display()
        ));
        site.hosts(&[ALIAS, "box.two"]);
        site
    }

    /// Replaces the policy by one that allows these commands with a few surroundings.
    pub(crate) fn grant(&self, commands: &[&str]) {
        self.write(
            "policy.yml",
            &format!(
                "known_hosts_path: {}\nrules:\n  - action: allow\n    commands: {commands:?}\n    \
                 cwd: [\"/usr\"]\n    env: [GREETING]\n    stdin: true\n",
                self.path("known_hosts").display()
            ),
        );
    }

    /// Replaces the policy by one with these rules, as YAML.
    pub(crate) fn rules(&self, rules: &str) {
        let known_hosts = self.path("known_hosts");
        self.write(
            "policy.yml",
            &format!("known_hosts_path: {}\nrules:\n{rules}", known_hosts.display()),
        );
    }

    /// Gives the log-in a password beside its key, so that the server knows a secret.
    pub(crate) fn password(&self, password: &str) {
        self.write("secrets/canary", password);
        let login = format!(
            "entries:\n  - name: test\n    username: {}\n    key_path: id\n    password_secret: canary\n",
            self.server.user()
        );
        self.write("credentials.yml", &login);
    }

    /// Writes the inventory: these aliases, all for the same server.
    pub(crate) fn hosts(&self, aliases: &[&str]) {
        let mut text = String::from("hosts:\n");
        for alias in aliases {
            text.push_str(&format!(
                "  - alias: {alias}\n    host: 127.0.0.1\n    port: {}\n    credentials: test\n    tags: [{TAG}]\n",
                self.server.port()
            ));
        }
        self.write("servers.yml", &text);
    }

    /// Has both aliases reached at another port, with the same host key.
    pub(crate) fn reached_at(&self, port: u16) {
        let mut known = fs::read_to_string(self.path("known_hosts")).unwrap();
        known.push_str(&self.server.host_key_line(&format!("[127.0.0.1]:{port}")));
        known.push('\n');
        fs::write(self.path("known_hosts"), known).unwrap();
        self.change_hosts(|line| match line.split_once("port: ") {
            Some((before, _)) => format!("{before}port: {port}"),
            None => line.to_owned(),
        });
    }

    /// Says that both aliases take commands in this way.
    pub(crate) fn login_shell(&self, how: &str) {
        self.change_hosts(|line| match line.split_once("port: ") {
            Some(_) => format!("{line}\n    login_shell: {how}"),
            None => line.to_owned(),
        });
    }

    fn change_hosts(&self, change: impl Fn(&str) -> String) {
        let text = fs::read_to_string(self.path("servers.yml")).unwrap();
        let lines: Vec<String> = text.lines().map(change).collect();
        self.write("servers.yml", &format!("{}\n", lines.join("\n")));
    }

    /// Adds a host at a port that nobody listens on.
    pub(crate) fn unreachable(&self, alias: &str) {
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let mut text = fs::read_to_string(self.path("servers.yml")).unwrap();
        text.push_str(&format!(
            "  - alias: {alias}\n    host: 127.0.0.1\n    port: {}\n    credentials: test\n",
            free.port()
        ));
        self.write("servers.yml", &text);
    }

    /// Program and arguments that serve this folder over stdio.
    pub(crate) fn serve(&self) -> Vec<String> {
        let mut words = vec![env!("CARGO_BIN_EXE_sshepherd").to_owned(), "serve".to_owned()];
        for (option, folder) in
            [("--config", ""), ("--keys", "keys"), ("--secrets", "secrets"), ("--state", "state")]
        {
            words.extend([option.to_owned(), self.path(folder).display().to_string()]);
        }
        words
    }

    pub(crate) fn server(&self) -> &Sshd {
        &self.server
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes a file of the configuration folder, readable by its owner alone.
    pub(crate) fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
        private(&self.path(name), 0o600);
    }
}

fn private(path: &std::path::Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}
