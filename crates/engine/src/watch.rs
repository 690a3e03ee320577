//! Following a command that was sent: its output into the store, its end, its time limit, a cancel.

use std::collections::VecDeque;
use std::pin::Pin;
use std::time::{Duration, Instant};

use bytes::Bytes;
use sshepherd_model::{Outcome, Stopped, Stream, TaskId};
use sshepherd_ssh::job::JobRunning;
use sshepherd_ssh::{Event, Running};
use sshepherd_store::Error;
use tokio::time::Sleep;
use tokio_util::sync::CancellationToken;

use crate::engine::Engine;
use crate::places::OUT_OF_SIGHT;
use crate::plan::Brief;
use crate::pursuit::Watched;
use crate::refusal::chain;
use crate::runner;

/// Time between TERM and KILL when a command is stopped; long enough for a service to close its files.
pub(crate) const GRACE: Duration = Duration::from_secs(3);

/// How long output may still come after a stop that was seen,
const LAST_WORDS: Duration = Duration::from_secs(2);
/// and after one that was not: what still runs may write for ever.
const LAST_WORDS_UNSEEN: Duration = Duration::from_millis(200);

/// How long the server's word on a request is waited for when the command's time is over.
const HEARD: Duration = Duration::from_millis(500);

/// How long to wait before output that could not be stored is tried again: a full disk has no event for room.
const STORE_AGAIN: Duration = Duration::from_millis(500);

/// The two ways in which a command that was sent is followed.
pub(crate) enum Line {
    /// On the channel that started it.
    Attached(Running),
    /// From its job's files.
    Job(JobRunning),
}

/// A future that ends a command.
type Stopping = Pin<Box<dyn Future<Output = Stopped> + Send>>;

/// A future that stores a piece of output; an error means that the task is no longer ours to write.
pub(crate) type Storing = Pin<Box<dyn Future<Output = Result<(), Error>> + Send>>;

/// How a command ended that was followed on its own channel; output comes back.
fn over(event: Option<Event>) -> Result<Outcome, (Stream, Bytes)> {
    Ok(match event {
        Some(Event::Output { stream, bytes }) => return Err((stream, bytes)),
        Some(Event::Exited { status }) => Outcome::Exited { status },
        Some(Event::Signalled { signal }) => Outcome::Signalled { signal },
        Some(Event::Lost { detail }) => Outcome::lost(detail),
        None => Outcome::lost("the channel ended without an exit status"),
    })
}

/// Why a command is stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Why {
    Cancelled,
    TimedOut,
}

impl Why {
    /// The outcome of a command that was stopped for this.
    pub(crate) fn outcome(self, stopped: Stopped) -> Outcome {
        match self {
            Self::Cancelled => Outcome::Cancelled { stopped },
            Self::TimedOut => Outcome::TimedOut { stopped },
        }
    }
}

/// How long after its time a job is left to the host, which keeps the limit, before the host is told to end it.
const HOST_LATE: Duration = Duration::from_secs(4);

/// What can end a command from our side.
pub(crate) struct Bounds {
    cancel: CancellationToken,
    /// When its time is over.
    ends: tokio::time::Instant,
    limit: Pin<Box<Sleep>>,
    over: Option<Why>,
    /// When this server began with it.
    pub(crate) began: Instant,
}

impl Bounds {
    /// `left` is what is left of its time.
    pub(crate) fn new(cancel: CancellationToken, left: Duration, began: Instant) -> Self {
        let ends = tokio::time::Instant::now() + left;
        let limit = Box::pin(tokio::time::sleep_until(ends));
        Self { cancel, ends, limit, over: None, began }
    }

    /// The limit that counts is kept by the host; here it is only seen to that it is.
    pub(crate) fn are_the_hosts(&mut self) {
        self.limit.as_mut().reset(self.ends + HOST_LATE);
    }

    /// The limit is kept here alone.
    pub(crate) fn are_ours(&mut self) {
        self.limit.as_mut().reset(self.ends);
    }

