//! How to log in: a user name and the methods to try, in order.

use std::path::PathBuf;

use crate::{CredentialName, Secret};

/// One key of an agent that holds several.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum AgentKey {
    /// By its fingerprint, `SHA256:` and 43 letters of Base64.
    Fingerprint(String),
    /// By the file of its public half.
    PublicFile(PathBuf),
}

/// One way to authenticate.
#[derive(Debug, Clone)]
pub enum AuthMethod {
    /// A private key file.
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
        /// The only key that is offered; without one, all are.
        only: Option<AgentKey>,
    },
    /// A password. Where the host takes none but asks questions (keyboard-interactive), it answers the one question for it.
    Password(Secret),
    /// A person answers the host's questions (keyboard-interactive), such as for a one-time code.
    Interactive,
    /// A method that the configuration names and that cannot be used. A log-in notes it and tries the next.
    Unusable {
        /// What it is, for messages.
        name: String,
        /// Why it cannot be used.
        problem: String,
    },
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
    /// A regular expression for the question that the password answers, instead of those that are known.
    pub password_prompt: Option<String>,
}
