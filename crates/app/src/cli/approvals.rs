//! `approvals list|show|approve|deny`: a person's answers, given beside the client that asks.

use serde_json::json;
use sshepherd_engine::prompt::Prompt;
use sshepherd_engine::store::{Approval, Settled};
use sshepherd_engine::{About, Adopt, Channel, Engine, Refusal};

use super::args::{Approvals, Global};
use super::context;
use super::exit::Exit;
use super::out;
use super::terminal::{self, Terminal};
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
        Approvals::Show { id } => show_one(global, &engine, &id).await,
        Approvals::Approve { id, yes } => {
            let way = if yes { Way::Unasked } else { Way::Asks };
            settle(global, &engine, &id, way).await
        }
        Approvals::Deny { id } => settle(global, &engine, &id, Way::No).await,
    };
    engine.shutdown().await;
    exit.unwrap_or_else(|exit| exit)
}

/// How the answer comes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    /// The person is shown the question and says yes or no.
    Asks,
    /// It is a yes; whoever says so has seen it.
    Unasked,
    /// It is a no.
    No,
}

/// Hosts that a list names one by one; a question that is shown alone names all of them.
const LISTED: usize = 20;

/// Fewest characters of an id that stand for it.
const SHORTEST: usize = 8;

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
        let lines = shown(about.as_ref(), approval, (now, LISTED));
        lines.iter().for_each(|line| out::line(line));
    }
    if known.is_empty() {
        out::say("no question is open");
    }
    Ok(Exit::Done)
}

async fn show_one(global: &Global, engine: &Engine, given: &str) -> Result<Exit, Exit> {
    let (known, now) = (known(engine).await?, answer::now_ms());
    let (approval, about) = chosen(&known, given)?;
    if global.json {
        out::json(&document(approval, about.as_ref(), now));
    } else {
        let lines = shown(about.as_ref(), approval, (now, usize::MAX));
        lines.iter().for_each(|line| out::line(line));
    }
    Ok(Exit::Done)
}

/// A question as a person sees it.
fn shown(about: Option<&About>, approval: &Approval, (now, most): (u64, usize)) -> Vec<String> {
    let mut lines = vec![format!("{}  {}", approval.id, approval.word(now))];
    let mut say = |label: &str, text: &str| lines.push(format!("  {label:<7} {text}"));
    if let Some(about) = about {
        for (label, text) in answer::asked(about, most) {
            say(label, &text);
        }
        if let Some(client) = &about.client {
            say("client", &answer::visible(client));
        }
        say("holds", &about.holds);
    }
    if !approval.by.is_empty() {
        say("by", &approval.by.join(" or "));
    }
    if approval.is_open(now) {
        say("open", &format!("{} s", approval.open_until.saturating_sub(now) / 1000));
    }
    lines
}

fn document(approval: &Approval, about: Option<&About>, now: u64) -> serde_json::Value {
    json!({
        "id": approval.id, "state": approval.word(now), "asked_at": approval.asked_at, "open_until": approval.open_until,
        "by": approval.by, "out_of_band": approval.out_of_band, "about": about,
    })
}

/// The question whose id is, or begins like, what was given.
fn chosen<'a>(known: &'a [Known], given: &str) -> Result<&'a Known, Exit> {
    if given.len() < SHORTEST {
        out::complain(&format!(
            "{given}: write at least {SHORTEST} characters of the id; `sshepherd approvals list` shows them"
        ));
        return Err(Exit::Usage);
    }
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

async fn settle(global: &Global, engine: &Engine, given: &str, way: Way) -> Result<Exit, Exit> {
    let known = known(engine).await?;
    let (approval, about) = chosen(&known, given)?;
    if way == Way::Asks && approval.is_open(answer::now_ms()) {
        agreed(approval, about.as_ref()).await?;
    }
    let channel = Channel::CommandLine { account: account() };
    let yes = way != Way::No;
    let settled = engine.settle(&approval.id, yes, &channel, &context::origin()).await;
    let now = answer::now_ms();
    match settled {
        Ok(Settled::Done(settled)) => {
            if global.json {
                out::json(&document(&settled, about.as_ref(), now));
            } else {
                // Whoever was asked has seen the rest.
                let lines = shown(about.as_ref(), &settled, (now, LISTED));
                let most = if way == Way::Asks { 1 } else { lines.len() };
                lines.iter().take(most).for_each(|line| out::line(line));
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

/// Shows the whole question at the terminal and asks; anything but a yes leaves it open.
async fn agreed(approval: &Approval, about: Option<&About>) -> Result<(), Exit> {
    let id = &approval.id;
    if !terminal::there() {
        out::complain(&format!(
            "there is no terminal to ask at, so nothing is approved\n  `sshepherd approvals show {id}` shows all of it; \
             `sshepherd approvals approve {id} --yes` approves it unasked"
        ));
        return Err(Exit::Usage);
    }
    let words = shown(about, approval, (answer::now_ms(), usize::MAX)).join("\n");
    let prompt = Prompt { text: "Approve exactly this? yes or no:".into(), echo: true };
    let answers = Terminal::default().converse(words, vec![prompt]).await;
    let typed = answers.and_then(|answers| answers.into_iter().next());
    match typed.as_ref().map(|answer| answer.expose().trim()) {
        Some("yes" | "y") => Ok(()),
        Some(_) | None => {
            out::complain(&format!(
                "nothing is approved; the question stays open (`sshepherd approvals deny {id}` refuses it)"
            ));
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
