//! Secrets in the system's keyring, through the program that the system has for it: no library, no text of the owner's but a name.

use std::io;

use sshepherd_model::Secret;

use crate::document::Section;
use crate::helper::{self, Failure};

/// Where entries are: the attribute `service` in a Secret Service keyring, the service of a macOS keychain item.
const SERVICE: &str = "sshepherd";
/// Longest name of an entry.
const MAX_NAME: usize = 100;

/// Programs that look into a keyring.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum System {
    SecretService,
    MacOs,
}

const HERE: System = if cfg!(target_os = "macos") { System::MacOs } else { System::SecretService };

/// The name of a checked entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry(String);

impl Entry {
    /// What `keyring:` says about the secret `name`; `None` is an error of the document.
    pub(crate) fn read(section: &Section<'_>, name: &str) -> Option<Self> {
        let (node, field) = section.any("keyring")?;
        let wanted = match node.as_text() {
            Some(text) => text,
            None if node.is_true() => name,
            None => {
                let message = "must be true, or the name of an entry in quotes";
                section.document.error(Some(node.line), &field, message);
                return None;
            }
        };
        let known = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        // A program would take a leading hyphen for an option.
        let sound = (1..=MAX_NAME).contains(&wanted.len())
            && wanted.bytes().all(known)
            && !wanted.starts_with('-');
        if !sound {
            let message = "is no name of an entry: 1 to 100 letters, digits, `.`, `_` and `-` are allowed, the first of them no `-`";
            section.document.error(Some(node.line), &field, message);
            return None;
        }
        Some(Self(wanted.to_owned()))
    }

    /// The value, as the keyring's program prints it.
    pub(crate) fn ask(&self) -> Result<Secret, String> {
        helper::ask(&self.lookup(HERE)).map_err(|failure| self.told(HERE, &failure))
    }

    fn lookup(&self, system: System) -> Vec<String> {
        let words: &[&str] = match system {
            System::SecretService => {
                &["secret-tool", "lookup", "service", SERVICE, "account", &self.0]
            }
            System::MacOs => {
                &["security", "find-generic-password", "-s", SERVICE, "-a", &self.0, "-w"]
            }
        };
        words.iter().map(|word| (*word).to_owned()).collect()
    }

    /// The line that stores the entry; the program asks for the value.
    fn store(&self, system: System) -> String {
        let name = &self.0;
        match system {
            System::SecretService => {
                format!("secret-tool store --label={name} service {SERVICE} account {name}")
            }
            System::MacOs => format!("security add-generic-password -s {SERVICE} -a {name} -w"),
        }
    }

    fn told(&self, system: System, failure: &Failure) -> String {
        let name = &self.0;
        match (failure, system) {
            (Failure::NotRun(error), System::SecretService)
                if error.kind() == io::ErrorKind::NotFound =>
            {
                "the keyring cannot be asked, for secret-tool is not installed (package libsecret-tools)"
                    .to_owned()
            }
            // Either program ends the same way for each of these, and what it says of it is not repeated.
            (Failure::Ended(_) | Failure::Nothing, _) => format!(
                "the keyring gave no entry {name}: it has none (`{}` stores it), it is locked, or no keyring runs in \
                 this session",
                self.store(system)
            ),
            (failure, _) => format!("the keyring's program {failure}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_are_fixed_but_for_the_entry() {
        let entry = Entry("db.pw".to_owned());
        assert_eq!(
            entry.lookup(System::SecretService).join(" "),
            "secret-tool lookup service sshepherd account db.pw"
        );
        assert_eq!(
            entry.lookup(System::MacOs).join(" "),
            "security find-generic-password -s sshepherd -a db.pw -w"
        );
    }

    #[test]
    fn what_is_told_says_what_to_do() {
        let entry = Entry("db".to_owned());
        let gone = Failure::NotRun(io::Error::from(io::ErrorKind::NotFound));
        assert!(entry.told(System::SecretService, &gone).contains("package libsecret-tools"));
        assert!(entry.told(System::MacOs, &gone).contains("cannot be run"));
        for (system, line) in [
            (
                System::SecretService,
                "`secret-tool store --label=db service sshepherd account db` stores it",
            ),
            (System::MacOs, "`security add-generic-password -s sshepherd -a db -w` stores it"),
        ] {
            let told = entry.told(system, &Failure::Nothing);
            assert!(told.contains(line), "{told}");
        }
    }
}
