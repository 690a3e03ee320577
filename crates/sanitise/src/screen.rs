//! Output as it may be read: cleaned, then redacted, a piece at a time with what stands before and after it.

use std::fmt;

use encoding_rs::Encoding;
use sshepherd_model::TextEncoding;

use crate::clean::{Cleaner, Out, Removed};
use crate::redact::{Redacted, Redactor, marker};

/// Bytes before and after a piece that are looked at, so that a sequence or secret across its border is seen: longer than any
/// private key of 4096 bits in PEM (3.3 KB).
pub const CONTEXT: usize = 8 << 10;

/// Makes readable text. `Debug` shows no secret.
#[derive(Debug, Clone)]
pub struct Screen {
    redactor: Redactor,
}

/// One line of what came.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Line {
    /// What may be read of it, without its newline; a carriage return inside made a newline.
    pub text: String,
    /// Bytes that it had, with its newline.
    pub raw: usize,
    /// It stands wholly inside a secret that an earlier line, or the page before, tells of: there is nothing to show.
    pub hidden: bool,
}

/// A piece of output as it may be read.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct View {
    /// Its lines.
    pub lines: Vec<Line>,
    /// The last line has its newline.
    pub ended: bool,
    /// What was removed from it.
    pub removed: Removed,
    /// What was redacted in it.
    pub redacted: Redacted,
    /// Bytes at its end that are not shown yet, because more may come that makes a secret of them.
    pub held: usize,
}

/// Whether more output may follow what is at hand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum More {
    /// That was all.
    No,
    /// Its command still runs: the last word of a line that is not ended is held back.
    MayCome,
}

/// How the frame of a private key begins and ends.
const KEY_BEGINS: &str = "-----BEGIN ";
const KEY_ENDS: &str = "-----END ";

/// Longest word that is held back, in bytes: longer ones are no token.
const MAX_HELD: usize = 512;

