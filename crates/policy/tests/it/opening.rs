//! Which rules open an interactive shell, for what, and on which terms.

use sshepherd_model::Host;
use sshepherd_policy::shell::{ShellGrant, ShellPermit, ShellRequest, ShellRule, TypedSecret};
use sshepherd_policy::{Action, DenialReason, Dialect, LimitTable, Policy, Rule, Terms, Verdict};

use crate::site::{globs, host, policy, rule};

fn shell(action: Action, commands: &[&str]) -> ShellRule {
    ShellRule { rule: rule(action, commands), grant: ShellGrant::default() }
}

fn opening(rules: Vec<Rule>, shells: Vec<ShellRule>) -> Policy {
    policy(rules, LimitTable::default(), Dialect::default()).with_shells(shells)
}

fn wanted(command: Option<&str>) -> ShellRequest {
    ShellRequest { command: command.map(str::to_owned), ..ShellRequest::default() }
}

fn judge(policy: &Policy, host: &std::sync::Arc<Host>, wanted: &ShellRequest) -> Judged {
    match policy.judge_shell(host, wanted).unwrap() {
        Verdict::Allow(permit) => Ok((Action::Allow, permit)),
        Verdict::Ask(question) => Ok((Action::Ask, question.approved())),
        Verdict::Deny(denial) => Err(denial.reason),
    }
}

type Judged = Result<(Action, ShellPermit), DenialReason>;

fn judged(
    policy: &Policy,
    wanted: &ShellRequest,
) -> Result<(Action, Option<String>), DenialReason> {
    let (action, permit) = judge(policy, &host("web1", &["web"]), wanted)?;
    Ok((action, permit.into_parts().1.program))
}

#[test]
fn a_shell_is_closed_until_a_rule_of_its_host_opens_it_and_a_deny_closes_it() {
    let elsewhere = |mut shell: ShellRule| {
        shell.rule.aliases = globs(&["db*"]);
        shell
    };
    let (allow, ask, deny) =
        (shell(Action::Allow, &[]), shell(Action::Ask, &[]), shell(Action::Deny, &[]));
    for (shells, said) in [
        (vec![], None),
        (vec![elsewhere(allow.clone())], None),
        (vec![allow.clone()], Some(Action::Allow)),
        (vec![ask.clone()], Some(Action::Ask)),
        (vec![allow.clone(), ask.clone()], Some(Action::Ask)),
        (vec![elsewhere(ask.clone()), allow.clone()], Some(Action::Allow)),
        (vec![allow.clone(), elsewhere(deny.clone())], Some(Action::Allow)),
        (vec![deny.clone()], None),
        (vec![allow, ask, deny.clone()], None),
    ] {
        let reason = match shells.contains(&deny) {
            true => DenialReason::DenyRule,
            false => DenialReason::NoRule,
        };
        let policy = opening(Vec::new(), shells);
        let expected = said.map(|action| (action, None)).ok_or(reason);
        assert_eq!(judged(&policy, &wanted(None)), expected, "{:?}", policy.shells());
        assert_eq!(policy.shells_on(&host("web1", &["web"])), said.unwrap_or(Action::Deny));
    }
}

