//! The two corpora: a sample of read-only work judged by seed-style globs, and our own about the language alone.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use sshepherd_model::Request;
use sshepherd_policy::corpus::{Case, Expect, judge_case};
use sshepherd_policy::{Action, Dialect, LimitPatch, LimitTable, Policy};

use crate::site::{host, policy, rule, wire};

const READ_ONLY: &str = include_str!("../data/read-only.jsonl");
const LANGUAGE: &str = include_str!("../data/shell-language.jsonl");

/// What an owner of the seed would write for the five programs.
const SEED_GLOBS: [&str; 8] = [
    "uptime",
    "df -h*",
    "systemctl status *",
    "journalctl -n *",
    "journalctl --lines=*",
    "journalctl -u * -n *",
    "journalctl * -n *",
    "tail -n * /var/log/*",
];

/// Runs of the sample, in its order: a class, and the first command of its run. The order covers every denial.
const CLASSES: [(&str, &str); 10] = [
    ("chain", "uptime;rm -rf ~"),
    ("substitution", "uptime $(id)"),
    ("expansion", "df -h ~"),
    ("redirection", "uptime > /etc/cron.d/x"),
    ("assignment and builtin", "PATH=/tmp uptime"),
    ("wrapping", "sh -c 'uptime; id'"),
    ("compound and interpreter", "! uptime"),
    ("argument", "uptimex"),
    ("quoting", "\\uptime"),
    ("unicode and control", "uptime\u{a0}"),
];

/// Denials that only typed rules can give: all of one command that a seed glob admits as it stands.
const LEFT_TO_TYPED_RULES: [&str; 23] = [
    "df -h -- --version",
    "df -h --output=source /",
    "journalctl --since -n --until 5",
    "journalctl -n 10 --file=/etc/shadow",
    "journalctl -n 10 --flush",
    "journalctl -n 10 --fol",
    "journalctl -n 10 --root=/mnt",
    "journalctl -n 10 --vacuum-t=1s",
    "journalctl -n 10 -f",
    "journalctl -n 10 -g '(a+)+$'",
    "journalctl -n 999999999",
    "journalctl -n all",
    "systemctl status --hos=evil nginx",
    "systemctl status --root=/tmp/x nginx",
    "systemctl status 1234",
    "systemctl status aaaaaaaaaa…",
    "tail -n 5 --follow=name /var/log/syslog",
    "tail -n 5 --retry /var/log/syslog",
    "tail -n 5 /etc/shadow /var/log/syslog",
    "tail -n 5 /var/log/../../etc/shadow",
    "tail -n 5 /var/log//../../etc/shadow",
    "tail -n 5 /var/log/syslog -f",
    "tail -n 99999999999 /var/log/syslog",
];

/// A very long command by its beginning.
fn shown(command: &str) -> String {
    match command.get(..27) {
        Some(start) if command.len() > 200 => format!("{start}…"),
        _ => command.to_owned(),
    }
}

fn cases(text: &str) -> Vec<Case> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The policy of the sample has neither filters nor redirections.
fn read_only() -> Policy {
    policy(
        vec![rule(Action::Allow, &SEED_GLOBS)],
        LimitTable::default(),
        Dialect { filters: false, harmless_redirections: false },
    )
}

#[test]
fn every_allowed_case_of_the_sample_is_allowed() {
    let (policy, host) = (read_only(), host("web1", &[]));
    let allowed: Vec<Case> =
        cases(READ_ONLY).into_iter().filter(|case| case.expect == Expect::Allow).collect();
    assert_eq!(allowed.len(), 16);
    for case in allowed {
        assert_eq!(judge_case(&policy, &host, &case), None, "{}", case.command);
    }
}

#[test]
fn only_the_named_argument_cases_of_the_sample_are_left_to_typed_rules() {
    let (policy, host) = (read_only(), host("web1", &[]));
    let denied = cases(READ_ONLY).into_iter().filter(|case| case.expect == Expect::Deny);
    let mut class = "";
    let mut seen = Vec::new();
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    let mut wrongly_allowed = BTreeSet::new();
    for case in denied {
        if let Some((name, _)) = CLASSES.iter().find(|(_, first)| *first == case.command) {
            class = *name;
            seen.push(class);
        }
        *counts.entry(class).or_default() += 1;
        if judge_case(&policy, &host, &case).is_some() {
            // The last line of the file is an over-long unit name: an argument, too.
            let argument = class == "argument" || case.command.len() > 2000;
            assert!(argument, "{class}: {:?}", case.command);
            wrongly_allowed.insert(shown(&case.command));
        }
    }
    assert_eq!(seen, CLASSES.map(|(name, _)| name), "a class begins elsewhere");
    // What is covered: every case of every other class, by number.
    let expected = [
        ("argument", 39),
        ("assignment and builtin", 14),
        ("chain", 11),
        ("compound and interpreter", 8),
        ("expansion", 11),
        ("quoting", 5),
        ("redirection", 9),
        ("substitution", 10),
        ("unicode and control", 17),
        ("wrapping", 13),
    ];
    assert_eq!(counts.into_iter().collect::<Vec<_>>(), expected);
    let named: BTreeSet<String> =
        LEFT_TO_TYPED_RULES.iter().map(|text| (*text).to_owned()).collect();
    assert_eq!(wrongly_allowed, named);
}

/// A case of our own corpus.
#[derive(Deserialize)]
struct Own {
    class: String,
    command: String,
    expect: Expect,
    why: String,
    /// What an allowed command is sent as.
    sent: Option<String>,
}

/// Everything is allowed here that the language and the filters let through: no rule helps a refusal.
#[test]
fn the_language_alone_decides_our_own_corpus() {
    let base = LimitPatch { deny_substrings: Some(Vec::new()), ..LimitPatch::default() };
    let policy = policy(
        vec![rule(Action::Allow, &["*"])],
        LimitTable { base, ..LimitTable::default() },
        Dialect::default(),
    );
    let mut wrong = Vec::new();
    let mut count = 0;
    for line in LANGUAGE.lines() {
        let case: Own = serde_json::from_str(line).unwrap();
        count += 1;
        let got = match Request::new(&case.command) {
            Err(_) => Err("shape".to_owned()),
            Ok(request) => wire(&policy, &request),
        };
        let right = match case.expect {
            Expect::Allow => got.as_ref().ok() == case.sent.as_ref(),
            Expect::Deny | Expect::Ask => got.is_err(),
        };
        if !right {
            wrong.push(format!("{} ({}): {:?} gives {got:?}", case.class, case.why, case.command));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(count >= 500, "{count}");
}

/// The texts above, given to the recogniser as they are: nothing has trimmed or checked them before.
#[test]
fn a_refused_text_is_refused_untrimmed_too() {
    for line in LANGUAGE.lines() {
        let case: Own = serde_json::from_str(line).unwrap();
        let recognised = sshepherd_policy::recognise(&case.command);
        if case.expect == Expect::Allow {
            assert!(recognised.is_ok(), "{:?}: {recognised:?}", case.command);
        } else if case.class != "pipe" {
            let refusal = recognised.err().unwrap_or_else(|| panic!("accepted {:?}", case.command));
            assert!(case.command.is_char_boundary(refusal.offset), "{:?}: {refusal}", case.command);
        }
    }
}
