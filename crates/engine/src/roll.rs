//! Going over many hosts: batch after batch, some at a time in each, until all have answered or there is a reason to stop.

use std::sync::{Mutex, PoisonError};

use futures::future::BoxFuture;
use futures::{FutureExt, StreamExt};
use sshepherd_model::{Alias, Outcome, Rollout};
use tokio_util::sync::CancellationToken;

use crate::fan_out::HostReport;
use crate::refusal::Refusal;

/// What is done with one host.
pub(crate) trait OnHost: Sync {
    /// Runs the command there; `stop` fires when it is to be stopped.
    fn run<'a>(&'a self, alias: Alias, stop: &'a CancellationToken) -> BoxFuture<'a, HostReport>;

    /// Whether the gate's command went well there.
    fn passes<'a>(&'a self, alias: &'a Alias, stop: &'a CancellationToken) -> BoxFuture<'a, bool>;
}

/// Why no host is begun any more; the first reason stays.
#[derive(Default)]
struct Halt(Mutex<Option<String>>);

impl Halt {
    fn because(&self, why: impl FnOnce() -> String) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert_with(why);
    }

    fn why(&self) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Goes over `hosts`, at most `parallel` at a time; `done` is called with the count so far and the total. One report a host, in
/// the order of `hosts`.
pub(crate) async fn roll<W: OnHost>(
    hosts: Vec<Alias>,
    rollout: &Rollout,
    parallel: usize,
    cancel: &CancellationToken,
    work: &W,
    done: impl FnMut(usize, usize) + Send,
) -> Vec<HostReport> {
    let (stop, halt) = (cancel.child_token(), Halt::default());
    let going = over(hosts, rollout, parallel, (&stop, &halt), work, done);
    let Some(deadline) = rollout.deadline else { return going.await };
    tokio::pin!(going);
    tokio::select! {
        biased;
        reports = &mut going => return reports,
        () = tokio::time::sleep(deadline) => {}
    }
    halt.because(|| format!("the deadline of {} s had passed", deadline.as_secs()));
    // Those under way are stopped, and say how.
    stop.cancel();
    going.await
}

async fn over<W: OnHost>(
    hosts: Vec<Alias>,
    rollout: &Rollout,
    parallel: usize,
    (stop, halt): (&CancellationToken, &Halt),
    work: &W,
    mut done: impl FnMut(usize, usize) + Send,
) -> Vec<HostReport> {
    let total = hosts.len();
    let most = rollout.stop_after.map(|share| share.of(total));
    let (mut reports, mut failed) = (Vec::with_capacity(total), 0);
    let mut rest = hosts.into_iter();
    for size in rollout.batches(total) {
        let batch: Vec<Alias> = rest.by_ref().take(size).collect();
        let runs: Vec<_> = batch
            .iter()
            .cloned()
            .enumerate()
            .map(|(place, alias)| {
                async move { (place, unless_halted(alias, (stop, halt), work).await) }.boxed()
            })
            .collect();
        // Each begins when it is its turn.
        let mut answers = futures::stream::iter(runs).buffer_unordered(parallel.max(1));
        let first = reports.len();
        let mut answered: Vec<(usize, HostReport)> = Vec::with_capacity(size);
        while let Some((place, report)) = answers.next().await {
            failed += usize::from(!went_well(&report));
            if most.is_some_and(|most| failed >= most) {
                halt.because(|| {
                    format!("{failed} hosts had failed, and stop_after allows no more")
                });
            }
            answered.push((place, report));
            done(first + answered.len(), total);
        }
        answered.sort_by_key(|(place, _)| *place);
        reports.extend(answered.into_iter().map(|(_, report)| report));
        if rollout.gate.is_some() && reports.len() < total && halt.why().is_none() {
            gate(&batch, parallel, (stop, halt), work).await;
        }
    }
    reports
}

async fn unless_halted<W: OnHost>(
    alias: Alias,
    (stop, halt): (&CancellationToken, &Halt),
    work: &W,
) -> HostReport {
    match halt.why() {
        Some(why) => HostReport { alias, result: Err(Refusal::NotBegun { why }) },
        None => work.run(alias, stop).await,
    }
}

/// Runs the gate's command on the hosts of a batch; one that fails it ends the rollout.
async fn gate<W: OnHost>(
    batch: &[Alias],
    parallel: usize,
    (stop, halt): (&CancellationToken, &Halt),
    work: &W,
) {
    let looks: Vec<_> = batch
        .iter()
        .map(|alias| async move { (alias, work.passes(alias, stop).await) }.boxed())
        .collect();
    let mut looks = futures::stream::iter(looks).buffer_unordered(parallel.max(1));
    while let Some((alias, passes)) = looks.next().await {
        if !passes {
            halt.because(|| format!("the gate failed on {alias}"));
        }
    }
}

