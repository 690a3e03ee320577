//! The sink from outside: what is in the file, what is on standard error, and what is refused at opening.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::sync::{Arc, Mutex, mpsc};

use sshepherd_audit::{
    Decision, Entry, Error, Event, Record, Sink, Source, State, Timestamp, verify,
};

mod tampering;
mod whole;
use sshepherd_model::{CommandHash, Outcome, Stopped};

/// A standard error that can be read.
#[derive(Clone, Default)]
struct Shared(Arc<Mutex<Vec<u8>>>);

impl Write for Shared {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A standard error whose reader is gone.
struct Broken;

impl Write for Broken {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        Err(io::Error::from(io::ErrorKind::BrokenPipe))
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A standard error that nobody reads, until the sender is dropped.
struct Stuck(mpsc::Receiver<()>);

impl Write for Stuck {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let _ = self.0.recv();
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn entry(event: Event) -> Entry {
    let source = Source { face: "mcp".into(), client: Some("evil\u{202e}\n\u{1b}[2J".into()) };
    Entry::new(Timestamp::from_millis(951_782_400_000), event, source)
}

fn records(path: &Path) -> Vec<Record> {
    let text = fs::read_to_string(path).unwrap();
    assert!(text.ends_with('\n'));
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn a_record_is_one_line_of_ascii_in_the_file_and_on_standard_error() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("deep/er/audit.jsonl");
    let stderr = Shared::default();
    let sink = Sink::open_with(Some(path.clone()), Box::new(stderr.clone())).unwrap();
    let mut decision = entry(Event::Decision);
    decision.decision = Some(Decision::Deny);
    decision.hash = Some(CommandHash::of("uptime"));
    decision.rules = vec!["rules[2]".into()];
    sink.record(&decision).unwrap();
    let end = entry(Event::ExecutionEnd)
        .with_outcome(&Outcome::Cancelled { stopped: Stopped::Unconfirmed });
    sink.clone().record(&end).unwrap();
    let instance = sink.instance().to_owned();
    drop(sink);
    let written = fs::read(&path).unwrap();
    assert_eq!(*stderr.0.lock().unwrap(), written);
    assert!(written.iter().all(|byte| *byte == b'\n' || (0x20..0x7f).contains(byte)));
    let zeros = "0".repeat(64);
    let first = String::from_utf8(written).unwrap().lines().next().unwrap().to_owned();
    assert_eq!(
        first,
        format!(
            r#"{{"v":2,"seq":1,"prev":"{zeros}","instance":"{instance}","ts":"2000-02-29T00:00:00.000Z","event":"decision","source":"mcp","client":"evil\u202e\n\u001b[2J","hash":"{}","decision":"deny","rules":["rules[2]"],"chain":"{}"}}"#,
            CommandHash::of("uptime"),
            records(&path)[0].own
        )
    );
    let back = records(&path);
    assert_eq!(back[0].entry, decision);
    assert_eq!((back[1].seq, back[1].entry.clone()), (2, end));
    assert_eq!(back[1].entry.stopped, Some(Stopped::Unconfirmed));
    assert_eq!((mode(&path), mode(path.parent().unwrap())), (0o600, 0o700));
}

#[test]
fn what_is_not_a_private_plain_file_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let open = |path: &Path| Sink::open_with(Some(path.to_owned()), Box::new(Broken));
    let target = folder.path().join("target");
    let link = folder.path().join("link");
    symlink(&target, &link).unwrap();
    assert!(matches!(open(&link), Err(Error::NotPlain { .. })), "a dangling link");
    assert!(!target.exists(), "and nothing was made behind it");
    fs::write(&target, "").unwrap();
    assert!(matches!(open(&link), Err(Error::NotPlain { .. })));
    assert!(matches!(open(folder.path()), Err(Error::NotPlain { .. })));
    for bad in [0o620, 0o602, 0o666] {
        fs::set_permissions(&target, fs::Permissions::from_mode(bad)).unwrap();
        assert!(matches!(open(&target), Err(Error::TooOpen { mode, .. }) if mode == bad));
    }
    fs::set_permissions(&target, fs::Permissions::from_mode(0o640)).unwrap();
    open(&target).unwrap();
    let below_a_file = target.join("audit.jsonl");
    assert!(matches!(open(&below_a_file), Err(Error::Open { .. })));
}

#[test]
fn a_standard_error_that_fails_or_blocks_holds_nobody_up() {
    let folder = tempfile::tempdir().unwrap();
    let broken = folder.path().join("broken");
    let sink = Sink::open_with(Some(broken.clone()), Box::new(Broken)).unwrap();
    for _ in 0..10 {
        sink.record(&entry(Event::Reload)).unwrap();
    }
    assert_eq!(records(&broken).len(), 10);
    let stuck = folder.path().join("stuck");
    let (release, held) = mpsc::channel();
    let sink = Sink::open_with(Some(stuck.clone()), Box::new(Stuck(held))).unwrap();
    for _ in 0..3000 {
        sink.record(&entry(Event::Reload)).unwrap();
    }
    assert_eq!(records(&stuck).len(), 3000, "more than the backlog, and all in the file");
    drop(release);
}

#[test]
fn several_sinks_share_a_file_without_mixing_lines() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("audit.jsonl");
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let sink = Sink::open_with(Some(path.clone()), Box::new(io::sink())).unwrap();
                for _ in 0..250 {
                    sink.record(&entry(Event::ExecutionStart)).unwrap();
                }
            });
        }
    });
    let seqs: Vec<u64> = records(&path).iter().map(|record| record.seq).collect();
    assert_eq!(seqs, (1..=1000).collect::<Vec<_>>(), "one sequence for all of them");
    assert_eq!(verify(&[path], 1, None).unwrap().state, State::Whole);
}

#[test]
fn long_texts_are_cut_and_marked() {
    let stderr = Shared::default();
    let sink = Sink::open_with(None, Box::new(stderr.clone())).unwrap();
    let mut long = entry(Event::Decision);
    long.reason = Some("ä".repeat(1_000_000));
    sink.record(&long).unwrap();
    drop(sink);
    let text = String::from_utf8(stderr.0.lock().unwrap().clone()).unwrap();
    let record: Record = serde_json::from_str(text.trim_end()).unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(record.entry.reason, Some("ä".repeat(1024) + "…"));
}
