//! The fixed texts that run on the host, and how arguments are put behind them.

use std::time::Duration;

use sshepherd_model::LoginShell;

use super::Offsets;
use crate::stop;
use crate::words::{Script, bare, command};

const START: &str = include_str!("start.sh");
const SUPERVISE: &str = include_str!("supervise.sh");
const RUN: &str = include_str!("run.sh");
const FOLLOW: &str = include_str!("follow.sh");
const STREAM: &str = include_str!("stream.sh");
const ENDED: &str = include_str!("ended.sh");
const COLLECT: &str = include_str!("collect.sh");
const REMOVE: &str = include_str!("remove.sh");
const STOP: &str = include_str!("stop.sh");
const OWN: &str = include_str!("own.sh");
const KEEP: &str = include_str!("keep.sh");
const KEPT: &str = include_str!("kept.sh");

/// How a stream's files are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reading {
    /// The one file, as it grows.
    Whole,
    /// One file after the other.
    Pieces,
}

/// Longest limit in seconds, 68 years: some `sleep`s count in 32 bits.
const MAX_SECONDS: u64 = 0x7fff_ffff;

/// Starts the job of `spec` and streams it.
pub(super) fn start(shell: LoginShell, nonce: &str, spec: &super::JobSpec) -> String {
    let bytes = spec.stdin.as_ref().map_or_else(|| "-".to_owned(), |stdin| stdin.len().to_string());
    let seconds =
        spec.max_time.as_secs().saturating_add(u64::from(spec.max_time.subsec_nanos() > 0));
    let program = match shell {
        LoginShell::Posix => "-",
        LoginShell::Fish | LoginShell::Csh | LoginShell::RawWords => "sh",
    };
    let seconds = seconds.clamp(1, MAX_SECONDS).to_string();
    let (supervise, run, stop) = (bare(&[SUPERVISE]), bare(&[RUN]), bare(&[OWN, stop::SCRIPT]));
    let fed = if spec.env.is_empty() && spec.stdin.is_none() { "-" } else { "fed" };
    let (grace, id) = (tenths(spec.grace), spec.id.as_str());
    let before = [nonce, id, &bytes, fed, &supervise, &spec.cookie, &seconds, &grace, program];
    let script = before.into_iter().fold(Script::new(), Script::with);
    let script = script.with_theirs(&spec.wire).with(&run).with(&stop);
    let script = script.with(&bare(&[KEEP])).with(&(spec.room / 1024).to_string());
    script.run(&bare(&[KEPT, START, STREAM]))
}

/// Takes the id, so that no start of it that is still on its way runs anything.
pub(super) fn settle(nonce: &str, id: &str) -> String {
    command(&bare(&[START]), &[nonce, id, "!", "-"])
}

/// Streams a job whose first bytes are had.
pub(super) fn follow(nonce: &str, folder: &str, have: Offsets, reading: Reading) -> String {
    let (out, err) = (have.stdout.to_string(), have.stderr.to_string());
    let reading = match reading {
        Reading::Whole => "-",
        Reading::Pieces => "pieces",
    };
    command(&bare(&[KEPT, FOLLOW, STREAM]), &[nonce, folder, &out, &err, reading])
}

/// Tells the end of a job and the rest of its output.
pub(super) fn collect(nonce: &str, folder: &str, have: Offsets) -> String {
    let (out, err) = (have.stdout.to_string(), have.stderr.to_string());
    command(&bare(&[ENDED, KEPT, COLLECT]), &[nonce, folder, &out, &err])
}

/// Removes a job's folder, or empties it.
pub(super) fn remove(nonce: &str, folder: &str, keep: &str) -> String {
    command(&bare(&[ENDED, REMOVE]), &[nonce, folder, keep])
}

/// Ends a job's process group and all that carries its cookie.
pub(super) fn stop(place: &super::JobPlace, cookie: &str, grace: Duration) -> String {
    let text = bare(&[STOP, OWN, stop::SCRIPT]);
    command(&text, &[&place.folder, cookie, &tenths(grace)])
}

fn tenths(time: Duration) -> String {
    (time.as_millis() / 100).max(1).to_string()
}
