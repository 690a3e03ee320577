//! What programs say to `xterm`, in terms of what the emulator beneath understands, and nothing else.
//!
//! `vt100` draws; it has no line drawing characters, insert mode, tab stops, switch for wrapping or U+FFFD, repeats a character
//! as often as it is told and keeps a title of any length. So it gets only what this room writes: text, the controls it has,
//! and sequences with numbers in bounds. Questions (reports, clipboard, colours) end here: nobody answers.

use std::num::NonZeroU16;

use unicode_width::UnicodeWidthChar as _;

use crate::tokens::Token;

/// Stands for U+FFFD in the grid, since `vt100` draws none; of the private use area, as wide as U+FFFD.
pub(crate) const REPLACEMENT: char = '\u{10fffd}';
/// No count or place in a sequence is larger: screens are not.
const MOST: u16 = 999;
const TITLE_LIMIT: usize = 256;

/// A grid and what the layer above it remembers.
pub(crate) struct Terminal {
    grid: vt100::Parser,
    pub(crate) title: String,
    insert: bool,
    no_wrap: bool,
    newline: bool,
    /// Whether a character was just drawn: only then REP has one to repeat.
    drew: bool,
    origin: bool,
    /// The first and the last row that scroll, from 1.
    region: (u16, u16),
    charsets: Charsets,
    saved: Saved,
    /// Columns where a tab stops.
    tabs: Vec<bool>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Charsets {
    /// Whether G0 and G1 are line drawing.
    drawing: [bool; 2],
    shifted_out: bool,
}

/// What ESC 7 remembers, for both screens: `vt100` remembers for each.
#[derive(Debug, Default)]
struct Saved {
    place: (u16, u16),
    attributes: String,
    charsets: Charsets,
    origin: bool,
}

impl Charsets {
    fn draws(self) -> bool {
        let [zero, one] = self.drawing;
        if self.shifted_out { one } else { zero }
    }
}

impl Terminal {
    pub(crate) fn new(cols: NonZeroU16, rows: NonZeroU16) -> Self {
        Self {
            grid: vt100::Parser::new(rows, cols, 0),
            title: String::new(),
            insert: false,
            no_wrap: false,
            newline: false,
            drew: false,
            origin: false,
            region: (1, rows.get()),
            charsets: Charsets::default(),
            saved: Saved::default(),
            tabs: every_eighth(cols.get()),
        }
    }

    pub(crate) fn grid(&self) -> &vt100::Screen {
        self.grid.screen()
    }

    pub(crate) fn resize(&mut self, cols: NonZeroU16, rows: NonZeroU16) {
        // Without this the rows that once scrolled away come back as blank ones at the top.
        self.grid.screen_mut().clear_scrollback();
        self.grid.set_size(rows, cols);
        self.region = (1, rows.get());
        self.tabs = every_eighth(cols.get());
    }

    pub(crate) fn tell(&mut self, token: &Token<'_>) {
        let drew = std::mem::replace(&mut self.drew, matches!(token, Token::Text(_)));
        match token {
            Token::Csi(inner, b'b') => self.repeat(inner, drew),
            Token::Text(text) => self.text(text),
            Token::Control(control) => self.control(*control),
            Token::Escape(intermediate, last) => self.escape(*intermediate, *last),
            Token::Csi(inner, last) => self.csi(inner, *last),
            Token::Osc(inner) => self.osc(inner),
        }
    }

    fn cols(&self) -> u16 {
        self.grid().size().1.get()
    }

    /// The cursor's column; `cols()` where the next character will wrap.
    fn col(&self) -> u16 {
        self.grid().cursor_position().1
    }

    fn put(&mut self, bytes: &[u8]) {
        self.grid.process(bytes);
    }

    fn sequence(&mut self, params: &str, last: u8) {
        let mut bytes = Vec::with_capacity(params.len() + 3);
        bytes.extend_from_slice(b"\x1b[");
        bytes.extend_from_slice(params.as_bytes());
        bytes.push(last);
        self.put(&bytes);
    }

