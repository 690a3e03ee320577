//! known_hosts: which keys a host may show. Strict: a key that is neither stored for the host nor certified by an
//! authority stored for it ends the connection.
//!
//! Our own matcher over OpenSSH's file format, because the library's accepts revoked keys and knows neither wildcards
//! nor negation. Rooms: `file` (its lines), `index` (which are about a host), `verdict` (what they say about a key), `certificate` (what an authority must
//! have signed), `enrol` (a person adds a key).

use std::fs::{File, Metadata};
use std::io::Read;
use std::path::{Path, PathBuf};

use sshepherd_model::{ConnectFailure, Phase};

use file::{Entry, entry};
use index::Index;

mod certificate;
mod enrol;
mod file;
mod index;
mod verdict;

pub use verdict::{Verdict, fingerprint};

/// Largest file that is read: some hundred thousand entries, far more than one file has.
const MAX_FILE_BYTES: u64 = 64 * 1024 * 1024;

/// The stored keys of some files.
#[derive(Debug, Clone, Default)]
pub struct KnownHosts {
    entries: Vec<Entry>,
    index: Index,
}

fn unusable(detail: String, hint: &str) -> ConnectFailure {
    ConnectFailure { phase: Phase::HostKey, detail: detail.into(), hint: hint.to_owned() }
}

/// Whether the group of a file is its owner's own, and nobody else's: called like the user, the user's first group, no other
/// member. Debian and Fedora give each user such a group, and a umask of 002 with it.
fn owner_alone_is_in_group(metadata: &Metadata) -> bool {
    use std::os::unix::fs::MetadataExt;
    let owner = nix::unistd::User::from_uid(metadata.uid().into()).ok().flatten();
    let group = nix::unistd::Group::from_gid(metadata.gid().into()).ok().flatten();
    owner.zip(group).is_some_and(|(owner, group)| {
        owner.gid == group.gid
            && owner.name == group.name
            && group.mem.iter().all(|member| *member == owner.name)
    })
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
        let own = Self::user_path();
        let user = own.iter().flat_map(|path| [path.clone(), path.with_file_name("known_hosts2")]);
        let system = ["/etc/ssh/ssh_known_hosts", "/etc/ssh/ssh_known_hosts2"];
        user.chain(system.map(PathBuf::from)).collect()
    }

    /// The user's own file, which need not exist; none without a home folder.
    #[must_use]
    pub fn user_path() -> Option<PathBuf> {
        std::env::home_dir().map(|home| home.join(".ssh").join("known_hosts"))
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
        if mode & 0o022 == 0o020 && owner_alone_is_in_group(&metadata) {
            tracing::warn!(file = %shown, "known_hosts can be written by its owner's own group; run chmod g-w on it");
        } else if mode & 0o022 != 0 {
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
                Some(entry) => {
                    self.index.add(self.entries.len(), &entry);
                    self.entries.push(entry);
                }
                None => {
                    tracing::warn!(file = %file.display(), line = index + 1, "not a known_hosts entry; passed over")
                }
            }
        }
    }
}
