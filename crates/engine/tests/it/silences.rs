//! Connections that fall silent: nobody is told, and new ones work. What ran is told as it ended, and what did not run as that.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use sshepherd_engine::policy::LimitPatch;
use sshepherd_model::Outcome;
use sshepherd_testkit::{FaultProxy, LinkFate, Sshd};
use tempfile::TempDir;
use tokio::task::JoinSet;

use crate::site::{Plan, Site};

/// Which way the bytes are counted that pass.
#[derive(Debug, Clone, Copy)]
enum Way {
    ToServer,
    ToClient,
}

/// A place where the first connection falls silent, and the command's limit in seconds.
#[derive(Debug, Clone, Copy)]
struct Place {
    way: Way,
    after: usize,
    job: bool,
    seconds: u64,
}

/// Runs a command that leaves a folder behind and ends with 3; what was told of it, and whether it ran.
async fn one(sshd: &Sshd, folder: &Path, place: Place) -> (Outcome, bool) {
    let proxy = FaultProxy::start(sshd.address());
    match place.way {
        Way::ToServer => proxy.fail_next_to_server(place.after, LinkFate::Silence),
        Way::ToClient => proxy.fail_next_to_client(place.after, LinkFate::Silence),
    }
    let limits = LimitPatch { max_seconds: Some(place.seconds), ..LimitPatch::default() };
    let site = Site::with(sshd, Plan { port: Some(proxy.port()), limits, ..Plan::default() });
    let ran: PathBuf = folder.join(format!("{place:?}").replace(' ', ""));
    let command = format!("mkdir '{}' && echo in; exit 3", ran.display());
    let id = if place.job { site.start_task(&command).await } else { site.start(&command).await };
    let outcome = site.end(&id).await.outcome;
    site.engine.shutdown().await;
    (outcome, ran.exists())
}

fn right(place: Place, outcome: &Outcome, ran: bool) -> bool {
    match outcome {
        Outcome::Exited { status } => *status == 3 && ran,
        Outcome::NotStarted(_) => !ran,
        // Of an attached command nobody can tell.
        Outcome::Interrupted(_) | Outcome::NotSeenToRun(_) => !place.job,
        Outcome::Signalled { .. }
        | Outcome::TimedOut { .. }
        | Outcome::Cancelled { .. }
        | Outcome::Denied { .. } => false,
    }
}

async fn all_right(places: impl Iterator<Item = Place>) {
    let sshd = Arc::new(Sshd::builder().daemon().config_line("MaxStartups 200").start());
    let folder = Arc::new(TempDir::new().unwrap());
    let mut all = JoinSet::new();
    for place in places {
        let (sshd, folder) = (Arc::clone(&sshd), Arc::clone(&folder));
        all.spawn(async move { (place, one(&sshd, folder.path(), place).await) });
    }
    while let Some(done) = all.join_next().await {
        let (place, (outcome, ran)) = done.unwrap();
        assert!(right(place, &outcome, ran), "{place:?}: {outcome:?}, ran: {ran}");
    }
}

/// Bytes of a connection as far as a short command goes, in steps.
fn everywhere(way: Way, job: bool) -> impl Iterator<Item = Place> {
    (600..10_000).step_by(1_175).map(move |after| Place { way, after, job, seconds: 3 })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_whose_first_connection_falls_silent_towards_the_host_is_no_time_out() {
    all_right(everywhere(Way::ToServer, true)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_whose_first_connection_falls_silent_towards_us_is_no_time_out() {
    all_right(everywhere(Way::ToClient, true)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_whose_first_connection_falls_silent_is_no_time_out() {
    all_right(everywhere(Way::ToServer, false).chain(everywhere(Way::ToClient, false))).await;
}
