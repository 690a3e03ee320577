//! The files that a job keeps on its host: how much of them there is, and what others do to them.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use sshepherd_model::Stream;
use sshepherd_ssh::job::{
    self, JobEnd, JobEvent, JobPlace, JobRunning, JobSpec, Launched, Offsets,
};
use sshepherd_ssh::{Pool, Target};
use sshepherd_testkit::Sshd;
use tempfile::TempDir;

use crate::common::{LIMIT, pool, proxy, target, target_through};
use crate::job::{launch, spec};

const ROOM: u64 = 4 << 20;

/// A host whose account has a home of its own.
fn home() -> (Sshd, TempDir) {
    let home = tempfile::tempdir().unwrap();
    let line = format!("SetEnv HOME={}", home.path().display());
    (Sshd::builder().config_line(&line).start(), home)
}

async fn started(pool: &Pool, target: &Arc<Target>, room: u64, wire: &str) -> JobRunning {
    let spec = JobSpec { room, ..spec(wire) };
    match launch(pool, target, spec).await {
        Launched::Job(running) => running,
        Launched::Exists(_)
        | Launched::Refused { .. }
        | Launched::Attached(_)
        | Launched::Elsewhere(_) => panic!("no job"),
    }
}

/// Standard output, with what was skipped as zeros, and how much that was.
#[derive(Default)]
struct Taken {
    out: Vec<u8>,
    skipped: u64,
}

impl Taken {
    /// Reads until the output is enough; the last event if it came before.
    async fn until(&mut self, running: &mut JobRunning, enough: u64) -> Option<JobEvent> {
        let read = async {
            while (self.out.len() as u64) < enough {
                match running.next().await.unwrap() {
                    JobEvent::Output { stream: Stream::Stdout, bytes } => self.out.extend(bytes),
                    JobEvent::Skipped { stream: Stream::Stdout, bytes } => {
                        self.skipped += bytes;
                        self.out.resize(self.out.len() + usize::try_from(bytes).unwrap(), 0);
                    }
                    JobEvent::Output { .. } | JobEvent::Skipped { .. } => {}
                    last @ (JobEvent::Ended(_) | JobEvent::Lost { .. } | JobEvent::Elsewhere) => {
                        return Some(last);
                    }
                }
            }
            None
        };
        tokio::time::timeout(LIMIT, read).await.unwrap()
    }

    async fn all(&mut self, running: &mut JobRunning) -> JobEvent {
        self.until(running, u64::MAX).await.unwrap()
    }
}

fn exited(status: u32) -> JobEvent {
    JobEvent::Ended(JobEnd::Exited { status })
}

fn on_the_host(place: &JobPlace) -> u64 {
    let files = std::fs::read_dir(&place.folder).unwrap();
    files.map(|file| file.unwrap().metadata().map_or(0, |file| file.len())).sum()
}

/// A pace that a client keeps, of more than may wait.
const PACED: &str = "head -c 12000000 /dev/urandom >\"$HOME/copy\"; i=0; while [ $i -lt 24 ]; do \
     tail -c +$((i * 500000 + 1)) \"$HOME/copy\" | head -c 500000; i=$((i + 1)); sleep 0.1; done; exit 3";

#[tokio::test]
async fn what_is_taken_has_no_bound_and_does_not_stay_on_the_host() {
    let (server, home) = home();
    let (pool, target) = (pool(), Arc::new(target(&server)));
    let mut running = started(&pool, &target, ROOM, PACED).await;
    let (mut taken, mut most) = (Taken::default(), 0);
    let last = loop {
        let enough = taken.out.len() as u64 + 100_000;
        match taken.until(&mut running, enough).await {
            None => most = most.max(on_the_host(running.place())),
            Some(last) => break last,
        }
    };
    assert_eq!((last, taken.skipped), (exited(3), 0));
    assert!(taken.out == std::fs::read(home.path().join("copy")).unwrap());
    assert!(most < ROOM + (2 << 20), "{most}");
}

#[tokio::test]
async fn pieces_come_whole_through_cuts() {
    let (server, home) = home();
    let proxy = proxy(&server);
    let (pool, target) = (pool(), Arc::new(target_through(&server, proxy.address())));
    // However long a new connection takes.
    let mut running = started(&pool, &target, 4 * ROOM, PACED).await;
    let place = running.place().clone();
    let mut taken = Taken::default();
    let last = loop {
        let enough = taken.out.len() as u64 + 700_000;
        match taken.until(&mut running, enough).await {
            None => proxy.cut(),
            Some(JobEvent::Lost { .. }) => {
                assert_eq!(running.given().stdout, taken.out.len() as u64);
                let (target, have) = (Arc::clone(&target), running.given());
                running = job::follow(&pool, target, place.clone(), have).await.unwrap();
            }
            Some(last) => break last,
        }
    };
    assert_eq!((last, taken.skipped), (exited(3), 0));
    assert!(taken.out == std::fs::read(home.path().join("copy")).unwrap());
}

