//! A command as deny rules see it: in every form in which it may be meant. What is in doubt is denied.
//!
//! As it is written and as it is quoted; the program without its folder; paths without detours, and from the working folder
//! on; what a wrapper such as `sudo` or `timeout` runs, by itself where the wrapper's words are understood, and else from
//! every word on. The work grows with the length of the command, not with the number of forms.

use crate::glob::Glob;
use crate::line;
use crate::rule::Rule;
use crate::typed::base;
use crate::wrapper::{self, Behind};

/// Most wrappers around each other that are taken off one by one; behind more, every word may be a program.
const MAX_DEPTH: usize = 8;
/// Most folders of a wrapper from which its operands are looked at.
const MAX_FOLDERS: usize = 3;
/// Words that a program is fed and nobody sees.
const FED: [&str; 3] = ["{}", "{}", "{}"];
/// What ends a word or a command within a text that is run.
const SEPARATORS: &[char] = &[';', '&', '|', '(', ')', '{', '}', '`', '"', '\'', '$', '<', '>'];

/// All forms of one simple command.
#[derive(Debug)]
pub(crate) struct Doubt {
    readings: Vec<Reading>,
    /// Whether what runs is not written out, so that any rule may mean it.
    unknown: bool,
}

/// One of them.
#[derive(Debug)]
struct Reading {
    words: Vec<String>,
    /// Its words joined by blanks, as patterns look at them.
    texts: Vec<String>,
    /// Whether the program may be any of its words, or stand within one.
    anywhere: bool,
}

impl Doubt {
    /// The forms of `argv`, which the caller quotes as `canonical`, run in the folder `cwd`.
    pub(crate) fn of(argv: &[String], canonical: &str, cwd: Option<&str>) -> Self {
        let mut doubt = Self { readings: Vec::new(), unknown: false };
        doubt.unwrap(argv.to_vec(), canonical, cwd);
        // A program that is fed runs with words that nobody sees.
        if wrapper::feeds(argv) {
            doubt.unwrap([argv, &FED.map(str::to_owned)].concat(), canonical, cwd);
        }
        doubt
    }

    /// Adds a command and, one after the other, those that it runs.
    fn unwrap(&mut self, mut words: Vec<String>, canonical: &str, cwd: Option<&str>) {
        let folders = folders(&words, cwd);
        self.add(&words, Some(canonical), cwd);
        for _ in 0..MAX_DEPTH {
            self.look_into(&words);
            match wrapper::behind(&words) {
                Behind::Nothing => return,
                Behind::At(place) => {
                    words.drain(..place);
                    self.add(&words, None, cwd);
                }
                Behind::After(place) => {
                    // What a wrapper is fed may be a program.
                    let fed = words.get(place + 1).is_some_and(|word| word == FED[0]);
                    self.unknown |=
                        fed && !words.first().is_some_and(|word| wrapper::feeds_others(word));
                    words.drain(..place);
                    break;
                }
            }
        }
        self.add_anywhere(&words);
        for folder in folders {
            let pieces = Reading::anywhere(&words).words;
            let there: Vec<String> = pieces.iter().map(|word| within(&folder, word)).collect();
            self.readings.push(Reading::anywhere(&there));
        }
    }

    /// Texts that the words hand to a shell, and commands in the program's own options.
    fn look_into(&mut self, words: &[String]) {
        self.unknown |=
            wrapper::runs_its_input(words) || wrapper::texts(words).any(line::is_unknown);
        let own = wrapper::own(words);
        if !own.is_empty() {
            let texts = own.iter().map(|text| text.replace('!', " "));
            let words: Vec<String> = words.iter().take(1).cloned().chain(texts).collect();
            self.add_anywhere(&words);
        }
    }

    /// Whether a deny rule hits one of the forms.
    pub(crate) fn is_hit_by(&self, rule: &Rule) -> bool {
        self.unknown
            || self.readings.iter().any(|reading| match &rule.spec {
                Some(spec) => reading
                    .program_on(|name| name.eq_ignore_ascii_case(spec.program().base()))
                    .is_some_and(|words| spec.hits(words)),
                None => rule.commands.iter().any(|glob| reading.fits(glob)),
            })
    }

