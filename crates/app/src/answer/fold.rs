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
mod tests;
