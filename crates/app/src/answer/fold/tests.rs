use super::*;
use crate::answer::Whole;
use proptest::prelude::*;
use sha2::{Digest, Sha256};

fn fold(entries: &[RunAnswer]) -> Vec<Group> {
    super::fold(own(entries), usize::MAX)
}

fn ran(alias: &str, output: &str, exit_code: u32) -> RunAnswer {
    RunAnswer {
        alias: Some(alias.to_owned()),
        status: Some(if exit_code == 0 { "completed" } else { "failed" }.to_owned()),
        exit_code: Some(exit_code),
        output: Some(output.to_owned()),
        duration_ms: Some(output.len() as u64),
        ..RunAnswer::default()
    }
}

/// What [`difference`] says, done.
fn patched(common: &str, diff: &str) -> String {
    let mut lines = common.split_inclusive('\n');
    let mut text = String::new();
    // An added line may be the last and without a newline of its own.
    for line in diff.split_inclusive('\n') {
        let (sign, rest) = line.split_at(1);
        match sign {
            "+" => text.push_str(rest),
            "=" => text.extend(lines.by_ref().take(rest.trim().parse().unwrap())),
            _ => drop(lines.by_ref().take(rest.trim().parse().unwrap()).count()),
        }
    }
    text
}

#[test]
fn identical_results_are_one_group_and_the_rare_and_failed_come_first() {
    let mut entries: Vec<RunAnswer> =
        (1..=20).map(|n| ran(&format!("web{n:02}"), "a\nb\nc\nd\n", 0)).collect();
    entries[6] = ran("web07", "a\nb\nX\nd\n", 0);
    entries[8] = ran("web09", "no\n", 2);
    let groups = fold(&entries);
    let told: Vec<_> = groups
        .iter()
        .map(|g| (g.hosts.as_str(), g.count, g.output.as_deref(), g.diff.as_deref()))
        .collect();
    assert_eq!(
        told,
        [
            ("web09", 1, Some("no\n"), None),
            ("web07", 1, Some("a\nb\nX\nd\n"), None),
            ("web[01-06,08,10-20]", 18, Some("a\nb\nc\nd\n"), None),
        ]
    );
    let long: String = (0..50).map(|n| format!("line {n}\n")).collect();
    let other = long.replace("line 7\n", "line seven\n");
    let groups = fold(&[ran("a", &long, 0), ran("b", &long, 0), ran("c", &other, 0)]);
    assert_eq!(groups[0].diff.as_deref(), Some("=7\n-1\n+line seven\n=42\n"));
    assert_eq!(slowest(&entries, 2).len(), 2);
}

/// What was taken out may be all that sets them apart.
#[test]
fn groups_say_whose_output_was_cleaned() {
    let took = |alias: &str, note: Option<&str>| RunAnswer {
        cleaned: note.map(str::to_owned),
        ..ran(alias, "same\n", 0)
    };
    let told = |entries: &[RunAnswer]| fold(entries)[0].cleaned.clone();
    let (nul, escape) = (Some("1 control characters"), Some("2 escape sequences"));
    assert_eq!(told(&[took("a", None), took("b", None)]), None);
    assert_eq!(told(&[took("a", nul), took("b", nul)]).as_deref(), nul);
    let some = [took("a1", escape), took("a2", nul), took("a3", nul), took("a4", None)];
    assert_eq!(
        told(&some).as_deref(),
        Some("1 control characters (a[2-3]); 2 escape sequences (a1)")
    );
    let many: Vec<RunAnswer> =
        (0..5000).map(|n| took(&format!("h{n}"), Some(&format!("{n} secrets")))).collect();
    let told = told(&many).unwrap();
    assert!(told.ends_with("; and more") && told.len() < 300, "{told}");
}

/// What a difference is against stands last, whatever else is more common.
#[test]
fn differences_are_against_the_last_group() {
    let long = |text: &str| format!("{}{text}\n", "a line\n".repeat(20));
    let mut entries: Vec<RunAnswer> =
        (0..5).map(|n| ran(&format!("bad{n}"), &long("bad"), 1)).collect();
    entries.extend([ran("good1", &long("good"), 0), ran("good2", &long("good"), 0)]);
    entries.push(ran("odd", &long("odd"), 0));
    let groups = fold(&entries);
    let told: Vec<_> = groups.iter().map(|g| (g.hosts.as_str(), g.diff.as_deref())).collect();
    assert_eq!(
        told,
        [
            ("bad[0-4]", Some("=20\n-1\n+bad\n")),
            ("odd", Some("=20\n-1\n+odd\n")),
            ("good[1-2]", None)
        ]
    );
    let mut entries =
        vec![ran("a", &long("x"), 1), ran("b", &long("x"), 1), ran("c", &long("y"), 1)];
    entries.extend((0..4).map(|n| RunAnswer {
        alias: Some(format!("gone{n}")),
        status: Some("could_not_connect".to_owned()),
        ..RunAnswer::default()
    }));
    let told: Vec<_> = fold(&entries).into_iter().map(|group| (group.hosts, group.diff)).collect();
    let diff = Some("=20\n-1\n+y\n".to_owned());
    assert_eq!(
        told,
        [("c".to_owned(), diff), ("gone[0-3]".to_owned(), None), ("a,b".to_owned(), None)]
    );
}

