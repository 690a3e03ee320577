//! `credentials.yml`: how to log in. What is wrong here disables the hosts that need it, and nothing else.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use regex::RegexBuilder;
use sshepherd_model::{AgentKey, AuthMethod, Credential, CredentialName, Secret, unseen};

use crate::document::{Document, Node, Section, Text};
use crate::files;
use crate::folders::{Environment, Folders};
use crate::keyfile;
use crate::secrets::{self, Secrets};
use crate::servers::parsed;

/// Longest login name, in characters.
const MAX_USER: usize = 256;
/// Letters of Base64 in a fingerprint.
const FINGERPRINT: usize = 43;
/// Largest compiled pattern of a prompt, in bytes.
const MAX_PATTERN: usize = 256 * 1024;

/// Every entry by name, with its value if it is usable.
#[derive(Default)]
pub(crate) struct Entries {
    /// All names that are defined, usable or not.
    pub(crate) names: BTreeSet<String>,
    /// The usable ones.
    pub(crate) usable: Vec<Credential>,
    /// The others, with what is wrong.
    pub(crate) unusable: BTreeMap<CredentialName, String>,
}

/// Reads `entries:`. What is wrong with an entry that no host uses is a warning.
pub(crate) fn read(
    document: &Document,
    root: &Node,
    used: &BTreeSet<String>,
    folders: &Folders,
    secrets: &Secrets<'_, impl Environment>,
) -> Entries {
    let mut entries = Entries::default();
    let Some(top) = Section::of(document, root, "") else { return entries };
    for (node, path) in top.list("entries").unwrap_or_default() {
        let Some(section) = Section::of(document, node, &path) else { continue };
        let Some(name) = section.text("name") else {
            document.error(Some(node.line), &format!("{path}.name"), "is required");
            continue;
        };
        let known = document.errors();
        let Some(parsed) = parsed::<CredentialName>(document, name.clone()) else { continue };
        if !entries.names.insert(name.text.clone()) {
            let message = format!("{} is defined twice", name.text);
            document.error(Some(name.line), &name.field, message.clone());
            // Which of them is meant, nobody can tell.
            entries.usable.retain(|entry| entry.name != parsed);
            entries.unusable.insert(parsed, message);
            continue;
        }
        let reader = Reader { document, folders, secrets, used: used.contains(&name.text) };
        let entry = reader.entry(&name, parsed.clone(), section);
        let wrong = document.errors_after(known);
        match entry.filter(|_| wrong.is_empty()) {
            Some(entry) => entries.usable.push(entry),
            None => drop(entries.unusable.insert(parsed, wrong.join("; "))),
        }
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

/// A method, or where it stands and why it cannot be used.
type Method = Result<AuthMethod, Bad>;

struct Bad {
    at: Text,
    problem: String,
}

fn bad(at: &Text, problem: impl Into<String>) -> Bad {
    Bad { at: at.clone(), problem: problem.into() }
}

impl<E: Environment> Reader<'_, E> {
    fn problem(&self, at: &Text, message: impl Into<String>) {
        if self.used {
            self.document.error(Some(at.line), &at.field, message);
        } else {
            self.warn(at, message);
        }
    }

    fn warn(&self, at: &Text, message: impl Into<String>) {
        self.document.warn(Some(at.line), &at.field, message);
    }

    fn entry(&self, at: &Text, name: CredentialName, section: Section<'_>) -> Option<Credential> {
        let username = section.text("username");
        let password_prompt = self.password_prompt(&section);
        let methods = self.methods(at, &section);
        let username = match username {
            Some(text) if sound_user(&text.text) => Some(text.text),
            Some(text) => {
                let rule =
                    "is no login name: 1 to 256 printable characters, no blank first or last";
                self.problem(&text, rule);
                None
            }
            None => {
                self.problem(at, "username is required");
                None
            }
        };
        section.finish();
        let methods = self.sorted_out(methods);
        Some(Credential { name, username: username?, methods: methods?, password_prompt })
    }

    /// The methods of an entry that has at least one to try: another that cannot be used is a warning then, and noted in each
    /// log-in. Without any, each problem is one of the entry.
    fn sorted_out(&self, methods: Vec<Method>) -> Option<Vec<AuthMethod>> {
        let usable = methods.iter().any(Result::is_ok);
        let mut taken = Vec::with_capacity(methods.len());
        for method in methods {
            match method {
                Ok(method) => taken.push(method),
                Err(Bad { at, problem }) if usable => {
                    self.warn(&at, format!("{problem}; the other methods of this entry are used"));
                    let name = at.field.rsplit('.').next().unwrap_or_default().to_owned();
                    taken.push(AuthMethod::Unusable { name, problem });
                }
                Err(Bad { at, problem }) => self.problem(&at, problem),
            }
        }
        usable.then_some(taken)
    }

    /// The ways to log in, in order.
    fn methods(&self, entry: &Text, section: &Section<'_>) -> Vec<Method> {
        let mut methods: Vec<Method> = Vec::new();
        methods.extend(self.key(entry, section));
        methods.extend(self.agent(entry, section));
        if let Some(at) = given(section, "password_secret") {
            methods.push(self.secret(&at).map(AuthMethod::Password));
        }
        if let Some(text) = given(section, "password") {
            let message =
                "a password in plain text; put it into a secret and name it in password_secret";
            self.warn(&text, message);
            methods.push(Ok(AuthMethod::Password(Secret::new(text.text))));
        }
        if section.boolean("interactive").unwrap_or(false) {
            methods.push(Ok(AuthMethod::Interactive));
        }
        if methods.is_empty() {
            let ways = "no way to log in: give key_path, agent: true, password_secret, or interactive: true";
            self.problem(entry, ways);
        }
        methods
    }

    fn key(&self, entry: &Text, section: &Section<'_>) -> Option<Method> {
        let at = given(section, "key_path");
        let certificate = given(section, "certificate_path");
        let passphrase = given(section, "key_passphrase_secret");
        let Some(at) = at else {
            if passphrase.is_some() {
                self.problem(entry, "key_passphrase_secret without key_path");
            } else if certificate.is_some() {
                self.problem(entry, "certificate_path without key_path");
            }
            return None;
        };
        let passphrase = passphrase.map(|at| self.secret(&at)).transpose();
        // A certificate is public, but whoever can write it can keep us out.
        let certificate = certificate.map(|at| self.file(&at)).transpose();
        let path = self.file(&at).and_then(|path| match keyfile::private(&path) {
            Ok(()) => Ok(path),
            Err(problem) => Err(bad(&at, problem)),
        });
        let key =
            |path| Ok(AuthMethod::Key { path, certificate: certificate?, passphrase: passphrase? });
        Some(path.and_then(key))
    }

    fn agent(&self, entry: &Text, section: &Section<'_>) -> Option<Method> {
        let key = given(section, "agent_key");
        let socket = given(section, "agent_socket");
        let named = key.is_some() || socket.is_some();
        if !section.boolean("agent").unwrap_or(named) {
            if named {
                self.problem(entry, "agent_key and agent_socket want agent: true");
            }
            return None;
        }
        let socket = || match socket {
            Some(at) => self.socket(&at),
            None => {
                let value = self.secrets.environment().var("SSH_AUTH_SOCK").map(PathBuf::from);
                let line = section.line_of("agent");
                let at = Text { line, field: section.path("agent"), ..entry.clone() };
                let why = "SSH_AUTH_SOCK is not set where this program was started, so there is no agent; name its socket \
                           in agent_socket";
                value.ok_or_else(|| bad(&at, why))
            }
        };
        let only = key.map(|at| self.agent_key(&at)).transpose();
        Some(only.and_then(|only| Ok(AuthMethod::Agent { socket: socket()?, only })))
    }

    /// One key of an agent, by its fingerprint or its public file.
    fn agent_key(&self, at: &Text) -> Result<AgentKey, Bad> {
        let Some(digest) = at.text.strip_prefix("SHA256:") else {
            return self.file(at).map(AgentKey::PublicFile);
        };
        let digest = digest.trim_end_matches('=');
        let letters = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'+' || byte == b'/';
        if digest.len() != FINGERPRINT || !digest.bytes().all(letters) {
            let rule =
                "is no fingerprint: `ssh-add -l` shows those of the agent, SHA256: and 43 letters";
            return Err(bad(at, rule));
        }
        Ok(AgentKey::Fingerprint(format!("SHA256:{digest}")))
    }

    /// The socket of an agent: a path, or a variable that holds one, as in `$SSH_AUTH_SOCK`.
    fn socket(&self, at: &Text) -> Result<PathBuf, Bad> {
        if let Some(name) = at.text.strip_prefix('$') {
            let name = name.trim_start_matches('{').trim_end_matches('}');
            let value = self.secrets.environment().var(name).map(PathBuf::from);
            return value.ok_or_else(|| bad(at, format!("the variable {name} is not set")));
        }
        let path = files::named(&at.text, &self.folders.config).map_err(|problem| bad(at, problem));
        path.and_then(|path| {
            let whole = at.text.starts_with('/') || at.text.starts_with("~/");
            if whole {
                Ok(path)
            } else {
                Err(bad(at, "must be an absolute path, or begin with ~/"))
            }
        })
    }

    fn password_prompt(&self, section: &Section<'_>) -> Option<String> {
        let at = given(section, "password_prompt")?;
        let pattern = RegexBuilder::new(&at.text).size_limit(MAX_PATTERN).build();
        let problem = match pattern {
            Ok(pattern) if pattern.is_match("") => "matches everything".to_owned(),
            Ok(_) => return Some(at.text),
            Err(error) => error.to_string(),
        };
        self.problem(&at, format!("is no pattern for a prompt: {problem}"));
        None
    }

    fn secret(&self, at: &Text) -> Result<Secret, Bad> {
        if secrets::ordinary(&at.text) {
            let message = "is the name of an ordinary variable, so the environment is only asked for its prefixed forms";
            self.warn(at, message);
        }
        self.secrets.get(&at.text).map_err(|missing| bad(at, missing.to_string()))
    }

    fn file(&self, at: &Text) -> Result<PathBuf, Bad> {
        keyfile::located(&at.text, &self.folders.keys).map_err(|problem| bad(at, problem))
    }
}

/// A field with text in it: the seed's own files leave some empty.
fn given(section: &Section<'_>, key: &'static str) -> Option<Text> {
    section.text(key).filter(|text| !text.text.is_empty())
}

/// Login names as they occur (`DOMAIN\user`, `ops:web1`, `user@realm`): no shell ever sees one. What cannot be seen is refused.
fn sound_user(text: &str) -> bool {
    (1..=MAX_USER).contains(&text.chars().count())
        && text.trim() == text
        && !text.chars().any(|c| unseen(c).is_some())
}
