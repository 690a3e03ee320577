//! What the screen shows: what the recordings do not say, or where we differ from tmux on purpose.

use sshepherd_terminal::{Emulator, Screen, looks_like_prompt};

fn screen(cols: u16, height: u16, bytes: &[u8]) -> Screen {
    let mut emulator = Emulator::new(cols, height);
    emulator.feed(bytes);
    emulator.screen()
}

fn rows(cols: u16, height: u16, bytes: &[u8]) -> Vec<String> {
    screen(cols, height, bytes).rows
}

#[test]
fn text_wraps_and_wide_characters_stand_once() {
    assert_eq!(rows(4, 2, "ab日本".as_bytes()), ["ab日", "本"]);
    assert_eq!(rows(4, 2, "abc日".as_bytes()), ["abc", "日"]);
    assert_eq!(rows(6, 1, "e\u{301}x".as_bytes()), ["e\u{301}x"]);
}

#[test]
fn what_hides_or_turns_text_has_no_place_and_the_picture_mark_does_not_widen() {
    assert_eq!(rows(20, 1, "a\u{202e}b\u{200b}c\u{e0041}d".as_bytes()), ["abcd"]);
    // In the last column of a one-column screen the emulator beneath broke on U+FE0F.
    assert_eq!(rows(1, 1, "☀\u{fe0f}".as_bytes()), ["☀"]);
    assert_eq!(rows(4, 1, "☀\u{fe0f}x".as_bytes()), ["☀x"]);
}

#[test]
fn c1_controls_are_no_sequences_and_broken_bytes_show() {
    assert_eq!(rows(20, 1, "a\u{9b}31mb\u{85}c".as_bytes()), ["a31mbc"]);
    assert_eq!(rows(20, 1, b"a\x9bb\xffc"), ["a\u{fffd}b\u{fffd}c"]);
    assert_eq!(rows(20, 1, "a\u{fffd}b".as_bytes()), ["a\u{fffd}b"]);
}

#[test]
fn line_drawing_insert_mode_and_no_wrapping_are_understood() {
    assert_eq!(rows(20, 1, b"\x1b(0lqk\x1b(Bx\x1b)0\x0ex\x0fx"), ["┌─┐x│x"]);
    assert_eq!(rows(20, 1, b"world\r\x1b[4hhello \x1b[4lW"), ["hello World"]);
    assert_eq!(rows(5, 2, b"\x1b[?7labcdefg\x1b[?7h"), ["abcdg", ""]);
    assert_eq!(rows(3, 2, b"\x1b#8"), ["EEE", "EEE"]);
    assert_eq!(rows(30, 1, b"\x1b[2Ix\x1b[Zy"), [" ".repeat(16) + "y"]);
}

#[test]
fn a_few_bytes_order_little_work() {
    assert_eq!(rows(10, 2, b"ab\x1b[65535b"), ["abbbbbbbbb", ""]);
    assert_eq!(
        rows(10, 2, b"a\x1b[99999999999999999999Cb\x1b[99999;99999Hc"),
        ["a        b", "         c"]
    );
}

/// Each found by random sequences in tmux and here; the emulator beneath does otherwise by itself.
#[test]
fn regions_repeats_and_the_other_screen_are_those_of_terminals() {
    assert_eq!(rows(5, 4, b"\x1b[3;4rx"), ["x", "", "", ""], "a region sends the cursor home");
    assert_eq!(
        rows(5, 4, b"\x1b[?6h\x1b[3;4rx"),
        ["", "", "x", ""],
        "home is its top where rows count from there"
    );
    assert_eq!(
        rows(5, 4, b"\x1b[3;4r\x1b[3;1Ha\x1b[H\x1bMx"),
        ["x", "", "a", ""],
        "above a region nothing scrolls"
    );
    assert_eq!(rows(5, 2, b"ab\r\n\x1b[bx"), ["ab", "x"], "only what was just drawn is repeated");
    assert_eq!(
        screen(5, 4, b"a\r\nb\x1b[?1049h").cursor_row,
        1,
        "the cursor goes along to the other screen"
    );
    assert_eq!(rows(9, 1, b"a\x1b[?47hold\x1b[?47l\x1b[?47hx"), ["    x"], "and finds it empty");
}

#[test]
fn the_state_of_the_terminal_is_told() {
    let mut emulator = Emulator::new(20, 3);
    emulator.feed(b"$ \x1b[?2004h\x1b[?1h\x1b[?25l\x1b]2;the title\x07");
    let shell = emulator.screen();
    assert!(
        shell.bracketed_paste
            && shell.application_cursor
            && !shell.cursor_visible
            && !shell.alternate_screen
    );
    assert_eq!((shell.title.as_str(), shell.cursor_row, shell.cursor_col), ("the title", 0, 2));
    assert_eq!(shell.before_cursor, "$ ");
    assert!(looks_like_prompt(&shell.before_cursor));
    emulator.feed(b"\x1b[?1049hfull");
    assert!(emulator.screen().alternate_screen);
    emulator.feed(b"\x1b[?1049l");
    assert_eq!(emulator.screen(), shell);
    emulator.feed(b"\x1bc");
    assert_eq!(emulator.screen().rows, ["", "", ""]);
}

#[test]
fn a_title_is_bounded_and_has_no_controls() {
    let title = format!("\x1b]0;a\u{85}b\u{202e}c\nd{}\x07", "x".repeat(5000));
    let title = screen(10, 1, title.as_bytes()).title;
    assert!(title.starts_with("abcdxxx"), "{title}");
    assert_eq!(title.chars().count(), 256);
}

#[test]
fn sizes_are_bounded_and_the_bottom_of_the_screen_stays() {
    let mut emulator = Emulator::new(0, u16::MAX);
    assert_eq!((emulator.screen().cols, emulator.screen().height), (1, 300));
    emulator.resize(10, 4);
    emulator.feed(b"\x1b[2J\x1b[H1\r\n2\r\n3\r\n4");
    emulator.resize(10, 2);
    assert_eq!(emulator.screen().rows, ["3", "4"]);
    emulator.resize(12, 3);
    assert_eq!(emulator.screen().rows, ["3", "4", ""]);
    assert_eq!((emulator.screen().cursor_row, emulator.screen().cursor_col), (1, 1));
}
