//! Asking a person first: what exactly a yes is for, what the person is shown, and how an answer is taken and used.
//!
//! A yes is bound to a digest of the host and the log-in there, the exact text that would be sent, all that surrounds it and
//! the policy; for a fan-out also of how it goes over its hosts. Whoever comes back with anything else asks a new question.

mod about;

use std::collections::BTreeSet;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use sshepherd_model::ApprovalId;
use sshepherd_policy::{Judged, Lasts, Permit, Question, Terms};
use sshepherd_store::{Approval, Error, Holds, NewApproval, Settled, Settlement, Standing};

use crate::clearance::Wanted;
use crate::config::Config;
use crate::engine::{Engine, now_ms};
use crate::pipeline::Origin;
use crate::refusal::Refusal;
use crate::seal::Sealer;

pub use about::{About, RolloutShown, StdinShown, Variant, Why};

/// A question that waits for a person.
#[derive(Debug, Clone)]
pub struct Asked {
    /// Its id.
    pub id: ApprovalId,
    /// What a person is shown.
    pub about: About,
    /// Milliseconds since the epoch at which it is no longer open.
    pub open_until: u64,
    /// Whether the client that asks may give the answer of a person that it asked; else it is given on the command line.
    pub in_band: bool,
}

/// How an answer reaches us.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Channel {
    /// A person at a terminal, under this account.
    CommandLine {
        /// The account's name.
        account: String,
    },
    /// An MCP client that says it has asked a person.
    Client {
        /// How it names itself.
        name: String,
    },
}

/// A yes that was given, as it is kept with what it was for.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Granted {
    /// Digests of what it covers.
    bindings: BTreeSet<String>,
    /// Milliseconds since the epoch at which it is over.
    #[serde(default)]
    until: Option<u64>,
    /// Nothing starts by it after that; else a fan-out that it started goes on, but not out of a pause.
    #[serde(default)]
    timed: bool,
    /// For one start: another server does not go on by it.
    #[serde(default)]
    once: bool,
}

/// Why a fan-out that another server goes on with begins no more hosts.
pub(crate) const OVER: &str = "the approval of this fan-out does not cover it any more (it was for one start, or the \
     configuration has changed); start it again for the hosts that are left";

/// Why a fan-out begins no more hosts after a time or a pause.
pub(crate) const EXPIRED: &str =
    "the approval has expired; start it again for the hosts that are left";

impl Granted {
    fn of(bindings: BTreeSet<String>, approval: &Approval, lasts: Lasts) -> Self {
        let until = match approval.standing {
            Standing::Approved { until, .. } => until,
            Standing::Used { at, .. } | Standing::Refused { at, .. } => {
                at.saturating_add(approval.valid_ms)
            }
            Standing::Open => approval.open_until,
        };
        Self {
            bindings,
            until: Some(until),
            timed: matches!(lasts, Lasts::Minutes(_)),
            once: lasts == Lasts::Once,
        }
    }

    /// Whether it covers this.
    pub(crate) fn covers(&self, binding: &str) -> bool {
        self.bindings.contains(binding)
    }

    /// What of it may be kept for a server that goes on: of a yes for one start only when it is over.
    pub(crate) fn kept(&self) -> Self {
        let bindings = if self.once { BTreeSet::new() } else { self.bindings.clone() };
        Self { bindings, ..*self }
    }

    /// The part of it that is for one host.
    fn only(&self, binding: String) -> Self {
        Self { bindings: BTreeSet::from([binding]), ..*self }
    }

    /// Whether nothing starts by it any more at `now`.
    pub(crate) fn is_over(&self, now: u64) -> bool {
        self.timed && self.has_lapsed(now)
    }

    /// Whether it is too late at `now` to come out of a pause by it.
    pub(crate) fn has_lapsed(&self, now: u64) -> bool {
        self.until.is_some_and(|until| now >= until)
    }
}

/// Whether a person may be asked now.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Asking<'a> {
    /// Yes: this is a request of its own.
    Now,
    /// No: it is a part of something that was asked for as a whole, and has this yes or none.
    Done(&'a Granted),
}

/// A permit that a person has given free.
pub(crate) struct Released<P = Permit> {
    pub(crate) permit: P,
    /// What of the yes may be kept with the task for a server that goes on with it: nothing of one that is for one start.
    pub(crate) kept: Granted,
}

