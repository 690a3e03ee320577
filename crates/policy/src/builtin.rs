//! What the builtins that are let through may be called with: nothing that a shell evaluates, and nothing that changes the
//! shell for the next command.
//!
//! bash and mksh run the substitution in `test -v 'a[$(id)]'`, bash and zsh that of `printf -v 'a[$(id)]'`. `printf -v PATH
//! /tmp` and `printf %n IFS` assign; so does `printf %d PATH=9` in zsh and ksh93, which take numbers for arithmetic, and
//! zsh's `test x =~ x`. What a name means there depends on the shell, so all are refused in all.

use crate::program::is_shell_word;
use crate::words::{Refusal, refuse};

/// Widest field of a conversion in digits.
const MAX_WIDTH_DIGITS: usize = 6;

/// Checks the arguments of what some shell has as a builtin or alias of its own.
pub(crate) fn arguments(argv: &[String], offset: usize) -> Result<(), Refusal> {
    let Some((program, words)) = argv.split_first() else { return Ok(()) };
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match program.as_str() {
        "test" if test_evaluates(&words) => refuse(
            offset,
            "\"test\" with an argument that some shells evaluate",
            "name the program by its absolute path (/usr/bin/test) if the policy allows that",
        ),
        "printf" if printf_evaluates(&words) => refuse(
            offset,
            "\"printf\" with a format or argument that some shells evaluate",
            "use %s, or %d with plain decimal numbers; or name the program by its absolute path (/usr/bin/printf) if \
             the policy allows that",
        ),
        "nohup" if words.first().is_some_and(|word| is_shell_word(word)) => refuse(
            offset,
            "\"nohup\" before a word that is the shell's own",
            "name a program; words and builtins of the shell are not run",
        ),
        _ => Ok(()),
    }
}

/// Whether a word could hold a substitution.
fn live(words: &[&str]) -> bool {
    words.iter().any(|word| word.contains(['$', '`']))
}

/// A number that is one in the arithmetic of every shell: no name, no operator.
fn is_number(word: &str) -> bool {
    let digits = word.strip_prefix('-').unwrap_or(word);
    !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())
}

/// `test` takes names of variables after some operators, and mksh, ksh93 and zsh read both sides of `-eq` and the like as
/// arithmetic, which may assign: there only numbers are let through. Operators of more than two letters are of modules.
fn test_evaluates(words: &[&str]) -> bool {
    let arithmetic = |word: &&str| matches!(*word, "-eq" | "-ne" | "-lt" | "-le" | "-gt" | "-ge");
    let beside_arithmetic = |place: usize| {
        let before = place.checked_sub(1).and_then(|before| words.get(before));
        before.is_some_and(arithmetic) || words.get(place + 1).is_some_and(arithmetic)
    };
    let of_a_module = |word: &str| {
        word.strip_prefix('-').is_some_and(|name| {
            name.len() > 2 && name.starts_with(|first: char| first.is_ascii_lowercase())
        })
    };
    live(words)
        || words.iter().any(|word| matches!(*word, "-v" | "-R" | "-t" | "=~") || of_a_module(word))
        || words
            .iter()
            .enumerate()
            .any(|(place, word)| beside_arithmetic(place) && !is_number(word))
}

/// `printf` takes a format of conversions that read text, and of ones that read numbers where only numbers stand for them.
fn printf_evaluates(words: &[&str]) -> bool {
    if live(words) {
        return true;
    }
    let words = match words.split_first() {
        Some((&"--", rest)) => rest,
        Some((first, _)) if first.starts_with('-') => return true,
        _ => words,
    };
    let Some((format, values)) = words.split_first() else { return false };
    let Some(numeric) = conversions(format) else { return true };
    // The format is used again until no value is left.
    values
        .iter()
        .zip(numeric.iter().cycle())
        .any(|(value, numeric)| *numeric && !is_number(value) && !is_decimal(value))
}

fn is_decimal(word: &str) -> bool {
    word.split_once('.').is_some_and(|(whole, rest)| {
        is_number(whole) && !rest.is_empty() && rest.bytes().all(|byte| byte.is_ascii_digit())
    })
}

/// Of each conversion of a format, whether it reads a number; `None` for a format with anything else in it. Some shells
/// undo the escapes before they look for conversions, so that none may make a percent sign.
fn conversions(format: &str) -> Option<Vec<bool>> {
    let mut found = Vec::new();
    let mut rest = format;
    while let Some(at) = rest.find(['%', '\\']) {
        let sign = rest.get(at..=at)?;
        rest = rest.get(at + 1..)?;
        rest = if sign == "\\" { after_escape(rest)? } else { after_conversion(rest, &mut found)? };
    }
    Some(found)
}

