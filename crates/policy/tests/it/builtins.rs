//! What is let through of a shell's builtins leaves the shell as it was: its variables are the same before and after, and
//! nothing else ran. Every combination of awkward words is tried that the recogniser takes, in every shell.

use std::collections::BTreeSet;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use sshepherd_policy::recognise;

use crate::shells::Shells;

/// Commands of one process; where one changes something, it is searched for.
const BATCH: usize = 200;

/// Names of variables that change by themselves.
const VOLATILE: &[&str] = &[
    "_",
    "SECONDS",
    "RANDOM",
    "SRANDOM",
    "EPOCHREALTIME",
    "EPOCHSECONDS",
    "LINENO",
    "PIPESTATUS",
    "pipestatus",
    "PPID",
    "PGRP",
    "BASHPID",
    "BASH_ARGC",
    "BASH_ARGV",
    "BASH_EXECUTION_STRING",
    "ZSH_EXECUTION_STRING",
    "TTYIDLE",
    "status",
    "?",
    "$",
    "!",
    "#",
    "0",
    "_AST_FEATURES",
    "OLDPWD",
    "PATH",
    "USERNAME",
];

/// The last line, which a shell that gave up at an error does not reach.
const END: &str = "sshepherd_reached_the_end";

struct Shell<'a> {
    shells: &'a Shells,
    words: &'a [PathBuf],
}

impl Shell<'_> {
    /// The variables after some commands; `None` where the shell gave up before.
    fn after(&self, commands: &[String]) -> Option<BTreeSet<String>> {
        let record = tempfile::tempdir_in(self.shells.folder()).unwrap();
        let quiet =
            commands.iter().map(|command| format!("{command} >/dev/null 2>&1 </dev/null\n"));
        let text: String =
            quiet.chain([format!("echo \"PATH is $PATH\"\nset\necho {END}\n")]).collect();
        let output = Command::new(&self.words[0])
            .args(&self.words[1..])
            .args(["-c", &text])
            .env_clear()
            .env("PATH", self.shells.folder().join("bin"))
            .env("RECORD", record.path())
            .current_dir(self.shells.folder())
            .stdin(Stdio::null())
            // zsh's `kill x --` ends the group it is in.
            .process_group(0)
            .output()
            .unwrap();
        let ran = std::fs::read_dir(record.path()).unwrap().count();
        assert_eq!(ran, 0, "something ran, of {commands:?}");
        let folder = record.path().to_str().unwrap();
        let text = String::from_utf8_lossy(&output.stdout).replace(folder, "RECORD");
        let mut lines: BTreeSet<String> = text.lines().map(str::to_owned).collect();
        lines.retain(|line| {
            let name = line.split(['=', '[']).next().unwrap_or_default().trim_matches('\'');
            !VOLATILE.contains(&name)
        });
        lines.remove(END).then_some(lines)
    }

    /// The commands after which the variables are others.
    fn changing(&self, commands: &[String], before: &BTreeSet<String>) -> Vec<String> {
        let after = self.after(commands);
        match (after, commands) {
            (Some(after), _) if after == *before => Vec::new(),
            (None, [_]) | (_, []) => Vec::new(),
            (Some(after), [command]) => {
                let new: Vec<&String> = after.difference(before).collect();
                vec![format!("{command}: {new:?}")]
            }
            _ => {
                let (first, second) = commands.split_at(commands.len() / 2);
                let mut found = self.changing(first, before);
                found.extend(self.changing(second, before));
                found
            }
        }
    }
}

/// What could assign, or run `b`, if somebody evaluated it.
const WORDS: &[&str] = &[
    "XX=7",
    "XX[1]=7",
    "x[$(b)]",
    "IFS",
    "PATH=9",
    "-v",
    "-n",
    "-l",
    "-L",
    "-s",
    "-a",
    "-q",
    "-x",
    "-m",
    "-p",
    "-e",
    "-o",
    "-t",
    "-R",
    "-N",
    "-H",
    "-z",
    "--",
    "!",
    "(",
    ")",
    "=",
    "==",
    "=~",
    "<",
    "-eq",
    "-lt",
    "-ot",
    "-pcre-match",
    "~",
    "%1",
    "-XX=7",
    "&&",
];

