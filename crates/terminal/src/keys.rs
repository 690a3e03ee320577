//! What a key sends, by the names that people, tmux and VS Code give it.

use std::fmt;

/// A name that is no key's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnknownKey {
    /// What was asked for.
    pub name: String,
    /// Names like it.
    pub near: Vec<String>,
}

impl fmt::Display for UnknownKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name: String = self.name.chars().take(40).collect();
        write!(f, "{name:?} is no key")?;
        if !self.near.is_empty() {
            write!(f, "; near: {}", self.near.join(", "))?;
        }
        write!(f, " (keys are named like Enter, Ctrl-C, Alt-x, Shift-Up, F5, or one character)")
    }
}

impl std::error::Error for UnknownKey {}

/// How a key is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Key {
    /// As this byte.
    Byte(u8),
    /// `CSI letter`, or `SS3 letter` in application mode.
    Cursor(u8),
    /// `SS3 letter`: F1 to F4.
    Function(u8),
    /// `CSI number ~`.
    Numbered(u8),
    BackTab,
}

/// Every name, in the form in which near ones are told; the first of a key is its usual one.
const NAMES: &[(&str, Key)] = &[
    ("Enter", Key::Byte(b'\r')),
    ("Return", Key::Byte(b'\r')),
    ("CR", Key::Byte(b'\r')),
    ("Tab", Key::Byte(b'\t')),
    ("BackTab", Key::BackTab),
    ("BTab", Key::BackTab),
    ("Escape", Key::Byte(0x1b)),
    ("Esc", Key::Byte(0x1b)),
    ("Space", Key::Byte(b' ')),
    ("Backspace", Key::Byte(0x7f)),
    ("BSpace", Key::Byte(0x7f)),
    ("Delete", Key::Numbered(3)),
    ("Del", Key::Numbered(3)),
    ("DC", Key::Numbered(3)),
    ("Insert", Key::Numbered(2)),
    ("Ins", Key::Numbered(2)),
    ("IC", Key::Numbered(2)),
    ("Up", Key::Cursor(b'A')),
    ("ArrowUp", Key::Cursor(b'A')),
    ("Down", Key::Cursor(b'B')),
    ("ArrowDown", Key::Cursor(b'B')),
    ("Right", Key::Cursor(b'C')),
    ("ArrowRight", Key::Cursor(b'C')),
    ("Left", Key::Cursor(b'D')),
    ("ArrowLeft", Key::Cursor(b'D')),
    ("Home", Key::Cursor(b'H')),
    ("End", Key::Cursor(b'F')),
    ("PageUp", Key::Numbered(5)),
    ("PgUp", Key::Numbered(5)),
    ("PPage", Key::Numbered(5)),
    ("PageDown", Key::Numbered(6)),
    ("PgDn", Key::Numbered(6)),
    ("PgDown", Key::Numbered(6)),
    ("NPage", Key::Numbered(6)),
    ("F1", Key::Function(b'P')),
    ("F2", Key::Function(b'Q')),
    ("F3", Key::Function(b'R')),
    ("F4", Key::Function(b'S')),
    ("F5", Key::Numbered(15)),
    ("F6", Key::Numbered(17)),
    ("F7", Key::Numbered(18)),
    ("F8", Key::Numbered(19)),
    ("F9", Key::Numbered(20)),
    ("F10", Key::Numbered(21)),
    ("F11", Key::Numbered(23)),
    ("F12", Key::Numbered(24)),
];

/// Modifiers before a name, with `-` or `+` after them.
const MODIFIERS: &[(&str, u8)] = &[
    ("control", CTRL),
    ("ctrl", CTRL),
    ("c", CTRL),
    ("shift", SHIFT),
    ("s", SHIFT),
    ("meta", ALT),
    ("option", ALT),
    ("alt", ALT),
    ("m", ALT),
];

// As xterm counts them in its sequences, less one.
const SHIFT: u8 = 1;
const ALT: u8 = 2;
const CTRL: u8 = 4;

/// The bytes that a key sends to a program; arrows, Home and End have another form in application mode.
pub fn encode(name: &str, application_cursor: bool) -> Result<Vec<u8>, UnknownKey> {
    let (modifiers, base) = split(name);
    sent(modifiers, base, application_cursor)
        .ok_or_else(|| UnknownKey { name: name.to_owned(), near: near(name) })
}

/// The modifiers of a name and what they are held with.
fn split(name: &str) -> (u8, &str) {
    let (mut modifiers, mut base) = (0, name);
    // Each modifier once, so that a name is read in bounded time and `C-C-c` is no key.
    while let Some((modifier, rest)) =
        modifier(base).filter(|(modifier, _)| modifiers & modifier == 0)
    {
        modifiers |= modifier;
        base = rest;
    }
    match base.strip_prefix('^').filter(|rest| !rest.is_empty() && modifiers & CTRL == 0) {
        Some(rest) => (modifiers | CTRL, rest),
        None => (modifiers, base),
    }
}

