//! The tool that reads the configuration again.

use std::sync::Arc;

use rmcp::RoleServer;
use rmcp::model::CallToolResult;
use rmcp::service::RequestContext;
use rmcp::{tool, tool_router};
use sshepherd_engine::Config;
use sshepherd_model::{Problem, Severity};

use crate::answer::{Failure, ReloadAnswer, encoded};
use crate::mcp::args::None as NoArgs;
use crate::mcp::reply::{done, failed};
use crate::mcp::schema;
use crate::mcp::server::{Loaded, Server};

#[tool_router(router = config_router, vis = "pub(in crate::mcp)")]
impl Server {
    #[tool(
        description = "Read the owner's configuration files again. On any error the old one stays.",
        input_schema = schema::input::<NoArgs>(),
        output_schema = schema::output::<ReloadAnswer>(),
        annotations(read_only_hint = false, destructive_hint = false, idempotent_hint = true, open_world_hint = false)
    )]
    async fn ssh_reload_config(&self, context: RequestContext<RoleServer>) -> CallToolResult {
        let loader = Arc::clone(&self.loader);
        // Reading files blocks.
        let loaded = match tokio::task::spawn_blocking(move || loader()).await {
            Ok(loaded) => loaded,
            Err(error) => {
                tracing::error!(%error, "reading the configuration broke off");
                self.engine.config_refused("reading it broke off", &Self::origin(&context));
                return failed(&Failure::new(
                    "reading the configuration broke off; the old one stays in force",
                    "tell the owner to run sshepherd check",
                ));
            }
        };
        let refused = loaded.refused();
        let Loaded { config, problems } = loaded;
        let Some(config) = config else {
            self.engine.config_refused(&refused, &Self::origin(&context));
            return failed(&fitted(
                ReloadAnswer {
                    status: Some("error".to_owned()),
                    hint: Some(
                        "the old configuration stays in force; tell the owner what to correct"
                            .to_owned(),
                    ),
                    ..ReloadAnswer::default()
                },
                &problems,
                Vec::new(),
                self.settings.answer_bytes,
            ));
        };
        let changes = changes(&self.engine.config(), &config);
        if let Err(refusal) = self.engine.replace_config(config, &Self::origin(&context)) {
            return failed(&Failure::from(&refusal));
        }
        done(&fitted(
            ReloadAnswer { status: Some("reloaded".to_owned()), ..ReloadAnswer::default() },
            &problems,
            changes,
            self.settings.answer_bytes,
        ))
    }
}

/// What a reload changes, in words, hosts in file order.
fn changes(old: &Config, new: &Config) -> Vec<String> {
    let mut changes = Vec::new();
    for host in new.inventory.hosts() {
        match old.inventory.host(&host.alias) {
            None => changes.push(format!("host {} added", host.alias)),
            Some(before) if before != host => changes.push(format!("host {} changed", host.alias)),
            Some(_) => {}
        }
    }
    for host in new.inventory.hosts() {
        let before = old.inventory.host(&host.alias).and_then(|host| old.inventory.unusable(host));
        match (before, new.inventory.unusable(host)) {
            (Some(_), None) => changes.push(format!("host {} can be used again", host.alias)),
            (None, Some(why)) => changes.push(format!("host {} cannot be used: {why}", host.alias)),
            (Some(_), Some(_)) | (None, None) => {}
        }
    }
    for host in old.inventory.hosts() {
        if new.inventory.host(&host.alias).is_none() {
            changes.push(format!("host {} removed", host.alias));
        }
    }
    if old.policy_hash != new.policy_hash {
        changes.push("policy changed".to_owned());
    }
    if old.known_hosts != new.known_hosts {
        changes.push("known_hosts files changed".to_owned());
    }
    if old.fan_out_parallel != new.fan_out_parallel {
        changes.push(format!("fan-out width is now {}", new.fan_out_parallel));
    }
    changes
}

/// Fills in errors, changes and warnings, in this order, while they fit into `budget` bytes, and counts the rest.
fn fitted(
    mut answer: ReloadAnswer,
    problems: &[Problem],
    changes: Vec<String>,
    budget: usize,
) -> ReloadAnswer {
    let of = |severity: Severity| -> Vec<String> {
        problems.iter().filter(|p| p.severity == severity).map(ToString::to_string).collect()
    };
    let mut room = budget.saturating_sub(encoded(&answer) + 80);
    let mut missing = 0_u64;
    let mut keep = |lines: Vec<String>| -> Vec<String> {
        lines
            .into_iter()
            .filter(|line| {
                let size = encoded(line) + 1;
                let fits = size <= room;
                if fits {
                    room -= size;
                } else {
                    missing += 1;
                }
                fits
            })
            .collect()
    };
    let failed = answer.status.as_deref() == Some("error");
    answer.errors = Some(keep(of(Severity::Error))).filter(|_| failed);
    answer.changes = Some(keep(changes)).filter(|_| !failed);
    let warnings: Vec<String> =
        [Severity::Unusable, Severity::Warning].into_iter().flat_map(of).collect();
    answer.warnings = Some(keep(warnings)).filter(|lines| !lines.is_empty());
    answer.missing = Some(missing).filter(|count| *count > 0);
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_problem_is_told_or_counted() {
        let problems: Vec<Problem> = (0..200)
            .map(|line| Problem {
                severity: Severity::Error,
                file: "/etc/servers.yml".into(),
                line: Some(line),
                field: "hosts".to_owned(),
                message: "is wrong in a way that takes some words".to_owned(),
            })
            .collect();
        let answer = ReloadAnswer { status: Some("error".to_owned()), ..ReloadAnswer::default() };
        let answer = fitted(answer, &problems, Vec::new(), 4096);
        assert!(encoded(&answer) <= 4096);
        assert_eq!(answer.errors.unwrap().len() as u64 + answer.missing.unwrap(), 200);
    }
}
