//! Several servers share a folder: in one process, and in processes of their own that are killed.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use sshepherd_model::{Outcome, Stream, TaskId};
use sshepherd_store::{
    Care, DiskBounds, DiskStore, Error, Finish, Heard, Hint, ListQuery, Lookup, News, Orphans,
    Patch, State, Store, StreamFilter, Subscription, Wish,
};

use crate::common::{exit, flat, found, new_task, out, page, running, started};
use crate::worker::{Worker, bytes};

async fn open(folder: &Path) -> DiskStore {
    DiskStore::open(folder, DiskBounds::default()).await.unwrap()
}

fn id(nonce: u128) -> TaskId {
    new_task(nonce).id
}

/// Waits for something to be heard; hints of growth may be joined, so others are passed over.
async fn hear(listener: &mut Subscription, wanted: &Heard) {
    let heard = async { while listener.next().await != *wanted {} };
    let heard = tokio::time::timeout(Duration::from_secs(30), heard).await;
    assert!(heard.is_ok(), "never heard {wanted:?}");
}

fn news(nonce: u128, news: News) -> Heard {
    Heard::Hint(Hint { id: id(nonce), news })
}

#[tokio::test]
async fn any_server_sees_what_another_runs() {
    let folder = tempfile::tempdir().unwrap();
    let (one, two) = (open(folder.path()).await, open(folder.path()).await);
    let mut listener = two.subscribe();
    let task = running(&one, 1, 10).await;
    hear(&mut listener, &news(1, News::State(State::Running))).await;
    out(&one, &task, "0123456789abcdef\n").await;
    hear(&mut listener, &news(1, News::Grew { total: 17 })).await;
    let (own, other) = (found(one.get(&task).await.unwrap()), found(two.get(&task).await.unwrap()));
    assert_eq!((other.output.stdout, other.output.lines, other.output.missing), (17, 1, 7));
    assert_eq!(own, other);
    assert_eq!(two.list(ListQuery::default()).await.unwrap().tasks, [own]);
    assert_eq!(page(&two, &task, 0, 99).await, page(&one, &task, 0, 99).await);
    assert_eq!(flat(&page(&two, &task, 5, 99).await.chunks), b"cdef\n");
    assert_eq!(two.claim(Orphans::All).await.unwrap(), [], "its owner lives");
    let done = exit(&one, &task, 0).await;
    hear(&mut listener, &news(1, News::State(State::Completed))).await;
    assert_eq!(found(two.get(&task).await.unwrap()), done);
    two.sweep(u64::MAX).await.unwrap();
    assert_eq!(one.get(&task).await.unwrap(), Lookup::Expired);
    assert_eq!(one.read(&task, 0, 9, StreamFilter::Both).await.unwrap(), Lookup::Expired);
}

#[tokio::test]
async fn only_the_owner_writes_and_anyone_asks_to_cancel() {
    let folder = tempfile::tempdir().unwrap();
    let (one, two) = (open(folder.path()).await, open(folder.path()).await);
    let task = running(&one, 1, 100).await;
    let end = Finish { outcome: Outcome::Exited { status: 0 }, at: 5 };
    let late = two.append(&task, Stream::Stdout, bytes(0, 3)).await;
    assert!(matches!(late, Err(Error::Fenced { .. })), "{late:?}");
    assert!(matches!(two.finish(&task, end).await, Err(Error::Fenced { .. })));
    assert!(matches!(two.patch(&task, Patch::Attached).await, Err(Error::Fenced { .. })));
    let mut listener = one.subscribe();
    let asked = found(two.patch(&task, Patch::RequestCancel { at: 7 }).await.unwrap());
    assert_eq!((asked.status, asked.cancel_requested_at), (State::Running, Some(7)));
    hear(&mut listener, &news(1, News::CancelRequested)).await;
    assert_eq!(found(one.get(&task).await.unwrap()).cancel_requested_at, Some(7));
    assert_eq!(exit(&one, &task, 0).await.cancel_requested_at, Some(7));
}

#[tokio::test]
async fn anyone_wishes_and_the_owner_hears_of_it_and_so_does_who_takes_over() {
    let folder = tempfile::tempdir().unwrap();
    let (one, two) = (open(folder.path()).await, open(folder.path()).await);
    let task = running(&one, 1, 100).await;
    let mut listener = one.subscribe();
    let wish = Patch::Wish(Wish::Skip("web1".parse().unwrap()));
    let asked = found(two.patch(&task, wish).await.unwrap());
    hear(&mut listener, &news(1, News::Wished)).await;
    assert_eq!(found(one.get(&task).await.unwrap()).wishes, asked.wishes);
    assert_eq!(asked.wishes.skipped.len(), 1);
    let _ = one.patch(&task, Patch::Wish(Wish::Pause)).await.unwrap();
    drop(one);
    let taken = two.claim(Orphans::All).await.unwrap();
    assert!(taken[0].wishes.paused && taken[0].wishes.skipped == asked.wishes.skipped);
}

