//! Which hosts: tags with and, or and not, aliases by pattern, list and range.
//!
//! ```text
//! selector := some (("or" | ",") some)*
//! some     := one (("and" | "&" | "minus" | "-") one)*      "minus" is "and not"
//! one      := ("not" | "!") one | "(" selector ")" | "@" tag | alias | "all"
//! ```
//!
//! Tags and aliases may hold `*` and `?`; an alias may hold ranges, `web[01-20]`. Words stand apart by blanks.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use crate::names::{self, BadNames};
use crate::{Alias, Host, InvalidField, Inventory};

/// Longest text, in bytes.
pub const MAX_TEXT: usize = 16 * 1024;
/// Deepest nesting of parentheses and `not`.
const MAX_DEPTH: usize = 32;
/// Most tags and patterns, ranges counted out: each is looked for in every host.
const MAX_PATTERNS: usize = 1000;
/// Most bytes of names that a complaint lists.
const MAX_LISTED: usize = 500;

/// A checked selector.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selector {
    text: String,
    choice: Choice,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Choice {
    All,
    Tag(String),
    /// Names that stand there in full, each of which must be a host.
    Named(BTreeSet<String>),
    /// Patterns, which may fit none.
    Like(Vec<String>),
    Not(Box<Choice>),
    // Side by side: a chain of them would be as deep as the text is long.
    And(Vec<Choice>),
    Or(Vec<Choice>),
}

/// Why a text selects nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadSelector {
    /// It does not follow the grammar.
    #[error("selector: {problem} (at byte {offset})")]
    Grammar {
        /// Where, in bytes.
        offset: usize,
        /// What is wrong and what would be right.
        problem: String,
    },
    /// It names hosts that there are not.
    #[error("selector: no host is called {}", listed(missing))]
    Unknown {
        /// Their names.
        missing: Vec<String>,
    },
}

impl From<BadSelector> for InvalidField {
    fn from(bad: BadSelector) -> Self {
        let text = bad.to_string();
        Self::new("selector", text.strip_prefix("selector: ").unwrap_or(&text))
    }
}

/// Names in range notation, as far as they are worth reading.
fn listed(names: &[String]) -> String {
    let text = names::fold(names.iter().map(String::as_str));
    match text.char_indices().find(|(at, _)| *at >= MAX_LISTED) {
        None => text,
        Some((end, _)) => {
            format!("{}… ({} names)", text.get(..end).unwrap_or_default(), names.len())
        }
    }
}

impl FromStr for Selector {
    type Err = BadSelector;

    fn from_str(text: &str) -> Result<Self, BadSelector> {
        if text.len() > MAX_TEXT {
            let problem = format!("has {} bytes; at most {MAX_TEXT} are taken", text.len());
            return Err(BadSelector::Grammar { offset: 0, problem });
        }
        let tokens = tokens(text);
        let (names, patterns) = (names::MAX_NAMES, MAX_PATTERNS);
        let mut parser = Parser { tokens: &tokens, at: 0, end: text.len(), names, patterns };
        let choice = parser.any(0)?;
        match parser.peek() {
            None => Ok(Self { text: text.trim().to_owned(), choice }),
            Some(token) => Err(token.wrong("expected and, or, minus or the end")),
        }
    }
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Selector {
    /// The hosts, in inventory order. A tag or pattern that fits no host adds none; a name that is no host is an error.
    pub fn select(&self, inventory: &Inventory) -> Result<Vec<Arc<Host>>, BadSelector> {
        let aliases: BTreeSet<&str> =
            inventory.hosts().iter().map(|host| host.alias.as_str()).collect();
        let mut missing = Vec::new();
        self.choice.names(&mut |name| {
            if !aliases.contains(name) {
                missing.push(name.to_owned());
            }
        });
        if !missing.is_empty() {
            return Err(BadSelector::Unknown { missing });
        }
        let chosen = |host: &&Arc<Host>| self.choice.takes(host);
        Ok(inventory.hosts().iter().filter(chosen).cloned().collect())
    }
}

impl Choice {
    fn takes(&self, host: &Host) -> bool {
        match self {
            Self::All => true,
            Self::Tag(pattern) => host.tags.iter().any(|tag| fits(pattern, tag.as_str())),
            Self::Named(names) => names.contains(host.alias.as_str()),
            Self::Like(patterns) => {
                patterns.iter().any(|pattern| fits(pattern, host.alias.as_str()))
            }
            Self::Not(inner) => !inner.takes(host),
            Self::And(all) => all.iter().all(|one| one.takes(host)),
            Self::Or(any) => any.iter().any(|one| one.takes(host)),
        }
    }

