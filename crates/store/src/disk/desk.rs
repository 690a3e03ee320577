//! A desk: calls on one connection of the database, done in order.
//!
//! SQLite is synchronous; a thread that serves its connection keeps it away from the runtime. Everything that waits when
//! the writing thread comes back goes into one transaction: many callers share one flush. To wake a thread and to be woken
//! by it takes longer than a small transaction, so a caller may also do his own call himself while the desk is free.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, TryLockError};
use std::time::Duration;

use rusqlite::Connection;
use tokio::sync::{Semaphore, oneshot};

use crate::error::Error;

/// Calls that may wait for the desk before callers have to wait; one call waits for each running task at most.
const QUEUE: usize = 1024;

/// Most calls in one transaction: bounds how long the first of them waits for the last.
const GROUP: usize = 256;

/// How long what nobody waits for may lie before the thread is woken for it. Many commands are over by then, and nothing
/// is left to do.
const SOON: Duration = Duration::from_millis(50);

/// How safe a transaction is when it is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Safe {
    /// From the death of the process.
    Process,
    /// From the death of the machine too.
    Machine,
}

pub(super) type Answering = Box<dyn FnOnce(Result<(), String>) + Send>;
type Work = Box<dyn FnOnce(Result<&Connection, &str>) -> Answering + Send>;

pub(super) struct Call {
    pub(super) safe: Safe,
    pub(super) work: Work,
}

/// Who does calls.
pub(super) trait Clerk: Send + 'static {
    /// Makes ready for calls of this safety. With `Patience::None` it does not wait for anyone; an error then means that
    /// it would have had to, and nothing has happened.
    fn open(&mut self, safe: Safe, patience: Patience) -> Result<(), String>;
    /// Does calls and answers them, after [`Clerk::open`], or answers all of them with why that failed.
    fn serve(&mut self, opened: Result<(), String>, calls: Vec<Call>);
}

/// Whether another process may be waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Patience {
    Some,
    None,
}

#[derive(Default)]
struct Queue {
    calls: VecDeque<Call>,
    /// What nobody waits for; done before the calls.
    later: Vec<Call>,
    /// No more calls come, or nobody does them.
    closed: bool,
}

struct Counter {
    queue: Mutex<Queue>,
    wake: Condvar,
    /// Places in the queue of calls.
    room: Semaphore,
    clerk: Mutex<Box<dyn Clerk>>,
    /// The thread is woken soon in any case.
    soon: AtomicBool,
}

/// The callers' side. Dropping the last one ends the thread after what is queued.
#[derive(Clone)]
pub(super) struct Desk {
    counter: Arc<Callers>,
}

struct Callers(Arc<Counter>);

impl std::fmt::Debug for Desk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Desk").finish_non_exhaustive()
    }
}

impl Drop for Callers {
    fn drop(&mut self) {
        self.0.queue().closed = true;
        self.0.wake.notify_one();
    }
}

impl Desk {
    /// Starts the thread.
    pub(super) fn start(name: &'static str, clerk: impl Clerk) -> Result<Self, Error> {
        let counter = Arc::new(Counter {
            queue: Mutex::default(),
            wake: Condvar::new(),
            room: Semaphore::new(QUEUE),
            clerk: Mutex::new(Box::new(clerk)),
            soon: AtomicBool::new(false),
        });
        let served = Arc::clone(&counter);
        let thread = std::thread::Builder::new().name(name.to_owned()).spawn(move || {
            let open = Open(served);
            while open.0.wait() {
                open.0.serve();
            }
        });
        match thread {
            Ok(_) => Ok(Self { counter: Arc::new(Callers(counter)) }),
            Err(error) => Err(Error::Database { detail: format!("no thread for it: {error}") }),
        }
    }

    /// Has `work` done on the thread and answers when its transaction is committed.
    pub(super) async fn call<T: Send + 'static>(
        &self,
        safe: Safe,
        work: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, Error> {
        let (call, answer) = call(safe, work);
        self.enter(call, answer).await
    }

    /// As [`Desk::call`], but here and before all others when the desk is free and neither the disk nor another process
    /// has to be waited for.
    pub(super) async fn call_at_once<T: Send + 'static>(
        &self,
        safe: Safe,
        work: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, Error> {
        let (call, answer) = call(safe, work);
        match self.counter.0.do_now(call) {
            None => answer.await.map_err(|_| stopped())?,
            Some(call) => self.enter(call, answer).await,
        }
    }

