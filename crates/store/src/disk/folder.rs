//! The state folder: who may see it, what lies where, and which servers that share it are alive.
//!
//! ```text
//! tasks.db            the task table
//! digest.key          the key of the digests of what is kept here
//! opening.lock        held while a server opens the folder
//! logs/ID/            one task's output
//! instances/X.lock    held by server X for its life; free means that X is dead
//! instances/X.sock    where X hears hints from the others
//! instances/X.spool   short outputs of X's running tasks
//! shells/             interactive shells: see `crate::shells`
//! ```

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::boundary::DigestKey;
use crate::error::Error;

use super::holder::{holder, lock_within};

/// Where everything lies.
#[derive(Debug, Clone)]
pub(super) struct Folder {
    root: PathBuf,
}

/// How long another server may take to open the folder; it takes milliseconds.
const OPENING: Duration = Duration::from_secs(5);

/// How the folder is opened.
pub(super) enum Opening {
    /// While no other server opens it.
    Alone {
        /// Held until it is open.
        _lock: File,
    },
    /// While another one is stopped half-way.
    Beside,
}

impl Folder {
    /// Makes the folder, for its owner's eyes only.
    pub(super) fn open(root: &Path) -> Result<Self, Error> {
        let unusable = |path: PathBuf| {
            move |source| Error::Folder { what: "cannot use the state folder", path, source }
        };
        make(root).map_err(unusable(root.to_path_buf()))?;
        // A link on the way to the folder is fine; SQLite, told to follow none, would refuse it.
        let root = root.canonicalize().map_err(unusable(root.to_path_buf()))?;
        let folder = Self { root };
        for path in [folder.logs(), folder.instances()] {
            make(&path).map_err(unusable(path))?;
        }
        // SQLite gives its other files the mode of this one.
        owners_file(&folder.database()).map_err(unusable(folder.database()))?;
        Ok(folder)
    }

    /// Waits until no other server is opening the folder, and keeps others waiting while the answer lives: SQLite
    /// refuses at once, without waiting, when two make a database or change its journal mode.
    ///
    /// Not for ever: past [`OPENING`] a folder that was opened before is opened beside whoever is stopped half-way, for then nothing is
    /// made any more that two could make at once; one that is new is not.
    pub(super) fn opening(&self) -> Result<Opening, Error> {
        let path = self.root.join("opening.lock");
        let failed = |path: PathBuf| {
            move |source| Error::Folder { what: "cannot use the state folder", path, source }
        };
        let file = owners_file(&path).map_err(failed(path.clone()))?;
        if lock_within(&file, OPENING).map_err(failed(path.clone()))? {
            return Ok(Opening::Alone { _lock: file });
        }
        let by = holder(&path);
        let made = |path: PathBuf| fs::metadata(path).is_ok_and(|data| data.len() > 0);
        if made(self.root.join("digest.key")) && made(self.database()) {
            tracing::warn!("{} is held by {by}; the folder is opened all the same", path.display());
            return Ok(Opening::Beside);
        }
        Err(Error::Held { path, by })
    }

    /// The key of this folder's digests, made when it is not there. Only one server opens the folder at a time. Approvals that
    /// were given under a key that is gone hold no more, which is the safe side.
    pub(super) fn digest_key(&self) -> Result<DigestKey, Error> {
        let path = self.root.join("digest.key");
        let failed = |source| Error::Folder {
            what: "cannot use the key of the state folder",
            path: path.clone(),
            source,
        };
        match fs::read(&path).map(DigestKey::try_from) {
            Ok(Ok(key)) => return Ok(key),
            // One that a crash cut short.
            Ok(Err(_)) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(failed(error)),
        }
        let mut key = [0; 64];
        getrandom::fill(&mut key).map_err(|error| failed(error.into()))?;
        let draft = self.root.join("digest.key.new");
        owners_file(&draft)
            .and_then(|mut file| {
                file.set_len(0)?;
                file.write_all(&key)?;
                file.sync_all()?;
                fs::rename(&draft, &path)
            })
            .map_err(failed)?;
        Ok(key)
    }

    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    pub(super) fn database(&self) -> PathBuf {
        self.root.join("tasks.db")
    }

    fn logs(&self) -> PathBuf {
        self.root.join("logs")
    }

    /// Where one task's output lies. Ids hold no slash and are not `.` or `..`: they carry colons.
    pub(super) fn log(&self, id: &str) -> PathBuf {
        self.logs().join(id)
    }

    pub(super) fn instances(&self) -> PathBuf {
        self.root.join("instances")
    }

