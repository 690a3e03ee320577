//! Reading a task's output: its last lines, or from a cursor on; at once or when there is news; all of it or what matches.

use std::time::{Duration, Instant};

use regex::Regex;
use rmcp::RoleServer;
use rmcp::handler::server::wrapper::Parameters;
use rmcp::model::{CallToolResult, JsonObject};
use rmcp::service::RequestContext;
use rmcp::{tool, tool_router};
use sshepherd_engine::sanitise::{More, View};
use sshepherd_engine::store::{Error, Lookup, Page, StreamFilter, TailLines, Task};
use sshepherd_engine::{Engine, Refusal};
use sshepherd_model::TaskId;

use super::tasks::{expired, unknown};
use crate::answer::{self, Failure, OutputAnswer, encoded};
use crate::mcp::args::{Args, OfOutput, Part, Reading};
use crate::mcp::output::{FIXED, MIN_ROOM};
use crate::mcp::reply::{done, failed, invalid};
use crate::mcp::schema;
use crate::mcp::server::Server;

/// Bytes looked through at once for matching lines; a longer line is looked at in pieces.
const LOOK: usize = 64 << 10;

/// Bytes looked through in one call: a few milliseconds for the linear-time matcher, and the answer says where to go on.
pub(super) const LOOK_MOST: usize = 16 << 20;

/// An answer, or why there is none.
pub(super) type Read = Result<Result<OutputAnswer, Failure>, Refusal>;

#[tool_router(router = output_router, vis = "pub(in crate::mcp)")]
impl Server {
    #[tool(
        description = "Output of a task, while it runs too: the last lines, or from cursor on.",
        input_schema = schema::input::<OfOutput>(),
        output_schema = schema::output::<OutputAnswer>(),
        annotations(read_only_hint = true, open_world_hint = false)
    )]
    async fn ssh_get_task_output(
        &self,
        Parameters(args): Parameters<JsonObject>,
        context: RequestContext<RoleServer>,
    ) -> CallToolResult {
        let args = Args::new(args);
        let parsed = args
            .need::<TaskId>("task_id")
            .and_then(|id| Ok((id, args.reading(self.settings.answer_bytes)?)));
        let (id, reading) = match parsed {
            Ok(parsed) => parsed,
            Err(error) => return invalid(error),
        };
        let read = tokio::select! {
            biased;
            // A wait that nobody wants any more ends at once; it has changed nothing.
            () = context.ct.cancelled() => return failed(&Failure::new("cancelled", "ask again").about(&id)),
            () = self.closing.cancelled() => self.at_once(&id, &reading).await,
            read = self.in_time(&id, &reading) => read,
        };
        match read {
            Ok(Ok(answer)) => done(&answer),
            Ok(Err(failure)) => failed(&failure),
            Err(refusal) => failed(&Failure::from(&refusal).about(&id)),
        }
    }
}

impl Server {
    /// Answers when there is something to say, or when the wait is over.
    async fn in_time(&self, id: &TaskId, reading: &Reading) -> Read {
        if self.engine.task(id).await?.found().is_some_and(|task| Engine::is_group(&task)) {
            return self.group_in_time(id, reading).await;
        }
        let until = Instant::now() + reading.wait;
        let mut reading = reading.clone();
        if let (Part::Tail { .. }, false) = (&reading.part, reading.wait.is_zero())
            && let Lookup::Found(task) = self.engine.task(id).await?
        {
            // The last lines as they are after the next byte.
            self.wait_beyond(id, task.output.bytes(), reading.filter, until).await?;
        }
        loop {
            let answer = match self.at_once(id, &reading).await? {
                Ok(answer) => answer,
                Err(failure) => return Ok(Err(failure)),
            };
            let Some(next) = answer.next_cursor else { return Ok(Ok(answer)) };
            let empty = answer.output_lines.as_ref().is_none_or(Vec::is_empty);
            let over = answer.eof == Some(true) || answer.missing_before.is_some();
            if !empty || over || Instant::now() >= until {
                return Ok(Ok(answer));
            }
            // What has been looked through without a match is not looked through again.
            reading.part = Part::From { cursor: next };
            let total = answer.total_bytes.unwrap_or(next);
            self.wait_beyond(id, total, StreamFilter::Both, until).await?;
            reading.seen_before += answer.lines_seen.unwrap_or(0);
        }
    }

    /// Returns when there is output behind offset `total`, at the end of the task, or when the wait is over.
    pub(super) async fn wait_beyond(
        &self,
        id: &TaskId,
        total: u64,
        filter: StreamFilter,
        until: Instant,
    ) -> Result<(), Refusal> {
        let left = until.saturating_duration_since(Instant::now());
        match tokio::time::timeout(left, self.engine.follow(id, total, 1, filter)).await {
            Ok(Err(error)) => Err(Refusal::Store(error)),
            Ok(Ok(_)) | Err(_) => Ok(()),
        }
    }

