//! Points at rules that admit more than they seem to.

use std::fmt;

use serde::{Serialize, Serializer};
use sshepherd_model::{Inventory, Request, Severity};

use crate::explain::Part;
use crate::glob::Glob;
use crate::policy::{Enforcement, Policy};
use crate::rule::{Action, Rule};
use crate::steering;
use crate::typed::{Spec, ValueType, base};
use crate::{lint_denies, lint_shells};

/// One remark about a policy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The rule's id; empty when it is about no rule.
    pub rule: String,
    /// The file.
    pub file: String,
    /// The line; 0 when it is about no rule.
    pub line: usize,
    /// An error where a rule has no effect; a warning where one may admit more than it seems to.
    #[serde(serialize_with = "severity_word")]
    pub severity: Severity,
    /// What it admits, and what to write instead.
    pub message: String,
}

fn severity_word<S: Serializer>(severity: &Severity, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(word(*severity))
}

fn word(severity: Severity) -> &'static str {
    match severity {
        Severity::Warning => "warning",
        Severity::Unusable => "unusable",
        Severity::Error => "error",
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let severity = word(self.severity);
        if self.line > 0 {
            write!(f, "{}:{}: {severity}: {}: {}", self.file, self.line, self.rule, self.message)
        } else {
            write!(f, "{severity}: {}", self.message)
        }
    }
}

/// Programs that run other programs, evaluate text, or read and write files at will when their arguments are free (after
/// GTFOBins).
const SHELLS_IN_DISGUISE: &str = "apt apt-get ash at awk bash batch bundle busybox cargo cat chroot cmake cp cpan crontab csh curl \
    dash dd dnf doas docker dpkg ed emacs env ex expect find fish flock ftp g++ gawk gcc gdb gem git gpg \
    install ionice ipython java ksh ksh93 kubectl less lftp ln logrotate lua make man mksh more mount \
    mutt mv mysql nano nc ncat nice nmap node nohup npm nsenter nvim openssl parallel perl php pico pip \
    pkexec podman psql python python2 python3 rake rbash rm rpm rsync ruby run-parts runuser rvim scala \
    scp screen script sed sendmail setsid sftp sh socat sqlite3 ssh ssh-keygen start-stop-daemon stdbuf \
    strace su sudo systemctl systemd-run tar tclsh tcpdump tcsh tee telnet time timeout tmux unshare vi \
    view vim vimdiff vipw visudo watch wget xargs yum zip zsh";

/// Programs that take their standard input for a program to run.
const INTERPRETERS: &str = "ash bash busybox csh dash fish ksh lua mksh node perl php psql python python2 python3 ruby sh \
    sqlite3 tclsh tcsh xargs zsh";

fn listed(list: &str, program: &str) -> bool {
    list.split(' ').any(|known| known == program)
}

/// Looks at every rule, the denied texts and the network list.
#[must_use]
pub fn lint(policy: &Policy, inventory: &Inventory) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (place, rule) in policy.rules().iter().enumerate() {
        let found = about_rule(policy, inventory, place, rule);
        findings.extend(found.into_iter().map(|what| of_rule(rule, what)));
    }
    for shell in policy.shells() {
        let found = lint_shells::about(policy, inventory, shell);
        findings.extend(found.into_iter().map(|what| of_rule(&shell.rule, what)));
    }
    let say = |message: String| Finding {
        rule: String::new(),
        file: String::new(),
        line: 0,
        severity: Severity::Warning,
        message,
    };
    if policy.enforcement() == Enforcement::Audit {
        let message =
            "enforcement: audit: the policy only watches, and everything that can be sent runs";
        findings.push(say(message.to_owned()));
    }
    let allowed = policy.network().allowed().unwrap_or_default();
    findings.extend(allowed.iter().filter(|network| network.prefix_len() == 0).map(|network| {
        say(format!("network: {network} on the allow list admits every address of its family"))
    }));
    if inventory
        .hosts()
        .iter()
        .any(|host| policy.limits(host).deny_substrings.iter().any(String::is_empty))
    {
        findings
            .push(say("limits: an empty text in deny_substrings denies every command".to_owned()));
    }
    findings
}

fn of_rule(rule: &Rule, (severity, message): (Severity, String)) -> Finding {
    Finding {
        rule: rule.id.clone(),
        file: rule.position.file.clone(),
        line: rule.position.line,
        severity,
        message,
    }
}

