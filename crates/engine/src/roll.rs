//! Going over many hosts: batch after batch, some at a time in each, until all have answered or there is a reason to stop.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use futures::{FutureExt, StreamExt};
use sshepherd_model::{Alias, Outcome, Rollout};
use tokio_util::sync::CancellationToken;

use crate::fan_out::HostReport;
use crate::refusal::Refusal;
use crate::turns::Turn;

/// What is done with one host.
pub(crate) trait OnHost: Sync {
    /// What became of the host before, when another server had begun.
    fn known<'a>(&'a self, _alias: &'a Alias) -> BoxFuture<'a, Option<HostReport>> {
        futures::future::ready(None).boxed()
    }

    /// Whether another server has begun it: then it is under way, whatever ends the fan-out.
    fn has_begun(&self, _alias: &Alias) -> bool {
        false
    }

    /// Waits until the host at this place may be begun.
    fn enter<'a>(&'a self, place: usize, alias: &'a Alias) -> BoxFuture<'a, Entry>;

    /// Runs the command there; `stop` fires when it is to be stopped.
    fn run<'a>(
        &'a self,
        alias: Alias,
        turn: Turn,
        stop: &'a CancellationToken,
    ) -> BoxFuture<'a, HostReport>;

    /// Whether the gate's command went well there.
    fn passes<'a>(&'a self, alias: &'a Alias, stop: &'a CancellationToken) -> BoxFuture<'a, bool>;

    /// A host has its report.
    fn done<'a>(&'a self, report: &'a HostReport) -> BoxFuture<'a, ()>;
}

/// What becomes of a host whose turn has come.
pub(crate) enum Entry {
    /// It may be begun.
    Turn(Turn),
    /// It is to be left out.
    LeftOut,
    /// No host may be begun any more, for this reason.
    Over(&'static str),
}

/// Why a host is not begun that a caller had left out.
pub(crate) const LEFT_OUT: &str = "cancelled";

/// Why no host is begun any more; the first reason stays.
#[derive(Default)]
struct Halt {
    why: Mutex<Option<String>>,
    now: CancellationToken,
}

impl Halt {
    fn because(&self, why: impl FnOnce() -> String) {
        self.why.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert_with(why);
        self.now.cancel();
    }

