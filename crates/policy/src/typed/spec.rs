//! What a typed rule lets a program be called with, as checked values.

use super::value::ValueType;

/// A program as a rule names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Program {
    name: String,
    paths: Vec<String>,
}

/// How often and as what an option may stand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OptionSpec {
    /// Its names: `-n`, `--lines`, or `-name` for programs whose long options have one dash.
    pub names: Vec<String>,
    /// Its value; `None` for a flag.
    pub value: Option<ValueType>,
    /// The value may be left out; it then only stands in the same word (`--color=never`), as `getopt` has it.
    pub value_optional: bool,
    /// A command without it is not let through.
    pub required: bool,
    /// It may stand more than once.
    pub repeatable: bool,
}

/// Some operands of one type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OperandSpec {
    /// Their type.
    pub value: ValueType,
    /// Fewest.
    pub min: usize,
    /// Most.
    pub max: usize,
}

/// Whether options may stand after operands, as GNU programs have it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Order {
    /// Anywhere after the subcommand.
    #[default]
    Any,
    /// Before the first operand only: for programs that take whatever follows an operand for one, too.
    OptionsFirst,
}

/// One way to call one program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spec {
    pub(super) program: Program,
    /// Each is the words that must follow the program; with none, no subcommand is wanted.
    pub(super) subcommands: Vec<Vec<String>>,
    pub(super) options: Vec<OptionSpec>,
    pub(super) operands: Vec<OperandSpec>,
    pub(super) order: Order,
}

/// What makes a specification useless or ambiguous.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadSpec {
    /// The program is neither a plain name nor an absolute path.
    #[error("program {0:?} is neither a plain name nor an absolute path without . and ..")]
    Program(String),
    /// A bound path is none, or the program is a path itself.
    #[error("paths: {0:?} is no absolute path without . and .., or the program is a path itself")]
    Path(String),
    /// A subcommand is empty or looks like an option.
    #[error("subcommand {0:?} must be words that are no options")]
    Subcommand(String),
    /// An option's name is none.
    #[error("{0:?} is no option name such as -n, --lines or -name")]
    OptionName(String),
    /// Two options have one name.
    #[error("two options are called {0}")]
    SameName(String),
    /// An option that has no name at all.
    #[error("an option needs at least one name")]
    NoName,
    /// `value_optional` on a flag, or on an option that a single letter names alone.
    #[error("{0}: value_optional needs a value and a name with two dashes")]
    Optional(String),
    /// Fewest is more than most, or most is 0.
    #[error("operands: at least {min} and at most {max} makes no sense")]
    Count {
        /// Fewest.
        min: usize,
        /// Most.
        max: usize,
    },
}

impl Program {
    /// `name` is what a caller writes. With `paths`, a caller may write each of them too, and the name is sent as the
    /// first: then neither `PATH` nor an alias of the account decides what runs.
    pub fn new(name: &str, paths: Vec<String>) -> Result<Self, BadSpec> {
        let plain = |text: &str| {
            !text.is_empty()
                && !text.starts_with('-')
                && text
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || b"_.+-@:".contains(&byte))
        };
        if !plain(name) && !whole_path(name) {
            return Err(BadSpec::Program(name.to_owned()));
        }
        match paths.iter().find(|path| !whole_path(path) || name.starts_with('/')) {
            Some(bad) => Err(BadSpec::Path(bad.clone())),
            None => Ok(Self { name: name.to_owned(), paths }),
        }
    }

    /// What a caller writes.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The name without its folder.
    #[must_use]
    pub fn base(&self) -> &str {
        base(&self.name)
    }

    /// What is sent when a caller writes `word`; `None` when it is another program.
    pub(super) fn bound<'a>(&'a self, word: &'a str) -> Option<&'a str> {
        if word == self.name {
            return Some(self.paths.first().map_or(word, String::as_str));
        }
        self.paths.iter().any(|path| path == word).then_some(word)
    }
}

/// A program word without its folder.
pub(crate) fn base(program: &str) -> &str {
    program.rsplit('/').next().unwrap_or(program)
}

fn whole_path(text: &str) -> bool {
    text.starts_with('/')
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_.+-/@:".contains(&byte))
        && text.split('/').skip(1).all(|part| !matches!(part, "" | "." | ".."))
}

