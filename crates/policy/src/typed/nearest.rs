//! The nearest call that a specification takes: what it does not know left out, numbers moved within bounds, what is
//! required put in. Only what needs no guess is changed, and what comes out was read again.

use super::read::Mismatch;
use super::spec::{OptionSpec, Spec};

/// Most repairs of one argv: more would be another command.
const MAX_REPAIRS: usize = 6;

impl Spec {
    /// A call near `argv` that is taken; `None` when there is none without guessing.
    #[must_use]
    pub fn nearest(&self, argv: &[String]) -> Option<Vec<String>> {
        let mut argv = argv.to_vec();
        for _ in 0..MAX_REPAIRS {
            match self.read(&argv) {
                Ok(_) => return Some(argv),
                Err(mismatch) => argv = self.repaired(argv, &mismatch)?,
            }
        }
        self.read(&argv).is_ok().then_some(argv)
    }

    fn repaired(&self, argv: Vec<String>, mismatch: &Mismatch) -> Option<Vec<String>> {
        match mismatch {
            Mismatch::Unknown { option } => without(argv, option),
            Mismatch::Value { option, word: Some(word), .. } => {
                let spec = self.options.iter().find(|known| known.names.contains(option))?;
                self.with_value(argv, option, word, spec)
            }
            Mismatch::Required { option, .. } => {
                let spec = self.options.iter().find(|known| known.names.join("/") == *option)?;
                let value = spec.value.as_ref().map(|value| value.example().ok_or(()));
                let value = value.transpose().ok()?;
                let at = 1 + self.subcommand_length(&argv);
                Some(inserted(argv, at, spec, value))
            }
            // Anything else would be a guess at what was meant.
            Mismatch::Program
            | Mismatch::Subcommand { .. }
            | Mismatch::Value { word: None, .. }
            | Mismatch::Twice { .. }
            | Mismatch::Late { .. }
            | Mismatch::Operand { .. }
            | Mismatch::Missing { .. } => None,
        }
    }

    fn subcommand_length(&self, argv: &[String]) -> usize {
        let words = argv.get(1..).unwrap_or_default();
        let fits = self.subcommands.iter().filter(|wanted| words.starts_with(wanted));
        fits.map(Vec::len).max().unwrap_or(0)
    }

    fn with_value(
        &self,
        mut argv: Vec<String>,
        option: &str,
        word: &str,
        spec: &OptionSpec,
    ) -> Option<Vec<String>> {
        let better = match &spec.value {
            None => {
                // A flag with a value: the flag alone.
                let place = argv.iter().position(|have| *have == format!("{option}={word}"))?;
                option.clone_into(argv.get_mut(place)?);
                return Some(argv);
            }
            Some(value) => value.nearest(word)?,
        };
        let separate = argv.windows(2).position(|pair| matches!(pair, [name, have] if name.ends_with(option_letter(option)) && have == word));
        let attached = argv.iter().position(|have| {
            *have == format!("{option}={word}")
                || (have.starts_with('-')
                    && !have.starts_with("--")
                    && have.ends_with(&format!("{}{word}", option_letter(option))))
        });
        if let Some(place) = attached {
            let have = argv.get_mut(place)?;
            *have = format!("{}{better}", have.strip_suffix(word)?);
            return Some(argv);
        }
        *argv.get_mut(separate? + 1)? = better;
        Some(argv)
    }
}

/// What a word ends with when the option's value is the next one: the letter in a cluster, or the whole name.
fn option_letter(option: &str) -> &str {
    if option.starts_with("--") { option } else { option.trim_start_matches('-') }
}

fn inserted(
    mut argv: Vec<String>,
    at: usize,
    spec: &OptionSpec,
    value: Option<String>,
) -> Vec<String> {
    let name = spec.names.first().cloned().unwrap_or_default();
    let words: Vec<String> = std::iter::once(name).chain(value).collect();
    let at = at.min(argv.len());
    argv.splice(at..at, words);
    argv
}

/// The argv without an option that stands alone or in a cluster of letters.
fn without(mut argv: Vec<String>, option: &str) -> Option<Vec<String>> {
    let attached = format!("{option}=");
    if let Some(place) =
        argv.iter().skip(1).position(|word| word == option || word.starts_with(&attached))
    {
        argv.remove(place + 1);
        return Some(argv);
    }
    let letter = option.strip_prefix('-').filter(|letter| letter.chars().count() == 1)?;
    let clustered =
        |word: &String| word.starts_with('-') && !word.starts_with("--") && word.contains(letter);
    let place = argv.iter().skip(1).position(clustered)? + 1;
    let shorter = argv.get(place)?.replacen(letter, "", 1);
    if shorter == "-" {
        argv.remove(place);
    } else {
        *argv.get_mut(place)? = shorter;
    }
    Some(argv)
}
