//! The store seen from outside: one suite for every backend, and the in-memory backend's own bounds.
#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod bounds;
mod common;
mod conformance;
mod model;
mod retention;

use sshepherd_store::MemoryStore;

/// The next backend adds one test like this.
#[tokio::test]
async fn the_memory_store_conforms() {
    conformance::conformance(MemoryStore::default).await;
}
