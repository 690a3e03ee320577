//! Jobs that leave a mark each time they run, and what must be true of each afterwards.

use std::time::Duration;

use sshepherd_engine::store::{DiskBounds, DiskStore, Lookup, Store, StreamFilter, Task};
use sshepherd_model::{Outcome, Stream, TaskId};

use crate::ground::Ground;

/// Lines that a job writes.
const LINES: usize = 20;

/// Digits on each: so long that the output outgrows the store's place for short ones half-way.
const WIDTH: usize = 300;

/// The command of one job: a mark, lines over about a second, an error line, an exit status.
pub(crate) fn command(ground: &Ground, name: &str) -> String {
    let ledger = ground.path("ledger");
    let ledger = ledger.display();
    format!(
        "mkdir {ledger}/{name} || mkdir {ledger}/{name}.twice.$$; i=0; \
         while [ $i -lt {LINES} ]; do printf '%s %s %0{WIDTH}d\\n' {name} $i 0; i=$((i+1)); sleep 0.05; done; \
         echo {name} error >&2; exit 3"
    )
}

fn stdout(name: &str) -> String {
    (0..LINES).map(|line| format!("{name} {line} {:0WIDTH$}\n", 0)).collect()
}

/// What came of the jobs.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) done: usize,
    /// Told as never started, and no mark is there.
    pub(crate) not_started: usize,
    /// Told as interrupted.
    pub(crate) interrupted: usize,
    pub(crate) lost: usize,
    pub(crate) twice: usize,
    pub(crate) wrong_output: usize,
}

/// Waits for the end of every task and compares what is stored with what was done. `limit` bounds each wait.
pub(crate) fn settle(ground: &Ground, tasks: &[(String, TaskId)], limit: Duration) -> Counts {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let store = DiskStore::open(&ground.state(), DiskBounds::default()).await.unwrap();
        let mut counts = Counts::default();
        for (name, id) in tasks {
            match ended(&store, id, limit).await {
                Some(task) => count(&store, ground, name, &task, &mut counts).await,
                None => {
                    println!("{name}: {id} did not end");
                    counts.lost += 1;
                }
            }
        }
        counts.twice = ground.ledger().iter().filter(|entry| entry.contains(".twice.")).count();
        counts
    })
}

async fn ended(store: &DiskStore, id: &TaskId, limit: Duration) -> Option<Task> {
    let mut hints = store.subscribe();
    let end = async {
        loop {
            match store.get(id).await.unwrap() {
                Lookup::Found(task) if task.outcome.is_some() => return Some(task),
                Lookup::Found(_) => {}
                Lookup::Expired | Lookup::Unknown => return None,
            }
            // Hints of a server that was started after this one come over its own call.
            let _ = tokio::time::timeout(Duration::from_secs(1), hints.next()).await;
        }
    };
    tokio::time::timeout(limit, end).await.ok().flatten()
}

async fn count(store: &DiskStore, ground: &Ground, name: &str, task: &Task, counts: &mut Counts) {
    let ran = ground.path("ledger").join(name).is_dir();
    match task.outcome.as_ref().unwrap() {
        Outcome::Exited { status: 3 } if ran => counts.done += 1,
        Outcome::NotStarted(_) if !ran => {
            counts.not_started += 1;
            return;
        }
        Outcome::Interrupted(interruption) => {
            println!("{name}: {interruption:?}");
            counts.interrupted += 1;
            return;
        }
        other => {
            println!("{name}: ran {ran}, told {other:?}");
            counts.lost += 1;
            return;
        }
    }
    let out = text(store, &task.id, StreamFilter::Stdout).await;
    let err = text(store, &task.id, StreamFilter::Stderr).await;
    if out != stdout(name) || err != format!("{name} error\n") {
        println!("{name}: stdout {out:?}, stderr {err:?}");
        counts.wrong_output += 1;
    }
}

async fn text(store: &DiskStore, id: &TaskId, filter: StreamFilter) -> String {
    let Lookup::Found(page) = store.read(id, 0, 1 << 20, filter).await.unwrap() else {
        panic!("{id} is gone")
    };
    let wanted = match filter {
        StreamFilter::Stderr => Stream::Stderr,
        StreamFilter::Stdout | StreamFilter::Both => Stream::Stdout,
    };
    assert!(page.chunks.iter().all(|chunk| chunk.stream == wanted));
    let bytes: Vec<u8> = page.chunks.into_iter().flat_map(|chunk| chunk.bytes).collect();
    String::from_utf8_lossy(&bytes).into_owned()
}
