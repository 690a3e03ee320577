//! Ready-made rules that a policy includes by name.
//!
//! A pack is written like the `rules` of a policy, each rule with its examples, and is part of this program. What it holds
//! is shown by `sshepherd policy packs NAME`.

use sshepherd_policy::{Glob, Rule, sudo};

use crate::document::{Document, Node, Section, Text};
use crate::rules::Reader;

/// A pack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pack {
    /// Its name.
    pub name: &'static str,
    /// What it is for, in one sentence.
    pub about: &'static str,
    /// Its rules, as they would stand in `policy.yml`.
    pub text: &'static str,
}

/// The packs, by name.
pub const PACKS: [Pack; 7] = [
    Pack {
        name: "docker-read",
        about: "containers, images and bounded logs of docker; no inspect, for it prints environments",
        text: include_str!("packs/docker-read.yml"),
    },
    Pack {
        name: "files-read",
        about: "names and sizes of files anywhere, contents of those that hold no secrets by custom",
        text: include_str!("packs/files-read.yml"),
    },
    Pack {
        name: "kubernetes-read",
        about: "kubectl get, describe, top and bounded logs; no secrets and no other cluster",
        text: include_str!("packs/kubernetes-read.yml"),
    },
    Pack {
        name: "logs",
        about: "the journal, the kernel's messages and files under /var/log, each bounded",
        text: include_str!("packs/logs.yml"),
    },
    Pack {
        name: "packages-read",
        about: "which packages are installed and where from, on Debian, Red Hat, Alpine and Arch",
        text: include_str!("packs/packages-read.yml"),
    },
    Pack {
        name: "read-only",
        about: "load, memory, disks, processes, network and identity of a host",
        text: include_str!("packs/read-only.yml"),
    },
    Pack {
        name: "systemd",
        about: "the state of units, timers and sockets; changes nothing",
        text: include_str!("packs/systemd.yml"),
    },
];

fn find(name: &str) -> Option<&'static Pack> {
    PACKS.iter().find(|pack| pack.name == name)
}

/// The names under `include` that are known, each once.
pub(crate) fn names(top: &Section<'_>) -> Vec<&'static str> {
    let mut names: Vec<&'static str> = Vec::new();
    for (node, path) in top.list("include").unwrap_or_default() {
        let name = match node.as_text() {
            Some(name) => Some(name.to_owned()),
            None => Section::of(top.document, node, &path)
                .and_then(|section| section.text("pack"))
                .map(|text| text.text),
        };
        if let Some(pack) = name.as_deref().and_then(find)
            && !names.contains(&pack.name)
        {
            names.push(pack.name);
        }
    }
    names
}

/// The rules of the packs under `include`: `[logs, {pack: systemd, tags: [web], as: root}]`.
pub(crate) fn included(reader: &Reader<'_>, top: &Section<'_>) -> Vec<Rule> {
    let mut rules = Vec::new();
    for (node, path) in top.list("include").unwrap_or_default() {
        let place = rules.len();
        rules.extend(one(reader, node, &path).unwrap_or_default());
        // One pack for several kinds of hosts: its rules keep apart by number.
        let (before, new) = rules.split_at_mut(place);
        for rule in new {
            let taken = before
                .iter()
                .filter(|other| {
                    other.id == rule.id || other.id.starts_with(&format!("{}#", rule.id))
                })
                .count();
            if taken > 0 {
                rule.id = format!("{}#{}", rule.id, taken + 1);
            }
        }
    }
    rules
}

fn one(reader: &Reader<'_>, node: &Node, path: &str) -> Option<Vec<Rule>> {
    let document = reader.document;
    if let Some(name) = node.as_text() {
        let pack = known(document, name, node.line, path)?;
        return Some(pack.rules());
    }
    let section = Section::of(document, node, path)?;
    let Some(name) = section.text("pack") else {
        document.error(
            Some(section.line),
            &section.path("pack"),
            "is required: the name of a pack",
        );
        return None;
    };
    let aliases = reader.globs(section.texts("aliases"));
    let tags = reader.globs(section.texts("tags"));
    reader.hosts_exist(&aliases, &tags);
    let user = section.text("as");
    if let Some(text) = user.as_ref().filter(|text| !sudo::is_account(&text.text)) {
        let message = format!("{:?} is no name of an account", text.text);
        document.error(Some(text.line), &text.field, message);
    }
    let pack = known(document, &name.text, name.line, &name.field);
    section.finish_strictly();
    let only =
        |globs: Vec<(Glob, Text)>| globs.into_iter().map(|(glob, _)| glob).collect::<Vec<Glob>>();
    let (aliases, tags) = (only(aliases), only(tags));
    let mut rules = pack?.rules();
    for rule in &mut rules {
        rule.aliases.clone_from(&aliases);
        rule.tags.clone_from(&tags);
        rule.as_user = user.as_ref().map(|text| text.text.clone());
    }
    Some(rules)
}

fn known(document: &Document, name: &str, line: usize, field: &str) -> Option<&'static Pack> {
    let pack = find(name);
    if pack.is_none() {
        let names: Vec<&str> = PACKS.iter().map(|pack| pack.name).collect();
        let message = format!("no pack is called {name:?}; there are {}", names.join(", "));
        document.error(Some(line), field, message);
    }
    pack
}

impl Pack {
    /// Its rules for every host, ids as `PACK/RULE`.
    fn rules(&self) -> Vec<Rule> {
        let (mut rules, _) = self.read();
        for rule in &mut rules {
            rule.id = format!("{}/{}", self.name, rule.id);
        }
        rules
    }

    /// Its rules and what is wrong with them: nothing, as the tests see to.
    fn read(&self) -> (Vec<Rule>, Vec<sshepherd_model::Problem>) {
        let document = Document::new(std::path::Path::new(&format!("pack:{}", self.name)));
        let Some(root) = document.parse(self.text) else {
            return (Vec::new(), document.into_problems());
        };
        let mut rules = Vec::new();
        if let Some(top) = Section::of(&document, &root, "") {
            let reader = Reader { document: &document, inventory: None };
            let list = top.list("rules").unwrap_or_default();
            rules.extend(list.into_iter().filter_map(|(node, path)| reader.rule(node, &path)));
            top.finish();
        }
        (rules, document.into_problems())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_pack_is_whole_and_its_examples_hold() {
        for pack in PACKS {
            let (rules, problems) = pack.read();
            assert!(problems.is_empty(), "{}", problems[0]);
            assert!(!rules.is_empty(), "{}", pack.name);
            for rule in rules {
                assert!(rule.spec.is_some() && rule.why.is_some(), "{}/{}", pack.name, rule.id);
            }
        }
    }
}
