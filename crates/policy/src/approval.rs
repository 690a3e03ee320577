//! What an owner wants before a command that must be asked for runs: whose yes, how given, and for how long it holds.

use std::time::Duration;

use serde::Serialize;

/// How long a yes holds. It always holds for one host set and one exact text only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Lasts {
    /// For one start. A server that ends before the start takes it along.
    #[default]
    Once,
    /// For one task, which another server may go on with.
    Task,
    /// For any number of starts within so many minutes.
    Minutes(u32),
}

/// The owner's terms.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Terms {
    /// Accounts that may say yes, by name; with none, any person who can reach the state folder or the client.
    pub by: Vec<String>,
    /// How long a yes holds.
    pub lasts: Lasts,
    /// Whether the yes must come over the command line: an answer through the agent's own client is no proof of a person.
    pub out_of_band: bool,
    /// How long the question stays open.
    pub expires: Duration,
}

impl Default for Terms {
    /// Anyone, once, by either way, within ten minutes.
    fn default() -> Self {
        Self {
            by: Vec::new(),
            lasts: Lasts::Once,
            out_of_band: false,
            expires: Duration::from_secs(600),
        }
    }
}

impl Terms {
    /// The stricter of two, field by field: whoever may say yes must be on both lists.
    #[must_use]
    pub fn strictest(self, other: &Self) -> Self {
        let by = match (self.by.as_slice(), other.by.as_slice()) {
            (_, []) => self.by,
            ([], theirs) => theirs.to_vec(),
            (ours, theirs) => {
                let both: Vec<String> =
                    ours.iter().filter(|name| theirs.contains(name)).cloned().collect();
                // Nobody on both lists must not come to mean anybody; this is no account's name.
                if both.is_empty() { vec![NOBODY.to_owned()] } else { both }
            }
        };
        Self {
            by,
            lasts: self.lasts.min(other.lasts),
            out_of_band: self.out_of_band || other.out_of_band,
            expires: self.expires.min(other.expires),
        }
    }
}

/// Stands for nobody in a list of accounts; a slash is in no account's name.
pub const NOBODY: &str = "/nobody/";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_terms_together_are_the_stricter_ones() {
        let terms = |by: &[&str], lasts, out_of_band, seconds| Terms {
            by: by.iter().map(|name| (*name).to_owned()).collect(),
            lasts,
            out_of_band,
            expires: Duration::from_secs(seconds),
        };
        let a = terms(&["ann", "bob"], Lasts::Minutes(5), false, 60);
        assert_eq!(
            a.clone().strictest(&Terms::default()),
            terms(&["ann", "bob"], Lasts::Once, false, 60)
        );
        let b = terms(&["bob", "cid"], Lasts::Minutes(9), true, 90);
        assert_eq!(a.clone().strictest(&b), terms(&["bob"], Lasts::Minutes(5), true, 60));
        let c = terms(&["cid"], Lasts::Task, false, 10);
        assert_eq!(a.strictest(&c), terms(&[NOBODY], Lasts::Task, false, 10));
        assert_eq!(Terms::default().strictest(&c), terms(&["cid"], Lasts::Once, false, 10));
    }
}
