//! The types of a typed rule's option values and operands: each decides about one word by itself.

use std::fmt;
use std::net::IpAddr;

use regex::{Regex, RegexBuilder};

/// Longest word that any type takes, in bytes: Linux' PATH_MAX.
const MAX_WORD: usize = 4096;
/// Longest unit name, in bytes (systemd, UNIT_NAME_MAX less its NUL).
const MAX_UNIT: usize = 255;
/// Longest host name, in bytes (RFC 1035, 2.3.4).
const MAX_HOST_NAME: usize = 253;
/// Most memory of a compiled pattern, in bytes; more than any pattern for one argument needs.
const MAX_PATTERN: usize = 1 << 20;

/// A type of value. Every type takes a word whole or not at all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ValueType {
    /// A decimal number without sign or leading zero, both bounds included.
    Integer {
        /// Smallest.
        min: u64,
        /// Largest.
        max: u64,
    },
    /// One of these words.
    OneOf(Vec<String>),
    /// This word.
    Literal(String),
    /// A systemd unit by name, with or without its suffix: at most 255 of `[A-Za-z0-9:_.@-]`, one of them a letter, and a
    /// letter or digit first. A number alone would be a process id to systemctl; `*` and `/` are its patterns and paths.
    Unit,
    /// An absolute path without `.` and `..`.
    Path,
    /// Such a path strictly below one of these folders. It judges the name: a link on the host may still lead elsewhere.
    PathUnder(Vec<String>),
    /// One of these folders, or such a path below one.
    PathIn(Vec<String>),
    /// A host name (RFC 1123) or an IP address.
    HostName,
    /// A point in time as systemd and GNU `date` read it: `2026-11-20`, `2026-11-20 10:00`, `10:00:00`, `now`, `today`,
    /// `yesterday`, `tomorrow`, `-1h`, `2 days ago`, `@1700000000`.
    Time,
    /// A word that this regular expression matches from its first to its last letter.
    Matching(Pattern),
}

/// A regular expression over a whole word.
#[derive(Clone)]
pub struct Pattern {
    text: String,
    regex: Regex,
}

/// A text that is no usable pattern.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("bad regular expression {text:?}: {problem}")]
pub struct BadPattern {
    /// The text.
    pub text: String,
    /// What is wrong.
    pub problem: String,
}

impl Pattern {
    /// Compiles `text`; it always speaks of the whole word, whether or not it is anchored.
    pub fn new(text: &str) -> Result<Self, BadPattern> {
        let build = |text: &str| RegexBuilder::new(text).size_limit(MAX_PATTERN).build();
        // By itself first: `a)|(b` would be well-formed only between the anchors' parentheses.
        build(text).and_then(|_| build(&format!("^(?:{text})$"))).map_or_else(
            |error| {
                // The library draws its errors over several lines; the last says what is wrong.
                let problem =
                    error.to_string().lines().last().unwrap_or_default().trim().to_owned();
                Err(BadPattern { text: text.to_owned(), problem })
            },
            |regex| Ok(Self { text: text.to_owned(), regex }),
        )
    }

    /// The pattern as it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether it takes words that name options, folders or anything else: an owner most likely meant less.
    pub(crate) fn takes_anything(&self) -> bool {
        ["a b", "--x=/y", "/etc/shadow", "$(id)"].iter().all(|word| self.regex.is_match(word))
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Pattern {}

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pattern({:?})", self.text)
    }
}

impl ValueType {
    /// Whether `word` is of this type.
    #[must_use]
    pub fn takes(&self, word: &str) -> bool {
        if word.is_empty() || word.len() > MAX_WORD {
            return false;
        }
        match self {
            Self::Integer { min, max } => integer(word).is_some_and(|n| (*min..=*max).contains(&n)),
            Self::OneOf(words) => words.iter().any(|known| known == word),
            Self::Literal(literal) => literal == word,
            Self::Unit => unit(word),
            Self::Path => path(word).is_some(),
            Self::PathUnder(folders) => path(word)
                .is_some_and(|parts| folders.iter().any(|folder| below(&parts, folder, 1))),
            Self::PathIn(folders) => path(word)
                .is_some_and(|parts| folders.iter().any(|folder| below(&parts, folder, 0))),
            Self::HostName => host_name(word),
            Self::Time => time(word),
            Self::Matching(pattern) => pattern.regex.is_match(word),
        }
    }

