//! The fixed script that ends commands: their process groups and sessions, all that descends from them, and everything that
//! carries their cookies.
//!
//! It runs as the same user on a channel of its own, because sshd refuses signal requests on root log-ins, and because a
//! signal does not reach a child in its own session. It says that a command is gone only when a look at all processes,
//! after the last one that was known had gone, found nothing that could be its own; zombies do not count, for they run no more.
//! What has shed its environment and its parent before anybody looked belongs to no command for sure: it is not killed, and
//! said to be left.
//!
//! Why the group's number is the command's: the kernel gives no number to a new process while a group or a session still
//! carries it, so as long as anything of the command's group lives the number is its own. A number that was freed comes
//! back after all others were used (Linux counts up, 32,768 at least); and a leader that began later than the command is none.

use std::time::Duration;

use sshepherd_model::{LoginShell, Stopped, Survivors};

use crate::job::{HERE, WHERE};
use crate::words::{bare, command as script};

/// POSIX sh and awk, reviewed; only its arguments vary. Linux is read through /proc alone, since small images have no `ps`;
/// other systems through `ps`, which knows neither environments nor sessions.
pub(crate) const SCRIPT: &str = include_str!("stop.sh");

/// Standard output is kept for the verdicts; what tools complain about is dropped.
const OUTPUT: &str = "exec 3>&1 >/dev/null 2>&1";

/// How long a program that was hung up on may take to end before it gets TERM.
const HUNG_UP: Duration = Duration::from_secs(2);

/// Which processes are to end, and how.
#[derive(Debug, Clone)]
pub(crate) struct Order {
    /// The process that leads it.
    pub(crate) pid: Option<u32>,
    /// How long ago it was started, at least.
    pub(crate) age: Option<Duration>,
    pub(crate) cookie: String,
    /// Its job's folder, which knows leader and start better.
    pub(crate) held: Option<Held>,
    /// Whether its leader is hung up on before anything else.
    pub(crate) hang_up: bool,
    /// Time between TERM and KILL.
    pub(crate) grace: Duration,
}

/// Where a job is.
#[derive(Debug, Clone)]
pub(crate) struct Held {
    pub(crate) folder: String,
    /// Of the place that the folder is in, and of the machine: elsewhere nothing is done.
    pub(crate) identity: String,
    pub(crate) machine: String,
    /// The name that its end gets, unless it has one: then nothing is done either.
    pub(crate) mark: &'static str,
}

impl Order {
    /// The longest time between the first signal and the last.
    pub(crate) fn longest(&self) -> Duration {
        self.grace + if self.hang_up { HUNG_UP } else { Duration::ZERO }
    }

    fn arguments(&self, number: usize) -> [String; 10] {
        let or_none = |value: Option<String>| value.unwrap_or_else(|| "-".to_owned());
        let hang_up = if self.hang_up { tenths(HUNG_UP) } else { 0 };
        [
            number.to_string(),
            or_none(self.pid.map(|pid| pid.to_string())),
            or_none(self.age.map(|age| format!("-{}", age.as_secs()))),
            self.cookie.clone(),
            hang_up.to_string(),
            tenths(self.grace).max(1).to_string(),
            or_none(self.held.as_ref().map(|held| held.folder.clone())),
            or_none(self.held.as_ref().map(|held| held.identity.clone())),
            or_none(self.held.as_ref().map(|held| held.machine.clone())),
            or_none(self.held.as_ref().map(|held| held.mark.to_owned())),
        ]
    }
}

fn tenths(time: Duration) -> u128 {
    time.as_millis() / 100
}

/// The text that carries out these orders, whatever POSIX shell, fish or csh reads it. A forced command has it in its
/// environment, where it must not pass for a cookie: a cookie's name and value do not stand together.
pub(crate) fn text(orders: &[Order]) -> String {
    let arguments: Vec<String> =
        orders.iter().enumerate().flat_map(|(number, order)| order.arguments(number)).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    script(&bare(&[OUTPUT, WHERE, HERE, SCRIPT]), &arguments)
}

/// The text to run on a host with this shell; `None` where there is no shell to run it.
#[must_use]
pub fn command(
    shell: LoginShell,
    pid: Option<u32>,
    cookie: &str,
    grace: Duration,
) -> Option<String> {
    let cookie = cookie.to_owned();
    let order = Order { pid, age: None, cookie, held: None, hang_up: false, grace };
    (shell != LoginShell::RawWords).then(|| text(&[order]))
}

