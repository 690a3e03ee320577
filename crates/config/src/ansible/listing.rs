//! What `ansible-inventory --list` or an inventory program prints: groups with lists of hosts, and the variables of each host under
//! `_meta`.

use std::path::Path;

use super::yaml::{value, variables};
use super::{Ansible, Value};
use crate::document::Node;

/// The variables of hosts, which only such a listing has.
pub(super) fn facts<'a>(entries: &[(&str, &'a Node)]) -> Option<Vec<(&'a str, &'a Node)>> {
    let (_, meta) = entries.iter().find(|(name, _)| *name == "_meta")?;
    let (_, facts) = meta.entries()?.into_iter().find(|(name, _)| *name == "hostvars")?;
    facts.entries()
}

/// Reads one into the inventory. Its names are names: nothing in them is counted up.
pub(super) fn read(
    inventory: &mut Ansible,
    file: &Path,
    entries: &[(&str, &Node)],
    facts: Vec<(&str, &Node)>,
) {
    for (group, node) in entries.iter().filter(|(name, _)| *name != "_meta") {
        inventory.group(group);
        // An inventory program may print the list of hosts alone.
        if node.items().is_some() {
            hosts(inventory, file, group, node);
            continue;
        }
        for (key, node) in node.entries().unwrap_or_default() {
            match key {
                "hosts" => hosts(inventory, file, group, node),
                "children" => {
                    for child in node.items().into_iter().flatten().filter_map(Node::as_text) {
                        if !inventory.add_child(group, child) {
                            let problem =
                                format!("{child} in {group} goes round, and is passed over");
                            inventory.note(file, Some(node.line), &problem);
                        }
                    }
                }
                "vars" => {
                    for (name, node) in node.entries().unwrap_or_default() {
                        inventory.set_group(group, name, value(node));
                    }
                }
                _ => {}
            }
        }
    }
    for (name, node) in facts {
        let known = variables(node).unwrap_or_default();
        let group = if inventory.places.contains_key(name) { "all" } else { "ungrouped" };
        if let Some(host) = inventory.add_host(name, group, None) {
            host.variables.extend(known);
        }
    }
}

fn hosts(inventory: &mut Ansible, file: &Path, group: &str, node: &Node) {
    for item in node.items().unwrap_or_default() {
        let name = match value(item) {
            Value::Text(name) => name,
            Value::Integer(number) => number.to_string(),
            Value::Boolean(_) | Value::Null | Value::Tagged | Value::Other => {
                inventory.note(file, Some(item.line), &format!("a host of {group} has no name"));
                continue;
            }
        };
        if inventory.add_host(&name, group, None).is_none() {
            inventory.note(file, Some(item.line), "there are too many hosts");
            return;
        }
    }
}
