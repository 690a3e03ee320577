//! The proof that a request was judged and may run. Only the judge makes one.

use std::sync::Arc;

use serde::Serialize;
use sshepherd_model::{CommandHash, Host, Limits};

use crate::denial::Denial;
use crate::rule::RuleRef;

/// Who let one simple command through.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Decision {
    /// A rule of the owner's.
    Rule(RuleRef),
    /// The closed set of filters, after a pipe.
    Filter(String),
}

impl Decision {
    /// The rule's id, or `filter:` and its name.
    #[must_use]
    pub fn by(&self) -> String {
        match self {
            Self::Rule(rule) => rule.id.clone(),
            Self::Filter(name) => format!("filter:{name}"),
        }
    }
}

/// May run, once: it is not `Clone`, and taking it apart consumes it.
#[derive(Debug)]
#[must_use]
pub struct Permit {
    parts: PermitParts,
}

/// What a permit holds.
#[derive(Debug)]
pub struct PermitParts {
    /// The host it was judged for.
    pub host: Arc<Host>,
    /// The caller's trimmed command.
    pub command: String,
    /// Its hash.
    pub hash: CommandHash,
    /// The exact text in the host's dialect, with its variables: what a yes is bound to.
    pub wire: String,
    /// The same as people read it, without the quotes that only shells need.
    pub shown: String,
    /// The text that is sent. Its variables go apart from it, where no other account on the host can see their values.
    pub script: String,
    /// Working folder, if granted and given.
    pub cwd: Option<String>,
    /// Variables to set.
    pub env: Vec<(String, String)>,
    /// Standard input, if granted and given.
    pub stdin: Option<String>,
    /// The limits in force.
    pub limits: Limits,
    /// Who let each simple command through.
    pub decisions: Vec<Decision>,
    /// Whether the raw text goes to a full shell.
    pub raw_shell: bool,
    /// What the policy would have said, where the owner only watches.
    pub unenforced: Option<Denial>,
}

/// A proof that something was judged, whatever it lets one do.
pub trait Judged {
    /// The kind in one word: a yes to one kind is none to another.
    const KIND: &'static str;

    /// What was judged.
    fn parts(&self) -> &PermitParts;
}

impl Judged for Permit {
    const KIND: &'static str = "command";

    fn parts(&self) -> &PermitParts {
        &self.parts
    }
}

impl Permit {
    pub(crate) fn new(parts: PermitParts) -> Self {
        Self { parts }
    }

    /// What it holds, without using it up.
    #[must_use]
    pub fn parts(&self) -> &PermitParts {
        &self.parts
    }

    /// Uses the permit up.
    #[must_use]
    pub fn into_parts(self) -> PermitParts {
        self.parts
    }
}
