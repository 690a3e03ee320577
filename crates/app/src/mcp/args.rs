//! What tools are called with: read leniently (a number or a boolean may come as text, and text as a number), checked by
//! the model's own rules, and refused with the field's name.

use std::time::Duration;

use regex::Regex;
use sshepherd_engine::store::{ListCursor, ListQuery, State, StreamFilter};

use super::tools::WAIT_MOST;
use rmcp::model::JsonObject;
use schemars::JsonSchema;
use serde_json::Value;
use sshepherd_model::{InvalidField, Request, Rollout, Selector, Share, Targets};

/// Most lines that one answer may ask for (seed rule: 1 to 1000).
const MAX_LINES: u64 = 1000;
/// Longest deadline of a fan-out in seconds: a day, as of one command.
const MAX_DEADLINE: u64 = 86_400;
/// Lines when the caller does not say (seed rule).
const DEFAULT_LINES: u64 = 50;

/// Takes no parameters.
#[derive(JsonSchema)]
pub(super) struct None {}

/// One host.
#[derive(JsonSchema)]
#[expect(dead_code, reason = "describes the schema; the values are read one by one")]
pub(super) struct OnAlias {
    alias: String,
}

/// Which hosts to list.
#[derive(JsonSchema)]
#[expect(dead_code, reason = "describes the schema; the values are read one by one")]
pub(super) struct OfHosts {
    /// Such as @web and not @prod
    selector: Option<String>,
}

/// One task.
#[derive(JsonSchema)]
#[expect(dead_code, reason = "describes the schema; the values are read one by one")]
pub(super) struct OnTask {
    task_id: String,
}

/// One task, and where in its result.
#[derive(JsonSchema)]
#[expect(dead_code, reason = "describes the schema; the values are read one by one")]
pub(super) struct ToResult {
    task_id: String,
    /// `next_cursor`
    cursor: Option<u64>,
}

/// One task, or one host of a fan-out.
#[derive(JsonSchema)]
#[expect(dead_code, reason = "describes the schema; the values are read one by one")]
pub(super) struct ToCancel {
    task_id: String,
    /// One host of a fan-out
    alias: Option<String>,
}

/// A fan-out.
#[derive(JsonSchema)]
#[expect(dead_code, reason = "describes the schema; the values are read one by one")]
pub(super) struct ToPause {
    task_id: String,
    resume: Option<bool>,
}

/// A command for one host.
#[derive(JsonSchema)]
#[expect(dead_code, reason = "describes the schema; the values are read one by one")]
pub(super) struct OnHost {
    alias: String,
    command: String,
    /// Working folder
    cwd: Option<String>,
    /// Variables to set
    env: Option<std::collections::BTreeMap<String, String>>,
    /// Standard input; closed without it
    stdin: Option<String>,
}

/// A command for many hosts: a tag or a selector, one of them.
#[derive(JsonSchema)]
#[expect(dead_code, reason = "describes the schema; the values are read one by one")]
pub(super) struct OnTag {
    tag: Option<String>,
    /// In place of tag
    selector: Option<String>,
    command: String,
    cwd: Option<String>,
    env: Option<std::collections::BTreeMap<String, String>>,
    stdin: Option<String>,
    /// One host alone first
    canary: Option<bool>,
    /// Hosts at a time, as 10 or 20%
    batch: Option<String>,
    /// Begin no more once so many failed, as 3 or 10%
    stop_after: Option<String>,
    /// For all of it
    deadline_seconds: Option<u64>,
    /// Must end well on each host of a batch before the next
    gate: Option<String>,
    /// Answer at once with a task_id
    background: Option<bool>,
}

/// A command for one host that is asked about later.
#[derive(JsonSchema)]
#[expect(dead_code, reason = "describes the schema; the values are read one by one")]
pub(super) struct ToStart {
    alias: String,
    command: String,
    cwd: Option<String>,
    env: Option<std::collections::BTreeMap<String, String>>,
    stdin: Option<String>,
    /// The same key and command is the same task
    idempotency_key: Option<String>,
}

/// Output of a task.
#[derive(JsonSchema)]
#[expect(dead_code, reason = "describes the schema; the values are read one by one")]
pub(super) struct OfOutput {
    task_id: String,
    /// Last lines to show; 50
    #[schemars(range(min = 1, max = 1000))]
    max_lines: Option<u64>,
    /// Read on from here instead: 0, or `next_cursor`
    cursor: Option<u64>,
    max_bytes: Option<u64>,
    /// both, stdout or stderr
    stream: Option<String>,
    /// Wait so long for the first new byte or the end
    #[schemars(range(max = 45000))]
    wait_ms: Option<u64>,
    /// Only lines that match this regular expression
    r#match: Option<String>,
}

