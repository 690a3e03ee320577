//! Cuts a terminal's bytes into text, controls and sequences, in bounded memory.
//!
//! UTF-8 only: a byte of the 8-bit C1 set is no control, since in UTF-8 it is a part of a character or none.

use crate::utf8::Utf8Carry;

/// The longest CSI that is understood; a longer one is passed over.
const CSI_LIMIT: usize = 256;
/// How much of an operating system command is kept; the rest is passed over up to its end.
const OSC_LIMIT: usize = 2048;

/// One thing that a terminal is told.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Token<'a> {
    /// Characters, none of them C0 or DEL.
    Text(&'a str),
    /// A C0 control.
    Control(u8),
    /// ESC, at most one intermediate, and a final byte.
    Escape(Option<u8>, u8),
    /// ESC [, parameters and intermediates as they came, and a final byte.
    Csi(&'a [u8], u8),
    /// What stood between ESC ] and its end.
    Osc(&'a [u8]),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Ground,
    Escape,
    /// After an intermediate; the first one.
    Intermediate(u8),
    Csi,
    Osc,
    /// DCS, SOS, PM, APC and a title in the way of `screen`: passed over.
    String,
}

/// The tokenizer; it holds one unfinished sequence or character.
#[derive(Debug)]
pub(crate) struct Tokens {
    state: State,
    held: Vec<u8>,
    too_long: bool,
    text: Utf8Carry,
}

impl Tokens {
    pub(crate) fn new() -> Self {
        Self { state: State::Ground, held: Vec::new(), too_long: false, text: Utf8Carry::default() }
    }

    /// Tells `each` every token that `bytes` complete.
    pub(crate) fn feed(&mut self, bytes: &[u8], each: &mut impl FnMut(Token<'_>)) {
        let mut rest = bytes;
        while let Some(&first) = rest.first() {
            let taken = match self.state {
                State::Ground => self.ground(rest, each),
                State::Escape
                | State::Intermediate(_)
                | State::Csi
                | State::Osc
                | State::String => {
                    self.sequence(first, each);
                    1
                }
            };
            rest = rest.get(taken..).unwrap_or_default();
        }
    }

    /// Takes a run of text or one control; gives how many bytes.
    fn ground(&mut self, rest: &[u8], each: &mut impl FnMut(Token<'_>)) -> usize {
        let run = rest.iter().position(|byte| *byte < 0x20 || *byte == 0x7f).unwrap_or(rest.len());
        if run > 0 {
            let text = self.text.push(rest.get(..run).unwrap_or_default());
            if !text.is_empty() {
                each(Token::Text(&text));
            }
            return run;
        }
        let unfinished = self.text.finish();
        if !unfinished.is_empty() {
            each(Token::Text(unfinished));
        }
        match rest.first() {
            Some(0x1b) => self.begin(State::Escape),
            Some(0x7f) | None => {}
            Some(control) => each(Token::Control(*control)),
        }
        1
    }

    fn begin(&mut self, state: State) {
        self.state = state;
        self.held.clear();
        self.too_long = false;
    }

    /// One byte within a sequence. CAN and SUB end it without effect; ESC begins another.
    fn sequence(&mut self, byte: u8, each: &mut impl FnMut(Token<'_>)) {
        match (self.state, byte) {
            (_, 0x18 | 0x1a) => self.begin(State::Ground),
            (State::Osc, 0x07 | 0x1b) => {
                each(Token::Osc(&self.held));
                self.begin(if byte == 0x1b { State::Escape } else { State::Ground });
            }
            (_, 0x1b) => self.begin(State::Escape),
            (State::Osc, _) => self.hold(byte, OSC_LIMIT),
            (State::String, _) => {}
            // A control within a sequence acts at once, as terminals do it.
            (_, 0x00..=0x1f) => each(Token::Control(byte)),
            (_, 0x7f) => {}
            (State::Escape, _) => self.escape(byte, each),
            (State::Intermediate(first), 0x30..=0x7e) => {
                self.state = State::Ground;
                each(Token::Escape(Some(first), byte));
            }
            (State::Csi, 0x40..=0x7e) => {
                self.state = State::Ground;
                if !self.too_long {
                    each(Token::Csi(&self.held, byte));
                }
            }
            (State::Csi, 0x20..=0x3f) => self.hold(byte, CSI_LIMIT),
            (State::Intermediate(_), 0x20..=0x2f) => {}
            // No sequence goes on with such a byte: it is text again.
            (State::Csi | State::Intermediate(_) | State::Ground, _) => {
                self.begin(State::Ground);
                self.ground(&[byte], each);
            }
        }
    }

    fn escape(&mut self, byte: u8, each: &mut impl FnMut(Token<'_>)) {
        match byte {
            b'[' => self.begin(State::Csi),
            b']' => self.begin(State::Osc),
            b'P' | b'X' | b'^' | b'_' | b'k' => self.begin(State::String),
            0x20..=0x2f => self.begin(State::Intermediate(byte)),
            0x30..=0x7e => {
                self.state = State::Ground;
                each(Token::Escape(None, byte));
            }
            _ => {
                self.begin(State::Ground);
                self.ground(&[byte], each);
            }
        }
    }

    fn hold(&mut self, byte: u8, limit: usize) {
        if self.held.len() < limit {
            self.held.push(byte);
        } else {
            self.too_long = true;
        }
    }
}
