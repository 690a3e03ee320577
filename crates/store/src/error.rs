//! What can go wrong at the boundary.

use std::path::PathBuf;

use sshepherd_model::TaskId;

use crate::record::{Spent, Task};
use crate::state::{Illegal, State};

/// Why the store did not do what was asked. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// As many tasks are pending or running as the store takes.
    #[error(
        "{live} tasks are pending or running, which is the most this store takes; wait for one to end or cancel one"
    )]
    Full {
        /// Tasks at work.
        live: usize,
    },
    /// Another task carries the caller's own name for this piece of work: this one, as it stands.
    #[error("task {} carries this key already", task.id)]
    KeyTaken {
        /// The task.
        task: Box<Task>,
    },
    /// The caller's own name for this piece of work was used by a task whose result has expired.
    #[error("task {} carried this key; it is {} and its result has expired", spent.id, spent.status)]
    KeySpent {
        /// What is known of it.
        spent: Box<Spent>,
    },
    /// As many bytes of output are kept as the store takes.
    #[error(
        "{stored} bytes of output are kept, which is the most this store takes ({most}); results go when their time to live is over"
    )]
    NoRoom {
        /// Bytes kept.
        stored: u64,
        /// Most bytes.
        most: u64,
    },
    /// As many questions wait for a person's answer as the store takes.
    #[error(
        "{open} questions wait for an answer, which is the most this store takes; answer some with `sshepherd approvals`"
    )]
    TooManyQuestions {
        /// Questions that are open.
        open: usize,
    },
    /// The state folder could not be used.
    #[error("{what} {}", path.display())]
    Folder {
        /// What was tried.
        what: &'static str,
        /// On which file or folder.
        path: PathBuf,
        /// Why it failed.
        #[source]
        source: std::io::Error,
    },
    /// The state folder was written by a newer version.
    #[error(
        "{} has the layout {found} of a newer sshepherd; this one knows up to {known}. Use the newer one, or another folder with --state",
        path.display()
    )]
    Newer {
        /// The folder.
        path: PathBuf,
        /// Its layout.
        found: i64,
        /// The newest layout known here.
        known: i64,
    },
    /// Another process holds a lock of the state folder and does not let it go.
    #[error("{} is held by {by}", path.display())]
    Held {
        /// Which file.
        path: PathBuf,
        /// Who, in words.
        by: String,
    },
    /// The database of the state folder failed.
    #[error("the task database: {detail}")]
    Database {
        /// What it said.
        detail: String,
    },
    /// This process no longer owns the task: another one has taken it over.
    #[error("task {id} has been taken over by another server")]
    Fenced {
        /// The task.
        id: TaskId,
    },
    /// A task with this id exists or existed.
    #[error("task {id} exists already")]
    Exists {
        /// The id.
        id: TaskId,
    },
    /// The task's owner wrote to a task that is not there.
    #[error("task {id} is not in the store")]
    Gone {
        /// The id.
        id: TaskId,
    },
    /// The step is not a legal one in the task's life.
    #[error("task {id}")]
    Illegal {
        /// The task.
        id: TaskId,
        /// The step.
        #[source]
        source: Illegal,
    },
    /// The task has ended, so this can no longer be changed.
    #[error("task {id} is {state} and stays as it is")]
    Ended {
        /// The task.
        id: TaskId,
        /// How it ended.
        state: State,
    },
    /// Output came for a task that is not running.
    #[error("task {id} is {state}, so it takes no output")]
    NotRunning {
        /// The task.
        id: TaskId,
        /// Where it is.
        state: State,
    },
    /// The cursor points behind the last byte that came; it is not one that this task gave.
    #[error("offset {from} is beyond the {total} bytes that task {id} has written")]
    BeyondEnd {
        /// The task.
        id: TaskId,
        /// Offset asked for.
        from: u64,
        /// Bytes that came so far.
        total: u64,
    },
}
