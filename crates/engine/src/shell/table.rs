//! The shells of this server.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use sshepherd_model::{Alias, ShellId};
use sshepherd_store::shells::ShellFolder;

use super::session::Session;

/// All of them. The lock is held for a map operation only.
#[derive(Default)]
pub(crate) struct Shells {
    sessions: Mutex<HashMap<ShellId, Arc<Session>>>,
    folder: OnceLock<ShellFolder>,
    /// One is counted and entered at a time, or two would take the last place.
    pub(super) entering: Mutex<()>,
    /// One adoption at a time: two calls for one shell must not both connect to it.
    pub(super) adopting: tokio::sync::Mutex<()>,
}

/// Ended shells whose output can still be read; the oldest give way.
const MAX_ENDED: usize = 64;

impl Shells {
    /// Records and recordings are kept here from now on.
    pub(crate) fn kept_in(&self, folder: ShellFolder) {
        let _ = self.folder.set(folder);
    }

    /// Where records are kept.
    pub(crate) fn folder(&self) -> Option<&ShellFolder> {
        self.folder.get()
    }

    pub(super) fn get(&self, id: &ShellId) -> Option<Arc<Session>> {
        self.lock().get(id).cloned()
    }

    pub(super) fn all(&self) -> Vec<Arc<Session>> {
        self.lock().values().cloned().collect()
    }

    /// How many are open on a host, and in all.
    pub(super) fn open(&self, alias: &Alias) -> (usize, usize) {
        let sessions = self.lock();
        let open = || sessions.values().filter(|session| session.is_open());
        (open().filter(|session| session.alias == *alias).count(), open().count())
    }

    /// Enters one; ended ones beyond [`MAX_ENDED`] are forgotten here.
    pub(super) fn enter(&self, session: Arc<Session>) {
        let mut sessions = self.lock();
        let mut ended: Vec<(u64, ShellId)> = sessions
            .values()
            .filter(|session| !session.is_open())
            .map(|session| (session.opened_at, session.id.clone()))
            .collect();
        ended.sort();
        let surplus = (ended.len() + 1).saturating_sub(MAX_ENDED);
        for (_, id) in ended.into_iter().take(surplus) {
            sessions.remove(&id);
        }
        sessions.insert(session.id.clone(), session);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<ShellId, Arc<Session>>> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
