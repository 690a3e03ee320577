//! Cases at the edges of the judgement: both sides of every bound, ties between rules, and forms that only one check tells
//! apart.

use std::time::Duration;

use sshepherd_model::Request;
use sshepherd_model::request::MAX_STDIN_BYTES;
use sshepherd_policy::script::Joiner;
use sshepherd_policy::typed::{OperandSpec, Order, Program, ValueType};
use sshepherd_policy::{
    Action, Denial, DenialReason, Dialect, Glob, Lasts, LimitPatch, LimitTable, Policy, Rule, Spec,
    Terms, Verdict, recognise,
};

use crate::site::{globs, host, policy, rule, shown, wire};

fn of(rules: Vec<Rule>) -> Policy {
    policy(rules, LimitTable::default(), Dialect::default())
}

fn sent(policy: &Policy, command: &str) -> Result<String, String> {
    shown(policy, &Request::new(command).unwrap())
}

fn denied(policy: &Policy, command: &str) -> Denial {
    match policy.judge(&host("web1", &["web"]), &Request::new(command).unwrap()) {
        Verdict::Deny(denial) => denial,
        other @ (Verdict::Allow(_) | Verdict::Ask(_)) => panic!("{command}: {other:?}"),
    }
}

/// A typed rule for `program SUBCOMMAND NUMBER`.
fn typed(id: &str, program: &str, subcommand: &str) -> Rule {
    let number = ValueType::Integer { min: 1, max: 9 };
    let spec = Spec::new(
        Program::new(program, Vec::new()).unwrap(),
        vec![vec![subcommand.to_owned()]],
        Vec::new(),
        vec![OperandSpec { value: number, min: 1, max: 1 }],
        Order::Any,
    );
    Rule { id: id.to_owned(), spec: Some(spec.unwrap()), ..rule(Action::Allow, &[]) }
}

#[test]
fn of_two_rules_the_one_without_another_account_decides() {
    let elevated = Rule { as_user: Some("root".to_owned()), ..rule(Action::Allow, &["id"]) };
    let plain = rule(Action::Allow, &["id"]);
    for rules in [vec![elevated.clone(), plain.clone()], vec![plain, elevated]] {
        assert_eq!(sent(&of(rules), "id").unwrap(), "id");
    }
}

#[test]
fn a_denial_names_the_rule_that_came_nearest_and_the_first_of_equals() {
    // Of the program alone a rule says less than one that also knows the subcommand.
    let far = typed("far", "x", "other");
    let near = typed("near", "x", "get");
    let late = typed("late", "x", "get");
    let elsewhere = typed("elsewhere", "y", "get");
    for (rules, nearest) in [
        (vec![&far, &near], "near"),
        (vec![&near, &far], "near"),
        (vec![&near, &late], "near"),
        (vec![&late, &near], "late"),
        (vec![&elsewhere, &far], "far"),
    ] {
        let denial = denied(&of(rules.into_iter().cloned().collect()), "x get 10");
        assert_eq!(denial.reason, DenialReason::Arguments);
        assert_eq!(denial.rule.unwrap().id, nearest);
    }
    assert_eq!(denied(&of(vec![elsewhere]), "x get 1").reason, DenialReason::NoRule);
}

#[test]
fn a_denial_without_a_rule_lists_what_the_program_may_do() {
    let rules = ["ls -l", "/bin/ls /srv", "df -h", "lsof"].map(|text| rule(Action::Allow, &[text]));
    let policy = of(rules.to_vec());
    for program in ["ls", "/usr/bin/ls"] {
        let hint = denied(&policy, &format!("{program} /etc")).hint;
        let listed = "allowed for PROGRAM on this host: ls -l | /bin/ls /srv; if you need exactly";
        assert!(hint.starts_with(&listed.replace("PROGRAM", program)), "{hint}");
    }
    assert!(denied(&policy, "uptime").hint.starts_with("no rule speaks of uptime on this host"));
    for (length, shown) in [(200, true), (201, false)] {
        let hint = denied(&policy, &"y".repeat(length)).hint;
        assert_eq!(hint.contains("commands: ["), shown, "{hint}");
        assert_eq!(hint.ends_with("ask the owner for a rule if you need it"), !shown, "{hint}");
    }
    let piped = denied(&of(vec![rule(Action::Allow, &["a", "b"])]), "a | b");
    assert_eq!((piped.reason, piped.rule.unwrap().id.as_str()), (DenialReason::PipedInput, "a"));
}

