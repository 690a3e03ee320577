//! What exactly a yes, a caller's key or an audit record is about, as one keyed digest.
//!
//! HMAC-SHA-256 under the key of the state folder: equal things have equal digests, also in another process, and whoever
//! reads a digest cannot try guesses at the password or the input in it.

use std::collections::HashMap;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use sshepherd_model::{
    Alias, AuthMethod, Credential, CredentialName, Host, HostWords, Request, Rollout,
};
use sshepherd_policy::PermitParts;
use sshepherd_store::DigestKey;

use crate::config::Config;

/// Most bytes of a key file or certificate that are looked at: real ones have a few thousand.
const KEY_BYTES: u64 = 64 << 10;

/// A digest that is being made. Every text has its length before it, so that no two lists of texts read the same.
struct Seal(Hmac<Sha256>);

impl Seal {
    fn new(key: &DigestKey, kind: &str) -> Self {
        Self(Hmac::new(&(*key).into())).text(kind)
    }

    fn bytes(mut self, bytes: &[u8]) -> Self {
        self.0.update(&(bytes.len() as u64).to_be_bytes());
        self.0.update(bytes);
        self
    }

    fn text(self, text: &str) -> Self {
        self.bytes(text.as_bytes())
    }

    fn maybe(self, text: Option<&str>) -> Self {
        match text {
            Some(text) => self.text("some").text(text),
            None => self.text("none"),
        }
    }

    fn list<'a>(self, texts: impl ExactSizeIterator<Item = &'a str>) -> Self {
        let seal = self.text(&texts.len().to_string());
        texts.fold(seal, Self::text)
    }

    fn surroundings(
        self,
        cwd: Option<&str>,
        env: &[(String, String)],
        stdin: Option<&str>,
    ) -> Self {
        let seal = self.maybe(cwd).text(&env.len().to_string());
        let seal = env.iter().fold(seal, |seal, (name, value)| seal.text(name).text(value));
        seal.maybe(stdin)
    }

    fn finish(self) -> String {
        self.0.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

/// What a caller asked for, whatever the configuration makes of it: its own name for a piece of work means this and nothing else.
pub(crate) fn asked(key: &DigestKey, alias: &Alias, request: &Request) -> String {
    Seal::new(key, "asked")
        .text(alias.as_str())
        .text(request.command())
        .surroundings(request.cwd.as_deref(), &request.env, request.stdin.as_deref())
        .finish()
}

/// Whose jobs the ones of this store are: it stands in their folders on the hosts.
pub(crate) fn owner(key: &DigestKey) -> String {
    let mut owner = Seal::new(key, "owner").finish();
    owner.truncate(16);
    owner
}

/// Makes digests under one configuration; each log-in is read once.
pub(crate) struct Sealer<'a> {
    key: DigestKey,
    config: &'a Config,
    logins: HashMap<CredentialName, String>,
}

impl<'a> Sealer<'a> {
    pub(crate) fn new(key: DigestKey, config: &'a Config) -> Self {
        Self { key, config, logins: HashMap::new() }
    }

    /// What exactly a yes is for: where, over which way and as whom; what is sent; and under which policy.
    pub(crate) fn permit(&mut self, kind: &str, parts: &PermitParts) -> String {
        // Without `..`, so that a new part is not forgotten here. Hash, what is shown, limits and what the policy would have said follow
        // from the others.
        let PermitParts {
            host,
            command,
            hash: _,
            wire,
            shown: _,
            script,
            cwd,
            env,
            stdin,
            limits: _,
            decisions,
            raw_shell,
            unenforced: _,
        } = parts;
        let by: Vec<String> = decisions.iter().map(|decision| decision.by()).collect();
        Seal::new(&self.key, kind)
            .text(&self.config.policy_hash)
            .text(&self.way(host))
            .text(command)
            .text(wire)
            .text(script)
            .surroundings(cwd.as_deref(), env, stdin.as_deref())
            .list(by.iter().map(String::as_str))
            .text(if *raw_shell { "raw" } else { "judged" })
            .finish()
    }

    /// The same for a fan-out: each host's, all hosts in their order, what was asked for (also where only its gate needs a yes), and
    /// how it goes over them.
    pub(crate) fn fan_out<'b>(
        &self,
        bindings: impl ExactSizeIterator<Item = &'b str>,
        hosts: &[Arc<Host>],
        (request, rollout): (&Request, &Rollout),
    ) -> String {
        Seal::new(&self.key, "fan-out")
            .list(bindings)
            .text(&self.config.policy_hash)
            .text(request.command())
            .surroundings(request.cwd.as_deref(), &request.env, request.stdin.as_deref())
            .list(hosts.iter().map(|host| host.alias.as_str()))
            // Names every field, also those that are added later.
            .text(&format!("{rollout:?}"))
            .finish()
    }

    /// A whole request as the audit record names it: to which host, how and as whom, with everything around the command.
    pub(crate) fn request(
        &self,
        host: &Host,
        (command, cwd): (&str, Option<&str>),
        env: &[(String, String)],
        stdin: Option<&str>,
    ) -> String {
        let user = self.config.inventory.credential(host).map(|login| login.username.as_str());
        Seal::new(&self.key, "request")
            .text(&entry(host))
            .maybe(user)
            .text(command)
            .surroundings(cwd, env, stdin)
            .finish()
    }

    /// The host and every jump host before it, each with the content of its log-in, not its name.
    fn way(&mut self, host: &Arc<Host>) -> String {
        let config = self.config;
        let way = std::iter::once(host).chain(config.inventory.way_to(host));
        let hops: Vec<String> = way
            .flat_map(|hop| {
                let login = config.inventory.credential(hop).map(|login| self.login(login));
                [entry(hop), login.unwrap_or_default()]
            })
            .collect();
        Seal::new(&self.key, "way").list(hops.iter().map(String::as_str)).finish()
    }

    fn login(&mut self, credential: &Credential) -> String {
        let key = &self.key;
        let known = self.logins.entry(credential.name.clone());
        known.or_insert_with(|| login(key, credential)).clone()
    }
}

/// All that the inventory says of a host but what only people read, by field: also fields that are added later.
fn entry(host: &Host) -> String {
    let bare = Host { description: HostWords::default(), tags: Vec::new(), ..host.clone() };
    format!("{bare:?}")
}

fn login(key: &DigestKey, credential: &Credential) -> String {
    // Names every field but what secrets hold, also fields that are added later.
    let mut seal = Seal::new(key, "login").text(&format!("{credential:?}"));
    for method in &credential.methods {
        seal = match method {
            AuthMethod::Key { path, certificate, passphrase } => {
                let beside = || {
                    let mut name = path.clone().into_os_string();
                    name.push("-cert.pub");
                    PathBuf::from(name)
                };
                let certificate = certificate.clone().unwrap_or_else(beside);
                let passphrase = passphrase.as_ref().map(sshepherd_model::Secret::expose);
                seal.bytes(&content(path)).bytes(&content(&certificate)).maybe(passphrase)
            }
            AuthMethod::Password(password) => seal.text(password.expose()),
            AuthMethod::Agent { .. } | AuthMethod::Interactive | AuthMethod::Unusable { .. } => {
                seal
            }
        };
    }
    seal.finish()
}

/// The beginning of a file; of one that cannot be read nothing, and then nobody logs in with it either.
fn content(path: &Path) -> Vec<u8> {
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|file| file.take(KEY_BYTES).read_to_end(&mut bytes));
    if read.is_err() {
        bytes.clear();
    }
    bytes
}

#[cfg(test)]
mod tests;
