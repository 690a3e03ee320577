//! `check`: the whole configuration, every problem with file and line; then the hosts, if asked.

use std::net::IpAddr;

use futures::StreamExt;
use serde_json::json;
use sshepherd_config::{Loaded, ProcessEnvironment};
use sshepherd_model::{Alias, ConnectFailure, Problem, Severity};

use super::args::Global;
use super::context;
use super::exit::Exit;
use super::{out, terminal};

/// Shows every problem; with `connect` logs in to every host without running anything there.
pub(crate) async fn check(global: &Global, connect: bool) -> Exit {
    let folders = match context::folders(global) {
        Ok(folders) => folders,
        Err(exit) => return exit,
    };
    let loaded = match sshepherd_config::load(&folders, &ProcessEnvironment) {
        Ok(loaded) => loaded,
        Err(report) => {
            show(global, &report.problems, None);
            return Exit::Usage;
        }
    };
    let problems = loaded.warnings.clone();
    if !connect {
        show(global, &problems, None);
        if !global.json {
            conclude(&loaded);
        }
        return if usable(&problems) { Exit::Done } else { Exit::Failed };
    }
    match log_in(loaded).await {
        Ok(reports) => hosts_too(global, &problems, &reports),
        Err(exit) => exit,
    }
}

/// Whether all of it can be used.
fn usable(problems: &[Problem]) -> bool {
    problems.iter().all(|problem| problem.severity == Severity::Warning)
}

/// The hosts that cannot be used, and what there is in all.
fn conclude(loaded: &Loaded) {
    let hosts = loaded.inventory.hosts();
    let mut unusable = 0;
    for host in hosts {
        if let Some(why) = loaded.inventory.unusable(host) {
            unusable += 1;
            out::line(&format!("host {} cannot be used: {why}", host.alias));
        }
    }
    let but = match unusable {
        0 => String::new(),
        1 => ", but for 1 host".to_owned(),
        count => format!(", but for {count} hosts"),
    };
    out::line(&format!(
        "{} hosts, {} rules: the configuration can be used{but}",
        hosts.len(),
        loaded.policy.rules().len()
    ));
}

/// What came of logging in to one host.
type Reached = (Alias, Result<Option<IpAddr>, ConnectFailure>);

/// Logs in to every host, several at a time, in inventory order.
async fn log_in(loaded: Loaded) -> Result<Vec<Reached>, Exit> {
    let (config, settings) = context::engine_config(loaded);
    let aliases: Vec<_> = config.inventory.hosts().iter().map(|host| host.alias.clone()).collect();
    let parallel = config.fan_out_parallel.max(1);
    let engine = context::start(config, &settings)?;
    terminal::attend(&engine);
    let reports = futures::stream::iter(aliases)
        .map(|alias| {
            let engine = engine.clone();
            async move {
                let reached = engine.connect(&alias).await;
                (alias, reached)
            }
        })
        .buffered(parallel)
        .collect()
        .await;
    engine.shutdown().await;
    Ok(reports)
}

fn hosts_too(global: &Global, problems: &[Problem], reports: &[Reached]) -> Exit {
    let hosts: Vec<_> = reports
        .iter()
        .map(|(alias, reached)| match reached {
            Ok(peer) => json!({ "alias": alias, "ok": true, "address": peer.map(|peer| peer.to_string()) }),
            Err(failure) => json!({
                "alias": alias, "ok": false, "phase": failure.phase, "detail": failure.detail, "hint": failure.hint,
            }),
        })
        .collect();
    show(global, problems, Some(hosts));
    if !global.json {
        for (alias, reached) in reports {
            match reached {
                Ok(Some(peer)) => out::line(&format!("{alias}: logged in ({peer})")),
                Ok(None) => out::line(&format!("{alias}: logged in (by its proxy_command)")),
                Err(failure) => out::line(&format!("{alias}: {failure}\n  {}", failure.hint)),
            }
        }
    }
    if reports.iter().all(|(_, reached)| reached.is_ok()) { Exit::Done } else { Exit::Unreachable }
}

fn show(global: &Global, problems: &[Problem], hosts: Option<Vec<serde_json::Value>>) {
    if !global.json {
        for problem in problems {
            out::line(&problem.to_string());
        }
        return;
    }
    let listed: Vec<_> = problems
        .iter()
        .map(|problem| {
            json!({
                "severity": match problem.severity { Severity::Error => "error", Severity::Unusable => "unusable", Severity::Warning => "warning" },
                "file": problem.file, "line": problem.line, "field": problem.field, "message": problem.message,
            })
        })
        .collect();
    let mut answer = json!({ "ok": usable(problems), "problems": listed });
    if let (Some(hosts), Some(object)) = (hosts, answer.as_object_mut()) {
        object.insert("hosts".to_owned(), json!(hosts));
    }
    out::json(&answer);
}
