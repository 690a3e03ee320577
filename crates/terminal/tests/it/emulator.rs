//! What the screen shows, and that nothing can break it.

use sshepherd_terminal::Emulator;

fn rows(cols: u16, height: u16, bytes: &[u8]) -> Vec<String> {
    let mut emulator = Emulator::new(cols, height);
    emulator.feed(bytes);
    emulator.screen().rows
}

#[test]
fn text_wraps_and_wide_characters_stand_once() {
    assert_eq!(rows(4, 2, "ab日本".as_bytes()), ["ab日", "本"]);
}
