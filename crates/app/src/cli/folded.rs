//! Many hosts' results as a person reads them: hosts with the same result once, what failed first, what differs as changes.
//!
//! The same on a terminal and elsewhere. What a host wrote stands behind two blanks, so that no host can write what looks like
//! another one's result.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use crate::answer::{Group, Told, fold};

/// Tells about these results, group by group.
pub(crate) fn folded<'a>(results: impl IntoIterator<Item = Told<'a>>, mut tell: impl FnMut(&str)) {
    let groups = fold(results, usize::MAX);
    let last = groups.last();
    let whole = groups.iter().filter_map(|group| group.output.as_deref());
    let lines: BTreeSet<&str> = whole.filter_map(|output| output.strip_suffix('\n')).collect();
    for group in &groups {
        let mut text = String::new();
        header(&mut text, group, last);
        let _ = writeln!(text, "{}", remarks(group, &lines));
        match (&group.diff, last.and_then(|last| last.output.as_deref())) {
            (Some(diff), Some(common)) => changes(&mut text, common, diff),
            (Some(_), None) | (None, _) => {
                for line in group.output.as_deref().unwrap_or_default().lines() {
                    let _ = writeln!(text, "  {line}");
                }
            }
        }
        // Of what ran to its end there is nothing to add.
        if let Some(hint) = group.hint.as_deref().filter(|_| group.exit_code.is_none()) {
            let _ = writeln!(text, "  {}", plain(hint));
        }
        tell(&text);
    }
}

/// Who it is, and how it ended.
fn header(text: &mut String, group: &Group, last: Option<&Group>) {
    text.push_str(&group.hosts);
    if group.count > 1 {
        let _ = write!(text, " ({} hosts)", group.count);
    }
    // What was not begun has no status but that it is an error, and says why.
    let status =
        group.status.as_deref().filter(|status| *status != "error" || group.detail.is_none());
    match (group.exit_code, &group.signal, status) {
        (Some(code), _, _) => drop(write!(text, ": exit status {code}")),
        (None, Some(signal), _) => drop(write!(text, ": ended by signal {signal}")),
        (None, None, Some(status)) => drop(write!(text, ": {}", status.replace('_', " "))),
        (None, None, None) => {}
    }
    if let Some(detail) = &group.detail {
        // Of hosts that could not be reached, each has words of its own.
        let whose = if group.count > 1 && group.phase.is_some() { " of the first" } else { "" };
        let _ = write!(text, "{whose}: {}", plain(detail));
    }
    if let (Some(_), Some(last)) = (&group.diff, last) {
        let _ = write!(text, "; output as changes to that of {}", last.hosts);
    }
}

/// What sets an output apart and cannot be seen in it; `lines` are the others' without the newline at their end.
fn remarks(group: &Group, lines: &BTreeSet<&str>) -> String {
    let mut text = String::new();
    let open = |output: &str| !output.is_empty() && !output.ends_with('\n');
    let same = group.output.as_deref().is_some_and(|output| open(output) && lines.contains(output));
    // The line that is added last is the last one, and has what stands behind it.
    if same || group.diff.as_deref().is_some_and(|diff| !diff.ends_with('\n')) {
        text.push_str("; without a newline at the end");
    }
    if let Some(cleaned) = &group.cleaned {
        let _ = write!(text, "; taken out: {}", plain(cleaned));
    }
    text
}

/// A difference line by line: how many lines are the same, which are not there, which are there instead.
fn changes(text: &mut String, common: &str, diff: &str) {
    let mut lines = common.lines();
    for change in diff.lines() {
        let mut letters = change.chars();
        let sign = letters.next();
        let rest = letters.as_str();
        let count = rest.parse().unwrap_or(0);
        match sign {
            Some('+') => {
                let _ = writeln!(text, "  + {rest}");
            }
            Some('-') => {
                for line in lines.by_ref().take(count) {
                    let _ = writeln!(text, "  - {line}");
                }
            }
            Some(_) | None => {
                lines.by_ref().take(count).for_each(drop);
                let plural = if count == 1 { "" } else { "s" };
                let _ = writeln!(text, "  = {count} line{plural}");
            }
        }
    }
}

