//! The texts under every shell of this machine, without SSH: each stands in as `sh` for all that they start.

use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use sshepherd_model::{LoginShell, Stopped};
use sshepherd_testkit::processes;
use tempfile::TempDir;

use super::{JobPlace, JobSite, JobSpec, LEAST_ROOM, Offsets, Order, script};
use crate::{launch, stop};

const NONCE: &str = "0123456789abcdef";
const GRACE: Duration = Duration::from_millis(300);
const LIMIT: Duration = Duration::from_secs(30);

/// A host whose `sh` is some shell, with a home of its own.
struct Far {
    shell: &'static str,
    home: TempDir,
    path: String,
    /// Where it is, once it has been asked.
    site: OnceLock<JobSite>,
}

/// What a text said.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Said {
    words: String,
    out: Vec<u8>,
    err: Vec<u8>,
}

fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var("PATH").unwrap();
    path.split(':').map(|folder| PathBuf::from(folder).join(program)).find(|path| path.exists())
}

fn every_shell() -> Vec<Far> {
    ["dash", "bash", "busybox", "mksh", "zsh"].into_iter().filter_map(Far::new).collect()
}

impl Far {
    /// `None` where the shell is not installed.
    fn new(shell: &'static str) -> Option<Self> {
        let program = find(shell)?;
        let home = tempfile::tempdir().unwrap();
        let bin = home.path().join("bin");
        std::fs::create_dir(&bin).unwrap();
        std::os::unix::fs::symlink(program, bin.join("sh")).unwrap();
        let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
        Some(Self { shell, home, path, site: OnceLock::new() })
    }

    fn spawn(&self, text: &str) -> Child {
        let mut command = Command::new("sh");
        command.args(["-c", text]).env("PATH", &self.path).env("HOME", self.home.path());
        command.env("SHELL", self.home.path().join("bin/sh")).current_dir(self.home.path());
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.process_group(0).spawn().unwrap()
    }

    /// Runs a text to its end; its input is open all the while.
    fn ask(&self, text: &str) -> Said {
        self.finish(self.spawn(text))
    }

    fn finish(&self, mut child: Child) -> Said {
        let input = child.stdin.take();
        let output = child.wait_with_output().unwrap();
        assert!(!output.stderr.is_empty(), "{}: {:?}", self.shell, output.status);
        drop(input);
        self.said(&output.stdout, &output.stderr)
    }

    fn said(&self, out: &[u8], err: &[u8]) -> Said {
        let start = format!("sshepherd-{NONCE} ");
        let line = |text: &[u8]| {
            let end = text.iter().position(|byte| *byte == b'\n').unwrap_or(text.len());
            let line = String::from_utf8(text[..end].to_vec()).unwrap();
            (line, text.get(end + 1..).unwrap_or_default().to_vec())
        };
        let ((greeting, out), (words, err)) = (line(out), line(err));
        assert_eq!(greeting, format!("{start}start"), "{} {words}", self.shell);
        let words = words.strip_prefix(&start).unwrap_or_else(|| panic!("{}: {words}", self.shell));
        Said { words: words.to_owned(), out, err }
    }

    /// Where it is now.
    fn found(&self) -> JobSite {
        let said = self.ask(&script::settle(NONCE, "none", &JobSite::unknown())).words;
        let site = said.strip_prefix("elsewhere ").and_then(JobSite::parse);
        site.unwrap_or_else(|| panic!("{}: {said}", self.shell))
    }

    fn site(&self) -> &JobSite {
        self.site.get_or_init(|| self.found())
    }

    /// The text that starts a job here.
    fn text(&self, spec: &JobSpec) -> String {
        let site = spec.site.clone().unwrap_or_else(|| self.site().clone());
        let spec = JobSpec { site: Some(site), ..spec.clone() };
        script::start(LoginShell::Posix, NONCE, &spec)
    }

