//! Fan-outs that were waited for and whose answer could not hold everything: kept until some more of them came, so that the rest can
//! be read. One in the background needs none of this: its task has everything.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use sshepherd_engine::FanOut;
use sshepherd_model::{Request, TaskId};

/// How many are kept: the results themselves are in the store, so one takes some 2 KB a host.
const MOST: usize = 4;

/// The last ones.
#[derive(Clone, Default)]
pub(super) struct Rests(Arc<Mutex<Kept>>);

#[derive(Default)]
struct Kept {
    /// How many there were.
    count: u128,
    fan_outs: VecDeque<(TaskId, Arc<Rest>)>,
}

/// What an answer is made of.
pub(super) struct Rest {
    pub(super) request: Request,
    pub(super) fan_out: FanOut,
}

impl Rests {
    /// Keeps one, and gives it a name in the form of a task's id. Names of tasks end in 128 random bits, these in a small number.
    pub(super) fn keep(&self, request: &Request, fan_out: FanOut) -> Option<TaskId> {
        let label = fan_out.targets.label()?;
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.count += 1;
        let id = TaskId::compose(&label, &request.hash(), kept.count);
        kept.fan_outs.push_back((id.clone(), Arc::new(Rest { request: request.clone(), fan_out })));
        if kept.fan_outs.len() > MOST {
            kept.fan_outs.pop_front();
        }
        Some(id)
    }

    pub(super) fn get(&self, id: &TaskId) -> Option<Arc<Rest>> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.fan_outs.iter().find(|(known, _)| known == id).map(|(_, rest)| Arc::clone(rest))
    }
}
