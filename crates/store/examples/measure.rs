//! Measures the store on disk: `measure tail|append|page|restart [FOLDER]`. Prints one line a figure.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a measurement"
)]

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use sshepherd_model::{Alias, CommandHash, Outcome, Stream, TaskId};
use sshepherd_store::{
    Care, DiskBounds, DiskStore, Durability, Finish, Heard, ListQuery, Lookup, NewTask, News,
    Orphans, Patch, Store, StreamFilter, TaskLimits,
};

const TASKS: u128 = 200;

fn task(nonce: u128, care: Care) -> NewTask {
    let alias: Alias = "web".parse().unwrap();
    let hash = CommandHash::of("uptime");
    NewTask {
        id: TaskId::compose(&alias, &hash, nonce),
        alias,
        hash,
        command: "uptime".to_owned(),
        limits: TaskLimits {
            max_time: Duration::from_secs(60),
            max_output_bytes: 2 << 30,
            result_ttl: Duration::from_secs(300),
        },
        raw_shell: false,
        created_at: u64::try_from(nonce).unwrap(),
        errand: "{}".to_owned(),
        key: None,
        care,
    }
}

async fn running(store: &DiskStore, nonce: u128, care: Care) -> TaskId {
    let id = store.create(task(nonce, care)).await.unwrap().id;
    let start = Patch::Started { at: 1, durability: Durability::Job };
    let Lookup::Found(_) = store.patch(&id, start).await.unwrap() else { panic!("gone") };
    id
}

/// Memory of this process in MiB: now, and at most so far.
fn memory() -> (u64, u64) {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let kib = |name: &str| {
        let line = status.lines().find(|line| line.starts_with(name)).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap()
    };
    (kib("VmRSS:") / 1024, kib("VmHWM:") / 1024)
}

fn show(what: &str, mut times: Vec<Duration>) {
    times.sort_unstable();
    let at =
        |part: usize| times[(times.len() * part / 1000).min(times.len() - 1)].as_secs_f64() * 1e3;
    let (p50, p99, most) = (at(500), at(990), at(1000));
    println!("{what}: p50 {p50:.3} ms, p99 {p99:.3} ms, most {most:.3} ms, n {}", times.len());
}

/// 200 tasks, 5,000 chunks of 1 KB a second in all, a reader for each; the chunk says when it was written.
async fn tail(folder: &Path) {
    let store = Arc::new(DiskStore::open(folder, DiskBounds::default()).await.unwrap());
    let epoch = Instant::now();
    let seconds = 10;
    let (mut writers, mut readers) = (Vec::new(), Vec::new());
    for nonce in 0..TASKS {
        let id = running(&store, nonce, Care::EachStep).await;
        readers.push(tokio::spawn(follow(Arc::clone(&store), id.clone(), epoch)));
        let store = Arc::clone(&store);
        writers.push(tokio::spawn(async move {
            let every = Duration::from_millis(40);
            let phase = every * u32::try_from(nonce).unwrap() / u32::try_from(TASKS).unwrap();
            let mut clock = tokio::time::interval_at(tokio::time::Instant::now() + phase, every);
            for _ in 0..25 * seconds {
                clock.tick().await;
                let mut chunk = vec![b'x'; 1024];
                let now = u64::try_from(epoch.elapsed().as_nanos()).unwrap();
                chunk[..8].copy_from_slice(&now.to_le_bytes());
                store.append(&id, Stream::Stdout, Bytes::from(chunk)).await.unwrap();
            }
            let end = Finish { outcome: Outcome::Exited { status: 0 }, at: 2 };
            store.finish(&id, end).await.unwrap();
        }));
    }
    for writer in writers {
        writer.await.unwrap();
    }
    let mut times = Vec::new();
    for reader in readers {
        times.extend(reader.await.unwrap());
    }
    show("tail, writer to reader", times);
    println!("tail: RSS {:?} MiB (now, at most)", memory());
}

/// Reads a task to its end; one listener a reader, as a client that waits.
async fn follow(store: Arc<DiskStore>, id: TaskId, epoch: Instant) -> Vec<Duration> {
    let mut listener = store.subscribe_to(&id);
    let (mut times, mut from) = (Vec::new(), 0);
    loop {
        let Lookup::Found(page) =
            store.read(&id, from, 64 << 10, StreamFilter::Both).await.unwrap()
        else {
            panic!("gone")
        };
        let now = epoch.elapsed();
        for chunk in &page.chunks {
            for piece in chunk.bytes.chunks(1024) {
                let written = u64::from_le_bytes(piece[..8].try_into().unwrap());
                times.push(now.saturating_sub(Duration::from_nanos(written)));
            }
        }
        if page.end {
            return times;
        }
        if page.next > from {
            from = page.next;
            continue;
        }
        loop {
            match listener.next().await {
                Heard::Hint(hint) if hint.id == id => match hint.news {
                    News::Grew { total } if total <= from => {}
                    News::Grew { .. } | News::State(_) | News::CancelRequested | News::Wished => {
                        break;
                    }
                },
                Heard::Hint(_) => {}
                Heard::Lagged(_) | Heard::Orphans | Heard::Closed => break,
            }
        }
    }
}

