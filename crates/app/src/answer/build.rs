//! From the engine's values to wire shapes: the one place that words outcomes.

use std::time::SystemTime;

use sshepherd_engine::policy::Enforcement;
use sshepherd_engine::sanitise::View;
use sshepherd_engine::store::{HeadTail, Task};
use sshepherd_engine::{
    Asked, CancelAnswer, DeniedGate, Engine, Finished, Refusal, Roster, lost_on_host,
};
use sshepherd_model::{
    Alias, ApprovalId, ConnectFailure, Outcome, Phase, Request, Stopped, TaskId, names,
};

use super::judged::{echo, echo_part};
use super::{CancelledAnswer, HostCounts, RunAnswer, StatusAnswer, shorten};

/// A wait before a command was sent that its caller should hear of, in milliseconds.
const LONG_WAIT: u64 = 1000;

/// A finished command and what may be shown of its output.
pub(crate) struct Report<'a> {
    /// The task and its outcome.
    pub(crate) finished: &'a Finished,
    /// Beginning and end of its output,
    pub(crate) output: &'a HeadTail,
    /// as they may be read.
    pub(crate) shown: &'a (View, View),
    /// Whether the policy decides or only watches.
    pub(crate) enforcement: Enforcement,
}

/// The answer about a finished command.
pub(crate) fn finished(report: &Report<'_>) -> RunAnswer {
    let task = &report.finished.task;
    let output = report.output;
    let missing = output.missing;
    let lost = lost_on_host(task);
    let head: u64 = output.head.iter().map(|chunk| chunk.bytes.len() as u64).sum();
    let mut answer = RunAnswer {
        task_id: Some(task.id.to_string()),
        alias: Some(task.alias.to_string()),
        hash: Some(task.hash.to_string()),
        status: Some(task.status.to_string()),
        duration_ms: task.ended_at.map(|ended| ended.saturating_sub(task.created_at)),
        waited_ms: task
            .started_at
            .map(|started| started.saturating_sub(task.created_at))
            .filter(|waited| *waited >= LONG_WAIT),
        cancelled: Some(false),
        timeout: Some(false),
        target_ip: task.target_ip.map(|ip| ip.to_string()),
        output: Some(text(report.shown, missing, head)),
        cleaned: cleaned(report.shown),
        stderr_bytes: Some(task.output.stderr),
        truncated: (missing + lost > 0).then_some(true),
        missing_bytes: (missing + lost > 0).then_some(missing + lost),
        cursor: (missing > 0).then_some(head),
        raw_shell: ran_raw(report.finished).then_some(true),
        enforcement: (report.enforcement == Enforcement::Audit).then(|| "audit".to_owned()),
        safe_to_resend: Some(report.finished.outcome.safe_to_resend()),
        ..RunAnswer::default()
    };
    fate(&mut answer, &report.finished.outcome);
    if answer.exit_code == Some(1) {
        answer.hint = sudo_refused(&report.shown.1, &report.shown.0);
    }
    if lost > 0 {
        answer.detail = Some(format!(
            "{lost} bytes of its output waited on the host, which had no room for them, and are lost"
        ));
    }
    if let Outcome::Interrupted(interruption) = &report.finished.outcome {
        let bytes = task.output.bytes();
        answer.detail =
            Some(format!("{}; interrupted at byte {bytes} of its output", interruption.detail));
    }
    answer
}

/// The answer about a command whose output cannot be had any more.
pub(crate) fn without_output(finished: &Finished) -> RunAnswer {
    let task = &finished.task;
    let mut answer = RunAnswer {
        task_id: Some(task.id.to_string()),
        alias: Some(task.alias.to_string()),
        hash: Some(task.hash.to_string()),
        status: Some(task.status.to_string()),
        cancelled: Some(false),
        timeout: Some(false),
        safe_to_resend: Some(finished.outcome.safe_to_resend()),
        ..RunAnswer::default()
    };
    fate(&mut answer, &finished.outcome);
    answer.output = None;
    let missing = task.output.bytes();
    (answer.truncated, answer.missing_bytes) = (Some(true), Some(missing));
    answer.detail =
        answer.detail.or_else(|| Some("its output had expired when it was read".to_owned()));
    answer
}