    fn names(&self, tell: &mut impl FnMut(&str)) {
        match self {
            Self::Named(names) => names.iter().for_each(|name| tell(name)),
            Self::Not(inner) => inner.names(tell),
            Self::And(several) | Self::Or(several) => {
                several.iter().for_each(|one| one.names(tell));
            }
            Self::All | Self::Tag(_) | Self::Like(_) => {}
        }
    }
}

/// Whether a pattern of `*` and `?` fits the whole of a text. Time is at most the product of both lengths.
fn fits(pattern: &str, text: &str) -> bool {
    let (pattern, text) = (pattern.as_bytes(), text.as_bytes());
    let (mut p, mut t) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while t < text.len() {
        match pattern.get(p) {
            Some(b'*') => {
                star = Some((p + 1, t));
                p += 1;
            }
            Some(byte) if *byte == b'?' || text.get(t) == Some(byte) => {
                p += 1;
                t += 1;
            }
            _ => match star {
                Some((after, from)) => {
                    (p, t) = (after, from + 1);
                    star = Some((after, from + 1));
                }
                None => return false,
            },
        }
    }
    pattern.get(p..).is_some_and(|rest| rest.iter().all(|byte| *byte == b'*'))
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Token<'a> {
    offset: usize,
    text: &'a str,
}

impl Token<'_> {
    fn wrong(&self, wanted: &str) -> BadSelector {
        BadSelector::Grammar {
            offset: self.offset,
            problem: format!("{wanted}, found {}", names::quoted(self.text)),
        }
    }
}

/// Words and signs. A comma in brackets belongs to its word, and so does a minus between letters.
fn tokens(text: &str) -> Vec<Token<'_>> {
    let mut tokens = Vec::new();
    let mut start = 0;
    let mut depth = 0_u32;
    let word = |from: usize, to: usize, tokens: &mut Vec<_>| {
        if let Some(word) = text.get(from..to).filter(|word| !word.is_empty()) {
            tokens.push(Token { offset: from, text: word });
        }
    };
    for (at, c) in text.char_indices() {
        let next = at + c.len_utf8();
        match c {
            '[' => depth += 1,
            ']' => depth = depth.saturating_sub(1),
            _ if depth > 0 => {}
            c if c.is_whitespace() => {
                word(start, at, &mut tokens);
                start = next;
            }
            ',' | '&' | '!' | '(' | ')' => {
                word(start, at, &mut tokens);
                word(at, next, &mut tokens);
                start = next;
            }
            _ => {}
        }
    }
    word(start, text.len(), &mut tokens);
    tokens
}

struct Parser<'a> {
    tokens: &'a [Token<'a>],
    at: usize,
    end: usize,
    /// How many names and how many patterns it may still stand for.
    names: usize,
    patterns: usize,
}

impl<'a> Parser<'a> {
    fn peek(&self) -> Option<&'a Token<'a>> {
        self.tokens.get(self.at)
    }

    fn take(&mut self, words: &[&str]) -> Option<&'a Token<'a>> {
        let token = self.peek().filter(|token| words.contains(&token.text))?;
        self.at += 1;
        Some(token)
    }

    fn any(&mut self, depth: usize) -> Result<Choice, BadSelector> {
        let first = self.all(depth)?;
        let mut others = Vec::new();
        while self.take(&["or", ","]).is_some() {
            others.push(self.all(depth)?);
        }
        Ok(several(Choice::Or, first, others))
    }

    fn all(&mut self, depth: usize) -> Result<Choice, BadSelector> {
        let first = self.one(depth)?;
        let mut others = Vec::new();
        while let Some(sign) = self.take(&["and", "&", "minus", "-"]) {
            let other = self.one(depth)?;
            others.push(match sign.text {
                "minus" | "-" => Choice::Not(Box::new(other)),
                _ => other,
            });
        }
        Ok(several(Choice::And, first, others))
    }

    fn one(&mut self, depth: usize) -> Result<Choice, BadSelector> {
        let Some(token) = self.peek() else {
            let problem = "expected a host, a pattern or @tag, found the end".to_owned();
            return Err(BadSelector::Grammar { offset: self.end, problem });
        };
        if depth > MAX_DEPTH {
            return Err(token.wrong("too many parentheses and nots"));
        }
        self.at += 1;
        match token.text {
            "not" | "!" => Ok(Choice::Not(Box::new(self.one(depth + 1)?))),
            "(" => {
                let inner = self.any(depth + 1)?;
                match self.take(&[")"]) {
                    Some(_) => Ok(inner),
                    None => Err(self.peek().map_or_else(
                        || token.wrong("there is no ) for this"),
                        |found| found.wrong("expected )"),
                    )),
                }
            }
            ")" | "," | "&" | "and" | "or" | "minus" | "-" => {
                Err(token.wrong("expected a host, a pattern or @tag"))
            }
            "all" | "*" => Ok(Choice::All),
            word => self.atom(token, word),
        }
    }

