//! A YAML file as a tree that knows its lines, and the walk over it that collects problems.
//!
//! A walk asks a [`Section`] for its fields by name; what was never asked for is an unknown key, so the list of known keys
//! cannot drift from the code that reads them.

pub(crate) mod yaml11;

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

use saphyr::{LoadableYamlNode, MarkedYaml, Scalar, YamlData};
use sshepherd_model::{Problem, Severity};

/// A value and the line that it begins on.
#[derive(Debug, Clone)]
pub(crate) struct Node {
    pub(crate) line: usize,
    kind: Kind,
}

#[derive(Debug, Clone)]
enum Kind {
    Null,
    Boolean(bool),
    Integer(i64),
    Text(String),
    List(Vec<Node>),
    Map(Vec<(String, Node)>),
    /// Something that no field takes, in words.
    Other(&'static str),
}

/// What a [`Kind::Other`] with a tag is, in words.
const TAGGED: &str = "a tagged value";

impl Kind {
    fn name(&self) -> &'static str {
        match self {
            Self::Null => "nothing",
            Self::Boolean(_) => "true or false",
            Self::Integer(_) => "a number",
            Self::Text(_) => "text",
            Self::List(_) => "a list",
            Self::Map(_) => "a mapping",
            Self::Other(name) => name,
        }
    }
}

impl Node {
    /// Its text, if it is one.
    pub(crate) fn as_text(&self) -> Option<&str> {
        match &self.kind {
            Kind::Text(text) => Some(text),
            Kind::Null
            | Kind::Boolean(_)
            | Kind::Integer(_)
            | Kind::List(_)
            | Kind::Map(_)
            | Kind::Other(_) => None,
        }
    }

    /// Its items, if it is a list.
    pub(crate) fn items(&self) -> Option<&[Node]> {
        if let Kind::List(items) = &self.kind { Some(items) } else { None }
    }

    /// Whether it is a mapping with this key.
    pub(crate) fn has_key(&self, key: &str) -> bool {
        match &self.kind {
            Kind::Map(entries) => entries.iter().any(|(name, _)| name == key),
            Kind::Null
            | Kind::Boolean(_)
            | Kind::Integer(_)
            | Kind::Text(_)
            | Kind::List(_)
            | Kind::Other(_) => false,
        }
    }

    /// The entries of a mapping, with those that `<<` takes in from others behind its own; `None` for anything else.
    pub(crate) fn entries(&self) -> Option<Vec<(&str, &Node)>> {
        let Kind::Map(own) = &self.kind else { return None };
        let mut entries: Vec<(&str, &Node)> = Vec::new();
        let mut known = BTreeSet::new();
        let mut taken_in = Vec::new();
        for (name, node) in own {
            match (name.as_str(), &node.kind) {
                ("<<", Kind::List(others)) => taken_in.extend(others.iter().map(Self::entries)),
                ("<<", _) => taken_in.push(node.entries()),
                (name, _) => {
                    known.insert(name);
                    entries.push((name, node));
                }
            }
        }
        for (name, node) in taken_in.into_iter().flatten().flatten() {
            if known.insert(name) {
                entries.push((name, node));
            }
        }
        Some(entries)
    }

    /// Whether it is nothing.
    pub(crate) fn is_null(&self) -> bool {
        matches!(self.kind, Kind::Null)
    }

    /// Whether it is `true` or `false`, if it is one.
    pub(crate) fn as_boolean(&self) -> Option<bool> {
        if let Kind::Boolean(value) = self.kind { Some(value) } else { None }
    }

    /// Whether a tag of somebody's own stands before it, as in `!vault`.
    pub(crate) fn is_tagged(&self) -> bool {
        matches!(self.kind, Kind::Other(TAGGED))
    }

    /// Whether it is `true`.
    pub(crate) fn is_true(&self) -> bool {
        matches!(self.kind, Kind::Boolean(true))
    }

    /// Its number, if it is one.
    pub(crate) fn as_integer(&self) -> Option<i64> {
        match &self.kind {
            Kind::Integer(number) => Some(*number),
            Kind::Null
            | Kind::Boolean(_)
            | Kind::Text(_)
            | Kind::List(_)
            | Kind::Map(_)
            | Kind::Other(_) => None,
        }
    }
}

/// One file under inspection.
#[derive(Debug)]
pub(crate) struct Document {
    pub(crate) file: PathBuf,
    problems: RefCell<Vec<Problem>>,
    /// How bad an error in it is.
    worst: Severity,
}

impl Document {
    pub(crate) fn new(file: &Path) -> Self {
        Self { file: file.to_owned(), problems: RefCell::default(), worst: Severity::Error }
    }

    /// A file whose errors leave the rest of the configuration usable.
    pub(crate) fn apart(file: &Path) -> Self {
        Self { worst: Severity::Unusable, ..Self::new(file) }
    }

    /// Parses `text`; what is no YAML is one error.
    pub(crate) fn parse(&self, text: &str) -> Option<Node> {
        if let Some(line) = deep(text) {
            self.error(Some(line), "", "is nested too deeply");
            return None;
        }
        match MarkedYaml::load_from_str(text) {
            Ok(documents) => match documents.as_slice() {
                [] => Some(Node { line: 1, kind: Kind::Null }),
                [one] => Some(node(one)),
                [_, second, ..] => {
                    self.error(
                        Some(second.span.start.line()),
                        "",
                        "a second YAML document; write one only",
                    );
                    None
                }
            },
            Err(error) => {
                self.error(Some(error.marker().line()), "", format!("not YAML: {}", error.info()));
                None
            }
        }
    }

