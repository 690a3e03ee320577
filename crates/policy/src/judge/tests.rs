//! Judgements by example: what seed rules admit, and what they no longer do.

use std::sync::Arc;

use sshepherd_model::{Host, LoginShell, Request};

use super::Verdict;
use crate::DenialReason;
use crate::rule::{Action, Grants, Position, Rule};
use crate::typed::{OperandSpec, OptionSpec, Order, Program, ValueType};
use crate::{Answer, Dialect, Enforcement, Glob, LimitTable, NetworkPolicy, Policy, Spec, Terms};

fn globs(list: &[&str]) -> Vec<Glob> {
    list.iter().map(|text| Glob::new(text).unwrap()).collect()
}

fn rule(action: Action, commands: &[&str]) -> Rule {
    Rule {
        id: commands.join(","),
        why: None,
        position: Position { file: "policy.yml".to_owned(), line: 7 },
        action,
        aliases: Vec::new(),
        tags: Vec::new(),
        commands: globs(commands),
        spec: None,
        as_user: None,
        terms: Terms::default(),
        examples: Vec::new(),
        shell_unrestricted: false,
        grants: Grants::default(),
    }
}

fn allow(commands: &[&str]) -> Rule {
    rule(Action::Allow, commands)
}

fn deny(commands: &[&str]) -> Rule {
    rule(Action::Deny, commands)
}

fn policy(rules: Vec<Rule>) -> Policy {
    Policy::new(rules, LimitTable::default(), NetworkPolicy::default(), Dialect::default())
}

fn host() -> Arc<Host> {
    Arc::new(Host {
        alias: "web1".parse().unwrap(),
        address: "web1.example".to_owned(),
        port: 22,
        credentials: "ops".parse().unwrap(),
        tags: vec!["web".parse().unwrap()],
        description: "".into(),
        login_shell: LoginShell::Posix,
        jump: None,
        connection: sshepherd_model::ConnectionSettings::default(),
    })
}

fn wire(policy: &Policy, command: &str) -> Result<String, DenialReason> {
    judge(policy, &Request::new(command).unwrap())
}

fn judge(policy: &Policy, request: &Request) -> Result<String, DenialReason> {
    let explained = policy.explain(&host(), request);
    match policy.judge(&host(), request) {
        Verdict::Allow(permit) => {
            assert!(explained.allowed);
            assert_eq!(explained.wire.as_deref(), Some(permit.parts().wire.as_str()));
            Ok(permit.into_parts().shown)
        }
        Verdict::Ask(question) => {
            assert_eq!((explained.allowed, explained.answer), (false, Answer::Ask));
            assert_eq!(explained.asks.as_ref(), Some(question.terms()));
            Ok(format!("ask: {}", question.approved().into_parts().shown))
        }
        Verdict::Deny(denial) => {
            assert_eq!(explained.denial.as_ref(), Some(&denial));
            Err(denial.reason)
        }
    }
}

#[test]
fn seed_defect_7_a_glob_matches_one_command_not_the_line() {
    let policy = policy(vec![allow(&["uptime*"])]);
    assert_eq!(wire(&policy, "uptime -p").unwrap(), "uptime -p");
    assert_eq!(wire(&policy, "uptime; rm -rf ~"), Err(DenialReason::NotUnderstood));
    assert_eq!(wire(&policy, "uptime; rm -rf x"), Err(DenialReason::NoRule));
    assert_eq!(wire(&policy, "uptime && id"), Err(DenialReason::NoRule));
    assert_eq!(wire(&policy, "'uptime;id'"), Err(DenialReason::NotUnderstood));
}

#[test]
fn seed_defect_7_a_later_allow_does_not_undo_a_deny() {
    let policy = policy(vec![deny(&["systemctl stop *"]), allow(&["systemctl *"])]);
    assert_eq!(wire(&policy, "systemctl status nginx").unwrap(), "systemctl status nginx");
    assert_eq!(wire(&policy, "systemctl stop nginx"), Err(DenialReason::DenyRule));
    assert_eq!(wire(&policy, "/usr/bin/systemctl stop nginx"), Err(DenialReason::DenyRule));
    assert_eq!(wire(&policy, "uptime; systemctl 'stop' nginx"), Err(DenialReason::DenyRule));
}

#[test]
fn nothing_is_allowed_without_a_rule() {
    assert_eq!(wire(&Policy::default(), "uptime"), Err(DenialReason::NoRule));
}

