//! Reading an Ansible inventory, as far as an inventory of ours can take it over: files in INI and YAML, `group_vars` and `host_vars`.
//!
//! What a file means follows ansible-core 2.19: its parsers, the order in which variables give way to each other, and what groups a
//! host is in. Nothing is run, no template is filled in, and nothing that a vault holds is opened.

mod ini;
mod listing;
mod options;
mod taken;
mod vars;
mod words;
mod yaml;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

pub(crate) use words::split;

use crate::ssh_config::{Unreadable, text};

/// Most hosts: a range in brackets is quickly written too long.
const MAX_HOSTS: usize = 100_000;
/// Deepest nesting of folders of variables.
const MAX_DEPTH: usize = 16;
/// What a vaulted file begins with.
const VAULTED: &str = "$ANSIBLE_VAULT;";

/// The value of a variable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// A text; one with `{{` in it is a template.
    Text(String),
    /// A whole number.
    Integer(i64),
    /// True or false.
    Boolean(bool),
    /// None.
    Null,
    /// With a tag of Ansible's own before it: in a vault, or marked as unsafe.
    Tagged,
    /// A list, a mapping, a fraction.
    Other,
}

/// Variables by name.
pub type Variables = BTreeMap<String, Value>;

/// An inventory that was read.
#[derive(Debug, Default)]
pub struct Ansible {
    groups: BTreeMap<String, Group>,
    hosts: Vec<Host>,
    places: BTreeMap<String, usize>,
    /// The folder of `group_vars` and `host_vars`.
    beside: PathBuf,
    /// What was passed over, with file and line.
    pub notes: Vec<String>,
}

#[derive(Debug, Default)]
struct Group {
    parents: BTreeSet<String>,
    variables: Variables,
    /// Of groups of one depth, the one with the highest wins.
    priority: Option<i64>,
    depth: usize,
}

#[derive(Debug, Default)]
struct Host {
    name: String,
    groups: BTreeSet<String>,
    variables: Variables,
}

impl Ansible {
    /// Reads a file, or the files of a folder in the order of their names.
    pub fn read(path: &Path) -> Result<Self, Unreadable> {
        let unreadable = |source| Unreadable { path: path.to_owned(), source };
        let mut inventory = Self::default();
        inventory.group("all");
        inventory.group("ungrouped");
        if fs::metadata(path).map_err(unreadable)?.is_dir() {
            inventory.beside = path.to_owned();
            for file in files_in(path).map_err(unreadable)? {
                let read = text(&file).map_err(|error| error.to_string());
                if let Err(problem) = read.and_then(|text| inventory.file(&file, &text)) {
                    inventory.note(&file, None, &problem);
                }
            }
        } else {
            inventory.beside = path.parent().unwrap_or(Path::new("")).to_owned();
            let text = text(path).map_err(unreadable)?;
            let other = |problem: String| unreadable(std::io::Error::other(problem));
            inventory.file(path, &text).map_err(other)?;
        }
        if inventory.hosts.is_empty() && !inventory.notes.is_empty() {
            return Err(unreadable(std::io::Error::other(inventory.notes.join("; "))));
        }
        inventory.reconcile();
        Ok(inventory)
    }

    /// Takes in what a file says; an error is one of the whole file.
    fn file(&mut self, file: &Path, text: &str) -> Result<(), String> {
        let extension = file.extension().and_then(|extension| extension.to_str());
        if text.starts_with(VAULTED) {
            return Err("is in a vault, and is not opened".to_owned());
        }
        if text.starts_with("#!") {
            return Err("is a program; nothing is run: let ansible-inventory --list print what it gives into a file".to_owned());
        }
        if extension == Some("toml") {
            return Err("TOML is not read; ansible-inventory --list prints it as JSON".to_owned());
        }
        if matches!(extension, Some("yml" | "yaml" | "json")) {
            return yaml::read(self, file, text);
        }
        // Without an ending it may be either.
        if extension.is_none() && yaml::read(self, file, text).is_ok() {
            return Ok(());
        }
        ini::read(self, file, text);
        Ok(())
    }

    fn note(&mut self, file: &Path, line: Option<usize>, text: &str) {
        let line = line.map(|line| format!(":{line}")).unwrap_or_default();
        self.notes.push(format!("{}{line}: {text}", file.display()));
    }

    fn group(&mut self, name: &str) -> &mut Group {
        self.groups.entry(name.to_owned()).or_default()
    }

