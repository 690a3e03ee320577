//! A desk: calls on one connection of the database, done in order.
//!
//! SQLite is synchronous; a thread that owns its connection keeps it away from the runtime. Everything that waits when the
//! writing thread comes back goes into one transaction: many callers share one flush. To wake a thread and to be woken by
//! it takes longer than a small transaction: a caller who finds the desk free does the few calls that wait, his own among
//! them, himself, unless the disk has to be waited for.

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

/// Most calls that a caller does himself: together they take less than a millisecond.
const FEW: usize = 16;

/// How long what nobody waits for may lie before the thread is woken for it. Most commands are over by then, and their
/// steps are one transaction.
const SOON: Duration = Duration::from_millis(5);

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
    /// No more calls come, or nobody does them.
    closed: bool,
}

struct Counter {
    queue: Mutex<Queue>,
    wake: Condvar,
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
                open.0.serve(Patience::Some, GROUP);
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
        let answer = self.enter(safe, work).await?;
        self.counter.0.wake.notify_one();
        answer.await.map_err(|_| stopped())?
    }

    /// As [`Desk::call`], here when the desk is free and nothing has to be waited for.
    pub(super) async fn call_at_once<T: Send + 'static>(
        &self,
        safe: Safe,
        work: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, Error> {
        let answer = self.enter(safe, work).await?;
        if !self.counter.0.serve(Patience::None, FEW) {
            self.counter.0.wake.notify_one();
        }
        answer.await.map_err(|_| stopped())?
    }

    /// Hands `work` in, in order, for the next who does calls; at the latest after [`SOON`] that is the thread.
    pub(super) async fn submit<T: Send + 'static>(
        &self,
        safe: Safe,
        work: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<(), Error> {
        // What comes of it is told by the call that follows.
        drop(self.enter(safe, work).await?);
        if !self.counter.0.soon.swap(true, Ordering::SeqCst) {
            let counter = Arc::downgrade(&self.counter.0);
            tokio::spawn(async move {
                tokio::time::sleep(SOON).await;
                let Some(counter) = counter.upgrade() else { return };
                counter.soon.store(false, Ordering::SeqCst);
                counter.wake.notify_one();
            });
        }
        Ok(())
    }

    async fn enter<T: Send + 'static>(
        &self,
        safe: Safe,
        work: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<oneshot::Receiver<Result<T, Error>>, Error> {
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
        let counter = &self.counter.0;
        counter.room.acquire().await.map_err(|_| stopped())?.forget();
        let mut queue = counter.queue();
        if queue.closed {
            return Err(stopped());
        }
        queue.calls.push_back(Call { safe, work });
        Ok(receiver)
    }
}

impl Counter {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for calls; `false` when there are none and no more come.
    fn wait(&self) -> bool {
        let mut queue = self.queue();
        while queue.calls.is_empty() && !queue.closed {
            queue = self.wake.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
        !queue.calls.is_empty()
    }

    /// Does what waits; `false` when that is for the thread: someone else is at it, there is too much, or the disk or
    /// another process would have to be waited for.
    fn serve(&self, patience: Patience, most: usize) -> bool {
        let mut clerk = match (self.clerk.try_lock(), patience) {
            (Ok(clerk), _) => clerk,
            (Err(TryLockError::Poisoned(clerk)), _) => clerk.into_inner(),
            (Err(TryLockError::WouldBlock), Patience::None) => return false,
            (Err(TryLockError::WouldBlock), Patience::Some) => {
                self.clerk.lock().unwrap_or_else(PoisonError::into_inner)
            }
        };
        let (count, safe) = {
            let queue = self.queue();
            let count = queue.calls.len().min(most);
            let safe = queue.calls.iter().take(count).map(|call| call.safe).max();
            if patience == Patience::None
                && (queue.calls.len() > most || safe == Some(Safe::Machine))
            {
                return false;
            }
            (count, safe)
        };
        let Some(safe) = safe else { return true };
        let opened = clerk.open(safe, patience);
        if opened.is_err() && patience == Patience::None {
            return false;
        }
        let calls: Vec<Call> = self.queue().calls.drain(..count).collect();
        self.room.add_permits(calls.len());
        clerk.serve(opened, calls);
        true
    }
}

/// While it lives, calls are done.
struct Open(Arc<Counter>);

impl Drop for Open {
    fn drop(&mut self) {
        let mut queue = self.0.queue();
        queue.closed = true;
        let left = std::mem::take(&mut queue.calls);
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
