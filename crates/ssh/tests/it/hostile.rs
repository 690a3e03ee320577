//! Servers that lie, flood, trickle and fall silent: each fails at a named step, in time, and nobody else waits.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use sshepherd_model::{Phase, Stopped, Stream};
use sshepherd_ssh::{Deadlines, Event, Exec, Target};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::sync::watch;

use crate::asks::{Fake, Nature};
use crate::common::{LIMIT, Ran, exec, finish, pool, refusal, run, start};
use crate::raw::{Body, HostKeys, Raw, RawServer, message};

const SHORT: Duration = Duration::from_millis(300);
/// A window that no test here uses up, and the usual packet.
const WINDOW: u32 = 1 << 30;
const PACKET: u32 = 32 * 1024;

/// Deadlines that come soon for one phase, and late for the others.
fn soon(phase: Phase) -> Deadlines {
    let limit = |of| if phase == of { SHORT } else { LIMIT };
    Deadlines {
        dial: LIMIT,
        banner: limit(Phase::Banner),
        key_exchange: limit(Phase::KeyExchange),
        auth: limit(Phase::Auth),
        person: Duration::ZERO,
        channel: limit(Phase::Channel),
        exec: limit(Phase::Exec),
        shell: limit(Phase::Exec),
    }
}

/// A connection of the known host up to a running command.
async fn commanded(stream: TcpStream, keys: &HostKeys) -> Option<Raw> {
    let mut raw = Raw::greet(stream).await?;
    raw.exchange_keys(&keys.known).await?;
    raw.let_in(WINDOW, PACKET).await?;
    raw.take_command().await?;
    Some(raw)
}

/// Tells the end and waits until the client has hung up.
async fn end(mut raw: Raw, status: u32) -> Option<()> {
    raw.write(&raw.exit_status(status)).await?;
    raw.write(&raw.on_channel(message::CHANNEL_CLOSE)).await?;
    silence(raw).await
}

/// Says nothing more; reads until the client hangs up.
async fn silence(mut raw: Raw) -> Option<()> {
    loop {
        raw.next().await?;
    }
}

/// What a command on a raw server came to.
async fn ran(server: &RawServer) -> Ran {
    let mut running = start(&pool(), &Arc::new(server.target()), exec("any")).await;
    tokio::time::timeout(LIMIT, finish(&mut running)).await.unwrap()
}