    /// Has `work` done on the thread, after [`SOON`] or before the next call there. Nobody hears what comes of it. Needs
    /// a tokio runtime.
    pub(super) fn later(
        &self,
        work: impl FnOnce(&Connection) -> rusqlite::Result<()> + Send + 'static,
    ) {
        let (call, _) = call(Safe::Process, work);
        self.counter.0.queue().later.push(call);
        if self.counter.0.soon.swap(true, Ordering::SeqCst) {
            return;
        }
        let counter = Arc::downgrade(&self.counter.0);
        tokio::spawn(async move {
            tokio::time::sleep(SOON).await;
            let Some(counter) = counter.upgrade() else { return };
            counter.soon.store(false, Ordering::SeqCst);
            counter.wake.notify_one();
        });
    }

    async fn enter<T>(
        &self,
        call: Call,
        answer: oneshot::Receiver<Result<T, Error>>,
    ) -> Result<T, Error> {
        let counter = &self.counter.0;
        counter.room.acquire().await.map_err(|_| stopped())?.forget();
        {
            let mut queue = counter.queue();
            if queue.closed {
                return Err(stopped());
            }
            queue.calls.push_back(call);
        }
        counter.wake.notify_one();
        answer.await.map_err(|_| stopped())?
    }
}

/// `work` as a call, and where its answer comes.
fn call<T: Send + 'static>(
    safe: Safe,
    work: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
) -> (Call, oneshot::Receiver<Result<T, Error>>) {
    let (sender, receiver) = oneshot::channel();
    let work: Work = Box::new(move |connection| {
        let done = match connection {
            Ok(connection) => alone(connection, work).map_err(|error| failed(&error)),
            Err(detail) => Err(Error::Database { detail: detail.to_owned() }),
        };
        Box::new(move |committed| {
            let answer = match (done, committed) {
                (Ok(value), Ok(())) => Ok(value),
                (Err(error), _) => Err(error),
                (Ok(_), Err(detail)) => Err(Error::Database { detail }),
            };
            // A caller that no longer listens has been cancelled; what it asked for is done.
            let _ = sender.send(answer);
        })
    });
    (Call { safe, work }, receiver)
}

impl Counter {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for calls; `false` when there are none and no more come.
    fn wait(&self) -> bool {
        let mut queue = self.queue();
        while queue.calls.is_empty() && !queue.closed && (queue.later.is_empty() || self.later()) {
            queue = self.wake.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
        !queue.calls.is_empty() || !queue.later.is_empty()
    }

    /// Whether what nobody waits for has time.
    fn later(&self) -> bool {
        self.soon.load(Ordering::SeqCst)
    }

    /// Does what waits, a group of it at most.
    fn serve(&self) {
        let mut clerk = self.clerk.lock().unwrap_or_else(PoisonError::into_inner);
        let calls: Vec<Call> = {
            let mut queue = self.queue();
            let later = std::mem::take(&mut queue.later);
            let count = queue.calls.len().min(GROUP);
            self.room.add_permits(count);
            later.into_iter().chain(queue.calls.drain(..count)).collect()
        };
        let safe = calls.iter().map(|call| call.safe).max().unwrap_or(Safe::Process);
        let opened = clerk.open(safe, Patience::Some);
        clerk.serve(opened, calls);
    }

    /// Does a call; gives it back when that is for the thread: it is at work, or the disk or another process would have
    /// to be waited for.
    fn do_now(&self, call: Call) -> Option<Call> {
        let mut clerk = match self.clerk.try_lock() {
            Ok(clerk) => clerk,
            Err(TryLockError::Poisoned(clerk)) => clerk.into_inner(),
            Err(TryLockError::WouldBlock) => return Some(call),
        };
        if call.safe == Safe::Machine || clerk.open(call.safe, Patience::None).is_err() {
            return Some(call);
        }
        clerk.serve(Ok(()), vec![call]);
        None
    }
}

/// While it lives, calls are done.
struct Open(Arc<Counter>);

impl Drop for Open {
    fn drop(&mut self) {
        let mut queue = self.0.queue();
        let left = std::mem::take(&mut *queue);
        queue.closed = true;
        drop(queue);
        drop(left);
    }
}

/// Does `work` whole or not at all, inside the transaction that it shares.
fn alone<T>(
    connection: &Connection,
    work: impl FnOnce(&Connection) -> rusqlite::Result<T>,
) -> rusqlite::Result<T> {
    if connection.is_autocommit() {
        return work(connection);
    }
    connection.prepare_cached("SAVEPOINT call")?.execute([])?;
    let done = work(connection);
    let end = if done.is_ok() { "RELEASE call" } else { "ROLLBACK TO call" };
    // The transaction is gone when the disk was full.
    if !connection.is_autocommit() {
        connection.prepare_cached(end)?.execute([])?;
    }
    done
}

fn stopped() -> Error {
    Error::Database { detail: "its thread has ended".to_owned() }
}

pub(super) fn failed(error: &rusqlite::Error) -> Error {
    Error::Database { detail: error.to_string() }
}
