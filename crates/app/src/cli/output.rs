//! Copying a task's output, each stream to ours.

use sshepherd_engine::Engine;
use sshepherd_engine::sanitise::screen::CONTEXT;
use sshepherd_engine::sanitise::{Lens, View};
use sshepherd_engine::store::{Lookup, StreamFilter};
use sshepherd_model::{Stream, TaskId, TextEncoding};

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

/// In which form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// As it may be read: nothing that steers a terminal or hides, no secrets.
    Clean,
    /// As it came.
    Raw,
}

/// Copies output from byte `from` on.
pub(crate) async fn copy(
    engine: &Engine,
    id: &TaskId,
    from: u64,
    filter: StreamFilter,
    until: Until,
    form: Form,
) -> Copied {
    let mut readers = Readers { encoding: engine.encoding_of(id).await, ..Readers::default() };
    for (reader, stream) in
        [(&mut readers.out, StreamFilter::Stdout), (&mut readers.err, StreamFilter::Stderr)]
    {
        reader.before = engine.context(id, from, stream).await.unwrap_or_default();
    }
    let copied = pages(engine, id, from, (filter, until, form), &mut readers).await;
    readers.finish(engine);
    copied
}

async fn pages(
    engine: &Engine,
    id: &TaskId,
    from: u64,
    (filter, until, form): (StreamFilter, Until, Form),
    readers: &mut Readers,
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
            match form {
                Form::Raw => write(chunk.stream, &chunk.bytes),
                Form::Clean => readers.take(engine, chunk.stream, &chunk.bytes),
            }
        }
        if page.end || page.next == cursor {
            return Copied::Whole;
        }
        cursor = page.next;
    }
}

fn write(stream: Stream, bytes: &[u8]) {
    match stream {
        Stream::Stdout => out::bytes(bytes),
        Stream::Stderr => out::error_bytes(bytes),
    }
}

/// Most bytes of a line that are held back until the rest of it comes.
const HELD: usize = 16 * 1024;

/// Both streams on their way to a person, each cleaned by itself.
#[derive(Debug, Default)]
struct Readers {
    out: Reader,
    err: Reader,
    taken: View,
    /// What the bytes mean.
    encoding: Option<TextEncoding>,
}

/// One stream: whole lines are shown as they come, for a secret or a sequence may go on behind the end of a page.
#[derive(Debug, Default)]
struct Reader {
    before: Vec<u8>,
    held: Vec<u8>,
}

impl Readers {
    fn take(&mut self, engine: &Engine, stream: Stream, bytes: &[u8]) {
        let config = engine.config();
        let reader = match stream {
            Stream::Stdout => &mut self.out,
            Stream::Stderr => &mut self.err,
        };
        reader.held.extend_from_slice(bytes);
        let whole = reader.held.iter().rposition(|byte| matches!(byte, b'\n' | b'\r'));
        let whole = whole.map_or(0, |at| at + 1);
        let whole = if reader.held.len() - whole > HELD { reader.held.len() } else { whole };
        let rest = reader.held.split_off(whole);
        let ready = std::mem::replace(&mut reader.held, rest);
        let view = reader.shown(config.screen().of(self.encoding), &ready);
        write(stream, view.text().as_bytes());
        self.taken.count(&view);
    }

    /// Shows what is left, and says what was taken out of all of it.
    fn finish(mut self, engine: &Engine) {
        let config = engine.config();
        for (stream, reader) in [(Stream::Stdout, &mut self.out), (Stream::Stderr, &mut self.err)] {
            let ready = std::mem::take(&mut reader.held);
            let view = reader.shown(config.screen().of(self.encoding), &ready);
            write(stream, view.text().as_bytes());
            self.taken.count(&view);
        }
        if let Some(note) = self.taken.note() {
            out::complain(&format!("taken out of the output: {note}; --raw shows it as it came"));
        }
    }
}

impl Reader {
    fn shown(&mut self, lens: Lens<'_>, ready: &[u8]) -> View {
        let view = lens.view(&self.before, ready, &self.held);
        self.before.extend_from_slice(ready);
        let spare = self.before.len().saturating_sub(CONTEXT);
        self.before.drain(..spare);
        view
    }
}
