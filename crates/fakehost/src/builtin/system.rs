//! Commands that tell about the machine.

use super::Answer;
use crate::machine::Machine;

/// Program, user and memory of the processes that `ps` shows besides the services.
const SERVICES: [(&str, &str, u64); 6] = [
    ("systemd", "root", 11_264),
    ("sshd", "root", 7_680),
    ("cron", "root", 2_816),
    ("nginx", "www-data", 9_472),
    ("postgres", "postgres", 28_416),
    ("node_exporter", "nobody", 19_200),
];

/// The answer of a command that is over at once; `None` for a program of another room.
pub(super) fn answer(machine: &Machine, program: &str, arguments: &[&str]) -> Option<Answer> {
    Some(match (program, arguments) {
        ("true" | ":", _) => Answer::status(0),
        ("false", _) => Answer::status(1),
        ("cd", _) => Answer::status(0),
        ("pwd", _) => Answer::out(format!("/home/{}\n", machine.user)),
        ("echo", words) => echo(words),
        ("uptime", _) => uptime(machine),
        ("hostname", _) => Answer::out(format!("{}\n", machine.name)),
        ("whoami", _) | ("id", ["-un"]) => Answer::out(format!("{}\n", machine.user)),
        ("id", []) => {
            Answer::out(format!("uid=1000({0}) gid=1000({0}) groups=1000({0})\n", machine.user))
        }
        ("uname", []) => Answer::out("Linux\n"),
        ("uname", ["-a"]) => Answer::out(format!(
            "Linux {} 6.1.0-18-amd64 #1 SMP PREEMPT_DYNAMIC Debian 6.1.76-1 x86_64 GNU/Linux\n",
            machine.name
        )),
        ("uname", ["-r"]) => Answer::out("6.1.0-18-amd64\n"),
        ("df", _) => disks(machine),
        ("free", _) => memory(machine),
        ("ps", _) => processes(machine),
        ("systemctl", ["status", unit, ..]) => service(machine, unit),
        ("systemctl", ["is-active", unit, ..]) => {
            let (active, status) = if unit_runs(unit) { ("active", 0) } else { ("inactive", 3) };
            Answer { out: format!("{active}\n"), status, ..Answer::default() }
        }
        _ => return None,
    })
}

fn echo(words: &[&str]) -> Answer {
    match words.split_first() {
        Some((&"-n", rest)) => Answer::out(rest.join(" ")),
        _ => Answer::out(format!("{}\n", words.join(" "))),
    }
}

/// Load average of the host for one of the three spans, in hundredths.
fn load(machine: &Machine, span: u64) -> String {
    let hundredths = machine.number(span, 180);
    format!("{}.{:02}", hundredths / 100, hundredths % 100)
}

fn uptime(machine: &Machine) -> Answer {
    let minutes = machine.number(4, 1440) + machine.seconds() / 60;
    Answer::out(format!(
        " {:02}:{:02}:{:02} up {} days, {:2}:{:02},  1 user,  load average: {}, {}, {}\n",
        minutes / 60 % 24,
        minutes % 60,
        machine.seconds() % 60,
        machine.number(5, 400) + 1,
        machine.number(6, 24),
        machine.number(7, 60),
        load(machine, 1),
        load(machine, 2),
        load(machine, 3),
    ))
}

fn disks(machine: &Machine) -> Answer {
    let root = machine.number(8, 70) + 20;
    let data = machine.number(9, 60) + 30;
    Answer::out(format!(
        "Filesystem      Size  Used Avail Use% Mounted on\n\
         /dev/sda1        40G  {:>3}G  {:>3}G  {root}% /\n\
         tmpfs           2.0G     0  2.0G   0% /dev/shm\n\
         /dev/sdb1       100G  {data:>3}G  {:>3}G  {data}% /srv\n",
        40 * root / 100,
        40 - 40 * root / 100,
        100 - data,
    ))
}

fn memory(machine: &Machine) -> Answer {
    let used = machine.number(10, 2600) + 400;
    let cache = machine.number(11, 700) + 100;
    Answer::out(format!(
        "               total        used        free      shared  buff/cache   available\n\
         Mem:            3921 {used:>11} {:>11}          12 {cache:>11} {:>11}\n\
         Swap:           1023           0        1023\n",
        3921_u64.saturating_sub(used + cache),
        3921 - used,
    ))
}

fn processes(machine: &Machine) -> Answer {
    let mut text = "USER         PID %CPU %MEM    RSS STAT COMMAND\n".to_owned();
    for (index, (program, user, kilobytes)) in (1_u64..).zip(SERVICES) {
        let pid = if index == 1 { 1 } else { 400 + 37 * index + machine.number(index, 30) };
        text += &format!(
            "{user:<8} {pid:>7}  0.{} {:>4} {kilobytes:>6} Ss   {program}\n",
            machine.number(20 + index, 10),
            "0.2"
        );
    }
    for pid in machine.processes.running() {
        text += &format!("{:<8} {pid:>7}  0.0  0.1   2304 S    sh -c …\n", machine.user);
    }
    Answer::out(text)
}

fn unit_runs(unit: &str) -> bool {
    let name = unit.strip_suffix(".service").unwrap_or(unit);
    let name = if name == "ssh" { "sshd" } else { name };
    SERVICES.iter().any(|(program, ..)| *program == name)
}

/// Statuses as systemctl gives them: 0 running, 4 no such unit.
fn service(machine: &Machine, unit: &str) -> Answer {
    let name = unit.strip_suffix(".service").unwrap_or(unit);
    if !unit_runs(name) {
        return Answer::err(format!("Unit {name}.service could not be found.\n"), 4);
    }
    Answer::out(format!(
        "● {name}.service - {name} on {}\n     \
         Loaded: loaded (/lib/systemd/system/{name}.service; enabled; preset: enabled)\n     \
         Active: active (running); {} days ago\n   \
         Main PID: {} ({name})\n      \
         Tasks: {} (limit: 4644)\n     \
         Memory: {}.0M\n",
        machine.name,
        machine.number(12, 60) + 1,
        machine.number(13, 3000) + 400,
        machine.number(14, 8) + 1,
        machine.number(15, 60) + 5,
    ))
}
