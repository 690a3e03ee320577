//! A server in a process of its own: this test binary again, told what to do line by line.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::OnceLock;

use bytes::Bytes;
use sshepherd_model::{Outcome, Stream};
use sshepherd_store::{
    Claim, DiskBounds, DiskStore, Error, Finish, HeldShell, Lookup, Orphans, Patch, ShellEnd,
    ShellFolder, Store, StreamFilter, Task,
};

use crate::common::{flat, found, new_task, started};

/// Names the folder that a worker opens.
const FOLDER: &str = "SSHEPHERD_STORE_WORKER";

/// What the worker's answers begin with, for the test harness writes to the same pipe.
const MARK: &str = "@@";

/// Limit of a worker's task: its segments are of the smallest size.
pub(crate) const MOST: u64 = 100 << 10;

/// The bytes of every worker's task come again after so many, which no size of a file or page is a multiple of.
const PERIOD: u64 = 89;

/// The next `length` bytes, at most 1 MiB, of a task that has `at`.
pub(crate) fn bytes(at: u64, length: u64) -> Bytes {
    static PATTERN: OnceLock<Bytes> = OnceLock::new();
    let byte = |at: u64| b'!' + u8::try_from(at * 37 % PERIOD).unwrap();
    let pattern = PATTERN.get_or_init(|| (0..PERIOD + (1 << 20)).map(byte).collect());
    let from = usize::try_from(at % PERIOD).unwrap();
    pattern.slice(from..from + usize::try_from(length).unwrap())
}

/// A worker, killed when dropped.
pub(crate) struct Worker {
    child: Child,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.kill();
    }
}

impl Worker {
    /// Starts a worker over `folder` that dies at `crash_at`, if that is given.
    pub(crate) fn start(folder: &Path, crash_at: Option<&str>) -> Self {
        Self::begin(Command::new(std::env::current_exe().unwrap()), folder, crash_at)
    }

    /// Starts one that cannot write files longer than so many KiB.
    pub(crate) fn start_with_small_files(folder: &Path, kib: u64) -> Self {
        let mut shell = Command::new("sh");
        // The limit then is an error of the write, and not a signal.
        let script = format!("trap '' XFSZ; ulimit -S -f {}; exec \"$0\" \"$@\"", kib * 2);
        shell.arg("-c").arg(script).arg(std::env::current_exe().unwrap());
        Self::begin(shell, folder, None)
    }

    /// Starts one that sees a disk of so many KiB at `folder`; needs the right to mount.
    pub(crate) fn start_with_small_disk(folder: &Path, kib: u64) -> Self {
        let mut shell = Command::new("unshare");
        let script = format!(
            "mount -t tmpfs -o size={kib}k none '{}' && exec \"$0\" \"$@\"",
            folder.display()
        );
        shell.args(["-m", "sh", "-c"]).arg(script).arg(std::env::current_exe().unwrap());
        Self::begin(shell, folder, None)
    }

    fn begin(mut command: Command, folder: &Path, crash_at: Option<&str>) -> Self {
        command.args(["--exact", "worker::worker", "--nocapture", "--quiet"]);
        command.env(FOLDER, folder).stdin(Stdio::piped()).stdout(Stdio::piped());
        if let Some(place) = crash_at {
            command.env(sshepherd_store::crash::VARIABLE, place);
        }
        let mut child = command.spawn().unwrap();
        let stdin = child.stdin.take().unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let mut worker = Self { child, stdin, stdout };
        let _ = worker.answer();
        worker
    }

    /// Tells it to do something and answers what it says; `None` when it died on the way.
    pub(crate) fn ask(&mut self, what: &str) -> Option<String> {
        writeln!(self.stdin, "{what}").ok()?;
        self.answer()
    }

    /// As `ask`; it lives and succeeds.
    pub(crate) fn must(&mut self, what: &str) -> String {
        let answer = self.ask(what).unwrap_or_else(|| panic!("{what}: dead"));
        assert!(!answer.starts_with("error"), "{what}: {answer}");
        answer
    }

    fn answer(&mut self) -> Option<String> {
        loop {
            let mut line = String::new();
            if self.stdout.read_line(&mut line).unwrap() == 0 {
                return None;
            }
            if let Some((_, answer)) = line.trim_end().split_once(MARK) {
                return Some(answer.to_owned());
            }
        }
    }

    pub(crate) fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Not a test by itself: what a worker process runs.
#[test]
fn worker() {
    let Some(folder) = std::env::var_os(FOLDER) else { return };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let store = DiskStore::open(Path::new(&folder), DiskBounds::default()).await.unwrap();
        say("ready");
        let mut shells = Shells::open(Path::new(&folder));
        for line in std::io::stdin().lines() {
            let line = line.unwrap();
            if line.starts_with("shell") {
                say(&shells.obey(&line));
                continue;
            }
            match obey(&store, Path::new(&folder), &line).await {
                Ok(answer) => say(&answer),
                Err(error) => say(&format!("error {error}")),
            }
        }
    });
}

