//! `tasks` on fan-outs: their output host after host, their results, pausing them and leaving one host out.

use sshepherd_engine::store::{Lookup, StreamFilter, Task, Wish};
use sshepherd_engine::{Engine, HostCancel, PauseAnswer};
use sshepherd_model::{Alias, Request, TaskId};

use super::args::{Global, Wanted};
use super::context::{self, origin};
use super::exit::Exit;
use super::many::{self, Sight};
use super::output::{self, Copied, Until};
use super::tasks::{absent, cancelled, failed, form, named};
use super::{out, run};
use crate::answer::{self, CancelledAnswer, HostCounts};

/// Tells how many hosts are where.
pub(super) fn counts(hosts: &HostCounts, failures: Option<&str>) {
    out::line(&format!(
        "hosts     {} in all: {} pending, {} running, {} completed, {} failed, {} not begun",
        hosts.all, hosts.pending, hosts.running, hosts.completed, hosts.failed, hosts.not_begun
    ));
    if let Some(names) = failures {
        out::line(&format!("failed    {names}"));
    }
}

fn one_host(id: &TaskId) -> Exit {
    out::complain(&format!("{id}: the task is one of a single host"));
    Exit::Usage
}

/// Pauses a fan-out, or goes on with it.
pub(super) async fn pause(
    global: &Global,
    engine: &Engine,
    id: &str,
    wish: Wish,
) -> Result<Exit, Exit> {
    let task = named(engine, id).await?;
    let answer =
        engine.pause(&task.id, wish, &origin()).await.map_err(|refusal| failed(&refusal))?;
    let status = match answer {
        PauseAnswer::Done(task) => task.status_word().to_owned(),
        PauseAnswer::AlreadyEnded(state) => state.to_string(),
        PauseAnswer::OneHost => return Err(one_host(&task.id)),
        PauseAnswer::Expired | PauseAnswer::Unknown => {
            return Err(absent(id, "its result has expired"));
        }
    };
    if global.json {
        out::json(&answer::PausedAnswer {
            task_id: Some(task.id.to_string()),
            status: Some(status),
        });
    } else {
        out::say(&format!("{}: {status}", task.id));
    }
    Ok(Exit::Done)
}

/// Leaves one host out.
pub(super) async fn cancel_host(
    global: &Global,
    engine: &Engine,
    id: &str,
    host: &str,
) -> Result<Exit, Exit> {
    let task = named(engine, id).await?;
    let alias: Alias = host.parse().map_err(|problem| context::invalid(&problem))?;
    let answer = engine.cancel_host(&task.id, &alias, &origin()).await;
    let (done, text) = match answer.map_err(|refusal| failed(&refusal))? {
        HostCancel::Stopped(child, answer) => return cancelled(global, &child, &answer),
        HostCancel::NotBegun => (true, format!("{alias} was not begun and will not be")),
        HostCancel::AlreadyEnded(state) => (false, format!("it had ended before: {state}")),
        HostCancel::NotOne => {
            out::complain(&format!("{}: it is not for a host called {alias}", task.id));
            return Err(Exit::Usage);
        }
        HostCancel::OneHost => return Err(one_host(&task.id)),
        HostCancel::Expired | HostCancel::Unknown => {
            return Err(absent(id, "its result has expired"));
        }
    };
    if global.json {
        out::json(&CancelledAnswer {
            task_id: Some(task.id.to_string()),
            cancelled: Some(done),
            message: Some(text),
            ..CancelledAnswer::default()
        });
    } else {
        out::say(&format!("{}: {text}", task.id));
    }
    Ok(Exit::Done)
}

/// The output of the hosts in the order of their ends, each under a heading.
pub(super) async fn shown(
    global: &Global,
    engine: &Engine,
    task: Task,
    wanted: &Wanted,
) -> Result<Exit, Exit> {
    if wanted.tail.is_some() {
        out::complain("--tail is for tasks of one host; --cursor begins further on here too");
        return Err(Exit::Usage);
    }
    if global.json {
        if wanted.follow {
            let _ = engine.wait(&task.id).await.map_err(|refusal| failed(&refusal))?;
        }
        return result(Sight::Json, engine, &task).await;
    }
    let filter = match wanted.stream.as_str() {
        "stdout" => StreamFilter::Stdout,
        "stderr" => StreamFilter::Stderr,
        _ => StreamFilter::Both,
    };
    let gone = || absent(task.id.as_str(), "its result has expired");
    let mut at = wanted.cursor;
    loop {
        let now = engine.task(&task.id).await.map_err(|refusal| failed(&refusal))?;
        let now = now.found().ok_or_else(gone)?;
        let roster = engine.roster(&now).await.map_err(|refusal| failed(&refusal))?;
        let roster = roster.unwrap_or_default();
        for piece in roster.pieces() {
            if piece.end() <= at {
                continue;
            }
            if at <= piece.at {
                out::line(piece.heading.trim_end());
            }
            if let Some(child) = piece.task.as_ref().filter(|_| piece.bytes > 0) {
                let from = at.saturating_sub(piece.body());
                let form = form(wanted.raw);
                match output::copy(engine, child, from, filter, Until::Now, form).await {
                    Copied::Whole => {}
                    Copied::Gone => out::complain("its output has expired"),
                    Copied::Failed => return Err(Exit::Usage),
                }
            }
            at = piece.end();
        }
        match now.outcome {
            Some(outcome) if wanted.follow => return Ok(run::exit_of(&outcome)),
            Some(_) => return Ok(Exit::Done),
            None if !wanted.follow => return Ok(Exit::Done),
            None => {
                let news = engine.follow(&task.id, roster.read, 1, StreamFilter::Both).await;
                if !matches!(news, Ok(Lookup::Found(_))) {
                    return Err(gone());
                }
            }
        }
    }
}

/// What came of the hosts that have ended, shown as that of a fan-out that is waited for.
pub(super) async fn result(sight: Sight, engine: &Engine, task: &Task) -> Result<Exit, Exit> {
    let gone = || absent(task.id.as_str(), "its result has expired");
    let roster = engine.roster(task).await.map_err(|refusal| failed(&refusal))?;
    let all = roster.unwrap_or_default().hosts;
    let fan_out = engine.group(task).await.ok_or_else(gone)?;
    let request = Request::new(&task.command).map_err(|problem| context::invalid(&problem))?;
    let (exit, answers) = many::shown(sight, engine, &fan_out.hosts, &request).await;
    if sight == Sight::Json {
        let mut answer = answer::tagged(&fan_out.targets, answers, usize::MAX / 2);
        answer.task_id = Some(task.id.to_string());
        answer.status = Some(task.status_word().to_owned());
        out::json(&answer);
        return Ok(exit);
    }
    if !answers.is_empty() {
        many::summary(&fan_out.hosts, &answers, all);
    }
    if !task.status.is_final() {
        let (ended, word) = (answers.len(), task.status_word());
        out::say(&format!("{} is {word}; {ended} of {all} hosts have ended", task.id));
    }
    Ok(exit)
}