    fn start(&self, spec: &JobSpec) -> Child {
        self.spawn(&self.text(spec))
    }

    /// Starts a job and waits for its end.
    fn run(&self, spec: &JobSpec) -> (JobPlace, Said) {
        let said = self.finish(self.start(spec));
        (self.place(spec), said)
    }

    fn place(&self, spec: &JobSpec) -> JobPlace {
        let folder = self.home.path().join(".sshepherd/jobs").join(&spec.id).display().to_string();
        let place = self.site().place(&format!("- - - {folder}")).unwrap();
        JobPlace { room: spec.room, ..place }
    }

    /// From the first byte wanted of each stream, counted from 1.
    fn collect(&self, place: &JobPlace, first: (u64, u64)) -> Said {
        let have = Offsets { stdout: first.0 - 1, stderr: first.1 - 1 };
        let mut said = self.ask(&script::collect(NONCE, place, have));
        // All of it came, from there to the end.
        let (words, rest) = whole(&said.words, have);
        assert!(rest, "{}: {said:?}", self.shell);
        said.words = words;
        said
    }

    fn remove(&self, place: &JobPlace, keep: &str) -> String {
        self.ask(&script::remove(NONCE, place, keep)).words
    }

    fn stop(&self, place: &JobPlace, spec: &JobSpec) -> Stopped {
        self.told(place, spec, Order::Stop)
    }

    fn told(&self, place: &JobPlace, spec: &JobSpec, order: Order) -> Stopped {
        let order = script::stop(place, &spec.cookie, GRACE, order);
        let output = self.spawn(&stop::text(&[order])).wait_with_output();
        stop::parse(&output.unwrap().stdout)
    }

    /// The process of the command, once it is known.
    fn pid(&self, place: &JobPlace) -> u32 {
        let path = format!("{}/pid", place.folder);
        loop {
            let text = std::fs::read_to_string(&path).unwrap_or_default();
            if let Some(pid) = text.split(' ').next().and_then(|pid| pid.parse().ok()) {
                return pid;
            }
            std::thread::yield_now();
        }
    }

    fn supervisor(&self, place: &JobPlace) -> u32 {
        processes::inspect(self.pid(place)).unwrap().parent
    }

    /// Returns when the job has written as much.
    fn wrote(&self, place: &JobPlace, bytes: u64) {
        let path = format!("{}/out", place.folder);
        while std::fs::metadata(&path).map_or(0, |file| file.len()) < bytes {
            std::thread::yield_now();
        }
    }

    /// Nothing works for the job any more.
    fn quiet(&self, place: &JobPlace) {
        for pid in processes::pids_with_argument(&place.folder) {
            assert!(processes::wait_gone(pid, LIMIT), "{}: {pid} stays", self.shell);
        }
    }
}

fn spec(wire: &str) -> JobSpec {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let cookie =
        format!("job:{:08x}:{:08x}", std::process::id(), NEXT.fetch_add(1, Ordering::SeqCst));
    JobSpec {
        id: cookie.clone(),
        wire: wire.to_owned(),
        cookie,
        stdin: None,
        env: Vec::new(),
        max_time: Duration::from_secs(60),
        grace: GRACE,
        room: LEAST_ROOM,
        site: None,
        owner: "0123".to_owned(),
    }
}

/// An answer without where its output is, and whether that is all of it beyond what is had.
fn whole(words: &str, have: Offsets) -> (String, bool) {
    let fields: Vec<&str> = words.split(' ').collect();
    if fields.len() != 9 {
        return (words.to_owned(), true);
    }
    let from = [have.stdout.to_string(), have.stderr.to_string()];
    (fields[..5].join(" "), fields[5..7] == from && fields[7..] == fields[3..5])
}

fn entry(spec: &JobSpec) -> String {
    format!("SSHEPHERD_TASK={}", spec.cookie)
}