#[test]
fn what_is_sent_is_the_quoted_form_of_what_was_judged() {
    let policy = policy(vec![allow(&["tail -n * /var/log/*", "df -h*"])]);
    assert_eq!(
        wire(&policy, "tail  -n 5\t\"/var/log/my app.log\" 2>/dev/null&&df -h").unwrap(),
        "tail -n 5 '/var/log/my app.log' 2>/dev/null && df -h"
    );
}

#[test]
fn denied_texts_are_found_through_quotes_and_blanks() {
    let policy = policy(vec![allow(&["*"])]);
    for command in [
        "rm -rf /x",
        "rm  -rf   /x",
        "rm '-rf' /x",
        "echo reboot",
        "'rm' -r\"f\" /",
        "rm -'r'f '/a b'",
    ] {
        assert_eq!(wire(&policy, command), Err(DenialReason::DeniedText), "{command}");
    }
}

#[test]
fn a_rule_after_a_pipe_needs_standard_input() {
    let mut reader = allow(&["jq .*"]);
    let without = policy(vec![allow(&["ps aux"]), reader.clone()]);
    assert_eq!(wire(&without, "ps aux | jq .a"), Err(DenialReason::PipedInput));
    reader.grants.stdin = true;
    let with = policy(vec![allow(&["ps aux"]), reader]);
    assert_eq!(wire(&with, "ps aux | jq .a").unwrap(), "ps aux | jq .a");
}

#[test]
fn surroundings_need_a_grant_and_are_quoted() {
    let mut rule = allow(&["make *"]);
    let mut request = Request::new("make all || true").unwrap();
    request.cwd = Some("/srv/my app".to_owned());
    request.env = vec![("BUILD".to_owned(), "it's ~".to_owned())];
    rule.commands = globs(&["make *", "true"]);
    assert_eq!(judge(&policy(vec![rule.clone()]), &request), Err(DenialReason::NotGranted));
    rule.grants = Grants { cwd: globs(&["/srv/*"]), env: globs(&["BUILD*"]), stdin: false };
    assert_eq!(
        judge(&policy(vec![rule.clone()]), &request).unwrap(),
        "export BUILD='it'\"'\"'s ~' && { cd -- '/srv/my app' && { make all || true\n}\n}"
    );
    for cwd in ["/srv/../etc", "srv", "/srv//x", "/srv/x/", "/etc"] {
        request.cwd = Some(cwd.to_owned());
        assert_eq!(
            judge(&policy(vec![rule.clone()]), &request),
            Err(DenialReason::NotGranted),
            "{cwd}"
        );
    }
    request.cwd = None;
    rule.grants.env = globs(&["*"]);
    for name in ["LD_PRELOAD", "PATH", "BASH_ENV", "SYSTEMD_PAGER", "A B", "1A", ""] {
        request.env = vec![(name.to_owned(), "x".to_owned())];
        assert_eq!(
            judge(&policy(vec![rule.clone()]), &request),
            Err(DenialReason::NotGranted),
            "{name}"
        );
    }
    rule.grants.env = globs(&["PATH"]);
    request.env = vec![("PATH".to_owned(), "/opt/bin".to_owned())];
    assert!(judge(&policy(vec![rule]), &request).is_ok());
}

#[test]
fn an_unrestricted_shell_sends_the_raw_line_and_says_so() {
    let mut open = allow(&["*"]);
    open.shell_unrestricted = true;
    let policy = policy(vec![allow(&["uptime"]), open, deny(&["halt*"])]);
    let raw = "for i in 1 2; do echo $i; done\nid > /tmp/x";
    let request = Request::new(raw).unwrap();
    let Verdict::Allow(permit) = policy.judge(&host(), &request) else { panic!("denied") };
    assert!(permit.parts().raw_shell);
    assert_eq!(permit.parts().wire, raw);
    // What ordinary rules allow goes the ordinary way.
    let Verdict::Allow(permit) = policy.judge(&host(), &Request::new("uptime").unwrap()) else {
        panic!("denied")
    };
    assert!(!permit.parts().raw_shell);
    for hidden in ["halt", "/sbin/halt -p; id", "echo $(halt -p)", "id\nhalt", "true&&halt -p"] {
        let denied = wire(&policy, hidden);
        assert_eq!(denied, Err(DenialReason::DenyRule), "{hidden}");
    }
}

