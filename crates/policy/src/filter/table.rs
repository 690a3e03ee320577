//! What each filter takes.

use super::value::Value;

/// What may stand after the options.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operands {
    /// Nothing: an operand would be a file.
    None,
    /// One pattern, unless an option gives it.
    Pattern,
    /// One or two sets of characters.
    Sets,
}

impl Operands {
    pub(super) fn noun(self) -> &'static str {
        match self {
            Self::None => "operand",
            Self::Pattern => "pattern",
            Self::Sets => "set of characters",
        }
    }
}

/// One filter.
#[derive(Debug)]
pub(super) struct Spec {
    pub(super) name: &'static str,
    /// Letters without a value, which may be clustered.
    pub(super) flags: &'static str,
    /// Letters with a value.
    pub(super) valued: &'static [(char, Value)],
    /// Long names without a value.
    pub(super) long_flags: &'static [&'static str],
    /// Long names with a value.
    pub(super) long_valued: &'static [(&'static str, Value)],
    pub(super) operands: Operands,
}

impl Spec {
    /// The short options, for messages.
    pub(super) fn options(&self) -> String {
        let flags = self.flags.chars().map(|letter| format!("-{letter}"));
        let valued =
            self.valued.iter().map(|(letter, value)| format!("-{letter} {}", value.noun()));
        let all: Vec<String> = flags.chain(valued).collect();
        if all.is_empty() { "none".to_owned() } else { all.join(" ") }
    }
}

/// The closed set. Left out on purpose: `grep -P -f -r -d -D`, `sort -o -T -S -m` and its programs, `tail -f -F`,
/// `wc --files0-from`, every old form that is an operand elsewhere (`tail +5`, `sort +1`).
pub(super) const TABLES: &[Spec] = &[
    Spec {
        name: "grep",
        flags: "EFGivcnoqswxahHbLl",
        valued: &[
            ('e', Value::Pattern),
            ('m', Value::Number),
            ('A', Value::Number),
            ('B', Value::Number),
            ('C', Value::Attached),
        ],
        long_flags: &[
            "extended-regexp",
            "fixed-strings",
            "basic-regexp",
            "ignore-case",
            "no-ignore-case",
            "invert-match",
            "count",
            "line-number",
            "only-matching",
            "quiet",
            "silent",
            "no-messages",
            "word-regexp",
            "line-regexp",
            "text",
            "no-filename",
            "with-filename",
            "byte-offset",
            "line-buffered",
            "files-with-matches",
            "files-without-match",
        ],
        long_valued: &[
            ("regexp", Value::Pattern),
            ("max-count", Value::Number),
            ("after-context", Value::Number),
            ("before-context", Value::Number),
            ("context", Value::Attached),
            ("color", Value::When),
            ("colour", Value::When),
        ],
        operands: Operands::Pattern,
    },
    Spec {
        name: "head",
        flags: "qv",
        valued: &[('n', Value::FromEnd), ('c', Value::FromEnd)],
        long_flags: &["quiet", "silent", "verbose"],
        long_valued: &[("lines", Value::FromEnd), ("bytes", Value::FromEnd)],
        operands: Operands::None,
    },
    Spec {
        name: "tail",
        flags: "qv",
        valued: &[('n', Value::FromStart), ('c', Value::FromStart)],
        long_flags: &["quiet", "silent", "verbose"],
        long_valued: &[("lines", Value::FromStart), ("bytes", Value::FromStart)],
        operands: Operands::None,
    },
    Spec {
        name: "wc",
        flags: "clmwL",
        valued: &[],
        long_flags: &["bytes", "chars", "lines", "words", "max-line-length"],
        long_valued: &[],
        operands: Operands::None,
    },
    Spec {
        name: "sort",
        flags: "bdfghiMnrVcCsuz",
        valued: &[('k', Value::SortKey), ('t', Value::Character)],
        long_flags: &[
            "ignore-leading-blanks",
            "dictionary-order",
            "ignore-case",
            "general-numeric-sort",
            "human-numeric-sort",
            "ignore-nonprinting",
            "month-sort",
            "numeric-sort",
            "reverse",
            "version-sort",
            "stable",
            "unique",
            "zero-terminated",
        ],
        long_valued: &[("key", Value::SortKey), ("field-separator", Value::Character)],
        operands: Operands::None,
    },
    Spec {
        name: "uniq",
        flags: "cdui",
        valued: &[('f', Value::Number), ('s', Value::Number), ('w', Value::Number)],
        long_flags: &["count", "repeated", "unique", "ignore-case", "zero-terminated"],
        long_valued: &[
            ("skip-fields", Value::Number),
            ("skip-chars", Value::Number),
            ("check-chars", Value::Number),
        ],
        operands: Operands::None,
    },
    Spec {
        name: "cut",
        flags: "ns",
        valued: &[
            ('b', Value::List),
            ('c', Value::List),
            ('f', Value::List),
            ('d', Value::Character),
        ],
        long_flags: &["complement", "only-delimited", "zero-terminated"],
        long_valued: &[
            ("bytes", Value::List),
            ("characters", Value::List),
            ("fields", Value::List),
            ("delimiter", Value::Character),
            ("output-delimiter", Value::Text),
        ],
        operands: Operands::None,
    },
    Spec {
        name: "tr",
        flags: "cCds",
        valued: &[],
        long_flags: &["complement", "delete", "squeeze-repeats", "truncate-set1"],
        long_valued: &[],
        operands: Operands::Sets,
    },
    Spec {
        name: "nl",
        flags: "p",
        valued: &[
            ('b', Value::NumberedLines),
            ('n', Value::NumberPlace),
            ('w', Value::Width),
            ('s', Value::Text),
            ('v', Value::Number),
            ('i', Value::Number),
        ],
        long_flags: &["no-renumber"],
        long_valued: &[
            ("body-numbering", Value::NumberedLines),
            ("number-format", Value::NumberPlace),
            ("number-width", Value::Width),
            ("number-separator", Value::Text),
            ("starting-line-number", Value::Number),
            ("line-increment", Value::Number),
        ],
        operands: Operands::None,
    },
    Spec {
        name: "column",
        flags: "tx",
        valued: &[('s', Value::Text), ('c', Value::Number)],
        long_flags: &["table", "fillrows"],
        long_valued: &[("separator", Value::Text), ("output-width", Value::Number)],
        operands: Operands::None,
    },
];