    fn why(&self) -> Option<String> {
        self.why.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Goes over `hosts`, which have been gone over for so long already. One report a host, in the order of `hosts`. With a reason why
/// none may be begun from the outset, only what others have begun is seen to its end.
pub(crate) async fn roll<W: OnHost>(
    hosts: Vec<Alias>,
    (rollout, before): (&Rollout, Duration),
    held_back: Option<String>,
    cancel: &CancellationToken,
    work: &W,
) -> Vec<HostReport> {
    let (stop, halt) = (cancel.child_token(), Halt::default());
    if let Some(why) = held_back {
        halt.because(|| why);
    }
    let going = over(hosts, rollout, (&stop, &halt), work);
    let Some(deadline) = rollout.deadline else { return going.await };
    tokio::pin!(going);
    tokio::select! {
        biased;
        reports = &mut going => return reports,
        () = tokio::time::sleep(deadline.saturating_sub(before)) => {}
    }
    halt.because(|| format!("the deadline of {} s had passed", deadline.as_secs()));
    // Those under way are stopped, and say how.
    stop.cancel();
    going.await
}

async fn over<W: OnHost>(
    hosts: Vec<Alias>,
    rollout: &Rollout,
    (stop, halt): (&CancellationToken, &Halt),
    work: &W,
) -> Vec<HostReport> {
    let total = hosts.len();
    let most = rollout.stop_after.map(|share| share.of(total));
    let (mut reports, mut failed) = (Vec::with_capacity(total), 0);
    let mut rest = hosts.into_iter().enumerate();
    for size in rollout.batches(total) {
        let mut answers: FuturesUnordered<_> = rest
            .by_ref()
            .take(size)
            .map(|(place, alias)| async move {
                let report = on_one((place, alias), (stop, halt), work).await;
                work.done(&report).await;
                (place, report)
            })
            .collect();
        let mut answered: Vec<(usize, HostReport)> = Vec::with_capacity(size);
        while let Some((place, report)) = answers.next().await {
            failed += usize::from(failed_there(&report));
            if most.is_some_and(|most| failed >= most) {
                halt.because(|| {
                    format!("{failed} hosts had failed, and stop_after allows no more")
                });
            }
            answered.push((place, report));
        }
        drop(answers);
        answered.sort_by_key(|(place, _)| *place);
        let more = reports.len() + answered.len() < total;
        if rollout.gate.is_some() && more && halt.why().is_none() {
            gate(&answered, (stop, halt), work).await;
        }
        reports.extend(answered.into_iter().map(|(_, report)| report));
    }
    reports
}

async fn on_one<W: OnHost>(
    (place, alias): (usize, Alias),
    (stop, halt): (&CancellationToken, &Halt),
    work: &W,
) -> HostReport {
    let not_begun = |alias, why: &str| HostReport {
        alias,
        result: Err(Refusal::NotBegun { why: why.to_owned() }),
    };
    if let Some(report) = work.known(&alias).await {
        return report;
    }
    let begun = work.has_begun(&alias);
    let entry = tokio::select! {
        biased;
        () = halt.now.cancelled(), if !begun => None,
        () = stop.cancelled(), if !begun => {
            return HostReport { alias, result: Err(Refusal::NotReached) };
        }
        entry = work.enter(place, &alias) => Some(entry),
    };
    match (entry, halt.why()) {
        (Some(Entry::Turn(turn)), why) if begun || why.is_none() => {
            work.run(alias, turn, stop).await
        }
        (Some(Entry::LeftOut), _) => not_begun(alias, LEFT_OUT),
        (Some(Entry::Over(why)), None) => {
            halt.because(|| why.to_owned());
            not_begun(alias, why)
        }
        (_, why) => not_begun(alias, &why.unwrap_or_default()),
    }
}

/// Runs the gate's command on the hosts of a batch; one that fails it ends the rollout.
async fn gate<W: OnHost>(
    batch: &[(usize, HostReport)],
    (stop, halt): (&CancellationToken, &Halt),
    work: &W,
) {
    let mut looks: FuturesUnordered<_> = batch
        .iter()
        .filter(|(_, report)| !left_out(report))
        .map(|(place, report)| async move {
            let alias = &report.alias;
            let entry = tokio::select! {
                biased;
                () = stop.cancelled() => Entry::LeftOut,
                entry = work.enter(*place, alias) => entry,
            };
            match entry {
                Entry::Turn(_turn) => {
                    let failed = !work.passes(alias, stop).await;
                    failed.then(|| format!("the gate failed on {alias}"))
                }
                // One that is left out now says nothing about the others.
                Entry::LeftOut => None,
                Entry::Over(why) => Some(why.to_owned()),
            }
        })
        .collect();
    while let Some(failed) = looks.next().await {
        if let Some(why) = failed {
            halt.because(|| why);
        }
    }
}

fn left_out(report: &HostReport) -> bool {
    matches!(&report.result, Err(Refusal::NotBegun { why }) if why == LEFT_OUT)
}

/// Whether it counts as a failure: what a caller stopped there alone does not.
fn failed_there(report: &HostReport) -> bool {
    match &report.result {
        Ok(finished) => {
            !matches!(finished.outcome, Outcome::Exited { status: 0 } | Outcome::Cancelled { .. })
        }
        Err(_) => !left_out(report),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use sshepherd_model::Request;

    use super::*;
    use crate::turns::{Bounds, Queue, Turns};

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
        left_out: Vec<&'static str>,
        over: Vec<&'static str>,
        under_way: Vec<&'static str>,
        queue: OnceLock<Queue>,
    }

    impl OnHost for FakeHosts {
        fn has_begun(&self, alias: &Alias) -> bool {
            self.under_way.contains(&alias.as_str())
        }

        fn enter<'a>(&'a self, place: usize, alias: &'a Alias) -> BoxFuture<'a, Entry> {
            if self.left_out.contains(&alias.as_str()) {
                return futures::future::ready(Entry::LeftOut).boxed();
            }
            if self.over.contains(&alias.as_str()) {
                return futures::future::ready(Entry::Over("it is over")).boxed();
            }
            async move { Entry::Turn(self.queue.get().unwrap().turn(place, Vec::new()).await) }
                .boxed()
        }

        fn done<'a>(&'a self, _: &'a HostReport) -> BoxFuture<'a, ()> {
            futures::future::ready(()).boxed()
        }

        fn run<'a>(
            &'a self,
            alias: Alias,
            turn: Turn,
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
                drop(turn);
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
        let bounds = Bounds { all: 100, each: parallel, behind_one: 1, aside: 0 };
        fake.queue.set(Turns::default().queue(bounds)).unwrap();
        let rollout = (rollout, Duration::ZERO);
        let reports = roll(hosts(count), rollout, None, &stop, fake).await;
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
    async fn one_that_is_left_out_is_no_failure_and_has_no_gate() {
        let fake = FakeHosts { left_out: vec!["h0"], ..FakeHosts::default() };
        let rollout = Rollout {
            batch: Some("2".parse().unwrap()),
            stop_after: Some("2".parse().unwrap()),
            gate: Some(Request::new("true").unwrap()),
            ..Rollout::default()
        };
        let told = go(&fake, 6, 8, &rollout).await;
        assert_eq!(told[0], "not begun: cancelled");
        assert_eq!(fake.begun.lock().unwrap().len(), 3, "h1 failed, then h2 and h3");
        assert!(!fake.gates.lock().unwrap().contains("h0"));
    }

    #[tokio::test]
    async fn the_deadline_stops_what_runs_and_begins_nothing_more() {
        let fake = FakeHosts { slow: vec!["h0"], ..FakeHosts::default() };
        let rollout = Rollout { deadline: Some(Duration::from_secs(1)), ..Rollout::default() };
        let told = go(&fake, 4, 1, &rollout).await;
        assert_eq!(*fake.begun.lock().unwrap(), ["h0"]);
        assert_eq!(told[1], "not begun: the deadline of 1 s had passed");
    }

    #[tokio::test]
    async fn the_time_before_a_server_went_on_with_it_counts_too() {
        let fake = FakeHosts { slow: vec!["h0"], ..FakeHosts::default() };
        let bounds = Bounds { all: 9, each: 1, behind_one: 1, aside: 0 };
        fake.queue.set(Turns::default().queue(bounds)).unwrap();
        let rollout = Rollout { deadline: Some(Duration::from_secs(600)), ..Rollout::default() };
        let (stop, gone) = (CancellationToken::new(), Duration::from_secs(601));
        let rolled = roll(hosts(2), (&rollout, gone), None, &stop, &fake);
        let reports = tokio::time::timeout(Duration::from_secs(60), rolled).await.unwrap();
        assert!(reports[1].result.as_ref().unwrap_err().to_string().contains("deadline of 600 s"));
    }

    /// What another server has begun is followed to its end, whatever keeps the others from being begun.
    #[tokio::test]
    async fn what_is_held_back_from_the_outset_begins_nothing_and_follows_what_is_under_way() {
        let fake = FakeHosts { under_way: vec!["h1"], ..FakeHosts::default() };
        let bounds = Bounds { all: 9, each: 9, behind_one: 1, aside: 0 };
        fake.queue.set(Turns::default().queue(bounds)).unwrap();
        let (stop, rollout) = (CancellationToken::new(), Rollout::default());
        let held_back = Some("the gate is denied".to_owned());
        let rollout = (&rollout, Duration::ZERO);
        let reports = roll(hosts(3), rollout, held_back, &stop, &fake).await;
        assert_eq!(*fake.begun.lock().unwrap(), ["h1"]);
        for place in [0, 2] {
            let why = reports[place].result.as_ref().unwrap_err().to_string();
            assert_eq!(why, "not begun: the gate is denied");
        }
    }

    #[tokio::test]
    async fn a_host_that_comes_too_late_ends_the_whole() {
        let fake = FakeHosts { over: vec!["h2"], ..FakeHosts::default() };
        let rollout = Rollout { batch: Some("1".parse().unwrap()), ..Rollout::default() };
        let told = go(&fake, 5, 8, &rollout).await;
        assert_eq!(*fake.begun.lock().unwrap(), ["h0", "h1"]);
        assert_eq!(
            (told[2].as_str(), told[4].as_str()),
            ("not begun: it is over", "not begun: it is over")
        );
    }
}
