//! What a host asks while logging in, answered by a person through the client: in both eras, where the owner lets it, and
//! with an answer that is seen nowhere else.

use std::fs::{self, File};
use std::path::Path;
use std::process::Stdio;
use std::sync::{Arc, Mutex};

use russh::keys::load_secret_key;
use russh::server::{Auth, ChannelOpenHandle, Config, Handler, Msg, Response, Session};
use russh::{Channel, ChannelId, MethodKind, MethodSet};
use serde_json::{Value, json};
use sshepherd_testkit::{KeyKind, KeyPair};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use super::client::{Client, ERAS, Era, News, Person};
use crate::site::{ALIAS, OK, Site};

/// What the host takes for right, turn by turn; found nowhere but there.
const CODE: &str = "7193-0cd8-e3b1";

type Rounds = &'static [(&'static str, bool)];

/// A host that asks, and what it was told.
struct Asking {
    site: Site,
    told: Arc<Mutex<Vec<String>>>,
    _serving: JoinSet<()>,
}

#[derive(Clone)]
struct Host {
    rounds: Rounds,
    told: Arc<Mutex<Vec<String>>>,
    turn: usize,
}

impl Asking {
    async fn start(rounds: Rounds, elicitation: &str) -> Self {
        let site = Site::new();
        let pair = KeyPair::generate(&site.path("host_key"), KeyKind::Ed25519, "");
        let config = Arc::new(Config {
            keys: vec![load_secret_key(pair.path(), None).unwrap()],
            methods: MethodSet::from([MethodKind::KeyboardInteractive].as_slice()),
            auth_rejection_time: std::time::Duration::ZERO,
            ..Config::default()
        });
        let told = Arc::new(Mutex::default());
        let host = Host { rounds, told: Arc::clone(&told), turn: 0 };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let mut serving = JoinSet::new();
        serving.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((socket, _)) = listener.accept().await {
                let (config, host) = (Arc::clone(&config), host.clone());
                connections.spawn(async move {
                    if let Ok(session) = russh::server::run_stream(config, socket, host).await {
                        let _ = session.await;
                    }
                });
            }
        });
        site.write("known_hosts", &format!("[127.0.0.1]:{port} {}\n", pair.public_key()));
        site.write(
            "credentials.yml",
            "entries:\n  - {name: test, username: ops, interactive: true}\n",
        );
        site.write(
            "servers.yml",
            &format!(
                "hosts:\n  - {{alias: {ALIAS}, host: 127.0.0.1, port: {port}, credentials: test, login_shell: raw-words}}\n"
            ),
        );
        let prompts = format!("audit: {{path: audit.jsonl, commands: true}}\n{elicitation}\n");
        site.write("sshepherd.yml", &prompts);
        Self { site, told, _serving: serving }
    }

    fn told(&self) -> Vec<String> {
        self.told.lock().unwrap().clone()
    }
}

impl Handler for Host {
    type Error = russh::Error;

    async fn auth_keyboard_interactive<'a>(
        &'a mut self,
        _user: &str,
        _submethods: &str,
        response: Option<Response<'a>>,
    ) -> Result<Auth, Self::Error> {
        if let Some(given) = response {
            let words: Vec<_> =
                given.map(|word| String::from_utf8(word.to_vec()).unwrap()).collect();
            let right = words == [CODE];
            self.told.lock().unwrap().extend(words);
            self.turn += 1;
            if !right {
                return Ok(Auth::reject());
            }
        }
        Ok(match self.rounds.get(self.turn) {
            Some(round) => Auth::Partial {
                name: "".into(),
                instructions: "".into(),
                prompts: vec![(round.0.into(), round.1)].into(),
            },
            None => Auth::Accept,
        })
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
        session.channel_success(channel)?;
        session.data(channel, "in\n")?;
        session.exit_status_request(channel, 0)?;
        session.close(channel)
    }
}

fn call() -> Value {
    json!({"alias": ALIAS, "command": OK})
}

/// Whether a file of this folder, or of one in it, holds the code.
fn holds_the_code(folder: &Path) -> bool {
    fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).any(|path| {
        if path.is_dir() {
            return holds_the_code(&path);
        }
        // Sockets and the like hold nothing.
        let text = fs::read(&path).unwrap_or_default();
        text.windows(CODE.len()).any(|window| window == CODE.as_bytes())
    })
}

