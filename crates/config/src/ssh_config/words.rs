//! How OpenSSH takes a line apart and compares patterns (readconf.c, misc.c, match.c).

/// A line with a keyword.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Line {
    /// In small letters.
    pub(super) keyword: String,
    /// Its words without quotes and what follows a `#`; `None` when a quote is not closed.
    pub(super) words: Option<Vec<String>>,
    /// Everything after the keyword as it stands.
    pub(super) rest: String,
}

/// Takes a line apart; `None` for blank lines and comments.
pub(super) fn split(line: &str) -> Option<Line> {
    let line = line.trim_matches([' ', '\t', '\r', '\n', '\u{c}']);
    if line.is_empty() || line.starts_with('#') {
        return None;
    }
    let (keyword, rest) = match line.strip_prefix('"').and_then(|line| line.split_once('"')) {
        Some(quoted) => quoted,
        None => line.split_at(line.find([' ', '\t', '=']).unwrap_or(line.len())),
    };
    let rest = rest.trim_start_matches([' ', '\t']);
    let rest = rest.strip_prefix('=').unwrap_or(rest).trim_start_matches([' ', '\t']);
    let words = words(rest);
    Some(Line { keyword: keyword.to_ascii_lowercase(), words, rest: rest.to_owned() })
}

/// The words of an argument list, after `argv_split`: both quotes, and a backslash before quotes, itself and a bare blank.
fn words(text: &str) -> Option<Vec<String>> {
    let mut words = Vec::new();
    let mut letters = text.chars().peekable();
    loop {
        while letters.next_if(|letter| matches!(letter, ' ' | '\t')).is_some() {}
        // OpenSSH 8.7 and later: a comment may follow.
        if letters.peek().is_none_or(|letter| *letter == '#') {
            return Some(words);
        }
        let (mut word, mut quote) = (String::new(), None);
        while let Some(letter) = letters.next() {
            match (letter, quote) {
                ('\\', _) => {
                    let escaped = letters.next_if(|next| {
                        matches!(next, '\'' | '"' | '\\') || (*next == ' ' && quote.is_none())
                    });
                    word.push(escaped.unwrap_or('\\'));
                }
                (' ' | '\t', None) => break,
                ('"' | '\'', None) => quote = Some(letter),
                (letter, Some(open)) if letter == open => quote = None,
                (letter, _) => word.push(letter),
            }
        }
        if quote.is_some() {
            return None;
        }
        words.push(word);
    }
}

/// One piece of a pattern.
enum Piece {
    Letter(char),
    One,
    Any,
    /// Whether a letter in one of these ranges fits, or one in none.
    Of(bool, Vec<(char, char)>),
}

/// OpenSSH's patterns: `*` and `?`; names are compared as they are written.
pub(super) fn fits(pattern: &str, text: &str) -> bool {
    let piece = |letter| match letter {
        '*' => Piece::Any,
        '?' => Piece::One,
        letter => Piece::Letter(letter),
    };
    matched(&pattern.chars().map(piece).collect::<Vec<_>>(), text)
}

/// One name of a path against a pattern of glob(7); a wildcard does not find what is hidden.
pub(super) fn glob_fits(pattern: &str, name: &str) -> bool {
    (!name.starts_with('.') || pattern.starts_with('.')) && matched(&glob_pieces(pattern), name)
}

/// Whether a name of a path asks for more than itself.
pub(super) fn is_glob(pattern: &str) -> bool {
    pattern.contains(['*', '?', '[', '\\'])
}

fn glob_pieces(pattern: &str) -> Vec<Piece> {
    let mut pieces = Vec::new();
    let mut letters = pattern.chars();
    while let Some(letter) = letters.next() {
        pieces.push(match letter {
            '*' => Piece::Any,
            '?' => Piece::One,
            '\\' => Piece::Letter(letters.next().unwrap_or('\\')),
            '[' => match bracket(letters.as_str()) {
                Some((piece, rest)) => {
                    letters = rest.chars();
                    piece
                }
                None => Piece::Letter('['),
            },
            letter => Piece::Letter(letter),
        });
    }
    pieces
}

