//! A fake server, on russh in this process, that turns round on its client: opens channels, hangs up, talks too early.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use russh::keys::load_secret_key;
use russh::server::{Auth, ChannelOpenHandle, Config, Handle, Handler, Msg, Session};
use russh::{Channel, ChannelId, MethodKind, MethodSet};
use sshepherd_model::{AuthMethod, LoginShell, Outcome, Phase, Secret};
use sshepherd_ssh::Target;
use sshepherd_testkit::{KeyKind, KeyPair};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use crate::common::{Ran, exec, key, pool, refusal, run, target_at};

/// What the fake does, and what was asked of it.
#[derive(Default)]
pub(crate) struct Nature {
    /// The ways to log in that it names; keys are always accepted.
    pub(crate) methods: Vec<MethodKind>,
    /// What it asks, turn by turn, and what it takes for right.
    pub(crate) rounds: Vec<Vec<(&'static str, bool)>>,
    pub(crate) right: Vec<Vec<&'static str>>,
    pub(crate) answers: Mutex<Vec<Vec<String>>>,
    /// A key is not enough: the questions come on top.
    pub(crate) wants_both: bool,
    /// As a jump host: what it says in the other host's place; nothing, not even that the way is open, without.
    pub(crate) in_its_place: Option<&'static [u8]>,
    pub(crate) held: Mutex<Vec<ChannelOpenHandle>>,
    pub(crate) hangs_up_in_auth: bool,
    /// Messages of output before it confirms a command.
    pub(crate) early: usize,
    pub(crate) passwords: Mutex<Vec<String>>,
}

pub(crate) struct Fake {
    address: SocketAddr,
    keys: (TempDir, KeyPair),
    pub(crate) nature: Arc<Nature>,
    _serving: JoinSet<()>,
}

impl Fake {
    pub(crate) async fn start(nature: Nature) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let pair = KeyPair::generate(&folder.path().join("key"), KeyKind::Ed25519, "");
        let config = Arc::new(Config {
            keys: vec![load_secret_key(pair.path(), None).unwrap()],
            methods: MethodSet::from(nature.methods.as_slice()),
            auth_rejection_time: std::time::Duration::ZERO,
            ..Config::default()
        });
        let nature = Arc::new(nature);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut serving = JoinSet::new();
        let shared = Arc::clone(&nature);
        serving.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((socket, _)) = listener.accept().await {
                let (config, nature) = (Arc::clone(&config), Arc::clone(&shared));
                connections.spawn(async move {
                    if let Ok(session) =
                        russh::server::run_stream(config, socket, Connection { nature }).await
                    {
                        let _ = session.await;
                    }
                });
            }
        });
        Self { address, keys: (folder, pair), nature, _serving: serving }
    }

    pub(crate) fn target(&self) -> Target {
        let pair = &self.keys.1;
        let known =
            format!("[{}]:{} {}\n", self.address.ip(), self.address.port(), pair.public_key());
        Target {
            methods: vec![key(pair.path())],
            login_shell: LoginShell::RawWords,
            ..target_at(self.address, &known)
        }
    }
}

struct Connection {
    nature: Arc<Nature>,
}

impl Handler for Connection {
    type Error = russh::Error;

    async fn auth_publickey(
        &mut self,
        _user: &str,
        _key: russh::server::VerifiedPublicKey<'_>,
    ) -> Result<Auth, Self::Error> {
        if self.nature.hangs_up_in_auth {
            return Err(russh::Error::Disconnect);
        }
        if self.nature.wants_both {
            return Ok(Auth::Reject {
                proceed_with_methods: Some(MethodSet::from(self.nature.methods.as_slice())),
                partial_success: true,
            });
        }
        Ok(Auth::Accept)
    }

    async fn auth_publickey_offered(
        &mut self,
        _user: &str,
        _offer: russh::server::PublicKeyOffer<'_>,
    ) -> Result<Auth, Self::Error> {
        Ok(Auth::Accept)
    }

    async fn auth_password(&mut self, _user: &str, password: &str) -> Result<Auth, Self::Error> {
        self.nature.passwords.lock().unwrap().push(password.to_owned());
        Ok(Auth::Accept)
    }

