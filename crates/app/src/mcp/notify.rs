//! News for clients: task events, progress of a call, changed lists.
//!
//! Where task events go. Clients of the older revisions all know `notifications/message` (logging): unknown methods make
//! some of them print validation warnings, so events go there, as data of the logger `ssh.task`, under the level that the
//! client set. 2026-07-28 deprecates logging and lets a server speak unasked only on an open `subscriptions/listen`; its
//! filter cannot name custom news, so events go as `notifications/ssh/task`, marked with the subscription's id, to whoever
//! has such a request open, and to nobody otherwise. Events are hints either way; `ssh_get_task_status` has the truth.

#![expect(
    deprecated,
    reason = "logging is used only towards clients of the revisions that define it"
)]

use std::collections::HashMap;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Instant;

use rmcp::RoleServer;
use rmcp::model::{
    CustomNotification, LoggingLevel, LoggingMessageNotificationParam, ProgressNotificationParam,
    ProgressToken, RequestId, ServerNotification,
};
use rmcp::service::{Peer, SubscriptionContext};
use serde_json::{Value, json};
use sshepherd_engine::{TaskEvent, TaskEventKind};
use sshepherd_model::{Alias, Outcome, TaskId};
use tokio::sync::broadcast::{self, error::RecvError};

use crate::answer;

/// The method of a task event in the 2026-07-28 era.
const TASK_EVENT: &str = "notifications/ssh/task";
/// The logger of a task event in the older eras.
const LOGGER: &str = "ssh.task";

/// The same of a log-in that waits for a person.
const LOGIN_EVENT: &str = "notifications/ssh/login";
const LOGIN_LOGGER: &str = "ssh.login";

/// Who hears of task events: one client, in one of the two eras.
#[derive(Clone, Default)]
pub(super) struct Listeners {
    inner: Arc<Inner>,
}

#[derive(Default)]
struct Inner {
    /// The client of an `initialize` session.
    session: OnceLock<Peer<RoleServer>>,
    /// Lowest level that a session's client wants, as [`rank`]; 0 is everything.
    level: AtomicU8,
    /// Open `subscriptions/listen` requests.
    open: Mutex<HashMap<RequestId, Peer<RoleServer>>>,
}

impl Listeners {
    /// From now on the client of an `initialize` session hears.
    pub(super) fn session(&self, peer: Peer<RoleServer>) {
        // A connection has one session; a second call would be the same client.
        let _ = self.inner.session.set(peer);
    }

    /// Sets the lowest level that a session's client wants to hear.
    pub(super) fn set_level(&self, level: LoggingLevel) {
        self.inner.level.store(rank(level), Ordering::Relaxed);
    }

    /// Enters a subscription until the returned guard is dropped.
    pub(super) fn subscribed(&self, context: &SubscriptionContext) -> Subscribed {
        let id = context.sink().id().clone();
        self.open().insert(id.clone(), context.request_context().peer.clone());
        Subscribed { listeners: self.clone(), id }
    }

    /// Follows one task to its end and tells whoever listens. A listener that lags misses events, never data.
    pub(super) async fn follow(self, mut events: broadcast::Receiver<TaskEvent>, id: TaskId) {
        loop {
            match events.recv().await {
                Ok(event) if event.task_id == id => {
                    self.tell(&event).await;
                    match event.kind {
                        TaskEventKind::Ended { .. } => return,
                        TaskEventKind::Created | TaskEventKind::Progress { .. } => {}
                    }
                }
                Ok(_) | Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => return,
            }
        }
    }

    async fn tell(&self, event: &TaskEvent) {
        let (name, level, data) = describe(event);
        let body = json!({
            "event": name,
            "task_id": event.task_id.to_string(),
            "alias": event.alias.to_string(),
            "hash": event.hash.to_string(),
            "data": data,
        });
        self.send(level, body, (LOGGER, TASK_EVENT)).await;
    }

    /// Tells whoever listens of log-ins that wait for a security key, for as long as there is an engine.
    pub(super) async fn follow_touches(self, mut touches: broadcast::Receiver<Alias>) {
        loop {
            match touches.recv().await {
                Ok(alias) => self.tell_touch(&alias).await,
                Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => return,
            }
        }
    }

