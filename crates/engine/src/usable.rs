//! Hosts that nobody can log in to, as far as this side can tell without contacting them.

use sshepherd_model::{AuthMethod, ConnectFailure, Host, Phase};

use crate::config::Config;

/// Why nobody can log in to `host`: its own credentials, or those of a jump host on the way, cannot be used. Other hosts
/// are not concerned.
#[must_use]
pub fn unusable(config: &Config, host: &Host) -> Option<String> {
    let inventory = &config.inventory;
    inventory.unusable(host).or_else(|| {
        let hops = inventory.way_to(host);
        let jumps = hops.iter().find_map(|hop| {
            no_agent(config, hop).map(|why| format!("jump host {}: {why}", hop.alias))
        });
        no_agent(config, host).or(jumps)
    })
}

/// Nothing but agents can log in, and none of them is there.
fn no_agent(config: &Config, host: &Host) -> Option<String> {
    let methods = &config.inventory.credential(host)?.methods;
    let missing = methods.iter().map(|method| match method {
        AuthMethod::Agent { socket, .. } if !socket.exists() => Some(socket.display().to_string()),
        AuthMethod::Unusable { name, .. } => Some(name.clone()),
        AuthMethod::Agent { .. }
        | AuthMethod::Key { .. }
        | AuthMethod::Password(_)
        | AuthMethod::Interactive => None,
    });
    let missing: Vec<String> = missing.collect::<Option<_>>()?;
    let entry = &host.credentials;
    Some(format!("credentials {entry}: no ssh-agent is at {}", missing.join(", ")))
}

/// The same as what a command on `host` comes to.
pub(crate) fn check(config: &Config, host: &Host) -> Result<(), ConnectFailure> {
    unusable(config, host).map_or(Ok(()), |why| {
        Err(ConnectFailure {
            phase: Phase::Auth,
            detail: format!("{} was not contacted: {why}", host.alias).into(),
            hint: "tell the owner to correct this and to reload; other hosts are not concerned"
                .to_owned(),
        })
    })
}
