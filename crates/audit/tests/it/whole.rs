//! The chain: what is found of edits, crashes, rotation and cuts.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use sshepherd_audit::{
    Checkpoints, Entry, Event, Keeping, Report, Sink, Source, State, Timestamp, series, verify,
};

fn entry(n: u64) -> Entry {
    let source = Source { face: "mcp".into(), client: Some(format!("client {n}")) };
    let mut entry = Entry::new(Timestamp::from_millis(n * 1000), Event::Decision, source);
    entry.reason = Some("because".into());
    entry
}

fn sink(keeping: Keeping) -> Sink {
    Sink::open_beside(keeping, Box::new(io::sink())).unwrap()
}

fn at(path: &Path) -> Keeping {
    Keeping { path: Some(path.to_owned()), ..Keeping::default() }
}

fn written(path: &Path, records: u64) {
    let sink = sink(at(path));
    (0..records).for_each(|n| sink.record(&entry(n)).unwrap());
}

fn checked(path: &Path) -> Report {
    verify(&series(path).unwrap(), 1, None).unwrap()
}

/// SplitMix64 (Steele, Lea and Flood 2014): the same numbers at every run.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % bound as u64).unwrap()
    }
}

/// One random change of the file's bytes or lines.
fn edited(original: &[u8], numbers: &mut Numbers) -> Vec<u8> {
    let mut bytes = original.to_vec();
    let place = numbers.below(bytes.len());
    let mut lines: Vec<&[u8]> = original.split_inclusive(|byte| *byte == b'\n').collect();
    let line = numbers.below(lines.len());
    match numbers.below(8) {
        0 => bytes[place] ^= 1 << numbers.below(8),
        1 => bytes[place] = b"0123456789abcdef\n \"{}:"[numbers.below(22)],
        2 => bytes.insert(place, b"a0 \n\"}"[numbers.below(6)]),
        3 => drop(bytes.remove(place)),
        4 => bytes.truncate(place),
        5 => {
            lines.remove(line);
            bytes = lines.concat();
        }
        6 => {
            lines.insert(numbers.below(lines.len()), lines[line]);
            bytes = lines.concat();
        }
        _ => {
            let other = numbers.below(lines.len());
            lines.swap(line, other);
            bytes = lines.concat();
        }
    }
    bytes
}

#[test]
fn ten_thousand_single_edits_are_all_found() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("audit.jsonl");
    let points = folder.path().join("points");
    let checkpoints = Checkpoints { file: Some(points.clone()), syslog: false, every: 1 };
    let sink = sink(Keeping { checkpoints: Some(checkpoints), ..at(&path) });
    (0..12).for_each(|n| sink.record(&entry(n)).unwrap());
    let original = fs::read(&path).unwrap();
    let check = |bytes: &[u8]| {
        fs::write(&path, bytes).unwrap();
        verify(std::slice::from_ref(&path), 1, Some(&points)).unwrap()
    };
    let whole = check(&original);
    assert_eq!((whole.state, whole.records, whole.checkpoints), (State::Whole, 12, 12));
    let (mut numbers, mut edits) = (Numbers(7), 0);
    while edits < 10_000 {
        let bytes = edited(&original, &mut numbers);
        if bytes == original {
            continue;
        }
        edits += 1;
        let report = check(&bytes);
        let text = String::from_utf8_lossy(&bytes).into_owned();
        assert_ne!(report.state, State::Whole, "edit {edits} went unseen:\n{text}");
    }
}

#[test]
fn the_first_record_that_is_wrong_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("audit.jsonl");
    written(&path, 5);
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, text.replace("client 2", "client 9")).unwrap();
    let report = checked(&path);
    assert_eq!((report.records, report.last), (2, 2));
    let State::Bad { file, line, .. } = report.state else { panic!("{:?}", report.state) };
    assert_eq!((file, line), (path.clone(), 3));
    let without: Vec<&str> = text.split_inclusive('\n').skip(1).collect();
    fs::write(&path, without.concat()).unwrap();
    let State::Bad { line: 1, what, .. } = checked(&path).state else {
        panic!("the first is missing")
    };
    assert!(what.contains("begins with record 2"), "{what}");
    assert_eq!(verify(&[path], 2, None).unwrap().state, State::Whole, "where that is known");
}

