//! How hosts are reached, where that differs from the usual: by `defaults:`, by `tags:`, or in a host's own entry.
//!
//! What a host's own entry sets counts, then what the first of its tags sets that sets it, then the defaults.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use sshepherd_model::{
    ConnectionSettings, Host, Keepalive, LegacyAlgorithm, ProxyCommand, Tag, TextEncoding, Timeouts,
};

use crate::document::{Document, Section, Text};
use crate::files;
use crate::servers::parsed;

/// Longest time-out, in seconds: what takes longer than ten minutes has gone wrong, and a person or an agent waits for it.
const MAX_TIMEOUT: u64 = 600;
/// Longest pause between two questions, in seconds. Firewalls forget silent connections after minutes; an hour is as good as `off`.
const MAX_KEEPALIVE: u64 = 3600;
/// Most questions that may go unanswered: enough to sit out an hour at the shortest sensible pause.
const MAX_MISSED: u64 = 1000;

/// What one place sets; `None` leaves it to the next.
#[derive(Debug, Clone, Default)]
pub(crate) struct ConnectionPatch {
    timeouts: Timeouts,
    keepalive: Option<Option<Keepalive>>,
    legacy: Option<BTreeSet<LegacyAlgorithm>>,
    encoding: Option<Option<TextEncoding>>,
    proxy: Option<Option<ProxyCommand>>,
    /// Set by a host's own entry alone: whoever gives a host a tag must not bring it past the network policy.
    trusted: bool,
}

/// What holds for many hosts.
#[derive(Debug, Default)]
pub(crate) struct ConnectionTable {
    defaults: ConnectionPatch,
    /// With the line that each stands at.
    tags: BTreeMap<Tag, (usize, ConnectionPatch)>,
}

impl ConnectionTable {
    /// Reads `defaults:` and `tags:` of `servers.yml`.
    pub(crate) fn read(top: &Section<'_>) -> Self {
        let mut table = Self::default();
        if let Some(section) = top.section("defaults") {
            table.defaults = ConnectionPatch::read(&section);
            section.finish_strictly();
        }
        if let Some(tags) = top.section("tags") {
            for (name, section) in tags.named_sections() {
                let patch = ConnectionPatch::read(&section);
                let line = section.line;
                let name = Text { text: name.to_owned(), line, field: tags.path(name) };
                section.finish_strictly();
                table.tags.extend(parsed(tags.document, name).map(|tag: Tag| (tag, (line, patch))));
            }
        }
        table
    }

    /// Warns of tags that no host has: what is set for them holds nowhere.
    pub(crate) fn warn_of_unused(&self, document: &Document, hosts: &[Host]) {
        for (tag, (line, _)) in &self.tags {
            if !hosts.iter().any(|host| host.has_tag(tag)) {
                let message = format!("no host has the tag {tag}");
                document.warn(Some(*line), &format!("tags.{tag}"), message);
            }
        }
    }

    /// The settings of a host with these tags.
    pub(crate) fn of(&self, own: ConnectionPatch, tags: &[Tag]) -> ConnectionSettings {
        let by_tag = tags.iter().filter_map(|tag| self.tags.get(tag)).map(|(_, patch)| patch);
        let patch = by_tag.chain([&self.defaults]).fold(own, ConnectionPatch::or);
        let usual = ConnectionSettings::default();
        ConnectionSettings {
            timeouts: patch.timeouts,
            keepalive: patch.keepalive.unwrap_or(usual.keepalive),
            legacy: patch.legacy.unwrap_or_default(),
            encoding: patch.encoding.flatten(),
            proxy: patch
                .proxy
                .flatten()
                .map(|proxy| ProxyCommand { trusted: patch.trusted, ..proxy }),
        }
    }
}

impl ConnectionPatch {
    /// Reads the keys that a host, a tag and the defaults have in common.
    pub(crate) fn read(section: &Section<'_>) -> Self {
        Self {
            timeouts: timeouts(section),
            keepalive: keepalive(section),
            legacy: legacy(section),
            encoding: encoding(section),
            proxy: proxy(section),
            trusted: false,
        }
    }

    fn or(self, other: &Self) -> Self {
        Self {
            timeouts: Timeouts {
                connect: self.timeouts.connect.or(other.timeouts.connect),
                login: self.timeouts.login.or(other.timeouts.login),
                channel: self.timeouts.channel.or(other.timeouts.channel),
            },
            keepalive: self.keepalive.or(other.keepalive),
            legacy: self.legacy.or_else(|| other.legacy.clone()),
            encoding: self.encoding.or(other.encoding),
            proxy: self.proxy.or_else(|| other.proxy.clone()),
            trusted: self.trusted,
        }
    }
}

fn timeouts(section: &Section<'_>) -> Timeouts {
    let Some(own) = section.section("timeouts") else { return Timeouts::default() };
    let seconds = |key| own.integer(key, 1..=MAX_TIMEOUT).map(Duration::from_secs);
    let timeouts = Timeouts {
        connect: seconds("connect"),
        login: seconds("login"),
        channel: seconds("channel"),
    };
    own.finish_strictly();
    timeouts
}

