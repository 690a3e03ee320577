//! Why a record could not be written.

use std::io;
use std::path::PathBuf;

/// What went wrong with the audit file. Whoever sees one must not run what it could not record.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file or its folder cannot be opened or made.
    #[error("audit file {} cannot be opened", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The path is a symbolic link, a folder, a pipe or a device.
    #[error("audit file {} is not a plain file; name the file itself", path.display())]
    NotPlain {
        /// The file.
        path: PathBuf,
    },
    /// Others than the owner may write to the file.
    #[error("audit file {} can be written by group or others (mode {mode:03o}); run chmod 600 on it", path.display())]
    TooOpen {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The record was not written, or not whole.
    #[error("audit file {} cannot be written", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Another process holds the file's lock and does not let it go.
    #[error("audit file {} cannot be written: its lock is held by {by}", path.display())]
    Held {
        /// The file.
        path: PathBuf,
        /// Who, in words.
        by: String,
    },
    /// The record cannot be put into JSON.
    #[error("audit record cannot be encoded")]
    Encode(#[source] serde_json::Error),
    /// The thread that writes to standard error cannot be started.
    #[error("audit: no thread for standard error")]
    Thread(#[source] io::Error),
}
