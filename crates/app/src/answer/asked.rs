//! What a person is shown before a yes, for both faces: every part that the yes is bound to, and nothing in it can hide.

use sshepherd_engine::{About, StdinShown};
use sshepherd_model::names;

use super::visible;

/// Most lines of each end of standard input that are shown.
const MOST_LINES: usize = 20;

/// Lines of a label and a text. Of the hosts, at most `most` are shown one by one.
pub(crate) fn asked(about: &About, most: usize) -> Vec<(&'static str, String)> {
    let mut lines = hosts(about, most);
    lines.push(("run", visible(&about.command)));
    for variant in &about.variants {
        let on = names::fold(variant.hosts.iter().map(|alias| alias.as_str()));
        lines.push(("but", format!("on {on}: {}", visible(&variant.command))));
    }
    if about.raw_shell {
        lines.push(("shell", "a full shell reads this text as it is".to_owned()));
    }
    let sudo = about.run_as.iter().map(|user| ("sudo", format!("as {}", visible(user))));
    lines.extend(sudo);
    lines.extend(about.cwd.iter().map(|folder| ("cwd", visible(folder))));
    if !about.env.is_empty() {
        lines.push(("env", visible(&about.env.join(", "))));
    }
    if let Some(bytes) = about.stdin_bytes {
        stdin(&mut lines, bytes, about.stdin.as_ref());
    }
    rollout(&mut lines, about);
    for why in &about.rules {
        let reason = why.why.as_deref().map(|why| format!(": {}", visible(why)));
        lines.push(("rule", format!("{}{}", visible(&why.rule), reason.unwrap_or_default())));
    }
    lines
}

fn hosts(about: &About, most: usize) -> Vec<(&'static str, String)> {
    let named: Vec<&str> = about.hosts.iter().take(most).map(|alias| alias.as_str()).collect();
    let more = about.host_count.saturating_sub(named.len());
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    let mut lines = vec![("on", format!("{}{more}", named.join(", ")))];
    match about.logins.as_slice() {
        [one] => lines.push(("as", visible(one))),
        several => {
            let each = about.hosts.iter().zip(several).take(most);
            lines.extend(each.map(|(alias, login)| ("as", format!("{}, {alias}", visible(login)))));
        }
    }
    lines
}

