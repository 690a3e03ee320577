//! The boundary between those who run or ask about tasks and whatever keeps them.
//!
//! The trait is used as `dyn Store`, so that the backend is the owner's choice at start; hence the boxed futures. One
//! small allocation a call is far below what an SSH packet costs.
//!
//! One owner writes a task (`append`, `finish`, and every patch but `RequestCancel` and `Wish`); anyone reads it and may ask
//! for those. The process that created a task owns it; when that process is gone, another one can `claim` it, and a
//! late write of the old owner is refused with [`Error::Fenced`].

use std::future::Future;
use std::pin::Pin;

use bytes::Bytes;
use sshepherd_model::{ApprovalId, Stream, TaskId};

use crate::approval::{Approval, NewApproval, Settled, Settlement};
use crate::error::Error;
use crate::hint::Subscription;
use crate::output::{HeadTail, Page, StreamFilter, TailLines, Totals};
use crate::record::{
    Finish, ListPage, ListQuery, Lookup, NewTask, Orphans, Patch, Spent, Swept, Task,
};

/// The future of an answer. Dropping it before it is ready leaves the call either done or not done, never half.
pub type Answer<'a, T> = Pin<Box<dyn Future<Output = Result<T, Error>> + Send + 'a>>;

/// As long as a block of SHA-256, which is what HMAC takes whole.
pub type DigestKey = [u8; 64];

/// Keeps tasks and their output. Each method is atomic: an error means that nothing changed.
///
/// "Crash" below speaks of backends that outlive the process; the in-memory one ends with it.
pub trait Store: Send + Sync {
    /// Records a new pending task, so that its id can be asked about before it runs.
    ///
    /// Crash before: no trace, nothing was run. Crash after: a pending task, which was certainly not sent.
    /// Errors: [`Error::Full`], [`Error::NoRoom`], [`Error::Exists`], [`Error::KeyTaken`], [`Error::KeySpent`].
    fn create(&self, task: NewTask) -> Answer<'_, Task>;

    /// The task as it stands. Changes nothing.
    fn get<'a>(&'a self, id: &'a TaskId) -> Answer<'a, Lookup<Task>>;

    /// Tasks, newest first, in pages. Changes nothing.
    fn list(&self, query: ListQuery) -> Answer<'_, ListPage>;

    /// Adds output at the end and answers the new totals once the bytes are as safe as the backend makes them.
    /// The caller sends no second `append` for a task before the answer to the first: a slow store thereby slows the
    /// channel instead of filling memory.
    ///
    /// Crash before the answer: the bytes are there whole, in part from their beginning, or not at all; the length of
    /// the log says which. Crash after: they are there.
    /// Errors: [`Error::NotRunning`], [`Error::Gone`].
    fn append<'a>(&'a self, id: &'a TaskId, stream: Stream, bytes: Bytes) -> Answer<'a, Totals>;

