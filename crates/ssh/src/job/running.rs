//! A job that is followed: its output from any byte on, then its end.

use std::pin::Pin;
use std::sync::Arc;

use sshepherd_model::{ConnectFailure, HostWords, Stream};

use super::channel::{Channel, Piece, ask, mark};
use super::{JobEnd, JobEvent, JobPlace, Offsets, script};
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
    state: State,
}

enum State {
    /// Output as it is written.
    Streaming(Channel),
    /// The supervisor has gone: what has it left?
    Asking(Pin<Box<dyn Future<Output = Answer> + Send>>),
    /// The rest of the output, and what there must be of it in all.
    Collecting(Channel, JobEnd, Offsets),
    /// Nothing more but this.
    Last(JobEvent),
    Done,
}

/// Follows a job from the bytes that the caller has, from any process. A job that has ended or gone says so by its
/// events. The error means that nothing was learnt about it.
pub async fn follow(
    pool: &Pool,
    target: Arc<Target>,
    place: JobPlace,
    have: Offsets,
) -> Result<JobRunning, ConnectFailure> {
    let nonce = mark()?;
    let text = script::follow(&nonce, &place.folder, first(have));
    let (channel, words) = ask(pool, &target, text, &nonce).await?;
    let mut running = JobRunning::streaming(pool.clone(), target, place, have, channel);
    if words != "follow" {
        // An empty folder has no end to wait for.
        running.collect();
    }
    Ok(running)
}

fn first(have: Offsets) -> (u64, u64) {
    (have.stdout.saturating_add(1), have.stderr.saturating_add(1))
}

impl JobRunning {
    pub(super) fn streaming(
        pool: Pool,
        target: Arc<Target>,
        place: JobPlace,
        given: Offsets,
        channel: Channel,
    ) -> Self {
        Self { pool, target, place, given, state: State::Streaming(channel) }
    }

    /// Where it is: to be kept for whoever follows it next.
    #[must_use]
    pub fn place(&self) -> &JobPlace {
        &self.place
    }

    /// The bytes given so far, those that the caller had before included.
    #[must_use]
    pub fn given(&self) -> Offsets {
        self.given
    }

    /// The next event; `None` after the last. Cancel safe.
    pub async fn next(&mut self) -> Option<JobEvent> {
        loop {
            match &mut self.state {
                State::Streaming(channel) => match channel.next().await {
                    Piece::Output(stream, bytes) => return Some(self.output(stream, bytes)),
                    Piece::Closed(Some(0)) => self.collect(),
                    Piece::Closed(_) => self.lost("the connection was lost"),
                },
                State::Asking(answer) => {
                    let answer = answer.await;
                    self.answered(answer);
                }
                State::Collecting(channel, end, size) => {
                    let (end, size) = (*end, *size);
                    match channel.next().await {
                        Piece::Output(stream, bytes) => return Some(self.output(stream, bytes)),
                        Piece::Closed(_) if self.given == size => {
                            self.state = State::Last(JobEvent::Ended(end));
                        }
                        Piece::Closed(_) => self.lost("the rest of the output did not come whole"),
                    }
                }
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
        self.given.count(stream, bytes.len());
        JobEvent::Output { stream, bytes }
    }

    fn lost(&mut self, detail: impl Into<HostWords>) {
        self.state = State::Last(JobEvent::Lost { detail: detail.into() });
    }

    fn collect(&mut self) {
        let (pool, target) = (self.pool.clone(), Arc::clone(&self.target));
        let (folder, first) = (self.place.folder.clone(), first(self.given));
        // This drops the channel of the stream, whose place the question may need.
        self.state = State::Asking(Box::pin(async move {
            let nonce = mark()?;
            let text = script::collect(&nonce, &folder, first);
            ask(&pool, &target, text, &nonce).await
        }));
    }

    fn answered(&mut self, answer: Answer) {
        let (channel, words) = match answer {
            Ok(answer) => answer,
            Err(failure) => return self.lost(failure.to_string()),
        };
        match words.as_str() {
            "gone" => self.state = State::Last(JobEvent::Ended(JobEnd::Gone)),
            "running" => self.lost("it still runs, though its stream has ended"),
            words => match end(words) {
                Some((end, size)) => self.state = State::Collecting(channel, end, size),
                None => self.lost(format!("the host's answer is not understood: {words:?}")),
            },
        }
    }
}

/// `done RC FLAG OUT ERR` or `dead WHY - OUT ERR`.
fn end(words: &str) -> Option<(JobEnd, Offsets)> {
    let mut fields = words.split(' ');
    let (kind, value, flag) = (fields.next()?, fields.next()?, fields.next()?);
    let (stdout, stderr) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
    let end = match (kind, value, flag) {
        ("done", status, "-") => JobEnd::Exited { status: status.parse().ok()? },
        ("done", status, "cut") => JobEnd::Cut { status: status.parse().ok()? },
        ("done", _, "limit") | ("dead", "limit", _) => JobEnd::Limit,
        ("dead", "rebooted", _) => JobEnd::Rebooted,
        ("dead", "killed", _) => JobEnd::Killed,
        ("dead", "unstarted", _) => JobEnd::NotStarted,
        _ => return None,
    };
    Some((end, Offsets { stdout, stderr }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_answers_tell_an_end() {
        let size = Offsets { stdout: 5, stderr: 6 };
        assert_eq!(end("done 7 - 5 6"), Some((JobEnd::Exited { status: 7 }, size)));
        assert_eq!(end("done 137 limit 5 6"), Some((JobEnd::Limit, size)));
        assert_eq!(end("dead rebooted - 5 6"), Some((JobEnd::Rebooted, size)));
        for words in
            ["", "done", "done 7", "done x - 5 6", "done 7 - 5", "dead why - 5 6", "done 7 ? 5 6"]
        {
            assert_eq!(end(words), None, "{words:?}");
        }
    }
}
