//! What is done to the file is found: at rest by looking at it, and under a running server at its next record.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use sshepherd_audit::verify::{self, Found};
use sshepherd_audit::{
    Checkpoints, Entry, Event, Keeping, Record, Report, Sink, Source, State, Timestamp, series,
};

fn entry(n: u64) -> Entry {
    let source = Source { face: "mcp".into(), client: Some(format!("client {n}")) };
    let mut entry = Entry::new(Timestamp::from_millis(n * 1000), Event::Decision, source);
    entry.reason = Some("because".into());
    entry
}

fn open(path: &Path, max_bytes: Option<u64>) -> Sink {
    let keeping = Keeping { path: Some(path.to_owned()), max_bytes, ..Keeping::default() };
    Sink::open_beside(keeping, Box::new(io::sink())).unwrap()
}

fn checked(path: &Path) -> Report {
    verify::verify(&series(path).unwrap(), 1, None).unwrap()
}

fn tampered(path: &Path) -> Vec<Record> {
    let mut found = Vec::new();
    verify::read(&series(path).unwrap(), |one| match one {
        Found::Chained(record) | Found::Outside(record) => {
            found.extend((record.entry.event == Event::AuditTampered).then_some(*record));
        }
        Found::Junk(_) => {}
    })
    .unwrap();
    found
}

struct Ground {
    _folder: tempfile::TempDir,
    path: PathBuf,
    sink: Sink,
    original: Vec<u8>,
}

impl Ground {
    fn new(records: u64) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.jsonl");
        let sink = open(&path, None);
        (0..records).for_each(|n| sink.record(&entry(n)).unwrap());
        let original = fs::read(&path).unwrap();
        Self { _folder: folder, path, sink, original }
    }

    /// In the file that is open, as an editor in place or a program that cuts does.
    fn set(&self, bytes: &[u8]) {
        let file = OpenOptions::new().write(true).open(&self.path).unwrap();
        file.set_len(bytes.len() as u64).unwrap();
        file.write_all_at(bytes, 0).unwrap();
    }

    /// The next record finds it, says so once, and the file is never called whole again.
    fn is_found(&self, what: &str) {
        self.is_told(what);
        let report = checked(&self.path);
        assert!(matches!(report.state, State::Bad { .. }), "{what}: {report:?}");
        // Another server does not make it whole either.
        open(&self.path, None).record(&entry(7)).unwrap();
        assert!(matches!(checked(&self.path).state, State::Bad { .. }), "{what}");
    }

    /// The next record finds it and says so once.
    fn is_told(&self, what: &str) {
        for n in 0..3 {
            self.sink.record(&entry(100 + n)).unwrap();
        }
        let records = tampered(&self.path);
        assert_eq!(records.len(), 1, "{what}: {}", fs::read_to_string(&self.path).unwrap());
        assert_eq!(records[0].entry.source.face, "audit");
    }
}

/// The lines of a chain, each sealed after the one before, as somebody writes who knows how.
fn forged(records: u64, client: &str) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("audit.jsonl");
    let sink = open(&path, None);
    for n in 0..records {
        let mut entry = entry(n);
        entry.source.client = Some(client.to_owned());
        sink.record(&entry).unwrap();
    }
    fs::read(&path).unwrap()
}

const RECORDS: u64 = 6;

#[test]
fn every_single_record_that_is_removed_is_found_at_rest_and_by_the_running_server() {
    for gone in 0..RECORDS {
        let ground = Ground::new(RECORDS);
        let lines = ground.original.split_inclusive(|byte| *byte == b'\n').enumerate();
        let left: Vec<&[u8]> =
            lines.filter(|(at, _)| *at as u64 != gone).map(|(_, line)| line).collect();
        ground.set(&left.concat());
        if gone + 1 < RECORDS {
            assert!(matches!(checked(&ground.path).state, State::Bad { .. }), "{gone}");
        } else {
            let report = checked(&ground.path);
            assert_eq!((report.state, report.last, report.anchored), (State::Whole, gone, 0));
        }
        ground.is_found(&format!("record {} removed", gone + 1));
    }
}

#[test]
fn a_cut_at_any_byte_is_found_by_the_running_server() {
    let length = Ground::new(RECORDS).original.len();
    let ends = Ground::new(RECORDS).original;
    let ends = (0..length).filter(|at| ends[*at] == b'\n');
    let few: Vec<usize> = ends.flat_map(|end| [end, end + 1, end + 2]).collect();
    for cut in few.into_iter().filter(|cut| *cut + 1 < length).chain([0, 1, 333, length - 2]) {
        let ground = Ground::new(RECORDS);
        ground.set(&ground.original[..cut]);
        ground.is_found(&format!("cut at {cut}"));
    }
}

