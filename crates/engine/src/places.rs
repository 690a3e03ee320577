//! Where a job's start may be sent: one home of one account in one boot of its host. It stands with the task before the start is
//! sent, and what a lost answer leaves open is asked there and nowhere else.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sshepherd_model::{Alias, TaskId};
use sshepherd_ssh::job::JobSite;
use sshepherd_store::Task;

use crate::engine::Engine;

/// Where the start of a task may have been sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Bound {
    /// Nowhere: the host has been asked at most where it is.
    Nowhere,
    /// There alone.
    To(JobSite),
    /// To whatever its alias led to: a version that kept no sites began it.
    Anywhere,
}

/// Stands for `Nowhere` in a task.
const NOWHERE: &str = "nowhere";

impl Bound {
    /// As a task has it.
    pub(crate) fn of(task: &Task) -> Self {
        match task.site.as_deref() {
            None => Self::Anywhere,
            Some(NOWHERE) => Self::Nowhere,
            // What cannot be read is a newer version's; nothing may be sent for it.
            Some(text) => serde_json::from_str(text).map_or(Self::Anywhere, Self::To),
        }
    }

    /// The first binding of a task whose host may have told before where it is.
    pub(crate) fn first(known: Option<JobSite>) -> Self {
        known.map_or(Self::Nowhere, Self::To)
    }

    /// As it is stored.
    pub(crate) fn text(&self) -> String {
        match self {
            // A struct of texts always has a form in JSON.
            Self::To(site) => serde_json::to_string(site).unwrap_or_default(),
            Self::Nowhere | Self::Anywhere => NOWHERE.to_owned(),
        }
    }
}

/// How long after its time a task whose host or job is out of sight may still come back into it.
pub(crate) const OUT_OF_SIGHT: Duration = Duration::from_secs(24 * 60 * 60);

/// When nobody waits any more for a task that is out of sight, in milliseconds since the epoch.
pub(crate) fn given_up_at(task: &Task) -> u64 {
    let wait = task.limits.max_time.saturating_add(OUT_OF_SIGHT).as_millis();
    let began = task.started_at.unwrap_or(task.created_at);
    began.saturating_add(u64::try_from(wait).unwrap_or(u64::MAX))
}

/// Why tasks that run here are out of sight at present.
#[derive(Debug, Default)]
pub(crate) struct Sights(Mutex<HashMap<TaskId, String>>);

impl Sights {
    pub(crate) fn lost(&self, id: &TaskId, detail: String) {
        self.lock().insert(id.clone(), detail);
    }

    pub(crate) fn clear(&self, id: &TaskId) {
        self.lock().remove(id);
    }

    fn get(&self, id: &TaskId) -> Option<String> {
        self.lock().get(id).cloned()
    }

    /// A poisoned map is still a whole map.
    fn lock(&self) -> MutexGuard<'_, HashMap<TaskId, String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Engine {
    /// Why a task that has not ended is out of sight, if this server knows.
    #[must_use]
    pub fn out_of_sight(&self, task: &Task) -> Option<String> {
        if task.status.is_final() || Self::is_group(task) {
            return None;
        }
        if let Some(detail) = self.sights().get(&task.id) {
            return Some(detail);
        }
        let here = self.live().get(&task.id).is_some();
        let known = here || self.config().inventory.host(&task.alias).is_some();
        (!known).then(|| {
            format!(
                "host not configured: {} is not in servers.yml; put it back and reload, and the task goes on",
                task.alias
            )
        })
    }
}

/// What hosts have said of where they are: a guess for the next start, which says it when it is wrong and then runs nothing.
#[derive(Debug, Default)]
pub(crate) struct Sites(Mutex<HashMap<Alias, JobSite>>);

impl Sites {
    pub(crate) fn get(&self, alias: &Alias) -> Option<JobSite> {
        self.lock().get(alias).cloned()
    }

    pub(crate) fn learn(&self, alias: &Alias, site: &JobSite) {
        self.lock().insert(alias.clone(), site.clone());
    }

    /// Aliases may mean other hosts from now on.
    pub(crate) fn forget(&self) {
        self.lock().clear();
    }

    /// A poisoned map is still a whole map.
    fn lock(&self) -> MutexGuard<'_, HashMap<Alias, JobSite>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
