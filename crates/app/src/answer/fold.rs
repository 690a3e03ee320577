//! Many hosts' results as few groups: identical ones once, with their hosts in range notation; another output as its difference
//! from the most common one.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde::Serialize;
use similar::{ChangeTag, TextDiff};
use sshepherd_model::names;

use super::{RunAnswer, encoded, shorten as shortened};

/// Hosts that ended in the same way and wrote the same.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub(crate) struct Group {
    /// The hosts, as in `web[01-20,25]`.
    pub(crate) hosts: String,
    /// How many they are.
    pub(crate) count: u64,
    /// How each ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) status: Option<String>,
    /// Exit status.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) exit_code: Option<u32>,
    /// Signal that ended it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) signal: Option<String>,
    /// What each wrote.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) output: Option<String>,
    /// What each wrote, as changes to the output of the largest group: `-N` leaves its next N lines out, `=N` keeps them, `+`
    /// adds the line behind it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) diff: Option<String>,
    /// That what is left out is not what others have there, where that cannot be shown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) differs: Option<String>,
    /// Bytes of output that are not shown; `task_id` has them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) missing_bytes: Option<u64>,
    /// What was taken out of what each wrote, or some of them: so far they may differ.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) cleaned: Option<String>,
    /// The step that failed when connecting.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) phase: Option<String>,
    /// What happened to the first of them, in words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) detail: Option<String>,
    /// What to do next.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) hint: Option<String>,
    /// The task of the first of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) task_id: Option<String>,
}

/// A host that took long.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub(crate) struct Slow {
    /// The host.
    pub(crate) alias: String,
    /// Milliseconds from acceptance to the end.
    pub(crate) duration_ms: u64,
}

/// The slowest hosts, at most `most`.
pub(crate) fn slowest(entries: &[RunAnswer], most: usize) -> Vec<Slow> {
    let mut slow: Vec<Slow> = entries
        .iter()
        .filter_map(|entry| {
            Some(Slow { alias: entry.alias.clone()?, duration_ms: entry.duration_ms? })
        })
        .collect();
    slow.sort_by(|a, b| b.duration_ms.cmp(&a.duration_ms).then_with(|| a.alias.cmp(&b.alias)));
    slow.truncate(most);
    slow
}

/// A host's result, and what it wrote, wherever that is kept.
pub(crate) type Told<'a> = (&'a RunAnswer, Option<&'a str>);

/// Entries that hold what was written themselves: all of it, or as much as they show.
pub(crate) fn own(entries: &[RunAnswer]) -> impl Iterator<Item = Told<'_>> {
    entries.iter().map(|entry| {
        let whole = entry.whole.as_ref().and_then(|whole| whole.text.as_deref());
        (entry, whole.or(entry.output.as_deref()))
    })
}

/// Results in groups: what failed first, then what differs, the most common result last; among equals the smaller first, for what
/// is rare is what one looks for. No group takes more than `most` bytes to name its hosts: of more hosts there are several groups.
pub(crate) fn fold<'a>(results: impl IntoIterator<Item = Told<'a>>, most: usize) -> Vec<Group> {
    let mut families: BTreeMap<Key<'_>, Vec<&RunAnswer>> = BTreeMap::new();
    for (entry, output) in results {
        families.entry(key(entry, output)).or_default().push(entry);
    }
    let good = |key: &Key<'_>| key.status == Some("completed");
    // Of what went well, if anything did, so that it stands last, where a difference is said to be against.
    let common = families
        .iter()
        .filter(|(key, _)| key.ran)
        .max_by_key(|(key, members)| (good(key), members.len(), std::cmp::Reverse(**key)))
        .map(|(key, _)| *key);
    let until = Instant::now() + PATIENCE;
    let mut groups: Vec<((bool, bool, usize), Vec<Group>)> = families
        .iter()
        .map(|(key, members)| {
            let last = key.ran && common.is_some_and(|common| common.wrote == key.wrote);
            let group = group(key, members, common, until);
            ((good(key), last, members.len()), parts(group, members, most))
        })
        .collect();
    let hosts = |parts: &[Group]| parts.first().map(|group| group.hosts.clone());
    groups.sort_by(|a, b| a.0.cmp(&b.0).then_with(|| hosts(&a.1).cmp(&hosts(&b.1))));
    groups.into_iter().flat_map(|(_, parts)| parts).collect()
}