    /// Ends when nobody waits any more for a host that cannot be asked.
    pub(crate) fn given_up(&self) -> Sleep {
        tokio::time::sleep_until(self.ends + OUT_OF_SIGHT)
    }

    /// Returns when the command must be stopped. Cancel safe.
    pub(crate) async fn over(&mut self) -> Why {
        if let Some(why) = self.over {
            return why;
        }
        let why = tokio::select! {
            biased;
            () = self.cancel.cancelled() => Why::Cancelled,
            () = &mut self.limit => Why::TimedOut,
        };
        self.over = Some(why);
        why
    }

    /// The server's word on what was asked of it, within what is left of the command's time and a little more: what has been
    /// started can be stopped only once the server has said so.
    pub(crate) async fn hear<T>(
        &mut self,
        asking: impl Future<Output = Result<T, Outcome>>,
    ) -> Result<T, Outcome> {
        tokio::pin!(asking);
        let why = tokio::select! {
            biased;
            heard = &mut asking => return heard,
            why = self.over() => why,
        };
        let heard = tokio::time::timeout(HEARD, asking).await;
        heard.unwrap_or_else(|_| {
            Err(match why {
                Why::Cancelled => why.outcome(Stopped::Unconfirmed),
                // What was not seen to start has not been seen to run over its time either.
                Why::TimedOut => Outcome::lost(UNHEARD),
            })
        })
    }
}

/// Why nothing is known of a command that the server said nothing about.
const UNHEARD: &str =
    "the server did not confirm that it runs the command before its time was over";

/// A stop of the command, from the order to the verdict.
enum Stop {
    None,
    UnderWay(Why, Stopping),
    Seen(Why, Stopped),
}

impl Stop {
    /// The verdict of a stop under way; waits for ever when there is none. Cancel safe.
    async fn seen(&mut self) -> (Why, Stopped) {
        match self {
            Self::UnderWay(why, stopping) => (*why, stopping.await),
            Self::None | Self::Seen(..) => std::future::pending().await,
        }
    }

    /// The outcome of a command that ended now: of the stop, if one was ordered.
    async fn outcome(self) -> Option<Outcome> {
        match self {
            Self::None => None,
            Self::UnderWay(why, stopping) => Some(why.outcome(stopping.await)),
            Self::Seen(why, stopped) => Some(why.outcome(stopped)),
        }
    }
}

/// Follows a command on its own channel.
///
/// Output is taken in while a stop is under way: a channel that nobody reads would stall the very connection that the
/// stop goes over. Output that cannot be stored is kept back, and with it the channel, until it can be.
pub(crate) async fn watch(
    engine: &Engine,
    brief: &Brief,
    mut running: Running,
    bounds: &mut Bounds,
) -> Watched {
    engine.live().stop_at_close(&brief.task_id);
    let stopper = running.stopper();
    let mut ticks = runner::ticker(brief);
    let mut order = Stop::None;
    let (mut storing, mut held) = (None::<Storing>, Held::default());
    let mut last_words = Box::pin(tokio::time::sleep(Duration::MAX));
    loop {
        tokio::select! {
            biased;
            why = bounds.over(), if matches!(order, Stop::None) => {
                order = Stop::UnderWay(why, Box::pin(stopper.clone().stop(GRACE)));
            }
            (why, stopped) = order.seen() => {
                order = Stop::Seen(why, stopped);
                last_words = Box::pin(tokio::time::sleep(words_after(stopped)));
            }
            () = &mut last_words => {
                let outcome = order.outcome().await;
                return outcome.map_or(Watched::HandedOn, Watched::Over);
            }
            stored = stored(&mut storing), if storing.is_some() => {
                storing = held.next(engine, &brief.task_id);
                if let Err(error) = stored {
                    return refused(&error, order, held, brief).await;
                }
                if storing.is_none() && let Some(outcome) = held.over.take() {
                    return Watched::Over(order.outcome().await.unwrap_or(outcome));
                }
            }
            event = running.next(), if storing.is_none() || held.has_room() => match over(event) {
                Err((stream, bytes)) if storing.is_some() => held.keep(stream, bytes),
                Ok(outcome) if storing.is_some() => {
                    // Its last output is to be stored first; who waits need not wait for that.
                    engine.live().known(&brief.task_id, &outcome);
                    held.over = Some(outcome);
                }
                Err((stream, bytes)) => {
                    let id = brief.task_id.clone();
                    storing = Some(Box::pin(store(engine.clone(), id, stream, bytes)));
                }
                Ok(outcome) => return Watched::Over(order.outcome().await.unwrap_or(outcome)),
            },
            _ = ticks.tick() => runner::report(engine, brief, "running", bounds.began).await,
        }
    }
}

