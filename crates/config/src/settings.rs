//! `sshepherd.yml`: our own settings beside the seed's files.

use std::path::{Path, PathBuf};

use crate::document::{Document, Node, Section};

/// Settings of the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// The audit file; without it records go to standard error only.
    pub audit_path: Option<PathBuf>,
    /// Most hosts that a fan-out talks to at once.
    pub fan_out_parallel: usize,
    /// Most bytes of output in one MCP answer; clients cut longer answers (8,000 characters at the strictest).
    pub answer_max_bytes: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self { audit_path: None, fan_out_parallel: 64, answer_max_bytes: 8192 }
    }
}

/// Reads the file; a path in it is relative to the configuration folder.
pub(crate) fn read(document: &Document, root: &Node, folder: &Path) -> Settings {
    let mut settings = Settings::default();
    let Some(top) = Section::of(document, root, "") else { return settings };
    let number = |value: Option<u64>| value.and_then(|value| usize::try_from(value).ok());
    if let Some(section) = top.section("audit") {
        settings.audit_path = section.text("path").and_then(|text| {
            let path = crate::files::named(&text.text, folder);
            path.map_err(|problem| document.error(Some(text.line), &text.field, problem)).ok()
        });
        section.finish();
    }
    if let Some(section) = top.section("fan_out") {
        if let Some(parallel) = number(section.integer("parallel", 1..=512)) {
            settings.fan_out_parallel = parallel;
        }
        section.finish();
    }
    if let Some(section) = top.section("answers") {
        if let Some(bytes) = number(section.integer("max_bytes", 2048..=1 << 20)) {
            settings.answer_max_bytes = bytes;
        }
        section.finish();
    }
    top.finish();
    settings
}
