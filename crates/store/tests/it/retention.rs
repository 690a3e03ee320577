//! Any sequence of appends and reads answers what the plain model answers.

use bytes::Bytes;
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use sshepherd_model::{Chunk, Stream};
use sshepherd_store::{DiskBounds, DiskStore, MemoryStore, Store, StreamFilter};

use crate::common::{exit, found, out, running};
use crate::model::Model;

/// Runs `body` for many values, each time over a task of an empty memory store and over a new task of a store on disk.
fn over_each<S: Strategy>(
    values: S,
    body: impl AsyncFn(&dyn Store, u128, S::Value) -> Result<(), TestCaseError>,
) where
    S::Value: Clone,
{
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let open = DiskStore::open(folder.path(), DiskBounds::default());
    let disk = runtime.block_on(open).unwrap();
    let nonce = std::cell::Cell::new(0);
    let mut runner = TestRunner::new(ProptestConfig {
        failure_persistence: None,
        ..ProptestConfig::with_cases(100)
    });
    let done = runner.run(&values, |value| {
        nonce.set(nonce.get() + 1);
        runtime.block_on(async {
            body(&MemoryStore::default(), nonce.get(), value.clone()).await?;
            body(&disk, nonce.get(), value).await
        })
    });
    done.unwrap_or_else(|failure| panic!("{failure}"));
}

fn appends(
    bytes: impl Strategy<Value = u8> + Clone,
) -> impl Strategy<Value = Vec<(Stream, Vec<u8>)>> {
    let stream = prop_oneof![Just(Stream::Stdout), Just(Stream::Stderr)];
    let data = prop_oneof![
        4 => prop::collection::vec(bytes.clone(), 0..20),
        1 => prop::collection::vec(bytes, 5000..40_000),
    ];
    prop::collection::vec((stream, data), 0..30)
}

fn filters() -> impl Strategy<Value = StreamFilter> {
    prop_oneof![Just(StreamFilter::Both), Just(StreamFilter::Stdout), Just(StreamFilter::Stderr)]
}

fn tagged(chunks: &[Chunk]) -> Vec<(Stream, u8)> {
    chunks.iter().flat_map(|chunk| chunk.bytes.iter().map(|byte| (chunk.stream, *byte))).collect()
}

fn passing(row: &[(Stream, u8)], filter: StreamFilter) -> Vec<(Stream, u8)> {
    row.iter().filter(|(stream, _)| filter.passes(*stream)).copied().collect()
}

/// ASCII only, so that no border of a character moves a cut: the answers are exact.
#[test]
fn reading_to_the_end_gives_what_the_model_kept() {
    let values = (
        appends(prop_oneof![3 => 0x61_u8..0x70, 1 => Just(b'\n')]),
        prop_oneof![0_usize..50, 20_000_usize..60_000],
        prop_oneof![1_usize..40, 1000_usize..30_000],
        filters(),
    );
    over_each(values, async |store, nonce, (appends, most, step, filter)| {
        let id = running(store, nonce, most as u64).await;
        let mut model = Model::default();
        for (stream, bytes) in appends {
            model.append(stream, &bytes);
            let totals = store.append(&id, stream, Bytes::from(bytes)).await.unwrap();
            prop_assert_eq!(totals.bytes(), model.row.len() as u64);
            prop_assert_eq!(totals.missing, model.gap(most).len() as u64);
            prop_assert_eq!(totals.lines, model.lines());
        }
        exit(store, &id, 0).await;
        let gap = model.gap(most);
        let mut got = Vec::new();
        let (mut from, mut missing) = (0, 0);
        // A read of few bytes at a time over the long rows would take for ever.
        let step = step.max(model.row.len() / 500);
        loop {
            let page = found(store.read(&id, from, step, filter).await.unwrap());
            prop_assert_eq!(page.from, from + page.missing_before);
            let row = tagged(&page.chunks);
            prop_assert!(row.len() <= step);
            let span = usize::try_from(page.from).unwrap()..usize::try_from(page.next).unwrap();
            prop_assert_eq!(&row, &passing(&model.row[span], filter));
            got.extend(row);
            missing += page.missing_before;
            prop_assert!(page.next > from || page.end);
            from = page.next;
            if page.end {
                break;
            }
        }
        prop_assert_eq!(missing, gap.len() as u64);
        let kept = [&model.row[..gap.start], &model.row[gap.end..]].concat();
        prop_assert_eq!(got, passing(&kept, filter));
        Ok(())
    });
}