#[tokio::test]
async fn a_person_answers_in_both_eras_and_the_answer_is_seen_nowhere_else() {
    let rounds: Rounds = &[("Code: ", false), ("Code again: ", true)];
    for era in ERAS {
        let host = Asking::start(rounds, "prompts: {elicitation: all}").await;
        let log = host.site.path("log");
        let stderr = Stdio::from(File::create(&log).unwrap());
        let person = Some(Person::Types(CODE));
        let mut client = Client::start_logged(&host.site.serve(), era, person, stderr).await;
        let answer = client.good("ssh_run", call()).await;
        assert_eq!(answer["output"], "in\n", "{era:?}: {answer}");
        assert_eq!(host.told(), [CODE, CODE], "{era:?}");
        assert!(!answer.to_string().contains(CODE), "{answer}");
        for words in ["\nCode:", "\nCode again:"] {
            let News::Asked(shown) = client.hear(|news| matches!(news, News::Asked(_))).await
            else {
                panic!()
            };
            let opening = format!("The host {ALIAS} asks ops while logging in.");
            assert!(shown.starts_with(&opening) && shown.ends_with(words), "{era:?}: {shown}");
        }
        let status = json!({"task_id": answer["task_id"]});
        let task = client.good("ssh_get_task_status", status).await;
        assert!(!task.to_string().contains(CODE), "{task}");
        drop(client);
        assert!(fs::read_to_string(&log).unwrap().contains(" INFO "), "it logs all it may");
        assert!(!holds_the_code(host.site.path("").as_path()), "{era:?}");
    }
}

#[tokio::test]
async fn what_may_not_go_through_the_client_is_told_to_need_a_terminal() {
    let (code, seen, password): (Rounds, Rounds, Rounds) =
        (&[("Code: ", false)], &[("Code: ", true)], &[("Password: ", false)]);
    let types = Some(Person::Types(CODE));
    for era in ERAS {
        for (rounds, elicitation, person, asked) in [
            (seen, "", types, false),
            (code, "prompts: {elicitation: visible}", types, false),
            (password, "prompts: {elicitation: all}", types, false),
            (seen, "prompts: {elicitation: visible}", None, false),
            (seen, "prompts: {elicitation: visible}", Some(Person::Declines), true),
        ] {
            let host = Asking::start(rounds, elicitation).await;
            let mut client = Client::start_for(&host.site.serve(), era, person).await;
            let answer = client.bad("ssh_run", call()).await;
            let about = format!("{era:?} {elicitation} {person:?}: {answer}");
            assert_eq!(answer["status"], "could_not_connect", "{about}");
            assert!(answer["hint"].as_str().unwrap().contains("`sshepherd run`"), "{about}");
            assert_eq!(host.told(), Vec::<String>::new(), "{about}");
            if asked {
                client.hear(|news| matches!(news, News::Asked(_))).await;
            }
        }
    }
}

#[tokio::test]
async fn a_visible_question_needs_the_owners_word_only() {
    let host = Asking::start(&[("Code: ", true)], "prompts: {elicitation: visible}").await;
    for era in ERAS {
        let person = Some(Person::Types(CODE));
        let client = Client::start_for(&host.site.serve(), era, person).await;
        assert_eq!(client.good("ssh_run", call()).await["output"], "in\n", "{era:?}");
    }
    let client =
        Client::start_for(&host.site.serve(), Era::Session, Some(Person::Types("1"))).await;
    let answer = client.bad("ssh_run", call()).await;
    assert_eq!(answer["status"], "could_not_connect", "a wrong answer: {answer}");
}

#[tokio::test]
async fn a_call_that_is_given_up_does_not_wait_for_the_form() {
    let host = Asking::start(&[("Code: ", false)], "prompts: {elicitation: all}").await;
    let mut client = Client::start_for(&host.site.serve(), Era::Session, Some(Person::Sits)).await;
    let started = client.good("ssh_run_async", call()).await;
    client.hear(|news| matches!(news, News::Asked(_))).await;
    let task = json!({"task_id": started["task_id"]});
    let ended = client.good("ssh_cancel_async_task", task).await;
    assert!(ended.to_string().contains("cancelled"), "{ended}");
    assert_eq!(host.told(), Vec::<String>::new());
}
