//! The store seen from outside: one suite for every backend, and the in-memory backend's own bounds.
#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod approvals;
mod bounds;
mod common;
mod conformance;
mod crashes;
mod damage;
mod frozen;
mod many;
mod model;
mod racing;
mod retention;
mod sharing;
mod shells;
mod worker;

use sshepherd_store::{DiskBounds, DiskStore, MemoryStore};

/// The next backend adds one test like this.
#[tokio::test]
async fn the_memory_store_conforms() {
    conformance::conformance(async || MemoryStore::default()).await;
}

#[tokio::test]
async fn the_disk_store_conforms() {
    let folders = tempfile::tempdir().unwrap();
    let count = std::cell::Cell::new(0);
    let make = async || {
        count.set(count.get() + 1);
        let folder = folders.path().join(count.get().to_string());
        DiskStore::open(&folder, DiskBounds::default()).await.unwrap()
    };
    conformance::conformance(make).await;
}