/// Any bytes: head and tail are a beginning and an end, and nothing is unaccounted for.
#[test]
fn head_and_tail_are_the_beginning_and_the_end() {
    let values = (
        appends(any::<u8>()),
        prop_oneof![0_usize..50, 20_000_usize..60_000],
        0_usize..30_000,
        filters(),
    );
    over_each(values, async |store, nonce, (appends, most, budget, filter)| {
        let id = running(store, nonce, most as u64).await;
        let mut model = Model::default();
        for (stream, bytes) in appends {
            model.append(stream, &bytes);
            store.append(&id, stream, Bytes::from(bytes)).await.unwrap();
        }
        let all = passing(&model.row, filter);
        let answer = found(store.head_tail(&id, budget, filter).await.unwrap());
        let (head, tail) = (tagged(&answer.head), tagged(&answer.tail));
        prop_assert!(head.len() + tail.len() <= budget);
        prop_assert_eq!(answer.total, all.len() as u64);
        prop_assert_eq!((head.len() + tail.len()) as u64 + answer.missing, answer.total);
        prop_assert!(all.starts_with(&head) && all.ends_with(&tail));
        if all.len() <= budget && model.gap(most).is_empty() {
            prop_assert_eq!(answer.missing, 0);
        }
        Ok(())
    });
}

/// A text of wide characters, cut anywhere by limit, page and budget, still decodes piece by piece.
#[test]
fn no_cut_falls_inside_a_character() {
    let values = ("[aé€😀\n]{0,200}", 4_u64..300, 4_usize..50);
    over_each(values, async |store, nonce, (text, most, step)| {
        let id = running(store, nonce, most).await;
        // Split at any byte, as packets are.
        for part in text.as_bytes().chunks(7) {
            store.append(&id, Stream::Stdout, Bytes::copy_from_slice(part)).await.unwrap();
            let mut from = 0;
            loop {
                let page = found(store.read(&id, from, step, StreamFilter::Both).await.unwrap());
                for chunk in &page.chunks {
                    prop_assert!(std::str::from_utf8(&chunk.bytes).is_ok(), "{:?}", page);
                }
                if page.next == from {
                    break;
                }
                from = page.next;
            }
        }
        let both = found(store.head_tail(&id, step, StreamFilter::Both).await.unwrap());
        for chunk in both.head.iter().chain(&both.tail) {
            prop_assert!(std::str::from_utf8(&chunk.bytes).is_ok(), "{:?}", both);
        }
        let tail = found(store.tail_lines(&id, 3, step).await.unwrap());
        for line in &tail.lines {
            prop_assert!(std::str::from_utf8(line).is_ok(), "{:?}", tail);
        }
        Ok(())
    });
}

/// Whole lines at the end of the text, whatever the number and the budget.
#[test]
fn tail_lines_are_the_last_lines() {
    let values = ("[ab\n]{0,60}", 0_usize..8, 1_usize..70);
    over_each(values, async |store, nonce, (text, lines, budget)| {
        let id = running(store, nonce, 1000).await;
        store.append(&id, Stream::Stdout, Bytes::from(text.clone())).await.unwrap();
        let all: Vec<&str> = text.lines().collect();
        let tail = found(store.tail_lines(&id, lines, budget).await.unwrap());
        prop_assert_eq!(tail.total_lines, all.len() as u64);
        prop_assert!(tail.lines.len() <= lines);
        let skip = usize::from(tail.first_cut);
        let whole: Vec<&str> =
            tail.lines.iter().skip(skip).map(|line| std::str::from_utf8(line).unwrap()).collect();
        prop_assert!(all.ends_with(&whole), "{:?} of {:?}", whole, all);
        prop_assert_eq!(tail.has_more, tail.first_cut || tail.lines.len() < all.len());
        if lines > 0 && !all.is_empty() {
            prop_assert!(!tail.lines.is_empty());
        }
        if budget >= text.len() {
            prop_assert_eq!(tail.lines.len(), lines.min(all.len()));
            prop_assert!(!tail.first_cut);
        }
        Ok(())
    });
}

/// What lies on the disk stays near the limit, however much came.
#[tokio::test]
async fn ten_times_the_limit_takes_the_room_of_the_limit() {
    let (most, segment) = (512 << 10, 256 << 10);
    let folder = tempfile::tempdir().unwrap();
    let store = DiskStore::open(folder.path(), DiskBounds::default()).await.unwrap();
    let id = running(&store, 1, most).await;
    for round in 0..640_u64 {
        out(&store, &id, vec![b'a' + u8::try_from(round % 26).unwrap(); 8 << 10]).await;
        let bytes: u64 = std::fs::read_dir(folder.path().join("logs").join(id.as_str()))
            .unwrap()
            .map(|entry| entry.unwrap().metadata().unwrap().len())
            .sum();
        assert!(bytes <= most + 3 * segment, "{bytes} after {round}");
    }
    let task = exit(&store, &id, 0).await;
    assert_eq!((task.output.stdout, task.output.missing), (10 * most, 9 * most));
    let page = found(store.read(&id, most / 2, 10, StreamFilter::Both).await.unwrap());
    assert_eq!((page.missing_before, page.from), (9 * most, 10 * most - most / 2));
}
