//! Names of keys and what they send; pastes that press no keys.

use sshepherd_terminal::keys::{encode, paste};

const KEYS: &[(&str, &str)] = &[
    ("Enter", "\r"),
    ("enter", "\r"),
    ("Return", "\r"),
    ("Tab", "\t"),
    ("Shift-Tab", "\x1b[Z"),
    ("BackTab", "\x1b[Z"),
    ("BTab", "\x1b[Z"),
    ("Escape", "\x1b"),
    ("Esc", "\x1b"),
    ("Space", " "),
    ("Backspace", "\x7f"),
    ("BSpace", "\x7f"),
    ("Delete", "\x1b[3~"),
    ("Insert", "\x1b[2~"),
    ("Up", "\x1b[A"),
    ("Down", "\x1b[B"),
    ("Right", "\x1b[C"),
    ("Left", "\x1b[D"),
    ("Home", "\x1b[H"),
    ("End", "\x1b[F"),
    ("PageUp", "\x1b[5~"),
    ("PageDown", "\x1b[6~"),
    ("PPage", "\x1b[5~"),
    ("F1", "\x1bOP"),
    ("F4", "\x1bOS"),
    ("F5", "\x1b[15~"),
    ("F6", "\x1b[17~"),
    ("F10", "\x1b[21~"),
    ("F11", "\x1b[23~"),
    ("F12", "\x1b[24~"),
    ("Ctrl-A", "\x01"),
    ("ctrl+z", "\x1a"),
    ("C-c", "\x03"),
    ("^C", "\x03"),
    ("^[", "\x1b"),
    ("^?", "\x7f"),
    ("Ctrl-Space", "\0"),
    ("Ctrl-[", "\x1b"),
    ("Ctrl-\\", "\x1c"),
    ("Ctrl-]", "\x1d"),
    ("Ctrl-^", "\x1e"),
    ("Ctrl-_", "\x1f"),
    ("Alt-x", "\x1bx"),
    ("Alt-X", "\x1bX"),
    ("M-x", "\x1bx"),
    ("M-C-a", "\x1b\x01"),
    ("Alt-Enter", "\x1b\r"),
    ("Alt-Backspace", "\x1b\x7f"),
    ("Alt--", "\x1b-"),
    ("Shift-Up", "\x1b[1;2A"),
    ("Alt-Left", "\x1b[1;3D"),
    ("Ctrl-Right", "\x1b[1;5C"),
    ("Ctrl-Shift-Home", "\x1b[1;6H"),
    ("Ctrl-End", "\x1b[1;5F"),
    ("Shift-F1", "\x1b[1;2P"),
    ("Ctrl-Delete", "\x1b[3;5~"),
    ("Ctrl-PageUp", "\x1b[5;5~"),
    ("Ctrl-Backspace", "\x08"),
    ("Shift-a", "A"),
    ("a", "a"),
    ("A", "A"),
    ("-", "-"),
    ("^", "^"),
    ("é", "é"),
    ("日", "日"),
];

#[test]
fn keys_send_what_xterm_sends() {
    for (name, bytes) in KEYS {
        let sent = encode(name, false).map(|sent| String::from_utf8(sent).unwrap());
        assert_eq!(sent.as_deref(), Ok(*bytes), "{name}");
    }
}

#[test]
fn programs_that_asked_get_the_application_form() {
    for (name, bytes) in [
        ("Up", "\x1bOA"),
        ("Left", "\x1bOD"),
        ("Home", "\x1bOH"),
        ("End", "\x1bOF"),
        ("Ctrl-Up", "\x1b[1;5A"),
        ("F5", "\x1b[15~"),
    ] {
        assert_eq!(encode(name, true), Ok(bytes.as_bytes().to_vec()), "{name}");
    }
}

#[test]
fn an_unknown_key_is_told_with_names_near_it() {
    for (name, near) in [
        ("Entr", "Enter"),
        ("PageUpp", "PageUp"),
        ("Ctrl-Lef", "Ctrl-Left"),
        ("Backspce", "Backspace"),
        ("escpe", "Escape"),
    ] {
        let unknown = encode(name, false).unwrap_err();
        assert_eq!(unknown.near.first().map(String::as_str), Some(near), "{unknown}");
        assert!(unknown.to_string().contains(near), "{unknown}");
    }
    for name in
        ["", "Ctrl-", "Ctrl-Enter", "Ctrl-Ctrl-c", "F13", "ab", "\x1b", "Ctrl-1", "^^^", "Ctrl-é"]
    {
        assert!(encode(name, false).is_err(), "{name:?}");
    }
    let long = encode(&"x".repeat(100_000), false).unwrap_err().to_string();
    assert!(long.len() < 300, "{}", long.len());
}

#[test]
fn a_paste_presses_no_keys_and_cannot_end_its_wrap() {
    assert_eq!(paste("ls\nid\r\n", false), b"ls\rid\r");
    assert_eq!(paste("ls\n", true), b"\x1b[200~ls\r\x1b[201~");
    let hostile = "a\x1b[201~b\x1b\x1b[201~[201~c\x03\x04\u{9b}201~d\te";
    let sent = String::from_utf8(paste(hostile, true)).unwrap();
    assert_eq!(sent, "\x1b[200~ab[201~c201~d\te\x1b[201~");
    assert_eq!(sent.matches('\x1b').count(), 2);
}
