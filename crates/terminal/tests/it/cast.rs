//! Recordings: what is written is read again; a bad line is told by its number; no character is split.

use proptest::prelude::*;
use sshepherd_terminal::Utf8Carry;
use sshepherd_terminal::cast::{Event, Kind, Reader, event, header};

#[test]
fn a_recording_is_what_asciinema_expects() {
    let head: serde_json::Value =
        serde_json::from_str(&header(80, 24, 1_700_000_000, Some("a \"title\""))).unwrap();
    let expected = serde_json::json!({
        "version": 2, "width": 80, "height": 24, "timestamp": 1_700_000_000, "title": "a \"title\"", "env": {"TERM": "xterm-256color"}
    });
    assert_eq!(head, expected);
    assert_eq!(
        event(1_002_003, Kind::Output, "\x1b[1m\r\n"),
        "[1002.003, \"o\", \"\\u001b[1m\\r\\n\"]\n"
    );
    assert_eq!(event(0, Kind::Resize, "80x24"), "[0.000, \"r\", \"80x24\"]\n");
    assert_eq!(event(5, Kind::Marker, ""), "[0.005, \"m\", \"\"]\n");
}

#[test]
fn a_bad_line_is_told_and_the_rest_is_read() {
    let mut reader = Reader::new("{\"version\": 2, \"width\": 80, \"height\": 24}").unwrap();
    assert_eq!(
        (reader.cols, reader.rows, reader.timestamp_s, reader.title.clone()),
        (80, 24, None, None)
    );
    assert_eq!(
        reader.line("[1, \"o\", \"x\"]"),
        Ok(Some(Event { at_ms: 1000, kind: Kind::Output, text: "x".to_owned() }))
    );
    for (at, bad) in
        ["{", "[]", "[\"1\", \"o\", \"x\"]", "[-1, \"o\", \"x\"]", "[1, 2, \"x\"]", "[1, \"o\", 3]"]
            .iter()
            .enumerate()
    {
        let error = reader.line(bad).unwrap_err();
        assert_eq!(error.line, at + 3);
        assert!(
            error.to_string().starts_with(&format!("line {} of the recording: ", at + 3)),
            "{error}"
        );
    }
    assert_eq!(reader.line(""), Ok(None));
    assert_eq!(reader.line("[1, \"x\", \"0\"]"), Ok(None), "a kind of a later version");
    assert!(
        reader
            .line("[2.5, \"i\", \"y\"]")
            .unwrap()
            .is_some_and(|event| event.at_ms == 2500 && event.kind == Kind::Input)
    );
    for header in [
        "",
        "{}",
        "{\"version\": 1}",
        "{\"version\": 2, \"width\": 0, \"height\": 24}",
        "{\"version\": 2, \"width\": 80}",
    ] {
        assert_eq!(Reader::new(header).unwrap_err().line, 1, "{header}");
    }
}

proptest! {
    #[test]
    fn what_is_written_is_read(at in 0u64..10_000_000_000, text in any::<String>(), title in any::<String>()) {
        let mut reader = Reader::new(&header(1, 2, 3, Some(&title))).unwrap();
        prop_assert_eq!(reader.title.as_ref(), Some(&title));
        let line = event(at, Kind::Output, &text);
        prop_assert_eq!(line.matches('\n').count(), 1);
        prop_assert_eq!(reader.line(&line), Ok(Some(Event { at_ms: at, kind: Kind::Output, text })));
    }

    #[test]
    fn any_cuts_give_the_same_text(
        pieces in proptest::collection::vec(prop_oneof!["[aé日😀]{0,4}".prop_map(String::into_bytes), proptest::collection::vec(any::<u8>(), 0..4)], 0..8),
        size in 1usize..5,
    ) {
        let bytes = pieces.concat();
        let mut carry = Utf8Carry::default();
        let mut text: String = bytes.chunks(size).map(|chunk| carry.push(chunk)).collect();
        text.push_str(carry.finish());
        prop_assert_eq!(text, String::from_utf8_lossy(&bytes));
    }
}
