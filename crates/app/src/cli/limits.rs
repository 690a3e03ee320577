//! How many files this process may have open: each connection is one.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// As many as fleets need; some systems refuse to go as far as the limit that they name.
const ENOUGH: u64 = 65_536;

/// Raises the soft limit to the hard one: many systems begin with 1,024 or 256, for the sake of programs that use select(2).
pub(crate) fn many_files() {
    let now = getrlimit(Resource::Nofile);
    let most = now.maximum.map_or(ENOUGH, |hard| hard.min(ENOUGH));
    if now.current.is_none_or(|current| current >= most) {
        return;
    }
    let wanted = Rlimit { current: Some(most), maximum: now.maximum };
    if let Err(error) = setrlimit(Resource::Nofile, wanted) {
        tracing::info!(%error, most, "no more files may be open than at first");
    }
}
