//! The start of a job: sent to the site that it is bound to, or asked for there when its answer was lost.

use std::sync::Arc;

use sshepherd_model::{ConnectFailure, Outcome};
use sshepherd_ssh::Target;
use sshepherd_ssh::job::{self, Compared, JobSite, JobSpec, Launched, Settled, Tombstone};
use sshepherd_store::Patch;

use crate::job::{ELSEWHERE, Job, Met, unanswered};
use crate::places::Bound;
use crate::pursuit::{Ended, Known, Reached, Sent};
use crate::watch::GRACE;

impl Job<'_> {
    /// Sends the start; `None` when the host runs nothing and says where it is: now it is bound to that.
    pub(crate) async fn send(&mut self, target: Arc<Target>, known: &mut Known) -> Option<Met> {
        let Some(spec) = self.spec(known.sent) else {
            return Some(self.settle(target).await);
        };
        let ready = match self.ready.take() {
            Some(ready) => ready,
            None => match self.engine.pool().open(Arc::clone(&target)).await {
                Ok(ready) => ready,
                Err(failure) => return Some(Reached::Away(failure.to_string())),
            },
        };
        let before = std::mem::replace(&mut known.sent, Sent::Unanswered);
        sshepherd_store::crash::point("job.start");
        let launched = ready.start_job(spec).await;
        sshepherd_store::crash::point("job.started");
        Some(match launched {
            Ok(Launched::Elsewhere(found)) => return self.elsewhere(&found, (before, known)).await,
            Ok(launched) => self.launched(launched, target, before).await,
            Err(outcome @ Outcome::NotStarted(_)) if before == Sent::Never => {
                Reached::Ended(Ended::Over(outcome))
            }
            Err(outcome) => Reached::Away(format!("{outcome:?}")),
        })
    }

    fn spec(&self, sent: Sent) -> Option<JobSpec> {
        let start = self.start.as_ref()?;
        let site = match (&self.bound, sent) {
            (Bound::To(site), Sent::Never) => Some(site.clone()),
            (Bound::To(site), Sent::Unanswered) => Some(site.clone().again()),
            (Bound::Nowhere | Bound::Anywhere, _) => None,
        };
        Some(JobSpec {
            id: self.brief.task_id.to_string(),
            wire: start.wire.clone(),
            cookie: self.brief.task_id.to_string(),
            stdin: start.stdin.clone(),
            env: start.env.clone(),
            max_time: self.brief.limits.max_time,
            grace: GRACE,
            site,
            owner: self.engine.owner(),
            room: self.room(),
        })
    }

    /// The host has run nothing, for it is not where the start was for. What was answered, or never sent, may be sent there instead,
    /// once that is written down.
    async fn elsewhere(
        &mut self,
        found: &JobSite,
        (before, known): (Sent, &mut Known),
    ) -> Option<Met> {
        if before == Sent::Unanswered
            && let Bound::To(site) = &self.bound
        {
            return Some(self.unsettled(site, found));
        }
        let bound = Bound::To(found.clone());
        let noted = Patch::Bound { site: bound.text() };
        if let Err(error) = self.engine.store().patch(&self.brief.task_id, noted).await {
            known.sent = before;
            return Some(Reached::Away(format!("where it is sent to cannot be stored: {error}")));
        }
        self.engine.sites().learn(&self.brief.host.alias, found);
        (self.bound, known.sent) = (bound, Sent::Never);
        None
    }

    /// A start whose answer was lost, and a host that is not where it was sent to.
    fn unsettled(&self, site: &JobSite, found: &JobSite) -> Met {
        match site.compared(found) {
            Compared::Elsewhere => Reached::Away(ELSEWHERE.to_owned()),
            Compared::Restarted => Reached::Ended(Ended::Over(Outcome::lost(format!(
                "it may have started on {}: its host restarted since it was sent, and no trace of it is there",
                self.brief.host.alias
            )))),
        }
    }

    /// The start must not be sent any more, but an earlier one may have arrived, or be on its way.
    pub(crate) async fn settle(&mut self, target: Arc<Target>) -> Met {
        let site = match &self.bound {
            Bound::Nowhere => return Reached::Buried,
            Bound::To(site) => site.clone().again(),
            Bound::Anywhere => JobSite::unknown(),
        };
        match self.settle_at(Arc::clone(&target), &site).await {
            Ok(Settled::Elsewhere(found)) if self.bound == Bound::Anywhere => {
                match self.settle_at(target, &found).await {
                    Ok(Settled::Never) => Reached::Ended(Ended::Over(Outcome::lost(
                        "it may have started: a version of sshepherd that did not keep where it was sent began it, and it is not where its alias leads now",
                    ))),
                    settled => self.settled(settled, &found).await,
                }
            }
            settled => self.settled(settled, &site).await,
        }
    }

    async fn settle_at(
        &self,
        target: Arc<Target>,
        site: &JobSite,
    ) -> Result<Settled, ConnectFailure> {
        let id = self.brief.task_id.to_string();
        job::settle(self.engine.pool(), target, &id, site).await
    }

    async fn settled(&mut self, settled: Result<Settled, ConnectFailure>, site: &JobSite) -> Met {
        match settled {
            Ok(Settled::Started(place)) => match self.target().await {
                Ok(target) => {
                    self.placed(place.clone(), Tombstone::Keep).await;
                    self.follow_at(target, place).await
                }
                Err(failure) => Reached::Away(failure.to_string()),
            },
            Ok(Settled::Never) => Reached::Buried,
            Ok(Settled::Elsewhere(found)) => self.unsettled(site, &found),
            Ok(Settled::Unsure { reason }) => unanswered(&reason),
            Err(failure) => Reached::Away(failure.to_string()),
        }
    }
}
