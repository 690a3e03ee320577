//! All tasks of the in-memory backend, and who must make room when a bound is reached.

use std::collections::{HashMap, HashSet, VecDeque};

use sshepherd_model::{Stream, TaskId};

use crate::error::Error;
use crate::hint::{Heard, Hint, Hints, News};
use crate::output::{Page, StreamFilter, Totals};
use crate::reading;
use crate::record::{
    Finish, ListCursor, ListPage, ListQuery, Lookup, MAX_LIST, NewTask, Patch, Spent, Swept, Task,
};
use crate::retained::Retained;
use crate::row::Row;
use crate::state::State;

use super::{Bounds, FLOOR_BYTES};

/// Memory that a task's record takes beside its command: ids, times and map entries, rounded up.
const RECORD_BYTES: usize = 2048;

/// One task with its output.
#[derive(Debug)]
pub(super) struct Kept {
    pub(super) task: Task,
    pub(super) output: Retained,
}

impl Kept {
    fn footprint(&self) -> usize {
        let errand = self.task.errand.as_ref().map_or(0, String::len);
        RECORD_BYTES + self.task.command.len() + errand + self.output.footprint()
    }
}

/// Ids of the last so many expired tasks.
#[derive(Debug)]
struct Expired {
    most: usize,
    order: VecDeque<TaskId>,
    ids: HashSet<TaskId>,
}

impl Expired {
    fn remember(&mut self, id: TaskId) {
        if self.ids.insert(id.clone()) {
            self.order.push_back(id);
        }
        while self.order.len() > self.most {
            if let Some(oldest) = self.order.pop_front() {
                self.ids.remove(&oldest);
            }
        }
    }
}

/// All of it.
#[derive(Debug)]
pub(super) struct Shelf {
    bounds: Bounds,
    tasks: HashMap<TaskId, Kept>,
    /// Finished tasks, the one that ended first at the front.
    finished: VecDeque<TaskId>,
    live_bytes: usize,
    finished_bytes: usize,
    expired: Expired,
    /// Callers' own names of tasks whose results have gone.
    spent: HashMap<String, Spent>,
    hints: Hints,
}

impl Shelf {
    pub(super) fn new(bounds: Bounds, hints: Hints) -> Self {
        let expired =
            Expired { most: bounds.expired_ids, order: VecDeque::new(), ids: HashSet::new() };
        Self {
            bounds,
            tasks: HashMap::new(),
            finished: VecDeque::new(),
            live_bytes: 0,
            finished_bytes: 0,
            expired,
            spent: HashMap::new(),
            hints,
        }
    }

    pub(super) fn footprint(&self) -> usize {
        self.live_bytes + self.finished_bytes
    }

    pub(super) fn look_up(&self, id: &TaskId) -> Lookup<&Kept> {
        match self.tasks.get(id) {
            Some(kept) => Lookup::Found(kept),
            None => self.absent(id),
        }
    }

    fn absent<T>(&self, id: &TaskId) -> Lookup<T> {
        if self.expired.ids.contains(id) { Lookup::Expired } else { Lookup::Unknown }
    }

    pub(super) fn keyed(&self, key: &str) -> Option<&Task> {
        self.tasks.values().map(|kept| &kept.task).find(|task| task.key.as_deref() == Some(key))
    }

    pub(super) fn spent(&self, key: &str, now: u64) -> Option<&Spent> {
        self.spent.get(key).filter(|spent| spent.until > now)
    }

    pub(super) fn create(&mut self, new: NewTask) -> Result<Task, Error> {
        if self.tasks.contains_key(&new.id) || self.expired.ids.contains(&new.id) {
            return Err(Error::Exists { id: new.id });
        }
        let live = self.tasks.len() - self.finished.len();
        if live >= self.bounds.live_tasks {
            return Err(Error::Full { live });
        }
        if let Some(taken) = new.key.as_ref().and_then(|key| self.keyed(key)) {
            return Err(Error::KeyTaken { task: Box::new(taken.clone()) });
        }
        let spent = new.key.as_deref().and_then(|key| self.spent(key, new.created_at));
        if let Some(spent) = spent {
            return Err(Error::KeySpent { spent: Box::new(spent.clone()) });
        }
        let output = Retained::new(new.limits.max_output_bytes.min(self.bounds.task_bytes));
        let task = Task::pending(new);
        let kept = Kept { task: task.clone(), output };
        self.live_bytes += kept.footprint();
        self.tasks.insert(task.id.clone(), kept);
        self.make_room();
        self.hint(&task.id, News::State(State::Pending));
        Ok(task)
    }

