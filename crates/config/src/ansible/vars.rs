//! `group_vars` and `host_vars` beside an inventory, and the order in which variables give way to each other.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use super::{Ansible, MAX_DEPTH, VAULTED, Variables, yaml};
use crate::document::yaml11;
use crate::ssh_config::text;

/// The variables of files, by folder and name: each file is read once.
#[derive(Default)]
pub(super) struct Files(BTreeMap<(&'static str, String), Variables>);

impl Ansible {
    /// The variables of each host, as `ansible-inventory --list` shows them, in the order of [`Ansible::names`].
    pub fn variables(&mut self) -> Vec<Variables> {
        let mut files = Files::default();
        let mut notes = Vec::new();
        let all: Vec<Variables> =
            self.hosts.iter().map(|host| self.of(host, &mut files, &mut notes)).collect();
        self.notes.extend(notes);
        all
    }

    /// Groups of the inventory before files of groups, both from the outermost in; then what is said of the host alone.
    fn of(&self, host: &super::Host, files: &mut Files, notes: &mut Vec<String>) -> Variables {
        let groups = self.groups_of(host);
        let mut found = Variables::new();
        let said = |name: &str| self.groups.get(name).map(|group| group.variables.clone());
        found.extend(said("all").unwrap_or_default());
        for group in &groups {
            found.extend(said(group).unwrap_or_default());
        }
        found.extend(files.of(&self.beside, "group_vars", "all", notes));
        for group in &groups {
            found.extend(files.of(&self.beside, "group_vars", group, notes));
        }
        found.extend(host.variables.clone());
        found.extend(files.of(&self.beside, "host_vars", &host.name, notes));
        found
    }
}

impl Files {
    fn of(
        &mut self,
        beside: &Path,
        folder: &'static str,
        name: &str,
        notes: &mut Vec<String>,
    ) -> Variables {
        // A name that would lead out of the folder has no file.
        if name.contains('/') || name == "." || name == ".." {
            return Variables::new();
        }
        let key = (folder, name.to_owned());
        let read = || {
            let mut found = Variables::new();
            for file in files(&beside.join(folder), name) {
                found.extend(read(&file, notes));
            }
            found
        };
        self.0.entry(key).or_insert_with(read).clone()
    }
}

/// The files of a name: the first of NAME, NAME.yml, NAME.yaml, NAME.json; of a folder of that name, all in it.
fn files(folder: &Path, name: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let first = ["", ".yml", ".yaml", ".json"]
        .iter()
        .map(|end| folder.join(format!("{name}{end}")))
        .find(|path| path.exists());
    match first {
        Some(path) if path.is_dir() => within(&path, 0, &mut found),
        Some(path) => found.push(path),
        None => {}
    }
    found
}

fn within(folder: &Path, depth: usize, found: &mut Vec<PathBuf>) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    let mut paths: Vec<PathBuf> =
        entries.filter_map(Result::ok).map(|entry| entry.path()).collect();
    paths.sort();
    for path in paths {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if name.starts_with('.') || name.ends_with('~') {
            continue;
        }
        let extension = path.extension().map(|extension| extension.to_string_lossy().into_owned());
        match extension.as_deref() {
            None if path.is_dir() && depth < MAX_DEPTH => within(&path, depth + 1, found),
            None | Some("yml" | "yaml" | "json") if path.is_file() => found.push(path),
            None | Some(_) => {}
        }
    }
}

fn read(file: &Path, notes: &mut Vec<String>) -> Variables {
    let mut note = |text: &str| notes.push(format!("{}: {text}", file.display()));
    let text = match text(file) {
        Ok(text) => text,
        Err(error) => {
            note(&error.to_string());
            return Variables::new();
        }
    };
    if text.starts_with(VAULTED) {
        note("is in a vault, and is not opened");
        return Variables::new();
    }
    let found = match yaml11::read(&text) {
        Ok(root) => yaml::variables(&root).ok_or("holds no mapping of variables".to_owned()),
        Err((line, problem)) => Err(format!("line {line}: {problem}")),
    };
    found.unwrap_or_else(|problem| {
        note(&problem);
        Variables::new()
    })
}
