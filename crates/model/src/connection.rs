//! How the connection to one host is made, where it differs from the usual.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

/// Settings of one host, put together from its own entry, its tags and the defaults.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnectionSettings {
    /// How long the steps of connecting may take.
    pub timeouts: Timeouts,
    /// How a dead peer is noticed; `None` when the host is never asked.
    pub keepalive: Option<Keepalive>,
    /// Weak algorithms that the owner lets this host use.
    pub legacy: BTreeSet<LegacyAlgorithm>,
    /// What the bytes of its output mean, if they are not UTF-8.
    pub encoding: Option<TextEncoding>,
    /// A program that reaches the host.
    pub proxy: Option<ProxyCommand>,
}

impl Default for ConnectionSettings {
    fn default() -> Self {
        Self {
            timeouts: Timeouts::default(),
            keepalive: Some(Keepalive::default()),
            legacy: BTreeSet::new(),
            encoding: None,
            proxy: None,
        }
    }
}

/// How long the steps of connecting may take; `None` is the usual time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Timeouts {
    /// For reaching the host, then for its version line, then for the key exchange: each.
    pub connect: Option<Duration>,
    /// For all attempts to log in together.
    pub login: Option<Duration>,
    /// For opening a channel, and for the answer to what is asked on it.
    pub channel: Option<Duration>,
}

/// How a dead peer is noticed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Keepalive {
    /// A question is sent when nothing came for this long.
    pub every: Duration,
    /// As many unanswered ones in a row end the connection at the next.
    pub missed: usize,
}

impl Default for Keepalive {
    /// A dead peer is seen within about a minute: 15 s, and 3 may be missed.
    fn default() -> Self {
        Self { every: Duration::from_secs(15), missed: 3 }
    }
}

/// The name of an encoding of text, as the WHATWG's standard spells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TextEncoding(pub &'static str);

/// A program whose standard input and output are the connection.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ProxyCommand {
    /// The program, checked when the configuration was read, or why it cannot be run.
    pub program: Result<PathBuf, String>,
    /// Its arguments, in which `%h`, `%p`, `%r` and `%%` stand for the host's address, its port, the login name and a percent sign.
    pub arguments: Vec<String>,
    /// The owner vouches for where it connects, which no network policy can see.
    pub trusted: bool,
}

impl ProxyCommand {
    /// The arguments for one host. Each stays one word, whatever it is filled with.
    #[must_use]
    pub fn filled(&self, host: &str, port: u16, user: &str) -> Vec<String> {
        let port = port.to_string();
        self.arguments.iter().map(|word| fill(word, host, &port, user)).collect()
    }

    /// The first `%` in an argument that stands for nothing, with the letter after it.
    #[must_use]
    pub fn unknown_token(word: &str) -> Option<String> {
        let mut letters = word.chars();
        while letters.by_ref().any(|letter| letter == '%') {
            match letters.next() {
                Some('h' | 'p' | 'r' | '%') => {}
                other => return Some(other.map_or("%".to_owned(), |letter| format!("%{letter}"))),
            }
        }
        None
    }
}

fn fill(word: &str, host: &str, port: &str, user: &str) -> String {
    let mut filled = String::with_capacity(word.len());
    let mut letters = word.chars();
    while let Some(letter) = letters.next() {
        match letter {
            '%' => filled.push_str(match letters.next() {
                Some('h') => host,
                Some('p') => port,
                Some('r') => user,
                _ => "%",
            }),
            other => filled.push(other),
        }
    }
    filled
}

/// An algorithm that is too weak to be offered unasked, and that an old host may know nothing better than.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LegacyAlgorithm {
    /// RSA signatures with SHA-1, of host keys and of ours.
    SshRsa,
    /// Diffie-Hellman in a group of 2048 bits with SHA-1.
    Group14Sha1,
    /// Diffie-Hellman in a group of 1024 bits with SHA-1.
    Group1Sha1,
    /// Diffie-Hellman in a group of the server's with SHA-1.
    GroupExchangeSha1,
    /// AES with 128 bits in CBC mode.
    Aes128Cbc,
    /// AES with 192 bits in CBC mode.
    Aes192Cbc,
    /// AES with 256 bits in CBC mode.
    Aes256Cbc,
    /// Triple DES in CBC mode.
    TripleDesCbc,
    /// HMAC with SHA-1.
    HmacSha1,
    /// HMAC with SHA-1 over what is encrypted.
    HmacSha1Etm,
}

/// What an algorithm is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AlgorithmUse {
    /// Signatures of host keys and of ours.
    Signature,
    /// The key exchange.
    KeyExchange,
    /// Encryption.
    Cipher,
    /// Integrity.
    Mac,
}

use LegacyAlgorithm as L;

