//! Standard error behind a thread of its own, because a parent that does not read it must not hold up a command.

use std::io::Write;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use crate::error::Error;

/// Lines that wait for standard error. At about 500 bytes a line this is half a megabyte, more than a pipe holds; what
/// comes on top is left out, for the file is the record.
const BACKLOG: usize = 1024;

/// How long the end of the process waits for the last lines; a reader that is there takes microseconds.
const DRAIN: Duration = Duration::from_millis(500);

/// How long a line waits for others that are written with it: a hundredth of what a person notices.
const TOGETHER: Duration = Duration::from_millis(2);

/// Bytes from which lines wait for no more.
const AT_ONCE: usize = 64 << 10;

/// Where the lines go.
pub(crate) type Writer = Box<dyn Write + Send>;

/// Hands lines to the thread. Dropping it waits a bounded time for the lines on their way.
#[derive(Debug)]
pub(crate) struct Stderr {
    lines: Option<SyncSender<Arc<[u8]>>>,
    /// Closes when the thread has written its last line. The mutex only makes it shareable.
    drained: Mutex<Receiver<()>>,
}

impl Stderr {
    /// Starts the thread over `writer`.
    pub(crate) fn start(mut writer: Writer) -> Result<Self, Error> {
        let (lines, incoming) = sync_channel::<Arc<[u8]>>(BACKLOG);
        let (finished, drained) = sync_channel::<()>(0);
        thread::Builder::new()
            .name("audit-stderr".to_owned())
            .spawn(move || {
                while let Ok(first) = incoming.recv() {
                    // Lines come in bursts, and each that finds this thread asleep has to wake it.
                    thread::sleep(TOGETHER);
                    let mut lines = first.to_vec();
                    while lines.len() < AT_ONCE
                        && let Ok(line) = incoming.try_recv()
                    {
                        lines.extend_from_slice(&line);
                    }
                    // A standard error that fails is nobody's business here: the file decides.
                    let _ = writer.write_all(&lines).and_then(|()| writer.flush());
                }
                drop(finished);
            })
            .map_err(Error::Thread)?;
        Ok(Self { lines: Some(lines), drained: Mutex::new(drained) })
    }

    /// Hands over one line; never waits.
    pub(crate) fn write(&self, line: Arc<[u8]>) {
        if let Some(lines) = &self.lines {
            match lines.try_send(line) {
                Ok(()) | Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => {}
            }
        }
    }
}

impl Drop for Stderr {
    fn drop(&mut self) {
        self.lines = None;
        let drained = self.drained.lock().unwrap_or_else(PoisonError::into_inner);
        // Nothing is ever sent: the error says "closed" or "too late", and both end the wait.
        let _ = drained.recv_timeout(DRAIN);
    }
}
