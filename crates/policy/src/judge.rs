//! The one judgement: every simple command against the rules, strictest first, default deny.
//!
//! `judge` and `explain` are two views of one computation, so that a plan can never differ from a run.

use std::sync::Arc;

use sshepherd_model::{Host, Limits, Request};

use crate::denial::{Denial, DenialReason};
use crate::explain::{Explanation, Part};
use crate::filter;
use crate::glob::Glob;
use crate::permit::{Decision, Permit, PermitParts};
use crate::policy::Policy;
use crate::rule::{Action, Rule};
use crate::script::{Script, SimpleCommand};
use crate::surroundings;
use crate::words::{self, Refusal};

/// Longest pattern that a hint suggests, in bytes: longer ones help nobody to read the hint.
const MAX_SUGGESTION: usize = 200;

/// What the policy says to a request.
#[derive(Debug)]
#[must_use]
pub enum Verdict {
    /// It may run, once.
    Allow(Permit),
    /// It may not.
    Deny(Denial),
}

/// What was found out about a request.
struct Assessment {
    limits: Limits,
    parts: Vec<(SimpleCommand, Result<Decision, Denial>)>,
    result: Result<Sendable, Denial>,
}

/// What may be sent, and on whose word.
struct Sendable {
    wire: String,
    decisions: Vec<Decision>,
    raw_shell: bool,
}

impl Policy {
    /// Judges `request` for `host`.
    pub fn judge(&self, host: &Arc<Host>, request: &Request) -> Verdict {
        let assessment = self.assess(host, request);
        match assessment.result {
            Err(denial) => Verdict::Deny(denial),
            Ok(sendable) => Verdict::Allow(Permit::new(PermitParts {
                host: Arc::clone(host),
                command: request.command().to_owned(),
                hash: request.hash(),
                wire: sendable.wire,
                stdin: request.stdin.clone(),
                limits: assessment.limits,
                decisions: sendable.decisions,
                raw_shell: sendable.raw_shell,
            })),
        }
    }

    /// The same judgement, told in full.
    #[must_use]
    pub fn explain(&self, host: &Host, request: &Request) -> Explanation {
        let assessment = self.assess(host, request);
        let commands = assessment.parts.iter().map(|(command, decision)| part(command, decision));
        let mut explanation = Explanation {
            allowed: false,
            denial: None,
            commands: commands.collect(),
            wire: None,
            raw_shell: false,
            limits: assessment.limits,
        };
        match assessment.result {
            Ok(sendable) => {
                explanation.allowed = true;
                explanation.wire = Some(sendable.wire);
                explanation.raw_shell = sendable.raw_shell;
                if sendable.raw_shell {
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
        let recognised = words::recognise(request.command());
        let mut parts = Vec::new();
        if let Ok(script) = &recognised {
            for command in script.commands() {
                parts.push((command.clone(), self.decide(host, request, command)));
            }
        }
        let result = self
            .forbidden(host, request, &limits, recognised.as_ref().ok())
            .map_or_else(|| self.permitted(host, request, recognised, &parts), Err);
        Assessment { limits, parts, result }
    }

    /// Whatever forbids a request outright, whichever way it would be sent.
    fn forbidden(
        &self,
        host: &Host,
        request: &Request,
        limits: &Limits,
        script: Option<&Script>,
    ) -> Option<Denial> {
        if let Err(problem) = surroundings::well_formed(request) {
            return Some(problem.into());
        }
        let raw = request.command();
        let mut forms = vec![raw.to_owned(), blanks_folded(raw)];
        if let Some(script) = script {
            forms.extend([script.normalised(), script.canonical()]);
        }
        let denied = limits
            .deny_substrings
            .iter()
            .find(|text| forms.iter().any(|form| form.contains(text.as_str())));
        if let Some(text) = denied {
            return Some(Denial::new(
                DenialReason::DeniedText,
                format!("the command contains {text:?}, which limits.deny_substrings forbids"),
                "leave it out; no rule can allow it while the text is on the owner's list"
                    .to_owned(),
            ));
        }
        // A text that was understood is judged command by command; cutting it up as text would also cut its quoted words.
        match script {
            Some(_) => None,
            None => self.line_denied(host, raw),
        }
    }

    /// The deny rules that speak of `host`.
    fn denying(&self, host: &Host) -> impl Iterator<Item = &Rule> {
        self.rules().iter().filter(move |rule| rule.action == Action::Deny && rule.covers(host))
    }

    /// Deny rules over a text that goes to a shell as it is, or was not understood.
    fn line_denied(&self, host: &Host, raw: &str) -> Option<Denial> {
        let lines = lines(raw);
        self.denying(host)
            .find(|rule| lines.iter().any(|line| rule.matches_line(line)))
            .map(Denial::by_rule)
    }

    /// What allows a request that nothing forbids: rules for every command, or a full shell.
    fn permitted(
        &self,
        host: &Host,
        request: &Request,
        recognised: Result<Script, Refusal>,
        parts: &[(SimpleCommand, Result<Decision, Denial>)],
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
                let decisions: Result<Vec<Decision>, Denial> =
                    parts.iter().map(|(_, decision)| decision.clone()).collect();
                match decisions {
                    Ok(decisions) => {
                        return Ok(Sendable {
                            wire: surroundings::wrap(request, &script.canonical()),
                            decisions,
                            raw_shell: false,
                        });
                    }
                    Err(denial) => denial,
                }
            }
        };
        self.full_shell(host, request).unwrap_or(Err(denial))
    }

    /// The raw route, if a rule says `shell: unrestricted` for this host and line.
    fn full_shell(&self, host: &Host, request: &Request) -> Option<Result<Sendable, Denial>> {
        let mut refused = None;
        let open = self.rules().iter().filter(|rule| {
            rule.action == Action::Allow
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
                    return Some(Ok(Sendable {
                        wire: surroundings::wrap(request, request.command()),
                        decisions: vec![Decision::Rule(rule.reference())],
                        raw_shell: true,
                    }));
                }
                Err(problem) => refused = refused.or(Some(Err(problem.into()))),
            }
        }
        refused
    }