#[test]
fn redirections_can_be_switched_off() {
    let strict = Policy::new(
        vec![allow(&["uptime"])],
        LimitTable::default(),
        NetworkPolicy::default(),
        Dialect { filters: true, harmless_redirections: false },
    );
    assert_eq!(wire(&strict, "uptime 2>&1"), Err(DenialReason::Redirection));
    assert_eq!(wire(&policy(vec![allow(&["uptime"])]), "uptime 2>&1").unwrap(), "uptime 2>&1");
}

#[test]
fn a_rule_speaks_only_of_its_hosts() {
    let mut other = allow(&["uptime"]);
    other.aliases = globs(&["db*"]);
    assert_eq!(wire(&policy(vec![other.clone()]), "uptime"), Err(DenialReason::NoRule));
    other.aliases = globs(&["web*"]);
    other.tags = globs(&["db"]);
    assert_eq!(wire(&policy(vec![other.clone()]), "uptime"), Err(DenialReason::NoRule));
    other.tags = globs(&["web"]);
    assert!(wire(&policy(vec![other]), "uptime").is_ok());
}

#[test]
fn filters_after_a_pipe_need_no_rule_but_obey_deny_rules() {
    let open = policy(vec![allow(&["ps aux", "uptime"])]);
    assert_eq!(wire(&open, "ps aux | grep 'nginx'").unwrap(), "ps aux | grep nginx");
    assert_eq!(
        wire(&open, "ps aux | sort -k 3 | head -5").unwrap(),
        "ps aux | sort -k 3 | head -5"
    );
    assert_eq!(wire(&open, "uptime | sort -o /etc/x"), Err(DenialReason::Filter));
    assert_eq!(wire(&open, "uptime | tee /etc/x"), Err(DenialReason::NoRule));
    for first in ["grep x", "ps aux; grep x", "ps aux && head -5"] {
        assert_eq!(wire(&open, first), Err(DenialReason::NoRule), "{first}");
    }
    let closed = policy(vec![allow(&["ps aux"]), deny(&["grep *"])]);
    assert_eq!(wire(&closed, "ps aux | grep x"), Err(DenialReason::DenyRule));
    assert_eq!(wire(&open, "ps aux | grep 'curl x'"), Err(DenialReason::DeniedText));
    let off = Policy::new(
        vec![allow(&["ps aux"])],
        LimitTable::default(),
        NetworkPolicy::default(),
        Dialect { filters: false, harmless_redirections: true },
    );
    assert_eq!(wire(&off, "ps aux | grep x"), Err(DenialReason::NoRule));
}

#[test]
fn quoted_text_is_no_command_for_deny_rules() {
    let policy = policy(vec![allow(&["ps aux"]), deny(&["rm *", "halt"])]);
    assert!(wire(&policy, "ps aux | grep -E 'x|rm y|halt'").is_ok());
    assert_eq!(wire(&policy, "ps aux | halt"), Err(DenialReason::DenyRule));
}

#[test]
fn an_explanation_names_what_decided_each_command() {
    let policy = policy(vec![allow(&["uptime", "halt"]), deny(&["halt"])]);
    let request = Request::new("uptime | wc -l; halt; id").unwrap();
    let explained = policy.explain(&host(), &request);
    let parts: Vec<(&str, bool, Option<&str>)> = explained
        .commands
        .iter()
        .map(|part| {
            (part.text.as_str(), part.allowed, part.rule.as_ref().map(|rule| rule.id.as_str()))
        })
        .collect();
    assert_eq!(
        parts,
        [
            ("uptime", true, Some("uptime,halt")),
            ("wc -l", true, None),
            ("halt", false, Some("halt")),
            ("id", false, None)
        ]
    );
    assert_eq!(explained.commands[1].by.as_deref(), Some("filter:wc"));
    let denial = explained.denial.unwrap();
    assert_eq!(denial.command.as_deref(), Some("halt"));
    assert_eq!(denial.rule.unwrap().line, 7);
}

