//! Points at patterns that deny, beside typed rules that allow the same program in more spellings than a pattern knows.

use sshepherd_model::Inventory;

use crate::glob::Glob;
use crate::policy::Policy;
use crate::rule::{Action, Rule};
use crate::typed::{Spec, base};

/// What there is to say about a deny rule's patterns.
pub(crate) fn about(policy: &Policy, inventory: &Inventory, deny: &Rule) -> Vec<String> {
    let permitting: Vec<&Rule> = policy
        .rules()
        .iter()
        .filter(|rule| rule.action != Action::Deny && together(inventory, deny, rule))
        .collect();
    let beside = |glob: &Glob| {
        permitting.iter().find_map(|rule| {
            let spec = rule.spec.as_ref().filter(|spec| walks_past(glob, spec))?;
            Some(message(glob, rule, spec))
        })
    };
    deny.commands.iter().filter_map(beside).collect()
}

/// Whether some host is under both rules.
fn together(inventory: &Inventory, one: &Rule, other: &Rule) -> bool {
    let hosts = inventory.hosts();
    hosts.is_empty() || hosts.iter().any(|host| one.covers(host) && other.covers(host))
}

/// Whether the typed rule takes the pattern's program and first word, with options or operands that the pattern does not name.
fn walks_past(glob: &Glob, spec: &Spec) -> bool {
    let mut words = glob.as_str().split_ascii_whitespace();
    let program = words.next().unwrap_or_default();
    let Some(first) = words.next() else { return false };
    if base(program) != spec.program().base() {
        return false;
    }
    let verbs = spec.subcommands();
    let verb = Glob::new(first).ok();
    let spoken_of = verbs.is_empty()
        || first.starts_with('-')
        || verb.is_some_and(|verb| {
            verbs.iter().any(|words| words.first().is_some_and(|word| verb.matches(word)))
        });
    let operands: usize = spec.operands().iter().map(|operand| operand.max).sum();
    spoken_of && (!spec.options().is_empty() || operands > 1)
}

fn message(glob: &Glob, rule: &Rule, spec: &Spec) -> String {
    let program = spec.program().base();
    format!(
        "{:?}: rule {} allows {program} with options and operands that the pattern does not name, and it knows no other spelling of \
         its own; deny by a typed rule (program: {program}), which hits in every spelling",
        glob.as_str(),
        rule.id
    )
}
