//! Nothing runs twice because an answer was lost, whatever an alias leads to by then, and a job is known again when it leads back.

use std::path::Path;
use std::time::{Duration, SystemTime};

use sshepherd_engine::store::{NewTask, State};
use sshepherd_model::{Cause, Interruption, Outcome, TaskId};

use crate::durable::{Ground, begun, found, new_task, release};
use crate::site::{Plan, Site, origin};

/// A mark that a second run would find.
fn marking(ground: &Ground) -> String {
    let ledger = ground.folder.path().join("ledger");
    format!("mkdir {0} || mkdir {0}.twice; echo done; exit 3", ledger.display())
}

fn ran(ground: &Ground) -> (bool, bool) {
    let mark = |name: &str| ground.folder.path().join(name).exists();
    (mark("ledger"), mark("ledger.twice"))
}

/// Leads the next log-ins to another home, as an alias leads to another host.
fn lead(ground: &Ground, home: &Path) {
    std::fs::create_dir_all(home).unwrap();
    ground.sshd.prepend_config(&format!("SetEnv HOME={}", home.display()));
    ground.sshd.kill_connections();
}

/// Returns when the server has tried the host some more times.
async fn tried(ground: &Ground) {
    let asked = || ground.sshd.log().matches("Starting session: command").count();
    let before = asked();
    let enough = async {
        while asked() < before + 3 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), enough).await.expect("it is not tried again");
}

async fn ends_well(site: &Site, id: &TaskId) {
    assert_eq!(site.end(id).await.outcome, Outcome::Exited { status: 3 });
    assert_eq!(site.text(id).await, "done\n");
}

/// The server died after it had sent the start, which never arrived, or before the answer, and the alias leads to another home by then.
#[tokio::test(flavor = "multi_thread")]
async fn a_start_whose_answer_was_lost_is_sent_again_to_the_same_home_alone() {
    let ground = Ground::new();
    let (one, two) = (ground.folder.path().join("one"), ground.folder.path().join("two"));
    lead(&ground, &one);
    let bound = ground.site().await;
    let store = ground.store().await;
    let id = begun(&*store, &marking(&ground), Some(&bound)).await;
    drop(store);
    lead(&ground, &two);
    let site = ground.server().await;
    tried(&ground).await;
    assert_eq!(ran(&ground), (false, false));
    assert_eq!(found(&site, &id).await.status, State::Running);
    // The same address and host key again, and an emptied home.
    std::fs::remove_dir_all(one.join(".sshepherd")).unwrap();
    lead(&ground, &one);
    tried(&ground).await;
    assert_eq!(ran(&ground), (false, false));
    assert_eq!(found(&site, &id).await.status, State::Running);
    // What was there comes back.
    let home: serde_json::Value = serde_json::from_str(&bound).unwrap();
    std::fs::write(one.join(".sshepherd/id"), home["home"].as_str().unwrap()).unwrap();
    ends_well(&site, &id).await;
    assert_eq!(ran(&ground), (true, false));
    site.engine.shutdown().await;
}

/// As above, but it had arrived, and runs where the alias led.
#[tokio::test(flavor = "multi_thread")]
async fn a_job_is_followed_in_its_own_home_alone() {
    let ground = Ground::new();
    let (home, kept) = (ground.folder.path().join("home"), ground.folder.path().join("kept"));
    let gate = ground.fifo("gate");
    lead(&ground, &home);
    let site = ground.server().await;
    let marked = marking(&ground).replace("; exit 3", "");
    let id = site.start_task(&format!("{marked}; read x < {}; exit 3", gate.display())).await;
    assert_eq!(site.first_line(&id).await, "done");
    // The same path, on another host or with another account.
    std::fs::rename(&home, &kept).unwrap();
    lead(&ground, &home);
    tried(&ground).await;
    // There it would be told as gone.
    let task = found(&site, &id).await;
    assert_eq!(task.status, State::Running);
    let detail = site.engine.out_of_sight(&task).unwrap();
    assert!(detail.starts_with("alias leads elsewhere"), "{detail}");
    std::fs::remove_dir_all(&home).unwrap();
    std::fs::rename(&kept, &home).unwrap();
    release(&gate).await;
    ends_well(&site, &id).await;
    assert_eq!(ran(&ground), (true, false));
    site.engine.shutdown().await;
}

