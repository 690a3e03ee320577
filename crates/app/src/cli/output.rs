//! Copying a task's output, each stream to ours.

use sshepherd_engine::Engine;
use sshepherd_engine::store::{Lookup, StreamFilter};
use sshepherd_model::{Stream, TaskId};

use super::out;

/// Most bytes of output that are read at once.
const PAGE: usize = 64 * 1024;

/// When to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Until {
    /// When everything that is there was copied.
    Now,
    /// When the task has ended and everything was copied.
    End,
}

/// What came of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Copied {
    /// All of it.
    Whole,
    /// The result has expired, or was never there.
    Gone,
    /// It could not be read; the complaint is on standard error.
    Failed,
}

/// Copies output from byte `from` on.
pub(crate) async fn copy(
    engine: &Engine,
    id: &TaskId,
    from: u64,
    filter: StreamFilter,
    until: Until,
) -> Copied {
    let mut cursor = from;
    loop {
        let read = match until {
            Until::Now => engine.page(id, cursor, PAGE, filter).await,
            Until::End => engine.follow(id, cursor, PAGE, filter).await,
        };
        let page = match read {
            Ok(Lookup::Found(page)) => page,
            Ok(Lookup::Expired | Lookup::Unknown) => return Copied::Gone,
            Err(error) => {
                out::complain(&error.to_string());
                return Copied::Failed;
            }
        };
        if page.missing_before > 0 {
            out::complain(&format!("{} bytes of output are missing here", page.missing_before));
        }
        for chunk in &page.chunks {
            match chunk.stream {
                Stream::Stdout => out::bytes(&chunk.bytes),
                Stream::Stderr => out::error_bytes(&chunk.bytes),
            }
        }
        if page.end || page.next == cursor {
            return Copied::Whole;
        }
        cursor = page.next;
    }
}
