//! A server of our own, packet by packet, for what no server library lets one say: other keys at a later key exchange, floods
//! of the messages that are passed over, data beyond the window. One cipher, one key exchange, one kind of host key.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;

use russh::keys::signature::Signer;
use russh::keys::ssh_key::Signature;
use russh::keys::{HashAlg, PrivateKey, load_secret_key};
use sshepherd_model::LoginShell;
use sshepherd_ssh::Target;
use sshepherd_testkit::{KeyKind, KeyPair};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use crate::common::{key, target_at};

mod crypto;

/// Message numbers (RFC 4250, 4.1.2).
pub(crate) mod message {
    pub(crate) const IGNORE: u8 = 2;
    pub(crate) const DEBUG: u8 = 4;
    pub(crate) const SERVICE_REQUEST: u8 = 5;
    pub(crate) const SERVICE_ACCEPT: u8 = 6;
    pub(crate) const KEXINIT: u8 = 20;
    pub(crate) const NEWKEYS: u8 = 21;
    pub(crate) const KEX_INIT: u8 = 30;
    pub(crate) const KEX_REPLY: u8 = 31;
    pub(crate) const AUTH_REQUEST: u8 = 50;
    pub(crate) const AUTH_SUCCESS: u8 = 52;
    pub(crate) const AUTH_BANNER: u8 = 53;
    pub(crate) const GLOBAL_REQUEST: u8 = 80;
    pub(crate) const CHANNEL_OPEN: u8 = 90;
    pub(crate) const CHANNEL_CONFIRMED: u8 = 91;
    pub(crate) const CHANNEL_REFUSED: u8 = 92;
    pub(crate) const WINDOW_ADJUST: u8 = 93;
    pub(crate) const CHANNEL_DATA: u8 = 94;
    pub(crate) const CHANNEL_EXTENDED_DATA: u8 = 95;
    pub(crate) const CHANNEL_CLOSE: u8 = 97;
    pub(crate) const CHANNEL_REQUEST: u8 = 98;
    pub(crate) const CHANNEL_SUCCESS: u8 = 99;
}

const VERSION: &str = "SSH-2.0-raw";
/// Ephemeral secrets need not be secret here.
const SECRET: [u8; 32] = [7; 32];

/// A packet's body, written field by field.
#[derive(Default, Clone)]
pub(crate) struct Body(pub(crate) Vec<u8>);

impl Body {
    pub(crate) fn new(kind: u8) -> Self {
        Self(vec![kind])
    }

    pub(crate) fn byte(mut self, value: u8) -> Self {
        self.0.push(value);
        self
    }

    pub(crate) fn number(mut self, value: u32) -> Self {
        self.0.extend_from_slice(&value.to_be_bytes());
        self
    }

    pub(crate) fn text(mut self, value: &[u8]) -> Self {
        self.0.extend_from_slice(&u32::try_from(value.len()).unwrap().to_be_bytes());
        self.0.extend_from_slice(value);
        self
    }

    /// A positive number (`mpint`).
    fn big(self, value: &[u8]) -> Self {
        let start = value.iter().position(|byte| *byte != 0).unwrap_or(value.len());
        let digits = value.get(start..).unwrap();
        let sign = digits.first().is_some_and(|first| *first >= 0x80);
        self.text(&[&vec![0; usize::from(sign)], digits].concat())
    }
}

/// One connection from the server's side.
pub(crate) struct Raw {
    stream: TcpStream,
    theirs: String,
    session: Option<Vec<u8>>,
    sealing: Option<Vec<u8>>,
    opening: Option<Vec<u8>>,
    sent: u32,
    read: u32,
    /// What a channel of the client is called there.
    pub(crate) channel: u32,
}

impl Raw {
    /// Exchanges version lines.
    pub(crate) async fn greet(mut stream: TcpStream) -> Option<Self> {
        stream.set_nodelay(true).ok()?;
        stream.write_all(format!("{VERSION}\r\n").as_bytes()).await.ok()?;
        let mut line = Vec::new();
        while !line.ends_with(b"\n") {
            line.push(stream.read_u8().await.ok()?);
        }
        let theirs = String::from_utf8(line).ok()?.trim_end().to_owned();
        let (sealing, opening) = (None, None);
        Some(Self { stream, theirs, session: None, sealing, opening, sent: 0, read: 0, channel: 0 })
    }

    /// A packet; sealed once keys are in use.
    pub(crate) async fn write(&mut self, body: &Body) -> Option<()> {
        let packet = self.pack(&body.0);
        self.stream.write_all(&packet).await.ok()
    }

