//! Jump hosts as entries of their own: what a file says of the way to a host, as the aliases that an inventory of ours has for it.

use std::collections::{BTreeMap, BTreeSet};

use crate::ssh_config::SshHost;

/// A host that may become an entry.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Candidate {
    /// How it is reached.
    pub reached: SshHost,
    /// Its groups, as tags.
    pub tags: Vec<String>,
    /// Whether the file has no host of this name: it is a jump host, or was given another name.
    pub made: bool,
}

/// Most hosts on one way that are looked at; the configuration reader takes fewer.
const MAX_CHAIN: usize = 10;
/// Most entries that are made.
const MAX_MADE: usize = 1000;

/// Gives each host with a way the alias of its last jump host; those that are no hosts of the file become entries. `known` says how
/// a name that is none of theirs is reached. With what there is to say of it.
pub fn resolved(
    hosts: Vec<Candidate>,
    known: impl FnMut(&str) -> SshHost,
) -> (Vec<Candidate>, Vec<(String, String)>) {
    let names = hosts.iter().map(|host| host.reached.alias.to_ascii_lowercase()).collect();
    let count = hosts.len();
    let mut hops = Hops {
        hosts,
        names,
        known,
        ready: BTreeSet::new(),
        made: BTreeMap::new(),
        notes: Vec::new(),
        count,
    };
    let mut at = 0;
    while let Some(host) = hops.hosts.get(at) {
        if let Some(chain) = host.reached.jump.clone().filter(|_| !hops.ready.contains(&at)) {
            let alias = host.reached.alias.clone();
            let jump = hops.through(&chain, &alias);
            if let Some(host) = hops.hosts.get_mut(at) {
                host.reached.jump = jump;
            }
        }
        at += 1;
    }
    (hops.hosts, hops.notes)
}

struct Hops<F> {
    hosts: Vec<Candidate>,
    /// Aliases in use, in small letters.
    names: BTreeSet<String>,
    known: F,
    /// Those whose way is an alias already.
    ready: BTreeSet<usize>,
    /// What became of each hop behind another.
    made: BTreeMap<(String, Option<String>), String>,
    notes: Vec<(String, String)>,
    /// How many hosts the file has.
    count: usize,
}

/// `user@place:port`.
struct Hop<'a> {
    user: Option<&'a str>,
    place: &'a str,
    port: Option<u16>,
}

impl<F: FnMut(&str) -> SshHost> Hops<F> {
    /// The alias of the last host of a chain.
    fn through(&mut self, chain: &str, target: &str) -> Option<String> {
        let mut via: Option<String> = None;
        if chain.split(',').count() > MAX_CHAIN {
            self.say(target, format!("the jump hosts {chain} are left out: they are too many"));
            return None;
        }
        for spec in chain.split(',') {
            let Some(hop) = Hop::read(spec.trim()) else {
                self.say(
                    target,
                    format!("the jump host {spec:?} is left out: it is no user@host:port"),
                );
                return None;
            };
            via = Some(self.entry(spec.trim(), &hop, via)?);
        }
        if via.as_deref() == Some(target) {
            self.say(target, format!("its jump host {chain} is itself, and is left out"));
            return None;
        }
        via
    }

    /// The entry of a hop behind `via`: one that there is, or a new one.
    fn entry(&mut self, spec: &str, hop: &Hop<'_>, via: Option<String>) -> Option<String> {
        if via.is_none()
            && let Some(alias) = self.there(hop)
        {
            return Some(alias);
        }
        let key = (spec.to_owned(), via.clone());
        if let Some(alias) = self.made.get(&key) {
            return Some(alias.clone());
        }
        if self.made.len() >= MAX_MADE {
            return None;
        }
        let named = self.hosts.iter().take(self.count).find(|it| it.reached.alias == hop.place);
        let mut reached = match named {
            Some(host) => host.reached.clone(),
            None => (self.known)(hop.place),
        };
        reached.alias = self.free(hop.place);
        reached.user = hop.user.map(str::to_owned).or(reached.user);
        reached.port = hop.port.or(reached.port);
        if via.is_some() {
            reached.jump.clone_from(&via);
            reached.proxy_command = None;
            self.ready.insert(self.hosts.len());
        }
        let alias = reached.alias.clone();
        self.notes.push((spec.to_owned(), format!("this jump host becomes the entry {alias}")));
        self.hosts.push(Candidate { reached, tags: Vec::new(), made: true });
        self.made.insert(key, alias.clone());
        Some(alias)
    }

