//! Private keys from files. One that is encrypted is decrypted once: its key derivation is slow on purpose, and forty hosts
//! that start together would each pay for it.

use std::collections::HashMap;
use std::fs::{self, File, Metadata};
use std::hash::{BuildHasher, RandomState};
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use russh::keys::{Error, PrivateKey, PublicKey, decode_secret_key};
use sshepherd_model::Secret;
use tokio::sync::watch;
use zeroize::Zeroizing;

use super::Note;

/// Largest key file that is read; an RSA key of 16,384 bits has 13 KiB.
const MAX_KEY: u64 = 256 * 1024;

/// A key file that cannot be used.
#[derive(Debug, Clone)]
pub(super) struct Closed {
    pub(super) note: Note,
    /// Its public half, where it is known: an agent may hold the key.
    pub(super) public: Option<Box<PublicKey>>,
}

/// What opening a key file gave.
type Opened = Result<Arc<PrivateKey>, Closed>;

/// The opened keys of encrypted files, until the configuration is read anew.
#[derive(Default)]
pub(super) struct Keychain {
    slots: Mutex<HashMap<Id, Slot>>,
    hashing: RandomState,
    decrypted: Arc<AtomicUsize>,
}

/// A file, and the passphrase that opens it as a hash under a key of this process.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Id {
    path: PathBuf,
    passphrase: Option<u64>,
}

struct Slot {
    stamp: Stamp,
    opened: watch::Receiver<Option<Opened>>,
}

/// What tells a changed file from an unchanged one: device and inode, its size, its times to the nanosecond.
type Stamp = [u64; 7];

impl Keychain {
    /// The key in `path`. Who asks while it is being opened waits for the same opening.
    pub(super) async fn open(&self, path: &Path, passphrase: Option<&Secret>) -> Opened {
        let stamp = sound(path).map_err(|note| Closed { note, public: None })?;
        let hash = |secret: &Secret| self.hashing.hash_one(secret.expose());
        let id = Id { path: path.to_owned(), passphrase: passphrase.map(hash) };
        let mut opened = self.slot(&id, stamp, passphrase);
        let found = opened.wait_for(Option::is_some).await.ok().and_then(|found| found.clone());
        found.unwrap_or_else(|| {
            self.slots().remove(&id);
            let note = Note::new(format!("{} could not be read", path.display()), "try again");
            Err(Closed { note, public: None })
        })
    }

    fn slot(
        &self,
        id: &Id,
        stamp: Stamp,
        passphrase: Option<&Secret>,
    ) -> watch::Receiver<Option<Opened>> {
        let mut slots = self.slots();
        if let Some(slot) = slots.get(id).filter(|slot| slot.stamp == stamp) {
            return slot.opened.clone();
        }
        let (give, opened) = watch::channel(None);
        let (path, passphrase) = (id.path.clone(), passphrase.cloned());
        let decrypted = Arc::clone(&self.decrypted);
        // In a thread of its own, which goes on when who asked first has gone.
        tokio::task::spawn_blocking(move || {
            let _ = give.send(Some(read(&path, passphrase.as_ref(), &decrypted)));
        });
        // A key in clear costs nothing to read again, so it is not held.
        if id.passphrase.is_some() {
            slots.insert(id.clone(), Slot { stamp, opened: opened.clone() });
        }
        opened
    }

    /// Forgets all keys: some may not be wanted any more.
    pub(super) fn forget_all(&self) {
        self.slots().clear();
    }

