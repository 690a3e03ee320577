//! Host certificates made by `ssh-keygen -s` and shown by a real sshd: what we say, and what `ssh` says.

use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

use russh::keys::{Certificate, PublicKey};
use sshepherd_model::Phase;
use sshepherd_ssh::Target;
use sshepherd_testkit::{KeyKind, KeyPair, Sshd};
use tempfile::TempDir;

use crate::common::{Ran, known, pool, refusal, run, target};

/// A server whose host key authorities of ours may certify.
struct Ground {
    folder: TempDir,
    server: Sshd,
    authority: KeyPair,
    other: KeyPair,
}

impl Ground {
    fn new(kind: KeyKind) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let make = |name: &str, kind| KeyPair::generate(&folder.path().join(name), kind, "");
        let (authority, other) = (make("ca", kind), make("other", KeyKind::Ed25519));
        let server = Sshd::start();
        // Read anew for each connection.
        let certificate = format!("{}-cert.pub", server.host_key().path().display());
        server.host_key().certify(&authority, &["-h", "-n", "127.0.0.1"]);
        server.prepend_config(&format!("HostCertificate {certificate}"));
        Self { folder, server, authority, other }
    }

    fn certify(&self, authority: &KeyPair, arguments: &[&str]) {
        self.server.host_key().certify(authority, arguments);
    }

    /// A line of known_hosts that trusts `authority` for this server.
    fn trust(&self, authority: &KeyPair) -> String {
        let name = self.server.known_hosts_name();
        format!("@cert-authority {name} {}\n", authority.public_key())
    }

    fn target(&self, lines: &str) -> Target {
        Target { known_hosts: known(lines), ..target(&self.server) }
    }

    /// Whether `ssh` gets past the host key with these lines.
    fn ssh_accepts(&self, lines: &str) -> bool {
        let file = tempfile::NamedTempFile::new_in(self.folder.path()).unwrap().into_temp_path();
        std::fs::write(&file, lines).unwrap();
        let output = Command::new("ssh")
            .args(["-F", "none", "-o", "BatchMode=yes", "-o", "IdentitiesOnly=yes"])
            .args(["-o", "IdentityAgent=none", "-o", "StrictHostKeyChecking=yes"])
            .args(["-o", "GlobalKnownHostsFile=/dev/null", "-o", "UpdateHostKeys=no"])
            .arg("-o")
            .arg(format!("UserKnownHostsFile={}", file.display()))
            .arg("-i")
            .arg(self.server.user_key_path())
            .args(["-p", &self.server.port().to_string(), "-l", self.server.user()])
            .args(["127.0.0.1", "true"])
            .stdin(Stdio::null())
            .output()
            .unwrap();
        output.status.success()
    }

    /// The same for several texts, four at a time.
    fn ssh_accepts_each(&self, texts: &[String]) -> Vec<bool> {
        std::thread::scope(|scope| {
            let ask = |texts: Vec<&String>| -> Vec<bool> {
                texts.into_iter().map(|text| self.ssh_accepts(text)).collect()
            };
            let parts: Vec<_> = texts
                .chunks(texts.len().div_ceil(4))
                .map(|part| scope.spawn(move || ask(part.iter().collect())))
                .collect();
            parts.into_iter().flat_map(|part| part.join().unwrap()).collect()
        })
    }

    async fn accepted(&self, lines: &str) {
        assert!(self.ssh_accepts(lines), "ssh refuses {lines}");
        let ran = run(&pool(), &Arc::new(self.target(lines)), "echo in").await;
        assert_eq!(ran, Ran::said("in\n", "", 0), "{lines}");
    }

    /// Both refuse, and ours says why.
    async fn refused(&self, lines: &str, why: &str) {
        assert!(!self.ssh_accepts(lines), "ssh accepts {lines}");
        let failure = refusal(self.target(lines)).await;
        assert_eq!(failure.phase, Phase::HostKey, "{failure:?}");
        assert!(failure.detail.contains(why), "{why}: {failure:?}");
    }
}

#[tokio::test]
async fn a_certificate_of_a_stored_authority_is_enough() {
    for kind in [KeyKind::Ed25519, KeyKind::Ecdsa, KeyKind::Rsa] {
        let ground = Ground::new(kind);
        ground.accepted(&ground.trust(&ground.authority)).await;
        let wide = format!("@cert-authority [*]:* {}\n", ground.authority.public_key());
        ground.accepted(&wide).await;
        let both = ground.trust(&ground.other) + &ground.trust(&ground.authority);
        ground.accepted(&both).await;
    }
}

