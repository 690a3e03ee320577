//! Words for hosts whose language is not known: those that need no quoting in POSIX shells, fish, csh, cmd, PowerShell,
//! RouterOS, IOS or Junos, one command of them, sent as they are.
//!
//! What is left out, and for whom: `%` and `^` are read by cmd; `,` `;` and `=` part words there; `@` begins a splat in
//! PowerShell, which makes a list of `a,b` and two words of `-a.b` and `-a:b`; `?` asks IOS for help; `:` begins a command in
//! RouterOS and a label in cmd, and is part of a drive's name; `~` and `=` at the start are expanded by shells. None of these
//! languages but the shells was tried with its interpreter.

use crate::program;
use crate::script::{Script, SimpleCommand};
use crate::words::{Refusal, not_too_long, refuse};

const HINT: &str = "this host has login_shell: raw-words in servers.yml: only words of letters, digits and _ . / : - are \
                    sent there, without quotes and operators; where a POSIX shell, fish or csh answers, the owner writes \
                    login_shell: posix, fish or csh; else ask the owner for a rule with shell: unrestricted and this line";

/// Words of shells that are plain commands on appliances, and change nothing for a next command: none follows.
const APPLIANCE_WORDS: &str =
    "disable enable end exit export help history limit log logout print set stop type where";

/// Words that run their arguments in cmd, PowerShell or on an appliance.
const RUNNING_WORDS: &str = "call foreach icm iex invoke-command invoke-expression start";

/// Recognises one command of plain words.
pub(crate) fn recognise(text: &str) -> Result<Script, Refusal> {
    not_too_long(text)?;
    let (mut argv, mut offset) = (Vec::new(), 0);
    for word in text.split(' ') {
        if !word.is_empty() {
            check(word, argv.is_empty(), offset)?;
            argv.push(word.to_owned());
        }
        offset += word.len() + 1;
    }
    if argv.is_empty() {
        return refuse(0, "no command", HINT);
    }
    let command = SimpleCommand { argv, redirections: Vec::new(), piped: false, joiner: None };
    Ok(Script { commands: vec![command], raw: true })
}

/// Checks words that a rule puts in place of what was written.
pub(crate) fn check_all(argv: &[String]) -> Result<(), Refusal> {
    argv.iter().enumerate().try_for_each(|(place, word)| check(word, place == 0, 0))
}

fn check(word: &str, first: bool, offset: usize) -> Result<(), Refusal> {
    let plain = |found: char| found.is_ascii_alphanumeric() || "_./:-".contains(found);
    if let Some((at, found)) = word.char_indices().find(|(_, found)| !plain(*found)) {
        return refuse(offset + at, format!("the character {found:?}"), HINT);
    }
    if word.is_empty()
        || word.starts_with(':')
        || (word.starts_with('-') && word.contains(['.', ':']))
    {
        return refuse(offset, format!("the word {word:?}"), HINT);
    }
    if !first {
        return Ok(());
    }
    let starts = word.starts_with(|first: char| first.is_ascii_alphabetic() || first == '/');
    if !starts || word.contains(':') {
        return refuse(offset, format!("{word:?} as a program"), HINT);
    }
    let lower = word.to_ascii_lowercase();
    let among = |list: &str| list.split(' ').any(|known| known == lower);
    if among(RUNNING_WORDS) {
        return refuse(offset, format!("{word:?}, which runs what follows"), HINT);
    }
    // A path is looked at as it is; a word of a shell also where capitals do not count.
    if among(APPLIANCE_WORDS) { Ok(()) } else { program::name(&lower, offset) }
}

#[cfg(test)]
mod tests {
    use sshepherd_model::LoginShell;

    use crate::words::recognise_for;

    #[test]
    fn words_that_mean_the_same_everywhere_are_taken_and_sent_as_they_are() {
        for text in [
            "uptime",
            "show version",
            "show ip route 0.0.0.0/0",
            "show run int Gi0/1",
            "/system/identity/print",
            "/export terse",
            "export",
            "set",
            "get system status",
            "ping fe80::1 count 3",
            "ipconfig /all",
            "ls -la /var/log",
            "git --no-pager log -1 -- a.b",
            "terminal length 0",
        ] {
            let script = recognise_for(LoginShell::RawWords, text).unwrap();
            assert_eq!(script.sent(), text);
            assert_eq!(script.commands()[0].argv().join(" "), text);
        }
        let script = recognise_for(LoginShell::RawWords, " show   version ").unwrap();
        assert_eq!(script.sent(), "show version");
    }

    #[test]
    fn whatever_any_language_could_read_otherwise_is_refused_and_the_setting_is_named() {
        let signs = "\t\n\r!\"#$%&'()*+,;<=>?@[\\]^`{|}~é\u{a0}\u{2013}\u{0}";
        let with_signs = signs.chars().map(|sign| format!("echo a{sign}b"));
        let words = [
            "",
            " ",
            "echo ''",
            "echo :put",
            "echo -a.b",
            "echo -a:b",
            "C: x",
            ":put x",
            "1 x",
            "-x",
            ".x",
            "../x",
            "a/b",
            "/a/../b",
            "eval id",
            "Eval id",
            "exec id",
            "if x",
            "START cmd",
            "iex x",
            "call x",
            ". x",
            "_x",
        ];
        for text in with_signs.chain(words.map(str::to_owned)) {
            let refusal = recognise_for(LoginShell::RawWords, &text).unwrap_err();
            assert!(
                refusal.offset <= text.len() && text.is_char_boundary(refusal.offset),
                "{text:?}"
            );
        }
        let refusal = recognise_for(LoginShell::RawWords, "show run | include x").unwrap_err();
        assert_eq!(refusal.offset, 9);
        assert!(refusal.hint.contains("login_shell: posix"), "{}", refusal.hint);
        for shell in [LoginShell::Posix, LoginShell::Fish, LoginShell::Csh] {
            assert!(recognise_for(shell, "show run | include 'x y'").is_ok());
        }
    }
}
