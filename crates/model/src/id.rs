//! Names and ids: newtypes that can only hold what their rule allows.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::request::trimmed;

/// A value that breaks the rule of its field.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {problem}")]
pub struct InvalidField {
    /// Name of the field as the caller wrote it, for example `alias`.
    pub field: &'static str,
    /// What is wrong and what would be right.
    pub problem: String,
}

impl InvalidField {
    /// A complaint about `field`.
    pub fn new(field: &'static str, problem: impl Into<String>) -> Self {
        Self { field, problem: problem.into() }
    }
}

/// Trims blanks, then checks length in characters and the allowed characters.
fn checked(
    field: &'static str,
    text: &str,
    max: usize,
    extra: &str,
) -> Result<String, InvalidField> {
    let text = text.trim();
    if text.is_empty() {
        return Err(InvalidField::new(field, "must not be empty"));
    }
    let length = text.chars().count();
    if length > max {
        return Err(InvalidField::new(
            field,
            format!("has {length} characters; at most {max} are allowed"),
        ));
    }
    match text.chars().find(|c| !c.is_ascii_alphanumeric() && !extra.contains(*c)) {
        None => Ok(text.to_owned()),
        Some(bad) => Err(InvalidField::new(
            field,
            format!("contains {bad:?}; only letters, digits and {extra:?} are allowed"),
        )),
    }
}

macro_rules! name {
    ($(#[$doc:meta])* $type:ident, $field:literal, $max:literal, $extra:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $type(String);

        impl $type {
            /// The text, already trimmed and checked.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $type {
            type Err = InvalidField;
            fn from_str(text: &str) -> Result<Self, InvalidField> {
                checked($field, text, $max, $extra).map(Self)
            }
        }

        impl TryFrom<String> for $type {
            type Error = InvalidField;
            fn try_from(text: String) -> Result<Self, InvalidField> {
                text.parse()
            }
        }

        impl From<$type> for String {
            fn from(value: $type) -> String {
                value.0
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

name!(
    /// A host's name in the inventory: 1 to 100 of `[A-Za-z0-9._-]`.
    Alias, "alias", 100, "._-"
);
name!(
    /// A group of hosts: 1 to 50 of `[A-Za-z0-9._-]`.
    Tag, "tag", 50, "._-"
);
name!(
    /// The name of a credentials entry: 1 to 100 of `[A-Za-z0-9._-]`; never its content.
    CredentialName, "credentials", 100, "._-"
);
name!(
    /// A task's id: 1 to 200 of `[A-Za-z0-9:._-]`.
    TaskId, "task_id", 200, ":._-"
);

name!(
    /// A question's id: 1 to 40 of `[A-Za-z0-9-]`.
    ApprovalId, "approval_id", 40, "-"
);

name!(
    /// An interactive shell's id: 1 to 40 of `[A-Za-z0-9-]`.
    ShellId, "session_id", 40, "-"
);

impl ShellId {
    /// The id of a new shell: `sh-` and 64 random bits in 16 hex digits.
    #[must_use]
    pub fn compose(nonce: u64) -> Self {
        Self(format!("sh-{nonce:016x}"))
    }
}

impl ApprovalId {
    /// The id of a new question: `ask-` and 64 random bits in 16 hex digits, short enough to be typed.
    #[must_use]
    pub fn compose(nonce: u64) -> Self {
        Self(format!("ask-{nonce:016x}"))
    }
}

impl TaskId {
    /// The id of a new task: `alias:hash:nonce`, where the nonce is 128 random bits from the caller
    /// in 32 hex digits, so that ids are unique across instances and cannot be guessed.
    #[must_use]
    pub fn compose(alias: &Alias, hash: &CommandHash, nonce: u128) -> Self {
        Self(format!("{alias}:{hash}:{nonce:032x}"))
    }
}

/// The first 16 hex digits of the SHA-256 of a trimmed command; used in logs in place of its text.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct CommandHash(String);

impl CommandHash {
    /// Hashes a command, trimmed as a request is.
    #[must_use]
    pub fn of(command: &str) -> Self {
        let digest = Sha256::digest(trimmed(command).as_bytes());
        Self(digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect())
    }

    /// The 16 hex digits.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for CommandHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_alias_is_trimmed_and_checked() {
        assert_eq!(" web-1.example ".parse::<Alias>().unwrap().as_str(), "web-1.example");
        let long = "a".repeat(101);
        for bad in ["", "  ", "a b", "a/b", "ä", long.as_str()] {
            assert_eq!(bad.parse::<Alias>().unwrap_err().field, "alias", "{bad:?}");
        }
    }

    /// Seed defect 15: ids of hosts whose alias has a dot were refused by every task tool.
    #[test]
    fn a_task_id_of_a_dotted_alias_is_accepted() {
        let alias: Alias = "web.prod-1".parse().unwrap();
        let id = TaskId::compose(&alias, &CommandHash::of("uptime"), 7);
        assert_eq!(id.as_str().parse::<TaskId>().unwrap(), id);
        assert!(id.as_str().len() <= 200);
    }

    #[test]
    fn the_hash_is_of_the_trimmed_command() {
        // printf uptime | sha256sum | cut -c1-16
        assert_eq!(CommandHash::of("  uptime\n"), CommandHash::of("uptime"));
        assert_eq!(CommandHash::of("uptime").as_str().len(), 16);
    }
}
