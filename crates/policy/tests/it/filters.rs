//! Whatever filter command is taken, the real programs neither read nor write a file for it.

use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use sshepherd_policy::filter;

/// Commands tried; each starts two or four processes. Higher in a longer run by `PROPTEST_CASES`.
const CASES: u32 = 150;

/// What a filter reads: no letter of `MARK`, in either case.
const INPUT: &str = "a b c\n1:2:3\nx=y -n\n\nerror at 5\n";

/// Content of every file that could be opened by mistake.
const MARK: &str = "ZZZZ ZZZZ\nZZZZ:ZZZZ\n";

/// Words that are options, values, operands and file names at once.
const WORDS: &[&str] = &[
    "-",
    "--",
    "-n",
    "-n5",
    "-5",
    "-c",
    "-e",
    "-f",
    "-f1",
    "-i",
    "-k",
    "-k2",
    "-o",
    "-r",
    "-s",
    "-t",
    "-t:",
    "-u",
    "-v",
    "-w",
    "-A",
    "-C",
    "-C2",
    "-E",
    "-F",
    "-L",
    "-T",
    "-d",
    "-d:",
    "-b",
    "-ba",
    "-l",
    "-m",
    "-x",
    "-q",
    "-in",
    "-cs",
    "-rn",
    "-ie",
    "-fn5",
    "--lines",
    "--lines=5",
    "--bytes",
    "--key",
    "--key=2",
    "--file",
    "--output",
    "--count",
    "--color",
    "--context",
    "--context=2",
    "--regexp",
    "--regexp=a",
    "--fields",
    "--fields=1",
    "--delimiter",
    "--files0-from",
    "--follow",
    "--separator",
    "--skip-fields",
    "--number-width",
    "--complement",
    "--only-matching",
    "+2",
    "-2",
    "2",
    "1,3-5",
    "2,2n",
    ":",
    "a",
    "x",
    "t",
    "ln",
    "always",
    "recurse",
    "a-c",
    "[:digit:]",
    "",
];

fn accepted() -> impl Strategy<Value = Vec<String>> {
    let words = prop::collection::vec(prop::sample::select(WORDS), 0..5);
    (prop::sample::select(filter::names()), words)
        .prop_map(|(name, words)| {
            std::iter::once(name).chain(words).map(str::to_owned).collect::<Vec<_>>()
        })
        .prop_filter("taken", |argv| filter::check(argv) == Some(Ok(())))
}

/// GNU's or util-linux' program, and busybox's, where they are.
fn programs(argv: &[String]) -> Vec<Vec<String>> {
    let mut busybox = vec!["busybox".to_owned()];
    busybox.extend_from_slice(argv);
    vec![argv.to_vec(), busybox]
}

/// Runs `argv` in `folder`; `None` where the program is not installed.
fn run(argv: &[String], folder: &Path) -> Option<Output> {
    let input = folder.parent().unwrap().join("input");
    Command::new(&argv[0])
        .args(&argv[1..])
        .current_dir(folder)
        .env("LC_ALL", "C")
        .stdin(Stdio::from(fs::File::open(input).unwrap()))
        .output()
        .ok()
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

/// A folder with a marked file for each word, one without any, and the input beside them.
fn site() -> tempfile::TempDir {
    let site = tempfile::tempdir().unwrap();
    fs::write(site.path().join("input"), INPUT).unwrap();
    fs::create_dir(site.path().join("empty")).unwrap();
    fs::create_dir(site.path().join("full")).unwrap();
    for word in WORDS.iter().filter(|word| !word.is_empty()) {
        fs::write(site.path().join("full").join(word), MARK).unwrap();
    }
    site
}

/// What is wrong with a command, or `None`.
fn touches(site: &Path, argv: &[String]) -> Option<String> {
    let full = site.join("full");
    let before = names(&full);
    let output = run(argv, &full)?;
    if output.stdout.contains(&b'Z') {
        return Some(format!("{argv:?} read a file"));
    }
    let unchanged = names(&full) == before
        && before
            .iter()
            .all(|name| fs::read(full.join(name)).is_ok_and(|text| text == MARK.as_bytes()));
    if !unchanged {
        return Some(format!("{argv:?} wrote a file"));
    }
    let empty = site.join("empty");
    let output = run(argv, &empty)?;
    if String::from_utf8_lossy(&output.stderr).contains("No such file") {
        return Some(format!("{argv:?} looked for a file"));
    }
    (!names(&empty).is_empty()).then(|| format!("{argv:?} made a file"))
}

#[test]
fn no_taken_filter_touches_a_file() {
    let site = site();
    let cases = std::env::var("PROPTEST_CASES").ok().and_then(|text| text.parse().ok());
    let config = Config {
        cases: cases.unwrap_or(CASES),
        max_local_rejects: 1_000_000,
        failure_persistence: None,
        ..Config::default()
    };
    TestRunner::new(config)
        .run(&accepted(), |argv| {
            for argv in programs(&argv) {
                let problem = touches(site.path(), &argv);
                prop_assert!(problem.is_none(), "{problem:?}");
            }
            Ok(())
        })
        .unwrap();
}

/// The harness sees what it should: each of these is refused by the filter, and caught here.
#[test]
fn the_harness_catches_what_touches_a_file() {
    for line in [
        "grep -e Z a",
        "sort a",
        "sort -o a",
        "sort -o new",
        "uniq - a",
        "head -n 5 a",
        "wc nowhere",
        "cut -c1 a",
    ] {
        let site = site();
        let argv: Vec<String> = line.split(' ').map(str::to_owned).collect();
        assert!(matches!(filter::check(&argv), Some(Err(_))), "{line}");
        assert!(touches(site.path(), &argv).is_some(), "{line}");
    }
}
