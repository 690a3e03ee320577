//! 200 tasks, 5,000 chunks of 1 KB a second in all, a reader for each; the chunk says when it was written.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use sshepherd_model::{Stream, TaskId};
use sshepherd_store::{Care, DiskStore, Heard, Lookup, News, Store, StreamFilter, Subscription};

use crate::{Setting, TASKS, bounds, end, memory, running, show};

const SECONDS: u32 = 10;
/// Between two chunks of one task.
const EVERY: Duration = Duration::from_millis(40);
const CHUNK: usize = 1024;

/// What one reader saw of its chunks.
#[derive(Default)]
struct Times {
    /// From before the append until the reader has the bytes.
    whole: Vec<Duration>,
    /// From before the append until the reader, who waits, is told that there is more.
    told: Vec<Duration>,
    /// From then until it has them.
    read: Vec<Duration>,
}

pub(crate) async fn measure(setting: &Setting) {
    let store = Arc::new(DiskStore::open(&setting.folder, bounds()).await.unwrap());
    let epoch = Instant::now();
    let (mut writers, mut readers) = (Vec::new(), Vec::new());
    for nonce in 0..TASKS {
        let id = running(&store, nonce, Care::EachStep).await;
        readers.push(tokio::spawn(follow(Arc::clone(&store), id.clone(), epoch)));
        let phase = EVERY * u32::try_from(nonce).unwrap() / u32::try_from(TASKS).unwrap();
        writers.push(tokio::spawn(write(Arc::clone(&store), id, epoch, phase)));
    }
    for writer in writers {
        writer.await.unwrap();
    }
    let mut all = Times::default();
    for reader in readers {
        let times = reader.await.unwrap();
        all.whole.extend(times.whole);
        all.told.extend(times.told);
        all.read.extend(times.read);
    }
    show("tail, writer to reader", all.whole);
    show("tail, of that until the reader is told", all.told);
    show("tail, of that from then until it is read", all.read);
    println!("tail: RSS {:?} MiB (now, at most)", memory());
}

/// A chunk with the time in it, again and again.
async fn write(store: Arc<DiskStore>, id: TaskId, epoch: Instant, phase: Duration) {
    let mut clock = tokio::time::interval_at(tokio::time::Instant::now() + phase, EVERY);
    for _ in 0..SECONDS * 1000 / u32::try_from(EVERY.as_millis()).unwrap() {
        clock.tick().await;
        let mut chunk = vec![b'x'; CHUNK];
        let now = u64::try_from(epoch.elapsed().as_nanos()).unwrap();
        chunk[..8].copy_from_slice(&now.to_le_bytes());
        store.append(&id, Stream::Stdout, Bytes::from(chunk)).await.unwrap();
    }
    end(&store, &id).await;
}

/// Reads a task to its end; one listener a reader, as a client that waits.
async fn follow(store: Arc<DiskStore>, id: TaskId, epoch: Instant) -> Times {
    let mut listener = store.subscribe_to(&id);
    let (mut times, mut from) = (Times::default(), 0);
    // When it was told, if it had to wait.
    let mut told = None;
    loop {
        let Lookup::Found(page) =
            store.read(&id, from, 64 << 10, StreamFilter::Both).await.unwrap()
        else {
            panic!("gone")
        };
        let now = epoch.elapsed();
        for piece in page.chunks.iter().flat_map(|chunk| chunk.bytes.chunks(CHUNK)) {
            let written = Duration::from_nanos(u64::from_le_bytes(piece[..8].try_into().unwrap()));
            times.whole.push(now.saturating_sub(written));
            if let Some(told) = told.take() {
                times.told.push(Duration::saturating_sub(told, written));
                times.read.push(now - told);
            }
        }
        if page.end {
            return times;
        }
        // Asks again before it waits, as each call with `wait_ms` does.
        if page.next > from {
            from = page.next;
            continue;
        }
        more(&mut listener, &id, from).await;
        told = Some(epoch.elapsed());
    }
}

/// Waits until there is something to read after `from`.
async fn more(listener: &mut Subscription, id: &TaskId, from: u64) {
    loop {
        match listener.next().await {
            Heard::Hint(hint) if hint.id == *id => match hint.news {
                News::Grew { total } if total <= from => {}
                News::Grew { .. } | News::State(_) | News::CancelRequested | News::Wished => return,
            },
            Heard::Hint(_) => {}
            Heard::Lagged(_) | Heard::Orphans | Heard::Closed => return,
        }
    }
}
