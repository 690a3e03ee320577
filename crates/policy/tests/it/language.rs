//! The recogniser never panics, and every shell executes exactly the argv that was judged.

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use sshepherd_policy::script::{Joiner, Script};
use sshepherd_policy::{quote, quote_always, recognise};

use crate::shells::{Argv, FAILING, PROGRAMS, Shells};

/// Cases that start processes in six shells each; `PROPTEST_CASES` overrides it.
const CASES_IN_SHELLS: u32 = 40;

fn cases(default: u32) -> Config {
    let cases = std::env::var("PROPTEST_CASES").ok().and_then(|text| text.parse().ok());
    Config { cases: cases.unwrap_or(default), failure_persistence: None, ..Config::default() }
}

/// Pieces of shell text, sound and unsound ones.
const PIECES: &[&str] = &[
    "a",
    "b",
    "no",
    "uptime",
    "c++",
    "x-y.z",
    "=a",
    "a=b",
    "-n",
    "--x=/y",
    "%",
    "@",
    ":",
    "+",
    ",",
    "/",
    "1",
    "2",
    "' '",
    "'a b'",
    "\"a b\"",
    "''",
    "\"\"",
    "'\"'",
    "\"'\"",
    "'*'",
    "'$a'",
    "'`b`'",
    "'\\'",
    "'!'",
    "'~'",
    "'{a,b}'",
    "'#'",
    "\"[\"",
    "';'",
    "'|'",
    "'&'",
    "'<'",
    "'>'",
    "'(a)'",
    "'='",
    " ",
    " ",
    " ",
    "  ",
    "\t",
    ";",
    "&&",
    "||",
    "|",
    "&",
    ">/dev/null",
    "> /dev/null",
    "2>/dev/null",
    "</dev/null",
    "2>&1",
    ">&2",
    "1>&2",
    ">x",
    "2>",
    "<",
    ">>",
    "<<",
    "$",
    "$a",
    "$(b)",
    "`b`",
    "\\",
    "!",
    "~",
    "*",
    "?",
    "[",
    "]",
    "{",
    "}",
    "(",
    ")",
    "#",
    "\n",
    "\r",
    "'",
    "\"",
    "é",
    "\u{a0}",
    "\u{7f}",
    "if",
    "then",
    "eval",
    "exec",
];

fn pieces() -> impl Strategy<Value = String> {
    prop::collection::vec(prop::sample::select(PIECES), 0..14).prop_map(|pieces| pieces.concat())
}

/// A text of the language, with every way of quoting.
fn sound() -> impl Strategy<Value = String> {
    let letters = "[A-Za-z0-9_@%+:,./=-]{1,6}";
    let single = "'[ -&(-~\t]{0,8}'";
    let double = "\"[ #%-\\[\\]^_a-~\t]{0,8}\"";
    let word = prop::collection::vec(prop_oneof![letters, single, double], 1..4)
        .prop_map(|pieces| pieces.concat());
    let mut programs: Vec<String> = PROGRAMS.iter().map(|name| (*name).to_owned()).collect();
    programs.extend([FAILING, "'uptime'", "u\"ptim\"e", "n''o"].map(str::to_owned));
    let redirection = prop::sample::select(
        &[
            "",
            "",
            "",
            " >/dev/null",
            " 2> /dev/null",
            " </dev/null",
            " 2>&1",
            " >/dev/null 2>&1",
            " >&2",
        ][..],
    );
    let command = (prop::sample::select(programs), prop::collection::vec(word, 0..4), redirection)
        .prop_map(|(program, words, redirection)| {
            format!("{program} {}{redirection}", words.join(" "))
        });
    let operator = prop::sample::select(&["; ", ";", " && ", "||", " | ", "&&", "|"][..]);
    (command.clone(), prop::collection::vec((operator, command), 0..4)).prop_map(|(first, rest)| {
        rest.into_iter().fold(first, |text, (operator, command)| text + operator + &command)
    })
}

