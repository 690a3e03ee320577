//! A YAML file as a tree that knows its lines; `section` is the walk over it that collects problems.

mod section;
pub(crate) mod yaml11;

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use saphyr::{LoadableYamlNode, MarkedYaml, Scalar, YamlData};
use sshepherd_model::{Problem, Severity};

pub(crate) use section::{EmptyList, Section, Text};

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
