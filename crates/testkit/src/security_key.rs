//! An agent that holds one security key (FIDO), in software: it signs when the test touches it, as sshd will have it.

use std::io::{self, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use russh::keys::signature::Signer;
use russh::keys::{PrivateKey, PublicKey, load_secret_key};
use sha2::{Digest, Sha256};
use tempfile::TempDir;

use crate::keys::{KeyKind, KeyPair};

const KIND: &str = "sk-ssh-ed25519@openssh.com";
const APPLICATION: &str = "ssh:";
/// Messages of the agent protocol.
const FAILURE: u8 = 5;
const REQUEST_IDENTITIES: u8 = 11;
const IDENTITIES: u8 = 12;
const SIGN_REQUEST: u8 = 13;
const SIGNATURE: u8 = 14;
/// The flag of a signature that says that a person was there.
const TOUCHED: u8 = 1;
/// Longest wait for the touch: far above what a healthy test takes.
const PATIENCE: Duration = Duration::from_secs(60);

/// A running agent with its own socket; it serves as long as the test's process.
#[derive(Debug)]
pub struct SecurityKey {
    socket: PathBuf,
    public_line: String,
    touches: Arc<Touches>,
    _folder: TempDir,
}

#[derive(Debug, Default)]
struct Touches {
    left: Mutex<usize>,
    more: Condvar,
}

impl SecurityKey {
    /// Starts the agent; nothing is signed before [`SecurityKey::touch`].
    ///
    /// # Panics
    /// When the machine cannot make keys or sockets.
    #[must_use]
    pub fn start() -> Self {
        let folder = tempfile::tempdir().expect("a temp folder can be made");
        let pair = KeyPair::generate(&folder.path().join("key"), KeyKind::Ed25519, "");
        let private = load_secret_key(pair.path(), None).expect("a fresh key can be read");
        let ed25519 = private.public_key().key_data().ed25519().expect("it is an Ed25519 key");
        let mut blob = Vec::new();
        for part in [KIND.as_bytes(), &ed25519.0, APPLICATION.as_bytes()] {
            string(&mut blob, part);
        }
        let public = PublicKey::from_bytes(&blob).expect("a public key of a security key");
        let public_line = public.to_openssh().expect("a public key can be written");
        let socket = folder.path().join("agent");
        let listener = UnixListener::bind(&socket).expect("a socket can be made");
        let touches = Arc::new(Touches::default());
        let shared = Arc::clone(&touches);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (private, blob) = (private.clone(), blob.clone());
                let touches = Arc::clone(&shared);
                // A client that goes away ends its conversation.
                std::thread::spawn(move || serve(stream, &private, &blob, &touches));
            }
        });
        Self { socket, public_line, touches, _folder: folder }
    }

    /// The socket, for a credential.
    #[must_use]
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// The key as a line of `authorized_keys`.
    #[must_use]
    pub fn public_line(&self) -> &str {
        &self.public_line
    }

    /// Confirms one signature, now or when it is asked for.
    pub fn touch(&self) {
        *self.touches.left.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        self.touches.more.notify_all();
    }
}

impl Touches {
    fn wait(&self) -> bool {
        let left = self.left.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.more.wait_timeout_while(left, PATIENCE, |left| *left == 0);
        let (mut left, _) = waited.unwrap_or_else(PoisonError::into_inner);
        let touched = *left > 0;
        *left = left.saturating_sub(1);
        touched
    }
}

fn serve(
    mut stream: UnixStream,
    private: &PrivateKey,
    blob: &[u8],
    touches: &Touches,
) -> io::Result<()> {
    loop {
        let mut length = [0; 4];
        stream.read_exact(&mut length)?;
        let mut request = vec![0; usize::try_from(u32::from_be_bytes(length)).unwrap_or(0)];
        stream.read_exact(&mut request)?;
        let mut reply = Vec::new();
        match request.split_first() {
            Some((&REQUEST_IDENTITIES, _)) => {
                reply.push(IDENTITIES);
                reply.extend(1_u32.to_be_bytes());
                string(&mut reply, blob);
                string(&mut reply, b"in software");
            }
            Some((&SIGN_REQUEST, rest)) => {
                let (_, rest) = take(rest).ok_or(io::ErrorKind::InvalidData)?;
                let (data, _) = take(rest).ok_or(io::ErrorKind::InvalidData)?;
                if touches.wait() {
                    reply.push(SIGNATURE);
                    string(&mut reply, &sign(private, data));
                } else {
                    reply.push(FAILURE);
                }
            }
            Some(_) | None => reply.push(FAILURE),
        }
        let mut message = Vec::new();
        string(&mut message, &reply);
        stream.write_all(&message)?;
    }
}

/// The signature of a security key: over the application, its flags and counter, and the message, the first and last as
/// their SHA-256 (OpenSSH's PROTOCOL.u2f).
fn sign(private: &PrivateKey, data: &[u8]) -> Vec<u8> {
    let mut end = vec![TOUCHED];
    end.extend(7_u32.to_be_bytes());
    let mut message = Sha256::digest(APPLICATION).to_vec();
    message.extend(&end);
    message.extend(Sha256::digest(data));
    let signature = private.try_sign(&message).expect("an Ed25519 key signs anything");
    let mut blob = Vec::new();
    string(&mut blob, KIND.as_bytes());
    string(&mut blob, signature.as_bytes());
    blob.extend(end);
    blob
}

/// Appends a string of the SSH protocol.
fn string(to: &mut Vec<u8>, bytes: &[u8]) {
    to.extend(u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_be_bytes());
    to.extend(bytes);
}

/// The first string and what comes after it.
fn take(from: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = from.split_first_chunk::<4>()?;
    rest.split_at_checked(usize::try_from(u32::from_be_bytes(*length)).ok()?)
}