#[tokio::test]
async fn every_kind_of_host_key_can_be_certified() {
    let folder = tempfile::tempdir().unwrap();
    let authority = KeyPair::generate(&folder.path().join("ca"), KeyKind::Ed25519, "");
    for kind in [KeyKind::Ed25519, KeyKind::Ecdsa, KeyKind::Rsa] {
        let server = Sshd::builder().host_keys(&[kind]).start();
        let certificate = server.host_key().certify(&authority, &["-h", "-n", "a,127.0.0.1"]);
        server.prepend_config(&format!("HostCertificate {}", certificate.display()));
        let line =
            format!("@cert-authority {} {}", server.known_hosts_name(), authority.public_key());
        let target = Arc::new(Target { known_hosts: known(&line), ..target(&server) });
        assert_eq!(run(&pool(), &target, "echo in").await, Ran::said("in\n", "", 0), "{kind:?}");
    }
}

#[tokio::test]
async fn each_bad_certificate_is_refused_by_its_name_as_ssh_does() {
    let ground = Ground::new(KeyKind::Ed25519);
    let trusted = ground.trust(&ground.authority);
    for (arguments, why) in [
        (&["-h", "-n", "web.example"][..], "is for other names (web.example)"),
        (&["-h", "-n", "127.0.0.*"], "is for other names (127.0.0.*)"),
        (&["-h", "-n", "[127.0.0.1]:22"], "is for other names"),
        (&["-h", "-n", "127.0.0.1", "-V", "-3d:-2h"], "expired 2 h ago"),
        (&["-h", "-n", "127.0.0.1", "-V", "+60h:+90h"], "not valid yet, but in 2 days"),
        (&["-n", "127.0.0.1"], "is a user certificate"),
        (
            &["-h", "-n", "127.0.0.1", "-O", "critical:only-on-sundays@example.com=x"],
            "has a critical option that is not known (only-on-sundays@example.com)",
        ),
    ] {
        ground.certify(&ground.authority, arguments);
        ground.refused(&trusted, why).await;
    }
    ground.certify(&ground.other, &["-h", "-n", "127.0.0.1"]);
    ground.refused(&trusted, "which is no stored authority for it").await;
    ground.refused("", "is not known").await;
    let elsewhere = format!("@cert-authority web {}\n", ground.other.public_key());
    ground.refused(&elsewhere, "is not known").await;
}

#[tokio::test]
async fn an_rsa_authority_that_signs_with_sha_1_is_too_weak() {
    let ground = Ground::new(KeyKind::Rsa);
    ground.certify(&ground.authority, &["-t", "ssh-rsa", "-h", "-n", "127.0.0.1"]);
    ground.refused(&ground.trust(&ground.authority), "too weak").await;
    ground.certify(&ground.authority, &["-t", "rsa-sha2-256", "-h", "-n", "127.0.0.1"]);
    ground.accepted(&ground.trust(&ground.authority)).await;
}

#[tokio::test]
async fn what_is_revoked_counts_for_nothing() {
    let ground = Ground::new(KeyKind::Ed25519);
    let trusted = ground.trust(&ground.authority);
    let stored = ground.server.host_key_lines(&ground.server.known_hosts_name());
    let authority = format!("@revoked * {}\n", ground.authority.public_key());
    let key = format!("@revoked * {}\n", ground.server.host_key().public_key());
    for before in [trusted.clone(), trusted + &stored, stored] {
        let lines = before.clone() + &authority;
        ground.refused(&lines, "the authority that signed the certificate").await;
        ground.refused(&(key.clone() + &before), "is revoked (known:1)").await;
    }
}

#[tokio::test]
async fn a_stored_key_counts_where_the_certificate_does_not() {
    let ground = Ground::new(KeyKind::Ed25519);
    let trusted = ground.trust(&ground.authority);
    let stored = ground.server.host_key_lines(&ground.server.known_hosts_name());
    ground.certify(&ground.authority, &["-h", "-n", "web.example"]);
    ground.accepted(&(trusted.clone() + &stored)).await;
    ground.accepted(&(ground.trust(&ground.other) + &stored)).await;
    let name = ground.server.known_hosts_name();
    let changed = format!("{trusted}{name} {}\n", ground.other.public_key());
    ground.refused(&changed, "is not the stored one (known:2)").await;
    ground.certify(&ground.authority, &["-h", "-n", "127.0.0.1"]);
    ground.accepted(&changed).await;
}

