//! Short outputs of tasks that ended a moment ago: who waited for a command asks for its output next, and need not ask the
//! table for what was there just now.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use sshepherd_model::TaskId;

use crate::retained::Retained;

/// Most outputs that are kept.
const MOST: usize = 1024;
/// How long one is looked at. Then the table decides, for another server may have expired it.
const FRESH: Duration = Duration::from_secs(10);

/// Those of tasks that have ended.
#[derive(Debug, Default)]
pub(super) struct Recent(Mutex<Kept>);

#[derive(Debug, Default)]
struct Kept {
    order: VecDeque<TaskId>,
    outputs: HashMap<TaskId, (Instant, Arc<Retained>)>,
}

impl Recent {
    /// Keeps the output of a task that ends now.
    pub(super) fn keep(&self, id: &TaskId, mut output: Retained) {
        output.seal();
        let mut kept = self.lock();
        if kept.outputs.insert(id.clone(), (Instant::now(), Arc::new(output))).is_none() {
            kept.order.push_back(id.clone());
        }
        while kept.order.len() > MOST {
            if let Some(oldest) = kept.order.pop_front() {
                kept.outputs.remove(&oldest);
            }
        }
    }

    pub(super) fn get(&self, id: &TaskId) -> Option<Arc<Retained>> {
        let kept = self.lock();
        let (ended, output) = kept.outputs.get(id)?;
        (ended.elapsed() < FRESH).then(|| Arc::clone(output))
    }

    /// Forgets everything: results expire, and this is no place to ask which.
    pub(super) fn clear(&self) {
        *self.lock() = Kept::default();
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(nonce: u128) -> TaskId {
        let hash = sshepherd_model::CommandHash::of("true");
        TaskId::compose(&"web".parse().unwrap(), &hash, nonce)
    }

    #[test]
    fn no_more_than_so_many() {
        let recent = Recent::default();
        for nonce in 0..=MOST as u128 {
            recent.keep(&id(nonce), Retained::new(10));
        }
        assert!(recent.get(&id(0)).is_none());
        assert!(recent.get(&id(1)).is_some());
        recent.clear();
        assert!(recent.get(&id(1)).is_none());
    }
}
