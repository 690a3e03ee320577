//! Hosts that know nothing but weak algorithms: reached only where the owner said so, for each algorithm by itself.

use std::collections::BTreeSet;
use std::sync::Arc;

use sshepherd_model::{LegacyAlgorithm, Phase};
use sshepherd_ssh::Target;
use sshepherd_testkit::{KeyKind, Sshd};

use crate::common::{Ran, key, pool, refusal, run, target};

/// What a host is restricted to, and the algorithm that it takes.
const RESTRICTED: [(&str, LegacyAlgorithm); 10] = [
    ("KexAlgorithms diffie-hellman-group14-sha1", LegacyAlgorithm::Group14Sha1),
    ("KexAlgorithms diffie-hellman-group1-sha1", LegacyAlgorithm::Group1Sha1),
    ("KexAlgorithms diffie-hellman-group-exchange-sha1", LegacyAlgorithm::GroupExchangeSha1),
    ("Ciphers aes128-cbc", LegacyAlgorithm::Aes128Cbc),
    ("Ciphers aes192-cbc", LegacyAlgorithm::Aes192Cbc),
    ("Ciphers aes256-cbc", LegacyAlgorithm::Aes256Cbc),
    ("Ciphers 3des-cbc", LegacyAlgorithm::TripleDesCbc),
    ("Ciphers aes128-ctr\nMACs hmac-sha1", LegacyAlgorithm::HmacSha1),
    ("Ciphers aes128-ctr\nMACs hmac-sha1-etm@openssh.com", LegacyAlgorithm::HmacSha1Etm),
    ("HostKeyAlgorithms ssh-rsa", LegacyAlgorithm::SshRsa),
];

fn with(server: &Sshd, legacy: impl IntoIterator<Item = LegacyAlgorithm>) -> Target {
    let mut target = target(server);
    target.transport.legacy = legacy.into_iter().collect();
    target
}

fn but(one: LegacyAlgorithm) -> BTreeSet<LegacyAlgorithm> {
    LegacyAlgorithm::ALL.into_iter().filter(|other| *other != one).collect()
}

#[tokio::test]
async fn each_weak_algorithm_is_used_where_it_is_opted_in_and_nowhere_else() {
    for (line, weak) in RESTRICTED {
        let server = Sshd::builder().config_line(line).host_keys(&[KeyKind::Rsa]).start();
        for others in [BTreeSet::new(), but(weak)] {
            let failure = refusal(with(&server, others)).await;
            assert_eq!(failure.phase, Phase::KeyExchange, "{line}: {failure:?}");
            assert!(failure.detail.contains(weak.name()), "{line}: {failure:?}");
            let hint = format!("legacy: [{}]", weak.name());
            assert!(failure.hint.contains(&hint), "{line}: {failure:?}");
        }
        let ran = run(&pool(), &Arc::new(with(&server, [weak])), "echo in; exit 3").await;
        assert_eq!(ran, Ran::said("in\n", "", 3), "{line}");
    }
}

/// More than one block and more than one packet, both ways, through what chains blocks.
#[tokio::test]
async fn a_megabyte_comes_whole_through_weak_ciphers() {
    for cipher in [LegacyAlgorithm::Aes128Cbc, LegacyAlgorithm::TripleDesCbc] {
        let line = format!("Ciphers {}", cipher.name());
        let server = Sshd::builder().config_line(&line).start();
        let pool = pool();
        let ran = run(
            &pool,
            &Arc::new(with(&server, [cipher])),
            "head -c 1000000 /dev/zero | tr '\\0' y",
        )
        .await;
        assert_eq!(ran.out.len(), 1_000_000);
        assert!(ran.out.iter().all(|byte| *byte == b'y'));
    }
}

/// OpenSSH 9.2 names SHA-2 in `server-sig-algs` whether or not `PubkeyAcceptedAlgorithms` takes it.
#[tokio::test]
async fn an_rsa_key_is_signed_for_with_sha_1_only_where_it_is_opted_in() {
    let mut server = Sshd::builder().config_line("PubkeyAcceptedAlgorithms ssh-rsa").start();
    let pair = server.other_user_key(KeyKind::Rsa);
    let with_key = |legacy: &[LegacyAlgorithm]| {
        let target = with(&server, legacy.iter().copied());
        Target { methods: vec![key(pair.path())], ..target }
    };
    let failure = refusal(with_key(&[])).await;
    assert_eq!(failure.phase, Phase::Auth, "{failure:?}");
    let ran = run(&pool(), &Arc::new(with_key(&[LegacyAlgorithm::SshRsa])), "echo in").await;
    assert_eq!(ran, Ran::said("in\n", "", 0));
}

/// The opt-in is no preference: what is better is used where the host has it.
#[tokio::test]
async fn a_sound_host_uses_nothing_weak_though_all_of_it_is_opted_in() {
    let mut server = Sshd::builder()
        .host_keys(&[KeyKind::Rsa])
        .config_line("LogLevel DEBUG3")
        .config_line("HostKeyAlgorithms +ssh-rsa")
        .config_line("PubkeyAcceptedAlgorithms +ssh-rsa")
        .config_line("Ciphers +aes128-cbc,3des-cbc")
        .config_line("KexAlgorithms +diffie-hellman-group14-sha1,diffie-hellman-group1-sha1")
        .start();
    let pair = server.other_user_key(KeyKind::Rsa);
    let target = Target { methods: vec![key(pair.path())], ..with(&server, LegacyAlgorithm::ALL) };
    let ran = run(&pool(), &Arc::new(target), "echo in").await;
    assert_eq!(ran, Ran::said("in\n", "", 0));
    let log = server.log();
    for weak in
        ["RSA SHA1:", "kex: algorithm: diffie-hellman", "host key algorithm: ssh-rsa ", "-cbc MAC"]
    {
        assert!(!log.contains(weak), "{weak}:\n{log}");
    }
}

/// Two targets that differ in what they may use share no link: one that was made with a weak cipher is none for the other.
#[tokio::test]
async fn a_link_with_weak_algorithms_serves_nobody_who_did_not_opt_in() {
    let server = Sshd::builder().config_line("Ciphers aes128-cbc").start();
    let pool = pool();
    let weak = Arc::new(with(&server, [LegacyAlgorithm::Aes128Cbc]));
    assert_eq!(run(&pool, &weak, "echo in").await, Ran::said("in\n", "", 0));
    let sound = pool.open(Arc::new(with(&server, []))).await;
    assert_eq!(sound.map(drop).unwrap_err().phase, Phase::KeyExchange);
    assert_eq!(run(&pool, &weak, "echo in").await, Ran::said("in\n", "", 0));
    assert_eq!(server.connections(), Some(2));
}
