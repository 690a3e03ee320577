//! Reading an OpenSSH client configuration, as far as an inventory can take it over.
//!
//! After ssh_config(5): the first value of a keyword that fits a host counts, patterns may be negated, files may be included.
//! `Match` blocks but for `Match all` are passed over, because what they ask (commands, users, networks) has no answer here.

mod words;

use std::collections::BTreeSet;
use std::fs;
use std::io::ErrorKind;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use words::{Line, fits, glob_fits, is_glob, split};

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
    files: usize,
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

#[derive(Debug, Clone, PartialEq, Eq)]
struct Setting {
    keyword: String,
    value: String,
}

/// Keywords whose value is everything up to the end of the line, quotes too.
const WHOLE_LINE: [&str; 4] = ["proxycommand", "proxyjump", "remotecommand", "localcommand"];

/// One host as `ssh` would reach it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SshHost {
    /// Its name in the file.
    pub alias: String,
    /// `HostName`, or the alias.
    pub host: String,
    /// `Port`.
    pub port: Option<u16>,
    /// `User`.
    pub user: Option<String>,
    /// `IdentityFile`, with `~` and `%d` as the home folder.
    pub identities: Vec<String>,
    /// `ProxyJump`, but for `none`.
    pub jump: Option<String>,
    /// Keywords that mean something here and cannot be taken over.
    pub left_out: Vec<String>,
}

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
        self.files += 1;
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
                        self.notes.push(format!("{at}: a Match block is passed over"));
                    } else {
                        self.begin(&open, within);
                    }
                }
                _ if passing => {}
                "include" => {
                    let inner: Vec<Vec<String>> =
                        within.iter().cloned().chain([open.clone()]).collect();
                    for pattern in &words {
                        self.include(pattern, &at, home, &inner);
                    }
                    // What follows belongs to the block that the include stands in.
                    self.begin(&open, within);
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
        let whole = match pattern.strip_prefix("~/") {
            Some(rest) => home.join(rest),
            None if pattern.starts_with('~') => {
                let note = format!("{at}: {pattern}: another account's folder is not looked into");
                self.notes.push(note);
                return;
            }
            None => home.join(".ssh").join(pattern),
        };
        for file in found(&whole) {
            if self.files >= MAX_FILES {
                let note =
                    format!("{at}: over {MAX_FILES} files; {} is passed over", file.display());
                self.notes.push(note);
                return;
            }
            match text(&file) {
                Ok(text) => self.lines(&text, &file, home, within),
                Err(error)
                    if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {}
                Err(error) => self.notes.push(format!("{at}: {}: {error}", file.display())),
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

    /// How a host would be reached.
    #[must_use]
    pub fn host(&self, alias: &str, home: &Path) -> SshHost {
        let blocks = self.blocks.iter().filter(|block| block.speaks_of(alias));
        let settings: Vec<&Setting> = blocks.flat_map(|block| &block.settings).collect();
        let first = |wanted: &str| {
            settings.iter().find(|it| it.keyword == wanted).map(|it| it.value.clone())
        };
        // OpenSSH compares names as they are written, and makes the address small.
        let host = first("hostname").map_or_else(|| alias.to_owned(), |host| tokens(&host, alias));
        let real = |value: &String| !value.eq_ignore_ascii_case("none");
        let (jump, command) = way(&settings);
        let jump = jump.map(|it| before_comment(&it.value)).filter(real);
        let mut left_out: Vec<String> = Vec::new();
        if let Some(command) = command.filter(|it| real(&it.value)) {
            left_out.push(format!(
                "proxycommand {} (a connection through a program cannot be imported; use jump:)",
                command.value
            ));
        }
        for keyword in
            ["localforward", "remotecommand", "hostkeyalias", "bindaddress", "canonicalizehostname"]
        {
            let given = first(keyword).filter(real);
            left_out.extend(given.map(|value| format!("{keyword} {value}")));
        }
        let mut identities: Vec<String> = Vec::new();
        for it in settings.iter().filter(|it| it.keyword == "identityfile" && real(&it.value)) {
            let file = at_home(&it.value, home);
            if !identities.contains(&file) {
                identities.push(file);
            }
        }
        SshHost {
            alias: alias.to_owned(),
            host: host.to_ascii_lowercase(),
            port: first("port").and_then(|port| port.parse().ok()),
            user: first("user"),
            identities,
            jump,
            left_out,
        }
    }
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

/// The `ProxyJump` and the `ProxyCommand` in force. Whichever comes first puts the other out of force, `ProxyCommand none` too;
/// a bare `ProxyJump none` only later ones of its kind (as OpenSSH 9.2 does).
fn way<'a>(settings: &[&'a Setting]) -> (Option<&'a Setting>, Option<&'a Setting>) {
    let (mut jump, mut command): (Option<&Setting>, Option<&Setting>) = (None, None);
    for it in settings {
        match it.keyword.as_str() {
            "proxyjump" if jump.is_none() && command.is_none() => jump = Some(it),
            "proxycommand"
                if command.is_none()
                    && jump.is_none_or(|jump| jump.value.eq_ignore_ascii_case("none")) =>
            {
                command = Some(it);
            }
            _ => {}
        }
    }
    (jump, command)
}

/// OpenSSH cuts a comment off a `ProxyJump`.
fn before_comment(text: &str) -> String {
    text.split('#').next().unwrap_or_default().trim().to_owned()
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
    fs::read(file).map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
}

fn tokens(host: &str, alias: &str) -> String {
    host.replace("%%", "\0").replace("%h", alias).replace('\0', "%")
}

pub(crate) fn at_home(path: &str, home: &Path) -> String {
    let path = path.replace("%d", &home.display().to_string());
    match path.strip_prefix("~/") {
        Some(rest) => home.join(rest).display().to_string(),
        None => path,
    }
}
