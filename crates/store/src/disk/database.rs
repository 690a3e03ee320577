//! The database of a state folder: one thread that writes, in groups, and one that reads.
//!
//! SQLite is synchronous; a thread that owns its connection keeps it away from the runtime. Everything that waits when
//! the writer comes back goes into one transaction: many callers share one flush.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, TransactionBehavior};
use tokio::sync::{mpsc, oneshot};

use crate::error::Error;

/// The layout that this version writes. Raise it with a step in [`migrate`].
pub(super) const LAYOUT: i64 = 4;

/// `sshp` in ASCII: tells a task database from any other file.
const APPLICATION: i64 = 0x7373_6870;

/// Calls that may wait for the writer before callers have to wait; one call waits for each running task at most.
const QUEUE: usize = 1024;

/// Most calls in one transaction: bounds how long the first of them waits for the last.
const GROUP: usize = 256;

/// How long another process may hold the database; its transactions take milliseconds.
const BUSY: Duration = Duration::from_secs(20);

/// Bytes of the write-ahead log above which it is emptied even if that means to wait for readers: four times what SQLite
/// lets it have.
const LONGEST_JOURNAL: u64 = 16 << 20;

/// How long emptying it waits for readers, which take milliseconds.
const EMPTYING: Duration = Duration::from_secs(1);
const LOOKS: u32 = 4000;

/// Bytes that the write-ahead log is cut down to once it has been taken over: what a burst left does not stay.
const JOURNAL: i64 = 4 << 20;

const SCHEMA: &str = "
CREATE TABLE task (
    id TEXT PRIMARY KEY,
    created_at INTEGER NOT NULL,
    alias TEXT NOT NULL,
    state TEXT NOT NULL,
    owner TEXT,
    epoch INTEGER NOT NULL,
    name TEXT UNIQUE,
    cancel_requested_at INTEGER,
    expires_at INTEGER,
    kept INTEGER NOT NULL,
    body TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX task_by_age ON task (created_at DESC, id DESC);
CREATE INDEX task_by_owner ON task (owner) WHERE owner IS NOT NULL;
CREATE INDEX task_by_expiry ON task (expires_at) WHERE expires_at IS NOT NULL;
";

/// How safe a transaction is when it is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Safe {
    /// From the death of the process.
    Process,
    /// From the death of the machine too.
    Machine,
}

type Answering = Box<dyn FnOnce(Result<(), String>) + Send>;
type Work = Box<dyn FnOnce(Result<&Connection, &str>) -> Answering + Send>;

struct Call {
    safe: Safe,
    work: Work,
}

/// A thread that owns a connection. Dropping the last handle ends it after what is queued.
#[derive(Debug, Clone)]
pub(super) struct Desk {
    calls: mpsc::Sender<Call>,
}

impl Desk {
    /// Does `work` and answers when its transaction is committed.
    pub(super) async fn call<T: Send + 'static>(
        &self,
        safe: Safe,
        work: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, Error> {
        let answer = self.submit(safe, work).await?;
        answer.await.map_err(|_| stopped())?
    }

    /// Hands `work` in, in order, without waiting for its transaction.
    pub(super) async fn submit<T: Send + 'static>(
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
        self.calls.send(Call { safe, work }).await.map_err(|_| stopped())?;
        Ok(receiver)
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

fn failed(error: &rusqlite::Error) -> Error {
    Error::Database { detail: error.to_string() }
}

/// Opens the database at `path`, makes or migrates its layout, and starts the two threads: writer, reader.
pub(super) fn open(folder: &Path, path: &Path) -> Result<(Desk, Desk), Error> {
    let writer = connect(path).map_err(|error| failed(&error))?;
    migrate(folder, &writer)?;
    let reader = connect(path).map_err(|error| failed(&error))?;
    // SQLite would move the log's pages into the database inside some commit, with two flushes, while a caller waits.
    writer.pragma_update(None, "wal_autocheckpoint", 0).map_err(|error| failed(&error))?;
    let moving = Arc::new(Mutex::new(()));
    let mover = mover(connect(path).map_err(|error| failed(&error))?, Arc::clone(&moving))?;
    let path = path.with_extension("db-wal");
    let mut journal = Journal { path, enough: LONGEST_JOURNAL, groups: 0, mover, moving };
    let write = move |connection: &mut Connection, calls| {
        group(connection, calls);
        journal.move_on();
        journal.shorten(connection);
    };
    Ok((start("sshepherd-write", writer, write)?, start("sshepherd-read", reader, one)?))
}

/// The write-ahead log. SQLite begins it anew only when nobody happens to be reading, which may be never.
struct Journal {
    path: PathBuf,
    /// Length at which readers are asked to wait.
    enough: u64,
    /// Transactions since its pages were last moved.
    groups: u32,
    /// Wakes the thread that moves them.
    mover: std::sync::mpsc::SyncSender<()>,
    /// Held by whoever moves pages: SQLite refuses the second of two.
    moving: Arc<Mutex<()>>,
}

/// Transactions after which the pages of the write-ahead log are moved into the database: a few hundred pages, of which
/// most are the same ones again.
const MOVE_AFTER: u32 = 64;

/// A thread that moves the pages of the write-ahead log beside the writer, and ends with it.
fn mover(
    connection: Connection,
    moving: Arc<Mutex<()>>,
) -> Result<std::sync::mpsc::SyncSender<()>, Error> {
    let (sender, wanted) = std::sync::mpsc::sync_channel(1);
    let thread = std::thread::Builder::new().name("sshepherd-move".to_owned()).spawn(move || {
        while wanted.recv().is_ok() {
            // What cannot be moved now is moved the next time.
            let _held = moving.lock().unwrap_or_else(PoisonError::into_inner);
            let _ = connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()));
        }
    });
    match thread {
        Ok(_) => Ok(sender),
        Err(error) => Err(Error::Database { detail: format!("no thread for it: {error}") }),
    }
}

