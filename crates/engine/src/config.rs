//! What the owner allowed, as one value that is swapped whole.

use std::collections::BTreeMap;
use std::path::PathBuf;

use sshepherd_model::{Inventory, Secret, Targets};
use sshepherd_policy::Policy;

use crate::gate::GateSettings;
use crate::screened::OwnScreen;
use crate::shell::ShellSettings;
use crate::turns::Bounds;

/// Which known_hosts files decide about host keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KnownHostsFiles {
    /// This file only; it must exist.
    Explicit(PathBuf),
    /// The user's and the system's files, as OpenSSH reads them.
    UserAndSystem,
}

/// One consistent configuration: a reload replaces it, and every request sees one from start to end.
#[derive(Debug)]
pub struct Config {
    /// Hosts and credentials.
    pub inventory: Inventory,
    /// What may run where, at which cost, over which addresses.
    pub policy: Policy,
    /// SHA-256 of the policy file in hex, for the audit record.
    pub policy_hash: String,
    /// Where host keys are looked up.
    pub known_hosts: KnownHostsFiles,
    /// Bounds for the whole server.
    pub gate: GateSettings,
    /// What makes the output of its hosts readable; made when first wanted.
    pub screen: OwnScreen,
    /// Whether the audit record holds the texts of commands beside their hashes.
    pub audit_commands: bool,
    /// Bounds of interactive shells for the whole server.
    pub shells: ShellSettings,
    /// Secrets that may be typed into shells, by name.
    pub typed_secrets: BTreeMap<String, Secret>,
    /// Hosts that a server keeps connected unasked.
    pub warm: Option<Targets>,
    /// Most hosts that one fan-out talks to at once.
    pub fan_out_parallel: usize,
    /// Most hosts that all fan-outs together talk to at once.
    pub fan_out_total: usize,
    /// Most hosts behind one jump host that fan-outs talk to at once.
    pub fan_out_behind_jump: usize,
    /// Why there is no configuration, as lines: a server that was started with errors in its files has no hosts until a
    /// reload succeeds. Empty where there is one.
    pub unread: Vec<String>,
}

/// Most tasks that fan-outs have at once: a store takes 1,024, and single hosts need some of them.
const LIVE: usize = 960;

impl Config {
    pub(crate) fn turns(&self) -> Bounds {
        Bounds {
            all: self.fan_out_total,
            each: self.fan_out_parallel,
            behind_one: self.fan_out_behind_jump,
            aside: self.fan_out_total.min(LIVE.saturating_sub(self.fan_out_total)),
        }
    }
}
