//! What is done to a job beside following it.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
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

/// What a job is stopped for. The host writes it down with the end, unless the job has ended by itself before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Order {
    /// It ran over its limit, and the host has not ended it.
    Limit,
    /// It is not wanted any more.
    Stop,
}

impl Order {
    /// The name of the file that says so.
    pub(super) fn mark(self) -> &'static str {
        match self {
            Self::Limit => "over",
            Self::Stop => "stopped",
        }
    }
}

/// Asks the host to end a job: TERM, `grace`, KILL, to its process group and all else that is its own. `Confirmed` only when
/// they were seen gone; `None` when the host showed no sign that it heard. A job that has ended by itself keeps its end, and what
/// it left behind is not touched. Either way the end is on the host, for the follower to read.
pub async fn stop(
    pool: &Pool,
    target: Arc<Target>,
    place: &JobPlace,
    cookie: &str,
    (grace, order): (Duration, Order),
) -> Option<Stopped> {
    let ticket = pool.stop(&target, script::stop(place, cookie, grace, order));
    let begun = ticket.begun.clone();
    let stopped = verdict(ticket, give_up_at(grace), grace).await;
    begun.is_cancelled().then(|| stopped.unwrap_or(Stopped::Unconfirmed))
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
