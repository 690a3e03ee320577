//! Typed rules by tables: what is read, what is not, and the nearest form.

use super::*;

pub(crate) fn words(text: &str) -> Vec<String> {
    crate::recognise(text).unwrap().commands()[0].argv().to_vec()
}

fn option(names: &[&str], value: Option<ValueType>) -> OptionSpec {
    OptionSpec {
        names: names.iter().map(|name| (*name).to_owned()).collect(),
        value,
        value_optional: false,
        required: false,
        repeatable: false,
    }
}

fn number(min: u64, max: u64) -> Option<ValueType> {
    Some(ValueType::Integer { min, max })
}

fn spec(
    program: &str,
    subcommands: &[&[&str]],
    options: Vec<OptionSpec>,
    operands: Vec<OperandSpec>,
) -> Spec {
    let subcommands = subcommands
        .iter()
        .map(|words| words.iter().map(|word| (*word).to_owned()).collect())
        .collect();
    Spec::new(
        Program::new(program, Vec::new()).unwrap(),
        subcommands,
        options,
        operands,
        Order::Any,
    )
    .unwrap()
}

fn journal() -> Spec {
    let lines = OptionSpec { required: true, ..option(&["-n", "--lines"], number(1, 1000)) };
    let unit = OptionSpec { repeatable: true, ..option(&["-u", "--unit"], Some(ValueType::Unit)) };
    let color = OptionSpec {
        value_optional: true,
        ..option(&["--color"], Some(ValueType::OneOf(vec!["never".to_owned()])))
    };
    let since = option(&["--since"], Some(ValueType::Time));
    spec(
        "journalctl",
        &[],
        vec![lines, unit, option(&["--no-pager"], None), option(&["-q"], None), color, since],
        vec![],
    )
}

fn status() -> Spec {
    let units = OperandSpec { value: ValueType::Unit, min: 1, max: 3 };
    spec(
        "systemctl",
        &[&["status"], &["is-active"]],
        vec![option(&["-n", "--lines"], number(1, 9)), option(&["-l"], None)],
        vec![units],
    )
}

#[test]
fn an_argv_is_read_whole_or_not_at_all() {
    let journal = journal();
    for text in [
        "journalctl -n 5",
        "journalctl -n5",
        "journalctl -qn5 --unit=a -u b -uc",
        "journalctl --lines 5 --color --no-pager",
        "journalctl --lines=5 --color=never --since -1h",
    ] {
        assert_eq!(journal.read(&words(text)), Ok(words(text)), "{text}");
    }
    for (text, message) in [
        ("journal -n 5", "it is not journalctl"),
        ("/usr/bin/journalctl -n 5", "it is not journalctl"),
        ("journalctl", "journalctl: -n/--lines is required, with a number from 1 to 1000"),
        ("journalctl -n", "journalctl: -n lacks its value: a number from 1 to 1000"),
        ("journalctl -n -q", "journalctl: -n takes a number from 1 to 1000, not \"-q\""),
        ("journalctl -nq5", "journalctl: -n takes a number from 1 to 1000, not \"q5\""),
        ("journalctl -n 5 --line 6", "journalctl: the option --line is not taken"),
        ("journalctl -n 5 -n 6", "journalctl: -n/--lines may stand once only"),
        ("journalctl -n 5 --lines=6", "journalctl: -n/--lines may stand once only"),
        ("journalctl -n 5 -f", "journalctl: the option -f is not taken"),
        ("journalctl -qfn5", "journalctl: the option -f is not taken"),
        ("journalctl -n 5 --no-pager=x", "journalctl: --no-pager takes no value, not \"x\""),
        ("journalctl -n 5 --color never", "journalctl: \"never\" is one operand too many"),
        ("journalctl -n 5 --", "journalctl: the option -- is not taken"),
        ("journalctl -n 5 -", "journalctl: \"-\" is one operand too many"),
        ("journalctl -n 5 -- -q", "journalctl: the option -q is not taken"),
        ("journalctl -n 5 --since -n --until 5", "journalctl: --since takes a time such as"),
        ("journalctl -n 5 ''", "journalctl: \"\" is one operand too many"),
        (
            "journalctl -n 5 --unit=",
            "journalctl: --unit takes a unit name such as nginx.service, not \"\"",
        ),
        (
            "journalctl -n 5 -u ''",
            "journalctl: -u takes a unit name such as nginx.service, not \"\"",
        ),
        ("journalctl -n 5 --=x", "journalctl: the option -- is not taken"),
    ] {
        let mismatch = journal.read(&words(text)).unwrap_err();
        let said = mismatch.message("journalctl");
        assert!(said.starts_with(message), "{text}: {said}");
    }
}

