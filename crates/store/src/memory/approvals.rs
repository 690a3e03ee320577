//! Questions to people, in memory.

use sshepherd_model::ApprovalId;

use crate::approval::{Approval, MAX_OPEN, NewApproval, Settled, Settlement};
use crate::error::Error;

/// All of them, the one that was asked first at the front.
#[derive(Debug, Default)]
pub(super) struct Approvals {
    asked: Vec<Approval>,
}

impl Approvals {
    pub(super) fn ask(&mut self, new: NewApproval) -> Result<Approval, Error> {
        let now = new.asked_at;
        let same = |known: &&Approval| known.binding == new.binding && known.is_open(now);
        if let Some(known) = self.asked.iter().find(same) {
            return Ok(known.clone());
        }
        let open = self.asked.iter().filter(|known| known.is_open(now)).count();
        if open >= MAX_OPEN {
            return Err(Error::TooManyQuestions { open });
        }
        let approval = Approval::open(new);
        self.asked.push(approval.clone());
        Ok(approval)
    }

    /// Newest first.
    pub(super) fn list(&self) -> Vec<Approval> {
        self.asked.iter().rev().cloned().collect()
    }

    pub(super) fn settle(&mut self, id: &ApprovalId, answer: &Settlement) -> Settled {
        let Some(known) = self.asked.iter_mut().find(|known| known.id == *id) else {
            return Settled::Unknown;
        };
        if known.settle(answer) {
            Settled::Done(known.clone())
        } else {
            Settled::Late(known.clone())
        }
    }

    pub(super) fn redeem(&mut self, binding: &str, now: u64) -> Option<Approval> {
        let mut bound = self.asked.iter_mut().rev().filter(|known| known.binding == binding);
        bound.find_map(|known| known.redeem(now).then(|| known.clone()))
    }

    pub(super) fn sweep(&mut self, now: u64) {
        self.asked.retain(|known| known.gone_at() > now);
    }
}