fn about_rule(
    policy: &Policy,
    inventory: &Inventory,
    place: usize,
    rule: &Rule,
) -> Vec<(Severity, String)> {
    let mut found = Vec::new();
    if rule.commands.is_empty() && rule.spec.is_none() {
        found.push((Severity::Error, "it has no commands, so it matches nothing".to_owned()));
    }
    found.extend(elsewhere(inventory, rule));
    if rule.action == Action::Deny {
        let walked_past = lint_denies::about(policy, inventory, rule);
        found.extend(walked_past.into_iter().map(|message| (Severity::Warning, message)));
        return found;
    }
    if let Some(deny) = shadow(policy, place, rule) {
        found.push((Severity::Error, format!("rule {deny} denies everything it allows")));
    }
    found.extend(unreached(policy, inventory, rule));
    let variables = rule.grants.env.iter().filter_map(steering::remark);
    found.extend(variables.map(|what| (Severity::Warning, format!("env: {what}"))));
    if let Some(spec) = &rule.spec {
        found.extend(free_words(spec).map(|message| (Severity::Warning, message)));
        return found;
    }
    if rule.shell_unrestricted {
        let message =
            "it gives a full shell: whatever the account may do, the agent may do".to_owned();
        found.push((Severity::Warning, message));
        return found;
    }
    let too_broad = rule.commands.iter().filter_map(|glob| broad(glob).or_else(|| untyped(glob)));
    found.extend(too_broad.map(|message| (Severity::Warning, message)));
    if rule.grants.stdin {
        let fed = rule.commands.iter().filter_map(fed_interpreter);
        found.extend(fed.map(|message| (Severity::Warning, message)));
    }
    found
}

/// A rule for hosts that are not there.
pub(crate) fn elsewhere(inventory: &Inventory, rule: &Rule) -> Option<(Severity, String)> {
    let hosts = inventory.hosts();
    let message = "no host of the inventory has these aliases and tags".to_owned();
    let nowhere = !hosts.is_empty() && !hosts.iter().any(|host| rule.covers(host));
    nowhere.then_some((Severity::Warning, message))
}

/// The program of a pattern, without its folder, and the rest.
fn split(glob: &Glob) -> (&str, &str, &str) {
    let (program, rest) = glob.as_str().split_once(' ').unwrap_or((glob.as_str(), ""));
    (program, program.rsplit('/').next().unwrap_or(program), rest)
}

fn wild(text: &str) -> bool {
    text.contains(['*', '?', '['])
}

/// What is too broad about a pattern of an allow rule.
pub(crate) fn broad(glob: &Glob) -> Option<String> {
    let (program, base, rest) = split(glob);
    let text = glob.as_str();
    if program.chars().all(|letter| letter == '*') {
        return Some(format!("{text:?} admits every program"));
    }
    if wild(program) {
        return Some(format!(
            "{text:?} admits other programs whose names fit; write the name, a blank, then the pattern"
        ));
    }
    let free = wild(rest) && listed(SHELLS_IN_DISGUISE, base);
    let verb = rest.split(' ').next().unwrap_or_default();
    if !free || (!verb.is_empty() && listed(harmless_verbs(base), verb)) {
        return None;
    }
    Some(format!(
        "{text:?}: with free arguments {base} can run other programs or read and write any file; write the arguments out"
    ))
}

/// A pattern that also takes options nobody thought of.
fn untyped(glob: &Glob) -> Option<String> {
    let (program, _, rest) = split(glob);
    rest.contains('*').then(|| {
        format!(
            "{:?}: a * takes blanks too, so every further option and operand of {program} is admitted; a typed rule \
             (program: {program}) says which",
            glob.as_str()
        )
    })
}

/// A typed rule that takes any word for a program that could make something of it.
fn free_words(spec: &Spec) -> Option<String> {
    let base = spec.program().base();
    let anything = spec.values().any(|value| match value {
        ValueType::Matching(pattern) => pattern.takes_anything(),
        ValueType::Integer { .. }
        | ValueType::OneOf(_)
        | ValueType::Literal(_)
        | ValueType::Unit
        | ValueType::Path
        | ValueType::PathUnder(_)
        | ValueType::PathIn(_)
        | ValueType::HostName
        | ValueType::Time => false,
    });
    if anything && listed(SHELLS_IN_DISGUISE, base) {
        return Some(format!(
            "{base} can run other programs or read and write any file, and one of its values takes any word; write a narrower \
             regex"
        ));
    }
    (anything && listed(INTERPRETERS, base))
        .then(|| format!("{base} runs what it is given, and one of its values takes any word"))
}

