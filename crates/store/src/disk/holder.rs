//! Who holds a lock that is not to be had: said instead of waiting for a process that may be stopped for ever.

use std::fs::{self, File, TryLockError};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, Instant};

/// Time between two looks at a lock: from this, doubled each time,
const FIRST_LOOK: Duration = Duration::from_micros(200);
/// up to this.
const LAST_LOOK: Duration = Duration::from_millis(20);

/// Takes the lock of `file`, waiting so long at most; `false` when somebody holds it still.
pub(crate) fn lock_within(file: &File, patience: Duration) -> io::Result<bool> {
    let (began, mut wait) = (Instant::now(), FIRST_LOOK);
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(true),
            Err(TryLockError::Error(error)) => return Err(error),
            Err(TryLockError::WouldBlock) if began.elapsed() >= patience => return Ok(false),
            Err(TryLockError::WouldBlock) => {}
        }
        std::thread::sleep(wait);
        wait = (wait * 2).min(LAST_LOOK);
    }
}

/// The process that holds the file at `path` alone, in words: `process 17, which is stopped (kill -CONT 17 lets it go on)`. Only
/// Linux tells.
pub(crate) fn holder(path: &Path) -> String {
    let locks = fs::read_to_string("/proc/locks").unwrap_or_default();
    let inode = fs::metadata(path).map(|data| data.ino()).unwrap_or_default();
    match locks.lines().find_map(|line| held_by(line, inode)) {
        Some(pid) if is_stopped(pid) => {
            format!("process {pid}, which is stopped (kill -CONT {pid} lets it go on)")
        }
        Some(pid) => format!("process {pid}"),
        None => "another process".to_owned(),
    }
}

/// Who holds this file, if the line is of a lock on it that lets nobody else in: `1: FLOCK ADVISORY WRITE 17 08:01:4711 0 EOF`.
fn held_by(line: &str, inode: u64) -> Option<u32> {
    let mut fields = line.split_whitespace().skip(1);
    let (kind, _, mode) = (fields.next()?, fields.next()?, fields.next()?);
    let pid: u32 = fields.next()?.parse().ok()?;
    let file = fields.next()?.rsplit(':').next()?;
    let held = kind != "->" && mode == "WRITE" && file.parse() == Ok(inode);
    (held && pid != std::process::id()).then_some(pid)
}

fn is_stopped(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit(')')
        .next()
        .is_some_and(|rest| matches!(rest.trim().chars().next(), Some('T' | 't')))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_locks_on_the_file_that_are_held_alone_by_others_count() {
        for (line, held) in [
            ("1: FLOCK  ADVISORY  WRITE 17 08:01:4711 0 EOF", Some(17)),
            ("2: POSIX  ADVISORY  WRITE 18 fe:00:4711 120 120", Some(18)),
            ("2: -> POSIX  ADVISORY  WRITE 18 fe:00:4711 120 120", None),
            ("3: POSIX  ADVISORY  READ 19 08:01:4711 128 128", None),
            ("4: FLOCK  ADVISORY  WRITE 20 08:01:4712 0 EOF", None),
            ("5: OFDLCK ADVISORY  WRITE -1 08:01:4711 0 EOF", None),
            ("", None),
        ] {
            assert_eq!(held_by(line, 4711), held, "{line}");
        }
    }

    #[test]
    fn a_lock_that_is_held_is_waited_for_so_long_and_no_longer() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        let (held, other) = (File::create(&path).unwrap(), File::create(&path).unwrap());
        assert!(lock_within(&held, Duration::ZERO).unwrap());
        assert!(!lock_within(&other, Duration::from_millis(30)).unwrap());
        held.unlock().unwrap();
        assert!(lock_within(&other, Duration::from_secs(5)).unwrap());
    }
}