#[test]
fn asks_of_several_commands_are_one_question_on_the_strictest_terms() {
    let ask = |command: &str, terms: Terms| Rule { terms, ..rule(Action::Ask, &[command]) };
    let minute = Duration::from_secs(60);
    let one = Terms { lasts: Lasts::Task, out_of_band: true, ..Terms::default() };
    let other = Terms { lasts: Lasts::Minutes(5), expires: minute, ..Terms::default() };
    let both = Terms { expires: minute, ..one.clone() };
    let policy = of(vec![ask("a", one.clone()), ask("b", other.clone()), ask("c", other.clone())]);
    for (command, terms) in [("a", &one), ("b; c", &other), ("a && b", &both), ("b || a", &both)] {
        match policy.judge(&host("web1", &[]), &Request::new(command).unwrap()) {
            Verdict::Ask(question) => assert_eq!(question.terms(), terms, "{command}"),
            verdict @ (Verdict::Allow(_) | Verdict::Deny(_)) => panic!("{command}: {verdict:?}"),
        }
    }
}

#[test]
fn a_deny_reads_words_quotes_and_folders() {
    for (pattern, command) in [
        ("/bin/rm a b", "/bin/rm 'a b'"),
        ("rm 'a b'", "rm 'a b'"),
        ("rm a b", "/bin/rm 'a b'"),
        ("rm a b", "sudo /bin/rm 'a b'"),
    ] {
        let policy = of(vec![rule(Action::Allow, &["*"]), rule(Action::Deny, &[pattern])]);
        assert_eq!(denied(&policy, command).reason, DenialReason::DenyRule, "{pattern}: {command}");
    }
    // The same in a line that only a full shell takes.
    let open = Rule { shell_unrestricted: true, ..rule(Action::Allow, &["*"]) };
    let policy = of(vec![open, rule(Action::Deny, &["halt*"])]);
    for line in ["x=1; /sbin/halt -p", "(/usr/sbin/halt)", "x=1\n  halt   -p"] {
        assert_eq!(denied(&policy, line).reason, DenialReason::DenyRule, "{line}");
    }
    assert_eq!(sent(&policy, "x=1; echo halt").unwrap(), "x=1; echo halt");
}

