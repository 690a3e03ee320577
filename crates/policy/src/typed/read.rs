//! Reading an argv as a typed rule's specification has it: whole, or not at all.

use super::spec::{OptionSpec, Order, Spec};
use super::value::ValueType;

/// Where an argv leaves a specification, and what stands there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mismatch {
    /// Another program.
    Program,
    /// The program, but none of the subcommands.
    Subcommand {
        /// What would be taken.
        wanted: Vec<String>,
    },
    /// An option that is not named; abbreviations are none.
    Unknown {
        /// The option as it was written, without a value.
        option: String,
    },
    /// An option's value is missing, or a flag has one.
    Value {
        /// The option.
        option: String,
        /// The value; `None` when it is missing.
        word: Option<String>,
        /// What is taken: a type in words, or `no value`.
        wanted: String,
    },
    /// An option that stands twice.
    Twice {
        /// The option.
        option: String,
    },
    /// A required option is missing.
    Required {
        /// The option.
        option: String,
        /// Its type in words; empty for a flag.
        wanted: String,
    },
    /// An option after an operand, where the rule takes none.
    Late {
        /// The option.
        option: String,
    },
    /// An operand of the wrong type, or one too many.
    Operand {
        /// The operand.
        word: String,
        /// What is taken; empty when nothing more is.
        wanted: String,
    },
    /// An operand is missing.
    Missing {
        /// What is wanted.
        wanted: String,
    },
}

impl Mismatch {
    /// What is wrong, in words.
    #[must_use]
    pub fn message(&self, program: &str) -> String {
        match self {
            Self::Program => format!("it is not {program}"),
            Self::Subcommand { wanted } => {
                format!("after {program} only {} may stand", wanted.join(", "))
            }
            Self::Unknown { option } => format!("{program}: the option {option} is not taken"),
            Self::Value { option, word: Some(word), wanted } => {
                format!("{program}: {option} takes {wanted}, not {:?}", shown(word))
            }
            Self::Value { option, word: None, wanted } => {
                format!("{program}: {option} lacks its value: {wanted}")
            }
            Self::Twice { option } => format!("{program}: {option} may stand once only"),
            Self::Required { option, wanted } if wanted.is_empty() => {
                format!("{program}: {option} is required")
            }
            Self::Required { option, wanted } => {
                format!("{program}: {option} is required, with {wanted}")
            }
            Self::Late { option } => {
                format!("{program}: {option} must stand before the first operand")
            }
            Self::Operand { word, wanted } if wanted.is_empty() => {
                format!("{program}: {:?} is one operand too many", shown(word))
            }
            Self::Operand { word, wanted } => {
                format!("{program}: {:?} is not {wanted}", shown(word))
            }
            Self::Missing { wanted } => format!("{program}: an operand is missing: {wanted}"),
        }
    }

    /// How far the reading came: a rule for the same program and subcommand explains more than one for the program alone.
    #[must_use]
    pub fn closeness(&self) -> u8 {
        match self {
            Self::Program => 0,
            Self::Subcommand { .. } => 1,
            Self::Unknown { .. }
            | Self::Value { .. }
            | Self::Twice { .. }
            | Self::Required { .. }
            | Self::Late { .. }
            | Self::Operand { .. }
            | Self::Missing { .. } => 2,
        }
    }
}

/// A word as messages repeat it.
fn shown(word: &str) -> String {
    let mut text: String = word.chars().take(60).collect();
    if text.len() < word.len() {
        text.push('…');
    }
    text
}

impl Spec {
    /// The argv to send for `argv`, its program bound; or where it leaves the specification.
    pub fn read(&self, argv: &[String]) -> Result<Vec<String>, Mismatch> {
        let (program, words) = argv.split_first().ok_or(Mismatch::Program)?;
        let bound = self.program.bound(program).ok_or(Mismatch::Program)?;
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let rest = self.after_subcommand(&words)?;
        Reading { spec: self, seen: Vec::new(), operands: Vec::new() }.all(rest)?;
        let mut sent = vec![bound.to_owned()];
        sent.extend(words.into_iter().map(str::to_owned));
        Ok(sent)
    }

    fn after_subcommand<'w, 'a>(&self, words: &'w [&'a str]) -> Result<&'w [&'a str], Mismatch> {
        if self.subcommands.is_empty() {
            return Ok(words);
        }
        let fits = |wanted: &&Vec<String>| {
            words.len() >= wanted.len()
                && wanted.iter().zip(words).all(|(wanted, word)| wanted == word)
        };
        // `docker image ls` before `docker image`.
        let longest = self.subcommands.iter().filter(fits).map(Vec::len).max();
        longest.and_then(|length| words.get(length..)).ok_or_else(|| Mismatch::Subcommand {
            wanted: self.subcommands.iter().map(|words| words.join(" ")).collect(),
        })
    }

    fn option(&self, name: &str) -> Option<(usize, &OptionSpec)> {
        self.options
            .iter()
            .enumerate()
            .find(|(_, option)| option.names.iter().any(|known| known == name))
    }
}

/// One pass over the words after the subcommand.
struct Reading<'a> {
    spec: &'a Spec,
    /// Places of the options that stood.
    seen: Vec<usize>,
    operands: Vec<&'a str>,
}

