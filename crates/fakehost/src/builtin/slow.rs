//! Commands that take time or write a lot: they wait on timers and on the reader, and end when they are dropped.

use std::time::Duration;

use crate::io::{Broken, Io};
use crate::machine::Machine;

/// Time between two lines of the streaming commands: quick enough to watch, slow enough to cancel.
const STEP: Duration = Duration::from_millis(200);

/// Lines of `backup --verbose` unless `--steps N` says otherwise: about five seconds.
const BACKUP_STEPS: u64 = 25;

/// Bytes that `yes` writes at once.
const YES_CHUNK_BYTES: usize = 16 * 1024;

/// Packages that the pretended upgrade goes through.
const PACKAGES: [&str; 8] = [
    "base-files",
    "curl",
    "libssl3",
    "linux-image-amd64",
    "nginx",
    "openssh-server",
    "postgresql-15",
    "tzdata",
];

/// Runs a slow command; `None` for a program of another room.
pub(super) async fn run(
    machine: &Machine,
    program: &str,
    arguments: &[&str],
    io: &mut Io,
) -> Option<Result<u32, Broken>> {
    Some(match (program, arguments) {
        ("sleep", [seconds]) => sleep(seconds, io).await,
        ("backup", _) => backup(machine, arguments, io).await,
        ("apt-get", _) => upgrade(arguments, io).await,
        ("seq", [last]) => sequence("1", last, io).await,
        ("seq", [first, last]) => sequence(first, last, io).await,
        ("yes", words) => endless(words.first().unwrap_or(&"y"), None, io).await,
        _ => return None,
    })
}

async fn sleep(seconds: &str, io: &Io) -> Result<u32, Broken> {
    let duration =
        seconds.parse().ok().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    match duration {
        Some(duration) => {
            tokio::time::sleep(duration).await;
            Ok(0)
        }
        None => {
            io.err(format!("sleep: invalid time interval '{seconds}'\n")).await?;
            Ok(1)
        }
    }
}

async fn backup(machine: &Machine, arguments: &[&str], io: &Io) -> Result<u32, Broken> {
    let steps = arguments
        .iter()
        .skip_while(|word| **word != "--steps")
        .nth(1)
        .and_then(|word| word.parse().ok())
        .unwrap_or(BACKUP_STEPS);
    let verbose = arguments.contains(&"--verbose") || arguments.contains(&"-v");
    io.out(format!("backup of {} to /srv/backups\n", machine.name)).await?;
    for step in 1..=steps {
        tokio::time::sleep(STEP).await;
        if verbose {
            let percent = step * 100 / steps.max(1);
            let size = machine.number(500 + step, 900) + 10;
            io.out(format!("[{percent:>3}%] /srv/data/part-{step:03}.tar  {size} MB\n")).await?;
        }
    }
    io.out(format!("backup of {} complete: {steps} parts\n", machine.name)).await?;
    Ok(0)
}

async fn upgrade(arguments: &[&str], io: &Io) -> Result<u32, Broken> {
    let pretended = ["-s", "--dry-run", "--simulate", "--just-print"];
    if !arguments.iter().any(|word| pretended.contains(word)) {
        io.err("E: Could not open lock file /var/lib/dpkg/lock-frontend - open (13: Permission denied)\n").await?;
        return Ok(100);
    }
    io.out("Reading package lists...\nBuilding dependency tree...\nCalculating upgrade...\n")
        .await?;
    for package in PACKAGES {
        tokio::time::sleep(STEP).await;
        io.out(format!("Inst {package} (Debian:12/stable [amd64])\n")).await?;
    }
    for package in PACKAGES {
        tokio::time::sleep(STEP).await;
        io.out(format!("Conf {package} (Debian:12/stable [amd64])\n")).await?;
    }
    Ok(0)
}

async fn sequence(first: &str, last: &str, io: &Io) -> Result<u32, Broken> {
    let (Ok(first), Ok(last)) = (first.parse::<u64>(), last.parse::<u64>()) else {
        io.err("seq: invalid number\n").await?;
        return Ok(1);
    };
    let mut chunk = String::new();
    for number in first..=last {
        chunk += &format!("{number}\n");
        if chunk.len() >= YES_CHUNK_BYTES {
            io.out(std::mem::take(&mut chunk)).await?;
        }
    }
    io.out(chunk).await?;
    Ok(0)
}

/// Writes the same line until nobody reads, `rate` bytes a second at most.
pub(crate) async fn endless(text: &str, rate: Option<u64>, io: &Io) -> Result<u32, Broken> {
    let line = format!("{text}\n");
    let chunk = bytes::Bytes::from(line.repeat(YES_CHUNK_BYTES / line.len() + 1));
    let mut pace = rate.map(|rate| {
        let micros = (chunk.len() as u64).saturating_mul(1_000_000) / rate.max(1);
        tokio::time::interval(Duration::from_micros(micros.max(1)))
    });
    loop {
        if let Some(pace) = &mut pace {
            pace.tick().await;
        }
        io.out(chunk.clone()).await?;
    }
}
