//! `approvals list|approve|deny`: a person's answers, given beside the client that asks.

use serde_json::json;
use sshepherd_engine::store::{Approval, Settled};
use sshepherd_engine::{About, Adopt, Channel, Engine, Refusal};

use super::args::{Approvals, Global};
use super::context;
use super::exit::Exit;
use super::out;
use crate::answer;

/// Lists the questions or answers one.
pub(crate) async fn approvals(global: &Global, what: Approvals) -> Exit {
    let (config, settings) = match context::load_to_judge(global) {
        Ok(loaded) => context::engine_config(loaded),
        Err(exit) => return exit,
    };
    let engine = match context::start_shared(global, config, &settings, Adopt::OnRequest).await {
        Ok(engine) => engine,
        Err(exit) => return exit,
    };
    let exit = match what {
        Approvals::List { all } => list(global, &engine, all).await,
        Approvals::Approve { id } => settle(global, &engine, &id, true).await,
        Approvals::Deny { id } => settle(global, &engine, &id, false).await,
    };
    engine.shutdown().await;
    exit.unwrap_or_else(|exit| exit)
}

type Known = (Approval, Option<About>);

async fn known(engine: &Engine) -> Result<Vec<Known>, Exit> {
    engine.approvals().await.map_err(|error| {
        out::complain(&context::chain(&error));
        Exit::Failed
    })
}

async fn list(global: &Global, engine: &Engine, all: bool) -> Result<Exit, Exit> {
    let now = answer::now_ms();
    let mut known = known(engine).await?;
    known.retain(|(approval, _)| all || approval.is_open(now));
    if global.json {
        let list: Vec<_> =
            known.iter().map(|(approval, about)| document(approval, about.as_ref(), now)).collect();
        out::json(&json!({ "approvals": list }));
        return Ok(Exit::Done);
    }
    for (approval, about) in &known {
        out::line(&format!("{}  {}", approval.id, approval.word(now)));
        show(about.as_ref(), approval, now);
    }
    if known.is_empty() {
        out::say("no question is open");
    }
    Ok(Exit::Done)
}

fn show(about: Option<&About>, approval: &Approval, now: u64) {
    if let Some(about) = about {
        let names: Vec<&str> = about.hosts.iter().map(|alias| alias.as_str()).collect();
        let more = about.host_count.saturating_sub(names.len());
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        out::line(&format!("  on      {}{more}", names.join(", ")));
        out::line(&format!("  run     {}", answer::visible(&about.command)));
        if let Some(bytes) = about.stdin_bytes {
            out::line(&format!("  stdin   {bytes} bytes"));
        }
        for why in &about.rules {
            let reason = why
                .why
                .as_deref()
                .map(|why| format!(": {}", answer::visible(why)))
                .unwrap_or_default();
            out::line(&format!("  rule    {}{reason}", answer::visible(&why.rule)));
        }
        if let Some(client) = &about.client {
            out::line(&format!("  client  {}", answer::visible(client)));
        }
        out::line(&format!("  holds   {}", about.holds));
    }
    if !approval.by.is_empty() {
        out::line(&format!("  by      {}", approval.by.join(" or ")));
    }
    if approval.is_open(now) {
        out::line(&format!("  open    {} s", approval.open_until.saturating_sub(now) / 1000));
    }
}

fn document(approval: &Approval, about: Option<&About>, now: u64) -> serde_json::Value {
    json!({
        "id": approval.id, "state": approval.word(now), "asked_at": approval.asked_at, "open_until": approval.open_until,
        "by": approval.by, "out_of_band": approval.out_of_band, "about": about,
    })
}

/// The question whose id is, or begins like, what was given.
fn chosen<'a>(known: &'a [Known], given: &str) -> Result<&'a Known, Exit> {
    let fits: Vec<&Known> =
        known.iter().filter(|(approval, _)| approval.id.as_str().starts_with(given)).collect();
    match fits.as_slice() {
        [one] => Ok(one),
        [] => {
            out::complain(&format!(
                "no question is called {given}; `sshepherd approvals list --all` shows those of the last day"
            ));
            Err(Exit::Usage)
        }
        several => {
            out::complain(&format!(
                "{} questions begin with {given}; write more of the id",
                several.len()
            ));
            Err(Exit::Usage)
        }
    }
}

async fn settle(global: &Global, engine: &Engine, given: &str, yes: bool) -> Result<Exit, Exit> {
    let known = known(engine).await?;
    let (approval, about) = chosen(&known, given)?;
    let channel = Channel::CommandLine { account: account() };
    let settled = engine.settle(&approval.id, yes, &channel, &context::origin()).await;
    let now = answer::now_ms();
    match settled {
        Ok(Settled::Done(settled)) => {
            if global.json {
                out::json(&document(&settled, about.as_ref(), now));
            } else {
                out::line(&format!("{}  {}", settled.id, settled.word(now)));
                show(about.as_ref(), &settled, now);
            }
            Ok(Exit::Done)
        }
        Ok(Settled::Late(settled)) => {
            out::complain(&format!("{} is {} and stays as it is", settled.id, settled.word(now)));
            Err(Exit::Failed)
        }
        Ok(Settled::Unknown) => {
            out::complain(&format!("no question is called {given} any more"));
            Err(Exit::Usage)
        }
        Err(refusal @ Refusal::NotAnApprover { .. }) => {
            out::complain(&refusal.to_string());
            Err(Exit::Denied)
        }
        Err(refusal) => {
            out::complain(&context::chain(&refusal));
            Err(Exit::Failed)
        }
    }
}

/// The account that this process runs under: by the system's list of accounts, never by the environment, which anyone sets.
fn account() -> String {
    let id = rustix::process::getuid().as_raw().to_string();
    let accounts = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let named = accounts.lines().find_map(|line| {
        let mut fields = line.split(':');
        let (name, uid) = (fields.next()?, fields.nth(1)?);
        (uid == id).then(|| name.to_owned())
    });
    named.unwrap_or_else(|| format!("uid {id}"))
}