    fn move_to_col(&mut self, col: u16) {
        self.sequence(&col.saturating_add(1).to_string(), b'G');
    }

    fn text(&mut self, text: &str) {
        let plain = !self.insert && !self.no_wrap && !self.charsets.draws();
        if plain && text.bytes().all(|byte| byte.is_ascii()) {
            return self.put(text.as_bytes());
        }
        let draws = self.charsets.draws();
        let shown: String = text.chars().filter_map(|c| shown(c, draws)).collect();
        if plain {
            return self.put(shown.as_bytes());
        }
        for c in shown.chars() {
            self.character(c);
        }
    }

    /// A character in insert mode or without wrapping.
    fn character(&mut self, c: char) {
        let width = u16::try_from(c.width().unwrap_or(0)).unwrap_or(0).min(2);
        let cols = self.cols();
        if width > 0 && width <= cols {
            if self.col() + width > cols {
                if self.no_wrap {
                    self.move_to_col(cols - width);
                } else {
                    self.put(b"\r\n");
                }
            }
            if self.insert {
                self.sequence(&width.to_string(), b'@');
            }
        }
        self.put(c.encode_utf8(&mut [0; 4]).as_bytes());
    }

    fn control(&mut self, control: u8) {
        match control {
            0x08 | 0x0d => self.put(&[control]),
            0x09 => self.tab(1),
            0x0a..=0x0c => self.put(if self.newline { b"\r\n" } else { b"\n" }),
            0x0e => self.charsets.shifted_out = true,
            0x0f => self.charsets.shifted_out = false,
            _ => {}
        }
    }

    fn escape(&mut self, intermediate: Option<u8>, last: u8) {
        match (intermediate, last) {
            (None, b'7') => self.save(),
            (None, b'8') => self.restore(),
            (None, b'M') => self.reverse_index(),
            (None, b'=' | b'>') => self.put(&[0x1b, last]),
            (None, b'D') => self.put(b"\n"),
            (None, b'E') => self.put(b"\r\n"),
            (None, b'H') => self.set_tab(true),
            (None, b'c') => {
                let (rows, cols) = self.grid().size();
                *self = Self { title: std::mem::take(&mut self.title), ..Self::new(cols, rows) };
            }
            (Some(b'('), set) => self.charsets.drawing[0] = set == b'0',
            (Some(b')'), set) => self.charsets.drawing[1] = set == b'0',
            (Some(b'#'), b'8') => self.alignment(),
            _ => {}
        }
    }

    /// In the first row there is nowhere to go, unless that row scrolls; `vt100` would scroll a region further down.
    fn reverse_index(&mut self) {
        if self.grid().cursor_position().0 > 0 || self.region.0 == 1 {
            self.put(b"\x1bM");
        }
    }

    fn save(&mut self) {
        let (place, attributes) =
            (self.grid().cursor_position(), self.grid().attributes_formatted());
        self.saved = Saved { place, attributes, charsets: self.charsets, origin: self.origin };
    }

    fn restore(&mut self) {
        self.charsets = self.saved.charsets;
        self.set_origin(self.saved.origin);
        self.put(format!("\x1b[m{}", self.saved.attributes).as_bytes());
        self.move_to(self.saved.place);
    }

    /// Whether rows count from the top of what scrolls; the cursor goes there.
    fn set_origin(&mut self, on: bool) {
        self.origin = on;
        self.sequence("?6", if on { b'h' } else { b'l' });
    }

    /// To a place on the screen, whatever rows count from.
    fn move_to(&mut self, (row, col): (u16, u16)) {
        self.sequence(&row.saturating_add(1).to_string(), b'd');
        self.move_to_col(col);
    }

    /// DECALN: the screen full of `E`.
    fn alignment(&mut self) {
        let (rows, cols) = self.grid().size();
        self.set_region(1, rows.get());
        self.put(b"\x1b[m");
        for row in 1..=rows.get() {
            self.sequence(&format!("{row};1"), b'H');
            self.put("E".repeat(usize::from(cols.get())).as_bytes());
        }
        self.put(b"\x1b[H");
    }