    /// Who lets one simple command through, or why nobody does.
    fn decide(
        &self,
        host: &Host,
        request: &Request,
        command: &SimpleCommand,
    ) -> Result<Decision, Denial> {
        if let Some(rule) = self.denying(host).find(|rule| rule.hits(command)) {
            return Err(Denial::by_rule(rule).of(command));
        }
        if !command.redirections().is_empty() && !self.dialect().harmless_redirections {
            return Err(Denial::new(
                DenialReason::Redirection,
                "the policy lets no redirection through".to_owned(),
                "leave it out; standard output and standard error come back apart".to_owned(),
            )
            .of(command));
        }
        let mut filter_problem = None;
        if command.piped() && self.dialect().filters {
            match filter::check(command.argv()) {
                Some(Ok(())) => return Ok(Decision::Filter(command.program().to_owned())),
                Some(Err(problem)) => filter_problem = Some(problem),
                None => {}
            }
        }
        let mut refused = None;
        let admitting = self.rules().iter().filter(|rule| {
            rule.action == Action::Allow
                && !rule.shell_unrestricted
                && rule.covers(host)
                && rule.admits(command)
        });
        for rule in admitting {
            match self.through(rule, request, command) {
                Ok(decision) => return Ok(decision),
                Err(denial) => refused = refused.or(Some(denial)),
            }
        }
        if let Some(denial) = refused {
            return Err(denial);
        }
        Err(match filter_problem {
            Some(problem) => Denial::new(
                DenialReason::Filter,
                problem,
                "after a pipe a filter may only read its standard input; leave that option or operand out".to_owned(),
            ),
            None => self.no_rule(host, command),
        }
        .of(command))
    }

    /// Whether an admitting rule also grants what surrounds the command.
    fn through(
        &self,
        rule: &Rule,
        request: &Request,
        command: &SimpleCommand,
    ) -> Result<Decision, Denial> {
        if command.piped() && !rule.grants.stdin {
            return Err(Denial {
                rule: Some(rule.reference()),
                ..Denial::new(
                    DenialReason::PipedInput,
                    format!("rule {} allows the command, but not with input from a pipe", rule.id),
                    "run the parts one after the other, filter with grep, head, tail, wc, sort, uniq, cut, tr, nl or \
                     column, or ask the owner to add `stdin: true` to the rule"
                        .to_owned(),
                )
                .of(command)
            });
        }
        surroundings::granted(rule, request)
            .map(|()| Decision::Rule(rule.reference()))
            .map_err(|problem| Denial::from(problem).of(command))
    }

    fn no_rule(&self, host: &Host, command: &SimpleCommand) -> Denial {
        let program = command.program();
        let near: Vec<&str> = self
            .rules()
            .iter()
            .filter(|rule| rule.action == Action::Allow && rule.covers(host))
            .flat_map(|rule| &rule.commands)
            .map(Glob::as_str)
            .filter(|glob| glob.split(' ').next() == Some(program))
            .take(5)
            .collect();
        let mut hint = if near.is_empty() {
            format!(
                "no rule speaks of {program} on this host; ssh://host/{}/capabilities lists what is allowed",
                host.alias
            )
        } else {
            format!("allowed for {program} on this host: {}", near.join(" | "))
        };
        let exact = Glob::escape(&command.joined());
        if exact.len() <= MAX_SUGGESTION {
            hint.push_str(&format!(
                "; if you need exactly this, ask the owner for a rule with commands: [{exact:?}]"
            ));
        } else {
            hint.push_str("; ask the owner for a rule if you need it");
        }
        Denial::new(DenialReason::NoRule, "no rule allows this command".to_owned(), hint)
    }
}

fn part(command: &SimpleCommand, decision: &Result<Decision, Denial>) -> Part {
    let (by, rule) = match decision {
        Ok(Decision::Rule(rule)) => (Some(rule.id.clone()), Some(rule.clone())),
        Ok(filter @ Decision::Filter(_)) => (Some(filter.by()), None),
        Err(denial) => (None, denial.rule.clone()),
    };
    Part {
        text: command.canonical(),
        argv: command.argv().to_vec(),
        allowed: decision.is_ok(),
        by,
        rule,
    }
}

fn whole_line(line: &str, decision: &Decision) -> Part {
    let rule = match decision {
        Decision::Rule(rule) => Some(rule.clone()),
        Decision::Filter(_) => None,
    };
    Part { text: line.to_owned(), argv: Vec::new(), allowed: true, by: Some(decision.by()), rule }
}

fn blanks_folded(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// A raw text as deny rules see it: whole, with blanks folded, and cut at everything that may separate commands, each piece
/// also without its program's folder. More cuts than a shell would make only deny more.
fn lines(raw: &str) -> Vec<String> {
    let mut lines = vec![raw.to_owned(), blanks_folded(raw)];
    for piece in raw.split([';', '&', '|', '\n', '\r', '(', ')', '{', '}', '`']) {
        let piece = blanks_folded(piece);
        let program = piece.split(' ').next().unwrap_or_default();
        if let Some((folder, _)) = program.rsplit_once('/') {
            lines.extend(piece.get(folder.len() + 1..).map(str::to_owned));
        }
        lines.push(piece);
    }
    lines
}

#[cfg(test)]
mod tests;
