//! Logging in with a private key from a file, and with the certificate beside it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use russh::client::Handle;
use russh::keys::agent::AgentIdentity;
use russh::keys::signature::Signer as _;
use russh::keys::ssh_encoding::Encode;
use russh::keys::ssh_key::{self, Signature};
use russh::keys::{Certificate, HashAlg, PrivateKey, PrivateKeyWithHashAlg};

use super::{Answer, Note};
use crate::client::Client;

/// Largest certificate that is read. `ssh` takes lines of at most 8 KiB; most certificates are below 2 KiB.
const MAX_CERTIFICATE: u64 = 64 * 1024;

/// One key, opened, with the certificate for it.
pub(super) struct OpenKey {
    pub(super) path: PathBuf,
    pub(super) key: Arc<PrivateKey>,
    pub(super) certificate: Option<(PathBuf, Certificate)>,
}

/// Tries the certificate, if there is one, then the key itself, as `ssh` does; says in `name` what was tried.
pub(super) async fn log_in(
    handle: &mut Handle<Client>,
    user: &str,
    open: &OpenKey,
    hash: Option<HashAlg>,
    name: &mut String,
) -> Result<Answer, russh::Error> {
    if let Some((path, certificate)) = &open.certificate {
        let mut signer = Held(Arc::clone(&open.key));
        let tried =
            handle.authenticate_certificate_with(user, certificate.clone(), hash, &mut signer);
        match Answer::from(tried.await.map_err(|Unsigned(error)| error)?) {
            done @ (Answer::In | Answer::More { .. }) => return Ok(done),
            Answer::No { .. } | Answer::NotOffered { .. } | Answer::Ours(_) | Answer::Stuck(_) => {
                *name = format!("certificate {}, then {name}", path.display());
            }
        }
    }
    let key = PrivateKeyWithHashAlg::new(Arc::clone(&open.key), hash);
    handle.authenticate_publickey(user, key).await.map(Answer::from)
}

/// The certificate for `key`: the one that the configuration names, else the one beside the key. One that cannot serve is
/// passed over, as `ssh` does; of one that is named this is said.
pub(super) async fn certificate(
    path: &Path,
    named: Option<&Path>,
    key: &PrivateKey,
) -> Result<Option<(PathBuf, Certificate)>, Note> {
    let place = match named {
        Some(named) => named.to_owned(),
        None => {
            let mut beside = path.as_os_str().to_owned();
            beside.push("-cert.pub");
            PathBuf::from(beside)
        }
    };
    if named.is_none() && !tokio::fs::try_exists(&place).await.unwrap_or(true) {
        return Ok(None);
    }
    match (read(&place, key).await, named) {
        (Ok(certificate), _) => Ok(Some((place, certificate))),
        (Err(problem), Some(_)) => Err(Note::new(
            format!("certificate {} {problem}", place.display()),
            "check certificate_path in credentials.yml",
        )),
        (Err(problem), None) => {
            tracing::warn!(certificate = %place.display(), problem, "a certificate beside a key is passed over");
            Ok(None)
        }
    }
}

async fn read(path: &Path, key: &PrivateKey) -> Result<Certificate, String> {
    use tokio::io::AsyncReadExt;
    let unreadable = |error: std::io::Error| format!("cannot be read: {error}");
    let mut text = String::new();
    let file = tokio::fs::File::open(path).await.map_err(unreadable)?;
    if !file.metadata().await.map_err(unreadable)?.is_file() {
        return Err("is not a regular file".to_owned());
    }
    file.take(MAX_CERTIFICATE).read_to_string(&mut text).await.map_err(unreadable)?;
    let certificate = Certificate::from_openssh(text.trim())
        .map_err(|error| format!("is not a certificate: {error}"))?;
    if certificate.public_key() != key.public_key().key_data() {
        return Err("is for another key".to_owned());
    }
    Ok(certificate)
}

/// A private key in memory. The library's own way with certificates knows no SHA-2 for RSA.
struct Held(Arc<PrivateKey>);

/// A signature that could not be made.
struct Unsigned(russh::Error);

impl From<russh::SendError> for Unsigned {
    fn from(_: russh::SendError) -> Self {
        Self(russh::Error::SendError)
    }
}

impl From<ssh_key::Error> for Unsigned {
    fn from(error: ssh_key::Error) -> Self {
        Self(error.into())
    }
}

impl russh::Signer for Held {
    type Error = Unsigned;

    async fn auth_sign(
        &mut self,
        _key: &AgentIdentity,
        hash_alg: Option<HashAlg>,
        mut to_sign: Vec<u8>,
    ) -> Result<Vec<u8>, Self::Error> {
        let made: Result<Signature, _> = match self.0.key_data().rsa() {
            Some(pair) => (pair, hash_alg).try_sign(&to_sign),
            None => self.0.key_data().try_sign(&to_sign),
        };
        let signature = made.map_err(ssh_key::Error::from)?;
        signature.encode_prefixed(&mut to_sign).map_err(ssh_key::Error::from)?;
        Ok(to_sign)
    }
}
