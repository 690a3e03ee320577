//! The process is killed between every pair of steps; what was acknowledged is there, and nothing is there by half.

use std::path::Path;

use sshepherd_model::{Stream, TaskId};
use sshepherd_store::{
    DiskBounds, DiskStore, ListQuery, Lookup, Orphans, State, Store, StreamFilter,
};

use crate::common::{exit, flat, found, new_task, started};
use crate::worker::{Worker, bytes};

/// Every place at which a worker can be killed.
const PLACES: [&str; 14] = [
    "database.before-commit",
    "database.after-commit",
    "patch.committed",
    "append.bytes-without-entry",
    "append.entry",
    "spool.record",
    "spool.moved",
    "segment.without-index",
    "segment.created",
    "segment.half-removed",
    "finish.flushed",
    "finish.committed",
    "expire.rows",
    "expire.log",
];

/// Bytes of one append: two fill a segment.
const APPEND: u64 = 40 << 10;

/// The life of four tasks. The appends to the first go over the limit, so that segments are made and removed; the third
/// begins with a short output and goes on with a long one; the fourth ends with a short one.
fn script() -> Vec<String> {
    let mut script = vec!["create 1".to_owned(), "start 1".to_owned()];
    script.extend(vec![format!("append 1 {APPEND}"); 9]);
    script.extend(["create 2", "finish 1", "start 2", "append 2 40960"].map(String::from));
    script.extend(["sweep 9999999", "append 2 40960", "finish 2"].map(String::from));
    script.extend(["create 3", "start 3", "append 3 2000", "create 4"].map(String::from));
    script.extend(["append 3 1000", "start 4", "append 4 900", "append 3 3000"].map(String::from));
    script.extend(["append 4 90", "finish 4", "append 3 2000", "finish 3"].map(String::from));
    script
}

/// Where each task must be after `steps` steps of the script.
fn expected(steps: usize) -> [(&'static str, u64); 4] {
    let mut tasks = [("unknown", 0); 4];
    for line in script().iter().take(steps) {
        let mut words = line.split(' ');
        let (word, number) = (words.next().unwrap(), words.next().unwrap());
        let length = words.next().map_or(0, |length| length.parse().unwrap());
        if word == "sweep" {
            tasks[0] = ("expired", 0);
            continue;
        }
        let task = &mut tasks[number.parse::<usize>().unwrap() - 1];
        match word {
            "create" => task.0 = "pending",
            "start" => task.0 = "running",
            "append" => task.1 += length,
            "finish" => task.0 = "completed",
            other => panic!("{other}"),
        }
    }
    tasks
}

#[test]
fn killed_anywhere_it_goes_on_where_it_was() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    for place in PLACES {
        let mut deaths = 0;
        loop {
            let folder = tempfile::tempdir().unwrap();
            let crash_at = format!("{place}@{}", deaths + 1);
            let mut worker = Worker::start(folder.path(), Some(&crash_at));
            let done = script().iter().take_while(|line| worker.ask(line).is_some()).count();
            let dead = done < script().len();
            worker.kill();
            runtime.block_on(check(folder.path(), done, &crash_at));
            if !dead {
                break;
            }
            deaths += 1;
        }
        assert!(deaths > 0, "{place} is never reached");
    }
}

/// `done` steps were acknowledged; the next one may have happened or not.
async fn check(folder: &Path, done: usize, crash_at: &str) {
    let store = DiskStore::open(folder, DiskBounds::default()).await.unwrap();
    let claimed = store.claim(Orphans::All).await.unwrap();
    let (before, after) = (expected(done), expected(done + 1));
    for place in 0..4 {
        let id = new_task(place as u128 + 1).id;
        let now = match store.get(&id).await.unwrap() {
            Lookup::Found(task) => (task.status.as_str(), task.output.bytes()),
            Lookup::Expired => ("expired", 0),
            Lookup::Unknown => ("unknown", 0),
        };
        assert!(
            now == before[place] || now == after[place],
            "{crash_at}: task {place} after {done} steps is {now:?}, not {:?} or {:?}",
            before[place],
            after[place]
        );
        let ours = claimed.iter().any(|task| task.id == id);
        assert_eq!(ours, now.0 == "pending" || now.0 == "running", "{crash_at}");
        content(&store, &id, now.1).await;
        if ours {
            go_on(&store, &id, now.0 == "pending").await;
        }
    }
    assert_eq!(store.claim(Orphans::All).await.unwrap(), []);
    store.sweep(u64::MAX).await.unwrap();
    let left = store.list(ListQuery::default()).await.unwrap();
    assert_eq!(left.tasks, []);
    drop(store);
    let logs = std::fs::read_dir(folder.join("logs")).unwrap().count();
    assert_eq!(logs, 0, "{crash_at}: a log is left");
}

