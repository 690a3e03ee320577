//! Interactive shells: closed unless a rule opens them for a host, and judged as a whole.
//!
//! What is typed into an open shell is not judged. So a rule about shells gives whatever the account can do there, and says
//! which programs may be opened in place of the log-in shell, which secrets may be typed, and what is recorded.

use std::sync::Arc;

use regex::Regex;
use sshepherd_model::{Host, InvalidField, Request};

use crate::denial::{Denial, DenialReason};
use crate::judge::Verdict;
use crate::permit::{Decision, Judged, PermitParts};
use crate::policy::Policy;
use crate::question::Question;
use crate::rule::{Action, Rule};
use crate::script::Script;
use crate::{surroundings, words};

/// A rule about shells: `rule` says what it does, where and by whose yes; its patterns or specification, if it has any, say
/// which programs may be opened in place of the log-in shell, which is then not among them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShellRule {
    /// Id, hosts, action, terms, programs and variables.
    pub rule: Rule,
    /// What else it grants.
    pub grant: ShellGrant,
}

impl ShellRule {
    /// Whether it opens certain programs only.
    #[must_use]
    pub fn is_limited(&self) -> bool {
        self.rule.spec.is_some() || !self.rule.commands.is_empty()
    }
}

/// What the owner grants in a shell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShellGrant {
    /// Whether it may be kept on the host by a terminal multiplexer.
    pub persistent: bool,
    /// Whether what it shows is recorded.
    pub recording: bool,
    /// Whether the audit record holds what is typed beside its length and hash.
    pub audit_input: bool,
    /// Secrets that may be typed.
    pub secrets: Vec<TypedSecret>,
}

impl Default for ShellGrant {
    fn default() -> Self {
        Self { persistent: false, recording: true, audit_input: false, secrets: Vec::new() }
    }
}

/// A secret that may be typed where the screen asks for it. What is typed there is within reach of whoever may type there:
/// the checks keep it from being typed into the wrong place by mistake, and protect it from nobody.
#[derive(Debug, Clone)]
pub struct TypedSecret {
    /// Its name; never its value.
    pub name: String,
    /// What the line with the cursor must match.
    pub prompt: Regex,
    /// The program that must ask, running as root. That another reads the same terminal is not seen.
    pub program: Option<String>,
}

impl PartialEq for TypedSecret {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
            && self.prompt.as_str() == other.prompt.as_str()
            && self.program == other.program
    }
}

impl Eq for TypedSecret {}

/// What a caller wants to open.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ShellRequest {
    /// A command in place of the log-in shell.
    pub command: Option<String>,
    /// Variables to set.
    pub env: Vec<(String, String)>,
    /// Whether it is to outlive the connection.
    pub persistent: bool,
}

/// What stands for the log-in shell where a command would stand.
const LOGIN_SHELL: &str = "login shell";

/// May be opened, once: it is not `Clone`, and taking it apart consumes it.
#[derive(Debug)]
#[must_use]
pub struct ShellPermit {
    parts: PermitParts,
    opening: Opening,
}

/// What a permit for a shell holds beside what every permit holds.
#[derive(Debug, Clone)]
pub struct Opening {
    /// The exact text of the command in place of the log-in shell.
    pub program: Option<String>,
    /// Variables to set.
    pub env: Vec<(String, String)>,
    /// Whether it is to outlive the connection.
    pub persistent: bool,
    /// What the owner grants in it.
    pub grant: ShellGrant,
}

impl Judged for ShellPermit {
    const KIND: &'static str = "shell";

    fn parts(&self) -> &PermitParts {
        &self.parts
    }
}

impl ShellPermit {
    /// Uses the permit up.
    #[must_use]
    pub fn into_parts(self) -> (PermitParts, Opening) {
        (self.parts, self.opening)
    }
}

impl Policy {
    /// Judges the opening of a shell on `host`. A command that breaks the rule of its field is an error, not a denial.
    pub fn judge_shell(
        &self,
        host: &Arc<Host>,
        wanted: &ShellRequest,
    ) -> Result<Verdict<ShellPermit>, InvalidField> {
        let mut request = Request::new(wanted.command.as_deref().unwrap_or(LOGIN_SHELL))?;
        request.env.clone_from(&wanted.env);
        let script = match &wanted.command {
            None => None,
            Some(command) => match words::recognise_for(host.login_shell, command.trim()) {
                Ok(script) => Some(script),
                Err(refusal) => return Ok(Verdict::Deny(Denial::not_understood(&refusal))),
            },
        };
        let (rule, program) = match self.opens(host, wanted, &request, script.as_ref()) {
            Ok(found) => found,
            Err(denial) => return Ok(Verdict::Deny(denial)),
        };
        let terms = (rule.rule.action == Action::Ask).then(|| rule.rule.terms.clone());
        let permit = ShellPermit {
            parts: PermitParts {
                host: Arc::clone(host),
                command: request.command().to_owned(),
                hash: request.hash(),
                wire: described(wanted, program.as_ref().map(Script::sent).as_deref()),
                shown: described(wanted, program.as_ref().map(Script::canonical).as_deref()),
                script: program.as_ref().map(Script::sent).unwrap_or_default(),
                cwd: None,
                env: request.env.clone(),
                stdin: None,
                limits: self.limits(host),
                decisions: vec![Decision::Rule(rule.rule.reference())],
                raw_shell: true,
                unenforced: None,
            },
            opening: Opening {
                program: program.as_ref().map(Script::sent),
                env: wanted.env.clone(),
                persistent: wanted.persistent,
                grant: rule.grant.clone(),
            },
        };
        Ok(match terms {
            Some(terms) => Verdict::Ask(Question::new(permit, terms)),
            None => Verdict::Allow(permit),
        })
    }

