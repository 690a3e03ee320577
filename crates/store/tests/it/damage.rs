//! What a full disk and a power cut leave.

use std::path::{Path, PathBuf};

use sshepherd_model::{Stream, TaskId};
use sshepherd_store::{DiskBounds, DiskStore, Orphans, Store, StreamFilter};

use crate::common::{exit, flat, found, new_task, started};
use crate::crashes::{content, go_on};
use crate::worker::{Worker, bytes};

/// A full disk (here: a limit on the length of files) loses nothing and doubles nothing.
#[test]
fn a_task_that_found_no_room_is_taken_when_there_is_some() {
    let folder = tempfile::tempdir().unwrap();
    let mut worker = Worker::start_with_small_files(folder.path(), 60);
    // The database is at its limit first; nothing that it refuses leaves a trace.
    let (mut created, mut refused) = (0, String::new());
    while refused.is_empty() && created < 100 {
        let answer = worker.ask(&format!("create {}", created + 1)).unwrap();
        if answer.starts_with("error") { refused = answer } else { created += 1 }
    }
    assert!(refused.contains("task database"), "{refused}");
    assert_eq!(worker.must(&format!("get {}", created + 1)), "unknown");
    assert!(worker.ask(&format!("create {}", created + 1)).unwrap().starts_with("error"));
    worker.must("room");
    assert_eq!(worker.must(&format!("create {}", created + 1)), "pending 0");
}

#[test]
fn output_that_found_no_room_goes_on_when_there_is_some() {
    let folder = tempfile::tempdir().unwrap();
    // Opening, creating and starting one task takes less than this of any file.
    let mut worker = Worker::start_with_small_files(folder.path(), 120);
    worker.must("create 1");
    worker.must("start 1");
    let mut total = 0;
    // Above the length of a file, below the size of a segment: appends of 60,000 bytes, of which the third does not fit.
    for _ in 0..2 {
        total += 60_000;
        assert_eq!(worker.must("append 1 60000"), total.to_string());
    }
    let refused = worker.ask("append 1 130000").unwrap();
    assert!(refused.contains("cannot write output to"), "{refused}");
    assert_eq!(worker.must("get 1"), format!("running {total}"));
    worker.must("append 1 5");
    // The write-ahead log of the database is as long as a file may be by now: the end is refused, and can be repeated.
    let mut others = 1;
    while worker.ask(&format!("create {}", others + 1)).unwrap().starts_with("pending") {
        others += 1;
    }
    // A start takes a page, which is the least that a step takes.
    let mut started =
        |other: &u32| worker.ask(&format!("start {other}")).unwrap().starts_with("error");
    assert!((2..=others).any(|other| started(&other)), "there is room for every start");
    let refused = worker.ask("finish 1").unwrap();
    assert!(refused.contains("task database"), "{refused}");
    assert_eq!(worker.must("get 1"), format!("running {}", total + 5));
    worker.must("room");
    worker.must("append 1 130000");
    assert_eq!(worker.must("finish 1"), format!("completed {}", total + 130_005));
    drop(worker);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let store = DiskStore::open(folder.path(), DiskBounds::default()).await.unwrap();
        content(&store, &new_task(1).id, total + 130_005).await;
    });
}

/// The same on a disk that is full: every step is refused and changes nothing, and works when there is room.
#[test]
#[ignore = "mounts a small tmpfs, as root"]
fn a_full_disk_refuses_and_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let mut worker = Worker::start_with_small_disk(folder.path(), 4096);
    worker.must("create 1");
    worker.must("start 1");
    worker.must("append 1 5000");
    worker.must("fill");
    for step in ["append 1 9000", "append 1 9001", "finish 1", "create 2"] {
        let mut answer = worker.ask(step).unwrap();
        // The write-ahead log may have room left for one more.
        for nonce in 100..200 {
            if answer.starts_with("error") || !step.starts_with("create") {
                break;
            }
            answer = worker.ask(&format!("create {nonce}")).unwrap();
        }
        if step == "finish 1" && !answer.starts_with("error") {
            return worker_goes_on(&mut worker);
        }
        assert!(answer.starts_with("error"), "{step}: {answer}");
        assert_eq!(worker.must("get 1"), "running 5000");
    }
    worker_goes_on(&mut worker);
}

