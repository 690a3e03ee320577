//! Finished commands with as much of their output as the byte budget allows.

use std::collections::HashMap;

use sha2::{Digest, Sha256};
use sshepherd_engine::store::{HeadTail, Lookup, StreamFilter};
use sshepherd_engine::{Engine, Finished, Refusal};

use crate::answer::{self, RunAnswer, Whole, encoded};

/// How often the output is asked for again with less room; each time the room shrinks by what the last answer was over,
/// so that two are enough but for text that JSON escapes very unevenly.
const TRIES: usize = 4;

/// The answer about `finished`, at most `budget` bytes as JSON, but for the fixed fields, which take about 600.
pub(super) async fn report(
    engine: &Engine,
    finished: &Finished,
    budget: usize,
) -> Result<RunAnswer, Refusal> {
    let mut room = budget.saturating_sub(FIXED).max(MIN_ROOM);
    for _ in 0..TRIES {
        let answer = with_room(engine, finished, room).await?;
        let size = encoded(&answer);
        if size <= budget {
            return Ok(answer);
        }
        room = (room.saturating_mul(budget) / size.max(1)).saturating_sub(16);
    }
    with_room(engine, finished, 0).await
}

/// About what the fields other than `output` take.
pub(super) const FIXED: usize = 600;
/// Room for output that a host of a fan-out gets at least: a line or two.
pub(super) const MIN_ROOM: usize = 160;

async fn with_room(
    engine: &Engine,
    finished: &Finished,
    room: usize,
) -> Result<RunAnswer, Refusal> {
    let id = &finished.task.id;
    let total = finished.task.output.bytes();
    let nothing_of = |missing| HeadTail { head: Vec::new(), missing, tail: Vec::new(), total };
    let output = if total == 0 {
        nothing_of(0)
    } else {
        match engine.head_tail(id, room, StreamFilter::Both).await? {
            Lookup::Found(output) => output,
            // It expired between its end and this line, and no cursor leads to it.
            Lookup::Expired | Lookup::Unknown => return Ok(answer::without_output(finished)),
        }
    };
    let shown = engine.view_ends(id, &output, StreamFilter::Both).await.map_err(Refusal::Store)?;
    Ok(answer::finished(&answer::Report {
        finished,
        output: &output,
        shown: &shown,
        enforcement: engine.config().policy.enforcement(),
    }))
}

/// Most bytes of whole outputs that are kept while the hosts of a fan-out are compared: what differs can then be shown.
const MOST_WHOLE: usize = 16 << 20;

/// The whole outputs of many hosts, each read once and kept once.
#[derive(Default)]
pub(super) struct Wholes {
    /// By the digest of the bytes: what they are as they may be read.
    known: HashMap<[u8; 32], Whole>,
    /// By the digest of what may be read.
    texts: HashMap<[u8; 32], Whole>,
    bytes: usize,
}

impl Wholes {
    /// All that `finished` wrote, of which `shown` is as much as the answer has room for.
    pub(super) async fn of(
        &mut self,
        engine: &Engine,
        finished: &Finished,
        shown: &RunAnswer,
    ) -> Result<Option<Whole>, Refusal> {
        let Some(text) = &shown.output else { return Ok(None) };
        if shown.missing_bytes.is_none() {
            return Ok(Some(self.keep(text)));
        }
        let id = &finished.task.id;
        let all = engine.head_tail(id, usize::MAX / 2, StreamFilter::Both).await?;
        let Lookup::Found(all) = all else { return Ok(Some(self.keep(text))) };
        let mut digest = Sha256::new();
        for chunk in all.head.iter().chain(&all.tail) {
            digest.update(&chunk.bytes);
        }
        // The same bytes of two hosts may mean different texts.
        digest.update(format!("{} {:?}", all.missing, engine.encoding_of(id).await));
        let digest = digest.finalize().into();
        if let Some(whole) = self.known.get(&digest) {
            return Ok(Some(whole.clone()));
        }
        if self.bytes >= MOST_WHOLE {
            // Equal is still told from different, by the bytes.
            return Ok(Some(Whole { digest, text: None }));
        }
        let whole = with_room(engine, finished, usize::MAX / 2).await?;
        let whole = self.keep(whole.output.as_deref().unwrap_or_default());
        self.known.insert(digest, whole.clone());
        Ok(Some(whole))
    }

    fn keep(&mut self, text: &str) -> Whole {
        let digest: [u8; 32] = Sha256::digest(text.as_bytes()).into();
        if let Some(whole) = self.texts.get(&digest) {
            return whole.clone();
        }
        let room = self.bytes + text.len() <= MOST_WHOLE;
        if room {
            self.bytes += text.len();
        }
        let whole = Whole { digest, text: room.then(|| text.into()) };
        self.texts.insert(digest, whole.clone());
        whole
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use sshepherd_engine::audit::{Keeping, Sink};
    use sshepherd_engine::store::{
        Care, Durability, Finish, MemoryStore, NewTask, Patch, Store, TaskLimits,
    };
    use sshepherd_engine::{Adopt, Services};
    use sshepherd_model::{CommandHash, Outcome, Stream, TaskId};

    use super::*;

    /// No empty output, and no cursor that leads to nothing.
    #[tokio::test]
    async fn a_result_that_expires_while_it_is_read_says_so() {
        let (alias, hash) = ("web".parse().unwrap(), CommandHash::of("uptime"));
        let id = TaskId::compose(&alias, &hash, 1);
        let second = std::time::Duration::from_secs(1);
        let store = Arc::new(MemoryStore::default());
        let new = NewTask {
            id: id.clone(),
            alias,
            hash,
            command: "uptime".to_owned(),
            limits: TaskLimits { max_time: second, max_output_bytes: 1 << 20, result_ttl: second },
            raw_shell: false,
            created_at: 1,
            errand: String::new(),
            key: None,
            digest: None,
            care: Care::EachStep,
        };
        store.create(new).await.unwrap();
        let started = Patch::Started { at: 1, durability: Durability::Attached };
        let _ = store.patch(&id, started).await.unwrap();
        store.append(&id, Stream::Stdout, "some text\n".into()).await.unwrap();
        let outcome = Outcome::Exited { status: 3 };
        let task = store.finish(&id, Finish { outcome: outcome.clone(), at: 2 }).await.unwrap();
        let audit = Sink::open_beside(Keeping::default(), Box::new(std::io::sink())).unwrap();
        let kept: Arc<dyn Store> = Arc::clone(&store) as Arc<dyn Store>;
        let services = Services { store: kept, audit, orphans: Adopt::OnRequest };
        let engine = Engine::start(crate::cli::no_hosts().0, services);
        store.sweep(u64::MAX).await.unwrap();
        let answer = report(&engine, &Finished { task, outcome }, 8192).await.unwrap();
        assert_eq!((answer.exit_code, answer.missing_bytes), (Some(3), Some(10)));
        assert_eq!((answer.output, answer.cursor), (None, None));
        assert!(answer.detail.unwrap().contains("expired"));
    }
}