/// Two seconds are all that is spent on them.
#[test]
fn outputs_without_anything_in_common_are_folded_in_time() {
    let other = |n: u64| -> String {
        (0..20_000_u64).map(|line| format!("{}\n", (line * 7919 * (n + 1)) % 5003)).collect()
    };
    let entries: Vec<RunAnswer> = (0..20).map(|n| ran(&format!("h{n}"), &other(n), 0)).collect();
    let began = Instant::now();
    let groups = fold(&entries);
    assert_eq!(groups.len(), 20);
    assert!(began.elapsed() < Duration::from_secs(30), "{:?}", began.elapsed());
    let common = groups.last().and_then(|group| group.output.clone()).unwrap();
    for group in &groups {
        let text = group.output.clone().or_else(|| Some(patched(&common, group.diff.as_deref()?)));
        let place: usize = group.hosts.trim_start_matches('h').parse().unwrap();
        assert!(text.as_ref() == entries[place].output.as_ref(), "{place}");
    }
}

#[test]
fn groups_fit_their_budget_and_say_what_is_missing() {
    let entries: Vec<RunAnswer> =
        (0..200).map(|n| ran(&format!("h{n}"), &format!("{n}\n").repeat(100), 1)).collect();
    let (kept, missing) = within(&fold(&entries), 8192);
    assert!(encoded(&kept) <= 8192 && missing > 0, "{} {missing}", encoded(&kept));
    assert_eq!(kept.len() as u64 + missing, 200);
    assert!(kept.iter().all(|group| group.missing_bytes.is_some()));
}

proptest! {
    /// The parts give back every host's output.
    #[test]
    fn folding_loses_nothing(outputs in proptest::collection::vec("([abc]{0,2}\n){0,6}[ab]{0,2}", 1..12)) {
        let entries: Vec<RunAnswer> = outputs.iter().enumerate().map(|(n, output)| ran(&format!("h{n}"), output, 0)).collect();
        let groups = fold(&entries);
        let common = groups.last().and_then(|group| group.output.clone()).unwrap();
        let mut seen = 0;
        for group in &groups {
            let text = match (&group.output, &group.diff) {
                (Some(output), None) => output.clone(),
                (None, Some(diff)) => patched(&common, diff),
                other => panic!("{other:?}"),
            };
            let mut depth = 0;
            let parts = group.hosts.split(|c| { depth += i32::from(c == '[') - i32::from(c == ']'); c == ',' && depth == 0 });
            for host in parts.flat_map(|part| names::expand(part, 1000).unwrap()) {
                let place: usize = host.trim_start_matches('h').parse().unwrap();
                prop_assert_eq!(&text, &outputs[place]);
                seen += 1;
            }
        }
        prop_assert_eq!(seen, outputs.len());
    }
}

/// An entry that shows the first and last bytes of what was written, cut as its alias leaves room.
fn cut(alias: &str, whole: &str) -> RunAnswer {
    let keep = 100 - alias.len();
    let (head, tail) = (whole.split_at(keep).0, whole.split_at(whole.len() - keep).1);
    let shown = format!("{head}[…]{tail}");
    let digest = Sha256::digest(whole.as_bytes()).into();
    RunAnswer {
        missing_bytes: Some((whole.len() - 2 * keep) as u64),
        whole: Some(Whole { digest, text: Some(whole.into()) }),
        ..ran(alias, &shown, 0)
    }
}

#[test]
fn what_differs_only_where_nothing_is_shown_is_another_group_with_its_difference() {
    let whole: String = (0..2000).map(|n| format!("line {n}\n")).collect();
    let other = whole.replace("line 1000\n", "line 1OOO\n");
    let mut entries: Vec<RunAnswer> = (1..=30).map(|n| cut(&format!("h{n:02}"), &whole)).collect();
    entries[16] = cut("h17", &other);
    let groups = super::fold(own(&entries), usize::MAX);
    let told: Vec<_> = groups.iter().map(|g| (g.hosts.as_str(), g.count)).collect();
    assert_eq!(told, [("h17", 1), ("h[01-16,18-30]", 29)]);
    assert_eq!(groups[0].diff.as_deref(), Some("=1000\n-1\n+line 1OOO\n=999\n"));
    // Where the texts could not be kept, or have little in common, it is said.
    for entry in &mut entries {
        entry.whole.as_mut().unwrap().text = None;
    }
    let groups = super::fold(own(&entries), usize::MAX);
    assert_eq!((groups[0].count, groups[0].differs.as_deref()), (1, Some(DIFFERS)));
    assert_eq!((groups[1].count, groups[1].differs.as_deref()), (29, None));
}

#[test]
fn the_same_output_is_one_group_wherever_it_was_cut() {
    let whole = "0123456789\n".repeat(1000);
    let entries: Vec<RunAnswer> = (1..=40).map(|n| cut(&"x".repeat(n), &whole)).collect();
    let groups = super::fold(own(&entries), usize::MAX);
    assert_eq!((groups.len(), groups[0].count, &groups[0].diff), (1, 40, &None));
}

proptest! {
    /// Hosts stand together exactly when all that they wrote is the same, whatever is shown of it.
    #[test]
    fn groups_are_the_classes_of_equal_outputs(
        hosts in proptest::collection::vec((0_usize..4, 90_usize..110, 1_usize..40), 1..30)
    ) {
        let entries: Vec<RunAnswer> = hosts.iter().enumerate().map(|(n, (which, at, name))| {
            let mut whole = "y".repeat(200);
            whole.replace_range(at..&(at + 1), &which.to_string());
            cut(&format!("{}{n}", "h".repeat(*name)), &whole)
        }).collect();
        let classes: std::collections::BTreeSet<_> =
            hosts.iter().map(|(which, at, _)| (which, at)).collect();
        prop_assert_eq!(super::fold(own(&entries), usize::MAX).len(), classes.len());
    }
}
