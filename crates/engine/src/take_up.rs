//! Tasks that a server accepted and left behind before they were on their hosts, brought there by whoever asks about them.

use sshepherd_store::{Lookup, Orphans, State, Task};

use crate::engine::{Engine, LAST_STARTS};
use crate::errand::Errand;
use crate::refusal::Refusal;

impl Engine {
    /// Takes up a task whose server is gone and that may not be on all of its hosts yet, and waits a bounded time until it is.
    /// Answers whether it goes on here from now on: not with one that runs, whose server is alive, or whose hosts are not known here.
    pub async fn take_up(&self, task: &Task) -> Result<bool, Refusal> {
        if !Self::may_be_left_behind(task) || !self.knows_hosts_of(task) {
            return Ok(false);
        }
        self.take_over(Orphans::One(task.id.clone())).await;
        if self.live().get(&task.id).is_none() {
            return Ok(false);
        }
        let mut hints = self.hints();
        let arriving = async {
            while !self.has_arrived(task).await? {
                hints.next().await;
            }
            Ok::<_, Refusal>(())
        };
        // What is not there by then goes on for as long as this process asks about it.
        tokio::time::timeout(LAST_STARTS, arriving).await.unwrap_or(Ok(()))?;
        Ok(true)
    }

    /// Whether a task may not be on all of its hosts yet.
    #[must_use]
    pub fn may_be_left_behind(task: &Task) -> bool {
        task.status == State::Pending || (!task.status.is_final() && Self::is_group(task))
    }

    fn knows_hosts_of(&self, task: &Task) -> bool {
        let inventory = &self.config().inventory;
        match task.errand.as_deref().and_then(Errand::targets) {
            Some(targets) => targets.select(inventory).is_ok_and(|hosts| !hosts.is_empty()),
            None => inventory.host(&task.alias).is_some(),
        }
    }

    async fn has_arrived(&self, task: &Task) -> Result<bool, Refusal> {
        let now = match self.task(&task.id).await? {
            Lookup::Found(now) => now,
            Lookup::Expired | Lookup::Unknown => return Ok(true),
        };
        if now.status.is_final() {
            return Ok(true);
        }
        Ok(match self.roster(task).await? {
            Some(roster) => roster.counts().hosts > 0 && roster.counts().pending == 0,
            None => now.status != State::Pending,
        })
    }
}