/// A line of the script.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Word {
    /// It runs.
    Begun,
    /// It has looked at all processes, and signals follow.
    Looked,
    /// What came of an order.
    Verdict(usize, Stopped),
}

/// What a line says. Anything but the script's exact words is not from it.
pub(crate) fn word(line: &[u8]) -> Option<Word> {
    let line = std::str::from_utf8(line).ok()?.strip_prefix("sshepherd-stop ")?;
    let (first, rest) = line.split_once(' ').unwrap_or((line, ""));
    match (first, rest) {
        ("begun", "") => return Some(Word::Begun),
        ("looked", "") => return Some(Word::Looked),
        _ => {}
    }
    let number = first.parse().ok()?;
    let stopped = match rest.split_once(' ').unwrap_or((rest, "")) {
        ("gone", "") => Stopped::Confirmed,
        ("unseen", "") => Stopped::Unconfirmed,
        ("left", ids) => {
            let ids: Result<Vec<u32>, _> = ids.split(' ').map(str::parse).collect();
            Stopped::Left(Survivors::from(ids.ok()?))
        }
        _ => return None,
    };
    Some(Word::Verdict(number, stopped))
}

/// What became of the only order, by all that the script said.
#[must_use]
pub fn parse(said: &[u8]) -> Stopped {
    let verdict = said.split(|byte| *byte == b'\n').find_map(|line| match word(line) {
        Some(Word::Verdict(0, stopped)) => Some(stopped),
        _ => None,
    });
    verdict.unwrap_or(Stopped::Unconfirmed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_exact_words_are_heard() {
        assert_eq!(
            parse(b"motd\nsshepherd-stop begun\nsshepherd-stop 0 gone\n"),
            Stopped::Confirmed
        );
        for said in [
            "",
            "sshepherd-stop gone\n",
            "sshepherd-stop 1 gone\n",
            "xsshepherd-stop 0 gone\n",
            "sshepherd-stop 0 gone 1\n",
            "sshepherd-stop 0 unseen\n",
            "sshepherd-stop 0 left\n",
            "sshepherd-stop 0 left x\n",
        ] {
            assert_eq!(parse(said.as_bytes()), Stopped::Unconfirmed, "{said:?}");
        }
        let left = Stopped::Left(Survivors::from(vec![12, 345]));
        assert_eq!(parse(b"sshepherd-stop 0 left 12 345\n"), left);
    }

    /// Each look at all processes is one call of `grep` on their environments, which a program in its place counts.
    #[test]
    fn forty_stops_at_once_take_two_looks() {
        use std::os::unix::fs::PermissionsExt;
        use std::process::{Command, Stdio};
        let folder = tempfile::tempdir().unwrap();
        let (grep, looks) = (folder.path().join("grep"), folder.path().join("looks"));
        let text = format!(
            "#!/bin/sh\ncase $* in *SSHEPHERD_TASK*) echo look >>{};; esac\nPATH=${{PATH#*:}} exec grep \"$@\"\n",
            looks.display()
        );
        std::fs::write(&grep, text).unwrap();
        std::fs::set_permissions(&grep, std::fs::Permissions::from_mode(0o755)).unwrap();
        let mut commands: Vec<_> = (0..40)
            .map(|_| Command::new("setsid").args(["sleep", "31337"]).spawn().unwrap())
            .collect();
        let orders: Vec<Order> = commands
            .iter()
            .map(|child| Order {
                pid: Some(child.id()),
                age: None,
                cookie: format!("forty:{}", child.id()),
                held: None,
                hang_up: false,
                grace: Duration::from_secs(5),
            })
            .collect();
        // `setsid` becomes the command, whose number is then its group's.
        for child in &commands {
            while sshepherd_testkit::processes::inspect(child.id())
                .is_some_and(|process| process.session != child.id())
            {
                std::thread::yield_now();
            }
        }
        let path = format!("{}:{}", folder.path().display(), std::env::var("PATH").unwrap());
        let stopping = Command::new("sh")
            .args(["-c", &super::text(&orders)])
            .env("PATH", path)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        for child in &mut commands {
            child.wait().unwrap();
        }
        let said = stopping.wait_with_output().unwrap().stdout;
        let gone = said
            .split(|byte| *byte == b'\n')
            .filter(|line| matches!(word(line), Some(Word::Verdict(_, Stopped::Confirmed))))
            .count();
        let looks = std::fs::read_to_string(looks).unwrap().lines().count();
        assert_eq!((gone, looks), (40, 2), "{}", String::from_utf8_lossy(&said));
    }
}
