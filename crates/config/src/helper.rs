//! What a program prints: secrets of a helper such as `pass` or `op`, hosts of an inventory. By argv from the owner's own files and
//! never through a shell, bounded in size and time.

use std::collections::BTreeMap;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use sshepherd_model::Secret;
use zeroize::Zeroizing;

use crate::document::Section;
use crate::files;
use crate::keyring::Entry;
use crate::program;

/// Longest run of a helper: time to unlock a store by hand.
const PATIENCE: Duration = Duration::from_secs(30);
/// Most bytes that a helper may print; a passphrase has some dozens.
const MOST: usize = 64 << 10;

/// The helpers by the name of their secret.
pub(crate) type Helpers = BTreeMap<String, Helper>;

/// What gives a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Helper {
    /// A program of the owner's choice, as argv.
    Command(Vec<String>),
    /// The system's keyring.
    Keyring(Entry),
}

/// What a run of a program may take.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    /// The longest run.
    pub(crate) patience: Duration,
    /// Most bytes that it may print.
    pub(crate) most: usize,
    /// Whether it leads a process group of its own, all of which ends when it is given up. One that asks at the terminal must not.
    pub(crate) own_group: bool,
}

/// Why a program gave nothing; never what it printed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    #[error("is not run: {0}")]
    Unsafe(String),
    #[error("cannot be run: {0}")]
    NotRun(#[source] io::Error),
    #[error("cannot be read: {0}")]
    Unread(#[source] io::Error),
    #[error("was lost: {0}")]
    Lost(#[source] io::Error),
    #[error("failed: {0}")]
    Ended(ExitStatus),
    #[error("did not end within {0} s")]
    Slow(u64),
    #[error("printed more than {0} bytes")]
    TooMuch(usize),
    #[error("printed no text")]
    NoText,
    #[error("printed nothing")]
    Nothing,
}

/// Reads the section `secrets:` of the settings.
pub(crate) fn read(top: &Section<'_>) -> Helpers {
    let mut helpers = Helpers::new();
    let Some(section) = top.section("secrets") else { return helpers };
    for (name, entry) in section.named_sections() {
        if let Some(helper) = one(&entry, name) {
            helpers.insert(name.to_owned(), helper);
        }
        entry.finish();
    }
    helpers
}

fn one(entry: &Section<'_>, name: &str) -> Option<Helper> {
    if entry.has_value("keyring") {
        let keyring = Entry::read(entry, name).map(Helper::Keyring);
        if entry.any("command").is_some() {
            let message = "a secret comes from a command or from the keyring, not from both";
            entry.document.error(Some(entry.line_of("command")), &entry.path("command"), message);
        }
        return keyring;
    }
    // Asked for so that it is no unknown key.
    let _ = entry.any("keyring");
    argv(entry).map(Helper::Command)
}

/// The words of `command:`; what cannot be run is an error at its place.
pub(crate) fn argv(entry: &Section<'_>) -> Option<Vec<String>> {
    let argv: Vec<String> =
        entry.texts("command").unwrap_or_default().into_iter().map(|text| text.text).collect();
    let program = argv.first().map_or("", String::as_str);
    if program.is_empty() || (program.contains('/') && !program.starts_with('/')) {
        let message = "must be a list whose first word is a program on PATH or an absolute path";
        entry.document.error(Some(entry.line_of("command")), &entry.path("command"), message);
        return None;
    }
    Some(argv)
}

impl Helper {
    /// The secret, or why there is none; never what a program printed.
    pub(crate) fn give(&self) -> Result<Secret, String> {
        match self {
            Self::Keyring(entry) => entry.ask(),
            Self::Command(argv) => ask(argv).map_err(|failure| {
                let program = argv.first().map_or("", String::as_str);
                format!("its helper {program} {failure}")
            }),
        }
    }
}

/// Runs a program and takes the secret that it prints, without its last newline.
pub(crate) fn ask(argv: &[String]) -> Result<Secret, Failure> {
    let printed = run(argv, Bounds { patience: PATIENCE, most: MOST, own_group: false })?;
    let text = std::str::from_utf8(&printed).map_err(|_| Failure::NoText)?;
    let text = files::without_newline(text);
    if text.is_empty() {
        return Err(Failure::Nothing);
    }
    Ok(Secret::new(text.to_owned()))
}

/// Runs a program and takes what it prints. Refused where others may write the program or a file that an argument names.
pub(crate) fn run(argv: &[String], bounds: Bounds) -> Result<Zeroizing<Vec<u8>>, Failure> {
    let found = program::sound(argv).map_err(Failure::Unsafe)?;
    start(found, argv, bounds)
}

/// The same where a person has agreed to the files that the arguments name.
pub(crate) fn run_on_agreed_files(
    argv: &[String],
    bounds: Bounds,
) -> Result<Zeroizing<Vec<u8>>, Failure> {
    let program = argv.get(..1).unwrap_or_default();
    let found = program::sound(program).map_err(Failure::Unsafe)?;
    start(found, argv, bounds)
}

fn start(found: PathBuf, argv: &[String], bounds: Bounds) -> Result<Zeroizing<Vec<u8>>, Failure> {
    let Some((program, arguments)) = argv.split_first() else { return Err(Failure::Nothing) };
    let mut command = Command::new(found);
    command
        .arg0(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    if bounds.own_group {
        command.process_group(0);
    }
    printed(command.spawn().map_err(Failure::NotRun)?, bounds)
}

fn printed(child: Child, bounds: Bounds) -> Result<Zeroizing<Vec<u8>>, Failure> {
    let id = rustix::process::Pid::from_child(&child);
    let (sender, receiver) = mpsc::channel();
    // Neither a read nor a wait can be given up: a thread does both, and ends when the program does.
    std::thread::Builder::new()
        .name("sshepherd-helper".to_owned())
        .spawn(move || {
            let _ = sender.send(outcome(child, bounds.most));
        })
        .map_err(Failure::Unread)?;
    receiver.recv_timeout(bounds.patience).unwrap_or_else(|_| {
        let kill = rustix::process::Signal::KILL;
        let _ = if bounds.own_group {
            rustix::process::kill_process_group(id, kill)
        } else {
            rustix::process::kill_process(id, kill)
        };
        Err(Failure::Slow(bounds.patience.as_secs()))
    })
}

fn outcome(mut child: Child, most: usize) -> Result<Zeroizing<Vec<u8>>, Failure> {
    let read = match child.stdout.take() {
        Some(output) => files::unmoved(output, most + 1).map_err(Failure::Unread),
        None => Ok(Zeroizing::default()),
    };
    let read =
        read.and_then(
            |bytes| {
                if bytes.len() <= most { Ok(bytes) } else { Err(Failure::TooMuch(most)) }
            },
        );
    if read.is_err() {
        let _ = child.kill();
    }
    let status = child.wait();
    let bytes = read?;
    match status {
        Ok(status) if status.success() => Ok(bytes),
        Ok(status) => Err(Failure::Ended(status)),
        Err(error) => Err(Failure::Lost(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_helper_that_closes_its_output_and_stays_is_given_up() {
        let argv = ["/bin/sh", "-c", "echo x; exec >&-; sleep 600"].map(str::to_owned);
        let bounds = Bounds { patience: Duration::from_millis(200), most: MOST, own_group: false };
        let said = run(&argv, bounds);
        assert!(matches!(said, Err(Failure::Slow(0))), "{said:?}");
    }

    /// The pipe that the grandchild holds open is closed only when that is gone as well.
    #[test]
    fn what_a_given_up_program_has_started_ends_with_it() {
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("pipe");
        assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        let script = format!("sleep 600 >{} & wait", pipe.display());
        let argv = ["/bin/sh", "-c", &script].map(str::to_owned);
        let reader = std::thread::spawn(move || std::fs::read(pipe).unwrap());
        let bounds = Bounds { patience: Duration::from_millis(200), most: 10, own_group: true };
        assert!(matches!(run(&argv, bounds), Err(Failure::Slow(0))));
        assert_eq!(reader.join().unwrap(), b"", "its end is the end of the pipe");
    }
}
