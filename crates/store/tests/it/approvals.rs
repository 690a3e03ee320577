//! Questions to people: the same from every backend, and between servers that share a folder.

use sshepherd_model::ApprovalId;
use sshepherd_store::{
    DiskBounds, DiskStore, Error, Holds, MemoryStore, NewApproval, Settled, Settlement, Standing,
    Store,
};

fn question(nonce: u64, binding: &str, holds: Holds) -> NewApproval {
    NewApproval {
        id: ApprovalId::compose(nonce),
        binding: binding.to_owned(),
        about: format!("about {binding}"),
        by: vec!["ann".to_owned()],
        out_of_band: true,
        asked_at: 1000 + nonce,
        open_until: 2000,
        valid_ms: 500,
        holds,
    }
}

fn answer(yes: bool, at: u64) -> Settlement {
    Settlement { yes, by: "ann".to_owned(), at }
}

async fn asked_once(store: &impl Store) {
    let first = store.ask(question(1, "x", Holds::Once)).await.unwrap();
    assert_eq!((first.standing.clone(), first.about.as_str()), (Standing::Open, "about x"));
    let again = store.ask(question(2, "x", Holds::Once)).await.unwrap();
    assert_eq!(again, first, "the same question is not asked twice while it is open");
    let other = store.ask(question(3, "y", Holds::Once)).await.unwrap();
    assert_eq!(store.approvals().await.unwrap(), [other.clone(), first.clone()], "newest first");
    assert_eq!(store.redeem("x", 1100).await.unwrap(), None, "nobody has answered");
    let Settled::Done(yes) = store.settle(&first.id, answer(true, 1200)).await.unwrap() else {
        panic!("late")
    };
    assert_eq!(yes.standing, Standing::Approved { by: "ann".to_owned(), at: 1200, until: 1700 });
    assert_eq!(store.settle(&first.id, answer(false, 1201)).await.unwrap(), Settled::Late(yes));
    assert_eq!(
        store.settle(&ApprovalId::compose(9), answer(true, 1)).await.unwrap(),
        Settled::Unknown
    );
    assert_eq!(store.redeem("y", 1300).await.unwrap(), None, "a yes is for what was asked");
    let used = store.redeem("x", 1300).await.unwrap().unwrap();
    assert_eq!(used.standing, Standing::Used { by: "ann".to_owned(), at: 1300 });
    assert_eq!(store.redeem("x", 1301).await.unwrap(), None, "used once");
    let anew = store.ask(question(4, "x", Holds::Once)).await.unwrap();
    assert_eq!(anew.standing, Standing::Open, "then it is a new question");
    let _ = store.settle(&other.id, answer(false, 1300)).await.unwrap();
    assert_eq!(store.redeem("y", 1301).await.unwrap(), None, "no means no");
    let late = store.settle(&anew.id, answer(true, 2000)).await.unwrap();
    assert!(matches!(late, Settled::Late(_)), "{late:?}");
}

async fn bounded_and_forgotten(store: &impl Store) {
    for nonce in 0..100 {
        store.ask(question(nonce, &format!("b{nonce}"), Holds::While)).await.unwrap();
    }
    let full = store.ask(question(100, "b100", Holds::While)).await;
    assert!(matches!(full, Err(Error::TooManyQuestions { open: 100 })), "{full:?}");
    store.ask(question(101, "b7", Holds::While)).await.unwrap();
    let _ = store.settle(&ApprovalId::compose(7), answer(true, 1500)).await.unwrap();
    for at in [1500, 1999] {
        assert!(store.redeem("b7", at).await.unwrap().is_some(), "valid for a while");
    }
    assert_eq!(store.redeem("b7", 2000).await.unwrap(), None);
    let day = 86_400_000;
    store.sweep(1999 + day).await.unwrap();
    assert_eq!(store.approvals().await.unwrap().len(), 100);
    store.sweep(2000 + day).await.unwrap();
    assert_eq!(store.approvals().await.unwrap(), []);
}

#[tokio::test]
async fn in_memory() {
    asked_once(&MemoryStore::default()).await;
    bounded_and_forgotten(&MemoryStore::default()).await;
}

#[tokio::test]
async fn on_disk() {
    for body in [true, false] {
        let folder = tempfile::tempdir().unwrap();
        let store = DiskStore::open(folder.path(), DiskBounds::default()).await.unwrap();
        if body {
            asked_once(&store).await;
        } else {
            bounded_and_forgotten(&store).await;
        }
    }
}

/// One yes, many servers: one of them may use it, and what was answered is there after all of them are gone.
#[tokio::test(flavor = "multi_thread")]
async fn of_many_servers_one_uses_a_yes_for_once() {
    let folder = tempfile::tempdir().unwrap();
    let open = async || DiskStore::open(folder.path(), DiskBounds::default()).await.unwrap();
    let asker = open().await;
    let asked = asker.ask(question(1, "x", Holds::Once)).await.unwrap();
    drop(asker);
    let _ = open().await.settle(&asked.id, answer(true, 1100)).await.unwrap();
    let mut racing = tokio::task::JoinSet::new();
    for _ in 0..6 {
        let store = open().await;
        racing.spawn(async move { store.redeem("x", 1200).await.unwrap().is_some() });
    }
    let used = racing.join_all().await.into_iter().filter(|used| *used).count();
    assert_eq!(used, 1);
}

/// A folder of the first layout gets its table of questions.
#[tokio::test]
async fn an_older_folder_is_brought_up_to_date() {
    let folder = tempfile::tempdir().unwrap();
    drop(DiskStore::open(folder.path(), DiskBounds::default()).await.unwrap());
    let found = std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().path());
    let path =
        found.into_iter().find(|path| path.extension().is_some_and(|end| end == "db")).unwrap();
    let database = rusqlite::Connection::open(path).unwrap();
    database
        .execute_batch(
            "DROP TABLE approval; ALTER TABLE task DROP COLUMN wishes; \
             ALTER TABLE task DROP COLUMN output; PRAGMA user_version = 1",
        )
        .unwrap();
    drop(database);
    let store = DiskStore::open(folder.path(), DiskBounds::default()).await.unwrap();
    store.ask(question(1, "x", Holds::Once)).await.unwrap();
}
