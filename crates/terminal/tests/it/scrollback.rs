//! The ring against a list that keeps everything.

use proptest::prelude::*;
use sshepherd_terminal::scrollback::{BeyondEnd, Piece, Scrollback};

proptest! {
    #[test]
    fn the_ring_says_what_a_list_of_everything_says(
        capacity in 0usize..40,
        pushes in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..60), 0..20),
        reads in proptest::collection::vec((0u64..400, prop_oneof![0usize..50, Just(usize::MAX)]), 1..20),
    ) {
        let (mut ring, mut everything) = (Scrollback::new(capacity), Vec::new());
        for push in &pushes {
            ring.push(push);
            everything.extend_from_slice(push);
            let start = everything.len().saturating_sub(capacity);
            prop_assert_eq!((ring.start(), ring.end()), (start as u64, everything.len() as u64));
            for (from, most) in &reads {
                let expected = if *from > everything.len() as u64 {
                    Err(BeyondEnd { asked: *from, end: everything.len() as u64 })
                } else {
                    let first = usize::try_from(*from).unwrap().max(start);
                    let bytes = everything[first..first.saturating_add(*most).min(everything.len())].to_vec();
                    Ok(Piece { from: first as u64, missing_before: first as u64 - from, bytes })
                };
                prop_assert_eq!(ring.read(*from, *most), expected);
            }
        }
    }
}

#[test]
fn what_is_beyond_the_end_is_told_with_the_end() {
    let mut ring = Scrollback::new(4);
    ring.push(b"abcdef");
    let error = ring.read(7, 1).unwrap_err();
    assert_eq!(error.to_string(), "offset 7 is beyond the end, which is 6");
    assert_eq!(ring.read(6, 1), Ok(Piece { from: 6, missing_before: 0, bytes: Vec::new() }));
    assert_eq!(ring.read(0, 3), Ok(Piece { from: 2, missing_before: 2, bytes: b"cde".to_vec() }));
}
