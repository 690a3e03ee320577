//! Servers that say half of what is waited for and then write without end, or take nothing: little is kept of it, and every wait
//! is over in time.

use std::sync::Arc;
use std::time::{Duration, Instant};

use sshepherd_model::{LoginShell, Stopped};
use sshepherd_ssh::job::{JobEvent, JobSite, Launched, settle};
use sshepherd_ssh::{
    Deadlines, Event, Exec, Interactive, Opening, Size, Target, Terminal, TerminalEvent,
};
use tokio::sync::watch;

use crate::common::{LIMIT, cookie, exec, finish, pool, start};
use crate::job::spec;
use crate::raw::{Body, Raw, RawServer, message, nonce};

/// The time of a request; every wait is over at this and 5 s.
const REQUEST: Duration = Duration::from_secs(2);
const SLACK: Duration = Duration::from_secs(5);

const WINDOW: u32 = 1 << 30;
const PIECE: usize = 32 * 1024;
/// Far more than is kept anywhere, and far less than a flood brings in the time.
const MOST_TAKEN: usize = 48 * 1024 * 1024;

/// What a server says when it is asked to run something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Half {
    /// The first line of a job's script, then its standard output without end.
    Start,
    /// The words of a job on standard error without the first line, then standard output without end.
    Words,
    /// The beginning of each of our lines.
    Beginning,
    /// Nothing of ours.
    Noise,
}

/// A server that answers every command by `half` and a flood; how many bytes it got rid of.
async fn flooding(half: Half, errors: bool) -> (RawServer, watch::Receiver<usize>) {
    let (sent, taken) = watch::channel(0_usize);
    let server = RawServer::start(move |_, stream, keys| {
        let sent = sent.clone();
        async move {
            let mut raw = Raw::greet(stream).await?;
            raw.exchange_keys(&keys.known).await?;
            raw.let_in(WINDOW, 32 * 1024).await?;
            let mut request = raw.wait_for(message::CHANNEL_REQUEST).await?;
            if request.windows(7).any(|word| word == b"pty-req") {
                raw.write(&raw.on_channel(message::CHANNEL_SUCCESS)).await?;
                request = raw.wait_for(message::CHANNEL_REQUEST).await?;
            }
            raw.write(&raw.on_channel(message::CHANNEL_SUCCESS)).await?;
            let nonce = nonce(&request);
            let out = |raw: &Raw, text: &[u8]| raw.on_channel(message::CHANNEL_DATA).text(text);
            let err = |raw: &Raw, text: &[u8]| {
                raw.on_channel(message::CHANNEL_EXTENDED_DATA).number(1).text(text)
            };
            let first: Vec<Body> = match half {
                Half::Start => vec![out(&raw, format!("sshepherd-{nonce} start\n").as_bytes())],
                Half::Words => {
                    vec![err(&raw, format!("sshepherd-{nonce} job 1 2 3 /x\n").as_bytes())]
                }
                Half::Beginning => {
                    let line = format!("sshepherd-{nonce} ");
                    vec![out(&raw, line.as_bytes()), err(&raw, line.as_bytes())]
                }
                Half::Noise => Vec::new(),
            };
            for body in &first {
                raw.write(body).await?;
            }
            let piece = [b'7'; PIECE];
            let flood = if errors { err(&raw, &piece) } else { out(&raw, &piece) };
            loop {
                raw.write(&flood).await?;
                tokio::task::yield_now().await;
                sent.send_modify(|bytes| *bytes += PIECE);
            }
        }
    })
    .await;
    (server, taken)
}

fn hasty(server: &RawServer) -> Arc<Target> {
    let deadlines = Deadlines { exec: REQUEST, channel: REQUEST, ..Deadlines::default() };
    Arc::new(Target { login_shell: LoginShell::Posix, deadlines, ..server.target() })
}

const HALVES: [Half; 4] = [Half::Start, Half::Words, Half::Beginning, Half::Noise];

