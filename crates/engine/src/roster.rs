//! What a fan-out has written into its own log: how many hosts, who was begun and, in the order of ending, how each ended.
//!
//! The log only grows, and whoever goes on with the fan-out reads it first, so no host is in it twice. All hosts' output is one
//! row of bytes by it: for each host that has ended a heading, then its output. Offsets in that row never change their meaning.

use std::collections::BTreeSet;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use sshepherd_model::{Alias, Outcome, Phase, Stream, TaskId};
use sshepherd_store::{Error, Task};
use tokio::sync::Mutex;

use crate::engine::Engine;
use crate::errand::Errand;
use crate::fan_out::HostReport;
use crate::group::Kept;
use crate::refusal::Refusal;
use crate::roll::LEFT_OUT;
use crate::task::Finished;

/// Most bytes of one line: two names, a task's id and a reason.
pub(crate) const LINE: u64 = 1024;
/// Most characters of a reason.
const REASON: usize = 300;
/// The status of a host whose command ended with exit status 0.
const COMPLETED: &str = "completed";

/// One line of the log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Line {
    Hosts(usize),
    Begun(Alias),
    Ended(HostEnd),
}

/// How one host ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostEnd {
    /// The host.
    pub alias: Alias,
    /// Its task; without one nothing was begun there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task: Option<TaskId>,
    /// `completed`, `failed`, `could_not_connect` and so on, or `not_begun`.
    pub status: String,
    /// Exit status, if it exited.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<u32>,
    /// Bytes of its output.
    #[serde(default)]
    pub bytes: u64,
    /// Its last line has no newline.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub open: bool,
    /// Why nothing was begun.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

/// How many hosts are where.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// All of them.
    pub hosts: usize,
    /// Neither begun nor passed over yet.
    pub pending: usize,
    /// At work.
    pub running: usize,
    /// Exit status 0.
    pub completed: usize,
    /// Begun, and any other end.
    pub failed: usize,
    /// Never begun, and will not be.
    pub not_begun: usize,
}

/// The log as it stands.
#[derive(Debug, Clone, Default)]
pub struct Roster {
    /// Hosts in all; 0 until the fan-out has begun.
    pub hosts: usize,
    /// Those that were begun.
    pub begun: BTreeSet<Alias>,
    /// Those that have their end, in the order of ending.
    pub ended: Vec<HostEnd>,
    /// Bytes of the log that this is from.
    pub read: u64,
    /// The row of all output, as far as hosts have ended.
    pieces: Vec<Piece>,
    running: BTreeSet<Alias>,
    completed: usize,
    not_begun: usize,
    bytes: u64,
    /// A line that has not been read to its end.
    cut: Vec<u8>,
}

/// One host's part of the row of all output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Piece {
    /// Where its heading begins.
    pub at: u64,
    /// The heading, with its newline.
    pub heading: String,
    /// Its task, if it wrote anything.
    pub task: Option<TaskId>,
    /// Bytes of its output.
    pub bytes: u64,
}

impl Piece {
    /// Where its output begins.
    #[must_use]
    pub fn body(&self) -> u64 {
        self.at + self.heading.len() as u64
    }

    /// Where the next piece begins.
    #[must_use]
    pub fn end(&self) -> u64 {
        self.body() + self.bytes
    }
}

impl HostEnd {
    fn of(report: &HostReport) -> Self {
        let alias = report.alias.clone();
        let plain = |text: String| -> String {
            text.chars().filter(|letter| !letter.is_control()).take(REASON).collect()
        };
        match &report.result {
            Ok(Finished { task, outcome }) => {
                let (status, exit_code) = fate(task, outcome);
                let (bytes, task) = (task.output.bytes(), Some(task.id.clone()));
                Self { alias, task, status, exit_code, bytes, open: false, why: None }
            }
            Err(refusal) => {
                let why = if let Refusal::NotBegun { why } = refusal {
                    why.clone()
                } else {
                    refusal.to_string()
                };
                let status = "not_begun".to_owned();
                let why = Some(plain(why));
                Self { alias, task: None, status, exit_code: None, bytes: 0, open: false, why }
            }
        }
    }

    /// Why nothing was begun, as it was first said.
    pub(crate) fn refusal(&self) -> Refusal {
        let why = self.why.clone().unwrap_or_default();
        if why == LEFT_OUT || self.task.is_none() {
            return Refusal::NotBegun { why };
        }
        Refusal::Earlier { reason: why }
    }