    async fn auth_keyboard_interactive<'a>(
        &'a mut self,
        _user: &str,
        _submethods: &str,
        response: Option<russh::server::Response<'a>>,
    ) -> Result<Auth, Self::Error> {
        let nature = &self.nature;
        let mut answers = nature.answers.lock().unwrap();
        match response {
            None => answers.clear(),
            Some(given) => {
                answers.push(given.map(|word| String::from_utf8(word.to_vec()).unwrap()).collect())
            }
        }
        Ok(match nature.rounds.get(answers.len()) {
            Some(round) => Auth::Partial {
                name: "".into(),
                instructions: "By order of\u{202e} the\u{1b} owner".into(),
                prompts: round.iter().map(|(text, echo)| ((*text).into(), *echo)).collect(),
            },
            None if *answers == nature.right => Auth::Accept,
            None => Auth::reject(),
        })
    }

    async fn channel_open_direct_tcpip(
        &mut self,
        channel: Channel<Msg>,
        _host: &str,
        _port: u32,
        _originator: &str,
        _originator_port: u32,
        reply: ChannelOpenHandle,
        session: &mut Session,
    ) -> Result<(), Self::Error> {
        match self.nature.in_its_place {
            None => self.nature.held.lock().unwrap().push(reply),
            Some(words) => {
                reply.accept().await;
                // Only this very session, when it goes on, makes the channel ready for data.
                let (handle, id) = (session.handle(), channel.id());
                tokio::spawn(async move {
                    let _ = handle.data(id, words).await;
                    let _ = handle.eof(id).await;
                    let _ = handle.close(id).await;
                });
            }
        }
        Ok(())
    }

    async fn channel_open_session(
        &mut self,
        _channel: Channel<Msg>,
        reply: ChannelOpenHandle,
        _session: &mut Session,
    ) -> Result<(), Self::Error> {
        reply.accept().await;
        Ok(())
    }

    async fn exec_request(
        &mut self,
        channel: ChannelId,
        _text: &[u8],
        session: &mut Session,
    ) -> Result<(), Self::Error> {
        for _ in 0..self.nature.early {
            session.data(channel, "early\n")?;
        }
        session.channel_success(channel)?;
        // The answers to what it opens come through this very session, so it must not wait here.
        let handle = session.handle();
        tokio::spawn(async move {
            let said = attempts(&handle).await;
            let _ = handle.data(channel, said).await;
            let _ = handle.exit_status_request(channel, 0).await;
            let _ = handle.close(channel).await;
        });
        Ok(())
    }
}

/// Opens every kind of channel towards the client; one line for each.
async fn attempts(handle: &Handle) -> String {
    let tried = [
        ("agent", handle.channel_open_agent().await),
        ("session", handle.channel_open_session().await),
        ("direct-tcpip", handle.channel_open_direct_tcpip("127.0.0.1", 22, "127.0.0.1", 1).await),
        ("direct-streamlocal", handle.channel_open_direct_streamlocal("/run/x").await),
        ("forwarded-tcpip", handle.channel_open_forwarded_tcpip("::", 22, "127.0.0.1", 1).await),
        ("streamlocal", handle.channel_open_forwarded_streamlocal("/run/x").await),
        ("x11", handle.channel_open_x11("127.0.0.1", 1).await),
    ];
    let line = |(kind, result): (&str, Result<Channel<Msg>, russh::Error>)| match result {
        Ok(_) => format!("{kind} open\n"),
        Err(russh::Error::ChannelOpenFailure(_)) => format!("{kind} refused\n"),
        Err(error) => format!("{kind} {error}\n"),
    };
    tried.into_iter().map(line).collect()
}

#[tokio::test]
async fn whatever_a_server_opens_is_refused_and_the_command_goes_on() {
    let fake = Fake::start(Nature::default()).await;
    let expected = "agent refused\nsession refused\ndirect-tcpip refused\ndirect-streamlocal refused\n\
        forwarded-tcpip refused\nstreamlocal refused\nx11 refused\n";
    let ran = run(&pool(), &Arc::new(fake.target()), "anything").await;
    assert_eq!(ran, Ran::said(expected, "", 0));
}

#[tokio::test]
async fn a_password_is_not_sent_to_a_server_that_does_not_offer_to_take_one() {
    for (methods, sent) in [
        (vec![MethodKind::PublicKey], Vec::new()),
        (vec![MethodKind::PublicKey, MethodKind::Password], vec!["hunter2".to_owned()]),
    ] {
        let fake = Fake::start(Nature { methods, ..Nature::default() }).await;
        let password = AuthMethod::Password(Secret::new("hunter2".to_owned()));
        let target = Target { methods: vec![password], ..fake.target() };
        let opened = pool().open(Arc::new(target)).await.map(drop);
        assert_eq!(*fake.nature.passwords.lock().unwrap(), sent);
        match opened {
            Ok(()) => assert!(!sent.is_empty()),
            Err(failure) => {
                assert!(sent.is_empty(), "{failure:?}");
                assert_eq!(failure.phase, Phase::Auth);
                assert!(failure.detail.contains("password (not sent"), "{failure:?}");
                assert!(failure.detail.contains("accepts publickey"), "{failure:?}");
            }
        }
    }
}

#[tokio::test]
async fn a_connection_cut_in_the_log_in_is_not_told_as_a_refusal() {
    let methods = vec![MethodKind::PublicKey];
    let fake = Fake::start(Nature { methods, hangs_up_in_auth: true, ..Nature::default() }).await;
    let failure = refusal(fake.target()).await;
    assert_eq!(failure.phase, Phase::Auth);
    assert!(failure.detail.contains("ended while logging in"), "{failure:?}");
}

#[tokio::test]
async fn output_before_the_confirmation_is_kept_within_a_bound() {
    let fake = Fake::start(Nature { early: 3, ..Nature::default() }).await;
    let ran = run(&pool(), &Arc::new(fake.target()), "anything").await;
    assert!(ran.out.starts_with(b"early\nearly\nearly\nagent"), "{ran:?}");
    let fake = Fake::start(Nature { early: 100, ..Nature::default() }).await;
    let ready = pool().open(Arc::new(fake.target())).await.unwrap();
    match ready.exec(exec("anything")).await.map(drop) {
        Err(Outcome::Interrupted(told)) => {
            assert!(format!("{told:?}").contains("too much"), "{told:?}");
        }
        other => panic!("{other:?}"),
    }
}
