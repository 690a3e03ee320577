//! Durable jobs over a real sshd: they outlive their connection, and every byte comes once.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use sshepherd_model::{LoginShell, Stopped, Stream};
use sshepherd_ssh::job::{
    self, JobEnd, JobEvent, JobPlace, JobRunning, JobSite, JobSpec, Launched, Offsets, Order,
    Removed, Settled, Tombstone,
};
use sshepherd_ssh::{Event, Pool, Target};
use sshepherd_testkit::{Sshd, SshdBuilder, TestUser, processes};
use tempfile::TempDir;

use crate::common::{LIMIT, cookie, finish, pool, proxy, run, target, target_through};

const GRACE: Duration = Duration::from_millis(500);

pub(crate) fn spec(wire: &str) -> JobSpec {
    let cookie = cookie();
    JobSpec {
        id: cookie.clone(),
        wire: wire.to_owned(),
        cookie,
        stdin: None,
        env: Vec::new(),
        max_time: Duration::from_secs(100),
        grace: GRACE,
        room: sshepherd_ssh::job::LEAST_ROOM,
        site: None,
        owner: "0123".to_owned(),
    }
}

pub(crate) async fn launch(pool: &Pool, target: &Arc<Target>, spec: JobSpec) -> Launched {
    let mut spec = spec;
    loop {
        let ready = pool.open(Arc::clone(target)).await.unwrap();
        let start = ready.start_job(spec.clone());
        match tokio::time::timeout(LIMIT, start).await.unwrap().unwrap() {
            Launched::Elsewhere(site) if spec.site.is_none() => spec.site = Some(site),
            launched @ (Launched::Job(_)
            | Launched::Exists(_)
            | Launched::Elsewhere(_)
            | Launched::Refused { .. }
            | Launched::Attached(_)) => return launched,
        }
    }
}

/// Where jobs of the account are kept.
async fn site(pool: &Pool, target: &Arc<Target>) -> JobSite {
    let unknown = JobSite::unknown();
    let settled = job::settle(pool, Arc::clone(target), "none", &unknown).await.unwrap();
    let Settled::Elsewhere(site) = settled else { panic!("{settled:?}") };
    site
}

async fn started(pool: &Pool, target: &Arc<Target>, spec: JobSpec) -> JobRunning {
    match launch(pool, target, spec).await {
        Launched::Job(running) => running,
        Launched::Exists(place) => panic!("exists: {place:?}"),
        Launched::Refused { reason } => panic!("refused: {reason}"),
        Launched::Attached(_) => panic!("attached"),
        Launched::Elsewhere(site) => panic!("elsewhere: {site:?}"),
    }
}

/// What came of a job.
#[derive(Debug, Default)]
struct Seen {
    out: Vec<u8>,
    err: Vec<u8>,
}

impl Seen {
    /// Reads on; the last event, which is never output.
    async fn read(&mut self, running: &mut JobRunning) -> JobEvent {
        let last = self.until(running, |_| false).await.unwrap();
        assert_eq!(running.next().await, None);
        last
    }

    /// Reads until the output is enough; the last event if it came before.
    async fn until(
        &mut self,
        running: &mut JobRunning,
        enough: impl Fn(&Self) -> bool,
    ) -> Option<JobEvent> {
        let read = async {
            while !enough(self) {
                match running.next().await.unwrap() {
                    JobEvent::Output { stream: Stream::Stdout, bytes } => self.out.extend(bytes),
                    JobEvent::Output { stream: Stream::Stderr, bytes } => self.err.extend(bytes),
                    last @ (JobEvent::Ended(_)
                    | JobEvent::Lost { .. }
                    | JobEvent::Skipped { .. }
                    | JobEvent::Elsewhere) => {
                        return Some(last);
                    }
                }
            }
            None
        };
        tokio::time::timeout(LIMIT, read).await.unwrap()
    }

    fn have(&self) -> Offsets {
        Offsets { stdout: self.out.len() as u64, stderr: self.err.len() as u64 }
    }
}