#[expect(clippy::print_stdout, reason = "the pipe to the test")]
fn say(what: &str) {
    println!("{MARK}{what}");
}

async fn obey(store: &DiskStore, folder: &Path, line: &str) -> Result<String, Error> {
    let words: Vec<&str> = line.split(' ').collect();
    let number = |place: usize| words[place].parse::<u64>().unwrap();
    let mut new = new_task(words.get(1).map_or(0, |_| number(1)).into());
    new.limits.max_output_bytes = MOST;
    let id = new.id.clone();
    Ok(match words[0] {
        "create" => {
            new.key = words.get(2).map(|key| (*key).to_owned());
            told(&store.create(new).await?)
        }
        "start" => told(&found(store.patch(&id, started(1)).await?)),
        "append" => {
            let at = found(store.get(&id).await?).output.bytes();
            let totals = store.append(&id, Stream::Stdout, bytes(at, number(2))).await?;
            totals.bytes().to_string()
        }
        "finish" => {
            let end = Finish { outcome: Outcome::Exited { status: 0 }, at: 2000 };
            told(&store.finish(&id, end).await?)
        }
        "cancel" => told(&found(store.patch(&id, Patch::RequestCancel { at: 7 }).await?)),
        "get" => match store.get(&id).await? {
            Lookup::Found(task) => told(&task),
            Lookup::Expired => "expired".to_owned(),
            Lookup::Unknown => "unknown".to_owned(),
        },
        "asked" => format!("{:?}", found(store.get(&id).await?).cancel_requested_at),
        "sweep" => store.sweep(number(1)).await?.expired.to_string(),
        "claim" => {
            let tasks = store.claim(Orphans::All).await?;
            tasks.iter().map(|task| task.id.to_string()).collect::<Vec<_>>().join(" ")
        }
        "fill" => {
            let mut file = std::fs::File::create(folder.join("filler")).unwrap();
            while file.write_all(&[0; 1024]).is_ok() {}
            "ok".to_owned()
        }
        "free" => {
            std::fs::remove_file(folder.join("filler")).unwrap();
            "ok".to_owned()
        }
        "whole" => {
            let total = found(store.get(&id).await?).output.bytes();
            let page = found(store.read(&id, 0, 1 << 20, StreamFilter::Both).await?);
            (flat(&page.chunks) == bytes(0, total)).to_string()
        }
        "room" => {
            let none = rustix::process::Rlimit { current: None, maximum: None };
            rustix::process::setrlimit(rustix::process::Resource::Fsize, none).unwrap();
            "ok".to_owned()
        }
        other => panic!("{other}"),
    })
}

/// The interactive shells that a worker holds.
struct Shells {
    folder: ShellFolder,
    held: Vec<HeldShell>,
}

impl Shells {
    fn open(folder: &Path) -> Self {
        Self { folder: ShellFolder::open(folder).unwrap(), held: Vec::new() }
    }

    fn obey(&mut self, line: &str) -> String {
        let words: Vec<&str> = line.split(' ').collect();
        let number = |place: usize| words[place].parse::<u64>().unwrap();
        let mut record = crate::shells::record(number(1));
        record.persistent = Some("sshepherd-1".to_owned());
        let mine = self.held.iter_mut().find(|held| *held.id() == record.id);
        match words[0] {
            "shell" => {
                self.held.push(self.folder.create(&record).unwrap());
                "ok".to_owned()
            }
            "shell-end" => {
                record.ended = Some(ShellEnd { at: 5, why: "exit status 0".to_owned() });
                mine.unwrap().update(&record).unwrap();
                "ok".to_owned()
            }
            "shell-claim" => match self.folder.claim(&record.id).unwrap() {
                Claim::Taken(..) => "taken",
                Claim::InUse => "in use",
                Claim::Unknown => "unknown",
                Claim::Ended(_) => "ended",
            }
            .to_owned(),
            "shell-sweep" => self.folder.sweep(number(1)).to_string(),
            "shell-record" => {
                let mut recorder = mine.unwrap().recorder(u64::MAX).unwrap();
                let write = |at: u64| recorder.write(&format!("[{at}.0, \"o\", \"x\"]\n"));
                let errors = (0..number(2)).map(write).filter(Result::is_err).count();
                format!("{errors} error, full: {}", recorder.full())
            }
            other => panic!("{other}"),
        }
    }
}

/// How far a task is.
pub(crate) fn told(task: &Task) -> String {
    format!("{} {}", task.status, task.output.bytes())
}