    fn heading(&self) -> String {
        let mut text = format!("== {}: {}", self.alias, self.status);
        if let Some(code) = self.exit_code.filter(|code| *code != 0) {
            text += &format!(", exit status {code}");
        }
        if let Some(why) = &self.why {
            text += &format!(", {why}");
        }
        if let Some(task) = &self.task {
            text += &format!(", {} bytes, task {task}", self.bytes);
        }
        text + " ==\n"
    }
}

/// The end as faces word it.
fn fate(task: &Task, outcome: &Outcome) -> (String, Option<u32>) {
    match outcome {
        Outcome::Exited { status } => (task.status.to_string(), Some(*status)),
        Outcome::NotStarted(failure) if failure.phase == Phase::Network => {
            ("denied".to_owned(), None)
        }
        Outcome::NotStarted(failure) if failure.phase == Phase::Record => {
            ("not_recorded".to_owned(), None)
        }
        Outcome::NotStarted(_) => ("could_not_connect".to_owned(), None),
        Outcome::Signalled { .. }
        | Outcome::NotSeenToRun(_)
        | Outcome::Denied { .. }
        | Outcome::TimedOut { .. }
        | Outcome::Cancelled { .. }
        | Outcome::Interrupted(_) => (task.status.to_string(), None),
    }
}

impl Roster {
    /// Takes what comes next of the log; what a dying server wrote in part is passed over.
    pub(crate) fn take(&mut self, bytes: &[u8]) {
        let mut lines = bytes.split(|byte| *byte == b'\n');
        let last = lines.next_back().unwrap_or_default();
        for line in lines {
            if self.cut.is_empty() {
                self.line(line);
            } else {
                let mut whole = std::mem::take(&mut self.cut);
                whole.extend_from_slice(line);
                self.line(&whole);
            }
        }
        self.cut.extend_from_slice(last);
    }

    fn line(&mut self, line: &[u8]) {
        match serde_json::from_slice(line) {
            Ok(Line::Hosts(hosts)) => self.hosts = hosts,
            Ok(Line::Begun(alias)) => {
                self.running.insert(alias.clone());
                self.begun.insert(alias);
            }
            Ok(Line::Ended(end)) => self.end(end),
            Err(_) => {}
        }
    }

    fn end(&mut self, end: HostEnd) {
        self.running.remove(&end.alias);
        self.completed += usize::from(end.status == COMPLETED);
        self.not_begun += usize::from(end.task.is_none());
        self.bytes += end.bytes;
        let open = self.ended.last().is_some_and(|last| last.open);
        let newline = if open { "\n" } else { "" };
        let (at, heading) = (self.row(), format!("{newline}{}", end.heading()));
        self.pieces.push(Piece { at, heading, task: end.task.clone(), bytes: end.bytes });
        self.ended.push(end);
    }

    /// How many hosts are where.
    #[must_use]
    pub fn counts(&self) -> Counts {
        let (ended, running) = (self.ended.len(), self.running.len());
        Counts {
            hosts: self.hosts,
            pending: self.hosts.saturating_sub(ended + running),
            running,
            completed: self.completed,
            failed: ended - self.not_begun - self.completed,
            not_begun: self.not_begun,
        }
    }

    /// The hosts that were begun and did not end well so far.
    pub fn failed(&self) -> impl Iterator<Item = &Alias> {
        let failed = |end: &&HostEnd| end.task.is_some() && end.status != COMPLETED;
        self.ended.iter().filter(failed).map(|end| &end.alias)
    }

    /// Bytes of all output of the hosts that have ended.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The row of all output, host after host.
    #[must_use]
    pub fn pieces(&self) -> &[Piece] {
        &self.pieces
    }

    /// Bytes of that row.
    #[must_use]
    pub fn row(&self) -> u64 {
        self.pieces.last().map_or(0, Piece::end)
    }
}

impl Engine {
    /// Whether it is one task for many hosts.
    #[must_use]
    pub fn is_group(task: &Task) -> bool {
        let errand = task.errand.as_deref().and_then(Errand::targets);
        errand.is_some() || Kept::of(task).is_some()
    }
}

