//! What servers know of interactive shells: who holds which, what a crash leaves, and what is removed when.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use sshepherd_model::ShellId;
use sshepherd_store::{Claim, HeldShell, Life, ShellEnd, ShellFolder, ShellRecord};

use crate::worker::Worker;

/// A shell of the host `web`, the N-th that was opened.
pub(crate) fn record(number: u64) -> ShellRecord {
    ShellRecord {
        id: ShellId::compose(number),
        alias: "web".parse().unwrap(),
        opened_at: 1000 + number,
        what: "a login shell".to_owned(),
        command: None,
        cols: 80,
        rows: 24,
        term: "xterm-256color".to_owned(),
        persistent: None,
        cookie: "cookie".to_owned(),
        policy_hash: "hash".to_owned(),
        host: "192.0.2.7:22".to_owned(),
        client: Some("test 1".to_owned()),
        recording: true,
        ended: None,
    }
}

fn persistent(number: u64) -> ShellRecord {
    ShellRecord { persistent: Some("sshepherd-1".to_owned()), ..record(number) }
}

fn ended(record: ShellRecord, at: u64) -> ShellRecord {
    ShellRecord { ended: Some(ShellEnd { at, why: "exit status 0".to_owned() }), ..record }
}

fn open(folder: &Path) -> ShellFolder {
    ShellFolder::open(folder).unwrap()
}

fn taken(shells: &ShellFolder, id: &ShellId) -> (HeldShell, ShellRecord) {
    let Claim::Taken(held, record) = shells.claim(id).unwrap() else { panic!("{id} is held") };
    (held, record)
}

fn lives(shells: &ShellFolder) -> Vec<(String, Life)> {
    let told = |shell: sshepherd_store::ListedShell| (shell.record.id.to_string(), shell.life);
    shells.list().into_iter().map(told).collect()
}

#[test]
fn a_shell_is_open_then_detached_then_ended() {
    let folder = tempfile::tempdir().unwrap();
    let shells = open(folder.path());
    let (plain, goes_on) = (record(1), persistent(2));
    let (held_plain, mut held) = (shells.create(&plain).unwrap(), shells.create(&goes_on).unwrap());
    let name = |record: &ShellRecord| record.id.to_string();
    // Newest first.
    let both = |newer, older| vec![(name(&goes_on), newer), (name(&plain), older)];
    assert_eq!(lives(&shells), both(Life::Open, Life::Open));
    assert!(matches!(shells.claim(&goes_on.id).unwrap(), Claim::InUse));
    assert!(matches!(shells.claim(&ShellId::compose(9)).unwrap(), Claim::Unknown));
    assert!(shells.create(&goes_on).is_err(), "a second one with this id");
    drop(held_plain);
    drop(held);
    assert_eq!(lives(&shells), both(Life::Detached, Life::Ended));
    (held, _) = taken(&shells, &goes_on.id);
    assert_eq!(shells.read(&goes_on.id).unwrap().life, Life::Open);
    held.update(&ended(goes_on.clone(), 5000)).unwrap();
    // The end counts from when it is written down.
    assert_eq!(shells.read(&goes_on.id).unwrap().life, Life::Ended);
    let Claim::Ended(found) = shells.claim(&goes_on.id).unwrap() else { panic!() };
    assert_eq!(found, ended(goes_on.clone(), 5000));
    assert!(held.update(&record(3)).is_err(), "another one's record");
    assert_eq!(shells.read(&goes_on.id).unwrap().record, found);
}

#[test]
fn only_the_owner_can_look() {
    let folder = tempfile::tempdir().unwrap();
    let shells = open(folder.path());
    let held = shells.create(&record(1)).unwrap();
    held.recorder(1000).unwrap().write("[0.1, \"o\", \"x\"]\n").unwrap();
    let cast = shells.cast_path(held.id());
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let of_one = cast.parent().unwrap();
    assert_eq!((mode(of_one.parent().unwrap()), mode(of_one)), (0o700, 0o700));
    for file in ["record.json", "cast", "lock"] {
        assert_eq!(mode(&of_one.join(file)), 0o600, "{file}");
    }
    fs::set_permissions(folder.path().join("shells"), fs::Permissions::from_mode(0o755)).unwrap();
    open(folder.path());
    assert_eq!(mode(&folder.path().join("shells")), 0o700, "taken away from others again");
}

