//! Why nothing was started: each reason is its own case, so that faces can say what to do next.

use sshepherd_model::{Alias, ApprovalId, BadSelector, Outcome, TaskId};
use sshepherd_policy::Denial;
use sshepherd_store::State;

use crate::approval::Asked;
use crate::clearance::DeniedGate;
use crate::gate::Throttled;

/// A request that did not become a task.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// No host has this alias.
    #[error("no host is called {alias}")]
    UnknownHost {
        /// What was asked for.
        alias: Alias,
        /// Configured aliases that look alike, nearest first, at most three.
        near: Vec<Alias>,
    },
    /// A selector names what is no host.
    #[error(transparent)]
    Selector(#[from] BadSelector),
    /// The policy does not allow it.
    #[error("denied by policy: {}", .0.message)]
    Denied(Box<Denial>),
    /// The policy does not allow the gate of a fan-out everywhere, so nothing of it starts.
    #[error("denied by policy: {0}")]
    GateDenied(Box<DeniedGate>),
    /// A person must say yes first.
    #[error("a person must approve it first: {}", .0.id)]
    ApprovalRequired(Box<Asked>),
    /// The owner wants the answer on the command line, not through the client that asks.
    #[error("question {id} is answered on the command line only")]
    OutOfBand {
        /// The question.
        id: ApprovalId,
    },
    /// The owner's rule names others who may say yes.
    #[error("{account} may not approve this; the rule names {}", by.join(", "))]
    NotAnApprover {
        /// Who tried.
        account: String,
        /// Who may.
        by: Vec<String>,
    },
    /// As much goes on as the owner lets, or the host is not tried for now.
    #[error("{}", .0.why)]
    Throttled(Throttled),
    /// The store holds as many tasks, or as much output, as it may.
    #[error("the task store is full")]
    Busy(#[source] sshepherd_store::Error),
    /// Another request carries the idempotency key already.
    #[error(
        "the idempotency key belongs to another request, task {task_id}: the same key takes the same host, command, cwd, env and stdin"
    )]
    KeyTaken {
        /// The task that carries it.
        task_id: TaskId,
    },
    /// The task of this idempotency key has ended, and its result has expired: it is not run again.
    #[error(
        "the idempotency key belongs to task {task_id}, which has ended ({status}) and whose result has expired; it is not run again"
    )]
    KeySpent {
        /// The task that carried it.
        task_id: TaskId,
        /// How it ended.
        status: State,
    },
    /// The decision could not be written to the audit record, so nothing was run.
    #[error("the audit record cannot be written, so nothing was run")]
    Audit(#[source] sshepherd_audit::Error),
    /// The store failed.
    #[error("the task store failed")]
    Store(#[source] sshepherd_store::Error),
    /// The command was sent, and the store cannot take what came of it.
    #[error("the task store cannot take what came of it: {why}; {}", in_words(.known.as_deref()))]
    Unstored {
        /// The task.
        task_id: TaskId,
        /// What is wrong with the store.
        why: String,
        /// How the command ended; `None` while it runs.
        known: Option<Box<Outcome>>,
    },
    /// The system gave no random numbers for a task's id.
    #[error("the system gives no random numbers")]
    NoRandomness(#[source] getrandom::Error),
    /// The caller stopped a fan-out before this host's turn came.
    #[error("cancelled before it was started")]
    NotReached,
    /// A fan-out stopped before this host's turn came.
    #[error("not begun: {why}")]
    NotBegun {
        /// Why it stopped.
        why: String,
    },
    /// Of a fan-out that has ended: why this host has no result.
    #[error("{reason}")]
    Earlier {
        /// In words.
        reason: String,
    },
    /// The engine is shutting down.
    #[error("the server is shutting down")]
    ShuttingDown,
}

/// What is known of a command, in words.
fn in_words(outcome: Option<&Outcome>) -> String {
    match outcome {
        None => "the command was sent, and its end is not known".to_owned(),
        Some(Outcome::Exited { status }) => format!("the command ended with exit status {status}"),
        Some(Outcome::Signalled { signal }) => format!("the command was ended by signal {signal}"),
        Some(Outcome::NotStarted(failure)) => format!("nothing was sent: {failure}"),
        Some(Outcome::TimedOut { .. }) => "the command ran over its time limit".to_owned(),
        Some(Outcome::Cancelled { .. }) => "the command was cancelled".to_owned(),
        Some(Outcome::NotSeenToRun(_)) => "the command was sent and not seen to run".to_owned(),
        Some(Outcome::Denied { .. }) => "nothing was sent: the policy denies it now".to_owned(),
        Some(Outcome::Interrupted(lost)) => format!("the command was sent: {}", lost.detail),
    }
}

/// An error with its causes on one line.
#[must_use]
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}
