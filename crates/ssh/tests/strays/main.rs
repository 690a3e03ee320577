//! The stop script against every shape of process, shell and BusyBox: it kills what is known to be the command's, and never
//! says `confirmed` while something runs that could be.
//!
//! A binary of its own: what these commands leave could be anybody's, and would be said of the stops of other tests.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use sshepherd_model::{LoginShell, Stopped};
use sshepherd_ssh::launch::launch;
use sshepherd_ssh::stop;
use sshepherd_testkit::processes;

const GRACE: Duration = Duration::from_millis(500);

/// One test at a time, for the same reason.
static ALONE: Mutex<()> = Mutex::new(());

/// A machine's shell and programs.
struct Machine {
    shell: Vec<String>,
    path: String,
    /// Holds the links of a BusyBox.
    folder: Option<tempfile::TempDir>,
}

fn program(name: &str) -> Option<PathBuf> {
    let path = std::env::var("PATH").unwrap();
    path.split(':').map(|folder| Path::new(folder).join(name)).find(|path| path.exists())
}

impl Machine {
    fn with(shell: &[&str]) -> Option<Self> {
        program(shell[0])?;
        let shell = shell.iter().map(|word| (*word).to_owned()).collect();
        Some(Self { shell, path: std::env::var("PATH").unwrap(), folder: None })
    }

    /// Where every program is BusyBox, which may run them without `exec`.
    fn busybox() -> Option<Self> {
        let busybox = program("busybox")?;
        let folder = tempfile::tempdir().unwrap();
        let list = Command::new(&busybox).arg("--list").output().unwrap().stdout;
        for name in String::from_utf8(list).unwrap().lines() {
            std::os::unix::fs::symlink(&busybox, folder.path().join(name)).unwrap();
        }
        let shell = vec![folder.path().join("sh").display().to_string()];
        Some(Self { shell, path: folder.path().display().to_string(), folder: Some(folder) })
    }

    fn all() -> Vec<Self> {
        let shells: [&[&str]; 5] =
            [&["dash"], &["bash"], &["mksh"], &["zsh", "--emulate", "sh"], &["busybox", "sh"]];
        let mut all: Vec<Self> = shells.into_iter().filter_map(Self::with).collect();
        all.extend(Self::busybox());
        all
    }

    fn command(&self, text: &str) -> Command {
        let mut command = Command::new("setsid");
        command.args(&self.shell).args(["-c", text]).env("PATH", &self.path);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        command
    }

    fn start(&self, wire: &str) -> Running {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let number = NEXT.fetch_add(1, Ordering::SeqCst);
        let cookie = format!("strays:{:x}:{number:x}", std::process::id());
        let text = launch(LoginShell::Posix, wire, &cookie, "0123456789abcdef", false).text;
        let mut child = self
            .command(&text)
            .env("SSH_CONNECTION", format!("192.0.2.1 {number} 192.0.2.2 22"))
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line, "up\n", "{:?} {wire}", self.shell);
        Running { child, cookie }
    }

    fn stop(&self, running: &Running) -> Stopped {
        let pid = Some(running.child.id());
        let text = stop::command(LoginShell::Posix, pid, &running.cookie, GRACE).unwrap();
        stop::parse(&self.command(&text).output().unwrap().stdout)
    }
}

struct Running {
    child: Child,
    cookie: String,
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A length of sleep that nothing else on the machine has, which finds whatever sleeps.
fn nap() -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    format!("9{:09}.{}", std::process::id(), NEXT.fetch_add(1, Ordering::SeqCst))
}

/// Each sleeps NAP and prints `up` when all of it runs. What was seen to descend from the command is ended.
const KNOWN: [(&str, &str); 9] = [
    ("plain", "echo up; exec sleep NAP"),
    ("tree", "sleep NAP & sh -c 'sleep NAP & echo up; wait'; :"),
    ("deaf", "sh -c 'trap \"\" TERM HUP; echo up; while :; do sleep NAP; done'; :"),
    ("its own session", "setsid sh -c 'echo up; exec sleep NAP' & wait"),
    ("without its environment", "env -i \"PATH=$PATH\" setsid sleep NAP & echo up; wait"),
    ("two without", "env -i \"PATH=$PATH\" sh -c 'setsid sleep NAP & sleep NAP' & echo up; wait"),
    ("another cookie", "SSHEPHERD_TASK=x setsid sleep NAP & echo up; wait"),
    ("orphan in its group", "(env -i \"PATH=$PATH\" sleep NAP &); echo up; exec sleep NAP"),
    ("stopped", "sh -c 'echo up; kill -STOP $$; sleep NAP'; :"),
];

#[test]
fn whatever_descends_from_a_command_is_ended_and_confirmed() {
    let _alone = ALONE.lock();
    for machine in Machine::all() {
        for (what, wire) in KNOWN {
            let nap = nap();
            let running = machine.start(&wire.replace("NAP", &nap));
            let stopped = machine.stop(&running);
            let left = processes::pids_with_argument(&nap);
            assert_eq!((stopped, left), (Stopped::Confirmed, vec![]), "{:?} {what}", machine.shell);
        }
    }
}

