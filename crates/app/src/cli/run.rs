//! `run`: a command on one host, its output as it comes; or on many hosts.

use std::io::IsTerminal;

use indicatif::{ProgressBar, ProgressStyle};
use sshepherd_engine::store::{Lookup, StreamFilter};
use sshepherd_engine::{Adopt, Engine, FanOut, Finished, HostReport, Refusal};
use sshepherd_model::{
    Alias, BadSelector, Interruption, Outcome, Phase, Request, Rollout, Stopped, Targets,
};
use tokio_util::sync::CancellationToken;

use super::args::{Global, Run};
use super::context::{self, origin};
use super::exit::Exit;
use super::output::{self, Form, Until};
use super::{out, serve, terminal};
use crate::answer::{self, RunAnswer};

/// Runs what the arguments say.
pub(crate) async fn run(global: &Global, what: Run) -> Exit {
    started(global, what).await.unwrap_or_else(|exit| exit)
}

async fn started(global: &Global, what: Run) -> Result<Exit, Exit> {
    let (config, settings) = context::engine_config(context::load(global)?);
    let stop = CancellationToken::new();
    let signalled = stop.clone();
    if let Some(targets) = targets(&what)? {
        let request = context::request(&what.words, &what.surroundings)?;
        let engine = context::start_shared(global, config, &settings, Adopt::OnRequest).await?;
        terminal::attend(&engine);
        tokio::spawn(async move {
            serve::terminated().await;
            signalled.cancel();
        });
        let exit = on_many(global, &engine, &targets, (&request, &rollout(&what)?), &stop).await;
        engine.shutdown().await;
        return Ok(exit);
    }
    let Some((alias, words)) = what.words.split_first().filter(|(_, words)| !words.is_empty())
    else {
        out::complain("run needs ALIAS and COMMAND, or --tag TAG or --on SELECTOR, and COMMAND");
        return Err(Exit::Usage);
    };
    let alias: Alias = alias.parse().map_err(|problem| context::invalid(&problem))?;
    context::host(&config, &alias)?;
    let request = context::request(words, &what.surroundings)?;
    let engine = context::start_shared(global, config, &settings, Adopt::OnRequest).await?;
    terminal::attend(&engine);
    tokio::spawn(async move {
        serve::terminated().await;
        signalled.cancel();
    });
    let form = if what.raw { Form::Raw } else { Form::Clean };
    let exit = on_host(global, &engine, &alias, &request, form, &stop).await;
    engine.shutdown().await;
    Ok(exit)
}

/// The hosts of a run on many.
fn targets(what: &Run) -> Result<Option<Targets>, Exit> {
    if let Some(tag) = &what.tag {
        let tag = tag.parse().map_err(|problem| context::invalid(&problem))?;
        return Ok(Some(Targets::Tag(tag)));
    }
    let Some(text) = &what.on else { return Ok(None) };
    let selector = text.parse().map_err(|bad: BadSelector| {
        out::complain(&bad.to_string());
        Exit::Usage
    })?;
    Ok(Some(Targets::On(selector)))
}

/// How a run goes over many hosts.
fn rollout(what: &Run) -> Result<Rollout, Exit> {
    let gate = what.rollout.gate.as_deref().map(Request::new).transpose();
    Ok(Rollout {
        canary: what.rollout.canary,
        batch: what.rollout.batch,
        stop_after: what.rollout.stop_after,
        deadline: what.rollout.deadline.map(std::time::Duration::from_secs),
        gate: gate.map_err(|problem| context::invalid(&problem))?,
    })
}