/// What to do where `sudo -n` ended without running the command: it exits with 1 and its own words come last (sudo(8)).
fn sudo_refused(tail: &View, head: &View) -> Option<String> {
    let text = if tail.text().trim().is_empty() { head.text() } else { tail.text() };
    let last = text.trim_end().lines().next_back()?;
    let hint = "sudo ran without a password and refused: the host's sudoers must let this account run exactly this program with \
        NOPASSWD; SSHepherd types no passwords for sudo";
    last.starts_with("sudo: ").then(|| hint.to_owned())
}

/// Whether a full shell was given the raw text: not where it never got there.
pub(crate) fn ran_raw(finished: &Finished) -> bool {
    finished.task.raw_shell && !finished.outcome.nothing_was_sent()
}

/// Head, a line that counts what is missing and says where to read it, tail.
fn text((head, tail): &(View, View), missing: u64, head_bytes: u64) -> String {
    if missing == 0 {
        return head.text() + &tail.text();
    }
    format!(
        "{}\n[{missing} bytes left out here; ssh_get_task_output with cursor {head_bytes} reads on]\n{}",
        head.text(),
        tail.text()
    )
}

fn cleaned((head, tail): &(View, View)) -> Option<String> {
    let mut both = head.clone();
    both.count(tail);
    both.note()
}

/// What is said of a command that ran over its limit.
fn over_limit(stopped: Stopped) -> &'static str {
    match stopped {
        Stopped::Confirmed => "the command ran over its time limit and was stopped",
        Stopped::Unconfirmed | Stopped::Left(_) => {
            "the command ran over its time limit, and its end was not seen"
        }
    }
}

/// Puts the outcome into the answer's fields.
fn fate(answer: &mut RunAnswer, outcome: &Outcome) {
    let kind = match outcome {
        Outcome::Exited { status } => {
            answer.exit_code = Some(*status);
            "exited"
        }
        Outcome::Signalled { signal } => {
            answer.signal = Some(signal.to_string());
            "signalled"
        }
        Outcome::TimedOut { stopped } => {
            answer.timeout = Some(true);
            answer.stopped = Some(stopped.as_str().to_owned());
            answer.detail = Some(over_limit(*stopped).to_owned());
            answer.hint = Some(match stopped {
                Stopped::Confirmed => {
                    "ask for less at a time, or ask the owner for a higher max_seconds".to_owned()
                }
                Stopped::Unconfirmed | Stopped::Left(_) => {
                    format!("{}: look on the host before sending it again", unsure(*stopped))
                }
            });
            "timed_out"
        }
        Outcome::Cancelled { stopped } => {
            answer.cancelled = Some(true);
            answer.stopped = Some(stopped.as_str().to_owned());
            if !stopped.is_confirmed() {
                answer.hint = Some(unsure(*stopped));
            }
            "cancelled"
        }
        Outcome::NotStarted(failure) => {
            not_started(answer, failure);
            "not_started"
        }
        Outcome::NotSeenToRun(unseen) => {
            answer.detail = Some(unseen.detail.to_string());
            answer.hint = Some(unseen.hint.clone());
            "not_seen_to_run"
        }
        Outcome::Denied { reason } => {
            answer.denied = Some(true);
            answer.reason = Some("policy".to_owned());
            answer.detail = Some(reason.clone());
            answer.hint = Some("nothing was sent; ssh_plan shows what the policy says".to_owned());
            "denied"
        }
        Outcome::Interrupted(interruption) => {
            answer.detail = Some(interruption.detail.to_string());
            answer.hint = Some(interruption.cause.hint().to_owned());
            interruption.cause.as_str()
        }
    };
    answer.outcome = Some(kind.to_owned());
}