/// A crash leaves any beginning of what was being written; the next record makes the chain whole again and vouches for it.
#[test]
fn a_crash_at_any_byte_of_a_write_leaves_a_chain_that_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("audit.jsonl");
    written(&path, 3);
    let whole = fs::read(&path).unwrap();
    let last = whole.split_inclusive(|byte| *byte == b'\n').next_back().unwrap().len();
    let before = whole.len() - last;
    for cut in 0..last {
        fs::write(&path, &whole[..before + cut]).unwrap();
        let state = checked(&path).state;
        let bytes = cut as u64;
        let wanted = if cut == 0 { State::Whole } else { State::Unfinished { bytes } };
        assert_eq!(state, wanted, "cut at {cut}");
        written(&path, 2);
        let report = checked(&path);
        assert_eq!(report.state, State::Whole, "cut at {cut}");
        // All but the newline was there: that record counts.
        let kept = u64::from(cut == last - 1);
        assert_eq!(report.last, 4 + kept, "cut at {cut}");
        assert_eq!(report.vouched, if cut == 0 || kept == 1 { 0 } else { bytes + 1 });
    }
}

#[test]
fn records_of_the_version_before_are_vouched_for() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("audit.jsonl");
    let old = "{\"v\":1,\"seq\":1,\"instance\":\"i\",\"ts\":\"2000-02-29T00:00:00.000Z\",\"event\":\"reload\",\"source\":\"cli\"}\n";
    fs::write(&path, old).unwrap();
    written(&path, 2);
    let report = checked(&path);
    assert_eq!((report.state, report.records, report.vouched), (State::Whole, 2, old.len() as u64));
    let text = fs::read_to_string(&path).unwrap().replacen("reload", "relaad", 1);
    fs::write(&path, text).unwrap();
    assert!(matches!(checked(&path).state, State::Bad { line: 1, .. }));
}

#[test]
fn rotation_keeps_the_chain_whoever_writes() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("audit.jsonl");
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let sink = sink(Keeping { max_bytes: Some(20_000), ..at(&path) });
                (0..250).for_each(|n| sink.record(&entry(n)).unwrap());
            });
        }
    });
    let files = series(&path).unwrap();
    assert!(files.len() > 5, "{files:?}");
    let report = checked(&path);
    assert_eq!((report.state.clone(), report.records, report.last), (State::Whole, 1000, 1000));
    let missing: Vec<PathBuf> =
        files.iter().enumerate().filter(|(at, _)| *at != 2).map(|(_, file)| file.clone()).collect();
    assert!(matches!(verify(&missing, 1, None).unwrap().state, State::Bad { .. }));
    // A server that starts when the newest file was taken away goes on where the one before ends.
    fs::remove_file(&path).unwrap();
    let last = verify(&series(&path).unwrap(), 1, None).unwrap();
    written(&path, 1);
    assert_eq!((checked(&path).state, checked(&path).last), (State::Whole, last.last + 1));
}

/// What must be vouched for stays in one file with the record that does it, whatever the size.
#[test]
fn a_torn_line_at_the_end_of_a_full_file_is_vouched_for() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("audit.jsonl");
    written(&path, 5);
    let mut torn = fs::read(&path).unwrap();
    torn.extend_from_slice(b"{\"v\":2,");
    fs::write(&path, torn).unwrap();
    let sink = sink(Keeping { max_bytes: Some(10), ..at(&path) });
    (0..3).for_each(|n| sink.record(&entry(n)).unwrap());
    let report = checked(&path);
    assert_eq!((report.state, report.last, report.vouched), (State::Whole, 8, 8));
    assert_eq!(series(&path).unwrap().len(), 3, "then it is put aside");
    let first = series(&path).unwrap().remove(0);
    assert_eq!(series(&first).unwrap(), std::slice::from_ref(&first), "by its own name, too");
    assert_eq!(checked(&first).state, State::Whole);
}

