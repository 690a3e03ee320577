//! All files together: either one consistent configuration, or every problem at once.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};
use sshepherd_model::{Inventory, Problem, Secret, Severity};
use sshepherd_policy::{NetworkPolicy, Policy};

use crate::document::{Document, Node, Section, Text};
use crate::files::{self, Refused};
use crate::folders::{Environment, Folders};
use crate::inventory::{self, Source};
use crate::packs::PACKS;
use crate::secrets::Secrets;
use crate::servers::Given;
use crate::settings::Settings;
use crate::{credentials, helper, policy, servers, settings};

/// Which known_hosts files decide.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KnownHosts {
    /// The one that the policy names.
    Explicit(PathBuf),
    /// The user's and the system's.
    UserAndSystem,
}

/// A configuration without errors; some hosts and secrets of it may be unusable.
#[derive(Debug)]
pub struct Loaded {
    /// Hosts and credentials.
    pub inventory: Inventory,
    /// The policy.
    pub policy: Policy,
    /// SHA-256 in hex of `policy.yml` and the packs that it includes, each ended by a NUL; of the file alone without packs.
    pub policy_hash: String,
    /// Where host keys are looked up.
    pub known_hosts: KnownHosts,
    /// Our own settings.
    pub settings: Settings,
    /// The secrets that rules let a person's agent have typed into shells, by name.
    pub typed_secrets: BTreeMap<String, Secret>,
    /// What is probably not meant, and what cannot be used.
    pub warnings: Vec<Problem>,
}

