//! `policy test|explain|lint`: tools for the policy's author. They contact nothing.

use std::path::Path;
use std::sync::Arc;

use serde_json::json;
use sshepherd_engine::Config;
use sshepherd_engine::audit::{Decision, Found, series, verify};
use sshepherd_engine::policy::corpus::{Case, judge_case};
use sshepherd_model::{Host, Request};

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

/// Proposes rules for commands that were denied, and that the policy in force still denies.
pub(crate) fn suggest(global: &Global, commands: Option<&Path>, host: Option<&str>) -> Exit {
    suggested(global, commands, host).unwrap_or_else(|exit| exit)
}

fn suggested(global: &Global, list: Option<&Path>, host: Option<&str>) -> Result<Exit, Exit> {
    let (config, settings) = context::engine_config(context::load_to_judge(global)?);
    let texts = match list {
        Some(path) => std::fs::read_to_string(path)
            .map(|text| text.lines().map(str::to_owned).collect())
            .map_err(|error| {
                out::complain(&format!("{}: {error}", path.display()));
                Exit::Usage
            })?,
        None => denied(&settings, host)?,
    };
    let judge = chosen(&config, host)?;
    let still = |text: &String| {
        let request = Request::new(text).ok()?;
        let explained = config.policy.explain(judge, &request);
        let script = sshepherd_engine::policy::recognise(text).ok()?;
        let parts = explained.commands.into_iter().map(|part| part.denial.is_some());
        let commands = script.commands().to_vec().into_iter().zip(parts);
        Some(commands.filter(|(_, denied)| *denied).map(|(command, _)| command).collect::<Vec<_>>())
    };
    let still: Vec<_> = texts.iter().filter_map(still).flatten().collect();
    let found = sshepherd_engine::policy::suggest(&still);
    let rules: Vec<String> = found
        .iter()
        .enumerate()
        .map(|(place, one)| one.yaml(&format!("suggested-{}", place + 1)))
        .collect();
    if global.json {
        out::json(&json!({ "denied": texts.len(), "rules": rules }));
    } else {
        out::say(&format!(
            "{} denied commands, {} rules; review each before you use it",
            texts.len(),
            rules.len()
        ));
        if !rules.is_empty() {
            out::line(&format!("rules:\n{}", rules.join("\n").trim_end()));
        }
    }
    Ok(Exit::Done)
}

/// The commands of the audit record that were denied.
fn denied(settings: &sshepherd_config::Settings, host: Option<&str>) -> Result<Vec<String>, Exit> {
    let Some(path) = &settings.audit.path else {
        out::complain(
            "no audit file is configured (audit.path in sshepherd.yml); give --commands FILE",
        );
        return Err(Exit::Usage);
    };
    let mut texts = Vec::new();
    let mut outside = 0_u64;
    let keep = |found: Found| {
        // What somebody put there must not become a rule.
        let Found::Chained(record) = found else {
            outside += 1;
            return;
        };
        let entry = record.entry;
        let here = host.is_none_or(|host| entry.alias.is_some_and(|alias| alias.as_str() == host));
        if entry.decision == Some(Decision::Deny) && here {
            texts.extend(entry.command);
        }
    };
    series(path).and_then(|files| verify::read(&files, keep)).map_err(|error| {
        out::complain(&format!("{}: {error}", path.display()));
        Exit::Usage
    })?;
    if outside > 0 {
        out::complain(&format!(
            "{outside} lines of the audit record are outside its chain and were left out; see `sshepherd audit verify`"
        ));
    }
    if !settings.audit.commands {
        out::complain(
            "the audit record holds hashes only; set audit: {commands: true} to learn from it",
        );
    }
    Ok(texts)
}