/// 1 KB chunks as fast as they are taken, over 200 and over 1,000 tasks in turn.
async fn append(folder: &Path) {
    let store = DiskStore::open(folder, DiskBounds::default()).await.unwrap();
    for tasks in [TASKS, 1000] {
        let mut ids = Vec::new();
        for nonce in 0..tasks {
            ids.push(running(&store, nonce + tasks * 10_000, Care::Result).await);
        }
        let chunk = Bytes::from(vec![b'x'; 1024]);
        let begin = Instant::now();
        let rounds = 200_000 / tasks;
        for _ in 0..rounds {
            for id in &ids {
                store.append(id, Stream::Stdout, chunk.clone()).await.unwrap();
            }
        }
        let each = begin.elapsed().as_secs_f64() / (rounds * tasks) as f64;
        println!("append, {tasks} tasks in turn: {:.0} chunks/s", 1.0 / each);
        for id in &ids {
            let end = Finish { outcome: Outcome::Exited { status: 0 }, at: 2 };
            store.finish(id, end).await.unwrap();
        }
    }
}

/// 64 KiB from anywhere in 1 GiB of output of mixed chunks.
async fn page(folder: &Path) {
    let store = DiskStore::open(folder, DiskBounds::default()).await.unwrap();
    let id = running(&store, 1, Care::EachStep).await;
    let chunk = Bytes::from(vec![b'x'; 1024]);
    for number in 0..1_u64 << 20 {
        let stream = if number % 10 == 0 { Stream::Stderr } else { Stream::Stdout };
        store.append(&id, stream, chunk.clone()).await.unwrap();
    }
    println!("page: RSS after writing 1 GiB {:?} MiB (now, at most)", memory());
    let mut times = Vec::new();
    let mut place = 1_u64;
    for _ in 0..2000 {
        place =
            place.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let from = (place >> 16) % ((1 << 30) - (64 << 10));
        let begin = Instant::now();
        let Lookup::Found(page) =
            store.read(&id, from, 64 << 10, StreamFilter::Both).await.unwrap()
        else {
            panic!("gone")
        };
        times.push(begin.elapsed());
        assert_eq!(page.next - page.from, 64 << 10);
    }
    show("page of 64 KiB by cursor in 1 GiB", times);
    println!("page: RSS after 2,000 pages {:?} MiB (now, at most)", memory());
    let begin = Instant::now();
    let end = Finish { outcome: Outcome::Exited { status: 0 }, at: 2 };
    store.finish(&id, end).await.unwrap();
    println!("page: finish with flush of 1 GiB {:.0} ms", begin.elapsed().as_secs_f64() * 1e3);
    let begin = Instant::now();
    store.sweep(u64::MAX).await.unwrap();
    println!("page: expiry of 1 GiB {:.1} ms", begin.elapsed().as_secs_f64() * 1e3);
}

/// A server with 10,000 finished and 200 running tasks dies; the next one opens, answers, lists and takes over.
async fn restart(folder: &Path) {
    let store = DiskStore::open(folder, DiskBounds::default()).await.unwrap();
    let mut last = None;
    for nonce in 0..10_000 + TASKS {
        let id = running(&store, nonce, Care::Result).await;
        store.append(&id, Stream::Stdout, Bytes::from(vec![b'x'; 1024])).await.unwrap();
        if nonce >= TASKS {
            let end = Finish { outcome: Outcome::Exited { status: 0 }, at: 2 };
            store.finish(&id, end).await.unwrap();
        }
        last = Some(id);
    }
    drop(store);
    let since = Instant::now();
    let ms = || since.elapsed().as_secs_f64() * 1e3;
    let store = DiskStore::open(folder, DiskBounds::default()).await.unwrap();
    println!("restart: open after {:.1} ms", ms());
    let Lookup::Found(_) = store.get(&last.unwrap()).await.unwrap() else { panic!("gone") };
    println!("restart: first task after {:.1} ms", ms());
    let page = store.list(ListQuery { limit: 100, ..ListQuery::default() }).await.unwrap();
    println!("restart: list of {} after {:.1} ms", page.tasks.len(), ms());
    let taken = store.claim(Orphans::All).await.unwrap();
    println!("restart: {} taken over after {:.1} ms", taken.len(), ms());
    assert!(taken.iter().all(|task| task.output.stdout == 1024));
    println!("restart: RSS {:?} MiB (now, at most)", memory());
}

#[tokio::main]
async fn main() {
    let mut arguments = std::env::args().skip(1);
    let what = arguments.next().unwrap_or_default();
    let folder = arguments.next().map_or_else(std::env::temp_dir, Into::into);
    let folder = folder.join(format!("sshepherd-measure-{}", std::process::id()));
    match what.as_str() {
        "tail" => tail(&folder).await,
        "append" => append(&folder).await,
        "page" => page(&folder).await,
        "restart" => restart(&folder).await,
        _ => println!("measure tail|append|page|restart [FOLDER]"),
    }
    let _ = std::fs::remove_dir_all(&folder);
}