    /// Output from offset `from` on, at most `max_bytes` bytes (at least 1 is read as 1). Changes nothing.
    ///
    /// A page never ends inside a UTF-8 character that arrived in one run of its stream, unless `max_bytes` is
    /// smaller than the character or the task ended there. With a filter, bytes of the other stream are passed over
    /// and do not count, so `next` may be far from `from`.
    /// Errors: [`Error::BeyondEnd`].
    fn read<'a>(
        &'a self,
        id: &'a TaskId,
        from: u64,
        max_bytes: usize,
        filter: StreamFilter,
    ) -> Answer<'a, Lookup<Page>>;

    /// The last `lines` lines within `max_bytes` bytes, while the task runs too. Changes nothing.
    ///
    /// Only whole lines, but for the first when it alone is over the budget or its beginning was not kept.
    fn tail_lines<'a>(
        &'a self,
        id: &'a TaskId,
        lines: usize,
        max_bytes: usize,
    ) -> Answer<'a, Lookup<TailLines>>;

    /// Beginning and end of the output within `budget` bytes, half each when it does not fit. Changes nothing.
    ///
    /// No UTF-8 character is cut.
    fn head_tail<'a>(
        &'a self,
        id: &'a TaskId,
        budget: usize,
        filter: StreamFilter,
    ) -> Answer<'a, Lookup<HeadTail>>;

    /// Ends the task: flushes its output, then records the outcome and the final status, then answers.
    ///
    /// Crash before: the task still reads as running; its owner, or who takes over, finds out what came of it. Crash
    /// after: final for ever.
    /// Errors: [`Error::Illegal`] (it has ended already, or never started but exited), [`Error::Gone`].
    fn finish<'a>(&'a self, id: &'a TaskId, end: Finish) -> Answer<'a, Task>;

    /// Changes a task that has not ended and answers it as it then stands. Asking to cancel a task that has ended, or
    /// asking again, changes nothing and is no error; the answer's status says so.
    ///
    /// Crash before: not changed. Crash after: changed. Whoever sends the command records `Started` first: a crash
    /// between the two leaves "running", which is never sent again.
    /// Errors: [`Error::Illegal`] for `Started` on a task that is not pending, [`Error::Ended`] for `Connected` on one that
    /// has ended.
    fn patch<'a>(&'a self, id: &'a TaskId, patch: Patch) -> Answer<'a, Lookup<Task>>;

    /// Removes the results whose time to live, counted from the end of their task, is over at `now`.
    /// A task that has not ended never expires. A crash on the way leaves some to the next sweep.
    fn sweep(&self, now: u64) -> Answer<'_, Swept>;

    /// Takes over tasks that have not ended and whose owner is gone, and answers them as they stand. From then on this
    /// process owns them. A pending one was certainly not sent; what a running one needs depends on its durability.
    ///
    /// Crash before: nothing changed. Crash after: they have this owner, who is gone too: the next one claims them again.
    fn claim(&self, which: Orphans) -> Answer<'_, Vec<Task>>;

    /// The task that carries a caller's own name for it, as long as its result is kept. Changes nothing.
    fn named<'a>(&'a self, key: &'a str) -> Answer<'a, Option<Task>>;

    /// The task that carried a caller's own name, whose result has expired and whose name is not free again at `now`. Changes nothing.
    fn spent<'a>(&'a self, key: &'a str, now: u64) -> Answer<'a, Option<Spent>>;

    /// Asks people something. While a question about the same thing is open, that one is answered instead of a new one.
    ///
    /// Crash before: nothing was asked. Crash after: the question is there, and whoever asks again gets it.
    /// Errors: [`Error::TooManyQuestions`].
    fn ask(&self, question: NewApproval) -> Answer<'_, Approval>;

    /// The questions, newest first; those that are settled or expired for another day. Changes nothing.
    fn approvals(&self) -> Answer<'_, Vec<Approval>>;

    /// Takes a person's answer to an open question.
    ///
    /// Crash before: still open. Crash after: answered for ever.
    fn settle<'a>(&'a self, id: &'a ApprovalId, answer: Settlement) -> Answer<'a, Settled>;

    /// Uses a yes to exactly this, if there is one at `now`. Of several callers, in whatever process, one gets a yes that
    /// holds for one use.
    ///
    /// Crash before: not used. Crash after: used, whether or not what it was for came about.
    fn redeem<'a>(&'a self, binding: &'a str, now: u64) -> Answer<'a, Option<Approval>>;

    /// The key of the digests of what is kept here, random and for nobody else to read: who sees a digest cannot try guesses at
    /// what it is of. It is as old as the store.
    fn digest_key(&self) -> Result<DigestKey, Error>;

    /// Hints from now on, for all tasks. Subscribe first, then read, then listen: so nothing is missed.
    fn subscribe(&self) -> Subscription;

    /// The same for one task.
    fn subscribe_to(&self, id: &TaskId) -> Subscription;
}
