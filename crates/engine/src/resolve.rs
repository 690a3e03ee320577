//! A host's name to judged addresses: looked up once; what was judged is what is connected to.

use std::net::{IpAddr, SocketAddr, SocketAddrV6};
use std::sync::Arc;
use std::time::Duration;

use sshepherd_model::{ConnectFailure, Host, Phase};
use sshepherd_policy::NetworkPolicy;

use crate::config::Config;

/// Longest name look-up. OpenSSH has no limit of its own; the resolver's default is 5 s a try, twice.
const RESOLVE_DEADLINE: Duration = Duration::from_secs(10);

/// Each host on the way to `host`, first the one to connect to and last itself, with its judged addresses. Every name is
/// looked up here: what a jump host would make of it could not be judged.
pub(crate) async fn way<'a>(
    host: &'a Arc<Host>,
    config: &'a Config,
) -> Result<Vec<(&'a Arc<Host>, Vec<SocketAddr>)>, ConnectFailure> {
    let hops = config.inventory.way_to(host);
    let mut way = Vec::with_capacity(hops.len() + 1);
    for hop in hops.iter().copied().rev() {
        let addresses = resolve(hop, config.policy.network()).await.map_err(|failure| {
            let detail = format!("jump host {}: {}", hop.alias, failure.detail);
            ConnectFailure { detail: detail.into(), ..failure }
        })?;
        way.push((hop, addresses));
    }
    let addresses = resolve(host, config.policy.network()).await.map_err(|failure| {
        if hops.is_empty() || failure.phase != Phase::Resolve {
            return failure;
        }
        let hint = "a host behind a jump host needs a name that this machine can look up, or an IP address";
        ConnectFailure { hint: hint.to_owned(), ..failure }
    })?;
    way.push((host, addresses));
    Ok(way)
}

/// The addresses of `host` that `network` admits, in the resolver's order; never empty, but for a host that a program reaches.
async fn resolve(host: &Host, network: &NetworkPolicy) -> Result<Vec<SocketAddr>, ConnectFailure> {
    if let Some(proxy) = &host.connection.proxy {
        if !proxy.trusted {
            hold_against(host, network).await?;
        }
        return Ok(Vec::new());
    }
    let addresses = look_up(host).await?;
    let mut admitted = Vec::with_capacity(addresses.len());
    let mut refused = Vec::new();
    for address in addresses {
        let judged = match &host.jump {
            Some(_) => network.judge_behind_jump(address.ip()),
            None => network.judge(address.ip()),
        };
        match judged {
            Ok(canonical) => admitted.push(at(canonical, address)),
            Err(denial) => refused.push(denial.to_string()),
        }
    }
    if admitted.is_empty() {
        return Err(ConnectFailure {
            phase: Phase::Network,
            detail: format!("{}: {}", host.address, refused.join("; ")).into(),
            hint: "the owner's network policy (policy.yml, network) does not admit this address; \
                   ask the owner to change it"
                .to_owned(),
        });
    }
    Ok(admitted)
}

/// Holds a host that a program reaches against the network policy, as far as that goes: where the program connects, nobody here
/// sees. So no allow list admits it; a block list keeps it out by any address that the host's name has on this machine.
async fn hold_against(host: &Host, network: &NetworkPolicy) -> Result<(), ConnectFailure> {
    let refused = |detail: String, hint: &str| {
        Err(ConnectFailure { phase: Phase::Network, detail: detail.into(), hint: hint.to_owned() })
    };
    if network.allowed().is_some() {
        return refused(
            format!(
                "{}: where its proxy_command connects cannot be held against the allow list",
                host.alias
            ),
            "the owner can vouch for it: proxy_command_trusted: true in servers.yml",
        );
    }
    if network.blocked().is_empty() {
        return Ok(());
    }
    // A name that only the program knows, such as an instance's, has none.
    let addresses = look_up(host).await.unwrap_or_default();
    match addresses.into_iter().find_map(|address| network.judge(address.ip()).err()) {
        Some(denial) => refused(
            format!("{}: {denial}", host.address),
            "the owner's network policy (policy.yml, network) blocks this address; ask the owner to change it",
        ),
        None => Ok(()),
    }
}

/// The judged form of an address, with its port, and on the interface that it was looked up for.
fn at(judged: IpAddr, address: SocketAddr) -> SocketAddr {
    match (judged, address) {
        (IpAddr::V6(judged), SocketAddr::V6(address)) => {
            SocketAddrV6::new(judged, address.port(), 0, address.scope_id()).into()
        }
        (judged, address) => SocketAddr::new(judged, address.port()),
    }
}

async fn look_up(host: &Host) -> Result<Vec<SocketAddr>, ConnectFailure> {
    let failed = |detail: String| ConnectFailure {
        phase: Phase::Resolve,
        detail: detail.into(),
        hint: "check the host's name in servers.yml and this machine's DNS".to_owned(),
    };
    let bare = host.address.trim_start_matches('[').trim_end_matches(']');
    if let Ok(address) = bare.parse::<IpAddr>() {
        return Ok(vec![SocketAddr::new(address, host.port)]);
    }
    // The system's resolver knows the interfaces too (`fe80::1%eth0`).
    let query = tokio::net::lookup_host((bare, host.port));
    let answer = tokio::time::timeout(RESOLVE_DEADLINE, query)
        .await
        .map_err(|_| {
            failed(format!(
                "no answer for {} within {} s",
                host.address,
                RESOLVE_DEADLINE.as_secs()
            ))
        })?
        .map_err(|error| failed(format!("{}: {error}", host.address)))?;
    let mut addresses: Vec<SocketAddr> = Vec::new();
    for address in answer {
        if !addresses.contains(&address) {
            addresses.push(address);
        }
    }
    if addresses.is_empty() {
        return Err(failed(format!("{} has no address", host.address)));
    }
    Ok(addresses)
}

#[cfg(test)]
mod tests {
    use super::*;
    use sshepherd_model::{ConnectionSettings, HostWords, LoginShell};

    fn host(address: &str) -> Host {
        Host {
            alias: "h".parse().unwrap(),
            address: address.to_owned(),
            port: 22,
            credentials: "c".parse().unwrap(),
            tags: Vec::new(),
            description: HostWords::default(),
            login_shell: LoginShell::Posix,
            jump: None,
            connection: ConnectionSettings::default(),
        }
    }

    /// The interface `lo` has the number 1 wherever there is one.
    #[tokio::test]
    async fn a_zone_becomes_the_number_of_its_interface() {
        let network = NetworkPolicy::default();
        for address in ["fe80::1%lo", "[fe80::1%lo]", "fe80::1%1"] {
            let found = resolve(&host(address), &network).await.unwrap();
            let [SocketAddr::V6(only)] = found.as_slice() else { panic!("{address}: {found:?}") };
            assert_eq!((only.scope_id(), only.port()), (1, 22), "{address}");
            assert_eq!(only.ip().to_string(), "fe80::1");
        }
        let failure = resolve(&host("fe80::1%nosuchif"), &network).await.unwrap_err();
        assert_eq!(failure.phase, Phase::Resolve, "{failure:?}");
        let block = NetworkPolicy::new(None, vec!["fe80::/10".parse().unwrap()]);
        let failure = resolve(&host("fe80::1%lo"), &block).await.unwrap_err();
        assert_eq!(failure.phase, Phase::Network, "{failure:?}");
    }
}
