//! Fan-outs in the background: pausing them, leaving one host out, the results so far, and one row of all their output.

use std::sync::Arc;
use std::time::Instant;

use rmcp::handler::server::wrapper::Parameters;
use rmcp::model::{CallToolResult, JsonObject};
use rmcp::service::RequestContext;
use rmcp::{RoleServer, tool, tool_router};
use sshepherd_engine::store::{Error, StreamFilter, Task, Wish};
use sshepherd_engine::{HostCancel, PauseAnswer, Piece, Refusal, Roster};
use sshepherd_model::{Alias, Request, TaskId};

use super::output::{LOOK_MOST, Read, beyond};
use super::run::past_the_end;
use super::tasks::{cancelled, expired, unknown};
use crate::answer::{
    self, CancelledAnswer, Failure, Folded, OutputAnswer, PausedAnswer, TagAnswer,
};
use crate::mcp::args::{Args, Part, Reading, ToPause};
use crate::mcp::reply::{done, failed, invalid};
use crate::mcp::schema;
use crate::mcp::server::Server;

/// Least room for a piece of a host's output; with less it is left for the next call.
const LEAST: usize = 64;
/// How many notes about what was taken out are told.
const MOST_NOTES: usize = 3;

#[tool_router(router = fan_out_router, vis = "pub(in crate::mcp)")]
impl Server {
    #[tool(
        description = "Begin no more hosts of a background fan-out.",
        input_schema = schema::input::<ToPause>(),
        output_schema = schema::output::<PausedAnswer>(),
        annotations(read_only_hint = false, destructive_hint = false, idempotent_hint = true, open_world_hint = true)
    )]
    async fn ssh_pause_task(
        &self,
        Parameters(args): Parameters<JsonObject>,
        context: RequestContext<RoleServer>,
    ) -> CallToolResult {
        let args = Args::new(args);
        let parsed = args.need::<TaskId>("task_id").and_then(|id| Ok((id, args.flag("resume")?)));
        let (id, resume) = match parsed {
            Ok((id, resume)) => (id, resume.unwrap_or(false)),
            Err(error) => return invalid(error),
        };
        let wish = if resume { Wish::Resume } else { Wish::Pause };
        match self.engine.pause(&id, wish, &Self::origin(&context)).await {
            Ok(PauseAnswer::Done(task)) => done(&PausedAnswer {
                task_id: Some(id.to_string()),
                status: Some(task.status_word().to_owned()),
            }),
            Ok(PauseAnswer::AlreadyEnded(state)) => done(&PausedAnswer {
                task_id: Some(id.to_string()),
                status: Some(state.to_string()),
            }),
            Ok(PauseAnswer::OneHost) => failed(&one_host(&id)),
            Ok(PauseAnswer::Expired) => failed(&expired(&id)),
            Ok(PauseAnswer::Unknown) => failed(&unknown(&id)),
            Err(refusal) => failed(&Failure::from(&refusal).about(&id)),
        }
    }
}

fn one_host(id: &TaskId) -> Failure {
    let hint = "only a fan-out over many hosts has hosts to begin or to leave out; ssh_cancel stops this one";
    Failure::new("the task is one of a single host", hint).about(id)
}

