//! The stops that a host and account are asked for: those that come together are served by one script, with two looks at
//! the host's processes for all of them.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sshepherd_model::{Stopped, Stream};
use tokio::sync::oneshot;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::exec::Event;
use crate::pool::Pool;
use crate::stop::{self, Order, Word};
use crate::target::Target;

/// How long the first order waits for others.
const GATHER: Duration = Duration::from_millis(20);
/// The longest pause between two scripts: each pause is as long as the look before, so looks take half of the time at most.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
/// How long others wait for a script that has not looked yet.
const LOOK_PATIENCE: Duration = Duration::from_secs(5);
/// Most orders of one script: a system takes 128 KiB as the text of one command.
const MOST: usize = 400;
/// A script that says nothing for this long beside its signals is given up.
const OVERHEAD: Duration = Duration::from_secs(30);
/// The script says a short line for each order; anything longer is not it.
const MAX_LINE: usize = 256;

/// Orders that wait for a script.
#[derive(Default)]
pub(crate) struct StopQueue {
    waiting: Mutex<Waiting>,
}

#[derive(Default)]
struct Waiting {
    orders: Vec<Placed>,
    served: bool,
}

struct Placed {
    order: Order,
    begun: CancellationToken,
    tell: oneshot::Sender<Stopped>,
}

/// What comes of an order.
pub(crate) struct Ticket {
    /// Cancelled once the script runs.
    pub(crate) begun: CancellationToken,
    /// Closes without a word when the script could not be run, or said nothing of it.
    pub(crate) verdict: oneshot::Receiver<Stopped>,
}

impl StopQueue {
    /// Takes an order; it is carried out whether or not anybody waits for the verdict.
    pub(crate) fn place(
        self: &Arc<Self>,
        (pool, target): (&Pool, &Arc<Target>),
        order: Order,
    ) -> Ticket {
        let begun = CancellationToken::new();
        let (tell, verdict) = oneshot::channel();
        let ticket = Ticket { begun: begun.clone(), verdict };
        let mut waiting = self.waiting();
        waiting.orders.push(Placed { order, begun, tell });
        if !std::mem::replace(&mut waiting.served, true) {
            tokio::spawn(Arc::clone(self).serve(pool.clone(), Arc::clone(target)));
        }
        ticket
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes orders to scripts until none is left.
    async fn serve(self: Arc<Self>, pool: Pool, target: Arc<Target>) {
        let mut pause = GATHER;
        loop {
            tokio::time::sleep(pause).await;
            let Some(orders) = self.take() else { return };
            let (began, looked) = (Instant::now(), CancellationToken::new());
            tokio::spawn(carry_out(pool.clone(), Arc::clone(&target), orders, looked.clone()));
            let _ = tokio::time::timeout(LOOK_PATIENCE, looked.cancelled()).await;
            pause = began.elapsed().clamp(GATHER, LONGEST_PAUSE);
        }
    }

    fn take(&self) -> Option<Vec<Placed>> {
        let mut waiting = self.waiting();
        let some = waiting.orders.len().min(MOST);
        waiting.served = some > 0;
        (some > 0).then(|| waiting.orders.drain(..some).collect())
    }
}

/// Runs the script for these orders and hands on what it says.
async fn carry_out(
    pool: Pool,
    target: Arc<Target>,
    orders: Vec<Placed>,
    looked: CancellationToken,
) {
    // Whatever comes of it, others may look.
    let _looked = looked.clone().drop_guard();
    let orders: Vec<Placed> =
        orders.into_iter().filter(|placed| !placed.tell.is_closed()).collect();
    let all: Vec<Order> = orders.iter().map(|placed| placed.order.clone()).collect();
    let longest = all.iter().map(Order::longest).max().unwrap_or_default();
    if all.is_empty() {
        return;
    }
    let run = read(&pool, &target, stop::text(&all), orders, &looked);
    let _ = tokio::time::timeout(longest + OVERHEAD, run).await;
}

async fn read(
    pool: &Pool,
    target: &Arc<Target>,
    text: String,
    orders: Vec<Placed>,
    looked: &CancellationToken,
) -> Option<()> {
    let ready = Box::pin(pool.open(Arc::clone(target))).await.ok()?;
    let mut running = ready.send(text, None, None, String::new()).await.ok()?;
    let mut orders: Vec<Option<Placed>> = orders.into_iter().map(Some).collect();
    let mut line = Vec::new();
    while let Some(event) = running.next().await {
        let Event::Output { stream: Stream::Stdout, bytes } = event else { continue };
        for byte in bytes {
            if byte != b'\n' {
                if line.len() <= MAX_LINE {
                    line.push(byte);
                }
                continue;
            }
            match stop::word(&std::mem::take(&mut line)) {
                Some(Word::Begun) => {
                    orders.iter().flatten().for_each(|placed| placed.begun.cancel());
                }
                Some(Word::Looked) => looked.cancel(),
                Some(Word::Verdict(number, stopped)) => {
                    if let Some(placed) = orders.get_mut(number).and_then(Option::take) {
                        let _ = placed.tell.send(stopped);
                    }
                }
                None => {}
            }
        }
    }
    None
}
