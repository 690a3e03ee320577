//! Bytes made to break a terminal: nothing panics, and a person who watches gets text, colours and places only.

use proptest::prelude::*;
use sshepherd_terminal::Emulator;

/// What a terminal is made to do, with numbers at and beyond every edge.
pub(crate) fn sequence() -> impl Strategy<Value = Vec<u8>> {
    let number = prop_oneof![
        Just(String::new()),
        (0u32..12).prop_map(|n| n.to_string()),
        (0u32..70_000).prop_map(|n| n.to_string())
    ];
    let params = proptest::collection::vec(number, 0..4).prop_map(|numbers| numbers.join(";"));
    let csi = (
        prop_oneof![4 => Just(""), 1 => Just("?"), 1 => Just(">"), 1 => Just("!")],
        params,
        0x40u8..0x7f,
    )
        .prop_map(|(private, params, last)| {
            format!("\x1b[{private}{params}{}", char::from(last)).into_bytes()
        });
    let modes = prop_oneof![
        Just(1),
        Just(6),
        Just(7),
        Just(25),
        Just(47),
        Just(1047),
        Just(1048),
        Just(1049),
        Just(2004)
    ];
    prop_oneof![
        6 => csi,
        2 => (modes, any::<bool>()).prop_map(|(mode, on)| format!("\x1b[?{mode}{}", if on { 'h' } else { 'l' }).into_bytes()),
        2 => (0x20u8..0x7f).prop_map(|last| vec![0x1b, last]),
        1 => (0x20u8..0x30, 0x30u8..0x7f).prop_map(|(one, two)| vec![0x1b, one, two]),
        1 => Just(b"\x1b[4h".to_vec()),
        3 => (0u8..0x20).prop_map(|control| vec![control]),
        2 => Just("日本語".as_bytes().to_vec()),
        2 => Just("☀\u{fe0f}e\u{301}\u{200d}👩\u{fe0f}\u{17d8}\u{ad}\u{115f}".as_bytes().to_vec()),
        3 => "[a-z ]{0,12}".prop_map(String::into_bytes),
        1 => any::<char>().prop_map(|c| c.to_string().into_bytes()),
        1 => proptest::collection::vec(any::<u8>(), 0..6),
        1 => Just(b"\x1b]0;title\x07\x1b]52;c;AAAA\x07\x1b]11;?\x1b\\\x1bP$qm\x1b\\".to_vec()),
    ]
}

#[derive(Debug, Clone)]
enum Step {
    Feed(Vec<u8>),
    Resize(u16, u16),
}

fn size() -> impl Strategy<Value = (u16, u16)> {
    prop_oneof![6 => (0u16..12, 0u16..8), 1 => Just((80, 24)), 1 => Just((u16::MAX, u16::MAX))]
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![12 => sequence().prop_map(Step::Feed), 1 => size().prop_map(|(cols, rows)| Step::Resize(cols, rows))];
    proptest::collection::vec(step, 0..60)
}

fn run(emulator: &mut Emulator, step: &Step) {
    match step {
        Step::Feed(bytes) => emulator.feed(bytes),
        Step::Resize(cols, rows) => emulator.resize(*cols, *rows),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(std::env::var("PROPTEST_CASES").ok().and_then(|n| n.parse().ok()).unwrap_or(1000)))]

    #[test]
    fn no_bytes_and_no_sizes_break_the_screen((cols, rows) in size(), steps in steps()) {
        let mut emulator = Emulator::new(cols, rows);
        for step in &steps {
            run(&mut emulator, step);
            let screen = emulator.screen();
            prop_assert_eq!(screen.rows.len(), usize::from(screen.height));
            prop_assert!(screen.cursor_row < screen.height && screen.cursor_col < screen.cols);
            prop_assert!((1..=500).contains(&screen.cols) && (1..=300).contains(&screen.height));
            prop_assert!(screen.rows.iter().all(|row| row.chars().all(|c| !c.is_control())), "{:?}", screen.rows);
            prop_assert!(screen.title.chars().count() <= 256 && screen.title.chars().all(|c| !c.is_control()));
        }
    }
}