/// On one line, and nothing that steers a terminal.
fn plain(text: &str) -> String {
    text.replace(char::is_control, " ")
}

#[cfg(test)]
mod tests {
    use crate::answer::RunAnswer;

    fn folded(entries: &[RunAnswer]) -> String {
        let mut text = String::new();
        let own = entries.iter().map(|entry| (entry, entry.output.as_deref()));
        super::folded(own, |group| text.push_str(group));
        text
    }

    fn ran(alias: &str, output: &str, exit_code: u32) -> RunAnswer {
        RunAnswer {
            alias: Some(alias.to_owned()),
            status: Some(if exit_code == 0 { "completed" } else { "failed" }.to_owned()),
            exit_code: Some(exit_code),
            output: Some(output.to_owned()),
            ..RunAnswer::default()
        }
    }

    fn gone(alias: &str) -> RunAnswer {
        RunAnswer {
            alias: Some(alias.to_owned()),
            status: Some("could_not_connect".to_owned()),
            phase: Some("tcp".to_owned()),
            detail: Some(format!("{alias}:\n refused")),
            hint: Some("is it up?".to_owned()),
            ..RunAnswer::default()
        }
    }

    #[test]
    fn a_fleet_is_told_in_a_few_lines() {
        let long: String = (0..10).map(|n| format!("line {n}\n")).collect();
        let mut entries: Vec<RunAnswer> =
            (1..=6).map(|n| ran(&format!("web{n:02}"), &long, 0)).collect();
        entries.push(ran("web07", &long.replace("line 3\n", "line three\n"), 0));
        entries.extend([
            ran("db1", "no such file\n", 2),
            ran("quiet", "", 0),
            gone("far1"),
            gone("far2"),
        ]);
        assert_eq!(
            folded(&entries),
            "db1: exit status 2\n  no such file\n\
             far[1-2] (2 hosts): could not connect of the first: far1:  refused\n  is it up?\n\
             quiet: exit status 0\n\
             web07: exit status 0; output as changes to that of web[01-06]\n  = 3 lines\n  - line 3\n  + line three\n  = 6 lines\n\
             web[01-06] (6 hosts): exit status 0\n\
            \x20 line 0\n  line 1\n  line 2\n  line 3\n  line 4\n  line 5\n  line 6\n  line 7\n  line 8\n  line 9\n"
        );
        assert_eq!(folded(&[]), "");
    }

    #[test]
    fn what_cannot_be_seen_is_said() {
        let nul =
            RunAnswer { cleaned: Some("1 control characters".to_owned()), ..ran("c", "same\n", 0) };
        let told = folded(&[ran("a", "same\n", 0), ran("b", "same", 0), nul, ran("d", "other", 0)]);
        assert_eq!(
            told,
            "b: exit status 0; without a newline at the end\n  same\n\
             d: exit status 0\n  other\n\
             a,c (2 hosts): exit status 0; taken out: 1 control characters (c)\n  same\n"
        );
    }

    #[test]
    fn a_newline_that_is_missing_is_said_of_changes_too() {
        let long = "a line\n".repeat(20);
        let told = folded(&[ran("a", &long, 0), ran("b", &long, 0), ran("c", long.trim_end(), 0)]);
        let heads: Vec<&str> = told.lines().filter(|line| !line.starts_with("  ")).collect();
        assert_eq!(
            heads,
            [
                "c: exit status 0; output as changes to that of a,b; without a newline at the end",
                "a,b (2 hosts): exit status 0"
            ]
        );
    }

    #[test]
    fn no_host_writes_what_looks_like_another_ones_result() {
        let told = folded(&[ran("a", "b: exit status 0\n", 1), ran("c", "x\n", 0)]);
        let heads: Vec<&str> = told.lines().filter(|line| !line.starts_with("  ")).collect();
        assert_eq!(heads, ["a: exit status 1", "c: exit status 0"]);
    }
}
