//! One line of a client: the message in it, or the answer that it has.

use bytes::Bytes;
use rmcp::model::{ClientJsonRpcMessage, ErrorCode};
use serde_json::{Map, Value, json};

/// Longest line: the largest standard input, each byte of it as six of JSON, and room for the rest.
pub(super) const MAX_BYTES: usize = 2 << 20;
/// Most values in one message: each takes many times its length in memory while it is read.
const MAX_VALUES: usize = 100_000;
/// Longest id that is given back.
const MAX_ID: usize = 512;
/// Stands for an id that is not known.
const NO_ID: &str = "null";
/// Some programs begin what they write with it.
const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();

/// A line that is being read.
#[derive(Default)]
pub(super) struct Line {
    /// Its beginning; all of it, where it is not too long.
    bytes: Vec<u8>,
    length: usize,
    glance: Glance,
}

/// What a line says.
pub(super) enum Meant {
    /// Nothing that has an answer.
    Nothing,
    Message(Box<ClientJsonRpcMessage>),
    Refused(Refusal),
}

/// An answer to what is no message.
#[derive(Debug)]
pub(super) struct Refusal {
    code: ErrorCode,
    /// As JSON, just as it was written: a number may be larger than any that we can hold.
    id: String,
    message: String,
}

impl Refusal {
    fn new(code: ErrorCode, id: String, message: impl Into<String>) -> Self {
        Self { code, id, message: message.into() }
    }

    /// As it is written.
    pub(super) fn line(&self) -> Bytes {
        let error = json!({"code": self.code.0, "message": self.message});
        let id = &self.id;
        Bytes::from(format!("{{\"jsonrpc\":\"2.0\",\"id\":{id},\"error\":{error}}}\n"))
    }
}

impl Line {
    /// Whether anything of it was read.
    pub(super) fn begun(&self) -> bool {
        self.length > 0
    }

    /// More of it. What is too long is looked at, but not kept.
    pub(super) fn extend(&mut self, more: &[u8]) {
        self.length = self.length.saturating_add(more.len());
        self.glance.over(more);
        if self.length <= MAX_BYTES {
            self.bytes.extend_from_slice(more);
        } else {
            self.bytes = Vec::new();
        }
    }

    /// What it says; the next one begins.
    pub(super) fn read(&mut self) -> Meant {
        let Self { bytes, length, mut glance } = std::mem::take(self);
        let refused = |code, message: String, glance: &mut Glance| {
            Meant::Refused(Refusal::new(code, glance.id(), message))
        };
        if length > MAX_BYTES {
            let message = format!("the line has {length} bytes; at most {MAX_BYTES} are read");
            return refused(ErrorCode::INVALID_REQUEST, message, &mut glance);
        }
        let line = bytes.strip_prefix(BYTE_ORDER_MARK).unwrap_or(&bytes).trim_ascii();
        if line.is_empty() {
            return Meant::Nothing;
        }
        if glance.values > MAX_VALUES {
            let message = format!("the message holds more than {MAX_VALUES} values");
            return refused(ErrorCode::INVALID_REQUEST, message, &mut glance);
        }
        let text = match std::str::from_utf8(line) {
            Ok(text) => text,
            Err(error) => {
                let message = format!("not UTF-8 at byte {}", error.valid_up_to());
                return refused(ErrorCode::PARSE_ERROR, message, &mut glance);
            }
        };
        if let Ok(message) = serde_json::from_str(text) {
            return Meant::Message(Box::new(message));
        }
        match serde_json::from_str(text) {
            Ok(Value::Object(fields)) => no_message(&fields, &mut glance),
            Ok(Value::Array(_)) => {
                let message = "an array is no message: write each message on a line of its own";
                refused(ErrorCode::INVALID_REQUEST, message.to_owned(), &mut glance)
            }
            Ok(_) => {
                let message = "a message is a JSON object".to_owned();
                refused(ErrorCode::INVALID_REQUEST, message, &mut glance)
            }
            Err(error) => {
                refused(ErrorCode::PARSE_ERROR, format!("not JSON: {error}"), &mut glance)
            }
        }
    }
}

