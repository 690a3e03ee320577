//! What `init` writes: a commented configuration that allows a little reading and nothing else.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use crate::folders::Folders;

/// Why nothing (more) was written.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file is there already.
    #[error("{} exists already; nothing was written", .0.display())]
    Exists(PathBuf),
    /// A file or folder could not be made.
    #[error("{} cannot be made", path.display())]
    Write {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

const FILES: [(&str, &str); 4] = [
    ("servers.yml", include_str!("starter/servers.yml")),
    ("credentials.yml", include_str!("starter/credentials.yml")),
    ("policy.yml", include_str!("starter/policy.yml")),
    ("sshepherd.yml", include_str!("starter/sshepherd.yml")),
];

/// Writes the four files (0600) and the folders (0700); touches nothing if any of the files exists.
pub fn write(folders: &Folders) -> Result<Vec<PathBuf>, Error> {
    let files = FILES.map(|(name, text)| (folders.config.join(name), text));
    if let Some((path, _)) = files.iter().find(|(path, _)| fs::symlink_metadata(path).is_ok()) {
        return Err(Error::Exists(path.clone()));
    }
    for folder in [&folders.config, &folders.keys, &folders.secrets] {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)
            .map_err(|source| Error::Write { path: folder.clone(), source })?;
    }
    let mut written = Vec::with_capacity(files.len());
    for (path, text) in files {
        create(&path, text).map_err(|source| Error::Write { path: path.clone(), source })?;
        written.push(path);
    }
    Ok(written)
}

fn create(path: &Path, text: &str) -> io::Result<()> {
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?
        .write_all(text.as_bytes())
}