    /// The type as hints name it.
    #[must_use]
    pub fn describe(&self) -> String {
        match self {
            Self::Integer { min, max } => format!("a number from {min} to {max}"),
            Self::OneOf(words) => format!("one of {}", words.join(", ")),
            Self::Literal(word) => word.clone(),
            Self::Unit => "a unit name such as nginx.service".to_owned(),
            Self::Path => "an absolute path without . and ..".to_owned(),
            Self::PathUnder(folders) => format!("a path below {}", folders.join(" or ")),
            Self::PathIn(folders) => format!("{} or a path below", folders.join(" or ")),
            Self::HostName => "a host name or address".to_owned(),
            Self::Time => "a time such as '2026-11-20 10:00', today or '2 hours ago'".to_owned(),
            Self::Matching(pattern) => format!("a word that matches {}", pattern.text),
        }
    }

    /// The type in one word, for usage lines.
    #[must_use]
    pub fn noun(&self) -> String {
        match self {
            Self::Integer { min, max } => format!("<{min}..{max}>"),
            Self::OneOf(words) => format!("<{}>", words.join("|")),
            Self::Literal(word) => word.clone(),
            Self::Unit => "<unit>".to_owned(),
            Self::Path => "</path>".to_owned(),
            Self::PathUnder(folders) => format!("<{}/…>", folders.join("/…|")),
            Self::PathIn(folders) => format!("<{}[/…]>", folders.join("[/…]|")),
            Self::HostName => "<host>".to_owned(),
            Self::Time => "<time>".to_owned(),
            Self::Matching(pattern) => format!("<{}>", pattern.text),
        }
    }

    /// The taken word nearest to `word`: a number moved to its bound, a path without its detours. `None` where there is none.
    pub(crate) fn nearest(&self, word: &str) -> Option<String> {
        match self {
            Self::Integer { min, max } => {
                // Too many digits, or no number at all, such as `all`: the most that is taken.
                let number = word.trim_start_matches(['+', '-']).parse().unwrap_or(u64::MAX);
                Some(number.clamp(*min, *max).to_string())
            }
            Self::Literal(word) => Some(word.clone()),
            Self::OneOf(words) => words.first().cloned(),
            Self::Unit
            | Self::Path
            | Self::PathUnder(_)
            | Self::PathIn(_)
            | Self::HostName
            | Self::Time
            | Self::Matching(_) => None,
        }
    }

    /// A word of this type for a hint, where one can be named without guessing.
    pub(crate) fn example(&self) -> Option<String> {
        match self {
            // A page of lines is what people ask for most.
            Self::Integer { min, max } => Some(100.clamp(*min, *max).to_string()),
            Self::OneOf(_)
            | Self::Literal(_)
            | Self::Unit
            | Self::Path
            | Self::PathUnder(_)
            | Self::PathIn(_)
            | Self::HostName
            | Self::Time
            | Self::Matching(_) => self.nearest(""),
        }
    }
}

fn all_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// A plain decimal number. A leading zero is refused: some programs read it as octal.
fn integer(word: &str) -> Option<u64> {
    let plain = all_digits(word) && (word == "0" || !word.starts_with('0'));
    plain.then(|| word.parse().ok()).flatten()
}

fn unit(word: &str) -> bool {
    word.len() <= MAX_UNIT
        && word.bytes().all(|byte| byte.is_ascii_alphanumeric() || b":_.@-".contains(&byte))
        && word.starts_with(|first: char| first.is_ascii_alphanumeric())
        && word.bytes().any(|byte| byte.is_ascii_alphabetic())
}

/// The parts of an absolute path; `None` when it is none or has a detour. Two slashes at the start may mean another place
/// (POSIX.1-2024, 4.16); elsewhere they mean one.
fn path(word: &str) -> Option<Vec<&str>> {
    let rest = word.strip_prefix('/')?;
    if rest.starts_with('/') || rest.split('/').any(|part| matches!(part, "." | "..")) {
        return None;
    }
    Some(rest.split('/').filter(|part| !part.is_empty()).collect())
}

