//! What is done to a job beside following it.

use std::sync::Arc;
use std::time::Duration;

use sshepherd_model::{ConnectFailure, HostWords, LoginShell, Phase, Stopped};

use super::channel::{ask, mark};
use super::{JobPlace, JobSite, script};
use crate::pool::Pool;
use crate::stopper::{give_up_at, verdict};
use crate::target::Target;

/// Whether a removed job leaves its name behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tombstone {
    /// An empty folder stays for a day at least, since a start that was never answered may still be on its way.
    Keep,
    /// Nothing stays: every start was answered.
    Leave,
}

/// What a removal came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Removed {
    /// Nothing is left of it, but for the tombstone.
    Gone,
    /// It still runs: nothing was touched.
    Running,
    /// The path is no job's folder of this account: nothing was touched.
    Refused,
    /// What was reached is not where it is: nothing was touched.
    Elsewhere,
}

/// What became of a start whose answer was lost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Settled {
    /// It made this job.
    Started(JobPlace),
    /// It ran nothing, and never will.
    Never,
    /// This is not the site that the start was for, but this one: it cannot be told here.
    Elsewhere(JobSite),
    /// The host can make no folder: it cannot be told.
    Unsure {
        /// Why.
        reason: HostWords,
    },
}

/// Ends a job: TERM, `grace`, KILL, to its process group and all else that is its own. `Confirmed` only when they
/// were seen gone. Its supervisor records the end, which the follower reads.
pub async fn stop(
    pool: &Pool,
    target: Arc<Target>,
    place: &JobPlace,
    cookie: &str,
    grace: Duration,
) -> Stopped {
    let order = script::stop(place, cookie, grace);
    let ticket = pool.stop(&target, order);
    verdict(ticket, give_up_at(grace), grace).await.unwrap_or(Stopped::Unconfirmed)
}

/// Removes the folder of a job that has ended, and old tombstones beside it.
pub async fn remove(
    pool: &Pool,
    target: Arc<Target>,
    place: &JobPlace,
    tombstone: Tombstone,
) -> Result<Removed, ConnectFailure> {
    let keep = match tombstone {
        Tombstone::Keep => "keep",
        Tombstone::Leave => "-",
    };
    let nonce = mark()?;
    let (_, words) = ask(pool, &target, script::remove(&nonce, place, keep), &nonce).await?;
    match words.as_str() {
        "removed" => Ok(Removed::Gone),
        "running" => Ok(Removed::Running),
        "refused" => Ok(Removed::Refused),
        other if other.starts_with("elsewhere ") => Ok(Removed::Elsewhere),
        other => Err(not_understood(&target, other)),
    }
}

/// Tells whether a start for `site` whose answer was lost has run, and if not, sees to it that it never will.
pub async fn settle(
    pool: &Pool,
    target: Arc<Target>,
    id: &str,
    site: &JobSite,
) -> Result<Settled, ConnectFailure> {
    if target.login_shell == LoginShell::RawWords {
        return Ok(Settled::Unsure { reason: "the host has no shell".into() });
    }
    let nonce = mark()?;
    let (_, words) = ask(pool, &target, script::settle(&nonce, id, site), &nonce).await?;
    match words.split_once(' ') {
        Some(("exists", rest)) if let Some(place) = site.place(rest) => Ok(Settled::Started(place)),
        Some(("elsewhere", rest)) if let Some(found) = JobSite::parse(rest) => {
            Ok(Settled::Elsewhere(found))
        }
        Some(("refused", "buried")) => Ok(Settled::Never),
        Some(("refused", reason)) => Ok(Settled::Unsure { reason: reason.into() }),
        _ => Err(not_understood(&target, &words)),
    }
}

fn not_understood(target: &Target, words: &str) -> ConnectFailure {
    ConnectFailure {
        phase: Phase::Exec,
        detail: format!("{}: the answer is not understood: {words:?}", target.alias).into(),
        hint: "look into the job folder on the host".to_owned(),
    }
}
