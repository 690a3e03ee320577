//! What may stand as a program: a plain name or an absolute path, never a word that the shell keeps for itself.
//!
//! Of the builtins only those are let through that do what the program of the same name does and leave the shell as it was:
//! `echo`, `false`, `kill`, `printf`, `pwd`, `test`, `true` and zsh's `which`; what they are called with is looked at in
//! `builtin`.

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

/// Whether a word is the shell's own, and so no program.
pub(crate) fn is_shell_word(word: &str) -> bool {
    SHELL_WORDS.split(' ').any(|own| own == word)
}

/// Checks that a program word is a plain name or absolute path, and no word of the shell's own.
pub(crate) fn name(word: &str, offset: usize) -> Result<(), Refusal> {
    if word.is_empty() {
        return refuse(offset, "an empty program name", "name a program");
    }
    if is_shell_word(word) {
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