    fn csi(&mut self, inner: &[u8], last: u8) {
        // Parameters are ASCII: the tokenizer holds nothing else.
        let inner = std::str::from_utf8(inner).unwrap_or_default();
        match (inner.strip_prefix('?'), last) {
            (Some(modes), b'h' | b'l') => {
                for mode in modes.split(';') {
                    self.private_mode(mode, last == b'h');
                }
            }
            (Some(params), b'J' | b'K') => self.counted(params, last),
            (None, b'm') if inner.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b';' | b':')) => {
                self.sequence(inner, b'm')
            }
            (None, b'h' | b'l') => {
                for mode in inner.split(';') {
                    match mode {
                        "4" => self.insert = last == b'h',
                        "20" => self.newline = last == b'h',
                        _ => {}
                    }
                }
            }
            (None, b's') if inner.is_empty() => self.save(),
            (None, b'u') if inner.is_empty() => self.restore(),
            (None, b'p') if inner == "!" => self.soft_reset(),
            (None, _) => self.counted(inner, last),
            (Some(_), _) => {}
        }
    }

    /// REP, within the line as in tmux: a few bytes may not order work for thousands of characters.
    fn repeat(&mut self, inner: &[u8], drew: bool) {
        let count = std::str::from_utf8(inner).map_or(0, bounded).max(1);
        let room = self.cols().saturating_sub(self.col());
        if drew && room > 0 && inner.iter().all(u8::is_ascii_digit) {
            self.sequence(&count.min(room).to_string(), b'b');
        }
    }

    /// A sequence whose parameters are counts and places.
    fn counted(&mut self, inner: &str, last: u8) {
        if !inner.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b';')) {
            return;
        }
        let numbers: Vec<u16> = inner.split(';').map(bounded).collect();
        let first = numbers.first().copied().unwrap_or(0);
        let count = first.max(1);
        match last {
            b'I' => self.tab(count),
            b'Z' => self.back_tab(count),
            b'g' => match first {
                0 => self.set_tab(false),
                3 => self.tabs.fill(false),
                _ => {}
            },
            b'a' => self.sequence(&count.to_string(), b'C'),
            b'e' => self.sequence(&count.to_string(), b'B'),
            b'r' => self.set_region(count, numbers.get(1).copied().unwrap_or(0)),
            b'@'..=b'H' | b'J'..=b'M' | b'P' | b'S' | b'T' | b'X' | b'`' | b'd' | b'f' => {
                let params: Vec<String> = numbers.iter().take(2).map(u16::to_string).collect();
                self.sequence(&params.join(";"), last);
            }
            _ => {}
        }
    }

    /// DECSTBM; 0 is the last row.
    fn set_region(&mut self, top: u16, bottom: u16) {
        let rows = self.grid().size().0.get();
        let bottom = if bottom == 0 { rows } else { bottom.min(rows) };
        if top < bottom {
            self.region = (top, bottom);
            self.sequence(&format!("{top};{bottom}"), b'r');
            // `vt100` leaves the cursor at the top of what scrolls; terminals do so only where rows count from there.
            self.put(b"\x1b[H");
        }
    }

    /// To the other screen or back. Place, region and origin go along, as in terminals; `vt100` keeps them for each screen.
    fn switch(&mut self, alternate: bool) {
        if self.grid().alternate_screen() == alternate {
            return;
        }
        let place = self.grid().cursor_position();
        let attributes = self.grid().attributes_formatted();
        self.sequence("?47", if alternate { b'h' } else { b'l' });
        if alternate {
            self.put(b"\x1b[m\x1b[2J");
            self.put(attributes.as_bytes());
        }
        let (top, bottom) = self.region;
        self.set_region(top, bottom);
        self.set_origin(self.origin);
        self.move_to(place);
    }

    fn private_mode(&mut self, mode: &str, on: bool) {
        let last = if on { b'h' } else { b'l' };
        match mode {
            "7" => self.no_wrap = !on,
            "1" | "25" | "2004" => self.sequence(&format!("?{mode}"), last),
            "6" => self.set_origin(on),
            "47" | "1047" => self.switch(on),
            "1048" if on => self.save(),
            "1048" => self.restore(),
            "1049" if on && !self.grid().alternate_screen() => {
                self.save();
                self.switch(true);
            }
            "1049" if !on => {
                self.switch(false);
                self.restore();
            }
            _ => {}
        }
    }

    fn soft_reset(&mut self) {
        self.insert = false;
        self.no_wrap = false;
        self.charsets = Charsets::default();
        let place = self.grid().cursor_position();
        self.set_origin(false);
        self.move_to(place);
        self.put(b"\x1b[?25h\x1b[?1l\x1b[m");
    }

    fn tab(&mut self, count: u16) {
        let last = self.cols() - 1;
        let mut col = self.col();
        if col >= last {
            return;
        }
        for _ in 0..count {
            let next = self.tabs.iter().skip(usize::from(col) + 1).position(|stop| *stop);
            col = next
                .and_then(|ahead| u16::try_from(ahead).ok())
                .map_or(last, |ahead| (col + 1 + ahead).min(last));
        }
        self.move_to_col(col);
    }

    fn back_tab(&mut self, count: u16) {
        let mut col = self.col();
        for _ in 0..count {
            let before = self.tabs.iter().take(usize::from(col)).rposition(|stop| *stop);
            col = before.and_then(|at| u16::try_from(at).ok()).unwrap_or(0);
        }
        self.move_to_col(col);
    }

    fn set_tab(&mut self, stop: bool) {
        let col = usize::from(self.col().min(self.cols() - 1));
        if let Some(tab) = self.tabs.get_mut(col) {
            *tab = stop;
        }
    }

    fn osc(&mut self, inner: &[u8]) {
        let Some(title) = inner.strip_prefix(b"0;").or_else(|| inner.strip_prefix(b"2;")) else {
            return;
        };
        let title = String::from_utf8_lossy(title);
        self.title =
            title.chars().filter(|c| !c.is_control() && !steers(*c)).take(TITLE_LIMIT).collect();
    }
}

