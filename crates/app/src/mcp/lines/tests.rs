use proptest::prelude::*;
use rmcp::model::ServerResult;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

use super::super::line::MAX_BYTES;
use super::*;

const HELLO: &str = r#"{"jsonrpc":"2.0","id":"hello","method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"t","version":"1"}}}"#;

/// Every message that comes through is answered with `{}` where it is a request; what came through, and all that was written.
async fn spoken(lines: &[u8]) -> (Vec<Value>, Vec<Value>) {
    let (mut near, far) = tokio::io::duplex(1 << 10);
    let (answers, mut heard): (DuplexStream, DuplexStream) = tokio::io::duplex(1 << 10);
    let mut ours = Lines::new(far, answers, CancellationToken::new());
    let lines = lines.to_vec();
    let writing = async move {
        near.write_all(&lines).await.unwrap();
    };
    let serving = async move {
        let mut through = Vec::new();
        while let Some(message) = ours.receive().await {
            if let JsonRpcMessage::Request(asked) = &message {
                let answer =
                    ServerJsonRpcMessage::response(ServerResult::empty(()), asked.id.clone());
                ours.send(answer).await.unwrap();
            }
            through.push(serde_json::to_value(&message).unwrap());
        }
        assert!(ours.ended.is_cancelled(), "the end of input is told");
        ours.close().await.unwrap();
        through
    };
    let hearing = async move {
        let mut text = String::new();
        heard.read_to_string(&mut text).await.unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    };
    let ((), through, heard) = tokio::join!(writing, serving, hearing);
    (through, heard)
}

fn answers(lines: impl AsRef<[u8]>) -> Vec<Value> {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let lines = [HELLO.as_bytes(), b"\n", lines.as_ref()].concat();
    let (_, mut heard) = runtime.block_on(spoken(&lines));
    assert_eq!(heard.remove(0)["id"], "hello");
    heard
}

/// The code and the id of each answer; 0 for a good one.
fn codes(lines: impl AsRef<[u8]>) -> Vec<(i64, Value)> {
    let code = |answer: &Value| answer["error"]["code"].as_i64().unwrap_or_default();
    answers(lines).iter().map(|answer| (code(answer), answer["id"].clone())).collect()
}