    pub(crate) fn error(&self, line: Option<usize>, field: &str, message: impl Into<String>) {
        self.push(self.worst, line, field, message.into());
    }

    /// An error that leaves the rest of the configuration usable.
    pub(crate) fn disable(&self, line: Option<usize>, field: &str, message: impl Into<String>) {
        self.push(Severity::Unusable, line, field, message.into());
    }

    pub(crate) fn warn(&self, line: Option<usize>, field: &str, message: impl Into<String>) {
        self.push(Severity::Warning, line, field, message.into());
    }

    fn push(&self, severity: Severity, line: Option<usize>, field: &str, message: String) {
        let file = self.file.clone();
        // Words of the file stand in both, and a program may have written them: nothing in them steers a terminal.
        let (field, message) = (plain(field), plain(&message));
        let problem = Problem { severity, file, line, field, message };
        self.problems.borrow_mut().push(problem);
    }

    /// The file's name, or what stands for it.
    pub(crate) fn name(&self) -> String {
        self.file.file_name().unwrap_or_default().to_string_lossy().into_owned()
    }

    /// Errors so far.
    pub(crate) fn errors(&self) -> usize {
        let problems = self.problems.borrow();
        problems.iter().filter(|problem| problem.severity > Severity::Warning).count()
    }

    /// The errors after the first `known`, each with its field, in words.
    pub(crate) fn errors_after(&self, known: usize) -> Vec<String> {
        let problems = self.problems.borrow();
        let errors = problems.iter().filter(|problem| problem.severity > Severity::Warning);
        errors
            .skip(known)
            .map(|problem| match problem.field.rsplit('.').next() {
                Some(field) if !field.is_empty() => format!("{field}: {}", problem.message),
                Some(_) | None => problem.message.clone(),
            })
            .collect()
    }

    /// Whether something at or below a field is already known to be wrong.
    pub(crate) fn has_error_at(&self, line: usize, field: &str) -> bool {
        let below = |problem: &Problem| {
            problem.field.starts_with(field) && problem.line.is_none_or(|at| at >= line)
        };
        self.problems.borrow().iter().any(|p| p.severity > Severity::Warning && below(p))
    }

    pub(crate) fn into_problems(self) -> Vec<Problem> {
        self.problems.into_inner()
    }

    fn wrong(&self, node: &Node, field: &str, wanted: &str) {
        self.error(Some(node.line), field, format!("must be {wanted}, not {}", node.kind.name()));
    }
}

fn plain(text: &str) -> String {
    text.replace(char::is_control, " ")
}

/// Widest indentation, in characters: a block in another one is indented more, and what reads trees goes into them by recursion.
/// Lists in brackets are bounded by the parser.
const MAX_INDENT: usize = 400;

/// The first line that is indented more than that; `- - x` is two blocks on one line.
fn deep(text: &str) -> Option<usize> {
    let indent = |line: &str| {
        let mut before = ' ';
        let blank = |letter: &char| {
            let open = *letter == ' ' || *letter == '\t';
            let mark = matches!(letter, '-' | '?' | ':') && before == ' ';
            before = *letter;
            open || mark
        };
        line.chars().take_while(blank).count()
    };
    text.lines().position(|line| indent(line) > MAX_INDENT).map(|place| place + 1)
}

fn node(yaml: &MarkedYaml<'_>) -> Node {
    let kind = match &yaml.data {
        YamlData::Value(Scalar::Null) => Kind::Null,
        YamlData::Value(Scalar::Boolean(value)) => Kind::Boolean(*value),
        YamlData::Value(Scalar::Integer(value)) => Kind::Integer(*value),
        YamlData::Value(Scalar::FloatingPoint(_)) => Kind::Other("a fraction"),
        YamlData::Value(Scalar::String(text)) => Kind::Text(text.to_string()),
        YamlData::Representation(text, ..) => Kind::Text(text.to_string()),
        YamlData::Sequence(items) => Kind::List(items.iter().map(node).collect()),
        YamlData::Mapping(map) => Kind::Map(
            map.iter()
                .map(|(key, value)| {
                    let mut value = node(value);
                    // A value on the next line belongs to its key's line: that is where a person looks.
                    value.line = key.span.start.line();
                    (key_text(key), value)
                })
                .collect(),
        ),
        YamlData::Tagged(..) => Kind::Other(TAGGED),
        YamlData::Alias(_) => Kind::Other("an alias"),
        YamlData::BadValue => Kind::Other("a bad value"),
    };
    Node { line: yaml.span.start.line(), kind }
}

fn key_text(key: &MarkedYaml<'_>) -> String {
    match &key.data {
        YamlData::Value(Scalar::String(text)) | YamlData::Representation(text, ..) => {
            text.to_string()
        }
        YamlData::Value(Scalar::Integer(number)) => number.to_string(),
        YamlData::Value(Scalar::Boolean(value)) => value.to_string(),
        YamlData::Value(Scalar::Null | Scalar::FloatingPoint(_))
        | YamlData::Sequence(_)
        | YamlData::Mapping(_)
        | YamlData::Tagged(..)
        | YamlData::Alias(_)
        | YamlData::BadValue => "?".to_owned(),
    }
}

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
        self.asked.borrow_mut().push(key);
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