impl Screen {
    /// Redacts these secrets and the known shapes.
    #[must_use]
    pub fn new<'a>(secrets: impl IntoIterator<Item = &'a str>) -> Self {
        Self { redactor: Redactor::new(secrets) }
    }

    /// The text with secrets replaced and nothing else changed: for what goes to a terminal emulator, not to a reader.
    #[must_use]
    pub fn redacted(&self, text: &str) -> String {
        self.redactor.redact(text).0
    }

    /// Where the end of a text begins that may become a secret when more comes; its length when none does.
    #[must_use]
    pub fn begins(&self, text: &str) -> usize {
        let key = text.rfind(KEY_BEGINS).filter(|at| {
            let key = text.get(*at..).unwrap_or_default();
            key.len() < CONTEXT && key.contains("PRIVATE KEY") && !key.contains(KEY_ENDS)
        });
        self.open(text).min(key.unwrap_or(text.len()))
    }

    /// A whole text.
    #[must_use]
    pub fn whole(&self, bytes: &[u8]) -> View {
        self.view(&[], bytes, &[])
    }

    /// The piece `bytes` of output, of which `before` and `after` are what stands around it, as much as is at hand. What stands
    /// before counts from its first whole line on.
    #[must_use]
    pub fn view(&self, before: &[u8], bytes: &[u8], after: &[u8]) -> View {
        self.view_of(before, bytes, after, More::No)
    }

    /// The same for output that may go on behind `after`.
    #[must_use]
    pub fn view_of(&self, before: &[u8], bytes: &[u8], after: &[u8], more: More) -> View {
        self.of(None).view_of(before, bytes, after, more)
    }

    /// For the output of a host whose bytes have another encoding than UTF-8.
    #[must_use]
    pub fn of(&self, encoding: Option<TextEncoding>) -> Lens<'_> {
        let encoding = encoding.and_then(|name| Encoding::for_label(name.0.as_bytes()));
        Lens { screen: self, encoding }
    }

    fn view_in(
        &self,
        encoding: Option<&'static Encoding>,
        (before, bytes, after): (&[u8], &[u8], &[u8]),
        more: More,
    ) -> View {
        if let Some(view) = self.plain(before, bytes, after, more) {
            return view;
        }
        let (from, to) = (before.len() as u64, (before.len() + bytes.len()) as u64);
        let mut view = View { ended: bytes.last() == Some(&b'\n'), ..View::default() };
        let (mut text, mut places, mut gone) = (String::new(), Vec::new(), Vec::new());
        let mut out = |at: u64, out: Out| match out {
            Out::Show(character) => {
                text.push(character);
                places.resize(text.len(), at);
            }
            Out::Gone(kind) if (from..to).contains(&at) => gone.push((at, kind)),
            Out::Gone(_) => {}
        };
        let mut cleaner = Cleaner::reading(encoding);
        for piece in [before, bytes, after] {
            cleaner.push(piece, &mut out);
        }
        cleaner.finish(&mut out);
        let shown = match more {
            More::No => to,
            More::MayCome => {
                let open = self.open(&text);
                let cut =
                    bytes.len() + after.len() > 0 && [bytes, after].concat().last() == Some(&b'\r');
                let end = places.get(open).copied().unwrap_or(to + after.len() as u64);
                let end = if cut { end.min(to + after.len() as u64 - 1) } else { end };
                end.clamp(from, to)
            }
        };
        view.held = usize::try_from(to - shown).unwrap_or(0);
        let bytes = bytes.get(..bytes.len() - view.held).unwrap_or_default();
        let to = shown;
        // What is held back is counted when it is shown.
        for (_, kind) in gone.into_iter().filter(|(at, _)| *at < to) {
            view.removed.add(kind);
        }
        view.ended = bytes.last() == Some(&b'\n');
        for line in bytes.split_inclusive(|byte| *byte == b'\n') {
            view.lines.push(Line { raw: line.len(), ..Line::default() });
        }
        let own =
            |at: u64| usize::try_from(at - from).ok().and_then(|at| bytes.get(at)) == Some(&b'\n');
        self.fill(&mut view, &text, &places, (from, to), own);
        view
    }

    /// The view of what needs no work: plain text without a secret, of which all may be shown. Most output is.
    fn plain(&self, before: &[u8], bytes: &[u8], after: &[u8], more: More) -> Option<View> {
        let plain = |byte: &u8| matches!(byte, b' '..=b'~' | b'\n' | b'\t');
        let open = more == More::MayCome && after.last().or(bytes.last()) != Some(&b'\n');
        if open || ![before, bytes, after].iter().all(|piece| piece.iter().all(plain)) {
            return None;
        }
        let whole = String::from_utf8([before, bytes, after].concat()).ok()?;
        if !self.redactor.find(&whole).is_empty() {
            return None;
        }
        let text = whole.get(before.len()..before.len() + bytes.len())?;
        let line = |line: &str| Line {
            text: line.strip_suffix('\n').unwrap_or(line).to_owned(),
            raw: line.len(),
            hidden: false,
        };
        Some(View {
            lines: text.split_inclusive('\n').map(line).collect(),
            ended: text.ends_with('\n'),
            ..View::default()
        })
    }

    /// Where the part of a text begins that more output may make a secret of.
    fn open(&self, text: &str) -> usize {
        let word = text.rfind(char::is_whitespace).map_or(0, |at| {
            at + text.get(at..).and_then(|rest| rest.chars().next()).map_or(1, char::len_utf8)
        });
        let word = if text.len() - word > MAX_HELD { text.len() } else { word };
        word.min(self.redactor.begins(text))
    }

    /// Puts the text into the lines that its characters came from, secrets left out; `own` tells a newline that came as one.
    fn fill(
        &self,
        view: &mut View,
        text: &str,
        places: &[u64],
        (from, to): (u64, u64),
        own: impl Fn(u64) -> bool,
    ) {
        let mut found = self.redactor.find(text).into_iter().peekable();
        let (mut line, mut end) = (0, from + view.lines.first().map_or(0, |line| line.raw as u64));
        let mut told = false;
        for (index, character) in text.char_indices() {
            while found.next_if(|(range, _)| range.end <= index).is_some() {
                told = false;
            }
            let at = places.get(index).copied().unwrap_or(0);
            if !(from..to).contains(&at) {
                continue;
            }
            while at >= end && line + 1 < view.lines.len() {
                line += 1;
                end += view.lines.get(line).map_or(0, |line| line.raw as u64);
            }
            let Some(current) = view.lines.get_mut(line) else { continue };
            match found.peek().filter(|(range, _)| range.contains(&index)) {
                Some((_, kind)) if !told => {
                    told = true;
                    current.hidden = false;
                    current.text.push_str(&marker(kind));
                    *view.redacted.entry(kind).or_default() += 1;
                }
                Some(_) => current.hidden = current.text.is_empty(),
                // The newline itself is told by the line.
                None if character == '\n' && own(at) => {}
                None => {
                    current.hidden = false;
                    current.text.push(character);
                }
            }
        }
    }
}