fn exited(status: u32) -> JobEvent {
    JobEvent::Ended(JobEnd::Exited { status })
}

/// A home of its own for the jobs of one test.
fn home(builder: SshdBuilder) -> (Sshd, TempDir) {
    let home = tempfile::tempdir().unwrap();
    let server = builder.config_line(&format!("SetEnv HOME={}", home.path().display())).start();
    (server, home)
}

async fn removed(pool: &Pool, target: &Arc<Target>, place: &JobPlace) {
    let done = job::remove(pool, Arc::clone(target), place, Tombstone::Leave).await.unwrap();
    assert_eq!(done, Removed::Gone);
    assert!(!std::path::Path::new(&place.folder).exists());
}

#[tokio::test]
async fn a_job_gives_its_output_and_its_status_and_goes() {
    let (server, home) = home(Sshd::builder());
    let (pool, target) = (pool(), Arc::new(target(&server)));
    let mut running = started(
        &pool,
        &target,
        spec("echo out; echo err >&2; echo \"$SSHEPHERD_TASK\" | wc -w; exit 7"),
    )
    .await;
    let place = running.place().clone();
    assert!(place.folder.starts_with(home.path().to_str().unwrap()), "{place:?}");
    let mut seen = Seen::default();
    assert_eq!(seen.read(&mut running).await, exited(7));
    assert_eq!((seen.out.as_slice(), seen.err.as_slice()), (&b"out\n1\n"[..], &b"err\n"[..]));
    // Any other process reads all of it again.
    let mut again = Seen::default();
    let mut other =
        job::follow(&pool, Arc::clone(&target), place.clone(), Offsets::default()).await.unwrap();
    assert_eq!(again.read(&mut other).await, exited(7));
    assert_eq!((again.out, again.err), (seen.out, seen.err));
    removed(&pool, &target, &place).await;
    let mut gone =
        job::follow(&pool, Arc::clone(&target), place, Offsets::default()).await.unwrap();
    assert_eq!(Seen::default().read(&mut gone).await, JobEvent::Ended(JobEnd::Gone));
}

/// Numbered lines, so that a byte lost, doubled or moved shows.
const TALKER: &str = "i=0; while [ $i -lt 3000 ]; do i=$((i+1)); echo \"line $i\"; echo \"error $i\" >&2; done; exit 3";

fn told(word: &str) -> Vec<u8> {
    (1..=3000).flat_map(|number| format!("{word} {number}\n").into_bytes()).collect()
}

#[tokio::test]
async fn a_cut_connection_loses_no_byte_and_doubles_none() {
    let (server, _home) = home(Sshd::builder());
    let proxy = proxy(&server);
    let (pool, target) = (pool(), Arc::new(target_through(&server, proxy.address())));
    let wire = format!(
        "echo begin >> \"$HOME/runs\"; {}",
        TALKER.replace("i=$((i+1));", "i=$((i+1)); [ $((i%500)) != 0 ] || sleep 0.2;")
    );
    let mut running = started(&pool, &target, spec(&wire)).await;
    let place = running.place().clone();
    let mut seen = Seen::default();
    let mut cuts = 0;
    let last = loop {
        let enough = seen.out.len() + 2000;
        let last = seen.until(&mut running, |seen| seen.out.len() >= enough).await;
        match last {
            None => proxy.cut(),
            Some(JobEvent::Lost { .. }) => {
                cuts += 1;
                assert_eq!(running.given(), seen.have());
                let (target, place) = (Arc::clone(&target), place.clone());
                running = job::follow(&pool, target, place, seen.have()).await.unwrap();
            }
            Some(last) => break last,
        }
    };
    assert!(cuts > 1, "{cuts}");
    assert_eq!(last, exited(3));
    assert!(seen.out == told("line") && seen.err == told("error"));
    let runs = std::path::Path::new(&place.folder).parent().unwrap().join("../../runs");
    assert_eq!(std::fs::read_to_string(runs).unwrap(), "begin\n");
    removed(&pool, &target, &place).await;
}

