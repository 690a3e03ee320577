//! Reads the little shell language that commands arrive in: quoted words, `;`, `&&`, `||`, `|`, and redirections
//! to `/dev/null` or between the two outputs. Anything else is a syntax error, as nothing here may be guessed.

use std::iter::Peekable;
use std::str::Chars;

/// When a pipeline runs, given how the one before ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum When {
    Always,
    Success,
    Failure,
}

/// Where one output of a command goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Target {
    /// The standard output of its surroundings: the channel, or the next command of the pipeline.
    Out,
    /// The standard error of its surroundings.
    Err,
    Null,
}

/// One command with its words and redirections.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Simple {
    pub(crate) words: Vec<String>,
    pub(crate) out: Target,
    pub(crate) err: Target,
    /// Reads `/dev/null`.
    pub(crate) no_input: bool,
}

impl Simple {
    fn new() -> Self {
        Self { words: Vec::new(), out: Target::Out, err: Target::Err, no_input: false }
    }
}

/// Commands joined by `|`, at least one.
pub(crate) type Pipeline = Vec<Simple>;

/// A whole command line.
pub(crate) type Script = Vec<(When, Pipeline)>;

#[derive(Debug, Clone, PartialEq, Eq)]
enum Token {
    Word(String),
    Operator(&'static str),
    Redirect { from: Target, to: Target },
    NoInput,
}

/// Parses a line; the error is what the shell says of it.
pub(crate) fn parse(text: &str) -> Result<Script, String> {
    let mut script = Script::new();
    let mut when = When::Always;
    let mut pipeline = Pipeline::new();
    let mut command = Simple::new();
    let mut awaiting = false;
    for token in tokens(text)? {
        match token {
            Token::Word(word) => command.words.push(word),
            Token::NoInput => command.no_input = true,
            Token::Redirect { from, to } => redirect(&mut command, from, to),
            Token::Operator(operator) => {
                if command.words.is_empty() {
                    return Err(format!("syntax error near {operator:?}"));
                }
                pipeline.push(std::mem::replace(&mut command, Simple::new()));
                awaiting = operator != ";";
                if operator != "|" {
                    script.push((when, std::mem::take(&mut pipeline)));
                    when = match operator {
                        "&&" => When::Success,
                        "||" => When::Failure,
                        _ => When::Always,
                    };
                }
                continue;
            }
        }
        awaiting = false;
    }
    if !command.words.is_empty() {
        pipeline.push(command);
        script.push((when, pipeline));
    } else if awaiting || script.is_empty() {
        return Err("syntax error: unexpected end of file".to_owned());
    }
    Ok(script)
}

/// `2>&1` copies where output 1 goes at that moment, so order matters as in a real shell.
fn redirect(command: &mut Simple, from: Target, to: Target) {
    let to = match to {
        Target::Out => command.out,
        Target::Err => command.err,
        Target::Null => Target::Null,
    };
    match from {
        Target::Out => command.out = to,
        Target::Err => command.err = to,
        Target::Null => {}
    }
}

fn tokens(text: &str) -> Result<Vec<Token>, String> {
    let mut found = Vec::new();
    let mut rest = text.chars().peekable();
    while let Some(&next) = rest.peek() {
        match next {
            ' ' | '\t' => drop(rest.next()),
            ';' | '\n' => {
                rest.next();
                found.push(Token::Operator(";"));
            }
            '&' | '|' => found.push(Token::Operator(operator(&mut rest)?)),
            '<' => {
                rest.next();
                null_target(&mut rest)?;
                found.push(Token::NoInput);
            }
            '>' => found.push(output(&mut rest, Target::Out)?),
            _ => {
                let (word, quoted) = word(&mut rest)?;
                let from = match (word.as_str(), quoted, rest.peek()) {
                    ("1", false, Some('>')) => Some(Target::Out),
                    ("2", false, Some('>')) => Some(Target::Err),
                    _ => None,
                };
                found.push(match from {
                    Some(from) => output(&mut rest, from)?,
                    None => Token::Word(word),
                });
            }
        }
    }
    Ok(found)
}

fn operator(rest: &mut Peekable<Chars<'_>>) -> Result<&'static str, String> {
    let first = rest.next();
    let twice = rest.next_if(|next| Some(*next) == first).is_some();
    match (first, twice) {
        (Some('&'), true) => Ok("&&"),
        (Some('|'), true) => Ok("||"),
        (Some('|'), false) => Ok("|"),
        _ => Err("background commands are not known here".to_owned()),
    }
}

/// What follows `>`: `>` again, `/dev/null`, `&1` or `&2`.
fn output(rest: &mut Peekable<Chars<'_>>, from: Target) -> Result<Token, String> {
    rest.next();
    if rest.next_if_eq(&'&').is_some() {
        let to = match rest.next() {
            Some('1') => Target::Out,
            Some('2') => Target::Err,
            _ => return Err("only >&1 and >&2 are known here".to_owned()),
        };
        return Ok(Token::Redirect { from, to });
    }
    let _ = rest.next_if_eq(&'>');
    null_target(rest)?;
    Ok(Token::Redirect { from, to: Target::Null })
}

fn null_target(rest: &mut Peekable<Chars<'_>>) -> Result<(), String> {
    while rest.next_if(|next| matches!(next, ' ' | '\t')).is_some() {}
    match word(rest)?.0.as_str() {
        "/dev/null" => Ok(()),
        other => Err(format!("cannot open {other}: Read-only file system")),
    }
}

/// A word, and whether any of it was quoted.
fn word(rest: &mut Peekable<Chars<'_>>) -> Result<(String, bool), String> {
    let mut text = String::new();
    let mut quoted = false;
    while let Some(next) = rest.next_if(|next| !" \t\n;&|<>".contains(*next)) {
        match next {
            '\'' | '"' => {
                quoted = true;
                loop {
                    match rest.next() {
                        Some(end) if end == next => break,
                        Some(inner) if next == '"' && matches!(inner, '$' | '`' | '\\') => {
                            return Err(format!("{inner:?} in quotes is not known here"));
                        }
                        Some(inner) => text.push(inner),
                        None => return Err("unterminated quoted string".to_owned()),
                    }
                }
            }
            '\\' => {
                quoted = true;
                text.push(rest.next().ok_or("unexpected end of file")?);
            }
            '$' | '`' | '(' | ')' | '{' | '}' | '*' | '?' | '[' | '!' | '#' | '~' => {
                return Err(format!("{next:?} is not known here; quote it"));
            }
            plain => text.push(plain),
        }
    }
    Ok((text, quoted))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<Vec<String>> {
        parse(text)
            .unwrap()
            .into_iter()
            .flat_map(|(_, pipeline)| pipeline)
            .map(|simple| simple.words)
            .collect()
    }

    #[test]
    fn quotes_and_operators_are_read() {
        assert_eq!(words("'echo' 'a  b' c'd'\"e f\" \\$x"), [["echo", "a  b", "cde f", "$x"]]);
        assert_eq!(words("'it'\\''s'"), [["it's"]]);
        let script = parse("a && b || c ; d | e").unwrap();
        let whens: Vec<When> = script.iter().map(|(when, _)| *when).collect();
        assert_eq!(whens, [When::Always, When::Success, When::Failure, When::Always]);
        assert_eq!(script.last().unwrap().1.len(), 2);
        assert_eq!(words("echo ''"), [["echo", ""]]);
    }

    #[test]
    fn redirections_keep_their_order() {
        let simple = |text: &str| parse(text).unwrap().remove(0).1.remove(0);
        let both = simple("a >/dev/null 2>&1");
        assert_eq!((both.out, both.err), (Target::Null, Target::Null));
        let swapped = simple("a 2>&1 1> /dev/null");
        assert_eq!((swapped.out, swapped.err), (Target::Null, Target::Out));
        assert!(simple("a </dev/null").no_input);
        assert_eq!(simple("a '2' >/dev/null").words, ["a", "2"]);
        assert_eq!(simple("a 2>/dev/null b").words, ["a", "b"]);
    }

    #[test]
    fn the_rest_of_the_shell_is_refused() {
        for bad in [
            "",
            "a &",
            "a >/etc/passwd",
            "a $HOME",
            "a `b`",
            "a &&",
            "| a",
            "a ; ; b",
            "'a",
            "a > ",
            "(a)",
            "\"$x\"",
            "ls *",
        ] {
            assert!(parse(bad).is_err(), "{bad:?}");
        }
    }
}
