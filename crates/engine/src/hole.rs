//! Holes in a job's output: what its host could not keep.
//!
//! A line in the output says where and how much. From there on an offset on the host is another than in the store; how far
//! apart they are stands beside the job's place, written before the line: it counts once the line is there.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use sshepherd_model::{Stream, TaskId};
use sshepherd_ssh::job::Offsets;
use sshepherd_store::{Error, Patch, Task};

use crate::engine::Engine;
use crate::watch;

/// The holes in one stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
struct Shift {
    /// Bytes lost before the last hole, and in all.
    lost_before: u64,
    lost: u64,
    /// What the host's offset is ahead of the store's before the last hole's line,
    before: i64,
    /// and from here on, where that line ends,
    at: u64,
    /// it is this.
    after: i64,
}

/// What stands beside the place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
struct Holes {
    stdout_holes: Shift,
    stderr_holes: Shift,
}

impl Shift {
    /// The host's offset of what comes next when the store has `count` bytes.
    fn on_host(self, count: u64) -> u64 {
        count.saturating_add_signed(if count >= self.at { self.after } else { self.before })
    }

    fn lost(self, count: u64) -> u64 {
        if count >= self.at { self.lost } else { self.lost_before }
    }

    /// With one more hole, where the store has `count` bytes and is to get a line of so many.
    fn with(self, bytes: u64, count: u64, line: usize) -> Self {
        let line = line as u64;
        let (before, lost_before) = match count >= self.at {
            true => (self.after, self.lost),
            false => (self.before, self.lost_before),
        };
        let after = before.saturating_add_unsigned(bytes).saturating_sub_unsigned(line);
        let lost = lost_before.saturating_add(bytes);
        Self { lost_before, lost, before, at: count.saturating_add(line), after }
    }
}

fn holes(task: &Task) -> Holes {
    let place = task.place.as_deref().and_then(|place| serde_json::from_str(place).ok());
    place.unwrap_or_default()
}

/// How much of a job's output on its host is in the store or lost for good.
pub(crate) fn had(task: &Task) -> Offsets {
    let (holes, output) = (holes(task), task.output);
    Offsets {
        stdout: holes.stdout_holes.on_host(output.stdout),
        stderr: holes.stderr_holes.on_host(output.stderr),
    }
}

/// Bytes of a task's output that its host could not keep; at most so many where its disk failed.
#[must_use]
pub fn lost_on_host(task: &Task) -> u64 {
    let (holes, output) = (holes(task), task.output);
    let lost = holes.stdout_holes.lost(output.stdout);
    lost.saturating_add(holes.stderr_holes.lost(output.stderr))
}

/// Writes down that the next `bytes` of a stream are lost.
pub(crate) async fn note(
    engine: Engine,
    id: TaskId,
    stream: Stream,
    bytes: u64,
) -> Result<(), Error> {
    // Done in part, it is done anew: the hole counts once its line is there.
    watch::patiently(&engine, &id, || noted(engine.clone(), id.clone(), stream, bytes)).await
}

async fn noted(engine: Engine, id: TaskId, stream: Stream, bytes: u64) -> Result<(), Error> {
    let line =
        format!("\n[{bytes} bytes of output are missing here: the host had no room for them]\n");
    let Some(task) = engine.store().get(&id).await?.found() else {
        return Err(Error::Gone { id });
    };
    if let Some(text) = with_hole(&task, stream, bytes, line.len()) {
        let patch = Patch::Placed { place: text };
        let _ = engine.store().patch(&id, patch).await?;
    }
    engine.store().append(&id, stream, Bytes::from(line)).await.map(drop)
}

/// The place with one more hole beside it; `None` where no place was noted, so that nobody goes on from it either.
fn with_hole(task: &Task, stream: Stream, bytes: u64, line: usize) -> Option<String> {
    let mut place: serde_json::Value = serde_json::from_str(task.place.as_deref()?).ok()?;
    let (holes, output) = (holes(task), task.output);
    let (name, shift, count) = match stream {
        Stream::Stdout => ("stdout_holes", holes.stdout_holes, output.stdout),
        Stream::Stderr => ("stderr_holes", holes.stderr_holes, output.stderr),
    };
    let shift = serde_json::to_value(shift.with(bytes, count, line)).ok()?;
    place.as_object_mut()?.insert(name.to_owned(), shift);
    Some(place.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whatever is stored of the line when a server dies, the next one asks for the hole again, or for what follows it.
    #[test]
    fn a_hole_counts_once_its_line_is_there() {
        let mut shift = Shift::default();
        let (mut count, mut host, mut lost) = (1000_u64, 1000_u64, 0);
        for bytes in [1, 70_000, 5_000_000_000] {
            assert_eq!(shift.on_host(count), host);
            shift = shift.with(bytes, count, 80);
            for stored in 0..80 {
                let next = shift.on_host(count + stored);
                assert!(next >= host && next < host + 80, "{stored} {next}");
                assert_eq!(shift.lost(count + stored), lost);
            }
            (count, host, lost) = (count + 80, host + bytes, lost + bytes);
            assert_eq!((shift.on_host(count), shift.lost(count)), (host, lost));
            (count, host) = (count + 500, host + 500);
        }
    }
}
