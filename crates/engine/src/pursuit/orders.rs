//! Any order of ends, stops, limits, lost links, lost answers and killed servers: what is reported is what a small model of the
//! host wrote down. `SSHEPHERD_ORDERS` says how many orders are tried.

use std::sync::{Arc, Mutex, MutexGuard};

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::*;

/// What becomes of one question to the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Fine,
    /// It does not get there.
    Lost,
    /// It gets there, and the answer does not come back.
    Unanswered,
    /// It gets there later than anyone waits.
    Late,
}

/// Who named the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Named {
    Itself,
    Limit,
    Stop,
}

/// One order of things; times in milliseconds.
#[derive(Debug, Clone)]
struct Case {
    ends_after: u64,
    limit: u64,
    cancel_at: Option<u64>,
    /// Each server is killed so long after it began.
    kills: Vec<u64>,
    fates: Vec<(Fate, u64)>,
    /// Lines that are made, one after the other: whether they fall silent, and when.
    lines: Vec<Option<u64>>,
    /// Nothing ends it but itself.
    immortal: bool,
    /// The rule that allowed it is gone when a server takes over.
    denied_later: bool,
}

/// The host, and what the servers wrote down.
struct World {
    case: Case,
    asked: usize,
    lined: usize,
    made: Option<Instant>,
    runs: usize,
    buried: bool,
    /// Starts that are on their way.
    late: Vec<Instant>,
    named: Option<(Named, Instant)>,
    sent: bool,
    placed: bool,
}

impl World {
    fn new(case: Case) -> Self {
        Self {
            case,
            asked: 0,
            lined: 0,
            made: None,
            runs: 0,
            buried: false,
            late: Vec::new(),
            named: None,
            sent: false,
            placed: false,
        }
    }

    fn start_arrives(&mut self, at: Instant) {
        if !self.buried && self.made.is_none() {
            (self.made, self.runs) = (Some(at), self.runs + 1);
        }
    }

    /// Lets the host come to now.
    fn come_to(&mut self, now: Instant) {
        self.late.sort_unstable();
        while let Some(at) = self.late.first().copied().filter(|at| *at <= now) {
            self.late.remove(0);
            self.start_arrives(at);
        }
        let Some(made) = self.made.filter(|_| self.named.is_none()) else { return };
        let ends = made + Duration::from_millis(self.case.ends_after);
        let limit = made + Duration::from_millis(self.case.limit);
        let first = if ends <= limit { (Named::Itself, ends) } else { (Named::Limit, limit) };
        self.named = Some(first).filter(|(_, at)| *at <= now);
    }

    fn stop_arrives(&mut self, why: Why, now: Instant) -> Stopped {
        self.come_to(now);
        let name = match why {
            Why::Cancelled => Named::Stop,
            Why::TimedOut => Named::Limit,
        };
        self.named.get_or_insert((name, now));
        if self.runs_on(now) { Stopped::Unconfirmed } else { Stopped::Confirmed }
    }

    /// Whether it still runs though its end was ordered.
    fn runs_on(&self, now: Instant) -> bool {
        let ends = self.made.map(|made| made + Duration::from_millis(self.case.ends_after));
        self.case.immortal && ends.is_some_and(|ends| ends > now)
    }

    /// What is written of the end by now.
    fn record(&mut self, now: Instant) -> Option<JobEnd> {
        self.come_to(now);
        if self.made.is_none() {
            return Some(JobEnd::NotStarted);
        }
        match self.named? {
            (Named::Itself, _) => Some(JobEnd::Exited { status: 3 }),
            _ if self.runs_on(now) => None,
            (Named::Limit, _) => Some(JobEnd::Limit),
            (Named::Stop, _) => Some(JobEnd::Stopped),
        }
    }
}

/// A server's way to the host.
struct ModelHands {
    world: Arc<Mutex<World>>,
    /// The start is at hand, and allowed.
    may_start: bool,
}

/// A line that falls silent then.
struct ModelLine(Option<Instant>);

/// Nobody waits longer for an answer.
const PATIENCE: Duration = Duration::from_secs(10);