/// A host that shows a plain key where an authority is stored is one whose key is not known.
#[tokio::test]
async fn no_certificate_is_no_vouching() {
    let ground = Ground::new(KeyKind::Ed25519);
    let plain = Sshd::start();
    let line =
        format!("@cert-authority {} {}", plain.known_hosts_name(), ground.authority.public_key());
    let failure = refusal(Target { known_hosts: known(&line), ..target(&plain) }).await;
    assert!(
        failure.detail.contains("not as a certificate of the stored authority (known:1)"),
        "{failure:?}"
    );
}

/// `ssh` 9.2 takes a certificate without principals for any host. Ours does not: stricter.
#[tokio::test]
async fn a_certificate_for_everybody_vouches_for_nobody() {
    let ground = Ground::new(KeyKind::Ed25519);
    ground.certify(&ground.authority, &["-h"]);
    let failure = refusal(ground.target(&ground.trust(&ground.authority))).await;
    assert!(failure.detail.contains("names no host"), "{failure:?}");
}

/// Every pair of these lines with every one of these certificates: `ssh` and we accept the same, more than 260 times.
#[test]
fn acceptance_of_certificates_agrees_with_ssh() {
    let ground = Ground::new(KeyKind::Ed25519);
    let name = ground.server.known_hosts_name();
    let (ours, other) = (ground.authority.public_key(), ground.other.public_key());
    let own = ground.server.host_key().public_key();
    let lines = [
        String::new(),
        format!("@cert-authority {name} {ours}\n"),
        format!("@cert-authority * {ours}\n"),
        format!("@cert-authority *,!*127.0.0.1* {ours}\n"),
        format!("@cert-authority {name} {other}\n"),
        format!("{name} {own}\n"),
        format!("{name} {other}\n"),
        format!("{name} {ours}\n"),
        format!("@revoked {name} {ours}\n"),
        format!("@revoked * {own}\n"),
    ];
    let by_ours = |arguments: &[&str]| ground.certify(&ground.authority, arguments);
    let certificates: [&dyn Fn(); 6] = [
        &|| by_ours(&["-h", "-n", "127.0.0.1"]),
        &|| by_ours(&["-h", "-n", "web,127.0.0.1", "-V", "-1d:+1d", "-O", "extension:x@y=z"]),
        &|| by_ours(&["-h", "-n", "web"]),
        &|| by_ours(&["-h", "-n", "127.0.0.1", "-V", "-2d:-1d"]),
        &|| by_ours(&["-n", "127.0.0.1"]),
        &|| ground.certify(&ground.other, &["-h", "-n", "127.0.0.1"]),
    ];
    let pairs = lines.iter().enumerate().flat_map(|(at, first)| {
        lines.iter().skip(at + usize::from(at > 0)).map(move |second| format!("{first}{second}"))
    });
    let texts: Vec<String> = pairs.collect();
    let (mut cases, mut accepted) = (0, 0);
    for (which, certify) in certificates.iter().enumerate() {
        certify();
        let path = format!("{}-cert.pub", ground.server.host_key().path().display());
        let certificate = Certificate::read_file(Path::new(&path)).unwrap();
        for (text, theirs) in texts.iter().zip(ground.ssh_accepts_each(&texts)) {
            let known = known(text);
            // Where no line says anything about certificates, the plain key is asked for.
            let shown = if known.wants_certificate("127.0.0.1", ground.server.port()) {
                known.check_certificate("127.0.0.1", ground.server.port(), &certificate, now())
            } else {
                let key = PublicKey::from_openssh(&own).unwrap();
                known.check("127.0.0.1", ground.server.port(), &key)
            };
            assert_eq!(shown.is_ok(), theirs, "certificate {which}, {text}: {shown:?}");
            cases += 1;
            accepted += usize::from(theirs);
        }
    }
    assert!(cases > 260 && accepted > 50, "{accepted} of {cases}: the cases say little");
}

fn now() -> u64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs()
}
