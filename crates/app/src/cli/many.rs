//! `run` on many hosts: what is shown while it runs, and what came of it.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

use sshepherd_engine::{Engine, HostReport, Refusal};
use sshepherd_model::{Request, Rollout, Targets, names};
use tokio_util::sync::CancellationToken;

use super::context::{self, origin};
use super::exit::Exit;
use super::folded::folded;
use super::progress::Progress;
use super::{out, run};
use crate::answer::{self, MAX_SLOW, RunAnswer};

/// How results are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sight {
    /// One document.
    Json,
    /// Hosts with the same result together.
    Folded,
    /// Each line behind its host's name.
    PerHost,
}

impl Sight {
    /// The one that the options ask for.
    pub(crate) fn of(json: bool, per_host: bool) -> Self {
        match (json, per_host) {
            (true, _) => Self::Json,
            (false, true) => Self::PerHost,
            (false, false) => Self::Folded,
        }
    }
}

/// Runs `request` on all of `targets` and shows what came of it.
pub(crate) async fn run(
    sight: Sight,
    engine: &Engine,
    targets: &Targets,
    (request, rollout): (&Request, &Rollout),
    stop: &CancellationToken,
) -> Exit {
    let hosts = targets.select(&engine.config().inventory).unwrap_or_default();
    let hosts: BTreeSet<_> = hosts.iter().map(|host| host.alias.clone()).collect();
    let progress = Progress::begin(engine, request, hosts);
    let fan_out = engine
        .fan_out(targets, (request, rollout), &origin(), stop, |report, (done, _)| {
            progress.answered(report, done);
        })
        .await;
    drop(progress);
    let fan_out = match fan_out {
        Ok(fan_out) => fan_out,
        Err(refusal) => return none_ran(sight, targets, request, &refusal),
    };
    if fan_out.hosts.is_empty() {
        out::complain(&format!("{targets}: no host"));
    }
    let (exit, answers) = shown(sight, engine, &fan_out.hosts, request).await;
    match sight {
        Sight::Json => out::json(&answer::tagged(targets, answers, usize::MAX / 2)),
        Sight::Folded | Sight::PerHost => summary(&fan_out.hosts, &answers, fan_out.hosts.len()),
    }
    exit
}

/// Shows what came of these hosts, but for a document: whoever writes one has more to say there. What was shown is not in the
/// answers any more, and what many hosts wrote alike is kept once.
pub(super) async fn shown(
    sight: Sight,
    engine: &Engine,
    reports: &[HostReport],
    request: &Request,
) -> (Exit, Vec<RunAnswer>) {
    let mut exit = Exit::Done;
    let mut answers = Vec::with_capacity(reports.len());
    let (mut outputs, mut known) = (Vec::new(), HashSet::<Arc<str>>::new());
    for report in reports {
        exit = exit.worse(match &report.result {
            Ok(finished) => run::exit_of(&finished.outcome),
            Err(refusal) => run::exit_of_refusal(refusal),
        });
        let mut answer = match &report.result {
            Ok(finished) => run::whole(engine, finished).await,
            Err(refusal) => answer::could_not_start(&report.alias, request, refusal),
        };
        if sight == Sight::PerHost {
            per_host(report, &answer);
        }
        if sight != Sight::Json {
            let output = answer.output.take().filter(|_| sight == Sight::Folded);
            outputs.push(output.map(|text| once(&mut known, text)));
        }
        answers.push(answer);
    }
    if sight == Sight::Folded {
        folded(answers.iter().zip(outputs.iter().map(Option::as_deref)), out::text);
        raw(&answers);
    }
    (exit, answers)
}

/// The same text, kept once however often it comes.
fn once(known: &mut HashSet<Arc<str>>, text: String) -> Arc<str> {
    if let Some(same) = known.get(text.as_str()) {
        return Arc::clone(same);
    }
    let text: Arc<str> = text.into();
    known.insert(Arc::clone(&text));
    text
}

fn per_host(HostReport { alias, result }: &HostReport, answer: &RunAnswer) {
    match result {
        Ok(finished) => {
            for line in answer.output.as_deref().unwrap_or_default().lines() {
                out::line(&format!("{alias}: {line}"));
            }
            run::tell(alias, finished);
        }
        Err(refusal) => run::tell_refusal(alias, refusal),
    }
}

/// Says where a full shell ran the raw text.
fn raw(answers: &[RunAnswer]) {
    let hosts = answers.iter().filter(|answer| answer.raw_shell == Some(true));
    let hosts = names::fold(hosts.filter_map(|answer| answer.alias.as_deref()));
    if !hosts.is_empty() {
        out::complain(&format!(
            "{hosts}: the raw text was run by a full shell (shell: unrestricted)"
        ));
    }
}

/// What kept a command from all hosts of a tag.
fn none_ran(sight: Sight, targets: &Targets, request: &Request, refusal: &Refusal) -> Exit {
    if let Refusal::GateDenied(denied) = refusal {
        if sight == Sight::Json {
            out::json(&answer::gate_denied(denied));
        }
        out::complain(&format!("{targets}: {denied}\n  {}", denied.denial.hint));
        return Exit::Denied;
    }
    let Refusal::ApprovalRequired(asked) = refusal else {
        if let Refusal::Selector(bad) = refusal {
            out::complain(&bad.to_string());
            return Exit::Usage;
        }
        out::complain(&format!("{targets}: {}", context::chain(refusal)));
        return Exit::Failed;
    };
    if sight == Sight::Json {
        out::json(&answer::asked_for_all(request, asked));
    }
    out::complain(&format!(
        "{targets}: a person must say yes first, once for {} hosts\n  sshepherd approvals approve {} shows it and asks; then run it again",
        asked.about.host_count, asked.id
    ));
    Exit::Denied
}

/// How many of `all` went well, who did not, and who took longest.
pub(super) fn summary(reports: &[HostReport], answers: &[RunAnswer], all: usize) {
    let bad = reports.iter().filter(|report| !report.went_well());
    let bad: Vec<&str> = bad.map(|report| report.alias.as_str()).collect();
    let good = reports.len() - bad.len();
    let mut words = format!("{good} of {all} hosts done");
    if !bad.is_empty() {
        words.push_str(&format!("; not done: {}", names::fold(bad)));
    }
    let slowest = answer::slowest(answers, MAX_SLOW);
    if reports.len() > 1 && !slowest.is_empty() {
        let slowest: Vec<String> = slowest
            .iter()
            .map(|slow| {
                let tenths = slow.duration_ms / 100;
                format!("{} {}.{} s", slow.alias, tenths / 10, tenths % 10)
            })
            .collect();
        words.push_str(&format!("; slowest: {}", slowest.join(", ")));
    }
    out::say(&words);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_many_hosts_wrote_alike_is_kept_once() {
        let mut known = HashSet::new();
        let [one, same, other] = ["a\n", "a\n", "b\n"].map(|text| once(&mut known, text.into()));
        assert!(Arc::ptr_eq(&one, &same));
        assert_eq!((&*one, &*other, known.len()), ("a\n", "b\n", 2));
    }
}