impl Server {
    /// Leaves one host of a fan-out out.
    pub(super) async fn stop_host(
        &self,
        id: &TaskId,
        alias: &Alias,
        context: &RequestContext<RoleServer>,
    ) -> CallToolResult {
        match self.engine.cancel_host(id, alias, &Self::origin(context)).await {
            Ok(HostCancel::Stopped(child, answer)) => cancelled(&child, &answer),
            Ok(HostCancel::NotBegun) => done(&CancelledAnswer {
                task_id: Some(id.to_string()),
                cancelled: Some(true),
                message: Some(format!("{alias} was not begun and will not be")),
                status: Some("not_begun".to_owned()),
                ..CancelledAnswer::default()
            }),
            Ok(HostCancel::NotOne) => {
                let hint = "ssh_get_task_output tells the hosts that have ended";
                let mut failure =
                    Failure::new(format!("the fan-out is not for a host called {alias}"), hint);
                failure.field = Some("alias".to_owned());
                failed(&failure.about(id))
            }
            Ok(HostCancel::AlreadyEnded(state)) => done(&CancelledAnswer {
                task_id: Some(id.to_string()),
                cancelled: Some(false),
                message: Some(format!("the task had ended before: {state}")),
                status: Some(state.to_string()),
                ..CancelledAnswer::default()
            }),
            Ok(HostCancel::OneHost) => failed(&one_host(id)),
            Ok(HostCancel::Expired) => failed(&expired(id)),
            Ok(HostCancel::Unknown) => failed(&unknown(id)),
            Err(refusal) => failed(&Failure::from(&refusal).about(id)),
        }
    }

    /// The results of the hosts that have ended, folded as those of a fan-out that is waited for.
    pub(super) async fn hosts_so_far(&self, task: &Task, from: usize) -> CallToolResult {
        // Room for what is added here.
        let room = self.settings.answer_bytes.saturating_sub(400);
        let (config, ended) = (self.engine.config(), task.status.is_final());
        let kept = if ended { self.rests.folded(&task.id, &config) } else { None };
        let fresh = kept.is_none();
        let folded = match kept {
            Some(folded) => folded,
            None => match self.told_in(room, task, from).await {
                Some(Ok(answer)) => return self.so_far(task, answer).await,
                Some(Err(folded)) => Arc::new(folded),
                None => return failed(&expired(&task.id)),
            },
        };
        if from > folded.len() {
            return failed(&past_the_end(&task.id, folded.len()));
        }
        let answer = folded.page(from, room);
        if fresh && ended && answer.next_cursor.is_some() {
            self.rests.keep_folded(&task.id, &config, &folded);
        }
        self.so_far(task, answer).await
    }

    /// All hosts that have ended: each by itself if they fit and the beginning is wanted, else in groups.
    async fn told_in(
        &self,
        room: usize,
        task: &Task,
        from: usize,
    ) -> Option<Result<TagAnswer, Folded>> {
        let fan_out = self.engine.group(task).await?;
        let request = Request::new(&task.command).ok()?;
        let entries = self.entries(&request, &fan_out).await;
        Some(match from {
            0 => answer::each(&fan_out.targets, entries, room),
            _ => Err(Folded::of(&fan_out.targets, &entries)),
        })
    }

    /// With where the fan-out is, and how many of its hosts these are.
    async fn so_far(&self, task: &Task, mut answer: TagAnswer) -> CallToolResult {
        answer.task_id = Some(task.id.to_string());
        answer.status = Some(task.status_word().to_owned());
        if task.status.is_final() {
            return done(&answer);
        }
        let roster = match self.engine.roster(task).await {
            Ok(roster) => roster.unwrap_or_default(),
            Err(refusal) => return failed(&Failure::from(&refusal).about(&task.id)),
        };
        let ended = answer.summary.as_ref().map_or(0, |summary| summary.hosts);
        let so_far = format!("{ended} of {} hosts have ended so far", roster.hosts);
        let note = answer.note.take().filter(|_| ended > 0);
        answer.note = Some(note.map_or(so_far.clone(), |note| format!("{so_far}; {note}")));
        done(&answer)
    }