/// Whether a path is a folder's, with at least so many parts after it.
fn below(parts: &[&str], folder: &str, more: usize) -> bool {
    let folder: Vec<&str> = folder.split('/').filter(|part| !part.is_empty()).collect();
    parts.len() >= folder.len() + more && parts.starts_with(&folder)
}

fn host_name(word: &str) -> bool {
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    word.parse::<IpAddr>().is_ok()
        || (word.len() <= MAX_HOST_NAME
            && word.strip_suffix('.').unwrap_or(word).split('.').all(label))
}

/// systemd.time(7), less what has no use here (calendar events, names of weekdays).
fn time(word: &str) -> bool {
    if matches!(word, "now" | "today" | "yesterday" | "tomorrow") {
        return true;
    }
    if let Some(seconds) = word.strip_prefix('@') {
        return all_digits(seconds) && seconds.len() <= 12;
    }
    if let Some(ago) = word.strip_suffix(" ago") {
        return spans(ago);
    }
    if let Some(relative) = word.strip_prefix(['-', '+']) {
        return spans(relative);
    }
    let (date, rest) = match word.split_once([' ', 'T']) {
        Some((date, rest)) => (Some(date), Some(rest)),
        None if word.contains(':') => (None, Some(word)),
        None => (Some(word), None),
    };
    date.is_none_or(is_date)
        && rest.is_none_or(|rest| clock(rest.strip_suffix(" UTC").unwrap_or(rest)))
}

fn is_date(text: &str) -> bool {
    let parts: Vec<&str> = text.split('-').collect();
    matches!(parts.as_slice(), [year, month, day]
        if (year.len(), month.len(), day.len()) == (4, 2, 2) && parts.iter().all(|part| all_digits(part)))
}

fn clock(text: &str) -> bool {
    let (text, fraction) = text.split_once('.').map_or((text, "0"), |(text, rest)| (text, rest));
    let parts: Vec<&str> = text.split(':').collect();
    (2..=3).contains(&parts.len())
        && parts.iter().all(|part| part.len() == 2 && all_digits(part))
        && fraction.len() <= 6
        && all_digits(fraction)
}

/// Units of time spans that systemd reads.
const SPANS: &str = "us usec ms msec s sec second seconds m min minute minutes h hr hour hours d day days w week weeks M \
    month months y year years";

