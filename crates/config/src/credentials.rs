//! `credentials.yml`: how to log in.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Component, Path, PathBuf};

use sshepherd_model::{AuthMethod, Credential, Secret};

use crate::document::{Document, Node, Section, Text};
use crate::files;
use crate::folders::{Environment, Folders};
use crate::secrets::{self, Secrets};
use crate::servers::parsed;

/// Every entry by name, with its value if it is usable.
pub(crate) struct Entries {
    /// All names that are defined, usable or not.
    pub(crate) names: BTreeSet<String>,
    /// The usable ones.
    pub(crate) usable: Vec<Credential>,
}

/// Reads `entries:`. What is wrong with an entry that no host uses is a warning, so that an old entry does not stop the rest.
pub(crate) fn read(
    document: &Document,
    root: &Node,
    used: &BTreeSet<String>,
    folders: &Folders,
    secrets: &Secrets<'_, impl Environment>,
) -> Entries {
    let mut entries = Entries { names: BTreeSet::new(), usable: Vec::new() };
    let Some(top) = Section::of(document, root, "") else { return entries };
    for (node, path) in top.list("entries").unwrap_or_default() {
        let Some(section) = Section::of(document, node, &path) else { continue };
        let Some(name) = section.text("name") else {
            document.error(Some(node.line), &format!("{path}.name"), "is required");
            continue;
        };
        if !entries.names.insert(name.text.clone()) {
            document.error(Some(name.line), &name.field, format!("{} is defined twice", name.text));
            continue;
        }
        let reader = Reader { document, folders, secrets, used: used.contains(&name.text) };
        entries.usable.extend(reader.entry(name, section));
    }
    top.finish();
    entries
}

struct Reader<'a, E> {
    document: &'a Document,
    folders: &'a Folders,
    secrets: &'a Secrets<'a, E>,
    used: bool,
}

impl<E: Environment> Reader<'_, E> {
    fn problem(&self, at: &Text, message: impl Into<String>) {
        if self.used {
            self.document.error(Some(at.line), &at.field, message);
        } else {
            self.document.warn(Some(at.line), &at.field, message);
        }
    }

    fn entry(&self, name: Text, section: Section<'_>) -> Option<Credential> {
        let username = section.text("username");
        let methods = self.methods(&name, &section);
        let username = match username {
            Some(text) if sound_user(&text.text) => Some(text.text),
            Some(text) => {
                let rule =
                    "is no login name: letters, digits and . _ - @ \\ $ + are allowed, not - first";
                self.problem(&text, rule);
                None
            }
            None => {
                self.problem(&name, "username is required");
                None
            }
        };
        section.finish();
        let name = parsed(self.document, name);
        Some(Credential { name: name?, username: username?, methods: methods? })
    }

    /// The ways to log in, in order; `None` when one of them, or all, cannot be used.
    fn methods(&self, entry: &Text, section: &Section<'_>) -> Option<Vec<AuthMethod>> {
        let key_path = section.text("key_path");
        let certificate_path = section.text("certificate_path");
        let passphrase = section.text("key_passphrase_secret").map(|secret| self.secret(&secret));
        let agent = section.boolean("agent").unwrap_or(false);
        let interactive = section.boolean("interactive").unwrap_or(false);
        let password_secret = section.text("password_secret").map(|secret| self.secret(&secret));
        let password = section.text("password");
        let mut methods = Vec::new();
        if let Some(at) = key_path {
            let path = self.key(&at);
            let passphrase = passphrase.clone().map_or(Some(None), |secret| secret.map(Some));
            let certificate = certificate_path.map_or(Some(None), |at| self.certificate(&at));
            let both = certificate.zip(passphrase);
            methods.push(path.zip(both).map(|(path, (certificate, passphrase))| AuthMethod::Key {
                path,
                certificate,
                passphrase,
            }));
        } else if passphrase.is_some() {
            self.problem(entry, "key_passphrase_secret without key_path");
        } else if certificate_path.is_some() {
            self.problem(entry, "certificate_path without key_path");
        }
        if agent {
            let socket = self.secrets.environment().var("SSH_AUTH_SOCK");
            if socket.is_none() {
                self.problem(
                    entry,
                    "agent: SSH_AUTH_SOCK is not set; start ssh-agent or leave it out",
                );
            }
            methods.push(socket.map(|socket| AuthMethod::Agent { socket: PathBuf::from(socket) }));
        }
        if let Some(secret) = password_secret {
            methods.push(secret.map(AuthMethod::Password));
        }
        if let Some(text) = password {
            let message =
                "a password in plain text; put it into a secret and name it in password_secret";
            self.document.warn(Some(text.line), &text.field, message);
            methods.push(Some(AuthMethod::Password(Secret::new(text.text))));
        }
        if interactive {
            methods.push(Some(AuthMethod::Interactive));
        }
        if methods.is_empty() {
            let ways = "no way to log in: give key_path, agent: true, password_secret, or interactive: true";
            self.problem(entry, ways);
            return None;
        }
        methods.into_iter().collect()
    }

    fn secret(&self, at: &Text) -> Option<Secret> {
        if secrets::ordinary(&at.text) {
            let message = "is the name of an ordinary variable, so the environment is only asked for its prefixed forms";
            self.document.warn(Some(at.line), &at.field, message);
        }
        match self.secrets.get(&at.text) {
            Ok(secret) => Some(secret),
            Err(missing) => {
                self.problem(at, missing.to_string());
                None
            }
        }
    }

    fn key(&self, at: &Text) -> Option<PathBuf> {
        let found = inside(Path::new(&at.text), &self.folders.keys);
        self.usable(at, found.and_then(|path| private(&path).map(|()| path)))
    }

    /// A certificate is public, but whoever can write it can keep us out.
    fn certificate(&self, at: &Text) -> Option<Option<PathBuf>> {
        self.usable(at, inside(Path::new(&at.text), &self.folders.keys).map(Some))
    }

    fn usable<T>(&self, at: &Text, found: Result<T, String>) -> Option<T> {
        found.map_err(|problem| self.problem(at, problem)).ok()
    }
}