fn every_eighth(cols: u16) -> Vec<bool> {
    (0..cols).map(|col| col % 8 == 0).collect()
}

/// A parameter; none is 0.
fn bounded(number: &str) -> u16 {
    let digits = number.trim_start_matches('0');
    if digits.is_empty() { 0 } else { digits.parse().unwrap_or(MOST).min(MOST) }
}

/// What is drawn for a character; none for what has no place on a screen.
fn shown(c: char, drawing: bool) -> Option<char> {
    match c {
        '\u{80}'..='\u{9f}' => None,
        // Asks for an emoji's picture. `vt100` would make the character before it wide, where the programs that count columns
        // (wcwidth) do not; and it breaks on that in the last column.
        '\u{fe0f}' => None,
        char::REPLACEMENT_CHARACTER => Some(REPLACEMENT),
        '`'..='~' if drawing => line_drawing(c),
        _ if steers(c) => None,
        _ => Some(c),
    }
}

/// Characters without width that turn the order of a line or hide text; a screen is for reading.
fn steers(c: char) -> bool {
    matches!(c, '\u{61c}' | '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
        || matches!(c, '\u{e0000}'..='\u{e007f}')
}

/// The DEC special graphics from `` ` `` to `~`.
fn line_drawing(c: char) -> Option<char> {
    const GRAPHICS: &str = "◆▒␉␌␍␊°±␤␋┘┐┌└┼⎺⎻─⎼⎽├┤┴┬│≤≥π≠£·";
    let at = u32::from(c).checked_sub(0x60)?;
    GRAPHICS.chars().nth(usize::try_from(at).ok()?)
}