    async fn tell_touch(&self, alias: &Alias) {
        let body = json!({
            "event": "touch",
            "alias": alias.to_string(),
            "data": {"message": answer::touch(alias)},
        });
        self.send(LoggingLevel::Notice, body, (LOGIN_LOGGER, LOGIN_EVENT)).await;
    }

    /// Sends news in the way of the client's era.
    async fn send(&self, level: LoggingLevel, body: Value, (logger, method): (&str, &str)) {
        if let Some(peer) = self.inner.session.get() {
            if rank(level) >= self.inner.level.load(Ordering::Relaxed) {
                let param = LoggingMessageNotificationParam::new(level, body).with_logger(logger);
                gone(peer.notify_logging_message(param).await);
            }
            return;
        }
        // One connection, however many requests are open on it: each event is told once.
        let peer = self.open().values().next().cloned();
        if let Some(peer) = peer {
            let notification = CustomNotification::new(method, Some(body));
            gone(
                peer.send_notification(ServerNotification::CustomNotification(notification)).await,
            );
        }
    }

    /// A poisoned map is still a whole map: no operation on it can panic half-way.
    fn open(&self) -> std::sync::MutexGuard<'_, HashMap<RequestId, Peer<RoleServer>>> {
        self.inner.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A subscription that is open for as long as this lives.
pub(super) struct Subscribed {
    listeners: Listeners,
    id: RequestId,
}

impl Drop for Subscribed {
    fn drop(&mut self) {
        self.listeners.open().remove(&self.id);
    }
}

/// A client that has gone hears nothing; that is no error of ours.
fn gone<E: std::fmt::Display>(sent: Result<(), E>) {
    if let Err(error) = sent {
        tracing::debug!(%error, "a notification could not be sent");
    }
}

/// Name, weight and data of an event (the seed's fields).
fn describe(event: &TaskEvent) -> (&'static str, LoggingLevel, Value) {
    match &event.kind {
        TaskEventKind::Created => ("created", LoggingLevel::Info, json!({})),
        TaskEventKind::Progress { phase, bytes_read, output_lines, elapsed_ms, max_seconds } => (
            "progress",
            LoggingLevel::Info,
            json!({"phase": phase, "bytes_read": bytes_read, "output_lines": output_lines,
                   "elapsed_ms": elapsed_ms, "max_seconds": max_seconds}),
        ),
        TaskEventKind::Ended { outcome, duration_ms, target_ip } => {
            let (name, level, mut data) = ending(outcome);
            if let Value::Object(fields) = &mut data {
                fields.insert("duration_ms".to_owned(), json!(duration_ms));
                if let Some(ip) = target_ip {
                    fields.insert("target_ip".to_owned(), json!(ip.to_string()));
                }
            }
            (name, level, data)
        }
    }
}

fn ending(outcome: &Outcome) -> (&'static str, LoggingLevel, Value) {
    match outcome {
        Outcome::Exited { status: 0 } => ("completed", LoggingLevel::Info, json!({"exit_code": 0})),
        Outcome::Exited { status } => {
            ("failed", LoggingLevel::Warning, json!({"exit_code": status}))
        }
        Outcome::Signalled { signal } => (
            "failed",
            LoggingLevel::Warning,
            json!({"reason": format!("ended by signal {signal}")}),
        ),
        Outcome::TimedOut { stopped } => {
            ("timeout", LoggingLevel::Warning, json!({"stopped": stopped.as_str()}))
        }
        Outcome::Cancelled { stopped } => {
            ("cancelled", LoggingLevel::Info, json!({"stopped": stopped.as_str()}))
        }
        Outcome::NotStarted(failure) => {
            ("failed", LoggingLevel::Warning, json!({"reason": failure.to_string()}))
        }
        Outcome::NotSeenToRun(unseen) => {
            ("failed", LoggingLevel::Warning, json!({"reason": unseen.detail}))
        }
        Outcome::Denied { reason } => ("failed", LoggingLevel::Warning, json!({"reason": reason})),
        Outcome::Interrupted(interruption) => {
            ("interrupted", LoggingLevel::Warning, json!({"reason": interruption.detail}))
        }
    }
}

/// The eight levels of syslog, from the least severe.
fn rank(level: LoggingLevel) -> u8 {
    match level {
        LoggingLevel::Debug => 0,
        LoggingLevel::Info => 1,
        LoggingLevel::Notice => 2,
        LoggingLevel::Warning => 3,
        LoggingLevel::Error => 4,
        LoggingLevel::Critical => 5,
        LoggingLevel::Alert => 6,
        LoggingLevel::Emergency => 7,
    }
}

/// Progress of one call, for a caller that gave a token; it can be told in both eras.
#[derive(Clone)]
pub(super) struct Progress {
    peer: Peer<RoleServer>,
    token: ProgressToken,
}

/// What a call hears while it waits.
pub(super) struct CallNews {
    pub(super) events: broadcast::Receiver<TaskEvent>,
    pub(super) touches: broadcast::Receiver<Alias>,
    /// The hosts that it logs in to.
    pub(super) way: Vec<Alias>,
}

impl Progress {
    /// Nothing when the caller gave no token.
    pub(super) fn wanted(context: &rmcp::service::RequestContext<RoleServer>) -> Option<Self> {
        let token = context.meta.get_progress_token()?;
        Some(Self { peer: context.peer.clone(), token })
    }

