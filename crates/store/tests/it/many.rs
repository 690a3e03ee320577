//! Many tasks at once.

use sshepherd_model::Stream;
use sshepherd_store::{Care, DiskBounds, DiskStore, ListQuery, NewTask, Store};

use crate::common::{exit, flat, found, new_task, page, started};
use crate::worker::bytes;

/// A thousand tasks that all write leave room under the usual limit of 1,024 open files.
#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_tasks_at_work_open_few_files() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().canonicalize().unwrap();
    let store = DiskStore::open(&root, DiskBounds::default()).await.unwrap();
    let mut ids = Vec::new();
    for nonce in 0..1000 {
        let task = store.create(NewTask { care: Care::Result, ..new_task(nonce) });
        let id = task.await.unwrap().id;
        let _ = store.patch(&id, started(1)).await.unwrap();
        ids.push(id);
    }
    for round in 0..5 {
        for id in &ids {
            store.append(id, Stream::Stdout, bytes(round * 100, 100)).await.unwrap();
        }
    }
    let open = std::fs::read_dir("/proc/self/fd")
        .unwrap()
        .filter_map(|entry| std::fs::read_link(entry.ok()?.path()).ok())
        .filter(|open| open.starts_with(&root))
        .count();
    assert!(open <= 400, "{open} files are open");
    for id in &ids {
        assert!(flat(&page(&store, id, 0, 9999).await.chunks) == bytes(0, 500));
        assert_eq!(exit(&store, id, 0).await.output.stdout, 500);
    }
    assert_eq!(found(store.get(&ids[0]).await.unwrap()).output.stdout, 500);
}

/// Readers that ask all the time do not keep the write-ahead log from being taken over.
#[tokio::test(flavor = "multi_thread")]
async fn the_write_ahead_log_stays_small() {
    let folder = tempfile::tempdir().unwrap();
    let one = DiskStore::open(folder.path(), DiskBounds::default()).await.unwrap();
    let two = DiskStore::open(folder.path(), DiskBounds::default()).await.unwrap();
    let asking = async {
        loop {
            two.list(ListQuery::default()).await.unwrap();
        }
    };
    let writing = async {
        let mut most = 0;
        for nonce in 0..1500 {
            let mut new = NewTask { care: Care::Result, ..new_task(nonce) };
            new.command = "x".repeat(6000);
            let id = one.create(new).await.unwrap().id;
            let _ = one.patch(&id, started(1)).await.unwrap();
            exit(&one, &id, 0).await;
            let log = folder.path().join("tasks.db-wal");
            most = most.max(std::fs::metadata(log).unwrap().len());
        }
        most
    };
    let most = tokio::select! {
        most = writing => most,
        () = asking => 0,
    };
    assert!((1..24 << 20).contains(&most), "{most} bytes");
}

/// Two servers that sweep at once expire each result once; a clock that went back expires nothing.
#[tokio::test(flavor = "multi_thread")]
async fn results_expire_once() {
    let folder = tempfile::tempdir().unwrap();
    let one = DiskStore::open(folder.path(), DiskBounds::default()).await.unwrap();
    let two = DiskStore::open(folder.path(), DiskBounds::default()).await.unwrap();
    for nonce in 0..50 {
        let id = one.create(new_task(nonce)).await.unwrap().id;
        let _ = one.patch(&id, started(1)).await.unwrap();
        exit(&one, &id, 0).await;
    }
    let (first, second) = tokio::join!(one.sweep(u64::MAX), two.sweep(u64::MAX));
    assert_eq!(first.unwrap().expired + second.unwrap().expired, 50);
    assert_eq!(one.sweep(1).await.unwrap().expired, 0);
    assert_eq!(two.list(ListQuery::default()).await.unwrap().tasks, []);
}
