//! What the lint says about rules that admit more than they seem to, and what it leaves alone.

use sshepherd_model::{Inventory, Severity};
use sshepherd_policy::typed::{OperandSpec, Order, Pattern, Program, ValueType};
use sshepherd_policy::{
    Action, Dialect, LimitTable, NetworkPolicy, Policy, Rule, ShellGrant, ShellRule, Spec, lint,
};

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
    for narrow in ["uptime", "git status", "find /srv -type f", "journalctl -n [0-9]"] {
        assert_eq!(findings(vec![rule(Action::Allow, &[narrow])]), [], "{narrow}");
        assert_eq!(findings(vec![rule(Action::Deny, &["*"]), rule(Action::Allow, &[])]).len(), 1);
    }
}

#[test]
fn a_star_that_takes_options_is_better_a_typed_rule() {
    for open in
        ["df -h*", "systemctl status *", "tail -n * /var/log/*", "docker ps *", "kubectl get *"]
    {
        let found = findings(vec![rule(Action::Allow, &[open])]);
        assert_eq!(found.len(), 1, "{open}: {found:?}");
        assert!(found[0].1.contains("a typed rule"), "{open}: {found:?}");
    }
}

fn typed(program: &str, value: ValueType) -> Rule {
    let program = Program::new(program, Vec::new()).unwrap();
    let operands = vec![OperandSpec { value, min: 1, max: 1 }];
    let spec = Spec::new(program, Vec::new(), Vec::new(), operands, Order::Any).unwrap();
    Rule { id: "typed".to_owned(), spec: Some(spec), ..rule(Action::Allow, &[]) }
}

#[test]
fn a_typed_rule_that_takes_any_word_is_pointed_at() {
    let any = || ValueType::Matching(Pattern::new(".*").unwrap());
    for shell in ["find", "/usr/bin/git", "awk", "bash"] {
        let found = findings(vec![typed(shell, any())]);
        assert_eq!(found.len(), 1, "{shell}: {found:?}");
        assert!(found[0].1.contains("takes any word"), "{found:?}");
    }
    assert_eq!(findings(vec![typed("echo", any())]), []);
    assert_eq!(findings(vec![typed("git", ValueType::Unit)]), []);
}

#[test]
fn a_pattern_that_denies_beside_a_typed_rule_is_pointed_at() {
    let status = |operands: usize| {
        let program = Program::new("systemctl", Vec::new()).unwrap();
        let operand = OperandSpec { value: ValueType::Unit, min: 1, max: operands };
        let verbs = vec![vec!["status".to_owned()]];
        let spec = Spec::new(program, verbs, Vec::new(), vec![operand], Order::Any).unwrap();
        Rule { id: "typed".to_owned(), spec: Some(spec), ..rule(Action::Allow, &[]) }
    };
    let said = |deny: &str, allow: Rule| -> Vec<String> {
        findings(vec![allow, rule(Action::Deny, &[deny])])
            .into_iter()
            .map(|(severity, message)| {
                assert_eq!(severity, Severity::Warning);
                message
            })
            .collect()
    };
    for deny in [
        "systemctl status vault*",
        "/bin/systemctl status vault",
        "systemctl st* vault",
        "systemctl -l vault",
    ] {
        let found = said(deny, status(16));
        assert_eq!(found.len(), 1, "{deny}: {found:?}");
        assert!(
            found[0].contains("rule typed allows systemctl") && found[0].contains("typed rule")
        );
    }
    for deny in ["systemctl stop *", "systemd-analyze status x", "systemctl"] {
        assert_eq!(said(deny, status(16)), [] as [&str; 0], "{deny}");
    }
    assert_eq!(said("systemctl status vault", status(1)), [] as [&str; 0], "nothing but the unit");
    let elsewhere = Rule { tags: globs(&["db"]), ..status(16) };
    let found = said("systemctl status vault*", elsewhere);
    assert!(found.iter().all(|message| message.contains("no host")), "{found:?}");
}

