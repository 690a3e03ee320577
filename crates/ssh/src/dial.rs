//! The TCP connection: a judged address, and a peer judged again.

use std::net::{IpAddr, SocketAddr};

use sshepherd_model::{ConnectFailure, Phase};
use tokio::net::TcpStream;

use crate::race::race;
use crate::target::Target;

/// Connects to the address that answers first; the peer is judged before a byte is sent.
pub(crate) async fn dial(target: &Target) -> Result<(TcpStream, IpAddr), ConnectFailure> {
    let limit = Some(target.deadlines.dial);
    let connect = |address: SocketAddr| async move {
        TcpStream::connect(address).await.map_err(|error| format!("{address}: {error}"))
    };
    let tcp = race(&target.addresses, limit, connect).await.map_err(|tried| {
        ConnectFailure {
            phase: Phase::Dial,
            detail: tried.into(),
            hint: "check that the host is up, that sshd listens on this port, and that no firewall is between"
                .to_owned(),
        }
    })?;
    let peer = admitted(target, peer(&tcp)?)?;
    if let Err(error) = tcp.set_nodelay(true) {
        tracing::warn!(host = %target.alias, %error, "TCP_NODELAY could not be set");
    }
    Ok((tcp, peer))
}

fn peer(tcp: &TcpStream) -> Result<IpAddr, ConnectFailure> {
    tcp.peer_addr()
        .map(|address| address.ip())
        .map_err(|error| refused(format!("the peer's address cannot be read: {error}")))
}

/// Judges an address that was reached; its canonical form.
pub(crate) fn admitted(target: &Target, peer: IpAddr) -> Result<IpAddr, ConnectFailure> {
    let peer = peer.to_canonical();
    (target.admit_peer)(peer).map_err(refused)?;
    Ok(peer)
}

fn refused(detail: String) -> ConnectFailure {
    ConnectFailure {
        phase: Phase::Network,
        detail: detail.into(),
        hint: "the address that was reached is not one that the network policy admits".to_owned(),
    }
}
