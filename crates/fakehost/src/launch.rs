//! The fixed texts that the product sends around commands, as far as a host without a real shell can honour them.
//!
//! The forms are the product's own; `crates/ssh/tests/it/fake.rs` holds both sides together.

/// What an exec request asks for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    /// A command by itself.
    Plain(String),
    /// A command behind the prefix that makes it stoppable: its process id is announced first. If it is fed, variables come
    /// before its input, up to a line with the nonce.
    Marked { nonce: String, command: String, fed: bool },
    /// The end of processes: the number of each order, and the process.
    Stop { orders: Vec<(String, u32)> },
    /// One of the texts about durable jobs, which live in files: there are none here.
    Job { nonce: String },
    /// Another text for a shell, which is not here.
    Shell,
}

const IN_SH: &str = r#"exec sh -c 'IFS=;eval "unset IFS;$(printf %b "$*")"' sshepherd "#;

/// Tells the texts apart, strictly: what only looks like one of them is a text for a shell.
pub(crate) fn read(text: &str) -> Asked {
    if let Some(words) = text.strip_prefix(IN_SH) {
        return packed(words).and_then(|text| in_sh(&text)).unwrap_or(Asked::Shell);
    }
    if let Some(rest) = text.strip_prefix("case x in x) ") {
        return guarded(rest).unwrap_or(Asked::Shell);
    }
    if text.starts_with("exec sh -c ") {
        return Asked::Shell;
    }
    Asked::Plain(text.to_owned())
}

/// The text behind the words of a line.
fn packed(words: &str) -> Option<String> {
    let inner = words.strip_prefix('\'')?.strip_suffix('\'')?;
    undone(&inner.split("' '").collect::<String>())
}

/// What `printf %b` makes of escapes.
fn undone(escapes: &str) -> Option<String> {
    let (mut bytes, mut rest) = (Vec::new(), escapes);
    while let Some((before, after)) = rest.split_once('\\') {
        bytes.extend_from_slice(before.as_bytes());
        rest = if let Some(after) = after.strip_prefix('n') {
            bytes.push(b'\n');
            after
        } else {
            let after = after.strip_prefix('0')?;
            let length =
                after.bytes().take(3).take_while(|byte| matches!(byte, b'0'..=b'7')).count();
            let (digits, after) = after.split_at(length);
            bytes.push(u8::from_str_radix(digits, 8).ok()?);
            after
        };
    }
    bytes.extend_from_slice(rest.as_bytes());
    String::from_utf8(bytes).ok()
}

fn is_nonce(text: &str) -> bool {
    text.len() == 16 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

fn in_sh(text: &str) -> Option<Asked> {
    if let Some(rest) = text.strip_prefix("set -- '") {
        let (first, _) = rest.split_once('\'')?;
        if is_nonce(first) {
            return Some(Asked::Job { nonce: first.to_owned() });
        }
        let (words, script) = rest.split_once("'\n")?;
        return script.contains("sshepherd-stop begun").then(|| stop(words))?;
    }
    let (nonce, rest) = prefix(text, "\n")?;
    Some(marked(nonce, rest))
}

/// Ten words for each order: its number and its process come first.
fn stop(words: &str) -> Option<Asked> {
    let words: Vec<&str> = words.split("' '").collect();
    let orders = words.chunks(10).map(|order| match order {
        [number, pid, ..] => Some(((*number).to_owned(), pid.parse().ok()?)),
        _ => None,
    });
    Some(Asked::Stop { orders: orders.collect::<Option<_>>()? })
}

/// The nonce of a prefix, and what is behind its end.
fn prefix<'a>(text: &'a str, end: &str) -> Option<(&'a str, &'a str)> {
    let (cookie, rest) = text.strip_prefix("SSHEPHERD_TASK='")?.split_once('\'')?;
    let rest = rest.strip_prefix(";export SSHEPHERD_TASK;echo sshepherd-")?;
    let (nonce, rest) = rest.split_once(" $$ >&2")?;
    let known = |byte: u8| byte.is_ascii_alphanumeric() || b":._-".contains(&byte);
    (cookie.bytes().all(known) && is_nonce(nonce)).then_some((nonce, rest.strip_prefix(end)?))
}

fn guarded(text: &str) -> Option<Asked> {
    let (nonce, text) = prefix(text, ";; esac\n")?;
    let inner = |start: &str, end: &str| text.strip_prefix(start)?.strip_suffix(end);
    let one = inner("eval set -- \"$(printf %b '", "')\"\n\"$@\"");
    match one.or_else(|| inner("eval \"$(printf %b '", "')\"")) {
        Some(escapes) => Some(marked(nonce, &undone(escapes)?)),
        None => Some(marked(nonce, text)),
    }
}

fn marked(nonce: &str, text: &str) -> Asked {
    let reader = text.starts_with("__sshepherd_e=\n");
    let behind = text.split_once(";$__sshepherd_e\"\n").filter(|_| reader);
    let command = behind.map_or(text, |(_, command)| command).to_owned();
    Asked::Marked { nonce: nonce.to_owned(), command, fed: behind.is_some() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_fixed_forms_are_more_than_a_command() {
        assert_eq!(read("uptime"), Asked::Plain("uptime".to_owned()));
        let prefix = "case x in x) SSHEPHERD_TASK='a:b';export SSHEPHERD_TASK;echo sshepherd-0123456789abcdef $$ >&2;; esac\n";
        let marked = |command: &str| Asked::Marked {
            nonce: "0123456789abcdef".to_owned(),
            command: command.to_owned(),
            fed: false,
        };
        assert_eq!(read(&format!("{prefix}uptime")), marked("uptime"));
        let escaped = format!("{prefix}eval \"$(printf %b '\\0145cho a\\073\\0142')\"");
        assert_eq!(read(&escaped), marked("echo a;b"));
        for strange in [
            "case x in x) SSHEPHERD_TASK='a",
            "case x in x) SSHEPHERD_TASK='a b';export SSHEPHERD_TASK;echo sshepherd-0123456789abcdef $$ >&2;; esac\nuptime",
            "case x in x) SSHEPHERD_TASK='a';export SSHEPHERD_TASK;echo sshepherd-x $$ >&2;; esac\nuptime",
            "exec sh -c 'echo hi'",
            "exec sh -c 'x' sshepherd 'x'",
            "exec sh -c 'IFS=;eval \"unset IFS;$(printf %b \"$*\")\"' sshepherd 'echo \\x'",
        ] {
            assert_eq!(read(strange), Asked::Shell, "{strange}");
        }
    }
}
