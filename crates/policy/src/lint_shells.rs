//! Points at rules about interactive shells that open more than they seem to, or nothing.

use sshepherd_model::{Inventory, Severity};

use crate::glob::Glob;
use crate::lint::{broad, elsewhere, is_shell_in_disguise};
use crate::policy::Policy;
use crate::rule::{Action, Rule};
use crate::shell::ShellRule;
use crate::steering;
use crate::typed::base;

/// What there is to say about one of them.
pub(crate) fn about(
    policy: &Policy,
    inventory: &Inventory,
    shell: &ShellRule,
) -> Vec<(Severity, String)> {
    let rule = &shell.rule;
    let mut found: Vec<(Severity, String)> = elsewhere(inventory, rule).into_iter().collect();
    if rule.action == Action::Deny {
        return found;
    }
    if let Some(deny) = closed_by(policy, rule) {
        found.push((Severity::Error, format!("rule {deny} closes every shell it opens")));
    }
    if rule.action == Action::Allow && !shell.is_limited() && everywhere(rule) {
        let message = "it opens shells on every host, and what is typed in a shell is not judged: name the hosts, or ask";
        found.push((Severity::Warning, message.to_owned()));
    }
    let variables = rule.grants.env.iter().filter_map(steering::remark);
    found.extend(variables.map(|what| warning(format!("env: {what}"))));
    found.extend(rule.commands.iter().filter_map(disguised).map(warning));
    let spec = rule.spec.as_ref().map(|spec| spec.program().base());
    found.extend(spec.and_then(as_good_as_a_shell).map(warning));
    found
}

fn warning(message: String) -> (Severity, String) {
    (Severity::Warning, message)
}

/// Whether no list of hosts narrows it.
fn everywhere(rule: &Rule) -> bool {
    let all = rule.aliases.is_empty() || rule.aliases.iter().any(|glob| glob.as_str() == "*");
    all && rule.tags.is_empty()
}

/// A rule that closes shells, for at least the same hosts.
fn closed_by(policy: &Policy, rule: &Rule) -> Option<String> {
    let denies = policy.shells().iter().map(|shell| &shell.rule);
    denies
        .filter(|deny| deny.action == Action::Deny)
        .find(|deny| {
            (deny.aliases.is_empty() || deny.aliases == rule.aliases)
                && (deny.tags.is_empty() || deny.tags == rule.tags)
        })
        .map(|deny| deny.id.clone())
}

/// A pattern that opens what is a shell by another name.
fn disguised(glob: &Glob) -> Option<String> {
    let program = glob.as_str().split(' ').next().unwrap_or_default();
    broad(glob).or_else(|| as_good_as_a_shell(base(program)))
}

/// At a terminal such a program needs no free arguments: it takes commands from its keyboard.
fn as_good_as_a_shell(base: &str) -> Option<String> {
    is_shell_in_disguise(base).then(|| {
        format!(
            "at a terminal {base} can be made to run other programs or to read and write any file: it is as good as a log-in \
             shell"
        )
    })
}
