//! What has been read of fan-outs' logs, so that whoever asks how far one has come need not read all of it again.

use std::sync::{Arc, Mutex, PoisonError};

use sshepherd_model::TaskId;
use sshepherd_store::{Error, StreamFilter, Task};

use crate::engine::Engine;
use crate::refusal::Refusal;
use crate::roster::Roster;

/// Bytes read at once.
const PAGE: usize = 1 << 20;

/// What has been read of the logs that were asked for last: they only grow, so each byte is read once.
#[derive(Debug, Default)]
pub(crate) struct Rosters {
    /// The one that was asked for last comes last.
    kept: Mutex<Vec<(TaskId, Read)>>,
}

type Read = Arc<tokio::sync::Mutex<Arc<Roster>>>;

/// Fan-outs that are asked about at the same time; of any other the log is read anew.
const KEPT: usize = 8;

impl Rosters {
    fn of(&self, id: &TaskId) -> Read {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let at = kept.iter().position(|(other, _)| other == id);
        let entry = at.map_or_else(|| (id.clone(), Read::default()), |at| kept.remove(at));
        let read = Arc::clone(&entry.1);
        kept.push(entry);
        if kept.len() > KEPT {
            kept.remove(0);
        }
        read
    }
}

impl Engine {
    /// What a task over many hosts has written down; `None` when it is a task of one host.
    pub async fn roster(&self, task: &Task) -> Result<Option<Arc<Roster>>, Refusal> {
        if !Self::is_group(task) {
            return Ok(None);
        }
        let read = self.rosters().of(&task.id);
        let mut read = read.lock().await;
        loop {
            let page = self.page(&task.id, read.read, PAGE, StreamFilter::Both).await;
            let page = match page {
                // Shorter than it was: another log, which is read from its beginning.
                Err(Error::BeyondEnd { .. }) => {
                    *read = Arc::default();
                    continue;
                }
                page => page.map_err(Refusal::Store)?.found(),
            };
            let Some(page) = page else {
                *read = Arc::default();
                break;
            };
            let some = page.next > read.read;
            if some {
                let roster = Arc::make_mut(&mut read);
                roster.read = page.next;
                page.chunks.iter().for_each(|chunk| roster.take(&chunk.bytes));
            }
            if !some || read.read >= page.total {
                break;
            }
        }
        Ok(Some(Arc::clone(&read)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn those_that_were_asked_for_last_are_kept() {
        let rosters = Rosters::default();
        let id = |at: usize| -> TaskId { format!("web:{at}:task").parse().unwrap() };
        let first = rosters.of(&id(0));
        for other in 1..KEPT {
            rosters.of(&id(other));
        }
        assert!(Arc::ptr_eq(&first, &rosters.of(&id(0))), "there is room for {KEPT}");
        rosters.of(&id(KEPT));
        assert!(Arc::ptr_eq(&first, &rosters.of(&id(0))), "another one was asked for longer ago");
        for other in 1..=KEPT {
            rosters.of(&id(other));
        }
        assert!(!Arc::ptr_eq(&first, &rosters.of(&id(0))), "no more than {KEPT} are kept");
    }
}
