//! 64 KiB from anywhere in one long output of mixed chunks.

use std::time::Instant;

use sshepherd_model::Stream;
use sshepherd_store::{Care, DiskStore, Lookup, Store, StreamFilter};

use crate::{Setting, bounds, chunk, end, memory, ms, running, show};

const PAGE: u64 = 64 << 10;
const PAGES: usize = 2000;
/// Where no size is given.
const SIZE: u64 = 1 << 30;

pub(crate) async fn measure(setting: &Setting) {
    let store = DiskStore::open(&setting.folder, bounds()).await.unwrap();
    let id = running(&store, 1, Care::EachStep).await;
    let size = setting.size.unwrap_or(SIZE);
    let chunk = chunk(1024);
    for number in 0..size / chunk.len() as u64 {
        let stream = if number % 10 == 0 { Stream::Stderr } else { Stream::Stdout };
        store.append(&id, stream, chunk.clone()).await.unwrap();
    }
    let mib = size >> 20;
    println!("page: RSS after writing {mib} MiB {:?} MiB (now, at most)", memory());
    setting.cool();
    let mut times = Vec::new();
    let mut place = 1_u64;
    for _ in 0..PAGES {
        place =
            place.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let from = (place >> 16) % (size - PAGE);
        let begin = Instant::now();
        let Lookup::Found(page) =
            store.read(&id, from, PAGE as usize, StreamFilter::Both).await.unwrap()
        else {
            panic!("gone")
        };
        times.push(begin.elapsed());
        assert_eq!(page.next - page.from, PAGE);
    }
    show(&format!("page of 64 KiB by cursor in {mib} MiB, {}", setting.cache()), times);
    println!("page: RSS after {PAGES} pages {:?} MiB (now, at most)", memory());
    let begin = Instant::now();
    end(&store, &id).await;
    println!("page: finish with flush of {mib} MiB {:.0} ms", ms(begin));
    let begin = Instant::now();
    store.sweep(u64::MAX).await.unwrap();
    println!("page: expiry of {mib} MiB {:.1} ms", ms(begin));
}
