//! The other servers on the same state folder: hints go over a socket each way, and its end tells that one is gone.
//!
//! Hints only: whoever misses some reads the store again. Each line is one JSON value; the first says who speaks.

use std::os::fd::AsRawFd;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::{Arc, Weak};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::broadcast;
use tokio::task::JoinSet;

use crate::hint::{Heard, Hint, News};

use super::shared::Shared;

/// Longest line; an id has at most 200 characters.
const LINE: u64 = 4096;

/// Longest path that a socket takes everywhere: 104 bytes on some systems, with the zero at its end.
const LONGEST_PATH: usize = 103;

/// How long after the end of a connection the other's lock is looked at again, each time twice as long, up to two seconds
/// in all. One that is alive after that has lost the connection only.
const FIRST_LOOK: Duration = Duration::from_millis(1);
const LAST_LOOK: Duration = Duration::from_secs(1);

/// What one server says to another.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Word {
    /// Who speaks.
    Hello(String),
    /// News of a task.
    Hint(Hint),
    /// Some hints were left out.
    Missed,
}

/// Listens for others and calls on those that are there. Ends when the task is aborted.
pub(super) async fn serve(shared: Weak<Shared>, listener: UnixListener, others: Vec<UnixStream>) {
    let mut talks = JoinSet::new();
    for stream in others {
        talks.spawn(talk(Weak::clone(&shared), stream));
    }
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    talks.spawn(talk(Weak::clone(&shared), stream));
                }
                // Too many open files, or the like: whoever calls waits that long.
                Err(_) => tokio::time::sleep(LAST_LOOK).await,
            },
            Some(_) = talks.join_next() => {}
        }
    }
}

async fn talk(shared: Weak<Shared>, stream: UnixStream) {
    let (reader, writer) = stream.into_split();
    let Some((hello, hints)) = shared
        .upgrade()
        .map(|shared| (Word::Hello(shared.instance().to_owned()), shared.own_hints()))
    else {
        return;
    };
    let mut other = None;
    tokio::select! {
        () = tell(writer, hello, hints) => {}
        () = hear(&shared, reader, &mut other) => {}
    }
    let Some(other) = other else { return };
    // A process that dies closes its files one after the other, and nothing tells when a lock is free.
    let mut wait = FIRST_LOOK;
    while wait < LAST_LOOK && !shared.upgrade().is_none_or(|shared| shared.is_gone(&other)) {
        tokio::time::sleep(wait).await;
        wait *= 2;
    }
}

/// Says what happens here. Growth of one task is said once for all that waits.
async fn tell(mut writer: OwnedWriteHalf, hello: Word, mut hints: broadcast::Receiver<Hint>) {
    let mut words = vec![hello];
    loop {
        let mut text = Vec::new();
        for word in words.drain(..) {
            if serde_json::to_writer(&mut text, &word).is_ok() {
                text.push(b'\n');
            }
        }
        if writer.write_all(&text).await.is_err() {
            return;
        }
        match hints.recv().await {
            Ok(hint) => words.push(Word::Hint(hint)),
            Err(broadcast::error::RecvError::Lagged(_)) => words.push(Word::Missed),
            Err(broadcast::error::RecvError::Closed) => return,
        }
        while let Ok(hint) = hints.try_recv() {
            if let (News::Grew { .. }, Some(Word::Hint(last))) = (hint.news, words.last_mut())
                && last.id == hint.id
                && matches!(last.news, News::Grew { .. })
            {
                *last = hint;
            } else {
                words.push(Word::Hint(hint));
            }
        }
    }
}

/// Hears what happens there.
async fn hear(shared: &Weak<Shared>, reader: OwnedReadHalf, other: &mut Option<String>) {
    let mut reader = BufReader::new(reader);
    let mut line = Vec::new();
    loop {
        line.clear();
        match (&mut reader).take(LINE).read_until(b'\n', &mut line).await {
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
        // What a newer version says is not for us.
        let Ok(word) = serde_json::from_slice::<Word>(&line) else { continue };
        let Some(shared) = shared.upgrade() else { return };
        match word {
            Word::Hello(id) => *other = Some(id),
            Word::Hint(hint) => Shared::heard(&shared, hint).await,
            Word::Missed => shared.publish(Heard::Lagged(1)),
        }
    }
}

/// Opens this server's socket and calls on the others. `None` when the system refuses: then what other servers do is
/// noticed with the next sweep.
pub(super) async fn open(shared: &Arc<Shared>) -> Option<(UnixListener, Vec<UnixStream>)> {
    let folder = shared.folder();
    // A socket's path is short (108 bytes on Linux), a folder's need not be.
    let instances = std::fs::File::open(folder.instances()).ok()?;
    let reached = |instance: &str| {
        let path = folder.socket(instance);
        match path.file_name() {
            Some(name) if path.as_os_str().len() > LONGEST_PATH => {
                PathBuf::from(format!("/proc/self/fd/{}", instances.as_raw_fd())).join(name)
            }
            Some(_) | None => path,
        }
    };
    let listener = UnixListener::bind(reached(shared.instance())).ok()?;
    let private = std::fs::Permissions::from_mode(0o600);
    std::fs::set_permissions(folder.socket(shared.instance()), private).ok()?;
    let mut others = Vec::new();
    for other in folder.known().unwrap_or_default() {
        if other != shared.instance()
            && let Ok(stream) = UnixStream::connect(reached(&other)).await
        {
            others.push(stream);
        }
    }
    Some((listener, others))
}
