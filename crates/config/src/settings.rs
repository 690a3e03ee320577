//! `sshepherd.yml`: our own settings beside the seed's files.

use std::path::{Path, PathBuf};

use sshepherd_model::Targets;

use crate::document::{Document, Node, Section};

/// Settings of the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// How decisions and executions are recorded.
    pub audit: Audit,
    /// Hosts that a server keeps connected before anyone asks.
    pub warm: Option<Targets>,
    /// Most hosts that a fan-out talks to at once.
    pub fan_out_parallel: usize,
    /// Most hosts behind one jump host that fan-outs talk to at once.
    pub fan_out_behind_jump: usize,
    /// Bounds for the whole server.
    pub limits: ServerLimits,
    /// Bounds of interactive shells.
    pub shells: ShellBounds,
    /// Whether the server reads its configuration again when a file of it changes.
    pub reload_watch: bool,
    /// Most bytes of output in one MCP answer; clients cut longer answers (8,000 characters at the strictest).
    pub answer_max_bytes: usize,
    /// How long an idempotency key is kept, from the acceptance of its task.
    pub key_seconds: u64,
    /// Which questions of a host that asks while logging in are taken to a person through the MCP client.
    pub elicitation: Elicitation,
}

/// What a host asks while logging in, as far as it may go through the MCP client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Elicitation {
    /// Nothing.
    #[default]
    None,
    /// Questions whose answer may be seen while it is typed.
    Visible,
    /// Those whose answer is hidden as well, such as codes of one time.
    All,
}

/// The audit record.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Audit {
    /// The file; without it records go to standard error only.
    pub path: Option<PathBuf>,
    /// Bytes above which the file is put aside and a new one begun.
    pub max_bytes: Option<u64>,
    /// Whether each record is flushed to the disk before it counts.
    pub sync: bool,
    /// Whether the texts of commands are recorded beside their hashes.
    pub commands: bool,
    /// A file that hears of the chain from time to time.
    pub checkpoint_file: Option<PathBuf>,
    /// Whether the system's log hears of it.
    pub checkpoint_syslog: bool,
    /// After every so many records.
    pub checkpoint_every: u64,
}

/// How much the whole server does at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ServerLimits {
    /// Most commands that are started within a minute.
    pub per_minute: Option<u32>,
    /// Most commands that run at once.
    pub concurrent: Option<u32>,
    /// Failures to connect in a row after which a host is not tried for a while; 0 for never.
    pub breaker_failures: u32,
    /// For how long at first, in seconds.
    pub breaker_seconds: u64,
}

impl Default for ServerLimits {
    fn default() -> Self {
        Self { per_minute: None, concurrent: None, breaker_failures: 5, breaker_seconds: 30 }
    }
}

/// What interactive shells of the whole server may cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ShellBounds {
    /// Most that are open at once.
    pub open: usize,
    /// Bytes of output that are kept of each in memory.
    pub scrollback_bytes: usize,
    /// Bytes of a recording.
    pub recording_bytes: u64,
    /// Days that records and recordings of ended shells are kept.
    pub keep_days: u64,
}

impl Default for ShellBounds {
    fn default() -> Self {
        Self { open: 128, scrollback_bytes: 256 * 1024, recording_bytes: 16 << 20, keep_days: 30 }
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            audit: Audit::default(),
            warm: None,
            fan_out_parallel: 64,
            // As many tunnels as one link to a jump host takes.
            fan_out_behind_jump: 32,
            limits: ServerLimits::default(),
            shells: ShellBounds::default(),
            reload_watch: false,
            answer_max_bytes: 8192,
            key_seconds: 86_400,
            elicitation: Elicitation::None,
        }
    }
}