impl Journal {
    /// Has its pages moved from time to time, without waiting for that.
    fn move_on(&mut self) {
        self.groups += 1;
        if self.groups >= MOVE_AFTER {
            self.groups = 0;
            // One request that waits is as good as two.
            let _ = self.mover.try_send(());
        }
    }

    /// Empties the log when it is long, and lets those who want to read wait for that.
    fn shorten(&mut self, connection: &mut Connection) {
        let length = || std::fs::metadata(&self.path).map_or(0, |journal| journal.len());
        if length() < self.enough {
            return;
        }
        let _held = self.moving.lock().unwrap_or_else(PoisonError::into_inner);
        // Its answer says whether a reader held it up, as one that is stopped would for ever.
        let emptied = connection
            .busy_handler(Some(look_often))
            .and_then(|()| {
                connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0))
            })
            .is_ok_and(|busy: i64| busy == 0);
        let _ = connection.busy_timeout(BUSY);
        self.enough = if emptied { LONGEST_JOURNAL } else { length().saturating_mul(2) };
    }
}

/// Readers that follow one another leave short gaps between them, which SQLite's own waiting would sleep through.
fn look_often(tried: i32) -> bool {
    std::thread::sleep(EMPTYING / LOOKS);
    u32::try_from(tried).is_ok_and(|tried| tried < LOOKS)
}

fn connect(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
        | OpenFlags::SQLITE_OPEN_CREATE
        | OpenFlags::SQLITE_OPEN_NO_MUTEX
        | OpenFlags::SQLITE_OPEN_NOFOLLOW;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(BUSY)?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "NORMAL")?;
    connection.pragma_update(None, "journal_size_limit", JOURNAL)?;
    Ok(connection)
}

fn migrate(folder: &Path, connection: &Connection) -> Result<(), Error> {
    let done = (|| {
        let transaction =
            rusqlite::Transaction::new_unchecked(connection, TransactionBehavior::Immediate)?;
        let found: i64 = transaction.pragma_query_value(None, "user_version", |row| row.get(0))?;
        if found == 0 {
            transaction.execute_batch(SCHEMA)?;
            transaction.pragma_update(None, "application_id", APPLICATION)?;
        }
        if found < 2 {
            transaction.execute_batch(super::approvals::SCHEMA)?;
        }
        if found < 3 {
            transaction.execute_batch("ALTER TABLE task ADD COLUMN wishes TEXT;")?;
        }
        if found < 4 {
            // The whole output of a task that ended with a short one.
            transaction.execute_batch("ALTER TABLE task ADD COLUMN output BLOB;")?;
            transaction.pragma_update(None, "user_version", LAYOUT)?;
        }
        transaction.commit()?;
        Ok(found)
    })();
    match done {
        Ok(found) if found > LAYOUT => {
            Err(Error::Newer { path: folder.to_path_buf(), found, known: LAYOUT })
        }
        Ok(_) => Ok(()),
        Err(error) => Err(failed(&error)),
    }
}

fn start(
    name: &'static str,
    mut connection: Connection,
    mut serve: impl FnMut(&mut Connection, Vec<Call>) + Send + 'static,
) -> Result<Desk, Error> {
    let (calls, mut queue) = mpsc::channel::<Call>(QUEUE);
    let thread = std::thread::Builder::new().name(name.to_owned()).spawn(move || {
        while let Some(first) = queue.blocking_recv() {
            let mut calls = vec![first];
            while calls.len() < GROUP
                && let Ok(call) = queue.try_recv()
            {
                calls.push(call);
            }
            serve(&mut connection, calls);
        }
    });
    match thread {
        Ok(_) => Ok(Desk { calls }),
        Err(error) => Err(Error::Database { detail: format!("no thread for it: {error}") }),
    }
}

/// Each call by itself; a read needs no transaction.
fn one(connection: &mut Connection, calls: Vec<Call>) {
    for call in calls {
        (call.work)(Ok(connection))(Ok(()));
    }
}

/// All calls in one transaction, then all answers.
fn group(connection: &Connection, calls: Vec<Call>) {
    let safe = calls.iter().map(|call| call.safe).max().unwrap_or(Safe::Process);
    let mut open = begin(connection, safe).map_err(|error| error.to_string());
    let mut answers = Vec::with_capacity(calls.len());
    for call in calls {
        answers.push((call.work)(open.as_ref().map(|()| connection).map_err(String::as_str)));
        // SQLite ends a transaction by itself when the disk is full; what follows must not run outside one.
        if open.is_ok() && connection.is_autocommit() {
            open = Err("the transaction was rolled back; is the disk full?".to_owned());
        }
    }
    let committed = open.and_then(|()| commit(connection).map_err(|error| error.to_string()));
    if committed.is_err() && !connection.is_autocommit() {
        let _ = connection.execute_batch("ROLLBACK");
    }
    for answer in answers {
        answer(committed.clone());
    }
}

fn begin(connection: &Connection, safe: Safe) -> rusqlite::Result<()> {
    let level = match safe {
        Safe::Process => "NORMAL",
        Safe::Machine => "FULL",
    };
    connection.pragma_update(None, "synchronous", level)?;
    connection.execute_batch("BEGIN IMMEDIATE")
}

fn commit(connection: &Connection) -> rusqlite::Result<()> {
    crate::crash::point("database.before-commit");
    connection.execute_batch("COMMIT")?;
    crate::crash::point("database.after-commit");
    Ok(())
}
