//! Which targets share connections.

use std::hash::{BuildHasher, RandomState};
use std::net::SocketAddr;
use std::path::PathBuf;

use sshepherd_model::{AgentKey, Alias, AuthMethod, Secret};

use crate::target::{Target, Transport};

/// What makes two targets the same connection: where to, under which host key, and as whom.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(super) struct Key {
    alias: Alias,
    /// Sorted: a name service may turn them round at each look-up.
    addresses: Vec<SocketAddr>,
    host_key_name: String,
    username: String,
    logins: Vec<Login>,
    /// What the owner set: a link that was made with a weak algorithm is none for who takes it back.
    transport: Transport,
    /// The way there: the same host behind another jump host is another connection.
    via: Option<Box<Key>>,
}

/// One way to log in. Secrets only as a hash under a key of this pool, which tells two apart and nothing else.
#[derive(Clone, PartialEq, Eq, Hash)]
enum Login {
    Key {
        path: PathBuf,
        certificate: Option<PathBuf>,
        passphrase: Option<u64>,
    },
    Agent {
        socket: PathBuf,
        only: Option<AgentKey>,
    },
    Password(u64),
    Interactive,
    /// It never logs in.
    Unusable,
}

impl Key {
    pub(super) fn new(target: &Target, hashing: &RandomState) -> Self {
        let mut addresses = target.addresses.clone();
        addresses.sort_unstable();
        let hash = |secret: &Secret| hashing.hash_one(secret.expose());
        let login = |method: &AuthMethod| match method {
            AuthMethod::Key { path, certificate, passphrase } => Login::Key {
                path: path.clone(),
                certificate: certificate.clone(),
                passphrase: passphrase.as_ref().map(hash),
            },
            AuthMethod::Agent { socket, only } => {
                Login::Agent { socket: socket.clone(), only: only.clone() }
            }
            AuthMethod::Password(password) => Login::Password(hash(password)),
            AuthMethod::Interactive => Login::Interactive,
            AuthMethod::Unusable { .. } => Login::Unusable,
        };
        Self {
            alias: target.alias.clone(),
            addresses,
            host_key_name: target.host_key_name.clone(),
            username: target.username.clone(),
            logins: target.methods.iter().map(login).collect(),
            transport: target.transport.clone(),
            via: target.via.as_ref().map(|jump| Box::new(Self::new(jump, hashing))),
        }
    }
}
