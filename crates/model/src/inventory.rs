//! Every configured host and credential, looked up by name.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::{Alias, Credential, CredentialName, Host, Tag};

/// The hosts in file order, and their credentials. Built once from checked values.
#[derive(Debug, Clone, Default)]
pub struct Inventory {
    hosts: Vec<Arc<Host>>,
    credentials: BTreeMap<CredentialName, Arc<Credential>>,
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
        }
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
