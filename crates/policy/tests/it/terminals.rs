//! Who may open an interactive shell where, with what in it.

use std::time::Duration;

use sshepherd_model::{Host, Request};
use sshepherd_policy::typed::{Order, Program};
use sshepherd_policy::{
    Action, Dialect, LimitPatch, LimitTable, Policy, Rule, ShellGrant, ShellRequest, ShellRule,
    Spec, Verdict,
};

use crate::site::{globs, host, policy, rule, wire};

fn shell(id: &str, action: Action) -> ShellRule {
    let rule = Rule { id: id.to_owned(), ..rule(action, &[]) };
    ShellRule { rule, grant: ShellGrant::default() }
}

fn programs(id: &str, action: Action, commands: &[&str]) -> ShellRule {
    let mut shell = shell(id, action);
    shell.rule.commands = globs(commands);
    shell
}

fn site(rules: Vec<Rule>, shells: Vec<ShellRule>) -> Policy {
    policy(rules, LimitTable::default(), Dialect::default()).with_shells(shells)
}

fn command(text: &str) -> ShellRequest {
    ShellRequest { command: Some(text.to_owned()), ..ShellRequest::default() }
}

/// What is opened, or asked for, or why not.
fn on(policy: &Policy, host: &std::sync::Arc<Host>, wanted: &ShellRequest) -> String {
    match policy.judge_shell(host, wanted).unwrap() {
        Verdict::Allow(permit) => {
            let (parts, opening) = permit.into_parts();
            assert!(parts.raw_shell && parts.stdin.is_none());
            format!("opens {}", opening.program.as_deref().unwrap_or("log-in shell"))
        }
        Verdict::Ask(question) => format!("asks for {}", question.parts().shown),
        Verdict::Deny(denial) => denial.message,
    }
}

fn opens(policy: &Policy, wanted: &ShellRequest) -> String {
    on(policy, &host("web1", &["web"]), wanted)
}

#[test]
fn deny_goes_before_ask_and_ask_before_allow() {
    let login = ShellRequest::default();
    let [allow, ask, deny] =
        [Action::Allow, Action::Ask, Action::Deny].map(|action| shell("r", action));
    let web = host("web1", &["web"]);
    for (shells, told, action) in [
        (vec![], "no rule opens interactive shells on web1", Action::Deny),
        (vec![allow.clone()], "opens log-in shell", Action::Allow),
        (
            vec![allow.clone(), ask.clone()],
            "asks for interactive shell: the log-in shell",
            Action::Ask,
        ),
        (vec![deny.clone(), ask.clone(), allow.clone()], "rule r ", Action::Deny),
        (vec![allow, ask, deny], "rule r ", Action::Deny),
    ] {
        let policy = site(Vec::new(), shells);
        let said = opens(&policy, &login);
        assert!(said.starts_with(told), "{told}: {said}");
        assert_eq!(policy.shells_on(&web), action);
    }
}

#[test]
fn a_rule_reaches_the_hosts_of_its_aliases_and_tags_alone() {
    let mut lab = shell("lab", Action::Allow);
    lab.rule.aliases = globs(&["web*"]);
    lab.rule.tags = globs(&["lab"]);
    let mut never = shell("never", Action::Deny);
    never.rule.tags = globs(&["prod"]);
    let policy = site(Vec::new(), vec![lab, never]);
    for (alias, tags, action) in [
        ("web1", vec!["lab"], Action::Allow),
        ("web1", vec!["web"], Action::Deny),
        ("db1", vec!["lab"], Action::Deny),
        ("web1", vec!["lab", "prod"], Action::Deny),
    ] {
        let host = host(alias, &tags);
        assert_eq!(policy.shells_on(&host), action, "{alias} {tags:?}");
        let opened = on(&policy, &host, &ShellRequest::default()) == "opens log-in shell";
        assert_eq!(opened, action == Action::Allow, "{alias} {tags:?}");
    }
}