/// On 2752bb1 half of a job's greeting was followed by whatever came, for ever and all of it kept.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn half_of_a_jobs_greeting_and_a_flood_end_soon_and_are_not_kept() {
    for (half, errors) in HALVES.into_iter().flat_map(|half| [(half, false), (half, true)]) {
        let (server, taken) = flooding(half, errors).await;
        let (pool, target) = (pool(), hasty(&server));
        let ready = pool.open(Arc::clone(&target)).await.unwrap();
        let began = Instant::now();
        let started = tokio::time::timeout(LIMIT, ready.start_job(spec("any"))).await.unwrap();
        assert!(began.elapsed() < 2 * REQUEST + SLACK, "{half:?} {errors}: {:?}", began.elapsed());
        // The words of a job that follow its first line would be a whole greeting.
        assert!(!matches!(started, Ok(Launched::Job(_))), "{half:?} {errors}");
        drop(started);
        assert!(*taken.borrow() < MOST_TAKEN, "{half:?} {errors}: {}", *taken.borrow());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_question_about_a_job_that_is_answered_by_a_flood_is_a_failure_soon() {
    for half in HALVES {
        let (server, taken) = flooding(half, false).await;
        let began = Instant::now();
        let pool = pool();
        let unknown = JobSite::unknown();
        let asked = settle(&pool, hasty(&server), "test:0:1", &unknown);
        let settled = tokio::time::timeout(LIMIT, asked).await.unwrap();
        assert!(settled.is_err(), "{half:?}: {settled:?}");
        assert!(began.elapsed() < 2 * REQUEST + SLACK, "{half:?}: {:?}", began.elapsed());
        assert!(*taken.borrow() < MOST_TAKEN, "{half:?}: {}", *taken.borrow());
    }
}

/// A stop of a command whose host answers everything by a flood ends without a claim, in its grace and a second.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_stop_on_a_host_that_floods_ends_unconfirmed_and_soon() {
    let grace = Duration::from_secs(1);
    for half in [Half::Beginning, Half::Noise] {
        let (server, _taken) = flooding(half, false).await;
        let target = Target { login_shell: LoginShell::Posix, ..server.target() };
        let (pool, target) = (pool(), Arc::new(target));
        let mut running = start(&pool, &target, exec("any")).await;
        let stopper = running.stopper();
        let reading = tokio::spawn(async move { while running.next().await.is_some() {} });
        let began = Instant::now();
        assert_eq!(stopper.stop(grace).await, Stopped::Unconfirmed);
        assert!(began.elapsed() < grace + SLACK, "{half:?}: {:?}", began.elapsed());
        reading.abort();
    }
}

async fn opened(target: &Arc<Target>) -> Terminal {
    let opening = Opening {
        program: Interactive::LoginShell,
        env: Vec::new(),
        term: "xterm".to_owned(),
        size: Size { cols: 80, rows: 24 },
        cookie: cookie(),
    };
    pool().open(Arc::clone(target)).await.unwrap().terminal(opening).await.unwrap()
}

/// Whatever a terminal's host says instead of its greeting is output from the first, and none of it is held back.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn half_of_a_terminals_greeting_is_output() {
    for half in [Half::Beginning, Half::Noise] {
        let (server, _taken) = flooding(half, false).await;
        let target = Target { login_shell: LoginShell::Posix, ..server.target() };
        let mut terminal = opened(&Arc::new(target)).await;
        let mut read = 0;
        while read < 4 * PIECE {
            match tokio::time::timeout(LIMIT, terminal.next()).await.unwrap() {
                Some(TerminalEvent::Output(bytes)) => read += bytes.len(),
                other => panic!("{half:?}: {other:?}"),
            }
        }
    }
}

/// A server that confirms nothing and writes: by number or by size it is too much soon, by time otherwise.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_comes_before_a_confirmation_is_bounded_in_number_size_and_time() {
    for size in [0, 1, PIECE, 60_000] {
        let server = RawServer::start(move |_, stream, keys| async move {
            let mut raw = Raw::greet(stream).await?;
            raw.exchange_keys(&keys.known).await?;
            raw.let_in(WINDOW, 32 * 1024).await?;
            raw.wait_for(message::CHANNEL_REQUEST).await?;
            let body = raw.on_channel(message::CHANNEL_DATA).text(&vec![b'x'; size]);
            loop {
                raw.write(&body).await?;
                tokio::task::yield_now().await;
            }
        })
        .await;
        let ready = pool().open(hasty(&server)).await.unwrap();
        let began = Instant::now();
        let ran = tokio::time::timeout(LIMIT, ready.exec(exec("any"))).await.unwrap();
        assert!(ran.is_err(), "{size}");
        assert!(began.elapsed() < REQUEST + SLACK, "{size}: {:?}", began.elapsed());
    }
}