/// Whether the rule's own examples come to it: a deny, an ask, a denied text or an earlier rule may stand before.
fn unreached(policy: &Policy, inventory: &Inventory, rule: &Rule) -> Vec<(Severity, String)> {
    let Some(host) = inventory.hosts().iter().find(|host| rule.covers(host)) else {
        return Vec::new();
    };
    let mut before: Vec<(String, String)> = Vec::new();
    let mut tried = 0;
    for example in &rule.examples {
        let Ok(request) = Request::new(example) else { continue };
        tried += 1;
        let explained = policy.explain(host, &request);
        let other = |part: &Part| part.rule.as_ref().is_some_and(|by| by.id != rule.id);
        if let Some(denial) = &explained.denial {
            before.push((example.clone(), denial.message.clone()));
        } else if let Some(part) = explained.commands.iter().find(|part| other(part)) {
            let by = part.by.as_deref().unwrap_or_default();
            before.push((example.clone(), format!("rule {by} decides it")));
        }
    }
    let all = before.len() == tried;
    let severity = |denied: bool| if denied { Severity::Error } else { Severity::Warning };
    match before.into_iter().next() {
        Some((example, what)) if all => {
            let message = format!("none of its examples comes to it: {example:?}: {what}");
            let shadowed = what.starts_with("rule ") && what.ends_with("decides it");
            vec![(severity(!shadowed), message)]
        }
        Some((example, what)) => {
            vec![(
                Severity::Warning,
                format!("its example {example:?} does not come to it: {what}"),
            )]
        }
        None => Vec::new(),
    }
}

/// Whether it is one of the programs that run others, evaluate text, or read and write files at will.
pub(crate) fn is_shell_in_disguise(base: &str) -> bool {
    listed(SHELLS_IN_DISGUISE, base)
}

/// Why a rule for this program wants a second look; `None` for most programs.
pub(crate) fn caution(program: &str) -> Option<String> {
    let base = base(program);
    listed(SHELLS_IN_DISGUISE, base).then(|| {
        format!("{base} can run other programs or read and write any file with the wrong arguments")
    })
}

/// Verbs after which a program that is a shell in disguise has no option that runs, edits or writes a chosen file.
fn harmless_verbs(program: &str) -> &'static str {
    match program {
        "systemctl" => {
            "status show is-active is-enabled is-failed list-units list-unit-files list-timers list-sockets start stop \
             restart reload try-restart reset-failed"
        }
        "docker" | "podman" => {
            "ps logs images inspect stats version info start stop restart top port"
        }
        "kubectl" => "get describe logs top version",
        "git" => "status",
        "dpkg" => "-l -s -L --list --status --listfiles",
        _ => "",
    }
}

/// An interpreter whose program a caller may write.
fn fed_interpreter(glob: &Glob) -> Option<String> {
    let (_, base, _) = split(glob);
    listed(INTERPRETERS, base).then(|| {
        format!("{:?} with `stdin: true`: {base} runs whatever a caller sends it", glob.as_str())
    })
}

/// A deny rule that hits every literal command of `rule`, for at least the same hosts.
fn shadow(policy: &Policy, place: usize, rule: &Rule) -> Option<String> {
    policy
        .rules()
        .iter()
        .enumerate()
        .filter(|(other, deny)| *other != place && deny.action == Action::Deny)
        .find(|(_, deny)| {
            let hosts = (deny.aliases.is_empty() || deny.aliases == rule.aliases)
                && (deny.tags.is_empty() || deny.tags == rule.tags);
            hosts
                && !rule.commands.is_empty()
                && rule.commands.iter().all(|allowed| {
                    deny.commands.iter().any(|glob| {
                        glob == allowed
                            || (allowed.is_literal() && glob.matches(allowed.as_str()))
                            || glob.as_str() == "*"
                    })
                })
        })
        .map(|(_, deny)| deny.id.clone())
}