/// The next command of a server that knows a host is for the site it knows; where that is another by now, it runs there, once.
#[tokio::test(flavor = "multi_thread")]
async fn a_first_start_follows_the_alias_wherever_it_leads() {
    let ground = Ground::new();
    let site = ground.server().await;
    for home in ["one", "two", "one", "three"] {
        let home = ground.folder.path().join(home);
        lead(&ground, &home);
        let runs = home.join("runs");
        let before = std::fs::read_to_string(&runs).unwrap_or_default();
        let id = site.start_task("echo run >> \"$HOME/runs\"; echo done; exit 3").await;
        ends_well(&site, &id).await;
        assert_eq!(std::fs::read_to_string(&runs).unwrap(), before + "run\n", "{home:?}");
    }
    site.engine.shutdown().await;
}

/// A version before kept no site: its start may have gone anywhere.
#[tokio::test(flavor = "multi_thread")]
async fn a_start_of_a_version_that_kept_no_site_is_never_sent_again() {
    let ground = Ground::new();
    let store = ground.store().await;
    let id = begun(&*store, &marking(&ground), None).await;
    drop(store);
    let site = ground.server().await;
    let finished = site.end(&id).await;
    let Outcome::Interrupted(Interruption { cause, detail }) = &finished.outcome else {
        panic!("{:?}", finished.outcome)
    };
    assert_eq!(*cause, Cause::Lost);
    assert!(detail.as_str().contains("may have started"), "{detail:?}");
    assert_eq!(ran(&ground), (false, false));
    site.engine.shutdown().await;
}

/// The host restarted after the start was sent, and nothing of it is there: whether it ran was lost with the boot.
#[tokio::test(flavor = "multi_thread")]
async fn a_start_that_left_no_trace_before_a_restart_is_not_sent_again() {
    let ground = Ground::new();
    let bound = ground.site().await;
    let mut earlier: serde_json::Value = serde_json::from_str(&bound).unwrap();
    earlier["boot"] = "another-boot".into();
    let store = ground.store().await;
    let id = begun(&*store, &marking(&ground), Some(&earlier.to_string())).await;
    drop(store);
    let site = ground.server().await;
    let outcome = site.end(&id).await.outcome;
    assert!(
        matches!(&outcome, Outcome::Interrupted(Interruption { cause: Cause::Lost, .. })),
        "{outcome:?}"
    );
    assert_eq!(ran(&ground), (false, false));
    site.engine.shutdown().await;
}

/// A host that is taken out of the configuration by mistake, a second server that does not know it: its tasks wait, one that runs and
/// one that was not sent, and go on when it is back.
#[tokio::test(flavor = "multi_thread")]
async fn tasks_of_a_host_that_is_not_configured_wait_for_it() {
    let ground = Ground::new();
    let gate = ground.fifo("gate");
    let first = ground.server().await;
    let id = first.start_task(&format!("read x < {}; echo done; exit 3", gate.display())).await;
    while found(&first, &id).await.place.is_none() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    first.engine.shutdown().await;
    drop(first);
    let store = ground.store().await;
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    let created_at = u64::try_from(now.as_millis()).unwrap();
    let task = NewTask { created_at, ..new_task("echo done; exit 3", 7) };
    let unsent = store.create(task).await.unwrap().id;
    drop(store);
    let other =
        Plan { aliases: vec!["other"], store: Some(ground.store().await), ..Plan::default() };
    let site = Site::with(&ground.sshd, other);
    for (id, status) in [(&id, State::Running), (&unsent, State::Pending)] {
        let ended = tokio::time::timeout(Duration::from_millis(500), site.engine.wait(id)).await;
        assert!(ended.is_err(), "{ended:?}");
        let task = found(&site, id).await;
        assert_eq!(task.status, status);
        let detail = site.engine.out_of_sight(&task).unwrap();
        assert!(detail.starts_with("host not configured: box"), "{detail}");
    }
    let back = Site::config(&ground.sshd, Plan::default(), ground.folder.path());
    site.engine.replace_config(back, &origin()).unwrap();
    ends_well(&site, &unsent).await;
    release(&gate).await;
    ends_well(&site, &id).await;
    site.engine.shutdown().await;
}