/// Also of the same length, also sealed anew, also the whole file.
#[test]
fn what_is_rewritten_is_found_by_the_running_server() {
    for place in 0..RECORDS {
        let ground = Ground::new(RECORDS);
        let text = String::from_utf8(ground.original.clone()).unwrap();
        let (old, new) = (format!("client {place}"), "client X");
        // The clock of the file system may stand still since the last record; an edit by hand takes longer.
        wait_for_another_time(&ground.path);
        ground.set(text.replace(&old, new).as_bytes());
        assert!(matches!(checked(&ground.path).state, State::Bad { .. }), "{place}");
        ground.is_found(&format!("record {place} changed"));
    }
    for (records, what) in [(RECORDS, "as long"), (RECORDS - 2, "shorter"), (RECORDS + 5, "longer")]
    {
        let ground = Ground::new(RECORDS);
        ground.set(&forged(records, "another"));
        assert_eq!(checked(&ground.path).state, State::Whole, "{what}: right in itself");
        ground.is_found(what);
    }
}

/// Until the file system gives a new file another time than that file has.
fn wait_for_another_time(path: &Path) {
    use std::os::unix::fs::MetadataExt;
    let time = |path: &Path| {
        let data = fs::metadata(path).unwrap();
        (data.ctime(), data.ctime_nsec())
    };
    let probe = path.with_extension("probe");
    let (before, mut now) = (time(path), (0, 0));
    while now <= before {
        fs::write(&probe, b"x").unwrap();
        now = time(&probe);
    }
}

#[test]
fn a_file_that_is_taken_away_replaced_or_added_to_is_found() {
    let ground = Ground::new(RECORDS);
    fs::remove_file(&ground.path).unwrap();
    ground.is_found("removed");
    let ground = Ground::new(RECORDS);
    fs::remove_file(&ground.path).unwrap();
    fs::write(&ground.path, &ground.original).unwrap();
    // Nothing is missing then, but somebody was there.
    ground.is_told("replaced");
    for more in ["not a record\n", "{\"v\":2,\"seq\":7}\n", "a\nb", "\n\n"] {
        let ground = Ground::new(RECORDS);
        let mut file = OpenOptions::new().append(true).open(&ground.path).unwrap();
        file.write_all(more.as_bytes()).unwrap();
        ground.is_found(more);
    }
}

/// Was: whatever stood behind the last record was vouched for by the next.
#[test]
fn more_than_one_half_written_line_is_not_repaired() {
    let torn = b"{\"v\":2,\"seq\":7,\"prev\":\"00";
    let ground = Ground::new(RECORDS);
    drop(ground.sink);
    fs::write(&ground.path, [&ground.original, &torn[..]].concat()).unwrap();
    let report = checked(&ground.path);
    assert_eq!(report.state, State::Unfinished { bytes: torn.len() as u64 });
    open(&ground.path, None).record(&entry(1)).unwrap();
    assert_eq!((checked(&ground.path).state, tampered(&ground.path).len()), (State::Whole, 0));
    for junk in ["garbage\n", "garbage\nmore", "{\"v\":2}\n{\"v\":2}\n"] {
        let ground = Ground::new(RECORDS);
        drop(ground.sink);
        fs::write(&ground.path, [&ground.original, junk.as_bytes()].concat()).unwrap();
        open(&ground.path, None).record(&entry(1)).unwrap();
        assert_eq!(tampered(&ground.path).len(), 1, "{junk}");
        assert!(matches!(checked(&ground.path).state, State::Bad { .. }), "{junk}");
    }
}

/// Nothing of what servers do among themselves is taken for tampering.
#[test]
fn several_servers_and_rotation_are_no_tampering() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("audit.jsonl");
    let idle = open(&path, None);
    idle.record(&entry(0)).unwrap();
    std::thread::scope(|scope| {
        for max_bytes in [None, Some(9_000), Some(20_000), None] {
            let path = &path;
            scope.spawn(move || {
                let sink = open(path, max_bytes);
                (0..150).for_each(|n| sink.record(&entry(n)).unwrap());
            });
        }
    });
    // One that has not looked while the file was put aside many times.
    idle.record(&entry(1)).unwrap();
    let report = checked(&path);
    assert_eq!((report.state.clone(), report.last), (State::Whole, 602));
    assert!(report.files.len() > 3 && tampered(&path).is_empty(), "{report:?}");
}

