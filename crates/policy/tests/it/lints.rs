//! What the lint says about rules that admit more than they seem to, and what it leaves alone.

use sshepherd_model::{Inventory, Severity};
use sshepherd_policy::{Action, Dialect, LimitTable, NetworkPolicy, Policy, Rule, lint};

use crate::site::{globs, host, policy, rule};

fn inventory() -> Inventory {
    Inventory::new(vec![(*host("web1", &["web"])).clone()], Vec::new())
}

fn findings(rules: Vec<Rule>) -> Vec<(Severity, String)> {
    let policy = policy(rules, LimitTable::default(), Dialect::default());
    lint(&policy, &inventory()).into_iter().map(|found| (found.severity, found.message)).collect()
}

#[test]
fn broad_patterns_are_pointed_at_and_narrow_ones_are_not() {
    for broad in [
        "*",
        "uptime*",
        "[ab]c x",
        "find *",
        "/usr/bin/find / *",
        "tar *",
        "awk *",
        "env *",
        "xargs *",
        "sed *",
        "vi *",
        "less *",
        "git *",
        "git log *",
        "docker *",
        "docker run *",
        "docker exec web *",
        "rsync *",
        "ssh *",
        "systemctl *",
        "systemctl edit *",
        "sh *",
        "python3 *",
        "kubectl exec *",
        "sudo *",
        "tee *",
    ] {
        let found = findings(vec![rule(Action::Allow, &[broad])]);
        assert_eq!(found.len(), 1, "{broad}: {found:?}");
        assert_eq!(found[0].0, Severity::Warning);
    }
    for narrow in [
        "uptime",
        "df -h*",
        "systemctl status *",
        "journalctl -n * ",
        "tail -n * /var/log/*",
        "docker ps *",
        "git status",
        "find /srv -type f",
        "kubectl get *",
    ] {
        assert_eq!(findings(vec![rule(Action::Allow, &[narrow])]), [], "{narrow}");
        assert_eq!(findings(vec![rule(Action::Deny, &["*"]), rule(Action::Allow, &[])]).len(), 1);
    }
}

#[test]
fn rules_without_effect_are_errors() {
    let found = findings(vec![rule(Action::Allow, &[])]);
    assert_eq!(found[0].0, Severity::Error);
    let found = findings(vec![rule(Action::Allow, &["id"]), rule(Action::Deny, &["i?"])]);
    assert_eq!(found, [(Severity::Error, "rule i? denies everything it allows".to_owned())]);
    let mut elsewhere = rule(Action::Allow, &["id"]);
    elsewhere.tags = globs(&["db*"]);
    let found = findings(vec![elsewhere]);
    assert_eq!(found[0].0, Severity::Warning);
    assert!(found[0].1.contains("no host"), "{found:?}");
}

#[test]
fn full_shells_fed_interpreters_and_open_networks_are_named() {
    let mut open = rule(Action::Allow, &["*"]);
    open.shell_unrestricted = true;
    let found = findings(vec![open]);
    assert!(found[0].1.contains("full shell"), "{found:?}");
    let mut fed = rule(Action::Allow, &["bash"]);
    assert_eq!(findings(vec![fed.clone()]), []);
    fed.grants.stdin = true;
    assert!(findings(vec![fed])[0].1.contains("runs whatever a caller sends"), "no finding");
    let everywhere =
        vec!["10.0.0.0/8".parse().unwrap(), "0.0.0.0/0".parse().unwrap(), "::/0".parse().unwrap()];
    let network = NetworkPolicy::new(Some(everywhere), Vec::new());
    let policy = Policy::new(Vec::new(), LimitTable::default(), network, Dialect::default());
    let found = lint(&policy, &inventory());
    assert_eq!(found.len(), 2);
    assert!(found[0].to_string().starts_with("warning: network: 0.0.0.0/0"), "{}", found[0]);
}

#[test]
fn a_finding_names_its_place() {
    let policy =
        policy(vec![rule(Action::Allow, &["find *"])], LimitTable::default(), Dialect::default());
    let found = lint(&policy, &inventory());
    assert!(found[0].to_string().starts_with("policy.yml:3: warning: find *: "), "{}", found[0]);
    let json = serde_json::to_value(&found[0]).unwrap();
    assert_eq!(json["severity"], "warning");
}