#[test]
fn subcommands_and_operands_are_read_after_the_program() {
    let status = status();
    for text in [
        "systemctl status a",
        "systemctl is-active a b c",
        "systemctl status a -ln5 b",
        "systemctl status -- a",
    ] {
        assert!(status.read(&words(text)).is_ok(), "{text}");
    }
    for (text, message) in [
        ("systemctl", "after systemctl only status, is-active may stand"),
        ("systemctl -l status a", "after systemctl only status, is-active may stand"),
        ("systemctl status", "systemctl: an operand is missing: a unit name such as nginx.service"),
        ("systemctl status a b c d", "systemctl: \"d\" is one operand too many"),
        ("systemctl status 1234", "systemctl: \"1234\" is not a unit name such as nginx.service"),
        ("systemctl status a 1234", "systemctl: \"1234\" is not a unit name such as nginx.service"),
    ] {
        assert_eq!(status.read(&words(text)).unwrap_err().message("systemctl"), message, "{text}");
    }
}

#[test]
fn operands_of_several_kinds_are_dealt_out_in_order() {
    let kind =
        |words: &[&str]| ValueType::OneOf(words.iter().map(|word| (*word).to_owned()).collect());
    let name = ValueType::Matching(Pattern::new("[a-z]+").unwrap());
    let operands = vec![
        OperandSpec { value: kind(&["get", "top"]), min: 1, max: 2 },
        OperandSpec { value: name, min: 0, max: 2 },
        OperandSpec { value: kind(&["end"]), min: 1, max: 1 },
    ];
    let spec = spec("x", &[], vec![], operands);
    for text in
        ["x get end", "x get top end", "x get top a b end", "x get a end", "x top top get end"]
    {
        assert!(spec.read(&words(text)).is_ok(), "{text}");
    }
    for text in
        ["x", "x end", "x get", "x get a", "x get a b c end", "x a end", "x get end end end end"]
    {
        assert!(spec.read(&words(text)).is_err(), "{text}");
    }
}

#[test]
fn a_mismatch_says_what_is_wrong_and_repeats_no_long_word() {
    let operand = |value| OperandSpec { value, min: 1, max: 1 };
    let flag = OptionSpec { required: true, ..option(&["-y", "--yes"], None) };
    let literal = ValueType::Literal("all".to_owned());
    let spec = spec("x", &[], vec![flag], vec![operand(ValueType::Unit), operand(literal)]);
    let (long, longer) = ("!".repeat(60), "!".repeat(61));
    for (text, message) in [
        ("x a all", "x: -y/--yes is required"),
        // The one operand is kept for the second kind.
        ("x -y all", "x: an operand is missing: a unit name such as nginx.service"),
        ("x -y a none", "x: \"none\" is not all"),
    ] {
        assert_eq!(spec.read(&words(text)).unwrap_err().message("x"), message, "{text}");
    }
    for (word, shown) in [(longer, format!("{long}…")), (long.clone(), long.clone())] {
        let message = spec.read(&words(&format!("x -y '{word}' all"))).unwrap_err().message("x");
        assert_eq!(message, format!("x: {shown:?} is not a unit name such as nginx.service"));
    }
}

#[test]
fn a_type_takes_no_empty_and_no_endless_word() {
    let any = ValueType::Matching(Pattern::new(".*").unwrap());
    let all = ValueType::Literal("all".to_owned());
    let time = ValueType::Time;
    let ago = |length: usize| format!("-{}1h", " ".repeat(length - 2));
    for (kind, word, taken) in [
        (&any, String::new(), false),
        (&any, "x".repeat(4096), true),
        (&any, "x".repeat(4097), false),
        (&ValueType::Literal(String::new()), String::new(), false),
        (&all, "all".to_owned(), true),
        (&all, "al".to_owned(), false),
        (&time, ago(64), true),
        (&time, ago(65), false),
    ] {
        assert_eq!(kind.takes(&word), taken, "{kind:?} and {} bytes", word.len());
    }
}

#[test]
fn a_pattern_is_its_text() {
    let pattern = Pattern::new("a|b").unwrap();
    assert_eq!((pattern.as_str(), format!("{pattern:?}").as_str()), ("a|b", "Pattern(\"a|b\")"));
    assert_eq!(pattern, Pattern::new("a|b").unwrap());
    assert_ne!(pattern, Pattern::new("b|a").unwrap());
}

