//! `run`: a command on one host, its output as it comes; or on many hosts (`many`).

use sshepherd_engine::store::{Lookup, StreamFilter};
use sshepherd_engine::{Adopt, Engine, Finished, Refusal};
use sshepherd_model::{
    Alias, BadSelector, Interruption, InvalidField, NotSeen, Outcome, Phase, Request, Rollout,
    Stopped, Targets,
};
use tokio_util::sync::CancellationToken;

use super::args::{Global, Run};
use super::context::{self, origin};
use super::exit::Exit;
use super::output::{self, Form, Until};
use super::{many, out, serve, terminal};
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
        let sight = many::Sight::of(global.json, what.per_host);
        let asked = (&request, &rollout(&what)?);
        let exit = many::run(sight, &engine, &targets, asked, &stop).await;
        engine.shutdown().await;
        return Ok(exit);
    }
    if let Some(option) = of_many(&what) {
        out::complain(&format!(
            "{option} is for a run on many hosts: it needs --tag TAG or --on SELECTOR"
        ));
        return Err(Exit::Usage);
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

/// An option that has no meaning on one host, if there is one.
fn of_many(what: &Run) -> Option<&'static str> {
    let rollout = &what.rollout;
    let given = [
        (rollout.canary, "--canary"),
        (rollout.batch.is_some(), "--batch"),
        (rollout.stop_after.is_some(), "--stop-after"),
        (rollout.deadline.is_some(), "--deadline"),
        (rollout.gate.is_some(), "--gate"),
        (what.per_host, "--per-host"),
    ];
    given.into_iter().find(|(given, _)| *given).map(|(_, option)| option)
}