impl ModelHands {
    fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap()
    }

    fn fate(&self) -> (Fate, Duration) {
        let mut world = self.world();
        let (fate, delay) = world.case.fates.get(world.asked).copied().unwrap_or((Fate::Fine, 1));
        world.asked += 1;
        (fate, Duration::from_millis(delay))
    }

    fn line(&self) -> Reached<ModelLine> {
        let mut world = self.world();
        let silent = world.case.lines.get(world.lined).copied().flatten();
        world.lined += 1;
        Reached::Line(ModelLine(silent.map(|after| Instant::now() + Duration::from_millis(after))))
    }

    async fn find(&mut self, known: &mut Known) -> Reached<ModelLine> {
        let (fate, delay) = self.fate();
        let away = || Reached::Away("no answer".to_owned());
        if self.world().placed {
            sleep(delay).await;
            return if fate == Fate::Fine { self.line() } else { away() };
        }
        let starts = self.may_start && known.wanted.is_none();
        if starts {
            known.sent = Sent::Unanswered;
            self.world().sent = true;
        }
        if fate == Fate::Late && starts {
            // It is on its way, whatever becomes of who sent it.
            self.world().late.push(Instant::now() + delay * 8);
        }
        if matches!(fate, Fate::Lost | Fate::Late) {
            sleep(PATIENCE).await;
            return away();
        }
        sleep(delay).await;
        {
            let (mut world, now) = (self.world(), Instant::now());
            world.come_to(now);
            match starts {
                true => world.start_arrives(now),
                false if world.made.is_none() => world.buried = true,
                false => {}
            }
        }
        if fate == Fate::Unanswered {
            sleep(PATIENCE).await;
            return away();
        }
        sleep(delay).await;
        if !starts && self.world().made.is_none() {
            return Reached::Buried;
        }
        self.world().placed = true;
        self.line()
    }

    async fn tell(&self, why: Why) -> Option<Stopped> {
        let (fate, delay) = self.fate();
        sleep(delay).await;
        if matches!(fate, Fate::Lost | Fate::Late) {
            sleep(PATIENCE).await;
            return None;
        }
        let stopped = self.world().stop_arrives(why, Instant::now());
        sleep(delay).await;
        (fate == Fate::Fine).then_some(stopped)
    }

    async fn runs(&self) -> bool {
        let (fate, delay) = self.fate();
        sleep(delay).await;
        fate == Fate::Fine && self.world().record(Instant::now()).is_none()
    }

    async fn listen(&self, line: ModelLine, known: &mut Known, bounds: &mut Bounds) -> Watched {
        let told = known.heard.is_some();
        let mut last = told.then(|| Instant::now() + Duration::from_secs(5));
        loop {
            let now = Instant::now();
            if line.0.is_none_or(|silent| now < silent)
                && let Some(end) = self.world().record(now)
            {
                return Watched::Ended(end);
            }
            if last.is_some_and(|last| last <= now) {
                let ask = told || known.heard != Some(Stopped::Confirmed);
                return match ask && self.runs().await {
                    true => Watched::RunsOn,
                    false => Watched::Cut("silent".to_owned()),
                };
            }
            // A keepalive finds out in the end.
            if line.0.is_some_and(|silent| silent + Duration::from_secs(30) < now) {
                return Watched::Cut("dead".to_owned());
            }
            if let Some(why) = known.wanted.filter(|_| known.heard.is_none()) {
                known.heard = self.tell(why).await;
                last = known.heard.map(|_| Instant::now() + Duration::from_secs(1));
            }
            tokio::select! {
                why = bounds.over(), if known.wanted.is_none() => known.wanted = Some(why),
                () = sleep(Duration::from_secs(1)) => {}
            }
        }
    }
}

impl Hands for ModelHands {
    type Line = ModelLine;

    fn closing(&self, _: &Known) -> BoxFuture<'static, ()> {
        Box::pin(std::future::pending())
    }

    fn reach<'a>(&'a mut self, known: &'a mut Known) -> BoxFuture<'a, Reached<ModelLine>> {
        Box::pin(self.find(known))
    }

    fn follow<'a>(
        &'a mut self,
        line: ModelLine,
        known: &'a mut Known,
        bounds: &'a mut Bounds,
    ) -> BoxFuture<'a, Watched> {
        Box::pin(self.listen(line, known, bounds))
    }

    fn stop(&mut self, why: Why) -> BoxFuture<'_, Option<Stopped>> {
        Box::pin(self.tell(why))
    }
}

