//! What the tools for interactive shells are called with.

use std::time::Duration;

use regex::Regex;
use schemars::JsonSchema;
use sshepherd_engine::policy::ShellRequest;
use sshepherd_engine::{Input, OpenShell, ReadShell, Size, Until};
use sshepherd_model::{InvalidField, ShellId};

use super::args::{Args, pattern};
use super::tools::WAIT_MOST;

/// Wait for output when the caller does not say (the seed's).
const TIMEOUT: Duration = Duration::from_secs(5);
/// Largest window: what the emulator takes.
const MOST_COLS: u64 = 500;
const MOST_ROWS: u64 = 300;
/// Most keys, and bytes of text, in one call.
const MOST_KEYS: usize = 256;
const MOST_TEXT: usize = 256 * 1024;

/// One shell.
#[derive(JsonSchema)]
#[expect(dead_code, reason = "describes the schema; the values are read one by one")]
pub(super) struct OfShell {
    session_id: String,
}

/// A shell to open.
#[derive(JsonSchema)]
#[expect(dead_code, reason = "describes the schema; the values are read one by one")]
pub(super) struct ToOpenShell {
    alias: String,
    /// 80
    #[schemars(range(min = 1, max = 500))]
    cols: Option<u64>,
    /// 24
    #[schemars(range(min = 1, max = 300))]
    rows: Option<u64>,
    /// TERM; xterm-256color
    term: Option<String>,
    /// In place of the login shell
    command: Option<String>,
    env: Option<std::collections::BTreeMap<String, String>>,
    /// Keep it on the host by tmux or screen when the connection or this server ends
    persistent: Option<bool>,
    /// Wait so long for its prompt; 5000
    #[schemars(range(max = 45000))]
    timeout: Option<u64>,
}

/// Input for a shell.
#[derive(JsonSchema)]
#[expect(dead_code, reason = "describes the schema; the values are read one by one")]
pub(super) struct ToType {
    session_id: String,
    text: Option<String>,
    /// Such as Enter, Tab, Ctrl-C, Up, F1
    keys: Option<Vec<String>>,
    /// Text to paste as one
    paste: Option<String>,
    /// Milliseconds; 5000
    #[schemars(range(max = 45000))]
    timeout: Option<u64>,
    /// Until the output since the input matches this regular expression
    wait_for: Option<String>,
    /// Until no output came for so long
    wait_quiet_ms: Option<u64>,
    /// Until the shell waits for the next command line
    wait_prompt: Option<bool>,
    max_bytes: Option<u64>,
}

/// What to read of a shell.
#[derive(JsonSchema)]
#[expect(dead_code, reason = "describes the schema; the values are read one by one")]
pub(super) struct OfShellOutput {
    session_id: String,
    /// Milliseconds; 5000
    #[schemars(range(max = 45000))]
    timeout: Option<u64>,
    /// What is given counts as read; true
    clear_buffer: Option<bool>,
    /// Read from this byte on instead; a cursor of an earlier answer
    cursor: Option<u64>,
    wait_for: Option<String>,
    wait_quiet_ms: Option<u64>,
    wait_prompt: Option<bool>,
    max_bytes: Option<u64>,
}

/// A secret to type.
#[derive(JsonSchema)]
#[expect(dead_code, reason = "describes the schema; the values are read one by one")]
pub(super) struct ToSendSecret {
    session_id: String,
    /// The secret's name, as the owner told you
    name: String,
    #[schemars(range(max = 45000))]
    timeout: Option<u64>,
    wait_for: Option<String>,
    wait_quiet_ms: Option<u64>,
    wait_prompt: Option<bool>,
}

/// A new size.
#[derive(JsonSchema)]
#[expect(dead_code, reason = "describes the schema; the values are read one by one")]
pub(super) struct ToResizeShell {
    session_id: String,
    #[schemars(range(min = 1, max = 500))]
    cols: u64,
    #[schemars(range(min = 1, max = 300))]
    rows: u64,
}

/// A signal.
#[derive(JsonSchema)]
#[expect(dead_code, reason = "describes the schema; the values are read one by one")]
pub(super) struct ToSignalShell {
    session_id: String,
    /// HUP, INT, QUIT, KILL, TERM, USR1, USR2, CONT, STOP, TSTP or WINCH
    signal: String,
}

