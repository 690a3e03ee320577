//! Properties over random output: the same text however it was cut, and no loaded secret in any piece.

use std::sync::LazyLock;

use proptest::prelude::*;
use sshepherd_sanitise::Screen;

/// Compiling the shapes takes longer than a case.
static SCREEN: LazyLock<Screen> = LazyLock::new(|| Screen::new([SECRET]));

const SECRET: &str = "s3cr3t-Pa55";

fn nasty() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        Just(SECRET.as_bytes().to_vec()),
        Just(b"\x1b[31m".to_vec()),
        Just(b"\x1b]0;t\x07".to_vec()),
        Just(b"\x1b]".to_vec()),
        Just(b"\x1b".to_vec()),
        Just(b"\r".to_vec()),
        Just(b"\n".to_vec()),
        Just("\u{202e}\u{200b}\u{e0041}\u{9b}é😀".as_bytes().to_vec()),
        Just(b"c3VjaA s3cr3t- Pa55".to_vec()),
        "[a-z ]{0,8}".prop_map(String::into_bytes),
        proptest::collection::vec(any::<u8>(), 0..6),
    ];
    proptest::collection::vec(piece, 0..24).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn the_pieces_say_what_the_whole_says(raw in nasty(), cut in any::<prop::sample::Index>()) {
        let screen = &*SCREEN;
        let whole = screen.whole(&raw);
        let text = whole.text();
        prop_assert!(!text.contains(SECRET), "{:?}", text);
        prop_assert!(text.chars().all(|c| c == '\n' || c == '\t' || !c.is_control()), "{:?}", text);
        prop_assert_eq!(screen.whole(text.as_bytes()).text(), text.clone(), "what is clean stays as it is");
        prop_assert_eq!(whole.lines.iter().map(|line| line.raw).sum::<usize>(), raw.len());
        let at = cut.index(raw.len() + 1);
        let (head, tail) = raw.split_at(at);
        let (one, two) = (screen.view(&[], head, tail), screen.view(head, tail, &[]));
        let removed = one.removed.total() + two.removed.total();
        prop_assert_eq!(removed, whole.removed.total());
        // A secret across the cut is told on both sides.
        let together = one.text() + &two.text();
        prop_assert!(!together.contains(SECRET), "{:?}", together);
        if one.redacted.values().chain(two.redacted.values()).sum::<u64>() == whole.redacted.values().sum::<u64>() {
            prop_assert_eq!(together, text);
        }
    }
}
