//! What a record costs: `cargo run --release -p sshepherd-audit --example measure`.
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a measurement")]

use std::time::Instant;

use sshepherd_audit::{Entry, Event, Keeping, Sink, Source, Timestamp};

const RECORDS: u32 = 20_000;

fn main() {
    for (what, writers, sync) in
        [("one writer", 1, false), ("four writers", 4, false), ("flushed to the disk", 1, true)]
    {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.jsonl");
        let records = if sync { RECORDS / 100 } else { RECORDS / writers };
        let began = Instant::now();
        std::thread::scope(|scope| {
            for _ in 0..writers {
                scope.spawn(|| {
                    let keeping = Keeping { path: Some(path.clone()), sync, ..Keeping::default() };
                    let sink = Sink::open_beside(keeping, Box::new(std::io::sink())).unwrap();
                    let source = Source {
                        face: "mcp".to_owned(),
                        client: Some("claude-code 2.1".to_owned()),
                    };
                    let entry = Entry::new(Timestamp::from_millis(0), Event::Decision, source);
                    (0..records).for_each(|_| sink.record(&entry).unwrap());
                });
            }
        });
        println!(
            "{what}: {:.1} us a record",
            began.elapsed().as_secs_f64() * 1e6 / f64::from(records * writers)
        );
    }
}