proptest! {
    #![proptest_config(cases(4000))]

    #[test]
    fn any_text_is_recognised_or_refused_without_a_panic(text in any::<String>()) {
        let _ = recognise(&text);
    }

    #[test]
    fn shell_like_text_is_recognised_or_refused_at_a_byte_of_it(text in pieces()) {
        match recognise(&text) {
            Ok(script) => prop_assert!(!script.commands().is_empty()),
            Err(refusal) => {
                prop_assert!(refusal.offset <= text.len(), "{text:?}: {refusal}");
                prop_assert!(!refusal.hint.is_empty() && !refusal.found.is_empty());
            }
        }
    }

    #[test]
    fn what_is_sent_means_what_was_recognised(text in sound()) {
        let script = recognise(&text).unwrap();
        let again = recognise(&script.canonical()).unwrap();
        prop_assert_eq!(argvs(&again), argvs(&script));
        prop_assert_eq!(again.canonical(), script.canonical());
        if !text.contains("/dev/null") {
            prop_assert_eq!(recognise(&script.sent()).unwrap(), script);
        }
    }

    #[test]
    fn judging_never_panics(text in pieces()) {
        if let Ok(request) = sshepherd_model::Request::new(&text) {
            let rules = vec![crate::site::rule(sshepherd_policy::Action::Allow, &["a*", "uptime"])];
            let policy = crate::site::policy(rules, Default::default(), Default::default());
            let _ = crate::site::wire(&policy, &request);
        }
    }
}

fn argvs(script: &Script) -> Vec<Argv> {
    script.commands().iter().map(|command| command.argv().to_vec()).collect()
}

/// The argvs that the recorders would write, by the rules of POSIX for lists of pipelines; `None` when a program is no recorder.
fn expected(script: &Script) -> Option<Vec<Argv>> {
    let mut ran = Vec::new();
    let mut succeeded = true;
    let mut runs = true;
    for command in script.commands() {
        if !command.piped() {
            runs = match command.joiner() {
                None | Some(Joiner::Then) => true,
                Some(Joiner::And) => succeeded,
                Some(Joiner::Or) => !succeeded,
            };
        }
        let program = command.program();
        if !PROGRAMS.contains(&program) && program != FAILING {
            return None;
        }
        if runs {
            succeeded = program != FAILING;
            ran.push(command.argv().to_vec());
        }
    }
    ran.sort();
    Some(ran)
}

fn same_everywhere(shells: &Shells, text: &str) -> Result<(), TestCaseError> {
    let Ok(script) = recognise(text) else { return Ok(()) };
    let Some(expected) = expected(&script) else { return Ok(()) };
    let sent = script.sent();
    for (shell, (ran, _)) in shells.run(&sent) {
        prop_assert_eq!(&ran, &expected, "{} ran {:?} for {:?}", shell, sent, text);
    }
    Ok(())
}

#[test]
fn every_shell_executes_exactly_the_judged_argv() {
    let shells = Shells::open();
    TestRunner::new(cases(CASES_IN_SHELLS))
        .run(&sound(), |text| {
            prop_assert!(recognise(&text).is_ok(), "{text:?}: {:?}", recognise(&text));
            same_everywhere(&shells, &text)
        })
        .unwrap();
}

#[test]
fn whatever_shell_like_text_is_accepted_is_executed_as_judged() {
    let shells = Shells::open();
    let accepted = pieces().prop_filter("accepted, of recorders", |text| {
        recognise(text).is_ok_and(|script| expected(&script).is_some())
    });
    TestRunner::new(Config { max_local_rejects: 1_000_000, ..cases(CASES_IN_SHELLS) })
        .run(&accepted, |text| same_everywhere(&shells, &text))
        .unwrap();
}

