//! A request that could not be understood or served: an answer with a way on, never a bare error.

use sshepherd_engine::{Refusal, chain};
use sshepherd_model::InvalidField;

use super::answer;
use super::build::NOT_RECORDED;

answer! {
    /// What is wrong, where, and what to do.
    Failure {
        /// `error`; `store_failed` or `not_recorded` where state folder or audit record are in the way.
        status: String,
        /// What is wrong.
        error: String,
        /// The parameter to blame.
        field: String,
        /// What to do next.
        hint: String,
        /// Seconds after which there may be room.
        retry_after_seconds: u64,
        /// Configured aliases that look alike, nearest first.
        near: Vec<String>,
        /// The task asked about.
        task_id: String,
        /// Where that task is in its life.
        task_status: String,
    }
}

impl Failure {
    /// An error with a way on.
    pub(crate) fn new(error: impl Into<String>, hint: impl Into<String>) -> Self {
        Self {
            status: Some("error".to_owned()),
            error: Some(error.into()),
            hint: Some(hint.into()),
            ..Self::default()
        }
    }

    fn of_key(error: String, hint: &str) -> Self {
        Self { field: Some("idempotency_key".to_owned()), ..Self::new(error, hint) }
    }

    /// The same with a status of its own.
    fn with_status(mut self, status: &str) -> Self {
        self.status = Some(status.to_owned());
        self
    }

    /// The same, about one task.
    pub(crate) fn about(mut self, task_id: &sshepherd_model::TaskId) -> Self {
        self.task_id = Some(task_id.to_string());
        self
    }
}

impl From<InvalidField> for Failure {
    fn from(invalid: InvalidField) -> Self {
        let hint = format!("correct {} and call again; nothing was run", invalid.field);
        Self { field: Some(invalid.field.to_owned()), ..Self::new(invalid.to_string(), hint) }
    }
}

/// What to do about a result that the store does not take.
const UNSTORED: &str = "tell the owner: the state folder cannot be written; the task keeps trying, so ask for its status when there is room";

impl From<&Refusal> for Failure {
    /// Every reason but a denial, which has an answer of its own.
    fn from(refusal: &Refusal) -> Self {
        let error = refusal.to_string();
        match refusal {
            Refusal::UnknownHost { near, .. } => Self {
                field: Some("alias".to_owned()),
                near: (!near.is_empty()).then(|| near.iter().map(ToString::to_string).collect()),
                ..Self::new(error, "ssh_list_hosts gives every alias")
            },
            Refusal::Selector(_) => Self {
                field: Some("selector".to_owned()),
                ..Self::new(error, "nothing was run; ssh_list_hosts gives every alias")
            },
            Refusal::Denied(_) => Self::new(error, "ssh_plan shows which part is not allowed"),
            Refusal::GateDenied(_) => Self::new(
                error,
                "nothing was run; leave the gate out, give another one, or ask the owner for a rule that allows it on these hosts",
            ),
            Refusal::ApprovalRequired(_) => {
                Self::new(error, "nothing was run; a person answers with sshepherd approvals")
            }
            Refusal::OutOfBand { .. } | Refusal::NotAnApprover { .. } => {
                Self::new(error, "nothing was run; sshepherd approvals list shows the question")
            }
            Refusal::Throttled(wait) => Self {
                retry_after_seconds: Some(wait.retry_after.as_secs().max(1)),
                ..Self::new(error, "nothing was run; call again after that time")
            },
            Refusal::Busy(full) => Self {
                retry_after_seconds: Some(5),
                ..Self::new(
                    format!("{error}: {full}"),
                    "nothing was run; call again when there is room",
                )
            },
            Refusal::KeyTaken { task_id } => {
                Self::of_key(error, "nothing was run; choose another key for another request")
                    .about(task_id)
            }
            Refusal::KeySpent { task_id, status } => Self {
                task_status: Some(status.to_string()),
                ..Self::of_key(error, "choose another key to run it again").about(task_id)
            },
            Refusal::Audit(_) => Self::new(
                chain(refusal),
                "tell the owner: the file named by audit.path in sshepherd.yml cannot be written",
            )
            .with_status(NOT_RECORDED),
            Refusal::Store(_) => {
                Self::new(chain(refusal), "ask for the task's status; tell the owner if it repeats")
                    .with_status("store_failed")
            }
            Refusal::Unstored { task_id, .. } => {
                Self::new(error, UNSTORED).with_status(NOT_RECORDED).about(task_id)
            }
            Refusal::NoRandomness(_) => Self::new(error, "nothing was run; tell the owner"),
            Refusal::NotReached | Refusal::NotBegun { .. } => {
                Self::new(error, "nothing was sent to this host; it is safe to call again")
            }
            Refusal::Earlier { .. } => Self::new(error, "ssh_list_tasks shows what is kept"),
            Refusal::ShuttingDown => Self::new(error, "nothing was run; start the server again"),
        }
    }
}
