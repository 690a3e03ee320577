//! Who to connect to, how to log in, and how long each step may take.

use std::collections::BTreeSet;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use sshepherd_model::{Alias, AuthMethod, Keepalive, LegacyAlgorithm, LoginShell, Timeouts};

use crate::hostkey::KnownHosts;
use crate::prompt::Prompter;
use crate::proxy::ProxyProgram;

/// Judges the address that was really reached; an error is the reason to hang up.
pub type AdmitPeer = Arc<dyn Fn(IpAddr) -> Result<(), String> + Send + Sync>;

/// Hears that the log-in to a host waits for the touch of a security key.
pub type OnTouch = Arc<dyn Fn(&Alias) + Send + Sync>;

/// One host as the transport needs it. Names were looked up and addresses judged by the caller.
#[derive(Clone)]
pub struct Target {
    /// The host's alias, for messages and for the pool.
    pub alias: Alias,
    /// Judged addresses in the order to try them; none where a program reaches the host, else never empty.
    pub addresses: Vec<SocketAddr>,
    /// The name that the host key is looked up under.
    pub host_key_name: String,
    /// TCP port, part of that name.
    pub port: u16,
    /// Login name.
    pub username: String,
    /// Ways to log in, in order.
    pub methods: Vec<AuthMethod>,
    /// The known host keys.
    pub known_hosts: Arc<KnownHosts>,
    /// What answers an exec request there.
    pub login_shell: LoginShell,
    /// Judges the peer again after the connect, before a byte is sent.
    pub admit_peer: AdmitPeer,
    /// How long each step may take.
    pub deadlines: Deadlines,
    /// What the owner set for the connection to this host.
    pub transport: Transport,
    /// The jump host that the connection goes through; judged, checked and logged in to by its own values. No deeper than
    /// the caller made it.
    pub via: Option<Arc<Target>>,
    /// Who answers what the host asks while logging in; without one, such a log-in fails.
    pub prompter: Option<Arc<dyn Prompter>>,
    /// Who tells the person that a security key must be touched.
    pub on_touch: Option<OnTouch>,
    /// A regular expression for the question that the password answers, instead of those that are known.
    pub password_prompt: Option<String>,
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Target")
            .field("alias", &self.alias)
            .field("addresses", &self.addresses)
            .field("username", &self.username)
            .field("via", &self.via)
            .finish_non_exhaustive()
    }
}

/// What one host's connection is like, where the owner can choose.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Transport {
    /// How a dead peer is noticed; `None` when nothing is asked.
    pub keepalive: Option<Keepalive>,
    /// Weak algorithms that may be used.
    pub legacy: BTreeSet<LegacyAlgorithm>,
    /// The program that reaches the host, instead of a connection of our own.
    pub proxy: Option<ProxyProgram>,
}

impl Default for Transport {
    fn default() -> Self {
        Self { keepalive: Some(Keepalive::default()), legacy: BTreeSet::new(), proxy: None }
    }
}

/// Longest duration of each step; a step that takes longer fails by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deadlines {
    /// TCP connect, for all addresses together. A SYN is repeated after 1, 3 and 7 s; ten seconds see three of them.
    pub dial: Duration,
    /// The server's version line. sshd sends it at once, unless it is loaded.
    pub banner: Duration,
    /// Key exchange, host key included.
    pub key_exchange: Duration,
    /// What the host takes for all log-in attempts together; PAM delays a failed one by 2 s or more. The time of our side (a
    /// person, an agent, a turn) is not counted.
    pub auth: Duration,
    /// How long a person may take over a question, or over the touch of a security key. sshd waits 120 s in all (`LoginGraceTime`).
    pub person: Duration,
    /// Opening a channel.
    pub channel: Duration,
    /// The answer to the exec request.
    pub exec: Duration,
    /// How long the shell, start-up files included, may take to show itself to a command that has variables or input.
    pub shell: Duration,
}

impl Deadlines {
    /// The usual ones, but for what `timeouts` says.
    #[must_use]
    pub fn with(timeouts: Timeouts) -> Self {
        let usual = Self::default();
        let Timeouts { connect, login, channel } = timeouts;
        Self {
            dial: connect.unwrap_or(usual.dial),
            banner: connect.unwrap_or(usual.banner),
            key_exchange: connect.unwrap_or(usual.key_exchange),
            auth: login.unwrap_or(usual.auth),
            person: usual.person,
            channel: channel.unwrap_or(usual.channel),
            exec: channel.unwrap_or(usual.exec),
            shell: channel.map_or(usual.shell, |channel| channel.max(usual.shell)),
        }
    }
}

impl Default for Deadlines {
    fn default() -> Self {
        Self {
            dial: Duration::from_secs(10),
            banner: Duration::from_secs(10),
            key_exchange: Duration::from_secs(15),
            auth: Duration::from_secs(20),
            person: Duration::from_secs(100),
            channel: Duration::from_secs(10),
            exec: Duration::from_secs(10),
            shell: Duration::from_secs(30),
        }
    }
}