#[test]
fn awkward_words_arrive_unchanged_in_every_shell() {
    let shells = Shells::open();
    for text in [
        "a '' \"\" ''",
        "a =b '=b' x=y ~x",
        "a =a =uptime '=(id)'",
        "a -n -- -e --",
        "a 'if' then '{' '}' '!' '[[' time",
        "a \"it's\" \"'\" \"''\" \"a'b'c\"",
        "a '\\' '\\n' '\\\\' 'a\\'",
        "a '$HOME' '$(b)' '`b`' '${IFS}' \"*\" '?' '[a]' '{b,c}' '~' '#' '!!' '^a^b'",
        "a 'x\ty' \"\t\"",
        "a %1 @ +x a:b, /./.. 1 2 >/dev/null",
        "a 2 >/dev/null 2>&1 3",
        "a '2'>/dev/null",
        "a x2>/dev/null",
        "a >/dev/null '>b' '2>&1'",
        "no && a; no || b; a || b; a && b",
        "a | no || b",
        "no | a && b",
        "a | b | uptime >&2",
        "'a' x;\"b\" y&&c'++' z",
    ] {
        if text.contains("~x") {
            assert!(recognise(text).is_err());
            continue;
        }
        assert!(recognise(text).is_ok(), "{text}: {:?}", recognise(text));
        same_everywhere(&shells, text).unwrap();
    }
}

#[test]
fn a_quoted_word_is_one_word_in_every_shell() {
    let shells = Shells::open();
    let word = "[ -~\t\n]{0,24}";
    TestRunner::new(cases(CASES_IN_SHELLS))
        .run(&prop::collection::vec(word, 1..4), |words| {
            let quoted: Vec<String> = words.iter().map(|word| quote_always(word)).collect();
            let mut argv = vec!["a".to_owned()];
            argv.extend(words);
            for (shell, (ran, _)) in shells.run(&format!("'a' {}", quoted.join(" "))) {
                prop_assert_eq!(&ran, &[argv.clone()], "{}", shell);
            }
            Ok(())
        })
        .unwrap();
}

/// The machine's shells name their builtins; each must be refused as a program, or be one of those that leave the shell alone.
#[test]
fn no_builtin_of_an_installed_shell_is_taken_unknowingly() {
    const HARMLESS: [&str; 9] =
        ["echo", "false", "kill", "printf", "pwd", "sleep", "test", "true", "which"];
    let lists = [
        ("bash", vec!["-c", "compgen -b; compgen -k"]),
        ("zsh", vec!["-fc", "print -l ${(k)builtins} ${(k)reswords} ${(k)aliases}"]),
        ("ksh93", vec!["-c", "builtin; alias | sed 's/=.*//'"]),
    ];
    for (shell, words) in lists {
        let Ok(output) = std::process::Command::new(shell).args(words).output() else {
            println!("{shell} is not installed: not tried");
            continue;
        };
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(text.lines().count() > 40, "{shell}: {text}");
        // ksh93 has some for programs of a certain path, and is given that path.
        for builtin in text.lines().filter(|name| !name.starts_with('/')) {
            let taken = recognise(&quote(builtin)).is_ok();
            assert_eq!(taken, HARMLESS.contains(&builtin), "{builtin} of {shell}");
        }
    }
}

/// Builtins that are let through must not evaluate a literal argument, in any shell. `kill` is not run here: an argument of
/// 0 or 1 would be a process group or another process.
#[test]
fn no_accepted_builtin_evaluates_its_arguments() {
    let shells = Shells::open();
    let trap = "'x[$(b)]'";
    let mut tried = 0;
    for program in ["echo", "false", "printf", "pwd", "test", "true", "which"] {
        for before in
            ["", "-v ", "-n ", "-l ", "%d ", "-t ", "-eq ", "1 -eq ", "-R ", "-s ", "-- ", "-x "]
        {
            for after in ["", " x", " -eq 0"] {
                let text = format!("{program} {before}{trap}{after}");
                let Ok(script) = recognise(&text) else { continue };
                tried += 1;
                for (shell, (ran, _)) in shells.run(&script.sent()) {
                    assert_eq!(ran, Vec::<Argv>::new(), "{shell} evaluated {text}");
                }
            }
        }
    }
    assert!(tried > 100, "{tried}");
}