fn not_started(answer: &mut RunAnswer, failure: &ConnectFailure) {
    let network = failure.phase == Phase::Network;
    let status = match failure.phase {
        Phase::Network => "denied",
        Phase::Record => NOT_RECORDED,
        Phase::Resolve
        | Phase::Dial
        | Phase::Banner
        | Phase::KeyExchange
        | Phase::HostKey
        | Phase::Auth
        | Phase::Channel
        | Phase::Exec => "could_not_connect",
    };
    answer.status = Some(status.to_owned());
    answer.denied = network.then_some(true);
    answer.reason = network.then(|| "network".to_owned());
    answer.hostname =
        network.then(|| failure.detail.split(": ").next().unwrap_or_default().to_owned());
    answer.phase = Some(failure.phase.to_string());
    answer.detail = Some(failure.detail.to_string());
    answer.hint = Some(failure.hint.clone());
    // Nothing was written, so there is nothing to say about output.
    answer.output = None;
    answer.stderr_bytes = None;
}

/// A task as it stands at `now_ms`.
pub(crate) fn status(task: &Task, engine: &Engine, now_ms: u64) -> StatusAnswer {
    let config = engine.config();
    let elapsed = task.elapsed_ms(now_ms);
    let max_ms = u64::try_from(task.limits.max_time.as_millis()).unwrap_or(u64::MAX).max(1);
    let percent = match task.outcome {
        Some(_) => 100,
        None => (elapsed.saturating_mul(100) / max_ms).min(99),
    };
    let poll = config.inventory.host(&task.alias).map_or_else(
        || sshepherd_model::Limits::default().progress_interval,
        |host| config.policy.limits(host).progress_interval,
    );
    StatusAnswer {
        task_id: Some(task.id.to_string()),
        alias: Some(task.alias.to_string()),
        status: Some(task.status_word().to_owned()),
        durability: task.durability.map(|durability| durability.as_str().to_owned()),
        safe_to_resend: task.outcome.as_ref().map(Outcome::safe_to_resend),
        keep_alive: Some(task.limits.result_ttl.as_secs()),
        poll_frequency: Some(poll.as_secs().max(1)),
        progress_percent: Some(percent),
        elapsed_ms: Some(elapsed),
        detail: engine.out_of_sight(task),
        bytes_read: Some(task.output.bytes()),
        output_lines_available: Some(task.output.lines),
        hosts: None,
        failed_hosts: None,
    }
}

/// The same of a fan-out, by what it has written down.
pub(crate) fn with_hosts(task: StatusAnswer, roster: &Roster) -> StatusAnswer {
    let counts = roster.counts();
    let failed: Vec<&str> = roster.failed().map(Alias::as_str).collect();
    let ended = roster.ended.len() as u64 * 100;
    StatusAnswer {
        progress_percent: task.progress_percent.map(|percent| match percent {
            100 => 100,
            _ => ended.checked_div(counts.hosts as u64).unwrap_or(0).min(99),
        }),
        bytes_read: Some(roster.bytes()),
        output_lines_available: None,
        hosts: Some(HostCounts {
            all: counts.hosts,
            pending: counts.pending,
            running: counts.running,
            completed: counts.completed,
            failed: counts.failed,
            not_begun: counts.not_begun,
        }),
        failed_hosts: (!failed.is_empty()).then(|| shorten(&names::fold(failed), MAX_FAILED)),
        ..task
    }
}

