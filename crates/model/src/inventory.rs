//! Every configured host and credential, looked up by name.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::{Alias, Credential, CredentialName, Host, Tag};

/// The hosts in file order, and their credentials. Built once from checked values.
#[derive(Debug, Clone, Default)]
pub struct Inventory {
    hosts: Vec<Arc<Host>>,
    credentials: BTreeMap<CredentialName, Arc<Credential>>,
    /// Entries that hosts name and that cannot be used, with the reason.
    unusable: BTreeMap<CredentialName, String>,
}

impl Inventory {
    /// An inventory of `hosts` (aliases unique, which the configuration reader has checked).
    #[must_use]
    pub fn new(hosts: Vec<Host>, credentials: Vec<Credential>) -> Self {
        Self {
            hosts: hosts.into_iter().map(Arc::new).collect(),
            credentials: credentials
                .into_iter()
                .map(|entry| (entry.name.clone(), Arc::new(entry)))
                .collect(),
            unusable: BTreeMap::new(),
        }
    }

    /// The same inventory, where these credentials entries cannot be used, each with the reason.
    #[must_use]
    pub fn with_unusable(mut self, unusable: BTreeMap<CredentialName, String>) -> Self {
        self.unusable = unusable;
        self
    }

    /// Why nobody can log in to `host`, as far as the configuration tells: its own credentials or those of a jump host on
    /// the way cannot be used. The rest of the inventory is not concerned.
    #[must_use]
    pub fn unusable(&self, host: &Host) -> Option<String> {
        let why = |host: &Host| {
            let entry = &host.credentials;
            Some(format!("credentials {entry}: {}", self.unusable.get(entry)?))
        };
        let on_the_way = |hop: &&Arc<Host>| Some(format!("jump host {}: {}", hop.alias, why(hop)?));
        why(host).or_else(|| self.way_to(host).iter().find_map(on_the_way))
    }

    /// All hosts in file order.
    #[must_use]
    pub fn hosts(&self) -> &[Arc<Host>] {
        &self.hosts
    }

    /// The host called `alias`.
    #[must_use]
    pub fn host(&self, alias: &Alias) -> Option<&Arc<Host>> {
        self.hosts.iter().find(|host| host.alias == *alias)
    }

    /// The jump hosts on the way to `host`, the nearest to it first. Never more than the inventory has hosts.
    #[must_use]
    pub fn way_to(&self, host: &Host) -> Vec<&Arc<Host>> {
        let mut way = Vec::new();
        let mut next = host.jump.as_ref();
        while let Some(hop) = next.and_then(|alias| self.host(alias)) {
            if way.len() == self.hosts.len() {
                break;
            }
            way.push(hop);
            next = hop.jump.as_ref();
        }
        way
    }

    /// The hosts that carry `tag`, in file order.
    pub fn tagged<'a>(&'a self, tag: &'a Tag) -> impl Iterator<Item = &'a Arc<Host>> + 'a {
        self.hosts.iter().filter(move |host| host.has_tag(tag))
    }

    /// Every tag in use, sorted, each once.
    #[must_use]
    pub fn tags(&self) -> Vec<Tag> {
        let mut tags: Vec<Tag> = self.hosts.iter().flat_map(|host| host.tags.clone()).collect();
        tags.sort();
        tags.dedup();
        tags
    }

    /// All credentials, by name.
    pub fn credentials(&self) -> impl Iterator<Item = &Arc<Credential>> {
        self.credentials.values()
    }

    /// The credentials of `host`.
    #[must_use]
    pub fn credential(&self, host: &Host) -> Option<&Arc<Credential>> {
        self.credentials.get(&host.credentials)
    }
}