impl Args {
    /// The shell; `sessionId` is the seed's name for it.
    pub(super) fn session(&self) -> Result<ShellId, InvalidField> {
        let id = match self.text("session_id")? {
            Some(id) => Some(id),
            Option::None => self.text("sessionId")?,
        };
        id.ok_or_else(|| InvalidField::new("session_id", "is missing"))?.parse()
    }

    /// What to open.
    pub(super) fn open_shell(&self) -> Result<OpenShell, InvalidField> {
        let term = self.text("term")?.unwrap_or_else(|| "xterm-256color".to_owned());
        let known = |byte: u8| byte.is_ascii_alphanumeric() || b"+._-".contains(&byte);
        if term.is_empty() || term.len() > 64 || !term.bytes().all(known) {
            return Err(InvalidField::new("term", "must be 1 to 64 of [A-Za-z0-9+._-]"));
        }
        let request = ShellRequest {
            command: self.text("command")?,
            env: self.env()?,
            persistent: self.flag("persistent")?.unwrap_or(false),
        };
        Ok(OpenShell { request, size: self.size_or((80, 24))?, term })
    }

    /// A window's size, both numbers required.
    pub(super) fn size(&self) -> Result<Size, InvalidField> {
        for field in ["cols", "rows"] {
            if self.number(field)?.is_none() {
                return Err(InvalidField::new(field, "is missing"));
            }
        }
        self.size_or((80, 24))
    }

    fn size_or(&self, (cols, rows): (u16, u16)) -> Result<Size, InvalidField> {
        let side = |field: &'static str, most: u64, otherwise: u16| {
            let Some(wanted) = self.number(field)? else { return Ok(otherwise) };
            if !(1..=most).contains(&wanted) {
                return Err(InvalidField::new(field, format!("must be 1 to {most}")));
            }
            Ok(u16::try_from(wanted).unwrap_or(otherwise))
        };
        Ok(Size { cols: side("cols", MOST_COLS, cols)?, rows: side("rows", MOST_ROWS, rows)? })
    }

    /// What to type.
    pub(super) fn input(&self) -> Result<Input, InvalidField> {
        let text = |field| self.text(field).map(Option::unwrap_or_default);
        let input = Input { text: text("text")?, paste: text("paste")?, keys: self.texts("keys")? };
        if input.keys.len() > MOST_KEYS {
            return Err(InvalidField::new("keys", format!("at most {MOST_KEYS} are taken")));
        }
        for (field, text) in [("text", &input.text), ("paste", &input.paste)] {
            if text.len() > MOST_TEXT {
                let message = format!("has {} bytes; at most {MOST_TEXT} are taken", text.len());
                return Err(InvalidField::new(field, message));
            }
        }
        Ok(input)
    }

    /// The name of a secret.
    pub(super) fn secret_name(&self) -> Result<String, InvalidField> {
        self.text("name")?.ok_or_else(|| InvalidField::new("name", "is missing"))
    }

    /// The name of a signal.
    pub(super) fn signal(&self) -> Result<String, InvalidField> {
        self.text("signal")?.ok_or_else(|| InvalidField::new("signal", "is missing"))
    }

    /// What to wait for.
    pub(super) fn until(&self) -> Result<Until, InvalidField> {
        let timeout = self.number("timeout")?.map_or(TIMEOUT, Duration::from_millis);
        if timeout > WAIT_MOST {
            let most = WAIT_MOST.as_millis();
            return Err(InvalidField::new("timeout", format!("must be at most {most}")));
        }
        Ok(Until {
            timeout,
            matching: self.expression()?,
            quiet: self.number("wait_quiet_ms")?.map(Duration::from_millis),
            prompt: self.flag("wait_prompt")?.unwrap_or(false),
        })
    }

    fn expression(&self) -> Result<Option<Regex>, InvalidField> {
        self.text("wait_for")?.map(|text| pattern("wait_for", &text)).transpose()
    }

    /// How to read, at most `most` bytes.
    pub(super) fn reading_shell(
        &self,
        until: Until,
        most: usize,
    ) -> Result<ReadShell, InvalidField> {
        let clear = match self.flag("clear_buffer")? {
            Some(clear) => Some(clear),
            Option::None => self.flag("clearBuffer")?,
        };
        Ok(ReadShell {
            cursor: self.number("cursor")?,
            clear: clear.unwrap_or(true),
            max_bytes: self.max_bytes(most)?,
            until,
        })
    }
}