/// Who writes the log: one line after the other.
pub(crate) struct Writer<'a> {
    engine: &'a Engine,
    id: &'a TaskId,
    turn: Mutex<()>,
}

impl<'a> Writer<'a> {
    /// Goes on with a log; a line that was cut off is ended first.
    pub(crate) async fn open(engine: &'a Engine, id: &'a TaskId, hosts: usize, read: u64) -> Self {
        let writer = Self { engine, id, turn: Mutex::new(()) };
        if read > 0 {
            writer.append("\n".to_owned()).await;
        }
        writer.line(&Line::Hosts(hosts)).await;
        writer
    }

    pub(crate) async fn begun(&self, alias: &Alias) {
        self.line(&Line::Begun(alias.clone())).await;
    }

    pub(crate) async fn ended(&self, report: &HostReport) {
        let mut end = HostEnd::of(report);
        if let Some(task) = end.task.as_ref().filter(|_| end.bytes > 0) {
            let last = self.engine.tail_lines(task, 1, 1).await.ok();
            let last = last.and_then(sshepherd_store::Lookup::found);
            end.open = last.is_some_and(|last| !last.lines.is_empty() && !last.ended);
        }
        self.line(&Line::Ended(end)).await;
    }

    async fn line(&self, line: &Line) {
        // A struct of texts always has a form in JSON.
        let text = serde_json::to_string(line).unwrap_or_default();
        self.append(text + "\n").await;
    }

    /// However long the store takes to have room for it.
    async fn append(&self, text: String) {
        let _turn = self.turn.lock().await;
        let bytes = Bytes::from(text);
        loop {
            let added = self.engine.store().append(self.id, Stream::Stdout, bytes.clone()).await;
            match added {
                Err(error) if self.again(&error) => {
                    tokio::time::sleep(crate::group::STORE_AGAIN).await;
                }
                Err(error) => {
                    tracing::error!(task = %self.id, %error, "a fan-out could not write down a step");
                    return;
                }
                Ok(_) => return,
            }
        }
    }

    fn again(&self, error: &Error) -> bool {
        crate::runner::passes(error) && !self.engine.closing().is_cancelled()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn end(alias: &str, status: &str, bytes: u64) -> HostEnd {
        HostEnd {
            alias: alias.parse().unwrap(),
            task: (status != "not_begun").then(|| format!("{alias}:task").parse().unwrap()),
            status: status.to_owned(),
            exit_code: (status == "failed").then_some(2),
            bytes,
            open: bytes % 2 == 1,
            why: (status == "not_begun").then(|| LEFT_OUT.to_owned()),
        }
    }

    #[test]
    fn a_log_that_was_cut_off_in_a_line_is_read_on_behind_it() {
        let lines = [
            Line::Hosts(5),
            Line::Begun("a".parse().unwrap()),
            Line::Begun("b".parse().unwrap()),
            Line::Begun("c".parse().unwrap()),
            Line::Ended(end("b", "failed", 3)),
            Line::Ended(end("d", "not_begun", 0)),
            Line::Ended(end("a", "completed", 4)),
        ];
        let mut text: String =
            lines.iter().map(|line| serde_json::to_string(line).unwrap() + "\n").collect();
        text = text.replacen(
            "{\"begun\":\"b\"}\n",
            "{\"begun\":\"b\"}\n{\"ended\":{\"alias\":\"x\n",
            1,
        );
        for piece in [text.len(), 1, 7, 100] {
            let mut roster = Roster::default();
            text.as_bytes().chunks(piece).for_each(|bytes| roster.take(bytes));
            let counts =
                Counts { hosts: 5, pending: 1, running: 1, completed: 1, failed: 1, not_begun: 1 };
            assert_eq!((roster.counts(), roster.bytes()), (counts, 7), "{piece}");
            let pieces = roster.pieces();
            assert_eq!(pieces[0].heading, "== b: failed, exit status 2, 3 bytes, task b:task ==\n");
            assert_eq!(
                pieces[1].heading, "\n== d: not_begun, cancelled ==\n",
                "an open line is ended"
            );
            assert_eq!((pieces[0].at, pieces[1].at), (0, pieces[0].heading.len() as u64 + 3));
            assert_eq!((pieces[2].at, roster.row()), (pieces[1].end(), pieces[2].end()));
        }
        assert!(text.lines().all(|line| (line.len() as u64) < LINE));
    }
}
