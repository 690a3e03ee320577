//! What of an Ansible host an inventory of ours can take over, and what is said of the rest.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use sshepherd_model::{Alias, Tag, names};

use super::{Ansible, Value, Variables, words};
use crate::servers::sound_address;
use crate::ssh_config::{SshHost, at_home};

/// A host as Ansible would reach it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AnsibleHost {
    /// How it is reached.
    pub reached: SshHost,
    /// Its groups, as tags.
    pub tags: Vec<String>,
}

/// Ways of Ansible to reach a host that are SSH.
const SSH: [&str; 6] = [
    "ssh",
    "smart",
    "paramiko",
    "paramiko_ssh",
    "ansible.builtin.ssh",
    "ansible.builtin.paramiko_ssh",
];

/// Variables that say something that has another place here.
const ELSEWHERE: [(&str, &str); 7] = [
    ("ansible_password", "put it into a secret, and name that in password_secret"),
    ("ansible_ssh_pass", "put it into a secret, and name that in password_secret"),
    ("ansible_ssh_password", "put it into a secret, and name that in password_secret"),
    ("ansible_become", "a rule of policy.yml says as: ACCOUNT"),
    ("ansible_become_user", "a rule of policy.yml says as: ACCOUNT"),
    ("ansible_ssh_private_key", "put the key into a file of the keys folder"),
    ("ansible_shell_type", "see login_shell: in servers.yml"),
];

/// What is said of hosts: each once, with all of whom it holds.
#[derive(Default)]
struct Said(BTreeMap<String, Vec<String>>);

impl Said {
    fn of(&mut self, host: &str, text: impl Into<String>) {
        self.0.entry(text.into()).or_default().push(host.to_owned());
    }
}

impl Ansible {
    /// The hosts that can be taken over, in order; what cannot is added to the notes.
    pub fn taken(&mut self, home: &Path) -> Vec<AnsibleHost> {
        let variables = self.variables();
        let mut said = Said::default();
        let tags = self.tags(&mut said);
        let mut hosts: Vec<AnsibleHost> = Vec::new();
        for (host, variables) in self.hosts.iter().zip(&variables) {
            let asked = Asked { name: &host.name, variables, home };
            if let Some(reached) = asked.reached(&mut said) {
                let groups = self.groups_of(host);
                let tags = groups.iter().filter_map(|group| tags.get(*group).cloned());
                hosts.push(AnsibleHost { reached, tags: tags.collect() });
            }
        }
        jumps(&mut hosts, &mut said);
        let notes = said.0.iter().map(|(text, hosts)| {
            format!("{}: {text}", names::fold(hosts.iter().map(String::as_str)))
        });
        self.notes.extend(notes);
        hosts
    }

    /// A tag for each group, no two the same: a rule for one must not come to speak of another's hosts.
    fn tags(&self, said: &mut Said) -> BTreeMap<&str, String> {
        let groups = self.groups.keys().map(String::as_str);
        let groups: Vec<&str> =
            groups.filter(|name| !["all", "ungrouped"].contains(name)).collect();
        let is_tag = |name: &str| name.parse::<Tag>().is_ok_and(|tag| tag.as_str() == name);
        let mut used: BTreeSet<String> =
            groups.iter().filter(|name| is_tag(name)).map(|name| (*name).to_owned()).collect();
        let mut tags = BTreeMap::new();
        for group in groups {
            if is_tag(group) {
                tags.insert(group, group.to_owned());
                continue;
            }
            let fits = |letter: char| letter.is_ascii_alphanumeric() || "._-".contains(letter);
            let letters = group.chars().map(|letter| if fits(letter) { letter } else { '-' });
            let plain: String = letters.take(40).collect();
            let mut tag = plain.clone();
            let mut number = 2;
            while !used.insert(tag.clone()) {
                tag = format!("{plain}-{number}");
                number += 1;
            }
            said.of(group, format!("this group's name is no tag; its tag is {tag}"));
            tags.insert(group, tag);
        }
        tags
    }
}

/// One host and what is said of it.
struct Asked<'a> {
    name: &'a str,
    variables: &'a Variables,
    home: &'a Path,
}

/// What a variable of a host gives.
enum Given {
    Nothing,
    Text(String),
    /// Something that is not guessed.
    Unknown,
}

