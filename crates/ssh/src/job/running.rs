//! A job that is followed: its output from any byte on, then its end.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;

use sshepherd_model::{ConnectFailure, HostWords, Stream};

use super::channel::{Channel, Piece, ask, mark};
use super::script::{self, Reading};
use super::{JobEnd, JobEvent, JobPlace, JobSite, Offsets};
use crate::pool::Pool;
use crate::target::Target;

type Answer = Result<(Channel, String), ConnectFailure>;

/// A job that is followed.
///
/// Its owner must read it: a channel that nobody reads stalls the other channels of its connection. Dropping it leaves
/// the job alone.
pub struct JobRunning {
    pool: Pool,
    target: Arc<Target>,
    place: JobPlace,
    given: Offsets,
    reading: Reading,
    /// What the host was told that we have.
    told: Offsets,
    state: State,
    /// Come before what the state gives.
    skipped: VecDeque<JobEvent>,
    /// The host has said how it ended.
    ended: bool,
}

enum State {
    /// Output as it is written.
    Streaming(Channel),
    /// It grows beyond one file.
    Following(Pin<Box<dyn Future<Output = Answer> + Send>>),
    /// The supervisor has gone: what has it left?
    Asking(Pin<Box<dyn Future<Output = Answer> + Send>>),
    /// The rest of the output, and how far it goes.
    Collecting(Channel, Rest),
    /// Nothing more but this.
    Last(JobEvent),
    Done,
}

/// What an ended job has left.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Rest {
    end: JobEnd,
    /// Where the streams end,
    size: Offsets,
    /// and from where on,
    from: Offsets,
    /// and up to where nothing is missing in what comes.
    to: Offsets,
}

/// Bytes after which the host is told that we have them.
const TELL_EVERY: u64 = 1 << 20;

/// Follows a job from the bytes that the caller has, from any process. A job that has ended or gone says so by its
/// events. The error means that nothing was learnt about it.
pub async fn follow(
    pool: &Pool,
    target: Arc<Target>,
    place: JobPlace,
    have: Offsets,
) -> Result<JobRunning, ConnectFailure> {
    let mut running = JobRunning {
        pool: pool.clone(),
        target,
        reading: reading(&place, have),
        place,
        given: have,
        told: have,
        state: State::Done,
        skipped: VecDeque::new(),
        ended: false,
    };
    let answer = running.ask_to_follow().await?;
    running.followed(Ok(answer));
    Ok(running)
}

/// Whether a job runs, or what it has left is still being written. The error means that nothing was learnt about it.
pub async fn runs(
    pool: &Pool,
    target: Arc<Target>,
    place: &JobPlace,
) -> Result<bool, ConnectFailure> {
    let nonce = mark()?;
    let text =
        script::collect(&nonce, place, Offsets { stdout: u64::MAX >> 1, stderr: u64::MAX >> 1 });
    let (_, words) = ask(pool, &target, text, &nonce).await?;
    Ok(words == "running")
}

/// A stream is one file until it has a quarter of the room.
fn reading(place: &JobPlace, have: Offsets) -> Reading {
    let much = place.room > 0 && have.stdout.max(have.stderr) >= place.room / 8;
    if much { Reading::Pieces } else { Reading::Whole }
}

impl JobRunning {
    /// From its first byte, on the channel that started it.
    pub(super) fn started(
        pool: Pool,
        target: Arc<Target>,
        place: JobPlace,
        channel: Channel,
    ) -> Self {
        Self {
            pool,
            target,
            place,
            given: Offsets::default(),
            reading: Reading::Whole,
            told: Offsets::default(),
            state: State::Streaming(channel),
            skipped: VecDeque::new(),
            ended: false,
        }
    }

    /// Where it is: to be kept for whoever follows it next.
    #[must_use]
    pub fn place(&self) -> &JobPlace {
        &self.place
    }

    /// Whether what was reached is not where it is.
    #[must_use]
    pub fn is_elsewhere(&self) -> bool {
        matches!(self.state, State::Last(JobEvent::Elsewhere))
    }

    /// The bytes given so far, those that the caller had before and those that were skipped included.
    #[must_use]
    pub fn given(&self) -> Offsets {
        self.given
    }