    /// The packet's bytes as they go out; counts it as sent.
    pub(crate) fn pack(&mut self, body: &[u8]) -> Vec<u8> {
        let overhead = if self.sealing.is_some() { 1 } else { 5 };
        let padding = 8 - (body.len() + overhead + 4) % 8 + 4;
        let mut plain = vec![u8::try_from(padding).unwrap()];
        plain.extend_from_slice(body);
        plain.resize(plain.len() + padding, 0);
        let mut length = u32::try_from(plain.len()).unwrap().to_be_bytes();
        let sequence = self.sent;
        self.sent = self.sent.wrapping_add(1);
        let Some(keys) = &self.sealing else { return [&length[..], &plain].concat() };
        let (main, header) = keys.split_at(32);
        crypto::chacha20(header, sequence, 0, &mut length);
        crypto::chacha20(main, sequence, 1, &mut plain);
        let mut packet = [&length[..], &plain].concat();
        let mut once = [0; 32];
        crypto::chacha20(main, sequence, 0, &mut once);
        let tag = crypto::poly1305(&once, &packet);
        packet.extend_from_slice(&tag);
        packet
    }

    /// A packet that says it is as long as none can be.
    pub(crate) fn pack_with_a_huge_length(&mut self, body: &[u8]) -> Vec<u8> {
        let mut length = u32::MAX.to_be_bytes();
        let header = self.sealing.iter().flat_map(|keys| keys.iter().skip(32)).copied();
        crypto::chacha20(&header.collect::<Vec<u8>>(), self.sent, 0, &mut length);
        let packet = self.pack(body);
        length.into_iter().chain(packet.into_iter().skip(4)).collect()
    }

    /// A packet with one bit of its tag turned over.
    pub(crate) fn pack_with_a_bad_tag(&mut self, body: &[u8]) -> Vec<u8> {
        let mut packet = self.pack(body);
        if let Some(last) = packet.last_mut() {
            *last ^= 1;
        }
        packet
    }

    /// Bytes as they are.
    pub(crate) async fn write_bytes(&mut self, bytes: &[u8]) -> Option<()> {
        self.stream.write_all(bytes).await.ok()
    }

    /// The next packet's body; `None` at the end of the connection. Its tag is not looked at.
    pub(crate) async fn next(&mut self) -> Option<Vec<u8>> {
        let mut length = [0; 4];
        self.stream.read_exact(&mut length).await.ok()?;
        let sequence = self.read;
        self.read = self.read.wrapping_add(1);
        if let Some(keys) = &self.opening {
            crypto::chacha20(keys.get(32..)?, sequence, 0, &mut length);
        }
        let mut body = vec![0; usize::try_from(u32::from_be_bytes(length)).ok()?];
        self.stream.read_exact(&mut body).await.ok()?;
        if let Some(keys) = &self.opening {
            self.stream.read_exact(&mut [0; 16]).await.ok()?;
            crypto::chacha20(keys.get(..32)?, sequence, 1, &mut body);
        }
        let padding = usize::from(*body.first()?);
        Some(body.get(1..body.len() - padding)?.to_vec())
    }

    /// The next packet of a kind; others are passed over.
    pub(crate) async fn wait_for(&mut self, kind: u8) -> Option<Vec<u8>> {
        loop {
            let body = self.next().await?;
            if body.first() == Some(&kind) {
                return Some(body);
            }
        }
    }

    /// Our list of algorithms.
    pub(crate) fn kexinit() -> Body {
        let mut body = Body::new(message::KEXINIT);
        body.0.extend_from_slice(&[0; 16]);
        let both = |body: Body, name: &[u8]| body.text(name).text(name);
        body = body.text(b"curve25519-sha256").text(b"ssh-ed25519");
        body = both(body, b"chacha20-poly1305@openssh.com");
        body = both(body, b"hmac-sha2-256");
        body = both(body, b"none");
        both(body, b"").byte(0).number(0)
    }

    /// A key exchange, the first or a later one, in which `host_key` signs.
    pub(crate) async fn exchange_keys(&mut self, host_key: &PrivateKey) -> Option<()> {
        let ours = Self::kexinit();
        self.write(&ours).await?;
        let theirs = self.wait_for(message::KEXINIT).await?;
        let asked = self.wait_for(message::KEX_INIT).await?;
        let point: [u8; 32] = asked.get(5..)?.try_into().ok()?;
        let mut base = [0; 32];
        base[0] = 9;
        let public = crypto::x25519(&SECRET, &base);
        let shared = crypto::x25519(&SECRET, &point);
        let blob = host_key.public_key().to_bytes().ok()?;
        let hashed = Body::default()
            .text(self.theirs.as_bytes())
            .text(VERSION.as_bytes())
            .text(&theirs)
            .text(&ours.0)
            .text(&blob)
            .text(&point)
            .text(&public)
            .big(&shared);
        let hash = HashAlg::Sha256.digest(&hashed.0);
        let signature: Signature = host_key.try_sign(&hash).ok()?;
        let signed = Body::default().text(b"ssh-ed25519").text(signature.as_bytes());
        let reply = Body::new(message::KEX_REPLY).text(&blob).text(&public).text(&signed.0);
        self.write(&reply).await?;
        self.write(&Body::new(message::NEWKEYS)).await?;
        self.wait_for(message::NEWKEYS).await?;
        let session = self.session.get_or_insert_with(|| hash.clone()).clone();
        let derive = |letter: u8| {
            let start = [Body::default().big(&shared).0, hash.clone()].concat();
            let first = HashAlg::Sha256.digest(&[&start[..], &[letter], &session].concat());
            let second = HashAlg::Sha256.digest(&[&start[..], &first].concat());
            [first, second].concat()
        };
        (self.opening, self.sealing) = (Some(derive(b'C')), Some(derive(b'D')));
        Some(())
    }

