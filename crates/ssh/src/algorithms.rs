//! Which algorithms are offered to a host, and what is said when it has none of them.

use std::borrow::Cow;

use russh::keys::{Algorithm, EcdsaCurve, HashAlg};
use russh::{AlgorithmKind, Preferred, kex, mac};
use sshepherd_model::{AlgorithmUse, ConnectFailure, LegacyAlgorithm, Phase};

use crate::target::Target;

/// Key exchanges: after quantum computers first, then the curve that is hardest to get wrong, then groups, then NIST's curves, which
/// some hosts alone take.
const KEY_EXCHANGES: &[kex::Name] = &[
    kex::MLKEM768X25519_SHA256,
    kex::CURVE25519,
    kex::CURVE25519_PRE_RFC_8731,
    kex::DH_GEX_SHA256,
    kex::DH_G18_SHA512,
    kex::DH_G17_SHA512,
    kex::DH_G16_SHA512,
    kex::DH_G15_SHA512,
    kex::DH_G14_SHA256,
    kex::ECDH_SHA2_NISTP256,
    kex::ECDH_SHA2_NISTP384,
    kex::ECDH_SHA2_NISTP521,
];

/// What is no key exchange and stands in the same list: that we take extensions, and strict key exchange.
const EXTENSIONS: &[kex::Name] =
    &[kex::EXTENSION_SUPPORT_AS_CLIENT, kex::EXTENSION_OPENSSH_STRICT_KEX_AS_CLIENT];

/// Bits of a group that the server chooses: least, wanted and most. 2048 is what `ssh` takes, for many hosts have no larger one.
pub(crate) const GROUP_BITS: (usize, usize, usize) = (2048, 4096, 8192);

/// Codes for integrity where the cipher brings none: over what is encrypted first.
const MACS: &[mac::Name] =
    &[mac::HMAC_SHA512_ETM, mac::HMAC_SHA256_ETM, mac::HMAC_SHA512, mac::HMAC_SHA256];

/// AEAD ciphers by measured speed, then CTR for old servers.
const CIPHERS: &[russh::cipher::Name] = &[
    russh::cipher::AES_128_GCM,
    russh::cipher::AES_256_GCM,
    russh::cipher::CHACHA20_POLY1305,
    russh::cipher::AES_128_CTR,
    russh::cipher::AES_192_CTR,
    russh::cipher::AES_256_CTR,
];

/// Host key algorithms that are offered to every host; RSA with SHA-2 only.
pub(crate) static HOST_KEYS: [Algorithm; 6] = [
    Algorithm::Ed25519,
    Algorithm::Ecdsa { curve: EcdsaCurve::NistP256 },
    Algorithm::Ecdsa { curve: EcdsaCurve::NistP384 },
    Algorithm::Ecdsa { curve: EcdsaCurve::NistP521 },
    Algorithm::Rsa { hash: Some(HashAlg::Sha512) },
    Algorithm::Rsa { hash: Some(HashAlg::Sha256) },
];

/// What is offered to the host: what is sound, then what the owner lets it use besides.
pub(crate) fn offered(target: &Target) -> Preferred {
    let legacy = |kind: AlgorithmUse| {
        LegacyAlgorithm::ALL
            .into_iter()
            .filter(move |algorithm| algorithm.used_for() == kind)
            .filter(|algorithm| target.transport.legacy.contains(algorithm))
            .map(LegacyAlgorithm::name)
    };
    let exchanges = legacy(AlgorithmUse::KeyExchange).filter_map(|name| name.try_into().ok());
    let ciphers = legacy(AlgorithmUse::Cipher).filter_map(|name| name.try_into().ok());
    let macs = legacy(AlgorithmUse::Mac).filter_map(|name| name.try_into().ok());
    Preferred {
        kex: KEY_EXCHANGES.iter().copied().chain(exchanges).chain(EXTENSIONS.to_vec()).collect(),
        key: Cow::Owned(host_keys(target)),
        host_key_certificates: Cow::Borrowed(&[]),
        cipher: CIPHERS.iter().copied().chain(ciphers).collect(),
        mac: MACS.iter().copied().chain(macs).collect(),
        compression: Cow::Borrowed(&[russh::compression::NONE]),
    }
}

/// Algorithms for host keys, those that are stored for the host first.
pub(crate) fn host_keys(target: &Target) -> Vec<Algorithm> {
    let stored = target.known_hosts.algorithms_for(&target.host_key_name, target.port);
    let known = |offered: &Algorithm| {
        stored.iter().any(|stored| match (offered, stored) {
            (Algorithm::Rsa { .. }, Algorithm::Rsa { .. }) => true,
            (offered, stored) => offered == stored,
        })
    };
    let mut keys = HOST_KEYS.to_vec();
    if target.transport.legacy.contains(&LegacyAlgorithm::SshRsa) {
        keys.push(Algorithm::Rsa { hash: None });
    }
    keys.sort_by_key(|algorithm| !known(algorithm));
    keys
}

/// Most names of a host that are shown, and the longest one: what `ssh` knows has at most 50 letters.
const MAX_NAMES: usize = 16;
const MAX_NAME: usize = 64;

/// Why there is no connection: the host has none of what is offered. `theirs` are its own words.
pub(crate) fn disagreement(
    target: &Target,
    kind: &AlgorithmKind,
    theirs: &[String],
) -> ConnectFailure {
    let (what, used_for) = match kind {
        AlgorithmKind::Kex => ("key exchange", Some(AlgorithmUse::KeyExchange)),
        AlgorithmKind::Key => ("host key algorithm", Some(AlgorithmUse::Signature)),
        AlgorithmKind::Cipher => ("cipher", Some(AlgorithmUse::Cipher)),
        AlgorithmKind::Mac => ("integrity code (MAC)", Some(AlgorithmUse::Mac)),
        AlgorithmKind::Compression => ("compression", None),
    };
    let weak = LegacyAlgorithm::ALL.into_iter().find(|algorithm| {
        Some(algorithm.used_for()) == used_for && theirs.iter().any(|name| name == algorithm.name())
    });
    let hint = match weak {
        Some(weak) => format!(
            "update the host, or let it use what it has: legacy: [{0}] beside its others in servers.yml; {0} {1}",
            weak.name(),
            weak.weakness()
        ),
        None => {
            "update the host, or change what its sshd_config offers; SSHepherd has none of these"
                .to_owned()
        }
    };
    ConnectFailure {
        phase: Phase::KeyExchange,
        detail: format!("{}: no {what} in common; the host offers {}", target.alias, shown(theirs))
            .into(),
        hint,
    }
}

/// The names of a host as they may be read: what is no algorithm's name is left out.
fn shown(theirs: &[String]) -> String {
    let sound = |name: &&String| {
        !name.is_empty()
            && name.len() <= MAX_NAME
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"@._+-".contains(&b))
    };
    let names: Vec<&str> =
        theirs.iter().filter(sound).take(MAX_NAMES).map(String::as_str).collect();
    match (names.is_empty(), theirs.len() - names.len()) {
        (true, _) => "none".to_owned(),
        (false, 0) => names.join(", "),
        (false, more) => format!("{} and {more} more", names.join(", ")),
    }
}