/// How a run goes over many hosts.
fn rollout(what: &Run) -> Result<Rollout, Exit> {
    let gate = what.rollout.gate.as_deref().map(Request::new).transpose();
    Ok(Rollout {
        canary: what.rollout.canary,
        batch: what.rollout.batch,
        stop_after: what.rollout.stop_after,
        deadline: what.rollout.deadline.map(std::time::Duration::from_secs),
        gate: gate
            .map_err(|problem| context::invalid(&InvalidField::new("--gate", problem.problem)))?,
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
        tokio::pin!(ended, copying);
        // Both end with the task: the one when it is final, the other when its output is read to the end.
        tokio::select! {
            biased;
            result = &mut ended => {
                if result.is_ok() {
                    copying.await;
                }
                result
            }
            _ = &mut copying => ended.await,
        }
    };
    match result {
        Err(refusal) => refused(global, alias, request, &refusal),
        Ok(finished) => {
            if global.json {
                out::json(&whole(engine, &finished).await);
            } else {
                tell(alias, &finished);
                if finished.outcome == (Outcome::Exited { status: 1 }) {
                    let hint = whole(engine, &finished).await.hint;
                    hint.into_iter().for_each(|hint| out::complain(&format!("  {hint}")));
                }
            }
            exit_of(&finished.outcome)
        }
    }
}

/// What is not plain success, for people.
pub(crate) fn tell(alias: &Alias, finished: &Finished) {
    let seen = |stopped: &Stopped| match stopped {
        Stopped::Confirmed => "its end was seen".to_owned(),
        Stopped::Unconfirmed => "its end was not seen: it may still run".to_owned(),
        Stopped::Left(survivors) => format!("{survivors} may be its own and still run there"),
    };
    match &finished.outcome {
        Outcome::Exited { status: 0 } => {}
        Outcome::Exited { status } => out::complain(&format!("{alias}: exit status {status}")),
        Outcome::Signalled { signal } => {
            out::complain(&format!("{alias}: ended by signal {signal}"));
        }
        Outcome::TimedOut { stopped } => {
            out::complain(&format!("{alias}: over its time limit; {}", seen(stopped)));
        }
        Outcome::Cancelled { stopped } => {
            out::complain(&format!("{alias}: cancelled; {}", seen(stopped)));
        }
        Outcome::NotStarted(failure) => {
            out::complain(&format!("{alias}: {failure}\n  {}", failure.hint));
        }
        Outcome::NotSeenToRun(NotSeen { detail, hint }) => {
            out::complain(&format!("{alias}: {detail}\n  {hint}"));
        }
        Outcome::Denied { reason } => {
            out::complain(&format!("{alias}: denied by the policy now in force: {reason}"));
        }
        Outcome::Interrupted(Interruption { cause, detail }) => {
            out::complain(&format!("{alias}: {detail}\n  {}", cause.hint()));
        }
    }
    if answer::ran_raw(finished) {
        out::complain(&format!(
            "{alias}: the raw text was run by a full shell (shell: unrestricted)"
        ));
    }
}

fn refused(global: &Global, alias: &Alias, request: &Request, refusal: &Refusal) -> Exit {
    if global.json {
        out::json(&answer::could_not_start(alias, request, refusal));
    }
    tell_refusal(alias, refusal);
    exit_of_refusal(refusal)
}

/// Why nothing ran, for people.
pub(crate) fn tell_refusal(alias: &Alias, refusal: &Refusal) {
    match refusal {
        Refusal::Denied(denial) => {
            out::complain(&format!("{alias}: denied: {}\n  {}", denial.message, denial.hint));
        }
        Refusal::ApprovalRequired(asked) => {
            out::complain(&format!(
                "{alias}: a person must say yes first\n  sshepherd approvals approve {} shows it and asks; then run it again",
                asked.id
            ));
        }
        Refusal::GateDenied(denied) => {
            out::complain(&format!("{denied}\n  {}", denied.denial.hint));
        }
        Refusal::UnknownHost { .. } | Refusal::Selector(_) => out::complain(&refusal.to_string()),
        Refusal::Busy(_)
        | Refusal::Throttled(_)
        | Refusal::KeyTaken { .. }
        | Refusal::KeySpent { .. }
        | Refusal::OutOfBand { .. }
        | Refusal::NotAnApprover { .. }
        | Refusal::Audit(_)
        | Refusal::Store(_)
        | Refusal::Unstored { .. }
        | Refusal::NoRandomness(_)
        | Refusal::NotReached
        | Refusal::NotBegun { .. }
        | Refusal::Earlier { .. }
        | Refusal::ShuttingDown => {
            out::complain(&format!("{alias}: {}", context::chain(refusal)));
        }
    }
}

/// How this process ends when nothing ran.
pub(crate) fn exit_of_refusal(refusal: &Refusal) -> Exit {
    match refusal {
        Refusal::Denied(_) | Refusal::GateDenied(_) | Refusal::ApprovalRequired(_) => Exit::Denied,
        Refusal::UnknownHost { .. } | Refusal::Selector(_) => Exit::Usage,
        Refusal::Busy(_)
        | Refusal::Throttled(_)
        | Refusal::KeyTaken { .. }
        | Refusal::KeySpent { .. }
        | Refusal::OutOfBand { .. }
        | Refusal::NotAnApprover { .. }
        | Refusal::Audit(_)
        | Refusal::Store(_)
        | Refusal::Unstored { .. }
        | Refusal::NoRandomness(_)
        | Refusal::NotReached
        | Refusal::NotBegun { .. }
        | Refusal::Earlier { .. }
        | Refusal::ShuttingDown => Exit::Failed,
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
        | Outcome::NotSeenToRun(_)
        | Outcome::Interrupted(_) => Exit::Failed,
    }
}

/// The answer with all the output that was kept.
pub(crate) async fn whole(engine: &Engine, finished: &Finished) -> RunAnswer {
    let id = &finished.task.id;
    let Ok(Lookup::Found(output)) = engine.head_tail(id, usize::MAX, StreamFilter::Both).await
    else {
        return answer::without_output(finished);
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
