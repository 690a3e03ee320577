//! Which lines are about a host, without a look at each of them: a fleet asks four times for each of its hosts.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::file::{Entry, Names};

/// Places in a list of entries.
#[derive(Debug, Default)]
pub(super) struct Index {
    /// By name, of the lines that hold nothing but names.
    plain: HashMap<String, Vec<usize>>,
    /// The lines with patterns, and those with a hash, which costs a SHA-1 for each question.
    others: Vec<usize>,
    /// What was found before. It grows by the hosts that are asked for, which the inventory bounds.
    found: Mutex<HashMap<String, Arc<[usize]>>>,
}

impl Clone for Index {
    fn clone(&self) -> Self {
        Self { plain: self.plain.clone(), others: self.others.clone(), found: Mutex::default() }
    }
}

impl Index {
    /// Takes in the entry at `place`, which is past all others.
    pub(super) fn add(&mut self, place: usize, entry: &Entry) {
        self.found = Mutex::default();
        match &entry.names {
            Names::Patterns(names) if !names.iter().any(|name| name.contains(['*', '?', '!'])) => {
                for name in names {
                    let places = self.plain.entry(name.clone()).or_default();
                    if places.last() != Some(&place) {
                        places.push(place);
                    }
                }
            }
            Names::Patterns(_) | Names::Hashed { .. } => self.others.push(place),
        }
    }

    /// The places of the entries about `wanted`, in order.
    pub(super) fn matching(&self, entries: &[Entry], wanted: &str) -> Arc<[usize]> {
        let known = self.found.lock().unwrap_or_else(PoisonError::into_inner).get(wanted).cloned();
        if let Some(places) = known {
            return places;
        }
        let about =
            |place: &usize| entries.get(*place).is_some_and(|entry| entry.names.match_host(wanted));
        let plain = self.plain.get(wanted).into_iter().flatten().copied();
        let mut places: Vec<usize> =
            plain.chain(self.others.iter().copied().filter(about)).collect();
        places.sort_unstable();
        let places: Arc<[usize]> = places.into();
        let mut found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        found.insert(wanted.to_owned(), Arc::clone(&places));
        places
    }
}
