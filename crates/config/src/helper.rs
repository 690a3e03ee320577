//! Secrets that a helper program prints, such as `pass` or `op`: by argv from the owner's own settings, never through a shell.

use std::collections::BTreeMap;
use std::io::Read;
use std::process::{Child, ChildStdout, Command, Stdio};
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
    let Some((program, arguments)) = argv.split_first() else {
        return Err("no helper is named".to_owned());
    };
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|error| format!("its helper {program} cannot be run: {error}"))?;
    let Some(output) = child.stdout.take() else {
        return Err(format!("its helper {program} has no output"));
    };
    let printed =
        printed(&mut child, output).map_err(|problem| format!("its helper {program} {problem}"))?;
    let text = std::str::from_utf8(&printed)
        .map_err(|_| format!("its helper {program} printed no text"))?;
    let text = text.strip_suffix('\n').unwrap_or(text);
    let text = text.strip_suffix('\r').unwrap_or(text);
    if text.is_empty() {
        return Err(format!("its helper {program} printed nothing"));
    }
    Ok(Secret::new(text.to_owned()))
}

fn printed(child: &mut Child, output: ChildStdout) -> Result<Zeroizing<Vec<u8>>, String> {
    let (sender, receiver) = mpsc::channel();
    // A read cannot be given up; the thread ends when the helper's output does.
    let reading =
        std::thread::Builder::new().name("sshepherd-helper".to_owned()).spawn(move || {
            let mut bytes = Zeroizing::new(Vec::new());
            let read = output.take(MOST + 1).read_to_end(&mut bytes);
            let _ = sender.send(read.map(|_| bytes));
        });
    if let Err(error) = reading {
        return Err(format!("cannot be read: {error}"));
    }
    let read = receiver.recv_timeout(PATIENCE);
    let stop = |child: &mut Child| {
        let _ = child.kill();
        let _ = child.wait();
    };
    let bytes = match read {
        Ok(Ok(bytes)) if bytes.len() as u64 <= MOST => bytes,
        Ok(Ok(_)) => {
            stop(child);
            return Err(format!("printed more than {MOST} bytes"));
        }
        Ok(Err(error)) => {
            stop(child);
            return Err(format!("cannot be read: {error}"));
        }
        Err(_) => {
            stop(child);
            return Err(format!("did not answer within {} s", PATIENCE.as_secs()));
        }
    };
    match child.wait() {
        Ok(status) if status.success() => Ok(bytes),
        Ok(status) => Err(format!("failed: {status}")),
        Err(error) => Err(format!("was lost: {error}")),
    }
}
