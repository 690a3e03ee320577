//! The time that a log-in may take: only what the host takes of it counts.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Shortest sleep of the watch over a log-in whose clock stands still.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// A clock that stands still while our side is busy: waiting for a person, an agent, or a turn. Clones share it.
#[derive(Clone, Default)]
pub(super) struct Clock(Arc<Mutex<Held>>);

#[derive(Default)]
struct Held {
    holders: usize,
    since: Option<Instant>,
    total: Duration,
}

/// The clock stands still until this is dropped.
pub(super) struct Hold(Clock);

impl Clock {
    pub(super) fn hold(&self) -> Hold {
        let mut held = self.lock();
        held.holders += 1;
        held.since.get_or_insert_with(Instant::now);
        Hold(self.clone())
    }

    /// How long it has stood still, and whether it does.
    fn held(&self) -> (Duration, bool) {
        let held = self.lock();
        let now = held.since.map(|since| since.elapsed()).unwrap_or_default();
        (held.total + now, held.since.is_some())
    }

    fn lock(&self) -> MutexGuard<'_, Held> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does `work` for as long as `limit` lasts by this clock; `None` when it took longer.
    pub(super) async fn within<T>(
        &self,
        limit: Duration,
        work: impl Future<Output = T>,
    ) -> Option<T> {
        let began = Instant::now();
        tokio::pin!(work);
        loop {
            let (stood, still) = self.held();
            let left = (limit + stood).saturating_sub(began.elapsed());
            if left.is_zero() && !still {
                return None;
            }
            tokio::select! {
                biased;
                done = &mut work => return Some(done),
                () = tokio::time::sleep(left.max(LOOK_EVERY)) => {}
            }
        }
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        let mut held = self.0.lock();
        held.holders = held.holders.saturating_sub(1);
        if held.holders == 0
            && let Some(since) = held.since.take()
        {
            held.total += since.elapsed();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn our_own_time_does_not_count() {
        let (clock, limit) = (Clock::default(), Duration::from_millis(100));
        let ours = async {
            let _hold = clock.hold();
            tokio::time::sleep(3 * limit).await;
            "done"
        };
        assert_eq!(clock.within(limit, ours).await, Some("done"));
        assert_eq!(clock.within(limit, std::future::pending::<()>()).await, None);
    }
}
