//! Where key files are, and which of them are safe to use.

use std::fs::{self, Metadata};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Component, Path, PathBuf};

use crate::files;

/// Where the keys folder is in the container of the seed.
const CONTAINER: &str = "/app/keys";

/// The file that a configuration names: a relative name is one inside the keys folder; an absolute path and one below `~/` are
/// taken as `ssh` takes them, links included.
pub(crate) fn located(text: &str, keys: &Path) -> Result<PathBuf, String> {
    let given = Path::new(text);
    let path = if given.is_absolute() || text.starts_with("~/") {
        let path = files::named(text, keys)?;
        match path.strip_prefix(CONTAINER) {
            Ok(rest) if fs::metadata(&path).is_err() => inside(rest, keys)?,
            Ok(_) | Err(_) => path,
        }
    } else {
        inside(given, keys)?
    };
    let data = fs::metadata(&path)
        .map_err(|error| format!("{} cannot be read: {error}", path.display()))?;
    if !data.is_file() {
        return Err(format!("{} is no regular file", path.display()));
    }
    files::owned(&data).map_err(|problem| format!("{} {problem}", path.display()))?;
    Ok(path)
}

/// A name inside the keys folder. A link may lead to another place in it, as in a mounted secret of Kubernetes, not out of it.
fn inside(within: &Path, keys: &Path) -> Result<PathBuf, String> {
    if let Ok(data) = fs::metadata(keys) {
        folder(&data).map_err(|problem| format!("the keys folder {} {problem}", keys.display()))?;
    }
    if within.components().any(|part| !matches!(part, Component::Normal(_))) {
        return Err("must not contain .. or .".to_owned());
    }
    let path = keys.join(within);
    let unread = |error: std::io::Error| format!("{} cannot be read: {error}", path.display());
    let real = fs::canonicalize(&path).map_err(unread)?;
    if !real.starts_with(fs::canonicalize(keys).map_err(unread)?) {
        return Err(format!(
            "{} is a symbolic link that leads out of the keys folder; write the whole path {}",
            path.display(),
            real.display()
        ));
    }
    Ok(path)
}

/// In a sticky folder others cannot replace our files.
fn folder(data: &Metadata) -> Result<(), files::Refused> {
    if data.permissions().mode() & 0o1000 != 0 { Ok(()) } else { files::owned(data) }
}

/// Refuses a private key of our own that others can read, as `ssh` does; one of root's that our group may read is meant so.
pub(crate) fn private(path: &Path) -> Result<(), String> {
    let data = fs::metadata(path).map_err(|error| format!("{}: {error}", path.display()))?;
    let mode = data.permissions().mode();
    if open_to_others(data.uid(), rustix::process::getuid().as_raw(), mode) {
        return Err(format!(
            "{} can be read by others (mode {:03o}); run chmod 600 on it",
            path.display(),
            mode & 0o777
        ));
    }
    Ok(())
}

/// What `ssh` calls too open: a key of the account's own that anyone else may read.
fn open_to_others(owner: u32, me: u32, mode: u32) -> bool {
    owner == me && mode & 0o077 != 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_too_open_as_ssh_has_it() {
        for (owner, mode, open) in [
            (1000, 0o600, false),
            (1000, 0o400, false),
            (1000, 0o640, true),
            (1000, 0o604, true),
            // Of root, for the group of the service: as packages and mounted secrets install them.
            (0, 0o440, false),
            (0, 0o640, false),
        ] {
            assert_eq!(open_to_others(owner, 1000, mode), open, "{owner} {mode:o}");
        }
    }
}