#[tokio::test]
async fn a_key_is_taken_for_all_servers() {
    let folder = tempfile::tempdir().unwrap();
    let (one, two) = (open(folder.path()).await, open(folder.path()).await);
    let named = |nonce| {
        let mut new = new_task(nonce);
        new.key = Some("deploy".to_owned());
        new
    };
    one.create(named(1)).await.unwrap();
    let Err(Error::KeyTaken { task }) = two.create(named(2)).await else { panic!("taken twice") };
    assert_eq!(task.id, id(1));
    assert!(matches!(two.create(new_task(1)).await, Err(Error::Exists { .. })));
}

#[tokio::test]
async fn what_a_server_leaves_is_taken_over_where_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let two = open(folder.path()).await;
    let mut listener = two.subscribe();
    let one = open(folder.path()).await;
    let (first, second) = (running(&one, 1, 100).await, running(&one, 2, 100).await);
    out(&one, &first, "abc").await;
    drop(one);
    hear(&mut listener, &Heard::Orphans).await;
    let taken = two.claim(Orphans::One(second.clone())).await.unwrap();
    assert_eq!(taken.iter().map(|task| task.id.clone()).collect::<Vec<_>>(), [second]);
    let taken = two.claim(Orphans::All).await.unwrap();
    assert_eq!((taken[0].id.clone(), taken[0].output.stdout, taken.len()), (first.clone(), 3, 1));
    assert_eq!(out(&two, &first, "def").await.stdout, 6);
    exit(&two, &first, 0).await;
    assert_eq!(flat(&page(&two, &first, 0, 99).await.chunks), b"abcdef");
    let places = std::fs::read_dir(folder.path().join("instances")).unwrap().count();
    assert_eq!(places, 3, "a lock, a socket and a spool of the living");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_server_is_heard_of_and_each_of_its_tasks_goes_to_one() {
    let folder = tempfile::tempdir().unwrap();
    let mut worker = Worker::start(folder.path(), None);
    let (one, two) = (open(folder.path()).await, open(folder.path()).await);
    let (mut here, mut there) = (one.subscribe(), two.subscribe());
    for nonce in 1..=20 {
        worker.must(&format!("create {nonce}"));
        worker.must(&format!("start {nonce}"));
        worker.must(&format!("append {nonce} {}", nonce * 100));
    }
    hear(&mut here, &news(20, News::Grew { total: 2000 })).await;
    assert_eq!(found(one.get(&id(20)).await.unwrap()).output.bytes(), 2000);
    assert_eq!(one.claim(Orphans::All).await.unwrap(), []);
    let _ = one.patch(&id(3), Patch::RequestCancel { at: 7 }).await.unwrap();
    hear(&mut there, &news(3, News::CancelRequested)).await;
    // The worker heard it before or after `there` did; its sweep looks in any case.
    worker.must("sweep 0");
    assert_eq!(worker.must("asked 3"), "Some(7)");
    worker.kill();
    hear(&mut here, &Heard::Orphans).await;
    hear(&mut there, &Heard::Orphans).await;
    let (mine, yours) = tokio::join!(one.claim(Orphans::All), two.claim(Orphans::All));
    let (mine, yours) = (mine.unwrap(), yours.unwrap());
    let mut all: Vec<_> = mine.iter().chain(&yours).map(|task| task.output.bytes()).collect();
    all.sort_unstable();
    assert_eq!(all, (1..=20).map(|nonce| nonce * 100).collect::<Vec<_>>());
    for (store, tasks) in [(&one, mine), (&two, yours)] {
        for task in tasks {
            let at = task.output.bytes();
            store.append(&task.id, Stream::Stdout, bytes(at, 50)).await.unwrap();
            exit(store, &task.id, 0).await;
            let all = page(&one, &task.id, 0, 9999).await;
            assert!(flat(&all.chunks) == bytes(0, at + 50) && all.end);
        }
    }
}

/// A living server cannot lose its lock; were its task taken all the same, its late steps would be refused.
#[tokio::test]
async fn a_late_step_of_a_former_owner_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path()).await;
    let tasks = [running(&store, 1, 100).await, running(&store, 2, 100).await];
    let database = rusqlite::Connection::open(folder.path().join("tasks.db")).unwrap();
    database.execute("UPDATE task SET owner = 'other', epoch = epoch + 1", []).unwrap();
    let end = Finish { outcome: Outcome::Exited { status: 0 }, at: 5 };
    let late = store.finish(&tasks[0], end).await;
    assert!(matches!(late, Err(Error::Fenced { .. })), "{late:?}");
    let late = store.patch(&tasks[1], Patch::Placed { place: "x".into() }).await;
    assert!(matches!(late, Err(Error::Fenced { .. })), "{late:?}");
    for task in &tasks {
        let late = store.append(task, Stream::Stdout, bytes(0, 3)).await;
        assert!(matches!(late, Err(Error::Fenced { .. })), "{late:?}");
        assert_eq!(found(store.get(task).await.unwrap()).status, State::Running);
    }
    // "other" holds no lock: it is dead.
    assert_eq!(store.claim(Orphans::All).await.unwrap().len(), 2);
    exit(&store, &tasks[0], 0).await;
}

