//! The in-memory store stays within its bounds and says what made room.

use sshepherd_model::Stream;
use sshepherd_store::memory::FLOOR_BYTES;
use sshepherd_store::{Bounds, Error, Heard, Lookup, MemoryStore, State, Store, StreamFilter};

use crate::common::{err, exit, flat, found, new_task, out, page, running};

#[tokio::test]
async fn a_full_store_refuses_and_takes_again_when_one_ends() {
    let store = MemoryStore::new(Bounds { live_tasks: 2, ..Bounds::default() });
    let first = running(&store, 1, 10).await;
    running(&store, 2, 10).await;
    let refused = store.create(new_task(3)).await.unwrap_err();
    assert!(matches!(refused, Error::Full { live: 2 }), "{refused}");
    exit(&store, &first, 0).await;
    store.create(new_task(3)).await.unwrap();
}

/// Seed defect 3: finished tasks stayed in memory for ever.
#[tokio::test]
async fn the_task_that_ended_first_makes_room_and_reads_as_expired() {
    let store = MemoryStore::new(Bounds { finished_tasks: 2, expired_ids: 1, ..Bounds::default() });
    let mut ids = Vec::new();
    for nonce in 0..4 {
        let id = running(&store, nonce, 10).await;
        exit(&store, &id, 0).await;
        ids.push(id);
    }
    assert_eq!(store.get(&ids[0]).await.unwrap(), Lookup::Unknown, "forgotten by the bounded ring");
    assert_eq!(store.get(&ids[1]).await.unwrap(), Lookup::Expired);
    assert!(matches!(store.get(&ids[2]).await.unwrap(), Lookup::Found(_)));
}

#[tokio::test]
async fn output_of_finished_tasks_goes_before_that_of_running_ones() {
    let store = MemoryStore::new(Bounds { total_bytes: 300_000, ..Bounds::default() });
    let done = running(&store, 1, 1 << 20).await;
    out(&store, &done, vec![b'd'; 100_000]).await;
    exit(&store, &done, 0).await;
    let at_work = running(&store, 2, 1 << 20).await;
    let totals = out(&store, &at_work, vec![b'w'; 250_000]).await;
    assert_eq!(totals.missing, 0);
    assert_eq!(store.get(&done).await.unwrap(), Lookup::Expired);
    assert!(store.footprint() <= 300_000);
}

/// Even when running tasks alone fill the store, each keeps how it began and how it ends, and memory stays put.
#[tokio::test]
async fn running_tasks_together_stay_within_the_bound() {
    let total = 1 << 20;
    let store = MemoryStore::new(Bounds { total_bytes: total, ..Bounds::default() });
    let mut ids = Vec::new();
    for nonce in 0..20 {
        ids.push(running(&store, nonce, 1 << 20).await);
    }
    let mut most = 0;
    for round in 0..40 {
        for id in &ids {
            out(&store, id, vec![b'a' + (round % 26); 8 << 10]).await;
            most = most.max(store.footprint());
        }
    }
    let floor = usize::try_from(FLOOR_BYTES).unwrap();
    assert!(most <= total + ids.len() * 6 * floor + (8 << 10), "{most}");
    for id in &ids {
        let task = found(store.get(id).await.unwrap());
        assert_eq!((task.status, task.output.stdout), (State::Running, 40 * (8 << 10)));
        assert!(task.output.missing > 0);
        let ends = found(store.head_tail(id, 100, StreamFilter::Both).await.unwrap());
        assert_eq!(flat(&ends.head), [b'a'; 50]);
        assert_eq!(flat(&ends.tail), [b'a' + 39 % 26; 50]);
    }
}

#[tokio::test]
async fn streams_that_take_turns_byte_by_byte_cost_a_constant_factor() {
    let store = MemoryStore::default();
    let most = 256 << 10;
    let id = running(&store, 1, most).await;
    for _ in 0..300_000 {
        out(&store, &id, "o").await;
        err(&store, &id, "e").await;
    }
    let limit = 3 * usize::try_from(most).unwrap() + (64 << 10);
    assert!(store.footprint() <= limit, "{}", store.footprint());
    assert_eq!(page(&store, &id, 599_998, 9).await.chunks.len(), 2);
}

/// 100 MB through the default limit: memory stays at the limit, the count is exact.
#[tokio::test]
async fn a_large_output_keeps_memory_flat() {
    let store = MemoryStore::default();
    let id = running(&store, 1, 1 << 20).await;
    let packet = bytes::Bytes::from(vec![b'x'; 32 << 10]);
    for _ in 0..3200 {
        store.append(&id, Stream::Stdout, packet.clone()).await.unwrap();
    }
    let task = exit(&store, &id, 0).await;
    assert_eq!(task.output.stdout, 3200 * (32 << 10));
    assert_eq!(task.output.missing, task.output.stdout - (1 << 20));
    assert!(store.footprint() < (1 << 20) + (64 << 10), "{}", store.footprint());
}

#[tokio::test]
async fn a_listener_that_lags_is_told_and_blocks_nobody() {
    let store = MemoryStore::new(Bounds { hint_backlog: 4, ..Bounds::default() });
    let mut listener = store.subscribe();
    let id = running(&store, 1, 100).await;
    for _ in 0..10 {
        out(&store, &id, "x").await;
    }
    assert_eq!(listener.next().await, Heard::Lagged(8));
    assert!(matches!(listener.next().await, Heard::Hint(_)));
    for _ in 0..3 {
        listener.next().await;
    }
    drop(store);
    assert_eq!(listener.next().await, Heard::Closed);
}