#[test]
fn variables_that_steer_are_pointed_at() {
    let granting = |names: &[&str]| {
        let mut open = rule(Action::Allow, &["make all"]);
        open.grants.env = globs(names);
        findings(vec![open]).into_iter().map(|(_, message)| message).collect::<Vec<_>>()
    };
    assert_eq!(granting(&["LANG", "BUILD_*"]), [] as [&str; 0]);
    let found = granting(&["RUSTC_WRAPPER", "*FLAGS"]);
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(found[0].starts_with("env: RUSTC_WRAPPER makes programs run"), "{found:?}");
    assert!(found[1].starts_with("env: \"*FLAGS\" reaches no variable"), "{found:?}");
    let mut shell = Rule { aliases: globs(&["web1"]), ..rule(Action::Allow, &[]) };
    shell.grants.env = globs(&["PATH"]);
    assert!(of_shells(vec![shell])[0].1.starts_with("env: PATH makes programs run"));
}

#[test]
fn a_rule_whose_examples_go_elsewhere_is_pointed_at() {
    let example = |rule: Rule, examples: &[&str]| Rule {
        examples: examples.iter().map(|text| (*text).to_owned()).collect(),
        ..rule
    };
    let mine = example(typed("id", ValueType::Unit), &["id a", "id b"]);
    assert_eq!(findings(vec![mine.clone()]), []);
    let found = findings(vec![mine.clone(), rule(Action::Deny, &["id b"])]);
    assert_eq!(found[0].0, Severity::Warning);
    assert!(
        found[0].1.starts_with("its example \"id b\" does not come to it: rule id b denies it"),
        "{found:?}"
    );
    let found = findings(vec![mine.clone(), rule(Action::Deny, &["id ?"])]);
    assert_eq!(found[0].0, Severity::Error, "{found:?}");
    let found = findings(vec![rule(Action::Allow, &["id a", "id b"]), mine.clone()]);
    assert_eq!(
        found,
        [(
            Severity::Warning,
            "none of its examples comes to it: \"id a\": rule id a decides it".to_owned()
        )]
    );
    let found = findings(vec![example(typed("reboot", ValueType::Unit), &["reboot x"])]);
    assert!(found[0].1.contains("deny_substrings"), "{found:?}");
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

/// The findings about rules of shells.
fn of_shells(rules: Vec<Rule>) -> Vec<(Severity, String)> {
    let shell = |rule: Rule| ShellRule { rule, grant: ShellGrant::default() };
    let policy = policy(Vec::new(), LimitTable::default(), Dialect::default())
        .with_shells(rules.into_iter().map(shell).collect());
    let found = lint(&policy, &inventory());
    found.into_iter().map(|found| (found.severity, found.message)).collect()
}

#[test]
fn shells_on_every_host_are_pointed_at_and_shells_on_some_are_not() {
    let open = rule(Action::Allow, &[]);
    let on = |aliases: &[&str], tags: &[&str]| {
        vec![Rule { aliases: globs(aliases), tags: globs(tags), ..open.clone() }]
    };
    for rules in [vec![open.clone()], on(&["*"], &[])] {
        let found = of_shells(rules);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].1.starts_with("it opens shells on every host"), "{found:?}");
        assert_eq!(found[0].0, Severity::Warning);
    }
    assert_eq!(of_shells(on(&["web1"], &[])), []);
    assert_eq!(of_shells(on(&[], &["web"])), []);
    assert_eq!(of_shells(vec![rule(Action::Ask, &[])]), []);
    assert_eq!(of_shells(vec![rule(Action::Deny, &[])]), []);
    let found = of_shells(on(&["gone"], &[]));
    assert!(found.len() == 1 && found[0].1.contains("no host"), "{found:?}");
    let mut closed = on(&["web1"], &[]);
    closed.push(rule(Action::Deny, &[]));
    assert_eq!(
        of_shells(closed),
        [(Severity::Error, "rule none closes every shell it opens".to_owned())]
    );
}

#[test]
fn a_shell_in_disguise_is_pointed_at_among_the_programs_of_shells() {
    for open in ["*", "vi", "/usr/bin/less /var/log/syslog", "sh", "to*", "mysql"] {
        let found = of_shells(vec![rule(Action::Ask, &[open])]);
        assert_eq!(found.len(), 1, "{open}: {found:?}");
    }
    let found = of_shells(vec![typed("vim", ValueType::Unit)]);
    assert!(found.len() == 1 && found[0].1.contains("as good as a log-in shell"), "{found:?}");
    assert_eq!(of_shells(vec![rule(Action::Allow, &["top", "htop"])]), []);
    assert_eq!(of_shells(vec![typed("htop", ValueType::Unit)]), []);
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