fn keepalive(section: &Section<'_>) -> Option<Option<Keepalive>> {
    let (node, _) = section.any("keepalive")?;
    if node.as_text() == Some("off") || node.as_boolean() == Some(false) {
        return Some(None);
    }
    if let Some(other) = node.as_text() {
        let message =
            format!("{other:?} is neither off nor a mapping such as {{seconds: 15, count: 3}}");
        section.document.error(Some(node.line), &section.path("keepalive"), message);
        return None;
    }
    let own = section.section("keepalive")?;
    let usual = Keepalive::default();
    let every = own.integer("seconds", 1..=MAX_KEEPALIVE).map(Duration::from_secs);
    let missed = own.integer("count", 1..=MAX_MISSED).and_then(|count| usize::try_from(count).ok());
    own.finish_strictly();
    Some(Some(Keepalive {
        every: every.unwrap_or(usual.every),
        missed: missed.unwrap_or(usual.missed),
    }))
}

fn legacy(section: &Section<'_>) -> Option<BTreeSet<LegacyAlgorithm>> {
    let document = section.document;
    let mut algorithms = BTreeSet::new();
    let mut weak = Vec::new();
    for word in section.texts("legacy")? {
        let known = LegacyAlgorithm::named(&word.text);
        match known.and_then(|named| named.first()) {
            Some(first) => weak.push(format!("{} {}", word.text, first.weakness())),
            None => {
                let words = LegacyAlgorithm::words().join(", ");
                let message = format!("{:?} is no legacy algorithm; known are {words}", word.text);
                document.error(Some(word.line), &word.field, message);
            }
        }
        algorithms.extend(known.unwrap_or_default());
    }
    if !weak.is_empty() {
        let message = format!("weakens the connection: {}", weak.join("; "));
        document.warn(Some(section.line_of("legacy")), &section.path("legacy"), message);
    }
    Some(algorithms)
}

fn encoding(section: &Section<'_>) -> Option<Option<TextEncoding>> {
    let text = section.text("encoding")?;
    let refuse = |message: String| {
        section.document.error(Some(text.line), &text.field, message);
        None
    };
    match encoding_rs::Encoding::for_label(text.text.as_bytes()) {
        None => refuse(format!(
            "{:?} is no encoding of text; examples are utf-8, latin1, windows-1252, gbk, shift_jis, euc-kr and koi8-r",
            text.text
        )),
        Some(encoding) if encoding == encoding_rs::UTF_8 => Some(None),
        // Only where ASCII means itself can lines, escape sequences and secrets be found.
        Some(encoding) if !encoding.is_ascii_compatible() => refuse(format!(
            "{} does not contain ASCII as it is; no shell writes it",
            encoding.name()
        )),
        Some(encoding) => Some(Some(TextEncoding(encoding.name()))),
    }
}

/// How a program that reaches a host is written.
const HOW: &str = "must be a list of words, the first a program on PATH or an absolute path, as in [ssh, -W, \"[%h]:%p\", gate]; \
                   it is never given to a shell";

fn proxy(section: &Section<'_>) -> Option<Option<ProxyCommand>> {
    let document = section.document;
    let (node, field) = section.any("proxy_command")?;
    if let Some(text) = node.as_text() {
        if text != "none" {
            document.error(Some(node.line), &field, HOW);
        }
        return Some(None);
    }
    let words = section.texts("proxy_command")?;
    let mut sound = true;
    for word in words.iter().skip(1) {
        if let Some(token) = ProxyCommand::unknown_token(&word.text) {
            let message = format!(
                "{token} stands for nothing; known are %h (address), %p (port), %r (login name) and %% (a percent sign)"
            );
            document.error(Some(word.line), &word.field, message);
            sound = false;
        }
    }
    let Some((first, arguments)) = words.split_first().filter(|(first, _)| is_program(&first.text))
    else {
        document.error(Some(node.line), &field, HOW);
        return None;
    };
    let program = match files::program(&first.text) {
        Ok(path) => Ok(path),
        Err(files::Refused::Missing) => {
            let message = format!("{} is not there, so the host cannot be reached", first.text);
            document.warn(Some(first.line), &first.field, message.clone());
            Err(message)
        }
        Err(problem) => {
            document.error(Some(first.line), &first.field, format!("{} {problem}", first.text));
            return None;
        }
    };
    let arguments = arguments.iter().map(|word| word.text.clone()).collect();
    sound.then_some(Some(ProxyCommand { program, arguments, trusted: false }))
}

fn is_program(word: &str) -> bool {
    !word.is_empty() && (word.starts_with('/') || !word.contains(['/', '%']))
}

/// Reads the keys of a host's own entry.
pub(crate) fn of_host(section: &Section<'_>) -> ConnectionPatch {
    let mut own = ConnectionPatch::read(section);
    own.trusted = section.boolean("proxy_command_trusted").unwrap_or(false);
    if section.has_value("jump") {
        if own.proxy.as_ref().is_some_and(Option::is_some) {
            let message =
                "stands beside jump, and a host is reached one way; leave one of them out";
            let line = section.line_of("proxy_command");
            section.document.error(Some(line), &section.path("proxy_command"), message);
        }
        // No program of its tags reaches it.
        own.proxy = Some(None);
    }
    own
}

/// Refuses the keys of a program in what another program printed: the owner's own files alone say what runs here.
pub(crate) fn refuse_programs(section: &Section<'_>) {
    for key in ["proxy_command", "proxy_command_trusted"] {
        if section.has_value(key) {
            let message = "is taken from servers.yml and servers.d alone, not from what a program prints; set \
                           proxy_command for a tag in servers.yml";
            section.document.error(Some(section.line_of(key)), &section.path(key), message);
        }
    }
}
