//! Logging in with the keys and certificates that an ssh-agent holds.

use std::path::Path;

use russh::client::Handle;
use russh::keys::Algorithm;
use russh::keys::agent::AgentIdentity;
use russh::keys::agent::client::AgentClient;
use sshepherd_model::ConnectFailure;

use super::{Answer, failure, rsa_hash};
use crate::client::Client;
use crate::target::Target;

/// Tries what the agent holds, in its order.
pub(super) async fn log_in(
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
        let algorithm = identity.public_key().algorithm();
        if matches!(algorithm, Algorithm::SkEd25519 | Algorithm::SkEcdsaSha2NistP256) {
            tracing::info!(host = %target.alias, "waiting for touch: a security key must confirm the log-in");
        }
        let hash = rsa_hash(handle, target, algorithm.is_rsa()).await?;
        let user = &target.username;
        let result = match identity {
            AgentIdentity::PublicKey { key, .. } => {
                handle.authenticate_publickey_with(user, key, hash, &mut client).await
            }
            AgentIdentity::Certificate { certificate, .. } => {
                handle.authenticate_certificate_with(user, certificate, hash, &mut client).await
            }
        };
        match Answer::from(result.map_err(|error| trouble(&error))?) {
            Answer::In => return Ok(Answer::In),
            more @ Answer::More { .. } => return Ok(more),
            no @ (Answer::No { .. } | Answer::NotOffered { .. }) => last = no,
        }
    }
    Ok(last)
}