impl OptionSpec {
    /// The name that hints use: the last, which is the long one by custom.
    pub(super) fn name(&self) -> &str {
        self.names.last().map_or("", String::as_str)
    }

    fn check(&self) -> Result<(), BadSpec> {
        if self.names.is_empty() {
            return Err(BadSpec::NoName);
        }
        let sound = |name: &&String| {
            let rest = name.strip_prefix("--").or_else(|| name.strip_prefix('-')).unwrap_or("");
            rest.starts_with(|first: char| first.is_ascii_alphanumeric())
                && rest.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
        };
        if let Some(bad) = self.names.iter().find(|name| !sound(name)) {
            return Err(BadSpec::OptionName(bad.clone()));
        }
        let long = self.names.iter().all(|name| name.starts_with("--"));
        if self.value_optional && (self.value.is_none() || !long) {
            return Err(BadSpec::Optional(self.name().to_owned()));
        }
        Ok(())
    }
}

impl Spec {
    /// A checked specification. Without `operands` none are taken; options and operands that are not named are refused.
    pub fn new(
        program: Program,
        subcommands: Vec<Vec<String>>,
        options: Vec<OptionSpec>,
        operands: Vec<OperandSpec>,
        order: Order,
    ) -> Result<Self, BadSpec> {
        let words = |words: &&Vec<String>| {
            words.is_empty() || words.iter().any(|word| word.is_empty() || word.starts_with('-'))
        };
        if let Some(bad) = subcommands.iter().find(words) {
            return Err(BadSpec::Subcommand(bad.join(" ")));
        }
        let mut seen: Vec<&str> = Vec::new();
        for option in &options {
            option.check()?;
            for name in &option.names {
                if seen.contains(&name.as_str()) {
                    return Err(BadSpec::SameName(name.clone()));
                }
                seen.push(name);
            }
        }
        if let Some(bad) =
            operands.iter().find(|operand| operand.min > operand.max || operand.max == 0)
        {
            return Err(BadSpec::Count { min: bad.min, max: bad.max });
        }
        Ok(Self { program, subcommands, options, operands, order })
    }

    /// The program.
    #[must_use]
    pub fn program(&self) -> &Program {
        &self.program
    }

    /// The subcommands, each as its words.
    #[must_use]
    pub fn subcommands(&self) -> &[Vec<String>] {
        &self.subcommands
    }

    /// The options.
    #[must_use]
    pub fn options(&self) -> &[OptionSpec] {
        &self.options
    }

    /// The operands.
    #[must_use]
    pub fn operands(&self) -> &[OperandSpec] {
        &self.operands
    }

    /// Where options may stand.
    #[must_use]
    pub fn order(&self) -> Order {
        self.order
    }

    /// Every type of value in it.
    pub(crate) fn values(&self) -> impl Iterator<Item = &ValueType> {
        let options = self.options.iter().filter_map(|option| option.value.as_ref());
        options.chain(self.operands.iter().map(|operand| &operand.value))
    }

    /// Programs such as `find` and `java`, whose long options have one dash and whose letters are never written together.
    pub(super) fn one_dash(&self) -> bool {
        let names = self.options.iter().flat_map(|option| &option.names);
        names.into_iter().any(|name| !name.starts_with("--") && name.len() > 2)
    }

    /// The call in one line, as a manual page has it.
    #[must_use]
    pub fn usage(&self) -> String {
        let mut line = self.program.name.clone();
        let subcommands: Vec<String> =
            self.subcommands.iter().map(|words| words.join(" ")).collect();
        match subcommands.as_slice() {
            [] => {}
            [one] => line.extend([" ", one]),
            several => line.push_str(&format!(" <{}>", several.join("|"))),
        }
        for option in &self.options {
            let names = option.names.join("|");
            let value = option.value.as_ref().map(|value| match option.value_optional {
                true => format!("[={}]", value.noun()),
                false => format!(" {}", value.noun()),
            });
            let text = names + &value.unwrap_or_default();
            line.push_str(&if option.required { format!(" {text}") } else { format!(" [{text}]") });
        }
        for operand in &self.operands {
            let more = if operand.max > 1 { "…" } else { "" };
            let noun = operand.value.noun();
            line.push_str(&if operand.min > 0 {
                format!(" {noun}{more}")
            } else {
                format!(" [{noun}{more}]")
            });
        }
        line
    }
}