    /// Whether the host has said how it ended: the rest of its output, which comes before the event, may be long.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.ended || matches!(self.state, State::Last(JobEvent::Ended(_)))
    }

    /// The next event; `None` after the last. Cancel safe.
    ///
    /// Who asks for the next has kept what was given before: the host may forget it.
    pub async fn next(&mut self) -> Option<JobEvent> {
        loop {
            if let Some(skipped) = self.skipped.pop_front() {
                return Some(skipped);
            }
            self.keep_up();
            match &mut self.state {
                State::Streaming(channel) => match channel.next().await {
                    Piece::Output(stream, bytes) => return Some(self.output(stream, bytes)),
                    Piece::Closed(Some(0)) => self.collect(),
                    Piece::Closed(_) => self.lost("the connection was lost"),
                },
                State::Following(answer) => {
                    let answer = answer.await;
                    self.followed(answer);
                }
                State::Asking(answer) => {
                    let answer = answer.await;
                    self.answered(answer);
                }
                State::Collecting(channel, _) => match channel.next().await {
                    Piece::Output(stream, bytes) => return Some(self.output(stream, bytes)),
                    Piece::Closed(_) => self.collected(),
                },
                State::Last(_) => {
                    let State::Last(event) = std::mem::replace(&mut self.state, State::Done) else {
                        return None;
                    };
                    return Some(event);
                }
                State::Done => return None,
            }
        }
    }

    fn output(&mut self, stream: Stream, bytes: bytes::Bytes) -> JobEvent {
        self.given.count(stream, bytes.len() as u64);
        JobEvent::Output { stream, bytes }
    }

    fn lost(&mut self, detail: impl Into<HostWords>) {
        self.state = State::Last(JobEvent::Lost { detail: detail.into() });
    }

    fn spoiled(&mut self, detail: impl Into<HostWords>) {
        self.state = State::Last(JobEvent::Ended(JobEnd::Spoiled { detail: detail.into() }));
    }

    /// Lets the host forget what we have, and reads otherwise when more than one file may come.
    fn keep_up(&mut self) {
        let State::Streaming(channel) = &mut self.state else { return };
        if self.reading == Reading::Pieces {
            let new = |stream: Stream| self.given.of(stream) - self.told.of(stream);
            if new(Stream::Stdout).max(new(Stream::Stderr)) >= TELL_EVERY {
                channel.tell(format!("{} {}\n", self.given.stdout, self.given.stderr));
                self.told = self.given;
            }
        } else if reading(&self.place, self.given) == Reading::Pieces {
            self.reading = Reading::Pieces;
            // This drops the channel, whose place the question may need.
            self.state = State::Following(Box::pin(self.ask_to_follow()));
        }
    }

    fn ask_to_follow(&self) -> impl Future<Output = Answer> + Send + 'static {
        let (pool, target) = (self.pool.clone(), Arc::clone(&self.target));
        let (place, have, reading) = (self.place.clone(), self.given, self.reading);
        async move {
            let nonce = mark()?;
            let text = script::follow(&nonce, &place, have, reading);
            ask(&pool, &target, text, &nonce).await
        }
    }

    fn followed(&mut self, answer: Answer) {
        let (channel, words) = match answer {
            Ok(answer) => answer,
            Err(failure) => return self.lost(failure.to_string()),
        };
        match words.split_once(' ') {
            // An empty folder has no end to wait for.
            _ if words == "gone" => self.collect(),
            _ if let Some(found) = elsewhere(&words) => self.elsewhere(&found),
            Some(("spoiled", how)) => self.spoiled(how),
            Some(("follow", from)) if let Some(from) = offsets(&mut from.split(' ')) => {
                self.skip_to(from);
                self.state = State::Streaming(channel);
            }
            _ => self.lost(format!("the host's answer is not understood: {words:?}")),
        }
    }

    fn skip_to(&mut self, from: Offsets) {
        for stream in [Stream::Stdout, Stream::Stderr] {
            let bytes = from.of(stream).saturating_sub(self.given.of(stream));
            if bytes > 0 {
                self.given.count(stream, bytes);
                self.skipped.push_back(JobEvent::Skipped { stream, bytes });
            }
        }
    }

    fn elsewhere(&mut self, found: &JobSite) {
        self.state = State::Last(match self.place.restarted(found) {
            true => JobEvent::Ended(JobEnd::Rebooted),
            false => JobEvent::Elsewhere,
        });
    }

    fn collect(&mut self) {
        let (pool, target) = (self.pool.clone(), Arc::clone(&self.target));
        let (place, have) = (self.place.clone(), self.given);
        // This drops the channel of the stream, whose place the question may need.
        self.state = State::Asking(Box::pin(async move {
            let nonce = mark()?;
            let text = script::collect(&nonce, &place, have);
            ask(&pool, &target, text, &nonce).await
        }));
    }

    fn answered(&mut self, answer: Answer) {
        let (channel, words) = match answer {
            Ok(answer) => answer,
            Err(failure) => return self.lost(failure.to_string()),
        };
        match (words.as_str(), words.split_once(' ')) {
            ("gone", _) => self.state = State::Last(JobEvent::Ended(JobEnd::Gone)),
            ("running", _) => self.lost("it still runs, though its stream has ended"),
            (words, _) if let Some(found) = elsewhere(words) => self.elsewhere(&found),
            (_, Some(("spoiled", how))) => self.spoiled(how),
            (words, _) => match end(words) {
                Some(rest) => self.rest(channel, rest),
                None => self.lost(format!("the host's answer is not understood: {words:?}")),
            },
        }
    }

    fn rest(&mut self, channel: Channel, rest: Rest) {
        let shrunk = |stream: Stream| rest.size.of(stream) < self.given.of(stream);
        if rest.end == JobEnd::NotStarted && self.place.pid.parse::<u64>().is_ok() {
            return self.spoiled("its files have vanished");
        }
        if shrunk(Stream::Stdout) || shrunk(Stream::Stderr) {
            return self.spoiled("its output is shorter than it was");
        }
        self.skip_to(rest.from);
        self.ended = true;
        self.state = State::Collecting(channel, rest);
    }

    fn collected(&mut self) {
        let State::Collecting(_, rest) = &self.state else { return };
        if self.given != rest.to {
            self.lost("the rest of the output did not come whole");
        } else if rest.to == rest.size {
            self.state = State::Last(JobEvent::Ended(rest.end.clone()));
        } else {
            self.collect();
        }
    }
}

