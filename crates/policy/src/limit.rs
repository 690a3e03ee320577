//! Limits with the owner's overrides.

use std::collections::BTreeMap;
use std::time::Duration;

use sshepherd_model::{Alias, Host, Limits, Tag};

/// Limits that one place of the policy file sets; `None` leaves a limit as it is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LimitPatch {
    /// Seconds a command may run.
    pub max_seconds: Option<u64>,
    /// Bytes of output kept.
    pub max_output_bytes: Option<u64>,
    /// Seconds a result is kept.
    pub task_result_ttl: Option<u64>,
    /// Seconds between progress reports.
    pub task_progress_interval: Option<u64>,
    /// Seed field without effect.
    pub host_key_auto_add: Option<bool>,
    /// Seed field without effect.
    pub require_known_host: Option<bool>,
    /// Commands that are started within a minute.
    pub max_per_minute: Option<u64>,
    /// Commands that run at once.
    pub max_concurrent: Option<u64>,
    /// Interactive shells that are open at once.
    pub max_shells: Option<u64>,
    /// Seconds after which a shell that nobody uses is closed.
    pub shell_idle_seconds: Option<u64>,
    /// Seconds that a shell may be open.
    pub shell_max_seconds: Option<u64>,
    /// Bytes that may be typed into a shell.
    pub shell_max_input_bytes: Option<u64>,
    /// Bytes that a shell may write.
    pub shell_max_output_bytes: Option<u64>,
    /// Texts that no command may contain; replaces the list it overrides.
    pub deny_substrings: Option<Vec<String>>,
}

impl LimitPatch {
    fn apply(&self, limits: &mut Limits) {
        if let Some(seconds) = self.max_seconds {
            limits.max_time = Duration::from_secs(seconds);
        }
        if let Some(bytes) = self.max_output_bytes {
            limits.max_output_bytes = bytes;
        }
        if let Some(seconds) = self.task_result_ttl {
            limits.result_ttl = Duration::from_secs(seconds);
        }
        if let Some(seconds) = self.task_progress_interval {
            limits.progress_interval = Duration::from_secs(seconds);
        }
        if let Some(value) = self.host_key_auto_add {
            limits.host_key_auto_add = value;
        }
        if let Some(value) = self.require_known_host {
            limits.require_known_host = value;
        }
        let number = |value: u64| u32::try_from(value).unwrap_or(u32::MAX);
        limits.per_minute = self.max_per_minute.map(number).or(limits.per_minute);
        limits.concurrent = self.max_concurrent.map(number).or(limits.concurrent);
        let shells = &mut limits.shells;
        shells.open = self.max_shells.map_or(shells.open, number);
        shells.idle = self.shell_idle_seconds.map_or(shells.idle, Duration::from_secs);
        shells.lifetime = self.shell_max_seconds.map_or(shells.lifetime, Duration::from_secs);
        shells.input_bytes = self.shell_max_input_bytes.unwrap_or(shells.input_bytes);
        shells.output_bytes = self.shell_max_output_bytes.unwrap_or(shells.output_bytes);
        if let Some(texts) = &self.deny_substrings {
            limits.deny_substrings = texts.as_slice().into();
        }
    }

    /// The stricter of two patches, limit by limit: the smaller number, both lists of denied texts.
    fn strictest(&self, other: &Self) -> Self {
        let smaller = |a: Option<u64>, b: Option<u64>| match (a, b) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (one, None) | (None, one) => one,
        };
        let texts = match (&self.deny_substrings, &other.deny_substrings) {
            (Some(a), Some(b)) => {
                let mut all = a.clone();
                all.extend(b.iter().filter(|text| !a.contains(text)).cloned());
                Some(all)
            }
            (one, None) | (None, one) => one.clone(),
        };
        let both = |a: Option<bool>, b: Option<bool>, safe: bool| match (a, b) {
            (Some(a), Some(b)) => Some(if a == b { a } else { safe }),
            (one, None) | (None, one) => one,
        };
        Self {
            max_seconds: smaller(self.max_seconds, other.max_seconds),
            max_output_bytes: smaller(self.max_output_bytes, other.max_output_bytes),
            task_result_ttl: smaller(self.task_result_ttl, other.task_result_ttl),
            task_progress_interval: smaller(
                self.task_progress_interval,
                other.task_progress_interval,
            ),
            host_key_auto_add: both(self.host_key_auto_add, other.host_key_auto_add, false),
            require_known_host: both(self.require_known_host, other.require_known_host, true),
            max_per_minute: smaller(self.max_per_minute, other.max_per_minute),
            max_concurrent: smaller(self.max_concurrent, other.max_concurrent),
            max_shells: smaller(self.max_shells, other.max_shells),
            shell_idle_seconds: smaller(self.shell_idle_seconds, other.shell_idle_seconds),
            shell_max_seconds: smaller(self.shell_max_seconds, other.shell_max_seconds),
            shell_max_input_bytes: smaller(self.shell_max_input_bytes, other.shell_max_input_bytes),
            shell_max_output_bytes: smaller(
                self.shell_max_output_bytes,
                other.shell_max_output_bytes,
            ),
            deny_substrings: texts,
        }
    }
}

/// All limits: an alias' over its tags' over the base over the defaults. When several tags of a host set one limit, the
/// strictest counts.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LimitTable {
    /// For every host.
    pub base: LimitPatch,
    /// By tag.
    pub tags: BTreeMap<Tag, LimitPatch>,
    /// By alias.
    pub aliases: BTreeMap<Alias, LimitPatch>,
}

impl LimitTable {
    /// The limits in force for `host`.
    #[must_use]
    pub fn of(&self, host: &Host) -> Limits {
        let mut limits = Limits::default();
        self.base.apply(&mut limits);
        host.tags
            .iter()
            .filter_map(|tag| self.tags.get(tag))
            .fold(LimitPatch::default(), |strictest, patch| strictest.strictest(patch))
            .apply(&mut limits);
        if let Some(patch) = self.aliases.get(&host.alias) {
            patch.apply(&mut limits);
        }
        limits
    }
}