#[test]
fn a_rule_with_programs_opens_no_log_in_shell() {
    let program = Program::new("htop", Vec::new()).unwrap();
    let mut typed = shell("typed", Action::Allow);
    typed.rule.spec =
        Some(Spec::new(program, Vec::new(), Vec::new(), Vec::new(), Order::Any).unwrap());
    let policy =
        site(Vec::new(), vec![programs("monitors", Action::Ask, &["top", "watch date"]), typed]);
    let web = host("web1", &["web"]);
    assert_eq!(policy.shells_on(&web), Action::Deny, "of the log-in shell");
    assert_eq!(policy.shell_programs(&web, 9), ["top", "watch date", "htop"]);
    assert_eq!(policy.shell_programs(&web, 1), ["top"]);
    assert_eq!(opens(&policy, &command("htop")), "opens 'htop'");
    assert_eq!(opens(&policy, &command("top")), "asks for interactive shell: top");
    for refused in ["htop -d 1", "sh", "top -b", "top; sh"] {
        let said = opens(&policy, &command(refused));
        assert!(said.contains("does not open this program"), "{refused}: {said}");
    }
    assert!(opens(&policy, &ShellRequest::default()).contains("no log-in shell"));
    for unread in ["top $(id)", "top > /tmp/x", "top &", ""] {
        let judged = policy.judge_shell(&web, &command(unread));
        assert!(!matches!(judged, Ok(Verdict::Allow(_) | Verdict::Ask(_))), "{unread}");
    }
    // Where another rule opens the log-in shell at once, the one that asks for programs does not stand before it.
    let both = site(
        Vec::new(),
        vec![programs("monitors", Action::Ask, &["top"]), shell("all", Action::Allow)],
    );
    assert_eq!(both.shells_on(&web), Action::Allow);
    assert_eq!(opens(&both, &ShellRequest::default()), "opens log-in shell");
    let closed = site(
        Vec::new(),
        vec![programs("monitors", Action::Allow, &["top"]), shell("no", Action::Deny)],
    );
    assert!(closed.shell_programs(&web, 9).is_empty());
    assert!(opens(&closed, &command("top")).starts_with("rule no "));
}

#[test]
fn what_a_deny_rule_forbids_is_no_shells_program_either() {
    let deny = rule(Action::Deny, &["rm *"]);
    let policy = site(vec![deny], vec![shell("all", Action::Allow)]);
    assert_eq!(opens(&policy, &command("cat /etc/hosts")), "opens 'cat' '/etc/hosts'");
    for denied in ["rm -r /srv", "/bin/rm x", "cat a; rm x", "sudo -n rm x"] {
        let said = opens(&policy, &command(denied));
        assert!(said.starts_with("rule rm * "), "{denied}: {said}");
    }
}

#[test]
fn a_program_as_another_account_goes_through_sudo() {
    let mut as_deploy = programs("deploy", Action::Allow, &["top"]);
    as_deploy.rule.as_user = Some("deploy".to_owned());
    let policy = site(Vec::new(), vec![as_deploy]);
    assert_eq!(opens(&policy, &command("top")), "opens 'sudo' '-n' '-u' 'deploy' '--' 'top'");
    assert!(opens(&policy, &command("sudo -n -u root top")).contains("does not open"));
}

