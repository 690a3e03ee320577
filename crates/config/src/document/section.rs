//! The walk over a YAML file: it asks a [`Section`] for its fields by name; what was never asked for is an unknown key, so the
//! list of known keys cannot drift from the code that reads them.

use std::cell::RefCell;
use std::ops::RangeInclusive;

use sshepherd_model::Severity;

use super::{Document, Kind, Node};

/// A text with its place.
#[derive(Debug, Clone)]
pub(crate) struct Text {
    pub(crate) text: String,
    pub(crate) line: usize,
    pub(crate) field: String,
}

/// What a literal `[]` comes to.
pub(crate) enum EmptyList {
    /// It is an error.
    Refused,
    /// As if the key were not there, which means this; a warning says so.
    CountsAsAbsent(&'static str),
    /// It says what it says.
    Value,
}

/// A mapping that is being read.
pub(crate) struct Section<'a> {
    pub(crate) document: &'a Document,
    entries: &'a [(String, Node)],
    path: String,
    pub(crate) line: usize,
    asked: RefCell<Vec<&'static str>>,
}

impl<'a> Section<'a> {
    /// `node` as a mapping; nothing counts as an empty one.
    pub(crate) fn of(document: &'a Document, node: &'a Node, path: &str) -> Option<Self> {
        let entries: &[(String, Node)] = match &node.kind {
            Kind::Map(entries) => entries,
            Kind::Null => &[],
            Kind::Boolean(_)
            | Kind::Integer(_)
            | Kind::Text(_)
            | Kind::List(_)
            | Kind::Other(_) => {
                document.wrong(node, path, "a mapping (key: value)");
                return None;
            }
        };
        let asked = RefCell::default();
        Some(Self { document, entries, path: path.to_owned(), line: node.line, asked })
    }

    /// The path of a field.
    pub(crate) fn path(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }

    /// A field that stands there, with or without a value.
    fn given(&self, key: &'static str) -> Option<&'a Node> {
        let mut asked = self.asked.borrow_mut();
        if !asked.contains(&key) {
            asked.push(key);
        }
        drop(asked);
        self.entries.iter().find(|(name, _)| name == key).map(|(_, node)| node)
    }

    /// A field with a value; one that is left empty counts as not given.
    fn get(&self, key: &'static str) -> Option<&'a Node> {
        self.given(key).filter(|node| !matches!(node.kind, Kind::Null))
    }

    /// A field of any type.
    pub(crate) fn any(&self, key: &'static str) -> Option<(&'a Node, String)> {
        self.get(key).map(|node| (node, self.path(key)))
    }

    /// A text, or a list of texts.
    pub(crate) fn text_or_texts(&self, key: &'static str) -> Option<Vec<Text>> {
        match self.get(key)?.as_text() {
            Some(_) => self.text(key).map(|text| vec![text]),
            None => self.texts(key),
        }
    }

    /// Whether a field has a value, whatever its type.
    pub(crate) fn has_value(&self, key: &str) -> bool {
        self.entries.iter().any(|(name, node)| name == key && !matches!(node.kind, Kind::Null))
    }

    pub(crate) fn line_of(&self, key: &str) -> usize {
        self.entries.iter().find(|(name, _)| name == key).map_or(self.line, |(_, node)| node.line)
    }

    pub(crate) fn text(&self, key: &'static str) -> Option<Text> {
        let node = self.get(key)?;
        text(self.document, node, self.path(key))
    }

    pub(crate) fn integer(&self, key: &'static str, range: RangeInclusive<u64>) -> Option<u64> {
        let node = self.get(key)?;
        let field = self.path(key);
        let Kind::Integer(value) = node.kind else {
            self.document.wrong(node, &field, "a whole number");
            return None;
        };
        let value = u64::try_from(value).ok().filter(|value| range.contains(value));
        if value.is_none() {
            let message = format!("must be between {} and {}", range.start(), range.end());
            self.document.error(Some(node.line), &field, message);
        }
        value
    }

    pub(crate) fn boolean(&self, key: &'static str) -> Option<bool> {
        let node = self.get(key)?;
        let Kind::Boolean(value) = node.kind else {
            self.document.wrong(node, &self.path(key), "true or false");
            return None;
        };
        Some(value)
    }

    /// The items of a list with their paths; a single value is an error, never a list of one.
    pub(crate) fn list(&self, key: &'static str) -> Option<Vec<(&'a Node, String)>> {
        let node = self.given(key)?;
        let field = self.path(key);
        let Kind::List(items) = &node.kind else {
            self.document.wrong(node, &field, "a list, as in [a, b]");
            return None;
        };
        Some(items.iter().enumerate().map(|(at, item)| (item, format!("{field}[{at}]"))).collect())
    }

    /// A list of texts; items that are none are errors and left out.
    pub(crate) fn texts(&self, key: &'static str) -> Option<Vec<Text>> {
        let items = self.list(key)?;
        Some(items.into_iter().filter_map(|(node, path)| text(self.document, node, path)).collect())
    }

    pub(crate) fn section(&self, key: &'static str) -> Option<Section<'a>> {
        let node = self.get(key)?;
        Section::of(self.document, node, &self.path(key))
    }

    /// The fields of a mapping whose keys are names, as sections; one without a value is an error.
    pub(crate) fn named_sections(&self) -> Vec<(&'a str, Section<'a>)> {
        let section = |(name, node): &'a (String, Node)| {
            let path = self.path(name);
            if node.is_null() {
                let message = "has no value; leave it out, or say what holds there";
                self.document.error(Some(node.line), &path, message);
                return None;
            }
            Some((name.as_str(), Section::of(self.document, node, &path)?))
        };
        self.entries.iter().filter_map(section).collect()
    }

    /// Refuses keys without a value, of those that lead elsewhere when they are left out.
    pub(crate) fn refuse_nothing(&self, keys: &[&str]) {
        for (name, node) in self.entries {
            if node.is_null() && keys.contains(&name.as_str()) {
                let message = "has no value; leave it out, or give it one";
                self.document.error(Some(node.line), &self.path(name), message);
            }
        }
    }

    /// Ends the reading of a section in which an unknown key has always been passed over: it is a warning, but an error where
    /// it looks like a slip of a known one, for what it was to narrow (`tag:`, `jmp:`) would be missing.
    pub(crate) fn finish(self) {
        self.unasked(Severity::Warning, "unknown key, ignored");
    }

    /// Ends the reading of a section where a slip could let something through: each unknown key and each key that says
    /// nothing is an error.
    pub(crate) fn finish_strictly(self) {
        self.finish_with(|_| EmptyList::Refused);
    }

    /// The same, where some keys may hold an empty list.
    pub(crate) fn finish_with(self, empty_list: impl Fn(&str) -> EmptyList) {
        for (name, node) in self.entries {
            let (field, line) = (self.path(name), Some(node.line));
            let problem = match &node.kind {
                Kind::Null => "has no value; leave it out, or give it one",
                Kind::List(items) if items.is_empty() => match empty_list(name) {
                    EmptyList::Refused => "is an empty list; leave it out, or say what is in it",
                    EmptyList::CountsAsAbsent(meaning) => {
                        let message =
                            format!("is an empty list, which counts as left out: {meaning}");
                        self.document.warn(line, &field, message);
                        continue;
                    }
                    EmptyList::Value => continue,
                },
                Kind::Boolean(_)
                | Kind::Integer(_)
                | Kind::Text(_)
                | Kind::List(_)
                | Kind::Map(_)
                | Kind::Other(_) => continue,
            };
            if !self.document.has_error_at(node.line, &field) {
                self.document.error(line, &field, problem);
            }
        }
        self.unasked(Severity::Error, "unknown key");
    }

    fn unasked(&self, severity: Severity, what: &str) {
        let asked = self.asked.borrow();
        for (name, node) in self.entries {
            if asked.contains(&name.as_str()) {
                continue;
            }
            let lower = name.to_ascii_lowercase();
            let near = asked
                .iter()
                .map(|known| (strsim::damerau_levenshtein(&lower, known), *known))
                .min()
                .filter(|(distance, known)| {
                    // `alias` for `aliases`: short names lose more than a letter at their end.
                    let shortened = lower.len() > 2 && known.starts_with(&lower);
                    shortened || *distance <= 1.max(name.len() / 3)
                });
            let (severity, message) = match near {
                Some((_, near)) => (Severity::Error, format!("unknown key; did you mean {near}?")),
                None => (severity, format!("{what}; known here: {}", asked.join(", "))),
            };
            self.document.push(severity, Some(node.line), &self.path(name), message);
        }
    }
}

fn text(document: &Document, node: &Node, field: String) -> Option<Text> {
    let Kind::Text(text) = &node.kind else {
        let wanted = match node.kind {
            Kind::Boolean(_) | Kind::Integer(_) | Kind::Other(_) => "text; put it in quotes",
            Kind::Null | Kind::Text(_) | Kind::List(_) | Kind::Map(_) => "text",
        };
        document.wrong(node, &field, wanted);
        return None;
    };
    Some(Text { text: text.clone(), line: node.line, field })
}