#[test]
fn the_death_of_a_server_frees_its_shells() {
    let folder = tempfile::tempdir().unwrap();
    let shells = open(folder.path());
    let mut worker = Worker::start(folder.path(), None);
    worker.must("shell 1");
    let id = ShellId::compose(1);
    assert_eq!(shells.read(&id).unwrap().life, Life::Open);
    assert!(matches!(shells.claim(&id).unwrap(), Claim::InUse));
    worker.kill();
    assert_eq!(shells.read(&id).unwrap().life, Life::Detached);
    let (_held, found) = taken(&shells, &id);
    assert_eq!(found, persistent(1));
    let mut other = Worker::start(folder.path(), None);
    assert_eq!(other.must("shell-claim 1"), "in use");
}

/// Those who only look take the lock for a moment, which must not be taken for a server.
#[test]
fn looking_at_a_shell_does_not_hold_it() {
    let folder = tempfile::tempdir().unwrap();
    let shells = open(folder.path());
    drop(shells.create(&persistent(1)).unwrap());
    let id = ShellId::compose(1);
    std::thread::scope(|scope| {
        let (stop, stopped) = std::sync::mpsc::channel::<()>();
        let looking = shells.clone();
        scope.spawn(move || {
            while stopped.try_recv() == Err(std::sync::mpsc::TryRecvError::Empty) {
                let _ = looking.list();
            }
        });
        for _ in 0..500 {
            let (held, _) = taken(&shells, &id);
            drop(held);
        }
        drop(stop);
    });
}

#[test]
fn a_death_on_the_way_loses_nothing() {
    // While it is made: there is nothing. The second record that it writes is the change: the first one stays.
    for (place, there) in
        [("shell.record-draft", false), ("shell.draft", false), ("shell.record-draft@2", true)]
    {
        let folder = tempfile::tempdir().unwrap();
        let shells = open(folder.path());
        let mut worker = Worker::start(folder.path(), Some(place));
        assert_eq!(worker.ask("shell 1").is_some(), there, "{place}");
        if !there {
            assert_eq!(shells.list(), [], "{place}");
            assert!(matches!(shells.claim(&ShellId::compose(1)).unwrap(), Claim::Unknown));
            assert_eq!(shells.sweep(u64::MAX), 0);
            assert_eq!(fs::read_dir(folder.path().join("shells")).unwrap().count(), 0, "{place}");
            continue;
        }
        assert_eq!(worker.ask("shell-end 1"), None, "{place}");
        let (mut held, found) = taken(&shells, &ShellId::compose(1));
        assert_eq!(found, persistent(1));
        held.update(&ended(found.clone(), 7)).unwrap();
        assert_eq!(shells.read(held.id()).unwrap().record, ended(found, 7));
    }
}

#[test]
fn a_torn_draft_of_a_record_is_nobodys() {
    let folder = tempfile::tempdir().unwrap();
    let shells = open(folder.path());
    let mut held = shells.create(&record(1)).unwrap();
    let of_one = folder.path().join("shells").join(held.id().as_str());
    fs::write(of_one.join("record.json.new"), "{\"id\": \"sh-00").unwrap();
    assert_eq!(shells.read(held.id()).unwrap().record, record(1));
    held.update(&ended(record(1), 7)).unwrap();
    assert_eq!(shells.read(held.id()).unwrap().record, ended(record(1), 7));
    assert!(!of_one.join("record.json.new").exists());
}

#[test]
fn damaged_records_are_left_out() {
    let folder = tempfile::tempdir().unwrap();
    let shells = open(folder.path());
    let whole = serde_json::to_string(&record(2)).unwrap();
    // Cut short, of another shell, not a record, too long, and none at all.
    let long = format!("{}{whole}", " ".repeat(2 << 20));
    let broken = [whole.get(..40), Some(whole.as_str()), Some("[]"), Some(&long), None];
    for (number, text) in (10..).zip(broken) {
        let id = ShellId::compose(number);
        let of_one = folder.path().join("shells").join(id.as_str());
        fs::create_dir(&of_one).unwrap();
        if let Some(text) = text {
            fs::write(of_one.join("record.json"), text).unwrap();
        }
        assert_eq!(shells.read(&id), None, "{number}");
        assert!(matches!(shells.claim(&id).unwrap(), Claim::Unknown), "{number}");
    }
    fs::write(folder.path().join("shells/file"), "x").unwrap();
    let held = shells.create(&record(1)).unwrap();
    assert_eq!(lives(&shells), [(held.id().to_string(), Life::Open)]);
    // What nobody can read is not removed either: a person may want to look.
    assert_eq!(shells.sweep(u64::MAX), 0);
    assert_eq!(fs::read_dir(folder.path().join("shells")).unwrap().count(), 7);
}