async fn on_host(
    global: &Global,
    engine: &Engine,
    alias: &Alias,
    request: &Request,
    form: Form,
    stop: &CancellationToken,
) -> Exit {
    let ticket = match engine.submit(alias, request, origin()).await {
        Ok(ticket) => ticket,
        Err(refusal) => return refused(global, alias, request, &refusal),
    };
    let asking = origin();
    let ended = engine.wait_or_cancel(&ticket.task_id, stop, &asking);
    let result = if global.json {
        ended.await
    } else {
        let copying =
            output::copy(engine, &ticket.task_id, 0, StreamFilter::Both, Until::End, form);
        // Both end with the task: the one when it is final, the other when its output is read to the end.
        let (result, _) = tokio::join!(ended, copying);
        result
    };
    match result {
        Err(refusal) => refused(global, alias, request, &refusal),
        Ok(finished) => {
            if global.json {
                out::json(&whole(engine, &finished).await);
            } else {
                tell(alias, &finished);
            }
            exit_of(&finished.outcome)
        }
    }
}

/// What is not plain success, for people.
pub(crate) fn tell(alias: &Alias, finished: &Finished) {
    let seen = |stopped: &Stopped| match stopped {
        Stopped::Confirmed => "its end was seen",
        Stopped::Unconfirmed => "its end was not seen: it may still run",
    };
    match &finished.outcome {
        Outcome::Exited { status: 0 } => {}
        Outcome::Exited { status } => out::complain(&format!("{alias}: exit status {status}")),
        Outcome::Signalled { signal } => {
            out::complain(&format!("{alias}: ended by signal {signal}"));
        }
        Outcome::TimedOut { stopped } => {
            out::complain(&format!("{alias}: over its time limit and stopped; {}", seen(stopped)));
        }
        Outcome::Cancelled { stopped } => {
            out::complain(&format!("{alias}: cancelled; {}", seen(stopped)));
        }
        Outcome::NotStarted(failure) => {
            out::complain(&format!("{alias}: {failure}\n  {}", failure.hint));
        }
        Outcome::Denied { reason } => {
            out::complain(&format!("{alias}: denied by the policy now in force: {reason}"));
        }
        Outcome::Interrupted(Interruption { cause, detail }) => {
            out::complain(&format!("{alias}: {detail}\n  {}", cause.hint()));
        }
    }
    if finished.task.raw_shell {
        out::complain(&format!(
            "{alias}: the raw text was run by a full shell (shell: unrestricted)"
        ));
    }
}

fn refused(global: &Global, alias: &Alias, request: &Request, refusal: &Refusal) -> Exit {
    if global.json {
        out::json(&answer::could_not_start(alias, request, refusal));
    }
    match refusal {
        Refusal::Denied(denial) => {
            out::complain(&format!("{alias}: denied: {}\n  {}", denial.message, denial.hint));
            Exit::Denied
        }
        Refusal::ApprovalRequired(asked) => {
            out::complain(&format!(
                "{alias}: a person must say yes first\n  sshepherd approvals approve {}, then run it again",
                asked.id
            ));
            Exit::Denied
        }
        Refusal::UnknownHost { .. } | Refusal::Selector(_) => {
            out::complain(&refusal.to_string());
            Exit::Usage
        }
        Refusal::Busy(_)
        | Refusal::Throttled(_)
        | Refusal::KeyTaken { .. }
        | Refusal::OutOfBand { .. }
        | Refusal::NotAnApprover { .. }
        | Refusal::Audit(_)
        | Refusal::Store(_)
        | Refusal::NoRandomness(_)
        | Refusal::NotReached
        | Refusal::NotBegun { .. }
        | Refusal::Earlier { .. }
        | Refusal::ShuttingDown => {
            out::complain(&format!("{alias}: {}", context::chain(refusal)));
            Exit::Failed
        }
    }
}

/// How this process ends after a command with this outcome.
pub(crate) fn exit_of(outcome: &Outcome) -> Exit {
    match outcome {
        Outcome::Exited { status: 0 } => Exit::Done,
        Outcome::NotStarted(failure) if failure.phase == Phase::Network => Exit::Denied,
        Outcome::NotStarted(_) => Exit::Unreachable,
        Outcome::Denied { .. } => Exit::Denied,
        Outcome::Exited { .. }
        | Outcome::Signalled { .. }
        | Outcome::TimedOut { .. }
        | Outcome::Cancelled { .. }
        | Outcome::Interrupted(_) => Exit::Failed,
    }
}

