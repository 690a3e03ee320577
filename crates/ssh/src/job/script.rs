//! The fixed texts that run on the host, and how arguments are put behind them.

use std::time::Duration;

use sshepherd_model::LoginShell;

use super::{JobPlace, JobSite, Offsets};
use crate::stop::{self, Held, Order};
use crate::words::{Script, bare, command};

pub(crate) const WHERE: &str = include_str!("where.sh");
const SITE: &str = include_str!("site.sh");
pub(crate) const HERE: &str = include_str!("here.sh");
const START: &str = include_str!("start.sh");
const SUPERVISE: &str = include_str!("supervise.sh");
const RUN: &str = include_str!("run.sh");
const FOLLOW: &str = include_str!("follow.sh");
const STREAM: &str = include_str!("stream.sh");
const ENDED: &str = include_str!("ended.sh");
const COLLECT: &str = include_str!("collect.sh");
const REMOVE: &str = include_str!("remove.sh");
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
/// The arguments of the stop, from the names that the supervisor has for them.
const LIMIT: &str = "set -- 0 - - \"${C#*=}\" 0 \"$N\" \"$d\" - - -";

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
    let (supervise, run, stop) = (bare(&[SUPERVISE]), bare(&[RUN]), bare(&[LIMIT, stop::SCRIPT]));
    let fed = if spec.env.is_empty() && spec.stdin.is_none() { "-" } else { "fed" };
    let (grace, id) = (tenths(spec.grace), spec.id.as_str());
    let unknown = JobSite::unknown();
    let site = spec.site.as_ref().unwrap_or(&unknown);
    let (home, tmp, boot, owner) = (&site.home, &site.tmp, &site.boot, &spec.owner);
    let known = [nonce, id, &bytes, fed, home, tmp, boot, owner];
    let before = [&supervise, &spec.cookie, &seconds, &grace, program];
    let script = known.into_iter().chain(before).fold(Script::new(), Script::with);
    let script = script.with_theirs(&spec.wire).with(&run).with(&stop);
    let script = script.with(&bare(&[KEEP])).with(&(spec.room / 1024).to_string());
    script.run(&bare(&[WHERE, SITE, KEPT, START, STREAM]))
}

/// Takes the id at its site, so that no start of it that is still on its way runs anything.
pub(super) fn settle(nonce: &str, id: &str, site: &JobSite) -> String {
    let arguments = [nonce, id, "!", "-", &site.home, &site.tmp, &site.boot, "-"];
    command(&bare(&[WHERE, SITE, START]), &arguments)
}

/// Streams a job whose first bytes are had.
pub(super) fn follow(nonce: &str, place: &JobPlace, have: Offsets, reading: Reading) -> String {
    let (out, err) = (have.stdout.to_string(), have.stderr.to_string());
    let reading = match reading {
        Reading::Whole => "-",
        Reading::Pieces => "pieces",
    };
    let arguments = [nonce, &place.folder, &out, &err, reading, &place.identity, &place.machine];
    command(&bare(&[WHERE, HERE, KEPT, FOLLOW, STREAM]), &arguments)
}

/// Tells the end of a job and the rest of its output.
pub(super) fn collect(nonce: &str, place: &JobPlace, have: Offsets) -> String {
    let (out, err) = (have.stdout.to_string(), have.stderr.to_string());
    let arguments = [nonce, &place.folder, &out, &err, &place.identity, &place.machine];
    command(&bare(&[WHERE, HERE, ENDED, KEPT, COLLECT]), &arguments)
}

/// Removes a job's folder, or empties it.
pub(super) fn remove(nonce: &str, place: &JobPlace, keep: &str) -> String {
    let arguments = [nonce, &place.folder, keep, &place.identity, &place.machine];
    command(&bare(&[WHERE, HERE, ENDED, REMOVE]), &arguments)
}

/// What ends a job, unless it has ended by itself.
pub(super) fn stop(place: &JobPlace, cookie: &str, grace: Duration, order: super::Order) -> Order {
    let held = Held {
        folder: place.folder.clone(),
        identity: place.identity.clone(),
        machine: place.machine.clone(),
        mark: order.mark(),
    };
    let cookie = cookie.to_owned();
    Order { pid: None, age: None, cookie, held: Some(held), hang_up: false, grace }
}

fn tenths(time: Duration) -> String {
    (time.as_millis() / 100).max(1).to_string()
}
