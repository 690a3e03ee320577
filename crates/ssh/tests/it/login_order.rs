//! Methods that fail on our side are noted and the next one is tried: every such failure before every method that works.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sshepherd_model::{AgentKey, AuthMethod, Phase, Secret};
use sshepherd_ssh::Target;
use sshepherd_testkit::{Agent, KeyKind, KeyPair, Sshd};
use tempfile::TempDir;

use crate::common::{Ran, key, pool, refusal, run, target};

fn agent(socket: &Path, only: Option<AgentKey>) -> AuthMethod {
    AuthMethod::Agent { socket: socket.to_owned(), only }
}

fn locked(path: &Path, passphrase: Option<&str>) -> AuthMethod {
    let passphrase = passphrase.map(|text| Secret::new(text.to_owned()));
    AuthMethod::Key { path: path.to_owned(), certificate: None, passphrase }
}

async fn logs_in(server: &Sshd, methods: Vec<AuthMethod>) {
    let target = Arc::new(Target { methods, ..target(server) });
    assert_eq!(run(&pool(), &target, "echo in").await, Ran::said("in\n", "", 0));
}

/// What may be wrong on our side, and the words that tell it.
struct Broken {
    _folder: TempDir,
    agents: [Agent; 3],
    methods: Vec<(AuthMethod, &'static str)>,
}

impl Broken {
    fn new(server: &mut Sshd) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str, text: &str, mode: u32| -> PathBuf {
            let path = folder.path().join(name);
            std::fs::write(&path, text).unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            path
        };
        let encrypted = server.encrypted_user_key("correct horse");
        let in_clear = std::fs::read_to_string(server.user_key_path()).unwrap();
        let (open, odd) = (file("open", &in_clear, 0o644), file("odd", "no key\n", 0o600));
        let certified = AuthMethod::Unusable { name: "key_path".into(), problem: "is gone".into() };
        let agents = [Agent::start(), Agent::start(), Agent::start()];
        let [empty, confirms, other] = &agents;
        let consent = server.other_user_key(KeyKind::Ed25519);
        confirms.add_to_be_confirmed(consent.path());
        other.add(server.wrong_user_key().path());
        let print = AgentKey::Fingerprint(format!("SHA256:{}", "A".repeat(43)));
        let methods = vec![
            (locked(encrypted.path(), None), "is encrypted and no passphrase is configured"),
            (locked(encrypted.path(), Some("wrong")), "the passphrase is wrong"),
            (key(Path::new("/nonexistent/key")), "cannot be read"),
            (key(&open), "mode 644"),
            (key(&odd), "not a private key"),
            (key(folder.path()), "no regular file"),
            (certified, "key_path: is gone"),
            (agent(Path::new("/nonexistent/agent"), None), "ssh-agent at /nonexistent/agent"),
            (agent(empty.socket(), None), "it holds no keys"),
            (agent(confirms.socket(), None), "it refuses to sign with SHA256:"),
            (agent(other.socket(), Some(print)), "it does not hold the key SHA256:AAAA"),
            (agent(other.socket(), Some(AgentKey::PublicFile(odd))), "is no public key"),
        ];
        Self { _folder: folder, agents, methods }
    }
}

#[tokio::test]
async fn a_method_that_fails_on_our_side_does_not_end_the_log_in() {
    let mut server = Sshd::start();
    let broken = Broken::new(&mut server);
    let holds = Agent::with_key(server.user_key());
    for (method, words) in &broken.methods {
        for works in [key(server.user_key_path()), agent(holds.socket(), None)] {
            logs_in(&server, vec![method.clone(), works]).await;
        }
        let failure = refusal(Target { methods: vec![method.clone()], ..target(&server) }).await;
        assert_eq!(failure.phase, Phase::Auth, "{words}");
        assert!(failure.detail.contains(words), "{words}: {failure:?}");
        assert!(!failure.hint.is_empty(), "{words}");
    }
    // All of them before the one that works, and each named where none does.
    let all = || broken.methods.iter().map(|(method, _)| method.clone());
    logs_in(&server, all().chain([key(server.user_key_path())]).collect()).await;
    let stranger = server.wrong_user_key();
    let some = all().take(4).chain([key(stranger.path())]).collect();
    let failure = refusal(Target { methods: some, ..target(&server) }).await;
    assert!(failure.detail.contains("refused key"), "{failure:?}");
    for (_, words) in broken.methods.iter().take(4) {
        assert!(failure.detail.contains(words), "{words}: {failure:?}");
    }
    drop(broken.agents);
}

