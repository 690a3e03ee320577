//! The fixed texts that the product sends around commands, as far as a host without a real shell can honour them.
//!
//! The forms are the product's own; `crates/ssh/tests/it/fake.rs` holds both sides together.

/// What an exec request asks for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Asked<'a> {
    /// A command by itself.
    Plain(&'a str),
    /// A command behind the prefix that makes it stoppable: its process id is announced first.
    Marked { nonce: &'a str, command: &'a str },
    /// The end of the process with this id.
    Stop { pid: u32 },
    /// One of the texts about durable jobs, which live in files: there are none here.
    Job { nonce: &'a str },
    /// Another text for a shell, which is not here.
    Shell,
}

/// Tells the texts apart, strictly: what only looks like one of them is a text for a shell.
pub(crate) fn read(text: &str) -> Asked<'_> {
    if let Some(rest) = text.strip_prefix("SSHEPHERD_TASK='") {
        return marked(rest).unwrap_or(Asked::Shell);
    }
    let Some(script) = text.strip_prefix("exec sh -c '") else { return Asked::Plain(text) };
    if let Some((_, rest)) = script.split_once("' sshepherd '") {
        return match rest.split_once('\'') {
            Some((nonce, _)) if is_nonce(nonce) => Asked::Job { nonce },
            Some(_) | None => Asked::Shell,
        };
    }
    stop(script).unwrap_or(Asked::Shell)
}

fn is_nonce(text: &str) -> bool {
    text.len() == 16 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

fn marked(rest: &str) -> Option<Asked<'_>> {
    let (cookie, rest) = rest.split_once('\'')?;
    let rest = rest.strip_prefix(";export SSHEPHERD_TASK;echo sshepherd-")?;
    let (nonce, command) = rest.split_once(" $$ >&2\n")?;
    let known = |byte: u8| byte.is_ascii_alphanumeric() || b":._-".contains(&byte);
    (cookie.bytes().all(known) && is_nonce(nonce)).then_some(Asked::Marked { nonce, command })
}

fn stop(script: &str) -> Option<Asked<'_>> {
    let quote = "'\\''";
    let (_, rest) = script.split_once(&format!("\nP={quote}"))?;
    let (pid, rest) = rest.split_once(quote)?;
    rest.contains("sshepherd-stop gone").then_some(())?;
    Some(Asked::Stop { pid: pid.parse().ok()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_fixed_forms_are_more_than_a_command() {
        assert_eq!(read("uptime"), Asked::Plain("uptime"));
        let marked = "SSHEPHERD_TASK='a:b';export SSHEPHERD_TASK;echo sshepherd-0123456789abcdef $$ >&2\nuptime";
        assert_eq!(read(marked), Asked::Marked { nonce: "0123456789abcdef", command: "uptime" });
        for strange in [
            "SSHEPHERD_TASK='a",
            "SSHEPHERD_TASK='a b';export SSHEPHERD_TASK;echo sshepherd-0123456789abcdef $$ >&2\nuptime",
            "SSHEPHERD_TASK='a';export SSHEPHERD_TASK;echo sshepherd-x $$ >&2\nuptime",
            "exec sh -c 'echo hi'",
            "exec sh -c 'x' sshepherd 'x'",
        ] {
            assert_eq!(read(strange), Asked::Shell, "{strange}");
        }
    }
}