#[test]
fn a_program_in_place_of_the_log_in_shell_is_judged_like_a_command() {
    let any = opening(vec![rule(Action::Deny, &["halt*"])], vec![shell(Action::Allow, &[])]);
    let only = opening(Vec::new(), vec![shell(Action::Allow, &["top", "htop -d *"])]);
    let allowed = |text: &str| Ok((Action::Allow, Some(text.to_owned())));
    for (policy, command, expected) in [
        (&any, "'top' -b", allowed("'top' '-b'")),
        (&any, "/sbin/halt", Err(DenialReason::DenyRule)),
        (&any, "top; halt -p", Err(DenialReason::DenyRule)),
        (&any, "echo reboot", Err(DenialReason::DeniedText)),
        (&any, "top $x", Err(DenialReason::NotUnderstood)),
        (&only, "htop -d '1 2'", allowed("'htop' '-d' '1 2'")),
        (&only, "top && top", allowed("'top' && 'top'")),
        (&only, "top && id", Err(DenialReason::NotGranted)),
        (&only, "bash", Err(DenialReason::NotGranted)),
    ] {
        assert_eq!(judged(policy, &wanted(Some(command))), expected, "{command}");
    }
    let verdict = only.judge_shell(&host("web1", &[]), &wanted(None)).unwrap();
    let Verdict::Deny(denial) = verdict else { panic!("{verdict:?}") };
    assert_eq!(denial.reason, DenialReason::NotGranted);
    assert_eq!(denial.rule.unwrap().id, "top", "the denial names the rule");
    assert_eq!(denial.hint, "give command one of: top, htop -d *");
    let both =
        opening(Vec::new(), vec![shell(Action::Allow, &["top"]), shell(Action::Allow, &["id"])]);
    assert_eq!(judged(&both, &wanted(Some("id"))), allowed("'id'"));
    assert!(both.judge_shell(&host("web1", &[]), &wanted(Some(" "))).is_err());
}

#[test]
fn what_outlives_the_connection_and_variables_must_be_granted() {
    let mut open = shell(Action::Ask, &[]);
    open.rule.terms = Terms { out_of_band: true, ..Terms::default() };
    let mut ask =
        ShellRequest { env: vec![("LANG".to_owned(), "C".to_owned())], ..ShellRequest::default() };
    let policy = |shell: &ShellRule| opening(Vec::new(), vec![shell.clone()]);
    assert_eq!(judged(&policy(&open), &ask), Err(DenialReason::NotGranted));
    open.rule.grants.env = globs(&["LANG"]);
    assert_eq!(judged(&policy(&open), &ask), Ok((Action::Ask, None)));
    ask.persistent = true;
    assert_eq!(judged(&policy(&open), &ask), Err(DenialReason::NotGranted));
    open.grant.persistent = true;
    let host = host("web1", &["web"]);
    let verdict = policy(&open).judge_shell(&host, &ask).unwrap();
    let Verdict::Ask(question) = verdict else { panic!("{verdict:?}") };
    assert_eq!(question.terms(), &open.rule.terms);
    let shown = "interactive shell that outlives the connection, LANG='C': the log-in shell; \
                 what is typed in it is not judged";
    assert_eq!(question.parts().shown, shown);
    let (parts, opened) = question.approved().into_parts();
    assert_eq!((parts.shown.as_str(), parts.raw_shell, parts.host), (shown, true, host));
    assert_eq!(
        (opened.env, opened.persistent, opened.grant),
        (ask.env.clone(), true, open.grant.clone())
    );
    ask.env = vec![("LANG".to_owned(), "\u{e9}".to_owned())];
    assert_eq!(judged(&policy(&open), &ask), Err(DenialReason::NotGranted), "no sound form");
    let plain = opening(Vec::new(), vec![shell(Action::Allow, &[])]);
    let (_, permit) = judge(&plain, &self::host("web1", &[]), &wanted(Some("top"))).unwrap();
    assert_eq!(permit.into_parts().0.shown, "interactive shell: top");
}

#[test]
fn typed_secrets_differ_by_name_prompt_and_program() {
    let secret = |name: &str, prompt: &str, program: Option<&str>| TypedSecret {
        name: name.to_owned(),
        prompt: regex::Regex::new(prompt).unwrap(),
        program: program.map(str::to_owned),
    };
    let sudo = secret("a", "p", Some("sudo"));
    assert_eq!(sudo, sudo.clone());
    for other in
        [secret("b", "p", Some("sudo")), secret("a", "q", Some("sudo")), secret("a", "p", None)]
    {
        assert_ne!(sudo, other);
    }
}