/// What came of an attached command while the store takes what came before: so its end is known though a disk is full.
#[derive(Default)]
struct Held {
    output: VecDeque<(Stream, Bytes)>,
    bytes: usize,
    over: Option<Outcome>,
}

/// Most bytes that are held.
const MOST_HELD: usize = 256 << 10;

impl Held {
    fn has_room(&self) -> bool {
        self.over.is_none() && self.bytes < MOST_HELD
    }

    fn keep(&mut self, stream: Stream, bytes: Bytes) {
        self.bytes += bytes.len();
        self.output.push_back((stream, bytes));
    }

    /// Has what is held stored next.
    fn next(&mut self, engine: &Engine, id: &TaskId) -> Option<Storing> {
        let (stream, bytes) = self.output.pop_front()?;
        self.bytes -= bytes.len();
        Some(Box::pin(store(engine.clone(), id.clone(), stream, bytes)))
    }
}

/// How long output may still come after a stop.
fn words_after(stopped: Stopped) -> Duration {
    match stopped {
        Stopped::Confirmed => LAST_WORDS,
        Stopped::Unconfirmed | Stopped::Left(_) => LAST_WORDS_UNSEEN,
    }
}

/// The store does not take the output any more.
async fn refused(error: &Error, order: Stop, held: Held, brief: &Brief) -> Watched {
    if let Some(outcome) = held.over {
        return Watched::Over(order.outcome().await.unwrap_or(outcome));
    }
    tracing::error!(task = %brief.task_id, %error, "the task is no longer ours");
    Watched::HandedOn
}

pub(crate) async fn stored(storing: &mut Option<Storing>) -> Result<(), Error> {
    match storing {
        Some(storing) => storing.await,
        None => std::future::pending().await,
    }
}

/// Stores output, however long the store takes to have room for it.
pub(crate) async fn store(
    engine: Engine,
    id: TaskId,
    stream: Stream,
    bytes: Bytes,
) -> Result<(), Error> {
    let append = || {
        let (engine, id, bytes) = (engine.clone(), id.clone(), bytes.clone());
        async move { engine.store().append(&id, stream, bytes).await.map(drop) }
    };
    patiently(&engine, &id, append).await
}

/// Tries a step until the store has room for it, for as long as this server runs. Who reads a job meanwhile keeps the channel that it
/// has: to leave and to come back for the same bytes would cost the host one for each try.
pub(crate) async fn patiently<F: Future<Output = Result<(), Error>>>(
    engine: &Engine,
    id: &TaskId,
    step: impl Fn() -> F,
) -> Result<(), Error> {
    let mut waited = false;
    loop {
        match step().await {
            Ok(()) => {
                if waited {
                    engine.live().stored(id);
                }
                return Ok(());
            }
            Err(error) if runner::passes(&error) && !engine.closing().is_cancelled() => {
                tracing::warn!(task = %id, %error, "output waits for the store");
                engine.live().unstored(id, chain(&error));
                waited = true;
                tokio::time::sleep(STORE_AGAIN).await;
            }
            Err(error) => return Err(error),
        }
    }
}
