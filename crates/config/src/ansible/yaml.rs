//! An inventory in YAML: groups with hosts, child groups and variables, nested.

use std::path::Path;

use super::{Ansible, Value, Variables, listing, words};
use crate::document::Node;
use crate::document::yaml11::{self, NO_TEXT};

/// What Ansible refuses; it reads no further in the file then, and keeps what it has.
struct Refused {
    line: usize,
    problem: String,
}

fn refuse<T>(line: usize, problem: impl Into<String>) -> Result<T, Refused> {
    Err(Refused { line, problem: problem.into() })
}

/// Reads a file into the inventory; an error when it is none as a whole.
pub(super) fn read(inventory: &mut Ansible, file: &Path, text: &str) -> Result<(), String> {
    let root = yaml11::read(text).map_err(|(line, problem)| format!("line {line}: {problem}"))?;
    let Some(entries) = root.entries() else {
        return Err("is no inventory: there are no groups in it".to_owned());
    };
    if entries.iter().any(|(name, node)| *name == "plugin" && !node.is_null()) {
        return Err("names a plugin; nothing is run: let ansible-inventory --list print what it gives into a file".to_owned());
    }
    if let Some(facts) = listing::facts(&entries) {
        listing::read(inventory, file, &entries, facts);
        return Ok(());
    }
    for (name, node) in entries {
        if let Err(Refused { line, problem }) = group(inventory, file, name, node) {
            let problem =
                format!("{problem}; ansible reads no further, and what follows is not taken over");
            inventory.note(file, Some(line), &problem);
            break;
        }
    }
    Ok(())
}

/// The keys of a group that mean something.
const SECTIONS: [&str; 3] = ["vars", "children", "hosts"];

/// One group.
fn group(inventory: &mut Ansible, file: &Path, name: &str, node: &Node) -> Result<(), Refused> {
    let entries = match node.entries() {
        Some(entries) => entries,
        None if node.is_null() => Vec::new(),
        None => {
            let problem = format!("{name} is no group, and is passed over");
            inventory.note(file, Some(node.line), &problem);
            return Ok(());
        }
    };
    if let Some(name) = name.strip_prefix(NO_TEXT) {
        return refuse(node.line, format!("the group {name} is no text; put its name in quotes"));
    }
    inventory.group(name);
    for (key, node) in entries.iter().filter(|(key, _)| SECTIONS.contains(key)) {
        if node.as_text().is_none() && node.entries().is_none() && !node.is_null() {
            return refuse(node.line, format!("{key} of {name} is no mapping"));
        }
    }
    for (key, node) in entries {
        section(inventory, file, name, key, node)?;
    }
    Ok(())
}

fn section(
    inventory: &mut Ansible,
    file: &Path,
    group: &str,
    key: &str,
    node: &Node,
) -> Result<(), Refused> {
    // A text stands for one name without anything below it.
    let one = node.as_text().filter(|_| SECTIONS.contains(&key)).map(|text| vec![(text, None)]);
    let below =
        || Some(node.entries()?.into_iter().map(|(name, node)| (name, Some(node))).collect());
    let Some(below) = one.or_else(below) else {
        if !node.is_null() {
            let problem = format!("{key} of {group} is no mapping, and is passed over");
            inventory.note(file, Some(node.line), &problem);
        }
        return Ok(());
    };
    match key {
        "vars" => {
            for (variable, node) in below {
                inventory.set_group(group, variable, node.map_or(Value::Null, value));
            }
        }
        "children" => {
            for (child, below) in below {
                children(inventory, (file, node.line), group, child, below)?;
            }
        }
        "hosts" => {
            for (pattern, below) in below {
                if let Err(problem) = hosts(inventory, group, pattern, below) {
                    return refuse(node.line, format!("hosts of {group}: {problem}"));
                }
            }
        }
        other => {
            let problem = format!(
                "{other} of {group} is none of hosts, children and vars, and is passed over"
            );
            inventory.note(file, Some(node.line), &problem);
        }
    }
    Ok(())
}

fn children(
    inventory: &mut Ansible,
    (file, line): (&Path, usize),
    parent: &str,
    child: &str,
    below: Option<&Node>,
) -> Result<(), Refused> {
    match below {
        Some(node) => self::group(inventory, file, child, node)?,
        None => drop(inventory.group(child)),
    }
    if below.is_some_and(|node| !node.is_null() && node.entries().is_none()) {
        return refuse(line, format!("{child} in {parent} is no group"));
    }
    if inventory.add_child(parent, child) {
        return Ok(());
    }
    refuse(line, format!("{child} in {parent} goes round"))
}

fn hosts(
    inventory: &mut Ansible,
    group: &str,
    pattern: &str,
    below: Option<&Node>,
) -> Result<(), String> {
    if let Some(name) = pattern.strip_prefix(NO_TEXT) {
        return Err(format!("{name} is no text; put the name in quotes"));
    }
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

pub(super) fn value(node: &Node) -> Value {
    if let Some(text) = node.as_text() {
        return Value::Text(text.to_owned());
    }
    if let Some(number) = node.as_integer() {
        return Value::Integer(number);
    }
    if let Some(boolean) = node.as_boolean() {
        return Value::Boolean(boolean);
    }
    // As a listing has what is in a vault.
    let vaulted = node.is_tagged() || node.has_key("__ansible_vault");
    match (node.is_null(), vaulted) {
        (true, _) => Value::Null,
        (false, true) => Value::Tagged,
        (false, false) => Value::Other,
    }
}