    fn add(&mut self, words: &[String], canonical: Option<&str>, cwd: Option<&str>) {
        self.readings.push(Reading::exact(words.to_vec(), canonical));
        let straight: Vec<String> = words.iter().map(|word| straight(word)).collect();
        if straight != words {
            self.readings.push(Reading::exact(straight, None));
        }
        if let Some(climbed) = climbed_all(words) {
            self.readings.push(Reading::exact(climbed, None));
        }
        if let Some(cwd) = cwd {
            let there = words.iter().map(|word| within(cwd, word));
            self.readings.push(Reading::exact(there.collect(), None));
        }
    }

    fn add_anywhere(&mut self, words: &[String]) {
        let straight: Vec<String> = words.iter().map(|word| straight(word)).collect();
        let twice = straight != words;
        self.readings.push(Reading::anywhere(words));
        if twice {
            self.readings.push(Reading::anywhere(&straight));
        }
        if let Some(climbed) = climbed_all(words) {
            self.readings.push(Reading::anywhere(&climbed));
        }
        // A text's own quotes; `env -S` writes a blank as `\\_`.
        if words.iter().any(|word| word.contains(['\'', '"', '\\'])) {
            let plain =
                words.iter().map(|word| word.replace("\\_", " ").replace(['\'', '"', '\\'], ""));
            self.readings.push(Reading::anywhere(&plain.collect::<Vec<_>>()));
        }
    }
}

impl Reading {
    fn exact(words: Vec<String>, canonical: Option<&str>) -> Self {
        let joined = words.join(" ");
        let program = words.first().map_or("", String::as_str);
        let rest = joined.get(program.len()..).unwrap_or_default();
        let short = format!("{}{rest}", base(program));
        let small = format!("{}{rest}", base(program).to_ascii_lowercase());
        let mut texts = vec![joined, short, small];
        texts.extend(canonical.map(str::to_owned));
        texts.dedup();
        Self { words, texts, anywhere: false }
    }

    fn anywhere(words: &[String]) -> Self {
        let mut flat: Vec<String> = Vec::new();
        let pieces = words.iter().flat_map(|word| word.split(ends_a_word));
        for piece in pieces.filter(|piece| !piece.is_empty()) {
            flat.push(piece.to_owned());
            // The text of an option that stands in one word with it: `-crm`, `--exec=rm`.
            let attached = if is_short(piece) { piece.get(2..) } else { None };
            let values = piece.split('=').skip(1).chain(attached);
            flat.extend(values.filter(|value| !value.is_empty()).map(str::to_owned));
        }
        // What stands for words that are not seen may stand for the last.
        if words.iter().any(|word| word.contains("{}")) {
            flat.push("{}".to_owned());
        }
        Self { words: flat, texts: vec![words.join(" ")], anywhere: true }
    }

    /// The words from the program on, if it is the one that is asked for. Later places of the same name say less.
    fn program_on(&self, is_it: impl Fn(&str) -> bool) -> Option<&[String]> {
        let place = match self.anywhere {
            true => self.words.iter().skip(1).position(|word| is_it(base(word)))? + 1,
            false => self.words.first().is_some_and(|word| is_it(base(word))).then_some(0)?,
        };
        self.words.get(place..)
    }

    fn fits(&self, glob: &Glob) -> bool {
        let whole = |glob: &Glob| {
            self.texts.iter().any(|text| match self.anywhere {
                true => glob.matches_within(text),
                false => glob.matches(text),
            })
        };
        if whole(glob) {
            return true;
        }
        let loose = glob.loose();
        loose.short().is_some_and(whole)
            || self.program_on(|name| loose.is_program(name)).is_some_and(|words| loose.fits(words))
    }
}

fn ends_a_word(letter: char) -> bool {
    letter.is_whitespace() || SEPARATORS.contains(&letter)
}

fn is_short(word: &str) -> bool {
    word.starts_with('-') && !word.starts_with("--")
}

