//! What a person who watches gets: the screen, and nothing else that the host says.

use proptest::prelude::*;
use sshepherd_terminal::Emulator;
use sshepherd_terminal::emulator::VIEW_END;

use crate::hostile::sequence;

/// What in `bytes` is neither text nor a sequence that draws.
fn unsafe_part(bytes: &[u8]) -> Option<String> {
    let text = String::from_utf8(bytes.to_vec()).expect("UTF-8");
    let mut rest = text.as_str();
    while let Some(first) = rest.chars().next() {
        rest = &rest[first.len_utf8()..];
        if first == '\x1b' {
            let end = rest.find(|c: char| c.is_ascii_alphabetic()).map_or(rest.len(), |at| at + 1);
            let (sequence, after) = rest.split_at(end);
            let numbers = sequence[1..sequence.len() - 1]
                .bytes()
                .all(|byte| byte.is_ascii_digit() || byte == b';');
            let draws =
                sequence.starts_with('[') && numbers && sequence.ends_with(['m', 'H', 'K', 'J']);
            if !draws && !["[?25l", "[?25h", "[?7l", "[?7h"].contains(&sequence) {
                return Some(sequence.to_owned());
            }
            rest = after;
        } else if first.is_control() || ('\u{202a}'..='\u{202e}').contains(&first) {
            return Some(first.to_string());
        }
    }
    None
}

#[test]
fn titles_clipboards_and_questions_of_the_host_never_reach_a_watcher() {
    let mut emulator = Emulator::new(40, 5);
    let before = emulator.snapshot();
    let hostile = "\x1b]0;owned\x07\x1b]2;owned\x1b\\\x1b]52;c;b3duZWQ=\x07\x1b]52;c;?\x07\x1b[c\x1b[>c\x1b[5n\x1b[6n\x1b[21t\x1b]11;?\x07\
                   \x1bP$qm\x1b\\\x1b_Gowned\x1b\\\x1b]8;;http://owned\x07link\x1b]8;;\x07\x1b[?1000h\x1b[?2004h\x1b[8;5;5t\x07\x05\x0e\x1bZ\u{9b}5n\
                   \u{9d}0;t\u{9c}\u{202e}end";
    emulator.feed(hostile.as_bytes());
    assert_eq!(emulator.screen().rows[0], "link5n0;tend");
    for bytes in [emulator.repaint(), emulator.changes_since(&before), VIEW_END.to_vec()] {
        assert_eq!(unsafe_part(&bytes), None, "{:?}", String::from_utf8_lossy(&bytes));
        assert!(!bytes.windows(5).any(|part| part == b"owned"));
    }
}

#[test]
fn nothing_is_sent_where_nothing_changed_and_only_what_changed_else() {
    let mut emulator = Emulator::new(80, 24);
    emulator.feed(b"one\r\ntwo");
    let shown = emulator.snapshot();
    assert!(emulator.changes_since(&shown).is_empty());
    emulator.feed(b" more");
    let changes = String::from_utf8(emulator.changes_since(&shown)).unwrap();
    assert!(changes.contains("two more") && !changes.contains("one"), "{changes:?}");
    let shown = emulator.snapshot();
    emulator.resize(60, 20);
    assert_eq!(emulator.changes_since(&shown), emulator.repaint());
}

/// Another terminal that gets only what a watcher gets; wider and higher, since people's are.
fn watcher(emulator: &Emulator) -> Emulator {
    let screen = emulator.screen();
    Emulator::new(screen.cols + 7, screen.height + 3)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn a_watcher_sees_the_same_screen_however_it_came_to_it(pieces in proptest::collection::vec(sequence(), 1..30), at in any::<prop::sample::Index>()) {
        let mut emulator = Emulator::new(11, 6);
        let (early, late) = pieces.split_at(at.index(pieces.len()));
        emulator.feed(&early.concat());
        let (mut follows, mut joins) = (watcher(&emulator), watcher(&emulator));
        let shown = emulator.snapshot();
        prop_assert_eq!(unsafe_part(&emulator.repaint()), None);
        follows.feed(&emulator.repaint());
        emulator.feed(&late.concat());
        let changes = emulator.changes_since(&shown);
        prop_assert_eq!(unsafe_part(&changes), None);
        follows.feed(&changes);
        joins.feed(&emulator.repaint());
        let screen = emulator.screen();
        for watching in [follows.screen(), joins.screen()] {
            prop_assert_eq!(&watching.rows[..screen.rows.len()], &screen.rows[..]);
            prop_assert_eq!((watching.cursor_row, watching.cursor_col), (screen.cursor_row, screen.cursor_col));
            prop_assert_eq!(watching.cursor_visible, screen.cursor_visible);
            prop_assert_eq!(watching.title, "");
        }
    }
}

#[test]
fn a_smaller_terminal_gets_the_rows_up_to_the_cursors_cut_at_its_last_column() {
    let mut emulator = Emulator::new(10, 4);
    emulator.feed("one\r\ntwo\r\n世世世x\r\n0123456789".as_bytes());
    let draw = |cols, rows, emulator: &Emulator| {
        let mut small = Emulator::new(cols, rows);
        small.feed(&emulator.snapshot_within(cols, rows).whole());
        let screen = small.screen();
        (screen.rows, screen.cursor_row, screen.cursor_col)
    };
    let rows = |rows: &[&str]| rows.iter().map(|row| (*row).to_owned()).collect::<Vec<_>>();
    // A wide character that does not fit whole is a blank.
    assert_eq!(draw(5, 2, &emulator), (rows(&["世世", "01234"]), 1, 4));
    emulator.feed(b"\x1b[1;2H");
    assert_eq!(draw(5, 2, &emulator), (rows(&["one", "two"]), 0, 1));
    // A larger one shows it as it is.
    assert_eq!(emulator.snapshot_within(400, 200), emulator.snapshot());
    assert_eq!(
        emulator.snapshot_within(0, 0).since(&emulator.snapshot()).len(),
        emulator.snapshot_within(1, 1).whole().len()
    );
}
