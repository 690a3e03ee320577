//! Reading an OpenSSH client configuration, as far as an inventory can take it over.
//!
//! `ssh -G` says best what holds for a host ([`Asking`]). Where it cannot be asked, the file is read as ssh_config(5) has it: the
//! first value of a keyword that fits a host counts, patterns may be negated, files may be included. `Match` blocks but for
//! `Match all` are then passed over, because what they ask (commands, users, networks) has no answer here.

mod asked;
mod proxy;
mod settled;
mod words;

use std::collections::BTreeSet;
use std::fs;
use std::io::ErrorKind;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

pub use asked::Asking;
pub(crate) use settled::{Facts, at_home, hop, seconds};
pub use settled::{KeepAlive, SshHost};
use settled::{Setting, settled};
use words::{Line, fits, glob_fits, is_glob, split};

use crate::files;

/// Deepest nesting of includes (OpenSSH, readconf.c).
const MAX_DEPTH: usize = 16;
/// Largest file.
const MAX_BYTES: u64 = 4 << 20;
/// Most files that are read for one configuration: some that include each other grow without bound.
const MAX_FILES: usize = 1000;

/// What was read.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SshConfig {
    blocks: Vec<Block>,
    files: Vec<PathBuf>,
    /// Includes that `ssh` may follow and that were not followed here.
    unfollowed: Vec<String>,
    /// `Match` blocks that only `ssh` can judge, by file and line.
    pub matches: Vec<String>,
    /// The hosts that their lines name.
    matched: Vec<String>,
    /// What was passed over, with file and line.
    pub notes: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Block {
    /// Patterns of its `Host` line; of a file's beginning, one that fits every host.
    patterns: Vec<String>,
    /// The same of the blocks that it was included in: all must speak of a host.
    within: Vec<Vec<String>>,
    settings: Vec<Setting>,
}

/// Keywords whose value is everything up to the end of the line, quotes too.
const WHOLE_LINE: [&str; 4] = ["proxycommand", "proxyjump", "remotecommand", "localcommand"];

/// Why nothing could be read.
#[derive(Debug, thiserror::Error)]
#[error("{} cannot be read", path.display())]
pub struct Unreadable {
    /// The file.
    pub path: PathBuf,
    /// Why.
    #[source]
    pub source: std::io::Error,
}

impl SshConfig {
    /// Reads `file` and what it includes; a relative include is looked for in `home/.ssh`.
    pub fn read(file: &Path, home: &Path) -> Result<Self, Unreadable> {
        let mut config = Self::default();
        let text = text(file).map_err(|source| Unreadable { path: file.to_owned(), source })?;
        config.lines(&text, file, home, &[]);
        Ok(config)
    }

    fn begin(&mut self, patterns: &[String], within: &[Vec<String>]) {
        let (patterns, within) = (patterns.to_vec(), within.to_vec());
        self.blocks.push(Block { patterns, within, settings: Vec::new() });
    }

    fn lines(&mut self, text: &str, file: &Path, home: &Path, within: &[Vec<String>]) {
        self.files.push(file.to_owned());
        let mut open = vec!["*".to_owned()];
        self.begin(&open, within);
        let mut passing = false;
        for (place, line) in text.lines().enumerate() {
            let Some(Line { keyword, words, rest }) = split(line) else { continue };
            let at = format!("{}:{}", file.display(), place + 1);
            let Some(words) = words.filter(|words| !words.is_empty()) else {
                self.notes.push(format!("{at}: {keyword} has no value or an open quote, and is passed over; ssh refuses the file"));
                continue;
            };
            match keyword.as_str() {
                "host" => {
                    passing = false;
                    open = words;
                    self.begin(&open, within);
                }
                "match" => {
                    passing = !(words.len() == 1 && is(words.first(), "all"));
                    open = vec!["*".to_owned()];
                    if passing {
                        self.matched.extend(named_by(&words));
                        self.matches.push(at);
                    } else {
                        self.begin(&open, within);
                    }
                }
                _ if passing && keyword != "include" => {}
                "include" => {
                    // What a block that is passed over includes speaks of no host, but is known to be included.
                    let here = if passing { vec!["!*".to_owned()] } else { open.clone() };
                    let inner: Vec<Vec<String>> = within.iter().cloned().chain([here]).collect();
                    for pattern in &words {
                        self.include(pattern, &at, home, &inner);
                    }
                    // What follows belongs to the block that the include stands in.
                    if !passing {
                        self.begin(&open, within);
                    }
                }
                _ => {
                    let whole = WHOLE_LINE.contains(&keyword.as_str());
                    let value = if whole { rest } else { words.join(" ") };
                    if keyword == "port" && value.parse::<u16>().unwrap_or(0) == 0 {
                        self.notes
                            .push(format!("{at}: port {value} is no number, and is passed over"));
                    } else if let Some(block) = self.blocks.last_mut() {
                        block.settings.push(Setting { keyword, value });
                    }
                }
            }
        }
    }

    fn include(&mut self, pattern: &str, at: &str, home: &Path, within: &[Vec<String>]) {
        if within.len() > MAX_DEPTH {
            self.notes.push(format!("{at}: includes are nested too deeply"));
            return;
        }
        if pattern.contains(['$', '%']) {
            self.unfollowed.push(format!("{at}: {pattern}"));
        }
        let whole = match pattern.strip_prefix("~/") {
            Some(rest) => home.join(rest),
            None if pattern.starts_with('~') => {
                let note = format!("{at}: {pattern}: another account's folder is not looked into");
                self.notes.push(note);
                self.unfollowed.push(format!("{at}: {pattern}"));
                return;
            }
            None => home.join(".ssh").join(pattern),
        };
        for file in found(&whole) {
            if self.files.len() >= MAX_FILES {
                let note =
                    format!("{at}: over {MAX_FILES} files; {} is passed over", file.display());
                self.notes.push(note);
                self.unfollowed.push(at.to_owned());
                return;
            }
            match text(&file) {
                Ok(text) => self.lines(&text, &file, home, within),
                Err(error)
                    if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {}
                Err(error) => {
                    self.notes.push(format!("{at}: {}: {error}", file.display()));
                    self.unfollowed.push(at.to_owned());
                }
            }
        }
    }

