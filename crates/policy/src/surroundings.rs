//! Working folder, environment and standard input: checked for shape, granted by rules, put into the text to send.

use sshepherd_model::request::MAX_STDIN_BYTES;
use sshepherd_model::{LoginShell, Request};

use crate::glob::Glob;
use crate::rule::Rule;
use crate::script::{quote, quote_always};
use crate::steering;

/// Longest variable name and value, and most variables: far above what programs read by hand-set variables.
const MAX_NAME: usize = 64;
const MAX_VALUE: usize = 4096;
const MAX_VARIABLES: usize = 32;

/// What a request asks for that a rule does not grant, or that has no sound form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NotGranted {
    pub(crate) what: &'static str,
    pub(crate) message: String,
    pub(crate) hint: String,
}

fn not_granted<T>(what: &'static str, message: String, hint: String) -> Result<T, NotGranted> {
    Err(NotGranted { what, message, hint })
}

/// Checks what can be said without any rule.
pub(crate) fn well_formed(shell: LoginShell, request: &Request) -> Result<(), NotGranted> {
    let what = if request.cwd.is_some() { "cwd" } else { "env" };
    if shell == LoginShell::RawWords && (request.cwd.is_some() || !request.env.is_empty()) {
        return not_granted(
            what,
            format!("{what} has no form on a host with login_shell: raw-words"),
            format!(
                "leave {what} out; where a POSIX shell, fish or csh answers, the owner writes login_shell: posix, fish \
                 or csh in servers.yml"
            ),
        );
    }
    if let Some(cwd) = &request.cwd {
        let sound = cwd.starts_with('/')
            && cwd.bytes().all(|byte| matches!(byte, b' '..=b'~'))
            && (cwd == "/" || cwd.split('/').skip(1).all(|part| !matches!(part, "" | "." | "..")));
        if !sound || cwd.len() > MAX_VALUE {
            return not_granted(
                "cwd",
                format!("cwd {cwd:?} is no plain absolute path"),
                "write an absolute path in printable ASCII without //, . and .., and without / at its end"
                    .to_owned(),
            );
        }
    }
    if request.env.len() > MAX_VARIABLES {
        return not_granted(
            "env",
            format!("{} variables; at most {MAX_VARIABLES} are taken", request.env.len()),
            "set fewer".to_owned(),
        );
    }
    for (name, value) in &request.env {
        let mut bytes = name.bytes();
        let sound = bytes.next().is_some_and(|b| b.is_ascii_alphabetic() || b == b'_')
            && bytes.all(|b| b.is_ascii_alphanumeric() || b == b'_')
            && name.len() <= MAX_NAME;
        if !sound {
            return not_granted(
                "env",
                format!("{name:?} is no variable name"),
                "use letters, digits and _, at most 64".to_owned(),
            );
        }
        if value.len() > MAX_VALUE || !value.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
            return not_granted(
                "env",
                format!("the value of {name} is too long or not printable ASCII"),
                format!("at most {MAX_VALUE} bytes of printable ASCII are taken"),
            );
        }
    }
    match &request.stdin {
        Some(text) if text.len() > MAX_STDIN_BYTES => not_granted(
            "stdin",
            format!("stdin has {} bytes; at most {MAX_STDIN_BYTES} are taken", text.len()),
            "send the data in parts, or as a file".to_owned(),
        ),
        _ => Ok(()),
    }
}

/// Checks that `rule` grants everything the request asks for beside its command.
pub(crate) fn granted(rule: &Rule, request: &Request) -> Result<(), NotGranted> {
    let at = format!("rule {} ({}:{})", rule.id, rule.position.file, rule.position.line);
    if let Some(cwd) = &request.cwd
        && !rule.grants.cwd.iter().any(|glob| glob.matches(cwd))
    {
        return not_granted(
            "cwd",
            format!("{at} does not grant the working folder {cwd}"),
            granted_list("cwd", &rule.grants.cwd),
        );
    }
    for (name, _) in &request.env {
        if !rule.grants.env.iter().any(|glob| steering::reaches(glob, name)) {
            let named = steering::steers(name)
                && rule.grants.env.iter().any(|glob| !glob.is_literal() && glob.matches(name));
            let hint = match named {
                true => format!(
                    "{name} can make programs run or load something else, so no pattern reaches it; the owner must name it in full: \
                     `env: [{name}]`"
                ),
                false => granted_list("env", &rule.grants.env),
            };
            return not_granted("env", format!("{at} does not grant the variable {name}"), hint);
        }
    }
    if request.stdin.is_some() && !rule.grants.stdin {
        return not_granted(
            "stdin",
            format!("{at} does not grant standard input"),
            "leave stdin out, or ask the owner to add `stdin: true` to the rule".to_owned(),
        );
    }
    Ok(())
}

fn granted_list(field: &str, globs: &[Glob]) -> String {
    if globs.is_empty() {
        return format!("leave {field} out, or ask the owner to add `{field}: [...]` to the rule");
    }
    let list: Vec<&str> = globs.iter().map(Glob::as_str).collect();
    format!("the rule grants {field}: {}", list.join(", "))
}

/// The text to send: `script` in its folder. Variables are sent apart from it.
pub(crate) fn wrap(request: &Request, script: &str) -> String {
    match &request.cwd {
        None => script.to_owned(),
        // The newline ends whatever a raw text may end with, a comment for instance.
        Some(cwd) => format!("cd -- {} && {{ {script}\n}}", quote(cwd)),
    }
}

/// The text that is sent, with its variables, for whoever must know all of it.
pub(crate) fn with_variables(request: &Request, text: &str) -> String {
    let variable =
        |(name, value): &(String, String)| format!("export {name}={} && ", quote_always(value));
    let variables: String = request.env.iter().map(variable).collect();
    if variables.is_empty() { text.to_owned() } else { format!("{variables}{{ {text}\n}}") }
}
