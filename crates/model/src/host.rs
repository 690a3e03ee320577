//! A host of the inventory.

use crate::{Alias, ConnectionSettings, CredentialName, HostWords, Tag};

/// What reads the text of an `exec` request on a host: the dialect that a command is judged for and sent in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LoginShell {
    /// A POSIX shell (sh, bash, dash, busybox ash, mksh, ksh93, zsh): the usual case.
    #[default]
    Posix,
    /// fish, on a host that has a POSIX `sh` in its path: the judged text is handed to that.
    Fish,
    /// csh or tcsh, in the same way.
    Csh,
    /// Anything else: a forced command, an appliance, a language that we do not know. Only words that need no quoting in
    /// any known language are sent, alone and as they are; a stop can only be asked of the server, so it is reported as
    /// unconfirmed unless the end is seen.
    RawWords,
}

/// One reachable machine: who it is and how to log in. Validated once, when the configuration is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Host {
    /// The name agents and people use.
    pub alias: Alias,
    /// Host name or IP address to connect to.
    pub address: String,
    /// TCP port.
    pub port: u16,
    /// Name of the credentials entry.
    pub credentials: CredentialName,
    /// Groups this host belongs to, in file order.
    pub tags: Vec<Tag>,
    /// Free text of the owner or of the program that lists hosts.
    pub description: HostWords,
    /// How commands are launched there.
    pub login_shell: LoginShell,
    /// The host that the connection goes through, by alias; it may have one itself. The configuration reader has seen to
    /// it that the alias exists and that a chain is short and ends.
    pub jump: Option<Alias>,
    /// How it is reached, where that differs from the usual.
    pub connection: ConnectionSettings,
}

impl Host {
    /// Whether the host carries `tag`.
    #[must_use]
    pub fn has_tag(&self, tag: &Tag) -> bool {
        self.tags.contains(tag)
    }
}
