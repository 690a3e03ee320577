//! What the stored lines say about a key or a certificate that a host shows, and how a refusal is worded.

use std::path::{Path, PathBuf};

use russh::keys::ssh_key::HashAlg;
use russh::keys::{Algorithm, Certificate, PublicKey};
use sshepherd_model::ConnectFailure;

use super::certificate::{self, Flaw};
use super::file::{Entry, Mark, lookup_name};
use super::{KnownHosts, unusable};

/// What the files say about a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It is stored for the host.
    Known,
    /// Nothing is stored for the host.
    Unknown,
    /// Other keys are stored for the host.
    Changed {
        /// The file of the first of them.
        file: PathBuf,
        /// Its line.
        line: usize,
    },
    /// It is marked as revoked.
    Revoked {
        /// The file.
        file: PathBuf,
        /// The line.
        line: usize,
    },
}

impl KnownHosts {
    fn matching(&self, name: &str, port: u16) -> Vec<&Entry> {
        let wanted = lookup_name(name, port);
        let places = self.index.matching(&self.entries, &wanted);
        places.iter().filter_map(|place| self.entries.get(*place)).collect()
    }

    /// The algorithms of the keys stored for a host, for the order of negotiation.
    #[must_use]
    pub fn algorithms_for(&self, name: &str, port: u16) -> Vec<Algorithm> {
        let matching = self.matching(name, port);
        let hosts = matching.iter().filter(|entry| entry.marker == Mark::Host);
        hosts.map(|entry| entry.key.algorithm()).collect()
    }

    /// Whether a line covers a host that a certificate may be judged by, `@cert-authority` or `@revoked`: only then is it asked
    /// for one. One of a revoked authority spoils even a key that is stored itself, as with `ssh`.
    #[must_use]
    pub fn wants_certificate(&self, name: &str, port: u16) -> bool {
        self.matching(name, port).iter().any(|entry| entry.marker != Mark::Host)
    }

    /// What the files say about `key` for a host. A revoked key is refused whatever else is stored.
    #[must_use]
    pub fn verdict(&self, name: &str, port: u16, key: &PublicKey) -> Verdict {
        let matching = self.matching(name, port);
        let same = |entry: &&&Entry| entry.key.key_data() == key.key_data();
        if let Some(entry) =
            matching.iter().filter(|entry| entry.marker == Mark::Revoked).find(same)
        {
            return Verdict::Revoked { file: entry.file.clone(), line: entry.line };
        }
        let mut hosts = matching.iter().filter(|entry| entry.marker == Mark::Host);
        if hosts.clone().any(|entry| same(&entry)) {
            return Verdict::Known;
        }
        match hosts.next() {
            Some(entry) => Verdict::Changed { file: entry.file.clone(), line: entry.line },
            None => Verdict::Unknown,
        }
    }

    /// Lets a known key through; anything else is a failure that says what to do.
    pub fn check(&self, name: &str, port: u16, key: &PublicKey) -> Result<(), ConnectFailure> {
        let shown = lookup_name(name, port);
        let print = print(key);
        match self.verdict(name, port, key) {
            Verdict::Known => Ok(()),
            Verdict::Unknown => {
                let matching = self.matching(name, port);
                let authority = matching.iter().find(|entry| entry.marker == Mark::Authority);
                let authority = authority.map_or_else(String::new, |entry| {
                    let place = place(&entry.file, entry.line);
                    format!(", not as a certificate of the stored authority ({place})")
                });
                Err(unusable(
                    format!("the host key of {shown} is not known; it shows {print}{authority}"),
                    &format!(
                        "a person compares the fingerprint with the host's owner and stores the key with `sshepherd hosts trust \
                         ALIAS`; `ssh-keyscan -p {port} {name}` prints it"
                    ),
                ))
            }
            Verdict::Changed { file, line } => Err(unusable(
                format!(
                    "the host key of {shown} is not the stored one ({}); it shows {print}",
                    place(&file, line)
                ),
                &format!(
                    "someone may be between you and the host; if its key was changed on purpose, compare the \
                     fingerprint and replace the entry (ssh-keygen -R '{shown}' -f {})",
                    quoted(&file)
                ),
            )),
            Verdict::Revoked { file, line } => Err(unusable(
                format!("the host key of {shown}, {print}, is revoked ({})", place(&file, line)),
                "do not connect; the host needs a new key",
            )),
        }
    }

    /// Lets a host through whose certificate a stored authority signed for it, as of `now` (seconds since 1970). A
    /// certificate that is no good still shows a key, which may be stored itself; unless one of its keys is revoked.
    pub fn check_certificate(
        &self,
        name: &str,
        port: u16,
        certificate: &Certificate,
        now: u64,
    ) -> Result<(), ConnectFailure> {
        let shown = lookup_name(name, port);
        let matching = self.matching(name, port);
        let lines = |mark| matching.iter().copied().filter(move |entry| entry.marker == mark);
        let key = PublicKey::new(certificate.public_key().clone(), "");
        let signer = certificate.signature_key();
        if let Some(entry) = lines(Mark::Revoked).find(|entry| entry.key.key_data() == signer) {
            return Err(unusable(
                format!(
                    "the authority that signed the certificate of {shown}, {}, is revoked ({})",
                    print(&PublicKey::new(signer.clone(), "")),
                    place(&entry.file, entry.line)
                ),
                "do not connect; the host needs a certificate of another authority",
            ));
        }
        let verdict = self.verdict(name, port, &key);
        if matches!(verdict, Verdict::Revoked { .. }) {
            return self.check(name, port, &key);
        }
        let authorities: Vec<&Entry> = lines(Mark::Authority).collect();
        if authorities.is_empty() {
            // It was asked for because of what is revoked, and vouches for nothing.
            return self.check(name, port, &key);
        }
        let Err(flaw) =
            certificate::judge(certificate, &authorities, &name.to_ascii_lowercase(), now)
        else {
            return Ok(());
        };
        match verdict {
            Verdict::Known => {
                tracing::warn!(host = %shown, %flaw, "the certificate is no good; its key is stored itself");
                Ok(())
            }
            Verdict::Changed { .. } | Verdict::Unknown | Verdict::Revoked { .. } => {
                Err(no_good(&shown, &flaw, &key, &verdict))
            }
        }
    }
}

fn no_good(shown: &str, flaw: &Flaw, key: &PublicKey, verdict: &Verdict) -> ConnectFailure {
    let stored = match verdict {
        Verdict::Changed { file, line } => {
            format!("is not the stored one ({})", place(file, *line))
        }
        Verdict::Unknown | Verdict::Known | Verdict::Revoked { .. } => "is not stored".to_owned(),
    };
    unusable(
        format!("the certificate of {shown} {flaw}; its own key, {}, {stored}", print(key)),
        flaw.hint(),
    )
}

/// Kind and fingerprint, as `ssh-keygen -l` shows them.
fn print(key: &PublicKey) -> String {
    format!("{} {}", key.algorithm(), fingerprint(key))
}

/// A key's fingerprint: `SHA256:` and its hash, as `ssh-keygen -l` shows it.
#[must_use]
pub fn fingerprint(key: &PublicKey) -> String {
    key.fingerprint(HashAlg::Sha256).to_string()
}

fn place(file: &Path, line: usize) -> String {
    format!("{}:{line}", file.display())
}

/// A path as a shell takes it.
fn quoted(path: &Path) -> String {
    format!("'{}'", path.display().to_string().replace('\'', "'\\''"))
}
