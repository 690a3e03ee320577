//! Logging in with the keys and certificates that an ssh-agent holds.

use std::path::Path;
use std::time::Duration;

use russh::client::Handle;
use russh::keys::agent::AgentIdentity;
use russh::keys::agent::client::AgentClient;
use russh::keys::ssh_encoding::{Decode, Reader};
use russh::keys::{Algorithm, Certificate, HashAlg, PublicKey};
use russh::{SendError, Signer};
use sshepherd_model::AgentKey;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

use super::clock::Clock;
use super::{Answer, Note, keychain};
use crate::client::Client;
use crate::target::Target;

/// Longest wait for an agent to say what it holds.
const LISTING: Duration = Duration::from_secs(5);
/// Largest list of keys that is read.
const MAX_LIST: usize = 256 * 1024;
/// The messages of the agent's protocol that are needed here.
const LIST: [u8; 5] = [0, 0, 0, 1, 11];
const LISTED: u8 = 12;

/// The keys of the agent that may be offered, in its order; why there is none.
pub(super) async fn identities(
    socket: &Path,
    only: Option<&AgentKey>,
) -> Result<Vec<AgentIdentity>, Note> {
    let listed = tokio::time::timeout(LISTING, list(socket)).await;
    let listed = listed.unwrap_or_else(|_| Err(format!("no answer in {} s", LISTING.as_secs())));
    let all = listed.map_err(|problem| {
        Note::new(
            problem,
            "check that the agent runs; agent_socket in credentials.yml names another socket than SSH_AUTH_SOCK",
        )
    })?;
    if all.is_empty() {
        let hint = "add the key with ssh-add, or unlock the agent (ssh-add -X)";
        return Err(Note::new("it holds no keys, or it is locked", hint));
    }
    let Some(only) = only else { return Ok(all) };
    let wanted = wanted(only)?;
    let found: Vec<_> = all.into_iter().filter(|one| fingerprint(one) == wanted).collect();
    if found.is_empty() {
        let what = format!("it does not hold the key {wanted}");
        return Err(Note::new(what, "ssh-add -l shows what it holds; add the key with ssh-add"));
    }
    Ok(found)
}

fn wanted(only: &AgentKey) -> Result<String, Note> {
    match only {
        AgentKey::Fingerprint(text) => Ok(text.clone()),
        AgentKey::PublicFile(path) => match keychain::public_file(path) {
            Ok(key) => Ok(key.fingerprint(HashAlg::Sha256).to_string()),
            Err(problem) => Err(Note::new(
                format!("agent_key {} {problem}", path.display()),
                "agent_key in credentials.yml names a public key file or a fingerprint (SHA256:…)",
            )),
        },
    }
}

/// The fingerprint of a key; of a certificate, that of its key.
pub(super) fn fingerprint(identity: &AgentIdentity) -> String {
    identity.public_key().fingerprint(HashAlg::Sha256).to_string()
}

/// Asks for the list. The library gives none at all where one key of it, or a comment, is not to its taste.
async fn list(socket: &Path) -> Result<Vec<AgentIdentity>, String> {
    let mut stream = UnixStream::connect(socket).await.map_err(|error| error.to_string())?;
    let answer = async {
        stream.write_all(&LIST).await?;
        let length = usize::try_from(stream.read_u32().await?).unwrap_or(usize::MAX);
        let mut answer = vec![0; length.min(MAX_LIST)];
        stream.read_exact(&mut answer).await?;
        Ok::<_, std::io::Error>(answer)
    };
    let answer = answer.await.map_err(|error| error.to_string())?;
    match answer.split_first() {
        Some((&LISTED, list)) => Ok(parsed(list)),
        Some(_) | None => Err("it does not say what it holds".to_owned()),
    }
}

/// The keys of a list that can be read.
fn parsed(mut list: &[u8]) -> Vec<AgentIdentity> {
    let mut identities = Vec::new();
    let count = u32::decode(&mut list).unwrap_or(0);
    for _ in 0..count {
        let (Ok(blob), Ok(_comment)) = (Vec::<u8>::decode(&mut list), Vec::<u8>::decode(&mut list))
        else {
            break;
        };
        let comment = String::new();
        let certificate = Certificate::from_bytes(&blob).ok();
        identities.extend(match certificate {
            Some(certificate) => Some(AgentIdentity::Certificate { certificate, comment }),
            None => PublicKey::from_bytes(&blob)
                .ok()
                .map(|key| AgentIdentity::PublicKey { key, comment }),
        });
        if list.remaining_len() == 0 {
            break;
        }
    }
    identities
}

/// An agent that signs for one log-in.
struct Signing<'a> {
    client: AgentClient<UnixStream>,
    target: &'a Target,
    clock: &'a Clock,
}

/// A signature that was not made.
enum Unsigned {
    /// The agent says no: another key may do.
    Refused,
    /// Nothing more is to be had from the agent.
    Lost(Note),
}

