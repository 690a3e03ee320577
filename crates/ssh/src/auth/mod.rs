//! Logging in: the configured methods in order. No message carries a secret.

mod agent;
mod key;

use russh::client::{AuthResult, Handle};
use russh::keys::HashAlg;
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
            AuthMethod::Key { path, certificate, passphrase } => {
                let file = key::KeyFile { path, certificate: certificate.as_deref(), passphrase };
                let mut name = format!("key {}", path.display());
                let answer = key::log_in(handle, target, file, &mut name).await;
                (name, answer)
            }
            AuthMethod::Agent { socket } => {
                ("ssh-agent".to_owned(), agent::log_in(handle, target, socket).await)
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