fn worker_goes_on(worker: &mut Worker) {
    worker.must("free");
    if worker.must("get 1") == "running 5000" {
        worker.must("append 1 9000");
        assert_eq!(worker.must("finish 1"), "completed 14000");
    }
    assert_eq!(worker.must("whole 1"), "true");
    worker.must("create 300");
}

/// A power cut leaves files of any length, and zeros or garbage at their ends: a beginning of what was written is found.
#[test]
fn any_length_of_index_and_bytes_reads_as_a_beginning() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let folder = tempfile::tempdir().unwrap();
        let id = new_task(1).id;
        let store = DiskStore::open(folder.path(), DiskBounds::default()).await.unwrap();
        store.create(new_task(1)).await.unwrap();
        let _ = store.patch(&id, started(1)).await.unwrap();
        // More than the spool takes.
        let borders = [0_u64, 5000, 5001, 5013];
        for pair in borders.windows(2) {
            let more = bytes(pair[0], pair[1] - pair[0]);
            store.append(&id, Stream::Stdout, more).await.unwrap();
        }
        drop(store);
        let log = folder.path().join("logs").join(id.as_str());
        let path = |kind| log.join(format!("{:020}.{kind}", 0));
        let (data, index) =
            (std::fs::read(path("log")).unwrap(), std::fs::read(path("idx")).unwrap());
        let ends = [Vec::new(), vec![0; 70], vec![0xA5; 70]];
        for kind in ["log", "idx"] {
            let whole = if kind == "log" { &data } else { &index };
            let near = |length: &usize| length % 1000 < 20 || length % 1000 == 999;
            for length in (0..=whole.len()).filter(near) {
                for end in &ends {
                    // Bytes behind the last entry are nobody's; an entry's bytes are believed.
                    if kind == "log" && !end.is_empty() && length < data.len() {
                        continue;
                    }
                    std::fs::create_dir_all(&log).unwrap();
                    // What the one before went on with.
                    if let Some(spool) = spool(folder.path()) {
                        std::fs::remove_file(spool).unwrap();
                    }
                    std::fs::write(path("log"), &data).unwrap();
                    std::fs::write(path("idx"), &index).unwrap();
                    std::fs::write(path(kind), [&whole[..length], end].concat()).unwrap();
                    let kept = if kind == "log" { length as u64 } else { borders[length / 32] };
                    let kept = *borders.iter().rfind(|border| **border <= kept).unwrap();
                    survives(folder.path(), &id, kept).await;
                }
            }
        }
    });
}

/// The only spool of the folder.
fn spool(folder: &Path) -> Option<PathBuf> {
    let found = std::fs::read_dir(folder.join("instances")).unwrap();
    let mut spools = found.map(|entry| entry.unwrap().path());
    spools.find(|path| path.extension().is_some_and(|end| end == "spool"))
}

/// The same for short outputs.
#[test]
fn any_length_of_a_spool_reads_as_a_beginning() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let folder = tempfile::tempdir().unwrap();
        let id = new_task(1).id;
        let store = DiskStore::open(folder.path(), DiskBounds::default()).await.unwrap();
        store.create(new_task(1)).await.unwrap();
        let _ = store.patch(&id, started(1)).await.unwrap();
        let borders = [0_u64, 7, 8, 20];
        for pair in borders.windows(2) {
            let more = bytes(pair[0], pair[1] - pair[0]);
            store.append(&id, Stream::Stdout, more).await.unwrap();
        }
        drop(store);
        let whole = std::fs::read(spool(folder.path()).unwrap()).unwrap();
        let header = (whole.len() - 20) / 3;
        for length in 0..=whole.len() {
            for end in [Vec::new(), vec![0; 70], vec![0xA5; 70], whole.clone()] {
                let path = spool(folder.path()).unwrap();
                std::fs::write(path, [&whole[..length], &end].concat()).unwrap();
                let records = (1..4).rev().find(|n| length >= n * header + borders[*n] as usize);
                let mut kept = borders[records.unwrap_or(0)];
                // What is there twice counts once, and what comes after it goes on.
                let border = length == records.map_or(0, |n| n * header + borders[n] as usize);
                if border && end == whole {
                    kept = 20;
                }
                survives(folder.path(), &id, kept).await;
            }
        }
    });
}

