//! Logging in: the configured methods in order. No message carries a secret.

use std::path::Path;
use std::sync::Arc;

use russh::client::{AuthResult, Handle};
use russh::keys::agent::AgentIdentity;
use russh::keys::agent::client::AgentClient;
use russh::keys::{HashAlg, PrivateKey, PrivateKeyWithHashAlg};
use russh::{MethodKind, MethodSet};
use sshepherd_model::{AuthMethod, ConnectFailure, Phase, Secret};
use tokio_util::sync::CancellationToken;

use crate::client::Client;
use crate::target::Target;

fn failure(detail: String, hint: &str) -> ConnectFailure {
    ConnectFailure { phase: Phase::Auth, detail, hint: hint.to_owned() }
}

/// What the server said to one method.
enum Answer {
    In,
    No { remaining: Option<MethodSet> },
    NotOffered { methods: MethodSet },
}

impl From<AuthResult> for Answer {
    fn from(result: AuthResult) -> Self {
        match result {
            AuthResult::Success => Self::In,
            AuthResult::Failure { remaining_methods, .. } => {
                Self::No { remaining: Some(remaining_methods) }
            }
        }
    }
}

/// Tries the target's methods in order until one is accepted. `closed` is cancelled when the connection has ended.
pub(crate) async fn log_in(
    handle: &mut Handle<Client>,
    target: &Target,
    closed: &CancellationToken,
) -> Result<(), ConnectFailure> {
    let mut tried = Vec::new();
    let mut accepted: Option<MethodSet> = None;
    for method in &target.methods {
        let (name, answer) = match method {
            AuthMethod::Key { path, passphrase } => {
                (format!("key {}", path.display()), key(handle, target, path, passphrase).await)
            }
            AuthMethod::Agent { socket } => {
                ("ssh-agent".to_owned(), agent(handle, target, socket).await)
            }
            AuthMethod::Password(secret) => {
                ("password".to_owned(), password(handle, target, secret, accepted.take()).await)
            }
        };
        match answer? {
            Answer::In => return Ok(()),
            // The library reports a lost connection as a refusal.
            Answer::No { .. } if closed.is_cancelled() => {
                return Err(broken(target, &russh::Error::Disconnect));
            }
            Answer::NotOffered { methods } => {
                tried.push(format!("{name} (not sent, for the server does not offer it)"));
                accepted = Some(methods);
            }
            Answer::No { remaining } => {
                tried.push(name);
                accepted = remaining.or(accepted);
            }
        }
    }
    let accepts = accepted.map_or_else(String::new, |methods| {
        let names: Vec<&str> = methods.iter().map(<&str>::from).collect();
        format!("; the server accepts {}", names.join(", "))
    });
    Err(failure(
        format!(
            "{} refused {} for {}{accepts}",
            target.alias,
            tried.join(", then "),
            target.username
        ),
        "check the username and the key or password in credentials.yml, and authorized_keys on the host",
    ))
}

/// Sends the password only to a server that offers to take one. What it offers is known from an earlier refusal, or is
/// asked for with the method `none`, which sshd does not count as an attempt.
async fn password(
    handle: &mut Handle<Client>,
    target: &Target,
    secret: &Secret,
    offered: Option<MethodSet>,
) -> Result<Answer, ConnectFailure> {
    let trouble = |error: russh::Error| broken(target, &error);
    let offered = match offered {
        Some(methods) => methods,
        None => match handle.authenticate_none(&target.username).await.map_err(trouble)? {
            AuthResult::Success => return Ok(Answer::In),
            AuthResult::Failure { remaining_methods, .. } => remaining_methods,
        },
    };
    if !offered.contains(&MethodKind::Password) {
        return Ok(if offered.is_empty() {
            Answer::No { remaining: None }
        } else {
            Answer::NotOffered { methods: offered }
        });
    }
    let result = handle.authenticate_password(&target.username, secret.expose()).await;
    result.map(Answer::from).map_err(trouble)
}

/// The connection ended while logging in.
fn broken(target: &Target, error: &russh::Error) -> ConnectFailure {
    failure(
        format!("the connection to {} ended while logging in: {error}", target.alias),
        "the server may allow fewer attempts (MaxAuthTries) or have refused the account; see its log",
    )
}

async fn key(
    handle: &mut Handle<Client>,
    target: &Target,
    path: &Path,
    passphrase: &Option<Secret>,
) -> Result<Answer, ConnectFailure> {
    let key = Arc::new(load(path, passphrase).await?);
    let hash = rsa_hash(handle, target, key.algorithm().is_rsa()).await?;
    handle
        .authenticate_publickey(&target.username, PrivateKeyWithHashAlg::new(key, hash))
        .await
        .map(Answer::from)
        .map_err(|error| broken(target, &error))
}

/// The hash for RSA signatures: SHA-2 always; a server that wants SHA-1 is refused.
async fn rsa_hash(
    handle: &Handle<Client>,
    target: &Target,
    rsa: bool,
) -> Result<Option<HashAlg>, ConnectFailure> {
    if !rsa {
        return Ok(None);
    }
    match handle.best_supported_rsa_hash().await.map_err(|error| broken(target, &error))? {
        Some(Some(hash)) => Ok(Some(hash)),
        // A server that says nothing is an old one; RFC 8332 lets us try SHA-2.
        None => Ok(Some(HashAlg::Sha512)),
        Some(None) => Err(failure(
            format!("{} accepts RSA keys with SHA-1 only", target.alias),
            "use an Ed25519 key; SHA-1 signatures are not made",
        )),
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

async fn agent(
    handle: &mut Handle<Client>,
    target: &Target,
    socket: &Path,
) -> Result<Answer, ConnectFailure> {
    let hint = "check that ssh-agent runs and that ssh-add -l shows the key";
    let trouble = |error: &dyn std::fmt::Display| {
        failure(format!("ssh-agent at {}: {error}", socket.display()), hint)
    };
    let mut client = AgentClient::connect_uds(socket).await.map_err(|error| trouble(&error))?;
    let identities = client.request_identities().await.map_err(|error| trouble(&error))?;
    let mut last = Answer::No { remaining: None };
    for identity in identities {
        let AgentIdentity::PublicKey { key, .. } = identity else { continue };
        let hash = rsa_hash(handle, target, key.algorithm().is_rsa()).await?;
        let result = handle
            .authenticate_publickey_with(&target.username, key, hash, &mut client)
            .await
            .map_err(|error| trouble(&error))?;
        match Answer::from(result) {
            Answer::In => return Ok(Answer::In),
            no @ (Answer::No { .. } | Answer::NotOffered { .. }) => last = no,
        }
    }
    Ok(last)
}
