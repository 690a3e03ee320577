//! `shells list|watch|replay`: the interactive shells of every server that shares the state folder. Looks only.

use serde_json::json;
use sshepherd_engine::store::{Life, ListedShell, ShellFolder};

use super::args::{Global, Shells};
use super::context;
use super::exit::Exit;
use super::tasks::span;
use super::{out, replay, watch};
use crate::answer;

/// Longest text of a column.
const COLUMN: usize = 60;

/// Does what the arguments say.
pub(crate) async fn shells(global: &Global, what: Shells) -> Exit {
    let opened = context::folders(global).and_then(|folders| {
        ShellFolder::open(&folders.state).map_err(|error| {
            out::complain(&context::chain(&error));
            Exit::Usage
        })
    });
    let done = match opened {
        Ok(shells) => done(global, &shells, what).await,
        Err(exit) => Err(exit),
    };
    done.unwrap_or_else(|exit| exit)
}

async fn done(global: &Global, shells: &ShellFolder, what: Shells) -> Result<Exit, Exit> {
    match what {
        Shells::List => {
            list(global, &shells.list());
            Ok(Exit::Done)
        }
        Shells::Watch { id } => {
            let shell = recorded(shells, &id)?;
            if global.json {
                out::complain("a screen that is followed is no JSON document; leave out --json");
                return Err(Exit::Usage);
            }
            if shell.life == Life::Ended {
                out::complain(&format!(
                    "{} is {}; `sshepherd shells replay` shows its recording",
                    shell.record.id,
                    state(&shell)
                ));
                return Err(Exit::Usage);
            }
            watch::watch(shells, shell).await.map_err(|error| failed(&error))
        }
        Shells::Replay(how) => {
            let record = recorded(shells, &how.id)?.record;
            let path = shells.cast_path(&record.id);
            replay::replay(global, &path, &record, &how).await.map_err(|error| failed(&error))
        }
    }
}

fn failed(error: &std::io::Error) -> Exit {
    // Whoever read standard output has seen enough.
    if error.kind() != std::io::ErrorKind::BrokenPipe {
        out::complain(&format!("the recording cannot be shown: {error}"));
    }
    Exit::Failed
}

/// The shell whose id is, or begins like, what was given, if it is recorded.
fn recorded(shells: &ShellFolder, given: &str) -> Result<ListedShell, Exit> {
    let mut fits = shells.list();
    fits.retain(|shell| shell.record.id.as_str().starts_with(given));
    let several = fits.len() > 1;
    match fits.pop() {
        Some(_) if several => {
            out::complain(&format!("several shells begin with {given}; write more of the id"));
            Err(Exit::Usage)
        }
        Some(shell) if !shell.record.recording => {
            out::complain(&format!(
                "{} is not recorded, so nobody can look at it from outside",
                shell.record.id
            ));
            Err(Exit::Usage)
        }
        Some(shell) => Ok(shell),
        None => {
            out::complain(&format!(
                "no shell is called {given}; `sshepherd shells list` shows them"
            ));
            Err(Exit::Usage)
        }
    }
}

/// Where a shell is, and why it ended.
pub(super) fn state(shell: &ListedShell) -> String {
    match (shell.life, &shell.record.ended) {
        (Life::Ended, Some(end)) => format!("ended: {}", answer::visible(&end.why)),
        (Life::Ended, None) => "ended: its server is gone".to_owned(),
        (Life::Open | Life::Detached, _) => shell.life.as_str().to_owned(),
    }
}

fn list(global: &Global, shells: &[ListedShell]) {
    if global.json {
        let shells: Vec<_> = shells.iter().map(document).collect();
        out::json(&json!({ "shells": shells }));
        return;
    }
    if shells.is_empty() {
        out::say("no interactive shells");
        return;
    }
    let now = answer::now_ms();
    let width = |text: fn(&ListedShell) -> &str| {
        shells.iter().map(|shell| text(shell).len()).max().unwrap_or(0).max(4)
    };
    let id = width(|shell| shell.record.id.as_str());
    let host = width(|shell| shell.record.alias.as_str());
    out::line(&format!(
        "{:id$}  {:host$}  {:8}  {:>8}  {:>7}  {:>10}  WHAT",
        "ID", "HOST", "STATE", "AGE", "SIZE", "RECORDED"
    ));
    for shell in shells {
        let record = &shell.record;
        let recorded =
            if record.recording { shell.cast_bytes.to_string() } else { "no".to_owned() };
        let mut what = answer::shorten(&answer::visible(&record.what), COLUMN);
        if shell.life == Life::Ended {
            what = format!("{what}; {}", answer::shorten(&state(shell), COLUMN));
        }
        out::line(&format!(
            "{:id$}  {:host$}  {:8}  {:>8}  {:>7}  {recorded:>10}  {what}",
            record.id.as_str(),
            record.alias.as_str(),
            shell.life.as_str(),
            span(now.saturating_sub(record.opened_at)),
            format!("{}x{}", record.cols, record.rows),
        ));
    }
}

fn document(shell: &ListedShell) -> serde_json::Value {
    let record = &shell.record;
    json!({
        "id": record.id, "alias": record.alias, "host": record.host, "what": record.what, "command": record.command,
        "state": shell.life.as_str(), "why": (shell.life == Life::Ended).then(|| state(shell)),
        "ended_at": record.ended.as_ref().map(|end| end.at), "opened_at": record.opened_at,
        "cols": record.cols, "rows": record.rows, "term": record.term, "persistent": record.persistent,
        "client": record.client, "recording": record.recording, "recording_bytes": shell.cast_bytes,
    })
}