/// What stands between brackets, and what follows; `None` when they are not closed.
fn bracket(text: &str) -> Option<(Piece, &str)> {
    let inner = text.strip_prefix(['!', '^']).unwrap_or(text);
    // A closing bracket that comes first is one of the letters.
    let end = inner.char_indices().skip(1).find(|(_, letter)| *letter == ']')?.0;
    let (set, rest) = (inner.get(..end)?, inner.get(end + 1..)?);
    let mut ranges = Vec::new();
    let mut letters = set.chars().peekable();
    while let Some(from) = letters.next() {
        let mut ahead = letters.clone();
        match (ahead.next(), ahead.next()) {
            (Some('-'), Some(to)) => {
                ranges.push((from, to));
                letters = ahead;
            }
            _ => ranges.push((from, from)),
        }
    }
    Some((Piece::Of(inner.len() == text.len(), ranges), rest))
}

/// In time that grows with the product of both lengths: only the last star is gone back to.
fn matched(pattern: &[Piece], text: &str) -> bool {
    let text: Vec<char> = text.chars().collect();
    let (mut at, mut seen, mut back) = (0, 0, None);
    while let Some(letter) = text.get(seen) {
        let fit = match pattern.get(at) {
            Some(Piece::Any) => {
                at += 1;
                back = Some((at, seen));
                continue;
            }
            Some(Piece::One) => true,
            Some(Piece::Letter(wanted)) => wanted == letter,
            Some(Piece::Of(inside, ranges)) => {
                ranges.iter().any(|(from, to)| (from..=to).contains(&letter)) == *inside
            }
            None => false,
        };
        match (fit, back) {
            (true, _) => (at, seen) = (at + 1, seen + 1),
            (false, Some((after, from))) => {
                (at, seen) = (after, from + 1);
                back = Some((after, from + 1));
            }
            (false, None) => return false,
        }
    }
    pattern.iter().skip(at).all(|piece| matches!(piece, Piece::Any))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_taken_apart_as_openssh_does() {
        for (line, wanted) in [
            ("Host a b", Some(("host", Some(vec!["a", "b"])))),
            ("  HostName=x.example", Some(("hostname", Some(vec!["x.example"])))),
            ("user = \"a b\" # said", Some(("user", Some(vec!["a b"])))),
            (r#"User "a \"b\" c""#, Some(("user", Some(vec![r#"a "b" c"#])))),
            (r"User 'a b' c\ d \x", Some(("user", Some(vec!["a b", "c d", r"\x"])))),
            ("User \"open", Some(("user", None))),
            ("# no", None),
            ("", None),
        ] {
            let told = split(line).map(|line| (line.keyword, line.words));
            let wanted = wanted.map(|(keyword, words)| {
                let words = words.map(|words| words.into_iter().map(str::to_owned).collect());
                (keyword.to_owned(), words)
            });
            assert_eq!(told, wanted, "{line}");
        }
    }

    #[test]
    fn patterns_fit_as_in_openssh_and_glob() {
        for (pattern, text, fit) in [
            ("*", "", true),
            ("web*", "web1", true),
            ("web?", "web", false),
            ("*.x", "a.b.x", true),
            ("a*b*c", "aXbYc", true),
            ("a*b*c", "aXbY", false),
            ("Web", "web", false),
            ("[a]", "[a]", true),
        ] {
            assert_eq!(fits(pattern, text), fit, "{pattern} {text}");
        }
        for (pattern, text, fit) in [
            ("[ab]*", "b.conf", true),
            ("[!ab]", "a", false),
            ("[^ab]", "c", true),
            ("[0-9][]x]", "5]", true),
            ("[0-", "[0-", true),
            ("*", ".hidden", false),
            (".h*", ".hidden", true),
            (r"a\*", "a*", true),
            (r"a\*", "ab", false),
        ] {
            assert_eq!(glob_fits(pattern, text), fit, "{pattern} {text}");
        }
    }
}
