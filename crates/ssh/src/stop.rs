//! The fixed script that ends a command: its process group and everything that carries its cookie.
//!
//! It runs as the same user on a second channel, because sshd refuses signal requests on root log-ins, and because a
//! signal does not reach a child in its own session. It says that all is gone only after it has seen nothing left twice;
//! zombies do not count, for they run no more.
//!
//! Why the group's number is the command's: the kernel gives no number to a new process while a group or a session still
//! carries it, so as long as anything of the command's group lives the number is its own. A number that was freed comes
//! back after all others were used (Linux counts up, 32,768 at least); a script is sent on a live connection whose
//! command is being read, so that takes that many new processes within a round trip.

use std::time::Duration;

use sshepherd_model::{LoginShell, Stopped};

use crate::launch::COOKIE_VARIABLE;
use crate::words::{Packed, quoted};

const GONE: &[u8] = b"sshepherd-stop gone";
const BEGUN: &[u8] = b"sshepherd-stop begun";

/// POSIX sh, reviewed; only the three assignments before it vary. `P` is the process group (empty if unknown), `C` the
/// cookie's assignment, `N` the tenths of a second between TERM and KILL, by the host's clock where it has one: on a busy host a
/// look takes longer than the pause. It counts whole seconds, so one less is taken: a second that has begun has not passed. Linux is read through /proc alone, since small
/// images have no `ps`; other systems through `ps`, which knows groups but no environments.
pub(crate) const SCRIPT: &str = r#"
marked() {
  [ -r /proc/self/environ ] && grep -l -s -a -F -e "$C" /proc/[0-9]*/environ | tr -cd '0-9\n'
}
seen() {
  if [ -r /proc/self/stat ]; then
    for f in /proc/[0-9]*/stat; do
      read -r line < "$f" || continue
      p=${line%% *}
      set -- ${line##*) }
      echo "$p $3 $1"
    done
  else
    ps -A -o pid= -o pgid= -o stat=
  fi
}
look() {
  M=" $(marked | tr '\n' ' ') "
  L=$(seen | while read -r p g s; do
    case "$s" in Z*|X*) continue;; esac
    if [ "$g" = "$P" ]; then echo "$p"; else case "$M" in *" $p "*) echo "$p";; esac; fi
  done)
}
gone() {
  look
  [ -z "$L" ] || return 1
  look
  [ -z "$L" ]
}
echo 'sshepherd-stop begun' >&3
now() { X=$(date +%s); case "$X" in ''|*[!0-9]*) X=0;; esac; }
wait_gone() {
  now
  i=0 T=$X
  while [ "$i" -lt "$1" ]; do
    if gone; then echo 'sshepherd-stop gone' >&3; exit 0; fi
    [ -z "$2" ] || for p in $L; do kill "-$2" "$p"; done
    if sleep 0.1; then i=$((i + 1)); else sleep 1; i=$((i + 10)); fi
    now
    X=$(((X - T - 1) * 10))
    [ "$X" -le "$i" ] || i=$X
  done
}
look
for p in $L; do kill -TERM "$p"; kill -CONT "$p"; done
wait_gone "$N" ''
wait_gone 20 KILL
look
set -- $L
echo "sshepherd-stop alive $#" >&3
"#;

/// The text to run on a host with this shell; `None` where there is no shell to run it.
#[must_use]
pub fn command(
    shell: LoginShell,
    pid: Option<u32>,
    cookie: &str,
    grace: Duration,
) -> Option<String> {
    match shell {
        LoginShell::RawWords => None,
        LoginShell::Posix | LoginShell::Fish | LoginShell::Csh => {
            let group = pid.map(|pid| pid.to_string()).unwrap_or_default();
            let tenths = (grace.as_millis() / 100).max(1);
            // Standard output is kept for the verdict; what tools complain about is dropped.
            let start = format!("exec 3>&1 >/dev/null 2>&1\nP='{group}' N={tenths} C=");
            // A forced command has the text in its environment, where it must not pass for the cookie.
            let cookie = quoted(&format!("{COOKIE_VARIABLE}={cookie}"));
            Some(Packed::default().ours(&start).theirs(&cookie).ours(SCRIPT).in_sh())
        }
    }
}

/// Whether the script runs.
#[must_use]
pub fn has_begun(said: &[u8]) -> bool {
    said.split(|byte| *byte == b'\n').any(|line| line == BEGUN)
}

/// What the script said. Anything but its exact word is no confirmation.
#[must_use]
pub fn parse(said: &[u8]) -> Stopped {
    if said.split(|byte| *byte == b'\n').any(|line| line == GONE) {
        Stopped::Confirmed
    } else {
        Stopped::Unconfirmed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_exact_word_confirms() {
        assert_eq!(parse(b"motd\nsshepherd-stop gone\n"), Stopped::Confirmed);
        for said in ["", "sshepherd-stop alive 1\n", "xsshepherd-stop gone\n", "gone"] {
            assert_eq!(parse(said.as_bytes()), Stopped::Unconfirmed, "{said:?}");
        }
    }

    /// The host's clock, which counts whole seconds, goes on by one right after the first look.
    #[test]
    fn the_whole_grace_is_given_when_a_second_has_just_begun() {
        use std::io::{BufRead, BufReader};
        use std::os::unix::fs::PermissionsExt;
        use std::os::unix::process::CommandExt;
        use std::process::{Command, Stdio};
        let folder = tempfile::tempdir().unwrap();
        let (date, seen) = (folder.path().join("date"), folder.path().join("seen"));
        let text = format!(
            "#!/bin/sh\n[ -e {0} ] && echo 101 && exit\n: >{0}\necho 100\n",
            seen.display()
        );
        std::fs::write(&date, text).unwrap();
        std::fs::set_permissions(&date, std::fs::Permissions::from_mode(0o755)).unwrap();
        let ended = folder.path().join("ended");
        let body = format!(
            "trap 'sleep 0.5; : >{}; exit' TERM; echo ready; while :; do sleep 0.05; done",
            ended.display()
        );
        let mut child = Command::new("sh")
            .args(["-c", &body])
            .env(COOKIE_VARIABLE, "clock")
            .stdout(Stdio::piped())
            .process_group(0)
            .spawn()
            .unwrap();
        let mut ready = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut ready).unwrap();
        let pid = child.id();
        let reaped = std::thread::spawn(move || child.wait());
        let script = format!(
            "exec 3>&1 >/dev/null 2>&1\nP='{pid}' N=10 C='{COOKIE_VARIABLE}=clock'{SCRIPT}"
        );
        let path = format!("{}:{}", folder.path().display(), std::env::var("PATH").unwrap());
        let said = Command::new("sh").args(["-c", &script]).env("PATH", path).output().unwrap();
        reaped.join().unwrap().unwrap();
        assert_eq!(parse(&said.stdout), Stopped::Confirmed, "{said:?}");
        assert!(ended.exists(), "it was killed within its grace");
    }
}
