//! Starts fake hosts, knows their addresses and keys, and ends them.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use russh::keys::PrivateKey;
use russh::keys::ssh_key::LineEnding;
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::machine::Machine;
use crate::server::{self, Shared};
use crate::{Error, FakeHostSpec, keys};

/// Bytes each way in an in-memory connection: two SSH packets of the largest usual size.
const PIPE_BYTES: usize = 64 * 1024;

/// Some fake hosts and the one client key that all of them accept. Dropping it cuts every connection and stops
/// every host; [`FakeFleet::stop`] also waits for the end.
pub struct FakeFleet {
    hosts: Vec<FakeHost>,
    client_key: PrivateKey,
    stop: CancellationToken,
    tracker: TaskTracker,
}

impl std::fmt::Debug for FakeFleet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FakeFleet").field("hosts", &self.hosts).finish_non_exhaustive()
    }
}

/// One running fake host.
pub struct FakeHost {
    shared: Arc<Shared>,
    address: Option<SocketAddr>,
    host_key: String,
    connections: CancellationToken,
    tracker: TaskTracker,
}

impl std::fmt::Debug for FakeHost {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FakeHost")
            .field("name", &self.shared.machine.name)
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}

impl FakeFleet {
    /// Starts hosts that listen on `127.0.0.1`, each on a free port of its own. Needs a Tokio runtime with
    /// networking and time.
    pub async fn start(specs: Vec<FakeHostSpec>) -> Result<Self, Error> {
        let mut fleet = Self::in_memory(specs)?;
        for host in &mut fleet.hosts {
            let listen = |source| Error::Listen { host: host.shared.machine.name.clone(), source };
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.map_err(listen)?;
            host.address = Some(listener.local_addr().map_err(listen)?);
            let serving = accept(
                listener,
                Arc::clone(&host.shared),
                host.connections.clone(),
                host.tracker.clone(),
            );
            fleet.tracker.spawn(serving);
        }
        Ok(fleet)
    }

    /// Hosts without ports, reached by [`FakeHost::connect`] and [`FakeHost::serve`].
    pub fn in_memory(specs: Vec<FakeHostSpec>) -> Result<Self, Error> {
        let client_key = keys::generate("sshepherd demo")?;
        let stop = CancellationToken::new();
        let tracker = TaskTracker::new();
        let hosts = specs
            .into_iter()
            .map(|spec| FakeHost::new(spec, &client_key, &stop, &tracker))
            .collect::<Result<Vec<_>, Error>>()?;
        Ok(Self { hosts, client_key, stop, tracker })
    }

    /// The hosts in the order they were asked for.
    #[must_use]
    pub fn hosts(&self) -> &[FakeHost] {
        &self.hosts
    }

    /// The host called `name`.
    #[must_use]
    pub fn host(&self, name: &str) -> Option<&FakeHost> {
        self.hosts.iter().find(|host| host.name() == name)
    }

    /// The client's private key as the text of an OpenSSH key file, which must get mode 0600. It opens nothing
    /// but these hosts.
    pub fn client_key_text(&self) -> Result<String, Error> {
        let text = self.client_key.to_openssh(LineEnding::LF).map_err(Error::Key)?;
        Ok(text.to_string())
    }

    /// The client's public key as `TYPE BASE64`.
    pub fn client_public_line(&self) -> Result<String, Error> {
        keys::public_line(&self.client_key)
    }

    /// A `known_hosts` file of all hosts, each by its name and, if it listens, by `[127.0.0.1]:PORT`.
    #[must_use]
    pub fn known_hosts(&self) -> String {
        self.hosts.iter().map(FakeHost::known_hosts_line).collect()
    }

    /// Cuts every connection, stops every host and waits until all their tasks have ended.
    pub async fn stop(self) {
        self.stop.cancel();
        self.tracker.close();
        self.tracker.wait().await;
    }
}

impl Drop for FakeFleet {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl FakeHost {
    fn new(
        spec: FakeHostSpec,
        client_key: &PrivateKey,
        stop: &CancellationToken,
        tracker: &TaskTracker,
    ) -> Result<Self, Error> {
        let key = keys::generate(&spec.name)?;
        let host_key = keys::public_line(&key)?;
        let connections = stop.child_token();
        let shared = Shared {
            machine: Arc::new(Machine::new(spec.name, spec.user)),
            config: Arc::new(server::config(key)),
            client_key: client_key.public_key().clone(),
            password: spec.password,
            faults: spec.faults,
            tracker: tracker.clone(),
            stop: stop.clone(),
        };
        Ok(Self {
            shared: Arc::new(shared),
            address: None,
            host_key,
            connections,
            tracker: tracker.clone(),
        })
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.shared.machine.name
    }

    /// The login name it accepts.
    #[must_use]
    pub fn user(&self) -> &str {
        &self.shared.machine.user
    }

    /// Where it listens; `None` for a host without a port.
    #[must_use]
    pub fn address(&self) -> Option<SocketAddr> {
        self.address
    }

    /// Its public host key as `TYPE BASE64`.
    #[must_use]
    pub fn host_key(&self) -> &str {
        &self.host_key
    }

    /// Its line for `known_hosts`, with a line end.
    #[must_use]
    pub fn known_hosts_line(&self) -> String {
        let name = self.name();
        match self.address {
            Some(address) => {
                format!("{name},[{}]:{} {}\n", address.ip(), address.port(), self.host_key)
            }
            None => format!("{name} {}\n", self.host_key),
        }
    }

    /// Ids of the fake processes that run now, oldest first.
    #[must_use]
    pub fn processes(&self) -> Vec<u32> {
        self.shared.machine.processes.running()
    }

    /// Waits until a fake process is gone; at once when there is none of this id.
    pub async fn process_gone(&self, pid: u32) {
        self.shared.machine.processes.gone(pid).await;
    }

    /// Serves one connection over any byte stream.
    pub fn serve<S>(&self, stream: S)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let cut = self.connections.child_token();
        self.tracker.spawn(server::serve(Arc::clone(&self.shared), stream, cut));
    }

    /// A new in-memory connection: the client's end.
    #[must_use]
    pub fn connect(&self) -> DuplexStream {
        let (client, server) = tokio::io::duplex(PIPE_BYTES);
        self.serve(server);
        client
    }
}

async fn accept(
    listener: TcpListener,
    shared: Arc<Shared>,
    connections: CancellationToken,
    tracker: TaskTracker,
) {
    loop {
        let accepted = tokio::select! {
            () = connections.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        let Ok((stream, _)) = accepted else { return };
        // Without it small packets wait for the client's delayed acknowledgements.
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "no TCP_NODELAY on a fake host's connection");
        }
        let cut = connections.child_token();
        tracker.spawn(server::serve(Arc::clone(&shared), stream, cut));
    }
}