    fn lock(&self, instance: &str) -> PathBuf {
        self.instances().join(format!("{instance}.lock"))
    }

    pub(super) fn socket(&self, instance: &str) -> PathBuf {
        self.instances().join(format!("{instance}.sock"))
    }

    /// Where a server has the short outputs of its running tasks.
    pub(super) fn spool(&self, instance: &str) -> PathBuf {
        self.instances().join(format!("{instance}.spool"))
    }

    /// The servers that have a lock file here, dead or alive.
    pub(super) fn known(&self) -> io::Result<Vec<String>> {
        self.with_suffix(".lock")
    }

    /// The servers of which anything is here.
    pub(super) fn traces(&self) -> io::Result<Vec<String>> {
        let mut all = self.known()?;
        all.extend(self.with_suffix(".spool")?);
        all.dedup();
        Ok(all)
    }

    fn with_suffix(&self, suffix: &str) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(self.instances())? {
            let name = entry?.file_name();
            names
                .extend(name.to_str().and_then(|name| name.strip_suffix(suffix)).map(String::from));
        }
        names.sort();
        Ok(names)
    }

    /// Whether this server is dead: nobody holds its lock.
    pub(super) fn is_dead(&self, instance: &str) -> bool {
        match File::open(self.lock(instance)) {
            // Shared, so that two who ask at once do not take each other for the owner.
            Ok(file) => match file.try_lock_shared() {
                Ok(()) => true,
                Err(TryLockError::WouldBlock | TryLockError::Error(_)) => false,
            },
            Err(error) => error.kind() == io::ErrorKind::NotFound,
        }
    }

    /// Removes what a dead server left, once none of its tasks is left.
    pub(super) fn bury(&self, instance: &str) {
        let spool = self.spool(instance);
        let _ = fs::remove_file(spool.with_extension("spool.new"));
        let _ = fs::remove_file(spool);
        self.give_up(instance);
    }

    /// Gives up a server's place. Its tasks, and what they wrote, are for the others.
    fn give_up(&self, instance: &str) {
        // The socket first: a lock file without one is found again by the next server.
        let _ = fs::remove_file(self.socket(instance));
        let _ = fs::remove_file(self.lock(instance));
    }
}

/// Makes a folder for its owner's eyes only, or takes from others what they may do with it.
pub(crate) fn make(path: &Path) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path)?;
    private(path)
}

/// Opens a file that only its owner may see, making it when it is not there.
pub(crate) fn owners_file(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(path)
}

/// What only others may do with it is taken away; what is not ours to change is refused.
fn private(path: &Path) -> io::Result<()> {
    let mode = fs::metadata(path)?.permissions().mode();
    if mode & 0o077 != 0 {
        fs::set_permissions(path, fs::Permissions::from_mode(0o700))?;
    }
    Ok(())
}

/// This server's place in the folder, held while it lives.
#[derive(Debug)]
pub(super) struct Instance {
    folder: Folder,
    id: String,
    _lock: File,
}

impl Instance {
    /// Takes a new place. Only one server opens the folder at a time.
    pub(super) fn enter(folder: &Folder, opening: &Opening) -> Result<Self, Error> {
        let failed = |path: PathBuf| {
            move |source| Error::Folder {
                what: "cannot take a place in the state folder",
                path,
                source,
            }
        };
        let drafts = match opening {
            Opening::Alone { .. } => folder.with_suffix(".new").unwrap_or_default(),
            Opening::Beside => Vec::new(),
        };
        for draft in drafts {
            // Nobody else is entering: it is what a death on the way left.
            let _ = fs::remove_file(folder.instances().join(format!("{draft}.new")));
        }
        let mut bytes = [0_u8; 8];
        getrandom::fill(&mut bytes)
            .map_err(|error| failed(folder.instances())(io::Error::other(error.to_string())))?;
        let id = format!("{:016x}", u64::from_le_bytes(bytes));
        // Locked under another name first: a lock file that anyone sees is held from the beginning.
        let draft = folder.instances().join(format!("{id}.new"));
        let path = folder.lock(&id);
        let lock = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&draft)
            .and_then(|file| file.lock().map(|()| file))
            .inspect(|_| crate::crash::point("instance.draft"))
            .and_then(|file| fs::rename(&draft, &path).map(|()| file))
            .map_err(failed(path))?;
        Ok(Self { folder: folder.clone(), id, _lock: lock })
    }

    pub(super) fn id(&self) -> &str {
        &self.id
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        self.folder.give_up(&self.id);
    }
}