/// Reads the file; a path in it is relative to the configuration folder.
pub(crate) fn read(document: &Document, root: &Node, folder: &Path) -> Settings {
    let mut settings = Settings::default();
    let Some(top) = Section::of(document, root, "") else { return settings };
    let number = |value: Option<u64>| value.and_then(|value| usize::try_from(value).ok());
    if let Some(section) = top.section("audit") {
        settings.audit = audit(document, &section, folder);
        section.finish();
    }
    if let Some(section) = top.section("fan_out") {
        if let Some(parallel) = number(section.integer("parallel", 1..=512)) {
            settings.fan_out_parallel = parallel;
        }
        if let Some(behind) = number(section.integer("behind_jump", 1..=512)) {
            settings.fan_out_behind_jump = behind;
        }
        section.finish();
    }
    if let Some(section) = top.section("warm") {
        settings.warm = section.text("on").and_then(|text| match text.text.parse() {
            Ok(selector) => Some(Targets::On(selector)),
            Err(problem) => {
                document.error(Some(text.line), &text.field, format!("{problem}"));
                None
            }
        });
        section.finish();
    }
    if let Some(section) = top.section("limits") {
        settings.limits = limits(&section);
        section.finish();
    }
    if let Some(section) = top.section("shells") {
        shells(&section, &mut settings.shells);
        section.finish();
    }
    if let Some(section) = top.section("reload") {
        settings.reload_watch = section.boolean("watch").unwrap_or(false);
        section.finish();
    }
    // Read beforehand, for the log-ins need them.
    let _ = top.any("secrets");
    if let Some(section) = top.section("answers") {
        if let Some(bytes) = number(section.integer("max_bytes", 2048..=1 << 20)) {
            settings.answer_max_bytes = bytes;
        }
        section.finish();
    }
    if let Some(section) = top.section("idempotency") {
        settings.key_seconds =
            section.integer("key_seconds", 60..=31_536_000).unwrap_or(settings.key_seconds);
        section.finish();
    }
    if let Some(section) = top.section("prompts") {
        settings.elicitation = elicitation(document, &section);
        section.finish();
    }
    top.finish();
    settings
}

fn shells(section: &Section<'_>, shells: &mut ShellBounds) {
    let number = |value: Option<u64>| value.and_then(|value| usize::try_from(value).ok());
    shells.open = number(section.integer("open", 0..=10_000)).unwrap_or(shells.open);
    shells.scrollback_bytes = number(section.integer("scrollback_bytes", 4096..=1 << 28))
        .unwrap_or(shells.scrollback_bytes);
    shells.recording_bytes =
        section.integer("recording_bytes", 0..=1 << 40).unwrap_or(shells.recording_bytes);
    shells.keep_days = section.integer("keep_days", 0..=3650).unwrap_or(shells.keep_days);
}

fn audit(document: &Document, section: &Section<'_>, folder: &Path) -> Audit {
    let path = |section: &Section<'_>, key: &'static str| {
        section.text(key).and_then(|text| {
            let path = crate::files::named(&text.text, folder);
            path.map_err(|problem| document.error(Some(text.line), &text.field, problem)).ok()
        })
    };
    let mut audit = Audit {
        path: path(section, "path"),
        // A record has at most some 40 KB; a file holds at least a few.
        max_bytes: section.integer("max_bytes", 65_536..=1 << 40),
        sync: section.boolean("sync").unwrap_or(false),
        commands: section.boolean("commands").unwrap_or(false),
        checkpoint_every: 100,
        ..Audit::default()
    };
    if let Some(points) = section.section("checkpoints") {
        audit.checkpoint_file = path(&points, "file");
        audit.checkpoint_syslog = points.boolean("syslog").unwrap_or(false);
        if let Some(every) = points.integer("every", 1..=1_000_000) {
            audit.checkpoint_every = every;
        }
        points.finish();
    }
    audit
}

fn elicitation(document: &Document, section: &Section<'_>) -> Elicitation {
    let Some(text) = section.text("elicitation") else { return Elicitation::None };
    match text.text.trim() {
        "none" => Elicitation::None,
        "visible" => Elicitation::Visible,
        "all" => Elicitation::All,
        other => {
            let problem = format!("{other:?} is not none, visible or all");
            document.error(Some(text.line), &text.field, problem);
            Elicitation::None
        }
    }
}

fn limits(section: &Section<'_>) -> ServerLimits {
    let number = |value: u64| u32::try_from(value).unwrap_or(u32::MAX);
    let mut limits = ServerLimits {
        per_minute: section.integer("per_minute", 1..=1_000_000).map(number),
        concurrent: section.integer("concurrent", 1..=100_000).map(number),
        ..ServerLimits::default()
    };
    if let Some(breaker) = section.section("breaker") {
        if let Some(failures) = breaker.integer("failures", 0..=1000) {
            limits.breaker_failures = number(failures);
        }
        if let Some(seconds) = breaker.integer("seconds", 1..=300) {
            limits.breaker_seconds = seconds;
        }
        breaker.finish();
    }
    limits
}
