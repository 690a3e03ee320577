//! Short outputs of tasks that ended a moment ago: who waited for a command asks for its output next, and need not open files
//! that were written just now.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use sshepherd_model::{Stream, TaskId};

use crate::retained::Retained;
use crate::row::Row;

/// Longest output that is kept: more than most commands write, and a thousand of them are 4 MiB.
const EACH: u64 = 4096;
/// Most outputs that are kept.
const MOST: usize = 1024;
/// How long one is looked at. Then the disk decides, for another server may have expired it.
const FRESH: Duration = Duration::from_secs(10);

/// The whole output of a running task while it is short.
#[derive(Debug)]
pub(super) struct Short(Option<Retained>);

impl Short {
    /// Of a task of which at most `most` bytes are kept.
    pub(super) fn new(most: u64) -> Self {
        Self(Some(Retained::new(most.min(EACH))))
    }

    /// Of a task that was begun elsewhere: not known whole.
    pub(super) fn unknown() -> Self {
        Self(None)
    }

    pub(super) fn append(&mut self, stream: Stream, bytes: &[u8]) {
        let Some(all) = &mut self.0 else { return };
        if all.total() + bytes.len() as u64 > EACH {
            self.0 = None;
            return;
        }
        all.append(stream, bytes, all.full_quota());
        if all.gap().is_some() {
            self.0 = None;
        }
    }
}

/// Those of tasks that have ended.
#[derive(Debug, Default)]
pub(super) struct Recent(Mutex<Kept>);

#[derive(Debug, Default)]
struct Kept {
    order: VecDeque<TaskId>,
    outputs: HashMap<TaskId, (Instant, Arc<Retained>)>,
}

impl Recent {
    /// Keeps the output of a task that ends now, if it was short.
    pub(super) fn keep(&self, id: &TaskId, short: Short) {
        let Some(mut output) = short.0 else { return };
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
    fn only_whole_and_short_outputs_are_kept() {
        let recent = Recent::default();
        for (nonce, most, pieces, kept) in [
            (1, u64::MAX, vec![4096], true),
            (2, u64::MAX, vec![4000, 97], false),
            (3, 1024, vec![1000, 25], false),
            (4, 1024, vec![500, 500], true),
            (5, u64::MAX, vec![], true),
        ] {
            let mut short = Short::new(most);
            for length in pieces {
                short.append(Stream::Stdout, &vec![b'x'; length]);
            }
            recent.keep(&id(nonce), short);
            assert_eq!(recent.get(&id(nonce)).is_some(), kept, "{nonce}");
        }
        let mut elsewhere = Short::unknown();
        elsewhere.append(Stream::Stdout, b"x");
        recent.keep(&id(6), elsewhere);
        assert!(recent.get(&id(6)).is_none());
    }

    #[test]
    fn no_more_than_so_many() {
        let recent = Recent::default();
        for nonce in 0..=MOST as u128 {
            recent.keep(&id(nonce), Short::new(10));
        }
        assert!(recent.get(&id(0)).is_none());
        assert!(recent.get(&id(1)).is_some());
        recent.clear();
        assert!(recent.get(&id(1)).is_none());
    }
}
