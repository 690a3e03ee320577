//! What a `ProxyCommand` does, as far as that can be known without running it.

use super::settled::{Facts, at_home};
use crate::ansible::split;

/// A `ProxyCommand`.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Proxy {
    /// `ssh` to another host, with its input and output joined to the port of the one that is meant.
    Jump {
        /// As `ProxyJump` would have it.
        chain: String,
        /// Its other options.
        left_out: Vec<String>,
    },
    /// A program and its words, without a shell.
    Program(Vec<String>),
    /// Something else, and why it is not taken over.
    Unclear(&'static str),
}

/// Options of `ssh` without a value that change nothing here.
const BARE: &str = "46AaCfGgKkMNnqsTtVvXxYy";

/// Reads one.
pub(crate) fn read(command: &str, facts: &Facts<'_>) -> Proxy {
    let command = command.trim();
    let command = command.strip_prefix("exec ").unwrap_or(command);
    let Some(mut words) = split(command, false) else { return Proxy::Unclear("an open quote") };
    // What it says of errors is of no use here.
    match words.as_slice() {
        [.., one] if one == "2>/dev/null" => words.truncate(words.len() - 1),
        [.., one, two] if one == "2>" && two == "/dev/null" => words.truncate(words.len() - 2),
        _ => {}
    }
    if let Some(jump) = jump(&words, facts) {
        return jump;
    }
    let bare = command.strip_suffix("2>/dev/null").unwrap_or(command);
    if bare.contains(['|', '&', ';', '<', '>', '(', ')', '`', '$', '*', '?', '\n', '{', '}', '!']) {
        return Proxy::Unclear("it needs a shell; write a program that does it and name that");
    }
    if words.first().is_none_or(|program| program.contains('=')) {
        return Proxy::Unclear("no program");
    }
    match words.iter().map(|word| tokens(&at_home(word, facts.home), facts)).collect() {
        Some(words) => Proxy::Program(words),
        None => Proxy::Unclear("a token that is not known here"),
    }
}

/// A word with the tokens that `proxy_command` has; what else stands for something does not change with the connection.
fn tokens(word: &str, facts: &Facts<'_>) -> Option<String> {
    let mut kept = String::new();
    let mut letters = word.chars();
    while let Some(letter) = letters.next() {
        if letter != '%' {
            kept.push(letter);
            continue;
        }
        match letters.next()? {
            known @ ('h' | 'p' | 'r' | '%') => kept.extend(['%', known]),
            other => kept.push_str(&facts.filled(&format!("%{other}"))?.replace('%', "%%")),
        }
    }
    Some(kept)
}

/// `ssh … -W %h:%p there`, or `ssh … there nc %h %p`.
fn jump(words: &[String], facts: &Facts<'_>) -> Option<Proxy> {
    let (program, mut rest) = words.split_first()?;
    if program.rsplit('/').next() != Some("ssh") {
        return None;
    }
    let (mut user, mut port, mut before, mut joined) = (None, None, None, false);
    let mut left_out = Vec::new();
    let target = loop {
        let (word, after) = rest.split_first()?;
        rest = after;
        let Some(letters) = word.strip_prefix('-').filter(|letters| !letters.is_empty()) else {
            break word;
        };
        let bare = letters.trim_start_matches(|letter| BARE.contains(letter));
        let Some(option) = bare.chars().next() else { continue };
        let value = match bare.get(option.len_utf8()..).filter(|value| !value.is_empty()) {
            Some(value) => value.to_owned(),
            None => {
                let (value, after) = rest.split_first()?;
                rest = after;
                value.clone()
            }
        };
        match option {
            'W' => joined = is_target(&value),
            'l' => user = Some(value),
            'p' => port = Some(value),
            'J' => before = Some(value),
            'i' | 'o' => left_out.push(format!("-{option} {value}")),
            _ => return None,
        }
    };
    // `-W` may stand behind the name, too.
    let tail: Vec<&str> = rest.iter().map(String::as_str).collect();
    let joined = joined
        || match tail.as_slice() {
            ["-W", value] => is_target(value),
            [program, .., "%h", "%p"] => {
                let program = program.rsplit('/').next().unwrap_or_default();
                ["nc", "ncat", "netcat"].contains(&program)
            }
            _ => false,
        };
    let (named, place) = match target.rsplit_once('@') {
        Some((user, place)) => (Some(user.to_owned()), place),
        None => (None, target.as_str()),
    };
    let place = facts.filled(place)?;
    let user = match user.or(named) {
        Some(user) => format!("{}@", facts.filled(&user)?),
        None => String::new(),
    };
    let port = port.map(|port| format!(":{port}")).unwrap_or_default();
    let place = if place.contains(':') { format!("[{place}]") } else { place };
    let before = before.map(|before| format!("{before},")).unwrap_or_default();
    joined.then(|| Proxy::Jump { chain: format!("{before}{user}{place}{port}"), left_out })
}

/// The place that is meant, as `-W` has it.
fn is_target(text: &str) -> bool {
    ["%h:%p", "[%h]:%p"].contains(&text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    fn read_for(command: &str) -> Proxy {
        let facts = Facts {
            alias: "web",
            host: "10.0.0.1",
            port: 2222,
            user: "www",
            home: Path::new("/home/me"),
        };
        read(command, &facts)
    }

    #[test]
    fn jumps_are_seen_in_all_their_spellings() {
        for (command, chain) in [
            ("ssh -W %h:%p bastion", "bastion"),
            ("ssh bastion -W %h:%p", "bastion"),
            ("exec /usr/bin/ssh -q -A -W [%h]:%p ops@bastion 2>/dev/null", "ops@bastion"),
            ("ssh -qW %h:%p -p 2200 -l ops bastion", "ops@bastion:2200"),
            ("ssh -p2200 bastion nc -w 1 %h %p 2> /dev/null", "bastion:2200"),
            ("ssh -J one,two -W %h:%p three", "one,two,three"),
            ("ssh -W %h:%p %r@bastion", "www@bastion"),
            ("ssh -W %h:%p 2001:db8::1", "[2001:db8::1]"),
            ("ssh -o StrictHostKeyChecking=no -i '~/k' -W %h:%p bastion", "bastion"),
        ] {
            match read_for(command) {
                Proxy::Jump { chain: read, .. } => assert_eq!(read, chain, "{command}"),
                other @ (Proxy::Program(_) | Proxy::Unclear(_)) => panic!("{command}: {other:?}"),
            }
        }
    }

    #[test]
    fn other_programs_are_words_or_not_taken_over() {
        for (command, words) in [
            ("nc -X 5 -x proxy:1080 %h %p", vec!["nc", "-X", "5", "-x", "proxy:1080", "%h", "%p"]),
            ("~/bin/hop --port=%p '%n as %r'", vec!["/home/me/bin/hop", "--port=%p", "web as %r"]),
        ] {
            let words = words.into_iter().map(str::to_owned).collect();
            assert_eq!(read_for(command), Proxy::Program(words), "{command}");
        }
        for command in [
            "nc %h %p | tee x",
            "sh -c \"nc $H\"",
            "nc %C",
            "X=1 nc %h",
            "nc 'open",
            "ssh bastion cat >x",
            "",
        ] {
            assert!(matches!(read_for(command), Proxy::Unclear(_)), "{command}");
        }
    }
}