impl Engine {
    /// What makes digests under a configuration.
    pub(crate) fn sealer<'a>(&self, config: &'a Config) -> Result<Sealer<'a>, Refusal> {
        let key = self.store().digest_key().map_err(Refusal::Store)?;
        Ok(Sealer::new(key, config))
    }

    /// The permit of a question that was answered with yes; else the question, asked now or before.
    pub(crate) async fn released<P: Judged>(
        &self,
        config: &Config,
        question: Question<P>,
        origin: &Origin,
        asking: Asking<'_>,
    ) -> Result<Released<P>, Refusal> {
        let binding = self.sealer(config)?.permit(P::KIND, question.parts());
        if let Asking::Done(granted) = asking {
            if !granted.covers(&binding) {
                return Err(Refusal::NotBegun { why: OVER.to_owned() });
            }
            let kept = granted.only(binding).kept();
            return Ok(Released { permit: question.approved(), kept });
        }
        let used = self.store().redeem(&binding, now_ms()).await.map_err(Refusal::Store)?;
        if let Some(approval) = used {
            self.audit_approval(&approval, "used", origin, Some(question.parts()))?;
            let lasts = question.terms().lasts;
            let kept = Granted::of(BTreeSet::from([binding]), &approval, lasts).kept();
            return Ok(Released { permit: question.approved(), kept });
        }
        let about = About::of(config, &[&question], origin);
        let asked = self.ask(binding, about, question.terms()).await?;
        self.audit_asked(config, &asked, question.parts(), origin)?;
        Err(Refusal::ApprovalRequired(Box::new(asked)))
    }

    /// One yes for all that a fan-out wants of a person; nothing to be had when it wants none.
    pub(crate) async fn released_for_all(
        &self,
        config: &Config,
        wanted: &Wanted<'_>,
        origin: &Origin,
    ) -> Result<Granted, Refusal> {
        let mut questions = wanted.questions();
        let Some(first) = questions.next() else { return Ok(Granted::default()) };
        let mut terms = first.terms().clone();
        for question in questions {
            terms = terms.strictest(question.terms());
        }
        let mut sealer = self.sealer(config)?;
        let bindings: BTreeSet<String> = wanted
            .questions()
            .map(|question| sealer.permit(Permit::KIND, question.parts()))
            .collect();
        let texts = bindings.iter().map(String::as_str);
        let whole = sealer.fan_out(texts, wanted.hosts, (wanted.request, wanted.rollout));
        let used = self.store().redeem(&whole, now_ms()).await.map_err(Refusal::Store)?;
        if let Some(approval) = used {
            self.audit_approval(&approval, "used", origin, None)?;
            return Ok(Granted::of(bindings, &approval, terms.lasts));
        }
        let about = wanted.about(config, origin, terms.lasts);
        let asked = self.ask(whole, about, &terms).await?;
        self.audit_asked(config, &asked, first.parts(), origin)?;
        Err(Refusal::ApprovalRequired(Box::new(asked)))
    }

    async fn ask(&self, binding: String, about: About, terms: &Terms) -> Result<Asked, Refusal> {
        let millis = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        let (open, now) = (millis(terms.expires), now_ms());
        let (holds, valid_ms) = match terms.lasts {
            Lasts::Once | Lasts::Task => (Holds::Once, open),
            Lasts::Minutes(minutes) => (Holds::While, u64::from(minutes) * 60_000),
        };
        // A struct of texts always has a form in JSON.
        let text = serde_json::to_string(&about).unwrap_or_default();
        let question = NewApproval {
            id: ApprovalId::compose(
                self.nonce()?
                    .to_le_bytes()
                    .first_chunk()
                    .map_or(0, |bytes| u64::from_le_bytes(*bytes)),
            ),
            binding,
            about: text,
            by: terms.by.clone(),
            out_of_band: terms.out_of_band,
            asked_at: now,
            open_until: now.saturating_add(open),
            valid_ms,
            holds,
        };
        let approval = self.store().ask(question).await.map_err(|error| {
            let full = matches!(error, Error::TooManyQuestions { .. });
            if full { Refusal::Busy(error) } else { Refusal::Store(error) }
        })?;
        Ok(Asked {
            id: approval.id.clone(),
            open_until: approval.open_until,
            in_band: in_band(&approval),
            about: About::read(&approval).unwrap_or(about),
        })
    }

    /// The questions, newest first, with what a person is shown.
    pub async fn approvals(&self) -> Result<Vec<(Approval, Option<About>)>, Error> {
        let approvals = self.store().approvals().await?;
        Ok(approvals
            .into_iter()
            .map(|approval| {
                let about = About::read(&approval);
                (approval, about)
            })
            .collect())
    }

    /// Takes a person's answer, if the owner's terms let it come this way and from this account.
    pub async fn settle(
        &self,
        id: &ApprovalId,
        yes: bool,
        channel: &Channel,
        origin: &Origin,
    ) -> Result<Settled, Refusal> {
        let known = self.store().approvals().await.map_err(Refusal::Store)?;
        let Some(approval) = known.into_iter().find(|approval| approval.id == *id) else {
            return Ok(Settled::Unknown);
        };
        let by = match channel {
            Channel::Client { name } if in_band(&approval) => format!("a person, says {name}"),
            Channel::Client { .. } => return Err(Refusal::OutOfBand { id: id.clone() }),
            Channel::CommandLine { account } => {
                // A no may come from anyone who can say it: it gives nothing away.
                if yes && !approval.by.is_empty() && !approval.by.contains(account) {
                    let by = approval.by.clone();
                    return Err(Refusal::NotAnApprover { account: account.clone(), by });
                }
                account.clone()
            }
        };
        let answer = Settlement { yes, by, at: now_ms() };
        // Written down first: an answer that is not on record must not count.
        let word = if yes { "approved" } else { "refused" };
        let mut noted = approval;
        noted.standing = Standing::Refused { by: answer.by.clone(), at: answer.at };
        self.audit_approval(&noted, word, origin, None)?;
        self.store().settle(id, answer).await.map_err(Refusal::Store)
    }
}

/// Whether the client that asks may bring the answer.
fn in_band(approval: &Approval) -> bool {
    !approval.out_of_band && approval.by.is_empty()
}
