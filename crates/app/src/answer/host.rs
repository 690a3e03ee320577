//! The server itself, and the hosts it knows.

use sshepherd_model::{Alias, Host, Inventory};

use super::{answer, encoded, shorten};

/// The server is there.
#[derive(Debug, Clone, serde::Serialize, schemars::JsonSchema)]
pub(crate) struct PingAnswer {
    /// Always `pong`.
    pub(crate) status: &'static str,
    /// The server's version.
    pub(crate) version: &'static str,
}

/// Every alias in file order.
#[derive(Debug, Clone, Default, serde::Serialize, schemars::JsonSchema)]
pub(crate) struct HostListAnswer {
    /// The aliases.
    pub(crate) hosts: Vec<String>,
    /// Those of them that cannot be logged in to until the owner corrects something. Not in the schema, which every turn pays
    /// for: it is rarely there, and speaks for itself.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(skip)]
    pub(crate) unusable: Vec<UnusableHost>,
    /// How many did not fit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) missing_hosts: Option<u64>,
    /// Where the others are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) hint: Option<String>,
}

/// A host that cannot be used, and why.
#[derive(Debug, Clone, serde::Serialize)]
pub(crate) struct UnusableHost {
    /// Its alias.
    pub(crate) alias: String,
    /// What the owner must correct.
    pub(crate) why: String,
}

answer! {
    /// One host.
    HostAnswer {
        /// The name to use.
        alias: String,
        /// Host name or address.
        host: String,
        /// TCP port.
        port: u16,
        /// Name of the credentials entry; never its content.
        credentials: String,
        /// Its groups.
        tags: Vec<String>,
        /// The hosts that it is reached through, in that order.
        jump: Vec<String>,
        /// The owner's words about it.
        description: String,
        /// Why it is not tried at present.
        circuit: String,
        /// Why nobody can log in to it until the owner corrects something.
        #[schemars(skip)]
        unusable: String,
        /// The limits in force.
        policy_limits: PolicyLimits,
        /// What the policy says to interactive shells there: allow, ask or deny.
        shells: &'static str,
        /// Programs that may be opened in place of the log-in shell.
        shell_programs: Vec<String>,
        /// Tags, denied texts and programs left out here; the resource `ssh://host/{alias}` has them all.
        missing_entries: u64,
    }
}

impl HostAnswer {
    /// The same in at most `budget` bytes: first denied texts go, then tags, then programs of shells, then the end of the description.
    pub(crate) fn within(mut self, budget: usize) -> Self {
        let mut missing = 0;
        while encoded(&self) > budget {
            let denied =
                self.policy_limits.as_mut().and_then(|limits| limits.deny_substrings.as_mut());
            if let Some(denied) = denied.filter(|denied| !denied.is_empty()) {
                missing += halve(denied);
            } else if let Some(tags) = self.tags.as_mut().filter(|tags| !tags.is_empty()) {
                missing += halve(tags);
            } else if let Some(programs) =
                self.shell_programs.as_mut().filter(|programs| !programs.is_empty())
            {
                missing += halve(programs);
            } else {
                let text = self.description.take().unwrap_or_default();
                if text.is_empty() {
                    break;
                }
                self.description = Some(shorten(&text, text.chars().count() / 2));
                if text.chars().count() < 2 {
                    self.description = None;
                }
            }
            self.missing_entries = Some(missing).filter(|missing| *missing > 0);
        }
        self
    }
}

/// Leaves out the second half, and answers how many that were.
fn halve(list: &mut Vec<String>) -> u64 {
    let before = list.len();
    list.truncate(before / 2);
    (before - list.len()) as u64
}

/// The limits of a host after all overrides.
#[derive(Debug, Clone, Default, serde::Serialize, schemars::JsonSchema)]
pub(crate) struct PolicyLimits {
    /// Longest run time in seconds.
    pub(crate) max_seconds: u64,
    /// Most bytes of output kept.
    pub(crate) max_output_bytes: u64,
    /// Read from the policy; an unknown host key is refused all the same.
    pub(crate) host_key_auto_add: bool,
    /// Always in force.
    pub(crate) require_known_host: bool,
    /// Seconds a result is kept.
    pub(crate) task_result_ttl: u64,
    /// Seconds between two progress reports.
    pub(crate) task_progress_interval: u64,
    /// Most commands started within a minute.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) max_per_minute: Option<u32>,
    /// Most commands at once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) max_concurrent: Option<u32>,
    /// Texts that no command may contain.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) deny_substrings: Option<Vec<String>>,
}

impl From<&sshepherd_model::Limits> for PolicyLimits {
    fn from(limits: &sshepherd_model::Limits) -> Self {
        Self {
            max_seconds: limits.max_time.as_secs(),
            max_output_bytes: limits.max_output_bytes,
            host_key_auto_add: limits.host_key_auto_add,
            require_known_host: limits.require_known_host,
            task_result_ttl: limits.result_ttl.as_secs(),
            task_progress_interval: limits.progress_interval.as_secs(),
            max_per_minute: limits.per_minute,
            max_concurrent: limits.concurrent,
            deny_substrings: Some(limits.deny_substrings.to_vec()),
        }
    }
}

/// The hosts that `host` is reached through, the first one first.
pub(crate) fn jumps(inventory: &Inventory, host: &Host) -> Vec<String> {
    inventory.way_to(host).iter().rev().map(|hop| hop.alias.to_string()).collect()
}

/// What a person is told while the log-in to a host waits for them to touch a security key.
pub(crate) fn touch(alias: &Alias) -> String {
    format!("waiting for touch: the log-in to {alias} needs a touch of your security key")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_with_much_to_say_is_cut_to_the_budget_and_says_so() {
        let host = HostAnswer {
            alias: Some("web".to_owned()),
            tags: Some((0..1000).map(|n| format!("tag-{n}")).collect()),
            shell_programs: Some(vec!["x".repeat(9000)]),
            description: Some("ä".repeat(20_000)),
            policy_limits: Some(PolicyLimits {
                deny_substrings: Some((0..1000).map(|n| format!("never {n}")).collect()),
                ..PolicyLimits::default()
            }),
            ..HostAnswer::default()
        };
        let cut = host.clone().within(8192);
        assert!(encoded(&cut) <= 8192 && cut.missing_entries > Some(1000));
        assert_eq!(cut.alias, host.alias);
        let small = HostAnswer { alias: host.alias, ..HostAnswer::default() };
        assert_eq!(small.within(8192).missing_entries, None);
    }
}