    fn slots(&self) -> MutexGuard<'_, HashMap<Id, Slot>> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Reads a key, and decrypts it where it is encrypted.
fn read(path: &Path, passphrase: Option<&Secret>, decrypted: &AtomicUsize) -> Opened {
    let unread = |error: std::io::Error| Closed { note: cannot_be_read(&error), public: None };
    let mut text = Zeroizing::new(String::with_capacity(usize::try_from(MAX_KEY).unwrap_or(0)));
    File::open(path)
        .and_then(|file| file.take(MAX_KEY).read_to_string(&mut text))
        .map_err(unread)?;
    let closed = |note: Note| Closed { note, public: public_half(path, &text).map(Box::new) };
    let error = match (decode_secret_key(&text, None), passphrase) {
        (Ok(key), _) => return Ok(Arc::new(key)),
        (Err(error), None) => return Err(closed(unusable(&error))),
        (Err(error), Some(_)) => error,
    };
    if !may_be_encrypted(&error, &text) {
        return Err(closed(unusable(&error)));
    }
    decrypted.fetch_add(1, Ordering::Relaxed);
    match decode_secret_key(&text, passphrase.map(Secret::expose)) {
        Ok(key) => Ok(Arc::new(key)),
        Err(Error::SshKey(_) | Error::Unpad(_) | Error::Pad(_) | Error::Pkcs8(_)) => {
            Err(closed(Note::new(
                "cannot be decrypted: the passphrase is wrong, or the file is damaged",
                "check the secret that key_passphrase_secret names",
            )))
        }
        Err(error) => Err(closed(unusable(&error))),
    }
}

/// Whether what failed without a passphrase may be read with one.
fn may_be_encrypted(error: &Error, text: &str) -> bool {
    matches!(error, Error::KeyIsEncrypted)
        || text.contains("ENCRYPTED")
        || text.starts_with("PuTTY")
}

fn unusable(error: &Error) -> Note {
    if matches!(error, Error::KeyIsEncrypted) {
        return Note::new(
            "is encrypted and no passphrase is configured",
            "set key_passphrase_secret in credentials.yml, or add the key to an agent and set agent: true",
        );
    }
    Note::new(
        format!("is not a private key that can be read: {error}"),
        "it must be an OpenSSH or PEM private key; `ssh-keygen -p -f FILE` writes it anew in a form that is known",
    )
}

fn cannot_be_read(error: &std::io::Error) -> Note {
    Note::new(format!("cannot be read: {error}"), "check key_path in credentials.yml")
}

/// The public half of a key that cannot be opened: OpenSSH keeps it in clear, and mostly in a file beside the key.
fn public_half(path: &Path, text: &str) -> Option<PublicKey> {
    if let Ok(key) = PrivateKey::from_openssh(text) {
        return Some(key.public_key().clone());
    }
    let mut beside = path.as_os_str().to_owned();
    beside.push(".pub");
    public_file(Path::new(&beside)).ok()
}

/// The public key in a file; the error is what is wrong with the file.
pub(super) fn public_file(path: &Path) -> Result<PublicKey, String> {
    let mut text = String::new();
    let read = File::open(path).and_then(|file| file.take(MAX_KEY).read_to_string(&mut text));
    read.map_err(|error| format!("cannot be read: {error}"))?;
    let text = text.trim();
    if let Ok(certificate) = russh::keys::Certificate::from_openssh(text) {
        return Ok(PublicKey::from(certificate.public_key().clone()));
    }
    PublicKey::from_openssh(text).map_err(|error| format!("is no public key: {error}"))
}

/// A file that is safe to use as a private key: as `ssh` has it, one of our own that others may read is not.
fn sound(path: &Path) -> Result<Stamp, Note> {
    let data = fs::metadata(path).map_err(|error| cannot_be_read(&error))?;
    if !data.is_file() {
        let hint = "key_path in credentials.yml names the private key";
        return Err(Note::new("is no regular file", hint));
    }
    let mode = data.mode() & 0o777;
    let ours = data.uid() == rustix::process::getuid().as_raw();
    if ours && mode & 0o077 != 0 {
        return Err(Note::new(
            format!("can be read or written by others (mode {mode:03o})"),
            "run chmod 600 on it",
        ));
    }
    Ok(stamp(&data))
}

fn stamp(data: &Metadata) -> Stamp {
    let times = [data.mtime(), data.mtime_nsec(), data.ctime(), data.ctime_nsec()];
    let [changed, changed_ns, touched, touched_ns] = times.map(i64::cast_unsigned);
    [data.dev(), data.ino(), data.size(), changed, changed_ns, touched, touched_ns]
}

#[cfg(test)]
mod tests {
    use super::*;
    use sshepherd_testkit::{KeyKind, KeyPair};

    fn secret(text: &str) -> Option<Secret> {
        Some(Secret::new(text.to_owned()))
    }

    #[tokio::test]
    async fn an_encrypted_key_is_decrypted_once_for_all_who_ask() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("id");
        let pair = KeyPair::generate(&path, KeyKind::Ed25519, "correct horse");
        let (chain, right) = (Arc::new(Keychain::default()), secret("correct horse"));
        let count = || chain.decrypted.load(Ordering::Relaxed);
        let mut asking = tokio::task::JoinSet::new();
        for _ in 0..40 {
            let (chain, path, right) = (Arc::clone(&chain), path.clone(), right.clone());
            asking.spawn(async move { chain.open(&path, right.as_ref()).await.unwrap() });
        }
        let keys = asking.join_all().await;
        assert_eq!((keys.len(), count()), (40, 1));
        // A wrong passphrase opens nothing, and is tried once as well.
        let wrong = secret("battery staple");
        for _ in 0..3 {
            let closed = chain.open(&path, wrong.as_ref()).await.unwrap_err();
            assert!(closed.note.what.contains("passphrase is wrong"), "{closed:?}");
            assert!(pair.public_line().starts_with(&closed.public.unwrap().to_openssh().unwrap()));
        }
        assert_eq!(count(), 2);
        // Another file in its place is another key.
        let other = KeyPair::generate(&path, KeyKind::Ed25519, "correct horse");
        let key = chain.open(&path, right.as_ref()).await.unwrap();
        assert!(other.public_line().starts_with(&key.public_key().to_openssh().unwrap()));
        assert_eq!(count(), 3);
        chain.forget_all();
        chain.open(&path, right.as_ref()).await.unwrap();
        assert_eq!(count(), 4);
    }

    #[tokio::test]
    async fn a_key_in_clear_is_not_held() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("id");
        let _pair = KeyPair::generate(&path, KeyKind::Ed25519, "");
        let chain = Keychain::default();
        chain.open(&path, None).await.unwrap();
        assert!(chain.slots().is_empty());
    }
}
