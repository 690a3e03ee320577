//! A host certificate against the authorities that are stored for the host: every check that OpenSSH makes.

use std::fmt;

use russh::keys::ssh_key::certificate::CertType;
use russh::keys::ssh_key::{HashAlg, public::KeyData};
use russh::keys::{Algorithm, Certificate};

use super::file::Entry;

/// Most characters shown of a word that the certificate brought.
const MAX_SHOWN: usize = 64;

/// Why a certificate does not vouch for a host. Its text completes "the certificate of HOST …".
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Flaw {
    /// No stored authority signed it; the fingerprint of who did.
    Authority(String),
    /// The signature is not the authority's.
    Signature,
    /// The signature is of a kind that proves nothing any more.
    Algorithm(Algorithm),
    /// It is for users.
    User,
    /// It names no host at all.
    NoPrincipal,
    /// It names other hosts; the first of them.
    Principal(String),
    /// It is valid only this many seconds from now.
    NotYet(u64),
    /// It was valid until this many seconds ago.
    Expired(u64),
    /// It may be used only under a condition that we do not know.
    Option(String),
}

impl Flaw {
    /// What to do about it.
    pub(super) fn hint(&self) -> &'static str {
        match self {
            Self::Authority(_) => {
                "compare the fingerprint with the authority's owner; the host's @cert-authority line names another key"
            }
            Self::Signature | Self::Option(_) | Self::User => {
                "the host needs another certificate (ssh-keygen -h -s); see HostCertificate in its sshd_config"
            }
            Self::Algorithm(_) => {
                "sign the host's certificate again with an Ed25519 key or with -t rsa-sha2-512"
            }
            Self::NoPrincipal | Self::Principal(_) => {
                "sign the host's certificate again with -n and the name that is used here, or give a name that it is for as host in servers.yml"
            }
            Self::NotYet(_) => "check the clocks of both machines, or wait",
            Self::Expired(_) => {
                "check the clocks of both machines, then renew the host's certificate"
            }
        }
    }
}

impl fmt::Display for Flaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Authority(signer) => {
                write!(f, "is signed by {signer}, which is no stored authority for it")
            }
            Self::Signature => write!(f, "carries a signature that its authority did not make"),
            Self::Algorithm(algorithm) => {
                write!(f, "is signed with {algorithm}, which is too weak")
            }
            Self::User => write!(f, "is a user certificate"),
            Self::NoPrincipal => write!(f, "names no host"),
            Self::Principal(first) => write!(f, "is for other names ({first})"),
            Self::NotYet(seconds) => write!(f, "is not valid yet, but in {}", span(*seconds)),
            Self::Expired(seconds) => write!(f, "expired {} ago", span(*seconds)),
            Self::Option(name) => write!(f, "has a critical option that is not known ({name})"),
        }
    }
}

/// Whether one of `authorities` vouches for the host `name` (lower case) at `now`.
///
/// As `ssh` reads it: the name must be one of the principals letter by letter, and no critical option is known for
/// hosts. Unlike with `ssh` 9.2, a certificate without principals vouches for nobody rather than for everybody.
pub(super) fn judge(
    certificate: &Certificate,
    authorities: &[&Entry],
    name: &str,
    now: u64,
) -> Result<(), Flaw> {
    let signer = certificate.signature_key();
    if !authorities.iter().any(|entry| entry.key.key_data() == signer) {
        return Err(Flaw::Authority(format!(
            "{} {}",
            signer.algorithm(),
            signer.fingerprint(HashAlg::Sha256)
        )));
    }
    let with = certificate.signature().algorithm();
    if !strong(signer, &with) {
        return Err(Flaw::Algorithm(with));
    }
    if certificate.verify_signature().is_err() {
        return Err(Flaw::Signature);
    }
    if certificate.cert_type() != CertType::Host {
        return Err(Flaw::User);
    }
    if now < certificate.valid_after() {
        return Err(Flaw::NotYet(certificate.valid_after() - now));
    }
    if now >= certificate.valid_before() {
        return Err(Flaw::Expired(now - certificate.valid_before()));
    }
    let principals = certificate.valid_principals();
    match principals.first() {
        None => return Err(Flaw::NoPrincipal),
        Some(first) if !principals.iter().any(|principal| principal == name) => {
            return Err(Flaw::Principal(shown(first)));
        }
        Some(_) => {}
    }
    match certificate.critical_options().keys().next() {
        Some(option) => Err(Flaw::Option(shown(option))),
        None => Ok(()),
    }
}

/// The signature algorithms of `CASignatureAlgorithms` in ssh_config(5), 9.2: neither SHA-1 nor DSA.
fn strong(signer: &KeyData, with: &Algorithm) -> bool {
    match with {
        Algorithm::Rsa { hash } => hash.is_some() && signer.is_rsa(),
        Algorithm::Ed25519
        | Algorithm::Ecdsa { .. }
        | Algorithm::SkEd25519
        | Algorithm::SkEcdsaSha2NistP256 => signer.algorithm() == *with,
        Algorithm::Dsa | Algorithm::Other(_) | _ => false,
    }
}

/// A word from outside, safe to print.
fn shown(word: &str) -> String {
    word.chars().take(MAX_SHOWN).flat_map(char::escape_debug).collect()
}

/// A span of time in its largest unit.
fn span(seconds: u64) -> String {
    let (count, unit) = match seconds {
        0..60 => (seconds, "s"),
        60..3600 => (seconds / 60, "min"),
        3600..86400 => (seconds / 3600, "h"),
        _ => (seconds / 86400, "days"),
    };
    format!("{count} {unit}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_and_words_are_short() {
        for (seconds, text) in
            [(0, "0 s"), (61, "1 min"), (7200, "2 h"), (90_000, "1 days"), (864_000, "10 days")]
        {
            assert_eq!(span(seconds), text);
        }
        assert_eq!(shown("a\u{1b}[2J"), "a\\u{1b}[2J");
        assert_eq!(shown(&"x".repeat(500)).len(), MAX_SHOWN);
    }
}