/// Makes readable text of the output of one host, whose bytes mean what it says.
#[derive(Debug, Clone, Copy)]
pub struct Lens<'a> {
    screen: &'a Screen,
    encoding: Option<&'static Encoding>,
}

impl Lens<'_> {
    /// A whole text.
    #[must_use]
    pub fn whole(&self, bytes: &[u8]) -> View {
        self.view(&[], bytes, &[])
    }

    /// A piece of output; see [`Screen::view`].
    #[must_use]
    pub fn view(&self, before: &[u8], bytes: &[u8], after: &[u8]) -> View {
        self.view_of(before, bytes, after, More::No)
    }

    /// The same for output that may go on behind `after`. All counts are of the bytes as they came.
    #[must_use]
    pub fn view_of(&self, before: &[u8], bytes: &[u8], after: &[u8], more: More) -> View {
        self.screen.view_in(self.encoding, (before, bytes, after), more)
    }
}

impl View {
    /// The lines with their newlines.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = String::new();
        for (place, line) in self.lines.iter().enumerate().filter(|(_, line)| !line.hidden) {
            text.push_str(&line.text);
            if place + 1 < self.lines.len() || self.ended {
                text.push('\n');
            }
        }
        text
    }

    /// Adds what was taken out of another piece.
    pub fn count(&mut self, other: &Self) {
        self.removed.control += other.removed.control;
        self.removed.escapes += other.removed.escapes;
        self.removed.bidi += other.removed.bidi;
        self.removed.invisible += other.removed.invisible;
        self.removed.tags += other.removed.tags;
        self.removed.undecodable += other.removed.undecodable;
        for (kind, count) in &other.redacted {
            *self.redacted.entry(kind).or_default() += count;
        }
    }

    /// What was taken out, in words; `None` when nothing was.
    #[must_use]
    pub fn note(&self) -> Option<String> {
        let note = Note(self).to_string();
        (!note.is_empty()).then_some(note)
    }
}

struct Note<'a>(&'a View);

impl fmt::Display for Note<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let removed = &self.0.removed;
        let mut parts: Vec<String> = [
            (removed.control, "control characters"),
            (removed.escapes, "escape sequences"),
            (removed.bidi, "bidi controls"),
            (removed.invisible, "invisible characters"),
            (removed.tags, "tag characters"),
            (removed.undecodable, "bytes that cannot be read replaced"),
        ]
        .into_iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, what)| format!("{count} {what}"))
        .collect();
        parts
            .extend(self.0.redacted.iter().map(|(kind, count)| format!("{count} {kind} redacted")));
        f.write_str(&parts.join(", "))
    }
}

#[cfg(test)]
mod tests;