/// Every problem of every file, by file and line; at least one is an error.
#[derive(Debug, Clone)]
pub struct Report {
    /// The problems.
    pub problems: Vec<Problem>,
    /// Our own settings, where their file has no errors: a server that tells the problems is kept by them.
    pub settings: Option<Box<Settings>>,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for problem in &self.problems {
            writeln!(f, "{problem}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Report {}

/// One file on its way: its text and tree, if it could be read and parsed.
struct File {
    document: Document,
    text: String,
    root: Option<Node>,
    missing: bool,
}

/// Reads a policy from a text alone, as `policy.yml` in the working folder; `None` when it has errors.
#[must_use]
pub fn read_policy(text: &str, inventory: &Inventory) -> (Option<Policy>, Vec<Problem>) {
    let document = Document::new(Path::new("policy.yml"));
    let root = document.parse(text);
    let read = root.and_then(|root| policy::read(&document, &root, inventory, Path::new(".")));
    let problems = document.into_problems();
    let sound = problems.iter().all(|problem| problem.severity != Severity::Error);
    (read.map(|file| file.policy).filter(|_| sound), problems)
}

/// What a configuration is read for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Purpose {
    /// To connect.
    Connect,
    /// To judge commands only: keys and secrets need not be there.
    Judge,
}

/// Reads the four files of `folders`, and what else gives hosts.
pub fn load(folders: &Folders, environment: &impl Environment) -> Result<Loaded, Report> {
    read(folders, environment, Purpose::Connect)
}

/// Reads them without `credentials.yml`, for those who work on a policy where there are no keys.
pub fn load_to_judge(folders: &Folders, environment: &impl Environment) -> Result<Loaded, Report> {
    read(folders, environment, Purpose::Judge)
}

fn read(
    folders: &Folders,
    environment: &impl Environment,
    purpose: Purpose,
) -> Result<Loaded, Report> {
    let servers = open(&folders.config, "servers.yml", |document| {
        document.error(
            None,
            "",
            "does not exist; `sshepherd init` writes a commented starter configuration",
        );
    });
    let logins = match purpose {
        Purpose::Connect => logins(&folders.config),
        Purpose::Judge => File::unread(&folders.config, "credentials.yml"),
    };
    let rules = open(&folders.config, "policy.yml", |document| {
        document.warn(None, "", "does not exist, so every command is denied");
    });
    let own = open(&folders.config, "sshepherd.yml", |_| {});

    let more = inventory::sources(&folders.config, &servers.document, servers.root.as_ref());
    let secrets = Secrets::new(folders, environment, own.helpers());
    let (inventory, by_program) = inventory(&servers, &more, &logins, folders, &secrets);
    let read = rules
        .root
        .as_ref()
        .and_then(|root| policy::read(&rules.document, root, &inventory, &folders.config));
    let typed_secrets = typed_secrets(&rules.document, read.as_ref(), purpose, &secrets);
    let settings = match &own.root {
        Some(root) => settings::read(&own.document, root, &folders.config),
        None => Settings::default(),
    };
    if let Some(Err(problem)) = settings.warm.as_ref().map(|warm| warm.select(&inventory)) {
        own.document.error(None, "warm.on", problem.to_string());
    }
    let (policy, known_hosts, packs) = match read {
        Some(file) => (file.policy, file.known_hosts, file.packs),
        None => (Policy::default(), None, Vec::new()),
    };
    for (document, at) in by_program {
        warn_of_escape(document, &at, &inventory, policy.network());
    }
    let policy_hash = policy_hash(&rules.text, &packs);
    let sound = own.document.errors() == 0;
    let more = more.into_iter().map(|source| source.document);
    let documents = std::iter::once(servers.document).chain(more);
    let problems =
        collect(documents.chain([logins, rules, own].into_iter().map(|file| file.document)));
    if problems.iter().any(|problem| problem.severity == Severity::Error) {
        return Err(Report { problems, settings: sound.then(|| Box::new(settings)) });
    }
    Ok(Loaded {
        inventory,
        policy,
        policy_hash,
        known_hosts: known_hosts.map_or(KnownHosts::UserAndSystem, KnownHosts::Explicit),
        settings,
        typed_secrets,
        warnings: problems,
    })
}

/// The hosts of all that gives hosts, and the log-ins that they name; and where the hosts are that a program reaches.
fn inventory<'a, E: Environment>(
    servers: &'a File,
    more: &'a [Source],
    logins: &File,
    folders: &Folders,
    secrets: &Secrets<'_, E>,
) -> (Inventory, Vec<(&'a Document, Text)>) {
    let first =
        servers.root.iter().map(|root| Given { document: &servers.document, root, printed: false });
    let others = more.iter().filter_map(|source| {
        let Source { document, root, printed } = source;
        Some(Given { document, root: root.as_ref()?, printed: *printed })
    });
    let whole = servers.root.is_some() && more.iter().all(|source| source.root.is_some());
    let sources: Vec<Given<'_>> = match servers.root {
        Some(_) => first.chain(others).collect(),
        // Said already; what the others lack may stand there.
        None => Vec::new(),
    };
    let servers::Servers { hosts, mentioned, by_program } = servers::read(&sources, whole);
    let used: BTreeSet<String> =
        mentioned.iter().map(|(_, wanted)| wanted.text.trim().to_owned()).collect();
    let entries = match &logins.root {
        Some(root) => credentials::read(&logins.document, root, &used, folders, secrets),
        None => credentials::Entries::default(),
    };
    let credentials::Entries { names, usable, mut unusable } = entries;
    // A file that could not be used has its own error; its entries are not missing.
    let whole_file = logins.document.errors_after(0).join("; ");
    for (document, wanted) in mentioned {
        let name = wanted.text.trim();
        if names.contains(name) {
            continue;
        }
        let message = match logins.root.is_some() || logins.missing {
            true => {
                let message = format!("no entry of credentials.yml is called {name}");
                document.disable(Some(wanted.line), &wanted.field, message.clone());
                message
            }
            false if whole_file.is_empty() => continue,
            false => format!("credentials.yml {whole_file}"),
        };
        if let Ok(name) = name.parse() {
            unusable.insert(name, message);
        }
    }
    (Inventory::new(hosts, usable).with_unusable(unusable), by_program)
}

/// Where a program connects, no network policy sees: says what comes of it.
fn warn_of_escape(document: &Document, at: &Text, inventory: &Inventory, network: &NetworkPolicy) {
    let host = at.text.parse().ok().and_then(|alias| inventory.host(&alias));
    let proxy = host.and_then(|host| host.connection.proxy.as_ref());
    if proxy.is_none_or(|proxy| proxy.trusted) {
        return;
    }
    let message = if network.allowed().is_some() {
        "is refused when it is connected to: where its proxy_command connects cannot be held against the allow list of \
         policy.yml; proxy_command_trusted: true says that you vouch for it"
    } else if !network.blocked().is_empty() {
        "is reached by proxy_command, and where that connects cannot be held against the block list of policy.yml; only \
         the addresses of the host's name are, as far as this machine knows them"
    } else {
        return;
    };
    document.warn(Some(at.line), &at.field, format!("{} {message}", at.text));
}

/// The values of the secrets that rules about shells name; none are looked up where nobody connects.
fn typed_secrets<E: Environment>(
    document: &Document,
    read: Option<&policy::PolicyFile>,
    purpose: Purpose,
    secrets: &Secrets<'_, E>,
) -> BTreeMap<String, Secret> {
    let mut values = BTreeMap::new();
    let shells = read.filter(|_| purpose == Purpose::Connect).map(|file| file.policy.shells());
    for shell in shells.unwrap_or_default() {
        for secret in &shell.grant.secrets {
            match secrets.get(&secret.name) {
                Ok(value) => drop(values.insert(secret.name.clone(), value)),
                Err(missing) => {
                    let line = shell.rule.position.line;
                    document.disable(Some(line), "secrets", missing.to_string());
                }
            }
        }
    }
    values
}

impl File {
    /// The programs that print secrets, if this is the file that names them.
    fn helpers(&self) -> helper::Helpers {
        let top = self.root.as_ref().and_then(|root| Section::of(&self.document, root, ""));
        top.map(|top| helper::read(&top)).unwrap_or_default()
    }

