//! The audit file: appended to by any number of processes, one write(2) a record.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use crate::error::Error;

/// Permission bits that let others than the owner write.
const OTHERS_WRITE: u32 = 0o022;

/// An open audit file.
#[derive(Debug)]
pub(crate) struct AuditFile {
    path: PathBuf,
    file: File,
    /// The last write was cut short, so the file ends inside a line.
    torn: bool,
}

impl AuditFile {
    /// Opens `path` for appending; makes it (0600) and its folder (0700) where they are missing.
    pub(crate) fn open(path: &Path) -> Result<Self, Error> {
        let failed = |source| Error::Open { path: path.to_owned(), source };
        if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(failed)?;
        }
        // Looked at before opening, because opening a pipe would wait for a reader.
        match fs::symlink_metadata(path) {
            Ok(found) if !found.is_file() => {
                return Err(Error::NotPlain { path: path.to_owned() });
            }
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(failed(error)),
        }
        let file =
            OpenOptions::new().append(true).create(true).mode(0o600).open(path).map_err(failed)?;
        // And again afterwards: what was opened must be what the name itself stands for, not what a link put there in
        // between leads to.
        let opened = file.metadata().map_err(failed)?;
        let named = fs::symlink_metadata(path).map_err(failed)?;
        let same = (opened.dev(), opened.ino()) == (named.dev(), named.ino());
        if !named.is_file() || !same {
            return Err(Error::NotPlain { path: path.to_owned() });
        }
        let mode = opened.mode() & 0o777;
        if mode & OTHERS_WRITE != 0 {
            return Err(Error::TooOpen { path: path.to_owned(), mode });
        }
        Ok(Self { path: path.to_owned(), file, torn: false })
    }

    /// A file that takes no bytes, whatever the user's rights: it is open for reading only.
    #[cfg(test)]
    pub(crate) fn read_only(path: &Path) -> Self {
        Self { path: path.to_owned(), file: File::open(path).unwrap(), torn: false }
    }

    /// Appends one line with one write(2), so that lines of several processes never mix.
    pub(crate) fn append(&mut self, line: &[u8]) -> Result<(), Error> {
        write_whole(&mut self.file, line, &mut self.torn)
            .map_err(|source| Error::Write { path: self.path.clone(), source })
    }
}

/// One write of `line`. After a write that was cut short, the next begins with a newline, so that the torn line spoils
/// none but itself.
fn write_whole(to: &mut impl Write, line: &[u8], torn: &mut bool) -> io::Result<()> {
    let mut mended = Vec::new();
    let bytes = if *torn {
        mended.push(b'\n');
        mended.extend_from_slice(line);
        mended.as_slice()
    } else {
        line
    };
    loop {
        match to.write(bytes) {
            Ok(written) if written == bytes.len() => {
                *torn = false;
                return Ok(());
            }
            Ok(written) => {
                // With nothing written the file is as it was; a lone newline mends it.
                *torn = if *torn { written != 1 } else { written != 0 };
                return Err(io::Error::new(
                    io::ErrorKind::WriteZero,
                    format!("only {written} of {} bytes were written", bytes.len()),
                ));
            }
            // Interrupted means that nothing was written.
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes so many bytes a write, in turn.
    struct Short {
        takes: Vec<usize>,
        got: Vec<u8>,
        writes: usize,
    }

    impl Write for Short {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.writes += 1;
            let take = self.takes.pop().unwrap_or(usize::MAX).min(bytes.len());
            self.got.extend_from_slice(&bytes[..take]);
            Ok(take)
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_torn_line_spoils_none_but_itself() {
        let mut to = Short { takes: vec![3, usize::MAX], got: Vec::new(), writes: 0 };
        let mut torn = false;
        write_whole(&mut to, b"first\n", &mut torn).unwrap();
        write_whole(&mut to, b"second\n", &mut torn).unwrap_err();
        assert!(torn);
        write_whole(&mut to, b"third\n", &mut torn).unwrap();
        assert!(!torn);
        assert_eq!(to.got, b"first\nsec\nthird\n");
        assert_eq!(to.writes, 3, "one write a record");
    }
}