/// A word with the path in it (the whole, or what follows a `=`) without `//`, `.` and `..`.
fn straight(word: &str) -> String {
    if !["//", "/.", "./", "/proc/"].iter().any(|detour| word.contains(detour))
        && !word.ends_with('/')
    {
        return word.to_owned();
    }
    let slash = word.find('/').unwrap_or_default();
    let start = word.get(..slash).and_then(|head| head.rfind('=')).map_or(0, |equals| equals + 1);
    let (head, path) = word.split_at(start);
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match (part, parts.last()) {
            ("" | ".", _) => {}
            ("..", Some(last)) if *last != ".." => {
                parts.pop();
            }
            ("..", None) if path.starts_with('/') => {}
            (part, _) => parts.push(part),
        }
        // What a process sees as its root or folder; the folder is as unknown as one that was climbed out of.
        if let (true, ["proc", _, "root" | "cwd"] | ["proc", _, "task", _, "root" | "cwd"]) =
            (path.starts_with('/'), parts.as_slice())
        {
            parts.clear();
        }
    }
    let root = if path.starts_with('/') { "/" } else { "" };
    format!("{head}{root}{}", parts.join("/"))
}

/// Words whose paths climb, as if they had come to the root: from where they climb, links included, is not known.
fn climbed_all(words: &[String]) -> Option<Vec<String>> {
    let any = words.iter().any(|word| climbed(word).is_some());
    any.then(|| words.iter().map(|word| climbed(word).unwrap_or_else(|| word.clone())).collect())
}

fn climbed(word: &str) -> Option<String> {
    let start = word.find('=').map_or(0, |equals| equals + 1);
    let (head, path) = word.split_at(start);
    let rest = match path.strip_prefix("../") {
        Some(rest) => rest,
        None => path.split_once("/../")?.1,
    };
    Some(format!("{head}{}", straight(&format!("/{rest}"))))
}

/// Folders from which what a wrapper runs may count its paths: the working folder, and those among its words.
fn folders(words: &[String], cwd: Option<&str>) -> Vec<String> {
    let mut found: Vec<String> = cwd.map(str::to_owned).into_iter().collect();
    let pieces = words.iter().skip(1).flat_map(|word| word.split(ends_a_word));
    for word in pieces {
        let value = word.rsplit('=').next().unwrap_or(word);
        let glued = if is_short(value) { value.get(2..).unwrap_or_default() } else { value };
        let folder = climbed(glued).unwrap_or_else(|| glued.to_owned());
        if folder.starts_with('/') && !found.contains(&folder) {
            found.push(folder);
        }
        if found.len() == MAX_FOLDERS {
            break;
        }
    }
    found
}

/// A word as a path from `folder` on; an option or a whole path stays what it is.
fn within(folder: &str, word: &str) -> String {
    if word.starts_with(['-', '/']) {
        straight(word)
    } else {
        straight(&format!("{folder}/{word}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_lose_their_detours() {
        for (word, plain) in [
            ("/var/log/./a", "/var/log/a"),
            ("//var///log/a/", "/var/log/a"),
            ("/var/log/b/../a", "/var/log/a"),
            ("/../../etc/x", "/etc/x"),
            ("/..", "/"),
            ("--file=/var/./x", "--file=/var/x"),
            ("a=b=/c/../d", "a=b=/d"),
            ("/x/", "/x"),
            ("./x", "x"),
            ("../../x", "../../x"),
            ("../../a/./x", "../../a/x"),
            ("./x/../y", "y"),
            ("../x", "../x"),
            ("../../x/..", "../.."),
            ("a..b/c", "a..b/c"),
            ("x", "x"),
            ("-n", "-n"),
            ("/", "/"),
            ("/proc/self/root/etc/x", "/etc/x"),
            ("/proc/1/root/../x", "/x"),
            ("/proc/self/task/1/cwd/../../x", "/x"),
            ("/proc/1/rooted/x", "/proc/1/rooted/x"),
        ] {
            assert_eq!(straight(word), plain, "{word}");
        }
        assert_eq!(within("/var/log", "a/../b"), "/var/log/b");
        assert_eq!(within("/var/log", "/etc/./x"), "/etc/x");
        assert_eq!(within("/var/log", "-n"), "-n");
    }
}
