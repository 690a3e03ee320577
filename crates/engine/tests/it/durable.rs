//! Tasks that outlive their server: handed on, re-attached, run once.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use sshepherd_engine::policy::LimitPatch;
use sshepherd_engine::store::{
    Care, DiskBounds, DiskStore, Durability, Lookup, NewTask, Patch, State, Store, Task, TaskLimits,
};
use sshepherd_engine::{CancelAnswer, Refusal};
use sshepherd_model::{Cause, CommandHash, Interruption, Outcome, Request, Stopped, TaskId};
use sshepherd_testkit::{Sshd, processes};
use tempfile::TempDir;

use crate::site::{Plan, Site, alias, origin};

pub(crate) struct Ground {
    pub(crate) folder: TempDir,
    pub(crate) sshd: Sshd,
}

impl Ground {
    pub(crate) fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap(), sshd: Sshd::start() }
    }

    fn state(&self) -> PathBuf {
        self.folder.path().join("state")
    }

    pub(crate) async fn store(&self) -> Arc<dyn Store> {
        Arc::new(DiskStore::open(&self.state(), DiskBounds::default()).await.unwrap())
    }

    pub(crate) async fn server(&self) -> Site {
        self.server_with(LimitPatch { max_seconds: Some(60), ..LimitPatch::default() }).await
    }

    pub(crate) async fn server_with(&self, limits: LimitPatch) -> Site {
        Site::with(&self.sshd, Plan { store: Some(self.store().await), limits, ..Plan::default() })
    }

    /// Where starts to the host are bound to, as tasks have it.
    pub(crate) async fn site(&self) -> String {
        let site = self.server().await;
        let id = site.start_task("true").await;
        let task = site.end(&id).await.task;
        site.engine.shutdown().await;
        task.site.unwrap()
    }

    pub(crate) fn fifo(&self, name: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        let made = std::process::Command::new("mkfifo").arg(&path).status().unwrap();
        assert!(made.success());
        path
    }
}

/// Lets a command that reads `fifo` go on. Opening waits for the reader.
pub(crate) async fn release(fifo: &Path) {
    let fifo = fifo.to_path_buf();
    tokio::task::spawn_blocking(move || std::fs::write(fifo, "go\n").unwrap()).await.unwrap();
}

pub(crate) async fn found(site: &Site, id: &TaskId) -> Task {
    let Lookup::Found(task) = site.engine.task(id).await.unwrap() else { panic!("{id} is gone") };
    task
}

pub(crate) fn new_task(command: &str, nonce: u128) -> NewTask {
    let hash = CommandHash::of(command);
    NewTask {
        id: TaskId::compose(&alias(), &hash, nonce),
        alias: alias(),
        hash,
        command: command.to_owned(),
        limits: TaskLimits {
            max_time: Duration::from_secs(60),
            max_output_bytes: 1 << 20,
            result_ttl: Duration::from_secs(300),
        },
        raw_shell: true,
        created_at: 1,
        errand: serde_json::json!({
            "command": command, "cwd": null, "env": [], "stdin": null, "client": null
        })
        .to_string(),
        key: None,
        digest: None,
        care: Care::EachStep,
    }
}