async fn survives_its_session(server: &mut Sshd, home: Option<&TempDir>) {
    let (pool, target) = (pool(), Arc::new(target(server)));
    let spec = spec("echo up; sleep 2; echo end; exit 4");
    let entry = format!("SSHEPHERD_TASK={}", spec.cookie);
    let mut running = started(&pool, &target, spec).await;
    let place = running.place().clone();
    let folder = home.map_or("/".to_owned(), |home| home.path().display().to_string());
    assert!(place.folder.starts_with(&folder), "{place:?}");
    let mut seen = Seen::default();
    assert_eq!(seen.until(&mut running, |seen| !seen.out.is_empty()).await, None);
    server.kill_connections();
    server.restart();
    let last = seen.read(&mut running).await;
    assert!(matches!(last, JobEvent::Lost { .. }), "{last:?}");
    let have = seen.have();
    let mut running = job::follow(&pool, Arc::clone(&target), place.clone(), have).await.unwrap();
    assert_eq!(seen.read(&mut running).await, exited(4));
    assert_eq!(seen.out, b"up\nend\n");
    removed(&pool, &target, &place).await;
    assert_eq!(processes::wait_env_gone(&entry, LIMIT), Vec::<u32>::new());
    strays(&place);
}

/// Nothing on this machine works for the job any more.
fn strays(place: &JobPlace) {
    let left: Vec<u32> = processes::pids_with_argument(&place.folder);
    for pid in &left {
        assert!(processes::wait_gone(*pid, Duration::from_secs(5)), "{pid} of {place:?} stays");
    }
}

#[tokio::test]
async fn a_job_outlives_its_connection_and_its_server() {
    let (mut server, home) = home(Sshd::builder());
    survives_its_session(&mut server, Some(&home)).await;
}

#[tokio::test]
async fn a_job_of_a_plain_account_outlives_them_too() {
    let user = match TestUser::ensure() {
        Ok(user) => user,
        Err(reason) => {
            assert!(!sshepherd_testkit::account::is_root(), "{reason}");
            return;
        }
    };
    survives_its_session(&mut Sshd::builder().login_as(&user).start(), None).await;
}

#[tokio::test]
async fn an_id_runs_once_however_often_it_is_started() {
    let (server, home) = home(Sshd::builder().daemon());
    let (pool, target) = (pool(), Arc::new(target(&server)));
    let spec = spec("echo run >> \"$HOME/runs\"; sleep 1; echo done");
    let mut starts = tokio::task::JoinSet::new();
    for _ in 0..20 {
        let (pool, target) = (pool.clone(), Arc::clone(&target));
        let spec = JobSpec {
            id: spec.id.clone(),
            wire: spec.wire.clone(),
            cookie: spec.cookie.clone(),
            ..self::spec("")
        };
        starts.spawn(async move {
            match launch(&pool, &target, spec).await {
                Launched::Job(mut running) => {
                    let mut seen = Seen::default();
                    assert_eq!(seen.read(&mut running).await, exited(0));
                    assert_eq!(seen.out, b"done\n");
                    (1, running.place().folder.clone())
                }
                Launched::Exists(place) => (0, place.folder),
                Launched::Refused { .. } | Launched::Attached(_) | Launched::Elsewhere(_) => {
                    panic!("no job")
                }
            }
        });
    }
    let (mut jobs, mut folders) = (0, std::collections::BTreeSet::new());
    while let Some(start) = starts.join_next().await {
        let (job, folder) = start.unwrap();
        jobs += job;
        folders.insert(folder);
    }
    assert_eq!((jobs, folders.len()), (1, 1));
    assert_eq!(std::fs::read_to_string(home.path().join("runs")).unwrap(), "run\n");
}