#[test]
fn sweeping_removes_what_is_over_and_nothing_in_use() {
    let folder = tempfile::tempdir().unwrap();
    let shells = open(folder.path());
    let mut worker = Worker::start(folder.path(), None);
    worker.must("shell 1");
    worker.must("shell-end 1");
    // Ended at 5,000 and held by nobody; the same later; gone on with on its host; and one whose server died.
    drop(shells.create(&ended(record(2), 5000)).unwrap());
    drop(shells.create(&ended(persistent(3), 6000)).unwrap());
    drop(shells.create(&persistent(4)).unwrap());
    drop(shells.create(&record(5)).unwrap());
    let left = |shells: &ShellFolder| {
        let mut ids: Vec<String> = lives(shells).into_iter().map(|(id, _)| id).collect();
        ids.sort();
        ids
    };
    let ids = |numbers: &[u64]| {
        numbers.iter().map(|number| ShellId::compose(*number).to_string()).collect::<Vec<_>>()
    };
    assert_eq!(shells.sweep(5000), 0);
    assert_eq!(shells.sweep(6000), 1);
    assert_eq!(left(&shells), ids(&[1, 3, 4, 5]));
    assert_eq!(shells.sweep(u64::MAX), 2);
    // The first has ended too, but its server still holds it.
    assert_eq!(left(&shells), ids(&[1, 4]));
    worker.kill();
    assert_eq!(shells.sweep(u64::MAX), 1);
    assert_eq!(left(&shells), ids(&[4]));
    assert_eq!(fs::read_dir(folder.path().join("shells")).unwrap().count(), 1);
}

#[test]
fn a_death_while_sweeping_leaves_nothing_that_is_seen() {
    let folder = tempfile::tempdir().unwrap();
    let shells = open(folder.path());
    drop(shells.create(&ended(record(1), 5)).unwrap());
    let mut worker = Worker::start(folder.path(), Some("shell.half-removed"));
    assert_eq!(worker.ask("shell-sweep 6"), None);
    assert_eq!(shells.list(), []);
    assert_eq!(fs::read_dir(folder.path().join("shells")).unwrap().count(), 1);
    shells.sweep(0);
    assert_eq!(fs::read_dir(folder.path().join("shells")).unwrap().count(), 0);
}

fn event(number: usize) -> String {
    format!("[{number}.5, \"o\", \"line {number}\"]\n")
}

#[test]
fn a_recording_stops_at_its_size_and_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let shells = open(folder.path());
    let held = shells.create(&record(1)).unwrap();
    let read = || fs::read_to_string(shells.cast_path(held.id())).unwrap();
    let mut recorder = held.recorder(1000).unwrap();
    recorder.write(&(event(1) + &event(2))).unwrap();
    assert_eq!(read(), "", "nothing is written before the flush");
    recorder.flush().unwrap();
    assert_eq!(read(), event(1) + &event(2));
    assert_eq!(shells.read(held.id()).unwrap().cast_bytes, recorder.bytes());
    for number in 3..100 {
        recorder.write(&event(number)).unwrap();
    }
    assert!(recorder.full());
    let whole = read();
    assert!(whole.len() <= 1000 && whole.len() > 800, "{}", whole.len());
    let (last, before) = (whole.lines().last().unwrap(), whole.lines().rev().nth(1).unwrap());
    assert!(last.contains("\"m\"") && last.contains("limit"), "{last}");
    assert_eq!(last.split(',').next(), before.split(',').next(), "the time of the last line");
    // Another server that goes on with it adds nothing, not even a second marker.
    drop(recorder);
    let mut again = held.recorder(1000).unwrap();
    assert!(again.full());
    again.write(&event(1)).unwrap();
    drop(again);
    assert_eq!(read(), whole);
}

#[test]
fn a_recording_goes_on_behind_a_line_that_was_cut() {
    let folder = tempfile::tempdir().unwrap();
    let shells = open(folder.path());
    let held = shells.create(&record(1)).unwrap();
    let cut = "[7.25, \"o\", \"hal";
    fs::write(shells.cast_path(held.id()), event(1) + cut).unwrap();
    let mut recorder = held.recorder(200).unwrap();
    recorder.write(&event(2)).unwrap();
    recorder.write(&event(3)).unwrap();
    recorder.flush().unwrap();
    let whole = fs::read_to_string(shells.cast_path(held.id())).unwrap();
    assert!(whole.starts_with(&format!("{}{cut}\n{}", event(1), event(2))), "{whole}");
}

/// The shell goes on when its recording cannot.
#[test]
fn an_error_ends_the_recording_and_is_told_once() {
    let folder = tempfile::tempdir().unwrap();
    let mut worker = Worker::start_with_small_files(folder.path(), 60);
    worker.must("shell 1");
    assert!(worker.must("shell-record 1 100000").contains("1 error"));
}