/// What is wrong with an object that is no message.
fn no_message(fields: &Map<String, Value>, glance: &mut Glance) -> Meant {
    let has = |key: &str| fields.contains_key(key);
    let named = fields.get("method").is_some_and(Value::is_string);
    if named && !has("id") {
        return Meant::Nothing;
    }
    let usable = |id: &Value| id.is_string() || id.is_i64();
    let meta = fields.get("params").and_then(|params| params.get("_meta"));
    let message = if fields.get("jsonrpc").and_then(Value::as_str) != Some("2.0") {
        "jsonrpc must be \"2.0\""
    } else if has("method") && !named {
        "method must be a string"
    } else if !has("method") && !has("result") && !has("error") {
        "there is no method"
    } else if has("method") && (has("result") || has("error")) {
        "a message is a request or a response, not both"
    } else if !fields.get("id").is_some_and(usable) {
        "id must be a string or a whole number of at most 64 bits"
    } else if fields.get("params").is_some_and(|params| !params.is_object()) {
        "params must be an object; leave it out where there is nothing to say"
    } else if meta.is_some_and(|meta| !meta.is_object()) {
        "params._meta must be an object"
    } else {
        "not a message of JSON-RPC 2.0: a key stands there twice, or a value does not fit its key"
    };
    // The id of a response is one of ours; given back, it would be taken for one of the client's.
    let id = if has("method") || !(has("result") || has("error")) {
        glance.id()
    } else {
        NO_ID.to_owned()
    };
    Meant::Refused(Refusal::new(ErrorCode::INVALID_REQUEST, id, message))
}

/// What can be seen of a line that may be broken, or too long to keep: the id of the object that it is.
#[derive(Default)]
struct Glance {
    depth: usize,
    quoted: bool,
    escaped: bool,
    /// Where in the outermost object it stands.
    place: Place,
    key: Vec<u8>,
    value: Vec<u8>,
    id: Id,
    values: usize,
}

#[derive(Default, Clone, Copy, PartialEq, Eq)]
enum Place {
    #[default]
    Outside,
    Key,
    Value,
    /// A value that is the id.
    Wanted,
}

#[derive(Default, Clone, PartialEq, Eq)]
enum Id {
    #[default]
    Unseen,
    Seen(Vec<u8>),
    /// Too long, or two that differ.
    Unclear,
}

impl Glance {
    fn over(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.one(*byte);
        }
    }

    fn one(&mut self, byte: u8) {
        if self.quoted {
            self.keep(byte);
            match byte {
                _ if self.escaped => self.escaped = false,
                b'\\' => self.escaped = true,
                b'"' => self.quoted = false,
                _ => {}
            }
            return;
        }
        let outermost = self.depth == 1 && self.place != Place::Outside;
        match byte {
            b'"' => {
                self.quoted = true;
                if outermost && self.place == Place::Key {
                    self.key.clear();
                }
            }
            b'{' | b'[' => {
                self.values += 1;
                self.depth += 1;
                if self.depth == 1 {
                    self.place = if byte == b'{' { Place::Key } else { Place::Outside };
                    return;
                }
            }
            b'}' | b']' => {
                if outermost {
                    self.end(Place::Outside);
                }
                self.depth = self.depth.saturating_sub(1);
            }
            b',' => {
                self.values += 1;
                if outermost {
                    self.end(Place::Key);
                    return;
                }
            }
            b':' if outermost && self.place == Place::Key => {
                self.place = if self.key == b"\"id\"" { Place::Wanted } else { Place::Value };
                self.value.clear();
                return;
            }
            _ => {}
        }
        self.keep(byte);
    }

    fn keep(&mut self, byte: u8) {
        let room = match self.place {
            Place::Key if self.depth == 1 && self.quoted => &mut self.key,
            Place::Wanted => &mut self.value,
            Place::Key | Place::Value | Place::Outside => return,
        };
        // One more than the most: longer ones are seen to be.
        if room.len() <= MAX_ID {
            room.push(byte);
        }
    }

    /// A value of the outermost object ends.
    fn end(&mut self, next: Place) {
        if self.place == Place::Wanted {
            let seen = std::mem::take(&mut self.value).trim_ascii().to_vec();
            let seen = if seen.len() > MAX_ID { Id::Unclear } else { Id::Seen(seen) };
            self.id = if self.id == Id::Unseen || self.id == seen { seen } else { Id::Unclear };
        }
        self.place = next;
    }

    /// The id, where it can be read.
    fn id(&mut self) -> String {
        if !self.quoted {
            self.end(Place::Outside);
        }
        let Id::Seen(bytes) = &self.id else { return NO_ID.to_owned() };
        let value = serde_json::from_slice(bytes).unwrap_or_default();
        match (value, std::str::from_utf8(bytes)) {
            (Value::String(_) | Value::Number(_), Ok(text)) => text.to_owned(),
            _ => NO_ID.to_owned(),
        }
    }
}