#[test]
fn output_status_and_surroundings_are_the_commands_own() {
    let wire = "echo out; echo 'it'\\''s \\n' >&2; echo more >/dev/stderr; umask; pwd; \
                env | grep -c ^SSHEPHERD_TASK=; $CHECK exit 7";
    // Old systems cannot undo what their shells ignore.
    let undo = Command::new("env").args(["--default-signal=INT", "true"]).output();
    let undo = undo.is_ok_and(|output| output.status.success());
    let wire = wire.replace("$CHECK", if undo { "kill -INT $$;" } else { "(exit 130); exit;" });
    for far in every_shell() {
        let spec = spec(&wire);
        let (place, said) = far.run(&spec);
        assert!(said.words.starts_with("job "), "{}: {said:?}", far.shell);
        let all = far.collect(&place, (1, 1));
        let umask = Command::new("sh").args(["-c", "umask"]).output().unwrap().stdout;
        let out = String::from_utf8(all.out.clone()).unwrap();
        let mut lines = out.lines();
        assert_eq!(lines.next(), Some("out"), "{}", far.shell);
        let number = |text: &str| u32::from_str_radix(text.trim(), 8).unwrap();
        assert_eq!(
            number(lines.next().unwrap()),
            number(std::str::from_utf8(&umask).unwrap()),
            "{}",
            far.shell
        );
        assert_eq!(lines.next().map(PathBuf::from), Some(far.home.path().to_owned()));
        assert_eq!(lines.next(), Some("1"), "{}", far.shell);
        // The signal was not ignored: the shell died of it.
        assert!(all.words.starts_with("done 130 - "), "{}: {all:?}", far.shell);
        assert!(all.err.ends_with(b"\nmore\n"), "{}: {all:?}", far.shell);
        // Streamed bytes are the beginning of what is there.
        assert!(all.out.starts_with(&said.out) && all.err.starts_with(&said.err));
        far.quiet(&place);
        assert_eq!(far.remove(&place, "-"), "removed");
        assert_eq!(far.collect(&place, (1, 1)).words, "gone");
    }
}

#[test]
fn any_offset_gives_exactly_the_rest() {
    for far in every_shell() {
        let spec =
            spec("head -c 5000000 /dev/urandom | tee \"$HOME/copy\"; printf 'a\\000b\\377' >&2");
        let (place, _) = far.run(&spec);
        let copy = std::fs::read(far.home.path().join("copy")).unwrap();
        for (out, err) in [(0, 0), (1, 1), (65_536, 2), (4_999_999, 3), (5_000_000, 4)] {
            let said = far.collect(&place, (out + 1, err + 1));
            assert_eq!(said.words, "done 0 - 5000000 4", "{}", far.shell);
            assert!(said.out == copy[usize::try_from(out).unwrap()..], "{} {out}", far.shell);
            assert_eq!(said.err, b"a\0b\xff"[usize::try_from(err).unwrap()..], "{}", far.shell);
        }
        far.remove(&place, "-");
    }
}

#[test]
fn twenty_starts_at_once_run_it_once() {
    for far in every_shell() {
        let spec = spec("echo run >> \"$HOME/runs\"; sleep 0.3");
        let starts: Vec<Child> = (0..20).map(|_| far.start(&spec)).collect();
        let said: Vec<Said> = starts.into_iter().map(|child| far.finish(child)).collect();
        let jobs = said.iter().filter(|said| said.words.starts_with("job ")).count();
        let others = said.iter().filter(|said| said.words.starts_with("exists ")).count();
        assert_eq!((jobs, others), (1, 19), "{}", far.shell);
        let runs = std::fs::read_to_string(far.home.path().join("runs")).unwrap();
        assert_eq!(runs, "run\n", "{}", far.shell);
    }
}

