//! The start of a job, at most once.

use std::time::Duration;

use sshepherd_model::{HostWords, LoginShell, Outcome};

use super::channel::{Greeting, greet, mark};
use super::{JobPlace, JobRunning, JobSite, JobSpec, script};
use crate::exec::{Exec, Ready, Running};
use crate::launch;

/// What a start came to.
pub enum Launched {
    /// The job runs, and is being followed.
    Job(JobRunning),
    /// The id was taken: an earlier start, whose answer was lost, made the job or is making it. Nothing was run now.
    Exists(JobPlace),
    /// This is not the site that the start was for, but this one. Nothing was run, and no job of the id is here.
    Elsewhere(JobSite),
    /// The host has a shell and no place for a job. Nothing was run, so the command may be run attached.
    Refused {
        /// Why.
        reason: HostWords,
    },
    /// The host runs something else than what it is told (a forced command, an appliance), or has no shell: it runs as
    /// any command does, without a job. A host that is only slow may be taken for one; then the last event is `Lost`, and
    /// [`super::settle`] tells.
    Attached(Running),
}

impl Ready {
    /// Starts a job. Its output comes on the same channel.
    ///
    /// The error is the outcome: `NotStarted` when nothing was run, `Interrupted` when the answer was lost: the same
    /// start may then be sent again, since an id runs once, or [`super::settle`] tells.
    pub async fn start_job(self, spec: JobSpec) -> Result<Launched, Outcome> {
        let (pool, target) = self.owner();
        if target.login_shell == LoginShell::RawWords {
            let JobSpec { wire, stdin, env, cookie, .. } = spec;
            let exec = Exec { wire, stdin, env, cookie };
            return self.exec(exec).await.map(Launched::Attached);
        }
        let nonce = mark().map_err(Outcome::NotStarted)?;
        let (text, room) = (script::start(target.login_shell, &nonce, &spec), spec.room);
        let site = spec.site.unwrap_or_else(JobSite::unknown);
        let feed = launch::feed(&spec.env, spec.stdin, &nonce);
        let has_input = feed.is_some();
        // A long input takes as long as the host takes to read it.
        let reading = if has_input { spec.max_time } else { Duration::ZERO };
        let patience = target.deadlines.exec.saturating_add(reading);
        let silent = self.falls_silent();
        let greeted = tokio::select! {
            biased;
            greeted = greet(self, text, &nonce, feed, patience) => greeted?,
            () = silent => return Err(Outcome::lost("the connection fell silent before the host answered")),
        };
        let (channel, words) = match greeted {
            Greeting::Answered(channel, words) => (channel, words),
            Greeting::Foreign(sent) => {
                let running = sent.running(None, spec.cookie);
                let running = if has_input { running.without_input() } else { running };
                return Ok(Launched::Attached(running.in_place_of(format!("sshepherd-{nonce} "))));
            }
            Greeting::Lost(detail) => return Err(Outcome::lost(detail)),
        };
        match words.split_once(' ') {
            Some(("job", rest)) if let Some(place) = site.place(rest) => {
                let place = JobPlace { room, ..place };
                Ok(Launched::Job(JobRunning::started(pool, target, place, channel)))
            }
            Some(("exists", rest)) if let Some(place) = site.place(rest) => {
                Ok(Launched::Exists(place))
            }
            Some(("elsewhere", rest)) if let Some(found) = JobSite::parse(rest) => {
                Ok(match found.keeps_jobs() {
                    true => Launched::Elsewhere(found),
                    false => Launched::Refused { reason: "no folder for a job can be made".into() },
                })
            }
            Some(("refused", reason)) => Ok(Launched::Refused { reason: reason.into() }),
            _ => Err(Outcome::lost(format!("the host's answer is not understood: {words:?}"))),
        }
    }
}