/// A task whose start may have been sent, to the site if one was kept, when its server died.
pub(crate) async fn begun(store: &dyn Store, command: &str, site: Option<&str>) -> TaskId {
    let id = store.create(new_task(command, 1)).await.unwrap().id;
    if let Some(site) = site {
        let _ = store.patch(&id, Patch::Bound { site: site.to_owned() }).await.unwrap();
    }
    let started = Patch::Started { at: 1_000, durability: Durability::Job };
    let _ = store.patch(&id, started).await.unwrap();
    id
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_goes_on_under_the_next_server_with_every_byte_and_its_status() {
    let ground = Ground::new();
    let gate = ground.fifo("gate");
    let first = ground.server().await;
    let command = format!("echo one; echo bad >&2; read x < {}; echo two; exit 7", gate.display());
    let id = first.start_task(&command).await;
    first.first_line(&id).await;
    first.engine.shutdown().await;
    drop(first);
    let second = ground.server().await;
    let task = found(&second, &id).await;
    assert_eq!((task.status, task.durability), (State::Running, Some(Durability::Job)));
    release(&gate).await;
    let finished = second.end(&id).await;
    assert_eq!(finished.outcome, Outcome::Exited { status: 7 });
    let text = second.text(&id).await;
    let mut lines: Vec<&str> = text.lines().collect();
    lines.sort_unstable();
    assert_eq!(lines, ["bad", "one", "two"]);
    second.engine.shutdown().await;
}

/// More came while no server was there than may wait on the host.
#[tokio::test(flavor = "multi_thread")]
async fn a_flood_that_nobody_took_has_a_hole_that_is_told_and_its_own_status() {
    let ground = Ground::new();
    let (gate, over) = (ground.fifo("gate"), ground.fifo("over"));
    let first = ground.server().await;
    let command = format!(
        "echo one; read x < {}; head -c 90000000 /dev/zero | tr '\\0' x; echo; echo two; \
         read x < {}; exit 7",
        gate.display(),
        over.display()
    );
    let id = first.start_task(&command).await;
    first.first_line(&id).await;
    first.engine.shutdown().await;
    drop(first);
    release(&gate).await;
    release(&over).await;
    let second = ground.server().await;
    let finished = second.end(&id).await;
    assert_eq!(finished.outcome, Outcome::Exited { status: 7 });
    let lost = sshepherd_engine::lost_on_host(&finished.task);
    assert!((20_000_000..90_000_000).contains(&lost), "{lost}");
    let line =
        format!("\n[{lost} bytes of output are missing here: the host had no room for them]\n");
    let whole = "one\n".len() + 90_000_000 + "\ntwo\n".len() + line.len();
    assert_eq!(finished.task.output.stdout + lost, whole as u64);
    let Lookup::Found(tail) = second.engine.tail_lines(&id, 1, 100).await.unwrap() else {
        panic!("{id} is gone")
    };
    assert_eq!(tail.lines, [b"two"]);
    second.engine.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_survives_the_death_of_its_sshd_session() {
    let ground = Ground::new();
    let gate = ground.fifo("gate");
    let site = ground.server().await;
    let id = site.start_task(&format!("echo one; read x < {}; echo two", gate.display())).await;
    assert_eq!(site.first_line(&id).await, "one");
    ground.sshd.kill_connections();
    release(&gate).await;
    assert_eq!(site.end(&id).await.outcome, Outcome::Exited { status: 0 });
    assert_eq!(site.text(&id).await, "one\ntwo\n");
    site.engine.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_that_was_accepted_and_not_sent_runs_once_under_the_next_server() {
    let ground = Ground::new();
    let ledger = ground.folder.path().join("ledger");
    let store = ground.store().await;
    let command = format!("mkdir {} && echo done", ledger.display());
    let id = store.create(new_task(&command, 1)).await.unwrap().id;
    drop(store);
    let site = ground.server().await;
    let finished = site.end(&id).await;
    assert_eq!(finished.outcome, Outcome::Exited { status: 0 });
    assert_eq!(site.text(&id).await, "done\n");
    assert!(ledger.is_dir());
    site.engine.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_whose_server_died_before_the_answer_is_sent_again_and_runs_once() {
    let ground = Ground::new();
    let site = ground.site().await;
    let store = ground.store().await;
    let ledger = ground.folder.path().join("ledger");
    let command = format!("mkdir {} && echo done", ledger.display());
    let id = begun(&*store, &command, Some(&site)).await;
    drop(store);
    // By the clock on the wall its time is long over; but that clock may have jumped, and the host keeps the time.
    let site = ground.server().await;
    assert_eq!(site.end(&id).await.outcome, Outcome::Exited { status: 0 });
    assert_eq!(site.text(&id).await, "done\n");
    site.engine.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_attached_command_whose_server_died_is_interrupted_and_never_sent_again() {
    let ground = Ground::new();
    let ledger = ground.folder.path().join("ledger");
    let store = ground.store().await;
    let id = store.create(new_task(&format!("mkdir {}", ledger.display()), 1)).await.unwrap().id;
    let started = Patch::Started { at: 1_000, durability: Durability::Attached };
    let _ = store.patch(&id, started).await.unwrap();
    drop(store);
    let site = ground.server().await;
    let finished = site.end(&id).await;
    assert_eq!(finished.task.status, State::Interrupted);
    let Outcome::Interrupted(Interruption { cause, .. }) = &finished.outcome else {
        panic!("{:?}", finished.outcome)
    };
    assert_eq!(*cause, Cause::Lost);
    assert!(!finished.outcome.safe_to_resend());
    assert!(!ledger.exists());
    site.engine.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancel_through_another_server_ends_the_whole_tree() {
    let ground = Ground::new();
    let (owner, other) = (ground.server().await, ground.server().await);
    let tree = "trap '' TERM; sleep 1000 & a=$!; setsid sleep 1000 & b=$!; echo $$ $a $b; wait";
    let id = owner.start_task(tree).await;
    let line = other.first_line(&id).await;
    let pids: Vec<u32> = line.split(' ').map(|pid| pid.parse().unwrap()).collect();
    let answer = other.engine.cancel(&id, &origin()).await.unwrap();
    let CancelAnswer::Stopped(finished) = answer else { panic!("{answer:?}") };
    assert_eq!(finished.outcome, Outcome::Cancelled { stopped: Stopped::Confirmed });
    assert_eq!(pids.len(), 3);
    for pid in pids {
        assert!(!processes::alive(pid), "{pid} is alive");
    }
    owner.engine.shutdown().await;
    other.engine.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_nobody_comes_back_for_still_ends_at_its_limit() {
    let ground = Ground::new();
    let limits = || LimitPatch { max_seconds: Some(1), ..LimitPatch::default() };
    let first = ground.server_with(limits()).await;
    let id = first.start_task("echo $$; exec sleep 1000").await;
    let pid: u32 = first.first_line(&id).await.parse().unwrap();
    first.engine.shutdown().await;
    drop(first);
    assert!(processes::wait_gone(pid, Duration::from_secs(30)), "{pid} is alive");
    let second = ground.server_with(limits()).await;
    let finished = second.end(&id).await;
    assert_eq!(finished.outcome, Outcome::TimedOut { stopped: Stopped::Confirmed });
    second.engine.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_key_is_the_same_task() {
    let ground = Ground::new();
    let (one, two) = (ground.server().await, ground.server().await);
    let key = || Some("deploy-7".to_owned());
    let ask = async |site: &Site, command: &str| {
        let request = Request::new(command).unwrap();
        site.engine.submit_task(&alias(), &request, key(), origin()).await
    };
    let first = ask(&one, "echo once").await.unwrap();
    let again = ask(&two, "echo once").await.unwrap();
    assert_eq!((first.known, again.known), (false, true));
    assert_eq!(first.task_id, again.task_id);
    let other = ask(&two, "echo twice").await;
    assert!(matches!(other, Err(Refusal::KeyTaken { task_id }) if task_id == first.task_id));
    assert_eq!(two.end(&first.task_id).await.outcome, Outcome::Exited { status: 0 });
    one.engine.shutdown().await;
    two.engine.shutdown().await;
}

/// Seed defect 3: results vanished at a restart, and after five minutes whatever happened.
#[tokio::test(flavor = "multi_thread")]
async fn seed_defect_3_a_result_survives_the_restart_and_is_kept_from_its_end_on() {
    let ground = Ground::new();
    let first = ground.server().await;
    let waited = first.run("echo kept").await.task;
    let asked = first.start_task("echo later; exit 4").await;
    first.end(&asked).await;
    first.engine.shutdown().await;
    drop(first);
    let second = ground.server().await;
    for (id, text, status) in [(&waited.id, "kept\n", 0), (&asked, "later\n", 4)] {
        let finished = second.end(id).await;
        assert_eq!(finished.outcome, Outcome::Exited { status });
        assert_eq!(second.text(id).await, text);
        let ended = finished.task.ended_at.unwrap();
        let ttl = u64::try_from(finished.task.limits.result_ttl.as_millis()).unwrap();
        assert_eq!(finished.task.expires_at(), Some(ended + ttl));
    }
    second.engine.shutdown().await;
}

/// The host restarted while the job ran: that is neither an exit status nor something to send again unseen.
#[tokio::test(flavor = "multi_thread")]
async fn a_job_on_a_host_that_rebooted_is_told_as_such() {
    let ground = Ground::new();
    let folder = ground.folder.path().join("job");
    std::fs::create_dir(&folder).unwrap();
    for (name, text) in [("out", "half\n"), ("err", ""), ("pid", "1 1 another-boot\n")] {
        std::fs::write(folder.join(name), text).unwrap();
    }
    let store = ground.store().await;
    let id = store.create(new_task("echo half; sleep 9", 1)).await.unwrap().id;
    let started = Patch::Started { at: 1_000, durability: Durability::Job };
    let _ = store.patch(&id, started).await.unwrap();
    let place = serde_json::json!({
        "folder": folder, "pid": "1", "start": "1", "boot": "another-boot"
    });
    let _ = store.patch(&id, Patch::Placed { place: place.to_string() }).await.unwrap();
    drop(store);
    let site = ground.server().await;
    let finished = site.end(&id).await;
    let Outcome::Interrupted(Interruption { cause, .. }) = &finished.outcome else {
        panic!("{:?}", finished.outcome)
    };
    assert_eq!((*cause, finished.task.status), (Cause::HostRebooted, State::Interrupted));
    assert_eq!(site.text(&id).await, "half\n", "what came before is kept");
    site.engine.shutdown().await;
}

/// A start that may still be on its way to the host must not run once the task is cancelled.
#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_task_whose_start_never_arrived_is_buried_not_started() {
    let ground = Ground::new();
    let site = ground.site().await;
    let ledger = ground.folder.path().join("ledger");
    let store = ground.store().await;
    let id = begun(&*store, &format!("mkdir {}", ledger.display()), Some(&site)).await;
    let _ = store.patch(&id, Patch::RequestCancel { at: 2_000 }).await.unwrap();
    drop(store);
    let site = ground.server().await;
    let finished = site.end(&id).await;
    assert_eq!(finished.outcome, Outcome::Cancelled { stopped: Stopped::Confirmed });
    assert!(!ledger.exists());
    site.engine.shutdown().await;
}

/// Its result has expired, and the same call again runs nothing: it hears what became of it.
#[tokio::test(flavor = "multi_thread")]
async fn an_idempotency_key_outlives_the_result() {
    let ground = Ground::new();
    let (store, ledger) = (ground.store().await, ground.folder.path().join("ledger"));
    let site =
        Site::with(&ground.sshd, Plan { store: Some(Arc::clone(&store)), ..Plan::default() });
    let ask = async |command: &str| {
        let (key, request) = (Some("deploy-7".to_owned()), Request::new(command).unwrap());
        site.engine.submit_task(&alias(), &request, key, origin()).await
    };
    let command = format!("echo once >> {}", ledger.display());
    let first = ask(&command).await.unwrap().task_id;
    let task = site.end(&first).await.task;
    let day = task.created_at + 24 * 3600 * 1000;
    store.sweep(day - 60_000).await.unwrap();
    assert_eq!(store.get(&first).await.unwrap(), Lookup::Expired);
    let again = ask(&command).await.unwrap_err();
    let told = again.to_string();
    assert!(
        matches!(again, Refusal::KeySpent { task_id, status: State::Completed } if task_id == first)
    );
    assert!(told.contains("has ended (completed) and whose result has expired"), "{told}");
    let other = ask("echo twice").await;
    assert!(matches!(other, Err(Refusal::KeyTaken { task_id }) if task_id == first));
    assert_eq!(std::fs::read_to_string(&ledger).unwrap(), "once\n");
    store.sweep(day).await.unwrap();
    let id = ask(&command).await.unwrap().task_id;
    assert_eq!(site.end(&id).await.outcome, Outcome::Exited { status: 0 });
    assert_eq!(std::fs::read_to_string(&ledger).unwrap(), "once\nonce\n");
    site.engine.shutdown().await;
}

/// The task is another server's by now: what the host has of it is that one's to fetch.
#[tokio::test(flavor = "multi_thread")]
async fn an_end_that_the_store_refuses_removes_nothing_on_the_host() {
    let ground = Ground::new();
    let (gate, site) = (ground.fifo("gate"), ground.server().await);
    let id = site.start_task(&format!("echo one; read x < {}; exit 7", gate.display())).await;
    site.first_line(&id).await;
    let table = rusqlite::Connection::open(ground.state().join("tasks.db")).unwrap();
    let taken = "UPDATE task SET owner = 'other', epoch = epoch + 1 WHERE id = ?1";
    assert_eq!(table.execute(taken, [id.as_str()]).unwrap(), 1);
    release(&gate).await;
    let began = std::time::Instant::now();
    let audit = loop {
        let audit = std::fs::read_to_string(site.path("audit.jsonl")).unwrap();
        if audit.contains("execution_end") {
            break audit;
        }
        assert!(began.elapsed() < Duration::from_secs(30), "{audit}");
        tokio::task::yield_now().await;
    };
    let end = audit.lines().find(|line| line.contains("execution_end")).unwrap();
    assert!(end.contains(r#""outcome":"refused""#) && end.contains("seen: exited"), "{end}");
    // Its folder would go at once.
    site.engine.shutdown().await;
    let site = Site::with(&ground.sshd, Plan::default());
    let kept = site.run(&format!("rm -r ~/.sshepherd/jobs/{id}")).await;
    assert_eq!(kept.outcome, Outcome::Exited { status: 0 }, "it was there to be removed");
    site.engine.shutdown().await;
}
