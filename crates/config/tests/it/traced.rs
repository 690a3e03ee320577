//! One call of a real program, watched: what it writes, runs and connects to, and what of environments it prints.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// Stands in the environment of a process beside the programs, and in their own.
pub(crate) const CANARY: &str = "canary-5c1de02b";
/// Longest that a call may take: the packs promise ends.
const PATIENCE: Duration = Duration::from_secs(60);
/// System calls that change something, run something or reach out.
const WATCHED: &str = "trace=execve,execveat,open,openat,openat2,creat,unlink,unlinkat,rename,renameat,renameat2,mkdir,mkdirat,rmdir,\
    link,linkat,symlink,symlinkat,truncate,ftruncate,chmod,fchmod,fchmodat,chown,fchown,fchownat,lchown,mknod,mknodat,setxattr,\
    utimensat,mount,umount2,kill,tkill,sethostname,setdomainname,settimeofday,clock_settime,adjtimex,clock_adjtime,connect,sendto";

/// A process whose environment must stay its own, and a home for the programs.
pub(crate) struct Bench {
    holder: Child,
    home: TempDir,
    strace: Option<PathBuf>,
}

impl Drop for Bench {
    fn drop(&mut self) {
        let _ = self.holder.kill();
        let _ = self.holder.wait();
    }
}

/// Where a program is, by the search path.
pub(crate) fn found(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(program)).find(|path| path.is_file())
}

impl Bench {
    pub(crate) fn new() -> Self {
        let home = tempfile::tempdir().unwrap();
        // Nothing answers there; what kubectl may reach is this and no other.
        std::fs::create_dir(home.path().join(".kube")).unwrap();
        std::fs::write(
            home.path().join(".kube/config"),
            "apiVersion: v1\nkind: Config\ncurrent-context: a\nclusters: [{name: a, cluster: {server: 'http://127.0.0.1:1'}}]\n\
             contexts: [{name: a, context: {cluster: a, user: a}}]\nusers: [{name: a, user: {}}]\n",
        )
        .unwrap();
        let holder = Command::new("cat")
            .env_clear()
            .env("SSHEPHERD_CANARY", CANARY)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let works = |strace: &PathBuf| {
            let mut probe = Command::new(strace);
            let probe = probe.args(["-qq", "-o", "/dev/null", "true"]).stderr(Stdio::null());
            probe.status().is_ok_and(|status| status.success())
        };
        Self { holder, home, strace: found("strace").filter(works) }
    }

    pub(crate) fn pid(&self) -> String {
        self.holder.id().to_string()
    }

    pub(crate) fn traces(&self) -> bool {
        self.strace.is_some()
    }

    /// What a call did that it may not; empty for a harmless one. `worker` keeps files of several apart.
    pub(crate) fn run(&self, argv: &[String], worker: usize) -> Vec<String> {
        let of_worker = |name: &str| self.home.path().join(format!("{worker}.{name}"));
        let (traces, out) = (of_worker("trace"), of_worker("out"));
        // A file for each thread: no line is cut by another.
        let _ = std::fs::remove_dir_all(&traces);
        std::fs::create_dir(&traces).unwrap();
        let mut child = self.start(argv, &traces, File::create(&out).unwrap());
        let mut did = Vec::new();
        if !ends(&mut child) {
            did.push("does not end".to_owned());
        }
        let printed = String::from_utf8_lossy(&std::fs::read(&out).unwrap()).into_owned();
        if printed.contains(CANARY) {
            did.push("prints an environment".to_owned());
        }
        if program_of(argv) == "ps" && printed.contains("error:") {
            let error = printed.lines().next().unwrap_or_default();
            did.push(format!("is not taken, so that ps reads it again: {error}"));
        }
        for file in std::fs::read_dir(&traces).unwrap() {
            let trace = std::fs::read(file.unwrap().path()).unwrap();
            let trace = String::from_utf8_lossy(&trace);
            let judged = |line| judged(line, program_of(argv), self.home.path());
            did.extend(trace.lines().filter_map(judged));
        }
        did
    }

