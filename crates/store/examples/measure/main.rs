//! Measures the store on disk: `measure tail|append|page|restart [SIZE] [cold] [FOLDER]`. Prints one line a figure.
//!
//! SIZE is the output in all, such as `10G` (of 1,024³ bytes), for `page` and `restart`. `cold` empties the page cache of the
//! whole machine before reading; that needs root.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a measurement"
)]

mod append;
mod page;
mod restart;
mod tail;

use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use bytes::Bytes;
use sshepherd_model::{Alias, CommandHash, Outcome, TaskId};
use sshepherd_store::{
    Care, DiskBounds, DiskStore, Durability, Finish, Lookup, NewTask, Patch, Store, TaskLimits,
};
use tempfile::TempDir;

/// Tasks that run at a time.
const TASKS: u128 = 200;

/// Room for more than any size that is asked for.
const ROOM: u64 = 1 << 50;

/// What the caller chose.
struct Setting {
    what: String,
    /// Bytes of output in all, where it matters.
    size: Option<u64>,
    cold: bool,
    /// Where the store is.
    folder: PathBuf,
    /// Removes it.
    _made: Option<TempDir>,
}

impl Setting {
    fn read() -> Self {
        let mut arguments = std::env::args().skip(1);
        let what = arguments.next().unwrap_or_default();
        let (mut size, mut cold, mut above) = (None, false, std::env::temp_dir());
        for argument in arguments {
            if argument == "cold" {
                cold = true;
            } else if argument.starts_with(|first: char| first.is_ascii_digit()) {
                size = Some(bytes(&argument));
            } else {
                above = argument.into();
            }
        }
        if what == restart::FILL {
            return Self { what, size, cold, folder: above, _made: None };
        }
        let made = tempfile::Builder::new().prefix("sshepherd-measure-").tempdir_in(above).unwrap();
        Self { what, size, cold, folder: made.path().join("state"), _made: Some(made) }
    }

    /// Leaves nothing of what was written in memory, where that is asked for.
    fn cool(&self) {
        if self.cold {
            assert!(Command::new("sync").status().unwrap().success());
            std::fs::write("/proc/sys/vm/drop_caches", "3").unwrap();
        }
    }

    /// How the figures of a read begin.
    fn cache(&self) -> &'static str {
        if self.cold { "cold" } else { "warm" }
    }
}

/// `10G`, `512M` or plain bytes.
fn bytes(text: &str) -> u64 {
    let units = [('G', 1_u64 << 30), ('M', 1 << 20)];
    let named = units.iter().find_map(|(name, unit)| Some((text.strip_suffix(*name)?, *unit)));
    let (number, unit) = named.unwrap_or((text, 1));
    number.parse::<u64>().unwrap() * unit
}

/// As it comes, but for how much may be kept.
fn bounds() -> DiskBounds {
    DiskBounds { total_bytes: ROOM, task_bytes: ROOM, ..DiskBounds::default() }
}

fn task(nonce: u128, care: Care) -> NewTask {
    let alias: Alias = "web".parse().unwrap();
    let hash = CommandHash::of("uptime");
    NewTask {
        id: TaskId::compose(&alias, &hash, nonce),
        alias,
        hash,
        command: "uptime".to_owned(),
        limits: TaskLimits {
            max_time: Duration::from_secs(60),
            max_output_bytes: ROOM,
            result_ttl: Duration::from_secs(300),
        },
        raw_shell: false,
        created_at: u64::try_from(nonce).unwrap(),
        errand: "{}".to_owned(),
        key: None,
        digest: None,
        care,
    }
}

async fn running(store: &DiskStore, nonce: u128, care: Care) -> TaskId {
    let id = store.create(task(nonce, care)).await.unwrap().id;
    let start = Patch::Started { at: 1, durability: Durability::Job };
    let Lookup::Found(_) = store.patch(&id, start).await.unwrap() else { panic!("gone") };
    id
}

async fn end(store: &DiskStore, id: &TaskId) {
    let end = Finish { outcome: Outcome::Exited { status: 0 }, at: 2 };
    store.finish(id, end).await.unwrap();
}

/// So many bytes to append.
fn chunk(length: usize) -> Bytes {
    Bytes::from(vec![b'x'; length])
}

fn ms(since: Instant) -> f64 {
    since.elapsed().as_secs_f64() * 1e3
}

/// Memory of this process in MiB: now, and at most so far.
fn memory() -> (u64, u64) {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let kib = |name: &str| {
        let line = status.lines().find(|line| line.starts_with(name)).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap()
    };
    (kib("VmRSS:") / 1024, kib("VmHWM:") / 1024)
}

fn show(what: &str, mut times: Vec<Duration>) {
    times.sort_unstable();
    let at =
        |part: usize| times[(times.len() * part / 1000).min(times.len() - 1)].as_secs_f64() * 1e3;
    let (p50, p99, most) = (at(500), at(990), at(1000));
    println!("{what}: p50 {p50:.3} ms, p99 {p99:.3} ms, most {most:.3} ms, n {}", times.len());
}

#[tokio::main]
async fn main() {
    let setting = Setting::read();
    match setting.what.as_str() {
        "tail" => tail::measure(&setting).await,
        "append" => append::measure(&setting).await,
        "page" => page::measure(&setting).await,
        "restart" => restart::measure(&setting).await,
        restart::FILL => restart::fill(&setting).await,
        _ => eprintln!("measure tail|append|page|restart [SIZE] [cold] [FOLDER]"),
    }
}
