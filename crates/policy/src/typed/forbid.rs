//! A typed rule that denies reads loosely: whatever may be meant by it is denied.

use super::spec::{Spec, base};
use super::value::ValueType;

impl Spec {
    /// Whether a deny rule with this specification hits `argv`: the program by its name in any folder, any of the subcommands
    /// as words in their order, and, where options or operands are named, any word that may be one of them.
    #[must_use]
    pub fn hits(&self, argv: &[String]) -> bool {
        let Some((program, words)) = argv.split_first() else { return false };
        // A file system may not tell capitals from small letters.
        if !base(program).eq_ignore_ascii_case(self.program.base()) {
            return false;
        }
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let subcommand = self.subcommands.is_empty()
            || self.subcommands.iter().any(|wanted| in_order(wanted, &words));
        if !subcommand {
            return false;
        }
        if self.options.is_empty() && self.operands.is_empty() {
            return true;
        }
        let option = self
            .options
            .iter()
            .flat_map(|option| &option.names)
            .any(|name| words.iter().any(|word| may_be(name, word)));
        let operand = self
            .operands
            .iter()
            .any(|operand| words.iter().any(|word| holds(&operand.value, word)));
        option || operand
    }
}

/// Whether the wanted words stand among the others, in their order.
fn in_order(wanted: &[String], words: &[&str]) -> bool {
    let mut rest = words.iter();
    wanted.iter().all(|wanted| rest.any(|word| word == wanted))
}

/// Whether a word may be an option: in full, abbreviated, with a value, or as a letter in a cluster.
pub(crate) fn may_be(name: &str, word: &str) -> bool {
    let given = word.split('=').next().unwrap_or(word);
    if given == name {
        return true;
    }
    match name.strip_prefix("--") {
        Some(_) => given.len() > 2 && name.starts_with(given),
        None => {
            let letter = name.trim_start_matches('-');
            word.starts_with('-')
                && !word.starts_with("--")
                && letter.len() == 1
                && word.contains(letter)
        }
    }
}

/// Whether a word, or a value in it, is of a type. Where a path with `..` leads depends on the host's links, so it may lead
/// anywhere.
fn holds(value: &ValueType, word: &str) -> bool {
    let path = matches!(value, ValueType::Path | ValueType::PathUnder(_) | ValueType::PathIn(_));
    if path && word.split(['/', '=']).any(|part| part == "..") {
        return true;
    }
    // What a program may expand, or is fed.
    let pattern = word.contains(['*', '?', '[']) && (!path || word.contains('/'));
    if pattern || word.contains("{}") {
        return true;
    }
    let attached = word.starts_with('-').then(|| word.get(2..)).flatten();
    let from_slash = word.find('/').filter(|_| path).and_then(|slash| word.get(slash..));
    value.takes(word)
        || word.split(['=', ',']).any(|piece| value.takes(piece))
        || [attached, from_slash].into_iter().flatten().any(|piece| value.takes(piece))
}
