//! The few files of a fake host, and the commands that show them.

use super::Answer;
use super::filter::count_option;
use crate::machine::Machine;

/// Lines that each log has.
const LOG_LINES: u64 = 200;

/// What logs say, again and again with other numbers.
const EVENTS: [&str; 5] = [
    "nginx: GET /health 200",
    "sshd: Accepted publickey for demo from 192.0.2.10",
    "cron: (root) CMD (run-parts /etc/cron.hourly)",
    "postgres: checkpoint complete: wrote 41 buffers",
    "kernel: eth0: link becomes ready",
];

/// The answer of a command about files; `None` for a program or a form of another room.
pub(super) fn answer(machine: &Machine, program: &str, arguments: &[&str]) -> Option<Answer> {
    match (program, arguments) {
        ("cat", [_, ..]) => Some(show(machine, "cat", arguments, |text| text)),
        ("head" | "tail", _) => {
            let (count, files) = count_option(arguments);
            if files.is_empty() {
                return None;
            }
            let tail = program == "tail";
            Some(show(machine, program, &files, |text| {
                if tail { last(&text, count) } else { first(&text, count) }
            }))
        }
        ("journalctl", _) => {
            let unit = arguments.iter().skip_while(|word| **word != "-u").nth(1);
            let numbers: Vec<&str> = arguments
                .iter()
                .scan(false, |after, word| {
                    let take = std::mem::replace(after, *word == "-n") || *word == "-n";
                    Some(take.then_some(*word))
                })
                .flatten()
                .collect();
            Some(Answer::out(last(&log(machine, unit.copied()), count_option(&numbers).0)))
        }
        ("ls", _) => Some(Answer::out("backups\nnotes.txt\nreports\n")),
        _ => None,
    }
}

fn show(
    machine: &Machine,
    program: &str,
    files: &[&str],
    part: impl Fn(String) -> String,
) -> Answer {
    let mut answer = Answer::default();
    for file in files {
        match content(machine, file) {
            Some(text) => answer.out += &part(text),
            None => {
                answer.err += &format!("{program}: {file}: No such file or directory\n");
                answer.status = 1;
            }
        }
    }
    answer
}

/// The text of a file that exists here.
pub(super) fn content(machine: &Machine, path: &str) -> Option<String> {
    match path {
        "/etc/os-release" => Some(
            "PRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\nNAME=\"Debian GNU/Linux\"\nVERSION_ID=\"12\"\nID=debian\n"
                .to_owned(),
        ),
        "/etc/hostname" => Some(format!("{}\n", machine.name)),
        "/dev/null" => Some(String::new()),
        _ => path
            .strip_prefix("/var/log/")
            .filter(|name| !name.is_empty() && !name.contains(".."))
            .map(|name| log(machine, (name != "syslog" && name != "messages").then_some(name))),
    }
}

/// The log of the whole machine, or of one unit.
fn log(machine: &Machine, unit: Option<&str>) -> String {
    let wanted = unit.map(|unit| unit.split(['.', '/']).next().unwrap_or(unit));
    (0..LOG_LINES)
        .map(|line| {
            let event = EVENTS
                .iter()
                .find(|event| wanted.is_some_and(|unit| event.starts_with(unit)))
                .or_else(|| {
                    EVENTS.get(usize::try_from(machine.number(100 + line, 5)).unwrap_or_default())
                })
                .copied()
                .unwrap_or_default();
            format!(
                "2026-01-15T{:02}:{:02}:{:02} {} {event} ({} ms)\n",
                line / 60 % 24,
                line % 60,
                machine.number(line, 60),
                machine.name,
                machine.number(300 + line, 90) + 1
            )
        })
        .collect()
}

/// The first lines, whole.
pub(super) fn first(text: &str, count: usize) -> String {
    text.split_inclusive('\n').take(count).collect()
}

/// The last lines, whole.
pub(super) fn last(text: &str, count: usize) -> String {
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    lines.iter().skip(lines.len().saturating_sub(count)).copied().collect()
}
