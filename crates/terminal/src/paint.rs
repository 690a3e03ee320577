//! Cells → bytes that draw them on a person's terminal: text, colours and places, nothing else.
//!
//! `vt100` has this too, but leans on the watching terminal to wrap at exactly the watched width; here each row is placed by
//! itself, and wrapping is off, so that a terminal of another width shows the same rows.

use std::fmt::Write as _;

use crate::dialect::REPLACEMENT;

/// What a cell looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Look {
    front: vt100::Color,
    back: vt100::Color,
    bold: bool,
    dim: bool,
    italic: bool,
    underline: bool,
    inverse: bool,
}

impl Look {
    const PLAIN: Self = Self {
        front: vt100::Color::Default,
        back: vt100::Color::Default,
        bold: false,
        dim: false,
        italic: false,
        underline: false,
        inverse: false,
    };

    fn of(cell: &vt100::Cell) -> Self {
        Self {
            front: cell.fgcolor(),
            back: cell.bgcolor(),
            bold: cell.bold(),
            dim: cell.dim(),
            italic: cell.italic(),
            underline: cell.underline(),
            inverse: cell.inverse(),
        }
    }

    fn write(self, out: &mut String) {
        out.push_str("\x1b[0");
        for (on, code) in [
            (self.bold, ";1"),
            (self.dim, ";2"),
            (self.italic, ";3"),
            (self.underline, ";4"),
            (self.inverse, ";7"),
        ] {
            if on {
                out.push_str(code);
            }
        }
        for (color, plane) in [(self.front, 38), (self.back, 48)] {
            // Writing to a string cannot fail.
            let _ = match color {
                vt100::Color::Default => Ok(()),
                vt100::Color::Idx(index) => write!(out, ";{plane};5;{index}"),
                vt100::Color::Rgb(red, green, blue) => {
                    write!(out, ";{plane};2;{red};{green};{blue}")
                }
            };
        }
        out.push('m');
    }
}

/// A row at a place of the watching terminal: its cells to the last one that shows, of at most `cols`.
pub(crate) fn row(grid: &vt100::Screen, row: u16, place: u16, cols: u16) -> String {
    let mut out = String::new();
    let _ = write!(out, "\x1b[{};1H\x1b[0m\x1b[2K", place + 1);
    let end = (0..cols)
        .rev()
        .find(|col| {
            grid.cell(row, *col).is_some_and(|cell| cell.is_wide_continuation() || shows(cell))
        })
        .map_or(0, |col| col + 1);
    let mut look = Look::PLAIN;
    let mut col = 0;
    while col < end {
        let Some(cell) = grid.cell(row, col) else { break };
        let this = Look::of(cell);
        if this != look {
            this.write(&mut out);
            look = this;
        }
        let wide = cell.is_wide() && col + 1 < cols;
        if cell.has_contents() && (wide || !cell.is_wide()) {
            out.extend(cell.contents().chars().map(back));
        } else {
            out.push(' ');
        }
        col += if wide { 2 } else { 1 };
    }
    if look != Look::PLAIN {
        out.push_str("\x1b[0m");
    }
    out
}

fn shows(cell: &vt100::Cell) -> bool {
    cell.has_contents()
        || cell.inverse()
        || cell.underline()
        || cell.bgcolor() != vt100::Color::Default
}

/// The character that the grid's stands for.
pub(crate) fn back(c: char) -> char {
    if c == REPLACEMENT { char::REPLACEMENT_CHARACTER } else { c }
}
