//! What of an Ansible host an inventory of ours can take over, and what is said of the rest.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use sshepherd_model::{Alias, Tag, names};

use super::{Ansible, Value, Variables, options};
use crate::account;
use crate::hops::{self, Candidate, plain_alias};
use crate::servers::sound_address;
use crate::ssh_config::{Facts, SshHost, at_home};

/// Ways of Ansible to reach a host that are SSH, without the collection that they come from.
const SSH: [&str; 6] = ["ssh", "smart", "paramiko", "paramiko_ssh", "libssh", NETWORK];
/// The way to switches and routers, which have no shell.
const NETWORK: &str = "network_cli";

/// Variables that say something that has another place here.
const ELSEWHERE: [(&str, &str); 6] = [
    ("ansible_password", "put it into a secret, and name that in password_secret"),
    ("ansible_ssh_pass", "put it into a secret, and name that in password_secret"),
    ("ansible_ssh_password", "put it into a secret, and name that in password_secret"),
    ("ansible_become", "a rule of policy.yml says as: ACCOUNT"),
    ("ansible_become_user", "a rule of policy.yml says as: ACCOUNT"),
    ("ansible_ssh_private_key", "put the key into a file of the keys folder"),
];

/// What is said of hosts: each once, with all of whom it holds.
#[derive(Default)]
struct Said(BTreeMap<String, Vec<String>>);

impl Said {
    fn of(&mut self, host: &str, text: impl Into<String>) {
        self.0.entry(text.into()).or_default().push(host.to_owned());
    }

    /// One note for each text. Few hosts that are left out are named one by one, as somebody may look for them.
    fn notes(&self) -> impl Iterator<Item = String> {
        self.0.iter().map(|(text, hosts)| {
            let one_by_one = text.starts_with("is left out") && hosts.len() <= MAX_NAMED;
            let names = match one_by_one {
                true => hosts.join(", "),
                false => names::fold(hosts.iter().map(String::as_str)),
            };
            format!("{names}: {text}")
        })
    }
}

/// Most hosts that are named one by one.
const MAX_NAMED: usize = 50;

impl Ansible {
    /// The hosts that can be taken over, in order; what cannot is added to the notes.
    pub fn taken(&mut self, home: &Path) -> Vec<Candidate> {
        let variables = self.variables();
        let mut said = Said::default();
        let tags = self.tags(&mut said);
        let mut hosts: Vec<Candidate> = Vec::new();
        for (host, variables) in self.hosts.iter().zip(&variables) {
            let asked = Asked { name: &host.name, variables, home };
            if let Some(reached) = asked.reached(&mut said) {
                let groups = self.groups_of(host);
                let tags = groups.iter().filter_map(|group| tags.get(*group).cloned()).collect();
                let made = reached.alias != host.name;
                hosts.push(Candidate { reached, tags, made });
            }
        }
        let direct = |place: &str| SshHost {
            alias: place.to_owned(),
            host: place.to_ascii_lowercase(),
            ..SshHost::default()
        };
        let (hosts, notes) = hops::resolved(hosts, direct);
        for (host, text) in notes {
            said.of(&host, text);
        }
        self.notes.extend(said.notes());
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
        let alias = self.alias(said)?;
        // All are asked for, so that all is told at once.
        let connection = self.one(&["ansible_connection"], said);
        let address = self.one(&["ansible_host", "ansible_ssh_host"], said);
        let port = self.one(&["ansible_port", "ansible_ssh_port"], said);
        let user = self.one(&["ansible_user", "ansible_ssh_user"], said);
        let numbered =
            matches!(&user, Given::Text(name) if name.bytes().all(|it| it.is_ascii_digit()));
        if numbered {
            said.of(self.name, "is left out: its user is a number; put a name there, in quotes");
            return None;
        }
        let keys = ["ansible_private_key_file", "ansible_ssh_private_key_file"];
        let key = self.one(&keys, said);
        let unknown = [&connection, &address, &port, &user];
        let unknown = unknown.iter().any(|given| matches!(given, Given::Unknown));
        let connection = connection.text().unwrap_or_else(|| "ssh".to_owned());
        let way = connection.rsplit('.').next().unwrap_or_default();
        if !SSH.contains(&way) {
            said.of(name, format!("is left out: ansible_connection={connection} is not SSH"));
            return None;
        }
        if unknown {
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
            alias,
            host: address,
            port,
            user: user.text(),
            identities: key.text().map(|key| at_home(&key, self.home)).into_iter().collect(),
            login_shell: self.login_shell(way, said),
            ..SshHost::default()
        };
        self.arguments(&mut host, said);
        Some(host)
    }

    /// Its name as an alias. An IPv6 address has letters that none may have; any other name is not changed.
    fn alias(&self, said: &mut Said) -> Option<String> {
        let name = self.name;
        if name.parse::<Alias>().is_ok_and(|alias| alias.as_str() == name) {
            return Some(name.to_owned());
        }
        if sound_address(name) {
            let alias = plain_alias(name);
            said.of(
                name,
                format!("an alias cannot hold this address; it becomes the alias {alias}"),
            );
            return Some(alias);
        }
        said.of(name, "is left out: an alias has letters, digits and . _ - only");
        None
    }

    /// What the host's shell is, where it is not a POSIX one.
    fn login_shell(&self, way: &str, said: &mut Said) -> Option<&'static str> {
        if way == NETWORK {
            return Some("raw-words");
        }
        match self.one(&["ansible_shell_type"], said) {
            Given::Text(kind) => match kind.as_str() {
                "sh" => None,
                "fish" => Some("fish"),
                "csh" => Some("csh"),
                "powershell" | "cmd" => Some("raw-words"),
                other => {
                    said.of(self.name, format!("ansible_shell_type {other:?} is not taken over: see login_shell: in servers.yml"));
                    None
                }
            },
            Given::Nothing | Given::Unknown => None,
        }
    }

    /// The last of these variables that is given: later names are stronger.
    fn one(&self, variables: &[&str], said: &mut Said) -> Given {
        let found =
            variables.iter().rev().find_map(|name| Some((name, self.variables.get(*name)?)));
        let Some((name, value)) = found else { return Given::Nothing };
        // Ansible takes the later one; a person may well have meant the other.
        let given = variables.iter().filter_map(|name| self.variables.get(*name));
        if given.filter(|other| !matches!(other, Value::Null)).any(|other| other != value) {
            said.of(self.name, format!("{} differ", variables.join(" and ")));
            return Given::Unknown;
        }
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

    /// What the arguments of `ssh` say; what is not taken over is left out.
    fn arguments(&self, host: &mut SshHost, said: &mut Said) {
        let account = account::name().unwrap_or_default();
        for name in ["ansible_ssh_args", "ansible_ssh_common_args", "ansible_ssh_extra_args"] {
            let Given::Text(text) = self.one(&[name], said) else { continue };
            let before = host.clone();
            let facts = Facts {
                alias: self.name,
                host: &before.host,
                port: before.port.unwrap_or(22),
                user: before.user.as_deref().unwrap_or(&account),
                home: self.home,
            };
            match options::read(&text, host, &facts) {
                Ok(left) => {
                    let unclear = host.left_out.drain(..).collect::<Vec<_>>();
                    for left in left.into_iter().chain(unclear) {
                        said.of(self.name, format!("of {name} is not taken over: {left}"));
                    }
                }
                Err(problem) => said.of(self.name, format!("{name} {problem}")),
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