/// A group as several whose hosts each take at most `most` bytes to name, where there are that many.
fn parts(group: Group, members: &[&RunAnswer], most: usize) -> Vec<Group> {
    if group.hosts.len() <= most || members.len() < 2 {
        return vec![group];
    }
    let (one, other) = members.split_at(members.len() / 2);
    let half = |members: &[&RunAnswer]| {
        let first = members.first();
        let own =
            |field: fn(&RunAnswer) -> &Option<String>| first.and_then(|entry| field(entry).clone());
        let part = Group {
            hosts: hosts(members),
            count: members.len() as u64,
            cleaned: cleaned(members),
            detail: own(|entry| &entry.detail),
            hint: own(|entry| &entry.hint),
            task_id: own(|entry| &entry.task_id),
            ..group.clone()
        };
        parts(part, members, most)
    };
    let mut all = half(one);
    all.extend(half(other));
    all
}

/// Their names, as in `web[01-20,25]`.
fn hosts(members: &[&RunAnswer]) -> String {
    names::fold(members.iter().filter_map(|entry| entry.alias.as_deref()))
}

/// What makes two results the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Key<'a> {
    ran: bool,
    status: Option<&'a str>,
    exit_code: Option<u32>,
    signal: Option<&'a str>,
    phase: Option<&'a str>,
    reason: Option<&'a str>,
    wrote: Wrote<'a>,
}

/// What was written: the same where the digests are, or where none are known the texts.
#[derive(Debug, Clone, Copy)]
struct Wrote<'a> {
    digest: Option<&'a [u8; 32]>,
    text: &'a str,
}

impl<'a> Wrote<'a> {
    fn compared(&self) -> (Option<&'a [u8; 32]>, &'a str) {
        (self.digest, if self.digest.is_some() { "" } else { self.text })
    }
}

impl PartialEq for Wrote<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.compared() == other.compared()
    }
}

impl Eq for Wrote<'_> {}

impl Ord for Wrote<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.compared().cmp(&other.compared())
    }
}

impl PartialOrd for Wrote<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

fn key<'a>(entry: &'a RunAnswer, output: Option<&'a str>) -> Key<'a> {
    Key {
        ran: output.is_some(),
        status: entry.status.as_deref(),
        exit_code: entry.exit_code,
        signal: entry.signal.as_deref(),
        phase: entry.phase.as_deref(),
        reason: entry.reason.as_deref(),
        wrote: Wrote {
            digest: entry.whole.as_ref().map(|whole| &whole.digest),
            text: output.unwrap_or_default(),
        },
    }
}

/// How long differences are looked for, all together: outputs that have little in common would take longer than anybody waits.
/// What is found until then still is a difference, only a longer one.
const PATIENCE: Duration = Duration::from_secs(2);

/// What is said of a group whose difference from the last one is in what is not shown.
const DIFFERS: &str =
    "its whole output is not that of the last group, also where what is shown is the same";

fn group(key: &Key<'_>, members: &[&RunAnswer], common: Option<Key<'_>>, until: Instant) -> Group {
    let first = members.first();
    let own =
        |field: fn(&RunAnswer) -> &Option<String>| first.and_then(|entry| field(entry).clone());
    let cut = first.and_then(|entry| entry.missing_bytes);
    // Grouped by all of it; shown as far as there is room, of the first of them.
    let shown = first.and_then(|entry| entry.output.as_deref()).unwrap_or(key.wrote.text);
    let text = key.ran.then(|| shown.to_owned());
    let other = common.filter(|common| key.ran && common.wrote != key.wrote);
    let diff = other.filter(|_| is_whole(key, first)).and_then(|common| {
        let diff = difference(common.wrote.text, key.wrote.text, until);
        Some(diff).filter(|diff| diff.len() < shown.len())
    });
    let differs = other.is_some() && diff.is_none() && cut.is_some();
    Group {
        hosts: hosts(members),
        count: members.len() as u64,
        status: key.status.map(str::to_owned),
        exit_code: key.exit_code,
        signal: key.signal.map(str::to_owned),
        output: text.filter(|_| diff.is_none()),
        missing_bytes: cut.filter(|_| diff.is_none()),
        diff,
        differs: differs.then(|| DIFFERS.to_owned()),
        cleaned: cleaned(members),
        phase: key.phase.map(str::to_owned),
        detail: own(|entry| &entry.detail),
        hint: own(|entry| &entry.hint),
        task_id: own(|entry| &entry.task_id),
    }
}

/// Whether all that was written is at hand, and not only what is shown of it.
fn is_whole(key: &Key<'_>, first: Option<&&RunAnswer>) -> bool {
    let cut = first.is_some_and(|entry| entry.missing_bytes.is_some());
    let text =
        first.and_then(|entry| entry.whole.as_ref()).is_some_and(|whole| whole.text.is_some());
    key.wrote.digest.is_none() || text || !cut
}

