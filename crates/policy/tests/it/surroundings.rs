//! Working folder and variables as real shells see them.

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use sshepherd_model::Request;
use sshepherd_policy::{Action, Dialect, Grants, LimitPatch, LimitTable, Policy};

use crate::shells::Shells;
use crate::site::{globs, policy, rule, wire};

fn granting() -> Policy {
    let mut allow = rule(Action::Allow, &["a*", "no*"]);
    allow.grants = Grants { cwd: globs(&["/*"]), env: globs(&["MARK"]), stdin: false };
    let base = LimitPatch { deny_substrings: Some(Vec::new()), ..LimitPatch::default() };
    policy(vec![allow], LimitTable { base, ..LimitTable::default() }, Dialect::default())
}

#[test]
fn folder_and_variable_arrive_unchanged_in_every_shell() {
    let shells = Shells::open();
    let policy = granting();
    let config = Config { cases: 20, failure_persistence: None, ..Config::default() };
    let folder = "[!-.0-~]([ -.0-~]{0,10}[!-.0-~])?"
        .prop_filter("no . and ..", |name| name != "." && name != "..");
    TestRunner::new(config)
        .run(&(folder, "[ -~]{0,20}"), |(folder, value)| {
            let path = shells.folder().canonicalize().unwrap().join(&folder);
            std::fs::create_dir_all(&path).unwrap();
            let mut request = Request::new("a x").unwrap();
            request.cwd = Some(path.to_str().unwrap().to_owned());
            request.env = vec![("MARK".to_owned(), value.clone())];
            let text = wire(&policy, &request).unwrap();
            for (shell, (ran, around)) in shells.run(&text) {
                prop_assert_eq!(
                    &ran,
                    &[vec!["a".to_owned(), "x".to_owned()]],
                    "{} of {:?}",
                    shell,
                    &text
                );
                prop_assert_eq!(&around, &format!("{}\n{value}", path.display()), "{}", shell);
            }
            Ok(())
        })
        .unwrap();
}

#[test]
fn nothing_runs_where_the_folder_is_missing() {
    let shells = Shells::open();
    let mut request = Request::new("no || a").unwrap();
    request.cwd = Some("/nowhere/at all".to_owned());
    let text = wire(&granting(), &request).unwrap();
    for (shell, (ran, _)) in shells.run(&text) {
        assert!(ran.is_empty(), "{shell} ran {ran:?}");
    }
}

#[test]
fn shapes_are_checked_before_any_rule() {
    let policy = granting();
    let with = |change: &dyn Fn(&mut Request)| {
        let mut request = Request::new("a").unwrap();
        change(&mut request);
        wire(&policy, &request)
    };
    for cwd in
        ["", "x", "~", "/x/../y", "/x/./y", "/x//y", "/x/", "//", "/x\n", "/x\u{e9}", "/x\u{7f}"]
    {
        assert!(with(&|request| request.cwd = Some(cwd.to_owned())).is_err(), "{cwd:?}");
    }
    assert!(with(&|request| request.cwd = Some("/".to_owned())).is_ok());
    for (name, value) in
        [("MARK", "x\ny"), ("MARK", "\u{e9}"), ("MARK=x", "y"), ("M-K", "y"), ("mark", "y")]
    {
        let env = vec![(name.to_owned(), value.to_owned())];
        assert!(with(&|request| request.env.clone_from(&env)).is_err(), "{name}={value:?}");
    }
    let long = vec![("MARK".to_owned(), "x".repeat(4097))];
    assert!(with(&|request| request.env.clone_from(&long)).is_err());
    assert!(with(&|request| request.stdin = Some("x".to_owned())).is_err());
}

#[test]
fn every_rule_of_a_chain_must_grant() {
    let mut granting_rule = rule(Action::Allow, &["a"]);
    granting_rule.grants.stdin = true;
    let policy = policy(
        vec![granting_rule, rule(Action::Allow, &["b"])],
        LimitTable::default(),
        Dialect::default(),
    );
    let mut request = Request::new("a; a | wc -l").unwrap();
    request.stdin = Some("data".to_owned());
    assert!(wire(&policy, &request).is_ok());
    let mut request = Request::new("a; b").unwrap();
    request.stdin = Some("data".to_owned());
    assert!(wire(&policy, &request).is_err());
}