fn offsets<'a>(fields: &mut impl Iterator<Item = &'a str>) -> Option<Offsets> {
    Some(Offsets { stdout: fields.next()?.parse().ok()?, stderr: fields.next()?.parse().ok()? })
}

/// `elsewhere HOME TMP BOOT MACHINE`.
fn elsewhere(words: &str) -> Option<JobSite> {
    words.strip_prefix("elsewhere ").and_then(JobSite::parse)
}

/// `done RC FLAG` or `dead WHY -`, then the offsets of [`Rest`].
fn end(words: &str) -> Option<Rest> {
    let mut fields = words.split(' ');
    let (kind, value, flag) = (fields.next()?, fields.next()?, fields.next()?);
    let (size, from, to) = (offsets(&mut fields)?, offsets(&mut fields)?, offsets(&mut fields)?);
    let end = match (kind, value, flag) {
        ("done", status, "-") => JobEnd::Exited { status: status.parse().ok()? },
        ("done", status, "cut") => JobEnd::Cut { status: status.parse().ok()? },
        ("done", _, "limit") | ("dead", "limit", _) => JobEnd::Limit,
        ("done", _, "stopped") | ("dead", "stopped", _) => JobEnd::Stopped,
        ("dead", "rebooted", _) => JobEnd::Rebooted,
        ("dead", "killed", _) => JobEnd::Killed,
        ("dead", "unstarted", _) => JobEnd::NotStarted,
        _ => return None,
    };
    Some(Rest { end, size, from, to })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_answers_tell_an_end() {
        let at = |stdout, stderr| Offsets { stdout, stderr };
        let told = |end| Some(Rest { end, size: at(5, 6), from: at(3, 4), to: at(5, 6) });
        assert_eq!(end("done 7 - 5 6 3 4 5 6"), told(JobEnd::Exited { status: 7 }));
        assert_eq!(end("done 137 limit 5 6 3 4 5 6"), told(JobEnd::Limit));
        assert_eq!(end("done 143 stopped 5 6 3 4 5 6"), told(JobEnd::Stopped));
        assert_eq!(end("dead stopped - 5 6 3 4 5 6"), told(JobEnd::Stopped));
        assert_eq!(end("dead rebooted - 5 6 3 4 5 6"), told(JobEnd::Rebooted));
        for words in [
            "",
            "done",
            "done 7",
            "done x - 5 6 3 4 5 6",
            "done 7 - 5 6 3 4 5",
            "dead why - 5 6 3 4 5 6",
            "done 7 ? 5 6 3 4 5 6",
        ] {
            assert_eq!(end(words), None, "{words:?}");
        }
    }
}