    /// Takes the client's first request to log in, whoever it is.
    pub(crate) async fn asked_to_log_in(&mut self) -> Option<()> {
        self.wait_for(message::SERVICE_REQUEST).await?;
        self.write(&Body::new(message::SERVICE_ACCEPT).text(b"ssh-userauth")).await?;
        self.wait_for(message::AUTH_REQUEST).await.map(drop)
    }

    /// Lets the client in and confirms its first session with a window and a packet size.
    pub(crate) async fn let_in(&mut self, window: u32, packet: u32) -> Option<()> {
        self.asked_to_log_in().await?;
        self.write(&Body::new(message::AUTH_SUCCESS)).await?;
        let open = self.wait_for(message::CHANNEL_OPEN).await?;
        // `session`, then what the client calls it.
        self.channel = u32::from_be_bytes(open.get(12..16)?.try_into().ok()?);
        let id = self.channel;
        let confirmed = Body::new(message::CHANNEL_CONFIRMED).number(id).number(id);
        self.write(&confirmed.number(window).number(packet)).await
    }

    /// Waits for a command and confirms it.
    pub(crate) async fn take_command(&mut self) -> Option<()> {
        self.wait_for(message::CHANNEL_REQUEST).await?;
        self.write(&Body::new(message::CHANNEL_SUCCESS).number(self.channel)).await
    }

    /// Something on the client's channel.
    pub(crate) fn on_channel(&self, kind: u8) -> Body {
        Body::new(kind).number(self.channel)
    }

    pub(crate) fn exit_status(&self, status: u32) -> Body {
        self.on_channel(message::CHANNEL_REQUEST).text(b"exit-status").byte(0).number(status)
    }
}

/// The random mark in the text that was sent.
pub(crate) fn nonce(request: &[u8]) -> String {
    // Quotes travel as escapes.
    let text = String::from_utf8_lossy(request).replace("\\0047", "'").replace("\\047", "'");
    let hex = |word: &&str| word.len() == 16 && word.bytes().all(|b| b.is_ascii_hexdigit());
    let words: Vec<&str> = text.split(|c: char| !c.is_ascii_alphanumeric()).collect();
    words.iter().find(|word| hex(word)).map(|word| (*word).to_owned()).unwrap_or_default()
}

/// A listener that plays a script with every connection, numbered from zero.
pub(crate) struct RawServer {
    address: SocketAddr,
    _folder: TempDir,
    pair: KeyPair,
    _serving: JoinSet<()>,
}

/// Host keys to choose from.
pub(crate) struct HostKeys {
    pub(crate) known: PrivateKey,
    pub(crate) unknown: PrivateKey,
}

impl RawServer {
    /// Starts it. `script` gets a connection's number and socket, and the keys.
    pub(crate) async fn start<F>(
        script: impl Fn(usize, TcpStream, Arc<HostKeys>) -> F + Send + 'static,
    ) -> Self
    where
        F: Future<Output = Option<()>> + Send + 'static,
    {
        let folder = tempfile::tempdir().unwrap();
        let generate = |name: &str| {
            let pair = KeyPair::generate(&folder.path().join(name), KeyKind::Ed25519, "");
            let private = load_secret_key(pair.path(), None).unwrap();
            (pair, private)
        };
        let ((pair, known), (_, unknown)) = (generate("known"), generate("unknown"));
        let keys = Arc::new(HostKeys { known, unknown });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut serving = JoinSet::new();
        serving.spawn(async move {
            let mut connections = JoinSet::new();
            for number in 0.. {
                let Ok((socket, _)) = listener.accept().await else { return };
                connections.spawn(script(number, socket, Arc::clone(&keys)));
            }
        });
        Self { address, _folder: folder, pair, _serving: serving }
    }

    /// Who to connect to.
    pub(crate) fn target(&self) -> Target {
        let place = format!("[{}]:{}", self.address.ip(), self.address.port());
        Target {
            methods: vec![key(self.pair.path())],
            login_shell: LoginShell::RawWords,
            ..target_at(self.address, &format!("{place} {}\n", self.pair.public_key()))
        }
    }
}
