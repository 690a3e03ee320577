//! Sets of names in the range notation that cluster tools share: `web[01-20,25]`.
//!
//! The notation is ClusterShell's (`nodeset(1)`) as far as one number a name goes: a range is counted up, and leading zeros of
//! its first number say how wide each is.

use std::collections::BTreeMap;

/// Most names that one text stands for.
pub const MAX_NAMES: usize = 100_000;
/// Most pairs of brackets in one name.
const MAX_BRACKETS: usize = 8;
/// Most bytes of one name beside its brackets: more than a host's may have.
const MAX_LETTERS: usize = 255;

/// Why a text names no set.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{problem}")]
pub struct BadNames {
    /// Where in the text, in bytes.
    pub offset: usize,
    /// What is wrong and what would be right.
    pub problem: String,
}

fn bad<T>(offset: usize, problem: impl Into<String>) -> Result<T, BadNames> {
    Err(BadNames { offset, problem: problem.into() })
}

/// The names that a text with brackets stands for, in its own order: `web[01-03,7]-db` is four names. A text without
/// brackets stands for itself.
///
/// Errors: brackets that do not pair or hold no numbers, a range that counts down, more than `most` names (which is at most
/// [`MAX_NAMES`]), names so long that no host has them. What is refused is not built.
pub fn expand(text: &str, most: usize) -> Result<Vec<String>, BadNames> {
    let (mut parts, mut rest, mut letters, mut count) = (Vec::new(), text, 0, 1_usize);
    while let Some((head, inside)) = rest.split_once(['[', ']']) {
        let open = text.len() - rest.len() + head.len();
        let opens = rest.get(head.len()..).is_some_and(|from| from.starts_with('['));
        let Some((numbers, tail)) = inside.split_once(']').filter(|_| opens) else {
            let problem =
                if opens { "there is no ] for this [" } else { "there is no [ for this ]" };
            return bad(open, problem);
        };
        let numbers = list(numbers, open + 1)?;
        count = count.saturating_mul(numbers.len());
        letters += head.len();
        if count > most.min(MAX_NAMES) {
            return bad(open, TOO_MANY);
        }
        parts.push((head, numbers));
        rest = tail;
        if parts.len() > MAX_BRACKETS {
            return bad(open, format!("more than {MAX_BRACKETS} pairs of brackets in one name"));
        }
    }
    if count > most {
        return bad(0, TOO_MANY);
    }
    if !parts.is_empty() && letters + rest.len() > MAX_LETTERS {
        return bad(0, format!("has more than {MAX_LETTERS} bytes beside its brackets"));
    }
    let mut names = vec![String::new()];
    for (head, numbers) in &parts {
        let next = |name: String| numbers.iter().map(move |number| format!("{name}{head}{number}"));
        names = names.into_iter().flat_map(next).collect();
    }
    names.iter_mut().for_each(|name| name.push_str(rest));
    Ok(names)
}

const TOO_MANY: &str =
    "this stands for more than 100000 names; take a pattern such as web* or a tag";

/// The numbers of `01-20,25,30-40/2`.
fn list(text: &str, offset: usize) -> Result<Vec<String>, BadNames> {
    let mut numbers = Vec::new();
    let mut at = offset;
    for part in text.split(',') {
        let (range, step) = match part.split_once('/') {
            Some((range, step)) => (range, number(step, at)?),
            None => (part, 1),
        };
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        let (from, to) = (number(first, at)?, number(last, at)?);
        if from > to || step == 0 {
            let part = quoted(part);
            return bad(at, format!("{part} counts nothing; write the smaller number first"));
        }
        if (to - from) / step >= (MAX_NAMES - numbers.len()) as u64 {
            return bad(at, TOO_MANY);
        }
        let width = if first.starts_with('0') { first.len() } else { 0 };
        let mut next = Some(from);
        while let Some(value) = next.filter(|value| *value <= to) {
            numbers.push(format!("{value:0width$}"));
            next = value.checked_add(step);
        }
        at += part.len() + 1;
    }
    Ok(numbers)
}

