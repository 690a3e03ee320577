//! Who lets one simple command through: deny before ask, ask before allow, without another account before with one.

use sshepherd_model::{Host, Request};

use crate::approval::Terms;
use crate::denial::{Denial, DenialReason};
use crate::doubt::Doubt;
use crate::filter;
use crate::glob::Glob;
use crate::permit::Decision;
use crate::policy::Policy;
use crate::rule::{Action, Rule};
use crate::script::{SimpleCommand, quote_words};
use crate::surroundings;
use crate::typed::{Mismatch, base};
use crate::wrapper;

/// Longest pattern that a hint suggests, in bytes: longer ones help nobody to read the hint.
const MAX_SUGGESTION: usize = 200;
/// Most forms that a hint lists.
const MAX_FORMS: usize = 5;

/// A simple command that may run.
#[derive(Debug, Clone)]
pub(crate) struct Passed {
    /// On whose word.
    pub(crate) decision: Decision,
    /// The words to send.
    pub(crate) argv: Vec<String>,
    /// Whose yes is wanted first.
    pub(crate) asks: Option<Terms>,
}

impl Policy {
    /// Who lets one simple command through, or why nobody does.
    pub(crate) fn decide(
        &self,
        host: &Host,
        request: &Request,
        command: &SimpleCommand,
    ) -> Result<Passed, Denial> {
        let cwd = request.cwd.as_deref();
        if let Some(rule) =
            self.denied(host, command.argv(), &command.canonical(), cwd, command.piped())
        {
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
                Some(Ok(())) => {
                    let decision = Decision::Filter(command.program().to_owned());
                    return Ok(Passed { decision, argv: command.argv().to_vec(), asks: None });
                }
                Some(Err(problem)) => filter_problem = Some(problem),
                None => {}
            }
        }
        self.by_rules(host, request, command).map_err(|refused| match (refused, filter_problem) {
            (Some(denial), _) => denial,
            (None, Some(problem)) => Denial::new(
                DenialReason::Filter,
                problem,
                "after a pipe a filter may only read its standard input; leave that option or operand out".to_owned(),
            )
            .of(command),
            (None, None) => self.no_rule(host, command).of(command),
        })
    }

    /// The rule that lets it through; else why the first that would have was not enough, if there was one.
    fn by_rules(
        &self,
        host: &Host,
        request: &Request,
        command: &SimpleCommand,
    ) -> Result<Passed, Option<Denial>> {
        let mut refused = None;
        for elevated in [false, true] {
            let mut passed: Option<Passed> = None;
            let rules = self.permitting(host).filter(|rule| rule.as_user.is_some() == elevated);
            for (rule, argv) in rules.filter_map(|rule| Some((rule, rule.admits(command).ok()?))) {
                match self.through(host, rule, request, command, argv) {
                    Ok(found) if found.asks.is_some() => {
                        passed = passed.filter(|passed| passed.asks.is_some()).or(Some(found));
                    }
                    Ok(found) => passed = passed.or(Some(found)),
                    Err(denial) => refused = refused.or(Some(denial)),
                }
            }
            if let Some(passed) = passed {
                return Ok(passed);
            }
        }
        Err(refused)
    }

    /// The first deny rule that hits a simple command in any form in which it may be meant. What a shell reads from a pipe may
    /// be anything.
    pub(crate) fn denied(
        &self,
        host: &Host,
        argv: &[String],
        canonical: &str,
        cwd: Option<&str>,
        piped: bool,
    ) -> Option<&Rule> {
        let mut denying = self.denying(host).peekable();
        denying.peek()?;
        if piped && wrapper::reads_commands(argv) {
            return denying.next();
        }
        let doubt = Doubt::of(argv, canonical, cwd);
        denying.find(|rule| doubt.is_hit_by(rule))
    }

    /// The rules that may let a command through on `host`.
    fn permitting(&self, host: &Host) -> impl Iterator<Item = &Rule> {
        self.rules().iter().filter(move |rule| {
            rule.action != Action::Deny && !rule.shell_unrestricted && rule.covers(host)
        })
    }

    /// Whether an admitting rule also grants what surrounds the command.
    fn through(
        &self,
        host: &Host,
        rule: &Rule,
        request: &Request,
        command: &SimpleCommand,
        argv: Vec<String>,
    ) -> Result<Passed, Denial> {
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
            .map_err(|problem| Denial::from(problem).of(command))?;
        // What is sent may differ from what was written: by a path, or by sudo before it.
        if argv != command.argv()
            && let Some(deny) = self.denied(
                host,
                &argv,
                &quote_words(&argv),
                request.cwd.as_deref(),
                command.piped(),
            )
        {
            return Err(Denial::by_rule(deny).of(command));
        }
        Ok(Passed {
            decision: Decision::Rule(rule.reference()),
            argv,
            asks: (rule.action == Action::Ask).then(|| rule.terms.clone()),
        })
    }

    fn no_rule(&self, host: &Host, command: &SimpleCommand) -> Denial {
        match self.nearly(host, command) {
            Some((rule, mismatch)) => nearest(rule, command, &mismatch),
            None => self.unknown(host, command),
        }
    }

    /// The typed rule that comes nearest to admitting the command, and where they part.
    fn nearly(&self, host: &Host, command: &SimpleCommand) -> Option<(&Rule, Mismatch)> {
        self.permitting(host)
            .filter(|rule| rule.spec.is_some())
            .filter_map(|rule| Some((rule, rule.admits(command).err()?)))
            .filter(|(_, mismatch)| mismatch.closeness() > 0)
            .reduce(|best, next| if next.1.closeness() > best.1.closeness() { next } else { best })
    }

    fn unknown(&self, host: &Host, command: &SimpleCommand) -> Denial {
        let program = command.program();
        let mut near: Vec<String> = self
            .permitting(host)
            .flat_map(Rule::forms)
            .filter(|form| form.split(' ').next().is_some_and(|known| base(known) == base(program)))
            .collect();
        near.truncate(MAX_FORMS);
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

/// Why the rule that comes nearest does not let the command through, and the form that it would.
fn nearest(rule: &Rule, command: &SimpleCommand, mismatch: &Mismatch) -> Denial {
    let spec = rule.spec.as_ref();
    let program = spec.map_or(command.program(), |spec| spec.program().name());
    let forms = rule.forms().join(" | ");
    let near = spec.and_then(|spec| spec.nearest(command.argv())).map(|argv| quote_words(&argv));
    let hint = match &near {
        Some(near) => format!("this would be allowed: {near}; rule {} takes {forms}", rule.id),
        None => format!("rule {} takes {forms}", rule.id),
    };
    Denial {
        nearest: near,
        rule: Some(rule.reference()),
        ..Denial::new(DenialReason::Arguments, mismatch.message(program), hint)
    }
}
