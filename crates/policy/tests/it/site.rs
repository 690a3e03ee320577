//! A small policy and host to judge with.

use std::sync::Arc;

use sshepherd_model::{Host, LoginShell, Request};
use sshepherd_policy::{
    Action, Dialect, Glob, Grants, LimitTable, NetworkPolicy, Policy, Position, Rule, Terms,
    Verdict,
};

pub(crate) fn globs(list: &[&str]) -> Vec<Glob> {
    list.iter().map(|text| Glob::new(text).unwrap()).collect()
}

pub(crate) fn rule(action: Action, commands: &[&str]) -> Rule {
    Rule {
        id: commands.first().map_or("none", |first| first).to_owned(),
        why: None,
        position: Position { file: "policy.yml".to_owned(), line: 3 },
        action,
        aliases: Vec::new(),
        tags: Vec::new(),
        commands: globs(commands),
        spec: None,
        as_user: None,
        terms: Terms::default(),
        examples: Vec::new(),
        shell_unrestricted: false,
        grants: Grants::default(),
    }
}

pub(crate) fn policy(rules: Vec<Rule>, limits: LimitTable, dialect: Dialect) -> Policy {
    Policy::new(rules, limits, NetworkPolicy::default(), dialect)
}

pub(crate) fn host(alias: &str, tags: &[&str]) -> Arc<Host> {
    Arc::new(Host {
        alias: alias.parse().unwrap(),
        address: "192.0.2.1".to_owned(),
        port: 22,
        credentials: "ops".parse().unwrap(),
        tags: tags.iter().map(|tag| tag.parse().unwrap()).collect(),
        description: "".into(),
        login_shell: LoginShell::Posix,
        jump: None,
        connection: sshepherd_model::ConnectionSettings::default(),
    })
}

/// What people read of the text that would be sent, or the denial's message.
pub(crate) fn shown(policy: &Policy, request: &Request) -> Result<String, String> {
    match policy.judge(&host("web1", &["web"]), request) {
        Verdict::Allow(permit) => Ok(permit.into_parts().shown),
        Verdict::Ask(question) => Err(format!("asks to send {}", question.parts().shown)),
        Verdict::Deny(denial) => Err(denial.message),
    }
}

/// The text that would be sent, or the denial's message.
pub(crate) fn wire(policy: &Policy, request: &Request) -> Result<String, String> {
    match policy.judge(&host("web1", &["web"]), request) {
        Verdict::Allow(permit) => Ok(permit.into_parts().wire),
        Verdict::Ask(question) => Err(format!("asks to send {}", question.parts().wire)),
        Verdict::Deny(denial) => Err(denial.message),
    }
}