/// A part of what a caller wrote, for a complaint: its beginning, and nothing that steers a terminal.
pub(crate) fn quoted(text: &str) -> String {
    match text.char_indices().nth(MAX_QUOTED) {
        None => format!("{text:?}"),
        Some((end, _)) => format!("{:?}…", text.get(..end).unwrap_or_default()),
    }
}

/// Most characters of a part that a complaint repeats.
const MAX_QUOTED: usize = 60;

/// Longest number that is counted, in digits: what fits 64 bits.
const MAX_DIGITS: usize = 18;

fn number(text: &str, offset: usize) -> Result<u64, BadNames> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    match text.parse() {
        Ok(value) if digits && text.len() <= MAX_DIGITS => Ok(value),
        Ok(_) | Err(_) => bad(
            offset,
            format!(
                "{} is no number; in brackets stand numbers and ranges, as in [01-20,25]",
                quoted(text)
            ),
        ),
    }
}

/// A name in three parts: before its last number, the number, and what follows.
fn parts(name: &str) -> Option<(&str, &str, &str)> {
    let end = name.rfind(|c: char| c.is_ascii_digit())? + 1;
    let (front, tail) = name.split_at_checked(end)?;
    let start = front.rfind(|c: char| !c.is_ascii_digit()).map_or(0, |at| {
        at + front.get(at..).and_then(|rest| rest.chars().next()).map_or(1, char::len_utf8)
    });
    let (head, digits) = front.split_at_checked(start)?;
    (digits.len() <= MAX_DIGITS).then_some((head, digits, tail))
}

/// The set in the shortest form that [`expand`] reads back: names that differ in their last number only are written once.
/// Names are sorted, each stands once; parts are joined by commas.
#[must_use]
pub fn fold<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    let mut families: BTreeMap<(&str, &str), Vec<&str>> = BTreeMap::new();
    let mut plain = Vec::new();
    for name in names {
        match parts(name) {
            Some((head, digits, tail)) => families.entry((head, tail)).or_default().push(digits),
            None => plain.push(name.to_owned()),
        }
    }
    let mut texts = plain;
    for ((head, tail), mut digits) in families {
        digits.sort_unstable();
        digits.dedup();
        texts.push(match digits.as_slice() {
            [one] => format!("{head}{one}{tail}"),
            many => format!("{head}[{}]{tail}", runs(many)),
        });
    }
    texts.sort();
    texts.dedup();
    texts.join(",")
}

