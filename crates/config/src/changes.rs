//! What a reload changed, in a few lines without secrets.

use std::collections::BTreeSet;

use sshepherd_model::{Host, Inventory};
use sshepherd_policy::Policy;

/// Lines that say what differs; empty when nothing does. Contents of credentials are not compared: they are taken anew.
#[must_use]
pub fn changes(before: (&Inventory, &Policy), after: (&Inventory, &Policy)) -> Vec<String> {
    let mut lines = Vec::new();
    let names = |inventory: &Inventory| -> BTreeSet<String> {
        inventory.hosts().iter().map(|host| host.alias.to_string()).collect()
    };
    let (old, new) = (names(before.0), names(after.0));
    let mut list = |what: &str, aliases: Vec<&String>| {
        if !aliases.is_empty() {
            let shown: Vec<&str> = aliases.iter().take(20).map(|alias| alias.as_str()).collect();
            let more = aliases.len().saturating_sub(shown.len());
            let more = if more > 0 { format!(" and {more} more") } else { String::new() };
            lines.push(format!("hosts {what}: {}{more}", shown.join(", ")));
        }
    };
    list("added", new.difference(&old).collect());
    list("removed", old.difference(&new).collect());
    let of = |inventory: &Inventory, alias: &str| -> Option<Host> {
        inventory
            .hosts()
            .iter()
            .find(|host| host.alias.as_str() == alias)
            .map(|host| (**host).clone())
    };
    let differs = |alias: &&String| of(before.0, alias) != of(after.0, alias);
    list("changed", old.intersection(&new).filter(differs).collect());
    if before.1.rules() != after.1.rules() {
        lines.push(format!(
            "rules changed: {} before, {} now",
            before.1.rules().len(),
            after.1.rules().len()
        ));
    }
    if before.1.limit_table() != after.1.limit_table() {
        lines.push("limits changed".to_owned());
    }
    if before.1.network() != after.1.network() {
        lines.push("network policy changed".to_owned());
    }
    if before.1.dialect() != after.1.dialect() {
        lines.push("pipes or redirections changed".to_owned());
    }
    lines
}
