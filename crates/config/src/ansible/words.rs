//! The small languages in an inventory: words in quotes, values as Python writes them, names with ranges and ports.

use super::{MAX_HOSTS, Value};

/// The words of a line as Python's `shlex.split(line, comments=True)` has them; `None` when a quote is not closed.
pub(crate) fn split(line: &str, comments: bool) -> Option<Vec<String>> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut letters = line.chars();
    while let Some(letter) = letters.next() {
        match letter {
            '#' if comments => break,
            letter if letter.is_ascii_whitespace() => words.extend(word.take()),
            '\'' => {
                let word = word.get_or_insert_default();
                loop {
                    match letters.next()? {
                        '\'' => break,
                        letter => word.push(letter),
                    }
                }
            }
            '"' => {
                let word = word.get_or_insert_default();
                loop {
                    match letters.next()? {
                        '"' => break,
                        '\\' => match letters.next()? {
                            letter @ ('"' | '\\') => word.push(letter),
                            letter => word.extend(['\\', letter]),
                        },
                        letter => word.push(letter),
                    }
                }
            }
            '\\' => word.get_or_insert_default().push(letters.next()?),
            letter => word.get_or_insert_default().push(letter),
        }
    }
    words.extend(word);
    Some(words)
}

/// A value as `ast.literal_eval` reads it; what that cannot read is the text as it stands.
pub(super) fn value(text: &str) -> Value {
    let bare = text.trim_start_matches([' ', '\t']);
    let as_it_stands = || Value::Text(text.to_owned());
    // Python takes a comment behind a value.
    let ends = |rest: &str| rest.trim().is_empty() || rest.trim_start().starts_with('#');
    match bare.chars().next() {
        Some(quote @ ('\'' | '"')) => match quoted(bare, quote) {
            Some((inner, rest)) if ends(rest) => inner.map_or(Value::Other, Value::Text),
            Some(_) | None => as_it_stands(),
        },
        Some('[' | '(' | '{') if !bare.starts_with("{{") && !bare.starts_with("{%") => Value::Other,
        Some(_) => {
            let end = bare.find([' ', '\t', '#']).unwrap_or(bare.len());
            let (word, rest) = bare.split_at_checked(end).unwrap_or((bare, ""));
            if !ends(rest) {
                return as_it_stands();
            }
            match word {
                "True" => Value::Boolean(true),
                "False" => Value::Boolean(false),
                "None" => Value::Null,
                word => number(word).unwrap_or_else(as_it_stands),
            }
        }
        None => as_it_stands(),
    }
}

/// A text in quotes and what follows it; no text when there are escapes in it that are read by nobody here.
fn quoted(text: &str, quote: char) -> Option<(Option<String>, &str)> {
    let (mut inner, mut sound) = (String::new(), true);
    let mut letters = text.char_indices().skip(1);
    while let Some((at, letter)) = letters.next() {
        match letter {
            letter if letter == quote => {
                let rest = text.get(at + letter.len_utf8()..)?;
                // The third quote of three, or one text after another.
                sound &= !rest.trim_start().starts_with(['\'', '"']);
                return Some((sound.then_some(inner), if sound { rest } else { "" }));
            }
            '\\' => match letters.next()?.1 {
                'n' => inner.push('\n'),
                't' => inner.push('\t'),
                letter @ ('\\' | '\'' | '"') => inner.push(letter),
                _ => sound = false,
            },
            letter => inner.push(letter),
        }
    }
    None
}

/// A number as Python writes it: none begins with a zero but zero itself.
fn number(word: &str) -> Option<Value> {
    let digits = word.strip_prefix(['-', '+']).unwrap_or(word);
    let first = digits.chars().next().filter(|first| first.is_ascii_digit() || *first == '.')?;
    if digits.bytes().all(|byte| byte.is_ascii_digit()) {
        if first == '0' && digits.bytes().any(|byte| byte != b'0') {
            return None;
        }
        return Some(word.parse().map_or(Value::Other, Value::Integer));
    }
    word.parse::<f64>().is_ok().then_some(Value::Other)
}

/// The names that a host pattern stands for, and the port behind it.
pub(super) fn hosts(pattern: &str) -> Result<(Vec<String>, Option<u16>), String> {
    let (name, port) = port(pattern);
    if pattern.trim_end().ends_with(':') {
        return Err(format!("{pattern:?} ends in a colon"));
    }
    let mut names = Vec::new();
    expand(&name, &mut names)?;
    Ok((names, port))
}

/// A name and the port behind it, where what is before that is one.
fn port(pattern: &str) -> (String, Option<u16>) {
    let whole = || (pattern.to_owned(), None);
    let Some((name, digits)) = pattern.rsplit_once(':') else { return whole() };
    let Some(port) = digits.parse().ok().filter(|_| digits.bytes().all(|b| b.is_ascii_digit()))
    else {
        return whole();
    };
    let bracketed = name.strip_prefix('[').and_then(|name| name.strip_suffix(']'));
    if let Some(name) = bracketed.filter(|name| name.parse::<std::net::IpAddr>().is_ok()) {
        return (name.to_owned(), Some(port));
    }
    let mut open = false;
    let sound = name.chars().all(|letter| {
        open = (open || letter == '[') && letter != ']';
        open || letter.is_alphanumeric() || "_-.]".contains(letter)
    });
    if sound && !open { (name.to_owned(), Some(port)) } else { whole() }
}

