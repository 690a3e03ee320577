//! Any sequence of appends and reads answers what the plain model answers.

use bytes::Bytes;
use proptest::prelude::*;
use sshepherd_model::{Chunk, Stream};
use sshepherd_store::{MemoryStore, Store, StreamFilter};

use crate::common::{exit, found, running};
use crate::model::Model;

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().build().unwrap()
}

fn appends(
    bytes: impl Strategy<Value = u8> + Clone,
) -> impl Strategy<Value = Vec<(Stream, Vec<u8>)>> {
    let stream = prop_oneof![Just(Stream::Stdout), Just(Stream::Stderr)];
    let data = prop_oneof![
        4 => prop::collection::vec(bytes.clone(), 0..20),
        1 => prop::collection::vec(bytes, 5000..20_000),
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

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    /// ASCII only, so that no border of a character moves a cut: the answers are exact.
    #[test]
    fn reading_to_the_end_gives_what_the_model_kept(
        appends in appends(prop_oneof![3 => 0x61_u8..0x70, 1 => Just(b'\n')]),
        most in prop_oneof![0_usize..50, 20_000_usize..60_000],
        step in prop_oneof![1_usize..40, 1000_usize..30_000],
        filter in filters(),
    ) {
        runtime().block_on(async {
            let store = MemoryStore::default();
            let id = running(&store, 1, most as u64).await;
            let mut model = Model::default();
            for (stream, bytes) in appends {
                model.append(stream, &bytes);
                let totals = store.append(&id, stream, Bytes::from(bytes)).await.unwrap();
                prop_assert_eq!(totals.bytes(), model.row.len() as u64);
                prop_assert_eq!(totals.missing, model.gap(most).len() as u64);
                prop_assert_eq!(totals.lines, model.lines());
            }
            exit(&store, &id, 0).await;
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
                if page.end { break }
            }
            prop_assert_eq!(missing, gap.len() as u64);
            let kept = [&model.row[..gap.start], &model.row[gap.end..]].concat();
            prop_assert_eq!(got, passing(&kept, filter));
            Ok(())
        })?;
    }

    /// Any bytes: head and tail are a beginning and an end, and nothing is unaccounted for.
    #[test]
    fn head_and_tail_are_the_beginning_and_the_end(
        appends in appends(any::<u8>()),
        most in prop_oneof![0_usize..50, 20_000_usize..60_000],
        budget in 0_usize..30_000,
        filter in filters(),
    ) {
        runtime().block_on(async {
            let store = MemoryStore::default();
            let id = running(&store, 1, most as u64).await;
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
        })?;
    }

    /// A text of wide characters, cut anywhere by limit, page and budget, still decodes piece by piece.
    #[test]
    fn no_cut_falls_inside_a_character(
        text in "[aé€😀\n]{0,200}",
        most in 4_u64..300,
        step in 4_usize..50,
    ) {
        runtime().block_on(async {
            let store = MemoryStore::default();
            let id = running(&store, 1, most).await;
            // Split at any byte, as packets are.
            for part in text.as_bytes().chunks(7) {
                store.append(&id, Stream::Stdout, Bytes::copy_from_slice(part)).await.unwrap();
                let mut from = 0;
                loop {
                    let page = found(store.read(&id, from, step, StreamFilter::Both).await.unwrap());
                    for chunk in &page.chunks {
                        prop_assert!(std::str::from_utf8(&chunk.bytes).is_ok(), "{:?}", page);
                    }
                    if page.next == from { break }
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
        })?;
    }

    /// Whole lines at the end of the text, whatever the number and the budget.
    #[test]
    fn tail_lines_are_the_last_lines(
        text in "[ab\n]{0,60}", lines in 0_usize..8, budget in 1_usize..70,
    ) {
        runtime().block_on(async {
            let store = MemoryStore::default();
            let id = running(&store, 1, 1000).await;
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
        })?;
    }
}