fn modifier(name: &str) -> Option<(u8, &str)> {
    let (word, rest) = name.split_once(['-', '+']).filter(|(_, rest)| !rest.is_empty())?;
    MODIFIERS
        .iter()
        .find(|(modifier, _)| modifier.eq_ignore_ascii_case(word))
        .map(|(_, bit)| (*bit, rest))
}

fn sent(modifiers: u8, base: &str, application_cursor: bool) -> Option<Vec<u8>> {
    let mut characters = base.chars();
    if let (Some(c), None) = (characters.next(), characters.next()) {
        return character(modifiers, c);
    }
    let (_, key) = NAMES.iter().find(|(name, _)| name.eq_ignore_ascii_case(base))?;
    let xterm = modifiers + 1;
    match (key, modifiers) {
        (Key::Byte(b'\t'), SHIFT) | (Key::BackTab, 0) => Some(b"\x1b[Z".to_vec()),
        (Key::Byte(b' '), _) => character(modifiers, ' '),
        (Key::Byte(0x7f), _) if modifiers & !ALT == CTRL => Some(with_alt(modifiers, &[0x08])),
        (Key::Byte(byte), 0 | ALT) => Some(with_alt(modifiers, &[*byte])),
        (Key::Byte(_) | Key::BackTab, _) => None,
        (Key::Cursor(letter), 0) => {
            Some(vec![0x1b, if application_cursor { b'O' } else { b'[' }, *letter])
        }
        (Key::Function(letter), 0) => Some(vec![0x1b, b'O', *letter]),
        (Key::Cursor(letter) | Key::Function(letter), _) => {
            Some(format!("\x1b[1;{xterm}{}", char::from(*letter)).into_bytes())
        }
        (Key::Numbered(number), 0) => Some(format!("\x1b[{number}~").into_bytes()),
        (Key::Numbered(number), _) => Some(format!("\x1b[{number};{xterm}~").into_bytes()),
    }
}

/// One character, with what is held down.
fn character(modifiers: u8, c: char) -> Option<Vec<u8>> {
    if c.is_control() {
        return None;
    }
    let plain = match (modifiers & !ALT, c) {
        (0, _) => c.to_string().into_bytes(),
        (SHIFT, ' ') => vec![b' '],
        (SHIFT, _) if c.is_ascii_alphabetic() => vec![u8::try_from(c.to_ascii_uppercase()).ok()?],
        (CTRL, ' ' | '@') => vec![0],
        (CTRL, '?') => vec![0x7f],
        (CTRL, '/') => vec![0x1f],
        (CTRL, _) if c.is_ascii_alphabetic() || matches!(c, '['..='_') => {
            vec![u8::try_from(c).ok()? & 0x1f]
        }
        _ => return None,
    };
    Some(with_alt(modifiers, &plain))
}

/// Alt is ESC before what the key sends without it.
fn with_alt(modifiers: u8, bytes: &[u8]) -> Vec<u8> {
    let escape: &[u8] = if modifiers & ALT == 0 { b"" } else { b"\x1b" };
    [escape, bytes].concat()
}

/// Up to three names like this one, with the modifiers that it has.
fn near(name: &str) -> Vec<String> {
    let name: String = name.chars().take(40).collect();
    let (modifiers, base) = split(&name);
    let prefix: String = [(CTRL, "Ctrl-"), (ALT, "Alt-"), (SHIFT, "Shift-")]
        .iter()
        .filter(|(bit, _)| modifiers & bit != 0)
        .map(|(_, word)| *word)
        .collect();
    let base = base.to_ascii_lowercase();
    let mut scored: Vec<(f64, String)> = NAMES
        .iter()
        .filter(|(known, _)| sent(modifiers, known, false).is_some())
        .map(|(known, _)| {
            (strsim::jaro_winkler(&base, &known.to_ascii_lowercase()), format!("{prefix}{known}"))
        })
        .filter(|(score, _)| *score > 0.7)
        .collect();
    scored.sort_by(|(one, _), (other, _)| other.total_cmp(one));
    scored.into_iter().take(3).map(|(_, known)| known).collect()
}

/// The bytes of a paste: line ends as Enter sends them, and no control but those and tabs, so that text cannot press keys.
/// Where the program asked for it the text is wrapped, and cannot end the wrap by itself.
#[must_use]
pub fn paste(text: &str, bracketed: bool) -> Vec<u8> {
    let text = text.replace("\x1b[201~", "").replace("\r\n", "\r").replace('\n', "\r");
    let safe: String =
        text.chars().filter(|c| !c.is_control() || matches!(c, '\r' | '\t')).collect();
    if bracketed { format!("\x1b[200~{safe}\x1b[201~").into_bytes() } else { safe.into_bytes() }
}
