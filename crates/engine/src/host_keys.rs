//! The known_hosts files, read again only when they have changed.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use sshepherd_model::ConnectFailure;
use sshepherd_ssh::KnownHosts;

use crate::config::KnownHostsFiles;

/// What tells a changed file from an unchanged one.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Stamp {
    path: PathBuf,
    seen: Option<(u64, SystemTime)>,
}

/// The last reading of the files. A person may enrol a key while the server runs, so every connection asks anew; the
/// files are looked at (not read) each time.
#[derive(Debug, Default)]
pub(crate) struct HostKeys {
    last: Mutex<Option<(Vec<Stamp>, Arc<KnownHosts>)>>,
}

impl HostKeys {
    /// The keys in `files` as they are now.
    pub(crate) fn get(&self, files: &KnownHostsFiles) -> Result<Arc<KnownHosts>, ConnectFailure> {
        let stamps = stamps(files);
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((seen, keys)) = &*last
            && *seen == stamps
        {
            return Ok(Arc::clone(keys));
        }
        let keys = Arc::new(match files {
            KnownHostsFiles::Explicit(path) => KnownHosts::load_file(path)?,
            KnownHostsFiles::UserAndSystem => KnownHosts::load_user_and_system()?,
        });
        *last = Some((stamps, Arc::clone(&keys)));
        Ok(keys)
    }
}

fn stamps(files: &KnownHostsFiles) -> Vec<Stamp> {
    let paths = match files {
        KnownHostsFiles::Explicit(path) => vec![path.clone()],
        KnownHostsFiles::UserAndSystem => KnownHosts::user_and_system_paths(),
    };
    let stamp = |path: PathBuf| {
        let seen = std::fs::metadata(&path)
            .ok()
            .and_then(|data| data.modified().ok().map(|changed| (data.len(), changed)));
        Stamp { path, seen }
    };
    paths.into_iter().map(stamp).collect()
}
