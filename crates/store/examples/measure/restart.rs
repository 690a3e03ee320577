//! A server with 10,000 finished and 200 running tasks is killed; the next one opens, answers, lists and takes over.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::Instant;

use sshepherd_model::{Stream, TaskId};
use sshepherd_store::{Care, DiskStore, ListQuery, Lookup, Orphans, Store, StreamFilter};

use crate::{Setting, TASKS, bounds, chunk, end, memory, ms, running, task};

/// The word that makes this program the server that is killed.
pub(crate) const FILL: &str = "fill-for-restart";

const FINISHED: u128 = 10_000;
/// The longest append: what one SSH packet brings.
const PACKET: u64 = 32 << 10;
/// Output of a task that still runs.
const RUNNING: usize = 1024;

/// Fills the folder, says so, and waits to be killed.
pub(crate) async fn fill(setting: &Setting) {
    let store = DiskStore::open(&setting.folder, bounds()).await.unwrap();
    let each = setting.size.map_or(RUNNING as u64, |size| size / FINISHED as u64);
    for nonce in 0..FINISHED + TASKS {
        let id = running(&store, nonce, Care::Result).await;
        if nonce < TASKS {
            store.append(&id, Stream::Stdout, chunk(RUNNING)).await.unwrap();
            continue;
        }
        let mut left = each;
        while left > 0 {
            let length = left.min(PACKET);
            store.append(&id, Stream::Stdout, chunk(length as usize)).await.unwrap();
            left -= length;
        }
        end(&store, &id).await;
    }
    println!("filled");
    std::future::pending::<()>().await;
}

/// A server of its own process, killed when it has done its work.
fn fill_and_kill(setting: &Setting) {
    let mut fill = Command::new(std::env::current_exe().unwrap());
    fill.arg(FILL).args(setting.size.map(|size| size.to_string()));
    let mut server = fill.arg(&setting.folder).stdout(Stdio::piped()).spawn().unwrap();
    let mut said = String::new();
    BufReader::new(server.stdout.take().unwrap()).read_line(&mut said).unwrap();
    assert_eq!(said, "filled\n");
    server.kill().unwrap();
    server.wait().unwrap();
}

pub(crate) async fn measure(setting: &Setting) {
    fill_and_kill(setting);
    setting.cool();
    let cache = setting.cache();
    let last: TaskId = task(FINISHED + TASKS - 1, Care::Result).id;
    let since = Instant::now();
    let store = DiskStore::open(&setting.folder, bounds()).await.unwrap();
    println!("restart, {cache}: open after {:.1} ms", ms(since));
    let Lookup::Found(found) = store.get(&last).await.unwrap() else { panic!("gone") };
    println!("restart, {cache}: first task after {:.1} ms", ms(since));
    let page = store.list(ListQuery { limit: 100, ..ListQuery::default() }).await.unwrap();
    println!("restart, {cache}: list of {} after {:.1} ms", page.tasks.len(), ms(since));
    let taken = store.claim(Orphans::All).await.unwrap();
    println!("restart, {cache}: {} taken over after {:.1} ms", taken.len(), ms(since));
    assert!(taken.iter().all(|task| task.output.stdout == RUNNING as u64));
    let begin = Instant::now();
    let (from, most) = (found.output.bytes().saturating_sub(64 << 10), 64 << 10);
    let read = store.read(&last, from, most, StreamFilter::Both).await.unwrap();
    let Lookup::Found(output) = read else { panic!("gone") };
    assert!(output.end && output.next == found.output.bytes());
    println!("restart, {cache}: end of the first task's output in {:.1} ms", ms(begin));
    println!("restart: RSS {:?} MiB (now, at most)", memory());
}