/// Which tasks to list.
#[derive(JsonSchema)]
#[expect(dead_code, reason = "describes the schema; the values are read one by one")]
pub(super) struct OfList {
    status: Option<String>,
    alias: Option<String>,
    cursor: Option<String>,
    #[schemars(range(min = 1, max = 100))]
    limit: Option<u64>,
}

/// The parameters of one call.
pub(super) struct Args(JsonObject);

/// What was asked for of a task's output, and when.
#[derive(Debug, Clone)]
pub(super) struct Reading {
    pub(super) part: Part,
    pub(super) max_bytes: usize,
    pub(super) filter: StreamFilter,
    pub(super) wait: Duration,
    pub(super) matching: Option<Regex>,
    /// Lines looked through in earlier rounds of the same wait.
    pub(super) seen_before: u64,
}

/// What part of the output was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Part {
    /// The last lines.
    Tail {
        /// How many, 1 to 1000.
        lines: usize,
    },
    /// One page.
    From {
        /// Byte offset.
        cursor: u64,
    },
}

impl Args {
    /// The parameters as they came.
    pub(super) fn new(object: JsonObject) -> Self {
        Self(object)
    }

    /// A required field, by its own rule.
    pub(super) fn need<T: std::str::FromStr<Err = InvalidField>>(
        &self,
        field: &'static str,
    ) -> Result<T, InvalidField> {
        self.text(field)?.ok_or_else(|| InvalidField::new(field, "is missing"))?.parse()
    }

    /// The command with its surroundings.
    pub(super) fn request(&self) -> Result<Request, InvalidField> {
        let command =
            self.text("command")?.ok_or_else(|| InvalidField::new("command", "is missing"))?;
        let mut request = Request::new(&command)?;
        request.cwd = self.text("cwd")?;
        request.env = self.env()?;
        request.stdin = self.text("stdin")?;
        Ok(request)
    }

    /// The hosts of a fan-out.
    pub(super) fn targets(&self) -> Result<Targets, InvalidField> {
        match (self.text("tag")?, self.selector()?) {
            (Some(tag), Option::None) => Ok(Targets::Tag(tag.parse()?)),
            (Option::None, Some(selector)) => Ok(Targets::On(selector)),
            (Option::None, Option::None) => {
                Err(InvalidField::new("tag", "is missing; give tag or selector"))
            }
            (Some(_), Some(_)) => {
                Err(InvalidField::new("selector", "stands in place of tag; give one of them"))
            }
        }
    }

