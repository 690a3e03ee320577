//! How to log in: a user name and the methods to try, in order.

use std::path::PathBuf;

use crate::{CredentialName, Secret};

/// One way to authenticate.
#[derive(Debug, Clone)]
pub enum AuthMethod {
    /// A private key file, already checked to lie inside the keys folder.
    Key {
        /// Absolute path of the private key.
        path: PathBuf,
        /// Absolute path of its certificate; without one, the file `KEY-cert.pub` beside it serves if it is there.
        certificate: Option<PathBuf>,
        /// Its passphrase, if it is encrypted.
        passphrase: Option<Secret>,
    },
    /// The keys that a running ssh-agent holds.
    Agent {
        /// Absolute path of the agent's socket.
        socket: PathBuf,
    },
    /// A password. Where the host takes none but asks questions (keyboard-interactive), it answers the one question for it.
    Password(Secret),
    /// A person answers the host's questions (keyboard-interactive), such as for a code of one time.
    Interactive,
}

/// A credentials entry, with its secrets resolved.
#[derive(Debug, Clone)]
pub struct Credential {
    /// The entry's name.
    pub name: CredentialName,
    /// Login name on the host.
    pub username: String,
    /// Methods in the order to try them; never empty.
    pub methods: Vec<AuthMethod>,
}
