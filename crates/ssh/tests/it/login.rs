//! Every way to log in, and what is said when it fails.

use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;

use sshepherd_model::{AuthMethod, Phase, Secret};
use sshepherd_ssh::Target;
use sshepherd_testkit::{Agent, KeyKind, Sshd, TestUser};

use crate::common::{Ran, key, pool, refusal, run, target};

#[tokio::test]
async fn each_kind_of_key_logs_in() {
    let mut server = Sshd::start();
    for kind in [KeyKind::Ed25519, KeyKind::Ecdsa, KeyKind::Rsa] {
        let pair = server.other_user_key(kind);
        let target = Target { methods: vec![key(pair.path())], ..target(&server) };
        let ran = run(&pool(), &Arc::new(target), "echo in").await;
        assert_eq!(ran, Ran::said("in\n", "", 0), "{kind:?}");
    }
    // SHA-1 signatures are never made.
    assert!(!server.log().contains("RSA SHA1:"), "{}", server.log());
}

#[tokio::test]
async fn an_encrypted_key_wants_its_passphrase_and_says_so() {
    let mut server = Sshd::start();
    let pair = server.encrypted_user_key("correct horse");
    let with = |passphrase: Option<&str>| Target {
        methods: vec![AuthMethod::Key {
            path: pair.path().to_owned(),
            certificate: None,
            passphrase: passphrase.map(|text| Secret::new(text.to_owned())),
        }],
        ..target(&server)
    };
    let right = Arc::new(with(Some("correct horse")));
    assert_eq!(run(&pool(), &right, "echo in").await, Ran::said("in\n", "", 0));
    let missing = refusal(with(None)).await;
    assert_eq!(missing.phase, Phase::Auth);
    assert!(missing.detail.contains("no passphrase"), "{missing:?}");
    let wrong = refusal(with(Some("battery staple"))).await;
    assert_eq!(wrong.phase, Phase::Auth);
    assert!(wrong.detail.contains("passphrase is wrong"), "{wrong:?}");
    assert!(!format!("{wrong:?}").contains("battery"), "{wrong:?}");
}

#[tokio::test]
async fn a_key_that_may_not_log_in_is_told_from_one_that_cannot_be_used() {
    let mut server = Sshd::start();
    let pair = server.wrong_user_key();
    let with = |path: &std::path::Path| Target { methods: vec![key(path)], ..target(&server) };

    let refused = refusal(with(pair.path())).await;
    assert_eq!(refused.phase, Phase::Auth);
    assert!(refused.detail.contains("refused key"), "{refused:?}");
    assert!(refused.detail.contains("accepts publickey"), "{refused:?}");

    let absent = refusal(with(std::path::Path::new("/nonexistent/key"))).await;
    assert_eq!(absent.phase, Phase::Auth);
    assert!(absent.detail.contains("cannot be read"), "{absent:?}");

    std::fs::set_permissions(pair.path(), std::fs::Permissions::from_mode(0o644)).unwrap();
    let open = refusal(with(pair.path())).await;
    assert_eq!(open.phase, Phase::Auth);
    assert!(open.detail.contains("mode 644"), "{open:?}");

    let public = std::path::PathBuf::from(format!("{}.pub", pair.path().display()));
    std::fs::set_permissions(&public, std::fs::Permissions::from_mode(0o600)).unwrap();
    let no_key = refusal(with(&public)).await;
    assert_eq!(no_key.phase, Phase::Auth);
    assert!(no_key.detail.contains("not a private key"), "{no_key:?}");
}

#[tokio::test]
async fn the_agent_logs_in_or_says_why_not() {
    let mut server = Sshd::start();
    let stranger = server.wrong_user_key();
    let agent = Agent::with_key(server.user_key());
    let with = |socket: &std::path::Path| Target {
        methods: vec![AuthMethod::Agent { socket: socket.to_owned(), only: None }],
        ..target(&server)
    };
    let target = Arc::new(with(agent.socket()));
    assert_eq!(run(&pool(), &target, "echo in").await, Ran::said("in\n", "", 0));

    let absent = refusal(with(std::path::Path::new("/nonexistent/agent"))).await;
    assert_eq!(absent.phase, Phase::Auth);
    assert!(absent.detail.contains("ssh-agent at /nonexistent/agent"), "{absent:?}");

    let other = Agent::with_key(&stranger);
    let refused = refusal(with(other.socket())).await;
    assert_eq!(refused.phase, Phase::Auth);
    assert!(refused.detail.contains("refused ssh-agent"), "{refused:?}");
}

#[tokio::test]
async fn methods_are_tried_in_order_until_one_is_accepted() {
    let mut server = Sshd::start();
    let wrong = server.wrong_user_key();
    let methods = vec![key(wrong.path()), key(server.user_key_path())];
    let target = Arc::new(Target { methods, ..target(&server) });
    assert_eq!(run(&pool(), &target, "echo in").await, Ran::said("in\n", "", 0));
}

#[tokio::test]
async fn a_password_logs_in_and_is_never_told() {
    let user = match TestUser::ensure() {
        Ok(user) => user,
        Err(reason) => {
            assert!(!sshepherd_testkit::account::is_root(), "{reason}");
            return;
        }
    };
    let server = Sshd::builder().login_as(&user).passwords().start();
    let with = |password: &str| Target {
        methods: vec![AuthMethod::Password(Secret::new(password.to_owned()))],
        ..target(&server)
    };
    let right = Arc::new(with(user.password()));
    assert_eq!(run(&pool(), &right, "id -un").await, Ran::said("sshepherd-test\n", "", 0));
    let wrong = refusal(with("not-the-password")).await;
    assert_eq!(wrong.phase, Phase::Auth);
    assert!(wrong.detail.contains("refused password"), "{wrong:?}");
    assert!(!format!("{wrong:?}").contains("not-the-password"), "{wrong:?}");
}