    /// How a fan-out goes over its hosts.
    pub(super) fn rollout(&self) -> Result<Rollout, InvalidField> {
        let share = |field: &'static str| {
            let share = self.text(field)?.map(|text| text.parse::<Share>());
            share.transpose().map_err(|bad| InvalidField::new(field, bad.problem))
        };
        let wrong = || {
            InvalidField::new("deadline_seconds", format!("must be 1 to {MAX_DEADLINE} seconds"))
        };
        let deadline = self.number("deadline_seconds").map_err(|_| wrong())?;
        if deadline.is_some_and(|seconds| !(1..=MAX_DEADLINE).contains(&seconds)) {
            return Err(wrong());
        }
        let gate = self.text("gate")?.map(|text| Request::new(&text)).transpose();
        Ok(Rollout {
            canary: self.flag("canary")?.unwrap_or(false),
            batch: share("batch")?,
            stop_after: share("stop_after")?,
            deadline: deadline.map(Duration::from_secs),
            gate: gate.map_err(|bad| InvalidField::new("gate", bad.problem))?,
        })
    }

    /// A selector of hosts, if there is one.
    pub(super) fn selector(&self) -> Result<Option<Selector>, InvalidField> {
        let selector = self.text("selector")?.map(|text| text.parse::<Selector>());
        selector.transpose().map_err(InvalidField::from)
    }

    /// Which part of a task's output is wanted.
    pub(super) fn part(&self) -> Result<Part, InvalidField> {
        if let Some(cursor) = self.number("cursor")? {
            return Ok(Part::From { cursor });
        }
        let lines = self.number("max_lines")?.unwrap_or(DEFAULT_LINES);
        if !(1..=MAX_LINES).contains(&lines) {
            return Err(InvalidField::new(
                "max_lines",
                format!("is {lines}; 1 to {MAX_LINES} are allowed"),
            ));
        }
        Ok(Part::Tail { lines: usize::try_from(lines).unwrap_or(usize::MAX) })
    }

    /// Most bytes wanted, never more than `most`.
    pub(super) fn max_bytes(&self, most: usize) -> Result<usize, InvalidField> {
        match self.number("max_bytes")? {
            Some(0) => Err(InvalidField::new("max_bytes", "must be at least 1")),
            Some(wanted) => Ok(usize::try_from(wanted).unwrap_or(most).min(most)),
            Option::None => Ok(most),
        }
    }

    /// Everything about reading output.
    pub(super) fn reading(&self, most: usize) -> Result<Reading, InvalidField> {
        let filter = match self.text("stream")?.as_deref() {
            Option::None | Some("both") => StreamFilter::Both,
            Some("stdout") => StreamFilter::Stdout,
            Some("stderr") => StreamFilter::Stderr,
            Some(_) => {
                return Err(InvalidField::new("stream", "must be both, stdout or stderr"));
            }
        };
        let wait = Duration::from_millis(self.number("wait_ms")?.unwrap_or(0));
        if wait > WAIT_MOST {
            let most = WAIT_MOST.as_millis();
            return Err(InvalidField::new("wait_ms", format!("must be at most {most}")));
        }
        Ok(Reading {
            part: self.part()?,
            max_bytes: self.max_bytes(most)?,
            filter,
            wait,
            matching: self.text("match")?.map(|text| pattern("match", &text)).transpose()?,
            seen_before: 0,
        })
    }

    /// The caller's own name for a piece of work: 1 to 200 of `[A-Za-z0-9:._-]`.
    pub(super) fn key(&self) -> Result<Option<String>, InvalidField> {
        let Some(key) = self.text("idempotency_key")? else { return Ok(Option::None) };
        let known = |byte: u8| byte.is_ascii_alphanumeric() || b":._-".contains(&byte);
        if key.is_empty() || key.len() > 200 || !key.bytes().all(known) {
            return Err(InvalidField::new(
                "idempotency_key",
                "must be 1 to 200 of [A-Za-z0-9:._-]",
            ));
        }
        Ok(Some(key))
    }

    /// Which tasks to list.
    pub(super) fn list(&self) -> Result<ListQuery, InvalidField> {
        let states = match self.text("status")? {
            Option::None => Vec::new(),
            Some(wanted) => {
                let state = State::ALL.into_iter().find(|state| state.as_str() == wanted);
                let names: Vec<&str> = State::ALL.iter().map(|state| state.as_str()).collect();
                vec![state.ok_or_else(|| {
                    InvalidField::new("status", format!("must be one of {}", names.join(", ")))
                })?]
            }
        };
        let limit = self.number("limit")?.unwrap_or(20);
        if !(1..=100).contains(&limit) {
            return Err(InvalidField::new("limit", "must be 1 to 100"));
        }
        Ok(ListQuery {
            states,
            alias: self.text("alias")?.map(|alias| alias.parse()).transpose()?,
            after: self.text("cursor")?.map(|text| place(&text)).transpose()?,
            limit: usize::try_from(limit).unwrap_or(100),
        })
    }

    pub(super) fn text(&self, field: &'static str) -> Result<Option<String>, InvalidField> {
        match self.0.get(field) {
            Option::None | Some(Value::Null) => Ok(Option::None),
            Some(Value::String(text)) => Ok(Some(text.clone())),
            Some(Value::Number(number)) => Ok(Some(number.to_string())),
            Some(Value::Bool(_) | Value::Array(_) | Value::Object(_)) => {
                Err(InvalidField::new(field, "must be a string"))
            }
        }
    }

    pub(super) fn number(&self, field: &'static str) -> Result<Option<u64>, InvalidField> {
        let wrong = || InvalidField::new(field, "must be a whole number, 0 or more");
        match self.0.get(field) {
            Option::None | Some(Value::Null) => Ok(Option::None),
            Some(Value::Number(number)) => number.as_u64().map(Some).ok_or_else(wrong),
            Some(Value::String(text)) => text.trim().parse().map(Some).map_err(|_| wrong()),
            Some(Value::Bool(_) | Value::Array(_) | Value::Object(_)) => Err(wrong()),
        }
    }

    /// Yes or no; `"true"` and `"false"` are taken as well.
    pub(super) fn flag(&self, field: &'static str) -> Result<Option<bool>, InvalidField> {
        match self.0.get(field) {
            Option::None | Some(Value::Null) => Ok(Option::None),
            Some(Value::Bool(flag)) => Ok(Some(*flag)),
            Some(Value::String(text)) if text == "true" || text == "false" => {
                Ok(Some(text == "true"))
            }
            Some(Value::String(_) | Value::Number(_) | Value::Array(_) | Value::Object(_)) => {
                Err(InvalidField::new(field, "must be true or false"))
            }
        }
    }

    /// A list of texts; one text stands for a list of one.
    pub(super) fn texts(&self, field: &'static str) -> Result<Vec<String>, InvalidField> {
        let wrong = || InvalidField::new(field, "must be a list of strings");
        match self.0.get(field) {
            Option::None | Some(Value::Null) => Ok(Vec::new()),
            Some(Value::String(text)) => Ok(vec![text.clone()]),
            Some(Value::Array(items)) => items
                .iter()
                .map(|item| item.as_str().map(str::to_owned).ok_or_else(wrong))
                .collect(),
            Some(Value::Bool(_) | Value::Number(_) | Value::Object(_)) => Err(wrong()),
        }
    }

    pub(super) fn env(&self) -> Result<Vec<(String, String)>, InvalidField> {
        let wrong = || InvalidField::new("env", "must be an object of strings");
        match self.0.get("env") {
            Option::None | Some(Value::Null) => Ok(Vec::new()),
            Some(Value::Object(map)) => map
                .iter()
                .map(|(name, value)| match value {
                    Value::String(text) => Ok((name.clone(), text.clone())),
                    Value::Number(number) => Ok((name.clone(), number.to_string())),
                    Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => {
                        Err(wrong())
                    }
                })
                .collect(),
            Some(Value::String(_) | Value::Number(_) | Value::Bool(_) | Value::Array(_)) => {
                Err(wrong())
            }
        }
    }
}