impl From<SendError> for Unsigned {
    fn from(_: SendError) -> Self {
        Self::Refused
    }
}

impl Signer for Signing<'_> {
    type Error = Unsigned;

    async fn auth_sign(
        &mut self,
        key: &AgentIdentity,
        hash: Option<HashAlg>,
        to_sign: Vec<u8>,
    ) -> Result<Vec<u8>, Self::Error> {
        // The host waits for us, and we for the agent, which may ask its owner.
        let _hold = self.clock.hold();
        let algorithm = key.public_key().algorithm();
        let touched = matches!(algorithm, Algorithm::SkEd25519 | Algorithm::SkEcdsaSha2NistP256);
        let deadlines = &self.target.deadlines;
        if touched && let Some(on_touch) = &self.target.on_touch {
            on_touch(&self.target.alias);
        }
        let limit = if touched { deadlines.auth + deadlines.person } else { deadlines.auth };
        let signing = self.client.auth_sign(key, hash, to_sign);
        match tokio::time::timeout(limit, signing).await {
            Ok(Ok(signed)) => Ok(signed),
            Ok(Err(russh::AgentAuthError::Key(russh::keys::Error::AgentFailure))) => {
                Err(Unsigned::Refused)
            }
            Ok(Err(error)) => {
                let hint = "check that the agent runs and that ssh-add -l shows the key";
                Err(Unsigned::Lost(Note::new(error.to_string(), hint)))
            }
            Err(_) if touched => Err(Unsigned::Lost(Note::new(
                format!("the security key was not touched within {} s", limit.as_secs()),
                "the security key was not touched in time; try again and touch it when it blinks",
            ))),
            Err(_) => Err(Unsigned::Lost(Note::new(
                format!("it did not sign within {} s", limit.as_secs()),
                "the agent may wait for its owner to confirm; try again when somebody is there",
            ))),
        }
    }
}

/// What came of one key of an agent.
pub(super) enum Offered {
    Answer(Answer),
    /// The agent did not sign with this key: another may do.
    NotSigned(Note),
    /// The agent is of no more use.
    Lost(Note),
}

/// An agent on its way to one host: bound to the connection, as keys that are meant for certain hosts want it.
pub(super) struct Agent<'a>(Signing<'a>);

impl<'a> Agent<'a> {
    pub(super) async fn connect(
        handle: &Handle<Client>,
        socket: &Path,
        target: &'a Target,
        clock: &'a Clock,
    ) -> Result<Self, Note> {
        let _hold = clock.hold();
        let connecting = async {
            let mut client = AgentClient::connect_uds(socket).await?;
            if let Some(binding) = handle.agent_session_binding() {
                // Older agents know nothing of it, and their keys are for all hosts.
                let _ = client.bind_session(binding, false).await;
            }
            Ok::<_, russh::keys::Error>(client)
        };
        let hint = "check that the agent runs and that ssh-add -l shows the key";
        match tokio::time::timeout(LISTING, connecting).await {
            Ok(Ok(client)) => Ok(Self(Signing { client, target, clock })),
            Ok(Err(error)) => Err(Note::new(error.to_string(), hint)),
            Err(_) => Err(Note::new(format!("no answer in {} s", LISTING.as_secs()), hint)),
        }
    }

    /// Offers one key to the host, with one hash after the other as long as it is refused.
    pub(super) async fn offer_with(
        &mut self,
        handle: &mut Handle<Client>,
        identity: &AgentIdentity,
        hashes: Vec<Option<HashAlg>>,
    ) -> Offered {
        let mut offered = Offered::Answer(Answer::No { remaining: None });
        for hash in hashes {
            offered = self.offer(handle, identity, hash).await;
            if !matches!(offered, Offered::Answer(Answer::No { .. })) || handle.is_closed() {
                break;
            }
        }
        offered
    }

    async fn offer(
        &mut self,
        handle: &mut Handle<Client>,
        identity: &AgentIdentity,
        hash: Option<HashAlg>,
    ) -> Offered {
        let user = &self.0.target.username;
        let result = match identity.clone() {
            AgentIdentity::PublicKey { key, .. } => {
                handle.authenticate_publickey_with(user, key, hash, &mut self.0).await
            }
            AgentIdentity::Certificate { certificate, .. } => {
                handle.authenticate_certificate_with(user, certificate, hash, &mut self.0).await
            }
        };
        match result {
            Ok(result) => Offered::Answer(Answer::from(result)),
            Err(Unsigned::Refused) => Offered::NotSigned(Note::new(
                format!("it refuses to sign with {}", fingerprint(identity)),
                "the key may need its owner's consent (ssh-add -c) or be meant for other hosts (ssh-add -h)",
            )),
            Err(Unsigned::Lost(note)) => Offered::Lost(note),
        }
    }
}
