//! What is kept of fan-outs whose answer could not hold everything, until some more of them came: of those that were waited for what
//! the rest can be read from, and the groups of any that has ended, so that no further page reads all hosts again.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use sshepherd_engine::{Config, FanOut};
use sshepherd_model::{Request, TaskId};

use crate::answer::Folded;

/// How many are kept. Of those that were waited for the results themselves are in the store, so one takes some 2 KB a host.
const MOST: usize = 4;
/// Most bytes of groups, all together.
const MOST_BYTES: usize = 32 << 20;
/// How long groups are kept: who reads page after page does so at once, and results expire.
const KEPT: Duration = Duration::from_secs(300);

/// The last ones.
#[derive(Clone, Default)]
pub(super) struct Rests(Arc<Mutex<Kept>>);

#[derive(Default)]
struct Kept {
    fan_outs: VecDeque<(TaskId, Arc<Rest>)>,
    folds: VecDeque<Fold>,
}

/// Groups as they were under one configuration: another one may know more secrets, and the old one's are not kept for this.
struct Fold {
    id: TaskId,
    config: Weak<Config>,
    bytes: usize,
    at: Instant,
    folded: Arc<Folded>,
}

/// What an answer is made of.
pub(super) struct Rest {
    pub(super) request: Request,
    pub(super) fan_out: FanOut,
}

impl Rests {
    /// Keeps one under a name in the form of a task's id, as hard to guess.
    pub(super) fn keep(&self, id: TaskId, request: &Request, fan_out: FanOut) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.fan_outs.push_back((id, Arc::new(Rest { request: request.clone(), fan_out })));
        if kept.fan_outs.len() > MOST {
            kept.fan_outs.pop_front();
        }
    }

    pub(super) fn get(&self, id: &TaskId) -> Option<Arc<Rest>> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.fan_outs.iter().find(|(known, _)| known == id).map(|(_, rest)| Arc::clone(rest))
    }

    /// Keeps the groups of a fan-out that has ended.
    pub(super) fn keep_folded(&self, id: &TaskId, config: &Arc<Config>, folded: &Arc<Folded>) {
        let bytes = folded.bytes();
        if bytes > MOST_BYTES {
            return;
        }
        let (config, at) = (Arc::downgrade(config), Instant::now());
        let new = Fold { id: id.clone(), config, bytes, at, folded: Arc::clone(folded) };
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.folds.retain(|fold| fold.id != *id);
        kept.folds.push_back(new);
        kept.tidy(at);
    }

    /// The groups of a fan-out, if they are kept and as they would be now.
    pub(super) fn folded(&self, id: &TaskId, config: &Arc<Config>) -> Option<Arc<Folded>> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.tidy(Instant::now());
        let config = Arc::downgrade(config);
        let same = |fold: &&Fold| fold.id == *id && fold.config.ptr_eq(&config);
        kept.folds.iter().find(same).map(|fold| Arc::clone(&fold.folded))
    }
}

impl Kept {
    /// Leaves out what is old, and the oldest of what is too much.
    fn tidy(&mut self, now: Instant) {
        self.folds.retain(|fold| {
            now.saturating_duration_since(fold.at) < KEPT && fold.config.strong_count() > 0
        });
        let bytes = |folds: &VecDeque<Fold>| folds.iter().map(|fold| fold.bytes).sum::<usize>();
        while self.folds.len() > MOST || bytes(&self.folds) > MOST_BYTES {
            self.folds.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use sshepherd_model::Targets;

    use super::*;
    use crate::answer::RunAnswer;

    fn id(n: u128) -> TaskId {
        TaskId::compose(&"fleet".parse().unwrap(), &Request::new("true").unwrap().hash(), n)
    }

    fn groups(bytes: usize) -> Arc<Folded> {
        let output = Some("x".repeat(bytes));
        let entry = RunAnswer { alias: Some("a".to_owned()), output, ..RunAnswer::default() };
        Arc::new(Folded::of(&Targets::On("all".parse().unwrap()), &[entry]))
    }

    #[test]
    fn the_last_few_are_kept_and_not_too_many_bytes_of_them() {
        let (rests, config) = (Rests::default(), Arc::new(crate::cli::no_hosts().0));
        let kept = |from: u128, to: u128| -> Vec<u128> {
            (from..to).filter(|n| rests.folded(&id(*n), &config).is_some()).collect()
        };
        for n in 0..6 {
            rests.keep_folded(&id(n), &config, &groups(100));
        }
        assert_eq!(kept(0, 6), [2, 3, 4, 5]);
        rests.keep_folded(&id(6), &config, &groups(MOST_BYTES - 1000));
        assert_eq!(kept(0, 7), [5, 6], "as many as have room");
        rests.keep_folded(&id(7), &config, &groups(MOST_BYTES));
        assert_eq!(kept(0, 8), [5, 6], "one alone may be too much");
        rests.keep_folded(&id(6), &config, &groups(10));
        assert_eq!(rests.folded(&id(6), &config).unwrap().bytes(), groups(10).bytes());
    }

    /// Another configuration may know more secrets.
    #[test]
    fn groups_are_those_of_the_configuration_in_force_and_not_old() {
        let (rests, config) = (Rests::default(), Arc::new(crate::cli::no_hosts().0));
        rests.keep_folded(&id(1), &config, &groups(10));
        assert!(rests.folded(&id(1), &Arc::new(crate::cli::no_hosts().0)).is_none());
        assert!(rests.folded(&id(1), &config).is_some());
        rests.0.lock().unwrap().tidy(Instant::now() + KEPT);
        assert!(rests.folded(&id(1), &config).is_none());
        rests.keep_folded(&id(1), &config, &groups(10));
        drop(config);
        rests.0.lock().unwrap().tidy(Instant::now());
        assert_eq!(rests.0.lock().unwrap().folds.len(), 0);
    }
}