    /// What the rules say to a log-in shell on `host`: allow, ask or deny.
    #[must_use]
    pub fn shells_on(&self, host: &Host) -> Action {
        if self.closes(host) {
            return Action::Deny;
        }
        let any = |action| {
            self.shells().iter().any(|shell| {
                shell.rule.action == action && !shell.is_limited() && shell.rule.covers(host)
            })
        };
        [Action::Ask, Action::Allow].into_iter().find(|action| any(*action)).unwrap_or(Action::Deny)
    }

    /// At most `most` programs that may be opened on `host` by rules that name them, in file order, each once.
    #[must_use]
    pub fn shell_programs(&self, host: &Host, most: usize) -> Vec<String> {
        let mut programs: Vec<String> = Vec::new();
        if self.closes(host) {
            return programs;
        }
        let naming = self.shells().iter().filter(|shell| shell.rule.covers(host));
        for form in naming.filter(|shell| shell.is_limited()).flat_map(|shell| shell.rule.forms()) {
            if programs.len() < most && !programs.contains(&form) {
                programs.push(form);
            }
        }
        programs
    }

    fn closes(&self, host: &Host) -> bool {
        let denies = |shell: &ShellRule| shell.rule.action == Action::Deny;
        self.shells().iter().any(|shell| denies(shell) && shell.rule.covers(host))
    }

    /// The rule that opens it and the text to run in place of the log-in shell: deny before ask, ask before allow.
    fn opens(
        &self,
        host: &Host,
        wanted: &ShellRequest,
        request: &Request,
        script: Option<&Script>,
    ) -> Result<(&ShellRule, Option<Script>), Denial> {
        let covering = || self.shells().iter().filter(|shell| shell.rule.covers(host));
        if let Some(denied) = covering().find(|shell| shell.rule.action == Action::Deny) {
            return Err(Denial::by_rule(&denied.rule));
        }
        if let Some(script) = script {
            self.not_denied(host, request, script)?;
        } else {
            surroundings::well_formed(host.login_shell, request)?;
        }
        let mut refused = None;
        for action in [Action::Ask, Action::Allow] {
            for shell in covering().filter(|shell| shell.rule.action == action) {
                match admits(shell, wanted, request, script) {
                    Ok(program) => return Ok((shell, program)),
                    Err(denial) => refused = refused.or(Some(denial)),
                }
            }
        }
        Err(refused.unwrap_or_else(|| {
            Denial::new(
                DenialReason::NoRule,
                format!("no rule opens interactive shells on {}", host.alias),
                "run single commands with ssh_run; only the owner can add a rule with `shells: allow` or `shells: ask`"
                    .to_owned(),
            )
        }))
    }

    /// A command that a deny rule forbids is not opened either.
    fn not_denied(&self, host: &Host, request: &Request, script: &Script) -> Result<(), Denial> {
        if let Some(denial) = self.forbidden(host, request, &self.limits(host), Some(script)) {
            return Err(denial);
        }
        let denied = script.commands().iter().find_map(|command| {
            let rule = self.denied(
                host,
                command.argv(),
                &command.canonical(),
                request.cwd.as_deref(),
                command.piped(),
            )?;
            Some(Denial::by_rule(rule).of(command))
        });
        denied.map_or(Ok(()), Err)
    }
}

/// The program that `shell` lets stand in place of the log-in shell; none for the log-in shell itself.
fn admits(
    shell: &ShellRule,
    wanted: &ShellRequest,
    request: &Request,
    script: Option<&Script>,
) -> Result<Option<Script>, Denial> {
    let rule = &shell.rule;
    let refuse = |message: String, hint: String| Denial {
        rule: Some(rule.reference()),
        ..Denial::new(DenialReason::NotGranted, message, hint)
    };
    if wanted.persistent && !shell.grant.persistent {
        return Err(refuse(
            format!("rule {} opens no persistent shells", rule.id),
            "leave persistent out, or ask the owner to add `persistent: true` to the rule"
                .to_owned(),
        ));
    }
    surroundings::granted(rule, request)?;
    let limited = shell.is_limited();
    match script {
        None if limited => Err(refuse(
            format!("rule {} opens certain programs only, no log-in shell", rule.id),
            format!("give command one of: {}", rule.forms().join(", ")),
        )),
        None => Ok(None),
        Some(script) if !limited => Ok(Some(script.clone())),
        Some(script) => {
            let argvs: Result<Vec<_>, _> =
                script.commands().iter().map(|command| rule.admits(command)).collect();
            let argvs = argvs.map_err(|_| {
                refuse(
                    format!("rule {} does not open this program", rule.id),
                    format!("it opens: {}", rule.forms().join(", ")),
                )
            })?;
            let script = script.clone().with_argvs(argvs);
            script.map(Some).map_err(|refusal| Denial::not_understood(&refusal))
        }
    }
}

/// What a person is shown and a yes is bound to.
fn described(wanted: &ShellRequest, program: Option<&str>) -> String {
    let mut text = String::from("interactive shell");
    if wanted.persistent {
        text.push_str(" that outlives the connection");
    }
    for (name, value) in &wanted.env {
        text.push_str(&format!(", {name}={}", crate::script::quote_always(value)));
    }
    match program {
        Some(program) => text.push_str(&format!(": {program}")),
        None => text.push_str(": the log-in shell; what is typed in it is not judged"),
    }
    text
}
