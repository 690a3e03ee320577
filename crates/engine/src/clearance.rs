//! What a fan-out needs before anything starts: every host's command and every host's gate judged, and one yes for all that a
//! person must be asked.
//!
//! A gate that is found denied half-way would leave a rollout half done, so it denies the whole call.

use std::collections::BTreeSet;
use std::sync::Arc;

use sshepherd_model::{Alias, Host, Request, Rollout, names};
use sshepherd_policy::{Denial, Judged, Lasts, Permit, Question, Verdict};

use crate::approval::{About, EXPIRED, Granted, OVER};
use crate::config::Config;
use crate::engine::{Engine, now_ms};
use crate::pipeline::Origin;
use crate::refusal::Refusal;

/// Most hosts that a denied gate names.
const MOST_NAMED: usize = 20;

/// A gate that the policy denies on some of the hosts.
#[derive(Debug, Clone)]
pub struct DeniedGate {
    /// Its command.
    pub gate: Request,
    /// The hosts.
    pub hosts: Vec<Alias>,
    /// How many were selected.
    pub of: usize,
    /// Why, on the first of them.
    pub denial: Denial,
}

impl std::fmt::Display for DeniedGate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let named = names::fold(self.hosts.iter().take(MOST_NAMED).map(Alias::as_str));
        let more = self.hosts.len().saturating_sub(MOST_NAMED);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        let (count, of) = (self.hosts.len(), self.of);
        write!(
            f,
            "the policy denies the gate on {count} of {of} hosts ({named}{more}): {}",
            self.denial.message
        )
    }
}

/// All that a fan-out wants of a person.
pub(crate) struct Wanted<'a> {
    pub(crate) hosts: &'a [Arc<Host>],
    pub(crate) rollout: &'a Rollout,
    pub(crate) request: &'a Request,
    commands: Vec<Question>,
    gates: Vec<Question>,
    /// The gate as it is sent to the first host.
    gate: Option<String>,
}

impl<'a> Wanted<'a> {
    /// Judges the command and the gate on every host. A command that is denied on some of them is told there, when its turn
    /// comes; a denied gate denies all.
    fn of(
        config: &Config,
        hosts: &'a [Arc<Host>],
        (request, rollout): (&'a Request, &'a Rollout),
    ) -> Result<Self, Box<DeniedGate>> {
        let ask = |host| match config.policy.judge(host, request) {
            Verdict::Ask(question) => Some(question),
            Verdict::Allow(_) | Verdict::Deny(_) => None,
        };
        let commands = hosts.iter().filter_map(ask).collect();
        let mut wanted = Self { hosts, rollout, request, commands, gates: Vec::new(), gate: None };
        let Some(gate) = &rollout.gate else { return Ok(wanted) };
        let mut denied: Option<DeniedGate> = None;
        for host in hosts {
            let sent = match config.policy.judge(host, gate) {
                Verdict::Allow(permit) => permit.into_parts().shown,
                Verdict::Ask(question) => {
                    let sent = question.parts().shown.clone();
                    wanted.gates.push(question);
                    sent
                }
                Verdict::Deny(denial) => {
                    let all = denied.get_or_insert_with(|| DeniedGate {
                        gate: gate.clone(),
                        hosts: Vec::new(),
                        of: hosts.len(),
                        denial,
                    });
                    all.hosts.push(host.alias.clone());
                    continue;
                }
            };
            wanted.gate.get_or_insert(sent);
        }
        denied.map_or(Ok(wanted), |denied| Err(Box::new(denied)))
    }

    /// What a person must say yes to.
    pub(crate) fn questions(&self) -> impl Iterator<Item = &Question> {
        self.commands.iter().chain(&self.gates)
    }

    /// What the person is shown.
    pub(crate) fn about(&self, config: &Config, origin: &Origin, lasts: Lasts) -> About {
        let commands: Vec<&Question> = self.commands.iter().collect();
        let gates: Vec<&Question> = self.gates.iter().collect();
        let shown = if commands.is_empty() { &gates } else { &commands };
        let mut about = About::of(config, shown, origin);
        if commands.is_empty() {
            // Only the gate asks, but a yes lets the whole go.
            about = about.asked(config, self.request);
        }
        for gate in gates {
            about.decided(config, &gate.parts().decisions);
        }
        about.holding(lasts).over(self.hosts, self.rollout, self.gate.clone())
    }
}

impl Engine {
    /// Judges everything that a fan-out is going to do, and asks a person once where one must be asked. Nothing starts before.
    pub(crate) async fn cleared(
        &self,
        config: &Config,
        hosts: &[Arc<Host>],
        what: (&Request, &Rollout),
        origin: &Origin,
    ) -> Result<Granted, Refusal> {
        match Wanted::of(config, hosts, what) {
            Ok(wanted) => self.released_for_all(config, &wanted, origin).await,
            Err(denied) => {
                let on: BTreeSet<&Alias> = denied.hosts.iter().collect();
                for host in hosts.iter().filter(|host| on.contains(&host.alias)) {
                    self.audit_denial(config, host, &denied.gate, &denied.denial, origin)?;
                }
                Err(Refusal::GateDenied(denied))
            }
        }
    }

    /// Judges anew what is left of a fan-out: `left` are the hosts that nothing was begun on. Why none of them may be, if so.
    pub(crate) fn held_back(
        &self,
        config: &Config,
        (hosts, left): (&[Arc<Host>], &[Arc<Host>]),
        what: (&Request, &Rollout),
        granted: &Granted,
    ) -> Result<Option<String>, Refusal> {
        if left.is_empty() {
            return Ok(None);
        }
        let wanted = match Wanted::of(config, hosts, what) {
            Ok(wanted) => wanted,
            Err(denied) => return Ok(Some(denied.to_string())),
        };
        if wanted.questions().next().is_none() {
            return Ok(None);
        }
        let mut sealer = self.sealer(config)?;
        let mut covered =
            |question: &Question| granted.covers(&sealer.permit(Permit::KIND, question.parts()));
        let is_left =
            |question: &Question| left.iter().any(|host| host.alias == question.parts().host.alias);
        let commands = wanted.commands.iter().filter(|question| is_left(question));
        let all = commands.chain(&wanted.gates).all(&mut covered);
        Ok(match all {
            false => Some(OVER.to_owned()),
            true if granted.is_over(now_ms()) => Some(EXPIRED.to_owned()),
            true => None,
        })
    }
}
