//! Output: while it runs, both streams, over the cap; and exit status, signal and input.

use sshepherd_engine::policy::LimitPatch;
use sshepherd_engine::store::{Lookup, State, StreamFilter};
use sshepherd_model::{Outcome, Request, Stream};
use sshepherd_testkit::Sshd;

use crate::site::{Plan, Site, alias, origin};

#[tokio::test(flavor = "multi_thread")]
async fn a_command_answers_with_its_status_and_both_streams_apart() {
    let sshd = Sshd::start();
    let site = Site::new(&sshd);
    let finished = site.run("echo out; echo err >&2; exit 7").await;
    assert_eq!(finished.outcome, Outcome::Exited { status: 7 });
    assert_eq!(finished.task.status, State::Failed);
    assert!(finished.task.raw_shell, "the raw shell is said");
    for (filter, wanted) in [(StreamFilter::Stdout, "out\n"), (StreamFilter::Stderr, "err\n")] {
        let read = site.engine.page(&finished.task.id, 0, 1024, filter).await.unwrap();
        let Lookup::Found(page) = read else { panic!("gone") };
        let bytes: Vec<u8> = page.chunks.into_iter().flat_map(|chunk| chunk.bytes).collect();
        assert_eq!(String::from_utf8(bytes).unwrap(), wanted);
    }
    let plain = site.run("echo plain").await;
    assert_eq!(plain.task.status, State::Completed);
    assert!(!plain.task.raw_shell);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signal_is_no_exit_status() {
    let sshd = Sshd::start();
    let site = Site::new(&sshd);
    let finished = site.run("kill -SEGV $$").await;
    assert_eq!(finished.outcome, Outcome::Signalled { signal: "SEGV".to_owned().into() });
}

#[tokio::test(flavor = "multi_thread")]
async fn seed_defect_1_output_is_there_while_the_task_runs() {
    let sshd = Sshd::start();
    let site = Site::new(&sshd);
    let id = site.start("echo first; sleep 1000").await;
    assert_eq!(site.first_line(&id).await, "first");
    let Lookup::Found(tail) = site.engine.tail_lines(&id, 50, 4096).await.unwrap() else {
        panic!("gone")
    };
    assert_eq!((tail.lines, tail.total_lines), (vec![b"first".to_vec()], 1));
    site.engine.cancel(&id, &origin()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn seed_defect_5_output_over_the_cap_keeps_both_ends_and_counts_the_rest() {
    let sshd = Sshd::start();
    let limits = LimitPatch {
        max_output_bytes: Some(65_536),
        max_seconds: Some(120),
        ..LimitPatch::default()
    };
    let site = Site::with(&sshd, Plan { limits, ..Plan::default() });
    let finished =
        site.run("echo begin; head -c 52428800 /dev/zero | tr '\\0' x; echo; echo end").await;
    assert_eq!(finished.outcome, Outcome::Exited { status: 0 });
    let total = 6 + 52_428_800 + 1 + 4;
    assert_eq!(finished.task.output.bytes(), total);
    let Lookup::Found(both) =
        site.engine.head_tail(&finished.task.id, 65_536, StreamFilter::Both).await.unwrap()
    else {
        panic!("gone")
    };
    assert!(both.head[0].bytes.starts_with(b"begin\n"));
    assert!(both.tail.last().unwrap().bytes.ends_with(b"x\nend\n"));
    let kept: u64 = both.head.iter().chain(&both.tail).map(|chunk| chunk.bytes.len() as u64).sum();
    assert_eq!(both.missing, total - kept);
    assert!(kept <= 65_536 && kept > 60_000, "{kept}");
}

#[tokio::test(flavor = "multi_thread")]
async fn seed_defect_5_the_streams_keep_their_order_of_arrival() {
    let sshd = Sshd::start();
    let site = Site::new(&sshd);
    // The pauses are part of the command: they put each write into a packet of its own.
    let finished =
        site.run("for i in 1 2 3; do echo o$i; sleep 0.2; echo e$i >&2; sleep 0.2; done").await;
    let read = site.engine.page(&finished.task.id, 0, 1024, StreamFilter::Both).await.unwrap();
    let Lookup::Found(page) = read else { panic!("gone") };
    let seen: Vec<(Stream, String)> = page
        .chunks
        .into_iter()
        .map(|chunk| (chunk.stream, String::from_utf8(chunk.bytes).unwrap()))
        .collect();
    let expected: Vec<(Stream, String)> = (1..=3)
        .flat_map(|i| [(Stream::Stdout, format!("o{i}\n")), (Stream::Stderr, format!("e{i}\n"))])
        .collect();
    assert_eq!(seen, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn binary_output_arrives_whole() {
    let sshd = Sshd::start();
    let site = Site::new(&sshd);
    let finished = site.run("printf '\\000\\377\\001\\200x'").await;
    let read = site.engine.page(&finished.task.id, 0, 64, StreamFilter::Both).await.unwrap();
    let Lookup::Found(page) = read else { panic!("gone") };
    let bytes: Vec<u8> = page.chunks.into_iter().flat_map(|chunk| chunk.bytes).collect();
    assert_eq!(bytes, [0, 255, 1, 128, b'x']);
}

#[tokio::test(flavor = "multi_thread")]
async fn seed_defect_14_input_is_closed_unless_given() {
    let sshd = Sshd::start();
    let site = Site::new(&sshd);
    let finished = site.run("cat").await;
    assert_eq!(finished.outcome, Outcome::Exited { status: 0 });
    let mut request = Request::new("cat").unwrap();
    request.stdin = Some("given\n".repeat(20_000));
    let ticket = site.engine.submit(&alias(), &request, origin()).await.unwrap();
    let finished = site.end(&ticket.task_id).await;
    assert_eq!(finished.outcome, Outcome::Exited { status: 0 });
    assert_eq!(finished.task.output.bytes(), 120_000);
}
