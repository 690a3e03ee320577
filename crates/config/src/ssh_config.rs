//! Reading an OpenSSH client configuration, as far as an inventory can take it over.
//!
//! After ssh_config(5): the first value of a keyword that fits a host counts, patterns may be negated, files may be included.
//! `Match` blocks are passed over, because what they ask (commands, users, networks) has no answer here.

use std::fs;
use std::path::{Path, PathBuf};

/// Deepest nesting of includes (OpenSSH, readconf.c).
const MAX_DEPTH: usize = 16;
/// Largest file.
const MAX_BYTES: u64 = 4 << 20;

/// What was read.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SshConfig {
    blocks: Vec<Block>,
    /// What was passed over, with file and line.
    pub notes: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Block {
    /// Patterns of its `Host` line; of a file's beginning, one that fits every host.
    patterns: Vec<String>,
    /// The same of the blocks that it was included in: all must speak of a host.
    within: Vec<Vec<String>>,
    settings: Vec<(String, String)>,
}

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
        let mut open = vec!["*".to_owned()];
        self.begin(&open, within);
        let mut passing = false;
        for (place, line) in text.lines().enumerate() {
            let Some((keyword, words)) = split(line) else { continue };
            let at = format!("{}:{}", file.display(), place + 1);
            match keyword.as_str() {
                "host" => {
                    passing = false;
                    open = words;
                    self.begin(&open, within);
                }
                "match" => {
                    passing = true;
                    self.notes.push(format!("{at}: a Match block is passed over"));
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
                    if let Some(block) = self.blocks.last_mut() {
                        block.settings.push((keyword, words.join(" ")));
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
        let path = match pattern.strip_prefix("~/") {
            Some(rest) => home.join(rest),
            None => home.join(".ssh").join(pattern),
        };
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default().to_owned();
        let folder = path.parent().unwrap_or(Path::new("/"));
        let mut files: Vec<PathBuf> = match name.contains(['*', '?']) {
            true => fs::read_dir(folder)
                .map(|entries| entries.filter_map(|entry| Some(entry.ok()?.path())).collect())
                .unwrap_or_default(),
            false => vec![path.clone()],
        };
        files.retain(|file| {
            file.file_name().and_then(|found| found.to_str()).is_some_and(|found| {
                // As in a shell, a wildcard does not find what is hidden.
                (found == name || !found.starts_with('.')) && fits(&name, found)
            })
        });
        files.sort();
        for file in files {
            match text(&file) {
                Ok(text) => self.lines(&text, &file, home, within),
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                Err(error) => self.notes.push(format!("{at}: {}: {error}", file.display())),
            }
        }
    }

    /// The names on `Host` lines that are no patterns, in order, each once.
    #[must_use]
    pub fn aliases(&self) -> Vec<String> {
        let mut aliases: Vec<String> = Vec::new();
        for name in self.blocks.iter().flat_map(|block| &block.patterns) {
            if !name.contains(['*', '?', '!']) && !aliases.contains(name) {
                aliases.push(name.clone());
            }
        }
        aliases
    }

    /// How a host would be reached.
    #[must_use]
    pub fn host(&self, alias: &str, home: &Path) -> SshHost {
        let blocks = self.blocks.iter().filter(|block| block.speaks_of(alias));
        let settings: Vec<&(String, String)> = blocks.flat_map(|block| &block.settings).collect();
        let first = |wanted: &str| {
            settings.iter().find(|(keyword, _)| keyword == wanted).map(|(_, value)| value.clone())
        };
        let host = first("hostname").map_or_else(|| alias.to_owned(), |host| tokens(&host, alias));
        let jump = first("proxyjump").filter(|jump| !jump.eq_ignore_ascii_case("none"));
        let mut left_out: Vec<String> = Vec::new();
        for keyword in
            ["proxycommand", "localforward", "remotecommand", "hostkeyalias", "bindaddress"]
        {
            let given = first(keyword).filter(|value| !value.eq_ignore_ascii_case("none"));
            left_out.extend(given.map(|value| format!("{keyword} {value}")));
        }
        let identities = settings.iter().filter(|(keyword, _)| keyword == "identityfile");
        SshHost {
            alias: alias.to_owned(),
            host,
            port: first("port").and_then(|port| port.parse().ok()),
            user: first("user"),
            identities: identities
                .filter(|(_, value)| !value.eq_ignore_ascii_case("none"))
                .map(|(_, value)| at_home(value, home))
                .collect(),
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

fn text(file: &Path) -> std::io::Result<String> {
    let data = fs::metadata(file)?;
    if !data.is_file() || data.len() > MAX_BYTES {
        return Err(std::io::Error::other("it is no file, or larger than 4 MB"));
    }
    fs::read_to_string(file)
}

/// Keyword in small letters and its words; `None` for blank lines and comments.
fn split(line: &str) -> Option<(String, Vec<String>)> {
    let line = line.trim();
    if line.is_empty() || line.starts_with('#') {
        return None;
    }
    let end = line.find([' ', '\t', '=']).unwrap_or(line.len());
    let keyword = line.get(..end)?.trim_matches('"').to_ascii_lowercase();
    let rest = line.get(end..)?.trim_start();
    let rest = rest.strip_prefix('=').unwrap_or(rest).trim_start();
    let (mut words, mut word, mut quoted, mut begun) = (Vec::new(), String::new(), false, false);
    for letter in rest.chars() {
        match letter {
            '"' => {
                quoted = !quoted;
                begun = true;
            }
            ' ' | '\t' if !quoted => {
                if begun {
                    words.push(std::mem::take(&mut word));
                }
                begun = false;
            }
            // OpenSSH 8.7 and later: a comment may follow.
            '#' if !quoted && !begun => break,
            other => {
                word.push(other);
                begun = true;
            }
        }
    }
    if begun {
        words.push(word);
    }
    Some((keyword, words))
}

/// OpenSSH's patterns: `*` and `?`; host names are compared as they are written.
fn fits(pattern: &str, text: &str) -> bool {
    let (mut pattern, mut text) = (pattern.chars(), text.chars());
    loop {
        match pattern.next() {
            None => return text.next().is_none(),
            Some('*') => {
                let rest = pattern.as_str();
                return text
                    .as_str()
                    .char_indices()
                    .any(|(at, _)| text.as_str().get(at..).is_some_and(|text| fits(rest, text)))
                    || fits(rest, "");
            }
            Some('?') if text.next().is_some() => {}
            Some(letter) if letter != '?' && text.next() == Some(letter) => {}
            Some(_) => return false,
        }
    }
}

fn tokens(host: &str, alias: &str) -> String {
    host.replace("%%", "\0").replace("%h", alias).replace('\0', "%")
}

fn at_home(path: &str, home: &Path) -> String {
    let path = path.replace("%d", &home.display().to_string());
    match path.strip_prefix("~/") {
        Some(rest) => home.join(rest).display().to_string(),
        None => path,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_and_patterns_are_read_as_openssh_has_them() {
        for (line, wanted) in [
            ("Host a b", Some(("host", vec!["a", "b"]))),
            ("  HostName=x.example", Some(("hostname", vec!["x.example"]))),
            ("user = \"a b\" # said", Some(("user", vec!["a b"]))),
            ("# no", None),
            ("", None),
        ] {
            let wanted = wanted.map(|(keyword, words): (&str, Vec<&str>)| {
                (keyword.to_owned(), words.into_iter().map(str::to_owned).collect())
            });
            assert_eq!(split(line), wanted, "{line}");
        }
        for (pattern, text, fit) in [
            ("*", "", true),
            ("web*", "web1", true),
            ("web?", "web", false),
            ("*.x", "a.b.x", true),
            ("a*b*c", "aXbYc", true),
            ("a*b*c", "aXbY", false),
            ("Web", "web", false),
        ] {
            assert_eq!(fits(pattern, text), fit, "{pattern} {text}");
        }
    }
}
