//! The hosts that a fan-out is for.

use std::fmt;
use std::sync::Arc;

use crate::{Alias, BadSelector, Host, Inventory, Selector, Tag};

/// The hosts of one tag, or those that a selector takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Targets {
    /// Every host that carries this tag.
    Tag(Tag),
    /// Every host that this selector takes.
    On(Selector),
}

impl Targets {
    /// The hosts, in inventory order. None is no error, but for names in a selector that are no hosts.
    pub fn select(&self, inventory: &Inventory) -> Result<Vec<Arc<Host>>, BadSelector> {
        match self {
            Self::Tag(tag) => Ok(inventory.tagged(tag).cloned().collect()),
            Self::On(selector) => selector.select(inventory),
        }
    }

    /// What stands in the place of an alias for all of them together: the tag, or the word `fleet`.
    #[must_use]
    pub fn label(&self) -> Option<Alias> {
        match self {
            // The same rule of characters holds for both, and a tag is the shorter one.
            Self::Tag(tag) => tag.as_str().parse().ok(),
            Self::On(_) => "fleet".parse().ok(),
        }
    }
}

impl fmt::Display for Targets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tag(tag) => write!(f, "tag {tag}"),
            Self::On(selector) => write!(f, "{selector}"),
        }
    }
}

impl From<Tag> for Targets {
    fn from(tag: Tag) -> Self {
        Self::Tag(tag)
    }
}
