//! Finished commands with as much of their output as the byte budget allows.

use sshepherd_engine::store::{HeadTail, Lookup, StreamFilter};
use sshepherd_engine::{Engine, Finished, Refusal};

use crate::answer::{self, RunAnswer, encoded};

/// How often the output is asked for again with less room; each time the room shrinks by what the last answer was over,
/// so that two are enough but for text that JSON escapes very unevenly.
const TRIES: usize = 4;

/// The answer about `finished`, at most `budget` bytes as JSON, but for the fixed fields, which take about 600.
pub(super) async fn report(
    engine: &Engine,
    finished: &Finished,
    budget: usize,
) -> Result<RunAnswer, Refusal> {
    let mut room = budget.saturating_sub(FIXED).max(MIN_ROOM);
    for _ in 0..TRIES {
        let answer = with_room(engine, finished, room).await?;
        let size = encoded(&answer);
        if size <= budget {
            return Ok(answer);
        }
        room = (room.saturating_mul(budget) / size.max(1)).saturating_sub(16);
    }
    with_room(engine, finished, 0).await
}

/// About what the fields other than `output` take.
pub(super) const FIXED: usize = 600;
/// Room for output that a host of a fan-out gets at least: a line or two.
pub(super) const MIN_ROOM: usize = 160;

async fn with_room(
    engine: &Engine,
    finished: &Finished,
    room: usize,
) -> Result<RunAnswer, Refusal> {
    let id = &finished.task.id;
    let total = finished.task.output.bytes();
    let nothing_of = |missing| HeadTail { head: Vec::new(), missing, tail: Vec::new(), total };
    let output = if total == 0 {
        nothing_of(0)
    } else {
        match engine.head_tail(id, room, StreamFilter::Both).await? {
            Lookup::Found(output) => output,
            // It expired between its end and this line; say how much is gone.
            Lookup::Expired | Lookup::Unknown => nothing_of(total),
        }
    };
    let shown = engine.view_ends(id, &output, StreamFilter::Both).await.map_err(Refusal::Store)?;
    Ok(answer::finished(&answer::Report {
        finished,
        output: &output,
        shown: &shown,
        enforcement: engine.config().policy.enforcement(),
    }))
}
