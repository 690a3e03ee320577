//! Trusting a host's key: by a person's hand at the command line. No other face may call this.

use std::path::PathBuf;
use std::sync::Arc;

use sshepherd_audit::Event;
use sshepherd_model::{Alias, ConnectFailure, Host, Phase};
use sshepherd_ssh::{KnownHosts, PublicKey, Verdict, fingerprint};

use crate::config::KnownHostsFiles;
use crate::engine::Engine;
use crate::pipeline::Origin;
use crate::record::on_host;
use crate::runner;

/// A key that a host shows, and what is stored about it.
#[derive(Debug, Clone)]
pub struct ShownKey {
    /// Its kind, as `ssh-keygen` names it: `ssh-ed25519`, `ecdsa-sha2-nistp256`, `ssh-rsa`.
    pub kind: String,
    /// `SHA256:` and its hash, as `ssh-keygen -l` shows it.
    pub fingerprint: String,
    /// What the known_hosts files say.
    pub verdict: Verdict,
    key: PublicKey,
}

/// What a host shows to whoever asks.
#[derive(Debug, Clone)]
pub struct Shown {
    /// The host.
    pub host: Arc<Host>,
    /// Its keys, at least one, one of a kind.
    pub keys: Vec<ShownKey>,
    /// The file that a key would be added to.
    pub file: PathBuf,
}

impl Engine {
    /// The keys that a host shows now. They prove nothing: whoever is between here and the host can show keys as well.
    pub async fn shown_keys(&self, alias: &Alias) -> Result<Shown, ConnectFailure> {
        let config = self.config();
        let host = config.inventory.host(alias).ok_or_else(|| ConnectFailure {
            phase: Phase::Resolve,
            detail: format!("no host is called {alias}").into(),
            hint: "see the list of hosts".to_owned(),
        })?;
        let file = file(&config.known_hosts)?;
        let target = runner::target(self, &config, host).await?;
        let known = Arc::clone(&target.known_hosts);
        let keys = self.pool().survey(&target).await?;
        let shown = |key: PublicKey| ShownKey {
            kind: key.algorithm().to_string(),
            fingerprint: fingerprint(&key),
            verdict: known.verdict(&host.address, host.port, &key),
            key,
        };
        Ok(Shown { host: Arc::clone(host), keys: keys.into_iter().map(shown).collect(), file })
    }

    /// Adds those of the shown keys to the known_hosts file whose fingerprints a person chose. Refused when any key is
    /// stored for the host already, or one of these is revoked: what is stored is taken out by hand alone.
    pub fn trust(
        &self,
        shown: &Shown,
        fingerprints: &[String],
        origin: &Origin,
    ) -> Result<(), ConnectFailure> {
        let refused = |detail: String, hint: &str| ConnectFailure {
            phase: Phase::HostKey,
            detail: detail.into(),
            hint: hint.to_owned(),
        };
        let host = &shown.host;
        if let Some(stored) = shown.keys.iter().find(|key| key.verdict != Verdict::Unknown) {
            return Err(refused(
                format!("{} {} is not unknown: {:?}", host.alias, stored.kind, stored.verdict),
                "take what is stored out by hand first",
            ));
        }
        let chosen: Vec<&ShownKey> =
            shown.keys.iter().filter(|key| fingerprints.contains(&key.fingerprint)).collect();
        if chosen.is_empty() {
            return Err(refused(
                format!("{} shows no key with that fingerprint", host.alias),
                "compare it with the host's owner again; someone may be between you and the host",
            ));
        }
        let words: Vec<String> =
            chosen.iter().map(|key| format!("{} {}", key.kind, key.fingerprint)).collect();
        let mut entry = on_host(Event::HostTrusted, origin, host);
        entry.reason = Some(format!("{} into {}", words.join(", "), shown.file.display()));
        self.audit().record(&entry).map_err(|error| {
            refused(error.to_string(), "nothing was stored, because it could not be recorded")
        })?;
        let keys: Vec<PublicKey> = chosen.iter().map(|key| key.key.clone()).collect();
        KnownHosts::enrol(&shown.file, &host.address, host.port, &keys)
    }
}

/// The file that a person's keys go to: the one that the policy names, else the person's own.
fn file(files: &KnownHostsFiles) -> Result<PathBuf, ConnectFailure> {
    let own = match files {
        KnownHostsFiles::Explicit(path) => Some(path.clone()),
        KnownHostsFiles::UserAndSystem => KnownHosts::user_path(),
    };
    own.ok_or_else(|| ConnectFailure {
        phase: Phase::HostKey,
        detail: "there is no home folder to keep a known_hosts file in".into(),
        hint: "set known_hosts_path in policy.yml".to_owned(),
    })
}
