//! A host's name to judged addresses: looked up once; what was judged is what is connected to.

use std::net::{IpAddr, SocketAddr};
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

/// The addresses of `host` that `network` admits, in the resolver's order; never empty.
async fn resolve(host: &Host, network: &NetworkPolicy) -> Result<Vec<SocketAddr>, ConnectFailure> {
    let addresses = look_up(host).await?;
    let mut admitted = Vec::with_capacity(addresses.len());
    let mut refused = Vec::new();
    for address in addresses {
        match network.judge(address) {
            Ok(canonical) => admitted.push(SocketAddr::new(canonical, host.port)),
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

async fn look_up(host: &Host) -> Result<Vec<IpAddr>, ConnectFailure> {
    let failed = |detail: String| ConnectFailure {
        phase: Phase::Resolve,
        detail: detail.into(),
        hint: "check the host's name in servers.yml and this machine's DNS".to_owned(),
    };
    let bare = host.address.trim_start_matches('[').trim_end_matches(']');
    if let Ok(address) = bare.parse::<IpAddr>() {
        return Ok(vec![address]);
    }
    let query = tokio::net::lookup_host((host.address.as_str(), host.port));
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
    let mut addresses: Vec<IpAddr> = Vec::new();
    for address in answer {
        if !addresses.contains(&address.ip()) {
            addresses.push(address.ip());
        }
    }
    if addresses.is_empty() {
        return Err(failed(format!("{} has no address", host.address)));
    }
    Ok(addresses)
}
