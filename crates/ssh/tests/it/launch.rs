//! The launched text and the stop script under every shell of this machine, each job in a session of its own as under
//! sshd.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStderr, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use sshepherd_model::{LoginShell, Stopped};
use sshepherd_ssh::launch::{Marker, launch};
use sshepherd_ssh::stop;
use sshepherd_testkit::processes;

const NONCE: &str = "0123456789abcdef";
const GRACE: Duration = Duration::from_millis(500);

/// A cookie of a fixed length that no other job carries.
fn cookie() -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let number = NEXT.fetch_add(1, Ordering::SeqCst);
    format!("launch:{:08x}:{number:08x}", std::process::id())
}

/// All of them. One that is not installed fails the test, unless `SSHEPHERD_TEST_SHELLS=installed` is set.
fn shells() -> Vec<Vec<&'static str>> {
    let installed_only = std::env::var("SSHEPHERD_TEST_SHELLS").is_ok_and(|set| set == "installed");
    let all =
        [vec!["sh"], vec!["dash"], vec!["bash"], vec!["busybox", "sh"], vec!["mksh"], vec!["zsh"]];
    all.into_iter()
        .filter(|shell| {
            let (program, rest) = shell.split_first().unwrap();
            let tried = Command::new(program).args(rest).args(["-c", ":"]).output();
            let works = tried.is_ok_and(|output| output.status.success());
            assert!(
                works || installed_only,
                "{shell:?} is not installed; SSHEPHERD_TEST_SHELLS=installed goes without"
            );
            works
        })
        .collect()
}

