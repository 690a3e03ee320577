//! Reading files that decide who may do what: only if nobody else can have written them.

use std::fs::{self, File, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use zeroize::{Zeroize, Zeroizing};

use crate::program;

/// Largest configuration file (seed rule).
pub(crate) const MAX_BYTES: u64 = 10 * 1024 * 1024;

/// What some editors write before a text.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Why a file is not used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Refused {
    #[error("does not exist")]
    Missing,
    #[error("{0}")]
    Unsafe(String),
    #[error("cannot be read: {0}")]
    Unreadable(#[source] io::Error),
}

impl From<io::Error> for Refused {
    fn from(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::NotFound {
            Self::Missing
        } else {
            Self::Unreadable(error)
        }
    }
}

/// Reads a text file that decides something.
pub(crate) fn read(path: &Path) -> Result<String, Refused> {
    sound(path)?;
    Ok(fs::read_to_string(path)?)
}

/// Reads a text file of secrets: its text is wiped when it is dropped, and so is what is no text.
pub(crate) fn read_secrets(path: &Path) -> Result<Zeroizing<String>, Refused> {
    let length = sound(path)?;
    // A file that grows meanwhile is cut, not copied.
    let mut bytes = unmoved(File::open(path)?, usize::try_from(length).unwrap_or(usize::MAX))?;
    if bytes.starts_with(BYTE_ORDER_MARK) {
        bytes.rotate_left(BYTE_ORDER_MARK.len());
        let length = bytes.len() - BYTE_ORDER_MARK.len();
        bytes.truncate(length);
    }
    String::from_utf8(std::mem::take(&mut *bytes)).map(Zeroizing::new).map_err(|error| {
        error.into_bytes().zeroize();
        Refused::Unsafe("is no text in UTF-8".to_owned())
    })
}

/// Reads to the end, at most `most` bytes, into a buffer that stays where it is: one that grows leaves copies behind.
pub(crate) fn unmoved(mut from: impl Read, most: usize) -> io::Result<Zeroizing<Vec<u8>>> {
    let mut bytes = Zeroizing::new(vec![0; most]);
    let mut filled = 0;
    while let Some(room) = bytes.get_mut(filled..).filter(|room| !room.is_empty()) {
        match from.read(room) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    bytes.truncate(filled);
    Ok(bytes)
}

/// A text without the newlines at its end: no secret that a person types ends with one.
pub(crate) fn without_newline(text: &str) -> &str {
    text.trim_end_matches(['\n', '\r'])
}

/// Refuses a file that somebody else can have written.
pub(crate) fn trusted(path: &Path) -> Result<(), Refused> {
    sound(path).map(drop)
}

/// The length of a file that nobody else can have written.
fn sound(path: &Path) -> Result<u64, Refused> {
    let data = fs::metadata(path)?;
    if !data.is_file() {
        return Err(Refused::Unsafe("is no regular file".to_owned()));
    }
    if data.len() > MAX_BYTES {
        return Err(Refused::Unsafe(format!("has {} bytes; at most 10 MB are read", data.len())));
    }
    owned(&data)?;
    in_own_folder(path)?;
    Ok(data.len())
}

/// Refuses a file that others could replace by another.
fn in_own_folder(path: &Path) -> Result<(), Refused> {
    let Some(folder) = path.parent() else { return Ok(()) };
    let data = fs::metadata(folder)?;
    let mode = data.permissions().mode();
    // In a sticky folder (/tmp) others cannot replace our file.
    if mode & 0o022 != 0 && mode & 0o1000 == 0 {
        return Err(Refused::Unsafe(format!(
            "its folder {} can be written by others (mode {:03o}); run chmod go-w on it",
            folder.display(),
            mode & 0o777
        )));
    }
    Ok(())
}

/// The file of a program that is named by its path, or found on `PATH`, and that nobody else can have written.
pub(crate) fn program(name: &str) -> Result<PathBuf, Refused> {
    let runs = |path: &Path| {
        fs::metadata(path)
            .is_ok_and(|data| data.is_file() && data.permissions().mode() & 0o111 != 0)
    };
    let path = if name.contains('/') {
        PathBuf::from(name)
    } else {
        let folders = std::env::var_os("PATH").unwrap_or_default();
        std::env::split_paths(&folders)
            .filter(|folder| folder.is_absolute())
            .map(|folder| folder.join(name))
            .find(|path| runs(path))
            .ok_or(Refused::Missing)?
    };
    // What a link leads to is the program; who may turn the link round decides as well.
    let real = fs::canonicalize(&path)?;
    if !runs(&real) {
        return Err(Refused::Unsafe("is no program that can be run".to_owned()));
    }
    program::unchanged_by_others(&path).map_err(Refused::Unsafe)?;
    // By the name it was called: some programs are many, and do what their name says.
    Ok(path)
}

/// Refuses a file that others may write, or that another user owns.
pub(crate) fn owned(data: &Metadata) -> Result<(), Refused> {
    let mode = data.permissions().mode();
    if mode & 0o022 != 0 {
        return Err(Refused::Unsafe(format!(
            "can be written by others (mode {:03o}); run chmod go-w on it",
            mode & 0o777
        )));
    }
    let me = rustix::process::geteuid().as_raw();
    if data.uid() != me && data.uid() != 0 {
        return Err(Refused::Unsafe("belongs to another user".to_owned()));
    }
    Ok(())
}

/// Whether a file may be written by its group, and that group is its owner's own (Debian and Fedora give each user one, and a
/// umask of 002 with it): called like the user, the user's first group, and nobody else in it.
pub(crate) fn private_group_writes(data: &Metadata) -> bool {
    if data.permissions().mode() & 0o022 != 0o020 {
        return false;
    }
    let owner = nix::unistd::User::from_uid(data.uid().into()).ok().flatten();
    let group = nix::unistd::Group::from_gid(data.gid().into()).ok().flatten();
    owner.zip(group).is_some_and(|(owner, group)| {
        owner.gid == group.gid
            && owner.name == group.name
            && group.mem.iter().all(|member| *member == owner.name)
    })
}

/// A path from a configuration file: `~/` is the home folder, anything else is relative to `folder`. The error says what to
/// write instead.
pub(crate) fn named(text: &str, folder: &Path) -> Result<PathBuf, String> {
    match text.strip_prefix("~/") {
        Some(rest) => std::env::home_dir()
            .filter(|home| home.is_absolute())
            .map(|home| home.join(rest))
            .ok_or_else(|| format!("{text}: there is no home folder; write the whole path")),
        None => Ok(folder.join(text)),
    }
}