#[test]
fn a_line_that_cannot_be_read_has_an_answer_with_its_id() {
    let deep = format!(
        r#"{{"jsonrpc":"2.0","method":"ping","params":{}1{},"id":5}}"#,
        "[".repeat(5000),
        "]".repeat(5000)
    );
    let call = |argument: &str| {
        format!(
            r#"{{"jsonrpc":"2.0","method":"tools/call","params":{{"name":"ssh_ping","arguments":{{"x":"{argument}"}}}},"id":5}}"#
        )
    };
    let long = call(&"x".repeat(MAX_BYTES));
    let many = call(&format!("\",\"y\":[{}1],\"z\":\"", "1,".repeat(200_000)));
    let utf8 = [call("").as_bytes(), b" \xff"].concat();
    let five = || json!(5);
    let table: Vec<(Vec<u8>, i64, Value)> = vec![
        (b"{not json".to_vec(), -32700, Value::Null),
        (b"Content-Length: 40".to_vec(), -32700, Value::Null),
        (utf8, -32700, five()),
        (call("\\ud83d").into_bytes(), -32700, five()),
        (call("\\udc00 \\q").into_bytes(), -32700, five()),
        (call("a\0b").into_bytes(), -32700, five()),
        (deep.into_bytes(), -32700, five()),
        (long.into_bytes(), -32600, five()),
        (many.into_bytes(), -32600, five()),
        (br#"{"jsonrpc":"2.0","id":"a\"}b","method":"ping""#.to_vec(), -32700, json!("a\"}b")),
        (br#"{"jsonrpc":"2.0","method":"ping","id":5"#.to_vec(), -32700, five()),
        (br#"{"params":{"id":7},"id":5,"method":}"#.to_vec(), -32700, five()),
        (br#"[{"jsonrpc":"2.0","id":5,"method":"ping"}]"#.to_vec(), -32600, Value::Null),
        (b"[]".to_vec(), -32600, Value::Null),
        (b"5".to_vec(), -32600, Value::Null),
        (br#""ping""#.to_vec(), -32600, Value::Null),
        (b"null".to_vec(), -32600, Value::Null),
        (b"{}".to_vec(), -32600, Value::Null),
        (br#"{"id":5,"method":"ping"}"#.to_vec(), -32600, five()),
        (br#"{"jsonrpc":"1.0","id":5,"method":"ping"}"#.to_vec(), -32600, five()),
        (br#"{"jsonrpc":2.0,"id":5,"method":"ping"}"#.to_vec(), -32600, five()),
        (br#"{"jsonrpc":"2.0","id":null,"method":"ping"}"#.to_vec(), -32600, Value::Null),
        (br#"{"jsonrpc":"2.0","id":1.5,"method":"ping"}"#.to_vec(), -32600, json!(1.5)),
        (br#"{"jsonrpc":"2.0","id":[5],"method":"ping"}"#.to_vec(), -32600, Value::Null),
        (br#"{"jsonrpc":"2.0","id":true,"method":"ping"}"#.to_vec(), -32600, Value::Null),
        (br#"{"jsonrpc":"2.0","id":5,"method":7}"#.to_vec(), -32600, five()),
        (br#"{"jsonrpc":"2.0","id":5}"#.to_vec(), -32600, five()),
        (br#"{"jsonrpc":"2.0","id":5,"id":5,"method":"ping"}"#.to_vec(), -32600, five()),
        (br#"{"jsonrpc":"2.0","id":5,"id":6,"method":"ping"}"#.to_vec(), -32600, Value::Null),
        (br#"{"jsonrpc":"2.0","id":5,"method":"ping","result":{}}"#.to_vec(), -32600, five()),
        (br#"{"jsonrpc":"2.0","id":5,"result":{},"error":7}"#.to_vec(), -32600, Value::Null),
    ];
    for (line, code, id) in table {
        let shown = String::from_utf8_lossy(&line[..line.len().min(90)]).into_owned();
        // Then the next line is read as if nothing had been, and a last one without a newline, too.
        let ping = br#"{"jsonrpc":"2.0","id":"next","method":"ping"}"#;
        let spoken = [&line, b"\r\n".as_slice(), ping].concat();
        assert_eq!(codes(spoken), [(code, id.clone()), (0, json!("next"))], "{shown}");
        assert_eq!(codes(line), [(code, id)], "at the end of input: {shown}");
    }
}

#[test]
fn what_is_answered_says_what_is_wrong_and_nothing_of_what_was_said() {
    for (line, wanted) in [
        (
            r#"{"jsonrpc":"2.0","id":1,"method":"x","params":{"a":"s3cret\ud800"}}"#,
            "not JSON: unexpected end of hex escape",
        ),
        (r#"{"id":1,"method":"s3cret"}"#, "jsonrpc must be \"2.0\""),
        (r#"{"jsonrpc":"2.0","id":1,"method":"s3cret","method":"x"}"#, "a key stands there twice"),
        (
            r#"{"jsonrpc":"2.0","id":1,"method":"ping","params":["s3cret"]}"#,
            "params must be an object",
        ),
        (
            r#"{"jsonrpc":"2.0","id":1,"method":"tools/list","params":{"_meta":5,"s3cret":1}}"#,
            "params._meta must be an object",
        ),
        (
            r#"{"jsonrpc":"2.0","id":99999999999999999999,"method":"ping"}"#,
            "id must be a string or a whole number of at most 64 bits",
        ),
        (r#"["s3cret"]"#, "each message on a line of its own"),
        (r#"{s3cret"#, "not JSON: key must be a string at line 1 column 2"),
    ] {
        let answer = answers(line).remove(0).to_string();
        let wanted = json!(wanted).to_string();
        assert!(answer.contains(wanted.trim_matches('"')), "{line}: {answer}");
        assert!(!answer.contains("s3cret"), "{answer}");
    }
}

/// The client waits for its own id, digit for digit.
#[test]
fn an_id_that_is_refused_comes_back_as_it_was_written() {
    for id in ["99999999999999999999", "18446744073709551615", "1.50", "1e2", "\"\\u0041\""] {
        let line = format!("{{\"jsonrpc\":\"1.0\",\"id\": {id} ,\"method\":\"ping\"}}");
        let mut read = super::Line::default();
        read.extend(line.as_bytes());
        let super::Meant::Refused(refusal) = read.read() else { panic!("{id}") };
        let answer = String::from_utf8(refusal.line().to_vec()).unwrap();
        assert!(answer.contains(&format!("\"id\":{id},")), "{answer}");
    }
}

#[test]
fn notifications_responses_and_blanks_have_none() {
    for line in [
        "",
        "  ",
        "\r",
        "\u{feff}",
        "\t \r",
        r#"{"jsonrpc":"2.0","method":"notifications/foo"}"#,
        r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":7}"#,
        r#"{"method":"notifications/foo"}"#,
        r#"{"jsonrpc":"2.0","id":5,"result":{}}"#,
        r#"{"jsonrpc":"2.0","id":5,"error":{"code":1,"message":"x"}}"#,
    ] {
        let spoken =
            format!("{line}\n\u{feff}{{\"jsonrpc\":\"2.0\",\"id\":5,\"method\":\"ping\"}}\n");
        assert_eq!(codes(spoken), [(0, json!(5))], "{line:?}");
    }
}

#[tokio::test]
async fn what_comes_before_the_conversation_is_opened_ends_nothing() {
    let early = [
        r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#,
        r#"{"jsonrpc":"2.0","id":9,"result":{}}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#,
        r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#,
        HELLO,
        r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#,
    ];
    let (through, _) = spoken(early.join("\n").as_bytes()).await;
    let methods: Vec<&Value> = through.iter().map(|message| &message["method"]).collect();
    assert_eq!(methods, ["ping", "initialize", "notifications/initialized"]);
}

#[tokio::test]
async fn two_requests_with_one_id_have_an_answer_each() {
    let (mut near, far) = tokio::io::duplex(1 << 10);
    let (answers, mut heard) = tokio::io::duplex(1 << 10);
    let mut ours = Lines::new(far, answers, CancellationToken::new());
    let ping = b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\"}\n";
    near.write_all(&[ping.as_slice(), ping].concat()).await.unwrap();
    let mut ids = Vec::new();
    for _ in 0..2 {
        let JsonRpcMessage::Request(asked) = ours.receive().await.unwrap() else { panic!() };
        ids.push(asked.id);
    }
    assert_ne!(ids[0], ids[1], "rmcp keeps one request an id");
    for id in ids {
        ours.send(ServerJsonRpcMessage::response(ServerResult::empty(()), id)).await.unwrap();
    }
    drop(ours);
    let mut text = String::new();
    heard.read_to_string(&mut text).await.unwrap();
    assert_eq!(text.matches(r#""id":1"#).count(), 2, "{text}");
}

/// Pieces of lines, so that what is tried is often nearly a message.
const PIECES: [&[u8]; 22] = [
    b"{",
    b"}",
    b"[",
    b"]",
    b":",
    b",",
    b"\"",
    b"\\",
    b"\"jsonrpc\":\"2.0\"",
    b"\"id\":",
    b"1",
    b"\"a\"",
    b"null",
    b"1.5",
    b"\"method\":\"ping\"",
    b"\"params\":{}",
    b"\"result\":{}",
    b"\xff",
    b"\\ud800",
    b" ",
    b"\xef\xbb\xbf",
    b"\0",
];

/// What a line is, seen with the library's reader alone.
fn has_answer(line: &[u8]) -> bool {
    let line = line.strip_prefix(b"\xef\xbb\xbf".as_slice()).unwrap_or(line).trim_ascii();
    if line.is_empty() {
        return false;
    }
    let Ok(value) = serde_json::from_slice::<Value>(line) else { return true };
    let Some(fields) = value.as_object() else { return true };
    let said = fields.get("method").is_some_and(Value::is_string);
    let notified = said && !fields.contains_key("id");
    let response = serde_json::from_slice::<ClientJsonRpcMessage>(line);
    !notified
        && !matches!(
            response,
            Ok(JsonRpcMessage::Response(_)
                | JsonRpcMessage::Error(_)
                | JsonRpcMessage::Notification(_))
        )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3000))]

    #[test]
    fn any_bytes_have_one_answer_a_line(
        lines in proptest::collection::vec(proptest::collection::vec((0..PIECES.len(), any::<u8>()), 0..14), 0..5),
    ) {
        let piece = |(place, byte): &(usize, u8)| {
            // Now and then any byte at all, but for the end of a line.
            if *byte == 7 { vec![*byte] } else if *byte > 250 { vec![*byte - 90] } else { PIECES[*place].to_vec() }
        };
        let lines: Vec<Vec<u8>> = lines.iter().map(|line| line.iter().flat_map(piece).collect()).collect();
        let wanted = lines.iter().filter(|line| has_answer(line)).count();
        let heard = codes(lines.join(&b'\n'));
        prop_assert_eq!(heard.len(), wanted, "{:?}: {:?}", lines.iter().map(|line| String::from_utf8_lossy(line)).collect::<Vec<_>>(), heard);
    }
}
