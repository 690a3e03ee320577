//! The database of a state folder: its layout, one connection that writes, in groups, and one that reads.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, TransactionBehavior};

use crate::error::Error;

use super::desk::{Call, Clerk, Desk, Patience, Safe, failed};
use super::holder::holder;

/// The layout that this version writes. Raise it with a step in [`migrate`].
pub(super) const LAYOUT: i64 = 5;

/// `sshp` in ASCII: tells a task database from any other file.
const APPLICATION: i64 = 0x7373_6870;

/// How long another process may hold the database; its transactions take milliseconds,
const BUSY: Duration = Duration::from_secs(10);
/// and after that was too short once, until it was to be had again: one that is stopped must not cost each call so much.
const BUSY_STILL: Duration = Duration::from_millis(500);

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

/// Opens the database at `path`, makes or migrates its layout, and starts the two threads: writer, reader.
pub(super) fn open(folder: &Path, path: &Path) -> Result<(Desk, Desk), Error> {
    let writer = connect(path).map_err(|error| failed(&error))?;
    migrate(folder, &writer)?;
    let reader = connect(path).map_err(|error| failed(&error))?;
    // SQLite would move the log's pages into the database inside some commit, with two flushes, while a caller waits.
    writer.pragma_update(None, "wal_autocheckpoint", 0).map_err(|error| failed(&error))?;
    let moving = Arc::new(Mutex::new(()));
    let mover = mover(connect(path).map_err(|error| failed(&error))?, Arc::clone(&moving))?;
    let shared = path.with_extension("db-shm");
    let path = path.with_extension("db-wal");
    let journal = Journal { path, enough: LONGEST_JOURNAL, groups: 0, mover, moving };
    let writer = Writer { connection: writer, level: None, journal, shared, patience: BUSY };
    Ok((Desk::start("sshepherd-write", writer)?, Desk::start("sshepherd-read", Reader(reader))?))
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

    fn length(&self) -> u64 {
        std::fs::metadata(&self.path).map_or(0, |journal| journal.len())
    }

    fn is_long(&self) -> bool {
        self.length() >= self.enough
    }

    /// Empties the log when it is long, and lets those who want to read wait for that.
    fn shorten(&mut self, connection: &mut Connection) {
        if !self.is_long() {
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
        self.enough = if emptied { LONGEST_JOURNAL } else { self.length().saturating_mul(2) };
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

/// Whether this version knows all that the rows may say: a newer one may have taken the folder over meanwhile.
pub(super) fn is_known(connection: &Connection) -> rusqlite::Result<bool> {
    let found: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    Ok(found <= LAYOUT)
}

fn migrate(folder: &Path, connection: &Connection) -> Result<(), Error> {
    let found = connection.pragma_query_value(None, "user_version", |row| row.get(0));
    if found == Ok(LAYOUT) {
        // A server that is stopped in the middle of a step must not keep others from starting.
        return Ok(());
    }
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
        }
        // From 5 on a task's start is bound to a site, which a version that does not know it would not heed.
        if found < LAYOUT {
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

/// The writer's connection.
struct Writer {
    connection: Connection,
    /// How safe its transactions are now; `None` before the first.
    level: Option<Safe>,
    journal: Journal,
    /// Where SQLite has its locks.
    shared: PathBuf,
    /// How long other processes are waited for now.
    patience: Duration,
}

impl Writer {
    fn begin(&mut self, safe: Safe) -> rusqlite::Result<()> {
        let connection = &self.connection;
        if self.level != Some(safe) {
            let level = match safe {
                Safe::Process => "NORMAL",
                Safe::Machine => "FULL",
            };
            connection.pragma_update(None, "synchronous", level)?;
            self.level = Some(safe);
        }
        connection.prepare_cached("BEGIN IMMEDIATE")?.execute([]).map(|_| ())
    }
}

impl Clerk for Writer {
    fn open(&mut self, safe: Safe, patience: Patience) -> Result<(), String> {
        let begun = match patience {
            Patience::Some => self.begin(safe),
            // To empty the journal takes waiting for readers.
            Patience::None if self.journal.is_long() => {
                return Err("the journal is long".to_owned());
            }
            Patience::None => {
                let waiting = self.connection.busy_timeout(Duration::ZERO);
                let begun = waiting.and_then(|()| self.begin(safe));
                let _ = self.connection.busy_timeout(self.patience);
                begun
            }
        };
        let held = begun.as_ref().is_err_and(|error| {
            error.sqlite_error_code() == Some(rusqlite::ErrorCode::DatabaseBusy)
        });
        if patience == Patience::Some {
            self.patience = if held { BUSY_STILL } else { BUSY };
            let _ = self.connection.busy_timeout(self.patience);
        }
        begun.map_err(|error| match held {
            true => format!("it is held by {}", holder(&self.shared)),
            false => error.to_string(),
        })
    }

    /// All calls in one transaction, then all answers.
    fn serve(&mut self, mut opened: Result<(), String>, calls: Vec<Call>) {
        let connection = &self.connection;
        let mut answers = Vec::with_capacity(calls.len());
        for call in calls {
            answers.push((call.work)(opened.as_ref().map(|()| connection).map_err(String::as_str)));
            // SQLite ends a transaction by itself when the disk is full; what follows must not run outside one.
            if opened.is_ok() && connection.is_autocommit() {
                opened = Err("the transaction was rolled back; is the disk full?".to_owned());
            }
        }
        let committed = opened.and_then(|()| commit(connection).map_err(|error| error.to_string()));
        if committed.is_err() && !connection.is_autocommit() {
            let _ = connection.execute_batch("ROLLBACK");
        }
        for answer in answers {
            answer(committed.clone());
        }
        self.journal.move_on();
        self.journal.shorten(&mut self.connection);
    }
}

/// The reader's connection.
struct Reader(Connection);

impl Clerk for Reader {
    fn open(&mut self, _: Safe, _: Patience) -> Result<(), String> {
        Ok(())
    }

    /// Each call by itself; a read needs no transaction.
    fn serve(&mut self, _: Result<(), String>, calls: Vec<Call>) {
        for call in calls {
            (call.work)(Ok(&self.0))(Ok(()));
        }
    }
}

fn commit(connection: &Connection) -> rusqlite::Result<()> {
    crate::crash::point("database.before-commit");
    connection.prepare_cached("COMMIT")?.execute([])?;
    crate::crash::point("database.after-commit");
    Ok(())
}
