//! What may stand as a program: a plain name or an absolute path, never a word that the shell keeps for itself.
//!
//! Of the builtins only those are let through that do what the program of the same name does and leave the shell as it was:
//! `echo`, `false`, `kill`, `printf`, `pwd`, `test`, `true` and zsh's `which`. Two of them can evaluate an argument, so theirs are looked at:
//! bash and mksh run the substitution in `test -v 'a[$(id)]'`, bash and zsh that of `printf -v 'a[$(id)]'`, and
//! `printf -v PATH /tmp` changes what the next command is.

use crate::words::{Refusal, refuse};

/// Reserved words, and builtins that evaluate text, change the shell's state for what follows, read files or are missing
/// as programs, of sh, bash, dash, busybox ash, mksh, ksh93 and zsh; also names that mksh and zsh alias by themselves.
const SHELL_WORDS: &str = "! - . : [[ ]] alarm alias autoload bg bind bindkey break builtin bye caller case cd chdir command \
    compadd comparguments compcall compctl compdescribe compfiles compgen compgroups complete compopt \
    compound compquote compset comptags comptry compvalues continue coproc declare dirs disable disown \
    do done echotc echoti elif else emulate enable end enum esac eval exec exit export fc fg fi float \
    for foreach function functions getln getopts global hash help hist history if in integer jobs let \
    limit local log login logout mapfile nameref newgrp nocorrect noglob popd print private pushd pushln \
    r read readarray readonly redirect rehash repeat return run-help sched select set setopt shift shopt \
    source stop suspend then time times trap ttyctl type typeset ulimit umask unalias unfunction unhash \
    unlimit unset unsetopt until vared wait whence where which-command while zcompile zformat zle \
    zmodload zparseopts zprof zpty zregexparse zselect zsocket zstat zstyle zsystem ztcp ztie zuntie { }";

/// Checks that a program word is a plain name or absolute path, and no word of the shell's own.
pub(crate) fn name(word: &str, offset: usize) -> Result<(), Refusal> {
    if word.is_empty() {
        return refuse(offset, "an empty program name", "name a program");
    }
    if SHELL_WORDS.split(' ').any(|own| own == word) {
        let hint = match word {
            "cd" | "pushd" | "chdir" => {
                "give the folder as cwd (--cwd) if the policy grants it, or use absolute paths"
            }
            "export" | "set" | "declare" | "typeset" => {
                "give variables as env (--env) if the policy grants them"
            }
            "time" => "leave it out; the answer has duration_ms",
            _ => "name a program; words and builtins of the shell are not run",
        };
        return refuse(offset, format!("{word:?}, which is the shell's own"), hint);
    }
    if let Some(equals) = word.find('=') {
        return refuse(
            offset + equals,
            format!("an assignment before a command: {word:?}"),
            "give variables as env (--env) if the policy grants them",
        );
    }
    let plain = word.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_.+-/@:".contains(&byte));
    if !plain || word.starts_with('-') {
        return refuse(
            offset,
            format!("{word:?} as a program"),
            "name a program by its plain name or absolute path",
        );
    }
    if word.contains('/') {
        let whole = word.starts_with('/')
            && word.split('/').skip(1).all(|part| !matches!(part, "" | "." | ".."));
        if !whole {
            return refuse(
                offset,
                format!("{word:?} as a program"),
                "name a program by its plain name or by an absolute path without . and ..",
            );
        }
    }
    Ok(())
}

/// Checks the arguments of the two builtins that could evaluate them.
pub(crate) fn arguments(argv: &[String], offset: usize) -> Result<(), Refusal> {
    let Some((program, words)) = argv.split_first() else { return Ok(()) };
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let evaluates = match program.as_str() {
        "test" => test_evaluates(&words),
        "printf" => {
            live(&words) || words.first().is_some_and(|word| word.starts_with('-') && *word != "--")
        }
        _ => false,
    };
    if !evaluates {
        return Ok(());
    }
    refuse(
        offset,
        format!("{program:?} with an argument that some shells evaluate"),
        "name the program by its absolute path (/usr/bin/test, /usr/bin/printf) if the policy allows that",
    )
}

/// Whether a word could hold a substitution.
fn live(words: &[&str]) -> bool {
    words.iter().any(|word| word.contains(['$', '`']))
}

/// `test` takes names of variables after some operators, and mksh reads both sides of `-eq` and the like as arithmetic, which
/// may assign: there only numbers are let through.
fn test_evaluates(words: &[&str]) -> bool {
    let arithmetic = |word: &&str| matches!(*word, "-eq" | "-ne" | "-lt" | "-le" | "-gt" | "-ge");
    let number = |word: &str| {
        let digits = word.strip_prefix('-').unwrap_or(word);
        !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())
    };
    let beside_arithmetic = |place: usize| {
        let before = place.checked_sub(1).and_then(|before| words.get(before));
        before.is_some_and(arithmetic) || words.get(place + 1).is_some_and(arithmetic)
    };
    live(words)
        || words.iter().any(|word| matches!(*word, "-v" | "-R" | "-t"))
        || words.iter().enumerate().any(|(place, word)| beside_arithmetic(place) && !number(word))
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
            "printf -v PATH /tmp",
            "printf -vPATH /tmp",
            "printf %d 'a[$(id)]'",
            "printf '$(id)'",
            "[ -f /x ]",
            "'[' -f /x ']'",
        ] {
            assert!(recognise(text).is_err(), "{text}");
        }
        for text in [
            "test -f /etc/x",
            "test 3 -eq -4",
            "test a = b",
            "test -n x -a -d /x",
            "/usr/bin/test -v 'a[$(id)]'",
            "printf %s x",
            "printf -- -v",
            "printf '%s\\n' a b",
            "kill -TERM 1234",
        ] {
            assert!(recognise(text).is_ok(), "{text}");
        }
    }
}
