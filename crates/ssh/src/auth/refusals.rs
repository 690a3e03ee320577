//! What hosts have refused: a log-in that keeps failing is paused before an account is locked or our address is banned.
//!
//! Passwords are counted over all hosts, for they may be of one account in a directory; keys for each host. Both as locks
//! count them: refusals in a row.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use sshepherd_model::{Alias, Secret};
use tokio::sync::Notify;

/// Most refusals in a row. Directories lock accounts after three to ten.
pub(super) const MOST: u32 = 3;
/// How long a password rests then. Locks forget failures after 15 to 30 minutes; one more try an hour never adds up.
const PASSWORD_PAUSE: Duration = Duration::from_secs(60 * 60);
/// How long the keys of a host rest: bans by address count within ten minutes.
const KEY_PAUSE: Duration = Duration::from_secs(10 * 60);

/// What is refused, as a hash under a key of this process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Subject {
    Password(u64),
    Keys(u64),
}

impl Subject {
    fn pause(self) -> Duration {
        match self {
            Self::Password(_) => PASSWORD_PAUSE,
            Self::Keys(_) => KEY_PAUSE,
        }
    }
}

/// Why something is not tried.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Paused {
    pub(super) refused: u32,
    /// The host that refused it last.
    pub(super) by: Alias,
    pub(super) left: Duration,
}

/// The counts of one server.
#[derive(Default)]
pub(super) struct Refusals {
    counts: Mutex<HashMap<Subject, Count>>,
    settled: Notify,
    hashing: RandomState,
}

#[derive(Default)]
struct Count {
    /// In a row.
    refused: u32,
    /// Tries whose answer is still to come: each may be a refusal.
    tried: u32,
    last: Option<(Alias, Instant)>,
}

impl Count {
    /// The pause in force at `now`. After one, a single refusal leads to the next.
    fn paused(&self, pause: Duration, now: Instant) -> Option<Paused> {
        let (by, when) = self.last.as_ref()?;
        let left = (*when + pause).saturating_duration_since(now);
        let rests = self.refused >= MOST && !left.is_zero();
        rests.then(|| Paused { refused: self.refused, by: by.clone(), left })
    }

    /// Whether one more may be tried now, though all that are under way should be refused.
    fn has_room(&self) -> bool {
        self.refused.min(MOST - 1) + self.tried < MOST
    }
}

impl Refusals {
    /// The password of `username`.
    pub(super) fn password(&self, username: &str, secret: &Secret) -> Subject {
        Subject::Password(self.hashing.hash_one((username, secret.expose())))
    }

    /// What is offered to a host for `username`.
    pub(super) fn keys(&self, alias: &Alias, username: &str, offers: &[String]) -> Subject {
        Subject::Keys(self.hashing.hash_one((alias, username, offers)))
    }

    pub(super) fn paused(&self, subject: Subject) -> Option<Paused> {
        self.paused_at(subject, Instant::now())
    }

    fn paused_at(&self, subject: Subject, now: Instant) -> Option<Paused> {
        self.counts().get(&subject)?.paused(subject.pause(), now)
    }

    /// Waits until it may be tried: so many tries are under way at most that all of them could be refused.
    pub(super) async fn turn(
        self: &Arc<Self>,
        subject: Subject,
        host: &Alias,
    ) -> Result<Try, Paused> {
        loop {
            let settled = self.settled.notified();
            if let Some(paused) = self.paused(subject) {
                return Err(paused);
            }
            {
                let mut counts = self.counts();
                let count = counts.entry(subject).or_default();
                if count.has_room() {
                    count.tried += 1;
                    let (refusals, host) = (Arc::clone(self), host.clone());
                    return Ok(Try { refusals, subject, host, open: true });
                }
            }
            settled.await;
        }
    }

    /// A host has taken it: whatever counted refusals counts them anew.
    pub(super) fn accepted(&self, subject: Subject) {
        let mut counts = self.counts();
        if let Some(count) = counts.get_mut(&subject) {
            *count = Count { tried: count.tried, ..Count::default() };
            if count.tried == 0 {
                counts.remove(&subject);
            }
        }
        drop(counts);
        self.settled.notify_waiters();
    }

    pub(super) fn refused(&self, subject: Subject, by: &Alias) {
        self.refused_at(subject, by, Instant::now());
    }

