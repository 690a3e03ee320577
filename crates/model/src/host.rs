//! A host of the inventory.

use crate::{Alias, CredentialName, Tag};

/// What answers an `exec` request on a host: it decides how a command is launched and stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LoginShell {
    /// A POSIX shell (sh, bash, dash, zsh, ksh): the usual case.
    #[default]
    Posix,
    /// Another shell (fish; csh and tcsh take no text of several lines) on a host that has a POSIX `sh` in its path.
    Other,
    /// No shell: a forced command or an appliance. The command is sent alone; a stop can only be asked
    /// of the server, so it is reported as unconfirmed unless the end is seen.
    None,
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
    /// Free text of the owner.
    pub description: String,
    /// How commands are launched there.
    pub login_shell: LoginShell,
    /// The host that the connection goes through, by alias; it may have one itself. The configuration reader has seen to
    /// it that the alias exists and that a chain is short and ends.
    pub jump: Option<Alias>,
}

impl Host {
    /// Whether the host carries `tag`.
    #[must_use]
    pub fn has_tag(&self, tag: &Tag) -> bool {
        self.tags.contains(tag)
    }
}
