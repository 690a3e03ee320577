//! What gives hosts beside `servers.yml`: the files of `servers.d`, and programs that print hosts.
//!
//! All have the form of `servers.yml`, and all are as good as it: who may write them, or what the program says, decides which hosts
//! there are and by their tags which rules speak of them.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::document::{Document, Node, Section};
use crate::files;
use crate::helper::{self, Bounds};

/// The folder of more files, beside `servers.yml`.
const FOLDER: &str = "servers.d";
/// Seconds that a program has where the file does not say how many.
const USUAL_SECONDS: u64 = 10;
/// Most bytes that a program may print: some ten thousand hosts.
const MOST: usize = 4 << 20;

/// One file or program that gives hosts, and its tree where it could be read.
pub(crate) struct Source {
    pub(crate) document: Document,
    pub(crate) root: Option<Node>,
    /// A program printed it.
    pub(crate) printed: bool,
}

/// The files of a configuration folder that a change of is a change of the configuration, whether they are there or not.
#[must_use]
pub fn watched(folder: &Path) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = ["servers.yml", "credentials.yml", "policy.yml", "sshepherd.yml"]
        .map(|name| folder.join(name))
        .into();
    files.extend(
        entries(&folder.join(FOLDER)).unwrap_or_default().into_iter().filter(|path| is_taken(path)),
    );
    files
}

/// What else gives hosts: the files of the folder in the order of their names, then the programs that `servers.yml` names.
pub(crate) fn sources(folder: &Path, servers: &Document, root: Option<&Node>) -> Vec<Source> {
    let mut sources = dropped_in(folder, servers);
    if let Some(root) = root.filter(|root| root.has_key("inventory"))
        && let Some(top) = Section::of(servers, root, "")
    {
        for (node, path) in top.list("inventory").unwrap_or_default() {
            if let Some(section) = Section::of(servers, node, &path) {
                sources.push(program(servers, section, &path));
            }
        }
    }
    sources
}

fn dropped_in(folder: &Path, servers: &Document) -> Vec<Source> {
    let folder = folder.join(FOLDER);
    let found = match entries(&folder) {
        Ok(found) => found,
        Err(error) if error.kind() == ErrorKind::NotFound => return Vec::new(),
        Err(error) => {
            servers.error(None, "", format!("{} cannot be read: {error}", folder.display()));
            // As one that could not be read, so that its hosts are not said to be missing.
            return vec![Source { document: Document::new(&folder), root: None, printed: false }];
        }
    };
    let mut sources = Vec::new();
    for path in found {
        if is_taken(&path) {
            sources.push(file(&path));
        } else if has_extension(&path, "yaml") {
            let document = Document::new(&path);
            document.warn(None, "", "is not read: files of servers.d end in .yml");
            let nothing = document.parse("");
            sources.push(Source { document, root: nothing, printed: false });
        }
    }
    sources
}

/// What is in a folder, by name.
fn entries(folder: &Path) -> std::io::Result<Vec<PathBuf>> {
    let found: std::io::Result<Vec<PathBuf>> =
        fs::read_dir(folder)?.map(|entry| entry.map(|entry| entry.path())).collect();
    let mut found = found?;
    found.sort();
    Ok(found)
}

fn has_extension(path: &Path, wanted: &str) -> bool {
    let hidden = path.file_name().is_none_or(|name| name.as_encoded_bytes().starts_with(b"."));
    !hidden && path.extension().is_some_and(|extension| extension == wanted)
}

fn is_taken(path: &Path) -> bool {
    has_extension(path, "yml")
}

fn file(path: &Path) -> Source {
    let document = Document::new(path);
    let root = match files::read(path) {
        Ok(text) => document.parse(&text),
        Err(problem) => {
            document.error(None, "", problem.to_string());
            None
        }
    };
    Source { document, root, printed: false }
}

/// Runs one program of `inventory:`. What keeps it from being run is told at its place in `servers.yml`; what is wrong with what it
/// prints under its own name, by the line there.
fn program(servers: &Document, section: Section<'_>, path: &str) -> Source {
    let line = section.line_of("command");
    let argv = helper::argv(&section);
    let seconds = section.integer("timeout_seconds", 1..=300);
    let sound = seconds.is_some() || !section.has_value("timeout_seconds");
    section.finish();
    let name = argv.as_ref().and_then(|argv| argv.first()).map_or("", String::as_str);
    let own = format!("{} {path} (what {name} prints)", servers.file.display());
    let document = Document::new(Path::new(&own));
    let Some(argv) = argv.as_ref().filter(|_| sound) else {
        return Source { document, root: None, printed: true };
    };
    let patience = Duration::from_secs(seconds.unwrap_or(USUAL_SECONDS));
    let printed = helper::run(argv, Bounds { patience, most: MOST, own_group: true })
        .map_err(|failure| failure.to_string())
        .and_then(|bytes| match String::from_utf8(bytes.to_vec()) {
            Ok(text) if text.trim().is_empty() => Err("printed nothing".to_owned()),
            Ok(text) => Ok(text),
            Err(_) => Err("printed no text in UTF-8".to_owned()),
        });
    let root = match printed {
        Ok(text) => document.parse(&with_whole_letters(&text)).filter(|root| {
            // Without them its hosts would be gone in silence; other inventories have other forms.
            let sound = root.has_key("hosts");
            if !sound {
                document.error(None, "hosts", "is missing; the form is that of servers.yml");
            }
            sound
        }),
        Err(problem) => {
            let message = format!("the program {name} {problem}");
            servers.error(Some(line), &format!("{path}.command"), message);
            None
        }
    };
    Source { document, root, printed: true }
}

/// JSON with letters in two halves (`\ud83d\ude00`, as many programs write what is not ASCII) as YAML has them, in one.
fn with_whole_letters(text: &str) -> String {
    let mut whole = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        let (before, from) = rest.split_at(at);
        whole.push_str(before);
        let pair = half(from).and_then(|high| Some((high, half(from.get(6..)?)?)));
        let letter = pair.and_then(|(high, low)| {
            char::decode_utf16([high, low])
                .next()?
                .ok()
                .filter(|letter| u32::from(*letter) > 0xffff)
        });
        // A backslash takes the letter after it along, so that an escaped one begins nothing.
        let length = match letter {
            Some(letter) => {
                whole.push(letter);
                12
            }
            None => {
                let length = 1 + from.chars().nth(1).map_or(0, char::len_utf8);
                whole.push_str(from.get(..length).unwrap_or_default());
                length
            }
        };
        rest = from.get(length..).unwrap_or_default();
    }
    whole + rest
}

/// The code of an escape `\uXXXX` at the beginning.
fn half(text: &str) -> Option<u16> {
    u16::from_str_radix(text.strip_prefix("\\u")?.get(..4)?, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_in_two_halves_become_one() {
        for (text, whole) in [
            (r#""\ud83d\ude00""#, "\"\u{1f600}\""),
            (r#""\\ud83d\ude00""#, r#""\\ud83d\ude00""#),
            (r#""a\u00e9\n""#, r#""a\u00e9\n""#),
            (r#""\ude00\ud83d""#, r#""\ude00\ud83d""#),
            (r#""\ud83d\u0041" \u é\"#, r#""\ud83d\u0041" \u é\"#),
        ] {
            assert_eq!(with_whole_letters(text), whole);
        }
    }
}