    /// A host of the file with this name, or else this address, and with the user and the port where they are given.
    fn there(&self, hop: &Hop<'_>) -> Option<String> {
        let fits = |host: &&Candidate| {
            hop.port.is_none_or(|port| port == host.reached.port.unwrap_or(22))
                && hop.user.is_none_or(|user| host.reached.user.as_deref() == Some(user))
        };
        let all = || self.hosts.iter().take(self.count);
        let named = || all().find(|host| host.reached.alias == hop.place);
        match named() {
            Some(host) => Some(host).filter(fits),
            None => {
                all().filter(fits).find(|host| host.reached.host.eq_ignore_ascii_case(hop.place))
            }
        }
        .map(|host| host.reached.alias.clone())
    }

    /// An alias that nobody has.
    fn free(&mut self, place: &str) -> String {
        let plain = plain_alias(place);
        let mut alias = plain.clone();
        let mut number = 2;
        while !self.names.insert(alias.to_ascii_lowercase()) {
            alias = format!("{plain}-{number}");
            number += 1;
        }
        alias
    }

    fn say(&mut self, host: &str, text: String) {
        self.notes.push((host.to_owned(), text));
    }
}

impl<'a> Hop<'a> {
    fn read(text: &'a str) -> Option<Self> {
        let text = text.strip_prefix("ssh://").unwrap_or(text);
        let (user, place) = match text.rsplit_once('@') {
            Some((user, place)) => (Some(user).filter(|user| !user.is_empty()), place),
            None => (None, text),
        };
        let (place, port) = match place.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            Some((place, "")) => (place, None),
            Some((place, port)) => (place, Some(port.strip_prefix(':')?)),
            None => match place.split_once(':') {
                Some((name, port)) if !port.contains(':') => (name, Some(port)),
                Some(_) | None => (place, None),
            },
        };
        let port = match port {
            Some(port) => Some(port.parse().ok().filter(|port| *port > 0)?),
            None => None,
        };
        (!place.is_empty()).then_some(Self { user, place, port })
    }
}

/// A name as an alias: what an alias cannot hold becomes a hyphen.
#[must_use]
pub fn plain_alias(name: &str) -> String {
    let fits = |letter: char| letter.is_ascii_alphanumeric() || "._-".contains(letter);
    let plain: String =
        name.chars().map(|letter| if fits(letter) { letter } else { '-' }).take(90).collect();
    let plain = plain.trim_start_matches('-');
    if plain.is_empty() { "host".to_owned() } else { plain.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(alias: &str, jump: Option<&str>) -> Candidate {
        let reached = SshHost {
            alias: alias.to_owned(),
            host: format!("{alias}.example"),
            user: Some("me".to_owned()),
            jump: jump.map(str::to_owned),
            ..SshHost::default()
        };
        Candidate { reached, ..Candidate::default() }
    }

    fn ways(hosts: Vec<Candidate>) -> Vec<String> {
        let known = |place: &str| SshHost {
            alias: place.to_owned(),
            host: place.to_owned(),
            ..SshHost::default()
        };
        let (hosts, _) = resolved(hosts, known);
        hosts
            .iter()
            .map(|host| {
                let it = &host.reached;
                let port = it.port.map(|port| format!(":{port}")).unwrap_or_default();
                let user = it.user.as_deref().unwrap_or("-");
                format!(
                    "{} {user}@{}{port} {}",
                    it.alias,
                    it.host,
                    it.jump.as_deref().unwrap_or("-")
                )
            })
            .collect()
    }

    #[test]
    fn chains_become_entries_that_are_reached_one_through_the_other() {
        let hosts = vec![
            host("web", Some("a@h1:2200,h2")),
            host("db", Some("bastion,a@h1:2200")),
            host("bastion", None),
            host("self", Some("self")),
            host("other", Some("ops@bastion")),
            host("same", Some("me@bastion.example:22")),
            host("v6", Some("[2001:db8::1]:23")),
            host("bad", Some("h1:ssh")),
        ];
        assert_eq!(
            ways(hosts),
            [
                "web me@web.example h2",
                "db me@db.example h1-2",
                "bastion me@bastion.example -",
                "self me@self.example -",
                "other me@other.example bastion-2",
                "same me@same.example bastion",
                "v6 me@v6.example 2001-db8--1",
                "bad me@bad.example -",
                "h1 a@h1:2200 -",
                "h2 -@h2 h1",
                "h1-2 a@h1:2200 bastion",
                "bastion-2 ops@bastion.example -",
                "2001-db8--1 -@2001:db8::1:23 -",
            ]
        );
    }

    #[test]
    fn ways_that_go_round_come_to_an_end() {
        let hosts =
            vec![host("a", Some("x@b")), host("b", Some("y@a")), host("c", Some("b,a,b,a"))];
        assert!(ways(hosts).len() < 20);
    }
}