/// Every byte that is kept is the one that was written.
pub(crate) async fn content(store: &DiskStore, id: &TaskId, total: u64) {
    let mut from = 0;
    while from < total {
        let Lookup::Found(page) = store.read(id, from, 30_000, StreamFilter::Both).await.unwrap()
        else {
            panic!("gone")
        };
        assert_eq!(page.total, total);
        let expected = bytes(page.from, page.next - page.from);
        assert!(flat(&page.chunks) == expected, "other bytes from {from}");
        assert!(page.next > from);
        from = page.next;
    }
}

/// A task that was taken over lives on to its end, and past the next restart.
pub(crate) async fn go_on(store: &DiskStore, id: &TaskId, pending: bool) {
    if pending {
        let _ = store.patch(id, started(5)).await.unwrap();
    }
    let at = found(store.get(id).await.unwrap()).output.bytes();
    for round in 0..4 {
        let more = bytes(at + round * APPEND, APPEND);
        let totals = store.append(id, Stream::Stdout, more).await.unwrap();
        assert_eq!(totals.bytes(), at + (round + 1) * APPEND);
    }
    content(store, id, at + 4 * APPEND).await;
    let task = exit(store, id, 0).await;
    assert_eq!(
        (task.status, task.output.missing),
        (State::Completed, (at + 4 * APPEND).saturating_sub(task.limits.max_output_bytes))
    );
    content(store, id, at + 4 * APPEND).await;
}

#[test]
fn killed_while_it_takes_over_the_next_one_takes_over() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    for place in
        ["claim.inherited", "database.before-commit", "database.after-commit", "claim.taken"]
    {
        let folder = tempfile::tempdir().unwrap();
        let mut first = Worker::start(folder.path(), None);
        let short = ["create 3", "start 3", "append 3 500"];
        for line in ["create 1", "start 1", "append 1 40960", "create 2"].iter().chain(&short) {
            first.must(line);
        }
        first.kill();
        let mut second = Worker::start(folder.path(), Some(place));
        assert_eq!(second.ask("claim"), None, "{place}");
        second.kill();
        runtime.block_on(async {
            let store = DiskStore::open(folder.path(), DiskBounds::default()).await.unwrap();
            let mut tasks = store.claim(Orphans::All).await.unwrap();
            tasks.sort_by_key(|task| (task.status.as_str(), task.output.bytes()));
            assert_eq!(
                tasks.iter().map(|task| (task.status, task.output.bytes())).collect::<Vec<_>>(),
                [(State::Pending, 0), (State::Running, 500), (State::Running, 40960)]
            );
            for task in tasks {
                go_on(&store, &task.id, task.status == State::Pending).await;
            }
        });
    }
}

#[test]
fn killed_while_it_takes_its_place_nothing_of_it_is_left() {
    let folder = tempfile::tempdir().unwrap();
    let mut worker = Worker::start(folder.path(), Some("instance.draft"));
    assert_eq!(worker.ask("create 1"), None);
    worker.kill();
    let instances = || std::fs::read_dir(folder.path().join("instances")).unwrap().count();
    assert_eq!(instances(), 1, "its draft");
    let mut worker = Worker::start(folder.path(), None);
    worker.must("create 1");
    assert_eq!(instances(), 2, "a lock and a socket");
}
