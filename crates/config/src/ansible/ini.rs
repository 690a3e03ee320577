//! An inventory in INI: sections of hosts, of child groups and of variables.

use std::collections::BTreeMap;
use std::path::Path;

use super::Ansible;
use super::words::{self, split};

/// What the lines of a section are.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Section {
    Hosts,
    Children,
    Variables,
    /// One that nobody knows: its lines are passed over.
    Unknown,
}

/// Reads a file into the inventory; what is no line of one is noted and passed over.
pub(super) fn read(inventory: &mut Ansible, file: &Path, text: &str) {
    let (mut group, mut section) = ("ungrouped".to_owned(), Section::Hosts);
    let mut named: BTreeMap<String, usize> = BTreeMap::new();
    let mut declared = vec!["all".to_owned(), "ungrouped".to_owned()];
    for (place, line) in text.lines().enumerate() {
        let (at, line) = (place + 1, line.trim());
        if line.is_empty() || line.starts_with(['#', ';']) {
            continue;
        }
        if let Some((name, kind)) = header(line) {
            name.clone_into(&mut group);
            section = match kind {
                None | Some("hosts") => Section::Hosts,
                Some("children") => Section::Children,
                Some("vars") => Section::Variables,
                Some(other) => {
                    inventory.note(
                        file,
                        Some(at),
                        &format!("[{name}:{other}] is no section; its lines are passed over"),
                    );
                    Section::Unknown
                }
            };
            if section != Section::Unknown {
                inventory.group(name);
            }
            if section == Section::Variables {
                named.entry(group.clone()).or_insert(at);
            } else {
                declared.push(group.clone());
            }
            continue;
        }
        let problem = match section {
            Section::Unknown => None,
            _ if line.starts_with('[') && line.ends_with(']') => Some("is no section".to_owned()),
            Section::Hosts => hosts(inventory, &group, line).err(),
            Section::Variables => variable(inventory, &group, line),
            Section::Children => {
                let child = line.split('#').next().unwrap_or_default().trim();
                named.entry(child.to_owned()).or_insert(at);
                child_of(inventory, &group, child)
            }
        };
        if let Some(problem) = problem {
            inventory.note(file, Some(at), &format!("{problem}; the line is passed over"));
        }
    }
    for (name, at) in named {
        if !declared.contains(&name) {
            inventory.note(
                file,
                Some(at),
                &format!("no section is called [{name}]; ansible refuses the file"),
            );
        }
    }
}

/// `[name]` or `[name:kind]`, with a comment behind it.
fn header(line: &str) -> Option<(&str, Option<&str>)> {
    let (inside, rest) = line.strip_prefix('[')?.split_once(']')?;
    if !rest.trim().is_empty() && !rest.trim_start().starts_with('#') {
        return None;
    }
    let (name, kind) = match inside.split_once(':') {
        Some((name, kind)) => (name, Some(kind)),
        None => (inside, None),
    };
    let word =
        |kind: &str| !kind.is_empty() && kind.chars().all(|c| c.is_alphanumeric() || c == '_');
    let sound = !name.is_empty() && !name.contains(char::is_whitespace) && kind.is_none_or(word);
    sound.then_some((name, kind))
}

fn hosts(inventory: &mut Ansible, group: &str, line: &str) -> Result<(), String> {
    let words = split(line, true).ok_or("a quote is not closed")?;
    let Some((pattern, rest)) = words.split_first() else { return Ok(()) };
    let (names, port) = words::hosts(pattern)?;
    if names.iter().any(|name| name.trim() == "---") {
        return Err("--- begins a YAML file; give that the ending .yml".to_owned());
    }
    let mut variables = Vec::new();
    for word in rest {
        let (name, value) =
            word.split_once('=').ok_or_else(|| format!("{word:?} is no name=value"))?;
        variables.push((name.to_owned(), words::value(value)));
    }
    for name in names {
        let host = inventory.add_host(&name, group, port).ok_or("there are too many hosts")?;
        host.variables.extend(variables.iter().cloned());
    }
    Ok(())
}

fn variable(inventory: &mut Ansible, group: &str, line: &str) -> Option<String> {
    let Some((name, value)) = line.split_once('=') else {
        return Some(format!("{line:?} is no name=value"));
    };
    inventory.set_group(group, name.trim(), words::value(value.trim()));
    None
}

fn child_of(inventory: &mut Ansible, parent: &str, child: &str) -> Option<String> {
    if child.is_empty() || child.contains([':', ']']) || child.contains(char::is_whitespace) {
        return Some(format!("{child:?} is no group's name"));
    }
    (!inventory.add_child(parent, child)).then(|| format!("{child} in {parent} goes round"))
}
