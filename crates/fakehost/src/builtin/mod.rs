//! The commands a fake host knows, chosen by their first word. None of them touches the machine.

mod files;
mod filter;
mod slow;
mod system;

use crate::io::{Broken, Io};
use crate::machine::Machine;

pub(crate) use slow::endless;

/// What a shell answers for a program it does not find.
const STATUS_NOT_FOUND: u32 = 127;

/// Runs one command and gives its exit status.
pub(crate) async fn run(machine: &Machine, words: &[String], io: &mut Io) -> Result<u32, Broken> {
    let mut words = words.iter().map(String::as_str).collect::<Vec<_>>();
    // `env NAME=value … program` runs the program; nothing here reads the environment.
    if words.first() == Some(&"env") {
        let skip = 1 + words.iter().skip(1).take_while(|word| word.contains('=')).count();
        words.drain(..skip);
    }
    let Some((program, arguments)) = words.split_first() else {
        return Ok(0);
    };
    let program = bare_name(program);
    let known = system::answer(machine, program, arguments)
        .or_else(|| files::answer(machine, program, arguments));
    if let Some(answer) = known {
        io.out(answer.out).await?;
        io.err(answer.err).await?;
        return Ok(answer.status);
    }
    if let Some(status) = slow::run(machine, program, arguments, io).await {
        return status;
    }
    if let Some(status) = filter::run(machine, program, arguments, io).await {
        return status;
    }
    io.err(format!("sh: {program}: command not found\n")).await?;
    Ok(STATUS_NOT_FOUND)
}

/// `/usr/bin/uptime` is `uptime`.
fn bare_name(program: &str) -> &str {
    ["/usr/bin/", "/bin/", "/usr/sbin/", "/sbin/"]
        .iter()
        .find_map(|folder| program.strip_prefix(folder))
        .unwrap_or(program)
}

/// A whole answer at once.
#[derive(Debug, Default)]
pub(super) struct Answer {
    pub(super) out: String,
    pub(super) err: String,
    pub(super) status: u32,
}

impl Answer {
    pub(super) fn out(text: impl Into<String>) -> Self {
        Self { out: text.into(), ..Self::default() }
    }

    pub(super) fn status(status: u32) -> Self {
        Self { status, ..Self::default() }
    }

    pub(super) fn err(text: impl Into<String>, status: u32) -> Self {
        Self { out: String::new(), err: text.into(), status }
    }
}
