//! Who is alive on this machine, read from `/proc`; a zombie is not alive.

use std::fs;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open};

/// One line of `/proc/PID/stat`, as far as tests care.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Process {
    /// Process id.
    pub pid: u32,
    /// Id of the parent process.
    pub parent: u32,
    /// Process group.
    pub group: u32,
    /// Session.
    pub session: u32,
    /// State letter: `R`, `S`, `D`, `T`, `Z` …
    pub state: char,
    /// Name of the program, at most 15 bytes.
    pub name: String,
}

/// What `/proc` says of `pid`; `None` when there is no such process.
#[must_use]
pub fn inspect(pid: u32) -> Option<Process> {
    parse_stat(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

/// The name stands in parentheses and may hold anything, so it ends at the last `)`.
fn parse_stat(stat: &str) -> Option<Process> {
    let (pid, rest) = stat.split_once(" (")?;
    let (name, rest) = rest.rsplit_once(") ")?;
    let mut fields = rest.split(' ');
    let state = fields.next()?.chars().next()?;
    let mut number = || fields.next()?.parse().ok();
    Some(Process {
        pid: pid.parse().ok()?,
        parent: number()?,
        group: number()?,
        session: number()?,
        state,
        name: name.to_owned(),
    })
}

/// Whether `pid` runs: it exists and is neither a zombie nor dead.
#[must_use]
pub fn alive(pid: u32) -> bool {
    inspect(pid).is_some_and(|process| !matches!(process.state, 'Z' | 'X'))
}

/// Every living process of the machine.
#[must_use]
pub fn all() -> Vec<Process> {
    let Ok(entries) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    entries
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter_map(inspect)
        .filter(|process| !matches!(process.state, 'Z' | 'X'))
        .collect()
}

/// Living processes whose environment holds exactly the entry `cookie`, written `NAME=value`. Processes of
/// other users are seen only by root.
#[must_use]
pub fn pids_with_env(cookie: &str) -> Vec<u32> {
    all()
        .into_iter()
        .filter(|process| {
            fs::read(format!("/proc/{}/environ", process.pid)).is_ok_and(|text| {
                text.split(|byte| *byte == 0).any(|entry| entry == cookie.as_bytes())
            })
        })
        .map(|process| process.pid)
        .collect()
}

/// Living processes that have `argument` as one whole word of their command line.
#[must_use]
pub fn pids_with_argument(argument: &str) -> Vec<u32> {
    all()
        .into_iter()
        .filter(|process| {
            fs::read(format!("/proc/{}/cmdline", process.pid)).is_ok_and(|text| {
                text.split(|byte| *byte == 0).any(|word| word == argument.as_bytes())
            })
        })
        .map(|process| process.pid)
        .collect()
}

/// `root` and all its living descendants, parents before children.
#[must_use]
pub fn tree(root: u32) -> Vec<Process> {
    let all = all();
    let mut found: Vec<Process> =
        all.iter().filter(|process| process.pid == root).cloned().collect();
    let mut next = 0;
    while let Some(parent) = found.get(next).map(|process| process.pid) {
        found.extend(all.iter().filter(|process| process.parent == parent).cloned());
        next += 1;
    }
    found
}

/// Waits until `pid` has ended, at most `limit`; whether it has. Event driven (a pidfd becomes readable when
/// the process ends, even before it is reaped), so it takes no longer than the process does.
#[must_use]
pub fn wait_gone(pid: u32, limit: Duration) -> bool {
    let deadline = Instant::now() + limit;
    let Some(id) = i32::try_from(pid).ok().and_then(Pid::from_raw) else {
        return true;
    };
    let Ok(handle) = pidfd_open(id, PidfdFlags::empty()) else {
        return !alive(pid);
    };
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let mut watched = [PollFd::from_borrowed_fd(handle.as_fd(), PollFlags::IN)];
        match poll(&mut watched, Timespec::try_from(left).ok().as_ref()) {
            Ok(0) => return !alive(pid),
            Ok(_) => return true,
            Err(_) if left.is_zero() => return !alive(pid),
            // Interrupted by a signal: look again.
            Err(_) => {}
        }
    }
}

/// Waits until no process has `cookie` in its environment, at most `limit`; the ids that remain.
#[must_use]
pub fn wait_env_gone(cookie: &str, limit: Duration) -> Vec<u32> {
    let deadline = Instant::now() + limit;
    loop {
        let left = pids_with_env(cookie);
        let Some(first) = left.first() else {
            return left;
        };
        if !wait_gone(*first, deadline.saturating_duration_since(Instant::now())) {
            return pids_with_env(cookie);
        }
    }
}

/// Sends SIGKILL; with `sudo -n` when the process belongs to somebody else. A process that is gone is fine.
pub fn kill(pid: u32) {
    send(pid, Signal::KILL);
}

/// Sends SIGTERM as [`kill`] does SIGKILL.
pub fn terminate(pid: u32) {
    send(pid, Signal::TERM);
}

/// Holds a process (SIGSTOP) until [`resume`].
pub fn pause(pid: u32) {
    send(pid, Signal::STOP);
}

/// Lets a process go on (SIGCONT).
pub fn resume(pid: u32) {
    send(pid, Signal::CONT);
}

/// Sends a signal as [`kill`] does.
pub(crate) fn send(pid: u32, signal: Signal) {
    let Some(id) = i32::try_from(pid).ok().and_then(Pid::from_raw) else {
        return;
    };
    if kill_process(id, signal) == Err(rustix::io::Errno::PERM) {
        let _ = std::process::Command::new("sudo")
            .args(["-n", "kill", &format!("-{}", signal.as_raw()), &pid.to_string()])
            .stderr(std::process::Stdio::null())
            .status();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::{Command, Stdio};

    #[test]
    fn a_name_with_parentheses_is_read_whole() {
        let process = parse_stat("42 (a) b (c) S 7 42 41 0 -1").unwrap();
        assert_eq!(process.name, "a) b (c");
        assert_eq!((process.pid, process.parent, process.group, process.session), (42, 7, 42, 41));
    }

    #[test]
    fn a_zombie_is_not_alive() {
        let mut child =
            Command::new("sleep").arg("1000").env("COOKIE_A", "17-zombie").spawn().unwrap();
        let pid = child.id();
        assert!(alive(pid));
        assert!(!wait_gone(pid, Duration::from_millis(20)));
        kill(pid);
        assert!(wait_gone(pid, Duration::from_secs(5)));
        assert_eq!(inspect(pid).unwrap().state, 'Z');
        assert!(!alive(pid));
        child.wait().unwrap();
        assert!(inspect(pid).is_none());
    }

    #[test]
    fn processes_are_found_by_a_cookie() {
        let cookie = format!("SSHEPHERD_COOKIE=cookie-{}", std::process::id());
        let (name, value) = cookie.split_once('=').unwrap();
        // `read` on an open pipe: it has started once it answers on stdout.
        let mut child = Command::new("sh")
            .args(["-c", "echo up; read x"])
            .env(name, value)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        std::io::BufRead::read_line(
            &mut std::io::BufReader::new(child.stdout.take().unwrap()),
            &mut line,
        )
        .unwrap();
        assert_eq!(pids_with_env(&cookie), [child.id()]);
        assert_eq!(tree(std::process::id()).iter().filter(|p| p.pid == child.id()).count(), 1);
        drop(child.stdin.take());
        child.wait().unwrap();
        assert!(wait_env_gone(&cookie, Duration::from_secs(5)).is_empty());
    }
}
