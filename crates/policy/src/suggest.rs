//! Rules proposed from commands that were denied: narrow ones, which take what was seen and little more, for a person to
//! review.

use std::collections::BTreeMap;
use std::fmt::Write;

use crate::lint;
use crate::script::{SimpleCommand, quote_words};
use crate::typed::{OperandSpec, OptionSpec, Order, Program, Spec, ValueType};

/// Programs whose first word says what they do.
const WITH_VERBS: &str = "systemctl docker podman kubectl git apt apt-cache apt-get dnf yum ip snap loginctl timedatectl \
    hostnamectl resolvectl networkctl nmcli helm terraform aws az gcloud npm pip cargo service";

/// Most values that are listed one by one.
const MAX_LISTED: usize = 12;

/// Most examples of one rule.
const MAX_EXAMPLES: usize = 5;

/// A proposed rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Suggestion {
    /// How many denied commands it is for.
    pub seen: usize,
    /// What it takes.
    pub spec: Spec,
    /// Commands that it is for.
    pub examples: Vec<String>,
    /// Why to look twice.
    pub caution: Option<String>,
}

/// Proposes rules for commands that were denied, the most frequent first. The same command may be there more than once.
#[must_use]
pub fn suggest(denied: &[SimpleCommand]) -> Vec<Suggestion> {
    let mut groups: BTreeMap<(String, String), Vec<&SimpleCommand>> = BTreeMap::new();
    for command in denied {
        let (verb, _) = parts(command);
        let key = (command.program().to_owned(), verb.unwrap_or_default().to_owned());
        groups.entry(key).or_default().push(command);
    }
    let mut found: Vec<Suggestion> = groups.values().filter_map(|group| propose(group)).collect();
    found.sort_by_key(|suggestion| std::cmp::Reverse(suggestion.seen));
    found
}

/// The verb of a command, and what follows it.
fn parts(command: &SimpleCommand) -> (Option<&str>, &[String]) {
    let words = command.argv().get(1..).unwrap_or_default();
    let verb = words.first().filter(|word| {
        WITH_VERBS.split(' ').any(|known| known == command.program())
            && word.starts_with(|first: char| first.is_ascii_lowercase())
            && word.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-')
    });
    match verb {
        Some(verb) => (Some(verb), words.get(1..).unwrap_or_default()),
        None => (None, words),
    }
}

fn propose(group: &[&SimpleCommand]) -> Option<Suggestion> {
    let first = group.first()?;
    let (verb, _) = parts(first);
    let mut options: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let (mut operands, mut fewest, mut most) = (Vec::new(), usize::MAX, 0);
    for command in group {
        let mut here = 0;
        for word in parts(command).1 {
            match word.strip_prefix("--").and_then(|long| long.split_once('=')) {
                Some((name, value)) => {
                    options.entry(format!("--{name}")).or_default().push(value.to_owned());
                }
                None if word.starts_with('-') && word.len() > 1 => {
                    options.entry(word.clone()).or_default();
                }
                None => {
                    here += 1;
                    operands.push(word.clone());
                }
            }
        }
        fewest = fewest.min(here);
        most = most.max(here);
    }
    let options = options.into_iter().map(|(name, values)| OptionSpec {
        names: vec![name],
        value: listed(values),
        value_optional: false,
        required: false,
        repeatable: false,
    });
    let operands =
        listed(operands).map(|value| OperandSpec { value, min: fewest, max: most }).into_iter();
    let spec = Spec::new(
        Program::new(first.program(), Vec::new()).ok()?,
        verb.map(|verb| vec![verb.to_owned()]).into_iter().collect(),
        options.collect(),
        operands.collect(),
        Order::Any,
    );
    let mut examples: Vec<String> =
        group.iter().map(|command| quote_words(command.argv())).collect();
    let seen = examples.len();
    examples.sort();
    examples.dedup();
    examples.truncate(MAX_EXAMPLES);
    // What a rule would not take itself is not proposed.
    let spec =
        spec.ok().filter(|spec| group.iter().all(|command| spec.read(command.argv()).is_ok()))?;
    Some(Suggestion { seen, spec, examples, caution: lint::caution(first.program()) })
}

/// A type for the values that were seen: a range for numbers, a folder's paths for many paths, else the values themselves.
fn listed(mut values: Vec<String>) -> Option<ValueType> {
    values.sort();
    values.dedup();
    let numbers: Option<Vec<u64>> = values.iter().map(|value| value.parse().ok()).collect();
    if let Some(most) = numbers.as_ref().and_then(|numbers| numbers.iter().max()) {
        return Some(ValueType::Integer { min: 1.min(*most), max: *most });
    }
    match values.len() {
        0 => None,
        1..=MAX_LISTED => Some(ValueType::OneOf(values)),
        _ if values.iter().all(|value| ValueType::Path.takes(value)) => Some(ValueType::Path),
        _ => Some(ValueType::OneOf(values)),
    }
}

