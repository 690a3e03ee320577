//! The only value that can be run: made from a permit, which only the policy makes.

use std::net::SocketAddr;
use std::sync::Arc;

use sshepherd_model::{CommandHash, ConnectFailure, Host, Limits, TaskId};
use sshepherd_policy::{Decision, Explanation, Permit};

use crate::config::Config;
use crate::pipeline::Origin;

/// A permitted command with everything that running it needs. Consumed by the runner, so it runs at most once.
#[derive(Debug)]
#[must_use]
pub(crate) struct Plan {
    pub(crate) task_id: TaskId,
    pub(crate) host: Arc<Host>,
    /// The caller's trimmed command, for the record.
    pub(crate) command: String,
    pub(crate) hash: CommandHash,
    /// The exact text to send.
    pub(crate) wire: String,
    pub(crate) stdin: Option<String>,
    pub(crate) limits: Limits,
    pub(crate) decisions: Vec<Decision>,
    /// Whether the owner granted this host a full shell and the raw text is sent.
    pub(crate) raw_shell: bool,
    /// The configuration it was judged under.
    pub(crate) config: Arc<Config>,
    pub(crate) origin: Origin,
}

impl Plan {
    /// Takes the permit apart; `nonce` makes the task's id unguessable.
    pub(crate) fn new(permit: Permit, config: Arc<Config>, origin: Origin, nonce: u128) -> Self {
        let parts = permit.into_parts();
        let task_id = TaskId::compose(&parts.host.alias, &parts.hash, nonce);
        Self {
            task_id,
            host: parts.host,
            command: parts.command,
            hash: parts.hash,
            wire: parts.wire,
            stdin: parts.stdin,
            limits: parts.limits,
            decisions: parts.decisions,
            raw_shell: parts.raw_shell,
            config,
            origin,
        }
    }
}

/// What would happen to a request, without running it.
#[derive(Debug)]
pub struct Preview {
    /// The policy's view: parsed commands, deciding rules, limits, what would be sent.
    pub explanation: Explanation,
    /// The judged addresses that would be tried, or why there are none.
    pub addresses: Result<Vec<SocketAddr>, ConnectFailure>,
}

impl Preview {
    /// Whether a run would be let through: the policy allows the command and the network policy admits an
    /// address. A name that cannot be looked up just now does not make a command forbidden.
    #[must_use]
    pub fn allowed(&self) -> bool {
        let network_denies = matches!(
            &self.addresses,
            Err(failure) if failure.phase == sshepherd_model::Phase::Network
        );
        self.explanation.allowed && !network_denies
    }
}
