//! The lines of a known_hosts file: OpenSSH's format, read as OpenSSH reads it.

use std::path::{Path, PathBuf};

use hmac::{Hmac, KeyInit, Mac};
use russh::keys::{PublicKey, parse_public_key_base64};
use sha1::Sha1;

/// One line.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) marker: Mark,
    pub(super) names: Names,
    pub(super) key: PublicKey,
    pub(super) file: PathBuf,
    pub(super) line: usize,
}

/// What a line says about its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mark {
    Host,
    Revoked,
    Authority,
}

/// The hosts that a line is about.
#[derive(Debug, Clone)]
pub(super) enum Names {
    Hashed { salt: Vec<u8>, hash: Vec<u8> },
    Patterns(Vec<String>),
}

/// The name that an entry must match: the bare name for port 22, `[name]:port` for any other.
pub(super) fn lookup_name(name: &str, port: u16) -> String {
    let name = name.to_ascii_lowercase();
    if port == 22 { name } else { format!("[{name}]:{port}") }
}

/// Reads one line; none where it is no entry.
pub(super) fn entry(line: &str, file: &Path, number: usize) -> Option<Entry> {
    let mut fields = line.split([' ', '\t']).filter(|field| !field.is_empty());
    let mut names = fields.next()?;
    let marker = match names {
        "@revoked" => Mark::Revoked,
        "@cert-authority" => Mark::Authority,
        other if other.starts_with('@') => return None,
        _ => Mark::Host,
    };
    if marker != Mark::Host {
        names = fields.next()?;
    }
    let algorithm = fields.next()?;
    let key = parse_public_key_base64(fields.next()?).ok()?;
    // The word and the key must agree, as OpenSSH demands.
    let named = key.algorithm();
    if named.as_str() != algorithm {
        return None;
    }
    let names = match names.strip_prefix("|1|") {
        Some(hashed) => {
            let (salt, hash) = hashed.split_once('|')?;
            Names::Hashed { salt: base64(salt)?, hash: base64(hash)? }
        }
        None if names.starts_with('|') => return None,
        None => Names::Patterns(names.split(',').map(str::to_ascii_lowercase).collect()),
    };
    Some(Entry { marker, names, key, file: file.to_owned(), line: number })
}

fn base64(text: &str) -> Option<Vec<u8>> {
    data_encoding::BASE64.decode(text.as_bytes()).ok()
}

impl Names {
    /// Whether the host is meant: by its hash, or by a pattern while no negated pattern says otherwise.
    pub(super) fn match_host(&self, wanted: &str) -> bool {
        match self {
            Self::Hashed { salt, hash } => Hmac::<Sha1>::new_from_slice(salt)
                .is_ok_and(|mac| mac.chain_update(wanted.as_bytes()).verify_slice(hash).is_ok()),
            Self::Patterns(patterns) => {
                let mut matched = false;
                for pattern in patterns {
                    match pattern.strip_prefix('!') {
                        Some(negated) if wildcard(negated.as_bytes(), wanted.as_bytes()) => {
                            return false;
                        }
                        Some(_) => {}
                        None => matched |= wildcard(pattern.as_bytes(), wanted.as_bytes()),
                    }
                }
                matched
            }
        }
    }
}

/// OpenSSH's patterns: `*` and `?`, nothing else. Iterative, so that no pattern takes more than length × length steps.
fn wildcard(pattern: &[u8], text: &[u8]) -> bool {
    let (mut at, mut seen) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while seen < text.len() {
        match pattern.get(at) {
            Some(b'*') => {
                star = Some((at + 1, seen));
                at += 1;
            }
            Some(byte) if *byte == b'?' || text.get(seen) == Some(byte) => {
                at += 1;
                seen += 1;
            }
            _ => match star {
                Some((after, from)) => {
                    at = after;
                    seen = from + 1;
                    star = Some((after, from + 1));
                }
                None => return false,
            },
        }
    }
    pattern.get(at..).unwrap_or_default().iter().all(|byte| *byte == b'*')
}
