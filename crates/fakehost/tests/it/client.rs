//! A small russh client for the tests beside this file.

use std::sync::Arc;
use std::time::Duration;

use russh::client::{self, AuthResult, Handle};
use russh::keys::{PrivateKey, PrivateKeyWithHashAlg, PublicKey, PublicKeyOrCertificate};
use russh::{Channel, ChannelMsg, Sig};
use sshepherd_fakehost::{FakeFleet, FakeHost, FakeHostSpec};

/// No event of these tests takes this long; a wait that runs into it is a failure.
pub(crate) const LIMIT: Duration = Duration::from_secs(20);

/// Checks the host key against what the fake host says of itself.
pub(crate) struct Client(String);

impl client::Handler for Client {
    type Error = russh::Error;

    async fn check_server_key(
        &mut self,
        offered: &PublicKeyOrCertificate,
    ) -> Result<bool, Self::Error> {
        let PublicKeyOrCertificate::PublicKey { key, .. } = offered else {
            return Ok(false);
        };
        let expected = PublicKey::from_openssh(&self.0).unwrap();
        Ok(key.key_data() == expected.key_data())
    }
}

/// What a command came to.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Ran {
    pub(crate) out: String,
    pub(crate) err: String,
    pub(crate) status: Option<u32>,
    pub(crate) signal: Option<String>,
    /// Whether the end of output was told, and then the channel closed.
    pub(crate) closed_in_order: bool,
}

pub(crate) fn fleet(spec: FakeHostSpec) -> FakeFleet {
    FakeFleet::in_memory(vec![spec]).unwrap()
}

pub(crate) async fn connect(host: &FakeHost) -> Result<Handle<Client>, russh::Error> {
    let config = Arc::new(client::Config::default());
    client::connect_stream(config, host.connect(), Client(host.host_key().to_owned())).await
}

pub(crate) async fn key_login(fleet: &FakeFleet, handle: &mut Handle<Client>, user: &str) -> bool {
    let key = PrivateKey::from_openssh(fleet.client_key_text().unwrap()).unwrap();
    let key = PrivateKeyWithHashAlg::new(Arc::new(key), None);
    matches!(handle.authenticate_publickey(user, key).await.unwrap(), AuthResult::Success)
}

/// A logged-in connection to the first host.
pub(crate) async fn login(fleet: &FakeFleet) -> Handle<Client> {
    let host = fleet.hosts().first().unwrap();
    let mut handle = connect(host).await.unwrap();
    assert!(key_login(fleet, &mut handle, host.user()).await);
    handle
}

pub(crate) async fn start(handle: &Handle<Client>, command: &str) -> Channel<client::Msg> {
    let channel = handle.channel_open_session().await.unwrap();
    channel.exec(true, command).await.unwrap();
    channel
}

/// Reads a channel to its end.
pub(crate) async fn finish(channel: &mut Channel<client::Msg>) -> Ran {
    let mut ran = Ran::default();
    let mut ended = false;
    let mut out = Vec::new();
    while let Some(message) = tokio::time::timeout(LIMIT, channel.wait()).await.unwrap() {
        match message {
            ChannelMsg::Data { data } => out.extend_from_slice(&data),
            ChannelMsg::ExtendedData { data, ext: 1 } => ran.err += &String::from_utf8_lossy(&data),
            ChannelMsg::ExitStatus { exit_status } => ran.status = Some(exit_status),
            ChannelMsg::ExitSignal { signal_name, .. } => {
                ran.signal = Some(format!("{signal_name:?}"))
            }
            ChannelMsg::Eof => ended = true,
            ChannelMsg::Close => ran.closed_in_order = ended,
            _ => {}
        }
    }
    ran.out = String::from_utf8_lossy(&out).into_owned();
    ran
}

pub(crate) async fn run(handle: &Handle<Client>, command: &str) -> Ran {
    finish(&mut start(handle, command).await).await
}

/// Reads until the first bytes of output.
pub(crate) async fn first_output(channel: &mut Channel<client::Msg>) -> Vec<u8> {
    loop {
        match tokio::time::timeout(LIMIT, channel.wait()).await.unwrap().unwrap() {
            ChannelMsg::Data { data } => return data.to_vec(),
            ChannelMsg::Close | ChannelMsg::Eof => panic!("no output"),
            _ => {}
        }
    }
}

pub(crate) async fn signal(channel: &Channel<client::Msg>, signal: Sig) {
    channel.signal(signal).await.unwrap();
}