#[tokio::test]
async fn a_start_that_was_never_answered_is_settled() {
    let (server, _home) = home(Sshd::builder());
    let (pool, target) = (pool(), Arc::new(target(&server)));
    let (unsent, site) = (spec("echo never"), site(&pool, &target).await);
    let settled = job::settle(&pool, Arc::clone(&target), &unsent.id, &site).await.unwrap();
    assert_eq!(settled, Settled::Never);
    let Launched::Exists(place) = launch(&pool, &target, unsent).await else {
        panic!("it was started after it had been settled");
    };
    let mut running =
        job::follow(&pool, Arc::clone(&target), place.clone(), Offsets::default()).await.unwrap();
    assert_eq!(Seen::default().read(&mut running).await, JobEvent::Ended(JobEnd::NotStarted));
    removed(&pool, &target, &place).await;

    let sent = spec("sleep 1");
    let id = sent.id.clone();
    let running = started(&pool, &target, sent).await;
    let settled = job::settle(&pool, Arc::clone(&target), &id, &site).await.unwrap();
    // How much may wait is not kept on the host.
    let place = JobPlace { room: 0, ..running.place().clone() };
    assert_eq!(settled, Settled::Started(place));
}

#[tokio::test]
async fn input_comes_whole_or_nothing_runs() {
    let (server, _home) = home(Sshd::builder());
    let (pool, target) = (pool(), Arc::new(target(&server)));
    let input: Vec<u8> = (0..200_000_u32).flat_map(u32::to_be_bytes).collect();
    let spec = JobSpec { stdin: Some(Bytes::from(input.clone())), ..spec("cat; cat >&2") };
    let mut running = started(&pool, &target, spec).await;
    let mut seen = Seen::default();
    assert_eq!(seen.read(&mut running).await, exited(0));
    assert!(seen.out == input);
    assert_eq!(seen.err, b"");
}

/// A child that ignores TERM, one in its own session, one that forked twice.
const STUBBORN: &str = "trap '' TERM; setsid sh -c 'trap \"\" TERM; echo up; while :; do sleep 1; done' & \
     (sh -c 'sh -c \"echo up; exec sleep 1000\" &' &) ; echo up; while :; do sleep 1; done";

async fn stubborn_job_is_stopped(server: &Sshd) {
    let (pool, target) = (pool(), Arc::new(target(server)));
    let spec = spec(STUBBORN);
    let (cookie, entry) = (spec.cookie.clone(), format!("SSHEPHERD_TASK={}", spec.cookie));
    let mut running = started(&pool, &target, spec).await;
    let place = running.place().clone();
    let mut seen = Seen::default();
    assert_eq!(seen.until(&mut running, |seen| seen.out.len() == 9).await, None);
    assert!(processes::pids_with_env(&entry).len() >= 3);
    let order = (GRACE, Order::Stop);
    let stopped = job::stop(&pool, Arc::clone(&target), &place, &cookie, order).await;
    assert_eq!((stopped, processes::pids_with_env(&entry)), (Some(Stopped::Confirmed), Vec::new()));
    assert_eq!(seen.read(&mut running).await, JobEvent::Ended(JobEnd::Stopped));
    removed(&pool, &target, &place).await;
    strays(&place);
}

#[tokio::test]
async fn a_stubborn_job_is_seen_dead() {
    let (server, _home) = home(Sshd::builder());
    stubborn_job_is_stopped(&server).await;
}

#[tokio::test]
async fn a_stubborn_job_of_a_plain_account_is_seen_dead() {
    let user = match TestUser::ensure() {
        Ok(user) => user,
        Err(reason) => {
            assert!(!sshepherd_testkit::account::is_root(), "{reason}");
            return;
        }
    };
    stubborn_job_is_stopped(&Sshd::builder().login_as(&user).start()).await;
}

#[tokio::test]
async fn the_limit_holds_on_the_host_when_nobody_is_there() {
    let (mut server, _home) = home(Sshd::builder());
    let (pool, target) = (pool(), Arc::new(target(&server)));
    let spec = JobSpec { max_time: Duration::from_secs(1), ..spec(STUBBORN) };
    let entry = format!("SSHEPHERD_TASK={}", spec.cookie);
    let mut running = started(&pool, &target, spec).await;
    let place = running.place().clone();
    let mut seen = Seen::default();
    assert_eq!(seen.until(&mut running, |seen| seen.out.len() == 9).await, None);
    server.stop();
    assert_eq!(processes::wait_env_gone(&entry, LIMIT), Vec::<u32>::new());
    server.restart();
    let mut running = job::follow(&pool, target, place.clone(), seen.have()).await.unwrap();
    assert_eq!(seen.read(&mut running).await, JobEvent::Ended(JobEnd::Limit));
    strays(&place);
}