#[test]
fn a_report_says_how_far_another_place_vouches_for_it() {
    let folder = tempfile::tempdir().unwrap();
    let (path, points) = (folder.path().join("audit.jsonl"), folder.path().join("points"));
    let checkpoints = Checkpoints { file: Some(points.clone()), syslog: false, every: 4 };
    let keeping =
        Keeping { path: Some(path.clone()), checkpoints: Some(checkpoints), ..Keeping::default() };
    let sink = Sink::open_beside(keeping, Box::new(io::sink())).unwrap();
    (0..10).for_each(|n| sink.record(&entry(n)).unwrap());
    let files = [path.clone()];
    let report = verify::verify(&files, 1, Some(&points)).unwrap();
    assert_eq!((report.state, report.last, report.anchored), (State::Whole, 10, 8));
    // What was done to it is told there at once.
    let text = fs::read_to_string(&path).unwrap();
    let cut: String = text.split_inclusive('\n').take(9).collect();
    fs::write(&path, cut).unwrap();
    sink.record(&entry(11)).unwrap();
    let told = fs::read_to_string(&points).unwrap();
    assert_eq!(told.lines().count(), 3, "{told}");
}

#[test]
fn what_is_outside_the_chain_is_told_apart() {
    let ground = Ground::new(RECORDS);
    let text = String::from_utf8(ground.original.clone()).unwrap();
    ground.set(text.replace("client 3", "client 9").as_bytes());
    let mut found = Vec::new();
    verify::read(std::slice::from_ref(&ground.path), |one| {
        found.push(match one {
            Found::Chained(record) => (record.seq, true),
            Found::Outside(record) => (record.seq, false),
            Found::Junk(_) => (0, false),
        });
    })
    .unwrap();
    let wanted: Vec<(u64, bool)> = (1..=RECORDS).map(|seq| (seq, seq < 4)).collect();
    assert_eq!(found, wanted);
}

/// Was: a file without one right record was taken for one of a version that had none, and vouched for.
#[test]
fn records_that_were_all_changed_while_no_server_ran_are_no_older_versions() {
    type Edit = fn(&str) -> String;
    let edits: [(&str, Edit); 6] = [
        ("fields renamed", |text| text.replace("\"chain\"", "\"chaim\"")),
        ("CRLF", |text| text.replace('\n', "\r\n")),
        ("values changed", |text| text.replace("because", "becauze")),
        ("the version lowered", |text| text.replace("\"v\":2", "\"v\":1")),
        ("letters behind them", |text| text.replace('\n', "x\n")),
        ("no newline", |text| text.replace("because", "becauze").trim_end().to_owned()),
    ];
    for (what, edit) in edits {
        for records in [1, RECORDS] {
            // One line that is no record to its end may be what a crash left.
            if records == 1 && what == "letters behind them" {
                continue;
            }
            let ground = Ground::new(records);
            drop(ground.sink);
            let text = String::from_utf8(ground.original.clone()).unwrap();
            fs::write(&ground.path, edit(&text)).unwrap();
            let told = |state: State| matches!(state, State::Bad { line: 1, .. });
            assert!(told(checked(&ground.path).state), "{what}, {records} records, at rest");
            for n in 0..2 {
                open(&ground.path, None).record(&entry(n)).unwrap();
                let state = checked(&ground.path).state;
                assert!(told(state.clone()), "{what}, {records} records: {state:?}");
            }
            assert_eq!(tampered(&ground.path).len(), 1, "{what}, {records} records");
        }
    }
}

/// The last record without its newline looks like one that a crash cut short.
#[test]
fn a_last_record_that_was_changed_and_has_no_newline_is_not_vouched_for() {
    let ground = Ground::new(RECORDS);
    drop(ground.sink);
    let text = String::from_utf8(ground.original.clone()).unwrap();
    fs::write(&ground.path, text.replace("client 5", "client 9").trim_end()).unwrap();
    assert!(matches!(checked(&ground.path).state, State::Bad { line: 6, .. }));
    open(&ground.path, None).record(&entry(1)).unwrap();
    assert_eq!(tampered(&ground.path).len(), 1);
    assert!(matches!(checked(&ground.path).state, State::Bad { line: 6, .. }));
}

/// An upgrade whose first record a crash cut short.
#[test]
fn an_older_versions_records_and_a_torn_first_one_are_vouched_for() {
    let ground = Ground::new(0);
    drop(ground.sink);
    let old = "{\"v\":1,\"seq\":1,\"instance\":\"i\"}\n{\"v\":1,\"seq\":2,\"instance\":\"i\"}\n";
    fs::write(&ground.path, format!("{old}{{\"v\":2,\"seq\":1,\"prev\":\"00")).unwrap();
    open(&ground.path, None).record(&entry(1)).unwrap();
    assert_eq!((checked(&ground.path).state, tampered(&ground.path).len()), (State::Whole, 0));
}
