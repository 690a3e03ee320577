//! Throw-away Ed25519 keys that live in memory.

use russh::keys::PrivateKey;
use russh::keys::ssh_key::private::{Ed25519Keypair, KeypairData};

use crate::Error;

/// A new key from the system's random bytes.
pub(crate) fn generate(comment: &str) -> Result<PrivateKey, Error> {
    let mut seed = [0_u8; 32];
    getrandom::fill(&mut seed).map_err(Error::Random)?;
    let pair = KeypairData::from(Ed25519Keypair::from_seed(&seed));
    PrivateKey::new(pair, comment).map_err(Error::Key)
}

/// `TYPE BASE64`, as it stands after the names in `known_hosts`.
pub(crate) fn public_line(key: &PrivateKey) -> Result<String, Error> {
    let mut public = key.public_key().clone();
    public.set_comment("");
    Ok(public.to_openssh().map_err(Error::Key)?.trim_end().to_owned())
}