/// What was taken out of their output: of all of them the same, or what of whom, the most common first.
fn cleaned(members: &[&RunAnswer]) -> Option<String> {
    let mut notes: BTreeMap<&str, Vec<&RunAnswer>> = BTreeMap::new();
    for entry in members {
        if let Some(note) = &entry.cleaned {
            notes.entry(note).or_default().push(entry);
        }
    }
    let mut notes: Vec<_> = notes.into_iter().collect();
    notes.sort_by_key(|(_, whose)| std::cmp::Reverse(whose.len()));
    let told = |(note, whose): &(&str, Vec<&RunAnswer>)| match whose.len() == members.len() {
        true => (*note).to_owned(),
        false => format!("{note} ({})", shortened(&hosts(whose), MAX_WHOSE)),
    };
    let mut texts: Vec<String> = notes.iter().take(MAX_NOTES).map(told).collect();
    if notes.len() > MAX_NOTES {
        texts.push("and more".to_owned());
    }
    (!texts.is_empty()).then(|| texts.join("; "))
}

/// Most different notes about what was taken out, and most characters of the hosts of one.
const MAX_NOTES: usize = 3;
const MAX_WHOSE: usize = 60;

/// `text` as changes to `common`, line by line.
pub(crate) fn difference(common: &str, text: &str, until: Instant) -> String {
    let diff = TextDiff::configure().deadline(until).diff_lines(common, text);
    let (mut told, mut run) = (String::new(), None::<(char, u64)>);
    let close = |run: &mut Option<(char, u64)>, told: &mut String| {
        if let Some((sign, count)) = run.take() {
            told.push_str(&format!("{sign}{count}\n"));
        }
    };
    for change in diff.iter_all_changes() {
        let sign = match change.tag() {
            ChangeTag::Equal => '=',
            ChangeTag::Delete => '-',
            ChangeTag::Insert => {
                close(&mut run, &mut told);
                told.push('+');
                told.push_str(change.value());
                continue;
            }
        };
        match &mut run {
            Some((same, count)) if *same == sign => *count += 1,
            _ => {
                close(&mut run, &mut told);
                run = Some((sign, 1));
            }
        }
    }
    close(&mut run, &mut told);
    told
}

/// As many groups as fit in `budget` bytes, outputs shortened from their ends where they must be; how many did not fit.
pub(crate) fn within(groups: &[Group], budget: usize) -> (Vec<Group>, u64) {
    let total = groups.len();
    let (mut room, mut kept) = (budget, Vec::new());
    for (place, group) in groups.iter().enumerate() {
        let mut group = group.clone();
        // What is left is shared out among those that are left.
        let share = (room / (total - place)).max(MIN_GROUP + group.hosts.len());
        let size = encoded(&group) + 1;
        if size > share {
            shorten(&mut group, size - share);
        }
        let size = encoded(&group) + 1;
        if size > room && !kept.is_empty() {
            break;
        }
        room = room.saturating_sub(size);
        kept.push(group);
    }
    let missing = (total - kept.len()) as u64;
    (kept, missing)
}

/// Room that a group gets at least beside the names of its hosts, in bytes: a line or two.
const MIN_GROUP: usize = 300;

/// Takes about `over` bytes off what was written.
fn shorten(group: &mut Group, over: usize) {
    // A part of a difference cannot be read; its output would be longer still.
    if let Some(diff) = group.diff.take() {
        group.missing_bytes = Some(group.missing_bytes.unwrap_or(0) + diff.len() as u64);
        group.differs = Some(DIFFERS.to_owned());
        return;
    }
    let Some(output) = &mut group.output else { return };
    let mut keep = output.len().saturating_sub(over + 32);
    while !output.is_char_boundary(keep) {
        keep -= 1;
    }
    group.missing_bytes = Some(group.missing_bytes.unwrap_or(0) + (output.len() - keep) as u64);
    output.truncate(keep);
}

#[cfg(test)]
mod tests {
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
        let told: Vec<_> =
            fold(&entries).into_iter().map(|group| (group.hosts, group.diff)).collect();
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
        let entries: Vec<RunAnswer> =
            (0..20).map(|n| ran(&format!("h{n}"), &other(n), 0)).collect();
        let began = Instant::now();
        let groups = fold(&entries);
        assert_eq!(groups.len(), 20);
        assert!(began.elapsed() < Duration::from_secs(30), "{:?}", began.elapsed());
        let common = groups.last().and_then(|group| group.output.clone()).unwrap();
        for group in &groups {
            let text =
                group.output.clone().or_else(|| Some(patched(&common, group.diff.as_deref()?)));
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
        let mut entries: Vec<RunAnswer> =
            (1..=30).map(|n| cut(&format!("h{n:02}"), &whole)).collect();
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
}
