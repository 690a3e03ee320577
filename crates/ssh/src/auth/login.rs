//! One log-in to one host, over as many connections as its methods need.

mod ready;

use std::collections::{BTreeSet, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use russh::client::{AuthResult, Handle};
use russh::keys::HashAlg;
use russh::keys::agent::AgentIdentity;
use russh::{MethodKind, MethodSet};
use sshepherd_model::{ConnectFailure, LegacyAlgorithm, Phase, Secret};
use tokio_util::sync::CancellationToken;

use super::agent::{self, Agent, Offered};
use super::asked::PasswordPrompt;
use super::clock::Clock;
use super::interactive::{self, Given};
use super::key::{self, OpenKey};
use super::refusals::Subject;
use super::{Answer, Logins, Note};
use crate::client::Client;
use crate::target::Target;

/// Most notes that a message holds.
const MAX_NOTES: usize = 8;

/// A method that can be tried.
enum Way {
    Key(Box<OpenKey>),
    Agent { socket: PathBuf, identities: Vec<AgentIdentity> },
    Password { secret: Secret, subject: Subject },
    Interactive,
}

/// A log-in on its way.
pub(crate) struct Login {
    target: Arc<Target>,
    logins: Arc<Logins>,
    /// Those that were not tried yet.
    ways: VecDeque<Way>,
    /// What this host is offered of keys, for the count.
    keys: Subject,
    /// The fingerprints that it has refused.
    known: BTreeSet<String>,
    /// What it has refused, in words.
    refused: Vec<String>,
    /// What failed on our side.
    ours: Vec<Note>,
    /// What it accepts, as far as it has said so on this connection.
    accepted: Option<MethodSet>,
    /// It wants more than one method, and one was right.
    partly_in: bool,
}

/// Why a connection ended without a log-in.
pub(crate) enum Ended {
    /// Nothing is left to try, or trying is of no use.
    Failed(ConnectFailure),
    /// The methods that are left want another connection.
    Again,
}

impl From<ConnectFailure> for Ended {
    fn from(failure: ConnectFailure) -> Self {
        Self::Failed(failure)
    }
}

impl Login {
    /// Logs in on this connection, or says that the host took too long: what our side takes does not count.
    /// `closed` is cancelled when the connection has ended.
    pub(crate) async fn over(
        &mut self,
        handle: &mut Handle<Client>,
        closed: &CancellationToken,
    ) -> Result<(), Ended> {
        let (clock, limit) = (Clock::default(), self.target.deadlines.auth);
        self.accepted = None;
        let before = self.known.len();
        let done = clock.within(limit, self.try_all(handle, closed, &clock)).await;
        let done = done.unwrap_or_else(|| {
            Err(failure(
                format!(
                    "{} did not finish the log-in within {} s",
                    self.target.alias,
                    limit.as_secs()
                ),
                "the server may be overloaded or waiting for a name service; see its log",
            )
            .into())
        });
        match &done {
            Ok(()) => self.logins.refusals.accepted(self.keys),
            Err(Ended::Failed(_)) if self.known.len() > before && !self.partly_in => {
                self.logins.refusals.refused(self.keys, &self.target.alias);
            }
            Err(_) => {}
        }
        done
    }

    async fn try_all(
        &mut self,
        handle: &mut Handle<Client>,
        closed: &CancellationToken,
        clock: &Clock,
    ) -> Result<(), Ended> {
        let before = self.refused.len();
        while let Some(way) = self.ways.pop_front() {
            let (name, answer) = self.try_one(way, handle, clock).await;
            let answer = match answer {
                // The library reports a lost connection as a refusal.
                Ok(Answer::No { .. }) if closed.is_cancelled() => Err(russh::Error::Disconnect),
                answer => answer,
            };
            match answer {
                Ok(Answer::In) => return Ok(()),
                Ok(Answer::NotOffered { methods }) => {
                    self.refused.push(format!("{name} (not sent: the server does not offer it)"));
                    self.accepted = Some(methods);
                }
                Ok(Answer::More { remaining }) => {
                    self.refused.push(format!("{name} (right, but more is wanted)"));
                    self.accepted = Some(remaining);
                    self.partly_in = true;
                }
                Ok(Answer::No { remaining }) => {
                    self.refused.push(name);
                    self.accepted = remaining.or(self.accepted.take());
                }
                Ok(Answer::Ours(note)) => self.note(note),
                Ok(Answer::Stuck(note)) => {
                    self.note(note);
                    return Err(self.again().unwrap_or_else(|| self.failure().into()));
                }
                Err(error) => {
                    let tried = self.refused.len() > before || self.known.len() > 1;
                    self.refused.push(format!("{name} (the connection ended)"));
                    let again = self.again().filter(|_| tried);
                    return Err(again.unwrap_or_else(|| self.broken(&error).into()));
                }
            }
        }
        Err(self.failure().into())
    }

    /// Another connection, where methods are left and none that was right is lost with this one.
    fn again(&self) -> Option<Ended> {
        (!self.ways.is_empty() && !self.partly_in).then_some(Ended::Again)
    }

    /// Tries one method; its name for messages.
    async fn try_one(
        &mut self,
        way: Way,
        handle: &mut Handle<Client>,
        clock: &Clock,
    ) -> (String, Result<Answer, russh::Error>) {
        match way {
            Way::Key(open) => {
                let mut name = format!("key {}", open.path.display());
                let print = open.key.fingerprint(HashAlg::Sha256).to_string();
                let rsa = open.key.algorithm().is_rsa();
                let answer = match signature_hashes(handle, &self.target, rsa).await {
                    Ok(Ok(hashes)) => self.key(handle, &open, hashes, &mut name).await,
                    Ok(Err(note)) => Ok(Answer::Ours(note.after(&format!("{name} ")))),
                    Err(error) => Err(error),
                };
                if matches!(answer, Ok(Answer::No { .. })) {
                    self.known.insert(print);
                }
                (name, answer)
            }
            Way::Agent { socket, identities } => {
                let (count, answer) = self.agent(handle, clock, &socket, identities).await;
                let s = if count == 1 { "" } else { "s" };
                (format!("ssh-agent ({count} key{s})"), answer)
            }
            Way::Password { secret, subject } => {
                ("password".to_owned(), self.password(handle, clock, &secret, subject).await)
            }
            Way::Interactive => {
                ("keyboard-interactive".to_owned(), self.interactive(handle, clock).await)
            }
        }
    }

    /// Offers a key of a file, with one hash after the other as long as it is refused.
    async fn key(
        &self,
        handle: &mut Handle<Client>,
        open: &OpenKey,
        hashes: Vec<Option<HashAlg>>,
        name: &mut String,
    ) -> Result<Answer, russh::Error> {
        let plain = name.clone();
        let mut answer = Answer::No { remaining: None };
        for hash in hashes {
            name.clone_from(&plain);
            answer = key::log_in(handle, &self.target.username, open, hash, name).await?;
            if !matches!(answer, Answer::No { .. }) || handle.is_closed() {
                break;
            }
        }
        Ok(answer)
    }

    /// Offers the keys of an agent, but for those that the host has refused already; how many were offered.
    async fn agent(
        &mut self,
        handle: &mut Handle<Client>,
        clock: &Clock,
        socket: &Path,
        identities: Vec<AgentIdentity>,
    ) -> (usize, Result<Answer, russh::Error>) {
        let words = format!("ssh-agent at {}: ", socket.display());
        let target = Arc::clone(&self.target);
        let mut agent = match Agent::connect(handle, socket, &target, clock).await {
            Ok(agent) => agent,
            Err(note) => return (0, Ok(Answer::Ours(note.after(&words)))),
        };
        let (mut count, mut last) = (0, None);
        for identity in identities {
            let print = agent::fingerprint(&identity);
            let plain = matches!(identity, AgentIdentity::PublicKey { .. });
            if plain && self.known.contains(&print) {
                continue;
            }
            let rsa = identity.public_key().algorithm().is_rsa();
            let hashes = match signature_hashes(handle, &target, rsa).await {
                Ok(Ok(hashes)) => hashes,
                Ok(Err(note)) => {
                    self.note(note.after(&words));
                    continue;
                }
                Err(error) => return (count, Err(error)),
            };
            count += 1;
            match agent.offer_with(handle, &identity, hashes).await {
                Offered::Answer(no @ Answer::No { .. }) => {
                    self.known.insert(print);
                    if handle.is_closed() {
                        return (count, Err(russh::Error::Disconnect));
                    }
                    last = Some(no);
                }
                Offered::Answer(answer) => return (count, Ok(answer)),
                Offered::NotSigned(note) => self.note(note.after(&words)),
                Offered::Lost(note) => {
                    self.note(note.after(&words));
                    break;
                }
            }
        }
        let nothing =
            || Answer::Ours(Note::new(format!("{words}no other key is left to offer"), ""));
        (count, Ok(last.unwrap_or_else(nothing)))
    }

    /// What the server offers: known from an earlier refusal, or asked for with the method `none`, which sshd does not count
    /// as an attempt. The error is the answer when the server wants no proof at all.
    async fn offered(
        &mut self,
        handle: &mut Handle<Client>,
    ) -> Result<Result<MethodSet, Answer>, russh::Error> {
        if let Some(methods) = self.accepted.take() {
            return Ok(Ok(methods));
        }
        Ok(match handle.authenticate_none(&self.target.username).await? {
            AuthResult::Success => Err(Answer::In),
            AuthResult::Failure { remaining_methods, .. } if remaining_methods.is_empty() => {
                Err(Answer::No { remaining: None })
            }
            AuthResult::Failure { remaining_methods, .. } => Ok(remaining_methods),
        })
    }

    /// Sends the password only to a server that offers to take one, or that asks for it, and when its turn has come.
    async fn password(
        &mut self,
        handle: &mut Handle<Client>,
        clock: &Clock,
        secret: &Secret,
        subject: Subject,
    ) -> Result<Answer, russh::Error> {
        let methods = match self.offered(handle).await? {
            Ok(methods) => methods,
            Err(answer) => return Ok(answer),
        };
        let plain = methods.contains(&MethodKind::Password);
        if !plain && !methods.contains(&MethodKind::KeyboardInteractive) {
            return Ok(Answer::NotOffered { methods });
        }
        let target = &self.target;
        let prompt = match PasswordPrompt::new(target.password_prompt.as_deref()) {
            Ok(prompt) => prompt,
            Err(problem) => {
                let note = Note::new(format!("password: {problem}"), "correct credentials.yml");
                return Ok(Answer::Ours(note));
            }
        };
        let hold = clock.hold();
        let turn = self.logins.refusals.turn(subject, &target.alias);
        let turn = tokio::time::timeout(target.deadlines.person, turn).await;
        drop(hold);
        let turn = match turn {
            Ok(Ok(turn)) => turn,
            Ok(Err(paused)) => {
                return Ok(Answer::Ours(Note::password_paused(&target.username, &paused)));
            }
            Err(_) => {
                let what = "password: too many hosts were being logged in to with it";
                return Ok(Answer::Ours(Note::new(what, "try again")));
            }
        };
        if !plain {
            let given = Given { secret, prompt, turn };
            return interactive::log_in(handle, target, clock, Some(given)).await;
        }
        let result = handle.authenticate_password(&target.username, secret.expose()).await?;
        let answer = Answer::from(result);
        if matches!(answer, Answer::In | Answer::More { .. }) {
            turn.accepted();
        }
        Ok(answer)
    }

    async fn interactive(
        &mut self,
        handle: &mut Handle<Client>,
        clock: &Clock,
    ) -> Result<Answer, russh::Error> {
        let methods = match self.offered(handle).await? {
            Ok(methods) => methods,
            Err(answer) => return Ok(answer),
        };
        if methods.contains(&MethodKind::KeyboardInteractive) {
            return interactive::log_in(handle, &self.target, clock, None).await;
        }
        Ok(Answer::NotOffered { methods })
    }

    fn note(&mut self, note: Note) {
        if self.ours.len() < MAX_NOTES {
            self.ours.push(note);
        }
    }

    /// Each method with what came of it.
    fn failure(&self) -> ConnectFailure {
        let (alias, user) = (&self.target.alias, &self.target.username);
        let ours: Vec<&str> = self.ours.iter().map(|note| note.what.as_str()).collect();
        let ours = ours.join("; ");
        let hints = self.ours.iter().map(|note| note.hint.as_str());
        let mut hints: Vec<&str> = hints.filter(|hint| !hint.is_empty()).collect();
        hints.dedup();
        if self.refused.is_empty() {
            let ours = if ours.is_empty() { "none is configured" } else { &ours };
            let detail = format!("{alias}: no way to log in as {user} can be used: {ours}");
            return failure(detail, &hints.join("; "));
        }
        let accepts = self.accepted.as_ref().map_or_else(String::new, |methods| {
            let names: Vec<&str> = methods.iter().map(<&str>::from).collect();
            format!("; the server accepts {}", names.join(", "))
        });
        let ours = if ours.is_empty() { ours } else { format!("; not used: {ours}") };
        let refused = self.refused.join(", then ");
        hints.insert(
            0,
            "check the username and the key or password in credentials.yml, and authorized_keys on the host",
        );
        failure(format!("{alias} refused {refused} for {user}{accepts}{ours}"), &hints.join("; "))
    }

    /// The connection ended while logging in.
    fn broken(&self, error: &russh::Error) -> ConnectFailure {
        let alias = &self.target.alias;
        let mut detail = format!("the connection to {alias} ended while logging in: {error}");
        let keys = self.known.len();
        let mut hint = "the server may allow fewer attempts (MaxAuthTries) or have refused the account; see its log";
        if keys > 1 {
            detail.push_str(&format!("; it had refused {keys} keys"));
            hint = "the server allows no more attempts (MaxAuthTries): name the right key with agent_key or key_path in \
                    credentials.yml";
        }
        for note in &self.ours {
            detail.push_str(&format!("; not used: {}", note.what));
        }
        failure(detail, hint)
    }
}

fn failure(detail: String, hint: &str) -> ConnectFailure {
    ConnectFailure { phase: Phase::Auth, detail: detail.into(), hint: hint.to_owned() }
}

/// The hashes to sign with, one after the other: for RSA SHA-2, and SHA-1 (`None` to the library) only where the owner has listed
/// it. OpenSSH names all that it knows in `server-sig-algs`, accepted or not, so a refusal of SHA-2 alone says little.
async fn signature_hashes(
    handle: &Handle<Client>,
    target: &Target,
    rsa: bool,
) -> Result<Result<Vec<Option<HashAlg>>, Note>, russh::Error> {
    if !rsa {
        return Ok(Ok(vec![None]));
    }
    let sha1 = target.transport.legacy.contains(&LegacyAlgorithm::SshRsa);
    Ok(match handle.best_supported_rsa_hash().await? {
        Some(None) | None if sha1 => Ok(vec![None]),
        Some(Some(hash)) if sha1 => Ok(vec![Some(hash), None]),
        Some(Some(hash)) => Ok(vec![Some(hash)]),
        // A server that says nothing is an old one; RFC 8332 lets us try SHA-2.
        None => Ok(vec![Some(HashAlg::Sha512)]),
        Some(None) => Err(Note::new(
            "is an RSA key, and the server accepts those with SHA-1 only",
            "use an Ed25519 key, or list ssh-rsa in `legacy` of the host",
        )),
    })
}
