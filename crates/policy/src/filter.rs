//! The programs that are harmless after a pipe, and exactly how far: typed options, no file operand, nothing that reads,
//! writes, follows or executes.
//!
//! Options and their arity are those on which GNU, busybox, FreeBSD and macOS agree, or that the others refuse; an option
//! that is not in a table is refused, an abbreviated one too. Options must stand before operands, because a `getopt`
//! that does not permute would take a later one for a file. Known limit: OpenBSD's `grep` takes the number of `-C`
//! only without a blank (`-C5`).

mod table;
mod value;

use table::{Operands, Spec, TABLES};
use value::Value;

/// Most words after the program; far above any filter that is written by hand.
const MAX_WORDS: usize = 32;

/// The names of the closed set.
#[must_use]
pub fn names() -> Vec<&'static str> {
    TABLES.iter().map(|spec| spec.name).collect()
}

/// Judges a command after a pipe: `None` when its program is no filter, else whether it only reads its standard input.
/// An error says what is refused and what is taken.
#[must_use]
pub fn check(argv: &[String]) -> Option<Result<(), String>> {
    let (program, words) = argv.split_first()?;
    let spec = TABLES.iter().find(|spec| spec.name == program)?;
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let reading =
        Reading { spec, operands: Vec::new(), patterns: Vec::new(), modes: String::new() };
    Some(reading.all(&words))
}

/// One pass over the words of a filter.
struct Reading<'a> {
    spec: &'static Spec,
    operands: Vec<&'a str>,
    /// Patterns that options gave.
    patterns: Vec<&'a str>,
    /// Letters of `grep` that say how patterns are read.
    modes: String,
}

impl<'a> Reading<'a> {
    fn all(mut self, words: &[&'a str]) -> Result<(), String> {
        if words.len() > MAX_WORDS {
            return Err(format!("{} has more than {MAX_WORDS} arguments", self.spec.name));
        }
        let mut rest = words.iter().copied();
        let mut ended = false;
        while let Some(word) = rest.next() {
            if ended || word == "-" || !word.starts_with('-') {
                self.operands.push(word);
            } else if !self.operands.is_empty() {
                return Err(format!(
                    "{} {word:?} stands after an operand; write options first",
                    self.spec.name
                ));
            } else if word == "--" {
                ended = true;
            } else if let Some(long) = word.strip_prefix("--") {
                self.long(long, &mut rest)?;
            } else if let Some(number) = word.strip_prefix('-').filter(|text| all_digits(text)) {
                self.bare_number(number, words.len())?;
            } else {
                self.cluster(word, &mut rest)?;
            }
        }
        self.operands()
    }

    /// `-5`: lines of `head` and `tail` (only alone, as the old form wants it), context of `grep`.
    fn bare_number(&self, number: &str, words: usize) -> Result<(), String> {
        match (self.spec.name, words) {
            ("grep", _) | ("head" | "tail", 1) => {
                self.valued(&format!("-{number}"), Value::Number, number)
            }
            ("head" | "tail", _) => Err(format!(
                "{} -{number} beside other arguments; write -n {number}",
                self.spec.name
            )),
            _ => Err(self.unknown(&format!("-{number}"))),
        }
    }

    /// `-abc`, `-n5` or `-n 5`.
    fn cluster(
        &mut self,
        word: &'a str,
        rest: &mut impl Iterator<Item = &'a str>,
    ) -> Result<(), String> {
        let mut letters = word.chars();
        letters.next();
        while let Some(letter) = letters.next() {
            if self.spec.flags.contains(letter) {
                self.modes.extend(Some(letter).filter(|letter| "EFG".contains(*letter)));
                continue;
            }
            let name = format!("-{letter}");
            let Some((_, value)) = self.spec.valued.iter().find(|(known, _)| *known == letter)
            else {
                return Err(self.unknown(&name));
            };
            let attached = letters.as_str();
            if attached.is_empty() && *value == Value::Attached {
                let program = self.spec.name;
                return Err(format!(
                    "{program} {name} wants its value in the same word: write {name}2"
                ));
            }
            let text = if attached.is_empty() { rest.next() } else { Some(attached) };
            let text = text.ok_or_else(|| format!("{} {name} lacks its value", self.spec.name))?;
            return self.taken(&name, *value, text);
        }
        Ok(())
    }

    /// `--name`, `--name=value` or `--name value`, written in full.
    fn long(
        &mut self,
        long: &'a str,
        rest: &mut impl Iterator<Item = &'a str>,
    ) -> Result<(), String> {
        let (name, attached) = match long.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (long, None),
        };
        let shown = format!("--{name}");
        if self.spec.long_flags.contains(&name) {
            self.modes.push_str(match name {
                "extended-regexp" => "E",
                "fixed-strings" => "F",
                "basic-regexp" => "G",
                _ => "",
            });
            return match attached {
                None => Ok(()),
                Some(_) => Err(format!("{} {shown} takes no value", self.spec.name)),
            };
        }
        let Some((_, value)) = self.spec.long_valued.iter().find(|(known, _)| *known == name)
        else {
            return Err(self.unknown(&shown));
        };
        if attached.is_none() && *value == Value::Attached {
            return Err(format!("{} {shown} wants its value after =", self.spec.name));
        }
        // An optional value is never the next word.
        let text = match (attached, value.optional()) {
            (Some(text), _) => text,
            (None, true) => return Ok(()),
            (None, false) => {
                rest.next().ok_or_else(|| format!("{} {shown} lacks its value", self.spec.name))?
            }
        };
        self.taken(&shown, *value, text)
    }

    /// Notes an option's pattern, to be checked when all options are known, or checks another value.
    fn taken(&mut self, name: &str, value: Value, text: &'a str) -> Result<(), String> {
        if value == Value::Pattern {
            self.patterns.push(text);
            return Ok(());
        }
        self.valued(name, value, text)
    }

    fn valued(&self, name: &str, value: Value, text: &str) -> Result<(), String> {
        // Which of several modes counts differs between programs: patterns are plain text only when nothing else was said.
        let plain = !self.modes.is_empty() && self.modes.bytes().all(|mode| mode == b'F');
        value.check(text, plain).map_err(|wants| {
            let shown: String = text.chars().take(40).collect();
            format!("{} {name} {shown:?}: it takes {wants}", self.spec.name)
        })
    }

    fn operands(self) -> Result<(), String> {
        let name = self.spec.name;
        let (fewest, most, value) = match self.spec.operands {
            Operands::None => (0, 0, Value::Text),
            Operands::Pattern if !self.patterns.is_empty() => (0, 0, Value::Pattern),
            Operands::Pattern => (1, 1, Value::Pattern),
            Operands::Sets => (1, 2, Value::Text),
        };
        if let Some(file) = self.operands.get(most) {
            return Err(format!("{name} would take {file:?} for a file"));
        }
        if self.operands.len() < fewest {
            return Err(format!("{name} lacks its {}", self.spec.operands.noun()));
        }
        let noun = self.spec.operands.noun();
        self.patterns.iter().try_for_each(|text| self.valued(noun, Value::Pattern, text))?;
        self.operands.iter().try_for_each(|text| self.valued(noun, value, text))
    }

    fn unknown(&self, option: &str) -> String {
        format!(
            "{} {option} is not taken after a pipe; taken are {}",
            self.spec.name,
            self.spec.options()
        )
    }
}

fn all_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests;
