//! Logging in with a certificate to a real sshd that trusts an authority for users and no key by itself.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use sshepherd_model::{AuthMethod, Phase};
use sshepherd_ssh::Target;
use sshepherd_testkit::{Agent, KeyKind, KeyPair, Sshd};
use tempfile::TempDir;

use crate::common::{Ran, key, pool, refusal, run, target};

struct Ground {
    folder: TempDir,
    server: Sshd,
    authority: KeyPair,
}

impl Ground {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let authority = KeyPair::generate(&folder.path().join("ca"), KeyKind::Ed25519, "");
        let server = Sshd::start();
        server.authorize_nobody();
        server.prepend_config(&format!("TrustedUserCAKeys {}.pub", authority.path().display()));
        Self { folder, server, authority }
    }

    fn make(&self, name: &str, kind: KeyKind) -> KeyPair {
        KeyPair::generate(&self.folder.path().join(name), kind, "")
    }

    fn target(&self, method: AuthMethod) -> Target {
        Target { methods: vec![method], ..target(&self.server) }
    }

    async fn logs_in(&self, method: AuthMethod) {
        let target = Arc::new(self.target(method));
        assert_eq!(run(&pool(), &target, "echo in").await, Ran::said("in\n", "", 0));
    }
}

fn with(key: &Path, certificate: PathBuf) -> AuthMethod {
    AuthMethod::Key { path: key.to_owned(), certificate: Some(certificate), passphrase: None }
}

#[tokio::test]
async fn the_certificate_beside_each_kind_of_key_logs_in() {
    let ground = Ground::new();
    for (name, kind) in [("a", KeyKind::Ed25519), ("b", KeyKind::Ecdsa), ("c", KeyKind::Rsa)] {
        let pair = ground.make(name, kind);
        let alone = refusal(ground.target(key(pair.path()))).await;
        assert_eq!(alone.phase, Phase::Auth, "{alone:?}");
        assert!(!alone.detail.contains("certificate"), "{alone:?}");
        pair.certify(&ground.authority, &["-n", ground.server.user()]);
        ground.logs_in(key(pair.path())).await;
        let agent = Agent::with_key(&pair);
        ground.logs_in(AuthMethod::Agent { socket: agent.socket().to_owned(), only: None }).await;
    }
    // SHA-1 signatures are never made.
    assert!(!ground.server.log().contains("RSA SHA1:"), "{}", ground.server.log());
}

#[tokio::test]
async fn a_named_certificate_logs_in_and_must_be_the_keys() {
    let ground = Ground::new();
    let pair = ground.make("a", KeyKind::Ed25519);
    let made = pair.certify(&ground.authority, &["-n", ground.server.user()]);
    let moved = ground.folder.path().join("elsewhere.pub");
    std::fs::rename(made, &moved).unwrap();
    ground.logs_in(with(pair.path(), moved.clone())).await;

    let other = ground.make("b", KeyKind::Ed25519);
    let refused = refusal(ground.target(with(other.path(), moved))).await;
    assert!(refused.detail.contains("is for another key"), "{refused:?}");
    let absent = refusal(ground.target(with(pair.path(), "/nonexistent/c".into()))).await;
    assert!(absent.detail.contains("certificate /nonexistent/c cannot be read"), "{absent:?}");
    let public = PathBuf::from(format!("{}.pub", pair.path().display()));
    let no_certificate = refusal(ground.target(with(pair.path(), public))).await;
    assert!(no_certificate.detail.contains("is not a certificate"), "{no_certificate:?}");
}

#[tokio::test]
async fn a_certificate_that_is_no_good_is_followed_by_its_key() {
    let ground = Ground::new();
    let pair = ground.make("a", KeyKind::Ed25519);
    pair.certify(&ground.authority, &["-n", ground.server.user(), "-V", "-3d:-2d"]);
    let refused = refusal(ground.target(key(pair.path()))).await;
    assert!(refused.detail.contains("a-cert.pub, then key "), "{refused:?}");
    ground.server.authorize(pair.public_line());
    ground.logs_in(key(pair.path())).await;

    // One that is not the key's is passed over.
    let other = ground.make("b", KeyKind::Ed25519);
    other.certify(&ground.authority, &["-n", ground.server.user()]);
    let beside = format!("{}-cert.pub", pair.path().display());
    std::fs::copy(format!("{}-cert.pub", other.path().display()), beside).unwrap();
    ground.logs_in(key(pair.path())).await;
}
