//! Targets for test servers, and a command run to its end.

use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use sshepherd_model::{AuthMethod, ConnectFailure, LoginShell, Outcome, Stream};
use sshepherd_ssh::{
    Deadlines, Event, Exec, KnownHosts, Pool, PoolSettings, Running, Target, Transport,
};
use sshepherd_testkit::fakehost::FakeFleet;
use sshepherd_testkit::{FaultProxy, Sshd};
use tempfile::TempDir;

/// Nothing here takes longer, however slow the machine.
pub(crate) const LIMIT: Duration = Duration::from_secs(60);

/// A cookie that no other command carries: a stop ends whatever carries its own.
pub(crate) fn cookie() -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    format!("test:{}:{:032x}", std::process::id(), NEXT.fetch_add(1, Ordering::SeqCst))
}

pub(crate) fn proxy(server: &Sshd) -> FaultProxy {
    FaultProxy::start(server.address())
}

pub(crate) fn pool() -> Pool {
    Pool::new(PoolSettings::default())
}

/// A text as a known_hosts file.
pub(crate) fn known(text: &str) -> Arc<KnownHosts> {
    let mut known = KnownHosts::default();
    known.add(text, Path::new("known"));
    Arc::new(known)
}

pub(crate) fn key(path: &Path) -> AuthMethod {
    AuthMethod::Key { path: path.to_owned(), certificate: None, passphrase: None }
}

/// Who to connect to at `address`, whose keys are `known_hosts`.
pub(crate) fn target_at(address: SocketAddr, known_hosts: &str) -> Target {
    Target {
        alias: "test".parse().unwrap(),
        addresses: vec![address],
        host_key_name: address.ip().to_string(),
        port: address.port(),
        username: "root".to_owned(),
        methods: Vec::new(),
        known_hosts: known(known_hosts),
        login_shell: LoginShell::Posix,
        admit_peer: Arc::new(|_| Ok(())),
        deadlines: Deadlines::default(),
        transport: Transport::default(),
        via: None,
        prompter: None,
        on_touch: None,
        password_prompt: None,
    }
}

/// The server with its stored keys and the key that may log in.
pub(crate) fn target(server: &Sshd) -> Target {
    Target {
        username: server.user().to_owned(),
        methods: vec![key(server.user_key_path())],
        ..target_at(server.address(), &server.host_key_lines(&server.known_hosts_name()))
    }
}

/// The same behind a proxy.
pub(crate) fn target_through(server: &Sshd, address: SocketAddr) -> Target {
    let name = format!("[{}]:{}", address.ip(), address.port());
    Target {
        username: server.user().to_owned(),
        methods: vec![key(server.user_key_path())],
        ..target_at(address, &server.host_key_lines(&name))
    }
}

/// One of the fake hosts; the key that may log in is written into `folder`.
pub(crate) fn target_fake(fleet: &FakeFleet, name: &str, folder: &TempDir) -> Target {
    let path = folder.path().join("id");
    std::fs::write(&path, fleet.client_key_text().unwrap()).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    let host = fleet.host(name).unwrap();
    Target {
        username: host.user().to_owned(),
        methods: vec![key(&path)],
        ..target_at(host.address().unwrap(), &fleet.known_hosts())
    }
}

pub(crate) fn exec(wire: &str) -> Exec {
    Exec { wire: wire.to_owned(), stdin: None, env: Vec::new(), cookie: cookie() }
}

/// What a command wrote and how it ended.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Ran {
    pub(crate) out: Vec<u8>,
    pub(crate) err: Vec<u8>,
    pub(crate) end: Event,
}

impl Ran {
    pub(crate) fn said(out: &str, err: &str, status: u32) -> Self {
        Self {
            out: out.as_bytes().to_vec(),
            err: err.as_bytes().to_vec(),
            end: Event::Exited { status },
        }
    }
}

/// Reads to the end; exactly one last event.
pub(crate) async fn finish(running: &mut Running) -> Ran {
    let (mut out, mut err, mut end) = (Vec::new(), Vec::new(), None);
    while let Some(event) = running.next().await {
        assert!(end.is_none(), "an event after the last: {event:?}");
        match event {
            Event::Output { stream: Stream::Stdout, bytes } => out.extend_from_slice(&bytes),
            Event::Output { stream: Stream::Stderr, bytes } => err.extend_from_slice(&bytes),
            last @ (Event::Exited { .. } | Event::Signalled { .. } | Event::Lost { .. }) => {
                end = Some(last);
            }
        }
    }
    Ran { out, err, end: end.unwrap() }
}

pub(crate) async fn start(pool: &Pool, target: &Arc<Target>, exec: Exec) -> Running {
    let ready = pool.open(Arc::clone(target)).await.unwrap();
    ready.exec(exec).await.map_err(|outcome: Outcome| outcome).unwrap()
}

pub(crate) async fn run_exec(pool: &Pool, target: &Arc<Target>, exec: Exec) -> Ran {
    let mut running = start(pool, target, exec).await;
    tokio::time::timeout(LIMIT, finish(&mut running)).await.unwrap()
}

pub(crate) async fn run(pool: &Pool, target: &Arc<Target>, wire: &str) -> Ran {
    run_exec(pool, target, exec(wire)).await
}

pub(crate) async fn run_with(pool: &Pool, target: &Arc<Target>, wire: &str, input: &[u8]) -> Ran {
    let stdin = Some(Bytes::copy_from_slice(input));
    run_exec(pool, target, Exec { stdin, ..exec(wire) }).await
}

/// Why no channel could be had.
pub(crate) async fn refusal(target: Target) -> ConnectFailure {
    let opened = tokio::time::timeout(LIMIT, pool().open(Arc::new(target))).await.unwrap();
    opened.map(drop).unwrap_err()
}

/// The first output that holds a whole line: the command has started.
pub(crate) async fn first_line(running: &mut Running) -> String {
    let mut text = Vec::new();
    while let Some(event) = running.next().await {
        if let Event::Output { stream: Stream::Stdout, bytes } = event {
            text.extend_from_slice(&bytes);
            if text.contains(&b'\n') {
                break;
            }
        }
    }
    String::from_utf8(text).unwrap().trim().to_owned()
}