/// `1h`, `2 days`, `1h 30min`.
fn spans(text: &str) -> bool {
    let mut rest = text.trim_start_matches(' ');
    if rest.is_empty() || text.len() > 64 {
        return false;
    }
    while !rest.is_empty() {
        let after = rest.trim_start_matches(|letter: char| letter.is_ascii_digit());
        let digits = rest.len() - after.len();
        let named = after.trim_start_matches(' ');
        let left = named.trim_start_matches(|letter: char| letter.is_ascii_alphabetic());
        let unit = named.get(..named.len() - left.len()).unwrap_or_default();
        if !(1..=9).contains(&digits) || !SPANS.split(' ').any(|known| known == unit) {
            return false;
        }
        rest = left.trim_start_matches(' ');
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(kind: &ValueType, takes: &[&str], refuses: &[&str]) {
        for word in takes {
            assert!(kind.takes(word), "{kind:?} should take {word:?}");
        }
        for word in refuses {
            assert!(!kind.takes(word), "{kind:?} should refuse {word:?}");
        }
    }

    #[test]
    fn numbers_are_plain_and_within_bounds() {
        let kind = ValueType::Integer { min: 1, max: 1000 };
        check(
            &kind,
            &["1", "10", "1000"],
            &[
                "",
                "0",
                "1001",
                "+5",
                "-5",
                "05",
                "0x5",
                "5 ",
                "5k",
                "1e2",
                "99999999999999999999",
                "all",
            ],
        );
        check(&ValueType::Integer { min: 0, max: 0 }, &["0"], &["00", "1"]);
        check(
            &ValueType::Integer { min: 0, max: u64::MAX },
            &["18446744073709551615"],
            &["18446744073709551616"],
        );
    }

    #[test]
    fn units_are_names_and_nothing_else() {
        let long = "a".repeat(255);
        let longer = "a".repeat(256);
        check(
            &ValueType::Unit,
            &["nginx", "getty@tty1.service", "a:b_c-d.socket", "3proxy", &long],
            &[
                "",
                "1234",
                "-x",
                "--host=x",
                "nginx*",
                "a/b",
                "/dev/sda",
                "a b",
                "a,b",
                "@a",
                ".a",
                "ngin\\x2dx",
                &longer,
            ],
        );
    }

    #[test]
    fn paths_have_no_detours_and_stay_below_their_folder() {
        check(
            &ValueType::Path,
            &["/", "/var", "/var/", "/var//log", "/a b", "/-x", "/..a", "/a..b/..."],
            &["", "var", "./x", "//x", "/var/..", "/../x", "/var/./x", "~/x", "-"],
        );
        let under = ValueType::PathUnder(vec!["/var/log".to_owned(), "/srv/".to_owned()]);
        check(
            &under,
            &["/var/log/syslog", "/var/log//a/b", "/var/log/a/", "/srv/x"],
            &[
                "/var/log",
                "/var/log/",
                "/var/log/..",
                "/var/log/../x",
                "/var/logs/x",
                "/var/lo",
                "//var/log/x",
                "var/log/x",
                "/etc/shadow",
                "/srv",
            ],
        );
    }

    #[test]
    fn a_folder_may_be_meant_itself() {
        let within = ValueType::PathIn(vec!["/var/log".to_owned()]);
        check(
            &within,
            &["/var/log", "/var/log/", "/var/log/a"],
            &["/var", "/var/logs", "/var/log/..", "/"],
        );
        check(&ValueType::PathIn(vec!["/".to_owned()]), &["/", "/x"], &["x", "/.."]);
    }

    #[test]
    fn host_names_cannot_be_options() {
        check(
            &ValueType::HostName,
            &["web1", "web-1.example.org", "web.", "192.0.2.1", "2001:db8::1", "::1"],
            &["", "-x", "a-", "a..b", "a b", "a/b", "a_b", "[::1]", "user@host", ".", "::1%eth0"],
        );
    }

    #[test]
    fn times_are_those_of_systemd() {
        check(
            &ValueType::Time,
            &[
                "now",
                "today",
                "yesterday",
                "2026-11-20",
                "2026-11-20 10:00",
                "2026-11-20T10:00:00",
                "2026-11-20 10:00:00 UTC",
                "10:00",
                "10:00:00.5",
                "-1h",
                "+5min",
                "- 1h",
                "1h ago",
                "2 days ago",
                "1h 30min ago",
                "@1700000000",
            ],
            &[
                "",
                "-n",
                "--until",
                "5",
                "ago",
                " ago",
                "1 ago",
                "h ago",
                "2026-1-1",
                "2026-11-20 ",
                "10",
                "1:2",
                "@",
                "@x",
                "now;id",
                "-",
                "1 fortnight ago",
                "2026-11-20 x",
            ],
        );
    }

    #[test]
    fn a_pattern_speaks_of_the_whole_word() {
        let kind = ValueType::Matching(Pattern::new("[a-z]+|x1").unwrap());
        check(&kind, &["abc", "x1"], &["", "abc1", "1abc", "abc\n", "x1y"]);
        assert!(Pattern::new("a(").is_err());
        assert!(Pattern::new("a)|(b").is_err());
        assert!(Pattern::new("(?:a{1000}){1000}").is_err(), "bounded memory");
        assert!(Pattern::new(".*").unwrap().takes_anything());
        assert!(!Pattern::new("[^-].*").unwrap().takes_anything());
    }

    #[test]
    fn the_nearest_word_is_taken() {
        let kind = ValueType::Integer { min: 5, max: 1000 };
        for (word, nearest) in [
            ("0", "5"),
            ("-20", "20"),
            ("+7", "7"),
            ("all", "1000"),
            ("99999999999999999999", "1000"),
        ] {
            assert_eq!(kind.nearest(word).as_deref(), Some(nearest), "{word}");
        }
        assert_eq!(kind.example().as_deref(), Some("100"));
    }
}