/// The answer with all the output that was kept.
pub(crate) async fn whole(engine: &Engine, finished: &Finished) -> RunAnswer {
    let id = &finished.task.id;
    let Ok(Lookup::Found(output)) = engine.head_tail(id, usize::MAX, StreamFilter::Both).await
    else {
        return RunAnswer::default();
    };
    let Ok(shown) = engine.view_ends(id, &output, StreamFilter::Both).await else {
        return RunAnswer::default();
    };
    answer::finished(&answer::Report {
        finished,
        output: &output,
        shown: &shown,
        enforcement: engine.config().policy.enforcement(),
    })
}

async fn on_many(
    global: &Global,
    engine: &Engine,
    targets: &Targets,
    (request, rollout): (&Request, &Rollout),
    stop: &CancellationToken,
) -> Exit {
    let bar = bar(targets.select(&engine.config().inventory).map_or(0, |hosts| hosts.len()));
    let fan_out = engine
        .fan_out(targets, (request, rollout), &origin(), stop, |done, _| {
            bar.set_position(done as u64)
        })
        .await;
    bar.finish_and_clear();
    let fan_out = match fan_out {
        Ok(fan_out) => fan_out,
        Err(refusal) => return none_ran(global, targets, request, &refusal),
    };
    if fan_out.hosts.is_empty() {
        out::complain(&format!("{targets}: no host"));
    }
    let mut exit = Exit::Done;
    let mut answers = Vec::new();
    for HostReport { alias, result } in &fan_out.hosts {
        match result {
            Ok(finished) => {
                exit = exit.worse(exit_of(&finished.outcome));
                let answer = whole(engine, finished).await;
                if global.json {
                    answers.push(answer);
                } else {
                    for line in answer.output.unwrap_or_default().lines() {
                        out::line(&format!("{alias}: {line}"));
                    }
                    tell(alias, finished);
                }
            }
            Err(refusal) => {
                let quiet = Global { json: false, ..Global::default() };
                exit = exit.worse(refused(&quiet, alias, request, refusal));
                answers.push(answer::could_not_start(alias, request, refusal));
            }
        }
    }
    if global.json {
        out::json(&answer::tagged(targets, answers, usize::MAX / 2));
    } else {
        summary(&fan_out);
    }
    exit
}

/// What kept a command from all hosts of a tag.
fn none_ran(global: &Global, targets: &Targets, request: &Request, refusal: &Refusal) -> Exit {
    let Refusal::ApprovalRequired(asked) = refusal else {
        if let Refusal::Selector(bad) = refusal {
            out::complain(&bad.to_string());
            return Exit::Usage;
        }
        out::complain(&format!("{targets}: {}", context::chain(refusal)));
        return Exit::Failed;
    };
    if global.json {
        out::json(&answer::asked_for_all(request, asked));
    }
    out::complain(&format!(
        "{targets}: a person must say yes first, once for {} hosts\n  sshepherd approvals approve {}, then run it again",
        asked.about.host_count, asked.id
    ));
    Exit::Denied
}

fn summary(fan_out: &FanOut) {
    let good = fan_out.hosts.iter().filter(|report| {
        matches!(&report.result, Ok(finished) if finished.outcome == Outcome::Exited { status: 0 })
    });
    out::say(&format!("{} of {} hosts done", good.count(), fan_out.hosts.len()));
}

/// A progress bar on a terminal, nothing elsewhere.
fn bar(hosts: usize) -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new(hosts as u64);
    if let Ok(style) = ProgressStyle::with_template("{bar:30} {pos}/{len} hosts  {elapsed}") {
        bar.set_style(style);
    }
    bar
}
