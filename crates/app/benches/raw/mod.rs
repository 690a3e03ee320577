//! The least that a client of the same SSH library can do: connect, log in, run one command and read it to its end.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use russh::ChannelMsg;
use russh::client::{self, Config, Handle};
use russh::keys::{PrivateKey, PrivateKeyWithHashAlg, load_secret_key};

/// Trusts every host, which costs less than looking a key up.
pub(crate) struct AnyKey;

impl client::Handler for AnyKey {
    type Error = russh::Error;

    async fn check_server_key(
        &mut self,
        _key: &russh::keys::PublicKeyOrCertificate,
    ) -> Result<bool, russh::Error> {
        Ok(true)
    }
}

pub(crate) fn nodelay() -> Config {
    Config { nodelay: true, ..Config::default() }
}

pub(crate) fn key(path: &Path) -> Arc<PrivateKey> {
    Arc::new(load_secret_key(path, None).unwrap())
}

pub(crate) async fn connect(
    config: Config,
    address: SocketAddr,
    user: &str,
    key: Arc<PrivateKey>,
) -> Handle<AnyKey> {
    let mut handle = client::connect(Arc::new(config), address, AnyKey).await.unwrap();
    let key = PrivateKeyWithHashAlg::new(key, None);
    assert!(handle.authenticate_publickey(user, key).await.unwrap().success());
    handle
}

/// Runs a command that must end well.
pub(crate) async fn run(handle: &Handle<AnyKey>, command: &str) {
    let mut channel = handle.channel_open_session().await.unwrap();
    channel.exec(true, command).await.unwrap();
    let mut status = None;
    while let Some(message) = channel.wait().await {
        if let ChannelMsg::ExitStatus { exit_status } = message {
            status = Some(exit_status);
        }
    }
    assert_eq!(status, Some(0));
}
