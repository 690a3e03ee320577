//! Which host key counts: the one of every connection, and no other later on the same connection.

use std::sync::Arc;

use sshepherd_model::Phase;
use sshepherd_ssh::Event;
use tokio::net::TcpStream;
use tokio::sync::mpsc;

use crate::common::{LIMIT, Ran, exec, finish, pool, refusal, start};
use crate::raw::{Body, HostKeys, Raw, RawServer, message};

/// A connection up to a running command, with the first host key.
async fn up_to_a_command(stream: TcpStream, keys: &HostKeys) -> Option<Raw> {
    let mut raw = Raw::greet(stream).await?;
    raw.exchange_keys(&keys.known).await?;
    raw.let_in(1 << 20, 1 << 15).await?;
    raw.take_command().await?;
    Some(raw)
}

#[tokio::test]
async fn the_raw_server_is_one_that_works() {
    let server = RawServer::start(async |_, stream, keys| {
        let mut raw = up_to_a_command(stream, &keys).await?;
        raw.write(&raw.on_channel(message::CHANNEL_DATA).text(b"hello\n")).await?;
        raw.write(&raw.exit_status(3)).await?;
        raw.write(&raw.on_channel(message::CHANNEL_CLOSE)).await?;
        raw.next().await.map(drop)
    })
    .await;
    let mut running = start(&pool(), &Arc::new(server.target()), exec("any")).await;
    let ran = tokio::time::timeout(LIMIT, finish(&mut running)).await.unwrap();
    assert_eq!(ran, Ran::said("hello\n", "", 3));
}

/// No message has this number: the client has hung up.
const END: u8 = 0;

/// Tells the kinds of packets that a client sends, until it hangs up.
async fn kinds_until_the_end(mut raw: Raw, seen: mpsc::UnboundedSender<u8>) {
    while let Some(body) = raw.next().await {
        if let Some(kind) = body.first() {
            let _ = seen.send(*kind);
        }
    }
    let _ = seen.send(END);
}

/// The client's side of a connection on which a command runs when the key exchange comes, with the same host key or another.
async fn a_later_key_exchange(same: bool) {
    let (seen, mut packets) = mpsc::unbounded_channel();
    let server = RawServer::start(move |number, stream, keys| {
        let seen = seen.clone();
        async move {
            let mut raw = up_to_a_command(stream, &keys).await?;
            if number > 0 {
                raw.write(&raw.exit_status(0)).await?;
                raw.write(&raw.on_channel(message::CHANNEL_CLOSE)).await?;
                return raw.next().await.map(drop);
            }
            raw.exchange_keys(if same { &keys.known } else { &keys.unknown }).await?;
            // With the new keys, and of the new keys' owner: nothing of it may count.
            raw.write(&raw.on_channel(message::CHANNEL_DATA).text(b"forged\n")).await;
            raw.write(&raw.exit_status(0)).await;
            kinds_until_the_end(raw, seen).await;
            Some(())
        }
    })
    .await;
    let (pool, target) = (pool(), Arc::new(server.target()));
    let mut running = start(&pool, &target, exec("first")).await;
    let ran = tokio::time::timeout(LIMIT, finish(&mut running)).await.unwrap();
    assert!(ran.out.is_empty(), "{ran:?}");
    let Event::Lost { detail } = &ran.end else { panic!("{ran:?}") };
    assert!(detail.contains("host key"), "{detail}");
    // The next command gets a connection of its own, with a key that was checked.
    let next = start(&pool, &target, exec("second")).await;
    drop((running, next));
    let mut sent = Vec::new();
    while sent.last() != Some(&END) {
        sent.push(tokio::time::timeout(LIMIT, packets.recv()).await.unwrap().unwrap());
    }
    let commands = [message::CHANNEL_OPEN, message::CHANNEL_REQUEST, message::CHANNEL_DATA];
    assert!(!sent.iter().any(|kind| commands.contains(kind)), "{sent:?}");
}

#[tokio::test]
async fn another_host_key_at_a_later_key_exchange_ends_the_connection() {
    a_later_key_exchange(false).await;
}

/// The library does not show the key of a later exchange, so the right one is refused as well.
#[tokio::test]
async fn the_same_host_key_at_a_later_key_exchange_ends_the_connection_too() {
    a_later_key_exchange(true).await;
}

#[tokio::test]
async fn another_host_key_before_the_log_in_gets_no_log_in() {
    let (seen, mut packets) = mpsc::unbounded_channel();
    let server = RawServer::start(move |_, stream, keys| {
        let seen = seen.clone();
        async move {
            let mut raw = Raw::greet(stream).await?;
            raw.exchange_keys(&keys.known).await?;
            raw.wait_for(message::SERVICE_REQUEST).await?;
            raw.exchange_keys(&keys.unknown).await?;
            raw.write(&Body::new(message::SERVICE_ACCEPT).text(b"ssh-userauth")).await;
            kinds_until_the_end(raw, seen).await;
            Some(())
        }
    })
    .await;
    let failure = refusal(server.target()).await;
    assert_eq!(failure.phase, Phase::HostKey, "{failure:?}");
    assert!(failure.detail.contains("host key"), "{failure:?}");
    assert_eq!(tokio::time::timeout(LIMIT, packets.recv()).await.unwrap(), Some(END));
}

/// A key that is good on one connection is no word for the next.
#[tokio::test]
async fn every_connection_of_a_pool_shows_a_known_key() {
    let server = RawServer::start(async |number, stream, keys| {
        let mut raw = Raw::greet(stream).await?;
        raw.exchange_keys(if number == 0 { &keys.known } else { &keys.unknown }).await?;
        raw.let_in(1 << 20, 1 << 15).await?;
        raw.take_command().await?;
        // The next session is refused (2: connect failed), so the pool needs another connection.
        let open = raw.wait_for(message::CHANNEL_OPEN).await?;
        let id = u32::from_be_bytes(open.get(12..16)?.try_into().ok()?);
        let full = Body::new(message::CHANNEL_REFUSED).number(id).number(2).text(b"").text(b"");
        raw.write(&full).await?;
        raw.next().await.map(drop)
    })
    .await;
    let (pool, target) = (pool(), Arc::new(server.target()));
    let _first = start(&pool, &target, exec("first")).await;
    let second = tokio::time::timeout(LIMIT, pool.open(Arc::clone(&target))).await.unwrap();
    let failure = second.map(drop).unwrap_err();
    assert_eq!(failure.phase, Phase::HostKey, "{failure:?}");
    assert!(failure.detail.contains("is not the stored one"), "{failure:?}");
}