#[test]
fn options_first_and_one_dash_are_read_as_said() {
    let operand = OperandSpec { value: ValueType::Path, min: 1, max: 9 };
    let program = Program::new("ls", vec!["/bin/ls".to_owned(), "/usr/bin/ls".to_owned()]).unwrap();
    let ls = Spec::new(
        program,
        vec![],
        vec![option(&["-l"], None)],
        vec![operand.clone()],
        Order::OptionsFirst,
    )
    .unwrap();
    assert_eq!((ls.order(), status().order()), (Order::OptionsFirst, Order::Any));
    assert_eq!(
        ls.read(&words("ls -l /x")),
        Ok(words("/bin/ls -l /x")),
        "the name is bound to its first path"
    );
    assert_eq!(ls.read(&words("/usr/bin/ls /x")), Ok(words("/usr/bin/ls /x")));
    assert!(ls.read(&words("/sbin/ls /x")).is_err());
    let late = ls.read(&words("ls /x -l")).unwrap_err();
    assert_eq!(late.message("ls"), "ls: -l must stand before the first operand");
    let find = spec(
        "find",
        &[],
        vec![
            option(&["-name"], Some(ValueType::Unit)),
            option(&["-maxdepth"], number(0, 3)),
            option(&["-L"], None),
        ],
        vec![operand],
    );
    assert!(find.read(&words("find /var -maxdepth 1 -name x.log")).is_ok());
    for text in [
        "find /var -maxdepth=1",
        "find /var -namex",
        "find /var -nam x",
        "find -- /var",
        "find /var -LL",
        "find /var -exec id",
    ] {
        assert!(find.read(&words(text)).is_err(), "{text}");
    }
}

#[test]
fn useless_specifications_are_refused() {
    let program = || Program::new("x", vec![]).unwrap();
    let new = |options, operands| {
        Spec::new(program(), vec![], options, operands, Order::Any).unwrap_err()
    };
    for bad in ["", "-x", "a b", "x/y", "/x/../y", "x;y", "./x"] {
        assert_eq!(Program::new(bad, vec![]), Err(BadSpec::Program(bad.to_owned())), "{bad}");
    }
    assert!(Program::new("/usr/bin/x", vec!["/bin/x".to_owned()]).is_err());
    assert!(Program::new("x", vec!["bin/x".to_owned()]).is_err());
    for bad in ["n", "-", "--", "---x", "--x=y", "-x y", ""] {
        assert_eq!(new(vec![option(&[bad], None)], vec![]), BadSpec::OptionName(bad.to_owned()));
    }
    assert_eq!(new(vec![option(&[], None)], vec![]), BadSpec::NoName);
    assert_eq!(
        new(vec![option(&["-a"], None), option(&["-b", "-a"], None)], vec![]),
        BadSpec::SameName("-a".to_owned())
    );
    let optional = OptionSpec { value_optional: true, ..option(&["-a", "--all"], number(1, 2)) };
    assert_eq!(new(vec![optional], vec![]), BadSpec::Optional("--all".to_owned()));
    for (min, max) in [(2, 1), (0, 0)] {
        assert_eq!(
            new(vec![], vec![OperandSpec { value: ValueType::Path, min, max }]),
            BadSpec::Count { min, max }
        );
    }
    for bad in [vec![vec![]], vec![vec!["-x".to_owned()]], vec![vec![String::new()]]] {
        assert!(matches!(
            Spec::new(program(), bad, vec![], vec![], Order::Any),
            Err(BadSpec::Subcommand(_))
        ));
    }
}