/// A place in the list of tasks, as an answer gave it.
fn place(text: &str) -> Result<ListCursor, InvalidField> {
    let wrong = || InvalidField::new("cursor", "is not one that this server gave");
    let (created_at, id) = text.split_once('/').ok_or_else(wrong)?;
    Ok(ListCursor {
        created_at: created_at.parse().map_err(|_| wrong())?,
        id: id.parse().map_err(|_| wrong())?,
    })
}

/// Memory that a compiled pattern may take, in bytes; with it the time to compile one is bounded too.
const PATTERN_BYTES: usize = 1 << 20;

/// A regular expression of linear time.
pub(super) fn pattern(field: &'static str, text: &str) -> Result<Regex, InvalidField> {
    regex::RegexBuilder::new(text)
        .size_limit(PATTERN_BYTES)
        .dfa_size_limit(PATTERN_BYTES)
        .build()
        .map_err(|error| {
            let why = error.to_string();
            let last = why.lines().last().unwrap_or_default().trim().to_owned();
            InvalidField::new(field, format!("is no regular expression: {last}"))
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use sshepherd_model::Alias;

    fn args(value: Value) -> Args {
        Args::new(value.as_object().unwrap().clone())
    }

    #[test]
    fn values_are_read_leniently_and_trimmed() {
        let args = args(
            json!({"alias": " web-1 ", "command": " uptime\n", "max_lines": "7", "env": {"N": 3}}),
        );
        assert_eq!(args.need::<Alias>("alias").unwrap().as_str(), "web-1");
        let request = args.request().unwrap();
        assert_eq!(request.command(), "uptime");
        assert_eq!(request.env, [("N".to_owned(), "3".to_owned())]);
        assert_eq!(args.part().unwrap(), Part::Tail { lines: 7 });
    }

    #[test]
    fn a_bad_value_is_told_with_its_field() {
        let bad = args(json!({"command": {}, "max_lines": 0, "max_bytes": -1, "env": []}));
        assert_eq!(bad.need::<Alias>("alias").unwrap_err().field, "alias");
        assert_eq!(bad.request().unwrap_err().field, "command");
        assert_eq!(bad.part().unwrap_err().field, "max_lines");
        assert_eq!(bad.max_bytes(10).unwrap_err().field, "max_bytes");
        assert_eq!(args(json!({"max_lines": 1001})).part().unwrap_err().field, "max_lines");
    }
}
