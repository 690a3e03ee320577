//! Secrets that a program prints: a helper such as `pass` or `op`, by argv from the owner's own settings and never through a shell.

use std::collections::BTreeMap;
use std::io;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use sshepherd_model::Secret;
use zeroize::Zeroizing;

use crate::document::Section;
use crate::files;
use crate::keyring::Entry;

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

/// Why a program gave no secret; never what it printed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
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
    #[error("printed more than {MOST} bytes")]
    TooMuch,
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
    let error = |key: &str, message: &str| {
        entry.document.error(Some(entry.line_of(key)), &entry.path(key), message);
    };
    if entry.has_value("keyring") {
        let keyring = Entry::read(entry, name).map(Helper::Keyring);
        if entry.any("command").is_some() {
            error("command", "a secret comes from a command or from the keyring, not from both");
        }
        return keyring;
    }
    let argv: Vec<String> =
        entry.texts("command").unwrap_or_default().into_iter().map(|text| text.text).collect();
    // Asked for so that it is no unknown key.
    let _ = entry.any("keyring");
    let program = argv.first().map_or("", String::as_str);
    if program.is_empty() || (program.contains('/') && !program.starts_with('/')) {
        error(
            "command",
            "must be a list whose first word is a program on PATH or an absolute path",
        );
        return None;
    }
    Some(Helper::Command(argv))
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

/// Runs a program and takes what it prints, without its last newline.
pub(crate) fn ask(argv: &[String]) -> Result<Secret, Failure> {
    within(argv, PATIENCE)
}

fn within(argv: &[String], patience: Duration) -> Result<Secret, Failure> {
    let Some((program, arguments)) = argv.split_first() else { return Err(Failure::Nothing) };
    let child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map_err(Failure::NotRun)?;
    let printed = printed(child, patience)?;
    let text = std::str::from_utf8(&printed).map_err(|_| Failure::NoText)?;
    let text = files::without_newline(text);
    if text.is_empty() {
        return Err(Failure::Nothing);
    }
    Ok(Secret::new(text.to_owned()))
}

fn printed(child: Child, patience: Duration) -> Result<Zeroizing<Vec<u8>>, Failure> {
    let id = rustix::process::Pid::from_child(&child);
    let (sender, receiver) = mpsc::channel();
    // Neither a read nor a wait can be given up: a thread does both, and ends when the helper does.
    std::thread::Builder::new()
        .name("sshepherd-helper".to_owned())
        .spawn(move || {
            let _ = sender.send(outcome(child));
        })
        .map_err(Failure::Unread)?;
    receiver.recv_timeout(patience).unwrap_or_else(|_| {
        let _ = rustix::process::kill_process(id, rustix::process::Signal::KILL);
        Err(Failure::Slow(patience.as_secs()))
    })
}

fn outcome(mut child: Child) -> Result<Zeroizing<Vec<u8>>, Failure> {
    let read = match child.stdout.take() {
        Some(output) => files::unmoved(output, MOST + 1).map_err(Failure::Unread),
        None => Ok(Zeroizing::default()),
    };
    let read =
        read.and_then(|bytes| if bytes.len() <= MOST { Ok(bytes) } else { Err(Failure::TooMuch) });
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
        let said = within(&argv, Duration::from_millis(200));
        assert!(matches!(said, Err(Failure::Slow(0))), "{said:?}");
    }
}
