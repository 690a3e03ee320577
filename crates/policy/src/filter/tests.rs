//! Tables of filters that are let through and of attempts that are not.

use super::{check, names};

fn judged(line: &str) -> Option<Result<(), String>> {
    let script = crate::recognise(line).unwrap_or_else(|refusal| panic!("{line}: {refusal}"));
    check(script.commands()[0].argv())
}

/// What agents write every day.
const TAKEN: &[&str] = &[
    "grep nginx",
    "grep -i error",
    "grep -v grep",
    "grep -E 'warn|error'",
    "grep -Eiv '^#|^$'",
    "grep -c .",
    "grep -n -m 5 x",
    "grep -A3 -B 3 fail",
    "grep -C2 fail",
    "grep -5 fail",
    "grep --context=2 fail",
    "grep -E '[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}'",
    "grep -e a -e b",
    "grep -ie error",
    "grep --ignore-case --max-count=3 x",
    "grep --regexp=x",
    "grep --regexp x",
    "grep --color=never x",
    "grep --color x",
    "grep -- -v",
    "grep -E '([0-9]{1,3}\\.){3}[0-9]{1,3}'",
    "grep -F '\\1'",
    "grep -iFe '\\1'",
    "grep -e '\\1' --fixed-strings",
    "grep 'a\\\\1'",
    "grep '\\.20000'",
    // As much as is taken: eight characters, 1250 times.
    "grep -E 'aa{1250}'",
    "grep '[[:space:]]x'",
    "head",
    "head -5",
    "head -n 5",
    "head -n5",
    "head -n -5",
    "head -c 100",
    "head --",
    "head --lines=5",
    "tail",
    "tail -5",
    "tail -n 5",
    "tail -n +2",
    "tail -c 100",
    "tail --lines 3",
    "wc",
    "wc -l",
    "wc -lw",
    "wc --lines",
    "sort",
    "sort -rn",
    "sort -k2,2nr -k 1",
    "sort -t: -k3n",
    "sort -t , -k1.2,1.4",
    "sort --key=2 --reverse",
    "sort -hr",
    "sort -u",
    "uniq",
    "uniq -c",
    "uniq -f 1",
    "uniq --count",
    "cut -d: -f1",
    "cut -d ' ' -f 1,3-5,7-",
    "cut -c-80",
    "cut --fields=2 --delimiter=,",
    "tr a-z A-Z",
    "tr -d '\\r'",
    "tr -s ' '",
    "tr - _",
    "tr -cd '[:print:]'",
    "nl",
    "nl -ba",
    "nl -b a -w 3 -s ': '",
    "column -t",
    "column -t -s ,",
    "column -ts:",
];

#[test]
fn everyday_filters_are_taken() {
    for line in TAKEN {
        assert_eq!(judged(line), Some(Ok(())), "{line}");
    }
}

/// Attempts to reach files or programs.
const HARMFUL: &[&str] = &[
    // Files.
    "grep x /etc/shadow",
    "grep -e x /etc/shadow",
    "grep -e x -",
    "grep --context 2 /etc/shadow",
    "grep --context x",
    "grep -C 2 /etc/shadow",
    "grep -iC 2 x",
    "grep -- x /etc/shadow",
    "grep --regexp=x y",
    "grep x -",
    "head /etc/shadow",
    "head -n 5 /etc/shadow",
    "head -5 /etc/shadow",
    "head -n 5 -- /etc/shadow",
    "head -",
    "tail /etc/shadow",
    "tail +5",
    "wc -l /etc/shadow",
    "wc -- /etc/shadow",
    "sort /etc/shadow",
    "sort +1",
    "uniq /etc/passwd",
    "uniq - /tmp/out",
    "uniq -c - /tmp/out",
    "cut -d: -f1 /etc/shadow",
    "tr a b /etc/shadow",
    "nl /etc/shadow",
    "column /etc/shadow",
    "column -t /etc/shadow",
    // Options that read.
    "grep -f /etc/shadow",
    "grep -f/etc/shadow x",
    "grep -if /etc/shadow",
    "grep --file=/etc/shadow",
    "grep --fil=/etc/shadow",
    "grep -r x",
    "grep -R x",
    "grep -ir x",
    "grep --recursive x",
    "grep --rec x",
    "grep --include=x y",
    "grep --exclude-from=/etc/shadow x",
    "grep -d recurse x",
    "grep -drecurse x",
    "grep --directories=recurse x",
    "grep -D read x",
    "wc --files0-from=/etc/shadow",
    "wc --files0-from=-",
    "sort --files0-from=/etc/shadow",
    "sort --random-source=/etc/shadow",
    "sort -R",
    // Options that write or execute.
    "sort -o /etc/x",
    "sort -o/etc/x",
    "sort -ro /etc/x",
    "sort --output=/etc/x",
    "sort --output /etc/x",
    "sort --outp=/etc/x",
    "sort -T /tmp/x",
    "sort --temporary-directory=/tmp",
    "sort -S 1",
    "sort --compress-program=/tmp/x",
    "sort --comp=/tmp/x",
    "sort --parallel=9",
    "sort -m",
    "sort --debug",
    // Options that never end.
    "tail -f",
    "tail -F",
    "tail -fn5",
    "tail -5f",
    "tail -n5 -f",
    "tail --follow",
    "tail --follow=name",
    "tail --fol",
    "tail --retry",
    "tail --pid=1",
    "tail -s 1",
];

