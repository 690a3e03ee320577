//! All the shells that a state folder knows.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use sshepherd_model::ShellId;

use crate::disk::make;
use crate::error::Error;

use super::held::{HeldShell, Place, unwritten};
use super::record::{Life, ListedShell, ShellRecord};

/// Ends of the names of folders that are on their way in or out.
const ARRIVING: &str = ".new";
const LEAVING: &str = ".gone";

/// What came of asking for a shell.
#[derive(Debug)]
pub enum Claim {
    /// Nobody held it: it is this process's now. Without a multiplexer on the host it ended with the server that held it,
    /// and what is left to do is to write that down.
    Taken(HeldShell, ShellRecord),
    /// A living server serves it.
    InUse,
    /// There is none, or what is written down of it is damaged.
    Unknown,
    /// It has ended.
    Ended(ShellRecord),
}

/// The shells of a state folder.
#[derive(Debug, Clone)]
pub struct ShellFolder {
    root: PathBuf,
}

impl ShellFolder {
    /// Opens the folder `shells` of the state folder, making both when they are not there.
    ///
    /// Errors: [`Error::Folder`].
    pub fn open(state: &Path) -> Result<Self, Error> {
        let root = state.join("shells");
        for path in [state, &root] {
            make(path).map_err(|source| Error::Folder {
                what: "cannot use the state folder",
                path: path.to_path_buf(),
                source,
            })?;
        }
        Ok(Self { root })
    }

    fn place(&self, id: &ShellId) -> Place {
        Place(self.root.join(id.as_str()))
    }

    /// Where the recording of a shell lies.
    #[must_use]
    pub fn cast_path(&self, id: &ShellId) -> PathBuf {
        self.place(id).cast()
    }

    /// Writes down a new shell, which this process serves. Others see it as a whole, or not at all.
    ///
    /// Errors: [`Error::Folder`], also when there is one with this id.
    pub fn create(&self, record: &ShellRecord) -> Result<HeldShell, Error> {
        let place = self.place(&record.id);
        self.draft(record, &place)
            .map(|lock| HeldShell::new(record.id.clone(), place.clone(), lock))
            .map_err(unwritten(&place.0))
    }

