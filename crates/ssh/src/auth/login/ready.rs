//! What is got ready of a log-in before the host is contacted.

use std::collections::{BTreeSet, VecDeque};
use std::path::Path;
use std::sync::Arc;

use russh::keys::agent::AgentIdentity;
use russh::keys::{HashAlg, PublicKey};
use sshepherd_model::{AgentKey, AuthMethod, ConnectFailure};

use super::{Login, Way};
use crate::auth::key::{self, OpenKey};
use crate::auth::{Logins, Note, agent};
use crate::target::Target;

impl Login {
    /// Gets ready what is needed before the host is contacted, so that none of its time is used up: keys are decrypted, the agent
    /// is asked what it holds. Fails when no method is left to try.
    pub(crate) async fn prepare(
        target: &Arc<Target>,
        logins: &Arc<Logins>,
    ) -> Result<Self, ConnectFailure> {
        let refusals = &logins.refusals;
        let mut login = Self {
            target: Arc::clone(target),
            logins: Arc::clone(logins),
            ways: VecDeque::new(),
            keys: refusals.keys(&target.alias, &target.username, &[]),
            known: BTreeSet::new(),
            refused: Vec::new(),
            ours: Vec::new(),
            accepted: None,
            partly_in: false,
        };
        let mut named = Vec::new();
        for method in &target.methods {
            login.add(method, &mut named).await;
        }
        login.pause_keys();
        if login.ways.is_empty() && !target.methods.is_empty() {
            return Err(login.failure());
        }
        Ok(login)
    }

    /// Makes a method ready. `named` holds the public halves of key files that cannot be opened: of an agent's keys they come
    /// first.
    async fn add(&mut self, method: &AuthMethod, named: &mut Vec<PublicKey>) {
        match method {
            AuthMethod::Key { path, certificate, passphrase } => {
                match self.logins.keychain.open(path, passphrase.as_ref()).await {
                    Ok(key) => {
                        let certificate = key::certificate(path, certificate.as_deref(), &key);
                        let certificate = certificate.await.unwrap_or_else(|note| {
                            self.note(note);
                            None
                        });
                        let path = path.clone();
                        let open = OpenKey { path, key, certificate };
                        self.ways.push_back(Way::Key(Box::new(open)));
                    }
                    Err(closed) => {
                        named.extend(closed.public.map(|key| *key));
                        self.note(closed.note.after(&format!("key {} ", path.display())));
                    }
                }
            }
            AuthMethod::Agent { socket, only } => {
                self.add_agent(socket, only.as_ref(), named).await;
            }
            AuthMethod::Password(secret) => {
                let subject = self.logins.refusals.password(&self.target.username, secret);
                match self.logins.refusals.paused(subject) {
                    Some(paused) => {
                        self.note(Note::password_paused(&self.target.username, &paused));
                    }
                    None => {
                        self.ways.push_back(Way::Password { secret: secret.clone(), subject });
                    }
                }
            }
            AuthMethod::Interactive => self.ways.push_back(Way::Interactive),
            AuthMethod::Unusable { name, problem } => {
                let hint = "correct credentials.yml and reload";
                self.note(Note::new(format!("{name}: {problem}"), hint));
            }
        }
    }

    async fn add_agent(&mut self, socket: &Path, only: Option<&AgentKey>, named: &[PublicKey]) {
        match agent::identities(socket, only).await {
            Ok(mut identities) => {
                let is_named = |identity: &AgentIdentity| {
                    let key = identity.public_key();
                    named.iter().any(|named| named.key_data() == key.key_data())
                };
                identities.sort_by_key(|identity| !is_named(identity));
                self.ways.push_back(Way::Agent { socket: socket.to_owned(), identities });
            }
            Err(note) => self.note(note.after(&format!("ssh-agent at {}: ", socket.display()))),
        }
    }

    /// Leaves out all keys where this host has refused these very ones too often.
    fn pause_keys(&mut self) {
        let mut offers = Vec::new();
        for way in &self.ways {
            match way {
                Way::Key(open) => {
                    offers.push(open.key.fingerprint(HashAlg::Sha256).to_string());
                    let certificate = open.certificate.as_ref();
                    offers.extend(certificate.and_then(|(_, one)| one.to_openssh().ok()));
                }
                Way::Agent { identities, .. } => {
                    offers.extend(identities.iter().map(agent::fingerprint));
                }
                Way::Password { .. } | Way::Interactive => {}
            }
        }
        let target = &self.target;
        self.keys = self.logins.refusals.keys(&target.alias, &target.username, &offers);
        if let Some(paused) = self.logins.refusals.paused(self.keys) {
            self.ours.push(Note::keys_paused(&target.alias, &paused));
            self.ways.retain(|way| matches!(way, Way::Password { .. } | Way::Interactive));
        }
    }
}
