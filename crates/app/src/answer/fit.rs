//! Keeping answers within a byte budget, measured as JSON, because that is what reaches the reader.

use serde::Serialize;
use sshepherd_engine::sanitise::{More, View};
use sshepherd_engine::store::Task;

/// The bytes that `value` takes as compact JSON; a value that cannot be written takes none.
pub(crate) fn encoded<T: Serialize>(value: &T) -> usize {
    serde_json::to_vec(value).map_or(0, |bytes| bytes.len())
}

/// The lines of a piece of output that there is something to show of.
pub(crate) fn shown_lines(view: View) -> Vec<String> {
    view.lines.into_iter().filter(|line| !line.hidden).map(|line| line.text).collect()
}

/// Whether a task may write more.
pub(crate) fn more(task: &Task) -> More {
    if task.status.is_final() { More::No } else { More::MayCome }
}

/// The first `max` characters of a text that is for information only, with an ellipsis if any were left out.
pub(crate) fn shorten(text: &str, max: usize) -> String {
    match text.char_indices().nth(max) {
        None => text.to_owned(),
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
    }
}

/// A text as a person is shown it before a decision: what is not printable ASCII is written out, so that nothing of it can hide
/// the rest.
pub(crate) fn visible(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            ' '..='~' => shown.push(letter),
            _ => shown.extend(letter.escape_default()),
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_those_of_json_and_texts_are_cut_between_characters() {
        assert_eq!(encoded(&"a\u{1}"), 9);
        assert_eq!(shorten("äöü", 2), "äö…");
        assert_eq!(shorten("äöü", 3), "äöü");
    }
}