    fn atom(&mut self, token: &Token<'_>, word: &str) -> Result<Choice, BadSelector> {
        let known = |c: char| c.is_ascii_alphanumeric() || "._-*?".contains(c);
        if let Some(tag) = word.strip_prefix('@') {
            if tag.is_empty() || !tag.chars().all(known) {
                return Err(token.wrong("expected a tag behind @ (letters, digits, . _ - * ?)"));
            }
            self.looks_for(1, token)?;
            return Ok(Choice::Tag(tag.to_owned()));
        }
        let offset = |error: BadNames| BadSelector::Grammar {
            offset: token.offset + error.offset,
            problem: error.problem,
        };
        let names = names::expand(word, self.names).map_err(offset)?;
        self.names -= names.len();
        if names.iter().any(|name| !name.chars().all(known)) {
            return Err(token.wrong("expected an alias (letters, digits, . _ - * ? and [1-9])"));
        }
        if names.iter().any(|name| name.contains(['*', '?'])) {
            self.looks_for(names.len(), token)?;
            return Ok(Choice::Like(names));
        }
        // Too long to be one, for instance.
        if names.iter().any(|name| name.parse::<Alias>().is_err()) {
            return Err(token.wrong("no host can have this name"));
        }
        Ok(Choice::Named(names.into_iter().collect()))
    }

    /// Takes note of tags and patterns.
    fn looks_for(&mut self, count: usize, token: &Token<'_>) -> Result<(), BadSelector> {
        let left = self.patterns.checked_sub(count);
        self.patterns = left.ok_or_else(|| {
            token.wrong("at most 1000 tags and patterns; * and ? stand for ranges too")
        })?;
        Ok(())
    }
}

