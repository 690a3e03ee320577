//! The packs against the real programs: whatever the rules admit changes nothing, runs nothing else, reaches out nowhere, prints
//! no environment and ends.
//!
//! A slice runs each time, for the programs that are here. `scripts/packs` installs the others and tries up to
//! `SSHEPHERD_PACKS` calls of each rule, spread over all that there are; of the pack `SSHEPHERD_PACK`, when it is set.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use sshepherd_config::packs::PACKS;
use sshepherd_policy::{Action, Rule};

use crate::admitted::calls;
use crate::folder::Folder;
use crate::traced::{Bench, found};

/// Calls of each rule in the slice.
const SLICE: usize = 2;
/// So many times as many of each rule of `ps`, where one option may change what another means.
const OF_PS: usize = 8;

fn rules(pack: &str) -> Vec<Rule> {
    let folder = Folder::sound();
    folder.write("policy.yml", &format!("include: [{pack}]\n"));
    let rules = folder.load().unwrap().policy.rules().to_vec();
    rules.into_iter().filter(|rule| rule.action == Action::Allow).collect()
}

fn program(rule: &Rule) -> &str {
    rule.spec.as_ref().map_or("", |spec| spec.program().base())
}

/// Runs the calls, two at a time.
fn tried(bench: &Bench, calls: &[Vec<String>]) -> Vec<String> {
    let (next, hits) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for worker in 0..2 {
            let (next, hits) = (&next, &hits);
            scope.spawn(move || {
                while let Some(argv) = calls.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let did = bench.run(argv, worker);
                    if !did.is_empty() {
                        let text = format!("{}: {}", argv.join(" "), did.join("; "));
                        hits.lock().unwrap_or_else(PoisonError::into_inner).push(text);
                    }
                }
            });
        }
    });
    hits.into_inner().unwrap_or_else(PoisonError::into_inner)
}

#[test]
fn whatever_the_packs_admit_is_harmless_in_the_real_programs() {
    let most = std::env::var("SSHEPHERD_PACKS").ok().and_then(|most| most.parse().ok());
    let most: usize = most.unwrap_or(SLICE);
    let bench = Bench::new();
    let mut hits = Vec::new();
    let mut ran = 0;
    let only = std::env::var("SSHEPHERD_PACK").ok().filter(|name| !name.is_empty());
    let packs = PACKS.iter().filter(|pack| only.as_ref().is_none_or(|only| only == pack.name));
    for rule in packs.flat_map(|pack| rules(pack.name)) {
        let program = program(&rule);
        let most = most * if program == "ps" { OF_PS } else { 1 };
        let (calls, there) = calls(&rule, &bench.pid(), most);
        assert!(there > 0, "{}: nothing that it admits was made", rule.id);
        if found(program).is_none() {
            println!("{}: {there} calls; {program} is not here", rule.id);
            continue;
        }
        let found = tried(&bench, &calls);
        println!("{}: {} of {there} calls, {} hits", rule.id, calls.len(), found.len());
        ran += calls.len();
        hits.extend(found.into_iter().map(|hit| format!("{}: {hit}", rule.id)));
    }
    println!("{ran} calls, traced: {}, {} hits", bench.traces(), hits.len());
    assert!(hits.is_empty(), "{}", hits.join("\n"));
}

/// The fault that this is about: two formats together make procps read every word again, and then `e` prints environments.
#[test]
fn the_canary_is_seen_where_a_call_prints_environments() {
    if found("ps").is_none() {
        return;
    }
    let bench = Bench::new();
    let argv = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
    let pid = bench.pid();
    for call in [format!("ps eww {pid}"), format!("ps -ef -o args -p {pid}")] {
        let did = bench.run(&argv(&call), 0);
        assert!(did.iter().any(|what| what == "prints an environment"), "{call}: {did:?}");
    }
    assert_eq!(bench.run(&argv(&format!("ps -eo args -p {pid}")), 0), [] as [&str; 0]);
    if bench.traces() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let did = bench
            .run(&["cp".to_owned(), "/dev/null".to_owned(), file.path().display().to_string()], 0);
        assert!(did.iter().any(|what| what.contains("for writing")), "{did:?}");
        let did = bench.run(&argv("env true"), 0);
        assert!(did.iter().any(|what| what.starts_with("runs ")), "{did:?}");
    }
}
