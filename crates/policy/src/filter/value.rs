//! The types of a filter's option values, each with its bounds.

/// Longest pattern in bytes: room for a dozen alternatives, too short for a list of words.
const MAX_PATTERN: usize = 512;
/// Longest set or separator in bytes.
const MAX_TEXT: usize = 128;
/// Most digits of a number: a million is more lines than any answer holds.
const MAX_DIGITS: usize = 6;
/// Largest product of a pattern's length and all its repetition counts: `grep` unrolls `{n,m}`, so nested ones multiply
/// what stands inside. Measured with GNU grep 3.8 on a line of 20 KB: near the bound mostly under a second, at worst 10;
/// `(.|..){10000}` was not done after 20.
const MAX_UNROLLED: u64 = 10_000;
/// Most digits of a width: `nl` pads every line to it.
const MAX_WIDTH_DIGITS: usize = 2;

/// A type of value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Value {
    /// A count of at most six digits.
    Number,
    /// The same, never as the next word: FreeBSD's, macOS' and OpenBSD's `grep --context` and OpenBSD's `grep -C` leave that
    /// to be the pattern, and the pattern a file.
    Attached,
    /// A width of at most two digits.
    Width,
    /// The same as `Number`, or `-N`: all but the last N.
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
            Self::Number | Self::Attached | Self::Width | Self::FromEnd | Self::FromStart => "N",
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
            Self::Number | Self::Attached => (number(text), "a number of at most six digits"),
            Self::Width => {
                (number(text) && text.len() <= MAX_WIDTH_DIGITS, "a number of at most two digits")
            }
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
    let mut unrolled = u64::try_from(text.len()).unwrap_or(u64::MAX);
    let mut repeats = false;
    let mut letters = text.chars().peekable();
    while let Some(letter) = letters.next() {
        let escaped = letter == '\\';
        let brace = letter == '{' || (escaped && letters.peek() == Some(&'{'));
        if escaped && letters.next().is_some_and(|next| next.is_ascii_digit()) {
            return Err("no back-reference (\\1): its cost has no bound");
        }
        if brace {
            repeats = true;
            unrolled = unrolled.saturating_mul(largest_count(&letters.clone().collect::<String>()));
        }
    }
    if repeats && unrolled > MAX_UNROLLED {
        return Err(
            "smaller repetition counts ({n,m}: their product times the length at most 10,000)",
        );
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
