//! What is done next about a job until its end is known.
//!
//! The host decides: whoever first names the end there (the command by ending, the host's own limit, a stop) has named it for good,
//! and that record is the outcome. A cancel and a limit are requests to the host, and silence says nothing. So there is one loop,
//! over whatever reaches the host: the jobs in `crate::job`, and a small model of a host in the tests.

#[cfg(test)]
mod orders;

use std::time::Duration;

use futures::future::BoxFuture;
use sshepherd_model::{Cause, ConnectFailure, Interruption, Outcome, Phase, Stopped};
use sshepherd_ssh::job::JobEnd;

use crate::watch::{Bounds, Why};

/// Time between two attempts to reach a host that a job runs on: from this, doubled each time,
pub(crate) const AGAIN_FIRST: Duration = Duration::from_millis(200);
/// up to this. A network that comes back sends no event.
const AGAIN_MOST: Duration = Duration::from_secs(5);

/// How often a host that has ended a job is asked whether all of it is gone, before the answer is that this was not seen.
const LOOKS: usize = 3;

/// What is known of the job's start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sent {
    /// Nothing has been sent.
    Never,
    /// A start was sent, here or by a server that is gone, and was not answered.
    Unanswered,
}

/// What is known here of a job whose end is not.
#[derive(Debug)]
pub(crate) struct Known {
    pub(crate) sent: Sent,
    /// Why it is to be ended. What has not started then is not started any more.
    pub(crate) wanted: Option<Why>,
    /// What the host saw when it was told to end it.
    pub(crate) heard: Option<Stopped>,
}

impl Known {
    pub(crate) fn new(sent: Sent) -> Self {
        Self { sent, wanted: None, heard: None }
    }
}

/// How it went.
#[derive(Debug)]
pub(crate) enum Ended {
    /// The outcome is known.
    Over(Outcome),
    /// It is left to whoever claims the task next.
    HandedOn,
    /// The host cannot run jobs, and has run nothing: send it attached.
    NoJobs,
}

/// What came of trying to reach it.
pub(crate) enum Reached<L> {
    Line(L),
    Ended(Ended),
    /// No start of it ran, and none ever will.
    Buried,
    /// Try again.
    Away(String),
}

/// How following ended.
pub(crate) enum Watched {
    /// The outcome is known.
    Over(Outcome),
    /// The host has said how it ended.
    Ended(JobEnd),
    /// The host was told to end it, and said after that it runs.
    RunsOn,
    /// Nothing more comes this way.
    Cut(String),
    /// This server is closing, or has lost the task: another one goes on.
    HandedOn,
}

/// What reaches the host.
pub(crate) trait Hands: Send {
    /// A job that is in sight.
    type Line: Send;

    /// Returns when this server closes; a job that is to be started may have a little longer.
    fn closing(&self, known: &Known) -> BoxFuture<'static, ()>;

    /// Finds the job where it is, or starts it, or sees to it that it never starts. Dropped on the way, it has noted what it sent.
    fn reach<'a>(&'a mut self, known: &'a mut Known) -> BoxFuture<'a, Reached<Self::Line>>;

    /// Follows it, and tells the host to end it as soon as that is wanted.
    fn follow<'a>(
        &'a mut self,
        line: Self::Line,
        known: &'a mut Known,
        bounds: &'a mut Bounds,
    ) -> BoxFuture<'a, Watched>;

    /// Tells the host to end it; what it saw, if it heard.
    fn stop(&mut self, why: Why) -> BoxFuture<'_, Option<Stopped>>;
}

