//! Which hosts: tags with and, or and not, aliases by pattern, list and range.
//!
//! ```text
//! selector := some (("or" | ",") some)*
//! some     := one (("and" | "&" | "minus" | "-") one)*      "minus" is "and not"
//! one      := ("not" | "!") one | "(" selector ")" | "@" tag | alias | "all"
//! ```
//!
//! Tags and aliases may hold `*` and `?`; an alias may hold ranges, `web[01-20]`. Words stand apart by blanks.
//!
//! In a list, what begins with `not` takes away, wherever it stands: `@web,!web07` is `@web minus web07`. A list never means
//! "everything but".

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
    /// Whether it says only what is not meant. One `not` is enough: `not not x` in a list must not add anything either.
    fn takes_away(&self) -> bool {
        match self {
            Self::All | Self::Tag(_) | Self::Named(_) | Self::Like(_) | Self::Or(_) => false,
            Self::Not(_) => true,
            Self::And(all) => all.iter().all(Self::takes_away),
        }
    }

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
        let start = self.peek();
        let first = self.all(depth)?;
        let mut others = Vec::new();
        while self.take(&["or", ","]).is_some() {
            others.push(self.all(depth)?);
        }
        if others.is_empty() {
            return Ok(first);
        }
        others.insert(0, first);
        union(others).ok_or_else(|| BadSelector::Grammar {
            offset: start.map_or(self.end, |token| token.offset),
            problem: "this list only takes hosts away; write `all minus` and what to leave out, each after a minus"
                .to_owned(),
        })
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

/// The hosts of a list: what it takes, less what it takes away. `None` where it takes nothing.
fn union(members: Vec<Choice>) -> Option<Choice> {
    let (away, mut taken): (Vec<Choice>, Vec<Choice>) =
        members.into_iter().partition(Choice::takes_away);
    let taken = match taken.len() {
        0 => return None,
        1 => taken.remove(0),
        _ => Choice::Or(taken),
    };
    // Each member that takes away is "not that" already: what is left is what is in all of them.
    Some(several(Choice::And, taken, away))
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
mod tests;
