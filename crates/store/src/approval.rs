//! Questions to people: asked once, answered once, and used as often as the answer says.
//!
//! A question is about one exact thing, which the asker gives as a digest; the store neither knows nor cares what it is.
//! Every step is one function of the record and the time, so that all backends agree.

use serde::{Deserialize, Serialize};
use sshepherd_model::ApprovalId;

/// Most questions that wait for an answer at once: more than any person reads.
pub const MAX_OPEN: usize = 100;

/// How long an answered or expired question is still listed, in milliseconds: a day.
pub const LISTED_MS: u64 = 86_400_000;

/// How long a yes holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Holds {
    /// For one use.
    Once,
    /// For any number of uses as long as it is valid.
    While,
}

/// A new question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewApproval {
    /// Its id, which nobody can guess.
    pub id: ApprovalId,
    /// Digest of exactly what is asked for.
    pub binding: String,
    /// What a person is shown, as the asker wrote it.
    pub about: String,
    /// Accounts that may answer; none means any.
    pub by: Vec<String>,
    /// Whether the answer must come over the command line.
    pub out_of_band: bool,
    /// When it was asked.
    pub asked_at: u64,
    /// When it is no longer open.
    pub open_until: u64,
    /// How long a yes is valid, in milliseconds from the answer on.
    pub valid_ms: u64,
    /// How often it can be used meanwhile.
    pub holds: Holds,
}

/// Where a question stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "state")]
pub enum Standing {
    /// Nobody has answered.
    Open,
    /// The answer was yes.
    Approved {
        /// Who said so.
        by: String,
        /// When.
        at: u64,
        /// Until when it can be used.
        until: u64,
    },
    /// The answer was no.
    Refused {
        /// Who said so.
        by: String,
        /// When.
        at: u64,
    },
    /// The answer was yes, for one use, which has happened.
    Used {
        /// Who said so.
        by: String,
        /// When it was used.
        at: u64,
    },
}

/// A question as it stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Approval {
    /// Its id.
    pub id: ApprovalId,
    /// Digest of exactly what is asked for.
    pub binding: String,
    /// What a person is shown, as the asker wrote it.
    pub about: String,
    /// Accounts that may answer; none means any.
    pub by: Vec<String>,
    /// Whether the answer must come over the command line.
    pub out_of_band: bool,
    /// When it was asked.
    pub asked_at: u64,
    /// When it is no longer open.
    pub open_until: u64,
    /// How long a yes is valid, in milliseconds.
    pub valid_ms: u64,
    /// How often it can be used meanwhile.
    pub holds: Holds,
    /// Where it stands.
    pub standing: Standing,
}

/// A person's answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settlement {
    /// Whether it is yes.
    pub yes: bool,
    /// Who answers.
    pub by: String,
    /// When.
    pub at: u64,
}

/// What came of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Settled {
    /// It counts; this is the question now.
    Done(Approval),
    /// The question was no longer open, and stays as it is.
    Late(Approval),
    /// There is no such question.
    Unknown,
}

impl Approval {
    pub(crate) fn open(new: NewApproval) -> Self {
        Self {
            id: new.id,
            binding: new.binding,
            about: new.about,
            by: new.by,
            out_of_band: new.out_of_band,
            asked_at: new.asked_at,
            open_until: new.open_until,
            valid_ms: new.valid_ms,
            holds: new.holds,
            standing: Standing::Open,
        }
    }

    /// Whether it waits for an answer at `now`.
    #[must_use]
    pub fn is_open(&self, now: u64) -> bool {
        self.standing == Standing::Open && now < self.open_until
    }

    /// Whether a yes could be used at `now`.
    #[must_use]
    pub fn is_valid(&self, now: u64) -> bool {
        matches!(self.standing, Standing::Approved { until, .. } if now < until)
    }

    /// In one word: `open`, `approved`, `refused`, `used` or `expired`.
    #[must_use]
    pub fn word(&self, now: u64) -> &'static str {
        match self.standing {
            Standing::Open if self.is_open(now) => "open",
            Standing::Approved { .. } if self.is_valid(now) => "approved",
            Standing::Open | Standing::Approved { .. } => "expired",
            Standing::Refused { .. } => "refused",
            Standing::Used { .. } => "used",
        }
    }

    /// When it need no longer be listed.
    pub(crate) fn gone_at(&self) -> u64 {
        let over = match self.standing {
            Standing::Open => self.open_until,
            Standing::Approved { until, .. } => until,
            Standing::Refused { at, .. } | Standing::Used { at, .. } => at,
        };
        over.saturating_add(LISTED_MS)
    }

    /// Takes an answer; `false` when it is not open any more.
    pub(crate) fn settle(&mut self, answer: &Settlement) -> bool {
        if !self.is_open(answer.at) {
            return false;
        }
        let (by, at) = (answer.by.clone(), answer.at);
        self.standing = if answer.yes {
            Standing::Approved { by, at, until: at.saturating_add(self.valid_ms) }
        } else {
            Standing::Refused { by, at }
        };
        true
    }

    /// Uses a yes; `false` when there is none to use at `now`.
    pub(crate) fn redeem(&mut self, now: u64) -> bool {
        if !self.is_valid(now) {
            return false;
        }
        if let (Holds::Once, Standing::Approved { by, .. }) = (self.holds, &self.standing) {
            self.standing = Standing::Used { by: by.clone(), at: now };
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(holds: Holds) -> Approval {
        Approval::open(NewApproval {
            id: "a".parse().unwrap(),
            binding: "b".to_owned(),
            about: String::new(),
            by: Vec::new(),
            out_of_band: false,
            asked_at: 10,
            open_until: 20,
            valid_ms: 5,
            holds,
        })
    }

    fn answer(yes: bool, at: u64) -> Settlement {
        Settlement { yes, by: "ann".to_owned(), at }
    }

    #[test]
    fn a_yes_for_once_is_used_once_and_in_time() {
        let mut approval = asked(Holds::Once);
        assert!(!approval.redeem(11), "nobody has said yes");
        assert!(approval.settle(&answer(true, 19)));
        assert!(!approval.settle(&answer(false, 19)), "answered already");
        assert_eq!(approval.word(23), "approved");
        assert!(!approval.clone().redeem(24), "too late");
        assert!(approval.redeem(23));
        assert_eq!(approval.word(23), "used");
        assert!(!approval.redeem(23), "used already");
    }

    #[test]
    fn a_yes_for_a_while_ends_with_it() {
        let mut approval = asked(Holds::While);
        assert!(approval.settle(&answer(true, 12)));
        assert!(approval.redeem(12) && approval.redeem(16));
        assert!(!approval.redeem(17));
        assert_eq!(approval.word(17), "expired");
    }

    #[test]
    fn a_no_is_final_and_a_question_does_not_stay_open() {
        let mut approval = asked(Holds::Once);
        assert!(!approval.settle(&answer(true, 20)), "no longer open");
        assert_eq!(approval.word(20), "expired");
        assert!(approval.settle(&answer(false, 12)));
        assert!(!approval.redeem(12) && !approval.settle(&answer(true, 12)));
        assert_eq!((approval.word(12), approval.gone_at()), ("refused", 12 + LISTED_MS));
    }
}