    pub(super) fn append(
        &mut self,
        id: &TaskId,
        stream: Stream,
        bytes: &[u8],
    ) -> Result<Totals, Error> {
        let Some(kept) = self.tasks.get_mut(id) else {
            return Err(Error::Gone { id: id.clone() });
        };
        if kept.task.status != State::Running {
            return Err(Error::NotRunning { id: id.clone(), state: kept.task.status });
        }
        // Finished tasks can make room, live ones cannot.
        let growth = kept.output.growth(bytes.len());
        let quota = if self.live_bytes + growth > self.bounds.total_bytes {
            kept.output.tight_quota(FLOOR_BYTES)
        } else {
            kept.output.full_quota()
        };
        let before = kept.footprint();
        kept.output.append(stream, bytes, quota);
        kept.task.output = kept.output.totals();
        self.live_bytes = self.live_bytes - before + kept.footprint();
        let totals = kept.task.output;
        self.make_room();
        if !bytes.is_empty() {
            self.hint(id, News::Grew { total: totals.bytes() });
        }
        Ok(totals)
    }

    pub(super) fn read(
        &self,
        id: &TaskId,
        from: u64,
        max_bytes: usize,
        filter: StreamFilter,
    ) -> Result<Lookup<Page>, Error> {
        let found = self.look_up(id);
        if let Lookup::Found(kept) = &found
            && from > kept.output.total()
        {
            return Err(Error::BeyondEnd { id: id.clone(), from, total: kept.output.total() });
        }
        Ok(found.map(|kept| {
            let Ok(page) = reading::page(&kept.output, from, max_bytes, filter);
            page
        }))
    }

    pub(super) fn finish(&mut self, id: &TaskId, end: Finish) -> Result<Task, Error> {
        let Some(kept) = self.tasks.get_mut(id) else {
            return Err(Error::Gone { id: id.clone() });
        };
        let before = kept.footprint();
        kept.task.end(end)?;
        self.live_bytes -= before;
        kept.output.seal();
        self.finished_bytes += kept.footprint();
        let task = kept.task.clone();
        self.finished.push_back(id.clone());
        self.make_room();
        self.hint(id, News::State(task.status));
        Ok(task)
    }

    pub(super) fn patch(&mut self, id: &TaskId, patch: Patch) -> Result<Lookup<Task>, Error> {
        let Some(kept) = self.tasks.get_mut(id) else {
            return Ok(self.absent(id));
        };
        let news = kept.task.patch(patch)?;
        let task = kept.task.clone();
        if let Some(news) = news {
            self.hint(id, news);
        }
        Ok(Lookup::Found(task))
    }

    pub(super) fn list(&self, query: &ListQuery) -> ListPage {
        let limit = if query.limit == 0 { MAX_LIST } else { query.limit.min(MAX_LIST) };
        let place = |task: &Task| ListCursor { created_at: task.created_at, id: task.id.clone() };
        let mut tasks: Vec<&Task> =
            self.tasks
                .values()
                .map(|kept| &kept.task)
                .filter(|task| query.states.is_empty() || query.states.contains(&task.status))
                .filter(|task| query.alias.as_ref().is_none_or(|alias| *alias == task.alias))
                .filter(|task| {
                    query.after.as_ref().is_none_or(|after| {
                        (task.created_at, &task.id) < (after.created_at, &after.id)
                    })
                })
                .collect();
        tasks.sort_by(|a, b| (b.created_at, &b.id).cmp(&(a.created_at, &a.id)));
        let more = tasks.len() > limit;
        tasks.truncate(limit);
        let next = tasks.last().filter(|_| more).map(|task| place(task));
        ListPage { tasks: tasks.into_iter().cloned().collect(), next }
    }

    pub(super) fn sweep(&mut self, now: u64) -> Swept {
        let due: Vec<TaskId> = self
            .tasks
            .values()
            .filter(|kept| kept.task.expires_at().is_some_and(|at| at <= now))
            .map(|kept| kept.task.id.clone())
            .collect();
        if due.is_empty() {
            return Swept::default();
        }
        for id in &due {
            self.remove_finished(id);
        }
        self.spent.retain(|_, spent| spent.until > now);
        let Self { finished, tasks, .. } = self;
        finished.retain(|id| tasks.contains_key(id));
        Swept { expired: due.len() }
    }

    /// Lets finished tasks go, the one that ended first at the head, until the bounds hold.
    fn make_room(&mut self) {
        while self.finished.len() > self.bounds.finished_tasks
            || (self.footprint() > self.bounds.total_bytes && !self.finished.is_empty())
        {
            if let Some(id) = self.finished.pop_front() {
                self.remove_finished(&id);
            }
        }
    }

    fn remove_finished(&mut self, id: &TaskId) {
        if let Some((id, kept)) = self.tasks.remove_entry(id) {
            self.finished_bytes -= kept.footprint();
            let keep = self.bounds.key_seconds.saturating_mul(1000);
            if let (Some(key), Some(spent)) = (&kept.task.key, Spent::of(&kept.task, keep)) {
                self.spent.insert(key.clone(), spent);
            }
            if self.spent.len() > self.bounds.expired_ids {
                let first = self.spent.iter().min_by_key(|(_, spent)| spent.until);
                let first = first.map(|(key, _)| key.clone());
                first.and_then(|key| self.spent.remove(&key));
            }
            self.expired.remember(id);
        }
    }

    fn hint(&self, id: &TaskId, news: News) {
        self.hints.publish(Heard::Hint(Hint { id: id.clone(), news }));
    }
}