fn quoted(words: &[&str]) -> String {
    words.iter().map(|word| format!("'{word}'")).collect::<Vec<_>>().join(" ")
}

/// Commands with up to two of the words, and tests with three around an operator.
fn builtins() -> Vec<String> {
    let mut commands = Vec::new();
    for program in ["echo", "false", "kill", "pwd", "test", "true", "which"] {
        commands.push(quoted(&[program]));
        for first in WORDS {
            commands.push(quoted(&[program, first]));
            commands.extend(WORDS.iter().map(|second| quoted(&[program, first, second])));
        }
    }
    // ksh93's own would wait for a signal with `-s`.
    commands.extend(["XX=7", "x[$(b)]", "-v"].map(|word| quoted(&["sleep", word])));
    for operator in WORDS.iter().filter(|word| word.starts_with(['-', '=', '<', '&'])) {
        for first in ["XX=7", "x[$(b)]", "IFS", "XX", "!"] {
            for second in ["XX=7", "XX", "3", "x[$(b)]"] {
                commands.push(quoted(&["test", first, operator, second]));
            }
        }
    }
    commands
}

fn formats() -> Vec<String> {
    let mut commands = Vec::new();
    for before in ["", "h", "ll", "L", "j", "*", ".*", "1$", "-5.3", "#0", "'", "..36", "="] {
        for kind in "diouxXeEfFgGaAcsbqnTBHPRZQCSp%(vy".chars() {
            for format in [format!("%{before}{kind}"), format!("%s%{before}{kind}")] {
                let format = format.replace('\'', "'\"'\"'");
                commands.push(format!("'printf' '{format}'"));
                commands.extend(
                    ["XX=7", "IFS", "-1", "12", "0x1f", "1.5", "x[1]"]
                        .map(|value| format!("'printf' '{format}' '{value}' '{value}'")),
                );
            }
        }
    }
    for escape in [
        "\\045",
        "\\0045",
        "\\x25",
        "\\u0025",
        "\\U00000025",
        "\\x{25}",
        "\\\\045",
        "\\C-e",
        "\\M-e",
        "\\e",
    ] {
        for kind in ["d", "n", "i", "s"] {
            commands.push(format!("'printf' '{escape}{kind}' 'XX=7'"));
        }
    }
    commands
}

#[test]
fn what_is_let_through_of_builtins_changes_nothing_in_any_shell() {
    let shells = Shells::open();
    let all: Vec<String> = builtins().into_iter().chain(formats()).collect();
    let (taken, refused): (Vec<String>, Vec<String>) =
        all.into_iter().partition(|command| recognise(command).is_ok());
    assert!(taken.len() > 8000 && refused.len() > 4000, "{} {}", taken.len(), refused.len());
    for (name, words) in shells.all() {
        let shell = Shell { shells: &shells, words };
        let before = shell.after(&["'true'".to_owned()]).unwrap();
        let found: Vec<String> =
            taken.chunks(BATCH).flat_map(|batch| shell.changing(batch, &before)).collect();
        assert!(found.is_empty(), "{name}: {found:#?}");
    }
    println!("{} commands taken, {} refused", taken.len(), refused.len());
}

/// The search finds what does change something, or it would find nothing at all.
#[test]
fn a_builtin_that_assigns_is_found() {
    let shells = Shells::open();
    for (name, words) in
        shells.all().iter().filter(|(name, _)| ["bash", "zsh", "ksh93"].contains(name))
    {
        let shell = Shell { shells: &shells, words };
        let before = shell.after(&["'true'".to_owned()]).unwrap();
        let commands = ["'true'", "'printf' '%n' 'XX'", "'echo' 'x'"].map(str::to_owned);
        assert_eq!(shell.changing(&commands, &before).len(), 1, "{name}");
    }
}