fn stdin(lines: &mut Vec<(&'static str, String)>, bytes: usize, shown: Option<&StdinShown>) {
    let Some(shown) = shown else {
        lines.push(("stdin", format!("{bytes} bytes")));
        return;
    };
    lines.push(("stdin", format!("{bytes} bytes, SHA-256 {}", shown.sha256)));
    let mut part = |text: &str, from_end: bool| {
        let all: Vec<&str> = text.lines().collect();
        let passed = all.len().saturating_sub(MOST_LINES);
        let gap = (passed > 0).then(|| ("|", format!("({passed} more lines)")));
        let shown = all.iter().skip(if from_end { passed } else { 0 }).take(MOST_LINES);
        let shown = shown.map(|line| ("|", visible(line)));
        match from_end {
            true => lines.extend(gap.into_iter().chain(shown)),
            false => lines.extend(shown.chain(gap)),
        }
    };
    part(&shown.head, false);
    if shown.left_out > 0 {
        part(&format!("({} more characters)", shown.left_out), false);
        part(&shown.tail, true);
    }
}

fn rollout(lines: &mut Vec<(&'static str, String)>, about: &About) {
    let Some(rollout) = &about.rollout else { return };
    if rollout.hosts != about.host_count {
        let (asked, all) = (about.host_count, rollout.hosts);
        lines.push(("all", format!("{all} hosts, of which {asked} need a yes")));
    }
    if let Some(alias) = &rollout.canary {
        lines.push(("canary", format!("{alias} alone first")));
    }
    if let Some(batch) = &rollout.batch {
        lines.push(("batch", format!("{batch} hosts at a time")));
    }
    if let Some(failed) = &rollout.stop_after {
        lines.push(("stop", format!("when {failed} hosts have failed")));
    }
    if let Some(seconds) = rollout.deadline_seconds {
        lines.push(("until", format!("{seconds} s after its start, then it is stopped")));
    }
    if let Some(gate) = &rollout.gate {
        lines.push(("gate", visible(gate)));
    }
}

#[cfg(test)]
mod tests {
    use sshepherd_engine::{RolloutShown, Variant, Why};

    use super::*;

    fn about() -> About {
        About {
            hosts: vec!["web1".parse().unwrap(), "web2".parse().unwrap()],
            host_count: 2,
            logins: vec!["ann@h1:22".to_owned(), "root@h2:22 via gate".to_owned()],
            command: "deploy\n\u{202e}x\u{1b}[2K".to_owned(),
            variants: vec![Variant {
                command: "sudo deploy".to_owned(),
                hosts: vec!["web2".parse().unwrap()],
            }],
            run_as: vec!["app".to_owned()],
            raw_shell: true,
            cwd: Some("/srv".to_owned()),
            env: vec!["MODE".to_owned(), "LEVEL".to_owned()],
            stdin_bytes: Some(3),
            stdin: Some(StdinShown {
                sha256: "ab".repeat(32),
                head: "a\n\u{1b}[2Kb\n".to_owned(),
                left_out: 7,
                tail: "z\n".to_owned(),
            }),
            rollout: Some(RolloutShown {
                hosts: 9,
                canary: Some("web1".parse().unwrap()),
                batch: Some("20%".to_owned()),
                stop_after: Some("3".to_owned()),
                deadline_seconds: Some(600),
                gate: Some("check \u{7}".to_owned()),
            }),
            rules: vec![Why { rule: "r".to_owned(), why: Some("so".to_owned()) }],
            client: None,
            holds: "once".to_owned(),
        }
    }

    /// A person decides by these lines: one that is left out is something that they did not agree to.
    #[test]
    fn everything_that_is_bound_is_shown_and_hides_nothing() {
        let lines: Vec<String> = asked(&about(), 20)
            .into_iter()
            .map(|(label, text)| format!("{label} {text}"))
            .collect();
        let digest = "ab".repeat(32);
        let wanted = [
            "on web1, web2",
            "as ann@h1:22, web1",
            "as root@h2:22 via gate, web2",
            "run deploy\\n\\u{202e}x\\u{1b}[2K",
            "but on web2: sudo deploy",
            "shell a full shell reads this text as it is",
            "sudo as app",
            "cwd /srv",
            "env MODE, LEVEL",
            &format!("stdin 3 bytes, SHA-256 {digest}"),
            "| a",
            "| \\u{1b}[2Kb",
            "| (7 more characters)",
            "| z",
            "all 9 hosts, of which 2 need a yes",
            "canary web1 alone first",
            "batch 20% hosts at a time",
            "stop when 3 hosts have failed",
            "until 600 s after its start, then it is stopped",
            "gate check \\u{7}",
            "rule r: so",
        ];
        assert_eq!(lines, wanted);
        let many = About { host_count: 2000, ..about() };
        assert_eq!(asked(&many, 1)[0].1, "web1 and 1999 more");
    }

    #[test]
    fn long_input_of_many_lines_is_cut_and_says_so() {
        let mut lines = Vec::new();
        let shown = StdinShown {
            sha256: String::new(),
            head: "x\n".repeat(500),
            left_out: 1,
            tail: "y\n".repeat(250),
        };
        stdin(&mut lines, 9999, Some(&shown));
        assert_eq!(lines.len(), 1 + 21 + 1 + 21);
        assert_eq!(lines[21].1, "(480 more lines)");
        assert_eq!((lines[23].1.as_str(), lines[43].1.as_str()), ("(230 more lines)", "y"));
    }
}
