//! The example policies that are shipped, judged as a stranger would.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use sshepherd_config::{FolderFlags, Folders, Loaded, ProcessEnvironment, load_to_judge};
use sshepherd_model::{Host, Severity};
use sshepherd_policy::corpus::{Case, Expect, judge_case};
use sshepherd_policy::lint;

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn example(name: &str) -> Loaded {
    let folder = repository().join("examples/policy").join(name);
    let flags = FolderFlags { config: Some(folder), ..FolderFlags::default() };
    let folders = Folders::resolve(&flags, &ProcessEnvironment).unwrap();
    load_to_judge(&folders, &ProcessEnvironment).unwrap()
}

fn first(loaded: &Loaded) -> Arc<Host> {
    Arc::clone(loaded.inventory.hosts().first().unwrap())
}

/// Cases of a corpus that come out wrong, how many there are, and how many of them are to be allowed.
fn wrong(loaded: &Loaded, corpus: &str) -> (Vec<String>, usize, usize) {
    let text = std::fs::read_to_string(repository().join(corpus)).unwrap();
    let cases: Vec<Case> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let host = first(loaded);
    let wrong = cases.iter().filter_map(|case| {
        let mismatch = judge_case(&loaded.policy, &host, case)?;
        Some(format!("{:?}: {mismatch:?}", case.command))
    });
    let allowed = cases.iter().filter(|case| case.expect == Expect::Allow).count();
    (wrong.collect(), cases.len(), allowed)
}

#[test]
fn the_read_only_example_gets_the_whole_sample_right() {
    let sample = "crates/policy/tests/data/read-only.jsonl";
    let (wrong, cases, allowed) = wrong(&example("read-only"), sample);
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!((cases, allowed), (153, 16));
}

/// Our own cases for the same policy; docs/policy-suite.md says what the classes are.
#[test]
fn the_read_only_example_gets_our_own_cases_right() {
    let more = "crates/policy/tests/data/read-only-more.jsonl";
    let (wrong, cases, allowed) = wrong(&example("read-only"), more);
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!((cases, allowed), (474, 76));
}

#[test]
fn the_read_only_example_gives_the_lint_nothing_to_say_of_its_rules() {
    let loaded = example("read-only");
    assert_eq!(loaded.warnings, []);
    let of_rules: Vec<String> = lint(&loaded.policy, &loaded.inventory)
        .into_iter()
        .filter(|finding| !finding.rule.is_empty() || finding.severity == Severity::Error)
        .map(|finding| finding.to_string())
        .collect();
    assert_eq!(of_rules, [] as [&str; 0]);
}