#[test]
fn short_input_starts_nothing() {
    for far in every_shell() {
        for (given, words) in [(&b"abc"[..], "refused the input came short"), (b"abcde", "job ")] {
            let spec = JobSpec { stdin: Some(Bytes::from_static(b"abcde")), ..spec("cat") };
            let mut child = far.start(&spec);
            let feed = launch::feed(&[], Some(Bytes::from_static(given)), NONCE).unwrap();
            child.stdin.take().unwrap().write_all(&feed).unwrap();
            let said = far.finish(child);
            assert!(said.words.starts_with(words), "{}: {said:?}", far.shell);
            let place = far.place(&spec);
            if words == "job " {
                while far.collect(&place, (1, 1)).words == "running" {}
                assert_eq!(far.collect(&place, (1, 1)).out, b"abcde");
            } else {
                assert!(!std::path::Path::new(&place.folder).exists());
            }
        }
    }
}

/// A child that ignores TERM, one in its own session, one that forked twice.
const STUBBORN: &str = "trap '' TERM; setsid sh -c 'trap \"\" TERM; echo up; while :; do sleep 1; done' & \
     (sh -c 'sh -c \"echo up; exec sleep 1000\" &' &) ; echo up; while :; do sleep 1; done";

#[test]
fn a_stop_ends_the_whole_tree_and_the_end_is_recorded() {
    for far in every_shell() {
        let spec = spec(STUBBORN);
        let (child, place) = (far.start(&spec), far.place(&spec));
        far.wrote(&place, 9);
        assert!(processes::pids_with_env(&entry(&spec)).len() >= 3, "{}", far.shell);
        let stopped = far.stop(&place, &spec);
        let left = processes::pids_with_env(&entry(&spec));
        assert_eq!((stopped, left), (Stopped::Confirmed, Vec::new()), "{}", far.shell);
        far.finish(child);
        let words = far.collect(&place, (1, 1)).words;
        assert!(words.starts_with("done 137 stopped "), "{}: {words}", far.shell);
        far.quiet(&place);
    }
}

/// Whoever names the end first has named it.
#[test]
fn the_first_to_name_the_end_is_the_one_that_is_told() {
    for far in every_shell() {
        for (order, flag) in [(Order::Stop, "stopped"), (Order::Limit, "limit")] {
            let spec = spec("echo up; exec sleep 1000");
            let (child, place) = (far.start(&spec), far.place(&spec));
            far.wrote(&place, 3);
            assert_eq!(far.told(&place, &spec, order), Stopped::Confirmed, "{}", far.shell);
            far.finish(child);
            let words = far.collect(&place, (1, 1)).words;
            assert!(words.starts_with(&format!("done 143 {flag} 3 ")), "{}: {words}", far.shell);
            let other = if order == Order::Stop { Order::Limit } else { Order::Stop };
            far.told(&place, &spec, other);
            assert_eq!(far.collect(&place, (1, 1)).words, words, "{}", far.shell);
            assert_eq!(far.remove(&place, "-"), "removed", "{}", far.shell);
            far.quiet(&place);
        }
        let spec = spec("exit 3");
        let (place, _) = far.run(&spec);
        for order in [Order::Stop, Order::Limit] {
            far.told(&place, &spec, order);
            assert_eq!(far.collect(&place, (1, 1)).words, "done 3 - 0 0", "{}", far.shell);
        }
    }
}

#[test]
fn signals_to_the_supervisor_change_nothing() {
    for far in every_shell() {
        let spec = spec("echo up; sleep 1; echo end; exit 9");
        let (child, place) = (far.start(&spec), far.place(&spec));
        far.wrote(&place, 3);
        let supervisor = far.supervisor(&place).to_string();
        for signal in ["-HUP", "-TERM", "-INT", "-TERM"] {
            // The whole group, as sshd does.
            let group = format!("-{supervisor}");
            assert!(Command::new("kill").args([signal, "--", &group]).status().unwrap().success());
        }
        far.finish(child);
        let said = far.collect(&place, (1, 1));
        assert_eq!(
            (said.words.as_str(), said.out.as_slice()),
            ("done 9 - 7 0", &b"up\nend\n"[..]),
            "{}",
            far.shell
        );
        far.quiet(&place);
    }
}

