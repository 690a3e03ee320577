//! What one command may cost, after all overrides.

use std::sync::{Arc, LazyLock};
use std::time::Duration;

/// Limits in force for one host. Defaults are the seed's (`SEED-CONTRACT`: `policy.yml`, `limits`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Longest run time of a command.
    pub max_time: Duration,
    /// Most bytes of output (both streams together) kept per command; the rest is counted.
    pub max_output_bytes: u64,
    /// Seed field, read and shown; an unknown host key is refused all the same.
    pub host_key_auto_add: bool,
    /// Seed field, always in force: an unknown host is refused whatever it says.
    pub require_known_host: bool,
    /// How long a result is kept after the end of its task.
    pub result_ttl: Duration,
    /// How often a running task reports progress.
    pub progress_interval: Duration,
    /// Texts that no command may contain.
    pub deny_substrings: Arc<[String]>,
    /// Most commands that are started on the host within a minute.
    pub per_minute: Option<u32>,
    /// Most commands that run on the host at once.
    pub concurrent: Option<u32>,
    /// What an interactive shell on the host may cost.
    pub shells: ShellLimits,
}

/// Limits of interactive shells on one host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ShellLimits {
    /// Most that are open at once.
    pub open: u32,
    /// One that nobody has read or written for this long is closed.
    pub idle: Duration,
    /// One that has been open for this long is closed.
    pub lifetime: Duration,
    /// Most bytes that may be typed into one.
    pub input_bytes: u64,
    /// Most bytes that one may write; then it is closed.
    pub output_bytes: u64,
}

impl Default for ShellLimits {
    fn default() -> Self {
        Self {
            open: 8,
            idle: Duration::from_secs(1800),
            lifetime: Duration::from_secs(28_800),
            input_bytes: 16 << 20,
            output_bytes: 4 << 30,
        }
    }
}

/// The seed's default list of denied texts.
pub const DEFAULT_DENY_SUBSTRINGS: [&str; 20] = [
    "rm -rf /",
    ":(){ :|:& };:",
    "mkfs ",
    "dd if=/dev/zero",
    "shutdown -h",
    "reboot",
    "userdel ",
    "passwd ",
    "ssh ",
    "scp ",
    "rsync -e ssh",
    "curl ",
    "wget ",
    "nc ",
    "nmap ",
    "telnet ",
    "kubectl ",
    "aws ",
    "gcloud ",
    "az ",
];

/// Made once: limits are made for each command.
static DENIED: LazyLock<Arc<[String]>> =
    LazyLock::new(|| DEFAULT_DENY_SUBSTRINGS.map(str::to_owned).into());

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_time: Duration::from_secs(60),
            max_output_bytes: 1_048_576,
            host_key_auto_add: false,
            require_known_host: true,
            result_ttl: Duration::from_secs(300),
            progress_interval: Duration::from_secs(5),
            deny_substrings: Arc::clone(&DENIED),
            per_minute: None,
            concurrent: None,
            shells: ShellLimits::default(),
        }
    }
}
