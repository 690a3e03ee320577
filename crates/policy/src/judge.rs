//! The one judgement: every simple command against the rules, strictest first, default deny.
//!
//! `judge` and `explain` are two views of one computation, so that a plan can never differ from a run.

use std::sync::Arc;

use sshepherd_model::{Host, Limits, Request};

use crate::approval::Terms;
use crate::decide::Passed;
use crate::denial::{Denial, DenialReason};
use crate::explain::{Answer, Explanation, Part};
use crate::line::{Line, blanks_folded};
use crate::permit::{Decision, Permit, PermitParts};
use crate::policy::{Enforcement, Policy};
use crate::question::Question;
use crate::rule::{Action, Rule};
use crate::script::{Script, SimpleCommand};
use crate::surroundings;
use crate::words::{self, Refusal};

/// What the policy says to a request.
#[derive(Debug)]
#[must_use]
pub enum Verdict<P = Permit> {
    /// It may run, once.
    Allow(P),
    /// It may run once a person has said yes.
    Ask(Question<P>),
    /// It may not.
    Deny(Denial),
}

/// What was found out about a request.
struct Assessment {
    limits: Limits,
    parts: Vec<(SimpleCommand, Result<Passed, Denial>)>,
    result: Result<Sendable, Denial>,
    /// What would have been said, where the owner only watches.
    unenforced: Option<Denial>,
}

/// What may be sent, and on whose word.
struct Sendable {
    /// The exact text, and the same as people read it.
    wire: String,
    shown: String,
    decisions: Vec<Decision>,
    raw_shell: bool,
    asks: Option<Terms>,
}

impl Policy {
    /// Judges `request` for `host`.
    pub fn judge(&self, host: &Arc<Host>, request: &Request) -> Verdict {
        let assessment = self.assess(host, request);
        let sendable = match assessment.result {
            Err(denial) => return Verdict::Deny(denial),
            Ok(sendable) => sendable,
        };
        let permit = Permit::new(PermitParts {
            host: Arc::clone(host),
            command: request.command().to_owned(),
            hash: request.hash(),
            wire: surroundings::with_variables(request, &sendable.wire),
            shown: surroundings::with_variables(request, &sendable.shown),
            script: sendable.wire,
            cwd: request.cwd.clone(),
            env: request.env.clone(),
            stdin: request.stdin.clone(),
            limits: assessment.limits,
            decisions: sendable.decisions,
            raw_shell: sendable.raw_shell,
            unenforced: assessment.unenforced,
        });
        match sendable.asks {
            Some(terms) => Verdict::Ask(Question::new(permit, terms)),
            None => Verdict::Allow(permit),
        }
    }

    /// The same judgement, told in full.
    #[must_use]
    pub fn explain(&self, host: &Host, request: &Request) -> Explanation {
        let assessment = self.assess(host, request);
        let mut explanation = Explanation {
            answer: Answer::Deny,
            allowed: false,
            asks: None,
            denial: None,
            unenforced: assessment.unenforced,
            commands: assessment
                .parts
                .iter()
                .map(|(command, decided)| part(command, decided))
                .collect(),
            wire: None,
            raw_shell: false,
            limits: assessment.limits,
        };
        match assessment.result {
            Ok(sendable) => {
                explanation.answer =
                    if sendable.asks.is_some() { Answer::Ask } else { Answer::Allow };
                explanation.allowed = sendable.asks.is_none();
                explanation.asks = sendable.asks;
                explanation.wire = Some(surroundings::with_variables(request, &sendable.wire));
                explanation.raw_shell = sendable.raw_shell;
                if sendable.raw_shell && explanation.unenforced.is_none() {
                    explanation.commands = sendable
                        .decisions
                        .iter()
                        .map(|decision| whole_line(request.command(), decision))
                        .collect();
                }
            }
            Err(denial) => explanation.denial = Some(denial),
        }
        explanation
    }

    fn assess(&self, host: &Host, request: &Request) -> Assessment {
        let limits = self.limits(host);
        let recognised = words::recognise_for(host.login_shell, request.command());
        let mut parts = Vec::new();
        if let Ok(script) = &recognised {
            for command in script.commands() {
                parts.push((command.clone(), self.decide(host, request, command)));
            }
        }
        let understood = recognised.as_ref().ok().map(|script| (script.sent(), script.canonical()));
        let result = self
            .forbidden(host, request, &limits, recognised.as_ref().ok())
            .map_or_else(|| self.permitted(host, request, recognised, &parts), Err)
            .and_then(|sendable| {
                let forms = [&sendable.wire, &sendable.shown]
                    .map(|text| surroundings::with_variables(request, text));
                free_of_denied(&limits, &forms.each_ref().map(String::as_str))
                    .map_or(Ok(sendable), Err)
            });
        let (result, unenforced) = match self.enforcement() {
            Enforcement::Enforce => (result, None),
            Enforcement::Audit => unenforced(host, request, understood, result),
        };
        Assessment { limits, parts, result, unenforced }
    }

