//! known_hosts: which keys a host may show. Strict: a key that is not stored for the host ends the connection.
//!
//! Our own matcher over OpenSSH's file format, because the library's accepts revoked keys and knows neither wildcards
//! nor negation.

use std::fs::{File, Metadata};
use std::io::Read;
use std::path::{Path, PathBuf};

use hmac::{Hmac, KeyInit, Mac};
use russh::keys::ssh_key::HashAlg;
use russh::keys::{Algorithm, PublicKey, parse_public_key_base64};
use sha1::Sha1;
use sshepherd_model::{ConnectFailure, Phase};

/// Largest file that is read: some hundred thousand entries, far more than one file has.
const MAX_FILE_BYTES: u64 = 64 * 1024 * 1024;

/// The stored keys of some files.
#[derive(Debug, Clone, Default)]
pub struct KnownHosts {
    entries: Vec<Entry>,
}

#[derive(Debug, Clone)]
struct Entry {
    marker: Mark,
    names: Names,
    key: PublicKey,
    file: PathBuf,
    line: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mark {
    Host,
    Revoked,
    Authority,
}

#[derive(Debug, Clone)]
enum Names {
    Hashed { salt: Vec<u8>, hash: Vec<u8> },
    Patterns(Vec<String>),
}

/// What the files say about a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It is stored for the host.
    Known,
    /// Nothing is stored for the host.
    Unknown,
    /// Other keys are stored for the host.
    Changed {
        /// The file of the first of them.
        file: PathBuf,
        /// Its line.
        line: usize,
    },
    /// It is marked as revoked.
    Revoked {
        /// The file.
        file: PathBuf,
        /// The line.
        line: usize,
    },
    /// The host is covered by a certificate authority only, which is not supported yet.
    OnlyAuthority {
        /// The file.
        file: PathBuf,
        /// The line.
        line: usize,
    },
}

fn unusable(detail: String, hint: &str) -> ConnectFailure {
    ConnectFailure { phase: Phase::HostKey, detail, hint: hint.to_owned() }
}

impl KnownHosts {
    /// Reads one file, which must exist, be a regular file of at most 64 MiB (a link to one is fine), and be writable by
    /// its owner alone.
    pub fn load_file(path: &Path) -> Result<Self, ConnectFailure> {
        let mut known = Self::default();
        known.add_file(path)?;
        Ok(known)
    }

    /// Reads the user's and the system's files, as `ssh` does; a missing one is fine, one that cannot be read is not.
    pub fn load_user_and_system() -> Result<Self, ConnectFailure> {
        let mut known = Self::default();
        for path in Self::user_and_system_paths() {
            if path.try_exists().unwrap_or(true) {
                known.add_file(&path)?;
            }
        }
        Ok(known)
    }

    /// Where the user's and the system's files are (ssh_config(5), UserKnownHostsFile and GlobalKnownHostsFile).
    #[must_use]
    pub fn user_and_system_paths() -> Vec<PathBuf> {
        let user = std::env::home_dir().map(|home| home.join(".ssh"));
        let user = user.iter().flat_map(|ssh| [ssh.join("known_hosts"), ssh.join("known_hosts2")]);
        let system = ["/etc/ssh/ssh_known_hosts", "/etc/ssh/ssh_known_hosts2"];
        user.chain(system.map(PathBuf::from)).collect()
    }