#[test]
fn a_job_whose_supervisor_was_killed_is_followed_to_the_end_of_its_output() {
    for far in every_shell() {
        let spec = spec("echo up; sleep 1; echo end; exit 9");
        let (child, place) = (far.start(&spec), far.place(&spec));
        far.wrote(&place, 3);
        let supervisor = far.supervisor(&place);
        let helpers = processes::tree(supervisor);
        processes::kill(supervisor);
        far.finish(child);
        let said = far.collect(&place, (1, 1));
        assert_eq!(
            (said.words.as_str(), said.out.as_slice()),
            ("dead killed - 7 0", &b"up\nend\n"[..]),
            "{}",
            far.shell
        );
        // After a restart of the host the same folder means something else.
        let pid = std::fs::read_to_string(format!("{}/pid", place.folder)).unwrap();
        let other = pid.rsplit_once(' ').unwrap().0.to_owned() + " another-boot\n";
        std::fs::write(format!("{}/pid", place.folder), other).unwrap();
        assert_eq!(far.collect(&place, (8, 1)).words, "dead rebooted - 7 0", "{}", far.shell);
        assert_eq!(far.remove(&place, "-"), "removed");
        // Its watchdog waits for the limit.
        helpers.iter().for_each(|process| processes::kill(process.pid));
    }
}

#[test]
fn a_process_that_got_the_number_of_the_command_is_not_hit() {
    for far in every_shell() {
        let spec = spec("exit 0");
        let (place, _) = far.run(&spec);
        while far.collect(&place, (1, 1)).words == "running" {}
        let mut other = Command::new("setsid").args(["sleep", "1000"]).spawn().unwrap();
        let pid = std::fs::read_to_string(format!("{}/pid", place.folder)).unwrap();
        let moved = format!("{} {}", other.id(), pid.split_once(' ').unwrap().1);
        std::fs::write(format!("{}/pid", place.folder), moved).unwrap();
        // As if its end had not been named yet.
        let file = |name: &str| format!("{}/{name}", place.folder);
        std::fs::rename(file("ended"), file("end")).unwrap();
        assert_eq!(far.stop(&place, &spec), Stopped::Confirmed, "{}", far.shell);
        assert!(processes::alive(other.id()), "{}", far.shell);
        other.kill().unwrap();
        other.wait().unwrap();
    }
}

#[test]
fn a_settled_id_never_runs() {
    for far in every_shell() {
        let spec = spec("echo run >> \"$HOME/runs\"");
        let settle = script::settle(NONCE, &spec.id, far.site());
        assert_eq!(far.ask(&settle).words, "refused buried", "{}", far.shell);
        let (place, said) = far.run(&spec);
        assert_eq!(said.words, format!("exists - - - {}", place.folder), "{}", far.shell);
        assert_eq!(far.collect(&place, (1, 1)).words, "dead unstarted - 0 0", "{}", far.shell);
        assert!(!far.home.path().join("runs").exists());
        assert_eq!(far.remove(&place, "keep"), "removed");
        assert!(std::path::Path::new(&place.folder).exists());
        // Old ones go when the next is made.
        let touched = Command::new("touch").args(["-d", "3 days ago", &place.folder]).status();
        assert!(touched.unwrap().success());
        let other = self::spec("exit 0");
        let (other, _) = far.run(&other);
        while far.collect(&other, (1, 1)).words == "running" {}
        assert_eq!(far.remove(&other, "keep"), "removed");
        assert!(!std::path::Path::new(&place.folder).exists(), "{}", far.shell);
        assert!(std::path::Path::new(&other.folder).exists());
    }
}

mod floods;
mod homes;
mod limits;
mod places;
