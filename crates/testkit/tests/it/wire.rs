//! Faults on the wire, seen through plain sockets.

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::time::Duration;

use sshepherd_testkit::{FaultProxy, Stall, banner_only_server, mute, silent_server};

/// A proxy, the client's end and the server's end of one connection through it.
fn connected() -> (FaultProxy, TcpStream, TcpStream) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let proxy = FaultProxy::start(listener.local_addr().unwrap());
    let client = TcpStream::connect(proxy.address()).unwrap();
    let (server, _) = listener.accept().unwrap();
    for socket in [&client, &server] {
        socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    }
    (proxy, client, server)
}

fn receive(socket: &mut TcpStream, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    socket.read_exact(&mut bytes).unwrap();
    bytes
}

#[test]
fn bytes_pass_both_ways_and_so_does_the_end() {
    let (proxy, mut client, mut server) = connected();
    client.write_all(b"ping").unwrap();
    assert_eq!(receive(&mut server, 4), b"ping");
    server.write_all(b"pong").unwrap();
    drop(server);
    let mut all = Vec::new();
    client.read_to_end(&mut all).unwrap();
    assert_eq!(all, b"pong");
    assert_eq!(proxy.connections(), 1);
}

#[test]
fn a_stalled_way_holds_and_the_other_flows() {
    let (proxy, mut client, mut server) = connected();
    proxy.stall(Stall::ToServer);
    client.write_all(b"held").unwrap();
    server.write_all(b"free").unwrap();
    assert_eq!(receive(&mut client, 4), b"free");
    server.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
    let error = server.read(&mut [0; 4]).unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut), "{error}");
    server.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    proxy.resume();
    assert_eq!(receive(&mut server, 4), b"held");
}

#[test]
fn a_cut_ends_in_order_and_a_reset_does_not() {
    let (proxy, mut client, _server) = connected();
    proxy.cut();
    assert_eq!(client.read(&mut [0; 1]).unwrap(), 0);
    let (proxy, mut client, _server) = connected();
    proxy.reset();
    assert_eq!(client.read(&mut [0; 1]).unwrap_err().kind(), ErrorKind::ConnectionReset);
}

#[test]
fn a_refusing_proxy_closes_new_connections_until_it_admits_them() {
    let (proxy, _client, _server) = connected();
    proxy.refuse();
    let mut refused = TcpStream::connect(proxy.address()).unwrap();
    assert_eq!(refused.read(&mut [0; 1]).unwrap_or(0), 0);
    proxy.admit();
    assert_eq!(proxy.connections(), 2);
}

#[test]
fn mute_servers_stop_where_they_should() {
    let silent = silent_server();
    let mut client = TcpStream::connect(silent.address()).unwrap();
    client.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
    assert!(client.read(&mut [0; 1]).is_err());
    let banner = banner_only_server();
    let mut client = TcpStream::connect(banner.address()).unwrap();
    assert_eq!(receive(&mut client, 8), b"SSH-2.0-");
    drop((silent, banner));
    assert!(TcpStream::connect(mute::refused_address()).is_err());
}