/// What came of asking to stop a task; `None` when there is none.
pub(crate) fn cancelled(id: &TaskId, answer: &CancelAnswer) -> Option<CancelledAnswer> {
    let (message, status) = match answer {
        CancelAnswer::Stopped(finished) => return Some(stopped(finished)),
        CancelAnswer::AlreadyEnded(finished) => {
            let status = finished.task.status;
            (format!("the task had ended before: {status}"), status)
        }
        CancelAnswer::Stopping { state, detail } => {
            let why = detail.as_ref().map(|why| format!(" ({why})")).unwrap_or_default();
            let said = "the task was asked to stop and has not ended yet";
            (format!("{said}{why}; ask for its status"), *state)
        }
        CancelAnswer::Expired | CancelAnswer::Unknown => return None,
    };
    Some(CancelledAnswer {
        task_id: Some(id.to_string()),
        cancelled: Some(false),
        message: Some(message),
        status: Some(status.to_string()),
        ..CancelledAnswer::default()
    })
}

/// The answer about a task that was stopped on request.
fn stopped(finished: &Finished) -> CancelledAnswer {
    let stopped = match &finished.outcome {
        Outcome::Cancelled { stopped } | Outcome::TimedOut { stopped } => Some(*stopped),
        Outcome::Exited { .. }
        | Outcome::Signalled { .. }
        | Outcome::NotStarted(_)
        | Outcome::NotSeenToRun(_)
        | Outcome::Denied { .. }
        | Outcome::Interrupted(_) => None,
    };
    let message = match stopped {
        Some(Stopped::Unconfirmed) => {
            "the task is over, but the end of its command was not seen: it may still run on the host".to_owned()
        }
        Some(stopped @ Stopped::Left(_)) => format!("the task is over, but {}", unsure(stopped)),
        Some(Stopped::Confirmed) | None => "the task was stopped".to_owned(),
    };
    CancelledAnswer {
        task_id: Some(finished.task.id.to_string()),
        cancelled: Some(true),
        message: Some(message),
        status: Some(finished.task.status.to_string()),
        stopped: stopped.map(|stopped| stopped.as_str().to_owned()),
    }
}