/// Runs or goes on with a job to its end, through lost connections.
pub(crate) async fn pursue<H: Hands>(
    hands: &mut H,
    known: &mut Known,
    bounds: &mut Bounds,
) -> Ended {
    let mut again = AGAIN_FIRST;
    loop {
        if let (Some(why), Sent::Never) = (known.wanted, known.sent) {
            return Ended::Over(never_ran(Some(why)));
        }
        let closing = hands.closing(known);
        let reached = tokio::select! {
            biased;
            () = closing => return Ended::HandedOn,
            why = bounds.over(), if known.wanted.is_none() => {
                known.wanted = Some(why);
                continue;
            }
            reached = hands.reach(known) => reached,
        };
        let away = match reached {
            Reached::Ended(ended) => return ended,
            Reached::Buried => return Ended::Over(never_ran(known.wanted)),
            Reached::Away(detail) => detail,
            Reached::Line(line) => match hands.follow(line, known, bounds).await {
                Watched::Over(outcome) => return Ended::Over(outcome),
                Watched::Ended(end) => return Ended::Over(ended(hands, known, end).await),
                Watched::RunsOn => return Ended::Over(runs_on(known)),
                Watched::HandedOn => return Ended::HandedOn,
                Watched::Cut(detail) => {
                    again = AGAIN_FIRST;
                    detail
                }
            },
        };
        tracing::warn!(%away, "a job is out of sight");
        let (closing, given_up) = (hands.closing(known), bounds.given_up());
        tokio::select! {
            biased;
            () = closing => return Ended::HandedOn,
            why = bounds.over(), if known.wanted.is_none() => known.wanted = Some(why),
            () = given_up => return Ended::Over(out_of_sight(&away)),
            () = tokio::time::sleep(again) => again = (again * 2).min(AGAIN_MOST),
        }
    }
}

/// What the host's record of an end comes to. Whether all of a job that was ended is gone is seen by looking.
async fn ended<H: Hands>(hands: &mut H, known: &Known, end: JobEnd) -> Outcome {
    let interrupted =
        |cause, detail: &str| Outcome::Interrupted(Interruption { cause, detail: detail.into() });
    let why = match end {
        JobEnd::Limit => Why::TimedOut,
        JobEnd::Stopped => Why::Cancelled,
        JobEnd::Exited { status } => return Outcome::Exited { status },
        JobEnd::Cut { status } => {
            let detail = format!(
                "it ended with exit status {status}, but the host could not keep all of its output; is its disk full?"
            );
            return interrupted(Cause::Unknown, &detail);
        }
        JobEnd::Rebooted => {
            return interrupted(Cause::HostRebooted, "the host restarted while it ran");
        }
        JobEnd::Killed => {
            let detail =
                "what watched over it on the host was killed, so nobody knows how it ended";
            return interrupted(Cause::Lost, detail);
        }
        JobEnd::NotStarted => {
            return Outcome::NotStarted(ConnectFailure {
                phase: Phase::Exec,
                detail: "the start broke off before the command ran".into(),
                hint: "nothing was run; send it again".to_owned(),
            });
        }
        JobEnd::Spoiled { detail } => {
            let detail = format!(
                "somebody changed its files on the host ({}), so its output and its end cannot be known; it may still run",
                detail.as_str()
            );
            return interrupted(Cause::Unknown, &detail);
        }
        JobEnd::Gone => return interrupted(Cause::Unknown, "its folder on the host is gone"),
    };
    let mut heard = known.heard;
    for _ in 0..LOOKS {
        if heard.is_none() {
            heard = hands.stop(why).await;
        }
    }
    why.outcome(heard.unwrap_or(Stopped::Unconfirmed))
}

/// It was told to end and did not.
fn runs_on(known: &Known) -> Outcome {
    let why = known.wanted.unwrap_or(Why::Cancelled);
    why.outcome(known.heard.unwrap_or(Stopped::Unconfirmed))
}

/// Nothing of it ran, and nothing ever will.
fn never_ran(wanted: Option<Why>) -> Outcome {
    match wanted {
        Some(Why::Cancelled) => Outcome::Cancelled { stopped: Stopped::Confirmed },
        Some(Why::TimedOut) => Outcome::NotStarted(ConnectFailure {
            phase: Phase::Exec,
            detail: "its start did not reach the host before its time was over, and was taken back"
                .into(),
            hint: "nothing was run; send it again".to_owned(),
        }),
        None => Outcome::Denied {
            reason: "the policy now in force no longer allows it, and it had not started"
                .to_owned(),
        },
    }
}

fn out_of_sight(away: &str) -> Outcome {
    Outcome::lost(format!(
        "it may have run, and the host could not be asked for so long that nobody waits any more: {away}"
    ))
}
