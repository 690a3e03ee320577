//! Hosts that a program reaches: real programs, a real sshd behind them, and what becomes of the programs.

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use sshepherd_model::Phase;
use sshepherd_ssh::{Deadlines, ProxyProgram, Target};
use sshepherd_testkit::{Sshd, processes};
use tempfile::TempDir;

use crate::common::{
    LIMIT, Ran, exec, finish, first_line, known, pool, refusal, run, run_with, start, target,
};

/// Reaches a host and a port as `nc` does; what it leaves in the background would outlive it.
const RELAY: &str = "exec 3<>/dev/tcp/$1/$2; cat <&3 & exec cat >&3";

/// A shell script that reaches the host; its process id is in a file.
struct Script {
    folder: TempDir,
}

impl Script {
    fn new(text: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let script = folder.path().join("proxy");
        let pid = folder.path().join("pid");
        fs::write(&script, format!("#!/bin/bash\necho $$ >{}\n{text}\n", pid.display())).unwrap();
        fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
        Self { folder }
    }

    fn pid(&self) -> u32 {
        fs::read_to_string(self.folder.path().join("pid")).unwrap().trim().parse().unwrap()
    }

    /// `server` by this program, which is given its address.
    fn target(&self, server: &Sshd) -> Target {
        let address = server.address();
        let arguments = vec![address.ip().to_string(), address.port().to_string()];
        through(target(server), self.folder.path().join("proxy"), arguments)
    }

    async fn is_gone(&self) {
        gone(self.pid()).await;
        // Seen by us too: no zombie stays.
        let reaped = async {
            while processes::inspect(self.pid()).is_some() {
                tokio::task::yield_now().await;
            }
        };
        let reaped = tokio::time::timeout(LIMIT, reaped).await;
        assert!(reaped.is_ok(), "a zombie stays");
    }
}

async fn gone(pid: u32) {
    let waited = tokio::task::spawn_blocking(move || processes::wait_gone(pid, LIMIT)).await;
    assert!(waited.unwrap(), "{pid} outlives its connection");
}

fn through(target: Target, program: PathBuf, arguments: Vec<String>) -> Target {
    let mut target = Target { addresses: Vec::new(), ..target };
    target.transport.proxy =
        Some(ProxyProgram { program: Ok(program), arguments, hidden: Vec::new() });
    target
}

/// A host that only another sshd reaches, by `ssh -W`.
fn by_ssh(inner: &Sshd, gate: &Sshd, folder: &TempDir) -> Target {
    let hosts = folder.path().join("known_hosts");
    fs::write(&hosts, gate.host_key_lines(&gate.known_hosts_name())).unwrap();
    let words = [
        "-F",
        "none",
        "-i",
        &gate.user_key_path().display().to_string(),
        "-o",
        &format!("UserKnownHostsFile={}", hosts.display()),
        "-o",
        "BatchMode=yes",
        "-p",
        &gate.port().to_string(),
        "-W",
        &format!("[{}]:{}", inner.address().ip(), inner.port()),
        &format!("{}@127.0.0.1", gate.user()),
    ]
    .map(str::to_owned);
    through(target(inner), "/usr/bin/ssh".into(), words.into())
}

#[tokio::test]
async fn ssh_dash_w_reaches_a_host() {
    let (inner, gate, folder) = (Sshd::start(), Sshd::start(), tempfile::tempdir().unwrap());
    let target = Arc::new(by_ssh(&inner, &gate, &folder));
    let pool = pool();
    assert_eq!(run(&pool, &target, "echo in; exit 3").await, Ran::said("in\n", "", 3));
    assert_eq!((gate.connections(), inner.connections()), (Some(1), Some(1)));
    assert_eq!(pool.open(Arc::clone(&target)).await.unwrap().peer(), None, "no address is known");
    tokio::time::timeout(LIMIT, pool.shutdown()).await.unwrap();
}

#[tokio::test]
async fn a_relay_carries_megabytes_both_ways_whatever_it_says_on_the_side() {
    let server = Sshd::start();
    let script = Script::new(&format!("head -c 3000000 /dev/zero | tr '\\0' e >&2; {RELAY}"));
    let (pool, target) = (pool(), Arc::new(script.target(&server)));
    let ran = run(&pool, &target, "head -c 3000000 /dev/zero | wc -c").await;
    assert_eq!(ran, Ran::said("3000000\n", "", 0));
    let big = vec![b'x'; 2_000_000];
    assert_eq!(run_with(&pool, &target, "wc -c", &big).await, Ran::said("2000000\n", "", 0));
    assert_eq!(server.connections(), Some(1), "the link is pooled like any other");
    tokio::time::timeout(LIMIT, pool.shutdown()).await.unwrap();
    script.is_gone().await;
}

/// Its end and the end of what it writes come in either order, before we ask for it or after.
#[tokio::test]
async fn a_program_that_ends_at_once_is_said_to_have_ended_however_often_it_is_run() {
    let server = Sshd::start();
    for words in ["", "echo no >&2; ", "exec 2>&-; "] {
        let script = Script::new(&format!("{words}exit 3"));
        for _ in 0..10 {
            let failure = refusal(script.target(&server)).await;
            let ended = "ended by itself (exit status: 3)";
            assert!(failure.detail.contains(ended), "{words}: {failure:?}");
        }
    }
}

