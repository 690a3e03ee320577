//! Tasks as resources that change: who subscribed to which, in both eras.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rmcp::RoleServer;
use rmcp::model::{ErrorData, ResourceUpdatedNotificationParam};
use rmcp::service::{Peer, SubscriptionSink};
use sshepherd_engine::Engine;
use sshepherd_engine::store::{Heard, Lookup, News};
use sshepherd_model::TaskId;
use tokio_util::task::AbortOnDropHandle;

/// Where task resources are.
pub(super) const TASKS: &str = "ssh://task/";

/// Shortest time between two notes about one task: clients read the resource after each.
const GAP: Duration = Duration::from_millis(500);

/// Most tasks that one client may watch at once.
const MOST: usize = 256;

/// How a client is told.
#[derive(Clone)]
pub(super) enum Ear {
    /// A session of the older revisions.
    Session(Peer<RoleServer>),
    /// An open `subscriptions/listen`.
    Listening(SubscriptionSink),
}

impl Ear {
    /// Whether the client is still there.
    async fn tell(&self, uri: &str) -> bool {
        match self {
            Self::Session(peer) => {
                let updated = ResourceUpdatedNotificationParam::new(uri);
                peer.notify_resource_updated(updated).await.is_ok()
            }
            Self::Listening(sink) => sink.notify_resource_updated(uri).await.is_ok(),
        }
    }
}

/// The subscriptions of one session.
#[derive(Clone, Default)]
pub(super) struct Watched {
    open: Arc<Mutex<HashMap<String, AbortOnDropHandle<()>>>>,
}

/// The task that a resource stands for.
pub(super) fn task_of(uri: &str) -> Option<TaskId> {
    uri.strip_prefix(TASKS)?.parse().ok()
}

impl Watched {
    /// Tells the session of every change of this resource from now on, until the task has ended.
    pub(super) async fn subscribe(
        &self,
        engine: &Engine,
        uri: String,
        peer: Peer<RoleServer>,
    ) -> Result<(), ErrorData> {
        let missing = || ErrorData::resource_not_found("only ssh://task/{task_id} changes", None);
        let id = task_of(&uri).ok_or_else(missing)?;
        match engine.task(&id).await {
            Ok(Lookup::Found(_)) => {}
            Ok(Lookup::Expired | Lookup::Unknown) | Err(_) => return Err(missing()),
        }
        let mut open = self.open();
        open.retain(|_, watch| !watch.is_finished());
        if open.len() >= MOST && !open.contains_key(&uri) {
            return Err(ErrorData::invalid_request("too many subscriptions; end one first", None));
        }
        let watch = tokio::spawn(watch(engine.clone(), id, uri.clone(), Ear::Session(peer)));
        open.insert(uri, AbortOnDropHandle::new(watch));
        Ok(())
    }

    /// Ends a subscription; one that is not there has ended.
    pub(super) fn unsubscribe(&self, uri: &str) {
        self.open().remove(uri);
    }

    /// A poisoned map is still a whole map: no operation on it can panic half-way.
    fn open(&self) -> MutexGuard<'_, HashMap<String, AbortOnDropHandle<()>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Tells of every resource of a `subscriptions/listen`, until the client ends it.
pub(super) async fn listen(engine: Engine, uris: Vec<String>, sink: SubscriptionSink) {
    let mut watches = tokio::task::JoinSet::new();
    for uri in uris.into_iter().take(MOST) {
        if let Some(id) = task_of(&uri) {
            watches.spawn(watch(engine.clone(), id, uri, Ear::Listening(sink.clone())));
        }
    }
    while watches.join_next().await.is_some() {}
}

/// Tells of one task until it has ended or the client is gone.
async fn watch(engine: Engine, id: TaskId, uri: String, ear: Ear) {
    let mut hints = engine.hints();
    loop {
        let news = match hints.next().await {
            Heard::Hint(hint) if hint.id == id => match hint.news {
                News::Grew { .. } | News::State(_) => true,
                News::CancelRequested => false,
                News::Wished => true,
            },
            Heard::Hint(_) | Heard::Orphans => false,
            Heard::Lagged(_) => true,
            Heard::Closed => return,
        };
        if !news {
            continue;
        }
        // What happens in the gap is told with the next note; the last one comes after the end.
        tokio::time::sleep(GAP).await;
        let ended = match engine.task(&id).await {
            Ok(Lookup::Found(task)) => task.status.is_final(),
            Ok(Lookup::Expired | Lookup::Unknown) | Err(_) => true,
        };
        if !ear.tell(&uri).await || ended {
            return;
        }
    }
}
