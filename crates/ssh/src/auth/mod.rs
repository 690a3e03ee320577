//! Logging in: the configured methods in order. No message carries a secret.

mod agent;
mod interactive;
mod key;

use std::time::Duration;

use russh::client::{AuthResult, Handle};
use russh::keys::HashAlg;
use russh::{MethodKind, MethodSet};
use sshepherd_model::{AuthMethod, ConnectFailure, Phase, Secret};
use tokio_util::sync::CancellationToken;

use crate::client::Client;
use crate::target::Target;

fn failure(detail: String, hint: &str) -> ConnectFailure {
    ConnectFailure { phase: Phase::Auth, detail: detail.into(), hint: hint.to_owned() }
}

/// What the server said to one method.
enum Answer {
    In,
    No {
        remaining: Option<MethodSet>,
    },
    NotOffered {
        methods: MethodSet,
    },
    /// It was right, and another method is wanted as well.
    More {
        remaining: MethodSet,
    },
}

impl Answer {
    fn refused(remaining: MethodSet, partial: bool) -> Self {
        if partial { Self::More { remaining } } else { Self::No { remaining: Some(remaining) } }
    }
}

impl From<AuthResult> for Answer {
    fn from(result: AuthResult) -> Self {
        match result {
            AuthResult::Success => Self::In,
            AuthResult::Failure { remaining_methods, partial_success } => {
                Self::refused(remaining_methods, partial_success)
            }
        }
    }
}

/// Logs in, or says that it took too long: longer is given where a person may be asked or must touch a security key.
pub(crate) async fn log_in_within_limit(
    handle: &mut Handle<Client>,
    target: &Target,
    closed: &CancellationToken,
) -> Result<(), ConnectFailure> {
    let mut limit = limit(target);
    let touch = CancellationToken::new();
    let working = log_in(handle, target, closed, &touch);
    tokio::pin!(working);
    if let Ok(done) = tokio::time::timeout(limit, &mut working).await {
        return done;
    }
    if touch.is_cancelled() {
        let longer = target.deadlines.person;
        limit += longer;
        if let Ok(done) = tokio::time::timeout(longer, working).await {
            return done;
        }
    }
    let hint = if touch.is_cancelled() {
        "the security key was not touched in time; try again and touch it when it blinks"
    } else {
        "the server may be overloaded or waiting for a name service; see its log"
    };
    Err(failure(
        format!("{} did not finish the log-in within {} s", target.alias, limit.as_secs()),
        hint,
    ))
}

/// How long a log-in may take: longer where a person may be asked.
fn limit(target: &Target) -> Duration {
    let asks = target.methods.iter().any(|method| match method {
        AuthMethod::Interactive | AuthMethod::Password(_) => true,
        AuthMethod::Key { .. } | AuthMethod::Agent { .. } => false,
    });
    let deadlines = &target.deadlines;
    if asks && target.prompter.is_some() {
        deadlines.auth + deadlines.person
    } else {
        deadlines.auth
    }
}

/// Tries the target's methods in order until one is accepted. `closed` is cancelled when the connection has ended.
async fn log_in(
    handle: &mut Handle<Client>,
    target: &Target,
    closed: &CancellationToken,
    touch: &CancellationToken,
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
                ("ssh-agent".to_owned(), agent::log_in(handle, target, socket, touch).await)
            }
            AuthMethod::Password(secret) => {
                ("password".to_owned(), password(handle, target, secret, accepted.take()).await)
            }
            AuthMethod::Interactive => {
                let name = "keyboard-interactive".to_owned();
                (name, interactive(handle, target, accepted.take()).await)
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
            Answer::More { remaining } => {
                tried.push(format!("{name} (right, but more is wanted)"));
                accepted = Some(remaining);
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

/// What the server offers: known from an earlier refusal, or asked for with the method `none`, which sshd does not count
/// as an attempt. The error is the answer when the server wants no proof at all.
async fn offered(
    handle: &mut Handle<Client>,
    target: &Target,
    known: Option<MethodSet>,
) -> Result<Result<MethodSet, Answer>, ConnectFailure> {
    if let Some(methods) = known {
        return Ok(Ok(methods));
    }
    let asked = handle.authenticate_none(&target.username).await;
    Ok(match asked.map_err(|error| broken(target, &error))? {
        AuthResult::Success => Err(Answer::In),
        AuthResult::Failure { remaining_methods, .. } if remaining_methods.is_empty() => {
            Err(Answer::No { remaining: None })
        }
        AuthResult::Failure { remaining_methods, .. } => Ok(remaining_methods),
    })
}

/// Sends the password only to a server that offers to take one, or that asks for it.
async fn password(
    handle: &mut Handle<Client>,
    target: &Target,
    secret: &Secret,
    known: Option<MethodSet>,
) -> Result<Answer, ConnectFailure> {
    let methods = match offered(handle, target, known).await? {
        Ok(methods) => methods,
        Err(answer) => return Ok(answer),
    };
    if methods.contains(&MethodKind::Password) {
        let result = handle.authenticate_password(&target.username, secret.expose()).await;
        return result.map(Answer::from).map_err(|error| broken(target, &error));
    }
    if methods.contains(&MethodKind::KeyboardInteractive) {
        return interactive::log_in(handle, target, Some(secret)).await;
    }
    Ok(Answer::NotOffered { methods })
}

async fn interactive(
    handle: &mut Handle<Client>,
    target: &Target,
    known: Option<MethodSet>,
) -> Result<Answer, ConnectFailure> {
    let methods = match offered(handle, target, known).await? {
        Ok(methods) => methods,
        Err(answer) => return Ok(answer),
    };
    if methods.contains(&MethodKind::KeyboardInteractive) {
        return interactive::log_in(handle, target, None).await;
    }
    Ok(Answer::NotOffered { methods })
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
