//! `sudo` in front of a command: the one form that is read, and the one that is sent.

/// The account and the command of `sudo [-n] [-u USER] [--] COMMAND…`; `None` for anything else, a command of its own then.
pub(crate) fn read(argv: &[String]) -> Option<(&str, &[String])> {
    let (program, mut words) = argv.split_first()?;
    if program != "sudo" {
        return None;
    }
    let mut user = "root";
    loop {
        let (word, rest) = words.split_first()?;
        match (word.as_str(), rest.split_first()) {
            ("-n" | "--non-interactive", _) => words = rest,
            ("-u" | "--user", Some((name, after))) => {
                user = name;
                words = after;
            }
            ("--", _) => {
                words = rest;
                break;
            }
            (word, _) => match word.strip_prefix("--user=") {
                Some(name) => {
                    user = name;
                    words = rest;
                }
                None => break,
            },
        }
    }
    let first = words.first()?;
    // `sudo NAME=value` sets a variable; a word that begins with a dash is an option that is not read.
    (is_account(user) && !first.starts_with('-') && !first.contains('=')).then_some((user, words))
}

/// The form that is sent: it never asks for a password, and what follows `--` is no option of sudo's.
pub(crate) fn write(user: &str, argv: &[String]) -> Vec<String> {
    let mut words: Vec<String> = ["sudo", "-n", "-u", user, "--"].map(str::to_owned).to_vec();
    words.extend_from_slice(argv);
    words
}

/// Whether a text is the name of an account (useradd(8), less the dollar sign of Samba's machines).
#[must_use]
pub fn is_account(name: &str) -> bool {
    (1..=32).contains(&name.len())
        && name.starts_with(|first: char| first.is_ascii_lowercase() || first == '_')
        && name
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_-".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        text.split(' ').map(str::to_owned).collect()
    }

    #[test]
    fn accounts_are_plain_names() {
        let (long, longer) = ("a".repeat(32), "a".repeat(33));
        for name in ["a", "_apt", "www-data", "u2", &long] {
            assert!(is_account(name), "{name}");
        }
        for name in ["", "-x", "2u", "aB", "a b", "a$", "A", "a/b", &longer] {
            assert!(!is_account(name), "{name}");
        }
    }

    #[test]
    fn only_plain_forms_are_read() {
        for (text, user, inner) in [
            ("sudo id", "root", "id"),
            ("sudo -n -u www-data -- id -u", "www-data", "id -u"),
            ("sudo --user=ops -n id", "ops", "id"),
            ("sudo --user ops --non-interactive id", "ops", "id"),
        ] {
            assert_eq!(read(&words(text)), Some((user, words(inner).as_slice())), "{text}");
        }
        for text in [
            "sudo",
            "sudo -n",
            "sudo -u",
            "sudo -u ops",
            "sudo -i",
            "sudo -s id",
            "sudo -E id",
            "sudo -nu root id",
            "sudo PATH=/x id",
            "sudo -- A=b id",
            "sudo -- -x",
            "sudo -u #0 id",
            "sudo -u Root id",
            "/usr/bin/sudo id",
            "doas id",
            "sudo --use=x id",
        ] {
            assert_eq!(read(&words(text)), None, "{text}");
        }
        assert_eq!(write("ops", &words("id -u")), words("sudo -n -u ops -- id -u"));
    }
}