    /// Sets a variable of a group.
    fn set_group(&mut self, group: &str, name: &str, value: Value) {
        let group = self.group(group);
        match (name, &value) {
            ("ansible_group_priority", Value::Integer(priority)) => {
                group.priority = Some(*priority)
            }
            ("ansible_group_priority", Value::Text(text)) => {
                group.priority = text.parse().ok().or(group.priority);
            }
            _ => drop(group.variables.insert(name.to_owned(), value)),
        }
    }

    /// Makes `child` a group in `parent`; `false` when that would go round.
    fn add_child(&mut self, parent: &str, child: &str) -> bool {
        self.group(parent);
        self.group(child);
        if child == "all" || parent == child || self.above(std::iter::once(parent)).contains(child)
        {
            return false;
        }
        self.group(child).parents.insert(parent.to_owned());
        true
    }

    /// Puts a host into a group. A port in its name counts where it is named first.
    fn add_host(&mut self, name: &str, group: &str, port: Option<u16>) -> Option<&mut Host> {
        self.group(group);
        let place = match self.places.get(name) {
            Some(place) => *place,
            None if self.hosts.len() >= MAX_HOSTS => return None,
            None => {
                let port =
                    port.map(|port| ("ansible_port".to_owned(), Value::Integer(port.into())));
                let variables = port.into_iter().collect();
                self.hosts.push(Host { name: name.to_owned(), groups: BTreeSet::new(), variables });
                self.places.insert(name.to_owned(), self.hosts.len() - 1);
                self.hosts.len() - 1
            }
        };
        let host = self.hosts.get_mut(place)?;
        host.groups.insert(group.to_owned());
        Some(host)
    }

    /// These groups and all that they are in.
    fn above<'a>(&'a self, groups: impl Iterator<Item = &'a str>) -> BTreeSet<&'a str> {
        let mut found: BTreeSet<&str> = BTreeSet::new();
        let mut next: Vec<&str> = groups.collect();
        while let Some(name) = next.pop() {
            if found.insert(name) {
                let parents = self.groups.get(name).map(|group| &group.parents);
                next.extend(parents.into_iter().flatten().map(String::as_str));
            }
        }
        found
    }

    /// What holds once all files are read: who is ungrouped, and how deep each group is.
    fn reconcile(&mut self) {
        for host in &mut self.hosts {
            if host.groups.iter().any(|group| group != "all" && group != "ungrouped") {
                host.groups.remove("ungrouped");
            } else {
                host.groups.insert("ungrouped".to_owned());
            }
        }
        for (name, group) in &mut self.groups {
            group.depth = usize::from(name != "all");
            group.parents.remove("all");
        }
        // Each round brings one more depth in order, and no way goes round.
        let mut changed = true;
        while changed {
            changed = false;
            let depths: BTreeMap<String, usize> =
                self.groups.iter().map(|(name, group)| (name.clone(), group.depth)).collect();
            for group in self.groups.values_mut() {
                let above = group.parents.iter().filter_map(|parent| depths.get(parent)).max();
                let depth = above.map_or(group.depth, |above| group.depth.max(above + 1));
                changed |= depth != group.depth;
                group.depth = depth;
            }
        }
    }

    /// The names of the hosts, in the order in which they come first.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.hosts.iter().map(|host| host.name.as_str())
    }

    /// The groups that a host is in, also through others, in the order in which their variables give way; without `all`.
    fn groups_of<'a>(&'a self, host: &'a Host) -> Vec<&'a str> {
        let mut groups: Vec<&str> =
            self.above(host.groups.iter().map(String::as_str)).into_iter().collect();
        groups.retain(|name| *name != "all");
        groups.sort_by_key(|name| {
            let group = self.groups.get(*name);
            let depth = group.map_or(0, |group| group.depth);
            (depth, group.and_then(|group| group.priority).unwrap_or(1), *name)
        });
        groups
    }

    /// The groups that a host is in, but for `all` and `ungrouped`.
    #[must_use]
    pub fn groups(&self, host: &str) -> BTreeSet<&str> {
        let host = self.places.get(host).and_then(|place| self.hosts.get(*place));
        let groups = host.map(|host| self.groups_of(host)).unwrap_or_default();
        groups.into_iter().filter(|name| *name != "ungrouped").collect()
    }
}

/// The files of a folder that is an inventory, by name: what Ansible passes over is passed over.
fn files_in(folder: &Path) -> std::io::Result<Vec<PathBuf>> {
    const PASSED: [&str; 12] = [
        ".pyc", ".pyo", ".swp", ".bak", "~", ".rpm", ".md", ".txt", ".rst", ".orig", ".cfg",
        ".retry",
    ];
    let mut files: Vec<PathBuf> = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let passed = name.starts_with('.') || PASSED.iter().any(|end| name.ends_with(end));
        if !passed && path.is_file() {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}
