//! `policy test|explain|lint`: tools for the policy's author. They contact nothing.

use std::path::Path;
use std::sync::Arc;

use serde_json::json;
use sshepherd_engine::Config;
use sshepherd_engine::policy::corpus::{Case, judge_case};
use sshepherd_model::Host;

use super::args::{Global, OnHost};
use super::context;
use super::exit::Exit;
use super::{out, plan};

/// Judges every case of a corpus.
pub(crate) fn test(global: &Global, cases: &Path, host: Option<&str>) -> Exit {
    tested(global, cases, host).unwrap_or_else(|exit| exit)
}

fn tested(global: &Global, cases: &Path, host: Option<&str>) -> Result<Exit, Exit> {
    let (config, _) = context::engine_config(context::load_to_judge(global)?);
    let host = chosen(&config, host)?;
    let text = std::fs::read_to_string(cases).map_err(|error| {
        out::complain(&format!("{}: {error}", cases.display()));
        Exit::Usage
    })?;
    let mut total = 0usize;
    let mut wrong = Vec::new();
    for (at, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let case: Case = serde_json::from_str(line).map_err(|error| {
            out::complain(&format!("{}:{}: {error}", cases.display(), at + 1));
            Exit::Usage
        })?;
        total += 1;
        if let Some(mismatch) = judge_case(&config.policy, host, &case) {
            wrong.push((at + 1, case, mismatch));
        }
    }
    let right = total - wrong.len();
    if global.json {
        let mismatches: Vec<_> = wrong
            .iter()
            .map(|(line, case, mismatch)| {
                json!({
                    "line": line, "command": case.command, "expect": case.expect, "got": mismatch.got,
                    "because": mismatch.because, "why": case.why,
                })
            })
            .collect();
        out::json(
            &json!({ "host": host.alias, "cases": total, "right": right, "mismatches": mismatches }),
        );
    } else {
        for (line, case, mismatch) in &wrong {
            out::line(&format!(
                "{}:{line}: expected {:?}, got {:?}: {:?} ({}; {})",
                cases.display(),
                case.expect,
                mismatch.got,
                case.command,
                mismatch.because,
                case.why
            ));
        }
        out::line(&format!("{right} of {total} cases right for {}", host.alias));
    }
    Ok(if wrong.is_empty() { Exit::Done } else { Exit::Failed })
}

fn chosen<'a>(config: &'a Config, name: Option<&str>) -> Result<&'a Arc<Host>, Exit> {
    match name {
        Some(name) => {
            let alias = name.parse().map_err(|problem| context::invalid(&problem))?;
            context::host(config, &alias)
        }
        None => config.inventory.hosts().first().ok_or_else(|| {
            out::complain("no host is configured to judge for; add one to servers.yml");
            Exit::Usage
        }),
    }
}

/// Shows how a command is parsed and which rule decides each part.
pub(crate) fn explain(global: &Global, what: &OnHost) -> Exit {
    explained(global, what).unwrap_or_else(|exit| exit)
}

fn explained(global: &Global, what: &OnHost) -> Result<Exit, Exit> {
    let (config, _) = context::engine_config(context::load_to_judge(global)?);
    let host = chosen(&config, Some(&what.alias))?;
    let request = context::request(&what.command, &what.surroundings)?;
    let explanation = config.policy.explain(host, &request);
    if global.json {
        out::json(&explanation);
    } else {
        plan::explain(&explanation);
    }
    Ok(if explanation.allowed { Exit::Done } else { Exit::Denied })
}

/// Points at rules that admit more than they seem to; remarks are no failure.
pub(crate) fn lint(global: &Global) -> Exit {
    let loaded = match context::load_to_judge(global) {
        Ok(loaded) => loaded,
        Err(exit) => return exit,
    };
    let findings = sshepherd_engine::policy::lint(&loaded.policy, &loaded.inventory);
    if global.json {
        out::json(&json!({ "findings": findings }));
    } else {
        for finding in &findings {
            out::line(&finding.to_string());
        }
        out::say(&format!("{} remarks", findings.len()));
    }
    Exit::Done
}

/// Lists the packs, or prints one as it would stand in `policy.yml`.
pub(crate) fn packs(global: &Global, name: Option<&str>) -> Exit {
    let known = sshepherd_config::PACKS;
    let Some(name) = name else {
        if global.json {
            let list = known.map(|pack| json!({ "name": pack.name, "about": pack.about }));
            out::json(&json!({ "packs": list }));
        } else {
            for pack in known {
                out::line(&format!("{:<16} {}", pack.name, pack.about));
            }
        }
        return Exit::Done;
    };
    let Some(pack) = known.iter().find(|pack| pack.name == name) else {
        let names = known.map(|pack| pack.name).join(", ");
        out::complain(&format!("no pack is called {name}; there are {names}"));
        return Exit::Usage;
    };
    if global.json {
        out::json(&json!({ "name": pack.name, "about": pack.about, "text": pack.text }));
    } else {
        out::line(pack.text.trim_end());
    }
    Exit::Done
}
