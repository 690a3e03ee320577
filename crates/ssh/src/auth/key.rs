//! Logging in with a private key from a file, and with the certificate beside it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use russh::client::Handle;
use russh::keys::agent::AgentIdentity;
use russh::keys::signature::Signer as _;
use russh::keys::ssh_encoding::Encode;
use russh::keys::ssh_key::{self, Signature};
use russh::keys::{Certificate, HashAlg, PrivateKey, PrivateKeyWithHashAlg};
use sshepherd_model::{ConnectFailure, Secret};

use super::{Answer, broken, failure, rsa_hash};
use crate::client::Client;
use crate::target::Target;

/// Largest certificate that is read. `ssh` takes lines of at most 8 KiB; most certificates are below 2 KiB.
const MAX_CERTIFICATE: u64 = 64 * 1024;

/// One key, as the configuration names it.
pub(super) struct KeyFile<'a> {
    pub(super) path: &'a Path,
    /// A certificate by name; else the one beside the key, if there is one.
    pub(super) certificate: Option<&'a Path>,
    pub(super) passphrase: &'a Option<Secret>,
}

/// Tries the certificate, if there is one, then the key itself, as `ssh` does; says in `name` what was tried.
pub(super) async fn log_in(
    handle: &mut Handle<Client>,
    target: &Target,
    file: KeyFile<'_>,
    name: &mut String,
) -> Result<Answer, ConnectFailure> {
    let key = Arc::new(load(file.path, file.passphrase).await?);
    let hash = rsa_hash(handle, target, key.algorithm().is_rsa()).await?;
    if let Some((path, certificate)) = certificate(&file, &key).await? {
        let mut signer = Held(Arc::clone(&key));
        let result = handle
            .authenticate_certificate_with(&target.username, certificate, hash, &mut signer)
            .await
            .map_err(|Unsigned(error)| broken(target, &error))?;
        match Answer::from(result) {
            done @ (Answer::In | Answer::More { .. }) => return Ok(done),
            Answer::No { .. } | Answer::NotOffered { .. } => {
                *name = format!("certificate {}, then {name}", path.display());
            }
        }
    }
    handle
        .authenticate_publickey(&target.username, PrivateKeyWithHashAlg::new(key, hash))
        .await
        .map(Answer::from)
        .map_err(|error| broken(target, &error))
}

/// The certificate for `key` and where it is. One that the configuration names must be there and be the key's; one that
/// merely lies beside the key is passed over if it cannot serve.
async fn certificate(
    file: &KeyFile<'_>,
    key: &PrivateKey,
) -> Result<Option<(PathBuf, Certificate)>, ConnectFailure> {
    let path = match file.certificate {
        Some(path) => path.to_owned(),
        None => {
            let mut beside = file.path.as_os_str().to_owned();
            beside.push("-cert.pub");
            PathBuf::from(beside)
        }
    };
    if file.certificate.is_none() && !tokio::fs::try_exists(&path).await.unwrap_or(true) {
        return Ok(None);
    }
    match (read(&path, key).await, file.certificate) {
        (Ok(certificate), _) => Ok(Some((path, certificate))),
        (Err(problem), Some(_)) => Err(failure(
            format!("certificate {} {problem}", path.display()),
            "check certificate_path in credentials.yml",
        )),
        (Err(problem), None) => {
            tracing::warn!(certificate = %path.display(), problem, "a certificate beside a key is passed over");
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

/// Reads and decrypts a private key. Decryption is slow on purpose, so it runs beside the event loop.
async fn load(path: &Path, passphrase: &Option<Secret>) -> Result<PrivateKey, ConnectFailure> {
    let shown = path.display().to_string();
    check_mode(path)?;
    let text = tokio::fs::read_to_string(path).await.map_err(|error| {
        failure(format!("key {shown} cannot be read: {error}"), "check key_path in credentials.yml")
    })?;
    let text = zeroize::Zeroizing::new(text);
    let secret = passphrase.clone();
    let decoded = tokio::task::spawn_blocking(move || {
        russh::keys::decode_secret_key(&text, secret.as_ref().map(Secret::expose))
    })
    .await
    .map_err(|error| failure(format!("key {shown}: {error}"), "try again"))?;
    decoded.map_err(|error| match (&error, passphrase) {
        (russh::keys::Error::KeyIsEncrypted, None) => failure(
            format!("key {shown} is encrypted and no passphrase is configured"),
            "set key_passphrase_secret in credentials.yml",
        ),
        (_, Some(_)) => failure(
            format!(
                "key {shown} cannot be decrypted: the passphrase is wrong or the file is damaged"
            ),
            "check the secret that key_passphrase_secret names",
        ),
        (_, None) => failure(
            format!("key {shown} is not a private key that can be read: {error}"),
            "it must be an OpenSSH or PEM private key",
        ),
    })
}

/// A private key that others can read is refused, as `ssh` does.
fn check_mode(path: &Path) -> Result<(), ConnectFailure> {
    use std::os::unix::fs::PermissionsExt;
    let shown = path.display();
    let mode = std::fs::metadata(path)
        .map_err(|error| {
            failure(
                format!("key {shown} cannot be read: {error}"),
                "check key_path in credentials.yml",
            )
        })?
        .permissions()
        .mode();
    if mode & 0o077 != 0 {
        return Err(failure(
            format!("key {shown} can be read or written by others (mode {:03o})", mode & 0o777),
            "run chmod 600 on it",
        ));
    }
    Ok(())
}
