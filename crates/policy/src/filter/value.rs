//! The types of a filter's option values, each with its bounds.

/// Longest pattern in bytes: room for a dozen alternatives, too short for a list of words.
const MAX_PATTERN: usize = 512;
/// Longest set or separator in bytes.
const MAX_TEXT: usize = 128;
/// Most digits of a number: a million is more lines than any answer holds.
const MAX_DIGITS: usize = 6;
/// Largest product of all repetition counts of a pattern: `grep` unrolls `{n,m}`, so nested ones multiply its memory.
const MAX_REPETITIONS: u64 = 10_000;

/// A type of value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Value {
    /// A count of at most six digits.
    Number,
    /// The same, or `-N`: all but the last N.
    FromEnd,
    /// The same, or `-N`, or `+N`: from the Nth on.
    FromStart,
    /// A regular expression of bounded cost.
    Pattern,
    /// `always`, `auto` or `never`; may be left out.
    When,
    /// One character.
    Character,
    /// Ranges: `1,3-5,7-`.
    List,
    /// A sort key: `2`, `2,2n`, `1.2,1.4`.
    SortKey,
    /// `a`, `t` or `n`.
    NumberedLines,
    /// `ln`, `rn` or `rz`.
    NumberPlace,
    /// A short text that the filter only prints or compares.
    Text,
}

impl Value {
    /// What the value is called in a list of options.
    pub(super) fn noun(self) -> &'static str {
        match self {
            Self::Number | Self::FromEnd | Self::FromStart => "N",
            Self::Pattern => "PATTERN",
            Self::When => "WHEN",
            Self::Character => "CHAR",
            Self::List => "LIST",
            Self::SortKey => "KEY",
            Self::NumberedLines | Self::NumberPlace => "STYLE",
            Self::Text => "TEXT",
        }
    }

    /// Whether the value may be left out.
    pub(super) fn optional(self) -> bool {
        self == Self::When
    }

    /// Checks a value; the error says what it should be.
    pub(super) fn check(self, text: &str, fixed: bool) -> Result<(), &'static str> {
        let (sound, wants) = match self {
            Self::Number => (number(text), "a number of at most six digits"),
            Self::FromEnd => (
                number(text.strip_prefix('-').unwrap_or(text)),
                "a number of at most six digits, or -N",
            ),
            Self::FromStart => (
                number(text.strip_prefix(['-', '+']).unwrap_or(text)),
                "a number of at most six digits, -N or +N",
            ),
            Self::Pattern => return pattern(text, fixed),
            Self::When => (matches!(text, "always" | "auto" | "never"), "always, auto or never"),
            Self::Character => (text.len() == 1, "one character"),
            Self::List => (list(text), "ranges such as 1,3-5,7-"),
            Self::SortKey => (sort_key(text), "a key such as 2,2n"),
            Self::NumberedLines => (matches!(text, "a" | "t" | "n"), "a, t or n"),
            Self::NumberPlace => (matches!(text, "ln" | "rn" | "rz"), "ln, rn or rz"),
            Self::Text => (text.len() <= MAX_TEXT, "at most 128 characters"),
        };
        if sound { Ok(()) } else { Err(wants) }
    }
}

fn number(text: &str) -> bool {
    (1..=MAX_DIGITS).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit())
}

fn list(text: &str) -> bool {
    text.len() <= MAX_TEXT
        && text.split(',').all(|range| match range.split_once('-') {
            None => number(range),
            Some(("", to)) => number(to),
            Some((from, "")) => number(from),
            Some((from, to)) => number(from) && number(to),
        })
}

fn sort_key(text: &str) -> bool {
    let (from, to) = match text.split_once(',') {
        Some((from, to)) => (from, Some(to)),
        None => (text, None),
    };
    let end = |part: &str| {
        let place = part.trim_end_matches(|letter| "bdfghiMnrV".contains(letter));
        match place.split_once('.') {
            Some((field, character)) => number(field) && number(character),
            None => number(place),
        }
    };
    end(from) && to.is_none_or(end)
}

/// Bounds what matching may cost: length, repetition counts, and no back-references, whose matching is exponential.
fn pattern(text: &str, fixed: bool) -> Result<(), &'static str> {
    if text.len() > MAX_PATTERN {
        return Err("at most 512 characters");
    }
    if fixed {
        return Ok(());
    }
    let mut product: u64 = 1;
    let mut letters = text.chars().peekable();
    while let Some(letter) = letters.next() {
        let escaped = letter == '\\';
        let brace = letter == '{' || (escaped && letters.peek() == Some(&'{'));
        if escaped && letters.next().is_some_and(|next| next.is_ascii_digit()) {
            return Err("no back-reference (\\1): its cost has no bound");
        }
        if brace {
            product = product.saturating_mul(largest_count(&letters.clone().collect::<String>()));
        }
    }
    if product > MAX_REPETITIONS {
        return Err("smaller repetition counts ({n,m}, all together at most 10,000)");
    }
    Ok(())
}

/// The larger count of the `{n,m}` whose inside `text` begins with; 1 when it is no repetition.
fn largest_count(text: &str) -> u64 {
    let inside: String =
        text.chars().take_while(|letter| letter.is_ascii_digit() || *letter == ',').collect();
    inside
        .split(',')
        .map(|count| match count {
            "" => 1,
            // More digits than u64 holds is more than any bound.
            digits => digits.parse().unwrap_or(u64::MAX),
        })
        .max()
        .unwrap_or(1)
        .max(1)
}
