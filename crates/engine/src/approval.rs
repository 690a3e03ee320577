//! Asking a person first: what exactly a yes is for, what the person is shown, and how an answer is taken and used.
//!
//! A yes is bound to a digest of the host, the exact text that would be sent, its input and the policy. Whoever comes back
//! with anything else asks a new question.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use sshepherd_model::{Alias, ApprovalId, Request};
use sshepherd_policy::{Judged, Lasts, Permit, PermitParts, Question, RuleRef, Terms};
use sshepherd_store::{Approval, Error, Holds, NewApproval, Settled, Settlement, Standing};

use crate::config::Config;
use crate::engine::{Engine, now_ms};
use crate::pipeline::Origin;
use crate::refusal::Refusal;

/// Most hosts that are named in a question; a person who sees so many looks at the count.
const MAX_NAMED: usize = 20;

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

/// What a person is shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct About {
    /// The hosts, the first few by name.
    pub hosts: Vec<Alias>,
    /// How many there are.
    pub host_count: usize,
    /// The exact text that would be sent; of a fan-out, to the first host.
    pub command: String,
    /// Bytes of standard input.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stdin_bytes: Option<usize>,
    /// The rules that ask, and the owner's reasons.
    pub rules: Vec<Why>,
    /// Who asks, as the client names itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client: Option<String>,
    /// How long a yes holds, in words.
    pub holds: String,
}

/// A rule that asks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Why {
    /// Its id.
    pub rule: String,
    /// The owner's reason.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
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

/// A yes that covers some hosts.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Granted {
    /// Digests of what it covers.
    pub(crate) bindings: Vec<String>,
}

/// A permit that a person has given free.
pub(crate) struct Released<P = Permit> {
    pub(crate) permit: P,
    /// What of the yes may be kept with the task for a server that goes on with it: nothing of one that is for one start.
    pub(crate) kept: Granted,
}

impl Engine {
    /// The permit of a question that was answered with yes; else the question, asked now or before.
    pub(crate) async fn released<P: Judged>(
        &self,
        config: &Config,
        question: Question<P>,
        origin: &Origin,
        granted: &Granted,
    ) -> Result<Released<P>, Refusal> {
        let binding = binding(config, P::KIND, question.parts());
        if granted.bindings.contains(&binding) {
            return Ok(Released { permit: question.approved(), kept: granted.clone() });
        }
        let used = self.store().redeem(&binding, now_ms()).await.map_err(Refusal::Store)?;
        if let Some(approval) = used {
            self.audit_approval(&approval, "used", origin, Some(question.parts()))?;
            let once = question.terms().lasts == Lasts::Once;
            let kept = if once { Granted::default() } else { Granted { bindings: vec![binding] } };
            return Ok(Released { permit: question.approved(), kept });
        }
        let about = About::of(&[&question], origin);
        let asked = self.ask(binding, about, question.terms()).await?;
        self.audit_asked(config, &asked, &question, origin)?;
        Err(Refusal::ApprovalRequired(Box::new(asked)))
    }

    /// One yes for all hosts of a fan-out whose commands must be asked for; `None` when none must be.
    pub(crate) async fn released_for_all(
        &self,
        config: &Config,
        questions: Vec<Question>,
        origin: &Origin,
    ) -> Result<(Granted, Lasts), Refusal> {
        let Some(first) = questions.first() else {
            return Ok((Granted::default(), Lasts::Once));
        };
        let mut terms = first.terms().clone();
        for question in questions.iter().skip(1) {
            terms = terms.strictest(question.terms());
        }
        let mut bindings: Vec<String> = questions
            .iter()
            .map(|question| binding(config, Permit::KIND, question.parts()))
            .collect();
        bindings.sort();
        let whole = digest("fan-out", bindings.iter().map(String::as_str));
        let used = self.store().redeem(&whole, now_ms()).await.map_err(Refusal::Store)?;
        if let Some(approval) = used {
            self.audit_approval(&approval, "used", origin, None)?;
            return Ok((Granted { bindings }, terms.lasts));
        }
        let about = About::of(&questions.iter().collect::<Vec<_>>(), origin);
        let asked = self.ask(whole, about, &terms).await?;
        self.audit_asked(config, &asked, first, origin)?;
        Err(Refusal::ApprovalRequired(Box::new(asked)))
    }

    async fn ask(&self, binding: String, about: About, terms: &Terms) -> Result<Asked, Refusal> {
        let millis =
            |duration: std::time::Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
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

/// What exactly a yes is for.
pub(crate) fn binding(config: &Config, kind: &'static str, parts: &PermitParts) -> String {
    let port = parts.host.port.to_string();
    let stdin = parts.stdin.as_deref().map_or_else(String::new, |text| digest("stdin", [text]));
    digest(
        kind,
        [
            config.policy_hash.as_str(),
            parts.host.alias.as_str(),
            parts.host.address.as_str(),
            port.as_str(),
            parts.host.credentials.as_str(),
            parts.wire.as_str(),
            stdin.as_str(),
        ],
    )
}

/// SHA-256 in hex over a kind and texts, each with its length before it, so that no two lists read the same.
fn digest<'a>(kind: &'a str, texts: impl IntoIterator<Item = &'a str>) -> String {
    let mut digest = Sha256::new();
    for text in std::iter::once(kind).chain(texts) {
        digest.update((text.len() as u64).to_be_bytes());
        digest.update(text.as_bytes());
    }
    digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

impl About {
    fn of<P: Judged>(questions: &[&Question<P>], origin: &Origin) -> Self {
        let hosts = questions.iter().map(|question| question.parts().host.alias.clone());
        let first = questions.first().map(|question| question.parts());
        let mut rules: Vec<Why> = Vec::new();
        for question in questions {
            for rule in asking(question) {
                let why = Why { rule: rule.id.clone(), why: rule.why.clone() };
                if !rules.contains(&why) {
                    rules.push(why);
                }
            }
        }
        Self {
            hosts: hosts.take(MAX_NAMED).collect(),
            host_count: questions.len(),
            command: first.map_or_else(String::new, |parts| parts.shown.clone()),
            stdin_bytes: first.and_then(|parts| parts.stdin.as_deref().map(str::len)),
            rules,
            client: origin.client.clone(),
            holds: match questions.first().map(|question| question.terms().lasts) {
                Some(Lasts::Minutes(minutes)) => format!("for {minutes} minutes"),
                Some(Lasts::Task) => "for this task".to_owned(),
                Some(Lasts::Once) | None => "once".to_owned(),
            },
        }
    }

    fn read(approval: &Approval) -> Option<Self> {
        serde_json::from_str(&approval.about).ok()
    }
}

/// The rules that let the parts of a command through.
fn asking<P: Judged>(question: &Question<P>) -> impl Iterator<Item = &RuleRef> {
    question.parts().decisions.iter().filter_map(|decision| match decision {
        sshepherd_policy::Decision::Rule(rule) => Some(rule),
        sshepherd_policy::Decision::Filter(_) => None,
    })
}

/// Whether a stored task is what a caller asks for again under its own name for it.
pub(crate) fn same(task: &sshepherd_store::Task, alias: &Alias, request: &Request) -> bool {
    task.alias == *alias && task.command == request.command()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_lists_have_one_digest() {
        assert_ne!(digest("a", ["bc"]), digest("ab", ["c"]));
        assert_ne!(digest("a", ["b", "c"]), digest("a", ["bc"]));
        assert_ne!(digest("a", ["b", ""]), digest("a", ["b"]));
        assert_eq!(digest("a", ["b"]).len(), 64);
    }
}