#[test]
fn variables_are_granted_by_name_and_steering_ones_only_word_by_word() {
    let with = |granted: &[&str], name: &str| {
        let mut all = shell("all", Action::Allow);
        all.rule.grants.env = globs(granted);
        let env = vec![(name.to_owned(), "x".to_owned())];
        opens(&site(Vec::new(), vec![all]), &ShellRequest { env, ..ShellRequest::default() })
    };
    let opened = "opens log-in shell";
    assert_eq!(with(&["LANG", "LC_*"], "LC_ALL"), opened);
    assert!(with(&[], "LANG").contains("does not grant the variable LANG"));
    for steering in
        ["BASH_ENV", "ENV", "LD_PRELOAD", "PROMPT_COMMAND", "PATH", "GIT_PAGER", "ZDOTDIR"]
    {
        let said = with(&["*"], steering);
        assert!(said.contains("does not grant"), "{steering}: {said}");
        assert_eq!(with(&[steering], steering), opened);
    }
    for bad in ["A=B", "", "1A", "A B"] {
        assert!(with(&["*"], bad).contains("is no variable name"), "{bad}");
    }
    let ask = {
        let mut ask = shell("all", Action::Ask);
        ask.rule.grants.env = globs(&["LANG"]);
        site(Vec::new(), vec![ask])
    };
    let env = vec![("LANG".to_owned(), "C; rm".to_owned())];
    let said = opens(&ask, &ShellRequest { env, ..ShellRequest::default() });
    assert!(said.starts_with("asks for interactive shell, LANG='C; rm': "), "{said}");
}

#[test]
fn a_persistent_shell_wants_its_own_grant() {
    let wanted = ShellRequest { persistent: true, ..ShellRequest::default() };
    let plain = shell("plain", Action::Allow);
    let mut kept = shell("kept", Action::Ask);
    kept.grant.persistent = true;
    let said = opens(&site(Vec::new(), vec![plain.clone()]), &wanted);
    assert_eq!(said, "rule plain opens no persistent shells");
    let both = site(Vec::new(), vec![plain, kept]);
    let said = opens(&both, &wanted);
    assert!(said.starts_with("asks for interactive shell that outlives the connection"), "{said}");
}

#[test]
fn rules_about_shells_and_rules_about_commands_do_not_stand_for_each_other() {
    let open = site(Vec::new(), vec![shell("all", Action::Allow)]);
    for text in ["uptime", "sh", "login shell"] {
        assert!(wire(&open, &Request::new(text).unwrap()).is_err(), "{text}");
    }
    let mut full = rule(Action::Allow, &["*"]);
    full.shell_unrestricted = true;
    let full = site(vec![full], Vec::new());
    assert_eq!(
        wire(&full, &Request::new("uptime | sort").unwrap()).as_deref(),
        Ok("uptime | sort")
    );
    assert_eq!(full.shells_on(&host("web1", &[])), Action::Deny);
    for wanted in [ShellRequest::default(), command("uptime")] {
        assert!(opens(&full, &wanted).starts_with("no rule opens interactive shells"));
    }
}

#[test]
fn limits_of_shells_go_by_alias_then_the_strictest_tag_then_the_base() {
    let patch = |open: Option<u64>, idle: Option<u64>, input: Option<u64>| LimitPatch {
        max_shells: open,
        shell_idle_seconds: idle,
        shell_max_input_bytes: input,
        ..LimitPatch::default()
    };
    let table = LimitTable {
        base: patch(Some(5), Some(50), None),
        tags: [
            ("web".parse().unwrap(), patch(Some(3), None, Some(900))),
            ("slow".parse().unwrap(), patch(Some(9), Some(90), Some(100))),
        ]
        .into(),
        aliases: [("web1".parse().unwrap(), patch(Some(0), None, None))].into(),
    };
    let policy = policy(Vec::new(), table, Dialect::default());
    let of = |alias: &str, tags: &[&str]| {
        let shells = policy.limits(&host(alias, tags)).shells;
        (shells.open, shells.idle, shells.input_bytes)
    };
    let seconds = Duration::from_secs;
    assert_eq!(of("db1", &[]), (5, seconds(50), 16 << 20));
    assert_eq!(of("db1", &["web", "slow"]), (3, seconds(90), 100));
    assert_eq!(of("web1", &["slow", "web"]), (0, seconds(90), 100));
    assert_eq!(of("web1", &[]), (0, seconds(50), 16 << 20));
}
