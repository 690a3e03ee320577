//! The screen that bytes draw, and the bytes that show it to a person.
//!
//! A person who watches gets [`Emulator::repaint`] and [`Emulator::changes_since`], never the host's own bytes: those could set
//! titles and clipboards or ask questions that the watching terminal would answer as if typed.

use std::fmt::Write as _;
use std::num::NonZeroU16;

use crate::dialect::Terminal;
use crate::paint;
use crate::tokens::Tokens;

/// The widest and the highest screen; what is asked beyond is this.
pub const MOST_COLS: u16 = 500;
/// See [`MOST_COLS`].
pub const MOST_ROWS: u16 = 300;

/// Sets a person's terminal back after [`Emulator::repaint`]: colours, wrapping and the cursor.
pub const VIEW_END: &[u8] = b"\x1b[0m\x1b[?7h\x1b[?25h";

/// A terminal of `TERM=xterm-256color` that shows and never answers.
pub struct Emulator {
    tokens: Tokens,
    terminal: Terminal,
}

/// What is on the screen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Screen {
    /// The text of each row, without blanks at its end; a wide character stands once.
    pub rows: Vec<String>,
    /// How many columns there are.
    pub cols: u16,
    /// How many rows there are.
    pub height: u16,
    /// From 0.
    pub cursor_row: u16,
    /// From 0; the last column also where the next character will wrap.
    pub cursor_col: u16,
    /// Whether the cursor shows.
    pub cursor_visible: bool,
    /// At most 256 characters, none of them a control.
    pub title: String,
    /// Whether a full-screen program has the screen.
    pub alternate_screen: bool,
    /// Whether the program wants pastes wrapped.
    pub bracketed_paste: bool,
    /// Whether arrows are to be sent in their application form.
    pub application_cursor: bool,
    /// What stands before the cursor in its row, with its blanks: what [`crate::looks_like_prompt`] reads.
    pub before_cursor: String,
}

/// What a watching terminal shows, for [`Emulator::changes_since`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    cols: u16,
    rows: Vec<String>,
    cursor: String,
}

impl std::fmt::Debug for Emulator {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (rows, cols) = self.terminal.grid().size();
        write!(f, "Emulator({cols}x{rows})")
    }
}

impl Emulator {
    /// An empty screen; sizes are kept within 1 to [`MOST_COLS`] and [`MOST_ROWS`].
    #[must_use]
    pub fn new(cols: u16, rows: u16) -> Self {
        Self {
            tokens: Tokens::new(),
            terminal: Terminal::new(within(cols, MOST_COLS), within(rows, MOST_ROWS)),
        }
    }

    /// Draws.
    pub fn feed(&mut self, bytes: &[u8]) {
        let terminal = &mut self.terminal;
        self.tokens.feed(bytes, &mut |token| terminal.tell(&token));
    }

    /// Another size; text is not flowed anew.
    pub fn resize(&mut self, cols: u16, rows: u16) {
        self.terminal.resize(within(cols, MOST_COLS), within(rows, MOST_ROWS));
    }

    /// What is on the screen now.
    #[must_use]
    pub fn screen(&self) -> Screen {
        let grid = self.terminal.grid();
        let (height, cols) = grid.size();
        let (height, cols) = (height.get(), cols.get());
        let (row, col) = grid.cursor_position();
        let text = |line: String| line.chars().map(paint::back).collect::<String>();
        let mut before_cursor =
            grid.rows(0, col).nth(usize::from(row)).map(text).unwrap_or_default();
        let drawn = before_cursor_width(grid, row, col);
        before_cursor.extend(std::iter::repeat_n(' ', usize::from(col.min(cols) - drawn)));
        Screen {
            rows: grid.rows(0, cols).map(|line| text(line).trim_end().to_owned()).collect(),
            cols,
            height,
            cursor_row: row.min(height - 1),
            cursor_col: col.min(cols - 1),
            cursor_visible: !grid.hide_cursor(),
            title: self.terminal.title.clone(),
            alternate_screen: grid.alternate_screen(),
            bracketed_paste: grid.bracketed_paste(),
            application_cursor: grid.application_cursor(),
            before_cursor,
        }
    }

    /// What a terminal shows after [`Emulator::repaint`] of now.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        self.snapshot_within(MOST_COLS, MOST_ROWS)
    }

    /// The same for a terminal of this size: where it is smaller, rows are cut at its last column, and those that end with the
    /// cursor's are shown.
    #[must_use]
    pub fn snapshot_within(&self, cols: u16, rows: u16) -> Snapshot {
        let grid = self.terminal.grid();
        let (height, width) = grid.size();
        let (height, cols) = (height.get(), cols.clamp(1, width.get()));
        let rows = rows.clamp(1, height);
        let (row, col) = grid.cursor_position();
        let row = row.min(height - 1);
        let first = (row + 1).saturating_sub(rows);
        let mut cursor = String::new();
        // Writing to a string cannot fail.
        let _ = write!(cursor, "\x1b[{};{}H", row - first + 1, col.min(cols - 1) + 1);
        cursor.push_str(if grid.hide_cursor() { "\x1b[?25l" } else { "\x1b[?25h" });
        Snapshot {
            cols,
            rows: (0..rows).map(|place| paint::row(grid, first + place, place, cols)).collect(),
            cursor,
        }
    }

    /// Bytes that draw the whole screen anew: text, colours and places only. [`VIEW_END`] ends the view.
    #[must_use]
    pub fn repaint(&self) -> Vec<u8> {
        self.snapshot().whole()
    }

    /// Bytes that turn what `shown` says into what is on the screen now; none where nothing changed.
    #[must_use]
    pub fn changes_since(&self, shown: &Snapshot) -> Vec<u8> {
        self.snapshot().since(shown)
    }
}

impl Snapshot {
    /// Bytes that draw this on any terminal.
    #[must_use]
    pub fn whole(&self) -> Vec<u8> {
        let mut bytes = b"\x1b[?25l\x1b[?7l\x1b[0m\x1b[2J".to_vec();
        bytes.extend(self.rows.iter().flat_map(|row| row.bytes()));
        bytes.extend_from_slice(self.cursor.as_bytes());
        bytes
    }

    /// Bytes that turn `shown` into this: the rows that changed, and the cursor.
    #[must_use]
    pub fn since(&self, shown: &Self) -> Vec<u8> {
        if self == shown {
            return Vec::new();
        }
        if self.cols != shown.cols || self.rows.len() != shown.rows.len() {
            return self.whole();
        }
        let mut bytes = b"\x1b[?25l".to_vec();
        let changed = self.rows.iter().zip(&shown.rows).filter(|(now, then)| now != then);
        bytes.extend(changed.flat_map(|(now, _)| now.bytes()));
        bytes.extend_from_slice(self.cursor.as_bytes());
        bytes
    }
}

fn within(size: u16, most: u16) -> NonZeroU16 {
    NonZeroU16::new(size.min(most)).unwrap_or(NonZeroU16::MIN)
}

/// How many columns before the cursor are drawn; the rest up to it is blank.
fn before_cursor_width(grid: &vt100::Screen, row: u16, col: u16) -> u16 {
    let end = col.min(grid.size().1.get());
    let drawn = |at: &u16| {
        grid.cell(row, *at).is_some_and(|cell| cell.has_contents() || cell.is_wide_continuation())
    };
    (0..end).rev().find(drawn).map_or(0, |at| at + 1)
}
