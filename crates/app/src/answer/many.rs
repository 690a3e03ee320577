//! What came of many hosts: an entry for each or, where those do not fit, groups of them, page after page.

use sshepherd_model::Targets;

use super::{Group, RunAnswer, TagAnswer, TagSummary, encoded, fold, shorten};

/// Most characters of a selector that are repeated.
const MAX_SELECTOR: usize = 200;
/// Most bytes that name the hosts of one group: several fit on a page.
const MAX_HOSTS: usize = 1000;
/// How many of the slowest hosts are named.
pub(crate) const MAX_SLOW: usize = 3;

/// What came of a fan-out, in at most `budget` bytes: an entry a host or, where those do not fit, groups of hosts.
pub(crate) fn tagged(targets: &Targets, entries: Vec<RunAnswer>, budget: usize) -> TagAnswer {
    each(targets, entries, budget).unwrap_or_else(|folded| folded.page(0, budget))
}

/// An entry a host if those fit in `budget` bytes, else the groups.
pub(crate) fn each(
    targets: &Targets,
    entries: Vec<RunAnswer>,
    budget: usize,
) -> Result<TagAnswer, Folded> {
    let mut answer = head(targets, &entries);
    if entries.is_empty() {
        answer.results = Some(Vec::new());
        answer.note = Some(match targets {
            Targets::Tag(tag) => {
                format!("no host has the tag {tag}; ssh://hosts lists every host with its tags")
            }
            Targets::On(_) => {
                "the selector takes no host; ssh_list_hosts shows what one takes".to_owned()
            }
        });
        return Ok(answer);
    }
    answer.results = Some(entries);
    if encoded(&answer) <= budget {
        return Ok(answer);
    }
    Err(Folded::of(targets, &answer.results.unwrap_or_default()))
}

/// All groups of a fan-out, and what stands on each of their pages.
#[derive(Debug)]
pub(crate) struct Folded {
    head: TagAnswer,
    groups: Vec<Group>,
}

impl Folded {
    /// The hosts in groups.
    pub(crate) fn of(targets: &Targets, entries: &[RunAnswer]) -> Self {
        let slowest = Some(fold::slowest(entries, MAX_SLOW));
        let head = TagAnswer { slowest, ..head(targets, entries) };
        Self { head, groups: fold::fold(fold::own(entries), MAX_HOSTS) }
    }

    /// The groups from `from` on that fit in `budget` bytes.
    pub(crate) fn page(&self, from: usize, budget: usize) -> TagAnswer {
        let mut answer = self.head.clone();
        // Room for the note.
        let room = budget.saturating_sub(encoded(&answer) + 250);
        let (groups, missing) = fold::within(self.groups.get(from..).unwrap_or_default(), room);
        answer.missing_groups = (missing > 0).then_some(missing);
        answer.next_cursor = (missing > 0).then_some((from + groups.len()) as u64);
        answer.note = Some(
            "hosts with the same result stand together; a diff is against the output of the last group; a group's task_id \
             has the whole output of its first host"
                .to_owned(),
        );
        answer.groups = Some(groups);
        answer
    }

    /// How many groups there are.
    pub(crate) fn len(&self) -> usize {
        self.groups.len()
    }

    /// About how many bytes it takes.
    pub(crate) fn bytes(&self) -> usize {
        self.groups.iter().map(|group| encoded(group) + size_of::<Group>()).sum()
    }
}

/// What is said however the hosts are told.
fn head(targets: &Targets, entries: &[RunAnswer]) -> TagAnswer {
    let mut answer = TagAnswer { summary: Some(summary(entries)), ..TagAnswer::default() };
    match targets {
        Targets::Tag(tag) => answer.tag = Some(tag.to_string()),
        Targets::On(selector) => {
            answer.selector = Some(shorten(&selector.to_string(), MAX_SELECTOR));
        }
    }
    answer
}

fn summary(entries: &[RunAnswer]) -> TagSummary {
    let mut summary = TagSummary { hosts: entries.len() as u64, ..TagSummary::default() };
    for entry in entries {
        match entry.status.as_deref() {
            Some("completed") => summary.completed += 1,
            Some("denied") => summary.denied += 1,
            Some("could_not_connect") => summary.could_not_connect += 1,
            Some(_) | None => summary.failed += 1,
        }
    }
    summary
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn entry(alias: &str, status: &str) -> RunAnswer {
        RunAnswer {
            alias: Some(alias.to_owned()),
            status: Some(status.to_owned()),
            output: Some("x".repeat(100)),
            ..RunAnswer::default()
        }
    }

    #[test]
    fn a_fan_out_that_does_not_fit_is_told_in_groups() {
        let targets = Targets::Tag("all".parse().unwrap());
        let entries: Vec<RunAnswer> = (0..100)
            .map(|i| entry(&format!("h{i}"), if i == 77 { "failed" } else { "completed" }))
            .collect();
        let answer = tagged(&targets, entries, 2048);
        assert!(encoded(&answer) <= 2048, "{}", encoded(&answer));
        let groups = answer.groups.unwrap();
        let told: Vec<_> = groups.iter().map(|group| (group.hosts.as_str(), group.count)).collect();
        assert_eq!(told, [("h77", 1), ("h[0-76,78-99]", 99)]);
        assert_eq!((answer.summary.unwrap().completed, answer.missing_groups), (99, None));
    }

    #[test]
    fn a_tag_without_hosts_is_an_empty_list_with_a_note() {
        let targets = Targets::Tag("none".parse().unwrap());
        let answer = tagged(&targets, Vec::new(), 8192);
        assert_eq!(answer.results.map(|results| results.len()), Some(0));
        assert!(answer.note.unwrap().contains("no host has the tag none"));
    }

    /// Names that have nothing in common are no reason to go beyond the budget.
    #[test]
    fn hosts_that_are_too_many_to_name_at_once_are_told_on_several_pages() {
        let targets = Targets::On("*".parse().unwrap());
        // Letters alone, so that nothing is a range.
        let name = |n: u32| -> String {
            (0..8).filter_map(|place| char::from_digit(10 + (n >> (2 * place) & 3), 16)).collect()
        };
        let names: BTreeSet<String> = (0..10_000).map(name).collect();
        let entries: Vec<RunAnswer> = names.iter().map(|name| entry(name, "completed")).collect();
        let folded = Folded::of(&targets, &entries);
        let (mut told, mut from) = (BTreeSet::new(), 0);
        loop {
            let page = folded.page(from, 4096);
            assert!(encoded(&page) <= 4096, "{}", encoded(&page));
            let groups = page.groups.unwrap();
            for group in &groups {
                let hosts: Vec<&str> = group.hosts.split(',').collect();
                assert_eq!(
                    (hosts.len() as u64, group.status.as_deref()),
                    (group.count, Some("completed"))
                );
                assert!(group.output.is_some() && group.missing_bytes.is_none());
                told.extend(hosts.into_iter().map(str::to_owned));
            }
            let Some(next) = page.next_cursor else { break };
            from = usize::try_from(next).unwrap();
        }
        assert_eq!(told, names);
    }
}
