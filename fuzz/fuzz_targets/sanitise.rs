//! Whatever a host prints, and however it is cut: no control character, no secret, and clean text stays as it is.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use sshepherd_sanitise::Screen;

static SCREEN: LazyLock<Screen> = LazyLock::new(|| Screen::new(["s3cr3t-Pa55"]));

fuzz_target!(|input: (&[u8], u16)| {
    let (raw, cut) = input;
    let text = SCREEN.whole(raw).text();
    assert!(!text.contains("s3cr3t-Pa55"));
    assert!(text.chars().all(|letter| letter == '\n' || letter == '\t' || !letter.is_control()));
    assert_eq!(SCREEN.whole(text.as_bytes()).text(), text);
    let (head, tail) = raw.split_at(usize::from(cut) % (raw.len() + 1));
    let together = SCREEN.view(&[], head, tail).text() + &SCREEN.view(head, tail, &[]).text();
    assert!(!together.contains("s3cr3t-Pa55"));
});
