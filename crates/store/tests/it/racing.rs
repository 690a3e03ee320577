//! Readers and writers of one task at the same time, in two servers.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use sshepherd_model::Stream;
use sshepherd_store::{DiskBounds, DiskStore, Store, StreamFilter};

use crate::common::{exit, flat, found, running};
use crate::worker::bytes;

/// While segments are made and removed as fast as can be, every read answers, and answers the bytes of its offsets.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_reader_never_sees_the_gap_being_made() {
    let folder = tempfile::tempdir().unwrap();
    let one = DiskStore::open(folder.path(), DiskBounds::default()).await.unwrap();
    let two = Arc::new(DiskStore::open(folder.path(), DiskBounds::default()).await.unwrap());
    let id = running(&one, 1, 100 << 10).await;
    let done = Arc::new(AtomicBool::new(false));
    let mut readers = Vec::new();
    for reader in 0..3_u64 {
        let (two, id, done) = (Arc::clone(&two), id.clone(), Arc::clone(&done));
        readers.push(tokio::spawn(async move {
            let (mut most, mut reads) = (0, 0_u64);
            while !done.load(Ordering::SeqCst) {
                let from = (most * reader / 3).saturating_sub(reads % 70_000);
                let read = two.read(&id, from, 20_000, StreamFilter::Both).await;
                let page = found(read.unwrap());
                assert!(page.total >= most, "{} bytes after {most}", page.total);
                most = page.total;
                let expected = bytes(page.from, page.next - page.from);
                assert!(flat(&page.chunks) == expected, "other bytes from {from}");
                let ends = found(two.head_tail(&id, 5000, StreamFilter::Both).await.unwrap());
                let tail = flat(&ends.tail);
                let length = tail.len() as u64;
                assert!(tail == bytes(ends.total - length, length), "another tail");
                let total = found(two.get(&id).await.unwrap()).output.bytes();
                assert!(total >= most, "{total} bytes after {most}");
                most = total;
                reads += 1;
            }
            reads
        }));
    }
    let mut at = 0;
    for round in 0..10_000_u64 {
        let length = 1 + round * 7919 % 40_000;
        one.append(&id, Stream::Stdout, bytes(at, length)).await.unwrap();
        at += length;
        tokio::task::yield_now().await;
    }
    done.store(true, Ordering::SeqCst);
    for reader in readers {
        assert!(reader.await.unwrap() > 0);
    }
    assert_eq!(exit(&one, &id, 0).await.output.stdout, at);
}

/// Short outputs that end in the spool, and others that outgrow it, are read by another server meanwhile: nothing that was
/// seen is ever missing.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_reader_never_sees_an_output_on_its_way_from_one_place_to_the_next() {
    let folder = tempfile::tempdir().unwrap();
    let one = DiskStore::open(folder.path(), DiskBounds::default()).await.unwrap();
    let two = Arc::new(DiskStore::open(folder.path(), DiskBounds::default()).await.unwrap());
    for nonce in 1..=150 {
        let id = running(&one, nonce, 100 << 10).await;
        let reader = tokio::spawn({
            let (two, id) = (Arc::clone(&two), id.clone());
            async move {
                let (mut most, mut end) = (0, false);
                while !end {
                    let total = found(two.get(&id).await.unwrap()).output.bytes();
                    assert!(total >= most, "{total} bytes after {most}");
                    let read = two.read(&id, 0, 20_000, StreamFilter::Both).await;
                    let page = found(read.unwrap());
                    assert!(page.total >= total, "{} bytes after {total}", page.total);
                    assert!(flat(&page.chunks) == bytes(0, page.total), "other bytes");
                    (most, end) = (page.total, page.end);
                }
                most
            }
        });
        let length = 10 + u64::try_from(nonce).unwrap() * 7919 % 300;
        for round in 0..20 {
            one.append(&id, Stream::Stdout, bytes(round * length, length)).await.unwrap();
            tokio::task::yield_now().await;
        }
        exit(&one, &id, 0).await;
        assert_eq!(reader.await.unwrap(), 20 * length);
    }
}