#[test]
fn a_denial_suggests_the_pattern_that_would_admit_it() {
    let request = Request::new("ls '/srv/*.d'").unwrap();
    let Verdict::Deny(denial) = Policy::default().judge(&host(), &request) else {
        panic!("allowed")
    };
    assert!(denial.hint.contains(r#"commands: ["ls /srv/[*].d"]"#), "{}", denial.hint);
    assert!(wire(&policy(vec![allow(&["ls /srv/[*].d"])]), "ls '/srv/*.d'").is_ok());
}

#[test]
fn a_canonical_text_is_recognised_as_itself() {
    for text in ["echo \"it's\" '' =ls 'a b' \"'\"", "a 2>&1 | b -- '~' && c || d; e >/dev/null"] {
        let canonical = crate::recognise(text).unwrap().canonical();
        assert_eq!(crate::recognise(&canonical).unwrap().canonical(), canonical);
    }
}

fn typed(action: Action, program: &str, paths: &[&str], subcommand: &str) -> Rule {
    let paths = paths.iter().map(|path| (*path).to_owned()).collect();
    let lines = OptionSpec {
        names: vec!["-n".to_owned()],
        value: Some(ValueType::Integer { min: 1, max: 9 }),
        value_optional: false,
        required: false,
        repeatable: false,
    };
    let units = OperandSpec { value: ValueType::Unit, min: 1, max: 4 };
    let spec = Spec::new(
        Program::new(program, paths).unwrap(),
        vec![vec![subcommand.to_owned()]],
        vec![lines],
        vec![units],
        Order::Any,
    );
    Rule { spec: Some(spec.unwrap()), id: format!("{program}-{subcommand}"), ..rule(action, &[]) }
}

fn denial(policy: &Policy, command: &str) -> crate::Denial {
    policy.explain(&host(), &Request::new(command).unwrap()).denial.unwrap()
}

#[test]
fn a_typed_rule_judges_words_and_says_what_would_do() {
    let rules = vec![typed(Action::Allow, "systemctl", &[], "status"), allow(&["uptime"])];
    let policy = policy(rules);
    assert_eq!(
        wire(&policy, "systemctl 'status' nginx -n 5 && uptime").unwrap(),
        "systemctl status nginx -n 5 && uptime"
    );
    let over = denial(&policy, "systemctl status nginx -n 50 --full");
    assert_eq!(over.reason, DenialReason::Arguments);
    assert_eq!(over.message, "systemctl: -n takes a number from 1 to 9, not \"50\"");
    assert_eq!(over.nearest.as_deref(), Some("systemctl status nginx -n 9"));
    assert_eq!(over.rule.unwrap().id, "systemctl-status");
    assert!(over.hint.starts_with(
        "this would be allowed: systemctl status nginx -n 9; rule systemctl-status takes systemctl"
    ));
    let verb = denial(&policy, "systemctl stop nginx");
    assert_eq!(verb.message, "after systemctl only status may stand");
    assert_eq!(verb.nearest, None);
    assert_eq!(denial(&policy, "/usr/bin/systemctl status nginx").reason, DenialReason::NoRule);
}

#[test]
fn a_name_is_bound_to_its_path() {
    let paths = ["/usr/bin/systemctl", "/bin/systemctl"];
    let policy = policy(vec![typed(Action::Allow, "systemctl", &paths, "status")]);
    assert_eq!(wire(&policy, "systemctl status a").unwrap(), "/usr/bin/systemctl status a");
    assert_eq!(wire(&policy, "/bin/systemctl status a").unwrap(), "/bin/systemctl status a");
    assert_eq!(wire(&policy, "/tmp/systemctl status a"), Err(DenialReason::NoRule));
    let request = Request::new("systemctl status a").unwrap();
    let part = policy.explain(&host(), &request).commands.remove(0);
    assert_eq!(part.sent.unwrap(), ["/usr/bin/systemctl", "status", "a"]);
    let denied = Some(vec!["/usr/bin".to_owned()]);
    let base = crate::LimitPatch { deny_substrings: denied, ..crate::LimitPatch::default() };
    let limits = LimitTable { base, ..LimitTable::default() };
    let rules = policy.rules().to_vec();
    let strict = Policy::new(rules, limits, NetworkPolicy::default(), Dialect::default());
    let judged = wire(&strict, "systemctl status a");
    assert_eq!(judged, Err(DenialReason::DeniedText), "what is sent counts, too");
}

#[test]
fn another_account_needs_its_own_rule() {
    let restart = typed(Action::Allow, "systemctl", &[], "restart");
    let restart = Rule { as_user: Some("root".to_owned()), ..restart };
    let rules = vec![typed(Action::Allow, "systemctl", &[], "status"), restart];
    let policy = policy(rules.clone());
    let sent = "sudo -n -u root -- systemctl restart nginx";
    for command in [
        "systemctl restart nginx",
        "sudo systemctl restart nginx",
        "sudo -u root -n -- systemctl restart nginx",
        sent,
    ] {
        assert_eq!(wire(&policy, command).unwrap(), sent, "{command}");
    }
    for command in [
        "sudo systemctl status nginx",
        "sudo -u ops systemctl restart nginx",
        "sudo -i systemctl restart nginx",
        "sudo -E systemctl restart nginx",
        "sudo sudo systemctl restart nginx",
        "/usr/bin/sudo systemctl restart nginx",
        "sudo -- sudo -n -u root -- systemctl restart nginx",
        "sudo A=b systemctl restart nginx",
    ] {
        assert!(wire(&policy, command).is_err(), "{command}");
    }
    let without = wire(&policy, "systemctl status nginx").unwrap();
    assert_eq!(without, "systemctl status nginx", "without another account is preferred");
    for forbidden in [
        deny(&["sudo *"]),
        deny(&["systemctl restart *"]),
        typed(Action::Deny, "sudo", &[], "systemctl"),
    ] {
        let mut rules = rules.clone();
        rules.push(Rule { spec: forbidden.spec.clone(), ..forbidden });
        let policy = self::policy(rules);
        for command in ["systemctl restart nginx", "sudo systemctl restart nginx"] {
            assert_eq!(wire(&policy, command), Err(DenialReason::DenyRule), "{command}");
        }
    }
}

#[test]
fn a_deny_beats_an_ask_and_an_ask_beats_an_allow() {
    let ask = typed(Action::Ask, "systemctl", &[], "restart");
    let rules = vec![allow(&["systemctl *", "uptime"]), ask];
    let policy = policy(rules.clone());
    for (command, judged) in [
        ("systemctl restart a", "ask: systemctl restart a"),
        ("uptime && systemctl restart a", "ask: uptime && systemctl restart a"),
        // What the ask does not speak of.
        ("systemctl restart a -n 99", "systemctl restart a -n 99"),
    ] {
        assert_eq!(wire(&policy, command).unwrap(), judged);
    }
    let policy = self::policy([rules, vec![deny(&["systemctl restart a"])]].concat());
    assert_eq!(wire(&policy, "systemctl restart a"), Err(DenialReason::DenyRule));
    assert_eq!(wire(&policy, "systemctl restart b").unwrap(), "ask: systemctl restart b");
}

#[test]
fn a_full_shell_may_be_asked_for_and_a_typed_deny_reads_its_lines() {
    let open = Rule { shell_unrestricted: true, ..rule(Action::Ask, &["*"]) };
    let policy = policy(vec![open, typed(Action::Deny, "systemctl", &[], "stop")]);
    assert_eq!(wire(&policy, "echo $HOME"), Ok("ask: echo $HOME".to_owned()));
    for line in [
        "x=$(systemctl stop -n 1 a.b)",
        "echo `date`; /bin/systemctl stop b",
        "if true; then systemctl -q stop a; fi",
    ] {
        assert_eq!(wire(&policy, line), Err(DenialReason::DenyRule), "{line}");
    }
}

#[test]
fn a_policy_that_only_watches_lets_everything_through_and_says_what_it_would_have_said() {
    let rules = vec![allow(&["uptime"]), rule(Action::Ask, &["true"]), deny(&["id"])];
    let policy = policy(rules).with_enforcement(Enforcement::Audit);
    let judged = |command: &str| match policy.judge(&host(), &Request::new(command).unwrap()) {
        Verdict::Allow(permit) => permit.into_parts(),
        other @ (Verdict::Ask(_) | Verdict::Deny(_)) => panic!("{command}: {other:?}"),
    };
    assert_eq!(judged("uptime").unenforced, None);
    for (command, shown, reason, raw) in [
        ("'df' -h", "df -h", DenialReason::NoRule, false),
        ("reboot", "reboot", DenialReason::DeniedText, false),
        ("true", "true", DenialReason::Approval, false),
        ("id", "id", DenialReason::DenyRule, false),
        ("echo $HOME", "echo $HOME", DenialReason::NotUnderstood, true),
    ] {
        let parts = judged(command);
        assert_eq!((parts.shown.as_str(), parts.raw_shell), (shown, raw));
        assert_eq!(parts.unenforced.unwrap().reason, reason, "{command}");
        let explained = policy.explain(&host(), &Request::new(command).unwrap());
        assert_eq!((explained.allowed, explained.answer), (true, Answer::Allow));
        assert_eq!(explained.unenforced.unwrap().reason, reason);
    }
    let mut request = Request::new("uptime").unwrap();
    request.cwd = Some("relative".to_owned());
    let unsound = policy.judge(&host(), &request);
    assert!(matches!(unsound, Verdict::Deny(_)), "what has no sound form cannot be sent");
}
