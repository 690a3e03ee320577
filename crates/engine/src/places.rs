//! Where a job's start may be sent: one home of one account in one boot of its host. It stands with the task before the start is
//! sent, and what a lost answer leaves open is asked there and nowhere else.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use sshepherd_model::Alias;
use sshepherd_ssh::job::JobSite;
use sshepherd_store::Task;

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