    /// A file that is not looked at.
    fn unread(folder: &Path, name: &str) -> Self {
        let document = Document::new(&folder.join(name));
        Self { document, text: String::new(), root: None, missing: false }
    }
}

fn open(folder: &Path, name: &str, missing: impl FnOnce(&Document)) -> File {
    opened(Document::new(&folder.join(name)), missing)
}

/// The file of the log-ins: whatever is wrong in it, the hosts that need it cannot be used, and nothing else.
fn logins(folder: &Path) -> File {
    opened(Document::apart(&folder.join("credentials.yml")), |_| {})
}

fn opened(document: Document, missing: impl FnOnce(&Document)) -> File {
    let path = document.file.clone();
    let text = match files::read(&path) {
        Ok(text) => text,
        Err(problem) => {
            let missing_file = matches!(problem, Refused::Missing);
            match problem {
                Refused::Missing => missing(&document),
                Refused::Unsafe(_) | Refused::Unreadable(_) => {
                    document.error(None, "", problem.to_string());
                }
            }
            return File { document, text: String::new(), root: None, missing: missing_file };
        }
    };
    let root = document.parse(&text);
    File { document, text, root, missing: false }
}

fn collect(documents: impl Iterator<Item = Document>) -> Vec<Problem> {
    let mut problems: Vec<Problem> = Vec::new();
    for document in documents {
        let mut of_file = document.into_problems();
        of_file.sort_by_key(|problem| problem.line);
        problems.extend(of_file);
    }
    problems
}

fn policy_hash(text: &str, packs: &[&str]) -> String {
    let mut digest = Sha256::new_with_prefix(text.as_bytes());
    for pack in PACKS.iter().filter(|pack| packs.contains(&pack.name)) {
        digest.update([0]);
        digest.update(pack.text.as_bytes());
    }
    hex(&digest.finalize())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