    /// Reads with ever less room until the answer fits, because JSON escapes make text longer.
    async fn at_once(&self, id: &TaskId, reading: &Reading) -> Read {
        if let Lookup::Found(task) = self.engine.task(id).await?
            && let Some(roster) = self.engine.roster(&task).await?
        {
            return self.group_at_once(&task, &roster, reading).await;
        }
        let budget = self.settings.answer_bytes;
        let mut room = reading.max_bytes.min(budget.saturating_sub(FIXED).max(MIN_ROOM));
        loop {
            let answer = match self.with_room(id, reading, room).await? {
                Ok(answer) => answer,
                Err(failure) => return Ok(Err(failure)),
            };
            let size = encoded(&answer);
            if size <= budget || room <= 1 {
                return Ok(Ok(answer));
            }
            room = (room.saturating_mul(budget) / size).saturating_sub(16).min(room - 1).max(1);
        }
    }

    pub(super) async fn with_room(&self, id: &TaskId, reading: &Reading, room: usize) -> Read {
        let task = match self.engine.task(id).await? {
            Lookup::Found(task) => task,
            Lookup::Expired => return Ok(Err(expired(id))),
            Lookup::Unknown => return Ok(Err(unknown(id))),
        };
        let read = match (&reading.part, &reading.matching) {
            (Part::Tail { lines }, None) if reading.filter == StreamFilter::Both => {
                match self.engine.tail_lines(id, *lines, room).await? {
                    Lookup::Found(tail) => {
                        let view = self.engine.view_tail(id, &tail, answer::more(&task)).await;
                        view.map(|view| Lookup::Found(last_lines(&task, &tail, view)))
                    }
                    Lookup::Expired => Ok(Lookup::Expired),
                    Lookup::Unknown => Ok(Lookup::Unknown),
                }
            }
            (Part::Tail { lines }, None) => {
                match self.engine.head_tail(id, room, reading.filter).await? {
                    Lookup::Found(ends) => {
                        let views = self.engine.view_ends(id, &ends, reading.filter).await;
                        views
                            .map(|views| Lookup::Found(last_of_stream(&task, &ends, views, *lines)))
                    }
                    Lookup::Expired => Ok(Lookup::Expired),
                    Lookup::Unknown => Ok(Lookup::Unknown),
                }
            }
            (part, Some(pattern)) => {
                let from = match part {
                    Part::From { cursor } => *cursor,
                    Part::Tail { .. } => 0,
                };
                self.matching(&task, from, pattern, reading, room).await
            }
            (Part::From { cursor }, None) => self.page_from(&task, *cursor, reading, room).await,
        };
        Ok(match read {
            Ok(Lookup::Found(answer)) => Ok(answer),
            Ok(Lookup::Expired) => Err(expired(id)),
            Ok(Lookup::Unknown) => Err(unknown(id)),
            Err(error @ Error::BeyondEnd { .. }) => Err(beyond(&error).about(id)),
            Err(error) => return Err(Refusal::Store(error)),
        })
    }

    /// One page from `cursor` on.
    async fn page_from(
        &self,
        task: &Task,
        cursor: u64,
        reading: &Reading,
        room: usize,
    ) -> Result<Lookup<OutputAnswer>, Error> {
        let page = match self.engine.page(&task.id, cursor, room, reading.filter).await? {
            Lookup::Found(page) => page,
            Lookup::Expired => return Ok(Lookup::Expired),
            Lookup::Unknown => return Ok(Lookup::Unknown),
        };
        let more = answer::more(task);
        let (view, next) = self.engine.view_page(&task.id, &page, reading.filter, more).await?;
        Ok(Lookup::Found(one_page(task, &page, view, next)))
    }

    /// The matching lines from `from` on, within `room` bytes, and where to go on. Only whole lines are judged: an open
    /// last line is left for the next call, unless the task has ended or the line is longer than [`LOOK`].
    async fn matching(
        &self,
        task: &Task,
        from: u64,
        pattern: &Regex,
        reading: &Reading,
        room: usize,
    ) -> Result<Lookup<OutputAnswer>, Error> {
        let mut found = Found { seen: reading.seen_before, ..Found::default() };
        let (mut cursor, mut looked, mut missing) = (from, 0, 0);
        let (total, end) = loop {
            let page = match self.engine.page(&task.id, cursor, LOOK, reading.filter).await? {
                Lookup::Found(page) => page,
                Lookup::Expired => return Ok(Lookup::Expired),
                Lookup::Unknown => return Ok(Lookup::Unknown),
            };
            missing += page.missing_before;
            let bytes = flat(&page);
            let whole = match bytes.iter().rposition(|byte| *byte == b'\n') {
                _ if page.end || page.missing_before > 0 => bytes.len(),
                Some(newline) => newline + 1,
                None if bytes.len() >= LOOK => bytes.len(),
                None => 0,
            };
            let (view, _) =
                self.engine.view_page(&task.id, &page, reading.filter, More::No).await?;
            let (judged, matched) = found.look(&view, whole, pattern, room);
            looked += bytes.len();
            let mut taken = Some(view).filter(|_| matched);
            if judged == bytes.len() {
                cursor = page.next;
            } else if judged > 0 {
                let part = self.engine.page(&task.id, cursor, judged, reading.filter).await?;
                if let Some(part) = part.found() {
                    cursor = part.next;
                    // The rest is read again, and is counted then.
                    let own = self.engine.view_page(&task.id, &part, reading.filter, More::No);
                    taken = Some(own.await?.0).filter(|_| matched);
                }
            }
            if let Some(taken) = taken {
                found.taken.count(&taken);
            }
            let full = judged < whole;
            if page.end || full || whole == 0 || looked >= LOOK_MOST {
                break (page.total, page.end && !full);
            }
        };
        Ok(Lookup::Found(OutputAnswer {
            output_lines: Some(found.lines),
            cleaned: found.taken.note(),
            lines_seen: Some(found.seen),
            lines_matched: Some(found.matched),
            next_cursor: Some(cursor),
            missing_before: (missing > 0).then_some(missing),
            has_more: Some(!end),
            eof: Some(end),
            total_bytes: Some(total),
            ..about(task)
        }))
    }
}

