//! Who tests log in as: the user who runs them, and a plain system account with a password.

use std::fs;
use std::io::Read;
use std::process::{Command, Stdio};
use std::sync::OnceLock;

/// Login name of the throw-away account. `userdel -r sshepherd-test` removes it.
pub const TEST_USER: &str = "sshepherd-test";

/// Where its password is kept for other test processes: root-only, gone at the next boot.
const PASSWORD_FILE: &str = "/run/sshepherd-test.password";

/// Login name of the user who runs the tests.
///
/// # Panics
/// When `id -un` cannot tell.
#[must_use]
pub fn current_user() -> &'static str {
    static NAME: OnceLock<String> = OnceLock::new();
    NAME.get_or_init(|| {
        let output = Command::new("id").arg("-un").output().expect("id -un runs");
        let name = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        assert!(!name.is_empty(), "id -un knows no name for this user; give it one in /etc/passwd");
        name
    })
}

/// Whether this process runs as root.
#[must_use]
pub fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// A command that runs as root: directly, or through `sudo -n`.
pub(crate) fn as_root(program: &str) -> Command {
    if is_root() {
        return Command::new(program);
    }
    let mut command = Command::new("sudo");
    command.args(["-n", program]);
    command
}

/// Whether [`as_root`] commands can work here; if not, the reason.
pub(crate) fn root_reason() -> Result<(), String> {
    static REASON: OnceLock<Result<(), String>> = OnceLock::new();
    REASON
        .get_or_init(|| {
            let works = as_root("true")
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .status()
                .is_ok_and(|status| status.success());
            if works {
                Ok(())
            } else {
                Err("needs root or a sudo that asks no password (sudo -n true failed)".to_owned())
            }
        })
        .clone()
}

/// A system account that is not root, with `/bin/sh` and a random password: real sshd checks passwords of real
/// accounts only, and refuses signal requests on root logins. One account serves all tests of a machine.
#[derive(Clone)]
pub struct TestUser {
    password: String,
}

impl std::fmt::Debug for TestUser {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TestUser").field("name", &TEST_USER).finish_non_exhaustive()
    }
}

impl TestUser {
    /// Makes the account, or finds it made by another test; parallel test processes are kept apart by a lock
    /// file. Answers the reason when neither root nor a password-free sudo is at hand: a test then uses
    /// [`crate::fakehost`] for passwords.
    ///
    /// # Panics
    /// When it may, but `useradd` or `chpasswd` fail.
    pub fn ensure() -> Result<Self, String> {
        static USER: OnceLock<Result<TestUser, String>> = OnceLock::new();
        USER.get_or_init(|| root_reason().map(|()| Self::locked())).clone()
    }

    /// Login name.
    #[must_use]
    pub fn name(&self) -> &'static str {
        TEST_USER
    }

    /// Password: 32 hex digits.
    #[must_use]
    pub fn password(&self) -> &str {
        &self.password
    }

    fn locked() -> Self {
        // Per user, since a lock file of root cannot be opened by others; two users at once are not a case.
        let path = std::env::temp_dir().join(format!("sshepherd-test-{}.lock", current_user()));
        let lock = fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(&path)
            .unwrap_or_else(|error| panic!("cannot open {}: {error}", path.display()));
        lock.lock().expect("the lock file can be locked");
        let exists = Command::new("id")
            .args(["-u", TEST_USER])
            .output()
            .is_ok_and(|output| output.status.success());
        let known = as_root("cat")
            .arg(PASSWORD_FILE)
            .stderr(Stdio::null())
            .output()
            .ok()
            .filter(|o| o.status.success());
        match known {
            Some(output) if exists => {
                Self { password: String::from_utf8_lossy(&output.stdout).trim().to_owned() }
            }
            Some(_) | None => Self::create(exists),
        }
    }

    fn create(exists: bool) -> Self {
        if !exists {
            run_as_root("useradd", &["--create-home", "--shell", "/bin/sh", TEST_USER], "");
        }
        let mut random = [0_u8; 16];
        fs::File::open("/dev/urandom")
            .and_then(|mut file| file.read_exact(&mut random))
            .expect("/dev/urandom can be read");
        let password: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
        run_as_root("chpasswd", &[], &format!("{TEST_USER}:{password}\n"));
        let store = format!("umask 077 && rm -f {PASSWORD_FILE} && cat > {PASSWORD_FILE}");
        run_as_root("sh", &["-c", &store], &password);
        Self { password }
    }
}

fn run_as_root(program: &str, arguments: &[&str], input: &str) {
    let mut child = as_root(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap_or_else(|error| {
            panic!("cannot run {program} ({error}); install it (Debian: apt-get install passwd)")
        });
    if let Some(mut pipe) = child.stdin.take() {
        // A program that reads no input may close it first.
        let _ = std::io::Write::write_all(&mut pipe, input.as_bytes());
    }
    let output = child.wait_with_output().expect("the child can be waited for");
    assert!(
        output.status.success(),
        "{program} failed: {}",
        String::from_utf8_lossy(&output.stderr)
    );
}
