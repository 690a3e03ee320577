//! The keys that a host shows, one connection for each kind; nobody logs in. For a person who decides whether to trust them.

use std::borrow::Cow;
use std::sync::{Arc, Mutex, PoisonError};

use russh::client::Handler;
use russh::keys::{Algorithm, PublicKey, PublicKeyOrCertificate};
use russh::{AlgorithmKind, Preferred};
use sshepherd_model::ConnectFailure;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::algorithms::host_keys;
use crate::client;
use crate::link::{NoLink, failed, timed};
use crate::pool::Pool;
use crate::target::Target;
use crate::wire::{Progress, Wire};

/// Remembers the key and goes no further.
struct Looker(Arc<Mutex<Option<PublicKey>>>);

impl Handler for Looker {
    type Error = russh::Error;

    async fn check_server_key(
        &mut self,
        shown: &PublicKeyOrCertificate,
    ) -> Result<bool, Self::Error> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(shown.public_key());
        Ok(false)
    }
}

/// The kinds to ask for, each by itself: Ed25519, ECDSA, RSA.
fn kinds(target: &Target) -> [Vec<Algorithm>; 3] {
    let offered = host_keys(target);
    let of =
        |wanted: fn(&Algorithm) -> bool| offered.iter().filter(|a| wanted(a)).cloned().collect();
    [
        of(|algorithm| *algorithm == Algorithm::Ed25519),
        of(|algorithm| matches!(algorithm, Algorithm::Ecdsa { .. })),
        of(|algorithm| matches!(algorithm, Algorithm::Rsa { .. })),
    ]
}

impl Pool {
    /// The keys that the host proves to have, at most one of each kind, Ed25519 first; never none. What is stored is not
    /// asked, so they prove nothing about who the host is. Jump hosts on the way must be trusted already.
    pub async fn survey(&self, target: &Arc<Target>) -> Result<Vec<PublicKey>, ConnectFailure> {
        let mut keys = Vec::new();
        let mut failure = None;
        for kind in kinds(target) {
            match self.show(target, kind).await {
                Ok(key) => keys.push(key),
                Err(Unshown::NotOffered(why)) => failure = Some(why),
                Err(Unshown::Failed(why)) => return Err(why),
            }
        }
        match failure {
            Some(why) if keys.is_empty() => Err(why),
            Some(_) | None => Ok(keys),
        }
    }

    async fn show(&self, target: &Arc<Target>, kind: Vec<Algorithm>) -> Result<PublicKey, Unshown> {
        let (carrier, _) = self.carrier(target).await.map_err(Unshown::Failed)?;
        let program = carrier.last_words();
        let cut = CancellationToken::new();
        let guard = cut.clone().drop_guard();
        let (progress, watching) = watch::channel(Progress::new());
        let shown = Arc::new(Mutex::new(None));
        let mut config = client::config(target);
        config.preferred = Preferred {
            key: Cow::Owned(kind),
            host_key_certificates: Cow::Borrowed(&[]),
            ..config.preferred
        };
        let handshake = russh::client::connect_stream(
            Arc::new(config),
            Wire::new(carrier, &cut, progress),
            Looker(Arc::clone(&shown)),
        );
        let ended = timed(handshake, watching, &target.deadlines).await;
        if let Some(key) = shown.lock().unwrap_or_else(PoisonError::into_inner).take() {
            return Ok(key);
        }
        let (progress, error) = match ended {
            Ok(_) => (Progress::new(), None),
            Err(why) => why,
        };
        let missing =
            matches!(error, Some(russh::Error::NoCommonAlgo { kind: AlgorithmKind::Key, .. }));
        match failed(target, &Arc::default(), &progress, error) {
            NoLink::Failed(why) | NoLink::HungUp(why) if missing => Err(Unshown::NotOffered(why)),
            NoLink::Failed(why) | NoLink::HungUp(why) => {
                drop(guard);
                Err(Unshown::Failed(match program {
                    Some(program) => program.explain(why).await,
                    None => why,
                }))
            }
        }
    }
}

/// Why no key was seen.
enum Unshown {
    /// The host has none of that kind.
    NotOffered(ConnectFailure),
    /// It was not reached.
    Failed(ConnectFailure),
}
