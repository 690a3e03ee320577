//! Marks: ours are cut out however the bytes were cut, others stay.

use proptest::prelude::*;
use sshepherd_terminal::marks::{Mark, Marks};

const NONCE: &str = "n0nce";

/// Every piece through one reader: the bytes and the marks at their places in the whole.
fn all(pieces: &[&[u8]]) -> (Vec<u8>, Vec<(usize, Mark)>) {
    let mut reader = Marks::new(NONCE);
    let (mut bytes, mut marks) = (Vec::new(), Vec::new());
    for piece in pieces {
        let marked = reader.feed(piece);
        marks.extend(marked.marks.iter().map(|(at, mark)| (bytes.len() + at, *mark)));
        bytes.extend(marked.bytes);
    }
    bytes.extend(reader.finish());
    (bytes, marks)
}

#[test]
fn a_prompt_a_command_and_its_end_are_told_with_their_places() {
    let session = b"\x1b]133;A;sshepherd=n0nce\x07$ \x1b]133;B;sshepherd=n0nce\x1b\\ls\r\n\x1b]133;C;sshepherd=n0nce\x07a b\r\n\x1b]133;D;0;sshepherd=n0nce\x07";
    let (bytes, marks) = all(&[session]);
    assert_eq!(bytes, b"$ ls\r\na b\r\n");
    let expected = [
        (0, Mark::PromptStart),
        (2, Mark::PromptEnd),
        (6, Mark::CommandStart),
        (11, Mark::CommandEnd { status: Some(0) }),
    ];
    assert_eq!(marks, expected);
    assert_eq!(
        all(&[b"\x1b]133;D;sshepherd=n0nce\x07"]).1,
        [(0, Mark::CommandEnd { status: None })]
    );
    assert_eq!(
        all(&[b"\x1b]133;D;255;sshepherd=n0nce\x07"]).1,
        [(0, Mark::CommandEnd { status: Some(255) })]
    );
}

#[test]
fn what_does_not_know_the_nonce_marks_nothing_and_stays() {
    for forged in [
        "\x1b]133;A\x07",
        "\x1b]133;A;sshepherd=\x07",
        "\x1b]133;A;sshepherd=n0nc\x07",
        "\x1b]133;A;sshepherd=n0ncee\x07",
        "\x1b]133;A;sshepherd=N0NCE\x07",
        "\x1b]133;A;x=y;sshepherd=n0nce\x07",
        "\x1b]133;D;256;sshepherd=n0nce\x07",
        "\x1b]133;D;;sshepherd=n0nce\x07",
        "\x1b]133;E;sshepherd=n0nce\x07",
        "\x1b]133;A;sshepherd=n0nce\x1b[m",
        "\x1b]633;A;sshepherd=n0nce\x07",
    ] {
        assert_eq!(
            all(&[forged.as_bytes()]),
            (forged.as_bytes().to_vec(), Vec::new()),
            "{forged:?}"
        );
    }
    for nonce in ["", "a;b", "a\x07"] {
        let mark = format!("\x1b]133;A;sshepherd={nonce}\x07");
        let marked = Marks::new(nonce).feed(mark.as_bytes());
        assert_eq!((marked.bytes, marked.marks), (mark.into_bytes(), Vec::new()), "{nonce:?}");
    }
}

#[test]
fn a_reader_says_nothing_of_its_nonce() {
    assert!(!format!("{:?}", Marks::new(NONCE)).contains(NONCE));
}

fn session() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        Just(b"\x1b]133;A;sshepherd=n0nce\x07".to_vec()),
        Just(b"\x1b]133;C;sshepherd=n0nce\x1b\\".to_vec()),
        (0u16..400)
            .prop_map(|status| format!("\x1b]133;D;{status};sshepherd=n0nce\x07").into_bytes()),
        Just(b"\x1b]133;D;sshepherd=n0nce\x07".to_vec()),
        Just(b"\x1b]133;B;sshepherd=other\x07".to_vec()),
        Just(b"\x1b]133;A;sshepherd=n0".to_vec()),
        Just(b"\x1b]13".to_vec()),
        Just(b"\x1b".to_vec()),
        "[a-z\r\n ]{0,6}".prop_map(String::into_bytes),
    ];
    proptest::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn any_cuts_give_the_same_whole(session in session(), cuts in proptest::collection::vec(any::<prop::sample::Index>(), 0..12)) {
        let mut at: Vec<usize> = cuts.iter().map(|cut| cut.index(session.len() + 1)).collect();
        at.extend([0, session.len()]);
        at.sort_unstable();
        let pieces: Vec<&[u8]> = at.windows(2).map(|ends| &session[ends[0]..ends[1]]).collect();
        prop_assert_eq!(all(&pieces), all(&[&session]));
        let bytes: Vec<&[u8]> = session.chunks(1).collect();
        prop_assert_eq!(all(&bytes), all(&[&session]));
    }

    #[test]
    fn little_is_held_back(session in session()) {
        let mut reader = Marks::new(NONCE);
        let (mut given, mut cut) = (0, 0);
        for (at, byte) in session.iter().enumerate() {
            let marked = reader.feed(&[*byte]);
            given += marked.bytes.len();
            // A mark ends what was held; it is no longer than the longest mark.
            if !marked.marks.is_empty() { cut = at + 1 - given; }
            prop_assert!(at + 1 - given - cut <= 40, "{} bytes held", at + 1 - given - cut);
        }
    }
}