#[test]
fn a_file_without_a_chain_is_not_called_bad() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("audit.jsonl");
    fs::write(&path, "{\"v\":1}\n{\"v\":1}\n").unwrap();
    assert_eq!(checked(&path).state, State::Before { bytes: 16 });
    // Whatever its size, and whatever its end looks like.
    fs::write(&path, vec![b'x'; 3 << 20]).unwrap();
    written(&path, 2);
    let report = checked(&path);
    assert_eq!((report.state, report.vouched), (State::Whole, (3 << 20) + 1));
}

#[test]
fn a_checkpoint_file_that_was_torn_or_forged_or_is_no_file() {
    let folder = tempfile::tempdir().unwrap();
    let (path, points) = (folder.path().join("audit.jsonl"), folder.path().join("points"));
    let keeping = |file: &Path| Keeping {
        checkpoints: Some(Checkpoints { file: Some(file.to_owned()), syslog: false, every: 1 }),
        ..at(&path)
    };
    let first = sink(keeping(&points));
    first.record(&entry(1)).unwrap();
    let mut torn = fs::read(&points).unwrap();
    torn.extend_from_slice(b"{\"ts\":\"20");
    fs::write(&points, torn).unwrap();
    first.record(&entry(2)).unwrap();
    let check = || verify(std::slice::from_ref(&path), 1, Some(&points));
    let report = check().unwrap();
    assert_eq!((report.state, report.checkpoints), (State::Whole, 2));
    let mut forged = fs::read_to_string(&points).unwrap();
    let line = forged.lines().next().unwrap().to_owned();
    let hash = line.split_once("\"hash\":\"").unwrap().1.split_once('"').unwrap().0;
    forged.push_str(&line.replace(hash, &"0".repeat(64)));
    fs::write(&points, forged).unwrap();
    assert!(check().unwrap_err().to_string().contains("two things of record 1"));
    let link = folder.path().join("link");
    std::os::unix::fs::symlink("/dev/null", &link).unwrap();
    sink(keeping(&link)).record(&entry(3)).unwrap();
    assert_eq!(checked(&path).last, 3, "the record counts, though nobody else hears of it");
}

#[test]
fn a_tail_that_was_cut_off_is_found_by_a_checkpoint_only() {
    let folder = tempfile::tempdir().unwrap();
    let (path, points) = (folder.path().join("audit.jsonl"), folder.path().join("points"));
    let checkpoints = Checkpoints { file: Some(points.clone()), syslog: false, every: 4 };
    let sink = sink(Keeping { checkpoints: Some(checkpoints), ..at(&path) });
    (0..10).for_each(|n| sink.record(&entry(n)).unwrap());
    let text = fs::read_to_string(&path).unwrap();
    let first = |lines: usize| text.split_inclusive('\n').take(lines).collect::<String>();
    for (lines, found) in [(10, false), (8, false), (7, true), (3, true), (0, true)] {
        fs::write(&path, first(lines)).unwrap();
        let alone = verify(std::slice::from_ref(&path), 1, None).unwrap();
        assert_eq!(alone.state, State::Whole, "{lines} lines alone");
        let report = verify(std::slice::from_ref(&path), 1, Some(&points)).unwrap();
        assert_eq!(matches!(report.state, State::Bad { .. }), found, "{lines} lines: {report:?}");
    }
    // A chain that was written anew agrees with itself, but not with the checkpoints.
    fs::remove_file(&path).unwrap();
    written(&path, 10);
    assert_eq!(checked(&path).state, State::Whole);
    let report = verify(std::slice::from_ref(&path), 1, Some(&points)).unwrap();
    assert!(matches!(report.state, State::Bad { line: 4, .. }), "{report:?}");
}
