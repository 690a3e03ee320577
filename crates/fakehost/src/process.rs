//! The fake processes of a host: numbers that can be signalled and seen gone, with nothing behind them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

/// First process id of a host; real ones of a running system look alike.
const FIRST_PID: u32 = 4200;

/// The signal that a process was sent last, without `SIG`.
type Pending = Option<String>;

#[derive(Debug)]
struct Table {
    next: u32,
    running: BTreeMap<u32, watch::Sender<Pending>>,
}

/// All processes of one host.
#[derive(Debug, Clone)]
pub(crate) struct Processes(Arc<Mutex<Table>>);

/// A running process; it is gone from the table when this is dropped.
#[derive(Debug)]
pub(crate) struct Process {
    pid: u32,
    table: Processes,
    pending: watch::Receiver<Pending>,
}

impl Processes {
    pub(crate) fn new() -> Self {
        Self(Arc::new(Mutex::new(Table { next: FIRST_PID, running: BTreeMap::new() })))
    }

    /// Held for a few instructions only, never over an await.
    fn lock(&self) -> MutexGuard<'_, Table> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn start(&self) -> Process {
        let mut table = self.lock();
        let pid = table.next;
        table.next += 1;
        let (sender, pending) = watch::channel(None);
        table.running.insert(pid, sender);
        Process { pid, table: self.clone(), pending }
    }

    /// Ids of the processes that run.
    pub(crate) fn running(&self) -> Vec<u32> {
        self.lock().running.keys().copied().collect()
    }

    /// Sends a signal; whether there is such a process.
    pub(crate) fn signal(&self, pid: u32, name: &str) -> bool {
        match self.lock().running.get(&pid) {
            Some(process) => {
                process.send_replace(Some(name.to_owned()));
                true
            }
            None => false,
        }
    }

    /// Waits until the process is gone.
    pub(crate) async fn gone(&self, pid: u32) {
        // The lock ends with this statement; a sender is dropped when its process ends.
        let watch = self.lock().running.get(&pid).map(watch::Sender::subscribe);
        if let Some(mut watch) = watch {
            while watch.changed().await.is_ok() {}
        }
    }
}

impl Process {
    pub(crate) fn pid(&self) -> u32 {
        self.pid
    }

    /// Waits for a signal that ends a process; the others are ignored.
    pub(crate) async fn ended_by(&mut self) -> String {
        loop {
            let pending = self.pending.borrow_and_update().clone();
            if let Some(name) = pending.filter(|name| fatal(name)) {
                return name;
            }
            if self.pending.changed().await.is_err() {
                // The table holds the sender as long as this process lives.
                std::future::pending::<()>().await;
            }
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.table.lock().running.remove(&self.pid);
    }
}

/// Signals that end a program which does nothing about them, as far as SSH names them.
fn fatal(name: &str) -> bool {
    matches!(
        name,
        "ABRT"
            | "ALRM"
            | "FPE"
            | "HUP"
            | "ILL"
            | "INT"
            | "KILL"
            | "PIPE"
            | "QUIT"
            | "SEGV"
            | "TERM"
            | "USR1"
            | "USR2"
    )
}