    fn start(&self, argv: &[String], traces: &Path, output: File) -> Child {
        let mut words: Vec<String> = Vec::new();
        if let Some(strace) = &self.strace {
            words.push(strace.display().to_string());
            words.extend(["-ff", "-qq", "-y", "-s", "300", "-e", WATCHED, "-o"].map(str::to_owned));
            words.push(traces.join("of").display().to_string());
        }
        words.extend(argv.iter().cloned());
        let (program, rest) = words.split_first().unwrap();
        Command::new(program)
            .args(rest)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", self.home.path())
            .env("LC_ALL", "C")
            .env("SSHEPHERD_CANARY", CANARY)
            .stdin(Stdio::null())
            .stdout(output.try_clone().unwrap())
            .stderr(output)
            .spawn()
            .unwrap()
    }
}

fn ends(child: &mut Child) -> bool {
    let start = Instant::now();
    loop {
        if child.try_wait().unwrap().is_some() {
            return true;
        }
        if start.elapsed() > PATIENCE {
            let _ = child.kill();
            let _ = child.wait();
            return false;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}

fn program_of(argv: &[String]) -> &str {
    argv.first().map_or("", |program| program.rsplit('/').next().unwrap_or(program))
}

/// What a line of the trace shows that a reading program may not do.
fn judged(call: &str, program: &str, home: &Path) -> Option<String> {
    let (name, rest) = call.split_once('(')?;
    if call.contains(") = -1") && name != "connect" {
        return None;
    }
    let named = rest.split('"').nth(1).unwrap_or_default();
    match name {
        "execve" | "execveat" => {
            let runs = named.rsplit('/').next().unwrap_or_default();
            (runs != program && !helper(program, runs)).then(|| format!("runs {named}"))
        }
        "open" | "openat" | "openat2" => {
            let writes = ["O_WRONLY", "O_RDWR", "O_CREAT", "O_TRUNC", "O_APPEND"];
            let writes =
                writes.iter().any(|flag| rest.contains(flag)) && !rest.contains("O_TMPFILE");
            (writes && !own_file(program, named, home))
                .then(|| format!("opens {named} for writing"))
        }
        "connect" | "sendto" => {
            let outside = rest.contains("sa_family=AF_INET") && !endpoint(program, rest);
            outside.then(|| format!("reaches out: {rest}"))
        }
        // strace lets go of a thread in the middle of a call.
        "???" => None,
        // A runtime stops its own threads with one signal, and 0 only asks.
        "kill" | "tkill" if rest.contains("SIGURG") || rest.contains(", 0)") => None,
        "ftruncate" | "fchmod" | "fchown" if home_in(rest, home) || cache_in(program, rest) => None,
        "adjtimex" | "clock_adjtime" if rest.contains("modes=0") => None,
        _ if own_file(program, named, home) => None,
        _ => Some(format!("changes something: {call}")),
    }
}

fn home_in(rest: &str, home: &Path) -> bool {
    rest.contains(&format!("<{}/.kube/cache", home.display()))
}

fn cache_in(program: &str, rest: &str) -> bool {
    program.starts_with("apt") && rest.contains("</var/cache/apt/")
}

/// Programs that make up one tool: they are part of what the owner allows by its name.
fn helper(program: &str, runs: &str) -> bool {
    match program {
        "dpkg" => runs == "dpkg-query",
        "apt" | "apt-cache" => runs == "dpkg",
        "kubectl" => runs.starts_with("kubectl"),
        "docker" => runs.starts_with("docker-"),
        _ => false,
    }
}

/// Files of a program's own: no matter of the host's.
fn own_file(program: &str, path: &str, home: &Path) -> bool {
    let kube = home.join(".kube/cache");
    matches!(path, "/dev/null" | "/dev/tty" | "/dev/ptmx")
        || path.starts_with("/dev/pts/")
        || path.starts_with("/proc/self/")
        || (program == "kubectl" && Path::new(path).starts_with(kube))
        // Root's apt keeps its caches up to date.
        || (program.starts_with("apt") && path.starts_with("/var/cache/apt/"))
}

/// The cluster that kubectl is made for, and the name service of a name that is asked for.
fn endpoint(program: &str, rest: &str) -> bool {
    match program {
        "kubectl" => rest.contains("sin_port=htons(1), sin_addr=inet_addr(\"127.0.0.1\")"),
        "hostname" => rest.contains("sin_port=htons(53)"),
        _ => false,
    }
}
