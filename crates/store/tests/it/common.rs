//! Short hands for the tests.

use std::time::Duration;

use bytes::Bytes;
use sshepherd_model::{Alias, Chunk, CommandHash, Outcome, Stream, TaskId};
use sshepherd_store::{
    Care, Durability, Finish, Lookup, NewTask, Page, Patch, Store, StreamFilter, Task, TaskLimits,
    Totals,
};

/// A task of the host `web` with the default limits of the seed.
pub(crate) fn new_task(nonce: u128) -> NewTask {
    let alias: Alias = "web".parse().unwrap();
    let hash = CommandHash::of("uptime");
    NewTask {
        id: TaskId::compose(&alias, &hash, nonce),
        alias,
        hash,
        command: "uptime".to_owned(),
        limits: TaskLimits {
            max_time: Duration::from_secs(60),
            max_output_bytes: 1 << 20,
            result_ttl: Duration::from_secs(300),
        },
        raw_shell: false,
        created_at: 1000,
        errand: "{}".to_owned(),
        key: None,
        digest: None,
        care: Care::EachStep,
    }
}

/// A running task that keeps at most `most` bytes.
pub(crate) async fn running(store: &(impl Store + ?Sized), nonce: u128, most: u64) -> TaskId {
    let mut new = new_task(nonce);
    new.limits.max_output_bytes = most;
    let task = store.create(new).await.unwrap();
    found(store.patch(&task.id, started(1010)).await.unwrap());
    task.id
}

pub(crate) fn found<T>(lookup: Lookup<T>) -> T {
    lookup.found().unwrap_or_else(|| panic!("not found"))
}

pub(crate) async fn out(
    store: &(impl Store + ?Sized),
    id: &TaskId,
    text: impl AsRef<[u8]>,
) -> Totals {
    let bytes = Bytes::copy_from_slice(text.as_ref());
    store.append(id, Stream::Stdout, bytes).await.unwrap()
}

pub(crate) async fn err(
    store: &(impl Store + ?Sized),
    id: &TaskId,
    text: impl AsRef<[u8]>,
) -> Totals {
    let bytes = Bytes::copy_from_slice(text.as_ref());
    store.append(id, Stream::Stderr, bytes).await.unwrap()
}

pub(crate) async fn exit(store: &(impl Store + ?Sized), id: &TaskId, status: u32) -> Task {
    store.finish(id, Finish { outcome: Outcome::Exited { status }, at: 2000 }).await.unwrap()
}

pub(crate) async fn page(
    store: &(impl Store + ?Sized),
    id: &TaskId,
    from: u64,
    max: usize,
) -> Page {
    found(store.read(id, from, max, StreamFilter::Both).await.unwrap())
}

pub(crate) fn chunk(stream: Stream, text: &str) -> Chunk {
    Chunk { stream, bytes: text.as_bytes().to_vec() }
}

/// The bytes of all chunks, one after the other.
pub(crate) fn flat(chunks: &[Chunk]) -> Vec<u8> {
    chunks.iter().flat_map(|chunk| chunk.bytes.clone()).collect()
}

/// The command was sent as a job.
pub(crate) fn started(at: u64) -> Patch {
    Patch::Started { at, durability: Durability::Job }
}