    /// Tells `progress` of `total`.
    pub(super) async fn tell(&self, progress: f64, total: f64, message: String) {
        let param = ProgressNotificationParam::new(self.token.clone(), progress)
            .with_total(total)
            .with_message(message);
        gone(self.peer.notify_progress(param).await);
    }

    /// Tells something on the way, of which no end is known.
    async fn say(&self, progress: f64, message: String) {
        let param =
            ProgressNotificationParam::new(self.token.clone(), progress).with_message(message);
        gone(self.peer.notify_progress(param).await);
    }

    /// Tells of one task until it has ended: seconds run, of the seconds allowed; and of log-ins on the way to its host that
    /// wait for a security key.
    pub(super) async fn follow(self, news: CallNews, id: &TaskId) {
        let CallNews { mut events, mut touches, way } = news;
        let began = Instant::now();
        loop {
            let event = tokio::select! {
                event = events.recv() => match event {
                    Ok(event) if event.task_id == *id => event,
                    Ok(_) | Err(RecvError::Lagged(_)) => continue,
                    Err(RecvError::Closed) => return,
                },
                touch = touches.recv() => match touch {
                    Ok(alias) if way.contains(&alias) => {
                        self.say(began.elapsed().as_secs_f64(), answer::touch(&alias)).await;
                        continue;
                    }
                    Ok(_) | Err(RecvError::Lagged(_)) => continue,
                    Err(RecvError::Closed) => return,
                },
            };
            match event.kind {
                TaskEventKind::Created => {}
                TaskEventKind::Progress {
                    phase,
                    bytes_read,
                    output_lines,
                    elapsed_ms,
                    max_seconds,
                } => {
                    let message = format!("{phase}: {bytes_read} bytes, {output_lines} lines");
                    self.tell(seconds(elapsed_ms), whole(max_seconds), message).await;
                }
                TaskEventKind::Ended { .. } => return,
            }
        }
    }
}

/// Milliseconds as seconds; run times are far below the 52 bits that a float holds exactly.
#[expect(clippy::cast_precision_loss, reason = "run times are hours at most")]
fn seconds(ms: u64) -> f64 {
    ms as f64 / 1000.0
}

/// A small count as the float that progress is told in.
#[expect(clippy::cast_precision_loss, reason = "seconds and hosts, far below 2^52")]
pub(super) fn whole(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_end_has_its_event() {
        let stopped = sshepherd_model::Stopped::Confirmed;
        for (outcome, name) in [
            (Outcome::Exited { status: 0 }, "completed"),
            (Outcome::Exited { status: 2 }, "failed"),
            (Outcome::TimedOut { stopped }, "timeout"),
            (Outcome::Cancelled { stopped }, "cancelled"),
            (Outcome::lost(""), "interrupted"),
        ] {
            assert_eq!(ending(&outcome).0, name);
        }
    }
}