/// What may be written for what: OpenSSH's names, and short ones.
const NAMES: [(&str, &[LegacyAlgorithm]); 16] = [
    ("ssh-rsa", &[L::SshRsa]),
    ("group14-sha1", &[L::Group14Sha1]),
    ("diffie-hellman-group14-sha1", &[L::Group14Sha1]),
    ("group1-sha1", &[L::Group1Sha1]),
    ("diffie-hellman-group1-sha1", &[L::Group1Sha1]),
    ("group-exchange-sha1", &[L::GroupExchangeSha1]),
    ("diffie-hellman-group-exchange-sha1", &[L::GroupExchangeSha1]),
    ("cbc", &[L::Aes128Cbc, L::Aes192Cbc, L::Aes256Cbc]),
    ("aes128-cbc", &[L::Aes128Cbc]),
    ("aes192-cbc", &[L::Aes192Cbc]),
    ("aes256-cbc", &[L::Aes256Cbc]),
    ("3des", &[L::TripleDesCbc]),
    ("3des-cbc", &[L::TripleDesCbc]),
    ("hmac-sha1", &[L::HmacSha1]),
    ("hmac-sha1-etm", &[L::HmacSha1Etm]),
    ("hmac-sha1-etm@openssh.com", &[L::HmacSha1Etm]),
];

impl LegacyAlgorithm {
    /// All of them, the less weak ones of a kind first: the order in which they are offered.
    pub const ALL: [Self; 10] = [
        Self::SshRsa,
        Self::Group14Sha1,
        Self::GroupExchangeSha1,
        Self::Group1Sha1,
        Self::Aes128Cbc,
        Self::Aes192Cbc,
        Self::Aes256Cbc,
        Self::TripleDesCbc,
        Self::HmacSha1Etm,
        Self::HmacSha1,
    ];

    /// What an owner's word stands for.
    #[must_use]
    pub fn named(word: &str) -> Option<&'static [Self]> {
        NAMES.iter().find(|(name, _)| *name == word).map(|(_, algorithms)| *algorithms)
    }

    /// Every word that stands for something.
    #[must_use]
    pub fn words() -> Vec<&'static str> {
        NAMES.iter().map(|(name, _)| *name).collect()
    }

    /// Its name on the wire.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::SshRsa => "ssh-rsa",
            Self::Group14Sha1 => "diffie-hellman-group14-sha1",
            Self::Group1Sha1 => "diffie-hellman-group1-sha1",
            Self::GroupExchangeSha1 => "diffie-hellman-group-exchange-sha1",
            Self::Aes128Cbc => "aes128-cbc",
            Self::Aes192Cbc => "aes192-cbc",
            Self::Aes256Cbc => "aes256-cbc",
            Self::TripleDesCbc => "3des-cbc",
            Self::HmacSha1 => "hmac-sha1",
            Self::HmacSha1Etm => "hmac-sha1-etm@openssh.com",
        }
    }

    /// What it is for.
    #[must_use]
    pub fn used_for(self) -> AlgorithmUse {
        match self {
            Self::SshRsa => AlgorithmUse::Signature,
            Self::Group14Sha1 | Self::Group1Sha1 | Self::GroupExchangeSha1 => {
                AlgorithmUse::KeyExchange
            }
            Self::Aes128Cbc | Self::Aes192Cbc | Self::Aes256Cbc | Self::TripleDesCbc => {
                AlgorithmUse::Cipher
            }
            Self::HmacSha1 | Self::HmacSha1Etm => AlgorithmUse::Mac,
        }
    }

    /// What it weakens, in words that follow its name.
    #[must_use]
    pub fn weakness(self) -> &'static str {
        match self {
            Self::SshRsa => {
                "signs with SHA-1, whose collisions can be bought: somebody may pose as the host"
            }
            Self::Group14Sha1 | Self::GroupExchangeSha1 => {
                "hashes the key exchange with SHA-1, whose collisions can be bought"
            }
            Self::Group1Sha1 => {
                "exchanges keys in one group of 1024 bits, which a state can break: sessions may be read later"
            }
            Self::Aes128Cbc | Self::Aes192Cbc | Self::Aes256Cbc => {
                "chains blocks, which lets somebody on the way guess at parts of the text"
            }
            Self::TripleDesCbc => {
                "has blocks of 64 bits, which leak after some gigabytes, and lets somebody on the way guess at parts of the text"
            }
            Self::HmacSha1 | Self::HmacSha1Etm => "protects against changes with SHA-1 only",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_fill_words_and_never_split_them() {
        let proxy = |words: &[&str]| ProxyCommand {
            program: Ok("/bin/true".into()),
            arguments: words.iter().map(|word| (*word).to_owned()).collect(),
            trusted: false,
        };
        for (word, filled) in [
            ("%h", "a b"),
            ("%h:%p", "a b:22"),
            ("[%h]:%p", "[a b]:22"),
            ("%r@%h", "%h@a b"),
            ("%%h", "%h"),
            ("%%%h", "%a b"),
            ("plain", "plain"),
            ("", ""),
        ] {
            let words = proxy(&[word, "$(%p)"]).filled("a b", 22, "%h");
            assert_eq!(words, [filled, "$(22)"], "{word}");
        }
        for (word, unknown) in
            [("%%", None), ("%h%p%r", None), ("%x", Some("%x")), ("a%", Some("%"))]
        {
            assert_eq!(ProxyCommand::unknown_token(word).as_deref(), unknown, "{word}");
        }
    }

    #[test]
    fn every_algorithm_can_be_named_as_openssh_names_it() {
        for algorithm in LegacyAlgorithm::ALL {
            assert_eq!(LegacyAlgorithm::named(algorithm.name()), Some([algorithm].as_slice()));
        }
        let named: BTreeSet<LegacyAlgorithm> =
            NAMES.iter().flat_map(|(_, algorithms)| algorithms.iter().copied()).collect();
        assert_eq!(named, LegacyAlgorithm::ALL.into_iter().collect());
    }
}