    /// Reads the output of a fan-out: at once, or when the next host has ended.
    pub(super) async fn group_in_time(&self, id: &TaskId, reading: &Reading) -> Read {
        let until = Instant::now() + reading.wait;
        let mut reading = reading.clone();
        let mut had = None;
        loop {
            let task = self.engine.task(id).await?.found();
            let Some(task) = task else { return Ok(Err(unknown(id))) };
            let roster = self.engine.roster(&task).await?.unwrap_or_default();
            // The last lines as they are after the next host.
            let first = *had.get_or_insert(roster.ended.len());
            let tail = matches!(reading.part, Part::Tail { .. });
            let over = task.status.is_final() || Instant::now() >= until;
            if over || !tail || roster.ended.len() > first {
                let answer = match self.group_at_once(&task, &roster, &reading).await? {
                    Ok(answer) => answer,
                    Err(failure) => return Ok(Err(failure)),
                };
                let some = answer.output_lines.as_ref().is_some_and(|lines| !lines.is_empty());
                if over || some || tail || answer.missing_before.is_some() {
                    return Ok(Ok(answer));
                }
                if let Some(next) = answer.next_cursor {
                    // What has been looked through without a match is not looked through again.
                    reading.part = Part::From { cursor: next };
                    reading.seen_before += answer.lines_seen.unwrap_or(0);
                }
            }
            let read = roster.read;
            // Kept, it would be copied when the next host has ended.
            drop(roster);
            self.wait_beyond(id, read, StreamFilter::Both, until).await?;
        }
    }

    /// Reads with ever less room until the answer fits.
    pub(super) async fn group_at_once(
        &self,
        task: &Task,
        roster: &Roster,
        reading: &Reading,
    ) -> Read {
        let budget = self.settings.answer_bytes;
        let mut room = reading.max_bytes.min(budget.saturating_sub(600).max(LEAST));
        loop {
            let read = match &reading.part {
                Part::Tail { lines } if reading.matching.is_none() => {
                    self.last_of_group(task, roster, *lines, reading, room).await?
                }
                Part::Tail { .. } => self.group_from(task, roster, 0, reading, room).await?,
                Part::From { cursor } => {
                    self.group_from(task, roster, *cursor, reading, room).await?
                }
            };
            let Ok(answer) = read else { return Ok(read) };
            let size = answer::encoded(&answer);
            if size <= budget || room <= LEAST {
                return Ok(Ok(answer));
            }
            room = (room.saturating_mul(budget) / size).saturating_sub(16).min(room - 1).max(LEAST);
        }
    }

    /// Host after host from `cursor` on, each under its heading.
    async fn group_from(
        &self,
        task: &Task,
        roster: &Roster,
        cursor: u64,
        reading: &Reading,
        room: usize,
    ) -> Read {
        let (pieces, total) = (roster.pieces(), roster.row());
        if cursor > total {
            let error = Error::BeyondEnd { id: task.id.clone(), from: cursor, total };
            return Ok(Err(beyond(&error).about(&task.id)));
        }
        let mut row = Row { at: cursor, left: room, seen: reading.seen_before, ..Row::default() };
        let before = pieces.partition_point(|piece| piece.end() <= cursor);
        for piece in pieces.iter().skip(before) {
            let quiet = reading.matching.is_some();
            if row.at < piece.body() {
                if !quiet && !row.fits(&piece.heading) {
                    break;
                }
                if !quiet {
                    row.push(piece.heading.trim());
                }
                row.at = piece.body();
            }
            let looked = usize::try_from(row.at - cursor).unwrap_or(usize::MAX);
            if !self.body(piece, reading, &mut row).await? || (quiet && looked >= LOOK_MOST) {
                break;
            }
        }
        let end = row.at == total && task.status.is_final();
        let quiet = reading.matching.is_some();
        Ok(Ok(OutputAnswer {
            task_id: Some(task.id.to_string()),
            status: Some(task.status_word().to_owned()),
            output_lines: Some(row.lines),
            cleaned: (!row.notes.is_empty()).then(|| row.notes.join("; ")),
            lines_seen: quiet.then_some(row.seen),
            lines_matched: quiet.then_some(row.matched),
            has_more: Some(!end),
            next_cursor: Some(row.at),
            missing_before: (row.missing > 0).then_some(row.missing),
            total_bytes: Some(total),
            eof: Some(end),
            ..OutputAnswer::default()
        }))
    }