    /// The names on `Host` lines that are no patterns, in order, each once.
    #[must_use]
    pub fn aliases(&self) -> Vec<String> {
        self.named(true)
    }

    /// Those that no block with their name speaks of: they are negated there, or included below another host.
    #[must_use]
    pub fn unreached(&self) -> Vec<String> {
        self.named(false)
    }

    fn named(&self, reached: bool) -> Vec<String> {
        let (mut names, mut heard): (Vec<&String>, BTreeSet<&String>) = Default::default();
        for block in &self.blocks {
            for name in block.patterns.iter().filter(|name| !name.contains(['*', '?', '!'])) {
                if !names.contains(&name) {
                    names.push(name);
                }
                if block.speaks_of(name) {
                    heard.insert(name);
                }
            }
        }
        names.into_iter().filter(|name| heard.contains(name) == reached).cloned().collect()
    }

    /// The names on `Match` lines that no `Host` line has.
    #[must_use]
    pub fn matched(&self) -> Vec<String> {
        let known: BTreeSet<&String> = self.blocks.iter().flat_map(|it| &it.patterns).collect();
        let mut names: Vec<String> = Vec::new();
        for name in self.matched.iter().filter(|name| !known.contains(name)) {
            if !names.contains(name) {
                names.push(name.clone());
            }
        }
        names
    }

    /// Why this may be somebody else's: a file that others may write, or that belongs to another user. `ssh` runs what the `Match
    /// exec` lines of such a file say.
    pub fn owned(&self) -> Result<(), String> {
        for file in &self.files {
            let whole = std::path::absolute(file).unwrap_or_else(|_| file.clone());
            files::trusted(&whole).map_err(|refused| format!("{} {refused}", file.display()))?;
        }
        match self.unfollowed.first() {
            Some(include) => Err(format!("{include}: what is included there is not known")),
            None => Ok(()),
        }
    }

    /// How a host would be reached, as far as this reading goes.
    #[must_use]
    pub fn host(&self, alias: &str, home: &Path) -> SshHost {
        settled(alias, &self.settings(alias), home)
    }

    fn settings(&self, alias: &str) -> Vec<&Setting> {
        let blocks = self.blocks.iter().filter(|block| block.speaks_of(alias));
        blocks.flat_map(|block| &block.settings).collect()
    }
}

/// The hosts that the words of a `Match` line name.
fn named_by(words: &[String]) -> Vec<String> {
    let mut named = Vec::new();
    for (criterion, value) in words.iter().zip(words.iter().skip(1)) {
        if ["host", "originalhost"].iter().any(|it| criterion.eq_ignore_ascii_case(it)) {
            let plain = value.split(',').filter(|name| !name.contains(['*', '?', '!']));
            named.extend(plain.filter(|name| !name.is_empty()).map(str::to_owned));
        }
    }
    named
}

impl Block {
    fn speaks_of(&self, alias: &str) -> bool {
        std::iter::once(&self.patterns)
            .chain(&self.within)
            .all(|patterns| one_fits(patterns, alias))
    }
}

fn one_fits(patterns: &[String], alias: &str) -> bool {
    let mut negated = patterns.iter().filter_map(|pattern| pattern.strip_prefix('!'));
    let mut plain = patterns.iter().filter(|pattern| !pattern.starts_with('!'));
    !negated.any(|pattern| fits(pattern, alias)) && plain.any(|pattern| fits(pattern, alias))
}

fn is(word: Option<&String>, wanted: &str) -> bool {
    word.is_some_and(|word| word.eq_ignore_ascii_case(wanted))
}

/// The files that a whole path with wildcards names, in the order of glob(3): by their bytes.
fn found(whole: &Path) -> Vec<PathBuf> {
    let mut found = vec![PathBuf::from("/")];
    for part in whole.components().skip(1) {
        let part = part.as_os_str();
        match part.to_str().filter(|part| is_glob(part)) {
            None => found.iter_mut().for_each(|path| path.push(part)),
            Some(pattern) => {
                let folders = found.iter().filter_map(|folder| fs::read_dir(folder).ok());
                let entries = folders.flatten().filter_map(Result::ok);
                let fitting = entries.filter(|entry| {
                    entry.file_name().to_str().is_some_and(|name| glob_fits(pattern, name))
                });
                found = fitting.map(|entry| entry.path()).collect();
            }
        }
    }
    found.sort_by(|one, two| one.as_os_str().as_bytes().cmp(two.as_os_str().as_bytes()));
    found
}

/// A file's text; comments are often of another encoding than names.
pub(crate) fn text(file: &Path) -> std::io::Result<String> {
    let data = fs::metadata(file)?;
    if !data.is_file() || data.len() > MAX_BYTES {
        return Err(std::io::Error::other("it is no file, or larger than 4 MB"));
    }
    let bytes = fs::read(file)?;
    let text = String::from_utf8_lossy(&bytes);
    Ok(text.strip_prefix('\u{feff}').unwrap_or(&text).to_owned())
}