async fn survives(folder: &Path, id: &TaskId, kept: u64) {
    let store = DiskStore::open(folder, DiskBounds::default()).await.unwrap();
    let before = found(store.get(id).await.unwrap()).output.bytes();
    let claimed = store.claim(Orphans::All).await.unwrap();
    assert_eq!((before, claimed[0].output.bytes()), (kept, kept));
    content(&store, id, kept).await;
    store.append(id, Stream::Stdout, bytes(kept, 9)).await.unwrap();
    content(&store, id, kept + 9).await;
}

/// A hole in the middle, or a segment that is not there, ends what is believed.
#[tokio::test]
async fn what_lies_behind_a_hole_is_not_believed() {
    let folder = tempfile::tempdir().unwrap();
    let mut new = new_task(1);
    new.limits.max_output_bytes = 1 << 20;
    let id = new.id.clone();
    let store = DiskStore::open(folder.path(), DiskBounds::default()).await.unwrap();
    store.create(new).await.unwrap();
    let _ = store.patch(&id, started(1)).await.unwrap();
    for round in 0..30 {
        store.append(&id, Stream::Stdout, bytes(round * 30_000, 30_000)).await.unwrap();
    }
    drop(store);
    let log = folder.path().join("logs").join(id.as_str());
    // A zeroed entry in the middle of the first of two segments.
    let path = log.join(format!("{:020}.idx", 0));
    let mut index = std::fs::read(&path).unwrap();
    index[5 * 32..6 * 32].fill(0);
    std::fs::write(&path, index).unwrap();
    let store = DiskStore::open(folder.path(), DiskBounds::default()).await.unwrap();
    let claimed = store.claim(Orphans::All).await.unwrap();
    assert_eq!(claimed[0].output.bytes(), 150_000);
    content(&store, &id, 150_000).await;
    go_on(&store, &id, false).await;
}

/// A long output is read without looking at each of its segments, and a hole in it still ends what is believed.
#[tokio::test]
async fn a_long_output_is_read_anywhere_up_to_a_hole() {
    const MIB: u64 = 1 << 20;
    let folder = tempfile::tempdir().unwrap();
    let mut new = new_task(1);
    new.limits.max_output_bytes = 1 << 30;
    let id = new.id.clone();
    let store = DiskStore::open(folder.path(), DiskBounds::default()).await.unwrap();
    store.create(new).await.unwrap();
    let _ = store.patch(&id, started(1)).await.unwrap();
    // Segments are of 64 MiB.
    let total = 450 * MIB;
    for round in 0..450 {
        store.append(&id, Stream::Stdout, bytes(round * MIB, MIB)).await.unwrap();
    }
    let places = [0, 3 * MIB + 7, 64 * MIB - 5, 200 * MIB, total - 9, total];
    let read = async |from| store.read(&id, from, 9000, StreamFilter::Both).await;
    for ended in [false, true] {
        for from in places {
            let page = found(read(from).await.unwrap());
            assert_eq!((page.from, page.total, page.missing_before), (from, total, 0));
            assert!(flat(&page.chunks) == bytes(from, page.next - from), "from {from}");
            assert_eq!(page.next, total.min(from + 9000));
        }
        if !ended {
            exit(&store, &id, 0).await;
        }
    }
    let path = folder.path().join("logs").join(id.as_str()).join(format!("{:020}.idx", 128 * MIB));
    let mut index = std::fs::read(&path).unwrap();
    index[10 * 32..11 * 32].fill(0);
    std::fs::write(&path, index).unwrap();
    for from in [138 * MIB, 138 * MIB + 7, 139 * MIB - 1] {
        assert!(read(from).await.is_err(), "what a power cut took is not made up: from {from}");
    }
    assert!(flat(&found(read(5 * MIB).await.unwrap()).chunks) == bytes(5 * MIB, 9000));
}