#[tokio::test]
async fn a_program_that_fails_is_quoted_and_not_run_again_and_again() {
    let server = Sshd::start();
    let count = tempfile::NamedTempFile::new().unwrap();
    let script = Script::new(&format!(
        "echo >>{}; printf 'no \\033[31mroute\\r\\n to $1\\n' >&2; exit 7",
        count.path().display()
    ));
    let failure = refusal(script.target(&server)).await;
    assert_eq!(failure.phase, Phase::Dial, "{failure:?}");
    assert!(
        failure.detail.contains("proxy_command proxy ended by itself (exit status: 7)"),
        "{failure:?}"
    );
    assert!(failure.detail.ends_with("and wrote: no [31mroute to $1"), "{failure:?}");
    assert_eq!(fs::read_to_string(count.path()).unwrap(), "\n");

    let absent = through(target(&server), "/nonexistent/nc".into(), Vec::new());
    let failure = refusal(absent).await;
    assert_eq!(failure.phase, Phase::Dial);
    assert!(failure.detail.contains("nc cannot be run: No such file"), "{failure:?}");
    let mut unusable = target(&server);
    unusable.transport.proxy = Some(ProxyProgram {
        program: Err("nc is not there".to_owned()),
        arguments: Vec::new(),
        hidden: Vec::new(),
    });
    assert!(refusal(unusable).await.detail.contains("nc is not there"));
}

/// It heeds no polite signal, and what it started holds its pipes.
#[tokio::test]
async fn a_program_that_says_nothing_is_given_up_and_ends_with_all_that_it_started() {
    let server = Sshd::start();
    let script = Script::new("trap '' TERM; sleep 1000 & echo $! >${0%/*}/child; sleep 1000; wait");
    let deadlines = Deadlines { banner: Duration::from_secs(1), ..Deadlines::default() };
    let failure = refusal(Target { deadlines, ..script.target(&server) }).await;
    assert_eq!(failure.phase, Phase::Dial, "{failure:?}");
    assert!(failure.detail.contains("proxy_command proxy was still running"), "{failure:?}");
    script.is_gone().await;
    let child = fs::read_to_string(script.folder.path().join("child")).unwrap();
    gone(child.trim().parse().unwrap()).await;
}

#[tokio::test]
async fn a_program_that_dies_loses_its_commands_and_the_next_one_gets_another() {
    let server = Sshd::start();
    let script = Script::new(RELAY);
    let (pool, target) = (pool(), Arc::new(script.target(&server)));
    let mut running = start(&pool, &target, exec("echo on; exec sleep 1000")).await;
    assert_eq!(first_line(&mut running).await, "on");
    let first = script.pid();
    processes::kill(first);
    let lost = tokio::time::timeout(LIMIT, finish(&mut running)).await.unwrap();
    assert!(matches!(lost.end, sshepherd_ssh::Event::Lost { .. }), "{lost:?}");
    assert_eq!(run(&pool, &target, "echo in").await, Ran::said("in\n", "", 0));
    assert_ne!(script.pid(), first);
}

/// Whatever the program reaches, the host proves who it is.
#[tokio::test]
async fn the_host_key_is_checked_under_the_hosts_own_name() {
    let (server, other) = (Sshd::start(), Sshd::start());
    let script = Script::new(RELAY);
    let wrong = known(&other.host_key_lines(&server.known_hosts_name()));
    let failure = refusal(Target { known_hosts: wrong, ..script.target(&server) }).await;
    assert_eq!(failure.phase, Phase::HostKey, "{failure:?}");
    script.is_gone().await;
}

#[tokio::test]
async fn secrets_of_our_environment_are_kept_from_the_program() {
    let server = Sshd::start();
    let script = Script::new(&format!("env >${{0%/*}}/env; {RELAY}"));
    let mut target = script.target(&server);
    let hidden = vec![OsString::from("HOME")];
    target.transport.proxy = target.transport.proxy.map(|proxy| ProxyProgram { hidden, ..proxy });
    assert_eq!(run(&pool(), &Arc::new(target), "echo in").await, Ran::said("in\n", "", 0));
    let env = fs::read_to_string(script.folder.path().join("env")).unwrap();
    assert!(!env.lines().any(|line| line.starts_with("HOME=")), "{env}");
    assert!(env.lines().any(|line| line.starts_with("PATH=")), "{env}");
}

#[tokio::test]
async fn a_jump_host_may_be_reached_by_a_program() {
    let (inner, gate) = (Sshd::start(), Sshd::start());
    let script = Script::new(RELAY);
    let jump = Target { alias: "jump".parse().unwrap(), ..script.target(&gate) };
    let target = Arc::new(Target { via: Some(Arc::new(jump)), ..target(&inner) });
    assert_eq!(run(&pool(), &target, "echo in").await, Ran::said("in\n", "", 0));
    assert_eq!(gate.connections(), Some(1));
}
