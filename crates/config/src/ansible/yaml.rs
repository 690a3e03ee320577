//! An inventory in YAML: groups with hosts, child groups and variables, nested.

use std::path::Path;

use super::{Ansible, Value, Variables, words};
use crate::document::{Document, Node};

/// Reads a file into the inventory. Without `surely` it may be one in INI: then nothing is said, and `false` means that it is.
pub(super) fn read(inventory: &mut Ansible, file: &Path, text: &str, surely: bool) -> bool {
    let document = Document::new(file);
    let root = document.parse(text);
    let entries = root.as_ref().and_then(Node::entries);
    let Some(entries) = entries else {
        if surely {
            let problems = document.into_problems();
            let found = problems.iter().map(ToString::to_string);
            inventory.notes.extend(found);
            if problems.is_empty() {
                inventory.note(file, None, "is no inventory: there are no groups in it");
            }
        }
        return false;
    };
    if entries.iter().any(|(name, node)| *name == "plugin" && node.as_text().is_some()) {
        inventory.note(file, None, "names a plugin; nothing is run: let ansible-inventory --list -y print what it gives into a file");
        return true;
    }
    for (name, node) in entries {
        group(inventory, file, name, node);
    }
    true
}

/// One group; `false` when it is none.
fn group(inventory: &mut Ansible, file: &Path, name: &str, node: &Node) -> bool {
    let entries = match node.entries() {
        Some(entries) => entries,
        None if node.is_null() => Vec::new(),
        None => {
            inventory.note(
                file,
                Some(node.line),
                &format!("{name} is no group, and is passed over"),
            );
            return false;
        }
    };
    inventory.group(name);
    for (key, node) in entries {
        // A text stands for one name without anything below it.
        let one = node.as_text().map(|text| vec![(text, None)]);
        let below = node.entries().map(|entries| {
            entries.into_iter().map(|(name, node)| (name, Some(node))).collect::<Vec<_>>()
        });
        let Some(below) = one.or(below) else {
            if !node.is_null() {
                inventory.note(
                    file,
                    Some(node.line),
                    &format!("{key} of {name} is no mapping, and is passed over"),
                );
            }
            continue;
        };
        match key {
            "vars" => {
                for (variable, node) in below {
                    inventory.set_group(name, variable, node.map_or(Value::Null, value));
                }
            }
            "children" => {
                for (child, below) in below {
                    children(inventory, (file, node.line), name, child, below);
                }
            }
            "hosts" => {
                for (pattern, below) in below {
                    if let Err(problem) = hosts(inventory, name, pattern, below) {
                        inventory.note(
                            file,
                            Some(node.line),
                            &format!("hosts of {name}: {problem}"),
                        );
                    }
                }
            }
            other => inventory.note(
                file,
                Some(node.line),
                &format!(
                    "{other} of {name} is none of hosts, children and vars, and is passed over"
                ),
            ),
        }
    }
    true
}

fn children(
    inventory: &mut Ansible,
    (file, line): (&Path, usize),
    parent: &str,
    child: &str,
    below: Option<&Node>,
) {
    let sound = match below {
        Some(node) => group(inventory, file, child, node),
        None => true,
    };
    if sound && !inventory.add_child(parent, child) {
        inventory.note(
            file,
            Some(line),
            &format!("{child} in {parent} goes round, and is passed over"),
        );
    }
}

fn hosts(
    inventory: &mut Ansible,
    group: &str,
    pattern: &str,
    below: Option<&Node>,
) -> Result<(), String> {
    let (names, port) = words::hosts(pattern)?;
    let variables = match below {
        Some(node) => {
            variables(node).ok_or_else(|| format!("{pattern} has no mapping of variables"))?
        }
        None => Variables::new(),
    };
    for name in names {
        let host = inventory.add_host(&name, group, port).ok_or("there are too many hosts")?;
        host.variables.extend(variables.clone());
    }
    Ok(())
}

/// The entries of a mapping as variables.
pub(super) fn variables(node: &Node) -> Option<Variables> {
    if node.is_null() {
        return Some(Variables::new());
    }
    let entries = node.entries()?;
    Some(entries.into_iter().map(|(name, node)| (name.to_owned(), value(node))).collect())
}

fn value(node: &Node) -> Value {
    if let Some(text) = node.as_text() {
        return Value::Text(text.to_owned());
    }
    if let Some(number) = node.as_integer() {
        return Value::Integer(number);
    }
    if let Some(boolean) = node.as_boolean() {
        return Value::Boolean(boolean);
    }
    match (node.is_null(), node.is_tagged()) {
        (true, _) => Value::Null,
        (false, true) => Value::Tagged,
        (false, false) => Value::Other,
    }
}
