//! The server itself, and the hosts it knows.

use super::answer;

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
    /// How many did not fit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) missing_hosts: Option<u64>,
    /// Where the others are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) hint: Option<String>,
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
        /// The owner's words about it.
        description: String,
        /// The limits in force.
        policy_limits: PolicyLimits,
    }
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
            deny_substrings: Some(limits.deny_substrings.clone()),
        }
    }
}