/// A cursor that no answer gave.
pub(super) fn beyond(error: &Error) -> Failure {
    let hint = "use 0, or the next_cursor that an earlier answer gave";
    let mut failure = Failure::new(error.to_string(), hint);
    failure.field = Some("cursor".to_owned());
    failure
}

/// Lines that match.
#[derive(Debug, Default)]
struct Found {
    lines: Vec<String>,
    bytes: usize,
    seen: u64,
    matched: u64,
    /// What was taken out of the pages that they come from.
    taken: View,
}

impl Found {
    /// Judges the lines of the first `whole` bytes until one that matches does not fit; answers how many bytes were judged, and
    /// whether a line matched.
    /// What a line matches is what may be read of it: a pattern finds out no more than the answer tells.
    fn look(&mut self, view: &View, whole: usize, pattern: &Regex, room: usize) -> (usize, bool) {
        let (mut judged, mut matched) = (0, false);
        for line in &view.lines {
            if judged + line.raw > whole {
                break;
            }
            if !line.hidden && pattern.is_match(&line.text) {
                if self.bytes + line.text.len() > room && !self.lines.is_empty() {
                    break;
                }
                self.bytes += line.text.len() + 3;
                self.lines.push(answer::shorten(&line.text, room));
                self.matched += 1;
                matched = true;
            }
            self.seen += 1;
            judged += line.raw;
        }
        (judged, matched)
    }
}

fn flat(page: &Page) -> Vec<u8> {
    page.chunks.iter().flat_map(|chunk| chunk.bytes.iter().copied()).collect()
}

fn about(task: &Task) -> OutputAnswer {
    OutputAnswer {
        task_id: Some(task.id.to_string()),
        status: Some(task.status.to_string()),
        total_lines: Some(task.output.lines),
        total_bytes: Some(task.output.bytes()),
        ..OutputAnswer::default()
    }
}

fn last_lines(task: &Task, tail: &TailLines, view: View) -> OutputAnswer {
    OutputAnswer {
        cleaned: view.note(),
        output_lines: Some(answer::shown_lines(view)),
        total_lines: Some(tail.total_lines),
        has_more: Some(tail.has_more),
        first_line_cut: tail.first_cut.then_some(true),
        missing_bytes: (task.output.missing > 0).then_some(task.output.missing),
        eof: Some(task.status.is_final()),
        ..about(task)
    }
}

/// The last lines of one stream: the end of it that fits, cut to whole lines where more came before.
fn last_of_stream(
    task: &Task,
    ends: &sshepherd_engine::store::HeadTail,
    (head, tail): (View, View),
    most: usize,
) -> OutputAnswer {
    let view = if ends.missing > 0 { tail } else { head };
    let cleaned = view.note();
    let mut lines = answer::shown_lines(view);
    let cut = ends.missing > 0 && lines.len() > 1;
    if cut {
        lines.remove(0);
    }
    let more = lines.len().saturating_sub(most);
    lines.drain(..more);
    OutputAnswer {
        cleaned,
        output_lines: Some(lines),
        total_lines: None,
        has_more: Some(ends.missing > 0 || more > 0),
        first_line_cut: (ends.missing > 0 && !cut).then_some(true),
        total_bytes: Some(ends.total),
        eof: Some(task.status.is_final()),
        ..about(task)
    }
}

fn one_page(task: &Task, page: &Page, view: View, next: u64) -> OutputAnswer {
    OutputAnswer {
        cleaned: view.note(),
        output_lines: Some(answer::shown_lines(view)),
        // A running task may always write more.
        has_more: Some(!page.end),
        next_cursor: Some(next),
        missing_before: (page.missing_before > 0).then_some(page.missing_before),
        total_bytes: Some(page.total),
        eof: Some(page.end),
        ..about(task)
    }
}

/// Longest wait of one call: below the 60 s after which common clients give a call up.
pub(in crate::mcp) const WAIT_MOST: Duration = Duration::from_secs(45);