/// Milliseconds since the epoch, as the store counts.
pub(crate) fn now_ms() -> u64 {
    SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

/// What is known of a command whose end was not seen.
fn unsure(stopped: Stopped) -> String {
    match stopped {
        Stopped::Left(survivors) => {
            format!("{survivors} on the host may be its own and still run")
        }
        Stopped::Confirmed | Stopped::Unconfirmed => {
            "its end was not seen, so it may still run on the host".to_owned()
        }
    }
}

/// The answer about a command that did not become a task.
pub(crate) fn could_not_start(alias: &Alias, request: &Request, refusal: &Refusal) -> RunAnswer {
    let mut answer = RunAnswer {
        alias: Some(alias.to_string()),
        hash: Some(request.hash().to_string()),
        safe_to_resend: Some(true),
        ..RunAnswer::default()
    };
    if let Refusal::Denied(denial) = refusal {
        answer.status = Some("denied".to_owned());
        answer.denied = Some(true);
        answer.reason = Some("policy".to_owned());
        answer.command = Some(echo(request));
        answer.denied_command = denial.command.as_deref().map(echo_part);
        answer.detail = Some(denial.message.clone());
        answer.hint = Some(denial.hint.clone());
    } else if let Refusal::ApprovalRequired(asked) = refusal {
        approval_required(&mut answer, asked);
    } else if let Refusal::Unstored { known, .. } = refusal {
        unstored(&mut answer, refusal, known.as_deref());
    } else {
        let failure = super::Failure::from(refusal);
        answer.status = failure.status;
        answer.detail = failure.error;
        answer.hint = failure.hint;
    }
    answer
}

/// The status of what could not be written down here: it was not sent for that, or what came of it is not kept.
pub(crate) const NOT_RECORDED: &str = "not_recorded";

/// A command was sent, and the store does not take what came of it.
fn unstored(answer: &mut RunAnswer, refusal: &Refusal, known: Option<&Outcome>) {
    if let Some(outcome) = known {
        fate(answer, outcome);
    }
    answer.safe_to_resend = Some(known.is_some_and(Outcome::safe_to_resend));
    let failure = super::Failure::from(refusal);
    answer.task_id = failure.task_id;
    answer.status = failure.status;
    answer.detail = failure.error;
    answer.hint = failure.hint;
}

fn approval_required(answer: &mut RunAnswer, asked: &Asked) {
    answer.status = Some("approval_required".to_owned());
    answer.approval_id = Some(asked.id.to_string());
    answer.detail = Some(format!(
        "the owner wants a person to say yes to this first, within {} s; nothing was sent",
        asked.open_until.saturating_sub(now_ms()) / 1000
    ));
    answer.hint = Some(format!(
        "tell the person: `sshepherd approvals approve {}` shows it and asks, `deny` refuses it; then make exactly the same call again",
        asked.id
    ));
}

/// The answer about a call for many hosts whose gate is denied on some of them.
pub(crate) fn gate_denied(denied: &DeniedGate) -> RunAnswer {
    RunAnswer {
        hash: Some(denied.gate.hash().to_string()),
        safe_to_resend: Some(true),
        status: Some("denied".to_owned()),
        denied: Some(true),
        reason: Some("policy".to_owned()),
        command: Some(echo(&denied.gate)),
        denied_command: denied.denial.command.as_deref().map(echo_part),
        detail: Some(format!("{denied}; nothing was run")),
        hint: Some(denied.denial.hint.clone()),
        ..RunAnswer::default()
    }
}

/// The answer about a call for many hosts that a person must say yes to first.
pub(crate) fn asked_for_all(request: &Request, asked: &Asked) -> RunAnswer {
    let mut answer = RunAnswer {
        hash: Some(request.hash().to_string()),
        safe_to_resend: Some(true),
        ..RunAnswer::default()
    };
    approval_required(&mut answer, asked);
    answer
}

/// The answer about a command that a person said no to.
pub(crate) fn refused_by_person(request: &Request, id: &ApprovalId) -> RunAnswer {
    RunAnswer {
        hash: Some(request.hash().to_string()),
        safe_to_resend: Some(true),
        status: Some("denied".to_owned()),
        denied: Some(true),
        reason: Some("person".to_owned()),
        approval_id: Some(id.to_string()),
        command: Some(echo(request)),
        detail: Some("a person was asked and said no; nothing was sent".to_owned()),
        hint: Some("do not ask for the same again; ask the person what to do instead".to_owned()),
        ..RunAnswer::default()
    }
}

/// Most characters of the names of hosts that failed.
const MAX_FAILED: usize = 600;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_fate_is_told_apart() {
        let mut answer = RunAnswer::default();
        let failure = ConnectFailure {
            phase: Phase::Auth,
            detail: "publickey refused".to_owned().into(),
            hint: "check the key".to_owned(),
        };
        fate(&mut answer, &Outcome::NotStarted(failure));
        assert_eq!(answer.status.as_deref(), Some("could_not_connect"));
        assert_eq!((answer.exit_code, answer.output), (None, None));
        let mut answer = RunAnswer::default();
        fate(&mut answer, &Outcome::TimedOut { stopped: Stopped::Unconfirmed });
        assert_eq!(answer.timeout, Some(true));
        assert_eq!(answer.stopped.as_deref(), Some("unconfirmed"));
        assert!(answer.hint.unwrap().contains("may still run"));
    }

    /// Whatever came of a stop, an answer does not say both that it was stopped and that nobody saw it.
    #[test]
    fn what_was_not_seen_to_stop_is_not_said_to_have_been_stopped() {
        for stopped in [Stopped::Confirmed, Stopped::Unconfirmed] {
            for outcome in [Outcome::TimedOut { stopped }, Outcome::Cancelled { stopped }] {
                let mut answer = RunAnswer::default();
                fate(&mut answer, &outcome);
                let told = serde_json::to_string(&answer).unwrap();
                assert_eq!(answer.stopped.as_deref(), Some(stopped.as_str()));
                if stopped == Stopped::Unconfirmed {
                    assert!(!told.contains("was stopped"), "{told}");
                    assert!(told.contains("may still run"), "{told}");
                }
            }
        }
    }
}