/// A regular file inside the keys folder, reached without links, that others cannot write.
fn inside(given: &Path, keys: &Path) -> Result<PathBuf, String> {
    let within = if given.is_absolute() {
        given
            .strip_prefix(keys)
            .map_err(|_| format!("lies outside the keys folder {}", keys.display()))?
    } else {
        given
    };
    if let Ok(data) = fs::metadata(keys) {
        files::owned(&data)
            .map_err(|problem| format!("the keys folder {} {problem}", keys.display()))?;
    }
    let mut path = keys.to_path_buf();
    for component in within.components() {
        let Component::Normal(part) = component else {
            return Err("must not contain .. or .".to_owned());
        };
        path.push(part);
        let data = fs::symlink_metadata(&path)
            .map_err(|error| format!("{} cannot be read: {error}", path.display()))?;
        if data.is_symlink() {
            return Err(format!("{} is a symbolic link; name the file itself", path.display()));
        }
    }
    let data = fs::metadata(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    if !data.is_file() {
        return Err(format!("{} is no regular file", path.display()));
    }
    files::owned(&data).map_err(|problem| format!("{} {problem}", path.display()))?;
    Ok(path)
}

/// Refuses a private key that others than its owner can read.
fn private(path: &Path) -> Result<(), String> {
    let data = fs::metadata(path).map_err(|error| format!("{}: {error}", path.display()))?;
    let mode = data.permissions().mode();
    if mode & 0o077 != 0 {
        return Err(format!(
            "{} can be read by others (mode {:03o}); run chmod 600 on it",
            path.display(),
            mode & 0o777
        ));
    }
    Ok(())
}

/// Login names as they occur (`DOMAIN\user`, `user@realm`, `host$`), without what a shell or an option could be made of.
fn sound_user(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= 256
        && !text.starts_with('-')
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-@\\$+".contains(&b))
}