    /// Whatever forbids a request outright, whichever way it would be sent.
    pub(crate) fn forbidden(
        &self,
        host: &Host,
        request: &Request,
        limits: &Limits,
        script: Option<&Script>,
    ) -> Option<Denial> {
        if let Err(problem) = surroundings::well_formed(host.login_shell, request) {
            return Some(problem.into());
        }
        if let Some(denial) = foreign_letters(host, request) {
            return Some(denial);
        }
        let raw = request.command();
        let mut forms = vec![raw.to_owned(), blanks_folded(raw)];
        if let Some(script) = script {
            forms.extend([script.normalised(), script.canonical()]);
        }
        let forms: Vec<&str> = forms.iter().map(String::as_str).collect();
        if let Some(denial) = free_of_denied(limits, &forms) {
            return Some(denial);
        }
        // A text that was understood is judged command by command; cutting it up as text would also cut its quoted words.
        match script {
            Some(_) => None,
            None => self.line_denied(host, raw),
        }
    }

    /// The deny rules that speak of `host`.
    pub(crate) fn denying(&self, host: &Host) -> impl Iterator<Item = &Rule> {
        self.rules().iter().filter(move |rule| rule.action == Action::Deny && rule.covers(host))
    }

    /// Deny rules over a text that goes to a shell as it is, or was not understood.
    fn line_denied(&self, host: &Host, raw: &str) -> Option<Denial> {
        let mut denying = self.denying(host).peekable();
        denying.peek()?;
        let line = Line::of(raw);
        denying.find(|rule| line.is_hit_by(rule)).map(Denial::by_rule)
    }

    /// What allows a request that nothing forbids: rules for every command, or a full shell.
    fn permitted(
        &self,
        host: &Host,
        request: &Request,
        recognised: Result<Script, Refusal>,
        parts: &[(SimpleCommand, Result<Passed, Denial>)],
    ) -> Result<Sendable, Denial> {
        let denial = match recognised {
            Err(refusal) => Denial::not_understood(&refusal),
            Ok(script) => {
                let denied = parts.iter().find_map(|(_, decision)| {
                    decision.as_ref().err().filter(|denial| denial.reason == DenialReason::DenyRule)
                });
                if let Some(denied) = denied {
                    return Err(denied.clone());
                }
                let passed: Result<Vec<&Passed>, &Denial> =
                    parts.iter().map(|(_, decided)| decided.as_ref()).collect();
                match passed {
                    Ok(passed) => {
                        let argvs = passed.iter().map(|passed| passed.argv.clone()).collect();
                        let asks = passed.iter().filter_map(|passed| passed.asks.as_ref());
                        let script = script
                            .with_argvs(argvs)
                            .map_err(|refusal| Denial::not_understood(&refusal))?;
                        return Ok(Sendable {
                            wire: surroundings::wrap(request, &script.sent()),
                            shown: surroundings::wrap(request, &script.canonical()),
                            decisions: passed
                                .iter()
                                .map(|passed| passed.decision.clone())
                                .collect(),
                            raw_shell: false,
                            asks: asks.fold(None, |all, terms| Some(stricter(all, terms))),
                        });
                    }
                    Err(denial) => denial.clone(),
                }
            }
        };
        self.full_shell(host, request).unwrap_or(Err(denial))
    }

    /// The raw route, if a rule says `shell: unrestricted` for this host and line.
    fn full_shell(&self, host: &Host, request: &Request) -> Option<Result<Sendable, Denial>> {
        let mut refused = None;
        let open = self.rules().iter().filter(|rule| {
            rule.action != Action::Deny
                && rule.shell_unrestricted
                && rule.covers(host)
                && rule.matches_line(request.command())
        });
        for rule in open {
            if let Some(denial) = self.line_denied(host, request.command()) {
                return Some(Err(denial));
            }
            match surroundings::granted(rule, request) {
                Ok(()) => {
                    let wire = surroundings::wrap(request, request.command());
                    return Some(Ok(Sendable {
                        shown: wire.clone(),
                        wire,
                        decisions: vec![Decision::Rule(rule.reference())],
                        raw_shell: true,
                        asks: (rule.action == Action::Ask).then(|| rule.terms.clone()),
                    }));
                }
                Err(problem) => refused = refused.or(Some(Err(problem.into()))),
            }
        }
        refused
    }
}