impl Asked<'_> {
    fn reached(&self, said: &mut Said) -> Option<SshHost> {
        let name = self.name;
        if !name.parse::<Alias>().is_ok_and(|alias| alias.as_str() == name) {
            said.of(name, "is left out: an alias has letters, digits and . _ - only");
            return None;
        }
        // All are asked for, so that all is told at once.
        let connection = self.one(&["ansible_connection"], said);
        let address = self.one(&["ansible_host", "ansible_ssh_host"], said);
        let port = self.one(&["ansible_port", "ansible_ssh_port"], said);
        let user = self.one(&["ansible_user", "ansible_ssh_user"], said);
        let keys = ["ansible_private_key_file", "ansible_ssh_private_key_file"];
        let key = self.one(&keys, said);
        if let Given::Text(kind) = &connection
            && !SSH.contains(&kind.as_str())
        {
            said.of(name, format!("is left out: ansible_connection={kind} is not SSH"));
            return None;
        }
        let unknown = [&connection, &address, &port, &user];
        if unknown.iter().any(|given| matches!(given, Given::Unknown)) {
            said.of(name, "is left out: how it is reached is not guessed");
            return None;
        }
        let address = address.text().unwrap_or_else(|| name.to_owned()).to_ascii_lowercase();
        if !sound_address(&address) {
            said.of(name, format!("is left out: {address:?} is no host name and no IP address"));
            return None;
        }
        let port = match port.text() {
            None => None,
            Some(text) => match text.trim().parse::<u16>() {
                Ok(port) if port > 0 => Some(port),
                Ok(_) | Err(_) => {
                    said.of(name, format!("is left out: {text:?} is no port"));
                    return None;
                }
            },
        };
        for (variable, place) in ELSEWHERE {
            let set = self.variables.get(variable);
            if set.is_some_and(|value| !matches!(value, Value::Null | Value::Boolean(false))) {
                said.of(name, format!("{variable} is not taken over: {place}"));
            }
        }
        let mut host = SshHost {
            alias: name.to_owned(),
            host: address,
            port,
            user: user.text(),
            identities: key.text().map(|key| at_home(&key, self.home)).into_iter().collect(),
            jump: None,
            left_out: Vec::new(),
        };
        self.arguments(&mut host, said);
        Some(host)
    }

    /// The last of these variables that is given: later names are stronger.
    fn one(&self, variables: &[&str], said: &mut Said) -> Given {
        let found =
            variables.iter().rev().find_map(|name| Some((name, self.variables.get(*name)?)));
        let Some((name, value)) = found else { return Given::Nothing };
        match value {
            Value::Null => Given::Nothing,
            Value::Integer(number) => Given::Text(number.to_string()),
            Value::Text(text) if text.trim().is_empty() => Given::Nothing,
            Value::Text(text) if !text.contains("{{") && !text.contains("{%") => {
                Given::Text(text.clone())
            }
            Value::Text(_) => {
                said.of(self.name, format!("{name} is a template, and is not guessed"));
                Given::Unknown
            }
            Value::Tagged => {
                said.of(
                    self.name,
                    format!("{name} is in a vault or marked as unsafe, and is not opened"),
                );
                Given::Unknown
            }
            Value::Boolean(_) | Value::Other => {
                said.of(self.name, format!("{name} is neither text nor a whole number"));
                Given::Unknown
            }
        }
    }

    /// What the arguments of `ssh` say of jump hosts; the first counts, and the rest is left out.
    fn arguments(&self, host: &mut SshHost, said: &mut Said) {
        for name in ["ansible_ssh_args", "ansible_ssh_common_args", "ansible_ssh_extra_args"] {
            let Given::Text(text) = self.one(&[name], said) else { continue };
            let Some(words) = words::split(&text, false) else {
                said.of(self.name, format!("{name} has an open quote, and is not taken over"));
                continue;
            };
            let mut words = words.into_iter();
            while let Some(word) = words.next() {
                let (option, joined) = word.split_at_checked(2).unwrap_or((word.as_str(), ""));
                let takes = matches!(option, "-J" | "-o");
                let value =
                    if takes && joined.is_empty() { words.next() } else { Some(joined.to_owned()) };
                let value = value.unwrap_or_default();
                let jump = match option {
                    "-J" => Some(value.as_str()),
                    "-o" => proxy_jump(&value),
                    _ => None,
                };
                match jump {
                    Some(jump) if host.jump.is_none() => host.jump = Some(jump.to_owned()),
                    Some(_) => {}
                    None => {
                        let left = if takes { format!("{option} {value}") } else { word.clone() };
                        said.of(self.name, format!("of {name} is not taken over: {left}"));
                        host.left_out.push(left);
                    }
                }
            }
        }
        host.jump.take_if(|jump| jump.eq_ignore_ascii_case("none"));
    }
}

impl Given {
    fn text(self) -> Option<String> {
        match self {
            Self::Text(text) => Some(text),
            Self::Nothing | Self::Unknown => None,
        }
    }
}

/// The value of `ProxyJump=x` or `ProxyJump x`.
fn proxy_jump(option: &str) -> Option<&str> {
    let (keyword, value) =
        option.trim().split_once(|letter: char| letter == '=' || letter.is_whitespace())?;
    let value = value.trim_start_matches(['=', ' ', '\t']).trim();
    (keyword.eq_ignore_ascii_case("proxyjump") && !value.is_empty()).then_some(value)
}

/// Gives each jump host the alias that it has here.
fn jumps(hosts: &mut [AnsibleHost], said: &mut Said) {
    let all: Vec<SshHost> = hosts.iter().map(|host| host.reached.clone()).collect();
    let mut known: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for host in hosts.iter_mut().map(|host| &mut host.reached) {
        let Some(jump) = host.jump.clone() else { continue };
        let found = known.entry(jump.clone()).or_insert_with(|| meant(&jump, &all));
        match found.iter().find(|alias| **alias != host.alias) {
            Some(alias) => host.jump = Some((*alias).to_owned()),
            None => said.of(
                &host.alias,
                format!("jumps through {jump}, which is no host of the inventory: make it an entry of its own and name it in jump:"),
            ),
        }
    }
}

/// The hosts that `user@place:port` may mean: those with its name first, then those with its address; with its user and port, if it
/// names them.
fn meant<'a>(jump: &str, all: &'a [SshHost]) -> Vec<&'a str> {
    let (user, place) = match jump.rsplit_once('@') {
        Some((user, place)) => (Some(user), place),
        None => (None, jump),
    };
    let (place, port) = match place.rsplit_once(':') {
        Some((name, port)) if !name.contains(':') || name.ends_with(']') => (name, Some(port)),
        Some(_) | None => (place, None),
    };
    let place = place.trim_start_matches('[').trim_end_matches(']');
    let fits = |other: &&SshHost| {
        (other.alias == place || other.host.eq_ignore_ascii_case(place))
            && port.is_none_or(|port| port.parse() == Ok(other.port.unwrap_or(22)))
            && user.is_none_or(|user| other.user.as_deref() == Some(user))
    };
    let mut found: Vec<&str> = all.iter().filter(fits).map(|other| other.alias.as_str()).collect();
    found.sort_by_key(|alias| *alias != place);
    found
}