/// One server after the other goes on with the job, as far as each comes.
async fn serve(case: &Case, world: &Arc<Mutex<World>>) -> Outcome {
    let began = Instant::now();
    let mut kills = case.kills.iter();
    for server in 0.. {
        let cancel = CancellationToken::new();
        let cancelling = {
            let cancel = cancel.clone();
            let at = case.cancel_at.map(|at| began + Duration::from_millis(at));
            async move {
                match at {
                    Some(at) => tokio::time::sleep_until(at).await,
                    None => std::future::pending().await,
                }
                cancel.cancel();
                std::future::pending::<()>().await;
            }
        };
        // The row says "started" before anything is sent.
        let sent = if server > 0 { Sent::Unanswered } else { Sent::Never };
        let mut known = Known::new(sent);
        let limit = Duration::from_millis(case.limit);
        let mut bounds = Bounds::new(cancel, limit, std::time::Instant::now());
        bounds.are_the_hosts();
        let may_start = server == 0 || !case.denied_later;
        let mut hands = ModelHands { world: Arc::clone(world), may_start };
        let killed = async {
            match kills.next() {
                Some(after) => sleep(Duration::from_millis(*after)).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            () = killed => {}
            () = cancelling => {}
            ended = pursue(&mut hands, &mut known, &mut bounds) => match ended {
                Ended::Over(outcome) => return outcome,
                other @ (Ended::HandedOn | Ended::NoJobs) => panic!("{other:?}"),
            },
        }
    }
    unreachable!("the last server is not killed")
}

/// Whether the host's record allows what was reported.
fn allowed(case: &Case, world: &World, outcome: &Outcome, now: Instant) -> bool {
    let named = world.named.map(|(named, _)| named);
    // While it runs on, what it was ended for first is not told yet.
    let open = named.is_some_and(|named| named != Named::Itself) && world.runs_on(now);
    let seen = |stopped: &Stopped| *stopped == Stopped::Unconfirmed || !world.runs_on(now);
    match outcome {
        Outcome::Exited { status } => *status == 3 && named == Some(Named::Itself),
        Outcome::TimedOut { stopped } => (named == Some(Named::Limit) || open) && seen(stopped),
        Outcome::Cancelled { stopped } => {
            let never = world.runs == 0 && (world.buried || !world.sent);
            case.cancel_at.is_some()
                && (never || (named == Some(Named::Stop) || open) && seen(stopped))
        }
        Outcome::NotStarted(_) => world.runs == 0 && world.buried,
        Outcome::Denied { .. } => world.runs == 0 && world.buried && case.denied_later,
        Outcome::Signalled { .. } | Outcome::NotSeenToRun(_) | Outcome::Interrupted(_) => false,
    }
}

fn case() -> impl Strategy<Value = Case> {
    let fate = prop_oneof![
        3 => Just(Fate::Fine), 1 => Just(Fate::Lost), 1 => Just(Fate::Unanswered), 1 => Just(Fate::Late)
    ];
    let kinds = (prop::bool::weighted(0.1), prop::bool::weighted(0.1));
    (
        (1_u64..20_000, prop_oneof![1_u64..20_000, Just(10_000)]),
        prop::option::of(0_u64..25_000),
        prop::collection::vec(1_u64..30_000, 0..4),
        prop::collection::vec((fate, prop_oneof![1_u64..50, 1_u64..4_000]), 0..10),
        prop::collection::vec(prop::option::of(0_u64..15_000), 0..4),
        kinds,
    )
        .prop_map(|((ends_after, limit), cancel_at, kills, fates, lines, kinds)| {
            let (immortal, denied_later) = kinds;
            Case { ends_after, limit, cancel_at, kills, fates, lines, immortal, denied_later }
        })
}

#[test]
fn what_is_reported_is_what_the_host_wrote_down() {
    let asked = std::env::var("SSHEPHERD_ORDERS").ok().and_then(|orders| orders.parse().ok());
    let config =
        Config { cases: asked.unwrap_or(20_000), failure_persistence: None, ..Config::default() };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    TestRunner::new(config)
        .run(&case(), |case| {
            let world = Arc::new(Mutex::new(World::new(case.clone())));
            let outcome = runtime.block_on(serve(&case, &world));
            // What is still on its way arrives.
            let mut world = world.lock().unwrap();
            let seen = world.runs;
            let now = runtime.block_on(async { Instant::now() });
            prop_assert!(allowed(&case, &world, &outcome, now), "{outcome:?}: {:?}", world.named);
            world.come_to(now + Duration::from_secs(3_600));
            prop_assert!(world.runs <= 1 && world.runs == seen, "it ran later: {outcome:?}");
            Ok(())
        })
        .unwrap();
}