fn went_well(report: &HostReport) -> bool {
    matches!(&report.result, Ok(finished) if finished.outcome == Outcome::Exited { status: 0 })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use sshepherd_model::Request;

    use super::*;

    /// Notes who was begun; `bad` are refused, `slow` wait until they are stopped, `locked` fail the gate. Named as a fake: it
    /// connects to nothing.
    #[derive(Default)]
    struct FakeHosts {
        begun: Mutex<Vec<String>>,
        gates: Mutex<BTreeSet<String>>,
        now: AtomicUsize,
        most: AtomicUsize,
        slow: Vec<&'static str>,
        locked: Vec<&'static str>,
    }

    impl OnHost for FakeHosts {
        fn run<'a>(
            &'a self,
            alias: Alias,
            stop: &'a CancellationToken,
        ) -> BoxFuture<'a, HostReport> {
            async move {
                self.begun.lock().unwrap().push(alias.to_string());
                let now = self.now.fetch_add(1, Ordering::SeqCst) + 1;
                self.most.fetch_max(now, Ordering::SeqCst);
                if self.slow.contains(&alias.as_str()) {
                    stop.cancelled().await;
                } else {
                    tokio::task::yield_now().await;
                }
                self.now.fetch_sub(1, Ordering::SeqCst);
                // Every report of these hosts is one of a failure: the count is what is looked at.
                HostReport { alias, result: Err(Refusal::NotReached) }
            }
            .boxed()
        }

        fn passes<'a>(&'a self, alias: &'a Alias, _: &'a CancellationToken) -> BoxFuture<'a, bool> {
            self.gates.lock().unwrap().insert(alias.to_string());
            futures::future::ready(!self.locked.contains(&alias.as_str())).boxed()
        }
    }

    fn hosts(count: usize) -> Vec<Alias> {
        (0..count).map(|n| format!("h{n}").parse().unwrap()).collect()
    }

    async fn go(fake: &FakeHosts, count: usize, parallel: usize, rollout: &Rollout) -> Vec<String> {
        let stop = CancellationToken::new();
        let reports = roll(hosts(count), rollout, parallel, &stop, fake, |_, _| {}).await;
        let order: Vec<&str> = reports.iter().map(|report| report.alias.as_str()).collect();
        let wanted = hosts(count);
        assert_eq!(
            order,
            wanted.iter().map(Alias::as_str).collect::<Vec<_>>(),
            "one report a host, in order"
        );
        reports.iter().map(|report| report.result.as_ref().unwrap_err().to_string()).collect()
    }

    #[tokio::test]
    async fn no_more_than_so_many_at_a_time() {
        let fake = FakeHosts::default();
        go(&fake, 20, 3, &Rollout::default()).await;
        assert_eq!((fake.begun.lock().unwrap().len(), fake.most.load(Ordering::SeqCst)), (20, 3));
    }

    #[tokio::test]
    async fn what_fails_too_often_is_not_begun_elsewhere() {
        let fake = FakeHosts::default();
        let rollout = Rollout {
            canary: true,
            batch: Some("3".parse().unwrap()),
            stop_after: Some("4".parse().unwrap()),
            ..Rollout::default()
        };
        let told = go(&fake, 10, 1, &rollout).await;
        assert_eq!(*fake.begun.lock().unwrap(), ["h0", "h1", "h2", "h3"]);
        assert!(told[4].contains("4 hosts had failed"), "{}", told[4]);
    }

    #[tokio::test]
    async fn a_gate_that_fails_ends_it_between_two_batches() {
        let fake = FakeHosts { locked: vec!["h3"], ..FakeHosts::default() };
        let rollout = Rollout {
            batch: Some("2".parse().unwrap()),
            gate: Some(Request::new("true").unwrap()),
            ..Rollout::default()
        };
        let told = go(&fake, 6, 8, &rollout).await;
        assert_eq!(fake.begun.lock().unwrap().len(), 4);
        assert_eq!(told[5], "not begun: the gate failed on h3");
        let gates: Vec<String> = fake.gates.lock().unwrap().iter().cloned().collect();
        assert_eq!(gates, ["h0", "h1", "h2", "h3"], "none after the last batch that began");
    }

    #[tokio::test]
    async fn the_deadline_stops_what_runs_and_begins_nothing_more() {
        let fake = FakeHosts { slow: vec!["h0"], ..FakeHosts::default() };
        let rollout = Rollout { deadline: Some(Duration::from_secs(1)), ..Rollout::default() };
        let told = go(&fake, 4, 1, &rollout).await;
        assert_eq!(*fake.begun.lock().unwrap(), ["h0"]);
        assert_eq!(told[1], "not begun: the deadline of 1 s had passed");
    }
}
