//! Hosts with several addresses, some of them dead.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use sshepherd_model::Phase;
use sshepherd_ssh::{Deadlines, Target};
use sshepherd_testkit::Sshd;
use tokio::net::{TcpListener, TcpSocket, TcpStream};

use crate::common::{Ran, pool, refusal, run, target};

/// A listener whose queue is full: the kernel answers no further connection.
async fn black_hole() -> (SocketAddr, Vec<TcpStream>, TcpListener) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = socket.listen(1).unwrap();
    let address = listener.local_addr().unwrap();
    let mut queued = Vec::new();
    while let Ok(Ok(stream)) =
        tokio::time::timeout(Duration::from_millis(300), TcpStream::connect(address)).await
    {
        queued.push(stream);
    }
    (address, queued, listener)
}

/// A dead address costs a quarter of a second, not the time-out; all addresses have one time-out together.
#[tokio::test]
async fn addresses_are_tried_side_by_side() {
    let server = Sshd::start();
    let (dead, _queued, _listener) = black_hole().await;
    let refused = {
        let gone = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        gone.local_addr().unwrap()
    };
    let long = Deadlines { dial: Duration::from_secs(50), ..Deadlines::default() };
    let addresses = vec![dead, refused, server.address()];
    let racing = Arc::new(Target { addresses, deadlines: long, ..target(&server) });
    let pool = pool();
    let ran = run(&pool, &racing, "echo in");
    let ran =
        tokio::time::timeout(Duration::from_secs(30), ran).await.expect("one after the other");
    assert_eq!(ran, Ran::said("in\n", "", 0));

    let short = Deadlines { dial: Duration::from_secs(1), ..Deadlines::default() };
    let dead = Target { addresses: vec![dead, refused, dead], deadlines: short, ..target(&server) };
    let began = Instant::now();
    let failure = refusal(dead).await;
    assert_eq!(failure.phase, Phase::Dial, "{failure:?}");
    assert_eq!(failure.detail.matches("did not answer within 1 s").count(), 2, "{failure:?}");
    assert!(failure.detail.contains(&format!("{refused}: Connection refused")), "{failure:?}");
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
}