#[tokio::test]
async fn a_running_job_is_not_removed_and_a_strange_folder_is_refused() {
    let (server, home) = home(Sshd::builder());
    let (pool, target) = (pool(), Arc::new(target(&server)));
    let spec = spec("echo up; exec sleep 1000");
    let cookie = spec.cookie.clone();
    let mut running = started(&pool, &target, spec).await;
    let place = running.place().clone();
    let mut seen = Seen::default();
    assert_eq!(seen.until(&mut running, |seen| !seen.out.is_empty()).await, None);
    let remove = async |place: &JobPlace, tombstone| {
        job::remove(&pool, Arc::clone(&target), place, tombstone).await.unwrap()
    };
    assert_eq!(remove(&place, Tombstone::Leave).await, Removed::Running);
    let strange = home.path().join("precious");
    std::fs::create_dir(&strange).unwrap();
    let parent = home.path().join(".sshepherd/jobs").display().to_string();
    for folder in [strange.display().to_string(), format!("{parent}/.."), format!("{parent}/a b")] {
        let place = JobPlace { folder, ..place.clone() };
        assert_eq!(remove(&place, Tombstone::Leave).await, Removed::Refused, "{place:?}");
    }
    assert!(strange.exists());
    assert_eq!(
        job::stop(&pool, Arc::clone(&target), &place, &cookie, (GRACE, Order::Stop)).await,
        Some(Stopped::Confirmed)
    );
    assert_eq!(seen.read(&mut running).await, JobEvent::Ended(JobEnd::Stopped));
    assert_eq!(remove(&place, Tombstone::Keep).await, Removed::Gone);
    assert_eq!(std::fs::read_dir(&place.folder).unwrap().count(), 0);
}

#[tokio::test]
async fn without_a_home_the_job_is_in_tmp() {
    let (pool, server) = (pool(), Sshd::builder().config_line("SetEnv HOME=/proc/none").start());
    let target = Arc::new(target(&server));
    let mut running = started(&pool, &target, spec("echo in")).await;
    let place = running.place().clone();
    assert!(place.folder.starts_with("/tmp/sshepherd-"), "{place:?}");
    let mut seen = Seen::default();
    assert_eq!((seen.read(&mut running).await, seen.out.as_slice()), (exited(0), &b"in\n"[..]));
    removed(&pool, &target, &place).await;
}

#[tokio::test]
async fn a_forced_command_runs_attached_and_once() {
    let folder = tempfile::tempdir().unwrap();
    let runs = folder.path().join("runs");
    let options = format!("command=\"echo run >> {}; echo forced; exit 5\"", runs.display());
    let server = Sshd::builder().key_options(&options).start();
    let Launched::Attached(mut running) =
        launch(&pool(), &Arc::new(target(&server)), spec("anything")).await
    else {
        panic!("a job under a forced command");
    };
    let ran = finish(&mut running).await;
    assert_eq!((ran.out.as_slice(), ran.end), (&b"forced\n"[..], Event::Exited { status: 5 }));
    assert_eq!(std::fs::read_to_string(&runs).unwrap(), "run\n");
}