/// Adds the names of a pattern: the first range is counted up, with the others in each.
fn expand(pattern: &str, names: &mut Vec<String>) -> Result<(), String> {
    let Some((head, rest)) = pattern.split_once('[') else {
        if names.len() >= MAX_HOSTS {
            return Err(format!("stands for more than {MAX_HOSTS} hosts"));
        }
        names.push(pattern.to_owned());
        return Ok(());
    };
    let wrong = || format!("{pattern:?} has no range like [01:20], [a:f] or [0:9:3]");
    let (range, tail) = rest.split_once(']').ok_or_else(wrong)?;
    if pattern.matches('[').count() > MAX_RANGES || pattern.contains('|') {
        return Err(wrong());
    }
    for part in counted(range).ok_or_else(wrong)? {
        expand(&format!("{head}{part}{tail}"), names)?;
    }
    Ok(())
}

/// Most ranges in one name.
const MAX_RANGES: usize = 8;

/// What a range stands for: letters (small ones before capitals) or numbers, as wide as the first where that begins with a zero.
fn counted(range: &str) -> Option<Vec<String>> {
    let bounds: Vec<&str> = range.split(':').collect();
    let (first, last, step) = match bounds.as_slice() {
        [first, last] => (*first, *last, 1),
        [first, last, step] => (*first, *last, step.parse().ok().filter(|step| *step > 0)?),
        _ => return None,
    };
    let first = if first.is_empty() { "0" } else { first };
    let padded = first.len() > 1 && first.starts_with('0');
    if padded && first.len() != last.len() {
        return None;
    }
    let letters = || ('a'..='z').chain('A'..='Z');
    let place =
        |text: &str| letters().position(|letter| text.len() == 1 && text.starts_with(letter));
    if let (Some(from), Some(to)) = (place(first), place(last)) {
        let found: Vec<String> =
            letters().take(to + 1).skip(from).step_by(step).map(String::from).collect();
        return (from <= to).then_some(found);
    }
    let digits = |text: &str| {
        text.parse::<u32>().ok().filter(|_| text.bytes().all(|byte| byte.is_ascii_digit()))
    };
    let (from, to) = (digits(first)?, digits(last)?);
    let width = if padded { first.len() } else { 0 };
    if to.checked_sub(from).is_some_and(|span| span as usize / step >= MAX_HOSTS) {
        return None;
    }
    Some((from..=to).step_by(step).map(|number| format!("{number:0width$}")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_counted_as_ansible_does() {
        let names = |pattern: &str| hosts(pattern).map(|(names, port)| (names.join(" "), port));
        for (pattern, told) in [
            ("web[01:03]", ("web01 web02 web03", None)),
            ("web[8:12:2].x", ("web8.x web10.x web12.x", None)),
            ("[a:c]-[1:2]", ("a-1 a-2 b-1 b-2 c-1 c-2", None)),
            ("n[:2]", ("n0 n1 n2", None)),
            ("n[y:B]:22", ("ny nz nA nB", Some(22))),
            ("[2001:db8::1]:2200", ("2001:db8::1", Some(2200))),
            ("n[3:1]", ("", None)),
        ] {
            assert_eq!(names(pattern), Ok((told.0.to_owned(), told.1)), "{pattern}");
        }
        for bad in
            ["n[01:1]", "n[1]", "n[c:a]", "n[1:2:0]", "n[1:", "n:", "n[0:99999999]", "n[aa:bb]"]
        {
            assert!(hosts(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn values_are_those_of_python() {
        let text = |text: &str| Value::Text(text.to_owned());
        for (written, read) in [
            ("22", Value::Integer(22)),
            ("022", text("022")),
            ("22 # x", Value::Integer(22)),
            ("x # y", text("x # y")),
            ("'a b'", text("a b")),
            ("\"it's\"  # x", text("it's")),
            ("'a' b", text("'a' b")),
            ("True", Value::Boolean(true)),
            ("yes", text("yes")),
            ("None", Value::Null),
            ("1.5", Value::Other),
            ("10.0.0.1", text("10.0.0.1")),
            ("[1, 2]", Value::Other),
            ("{{ x }}", text("{{ x }}")),
            ("", text("")),
        ] {
            assert_eq!(value(written), read, "{written:?}");
        }
    }

    #[test]
    fn words_are_those_of_shlex() {
        let told = split(r#"a b='c d' "e\"f\g" h\ i '' j#k"#, true).unwrap();
        assert_eq!(told, ["a", "b=c d", "e\"f\\g", "h i", "", "j"]);
        assert_eq!(split("a 'b", true), None);
    }
}