#[tokio::test]
async fn a_folder_of_a_newer_version_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    drop(open(folder.path()).await);
    let database = rusqlite::Connection::open(folder.path().join("tasks.db")).unwrap();
    database.pragma_update(None, "user_version", 7).unwrap();
    let refused = DiskStore::open(folder.path(), DiskBounds::default()).await.unwrap_err();
    assert!(matches!(refused, Error::Newer { found: 7, known: 5, .. }), "{refused}");
    let text = refused.to_string();
    assert!(text.contains(folder.path().to_str().unwrap()), "{text}");
    assert!(text.contains("layout 7") && text.contains("up to 5"), "{text}");
}

#[tokio::test]
async fn only_its_owner_may_look_into_the_folder() {
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join("state");
    std::fs::create_dir(&folder).unwrap();
    std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(0o755)).unwrap();
    let store = open(&folder).await;
    let task = running(&store, 1, 100).await;
    out(&store, &task, "x").await;
    let long = running(&store, 2, 9000).await;
    out(&store, &long, &"x".repeat(5000)).await;
    let mut names = Vec::new();
    let mut folders = vec![folder];
    while let Some(path) = folders.pop() {
        let mode = std::fs::metadata(&path).unwrap().permissions().mode() & 0o777;
        names.push(path.extension().map(|kind| kind.to_string_lossy().into_owned()));
        if path.is_dir() {
            assert_eq!(mode, 0o700, "{}", path.display());
            folders.extend(std::fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        } else {
            assert_eq!(mode, 0o600, "{}", path.display());
        }
    }
    for kind in ["db", "db-wal", "db-shm", "log", "idx", "lock", "sock", "spool"] {
        assert!(names.contains(&Some(kind.to_owned())), "{kind} of {names:?}");
    }
}

#[tokio::test]
async fn a_long_path_and_a_link_on_the_way_work() {
    let parent = tempfile::tempdir().unwrap();
    let long = parent.path().join("d".repeat(120)).join("e".repeat(120));
    std::fs::create_dir_all(&long).unwrap();
    let link = parent.path().join("link");
    std::os::unix::fs::symlink(&long, &link).unwrap();
    let (one, two) = (open(&long).await, open(&link).await);
    let mut listener = two.subscribe();
    let task = running(&one, 1, 100).await;
    out(&one, &task, "abc").await;
    hear(&mut listener, &news(1, News::Grew { total: 3 })).await;
    drop(one);
    hear(&mut listener, &Heard::Orphans).await;
    assert_eq!(two.claim(Orphans::All).await.unwrap()[0].output.stdout, 3);
}

/// Eight processes open a new folder at once and write at once; none is told that the database is locked.
#[test]
fn eight_servers_write_at_once() {
    for _ in 0..3 {
        let folder = tempfile::tempdir().unwrap();
        std::thread::scope(|scope| {
            for server in 0..8 {
                let folder = folder.path();
                scope.spawn(move || {
                    let mut worker = Worker::start(folder, None);
                    for task in 0..10 {
                        let nonce = server * 100 + task;
                        worker.must(&format!("create {nonce}"));
                        worker.must(&format!("start {nonce}"));
                        worker.must(&format!("append {nonce} 10"));
                        assert_eq!(worker.must(&format!("finish {nonce}")), "completed 10");
                    }
                    worker.must("sweep 0");
                });
            }
        });
    }
}

/// What runs beside a store ends with it: no thread and no open file is left.
#[test]
fn a_dropped_store_leaves_nothing_running() {
    let folder = tempfile::tempdir().unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let (one, two) = (open(folder.path()).await, open(folder.path()).await);
        let task = running(&one, 1, 100).await;
        out(&one, &task, "x").await;
        assert_eq!(page(&two, &task, 0, 9).await.total, 1);
    });
    drop(runtime);
    // Its threads end by themselves, soon after.
    let path = folder.path().canonicalize().unwrap();
    let mine = || {
        std::fs::read_dir("/proc/self/fd")
            .unwrap()
            .filter_map(|entry| std::fs::read_link(entry.ok()?.path()).ok())
            .filter(|open| open.starts_with(&path))
            .collect::<Vec<_>>()
    };
    let limit = std::time::Instant::now() + Duration::from_secs(30);
    while !mine().is_empty() {
        assert!(std::time::Instant::now() < limit, "still open: {:?}", mine());
        std::thread::yield_now();
    }
}

