use super::*;

fn screen() -> Screen {
    Screen::new(["hunter2!"])
}

#[test]
fn bytes_that_are_no_utf_8_are_replaced_and_counted_wherever_they_are_cut() {
    let bytes = b"caf\xe9 \xff\xfe ok \xe2\x82\n";
    let whole = screen().whole(bytes);
    assert_eq!(whole.note().as_deref(), Some("5 bytes that cannot be read replaced"));
    assert_eq!(whole.text(), "caf\u{fffd} \u{fffd}\u{fffd} ok \u{fffd}\n");
    for cut in 0..bytes.len() {
        let (one, two) = bytes.split_at(cut);
        let mut both = screen().view(&[], one, two);
        both.count(&screen().view(one, two, &[]));
        assert_eq!(both.note(), whole.note(), "cut at {cut}");
    }
    assert_eq!(screen().whole("naïve – 日本\n".as_bytes()).note(), None);
}

#[test]
fn what_is_held_back_is_counted_when_it_is_shown() {
    let bytes = b"a\x1b[1m wo\x1b[31mrd\x07";
    let first = screen().view_of(&[], bytes, &[], More::MayCome);
    assert_eq!(
        (first.text().as_str(), first.note().as_deref()),
        ("a ", Some("1 escape sequences"))
    );
    let (before, rest) = bytes.split_at(bytes.len() - first.held);
    let second = screen().view_of(before, rest, b"\n", More::No);
    assert_eq!(second.note().as_deref(), Some("1 control characters, 1 escape sequences"));
}

#[test]
fn a_text_is_cleaned_then_redacted_and_told() {
    let view = screen().whole(b"ok\x1b[31m hun\x1b[0mter2!\r\nnext\xe2\x80\x8b\n\nlast");
    assert_eq!(view.text(), "ok [redacted: secret]\nnext\n\nlast");
    assert_eq!(
        view.note().unwrap(),
        "2 escape sequences, 1 invisible characters, 1 secret redacted"
    );
    let raw: Vec<usize> = view.lines.iter().map(|line| line.raw).collect();
    assert_eq!((raw, view.ended), (vec![22, 8, 1, 4], false));
    assert_eq!(screen().whole(b"plain\n").note(), None);
    assert_eq!(screen().whole(b"").text(), "");
    assert_eq!(screen().whole(b"\n").text(), "\n");
    assert_eq!(screen().whole(b"a\rb\n").text(), "a\nb\n");
}

/// However output is cut into pieces, the pieces together tell no secret, and each that touches one says so.
#[test]
fn a_secret_across_a_border_is_seen_from_both_sides() {
    let raw = b"first\npass=\x1b[1mhunter2!\x1b[0m;\nAKIAIOSFODNN7EXAMPLE\nend\n";
    let screen = screen();
    for cut in 0..=raw.len() {
        let (head, tail) = raw.split_at(cut);
        let (one, two) = (screen.view(&[], head, tail), screen.view(head, tail, &[]));
        let together = one.text() + &two.text();
        for part in ["hunter2!", "hunt", "er2!", "AKIA", "EXAMPLE", "\u{1b}"] {
            assert!(!together.contains(part), "cut at {cut}: {together:?}");
        }
        assert!(
            together.starts_with("first\npass=") && together.ends_with("end\n"),
            "{together:?}"
        );
        assert_eq!(one.removed.total() + two.removed.total(), 2, "cut at {cut}");
    }
}

/// A command that prints a secret slowly: whatever has come so far, no part of it is shown.
#[test]
fn a_secret_that_drips_is_held_back() {
    let screen = Screen::new(["hunter2! and more"]);
    let raw = b"say: hunter2! and more\ntoken ghp_abcdefghijklmnopqrstuvwxyz0123456789 end\r\nlast";
    for come in 0..raw.len() {
        let (mut shown, mut at) = (String::new(), 0);
        for step in 1..=come {
            let view = screen.view_of(&raw[..at], &raw[at..step], &[], More::MayCome);
            shown.push_str(&view.text());
            at = step - view.held;
        }
        let view = screen.view(&raw[..at], &raw[at..], &[]);
        shown.push_str(&view.text());
        assert!(!shown.contains("hunt") && !shown.contains("ghp_"), "{come}: {shown:?}");
        assert!(
            shown.starts_with("say: [redacted: secret]") && shown.ends_with(" end\nlast"),
            "{come}: {shown:?}"
        );
    }
    let prompt = screen.view_of(&[], b"Go on? [y/N] ", &[], More::MayCome);
    assert_eq!(
        (prompt.text().as_str(), prompt.held),
        ("Go on? [y/N] ", 0),
        "what waits for an answer is seen"
    );
}

