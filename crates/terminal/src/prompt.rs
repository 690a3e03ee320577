//! Whether the line before the cursor looks like one that waits for an answer; for shells without marks.
//!
//! A guess: it says where to look again sooner, never that a command is over.

/// Longer lines are output.
const LONGEST: usize = 400;

/// Words before a `:` that tell of progress.
const PROGRESS: &[&str] = &[
    "progress",
    "status",
    "eta",
    "total",
    "speed",
    "elapsed",
    "rate",
    "time",
    "left",
    "remaining",
    "done",
];

/// Whether `last_line`, with the blanks at its end as they are, looks like a prompt or a question.
#[must_use]
pub fn looks_like_prompt(last_line: &str) -> bool {
    let line = last_line.rsplit(['\n', '\r']).next().unwrap_or_default();
    if line.trim().is_empty() || line.chars().count() > LONGEST {
        return false;
    }
    line == ":" || pager(line.trim()) || asks(line) || line.starts_with("➜ ") || sign(line)
}

/// What pagers show while they wait for a key.
fn pager(line: &str) -> bool {
    line.ends_with("(END)") || line.starts_with("--More--") || line == "-- More --"
}

/// Questions that name their answers, wait for a key or want a secret, with or without a blank after them.
fn asks(line: &str) -> bool {
    let line = line.trim().to_lowercase();
    let answers = ["[y/n]", "(y/n)", "(yes/no)", "[yes/no]", "(yes/no/[fingerprint])"];
    let bare = line.trim_end_matches([':', '?', ' ']);
    answers.iter().any(|answer| bare.ends_with(answer))
        || (line.starts_with("press ")
            && (line.contains("continue") || line.contains("any key") || line.contains("enter")))
        || line.strip_suffix(':').is_some_and(|before| {
            ["password", "passphrase", "passcode", "pin", "login", "username", "verification code"]
                .iter()
                .any(|secret| {
                    before.ends_with(secret)
                        || (before.contains(secret) && before.contains(" for "))
                })
        })
}

/// A sign with one blank after it, as prompts end.
fn sign(line: &str) -> bool {
    let Some(line) = line.strip_suffix(' ').filter(|line| !line.ends_with(' ')) else {
        return false;
    };
    if matches!(line, "..." | ">>>" | "(gdb)" | "(lldb)" | "(Pdb)") {
        return true;
    }
    let mut characters = line.chars();
    let Some(last) = characters.next_back() else { return false };
    let before = characters.as_str();
    let word = before.rsplit(' ').next().unwrap_or_default();
    match last {
        // A number before it is an amount or a part of one.
        '$' | '%' => !number(before.trim_end().rsplit(' ').next().unwrap_or_default()),
        // `##` and longer are drawn bars and headings; `=#` and `(#` are psql's.
        '#' => !word.ends_with('#'),
        // Not a tag, not an arrow within a text.
        '>' => {
            !word.contains('<')
                && !word.ends_with(['|', '>'])
                && (!word.ends_with(['-', '='])
                    || before.trim().len() <= 1
                    || !before.contains(' '))
        }
        ':' => !word.is_empty() && !tells_of_progress(word),
        '?' => {
            word.chars().any(char::is_alphanumeric) || word.ends_with(')') || word.ends_with(']')
        }
        '❯' | 'λ' | '»' | '›' | '▶' => true,
        _ => false,
    }
}

fn number(word: &str) -> bool {
    let digits = word.trim_start_matches(['(', '[', '|', '+', '-', '~', '<', '≈']);
    !digits.is_empty() && digits.chars().all(|c| c.is_ascii_digit() || matches!(c, '.' | ',' | ':'))
}

fn tells_of_progress(word: &str) -> bool {
    let word = word.to_lowercase();
    word.ends_with("ing") || number(&word) || PROGRESS.contains(&word.as_str())
}