#[tokio::test]
async fn a_host_without_a_shell_runs_attached() {
    let server = Sshd::start();
    let target = Arc::new(Target { login_shell: LoginShell::RawWords, ..target(&server) });
    let Launched::Attached(mut running) = launch(&pool(), &target, spec("echo in")).await else {
        panic!("a job without a shell");
    };
    assert_eq!(finish(&mut running).await.out, b"in\n");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_follower_that_leaves_leaves_no_process_behind() {
    let (server, _home) = home(Sshd::builder());
    let (pool, target) = (pool(), Arc::new(target(&server)));
    let spec = spec("echo up; exec sleep 1000");
    let cookie = spec.cookie.clone();
    let mut running = started(&pool, &target, spec).await;
    let place = running.place().clone();
    let mut seen = Seen::default();
    assert_eq!(seen.until(&mut running, |seen| !seen.out.is_empty()).await, None);
    let tails = || processes::pids_with_argument(&format!("{}/out", place.folder));
    let [tail] = tails()[..] else { panic!("{:?}", tails()) };
    drop(running);
    assert!(processes::wait_gone(tail, LIMIT), "a tail stays when its follower leaves");
    // And when its connection goes, while the job is silent.
    let mut running =
        job::follow(&pool, Arc::clone(&target), place.clone(), seen.have()).await.unwrap();
    while tails().is_empty() {
        tokio::task::yield_now().await;
    }
    let [tail] = tails()[..] else { panic!("{:?}", tails()) };
    server.kill_connections();
    assert!(processes::wait_gone(tail, LIMIT), "a tail stays when its connection goes");
    assert!(matches!(seen.read(&mut running).await, JobEvent::Lost { .. }));
    assert_eq!(run(&pool, &target, "echo in").await.out, b"in\n");
    let stopped = job::stop(&pool, target, &place, &cookie, (GRACE, Order::Stop)).await;
    assert_eq!(stopped, Some(Stopped::Confirmed));
}

/// The order comes after the end: the end stays the job's own, and so does what it left running.
#[tokio::test]
async fn a_job_that_has_ended_by_itself_is_not_stopped_any_more() {
    let (server, _home) = home(Sshd::builder());
    let (pool, target) = (pool(), Arc::new(target(&server)));
    for order in [Order::Stop, Order::Limit] {
        let spec = spec("setsid sleep 1000 >/dev/null 2>&1 & echo $!; exit 3");
        let cookie = spec.cookie.clone();
        let mut running = started(&pool, &target, spec).await;
        let (place, mut seen) = (running.place().clone(), Seen::default());
        assert_eq!(seen.read(&mut running).await, exited(3));
        let stopped = job::stop(&pool, Arc::clone(&target), &place, &cookie, (GRACE, order)).await;
        assert!(stopped.is_some(), "{order:?}: the host did not hear");
        let left: u32 = String::from_utf8(seen.out).unwrap().trim().parse().unwrap();
        assert!(processes::alive(left), "{order:?}");
        let follow = job::follow(&pool, Arc::clone(&target), place.clone(), Offsets::default());
        assert_eq!(Seen::default().read(&mut follow.await.unwrap()).await, exited(3));
        removed(&pool, &target, &place).await;
        processes::kill(left);
    }
}

#[tokio::test]
async fn a_host_that_answers_late_is_not_taken_for_its_command() {
    let options = "command=\"sleep 2; eval \\\"$SSH_ORIGINAL_COMMAND\\\"\"";
    let (server, _home) = home(Sshd::builder().key_options(options));
    let mut slow = target(&server);
    slow.deadlines.exec = Duration::from_secs(1);
    let (pool, target) = (pool(), Arc::new(target(&server)));
    let site = site(&pool, &target).await;
    let spec = JobSpec { site: Some(site.clone()), ..spec("echo in; exit 3") };
    let id = spec.id.clone();
    let Launched::Attached(mut running) = launch(&pool, &Arc::new(slow), spec).await else {
        panic!("it answered in time");
    };
    let end = finish(&mut running).await.end;
    assert!(matches!(end, Event::Lost { .. }), "{end:?}");
    let Settled::Started(place) =
        job::settle(&pool, Arc::clone(&target), &id, &site).await.unwrap()
    else {
        panic!("it was not started");
    };
    let mut running = job::follow(&pool, target, place, Offsets::default()).await.unwrap();
    let mut seen = Seen::default();
    assert_eq!((seen.read(&mut running).await, seen.out.as_slice()), (exited(3), &b"in\n"[..]));
}