#[tokio::test]
async fn a_host_is_not_contacted_where_nothing_can_be_tried() {
    let server = Sshd::start();
    let methods = vec![key(Path::new("/nonexistent/key"))];
    let failure = refusal(Target { methods, ..target(&server) }).await;
    assert!(failure.detail.contains("no way to log in"), "{failure:?}");
    assert_eq!(server.connections(), Some(0));
}

#[tokio::test]
async fn an_encrypted_key_that_the_agent_holds_comes_first_of_its_keys() {
    let mut server = Sshd::start();
    let pair = server.encrypted_user_key("correct horse");
    let holds = Agent::start();
    for _ in 0..7 {
        holds.add(server.wrong_user_key().path());
    }
    // The agent takes it in clear.
    let folder = tempfile::tempdir().unwrap();
    let clear = folder.path().join("id");
    std::fs::copy(pair.path(), &clear).unwrap();
    let changed = std::process::Command::new("ssh-keygen")
        .args(["-q", "-p", "-P", "correct horse", "-N", "", "-f"])
        .arg(&clear)
        .status()
        .unwrap();
    assert!(changed.success());
    holds.add(&clear);
    logs_in(&server, vec![locked(pair.path(), None), agent(holds.socket(), None)]).await;
    // Without the file, the server ends the connection before its turn comes, and the cause is told.
    let failure = refusal(Target { methods: vec![agent(holds.socket(), None)], ..target(&server) });
    let failure = failure.await;
    assert!(failure.detail.contains("it had refused"), "{failure:?}");
    assert!(failure.hint.contains("agent_key"), "{failure:?}");
}

#[tokio::test]
async fn one_key_of_an_agent_of_many_is_the_only_one_offered() {
    let mut server = Sshd::builder().config_line("MaxAuthTries 1").start();
    let holds = Agent::start();
    for _ in 0..12 {
        holds.add(server.wrong_user_key().path());
    }
    holds.add(server.user_key_path());
    let public = PathBuf::from(format!("{}.pub", server.user_key_path().display()));
    logs_in(&server, vec![agent(holds.socket(), Some(AgentKey::PublicFile(public)))]).await;
    let print = std::process::Command::new("ssh-keygen")
        .arg("-lf")
        .arg(server.user_key_path())
        .output()
        .unwrap();
    let print = String::from_utf8(print.stdout).unwrap();
    let print = print.split(' ').nth(1).unwrap().to_owned();
    logs_in(&server, vec![agent(holds.socket(), Some(AgentKey::Fingerprint(print)))]).await;
    assert!(!server.log().contains("Failed publickey"), "{}", server.log());
}

#[tokio::test]
async fn a_key_after_an_agent_of_many_is_tried_on_a_connection_of_its_own() {
    let mut server = Sshd::start();
    let holds = Agent::start();
    for _ in 0..12 {
        holds.add(server.wrong_user_key().path());
    }
    let methods = vec![agent(holds.socket(), None), key(server.user_key_path())];
    logs_in(&server, methods).await;
    assert_eq!(server.connections(), Some(2));
}

#[tokio::test]
async fn a_comment_that_is_no_text_does_not_hide_the_keys_of_an_agent() {
    let server = Sshd::start();
    let folder = tempfile::tempdir().unwrap();
    let pair = KeyPair::generate(&folder.path().join("latin"), KeyKind::Ed25519, "");
    let changed = std::process::Command::new("sh")
        .args(["-c", "ssh-keygen -q -c -C \"$(printf 'cl\\351')\" -f \"$1\" >/dev/null", "sh"])
        .arg(pair.path())
        .status()
        .unwrap();
    assert!(changed.success());
    let holds = Agent::start();
    holds.add(pair.path());
    holds.add(server.user_key_path());
    logs_in(&server, vec![agent(holds.socket(), None)]).await;
}

#[tokio::test]
async fn the_agent_that_refuses_one_key_is_asked_for_the_next() {
    let mut server = Sshd::start();
    let (first, holds) = (server.other_user_key(KeyKind::Ed25519), Agent::start());
    holds.add_to_be_confirmed(first.path());
    holds.add(server.user_key_path());
    logs_in(&server, vec![agent(holds.socket(), None)]).await;
}

#[tokio::test]
async fn a_key_reached_by_a_link_logs_in() {
    let server = Sshd::start();
    let folder = tempfile::tempdir().unwrap();
    let link = folder.path().join("id");
    std::os::unix::fs::symlink(server.user_key_path(), &link).unwrap();
    logs_in(&server, vec![key(&link)]).await;
}