/// As a recording is written: what may become a secret waits for the rest.
#[test]
fn pieces_that_wait_for_what_begins_in_them_tell_no_secret() {
    let screen = screen();
    let key =
        "-----BEGIN OPENSSH PRIVATE KEY-----\r\nb3BlbnNz\r\n-----END OPENSSH PRIVATE KEY-----\r\n";
    let raw = format!("say hunter2! ghp_abcdefghijklmnopqrstuvwxyz0123456789\r\n{key}end ");
    for cut in 0..=raw.len() {
        let (mut pending, mut shown) = (String::new(), String::new());
        let (head, tail) = raw.split_at(cut);
        for piece in [head, tail] {
            pending.push_str(piece);
            let rest = pending.split_off(screen.begins(&pending));
            shown.push_str(&screen.redacted(&pending));
            pending = rest;
        }
        for part in ["hunter2!", "ghp_", "6789", "b3Blbn"] {
            assert!(!shown.contains(part), "cut at {cut}: {shown:?}");
        }
        assert!(shown.starts_with("say [redacted: secret] ") && shown.ends_with("\r\nend "));
    }
}

#[test]
fn a_private_key_is_redacted_from_any_page_that_sees_its_frame() {
    let key = format!(
        "-----BEGIN OPENSSH PRIVATE KEY-----\n{}-----END OPENSSH PRIVATE KEY-----\n",
        "b3BlbnNzaC1rZXk\n".repeat(40)
    );
    let raw = format!("before\n{key}after\n");
    let (bytes, screen) = (raw.as_bytes(), screen());
    for start in (0..bytes.len()).step_by(7) {
        let stop = (start + 50).min(bytes.len());
        let view = screen.view(&bytes[..start], &bytes[start..stop], &bytes[stop..]);
        assert!(!view.text().contains("b3Blbn"), "{start}: {:?}", view.text());
    }
    let whole = screen.whole(bytes);
    assert_eq!(whole.lines.len(), 44);
    assert_eq!(
        whole.text().trim_end().replace("\n\n", ""),
        "before\n[redacted: private-key]\nafter"
    );
}

/// Each encoding with a text in it and what it reads.
const FOREIGN: [(&str, &[u8], &str); 7] = [
    ("windows-1252", b"caf\xe9 \x80\n", "caf\u{e9} \u{20ac}\n"),
    ("KOI8-R", b"\xf0\xd2\xc9\xd7\xc5\xd4\n", "\u{41f}\u{440}\u{438}\u{432}\u{435}\u{442}\n"),
    ("GBK", b"a\xc4\xe3\xba\xc3b\n", "a\u{4f60}\u{597d}b\n"),
    ("Shift_JIS", b"\x93\xfa\x96\x7b\\|\n", "\u{65e5}\u{672c}\\|\n"),
    ("EUC-KR", b"\xc7\xd1\xb1\xdb\nx", "\u{d55c}\u{ae00}\nx"),
    ("gb18030", b"\x81\x30\x81\x30!\n", "\u{80}!\n"),
    ("Big5", b"\xa4\xa4\xa4\xe5\r\n", "\u{4e2d}\u{6587}\n"),
];

fn foreign(name: &'static str) -> TextEncoding {
    TextEncoding(name)
}

#[test]
fn other_encodings_read_the_same_wherever_they_are_cut() {
    let screen = screen();
    for (name, bytes, text) in FOREIGN {
        let lens = screen.of(Some(foreign(name)));
        let text: String =
            text.chars().filter(|letter| !matches!(letter, '\u{80}'..='\u{9f}')).collect();
        assert_eq!(lens.whole(bytes).text(), text, "{name}");
        for cut in 0..=bytes.len() {
            let (head, tail) = bytes.split_at(cut);
            let shown = lens.view(&[], head, tail).text() + &lens.view(head, tail, &[]).text();
            assert_eq!(shown, text, "{name} cut at {cut}");
            let raw: usize = lens.view(&[], head, tail).lines.iter().map(|line| line.raw).sum();
            assert_eq!(raw, cut, "{name}: counts are of the bytes as they came");
        }
    }
}

#[test]
fn what_no_encoding_reads_is_replaced_and_costs_no_line() {
    let view = screen().of(Some(foreign("GBK"))).whole(b"a\x81\nb\xff\n\x81");
    assert_eq!(view.text(), "a\u{fffd}\nb\u{fffd}\n\u{fffd}");
    assert_eq!(view.lines.len(), 3);
    assert_eq!(view.removed.undecodable, 3);
    assert!(view.note().unwrap().contains("3 bytes that cannot be read"), "{view:?}");
}

/// They are looked for in what is read, so a secret in another encoding is none the less one.
#[test]
fn secrets_and_sequences_are_found_in_other_encodings() {
    let screen = Screen::new(["pass\u{e9}word!"]);
    let lens = screen.of(Some(foreign("windows-1252")));
    let view = lens.whole(b"\x1b[31mpass\xe9word!\x1b[0m caf\xe9\n");
    assert!(!view.text().contains("word!"), "{}", view.text());
    assert!(view.text().ends_with("caf\u{e9}\n"), "{}", view.text());
    assert_eq!(view.removed.escapes, 2);
}
