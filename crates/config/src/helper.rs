//! Secrets that a helper program prints, such as `pass` or `op`: by argv from the owner's own settings, never through a shell.

use std::collections::BTreeMap;
use std::io::Read;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use sshepherd_model::Secret;
use zeroize::Zeroizing;

use crate::document::Section;

/// Longest run of a helper: time to unlock a store by hand.
const PATIENCE: Duration = Duration::from_secs(30);
/// Most bytes that a helper may print; a passphrase has some dozens.
const MOST: u64 = 64 << 10;

/// The helpers by the name of their secret, each as argv.
pub(crate) type Helpers = BTreeMap<String, Vec<String>>;

/// Reads the section `secrets:` of the settings.
pub(crate) fn read(top: &Section<'_>) -> Helpers {
    let mut helpers = Helpers::new();
    let Some(section) = top.section("secrets") else { return helpers };
    for (name, entry) in section.named_sections() {
        let argv: Vec<String> =
            entry.texts("command").unwrap_or_default().into_iter().map(|text| text.text).collect();
        let program = argv.first().map_or("", String::as_str);
        if program.is_empty() || (program.contains('/') && !program.starts_with('/')) {
            let message =
                "must be a list whose first word is a program on PATH or an absolute path";
            let line = entry.line_of("command");
            entry.document.error(Some(line), &entry.path("command"), message);
        } else {
            helpers.insert(name.to_owned(), argv);
        }
        entry.finish();
    }
    helpers
}

/// Runs a helper and takes what it prints, without its last newline. The error names the program, never what it said.
pub(crate) fn ask(argv: &[String]) -> Result<Secret, String> {
    within(argv, PATIENCE)
}

fn within(argv: &[String], patience: Duration) -> Result<Secret, String> {
    let Some((program, arguments)) = argv.split_first() else {
        return Err("no helper is named".to_owned());
    };
    let child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|error| format!("its helper {program} cannot be run: {error}"))?;
    let printed =
        printed(child, patience).map_err(|problem| format!("its helper {program} {problem}"))?;
    let text = std::str::from_utf8(&printed)
        .map_err(|_| format!("its helper {program} printed no text"))?;
    let text = text.strip_suffix('\n').unwrap_or(text);
    let text = text.strip_suffix('\r').unwrap_or(text);
    if text.is_empty() {
        return Err(format!("its helper {program} printed nothing"));
    }
    Ok(Secret::new(text.to_owned()))
}

fn printed(child: Child, patience: Duration) -> Result<Zeroizing<Vec<u8>>, String> {
    let id = rustix::process::Pid::from_child(&child);
    let (sender, receiver) = mpsc::channel();
    // Neither a read nor a wait can be given up: a thread does both, and ends when the helper does.
    std::thread::Builder::new()
        .name("sshepherd-helper".to_owned())
        .spawn(move || {
            let _ = sender.send(outcome(child));
        })
        .map_err(|error| format!("cannot be read: {error}"))?;
    receiver.recv_timeout(patience).unwrap_or_else(|_| {
        let _ = rustix::process::kill_process(id, rustix::process::Signal::KILL);
        Err(format!("did not end within {} s", patience.as_secs()))
    })
}

fn outcome(mut child: Child) -> Result<Zeroizing<Vec<u8>>, String> {
    let mut bytes = Zeroizing::new(Vec::new());
    let read = match child.stdout.take() {
        Some(output) => output.take(MOST + 1).read_to_end(&mut bytes),
        None => Ok(0),
    };
    let problem = match read {
        Ok(_) if bytes.len() as u64 <= MOST => None,
        Ok(_) => Some(format!("printed more than {MOST} bytes")),
        Err(error) => Some(format!("cannot be read: {error}")),
    };
    if problem.is_some() {
        let _ = child.kill();
    }
    let status = child.wait();
    match (problem, status) {
        (Some(problem), _) => Err(problem),
        (None, Ok(status)) if status.success() => Ok(bytes),
        (None, Ok(status)) => Err(format!("failed: {status}")),
        (None, Err(error)) => Err(format!("was lost: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_helper_that_closes_its_output_and_stays_is_given_up() {
        let argv = ["/bin/sh", "-c", "echo x; exec >&-; sleep 600"].map(str::to_owned);
        let said = within(&argv, Duration::from_millis(200)).map(|_| ());
        assert_eq!(said, Err("its helper /bin/sh did not end within 0 s".to_owned()));
    }
}