    fn refused_at(&self, subject: Subject, by: &Alias, now: Instant) {
        let mut counts = self.counts();
        let count = counts.entry(subject).or_default();
        count.refused = count.refused.saturating_add(1);
        count.last = Some((by.clone(), now));
        drop(counts);
        self.settled.notify_waiters();
    }

    /// Counts anew: the owner says that the reason is gone.
    pub(super) fn forgive(&self) {
        self.counts().retain(|_, count| {
            *count = Count { tried: count.tried, ..Count::default() };
            count.tried > 0
        });
        self.settled.notify_waiters();
    }

    fn counts(&self) -> MutexGuard<'_, HashMap<Subject, Count>> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One try. Given up without a word of the host, it counts as refused: the host may have counted it so.
pub(super) struct Try {
    refusals: Arc<Refusals>,
    subject: Subject,
    host: Alias,
    open: bool,
}

impl Try {
    pub(super) fn accepted(mut self) {
        self.close();
        self.refusals.accepted(self.subject);
    }

    /// Nothing was sent.
    pub(super) fn unused(mut self) {
        self.close();
        self.refusals.settled.notify_waiters();
    }

    fn close(&mut self) {
        self.open = false;
        if let Some(count) = self.refusals.counts().get_mut(&self.subject) {
            count.tried = count.tried.saturating_sub(1);
        }
    }
}

impl Drop for Try {
    fn drop(&mut self) {
        if self.open {
            self.close();
            self.refusals.refused(self.subject, &self.host);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn alias(name: &str) -> Alias {
        name.parse().unwrap()
    }

    fn subject(refusals: &Refusals) -> Subject {
        refusals.password("ops", &Secret::new("wrong".to_owned()))
    }

    #[tokio::test]
    async fn of_forty_hosts_with_a_wrong_password_three_see_it() {
        let refusals = Arc::new(Refusals::default());
        let subject = subject(&refusals);
        let mut hosts = tokio::task::JoinSet::new();
        for number in 0..40 {
            let refusals = Arc::clone(&refusals);
            hosts.spawn(async move {
                let host = alias(&format!("web{number}"));
                let tried = refusals.turn(subject, &host).await;
                // All of them are let in before the first one answers.
                tokio::task::yield_now().await;
                tried.is_ok()
            });
        }
        let tried = hosts.join_all().await;
        assert_eq!(tried.into_iter().filter(|tried| *tried).count(), 3);
        assert_eq!(refusals.paused(subject).unwrap().refused, 3);
        let other = refusals.password("ops", &Secret::new("right".to_owned()));
        assert_eq!(refusals.paused(other), None, "another password is another matter");
        refusals.forgive();
        assert_eq!(refusals.paused(subject), None);
    }

    #[tokio::test]
    async fn of_forty_hosts_with_the_right_password_all_see_it() {
        let refusals = Arc::new(Refusals::default());
        let subject = subject(&refusals);
        let mut hosts = tokio::task::JoinSet::new();
        for _ in 0..40 {
            let refusals = Arc::clone(&refusals);
            hosts.spawn(async move {
                refusals.turn(subject, &alias("web")).await.unwrap().accepted();
            });
        }
        assert_eq!(hosts.join_all().await.len(), 40);
        assert!(refusals.counts().is_empty());
    }

    #[test]
    fn a_success_between_them_ends_a_row_and_a_pause_ends_in_one_try() {
        let refusals = Refusals::default();
        let (subject, web, start) = (subject(&refusals), alias("web"), Instant::now());
        let refuse = |now| refusals.refused_at(subject, &web, now);
        refuse(start);
        refuse(start);
        refusals.accepted(subject);
        refuse(start);
        refuse(start);
        assert_eq!(refusals.paused_at(subject, start), None);
        refuse(start);
        let paused = refusals.paused_at(subject, start).unwrap();
        assert_eq!((paused.by.as_str(), paused.left), ("web", PASSWORD_PAUSE));
        let later = start + PASSWORD_PAUSE;
        assert_eq!(refusals.paused_at(subject, later), None);
        let room = || {
            let mut counts = refusals.counts();
            let count = counts.get_mut(&subject).unwrap();
            let room = count.has_room();
            count.tried += u32::from(room);
            room
        };
        assert_eq!((room(), room()), (true, false), "one alone");
        refuse(later);
        assert_eq!(refusals.paused_at(subject, later).unwrap().left, PASSWORD_PAUSE);
    }
}