impl<'a> Reading<'a> {
    fn all(mut self, words: &[&'a str]) -> Result<(), Mismatch> {
        let one_dash = self.spec.one_dash();
        let mut rest = words.iter().copied();
        let (mut ended, mut before) = (false, 0);
        while let Some(word) = rest.next() {
            if ended || word == "-" || !word.starts_with('-') {
                self.operand(word, ended)?;
                continue;
            }
            if word == "--" && !one_dash {
                (ended, before) = (true, self.operands.len());
                continue;
            }
            if self.spec.order == Order::OptionsFirst && !self.operands.is_empty() {
                return Err(Mismatch::Late { option: word.to_owned() });
            }
            if one_dash || word.starts_with("--") {
                self.long(word, &mut rest)?;
            } else {
                self.cluster(word, &mut rest)?;
            }
        }
        // With nothing behind it the word is an argument that the rule does not name.
        if ended && self.operands.len() == before {
            return Err(Mismatch::Unknown { option: "--".to_owned() });
        }
        self.missing()?;
        self.places()
    }

    /// After `--` a word may look like an option; whoever reads the command next may take it for one.
    fn operand(&mut self, word: &'a str, ended: bool) -> Result<(), Mismatch> {
        if ended && word.starts_with('-') {
            return Err(Mismatch::Unknown { option: name_of(word) });
        }
        self.operands.push(word);
        Ok(())
    }

    /// `--name`, `--name=value`, `--name value`; the name in full.
    fn long(
        &mut self,
        word: &'a str,
        rest: &mut impl Iterator<Item = &'a str>,
    ) -> Result<(), Mismatch> {
        let (name, attached) = match word.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (word, None),
        };
        let spec = self.spec;
        let Some((place, option)) = spec.option(name) else {
            return Err(Mismatch::Unknown { option: name.to_owned() });
        };
        self.note(place, option)?;
        match (&option.value, attached) {
            (None, None) => Ok(()),
            (None, Some(value)) => Err(Mismatch::Value {
                option: name.to_owned(),
                word: Some(value.to_owned()),
                wanted: "no value".to_owned(),
            }),
            (Some(_), None) if option.value_optional => Ok(()),
            (Some(value), None) => valued(name, value, rest.next()),
            // `-name=value` is one word of a program whose options have one dash.
            (Some(_), Some(_)) if !name.starts_with("--") => {
                Err(Mismatch::Unknown { option: word.to_owned() })
            }
            (Some(value), Some(word)) => valued(name, value, Some(word)),
        }
    }

    /// `-abc`, `-n5`, `-n 5`.
    fn cluster(
        &mut self,
        word: &'a str,
        rest: &mut impl Iterator<Item = &'a str>,
    ) -> Result<(), Mismatch> {
        let mut letters = word.chars();
        letters.next();
        while let Some(letter) = letters.next() {
            let name = format!("-{letter}");
            let spec = self.spec;
            let Some((place, option)) = spec.option(&name) else {
                return Err(Mismatch::Unknown { option: name });
            };
            self.note(place, option)?;
            if let Some(value) = &option.value {
                let attached = letters.as_str();
                let word = if attached.is_empty() { rest.next() } else { Some(attached) };
                return valued(&name, value, word);
            }
        }
        Ok(())
    }

    fn note(&mut self, place: usize, option: &OptionSpec) -> Result<(), Mismatch> {
        if self.seen.contains(&place) && !option.repeatable {
            return Err(Mismatch::Twice { option: option.names.join("/") });
        }
        self.seen.push(place);
        Ok(())
    }

    fn missing(&self) -> Result<(), Mismatch> {
        let missing = self
            .spec
            .options
            .iter()
            .enumerate()
            .find(|(place, option)| option.required && !self.seen.contains(place));
        missing.map_or(Ok(()), |(_, option)| {
            Err(Mismatch::Required {
                option: option.names.join("/"),
                wanted: option.value.as_ref().map(ValueType::describe).unwrap_or_default(),
            })
        })
    }

    /// Deals the operands out in order: each kind takes what is its own, as long as enough is left for those after it.
    fn places(&self) -> Result<(), Mismatch> {
        let mut rest = self.operands.as_slice();
        let kinds = &self.spec.operands;
        for (place, kind) in kinds.iter().enumerate() {
            let kept: usize = kinds.iter().skip(place + 1).map(|later| later.min).sum();
            let most = kind.max.min(rest.len().saturating_sub(kept));
            let taken = rest.iter().take(most).take_while(|word| kind.value.takes(word)).count();
            if taken < kind.min {
                return Err(match rest.get(taken) {
                    Some(word) if taken < most => Mismatch::Operand {
                        word: (*word).to_owned(),
                        wanted: kind.value.describe(),
                    },
                    Some(_) | None => Mismatch::Missing { wanted: kind.value.describe() },
                });
            }
            rest = rest.get(taken..).unwrap_or_default();
            if let (Some(word), true) = (rest.first(), place + 1 == kinds.len()) {
                let wanted = if taken < kind.max { kind.value.describe() } else { String::new() };
                return Err(Mismatch::Operand { word: (*word).to_owned(), wanted });
            }
        }
        rest.first().map_or(Ok(()), |word| {
            Err(Mismatch::Operand { word: (*word).to_owned(), wanted: String::new() })
        })
    }
}

/// An option word without a value that is attached to it.
fn name_of(word: &str) -> String {
    word.split('=').next().unwrap_or(word).to_owned()
}

fn valued(option: &str, value: &ValueType, word: Option<&str>) -> Result<(), Mismatch> {
    match word {
        Some(word) if value.takes(word) => Ok(()),
        word => Err(Mismatch::Value {
            option: option.to_owned(),
            word: word.map(str::to_owned),
            wanted: value.describe(),
        }),
    }
}
