//! Logging in with the keys and certificates that an ssh-agent holds.

use std::path::Path;

use russh::client::Handle;
use russh::keys::agent::AgentIdentity;
use russh::keys::agent::client::AgentClient;
use russh::keys::{Algorithm, HashAlg};
use russh::{AgentAuthError, Signer};
use sshepherd_model::ConnectFailure;
use tokio::net::UnixStream;
use tokio_util::sync::CancellationToken;

use super::{Answer, failure, rsa_hash};
use crate::client::Client;
use crate::target::Target;

/// An agent, and who is told when it waits for a person.
struct Telling<'a> {
    client: AgentClient<UnixStream>,
    target: &'a Target,
    touch: &'a CancellationToken,
}

impl Signer for Telling<'_> {
    type Error = AgentAuthError;

    async fn auth_sign(
        &mut self,
        key: &AgentIdentity,
        hash: Option<HashAlg>,
        to_sign: Vec<u8>,
    ) -> Result<Vec<u8>, Self::Error> {
        let algorithm = key.public_key().algorithm();
        if matches!(algorithm, Algorithm::SkEd25519 | Algorithm::SkEcdsaSha2NistP256) {
            self.touch.cancel();
            if let Some(on_touch) = &self.target.on_touch {
                on_touch(&self.target.alias);
            }
        }
        self.client.auth_sign(key, hash, to_sign).await
    }
}

/// Tries what the agent holds, in its order; `touch` fires when a security key must be touched, which not all of them want.
pub(super) async fn log_in(
    handle: &mut Handle<Client>,
    target: &Target,
    socket: &Path,
    touch: &CancellationToken,
) -> Result<Answer, ConnectFailure> {
    let hint = "check that ssh-agent runs and that ssh-add -l shows the key";
    let trouble = |error: &dyn std::fmt::Display| {
        failure(format!("ssh-agent at {}: {error}", socket.display()), hint)
    };
    let mut client = AgentClient::connect_uds(socket).await.map_err(|error| trouble(&error))?;
    let identities = client.request_identities().await.map_err(|error| trouble(&error))?;
    let mut signer = Telling { client, target, touch };
    let mut last = Answer::No { remaining: None };
    for identity in identities {
        let algorithm = identity.public_key().algorithm();
        let hash = rsa_hash(handle, target, algorithm.is_rsa()).await?;
        let user = &target.username;
        let result = match identity {
            AgentIdentity::PublicKey { key, .. } => {
                handle.authenticate_publickey_with(user, key, hash, &mut signer).await
            }
            AgentIdentity::Certificate { certificate, .. } => {
                handle.authenticate_certificate_with(user, certificate, hash, &mut signer).await
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