fn after_escape(rest: &str) -> Option<&str> {
    let kind = rest.chars().next()?;
    let digits = match kind {
        '0'..='7' => rest,
        'x' | 'u' | 'U' => rest.get(1..)?,
        'a' | 'b' | 'c' | 'e' | 'f' | 'n' | 'r' | 't' | 'v' | '\\' | '"' | '\'' => {
            return rest.get(1..);
        }
        _ => return None,
    };
    let length = digits.bytes().take_while(u8::is_ascii_hexdigit).count();
    let (digits, after) = digits.split_at_checked(length)?;
    // 45 octal and 25 hexadecimal are the percent sign.
    (!digits.is_empty() && !digits.contains("45") && !digits.contains("25")).then_some(after)
}

fn after_conversion<'a>(rest: &'a str, found: &mut Vec<bool>) -> Option<&'a str> {
    let rest = rest.trim_start_matches(['-', '+', ' ', '0', '#']);
    let rest = after_digits(rest)?;
    let rest = match rest.strip_prefix('.') {
        Some(precision) => after_digits(precision)?,
        None => rest,
    };
    let kind = rest.trim_start_matches(['h', 'l', 'L', 'j', 'z', 't']);
    let plain = kind.len() == rest.len();
    match kind.chars().next()? {
        '%' if plain => {}
        's' | 'b' | 'c' | 'q' if plain => found.push(false),
        'd' | 'i' | 'o' | 'u' | 'x' | 'X' | 'e' | 'E' | 'f' | 'F' | 'g' | 'G' | 'a' | 'A' => {
            found.push(true);
        }
        _ => return None,
    }
    kind.get(1..)
}

fn after_digits(rest: &str) -> Option<&str> {
    let length = rest.bytes().take_while(u8::is_ascii_digit).count();
    (length <= MAX_WIDTH_DIGITS).then(|| rest.get(length..)).flatten()
}

#[cfg(test)]
mod tests {
    use crate::recognise;

    #[test]
    fn builtins_that_evaluate_their_arguments_are_refused() {
        for text in [
            "test -v 'a[$(id)]'",
            "test -v x",
            "test ! -v x",
            "test 'a[$(id)]' -eq 0",
            "test 'PATH=5' -eq 5",
            "test 0 -eq x",
            "test 1 -eq 1 -a x -lt 2",
            "test 'a`id`' = x",
            "'test' -R x",
            "test -t PATH=1",
            "test x '=~' x",
            "test x -pcre-match x",
            "printf -v PATH /tmp",
            "printf -vPATH /tmp",
            "printf %d 'a[$(id)]'",
            "printf '$(id)'",
            "printf %l%",
            "printf %hs x",
            "[ -f /x ]",
            "'[' -f /x ']'",
            "nohup type ls",
            "'nohup' 'exec' id",
        ] {
            assert!(recognise(text).is_err(), "{text}");
        }
        for text in [
            "test -f /etc/x",
            "test 3 -eq -4",
            "test a = b",
            "test -n x -a -d /x",
            "test /a -nt /b",
            "test a = --long",
            "/usr/bin/test -v 'a[$(id)]'",
            "kill -TERM 1234",
            "nohup ls",
        ] {
            assert!(recognise(text).is_ok(), "{text}");
        }
    }

    #[test]
    fn formats_and_values_that_assign_in_some_shell_are_refused() {
        for text in [
            "printf %n IFS",
            "printf '%-5.3n' IFS",
            "printf '%*d' PATH=9 1",
            "printf '%.*s' PATH=9 x",
            "printf '%1$d' PATH=9",
            "printf %i UID=0",
            "printf -- %i UID=0",
            "printf '%s %d' a PATH=9",
            "printf '%s %d' a 1 b PATH=9",
            "printf '%d%%%s' PATH=9",
            "printf %d ''",
            "printf %d 1+1",
            "printf %d PATH",
            "printf %f PATH=9",
            "printf %f 1.",
            "printf %f .5.5",
            "printf %lld PATH=9",
            "printf %hn IFS",
            "printf %ls x",
            "printf '\\045d' PATH=9",
            "printf '\\0045d' PATH=9",
            "printf '\\x25d' PATH=9",
            "printf '\\u0025d' PATH=9",
            "printf '\\x{25}d' PATH=9",
            "printf '\\E'",
            "printf '%(%s)T' PATH=9",
            "printf %B PATH",
            "printf %",
            "printf 'a\\'",
            "printf '%5'",
            "printf '%1234567s' x",
        ] {
            assert!(recognise(text).is_err(), "{text}");
        }
        for text in [
            "printf",
            "printf --",
            "printf %s x",
            "printf -- -v",
            "printf '%s\\n' a b",
            "printf '%-10s|%5.1f|%%\\t%03d\\n' a 1.5 -7 b 2 8",
            "printf '%x' 255",
            "printf '%ld' 5",
            "printf '%q %b %c' 'a b' 'x\\n' z",
            "printf '\\033[1mbold\\033[0m\\x41\\\\n'",
            "printf 'no conversion' PATH=9",
            "/usr/bin/printf %n IFS",
        ] {
            assert!(recognise(text).is_ok(), "{text}: {:?}", recognise(text));
        }
    }
}
