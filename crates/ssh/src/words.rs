//! How fixed texts and their arguments become the one text of an exec request.

/// The texts without their comments, which every start would send.
pub(crate) fn bare(texts: &[&str]) -> String {
    let lines = texts.iter().flat_map(|text| text.lines());
    lines.filter(|line| !line.starts_with('#')).flat_map(|line| [line, "\n"]).collect()
}

/// `text` run by a POSIX shell with these arguments, whatever the log-in shell is.
pub(crate) fn command(text: &str, arguments: &[&str]) -> String {
    let mut command = format!("exec sh -c {} sshepherd", quoted(text));
    for argument in arguments {
        command.push(' ');
        command.push_str(&quoted(argument));
    }
    command
}

/// One word. Backslashes stand outside the quotes, for fish reads them inside.
pub(crate) fn quoted(word: &str) -> String {
    let mut text = String::with_capacity(word.len() + 2);
    text.push('\'');
    for character in word.chars() {
        match character {
            '\'' => text.push_str("'\\''"),
            '\\' => text.push_str("'\\\\'"),
            other => text.push(other),
        }
    }
    text.push('\'');
    text
}
