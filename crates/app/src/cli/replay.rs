//! `shells replay`: a recording as it happened, or the last screen of it as text.

use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::json;
use sshepherd_engine::store::ShellRecord;

use super::args::{Global, Replayed};
use super::exit::Exit;
use super::out;
use super::recording::Recording;
use super::view::{Signals, Told, View};

/// Shows the recording at `path` and says what of it could not be read.
pub(super) async fn replay(
    global: &Global,
    path: &Path,
    record: &ShellRecord,
    how: &Replayed,
) -> io::Result<Exit> {
    let mut recording = Recording::open(path, record)?;
    if how.text || global.json {
        let rows = last_screen(&mut recording)?;
        if global.json {
            out::json(&json!({ "id": record.id, "rows": rows }));
        } else {
            rows.iter().for_each(|row| out::line(row));
        }
    } else {
        let mut signals = Signals::hear()?;
        let view = View::begin();
        play(&mut recording, view, &mut signals, how).await?;
    }
    recording.tell();
    Ok(Exit::Done)
}

/// The rows of the screen at the end, without empty ones below.
fn last_screen(recording: &mut Recording) -> io::Result<Vec<String>> {
    recording.catch_up()?;
    if let Some(event) = recording.rest() {
        recording.draw(&event);
    }
    let mut rows = recording.screen().screen().rows;
    let used = rows.iter().rposition(|row| !row.is_empty()).map_or(0, |last| last + 1);
    rows.truncate(used);
    Ok(rows)
}

async fn play(
    recording: &mut Recording,
    mut view: View,
    signals: &mut Signals,
    how: &Replayed,
) -> io::Result<()> {
    let began = Instant::now();
    let longest = how.idle_limit.map_or(Duration::MAX, seconds);
    let (mut at, mut due) = (0, Duration::ZERO);
    while let Some(event) = recording.next()?.or_else(|| recording.rest()) {
        let gap = Duration::from_millis(event.at_ms.saturating_sub(at)).min(longest);
        at = event.at_ms.max(at);
        due = due.saturating_add(seconds(gap.as_secs_f64() / how.speed));
        if !wait(due.saturating_sub(began.elapsed()), recording, &mut view, signals).await? {
            return Ok(());
        }
        recording.draw(&event);
    }
    view.paint(recording.screen())
}

/// Shows what there is and waits; `false` when the person leaves. Without time to wait nothing is shown between two events.
async fn wait(
    wait: Duration,
    recording: &Recording,
    view: &mut View,
    signals: &mut Signals,
) -> io::Result<bool> {
    let over = tokio::time::sleep(wait);
    tokio::pin!(over);
    loop {
        if !wait.is_zero() {
            view.paint(recording.screen())?;
        }
        tokio::select! {
            biased;
            told = signals.next() => match told {
                Told::Leave => return Ok(false),
                Told::Resized => view.forget(),
            },
            () = tokio::task::yield_now(), if wait.is_zero() => return Ok(true),
            () = &mut over, if !wait.is_zero() => return Ok(true),
        }
    }
}

/// So many seconds; what is more than a duration can be is the longest.
fn seconds(count: f64) -> Duration {
    Duration::try_from_secs_f64(count).unwrap_or(Duration::MAX)
}
