//! The typed part of a rule: program, subcommands, options, operands.

use sshepherd_policy::Spec;
use sshepherd_policy::typed::{OperandSpec, OptionSpec, Order, Pattern, Program, ValueType};

use crate::document::{Node, Section, Text};

/// Most operands of one kind.
const MAX_OPERANDS: usize = 1000;

/// What the rule takes; `None` when it names no program, or when something is wrong, which is then an error of the
/// document.
pub(crate) fn spec(section: &Section<'_>) -> Option<Spec> {
    // Asked for whether or not there is a program, so that none of them is an unknown key.
    let program = section.text("program");
    let paths = texts(section.texts("paths"));
    let subcommands = section.text_or_texts("subcommands").unwrap_or_default();
    let flags = section.texts("flags").unwrap_or_default();
    let options = section.list("options").unwrap_or_default();
    let operands = section.list("operands").unwrap_or_default();
    let first = section.boolean("options_first").unwrap_or(false);
    let Some(program) = program else {
        for key in ["paths", "subcommands", "flags", "options", "operands", "options_first"] {
            if section.has_value(key) {
                let message = "needs program beside it";
                section.document.error(Some(section.line_of(key)), &section.path(key), message);
            }
        }
        return None;
    };
    let bad = |problem: &dyn std::fmt::Display| {
        section.document.error(Some(program.line), &program.field, problem.to_string());
    };
    let subcommands = subcommands.iter().map(|text| words(&text.text)).collect();
    let (asked, given) = (flags.len() + options.len(), operands.len());
    let mut read: Vec<OptionSpec> = flags.iter().map(flag).collect();
    read.extend(options.into_iter().filter_map(|(node, path)| option(section, node, &path)));
    let operands: Vec<OperandSpec> =
        operands.into_iter().filter_map(|(node, path)| operand(section, node, &path)).collect();
    if read.len() < asked || operands.len() < given {
        return None;
    }
    let order = if first { Order::OptionsFirst } else { Order::Any };
    Program::new(&program.text, paths)
        .and_then(|program| Spec::new(program, subcommands, read, operands, order))
        .map_err(|problem| bad(&problem))
        .ok()
}

fn texts(texts: Option<Vec<Text>>) -> Vec<String> {
    texts.unwrap_or_default().into_iter().map(|text| text.text).collect()
}

fn words(text: &str) -> Vec<String> {
    text.split(' ').filter(|word| !word.is_empty()).map(str::to_owned).collect()
}

/// `-h` or `-h --human-readable`: the names of one flag.
fn flag(text: &Text) -> OptionSpec {
    OptionSpec {
        names: words(&text.text),
        value: None,
        value_optional: false,
        required: false,
        repeatable: true,
    }
}

fn option(rule: &Section<'_>, node: &Node, path: &str) -> Option<OptionSpec> {
    let section = Section::of(rule.document, node, path)?;
    let names = texts(section.text_or_texts("names"));
    let wanted = section.has_value("value");
    let value = value(&section);
    let option = OptionSpec {
        names,
        value_optional: section.boolean("value_optional").unwrap_or(false),
        required: section.boolean("required").unwrap_or(false),
        repeatable: section.boolean("repeatable").unwrap_or(value.is_none()),
        value,
    };
    section.finish_strictly();
    (option.value.is_some() == wanted).then_some(option)
}

fn operand(rule: &Section<'_>, node: &Node, path: &str) -> Option<OperandSpec> {
    let section = Section::of(rule.document, node, path)?;
    if !section.has_value("value") {
        section.document.error(Some(section.line), &section.path("value"), "is required");
    }
    let value = value(&section);
    let (min, max) = count(&section);
    section.finish_strictly();
    Some(OperandSpec { value: value?, min, max })
}

/// `2`, `1..8`; one when left out.
fn count(section: &Section<'_>) -> (usize, usize) {
    let Some((node, field)) = section.any("count") else { return (1, 1) };
    let number = |text: &str| text.trim().parse().ok().filter(|count| *count <= MAX_OPERANDS);
    let read = match (node.as_integer(), node.as_text().and_then(|text| text.split_once(".."))) {
        (Some(exactly), _) => number(&exactly.to_string()).map(|count| (count, count)),
        (None, Some((min, max))) => number(min).zip(number(max)),
        (None, None) => None,
    };
    read.unwrap_or_else(|| {
        let message = format!("must be a number or a range such as 1..4, at most {MAX_OPERANDS}");
        section.document.error(Some(node.line), &field, message);
        (1, 1)
    })
}

/// The field `value`: a word, or a mapping with the type as its one key.
fn value(section: &Section<'_>) -> Option<ValueType> {
    let (node, field) = section.any("value")?;
    let known = "unit, path, host_name, time, or one of integer:, one_of:, literal:, path_under:, path_in:, regex:";
    if let Some(word) = node.as_text() {
        return match word {
            "unit" => Some(ValueType::Unit),
            "path" => Some(ValueType::Path),
            "host_name" => Some(ValueType::HostName),
            "time" => Some(ValueType::Time),
            other => {
                let message = format!("{other:?} is no type of value; known are {known}");
                section.document.error(Some(node.line), &field, message);
                None
            }
        };
    }
    let kinds = Section::of(section.document, node, &field)?;
    let mut found: Vec<ValueType> =
        [integer(&kinds), matching(&kinds)].into_iter().flatten().collect();
    found.extend(kinds.texts("one_of").map(|words| ValueType::OneOf(texts(Some(words)))));
    found.extend(kinds.text("literal").map(|text| ValueType::Literal(text.text)));
    found.extend(folders(&kinds, "path_under").map(ValueType::PathUnder));
    found.extend(folders(&kinds, "path_in").map(ValueType::PathIn));
    kinds.finish_strictly();
    if found.len() > 1 || (found.is_empty() && !section.document.has_error_at(node.line, &field)) {
        let message = format!("must be one type of value: {known}");
        section.document.error(Some(node.line), &field, message);
        return None;
    }
    found.pop()
}

fn integer(kinds: &Section<'_>) -> Option<ValueType> {
    let text = kinds.text("integer")?;
    let bounds = text.text.split_once("..").and_then(|(min, max)| {
        let (min, max) = (min.trim().parse().ok()?, max.trim().parse().ok()?);
        (min <= max).then_some(ValueType::Integer { min, max })
    });
    if bounds.is_none() {
        let message = format!("{:?} is no range such as 1..1000", text.text);
        kinds.document.error(Some(text.line), &text.field, message);
    }
    bounds
}

fn matching(kinds: &Section<'_>) -> Option<ValueType> {
    let text = kinds.text("regex")?;
    Pattern::new(&text.text)
        .map_err(|bad| kinds.document.error(Some(text.line), &text.field, bad.to_string()))
        .map(ValueType::Matching)
        .ok()
}

fn folders(kinds: &Section<'_>, key: &'static str) -> Option<Vec<String>> {
    let folders = kinds.text_or_texts(key)?;
    for text in folders.iter().filter(|text| !ValueType::Path.takes(&text.text)) {
        let message = format!("{:?} is no absolute path without . and ..", text.text);
        kinds.document.error(Some(text.line), &text.field, message);
    }
    if let Some(text) = folders.iter().find(|text| text.text.trim_matches('/').is_empty()) {
        let message = "is every path; write `value: path` if that is meant";
        kinds.document.error(Some(text.line), &text.field, message);
    }
    Some(texts(Some(folders)))
}