/// Numbers as ranges. Those with leading zeros are counted among numbers of their width.
fn runs(digits: &[&str]) -> String {
    let padded = |text: &str| text.len() > 1 && text.starts_with('0');
    let widths: Vec<usize> =
        digits.iter().filter(|text| padded(text)).map(|text| text.len()).collect();
    let class = |text: &str| if widths.contains(&text.len()) { text.len() } else { 0 };
    let mut numbers: Vec<(usize, u64, &str)> =
        digits.iter().filter_map(|text| Some((class(text), text.parse().ok()?, *text))).collect();
    numbers.sort_unstable();
    let mut texts: Vec<String> = Vec::new();
    let mut run: Option<(&str, (usize, u64), &str)> = None;
    let close = |run: Option<(&str, (usize, u64), &str)>, texts: &mut Vec<String>| {
        if let Some((first, _, last)) = run {
            texts.push(if first == last { first.to_owned() } else { format!("{first}-{last}") });
        }
    };
    for (class, value, text) in numbers {
        run = match run {
            Some((first, (of, before), _))
                if of == class && before.checked_add(1) == Some(value) =>
            {
                Some((first, (class, value), text))
            }
            other => {
                close(other, &mut texts);
                Some((text, (class, value), text))
            }
        };
    }
    close(run, &mut texts);
    texts.join(",")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    fn expand(text: &str) -> Result<Vec<String>, BadNames> {
        super::expand(text, MAX_NAMES)
    }

    /// Every name of a folded set.
    fn unfold(text: &str) -> BTreeSet<String> {
        let mut depth = 0;
        let parts = text.split(|c| {
            depth += i32::from(c == '[') - i32::from(c == ']');
            c == ',' && depth == 0
        });
        parts.filter(|part| !part.is_empty()).flat_map(|part| expand(part).unwrap()).collect()
    }

    #[test]
    fn ranges_are_counted_with_their_zeros() {
        assert_eq!(expand("web[01-03,7]").unwrap(), ["web01", "web02", "web03", "web7"]);
        assert_eq!(expand("r[1-2]n[8-10/2]x").unwrap(), ["r1n8x", "r1n10x", "r2n8x", "r2n10x"]);
        assert_eq!(expand("plain").unwrap(), ["plain"]);
        for (text, offset) in [
            ("a[", 1),
            ("a]", 1),
            ("a[x]", 2),
            ("a[3-1]", 2),
            ("a[1-2,]", 6),
            ("a[]", 2),
            ("a[1][", 4),
            ("a[0-999999999]", 2),
            ("a[[1-3]]", 2),
            ("a]b[1]", 1),
        ] {
            assert_eq!(expand(text).unwrap_err().offset, offset, "{text}");
        }
    }

    /// A few bytes cannot ask for gigabytes, nor for a stack without end.
    #[test]
    fn what_would_be_too_much_is_refused_before_it_is_built() {
        let many = |text: &str, times| vec![text; times].join(",");
        for text in [
            format!("a[{}]", many("1-99999", 2)),
            format!("a[{}]", many("1-99999", 2000)),
            format!("a[1-99999]{}", "[1]".repeat(5000)),
            format!("{}[1-9]", "a".repeat(15_000)),
            "a[1-999][1-999]".to_owned(),
            "[1-99]".repeat(2000),
        ] {
            let problem = expand(&text).unwrap_err().problem;
            assert!(problem.len() < 200, "{problem}");
        }
        assert_eq!(super::expand("a[1-10]", 9).unwrap_err().offset, 1);
        assert!(super::expand("a", 0).is_err());
        assert_eq!(expand("a[1-300]b[1-300]").unwrap().len(), 90_000);
        let long = expand(&format!("a[{}]", "x".repeat(10_000))).unwrap_err().problem;
        assert!(long.len() < 200 && long.contains("xx\"…"), "{long}");
    }

    #[test]
    fn a_set_is_written_as_people_write_it() {
        let fold = |names: &[&str]| fold(names.iter().copied());
        assert_eq!(fold(&["web03", "web01", "web02", "db1"]), "db1,web[01-03]");
        assert_eq!(fold(&["n8", "n9", "n10", "n11", "n13"]), "n[8-11,13]");
        assert_eq!(fold(&["n08", "n09", "n10", "n100"]), "n[100,08-10]");
        assert_eq!(fold(&["a1.prod", "a2.prod", "a1.test"]), "a1.test,a[1-2].prod");
        assert_eq!(fold(&["x", "x", "y"]), "x,y");
        assert_eq!(fold(&[]), "");
    }

    proptest! {
        #[test]
        fn what_is_folded_unfolds(names in proptest::collection::btree_set("[ab]?[0-9]{0,3}[.-]?[0-9]{0,2}[c]?", 0..60)) {
            let names: BTreeSet<String> = names.into_iter().filter(|name| !name.is_empty()).collect();
            prop_assert_eq!(unfold(&fold(names.iter().map(String::as_str))), names);
        }

        #[test]
        fn no_text_panics(text in "[a\\[\\]0-9,/-]{0,20}") {
            let _ = expand(&text);
        }
    }
}