/// Denied because of a text on the owner's list, in any of the forms of a command.
fn free_of_denied(limits: &Limits, forms: &[&str]) -> Option<Denial> {
    let denied = |text: &&String| forms.iter().any(|form| form.contains(text.as_str()));
    limits.deny_substrings.iter().find(denied).map(|text| {
        Denial::new(
            DenialReason::DeniedText,
            format!("the command contains {text:?}, which limits.deny_substrings forbids"),
            "leave it out; no rule can allow it while the text is on the owner's list".to_owned(),
        )
    })
}

fn stricter(all: Option<Terms>, terms: &Terms) -> Terms {
    match all {
        Some(all) => all.strictest(terms),
        None => terms.clone(),
    }
}

/// What runs, and what is only noted, while the owner watches: everything that can be sent at all is. Surroundings that
/// have no sound form cannot.
fn unenforced(
    host: &Host,
    request: &Request,
    understood: Option<(String, String)>,
    result: Result<Sendable, Denial>,
) -> (Result<Sendable, Denial>, Option<Denial>) {
    let (sendable, noted) = match result {
        Ok(Sendable { asks: None, .. }) => return (result, None),
        Ok(asked) => (Sendable { asks: None, ..asked }, Denial::would_ask()),
        Err(denial) if surroundings::well_formed(host.login_shell, request).is_err() => {
            return (Err(denial), None);
        }
        Err(denial) => {
            let raw_shell = understood.is_none();
            let raw = || (request.command().to_owned(), request.command().to_owned());
            let (sent, shown) = understood.unwrap_or_else(raw);
            let wire = surroundings::wrap(request, &sent);
            let shown = surroundings::wrap(request, &shown);
            (Sendable { wire, shown, decisions: Vec::new(), raw_shell, asks: None }, denial)
        }
    };
    (Ok(sendable), Some(noted))
}

fn part(command: &SimpleCommand, decided: &Result<Passed, Denial>) -> Part {
    let (by, rule, answer) = match decided {
        Ok(passed) => {
            let rule = match &passed.decision {
                Decision::Rule(rule) => Some(rule.clone()),
                Decision::Filter(_) => None,
            };
            let answer = if passed.asks.is_some() { Answer::Ask } else { Answer::Allow };
            (Some(passed.decision.by()), rule, answer)
        }
        Err(denial) => (None, denial.rule.clone(), Answer::Deny),
    };
    let sent = decided.as_ref().ok().map(|passed| &passed.argv);
    Part {
        text: command.canonical(),
        argv: command.argv().to_vec(),
        sent: sent.filter(|argv| argv.as_slice() != command.argv()).cloned(),
        answer,
        allowed: answer == Answer::Allow,
        by,
        rule,
        denial: decided.as_ref().err().cloned(),
    }
}

fn whole_line(line: &str, decision: &Decision) -> Part {
    let rule = match decision {
        Decision::Rule(rule) => Some(rule.clone()),
        Decision::Filter(_) => None,
    };
    Part {
        text: line.to_owned(),
        argv: Vec::new(),
        sent: None,
        answer: Answer::Allow,
        allowed: true,
        by: Some(decision.by()),
        rule,
        denial: None,
    }
}

/// Letters beyond ASCII are sent in UTF-8, and a host that reads another encoding takes them for other letters: what was judged would
/// not be what runs.
fn foreign_letters(host: &Host, request: &Request) -> Option<Denial> {
    let encoding = host.connection.encoding?;
    let plain = request.command().is_ascii()
        && request.cwd.as_ref().is_none_or(|folder| folder.is_ascii())
        && request.env.iter().all(|(name, value)| name.is_ascii() && value.is_ascii());
    (!plain).then(|| {
        Denial::new(
            DenialReason::NotUnderstood,
            format!(
                "{} reads {}, where the letters beyond ASCII in this command mean others",
                host.alias, encoding.0
            ),
            "write the command in ASCII; its standard input may hold any bytes".to_owned(),
        )
    })
}

#[cfg(test)]
mod tests;