/// A server that reads nothing more cannot hold up a request for longer than its time.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_server_that_reads_nothing_ends_a_long_input_by_a_stop() {
    let server = RawServer::start(async |_, stream, keys| {
        let mut raw = Raw::greet(stream).await?;
        raw.exchange_keys(&keys.known).await?;
        raw.let_in(WINDOW, 32 * 1024).await?;
        raw.take_command().await?;
        std::future::pending().await
    })
    .await;
    let (pool, target) = (pool(), hasty(&server));
    let stdin = Some(bytes::Bytes::from(vec![b'x'; 64 << 20]));
    let ready = pool.open(Arc::clone(&target)).await.unwrap();
    let mut running = ready.exec(Exec { stdin, ..exec("any") }).await.unwrap();
    let stopper = running.stopper();
    let reading = tokio::spawn(async move { finish(&mut running).await.end });
    let began = Instant::now();
    assert_eq!(stopper.stop(Duration::from_secs(1)).await, Stopped::Unconfirmed);
    assert!(began.elapsed() < Duration::from_secs(1) + SLACK, "{:?}", began.elapsed());
    reading.abort();
}

/// The largest packet that the library takes is 256 KiB, of which many would wait for a reader: more than twice what we ask
/// for ends the connection.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_piece_that_is_larger_than_any_may_be_ends_the_connection() {
    let server = RawServer::start(async |_, stream, keys| {
        let mut raw = Raw::greet(stream).await?;
        raw.exchange_keys(&keys.known).await?;
        raw.let_in(WINDOW, 32 * 1024).await?;
        raw.take_command().await?;
        let body = raw.on_channel(message::CHANNEL_DATA).text(&[b'x'; 200 * 1024]);
        loop {
            raw.write(&body).await?;
            tokio::task::yield_now().await;
        }
    })
    .await;
    let mut running = start(&pool(), &Arc::new(server.target()), exec("any")).await;
    let ran = tokio::time::timeout(LIMIT, finish(&mut running)).await.unwrap();
    let Event::Lost { detail } = &ran.end else { panic!("{:?}", ran.end) };
    assert!(detail.contains("sent 204800 bytes at once"), "{detail}");
}

/// A job whose stream floods is read to what the caller wants, and no further.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_whole_greeting_makes_a_job_that_is_followed_as_it_is_read() {
    let server = RawServer::start(async |_, stream, keys| {
        let mut raw = Raw::greet(stream).await?;
        raw.exchange_keys(&keys.known).await?;
        raw.let_in(WINDOW, 32 * 1024).await?;
        let request = raw.wait_for(message::CHANNEL_REQUEST).await?;
        raw.write(&raw.on_channel(message::CHANNEL_SUCCESS)).await?;
        let nonce = nonce(&request);
        let start = format!("sshepherd-{nonce} start\n");
        raw.write(&raw.on_channel(message::CHANNEL_DATA).text(start.as_bytes())).await?;
        let words = format!("sshepherd-{nonce} job 1 2 3 /x\n");
        let body = raw.on_channel(message::CHANNEL_EXTENDED_DATA).number(1);
        raw.write(&body.text(words.as_bytes())).await?;
        let flood = raw.on_channel(message::CHANNEL_DATA).text(&[b'x'; PIECE]);
        loop {
            raw.write(&flood).await?;
            tokio::task::yield_now().await;
        }
    })
    .await;
    let (pool, target) = (pool(), hasty(&server));
    let ready = pool.open(Arc::clone(&target)).await.unwrap();
    let mut running = match ready.start_job(spec("any")).await {
        Ok(Launched::Job(running)) => running,
        Ok(_) => panic!("no job"),
        Err(outcome) => panic!("{outcome:?}"),
    };
    for _ in 0..100 {
        let event = tokio::time::timeout(LIMIT, running.next()).await.unwrap();
        assert!(matches!(event, Some(JobEvent::Output { .. })), "{event:?}");
    }
}