    /// A host's output from where the row is; `false` when it did not fit to its end.
    async fn body(&self, piece: &Piece, reading: &Reading, row: &mut Row) -> Result<bool, Refusal> {
        while row.at < piece.end() {
            let Some(child) = &piece.task else { break };
            if row.left < LEAST && !row.lines.is_empty() {
                return Ok(false);
            }
            let part = Part::From { cursor: row.at - piece.body() };
            let own = Reading { part, seen_before: 0, ..reading.clone() };
            let Ok(answer) = self.with_room(child, &own, row.left.max(LEAST)).await? else {
                // Its result has expired, or had to make room.
                row.missing += piece.end() - row.at;
                break;
            };
            let lines = answer.output_lines.unwrap_or_default();
            if reading.matching.is_some() && !lines.is_empty() {
                row.push(piece.heading.trim());
            }
            lines.iter().for_each(|line| row.push(line));
            row.note(answer.cleaned);
            row.seen += answer.lines_seen.unwrap_or(0);
            row.matched += answer.lines_matched.unwrap_or(0);
            row.missing += answer.missing_before.unwrap_or(0);
            let next = piece.body() + answer.next_cursor.unwrap_or(piece.bytes);
            if answer.eof == Some(true) || next <= row.at {
                break;
            }
            row.at = next;
            if reading.matching.is_some() {
                return Ok(false);
            }
        }
        row.at = piece.end();
        Ok(true)
    }

    /// The last lines of the hosts that ended last.
    async fn last_of_group(
        &self,
        task: &Task,
        roster: &Roster,
        most: usize,
        reading: &Reading,
        room: usize,
    ) -> Read {
        let (mut parts, mut left, mut room, mut more) = (Vec::new(), most, room, false);
        let mut notes = Row::default();
        for piece in roster.pieces().iter().rev() {
            let size = piece.heading.len() + 3;
            if left == 0 || (room < size + LEAST && !parts.is_empty()) {
                more = true;
                break;
            }
            (left, room) = (left - 1, room.saturating_sub(size));
            let mut lines = Vec::new();
            if let Some(child) = piece.task.as_ref().filter(|_| piece.bytes > 0) {
                let own = Reading { part: Part::Tail { lines: left.max(1) }, ..reading.clone() };
                if let Ok(answer) = self.with_room(child, &own, room).await? {
                    lines = answer.output_lines.unwrap_or_default();
                    more |= answer.has_more == Some(true);
                    notes.note(answer.cleaned);
                }
            }
            left = left.saturating_sub(lines.len());
            room = room.saturating_sub(lines.iter().map(|line| line.len() + 3).sum());
            lines.insert(0, piece.heading.trim().to_owned());
            parts.push(lines);
        }
        Ok(Ok(OutputAnswer {
            task_id: Some(task.id.to_string()),
            status: Some(task.status_word().to_owned()),
            output_lines: Some(parts.into_iter().rev().flatten().collect()),
            cleaned: (!notes.notes.is_empty()).then(|| notes.notes.join("; ")),
            has_more: Some(more),
            total_bytes: Some(roster.row()),
            eof: Some(task.status.is_final()),
            ..OutputAnswer::default()
        }))
    }
}

/// What has been read of the row of all output.
#[derive(Debug, Default)]
struct Row {
    at: u64,
    left: usize,
    lines: Vec<String>,
    seen: u64,
    matched: u64,
    missing: u64,
    notes: Vec<String>,
}

impl Row {
    fn fits(&self, line: &str) -> bool {
        self.lines.is_empty() || line.len() < self.left
    }

    fn push(&mut self, line: &str) {
        self.left = self.left.saturating_sub(line.len() + 3);
        self.lines.push(line.to_owned());
    }

    fn note(&mut self, note: Option<String>) {
        if let Some(note) = note
            && !self.notes.contains(&note)
            && self.notes.len() < MOST_NOTES
        {
            self.notes.push(note);
        }
    }
}
