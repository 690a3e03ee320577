//! The command lines that run one command on many hosts, each as it comes, with its output captured.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::Setting;
use crate::clock::{children_cpu, timed};
use crate::fleet::{COMMAND, Cost, Fleet};

/// How a tool is called: its program, the fleet, the list of hosts, and a folder of its own for this run.
type Call = fn(&Path, &Fleet, &Path, &Path) -> Command;

/// One of them.
pub(crate) struct Tool {
    pub(crate) name: &'static str,
    /// Most hosts that it is tried on; what it takes for more is extrapolated.
    pub(crate) most: usize,
    /// Times and processor come from the tool itself: it is a library, and its interpreter's start is not counted.
    tells: bool,
    /// Where it is installed.
    program: Option<PathBuf>,
    call: Call,
}

/// Name, program, most hosts, whether it tells its own times, and how it is called.
const TOOLS: [(&str, &str, usize, bool, Call); 6] = [
    ("pssh", "parallel-ssh", usize::MAX, false, pssh),
    ("pdsh", "pdsh", usize::MAX, false, pdsh),
    ("xargs -P16 ssh", "xargs", usize::MAX, false, xargs),
    ("clush", "clush", usize::MAX, false, clush),
    ("Ansible raw, 50 forks", "ansible", 100, false, ansible),
    ("parallel-ssh library (Python)", "python", usize::MAX, true, library),
];

impl Tool {
    pub(crate) fn all(setting: &Setting) -> Vec<Self> {
        let tools = TOOLS.into_iter().map(|(name, program, most, tells, call)| {
            let found = find(&setting.tools, program);
            let program = found.filter(|program| !tells || has_library(program));
            Self { name, most, tells, program, call }
        });
        tools.collect()
    }

    /// One fan-out to the first hosts; what went wrong, if it did not end well.
    pub(crate) fn run(&self, fleet: &Fleet, count: usize) -> Result<Cost, String> {
        let program = self.program.as_ref().ok_or("not installed")?;
        let scratch = tempfile::tempdir().unwrap();
        let list = fleet.list(count);
        let mut command = (self.call)(program, fleet, &list, scratch.path());
        let (output, errors) = (scratch.path().join("output"), scratch.path().join("errors"));
        command
            .stdin(Stdio::null())
            .stdout(File::create(&output).unwrap())
            .stderr(File::create(&errors).unwrap());
        let (before, mut status) = (children_cpu(), None);
        let time = timed(|| status = Some(command.status().unwrap()));
        let cost = Cost { seconds: time / 1000.0, cpu_ms: (children_cpu() - before) * 1000.0 };
        if !status.is_some_and(|status| status.success()) {
            let said = fs::read_to_string(&errors).unwrap_or_default();
            return Err(format!("failed: {}", said.lines().last().unwrap_or_default()));
        }
        if !self.tells {
            return Ok(cost);
        }
        let said = fs::read_to_string(&output).unwrap();
        let mut numbers = said.split_whitespace().map(|word| word.parse::<f64>().unwrap());
        let (seconds, cpu) = (numbers.next().unwrap(), numbers.next().unwrap());
        Ok(Cost { seconds, cpu_ms: cpu * 1000.0 })
    }
}

/// In our own folder first, then where programs are.
fn find(tools: &Path, program: &str) -> Option<PathBuf> {
    let own = fs::canonicalize(tools).ok()?.join("venv/bin").join(program);
    if own.exists() {
        return Some(own);
    }
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(program)).find(|found| found.exists())
}

fn has_library(python: &Path) -> bool {
    let tried =
        Command::new(python).args(["-c", "import pssh.clients"]).stderr(Stdio::null()).status();
    tried.is_ok_and(|status| status.success())
}

/// Our file of options for OpenSSH.
fn options(fleet: &Fleet) -> String {
    format!("-F {}", fleet.path("ssh_config").display())
}

fn pssh(program: &Path, fleet: &Fleet, list: &Path, scratch: &Path) -> Command {
    let mut command = Command::new(program);
    command.arg("-h").arg(list).arg("-x").arg(options(fleet)).args(["-t", "0", "-o"]);
    command.arg(scratch.join("out")).arg("-e").arg(scratch.join("err")).arg(COMMAND);
    command
}

fn pdsh(program: &Path, fleet: &Fleet, list: &Path, _scratch: &Path) -> Command {
    let mut command = Command::new(program);
    command.env("PDSH_SSH_ARGS_APPEND", options(fleet)).env("PDSH_RCMD_TYPE", "ssh");
    command.args(["-S", "-l", "demo", "-w"]).arg(format!("^{}", list.display())).arg(COMMAND);
    command
}

fn xargs(program: &Path, fleet: &Fleet, list: &Path, _scratch: &Path) -> Command {
    let mut command = Command::new(program);
    command.arg("-a").arg(list).args(["-P16", "-I{}", "ssh", "-F"]);
    command.arg(fleet.path("ssh_config")).args(["{}", COMMAND]);
    command
}

fn clush(program: &Path, fleet: &Fleet, list: &Path, _scratch: &Path) -> Command {
    let mut command = Command::new(program);
    command.arg("--hostfile").arg(list).args(["-S", "-o"]).arg(options(fleet)).arg(COMMAND);
    command
}

fn ansible(program: &Path, fleet: &Fleet, list: &Path, scratch: &Path) -> Command {
    let mut command = Command::new(program);
    // Its masters would outlive the measurement by a minute; else as it comes.
    let masters = "-C -o ControlMaster=auto -o ControlPersist=5s";
    command
        .env("ANSIBLE_HOME", scratch)
        .env("ANSIBLE_SSH_CONTROL_PATH_DIR", scratch.join("cp"))
        .env("ANSIBLE_SSH_ARGS", format!("{masters} {}", options(fleet)))
        .args(["all", "-m", "raw", "-a", COMMAND, "-f", "50", "-i"])
        .arg(list);
    command
}

fn library(program: &Path, fleet: &Fleet, list: &Path, _scratch: &Path) -> Command {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/compare/parallel_ssh.py");
    let mut command = Command::new(program);
    command.arg(script).arg(list).arg(fleet.port.to_string()).arg(fleet.path("key")).arg(COMMAND);
    command
}