/// One choice, or all of them together.
fn several(how: fn(Vec<Choice>) -> Choice, first: Choice, mut others: Vec<Choice>) -> Choice {
    if others.is_empty() {
        return first;
    }
    others.insert(0, first);
    how(others)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{CredentialName, LoginShell};
    use proptest::prelude::*;

    fn inventory() -> Inventory {
        let host = |alias: &str, tags: &[&str]| Host {
            alias: alias.parse().unwrap(),
            address: "127.0.0.1".to_owned(),
            port: 22,
            credentials: "x".parse::<CredentialName>().unwrap(),
            tags: tags.iter().map(|tag| tag.parse().unwrap()).collect(),
            description: "".into(),
            login_shell: LoginShell::Posix,
            jump: None,
        };
        let hosts = vec![
            host("web01", &["web", "prod"]),
            host("web02", &["web", "prod"]),
            host("web03", &["web", "test"]),
            host("db-1", &["db", "prod"]),
            host("db-2", &["db", "test"]),
            host("build.eu", &[]),
        ];
        Inventory::new(hosts, Vec::new())
    }

    fn select(text: &str) -> Result<String, BadSelector> {
        let hosts = text.parse::<Selector>()?.select(&inventory())?;
        Ok(hosts.iter().map(|host| host.alias.as_str()).collect::<Vec<_>>().join(" "))
    }

    #[test]
    fn tags_patterns_lists_ranges_and_signs_select() {
        for (text, wanted) in [
            ("@web", "web01 web02 web03"),
            ("@web and @prod", "web01 web02"),
            ("@web & !@prod", "web03"),
            ("@web minus web02", "web01 web03"),
            ("@web - web[01-02]", "web03"),
            ("@prod or @test and @db", "web01 web02 db-1 db-2"),
            ("(@prod or @test) and @db", "db-1 db-2"),
            ("web[01-02],db-1", "web01 web02 db-1"),
            ("db-*", "db-1 db-2"),
            ("web0?, build.eu", "web01 web02 web03 build.eu"),
            ("not (@web or @db)", "build.eu"),
            ("all minus @p*", "web03 db-2 build.eu"),
            ("* and @nothing", ""),
            ("none*", ""),
            ("web01 or web01", "web01"),
        ] {
            assert_eq!(select(text).as_deref(), Ok(wanted), "{text}");
        }
    }

    #[test]
    fn a_name_that_is_no_host_is_told_and_nothing_is_selected() {
        let Err(BadSelector::Unknown { missing }) = select("web[01-05] or db-1") else { panic!() };
        assert_eq!(missing, ["web04", "web05"]);
        assert_eq!(
            select("web[01-05]").unwrap_err().to_string(),
            "selector: no host is called web[04-05]"
        );
        // Also one that would be taken away again.
        assert!(select("@web minus web9").is_err());
    }

    #[test]
    fn a_slip_is_told_with_its_place() {
        for (text, offset) in [
            ("", 0),
            ("@web and", 8),
            ("and @web", 0),
            ("@web @db", 5),
            ("(@web", 0),
            ("@web)", 4),
            ("@", 0),
            ("web[1-", 3),
            ("web[b]", 4),
            ("we/b", 0),
            ("not", 3),
            ("@web,,@db", 5),
        ] {
            let error = text.parse::<Selector>().unwrap_err();
            let BadSelector::Grammar { offset: told, .. } = error else { panic!("{text}") };
            assert_eq!(told, offset, "{text}");
        }
        let deep = format!("{}web01", "! ".repeat(100));
        assert!(deep.parse::<Selector>().is_err());
    }

    /// Found by an adversary: each of these took all of the stack, or gigabytes, or minutes.
    #[test]
    fn no_text_asks_for_more_than_there_is() {
        let many = |word: &str, times| vec![word; times].join(",");
        for (text, said) in [
            ("web[1-99999]*".to_owned(), "1000 tags and patterns"),
            (many("a*", 1001), "1000 tags and patterns"),
            (many("a[1-99999]", 1000), "100000 names"),
            (format!("a[{}]", many("1-99999", 2000)), "100000 names"),
            (format!("a{}", "[1]".repeat(5000)), "pairs of brackets"),
            (format!("{}web01{}", "(".repeat(5000), ")".repeat(5000)), "too many parentheses"),
            ("a[1-17]b[1-17]c[1-17]d[1-17]".to_owned(), "no host is called"),
            ("x".repeat(16_000), "no host can have this name"),
        ] {
            let told = select(&text).unwrap_err().to_string();
            assert!(told.contains(said) && told.len() < 700, "{told}");
        }
        assert_eq!(select(&many("web01", 2700)).as_deref(), Ok("web01"));
        assert_eq!(select(&vec!["@web"; 1000].join(" and ")).as_deref(), Ok("web01 web02 web03"));
        assert_eq!(select("web01,web01,web[01,01-02]").as_deref(), Ok("web01 web02"));
    }

    proptest! {
        #[test]
        fn no_text_panics_and_a_read_one_reads_again(text in "(@|web|db|\\*|\\?|and|or|not|minus|[ ,&!()\\[\\]0-9-]){0,12}") {
            if let Ok(selector) = text.parse::<Selector>() {
                prop_assert_eq!(selector.to_string().parse::<Selector>().unwrap().choice, selector.choice);
            }
        }

        /// Against sets: what and, or and not mean.
        #[test]
        fn signs_are_those_of_sets(a in 0..6_usize, b in 0..6_usize) {
            let atoms = ["@web", "@prod", "db-*", "web01", "all", "@nothing"];
            let set = |text: &str| -> BTreeSet<String> {
                select(text).unwrap().split_whitespace().map(str::to_owned).collect()
            };
            let (one, other) = (set(atoms[a]), set(atoms[b]));
            prop_assert_eq!(set(&format!("{} and {}", atoms[a], atoms[b])), &one & &other);
            prop_assert_eq!(set(&format!("{} or {}", atoms[a], atoms[b])), &one | &other);
            prop_assert_eq!(set(&format!("{} minus {}", atoms[a], atoms[b])), &one - &other);
            prop_assert_eq!(set(&format!("not {}", atoms[a])), &set("all") - &one);
        }

        #[test]
        fn patterns_fit_as_regular_expressions_do(pattern in "[ab*?]{0,6}", text in "[ab]{0,6}") {
            // `*` and `?` by the definition: nothing or one more, and any one.
            fn slow(pattern: &[u8], text: &[u8]) -> bool {
                match (pattern.first(), text.first()) {
                    (None, None) => true,
                    (Some(b'*'), _) => slow(&pattern[1..], text) || (!text.is_empty() && slow(pattern, &text[1..])),
                    (Some(p), Some(t)) => (*p == b'?' || p == t) && slow(&pattern[1..], &text[1..]),
                    _ => false,
                }
            }
            prop_assert_eq!(fits(&pattern, &text), slow(pattern.as_bytes(), text.as_bytes()));
        }
    }
}
