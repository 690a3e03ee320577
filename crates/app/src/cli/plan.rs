//! `plan`: what would happen to a command, without running it.

use sshepherd_engine::policy::{Answer, Lasts, Terms};

use super::args::{Global, OnHost};
use super::context;
use super::exit::Exit;
use super::out;
use crate::answer;

/// Shows the judgement and the addresses; exit 3 when it would be denied.
pub(crate) async fn plan(global: &Global, what: &OnHost) -> Exit {
    shown(global, what).await.unwrap_or_else(|exit| exit)
}

async fn shown(global: &Global, what: &OnHost) -> Result<Exit, Exit> {
    let (config, settings) = context::engine_config(context::load(global)?);
    let alias = what.alias.parse().map_err(|problem| context::invalid(&problem))?;
    context::host(&config, &alias)?;
    let request = context::request(&what.command, &what.surroundings)?;
    let engine = context::start(config, &settings)?;
    let preview = engine.plan(&alias, &request).await.map_err(|refusal| {
        out::complain(&context::chain(&refusal));
        Exit::Failed
    })?;
    if global.json {
        out::json(&answer::planned(&alias, &request, &preview, usize::MAX / 2));
    } else {
        explain(&preview.explanation);
        match &preview.addresses {
            Ok(addresses) => {
                let list: Vec<String> = addresses.iter().map(ToString::to_string).collect();
                out::line(&format!("connects to   {}", list.join(", ")));
            }
            Err(failure) => out::line(&format!("connects to   nothing: {failure}")),
        }
    }
    Ok(if preview.allowed() { Exit::Done } else { Exit::Denied })
}

/// A judgement for people.
pub(crate) fn explain(explanation: &sshepherd_engine::policy::Explanation) {
    out::line(match explanation.answer {
        Answer::Allow => "allowed",
        Answer::Ask => "allowed after a person's yes",
        Answer::Deny => "denied",
    });
    for part in &explanation.commands {
        let verdict = match part.answer {
            Answer::Allow => "allow",
            Answer::Ask => "ask  ",
            Answer::Deny => "deny ",
        };
        let by = match (&part.rule, &part.by) {
            (Some(rule), Some(_)) => format!("{} ({}:{})", rule.id, rule.file, rule.line),
            (Some(rule), None) => format!("not {} ({}:{})", rule.id, rule.file, rule.line),
            (None, Some(by)) => by.clone(),
            (None, None) => "no rule".to_owned(),
        };
        out::line(&format!("  {verdict}  {}   <- {by}", part.text));
        if let Some(denial) = &part.denial {
            out::line(&format!("         {}", denial.message));
        }
    }
    if let Some(noted) = &explanation.unenforced {
        out::line(&format!("not enforced  it would be denied: {}", noted.message));
    }
    if let Some(denial) = &explanation.denial {
        out::line(&format!("because       {}", denial.message));
        if let Some(near) = &denial.nearest {
            out::line(&format!("nearest       {near}"));
        }
        out::line(&format!("hint          {}", denial.hint));
    }
    if let Some(terms) = &explanation.asks {
        out::line(&format!("asks          {}", asks(terms)));
    }
    if let Some(wire) = &explanation.wire {
        out::line(&format!("would send    {wire}"));
    }
    if explanation.raw_shell {
        out::line("note          the raw text goes to a full shell (shell: unrestricted)");
    }
    let limits = &explanation.limits;
    out::line(&format!(
        "limits        {} s, {} bytes of output",
        limits.max_time.as_secs(),
        limits.max_output_bytes
    ));
}

/// An owner's terms in one line.
fn asks(terms: &Terms) -> String {
    let by = if terms.by.is_empty() { "anyone".to_owned() } else { terms.by.join(" or ") };
    let lasts = match terms.lasts {
        Lasts::Once => "for one run".to_owned(),
        Lasts::Task => "for one task".to_owned(),
        Lasts::Minutes(minutes) => format!("for {minutes} minutes"),
    };
    let way = if terms.out_of_band { ", by sshepherd approvals only" } else { "" };
    format!("{by}, {lasts}{way}")
}