/// A step that nobody waits for any more is done whole.
#[tokio::test(flavor = "multi_thread")]
async fn a_step_whose_caller_went_away_is_done_or_not() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path()).await;
    let mut listener = store.subscribe();
    let task = running(&store, 1, 100).await;
    let end = Finish { outcome: Outcome::Exited { status: 0 }, at: 5 };
    let mut step = store.finish(&task, end);
    let _ =
        std::future::poll_fn(|context| std::task::Poll::Ready(step.as_mut().poll(context))).await;
    drop(step);
    hear(&mut listener, &news(1, News::State(State::Completed))).await;
    assert_eq!(found(store.get(&task).await.unwrap()).status, State::Completed);
    let late = store.patch(&task, started(9)).await;
    assert!(matches!(late, Err(Error::Illegal { .. })), "{late:?}");
}

/// A task whose caller waits for its result alone.
fn waited(nonce: u128) -> sshepherd_store::NewTask {
    let mut new = new_task(nonce);
    new.care = Care::Result;
    new
}

/// Such a task's first steps wait for a transaction that comes anyway, but not for long.
#[tokio::test]
async fn a_task_is_seen_by_others_while_nobody_asks_its_own_server() {
    let folder = tempfile::tempdir().unwrap();
    let (one, two) = (open(folder.path()).await, open(folder.path()).await);
    one.create(waited(1)).await.unwrap();
    let _ = one.patch(&id(1), started(1)).await.unwrap();
    let seen = async {
        loop {
            if let Lookup::Found(task) = two.get(&id(1)).await.unwrap()
                && task.status == State::Running
            {
                break;
            }
        }
    };
    assert!(tokio::time::timeout(Duration::from_secs(30), seen).await.is_ok(), "never seen");
}

/// Another process that holds the table up holds up who asks the table, and nobody else in this one.
#[tokio::test(flavor = "current_thread")]
async fn whoever_waits_for_the_table_waits_on_another_thread() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path()).await;
    store.create(waited(1)).await.unwrap();
    let _ = store.patch(&id(1), started(1)).await.unwrap();
    let other = rusqlite::Connection::open(folder.path().join("tasks.db")).unwrap();
    other.busy_timeout(Duration::from_secs(30)).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let end = Finish { outcome: Outcome::Exited { status: 0 }, at: 5 };
    let task = id(1);
    let mut finish = store.finish(&task, end);
    // It waits; who else is on this thread goes on, and lets it go on too.
    let waits = is_pending(&mut finish).await;
    assert!(waits, "it cannot have ended");
    other.execute_batch("COMMIT").unwrap();
    assert_eq!(finish.await.unwrap().status, State::Completed);
}

/// Whether it is not done after its first step.
async fn is_pending<F: Future + Unpin>(future: &mut F) -> bool {
    std::future::poll_fn(|cx| Poll::Ready(Pin::new(&mut *future).poll(cx).is_pending())).await
}

/// A task's owner reads the end of its output from memory, the others from files.
#[tokio::test]
async fn what_an_owner_reads_is_what_the_others_read() {
    let folder = tempfile::tempdir().unwrap();
    let (one, two) = (open(folder.path()).await, open(folder.path()).await);
    let task = running(&one, 1, 60_000).await;
    let mut total = 0;
    for round in 0..120_u64 {
        // Small pieces, now and then a large one, and over the limit in the end.
        let length = if round % 17 == 16 { 5000 } else { 1 + round * 7919 % 700 };
        let stream = if round % 3 == 0 { Stream::Stderr } else { Stream::Stdout };
        total = one.append(&task, stream, bytes(total, length)).await.unwrap().bytes();
        for back in [0, 1, 300, 5000, 16_383, 16_384, 16_385, 40_000] {
            let from = total.saturating_sub(back);
            for (most, filter) in [(100, StreamFilter::Both), (50_000, StreamFilter::Stderr)] {
                let read = async |store: &DiskStore| store.read(&task, from, most, filter).await;
                let (own, other) = (read(&one).await.unwrap(), read(&two).await.unwrap());
                assert_eq!(own, other, "round {round}, {back} before the end");
            }
            let most = usize::try_from(back).unwrap();
            let tail = async |store: &DiskStore| store.tail_lines(&task, 3, most).await;
            assert_eq!(tail(&one).await.unwrap(), tail(&two).await.unwrap(), "{back} at the end");
        }
    }
    let beyond = one.read(&task, total + 1, 9, StreamFilter::Both).await;
    assert!(matches!(beyond, Err(Error::BeyondEnd { .. })), "{beyond:?}");
    assert!(total > 60_000);
}
