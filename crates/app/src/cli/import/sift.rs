//! What is written is what our own reader takes: the files are read before they are there, and what it refuses is left out.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::symlink;

use sshepherd_config::hops::Candidate;
use sshepherd_config::{Environment, Folders, ProcessEnvironment};
use sshepherd_model::{Problem, Severity};

use super::texts::{CREDENTIALS, Logins, MADE, SERVERS, Texts};

/// Rounds of leaving out; each says all that is wrong with what is left, so two are usually enough.
const MAX_ROUNDS: usize = 20;

/// Leaves out the hosts that the reader refuses, and says why of each; an error when it takes nothing.
pub(super) fn sift(
    hosts: &mut Vec<Candidate>,
    notes: &mut Vec<String>,
    target: &Folders,
) -> Result<Texts, String> {
    for _ in 0..MAX_ROUNDS {
        let texts = Texts::of(hosts, notes);
        let problems = problems(&texts, target).map_err(|error| error.to_string())?;
        let mut refused: Vec<(usize, String)> = Vec::new();
        for problem in &problems {
            let found = concerned(problem, hosts);
            refused.extend(found.into_iter().map(|at| (at, problem.message.clone())));
        }
        if refused.is_empty() {
            return match problems.first() {
                None => Ok(texts),
                Some(problem) => Err(format!("what is found cannot be written: {problem}")),
            };
        }
        let mut gone = BTreeSet::new();
        for (at, why) in refused {
            if let Some(host) = hosts.get(at).filter(|_| gone.insert(at)) {
                notes.push(format!("{} is left out: {why}", host.reached.alias));
            }
        }
        let mut at = 0;
        hosts.retain(|_| {
            at += 1;
            !gone.contains(&(at - 1))
        });
    }
    Err("what is found cannot be written: it is refused again and again".to_owned())
}

/// An agent is not asked for here: where the server runs there may be one.
struct WithAgent;

impl Environment for WithAgent {
    fn var(&self, name: &str) -> Option<String> {
        ProcessEnvironment.var(name).or_else(|| (name == "SSH_AUTH_SOCK").then(|| "/".to_owned()))
    }
}

/// What the reader finds wrong with these files.
fn problems(texts: &Texts, target: &Folders) -> std::io::Result<Vec<Problem>> {
    let folder = tempfile::Builder::new().prefix("sshepherd-import").tempdir()?;
    for (name, text) in texts.files() {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap_or(folder.path()))?;
        fs::write(path, text)?;
    }
    // It says which networks may be reached.
    let policy = target.config.join("policy.yml");
    if policy.exists() {
        symlink(policy, folder.path().join("policy.yml"))?;
    }
    let folders = Folders { config: folder.path().to_owned(), ..target.clone() };
    let problems = match sshepherd_config::load(&folders, &WithAgent) {
        Ok(loaded) => loaded.warnings,
        Err(report) => report.problems,
    };
    Ok(problems.into_iter().filter(refused).collect())
}

/// Whether the reader does not take what is written. That a key or an agent is not there is no reason: it may be, later.
fn refused(problem: &Problem) -> bool {
    let of = |name: &str| problem.file.ends_with(name);
    match problem.severity {
        Severity::Error => of(SERVERS) || of(MADE) || of(CREDENTIALS),
        Severity::Unusable => of(CREDENTIALS) && problem.field.ends_with(".username"),
        Severity::Warning => false,
    }
}

/// The places of the hosts that a problem speaks of.
fn concerned(problem: &Problem, hosts: &[Candidate]) -> Vec<usize> {
    let made = problem.file.ends_with(MADE);
    let places = |wanted: &dyn Fn(&Candidate) -> bool| -> Vec<usize> {
        let found = hosts.iter().enumerate().filter(|(_, host)| wanted(host));
        found.map(|(at, _)| at).collect()
    };
    if let Some(number) = numbered(&problem.field, "hosts[") {
        let of_file = places(&|host| host.made == made);
        return of_file.get(number).copied().into_iter().collect();
    }
    let Some(number) = numbered(&problem.field, "entries[") else { return Vec::new() };
    let logins = Logins::of(hosts);
    let order = logins.order();
    let Some(name) = order.get(number) else { return Vec::new() };
    places(&|host| logins.name(&host.reached) == *name)
}

/// The number in `hosts[7].alias`.
fn numbered(field: &str, list: &str) -> Option<usize> {
    field.strip_prefix(list)?.split_once(']')?.0.parse().ok()
}