impl Suggestion {
    /// The rule as it would stand in `policy.yml`, under the id `id`.
    #[must_use]
    pub fn yaml(&self, id: &str) -> String {
        let mut text = format!("  # denied {} times\n", self.seen);
        if let Some(caution) = &self.caution {
            let _ = writeln!(text, "  # careful: {caution}");
        }
        let _ = writeln!(text, "  - id: {id}");
        text.push_str("    why: REVIEW ME\n    action: ask\n");
        let _ = writeln!(text, "    program: {}", scalar(self.spec.program().name()));
        let verbs: Vec<String> =
            self.spec.subcommands().iter().map(|words| scalar(&words.join(" "))).collect();
        if !verbs.is_empty() {
            let _ = writeln!(text, "    subcommands: [{}]", verbs.join(", "));
        }
        let options: Vec<String> = self.spec.options().iter().map(option).collect();
        if !options.is_empty() {
            let _ = writeln!(text, "    options: [{}]", options.join(", "));
        }
        let operands: Vec<String> = self
            .spec
            .operands()
            .iter()
            .map(|operand| {
                format!(
                    "{{value: {}, count: {}..{}}}",
                    value(&operand.value),
                    operand.min,
                    operand.max
                )
            })
            .collect();
        if !operands.is_empty() {
            let _ = writeln!(text, "    operands: [{}]", operands.join(", "));
        }
        let examples: Vec<String> = self.examples.iter().map(|example| scalar(example)).collect();
        let _ = writeln!(text, "    match: [{}]", examples.join(", "));
        text
    }
}

fn option(option: &OptionSpec) -> String {
    let names: Vec<String> = option.names.iter().map(|name| scalar(name)).collect();
    match &option.value {
        Some(kind) => format!("{{names: [{}], value: {}}}", names.join(", "), value(kind)),
        None => format!("{{names: [{}]}}", names.join(", ")),
    }
}

/// A type as it is written in a rule.
fn value(kind: &ValueType) -> String {
    let list =
        |words: &[String]| words.iter().map(|word| scalar(word)).collect::<Vec<_>>().join(", ");
    match kind {
        ValueType::Integer { min, max } => format!("{{integer: {min}..{max}}}"),
        ValueType::OneOf(words) => format!("{{one_of: [{}]}}", list(words)),
        ValueType::Literal(word) => format!("{{literal: {}}}", scalar(word)),
        ValueType::Unit => "unit".to_owned(),
        ValueType::Path => "path".to_owned(),
        ValueType::PathUnder(folders) => format!("{{path_under: [{}]}}", list(folders)),
        ValueType::PathIn(folders) => format!("{{path_in: [{}]}}", list(folders)),
        ValueType::HostName => "host_name".to_owned(),
        ValueType::Time => "time".to_owned(),
        ValueType::Matching(pattern) => format!("{{regex: {}}}", scalar(pattern.as_str())),
    }
}

/// A text in YAML, in double quotes: words of commands are printable ASCII.
fn scalar(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn denied(texts: &[&str]) -> Vec<SimpleCommand> {
        texts.iter().flat_map(|text| crate::recognise(text).unwrap().commands().to_vec()).collect()
    }

    #[test]
    fn what_was_denied_often_comes_first_and_narrow() {
        let found = suggest(&denied(&[
            "systemctl restart nginx",
            "systemctl restart 'php fpm' --no-block",
            "systemctl restart nginx",
            "cat /etc/hosts /etc/motd",
            "find / -exec id",
            "du --max-depth=1 /var",
            "du --max-depth=3 /var",
        ]));
        let usages: Vec<(usize, String)> =
            found.iter().map(|one| (one.seen, one.spec.usage())).collect();
        assert_eq!(
            usages,
            [
                (3, "systemctl restart [--no-block] <nginx|php fpm>".to_owned()),
                (2, "du [--max-depth <1..3>] </var>".to_owned()),
                (1, "cat </etc/hosts|/etc/motd>…".to_owned()),
                (1, "find [-exec] </|id>…".to_owned()),
            ]
        );
        assert!(
            found[3].caution.is_some() && found[0].caution.is_some() && found[1].caution.is_none()
        );
        let yaml = found[0].yaml("restart");
        assert_eq!(
            yaml,
            "  # denied 3 times\n  # careful: systemctl can run other programs or read and write any file with the wrong arguments\n  - id: restart\n    why: REVIEW ME\n    action: ask\n    program: \"systemctl\"\n    subcommands: [\"restart\"]\n    options: [{names: [\"--no-block\"]}]\n    operands: [{value: {one_of: [\"nginx\", \"php fpm\"]}, count: 1..1}]\n    match: [\"systemctl restart 'php fpm' --no-block\", \"systemctl restart nginx\"]\n"
        );
    }
}
