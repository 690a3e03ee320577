//! What can go wrong while fake hosts are started.

/// A fake fleet that could not be started.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The system gave no random bytes for keys.
    #[error("the system has no random bytes for a key")]
    Random(#[source] getrandom::Error),
    /// A key could not be written in OpenSSH's form.
    #[error("a key cannot be written as text")]
    Key(#[source] russh::keys::ssh_key::Error),
    /// No port of the loopback interface could be bound.
    #[error("fake host {host}: cannot listen on loopback")]
    Listen {
        /// Name of the host.
        host: String,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
}