    fn add_file(&mut self, path: &Path) -> Result<(), ConnectFailure> {
        use std::os::unix::fs::PermissionsExt;
        let shown = path.display();
        let hint = "check known_hosts_path in policy.yml and the file's permissions";
        let failed =
            |error: std::io::Error| unusable(format!("{shown} cannot be read: {error}"), hint);
        let regular = |metadata: &Metadata| {
            let odd = || unusable(format!("{shown} is not a regular file"), hint);
            metadata.is_file().then_some(()).ok_or_else(odd)
        };
        // Looked at before the open, which would wait for the other end of a pipe, and again after it: what counts is the
        // file that is read.
        regular(&std::fs::metadata(path).map_err(failed)?)?;
        let file = File::open(path).map_err(failed)?;
        let metadata = file.metadata().map_err(failed)?;
        regular(&metadata)?;
        let mode = metadata.permissions().mode();
        if mode & 0o022 != 0 {
            return Err(unusable(
                format!("{shown} can be written by others (mode {:03o})", mode & 0o777),
                "run chmod go-w on it",
            ));
        }
        let mut bytes = Vec::new();
        let read = file.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes).map_err(failed)?;
        if u64::try_from(read).map_or(true, |read| read > MAX_FILE_BYTES) {
            return Err(unusable(
                format!("{shown} is larger than {MAX_FILE_BYTES} bytes"),
                "keep only the hosts that are used",
            ));
        }
        self.add(&String::from_utf8_lossy(&bytes), path);
        Ok(())
    }

    /// Adds the lines of a text; lines that are no entries are logged and never match.
    pub fn add(&mut self, text: &str, file: &Path) {
        for (index, line) in text.lines().enumerate() {
            // Blanks are space and tab alone, as OpenSSH reads them.
            let line = line.trim_matches([' ', '\t']);
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            match entry(line, file, index + 1) {
                Some(entry) => self.entries.push(entry),
                None => {
                    tracing::warn!(file = %file.display(), line = index + 1, "not a known_hosts entry; passed over")
                }
            }
        }
    }

    /// The algorithms of the keys stored for a host, for the order of negotiation.
    #[must_use]
    pub fn algorithms_for(&self, name: &str, port: u16) -> Vec<Algorithm> {
        let wanted = lookup_name(name, port);
        self.entries
            .iter()
            .filter(|entry| entry.marker == Mark::Host && entry.names.match_host(&wanted))
            .map(|entry| entry.key.algorithm())
            .collect()
    }

    /// What the files say about `key` for a host. A revoked key is refused whatever else is stored.
    #[must_use]
    pub fn verdict(&self, name: &str, port: u16, key: &PublicKey) -> Verdict {
        let wanted = lookup_name(name, port);
        let matching: Vec<&Entry> =
            self.entries.iter().filter(|entry| entry.names.match_host(&wanted)).collect();
        let same = |entry: &&&Entry| entry.key.key_data() == key.key_data();
        if let Some(entry) =
            matching.iter().filter(|entry| entry.marker == Mark::Revoked).find(same)
        {
            return Verdict::Revoked { file: entry.file.clone(), line: entry.line };
        }
        let mut hosts = matching.iter().filter(|entry| entry.marker == Mark::Host);
        if hosts.clone().any(|entry| same(&entry)) {
            return Verdict::Known;
        }
        if let Some(entry) = hosts.next() {
            return Verdict::Changed { file: entry.file.clone(), line: entry.line };
        }
        match matching.iter().find(|entry| entry.marker == Mark::Authority) {
            Some(entry) => Verdict::OnlyAuthority { file: entry.file.clone(), line: entry.line },
            None => Verdict::Unknown,
        }
    }

    /// Lets a known key through; anything else is a failure that says what to do.
    pub fn check(&self, name: &str, port: u16, key: &PublicKey) -> Result<(), ConnectFailure> {
        let shown = lookup_name(name, port);
        let print = key.fingerprint(HashAlg::Sha256);
        let kind = key.algorithm();
        match self.verdict(name, port, key) {
            Verdict::Known => Ok(()),
            Verdict::Unknown => Err(unusable(
                format!("the host key of {shown} is not known; it shows {kind} {print}"),
                &format!(
                    "compare the fingerprint with the host's owner, then store the key by hand in your known_hosts file; \
                     `ssh-keyscan -p {port} {name}` prints it"
                ),
            )),
            Verdict::Changed { file, line } => Err(unusable(
                format!(
                    "the host key of {shown} is not the stored one ({}:{line}); it shows {kind} {print}",
                    file.display()
                ),
                &format!(
                    "someone may be between you and the host; if its key was changed on purpose, compare the \
                     fingerprint and replace the entry (ssh-keygen -R '{shown}' -f {})",
                    quoted(&file)
                ),
            )),
            Verdict::Revoked { file, line } => Err(unusable(
                format!(
                    "the host key of {shown}, {kind} {print}, is revoked ({}:{line})",
                    file.display()
                ),
                "do not connect; the host needs a new key",
            )),
            Verdict::OnlyAuthority { file, line } => Err(unusable(
                format!(
                    "{shown} is known only by a certificate authority ({}:{line}), which is not supported yet",
                    file.display()
                ),
                "store the host's own key as well",
            )),
        }
    }
}

