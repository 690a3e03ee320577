//! Which host keys let a connection through.

use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;

use sshepherd_model::Phase;
use sshepherd_ssh::{KnownHosts, Target};
use sshepherd_testkit::{KeyKind, Sshd};

use crate::common::{Ran, known, pool, refusal, run, target};

fn with(server: &Sshd, text: &str) -> Target {
    Target { known_hosts: known(text), ..target(server) }
}

#[tokio::test]
async fn unknown_changed_and_revoked_keys_are_refused_each_in_its_words() {
    let server = Sshd::start();
    let name = server.known_hosts_name();
    let unknown = refusal(with(&server, "")).await;
    assert_eq!(unknown.phase, Phase::HostKey);
    assert!(unknown.detail.contains("is not known"), "{unknown:?}");
    assert!(unknown.detail.contains("SHA256:"), "{unknown:?}");
    assert!(unknown.hint.contains("ssh-keyscan"), "{unknown:?}");

    let other = Sshd::start();
    let changed = refusal(with(&server, &format!("# a\n{}\n", other.host_key_line(&name)))).await;
    assert_eq!(changed.phase, Phase::HostKey);
    assert!(changed.detail.contains("not the stored one (known:2)"), "{changed:?}");
    assert!(changed.hint.contains("ssh-keygen -R"), "{changed:?}");

    let line = server.host_key_line(&name);
    let revoked = refusal(with(&server, &format!("{line}\n@revoked {line}\n"))).await;
    assert_eq!(revoked.phase, Phase::HostKey);
    assert!(revoked.detail.contains("is revoked (known:2)"), "{revoked:?}");
}

#[tokio::test]
async fn a_stored_key_of_another_algorithm_is_a_changed_key() {
    let server = Sshd::start();
    let other = Sshd::builder().host_keys(&[KeyKind::Ecdsa]).start();
    let failure = refusal(with(&server, &other.host_key_line(&server.known_hosts_name()))).await;
    assert!(failure.detail.contains("not the stored one"), "{failure:?}");
}

#[tokio::test]
async fn a_host_with_several_keys_shows_the_one_that_is_stored() {
    let server =
        Sshd::builder().host_keys(&[KeyKind::Ed25519, KeyKind::Ecdsa, KeyKind::Rsa]).start();
    let lines = server.host_key_lines(&server.known_hosts_name());
    assert_eq!(lines.lines().count(), 3);
    for line in lines.lines() {
        let target = Arc::new(with(&server, line));
        assert_eq!(run(&pool(), &target, "echo in").await, Ran::said("in\n", "", 0), "{line}");
    }
}

#[tokio::test]
async fn a_changed_key_is_noticed_after_a_restart() {
    let mut server = Sshd::start();
    let (pool, target) = (pool(), Arc::new(target(&server)));
    assert_eq!(run(&pool, &target, "echo in").await, Ran::said("in\n", "", 0));
    server.restart_with_other_host_key();
    let failure = pool.open(Arc::clone(&target)).await.map(drop).unwrap_err();
    assert_eq!(failure.phase, Phase::HostKey, "{failure:?}");
}

#[test]
fn files_that_cannot_be_read_or_can_be_written_by_others_are_errors() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("known_hosts");
    let missing = KnownHosts::load_file(&path).map(drop).unwrap_err();
    assert_eq!(missing.phase, Phase::HostKey);
    assert!(missing.detail.contains("cannot be read"), "{missing:?}");
    std::fs::write(&path, "").unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
    assert!(KnownHosts::load_file(&path).is_ok());
    let refused = |mode: u32| {
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        let open = KnownHosts::load_file(&path).map(drop).unwrap_err();
        assert!(open.detail.contains("written by others"), "{open:?}");
    };
    refused(0o646);
    // The owner's own group alone may write; only root gives files to strange ones.
    if std::os::unix::fs::chown(&path, None, Some(1)).is_ok() {
        refused(0o664);
    }
    assert!(KnownHosts::load_file(folder.path()).is_err());
}
