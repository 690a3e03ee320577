//! The only value that can be run: made from a permit, which only the policy makes.

use std::net::SocketAddr;
use std::sync::Arc;

use sshepherd_model::{CommandHash, ConnectFailure, Host, Limits, TaskId};
use sshepherd_policy::{Decision, Denial, Explanation, Permit};

use crate::approval::Granted;
use crate::config::Config;
use crate::pipeline::Origin;

/// What becomes of the caller while a command runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Manner {
    /// It waits for the result.
    Waited,
    /// It gets the task's id at once and asks later, perhaps another server.
    Background {
        /// The name for this piece of work.
        key: Option<TaskKey>,
    },
}

/// A name for a piece of work: who comes with the same one gets the same task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum TaskKey {
    /// A caller's.
    Caller(String),
    /// Ours, for a part of a fan-out.
    Own(String),
}

/// Before the keys of callers in the store: no key of ours has a slash.
const CALLER: &str = sshepherd_store::CALLERS_KEY;

impl TaskKey {
    /// As it stands in the store, where no caller's can be one of ours.
    pub(crate) fn stored(&self) -> String {
        match self {
            Self::Caller(key) => format!("{CALLER}{key}"),
            Self::Own(key) => key.clone(),
        }
    }

    /// As a version that kept all of them in one row of names stored it; `None` where it could be one of ours.
    pub(crate) fn stored_before(&self) -> Option<&str> {
        let Self::Caller(key) = self else { return None };
        let hex = |part: Option<&str>, length: usize| {
            part.is_some_and(|part| {
                part.len() == length && part.bytes().all(|byte| byte.is_ascii_hexdigit())
            })
        };
        // A task's id and something behind it.
        let mut parts = key.split(':').skip(1);
        let ours = hex(parts.next(), 16) && hex(parts.next(), 32);
        (!ours && !key.starts_with(CALLER)).then_some(key)
    }
}

/// What everyone who deals with a task needs to know of it, but for what is sent.
#[derive(Debug)]
pub(crate) struct Brief {
    pub(crate) task_id: TaskId,
    pub(crate) host: Arc<Host>,
    pub(crate) hash: CommandHash,
    pub(crate) limits: Limits,
    /// Whether the owner granted this host a full shell and the raw text is sent.
    pub(crate) raw_shell: bool,
    /// The configuration it was judged under.
    pub(crate) config: Arc<Config>,
    pub(crate) origin: Origin,
}

/// A permitted command with everything that running it needs. Consumed by the runner, so it runs at most once.
#[derive(Debug)]
#[must_use]
pub(crate) struct Plan {
    pub(crate) brief: Brief,
    /// The exact text to send.
    pub(crate) wire: String,
    pub(crate) stdin: Option<String>,
    pub(crate) env: Vec<(String, String)>,
    pub(crate) decisions: Vec<Decision>,
    /// What the policy would have said, where it only watches.
    pub(crate) unenforced: Option<Denial>,
    /// What of a person's yes is kept with the task.
    pub(crate) granted: Granted,
    pub(crate) manner: Manner,
}

impl Plan {
    /// Takes the permit apart for a new task; `nonce` makes its id unguessable.
    pub(crate) fn new(
        permit: Permit,
        config: Arc<Config>,
        origin: Origin,
        manner: Manner,
        nonce: u128,
    ) -> Self {
        let task_id = {
            let parts = permit.parts();
            TaskId::compose(&parts.host.alias, &parts.hash, nonce)
        };
        Self::resume(permit, config, origin, manner, task_id)
    }

    /// Takes the permit apart for a task that another server accepted.
    pub(crate) fn resume(
        permit: Permit,
        config: Arc<Config>,
        origin: Origin,
        manner: Manner,
        task_id: TaskId,
    ) -> Self {
        let parts = permit.into_parts();
        Self {
            brief: Brief {
                task_id,
                host: parts.host,
                hash: parts.hash,
                limits: parts.limits,
                raw_shell: parts.raw_shell,
                config,
                origin,
            },
            wire: parts.script,
            stdin: parts.stdin,
            env: parts.env,
            decisions: parts.decisions,
            unenforced: parts.unenforced,
            granted: Granted::default(),
            manner,
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