/// A path as a shell takes it.
fn quoted(path: &Path) -> String {
    format!("'{}'", path.display().to_string().replace('\'', "'\\''"))
}

/// The name that an entry must match: the bare name for port 22, `[name]:port` for any other.
fn lookup_name(name: &str, port: u16) -> String {
    let name = name.to_ascii_lowercase();
    if port == 22 { name } else { format!("[{name}]:{port}") }
}

fn entry(line: &str, file: &Path, number: usize) -> Option<Entry> {
    let mut fields = line.split([' ', '\t']).filter(|field| !field.is_empty());
    let mut names = fields.next()?;
    let marker = match names {
        "@revoked" => Mark::Revoked,
        "@cert-authority" => Mark::Authority,
        other if other.starts_with('@') => return None,
        _ => Mark::Host,
    };
    if marker != Mark::Host {
        names = fields.next()?;
    }
    let algorithm = fields.next()?;
    let key = parse_public_key_base64(fields.next()?).ok()?;
    // The word and the key must agree, as OpenSSH demands.
    let named = key.algorithm();
    if named.as_str() != algorithm {
        return None;
    }
    let names = match names.strip_prefix("|1|") {
        Some(hashed) => {
            let (salt, hash) = hashed.split_once('|')?;
            Names::Hashed { salt: base64(salt)?, hash: base64(hash)? }
        }
        None if names.starts_with('|') => return None,
        None => Names::Patterns(names.split(',').map(str::to_ascii_lowercase).collect()),
    };
    Some(Entry { marker, names, key, file: file.to_owned(), line: number })
}

fn base64(text: &str) -> Option<Vec<u8>> {
    data_encoding::BASE64.decode(text.as_bytes()).ok()
}

impl Names {
    /// Whether the host is meant: by its hash, or by a pattern while no negated pattern says otherwise.
    fn match_host(&self, wanted: &str) -> bool {
        match self {
            Self::Hashed { salt, hash } => Hmac::<Sha1>::new_from_slice(salt)
                .is_ok_and(|mac| mac.chain_update(wanted.as_bytes()).verify_slice(hash).is_ok()),
            Self::Patterns(patterns) => {
                let mut matched = false;
                for pattern in patterns {
                    match pattern.strip_prefix('!') {
                        Some(negated) if wildcard(negated.as_bytes(), wanted.as_bytes()) => {
                            return false;
                        }
                        Some(_) => {}
                        None => matched |= wildcard(pattern.as_bytes(), wanted.as_bytes()),
                    }
                }
                matched
            }
        }
    }
}

/// OpenSSH's patterns: `*` and `?`, nothing else. Iterative, so that no pattern takes more than length × length steps.
fn wildcard(pattern: &[u8], text: &[u8]) -> bool {
    let (mut at, mut seen) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while seen < text.len() {
        match pattern.get(at) {
            Some(b'*') => {
                star = Some((at + 1, seen));
                at += 1;
            }
            Some(byte) if *byte == b'?' || text.get(seen) == Some(byte) => {
                at += 1;
                seen += 1;
            }
            _ => match star {
                Some((after, from)) => {
                    at = after;
                    seen = from + 1;
                    star = Some((after, from + 1));
                }
                None => return false,
            },
        }
    }
    pattern.get(at..).unwrap_or_default().iter().all(|byte| *byte == b'*')
}