/// A client that went away for the flood gets its beginning and its end, and hears what is missing between them.
#[tokio::test]
async fn who_comes_back_after_a_flood_is_told_what_is_lost() {
    let (server, home) = home();
    let (pool, target) = (pool(), Arc::new(target(&server)));
    let wire = "echo up; head -c 20000000 /dev/urandom | tee \"$HOME/copy\"; echo over >&2; sleep 1; echo last; exit 3";
    let mut running = started(&pool, &target, ROOM, wire).await;
    let mut taken = Taken::default();
    assert_eq!(taken.until(&mut running, 3).await, None);
    let (place, have) = (running.place().clone(), running.given());
    drop(running);
    let err = Path::new(&place.folder).join("err");
    while std::fs::metadata(&err).unwrap().len() == 0 {
        tokio::task::yield_now().await;
    }
    let mut running = job::follow(&pool, Arc::clone(&target), place.clone(), have).await.unwrap();
    let last = loop {
        match taken.all(&mut running).await {
            JobEvent::Lost { .. } => {
                let (target, have) = (Arc::clone(&target), running.given());
                running = job::follow(&pool, target, place.clone(), have).await.unwrap();
            }
            last @ (JobEvent::Ended(_)
            | JobEvent::Output { .. }
            | JobEvent::Skipped { .. }
            | JobEvent::Elsewhere) => {
                break last;
            }
        }
    };
    assert_eq!(last, exited(3));
    let mut all = b"up\n".to_vec();
    all.extend(std::fs::read(home.path().join("copy")).unwrap());
    all.extend(b"last\n");
    assert_eq!(taken.out.len(), all.len());
    assert!(taken.skipped >= 20_000_000 - 2 * ROOM, "{}", taken.skipped);
    // What came stands where it stood.
    let same = taken.out.iter().zip(&all).filter(|(taken, all)| taken == all).count() as u64;
    let zeros = taken.skipped / 100;
    assert!(
        same >= all.len() as u64 - taken.skipped && same < all.len() as u64 - taken.skipped + zeros
    );
    assert!(taken.out[..1 << 20] == all[..1 << 20]);
    assert!(taken.out[all.len() - (1 << 20)..] == all[all.len() - (1 << 20)..]);
}

/// What is done, what is seen of it, and how it is done to a job's folder.
type Way<'a> = (&'a str, &'a str, Box<dyn Fn(&Path) + 'a>);

fn ways(elsewhere: &Path) -> Vec<Way<'_>> {
    vec![
        (
            "removed",
            "out has vanished",
            Box::new(move |folder| {
                std::fs::remove_file(folder.join("out")).unwrap();
            }),
        ),
        (
            "a link",
            "err is a link",
            Box::new(move |folder| {
                std::fs::remove_file(folder.join("err")).unwrap();
                std::os::unix::fs::symlink(elsewhere, folder.join("err")).unwrap();
            }),
        ),
        (
            "of another",
            "out is not the file it was",
            Box::new(move |folder| {
                std::os::unix::fs::chown(folder.join("out"), Some(12345), None).unwrap();
            }),
        ),
        (
            "a folder",
            "out is not the file it was",
            Box::new(move |folder| {
                std::fs::remove_file(folder.join("out")).unwrap();
                std::fs::create_dir(folder.join("out")).unwrap();
            }),
        ),
        (
            "shorter, and ended",
            "its output is shorter than it was",
            Box::new(move |folder| {
                std::fs::OpenOptions::new()
                    .write(true)
                    .open(folder.join("out"))
                    .unwrap()
                    .set_len(1)
                    .unwrap();
                let pid = std::fs::read_to_string(folder.join("pid")).unwrap();
                let group = format!("-{}", pid.split(' ').next().unwrap());
                let killed = Command::new("kill").args(["-KILL", "--", &group]).status();
                assert!(killed.unwrap().success());
            }),
        ),
    ]
}

/// Whoever can change an account's files can do all that the account can; but it is seen, and at once.
#[tokio::test]
async fn files_that_were_changed_are_told_of_while_the_job_runs() {
    let (server, home) = home();
    let (pool, target) = (pool(), Arc::new(target(&server)));
    let elsewhere = home.path().join("elsewhere");
    std::fs::write(&elsewhere, "another's\n").unwrap();
    let ways = ways(&elsewhere);
    let root = rustix::process::geteuid().is_root();
    for (what, seen, change) in ways {
        if what == "of another" && !root {
            continue;
        }
        let mut running = started(&pool, &target, ROOM, "echo up; sleep 60; echo never").await;
        let (place, mut taken) = (running.place().clone(), Taken::default());
        assert_eq!(taken.until(&mut running, 3).await, None);
        change(Path::new(&place.folder));
        let began = Instant::now();
        let mut last = taken.all(&mut running).await;
        if matches!(last, JobEvent::Lost { .. }) {
            let have = Offsets { stdout: 3, stderr: 0 };
            running = job::follow(&pool, Arc::clone(&target), place.clone(), have).await.unwrap();
            last = taken.all(&mut running).await;
        }
        let JobEvent::Ended(JobEnd::Spoiled { detail }) = &last else { panic!("{what}: {last:?}") };
        assert_eq!(detail.as_str(), seen, "{what}");
        assert!(began.elapsed() < Duration::from_secs(10), "{what}");
        assert!(!taken.out.windows(7).any(|bytes| bytes == b"another"), "{what}");
        let order = (Duration::ZERO, job::Order::Stop);
        let _ = job::stop(&pool, Arc::clone(&target), &place, "none", order).await;
    }
}
