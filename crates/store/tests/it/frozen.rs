//! A server that is stopped with a lock in its hand keeps no other one waiting for ever.

use std::fs::File;
use std::path::Path;
use std::time::{Duration, Instant};

use sshepherd_store::{DiskBounds, DiskStore, Error, Lookup, Store};

use crate::common::{exit, found, new_task, running};

async fn open(folder: &Path) -> Result<DiskStore, Error> {
    let opened = DiskStore::open(folder, DiskBounds::default());
    tokio::time::timeout(Duration::from_secs(30), opened).await.unwrap()
}

#[tokio::test]
async fn a_folder_is_opened_beside_a_server_that_is_stopped_while_it_opens_it() {
    let folder = tempfile::tempdir().unwrap();
    let lock = File::create(folder.path().join("opening.lock")).unwrap();
    lock.lock().unwrap();
    // One that is new could be made twice.
    let refused = open(folder.path()).await.unwrap_err();
    assert!(matches!(refused, Error::Held { .. }), "{refused}");
    lock.unlock().unwrap();
    let one = open(folder.path()).await.unwrap();
    let task = running(&one, 1, 10).await;
    lock.lock().unwrap();
    let two = open(folder.path()).await.unwrap();
    exit(&one, &task, 0).await;
    assert!(found(two.get(&task).await.unwrap()).status.is_final());
}

#[tokio::test]
async fn a_database_that_is_held_is_waited_for_once_and_then_said_to_be() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path()).await.unwrap();
    let holder = rusqlite::Connection::open(folder.path().join("tasks.db")).unwrap();
    holder.execute_batch("BEGIN IMMEDIATE").unwrap();
    let mut times = Vec::new();
    for nonce in 1..4 {
        let began = Instant::now();
        let refused = store.create(new_task(nonce)).await.unwrap_err();
        assert!(refused.to_string().contains("it is held by another process"), "{refused}");
        times.push(began.elapsed());
    }
    assert!(times[0] < Duration::from_secs(15), "{times:?}");
    assert!(times[1] + times[2] < Duration::from_secs(5), "{times:?}");
    // Others start and read all the same.
    let other = open(folder.path()).await.unwrap();
    assert_eq!(other.get(&new_task(1).id).await.unwrap(), Lookup::Unknown);
    holder.execute_batch("ROLLBACK").unwrap();
    store.create(new_task(4)).await.unwrap();
}
