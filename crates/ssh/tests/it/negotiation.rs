//! What our side offers on the wire, and what a real sshd makes of it.

use std::sync::Arc;

use sshepherd_testkit::Sshd;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;

use crate::common::{Ran, pool, run, target, target_at};

/// Lists of names in a KEXINIT message (RFC 4253, 7.1).
const LISTS: usize = 10;

/// What a client offers, read from the first packet that it sends.
async fn offered() -> Vec<Vec<String>> {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let target = Arc::new(target_at(listener.local_addr().unwrap(), ""));
    let client = tokio::spawn(async move { pool().open(target).await.map(drop) });
    let (socket, _) = listener.accept().await.unwrap();
    let mut socket = BufReader::new(socket);
    socket.write_all(b"SSH-2.0-fake\r\n").await.unwrap();
    let mut version = String::new();
    socket.read_line(&mut version).await.unwrap();
    assert!(version.starts_with("SSH-2.0-"), "{version}");
    // Length, padding, the message number 20 and a cookie of 16 bytes.
    let _ = socket.read_u32().await.unwrap();
    let mut start = [0; 18];
    socket.read_exact(&mut start).await.unwrap();
    assert_eq!(start.get(1), Some(&20));
    let mut lists = Vec::new();
    for _ in 0..LISTS {
        let length = usize::try_from(socket.read_u32().await.unwrap()).unwrap();
        let mut names = vec![0; length];
        socket.read_exact(&mut names).await.unwrap();
        lists.push(String::from_utf8(names).unwrap().split(',').map(str::to_owned).collect());
    }
    client.abort();
    lists
}

#[tokio::test]
async fn only_sound_algorithms_are_offered_the_best_first() {
    let lists = offered().await;
    let [kex, keys, to_server, to_client, macs, macs_back, compression, compression_back, ..] =
        lists.as_slice()
    else {
        panic!("{lists:?}");
    };
    assert_eq!(kex.first().unwrap(), "mlkem768x25519-sha256");
    assert!(kex.iter().any(|name| name == "kex-strict-c-v00@openssh.com"), "{kex:?}");
    let exchanges: Vec<&str> = kex
        .iter()
        .map(String::as_str)
        .filter(|name| !name.contains("strict") && !name.starts_with("ext-"))
        .collect();
    assert_eq!(
        exchanges.iter().rev().take(3).collect::<Vec<_>>(),
        [&"ecdh-sha2-nistp521", &"ecdh-sha2-nistp384", &"ecdh-sha2-nistp256"],
        "the curves of NIST come last"
    );
    assert_eq!(keys.first().unwrap(), "ssh-ed25519");
    for ciphers in [to_server, to_client] {
        assert_eq!(ciphers.first().unwrap(), "aes128-gcm@openssh.com");
        assert!(!ciphers.iter().any(|name| name.contains("cbc") || name == "none"), "{ciphers:?}");
    }
    assert_eq!(
        (compression, compression_back),
        (&vec!["none".to_owned()], &vec!["none".to_owned()])
    );
    let weak = |name: &&String| {
        name.as_str() == "ssh-rsa"
            || name.contains("sha1")
            || name.contains("md5")
            || *name == "ssh-dss"
    };
    let found: Vec<&String> =
        [kex, keys, macs, macs_back].into_iter().flatten().filter(weak).collect();
    assert_eq!(found, Vec::<&String>::new());
}

/// Each alone, as on hosts that were hardened or are small: `ssh` reaches them all.
#[tokio::test]
async fn hosts_with_one_sound_algorithm_of_a_kind_are_reached() {
    for line in [
        "KexAlgorithms ecdh-sha2-nistp256",
        "KexAlgorithms ecdh-sha2-nistp384",
        "KexAlgorithms ecdh-sha2-nistp521",
        "KexAlgorithms curve25519-sha256",
        "KexAlgorithms curve25519-sha256@libssh.org",
        "KexAlgorithms diffie-hellman-group-exchange-sha256",
        "KexAlgorithms diffie-hellman-group14-sha256",
        "KexAlgorithms diffie-hellman-group16-sha512",
        "KexAlgorithms diffie-hellman-group18-sha512",
        "Ciphers aes128-gcm@openssh.com",
        "Ciphers aes256-gcm@openssh.com",
        "Ciphers chacha20-poly1305@openssh.com",
        "Ciphers aes192-ctr",
        "Ciphers aes256-ctr\nMACs hmac-sha2-256",
        "Ciphers aes256-ctr\nMACs hmac-sha2-512",
        "Ciphers aes128-ctr\nMACs hmac-sha2-256-etm@openssh.com",
        "Ciphers aes128-ctr\nMACs hmac-sha2-512-etm@openssh.com",
    ] {
        let server = Sshd::builder().config_line(line).start();
        let ran = run(&pool(), &Arc::new(target(&server)), "echo in").await;
        assert_eq!(ran, Ran::said("in\n", "", 0), "{line}");
    }
}

#[tokio::test]
async fn a_real_sshd_agrees_on_the_best_of_them() {
    let server = Sshd::builder().config_line("LogLevel DEBUG3").start();
    let ran = run(&pool(), &Arc::new(target(&server)), "echo in").await;
    assert_eq!(ran, Ran::said("in\n", "", 0));
    let log = server.log();
    for way in ["client->server", "server->client"] {
        let cipher =
            format!("kex: {way} cipher: aes128-gcm@openssh.com MAC: <implicit> compression: none");
        assert!(log.contains(&cipher), "{cipher} is not in the log:\n{log}");
    }
    assert!(log.contains("strict KEX"), "{log}");
    assert!(log.contains("kex: host key algorithm: ssh-ed25519"), "{log}");
}