#[tokio::test]
async fn a_version_line_that_trickles_in_is_out_of_time() {
    let server = RawServer::start(async |_, mut stream, _| {
        loop {
            stream.write_all(b"x").await.ok()?;
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    let target = Target { deadlines: soon(Phase::Banner), ..server.target() };
    let failure = refusal(target).await;
    assert_eq!(failure.phase, Phase::Banner, "{failure:?}");
    assert!(failure.detail.contains("said nothing for too long"), "{failure:?}");
}

#[tokio::test]
async fn a_server_that_stops_after_its_list_of_algorithms_fails_in_the_key_exchange() {
    let server = RawServer::start(async |_, stream, _| {
        let mut raw = Raw::greet(stream).await?;
        raw.write(&Raw::kexinit()).await?;
        silence(raw).await
    })
    .await;
    let target = Target { deadlines: soon(Phase::KeyExchange), ..server.target() };
    assert_eq!(refusal(target).await.phase, Phase::KeyExchange);
}

#[tokio::test]
async fn a_server_that_stops_after_its_new_keys_fails_in_the_log_in() {
    let server = RawServer::start(async |_, stream, keys| {
        let mut raw = Raw::greet(stream).await?;
        raw.exchange_keys(&keys.known).await?;
        silence(raw).await
    })
    .await;
    let target = Target { deadlines: soon(Phase::Auth), ..server.target() };
    let failure = refusal(target).await;
    assert_eq!(failure.phase, Phase::Auth, "{failure:?}");
    assert!(failure.detail.contains("did not finish the log-in"), "{failure:?}");
}

/// Messages that are passed over keep a connection busy for ever: they are counted.
#[tokio::test]
async fn a_flood_before_the_keys_is_ended_by_its_size() {
    for kind in [message::IGNORE, message::DEBUG] {
        let server = RawServer::start(move |_, stream, _| async move {
            let mut raw = Raw::greet(stream).await?;
            let body = Body::new(kind).text(&[0; 1000]);
            loop {
                raw.write(&body).await?;
            }
        })
        .await;
        let target = Target { deadlines: soon(Phase::Dial), ..server.target() };
        let failure = refusal(target).await;
        assert_eq!(failure.phase, Phase::KeyExchange, "{failure:?}");
        assert!(failure.detail.contains("sent more than 1048576 bytes"), "{failure:?}");
    }
}

#[tokio::test]
async fn a_flood_of_banners_in_the_log_in_is_ended_by_its_size() {
    let banner = Body::new(message::AUTH_BANNER).text(&[b'x'; 4000]).text(b"");
    let ignored = Body::new(message::IGNORE).text(&[0; 4000]);
    for body in [banner, ignored] {
        let server = RawServer::start(move |_, stream, keys| {
            let body = body.clone();
            async move {
                let mut raw = Raw::greet(stream).await?;
                raw.exchange_keys(&keys.known).await?;
                raw.asked_to_log_in().await?;
                loop {
                    raw.write(&body).await?;
                }
            }
        })
        .await;
        let target = Target { deadlines: soon(Phase::Dial), ..server.target() };
        let failure = refusal(target).await;
        assert_eq!(failure.phase, Phase::Auth, "{failure:?}");
        assert!(failure.detail.contains("sent more than 1048576 bytes"), "{failure:?}");
    }
}

#[tokio::test]
async fn a_packet_of_four_gigabytes_before_the_keys_is_refused_at_once() {
    let server = RawServer::start(async |_, stream, _| {
        let mut raw = Raw::greet(stream).await?;
        raw.write_bytes(&[0xff; 64]).await?;
        silence(raw).await
    })
    .await;
    let failure = refusal(Target { deadlines: soon(Phase::Dial), ..server.target() }).await;
    assert_eq!(failure.phase, Phase::KeyExchange, "{failure:?}");
    assert!(failure.detail.contains("4294967295"), "{failure:?}");
}

#[tokio::test]
async fn a_bad_length_or_a_bad_tag_loses_the_command() {
    for flawed in [Raw::pack_with_a_huge_length, Raw::pack_with_a_bad_tag] {
        let server = RawServer::start(move |_, stream, keys| async move {
            let mut raw = commanded(stream, &keys).await?;
            let body = raw.on_channel(message::CHANNEL_DATA).text(b"forged\n");
            let packet = flawed(&mut raw, &body.0);
            raw.write_bytes(&packet).await?;
            silence(raw).await
        })
        .await;
        let ran = ran(&server).await;
        assert!(ran.out.is_empty(), "{ran:?}");
        assert!(matches!(ran.end, Event::Lost { .. }), "{ran:?}");
    }
}

/// Some ten thousand messages that a command's owner never sees, beside which its output and its end come through.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn floods_during_a_command_do_not_touch_it_or_others() {
    let beside = Fake::start(Nature::default()).await;
    let (others, other) = (pool(), Arc::new(beside.target()));
    let open = |kind: &[u8]| {
        Body::new(message::CHANNEL_OPEN).text(kind).number(9).number(WINDOW).number(PACKET)
    };
    let place = |body: Body| body.text(b"127.0.0.1").number(22).text(b"127.0.0.1").number(1);
    for (name, body) in [
        ("ignore", Body::new(message::IGNORE).text(&[0; 100])),
        ("debug", Body::new(message::DEBUG).byte(1).text(b"look").text(b"")),
        // The client calls its first channel 1.
        ("window", Body::new(message::WINDOW_ADJUST).number(1).number(u32::MAX)),
        ("unknown channel", Body::new(message::WINDOW_ADJUST).number(77).number(u32::MAX)),
        ("forwarded", place(open(b"forwarded-tcpip"))),
        ("agent", open(b"auth-agent@openssh.com")),
        ("odd", open(b"no-such-kind")),
        ("request", Body::new(message::GLOBAL_REQUEST).text(b"no-such-request").byte(1)),
    ] {
        let server = RawServer::start(move |_, stream, keys| {
            let body = body.clone();
            async move {
                let mut raw = commanded(stream, &keys).await?;
                for _ in 0..10_000 {
                    raw.write(&body).await?;
                }
                raw.write(&raw.on_channel(message::CHANNEL_DATA).text(b"out\n")).await?;
                end(raw, 5).await
            }
        })
        .await;
        let (ran, near) = tokio::join!(ran(&server), run(&others, &other, "any"));
        assert_eq!(ran, Ran::said("out\n", "", 5), "{name}");
        assert_eq!(near.end, Event::Exited { status: 0 }, "{name}");
    }
}

/// How many bytes of data, in packets of `size`, a client takes whose reader does not read.
async fn taken_unread(extended: bool, size: usize) {
    let (sent, mut taken) = watch::channel(0_usize);
    let server = RawServer::start(move |_, stream, keys| {
        let sent = sent.clone();
        async move {
            let mut raw = commanded(stream, &keys).await?;
            // The window is not heeded: 2 MiB were granted.
            let body = if extended {
                raw.on_channel(message::CHANNEL_EXTENDED_DATA).number(1)
            } else {
                raw.on_channel(message::CHANNEL_DATA)
            };
            let body = body.text(&vec![b'x'; size]);
            loop {
                raw.write(&body).await?;
                sent.send_modify(|bytes| *bytes += size);
            }
        }
    })
    .await;
    let beside = Fake::start(Nature::default()).await;
    let mut running = start(&pool(), &Arc::new(server.target()), exec("any")).await;
    // Until nothing more is taken.
    while tokio::time::timeout(Duration::from_secs(2), taken.changed()).await.is_ok() {}
    let bytes = *taken.borrow();
    // 256 messages wait for the reader; the kernel's buffers of two sockets are beside it.
    assert!(bytes >= 256 * size, "{bytes}");
    assert!(bytes <= 256 * size + 16 * 1024 * 1024, "{bytes}");
    let near = run(&pool(), &Arc::new(beside.target()), "any").await;
    assert_eq!(near.end, Event::Exited { status: 0 });
    // It flows again, and in order of arrival, as soon as someone reads.
    let mut read = 0;
    while read < bytes {
        match tokio::time::timeout(LIMIT, running.next()).await.unwrap() {
            Some(Event::Output { stream, bytes }) => {
                assert_eq!(stream == Stream::Stderr, extended);
                read += bytes.len();
            }
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn data_beyond_the_window_stops_at_what_may_wait_for_a_reader() {
    taken_unread(false, 32 * 1024).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn endless_errors_stop_at_what_may_wait_for_a_reader() {
    taken_unread(true, 32 * 1024).await;
}

#[tokio::test]
async fn an_exit_status_without_a_close_is_no_end_and_a_stop_is_confirmed_by_it() {
    let server = RawServer::start(async |_, stream, keys| {
        let mut raw = commanded(stream, &keys).await?;
        raw.write(&raw.on_channel(message::CHANNEL_DATA).text(b"out\n")).await?;
        raw.write(&raw.exit_status(0)).await?;
        silence(raw).await
    })
    .await;
    let mut running = start(&pool(), &Arc::new(server.target()), exec("any")).await;
    let first = tokio::time::timeout(LIMIT, running.next()).await.unwrap();
    assert!(matches!(first, Some(Event::Output { .. })), "{first:?}");
    // Whoever holds the channel may still write, as a child in the background does.
    assert!(tokio::time::timeout(SHORT, running.next()).await.is_err());
    let stopping = tokio::time::timeout(LIMIT, running.stopper().stop(SHORT));
    assert_eq!(stopping.await.unwrap(), Stopped::Confirmed);
}

#[tokio::test]
async fn a_server_that_falls_silent_after_its_confirmation_is_stopped_unconfirmed() {
    let server = RawServer::start(async |_, stream, keys| {
        let raw = commanded(stream, &keys).await?;
        silence(raw).await
    })
    .await;
    let mut running = start(&pool(), &Arc::new(server.target()), exec("any")).await;
    assert!(tokio::time::timeout(SHORT, running.next()).await.is_err());
    let stopping = tokio::time::timeout(LIMIT, running.stopper().stop(SHORT));
    assert_eq!(stopping.await.unwrap(), Stopped::Unconfirmed);
}

/// As `ssh` does: the last word counts, and what comes until the close is output.
#[tokio::test]
async fn output_after_an_exit_status_is_kept_and_the_last_status_counts() {
    let server = RawServer::start(async |_, stream, keys| {
        let mut raw = commanded(stream, &keys).await?;
        raw.write(&raw.exit_status(3)).await?;
        raw.write(&raw.on_channel(message::CHANNEL_DATA).text(b"late\n")).await?;
        end(raw, 4).await
    })
    .await;
    assert_eq!(ran(&server).await, Ran::said("late\n", "", 4));
}

/// The sizes that the server names bound what is sent to it, and nothing else.
#[tokio::test]
async fn absurd_sizes_in_a_confirmation_do_no_harm() {
    let input = b"0123456789";
    for (window, packet, expected) in
        [(u32::MAX, u32::MAX, 1), (u32::MAX, 1, 10), (10, u32::MAX, 1), (0, 1000, 0)]
    {
        let server = RawServer::start(move |_, stream, keys| async move {
            let mut raw = Raw::greet(stream).await?;
            raw.exchange_keys(&keys.known).await?;
            raw.let_in(window, packet).await?;
            raw.take_command().await?;
            let mut count = 0;
            while count < expected {
                raw.wait_for(message::CHANNEL_DATA).await?;
                count += 1;
            }
            end(raw, count).await
        })
        .await;
        let exec = Exec { stdin: Some(Bytes::from_static(input)), ..exec("any") };
        let mut running = start(&pool(), &Arc::new(server.target()), exec).await;
        let ran = tokio::time::timeout(LIMIT, finish(&mut running)).await.unwrap();
        assert_eq!(ran, Ran::said("", "", expected), "{window} {packet}");
    }
}

#[tokio::test]
async fn a_channel_that_takes_packets_of_no_size_is_refused() {
    let server = RawServer::start(async |_, stream, keys| {
        let mut raw = Raw::greet(stream).await?;
        raw.exchange_keys(&keys.known).await?;
        raw.let_in(WINDOW, 0).await?;
        silence(raw).await
    })
    .await;
    assert_eq!(refusal(server.target()).await.phase, Phase::Channel);
}

/// Counts warnings of this crate.
struct Warnings(Arc<AtomicUsize>);

impl tracing::Subscriber for Warnings {
    fn enabled(&self, about: &tracing::Metadata<'_>) -> bool {
        *about.level() == tracing::Level::WARN && about.target().starts_with("sshepherd_ssh")
    }

    fn new_span(&self, _: &tracing::span::Attributes<'_>) -> tracing::span::Id {
        tracing::span::Id::from_u64(1)
    }

    fn event(&self, _: &tracing::Event<'_>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }

    fn record(&self, _: &tracing::span::Id, _: &tracing::span::Record<'_>) {}
    fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}
    fn enter(&self, _: &tracing::span::Id) {}
    fn exit(&self, _: &tracing::span::Id) {}
}

#[tokio::test]
async fn a_flood_of_channels_is_one_line_in_the_log() {
    let server = RawServer::start(async |_, stream, keys| {
        let mut raw = commanded(stream, &keys).await?;
        let open = Body::new(message::CHANNEL_OPEN).text(b"auth-agent@openssh.com");
        let open = open.number(9).number(WINDOW).number(PACKET);
        for _ in 0..100 {
            raw.write(&open).await?;
        }
        end(raw, 0).await
    })
    .await;
    let count = Arc::new(AtomicUsize::new(0));
    let _log = tracing::subscriber::set_default(Warnings(Arc::clone(&count)));
    assert_eq!(ran(&server).await.end, Event::Exited { status: 0 });
    assert_eq!(count.load(Ordering::SeqCst), 1);
}