    fn draft(&self, record: &ShellRecord, place: &Place) -> io::Result<fs::File> {
        let draft = Place(self.root.join(format!("{}{ARRIVING}", record.id)));
        if place.0.exists() {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        make(&draft.0)?;
        // Locked under another name first: a lock that anyone sees is held from the beginning.
        let lock = draft.lock_first()?;
        draft.write(record)?;
        crate::crash::point("shell.draft");
        fs::rename(&draft.0, &place.0)?;
        fs::File::open(&self.root)?.sync_all()?;
        Ok(lock)
    }

    /// All of them, newest first. What is damaged is left out and told in the log.
    #[must_use]
    pub fn list(&self) -> Vec<ListedShell> {
        let mut shells: Vec<ListedShell> =
            self.ids().iter().filter_map(|id| self.read(id)).collect();
        shells.sort_by(|a, b| {
            (b.record.opened_at, &b.record.id).cmp(&(a.record.opened_at, &a.record.id))
        });
        shells
    }

    /// One of them; `None` when there is none or what is written down of it is damaged, which is told in the log.
    #[must_use]
    pub fn read(&self, id: &ShellId) -> Option<ListedShell> {
        let place = self.place(id);
        // The lock first: a server writes the end down before it lets go.
        let held = place.is_held();
        let record = self.record(&place)?;
        let cast_bytes = fs::metadata(place.cast()).map_or(0, |cast| cast.len());
        Some(ListedShell { life: Life::of(&record, held), record, cast_bytes })
    }

    /// Takes a shell that has not ended and that no living server holds.
    ///
    /// Errors: [`Error::Folder`].
    pub fn claim(&self, id: &ShellId) -> Result<Claim, Error> {
        let place = self.place(id);
        if self.record(&place).is_none() {
            return Ok(Claim::Unknown);
        }
        let locked = place.try_lock().map_err(|source| Error::Folder {
            what: "cannot take over the interactive shell in",
            path: place.0.clone(),
            source,
        })?;
        // Its last server may have written more before it let go, and one that has ended be removed.
        Ok(match (self.record(&place), locked) {
            (None, _) => Claim::Unknown,
            (Some(record), _) if record.ended.is_some() => Claim::Ended(record),
            (Some(record), Some(lock)) => {
                Claim::Taken(HeldShell::new(id.clone(), place, lock), record)
            }
            (Some(_), None) => Claim::InUse,
        })
    }

    /// Removes those that ended before then, with their recordings: by their record, or, where the server died and no
    /// multiplexer goes on, by when it last wrote. Never one whose lock is held. Says how many.
    pub fn sweep(&self, ended_before_ms: u64) -> usize {
        self.clear_strays(ended_before_ms);
        let removed = |id: &ShellId| {
            let place = self.place(id);
            let over = |record: &ShellRecord| {
                over_at(record, &place).is_some_and(|at| at < ended_before_ms)
            };
            if !place.read().is_ok_and(|record| over(&record)) {
                return false;
            }
            // Held until it is gone, so that nobody takes it over meanwhile; and looked at again for who had it before.
            let lock = place.try_lock().ok().flatten();
            let leave = lock.is_some() && place.read().is_ok_and(|record| over(&record));
            leave && self.remove(&place)
        };
        self.ids().iter().filter(|id| removed(id)).count()
    }

    /// Takes it out of sight at once, then removes its files.
    fn remove(&self, place: &Place) -> bool {
        let mut leaving = place.0.clone().into_os_string();
        leaving.push(LEAVING);
        let moved = fs::rename(&place.0, &leaving);
        crate::crash::point("shell.half-removed");
        let removed = moved.and_then(|()| fs::remove_dir_all(&leaving));
        if let Err(error) = &removed {
            tracing::warn!(folder = %place.0.display(), %error, "an old interactive shell's files could not be removed");
        }
        removed.is_ok()
    }

    /// Removes what a death on the way in or out left.
    fn clear_strays(&self, before_ms: u64) {
        for name in self.names() {
            let path = self.root.join(&name);
            let dead = name.ends_with(LEAVING)
                || name.ends_with(ARRIVING)
                    && written_at(&path).is_some_and(|at| at < before_ms)
                    && !Place(path.clone()).is_held();
            if dead {
                // What cannot be removed now is tried the next time.
                let _ = fs::remove_dir_all(&path);
            }
        }
    }

    fn record(&self, place: &Place) -> Option<ShellRecord> {
        match place.read() {
            Ok(record) => Some(record),
            Err(error) if error.kind() == io::ErrorKind::NotFound && !place.0.exists() => None,
            Err(error) => {
                tracing::warn!(file = %place.record().display(), %error, "what is known of an interactive shell is damaged and left out");
                None
            }
        }
    }

    fn ids(&self) -> Vec<ShellId> {
        self.names().iter().filter_map(|name| name.parse().ok()).collect()
    }

    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(&self.root).into_iter().flatten();
        entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok()).collect()
    }
}

/// When it was over, for one that nobody holds; `None` for one that goes on without a server.
fn over_at(record: &ShellRecord, place: &Place) -> Option<u64> {
    match (&record.ended, &record.persistent) {
        (Some(end), _) => Some(end.at),
        (None, Some(_)) => None,
        (None, None) => {
            let written = [place.cast(), place.record()].map(|path| written_at(&path));
            written.into_iter().flatten().chain([record.opened_at]).max()
        }
    }
}

/// When a file or folder was last written, in milliseconds since the epoch.
fn written_at(path: &Path) -> Option<u64> {
    let written = fs::metadata(path).and_then(|data| data.modified()).ok()?;
    u64::try_from(written.duration_since(UNIX_EPOCH).ok()?.as_millis()).ok()
}