fn in_session(shell: &[&str], text: &str) -> Command {
    let mut command = Command::new("setsid");
    command.args(shell).args(["-c", text]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// A launched command; what is left of it is killed at the end, whatever the test found.
struct Job {
    child: Child,
    out: BufReader<ChildStdout>,
    err: ChildStderr,
    cookie: String,
}

impl Job {
    fn start(shell: &[&str], kind: LoginShell, wire: &str) -> Self {
        let cookie = cookie();
        let launched = launch(kind, wire, &cookie, NONCE, false);
        let mut child = in_session(shell, &launched.text).spawn().unwrap();
        let out = BufReader::new(child.stdout.take().unwrap());
        let err = child.stderr.take().unwrap();
        Self { child, out, err, cookie }
    }

    /// `setsid` replaced itself by the shell, so this is the shell and the leader of its group.
    fn pid(&self) -> u32 {
        self.child.id()
    }

    fn entry(&self) -> String {
        format!("SSHEPHERD_TASK={}", self.cookie)
    }

    /// Returns once the command has written its first line.
    fn up(&mut self) {
        let mut line = String::new();
        self.out.read_line(&mut line).unwrap();
        assert_eq!(line, "up\n");
    }

    /// Everything that belongs to it now.
    fn members(&self) -> Vec<u32> {
        let mut pids = processes::pids_with_env(&self.entry());
        pids.extend(processes::tree(self.pid()).iter().map(|process| process.pid));
        pids
    }

    /// Standard output, standard error without the marker, the announced process id, and the status.
    fn finish(mut self, input: &[u8], piece: usize) -> (String, String, Option<u32>, Option<i32>) {
        let mut stdin = self.child.stdin.take().unwrap();
        // A command that reads nothing closes the pipe.
        let _ = stdin.write_all(input);
        drop(stdin);
        let (mut out, mut said, mut err, mut pid) = (String::new(), Vec::new(), Vec::new(), None);
        self.out.read_to_string(&mut out).unwrap();
        self.err.read_to_end(&mut said).unwrap();
        let mut marker = Some(Marker::new(NONCE));
        for bytes in said.chunks(piece) {
            let Some(parser) = &mut marker else {
                err.extend_from_slice(bytes);
                continue;
            };
            let fed = parser.feed(bytes);
            err.extend(fed.bytes);
            pid = pid.or(fed.pid);
            if fed.done {
                marker = None;
            }
        }
        err.extend(marker.map(Marker::finish).unwrap_or_default());
        let status = self.child.wait().unwrap().code();
        (out, String::from_utf8(err).unwrap(), pid, status)
    }
}

impl Drop for Job {
    fn drop(&mut self) {
        // Before it is waited for: until then nobody else can get its process id.
        if self.child.try_wait().is_ok_and(|ended| ended.is_none()) {
            self.members().into_iter().for_each(processes::kill);
        }
        processes::pids_with_env(&self.entry()).into_iter().for_each(processes::kill);
        let _ = self.child.wait();
    }
}

fn stop_with(shell: &[&str], kind: LoginShell, pid: Option<u32>, cookie: &str) -> Stopped {
    let text = stop::command(kind, pid, cookie, GRACE).unwrap();
    let output = in_session(shell, &text).stdin(Stdio::null()).output().unwrap();
    stop::parse(&output.stdout)
}

/// Wire text, input, and what it must come to.
const RUNS: [(&str, &str, &str, &str, i32); 9] = [
    ("exit 7", "", "", "", 7),
    ("echo out; echo err >&2", "", "out\n", "err\n", 0),
    ("false && echo a || exit 9; echo b", "", "", "", 9),
    ("# a comment\necho a\n# another", "", "a\n", "", 0),
    ("cat <<E\nx  y\nE\necho z", "", "x  y\nz\n", "", 0),
    ("cat; exit 3", "one\ntwo", "one\ntwo", "", 3),
    ("if true\nthen\n  echo 'it'\\''s'\nfi", "", "it's\n", "", 0),
    ("\n\n  (exit 4)", "", "", "", 4),
    ("exec sh -c 'exit 5'", "", "", "", 5),
];

#[test]
fn every_shell_tells_its_process_id_and_changes_nothing_else() {
    for shell in shells() {
        for kind in [LoginShell::Posix, LoginShell::Fish] {
            for (wire, input, out, err, status) in RUNS {
                for piece in [1, 4096] {
                    let job = Job::start(&shell, kind, wire);
                    let pid = job.pid();
                    let expected = (out.to_owned(), err.to_owned(), Some(pid), Some(status));
                    assert_eq!(
                        job.finish(input.as_bytes(), piece),
                        expected,
                        "{shell:?} {kind:?} {wire:?}"
                    );
                }
            }
        }
    }
}

#[test]
fn a_cookie_reaches_what_the_command_starts() {
    for shell in shells() {
        let job = Job::start(&shell, LoginShell::Posix, "sh -c 'echo $SSHEPHERD_TASK'");
        let expected = format!("{}\n", job.cookie);
        assert_eq!(job.finish(b"", 4096).0, expected, "{shell:?}");
    }
}

/// Each prints `up` when the part that matters runs.
const STOPPED: [(&str, &str); 5] = [
    ("plain", "echo up; exec sleep 1000"),
    ("shell", "echo up; sleep 1000; :"),
    ("tree", "sleep 1000 & sh -c 'sleep 1000 & echo up; wait'; :"),
    ("deaf", "sh -c 'trap \"\" TERM; echo up; while :; do sleep 1; done'; :"),
    ("own session", "setsid sh -c 'echo up; exec sleep 1000' & wait"),
];

#[test]
fn every_shell_ends_every_kind_of_job() {
    for shell in shells() {
        for (what, wire) in STOPPED {
            let mut job = Job::start(&shell, LoginShell::Posix, wire);
            job.up();
            let members = job.members();
            assert!(members.contains(&job.pid()), "{shell:?} {what}");
            let stopped = stop_with(&shell, LoginShell::Posix, Some(job.pid()), &job.cookie);
            let left: Vec<u32> = members.into_iter().filter(|pid| processes::alive(*pid)).collect();
            assert_eq!((stopped, left), (Stopped::Confirmed, Vec::new()), "{shell:?} {what}");
        }
    }
}

#[test]
fn the_cookie_alone_finds_a_job() {
    // The shell of the launch itself carries no cookie, what it becomes does.
    let wire = "exec sh -c 'echo up; exec sleep 1000'";
    let mut job = Job::start(&["sh"], LoginShell::Fish, wire);
    job.up();
    assert_eq!(stop_with(&["sh"], LoginShell::Fish, None, &job.cookie), Stopped::Confirmed);
    assert!(!processes::alive(job.pid()));
}

#[test]
fn nothing_to_stop_is_gone_and_nobody_else_is_hit() {
    for shell in shells() {
        let mut other = Job::start(&["sh"], LoginShell::Posix, "echo up; exec sleep 1000");
        other.up();
        assert_eq!(stop_with(&shell, LoginShell::Posix, None, &cookie()), Stopped::Confirmed);
        assert!(processes::alive(other.pid()), "{shell:?}");
    }
    assert_eq!(stop::command(LoginShell::RawWords, Some(2), "c", GRACE), None);
}
