//! The owner's whole policy as one value.

use sshepherd_model::{Host, Limits};

use crate::limit::LimitTable;
use crate::network::NetworkPolicy;
use crate::rule::{Action, Rule};
use crate::shell::ShellRule;

/// What is understood beyond plain lists of commands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Dialect {
    /// Pure filters after a pipe need no rule.
    pub filters: bool,
    /// Redirections that touch nothing are let through.
    pub harmless_redirections: bool,
}

impl Default for Dialect {
    fn default() -> Self {
        Self { filters: true, harmless_redirections: true }
    }
}

/// Whether the policy decides or only watches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Enforcement {
    /// What is not allowed does not run.
    #[default]
    Enforce,
    /// Everything that can be sent runs, and what would have been said is recorded: to learn what a policy must allow
    /// before it is switched on. Networks and host keys are checked as ever.
    Audit,
}

/// Rules, limits and networks. Without rules it denies everything.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Policy {
    rules: Vec<Rule>,
    limits: LimitTable,
    network: NetworkPolicy,
    dialect: Dialect,
    enforcement: Enforcement,
    shells: Vec<ShellRule>,
}

impl Policy {
    /// A policy of checked values.
    #[must_use]
    pub fn new(
        rules: Vec<Rule>,
        limits: LimitTable,
        network: NetworkPolicy,
        dialect: Dialect,
    ) -> Self {
        Self {
            rules,
            limits,
            network,
            dialect,
            enforcement: Enforcement::Enforce,
            shells: Vec::new(),
        }
    }

    /// The same policy, enforced or only watched.
    #[must_use]
    pub fn with_enforcement(self, enforcement: Enforcement) -> Self {
        Self { enforcement, ..self }
    }

    /// The same policy with these rules about interactive shells.
    #[must_use]
    pub fn with_shells(self, shells: Vec<ShellRule>) -> Self {
        Self { shells, ..self }
    }

    /// The rules about interactive shells, in file order.
    #[must_use]
    pub fn shells(&self) -> &[ShellRule] {
        &self.shells
    }

    /// Whether it decides or only watches.
    #[must_use]
    pub fn enforcement(&self) -> Enforcement {
        self.enforcement
    }

    /// The rules in file order.
    #[must_use]
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// The network policy.
    #[must_use]
    pub fn network(&self) -> &NetworkPolicy {
        &self.network
    }

    /// The dialect.
    #[must_use]
    pub fn dialect(&self) -> Dialect {
        self.dialect
    }

    /// The limits in force for `host`.
    #[must_use]
    pub fn limits(&self, host: &Host) -> Limits {
        self.limits.of(host)
    }

    /// At most `most` patterns of what `host` allows, in file order, each once.
    #[must_use]
    pub fn samples(&self, host: &Host, most: usize) -> Vec<String> {
        let mut samples: Vec<String> = Vec::new();
        let allowing =
            self.rules.iter().filter(|rule| rule.action != Action::Deny && rule.covers(host));
        for form in allowing.flat_map(Rule::forms) {
            if samples.len() == most {
                break;
            }
            if !samples.contains(&form) {
                samples.push(form);
            }
        }
        samples
    }
}