#[test]
fn what_reads_writes_follows_or_executes_is_refused() {
    for line in HARMFUL {
        assert!(matches!(judged(line), Some(Err(_))), "{line}: {:?}", judged(line));
    }
}

/// Values outside their types, and forms that other programs read otherwise.
const MISTYPED: &[&str] = &[
    // Patterns.
    "grep -P x",
    "grep -Pi x",
    "grep --perl-regexp x",
    "grep",
    "grep -i",
    "grep -e",
    "grep '\\(a*\\)*\\1'",
    "grep -E '(a|b)\\1'",
    "grep -FE '(a)\\1'",
    "grep -e -F -e '\\(a\\)\\1'",
    "grep -e '\\(a\\)\\1' -e -F",
    "grep -F -G '\\(a\\)\\1'",
    "grep --extended-regexp -F '(a)\\1'",
    "grep --basic-regexp -F '\\(a\\)\\1'",
    "grep -E 'aa{1251}'",
    "grep -E 'a{5000}b{5000}'",
    "grep -E '(.|..){10000}'",
    "grep -E '((a*)*b*){1000}'",
    "grep -E 'a{99999999999999999999}'",
    "grep -E '((a{1,200}){1,200})'",
    "grep 'a\\{99999999999999999999\\}'",
    // Numbers, lists, keys, separators.
    "grep -m x y",
    "grep -A -1 y",
    "grep -1234567 y",
    "head -n x",
    "head -n",
    "head -n 9999999",
    "head -n +5",
    "head -n 5k",
    "head -5 -q",
    "tail -n 5x",
    "sort -t",
    "sort -t ab",
    "sort -k x",
    "sort -k 1,x",
    "sort -k 1.x",
    "sort -k x.1",
    "sort -k '1 -o'",
    "sort --key",
    "sort --reverse=x",
    "uniq -1",
    "uniq -f x",
    "cut -f x",
    "cut -f 1-x",
    "cut -f x-1",
    "cut -f 1 -d ab",
    "cut -f ''",
    "tr",
    "tr a b c",
    "tr -x a",
    "nl -b pX",
    "nl -h a",
    "nl -w x",
    "nl -w 999999",
    "nl --number-width=100",
    "column -J",
    "column -c x",
    "wc --total=always",
    // Options after operands: a file for a getopt that does not permute.
    "grep x -i",
    "tr a -d",
    // Abbreviations and unknown names.
    "grep --ignore x",
    "sort --rev",
    "head --line=5",
];

#[test]
fn values_are_typed_and_costs_bounded() {
    for line in MISTYPED {
        assert!(matches!(judged(line), Some(Err(_))), "{line}: {:?}", judged(line));
    }
    // Both sides of each bound.
    let pattern = |length: usize| format!("grep {}", "x".repeat(length));
    let words = |count: usize| format!("grep {} x", "-i ".repeat(count - 1));
    for (most, over) in [(pattern(512), pattern(513)), (words(32), words(33))] {
        assert_eq!(judged(&most), Some(Ok(())), "{most}");
        assert!(matches!(judged(&over), Some(Err(_))), "{over}");
    }
}

#[test]
fn other_programs_are_no_filters() {
    for line in
        ["cat", "sh", "egrep x", "tee /etc/x", "awk x", "sed x", "xargs id", "/bin/grep x", "less"]
    {
        assert_eq!(judged(line), None, "{line}");
    }
    assert_eq!(names().len(), 10);
}

#[test]
fn a_refusal_says_what_is_taken() {
    let Some(Err(message)) = judged("sort -o /etc/x") else { panic!("taken") };
    assert!(message.starts_with("sort -o is not taken after a pipe; taken are -b "), "{message}");
    assert!(message.ends_with(" -k KEY -t CHAR"), "{message}");
    let Some(Err(message)) = judged("head -5 -q") else { panic!("taken") };
    assert_eq!(message, "head -5 beside other arguments; write -n 5");
    for (line, lacks) in
        [("tr -d", "tr lacks its set of characters"), ("grep", "grep lacks its pattern")]
    {
        assert_eq!(judged(line), Some(Err(lacks.to_owned())));
    }
}