#[test]
fn the_nearest_form_is_taken_and_needs_no_guess() {
    let (journal, status) = (journal(), status());
    for (text, nearest) in [
        ("journalctl", Some("journalctl -n 100")),
        ("journalctl -u nginx", Some("journalctl -n 100 -u nginx")),
        ("journalctl -f -n 5", Some("journalctl -n 5")),
        ("journalctl -fqn5000", Some("journalctl -qn1000")),
        ("journalctl -n 5000 --follow", Some("journalctl -n 1000")),
        ("journalctl --lines=all -x", Some("journalctl --lines=1000")),
        ("journalctl -n 5 --no-pager=yes", Some("journalctl -n 5 --no-pager")),
        ("journalctl -n 5 -g pattern", None),
        ("journalctl -n 5 --since x", None),
        // The letter that goes is looked for in options only, and in the one that has it.
        ("journalctl -u fx -qf -n 5", Some("journalctl -u fx -q -n 5")),
        ("ls", None),
    ] {
        assert_eq!(journal.nearest(&words(text)), nearest.map(words), "{text}");
    }
    assert_eq!(
        status.nearest(&words("systemctl status nginx --no-pager")),
        Some(words("systemctl status nginx"))
    );
    assert_eq!(status.nearest(&words("systemctl stop nginx")), None);
    assert_eq!(status.nearest(&words("systemctl status")), None);
    let any = Some(ValueType::Matching(Pattern::new(".*").unwrap()));
    let lines = OptionSpec { required: true, ..option(&["-n"], number(1, 9)) };
    let logs = spec("x", &[&["get", "logs"], &["get"]], vec![option(&["-a"], any), lines], vec![]);
    for (text, nearest) in [
        ("x get", "x get -n 9"),
        ("x get logs -a 5", "x get logs -n 9 -a 5"),
        // The same word as the value of another option stays.
        ("x get -a 50 -n 50", "x get -a 50 -n 9"),
    ] {
        assert_eq!(logs.nearest(&words(text)), Some(words(nearest)), "{text}");
    }
}

#[test]
fn a_deny_reads_loosely() {
    let stop = spec("systemctl", &[&["stop"]], vec![], vec![]);
    for text in [
        "systemctl stop x",
        "/usr/bin/systemctl stop",
        "systemctl --no-block stop x",
        "systemctl -H h stop x",
    ] {
        assert!(stop.hits(&words(text)), "{text}");
    }
    assert!(!stop.hits(&words("systemctl status stopped")));
    assert!(!stop.hits(&words("systemctlx stop")));
    let force = spec(
        "rm",
        &[],
        vec![option(&["-r", "--recursive"], None)],
        vec![OperandSpec { value: ValueType::PathUnder(vec!["/etc".to_owned()]), min: 0, max: 9 }],
    );
    for text in [
        "rm -r x",
        "rm -fr x",
        "rm --recursive x",
        "rm --rec x",
        "rm x /etc/passwd",
        "rm --to=/etc/x",
    ] {
        assert!(force.hits(&words(text)), "{text}");
    }
    for text in ["rm x", "rm -f /var/x", "rm --force x", "rm -- x"] {
        assert!(!force.hits(&words(text)), "{text}");
    }
    // A rule with options only, or operands only, says nothing of other words.
    let recursive = spec("rm", &[], vec![option(&["-r"], None)], vec![]);
    let below = spec("rm", &[], vec![], force.operands().to_vec());
    for (text, option, operand) in
        [("rm -r /x", true, false), ("rm /etc/x", false, true), ("rm x", false, false)]
    {
        assert_eq!(recursive.hits(&words(text)), option, "{text}");
        assert_eq!(below.hits(&words(text)), operand, "{text}");
    }
}

#[test]
fn a_path_with_dots_is_in_doubt_for_paths_alone() {
    let of = |value| spec("x", &[], vec![], vec![OperandSpec { value, min: 0, max: 9 }]);
    for path in [
        ValueType::Path,
        ValueType::PathIn(vec!["/a".to_owned()]),
        ValueType::PathUnder(vec!["/a".to_owned()]),
    ] {
        for word in ["x /b/../c", "x --to=../c", "X .."] {
            assert!(of(path.clone()).hits(&words(word)), "{word}");
        }
        assert!(!of(path).hits(&words("x a..b")));
    }
    assert!(!of(ValueType::Unit).hits(&words("x /b/../c")));
    assert!(
        of(ValueType::Unit).hits(&words("x 1,nginx"))
            && of(ValueType::Unit).hits(&words("x -nnginx"))
    );
    assert!(!of(ValueType::Unit).hits(&words("x 1/nginx")), "only a path begins at a slash");
}

#[test]
fn the_usage_is_one_line() {
    assert_eq!(
        journal().usage(),
        "journalctl -n|--lines <1..1000> [-u|--unit <unit>] [--no-pager] [-q] [--color[=<never>]] [--since <time>]"
    );
    assert_eq!(status().usage(), "systemctl <status|is-active> [-n|--lines <1..9>] [-l] <unit>…");
    let operand = |min, max| OperandSpec { value: ValueType::Unit, min, max };
    let both = spec("x", &[&["get"]], vec![], vec![operand(1, 1), operand(0, 1)]);
    assert_eq!(both.usage(), "x get <unit> [<unit>]");
}