/// Where programs are run without `exec`, they show no cookie.
#[test]
fn an_orphan_is_known_by_its_cookie_or_said_to_be_left() {
    let _alone = ALONE.lock();
    for machine in Machine::all() {
        let nap = nap();
        let wire = "(setsid sleep NAP >/dev/null &); sleep 0.2; echo up; exec sleep 31337";
        let running = machine.start(&wire.replace("NAP", &nap));
        let stopped = machine.stop(&running);
        let left = processes::pids_with_argument(&nap);
        left.iter().copied().for_each(processes::kill);
        assert_eq!(stopped.is_confirmed(), left.is_empty(), "{:?} {stopped:?}", machine.shell);
        if machine.folder.is_none() {
            assert_eq!(stopped, Stopped::Confirmed, "{:?}", machine.shell);
        }
    }
}

/// Each leaves a process that nothing ties to the command by the time that anybody looks. Its parent is waited for.
const LOOSE: [(&str, &str); 3] = [
    ("double fork", "(env -i ENV setsid sleep NAP >/dev/null &); GONE echo up; exec sleep 31337"),
    (
        "daemon",
        "(env -i ENV sh -c 'setsid sh -c \"sleep NAP & :\"' >/dev/null &); GONE echo up; exec sleep 31337",
    ),
    (
        "without its cookie",
        "(env -u SSHEPHERD_TASK setsid sleep NAP >/dev/null &); GONE echo up; exec sleep 31337",
    ),
];

#[test]
fn what_could_be_a_commands_is_said_to_be_left_with_its_id() {
    let _alone = ALONE.lock();
    for machine in Machine::all() {
        for (what, wire) in LOOSE {
            let nap = nap();
            // Without a path, `env -i` finds programs in the system's default.
            let wire = wire.replace("NAP", &nap).replace(" ENV", "").replace("GONE", "sleep 0.3;");
            let running = machine.start(&wire);
            let stopped = machine.stop(&running);
            let left = processes::pids_with_argument(&nap);
            left.iter().copied().for_each(processes::kill);
            assert_eq!(left.len(), 1, "{:?} {what}", machine.shell);
            let Stopped::Left(survivors) = stopped else {
                panic!("{:?} {what}: {stopped:?}", machine.shell)
            };
            assert!(survivors.ids().any(|id| id == left[0]), "{what} {survivors} {left:?}");
            assert!(processes::wait_gone(left[0], Duration::from_secs(5)));
        }
    }
}

/// What runs on the account beside a command and could not be its own.
#[test]
fn a_busy_account_gets_its_confirmation() {
    let _alone = ALONE.lock();
    for machine in Machine::all() {
        let nap = nap();
        let sleeps = |wire: &str| wire.replace("NAP", &nap);
        // Began before it: left in an older session or under another parent, whatever its environment.
        let others = [
            machine.start(&sleeps(
                "(env -i setsid sleep NAP >/dev/null &); sleep 0.2; echo up; exec sleep NAP",
            )),
            machine.start(&sleeps("env -i sh -c 'echo up; while :; do sleep 0.01; done'")),
        ];
        let running = machine.start("echo up; exec sleep 31337");
        // Began after it.
        let later = [
            machine.start(&sleeps("(setsid sleep NAP >/dev/null &); echo up; exec sleep NAP")),
            machine.start(&sleeps("env -i sleep NAP & echo up; wait")),
        ];
        let stopped = machine.stop(&running);
        for other in others.iter().chain(&later) {
            assert!(processes::alive(other.child.id()), "{:?}", machine.shell);
            machine.stop(other);
        }
        processes::pids_with_argument(&nap).into_iter().for_each(processes::kill);
        assert_eq!(stopped, Stopped::Confirmed, "{:?}", machine.shell);
    }
}

/// With `/proc` gone, nothing can be seen: the group is ended, and nothing is confirmed. Needs a mount namespace, so root.
#[test]
fn without_sight_of_processes_nothing_is_confirmed() {
    let _alone = ALONE.lock();
    if !is_root() {
        return;
    }
    for machine in Machine::all().into_iter().take(2) {
        let nap = nap();
        let mut running =
            machine.start(&format!("trap '' TERM; echo up; while :; do sleep {nap}; done"));
        let pid = Some(running.child.id());
        let text = stop::command(LoginShell::Posix, pid, &running.cookie, GRACE).unwrap();
        let mut command = Command::new("unshare");
        command.args(["-m", "sh", "-c", "umount -l /proc && exec \"$0\" \"$@\""]);
        command.args(&machine.shell).args(["-c", &text]).env("PATH", &machine.path);
        let stopping = command.process_group(0).stdout(Stdio::piped()).spawn().unwrap();
        // Reaped as it ends, as a server would: a zombie is of its group.
        running.child.wait().unwrap();
        let said = stopping.wait_with_output().unwrap().stdout;
        assert_eq!(stop::parse(&said), Stopped::Unconfirmed, "{:?}", machine.shell);
        assert_eq!(processes::pids_with_argument(&nap), Vec::<u32>::new());
    }
}

fn is_root() -> bool {
    let id = Command::new("id").arg("-u").output().unwrap().stdout;
    id == b"0\n"
}

/// The grace is a command's own: one that uses most of it to end is not killed.
#[test]
fn the_whole_grace_is_given() {
    let _alone = ALONE.lock();
    for machine in Machine::all() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("ended");
        let wire = format!(
            "trap 'sleep 0.3; : >{}; exit' TERM; echo up; while :; do sleep 0.05; done",
            file.display()
        );
        let running = machine.start(&wire);
        let began = Instant::now();
        assert_eq!(machine.stop(&running), Stopped::Confirmed, "{:?}", machine.shell);
        assert!(
            file.exists(),
            "{:?}: killed within its grace, {:?}",
            machine.shell,
            began.elapsed()
        );
    }
}
