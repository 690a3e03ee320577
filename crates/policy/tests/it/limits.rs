//! Which limits are in force when base, tags and alias all speak.

use std::time::Duration;

use sshepherd_policy::{LimitPatch, LimitTable, Policy};

use crate::site::{host, policy};

fn table() -> LimitTable {
    let texts = |list: &[&str]| Some(list.iter().map(|text| (*text).to_owned()).collect());
    let patch = |max_seconds, max_output_bytes, deny_substrings| LimitPatch {
        max_seconds,
        max_output_bytes,
        deny_substrings,
        ..LimitPatch::default()
    };
    LimitTable {
        base: patch(Some(100), Some(1000), texts(&["base"])),
        tags: [
            ("slow".parse().unwrap(), patch(Some(900), None, texts(&["one", "both"]))),
            ("prod".parse().unwrap(), patch(Some(30), Some(5000), texts(&["both", "two"]))),
        ]
        .into(),
        aliases: [("db1".parse().unwrap(), patch(None, Some(7), None))].into(),
    }
}

fn of(policy: &Policy, alias: &str, tags: &[&str]) -> (u64, u64, Vec<String>) {
    let limits = policy.limits(&host(alias, tags));
    (limits.max_time.as_secs(), limits.max_output_bytes, limits.deny_substrings.to_vec())
}

#[test]
fn an_alias_beats_its_tags_and_they_beat_the_base() {
    let policy = policy(Vec::new(), table(), Default::default());
    let texts = |list: &[&str]| list.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
    assert_eq!(of(&policy, "web1", &[]), (100, 1000, texts(&["base"])));
    assert_eq!(of(&policy, "web1", &["slow"]), (900, 1000, texts(&["one", "both"])));
    assert_eq!(of(&policy, "db1", &["prod"]), (30, 7, texts(&["both", "two"])));
}

#[test]
fn of_several_tags_the_strictest_counts_and_denied_texts_add_up() {
    let policy = policy(Vec::new(), table(), Default::default());
    for tags in [["slow", "prod"], ["prod", "slow"]] {
        let (seconds, bytes, mut texts) = of(&policy, "web1", &tags);
        texts.sort();
        assert_eq!((seconds, bytes), (30, 5000));
        assert_eq!(texts, ["both", "one", "two"]);
    }
}

#[test]
fn without_any_word_of_the_owner_the_defaults_hold() {
    let limits = Policy::default().limits(&host("web1", &[]));
    assert_eq!(limits, sshepherd_model::Limits::default());
    assert_eq!(limits.max_time, Duration::from_secs(60));
}
