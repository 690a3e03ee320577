//! What is done beside the steps of tasks: results that expire, tasks whose owner is gone, and the count of bytes.

use std::path::PathBuf;

use sshepherd_model::TaskId;

use crate::error::Error;
use crate::record::{Orphans, Swept, Task};

use super::approvals;
use super::database;
use super::desk::Safe;
use super::find::blocking;
use super::log;
use super::rows::{self, Stored};
use super::shared::{Own, Shared};

impl Shared {
    /// See `Store::sweep`.
    pub(super) async fn expire(&self, now: u64) -> Result<Swept, Error> {
        self.look_for_wants().await;
        self.recent.clear();
        self.writer.call(Safe::Process, move |table| approvals::sweep(table, now)).await?;
        let keep = self.bounds.key_seconds.saturating_mul(1000);
        let due = self.writer.call(Safe::Process, move |table| rows::expire(table, now, keep));
        let (expired, due) = due.await?;
        crate::crash::point("expire.rows");
        if !due.is_empty() {
            let folder = self.folder().clone();
            let ids = blocking("cannot remove from", folder.root().to_path_buf(), move |_| {
                for id in &due {
                    log::remove(&folder.log(id))?;
                    crate::crash::point("expire.log");
                }
                Ok(due)
            })
            .await?;
            let remember = self.bounds.expired_ids;
            let noted =
                move |table: &rusqlite::Connection| rows::log_removed(table, &ids, remember);
            self.writer.call(Safe::Process, noted).await?;
        }
        self.count().await?;
        Ok(Swept { expired })
    }

    /// Counts the bytes that are kept.
    pub(super) async fn count(&self) -> Result<(), Error> {
        let kept = self.reader.call(Safe::Process, rows::kept).await?;
        self.count_stored(kept);
        Ok(())
    }

    /// See `Store::claim`.
    pub(super) async fn take_over(&self, which: Orphans) -> Result<Vec<Task>, Error> {
        let _alone = self.claiming.lock().await;
        let folder = self.folder();
        let owners = self.reader.call(Safe::Process, rows::owners).await?;
        let me = self.instance().to_owned();
        let dead: Vec<String> =
            owners.into_iter().filter(|owner| *owner != me && folder.is_dead(owner)).collect();
        // Before they are ours: what the spools of the dead have would else be lost with us.
        let inherited = self.inherit(&dead).await?;
        crate::crash::point("claim.inherited");
        let taken = match dead.is_empty() {
            true => Vec::new(),
            false => {
                let take = move |table: &rusqlite::Connection| {
                    // A newer version's tasks may say what this one would not heed.
                    match database::is_known(table)? {
                        true => take(table, &dead, &which, &me),
                        false => Ok(Vec::new()),
                    }
                };
                self.writer.call(Safe::Process, take).await?
            }
        };
        crate::crash::point("claim.taken");
        for id in inherited.iter().filter(|id| !taken.iter().any(|stored| stored.task.id == **id)) {
            self.spool.take(id);
        }
        let (mut tasks, mut failure) = (Vec::with_capacity(taken.len()), None);
        for stored in taken {
            match self.adopt(stored).await {
                Ok(task) => tasks.push(task),
                Err(error) => failure = Some(error),
            }
        }
        // What was taken is told; what could not be opened is there for the next claim.
        if let Some(error) = failure.filter(|_| tasks.is_empty()) {
            return Err(error);
        }
        let left = self.reader.call(Safe::Process, rows::owners).await?;
        for known in folder.traces().unwrap_or_default() {
            if !left.contains(&known) && folder.is_dead(&known) {
                folder.bury(&known);
            }
        }
        Ok(tasks)
    }

    /// Takes in what the spools of these dead servers have of tasks that are not ours.
    async fn inherit(&self, dead: &[String]) -> Result<Vec<TaskId>, Error> {
        let mut inherited = Vec::new();
        for server in dead {
            let spool = std::sync::Arc::clone(&self.spool);
            let path = self.folder().spool(server);
            let ours = self.ids();
            let inherit = move |path: PathBuf| spool.inherit(&path, |id| !ours.contains(id));
            inherited.extend(blocking("cannot take over from", path, inherit).await?);
        }
        Ok(inherited)
    }

    /// Goes on with the output of a task that is ours now, where its last whole entry ends.
    async fn adopt(&self, stored: Stored) -> Result<Task, Error> {
        let most = self.most(&stored.task);
        let path = self.folder().log(stored.task.id.as_str());
        let written = self.written(&stored.task);
        let output = match blocking("cannot open", path, move |_| written.found()).await {
            Ok(output) => output,
            Err(error) => {
                self.spool.take(&stored.task.id);
                let me = self.instance().to_owned();
                let back = move |table: &rusqlite::Connection| rows::give_back(table, &stored, &me);
                self.writer.call(Safe::Process, back).await?;
                return Err(error);
            }
        };
        let mut task = stored.task;
        task.output = output.sums().totals(most);
        self.enter(Own::new(task.clone(), output, stored.epoch + 1));
        Ok(task)
    }
}

fn take(
    table: &rusqlite::Connection,
    dead: &[String],
    which: &Orphans,
    me: &str,
) -> rusqlite::Result<Vec<Stored>> {
    let mut taken = Vec::new();
    for owner in dead {
        for stored in rows::owned(table, owner)? {
            if which.takes(&stored.task) && rows::take_over(table, &stored, me)? {
                taken.push(stored);
            }
        }
    }
    Ok(taken)
}