#[test]
fn surroundings_are_bounded_to_the_byte() {
    let mut open = rule(Action::Allow, &["a"]);
    open.grants.cwd = globs(&["/*"]);
    open.grants.env = globs(&["V*"]);
    open.grants.stdin = true;
    let policy = of(vec![open]);
    let with = |change: &dyn Fn(&mut Request, usize), length: usize| {
        let mut request = Request::new("a").unwrap();
        change(&mut request, length);
        wire(&policy, &request).is_ok()
    };
    let one = |name: String, value: String| vec![(name, value)];
    type Change<'a> = &'a dyn Fn(&mut Request, usize);
    let cases: [(&str, usize, Change<'_>); 5] = [
        ("cwd", 4096, &|request, length| {
            request.cwd = Some(format!("/{}", "x".repeat(length - 1)));
        }),
        ("variables", 32, &|request, length| {
            request.env = (0..length).map(|n| (format!("V{n}"), "x".to_owned())).collect();
        }),
        ("name", 64, &|request, length| {
            request.env = one(format!("V{}", "x".repeat(length - 1)), "x".to_owned());
        }),
        ("value", 4096, &|request, length| {
            request.env = one("V".to_owned(), "x".repeat(length));
        }),
        ("stdin", MAX_STDIN_BYTES, &|request, length| {
            request.stdin = Some("x".repeat(length));
        }),
    ];
    for (what, most, change) in cases {
        assert!(with(change, most), "{what} of {most}");
        assert!(!with(change, most + 1), "{what} of {}", most + 1);
    }
}

#[test]
fn a_variable_that_steers_is_told_apart_from_one_that_is_not_granted() {
    let mut open = rule(Action::Allow, &["a"]);
    open.grants.env = globs(&["BUILD_*", "PATH", "G*"]);
    let policy = of(vec![open]);
    let hint = |name: &str| {
        let mut request = Request::new("a").unwrap();
        request.env = vec![(name.to_owned(), "x".to_owned())];
        match policy.judge(&host("web1", &[]), &request) {
            Verdict::Deny(denial) => denial.hint,
            other @ (Verdict::Allow(_) | Verdict::Ask(_)) => panic!("{other:?}"),
        }
    };
    for name in ["BUILD_OPTS", "GIT_SSH"] {
        assert!(hint(name).ends_with(&format!("the owner must name it in full: `env: [{name}]`")));
    }
    for name in ["X", "LD_PRELOAD", "PATHS"] {
        assert_eq!(hint(name), "the rule grants env: BUILD_*, PATH, G*", "{name}");
    }
}

#[test]
fn what_a_rule_grants_is_named() {
    let mut request = Request::new("a").unwrap();
    request.cwd = Some("/etc".to_owned());
    let mut some = rule(Action::Allow, &["a"]);
    let hint = |rule: &Rule| match of(vec![rule.clone()]).judge(&host("web1", &[]), &request) {
        Verdict::Deny(denial) => denial.hint,
        other @ (Verdict::Allow(_) | Verdict::Ask(_)) => panic!("{other:?}"),
    };
    assert!(hint(&some).starts_with("leave cwd out, or ask the owner to add `cwd: [...]`"));
    some.grants.cwd = globs(&["/srv", "/tmp/*"]);
    assert_eq!(hint(&some), "the rule grants cwd: /srv, /tmp/*");
}

#[test]
fn switches_that_tags_disagree_about_are_safe() {
    for (one, other, auto_add, known) in
        [(true, true, true, true), (false, false, false, false), (true, false, false, true)]
    {
        let patch = |value| LimitPatch {
            host_key_auto_add: Some(value),
            require_known_host: Some(value),
            ..LimitPatch::default()
        };
        let tags = [("a".parse().unwrap(), patch(one)), ("b".parse().unwrap(), patch(other))];
        let table = LimitTable { tags: tags.into(), ..LimitTable::default() };
        let limits = policy(Vec::new(), table, Dialect::default()).limits(&host("x", &["a", "b"]));
        assert_eq!((limits.host_key_auto_add, limits.require_known_host), (auto_add, known));
    }
}

#[test]
fn a_sample_of_what_is_allowed_leaves_out_denials_other_hosts_and_repetitions() {
    let elsewhere = Rule { aliases: globs(&["db*"]), ..rule(Action::Allow, &["psql"]) };
    let policy = of(vec![
        rule(Action::Allow, &["a", "b"]),
        rule(Action::Deny, &["halt"]),
        elsewhere,
        rule(Action::Ask, &["a", "c"]),
    ]);
    for (most, samples) in
        [(0, &[][..]), (2, &["a", "b"][..]), (3, &["a", "b", "c"][..]), (9, &["a", "b", "c"][..])]
    {
        assert_eq!(policy.samples(&host("web1", &[]), most), samples, "{most}");
    }
}

#[test]
fn a_refusal_points_at_the_byte_and_says_what_to_do() {
    for (text, offset, found, hint) in [
        ("uptime\nid", 6, "the character '\\n'", "separate commands with ; or && on one line"),
        ("uptime \u{e9}", 7, "the letter 'é' outside quotes", "put the word between single quotes"),
        ("uptime \u{a0}", 7, "the character", "use printable ASCII, and between quotes"),
        ("uptime; PATH=/x id", 12, "an assignment", "give variables as env"),
        ("uptime; cd /x", 8, "\"cd\", which is the shell's own", "give the folder as cwd"),
        ("export A=b", 0, "\"export\", which is", "give variables as env"),
        ("time id", 0, "\"time\", which is", "leave it out; the answer has duration_ms"),
        ("eval id", 0, "\"eval\", which is", "name a program"),
        ("a <<x", 2, "a here-document", "only >/dev/null"),
        ("a <<<x", 2, "a here-document", "only >/dev/null"),
        ("a <>x", 2, "a redirection that is not read", "only >/dev/null"),
        ("a ><x", 2, "a redirection that is not read", "only >/dev/null"),
        ("a >>x", 2, "a redirection that is not read", "only >/dev/null"),
        // Without a blank behind it the digit is the beginning of a file's name.
        ("a 1>&2x", 2, "a redirection of another", "only >/dev/null"),
        ("a >&22", 2, "a redirection of another", "only >/dev/null"),
        ("a 2>&1x", 2, "a redirection of another", "only >/dev/null"),
        ("a 2>&1>x", 2, "a redirection of another", "only >/dev/null"),
        ("a > <x", 4, "a redirection in the middle of a word: '<'", "write a blank before it"),
        ("a $x", 2, "a variable or substitution ($)", "run the inner command first"),
        ("a `x`", 2, "a substitution (`)", "run the inner command first"),
        ("a *", 2, "a file pattern: '*'", "name the files"),
        ("a b?", 3, "a file pattern: '?'", "name the files"),
        ("a [x", 2, "a file pattern: '['", "name the files"),
        ("a x]", 3, "a file pattern: ']'", "name the files"),
        ("a ~", 2, "a home folder (~)", "write the absolute path"),
        ("a {b", 2, "a brace: '{'", "write the words out"),
        ("a b}", 3, "a brace: '}'", "write the words out"),
        ("a (b", 2, "a parenthesis: '('", "subshells are not read"),
        ("a b)", 3, "a parenthesis: ')'", "subshells are not read"),
        ("a \\b", 2, "a backslash", "use single quotes instead"),
        ("a #b", 2, "a comment (#)", "leave it out"),
        ("a b!", 3, "an exclamation mark", "use single quotes to pass it on"),
        ("a b^", 3, "a character that is not read here: '^'", "use single quotes to pass it on"),
    ] {
        let refusal = recognise(text).unwrap_err();
        assert_eq!(refusal.offset, offset, "{text}: {refusal}");
        assert!(refusal.found.starts_with(found), "{text}: {refusal}");
        assert!(refusal.hint.starts_with(hint), "{text}: {}", refusal.hint);
    }
}

#[test]
fn commands_say_how_they_follow_and_denials_where_they_are_not_understood() {
    let script = recognise("a; b && c || d | e").unwrap();
    let followed: Vec<_> =
        script.commands().iter().map(|command| (command.joiner(), command.piped())).collect();
    let joined = [Joiner::Then, Joiner::And, Joiner::Or].map(|joiner| (Some(joiner), false));
    assert_eq!(followed, [&[(None, false)][..], &joined[..], &[(None, true)][..]].concat());
    let offset = |command| denied(&Policy::default(), command).offset;
    assert_eq!((offset("a; b $x"), offset("a; b")), (Some(5), None));
}

#[test]
fn a_pattern_is_its_text() {
    let glob = Glob::new("a*").unwrap();
    assert_eq!(
        (format!("{glob:?}"), glob.to_string()),
        ("Glob(\"a*\")".to_owned(), "a*".to_owned())
    );
    assert_eq!(glob, Glob::new("a*").unwrap());
    assert_ne!(glob, Glob::new("a?").unwrap());
    for (text, literal) in [("a b", true), ("a*", false), ("a?", false), ("[a]", false)] {
        assert_eq!(Glob::new(text).unwrap().is_literal(), literal, "{text}");
    }
}
