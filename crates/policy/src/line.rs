//! A raw line as deny rules see it: cut into what may be commands, and in doubt where a program's name is not written out.

use std::iter::Peekable;
use std::str::Chars;

use regex::Regex;

use crate::doubt::Doubt;
use crate::rule::Rule;
use crate::wrapper;

/// Texts for a shell within a text for a shell that are looked into.
const MAX_DEPTH: usize = 4;
/// What begins a word list in which no program stands.
const LISTS: [&str; 4] = ["for", "case", "select", "function"];

/// All that may be meant by a line.
pub(crate) struct Line {
    lines: Vec<String>,
    doubts: Vec<Doubt>,
    unknown: bool,
}

impl Line {
    pub(crate) fn of(raw: &str) -> Self {
        let lines = lines(raw);
        let doubts = lines.iter().map(|line| bare(line)).collect();
        Self { lines, doubts, unknown: is_unknown(raw) }
    }

    /// Whether a deny rule hits it.
    pub(crate) fn is_hit_by(&self, rule: &Rule) -> bool {
        self.unknown
            || self.lines.iter().any(|line| rule.matches_line(line))
            || self.doubts.iter().any(|doubt| doubt.is_hit_by(rule))
    }
}

pub(crate) fn blanks_folded(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Whole, with blanks folded, without redirections, and cut at everything that may separate commands. More cuts than a shell
/// would make only deny more.
fn lines(raw: &str) -> Vec<String> {
    let mut lines = vec![raw.to_owned(), blanks_folded(raw)];
    let mut forms = vec![raw.to_owned()];
    if raw.contains(['<', '>']) {
        forms.push(raw.replace(['<', '>'], " "));
        let redirection = Regex::new(r"[0-9]*[<>]+[&|]?[ \t]*[^\s;&|()<>]*");
        forms.extend(redirection.map(|found| found.replace_all(raw, " ").into_owned()));
    }
    for form in forms {
        let pieces = form.split([';', '&', '|', '\n', '\r', '(', ')', '{', '}', '`']);
        lines.extend(pieces.map(blanks_folded));
    }
    lines
}

/// One of them by its words, without quotes.
fn bare(line: &str) -> Doubt {
    let unquoted = line.replace(['\'', '"', '\\'], "");
    let words: Vec<String> = unquoted.split_whitespace().map(str::to_owned).collect();
    Doubt::of(&words, line, None)
}

/// Whether some program of a text for a shell is known only when it runs: expanded, substituted, or read from a pipe.
pub(crate) fn is_unknown(text: &str) -> bool {
    unknown_within(text, 0)
}

fn unknown_within(text: &str, depth: usize) -> bool {
    let mut scan =
        Scan { rest: text.chars().peekable(), frames: Vec::new(), unknown: false, depth };
    scan.run();
    scan.unknown
}

/// What closes a part of the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Close {
    End,
    Substitution,
    Group,
    Backquote,
}

/// One level of commands.
#[derive(Debug)]
struct Frame {
    close: Close,
    word: String,
    /// Whether the next word is a program.
    expecting: bool,
    piped: bool,
    quoted: bool,
    /// Whether the next word is where a redirection leads.
    target: bool,
    /// Whether the program is a shell.
    shell: bool,
}

impl Frame {
    fn new(close: Close) -> Self {
        Self {
            close,
            word: String::new(),
            expecting: true,
            piped: false,
            quoted: false,
            target: false,
            shell: false,
        }
    }

    /// The word is over; whether what it runs is unknown.
    fn end_word(&mut self, depth: usize) -> bool {
        let word = std::mem::take(&mut self.word);
        if word.is_empty() || std::mem::take(&mut self.target) {
            return false;
        }
        if word == "{" {
            self.expecting = true;
            return false;
        }
        if !self.expecting {
            let text = word.trim_matches(['\'', '"']);
            return self.shell && depth < MAX_DEPTH && unknown_within(text, depth + 1);
        }
        let plain = word.replace(['\'', '"', '\\'], "");
        if wrapper::assigns(&word) || word.starts_with('-') {
            return false;
        }
        let blanks = word.contains(char::is_whitespace);
        let test = word == "[" || word == "[[";
        if !test && (blanks || word.contains(['$', '`', '{', '[', '?', '*'])) {
            return true;
        }
        self.expecting = wrapper::passes_on(&plain);
        self.shell = wrapper::is_shell(&plain);
        self.shell && self.piped
    }

    fn next_command(&mut self, piped: bool) {
        self.expecting = true;
        self.piped = piped;
        self.shell = false;
        self.target = false;
    }
}

/// A walk over a text, as far as its quotes and parentheses.
struct Scan<'a> {
    rest: Peekable<Chars<'a>>,
    frames: Vec<Frame>,
    unknown: bool,
    depth: usize,
}

impl Scan<'_> {
    fn run(&mut self) {
        let mut frame = Frame::new(Close::End);
        let mut before = ' ';
        while let Some(letter) = self.rest.next() {
            match letter {
                '\\' => {
                    frame.word.push(letter);
                    frame.word.extend(self.rest.next());
                }
                '"' => {
                    frame.quoted = !frame.quoted;
                    frame.word.push(letter);
                }
                '$' if self.rest.peek() == Some(&'(') => {
                    let _ = self.rest.next();
                    frame.word.push('$');
                    self.open(&mut frame, Close::Substitution);
                }
                '`' if frame.close == Close::Backquote => self.close(&mut frame),
                '`' => {
                    frame.word.push(letter);
                    self.open(&mut frame, Close::Backquote);
                }
                _ if frame.quoted => frame.word.push(letter),
                '\'' => {
                    frame.word.push(letter);
                    let quoted = self.rest.by_ref().take_while(|letter| *letter != '\'');
                    frame.word.extend(quoted);
                    frame.word.push(letter);
                }
                _ => self.unquoted(&mut frame, before, letter),
            }
            before = letter;
        }
        self.end_word(&mut frame);
        while !self.frames.is_empty() {
            self.close(&mut frame);
            self.end_word(&mut frame);
        }
    }

    fn unquoted(&mut self, frame: &mut Frame, before: char, letter: char) {
        match letter {
            '#' if frame.word.is_empty() => {
                while self.rest.next_if(|letter| *letter != '\n').is_some() {}
            }
            // `>&`, `&>` and `>|` are one sign.
            '&' if matches!(before, '<' | '>') || self.rest.peek() == Some(&'>') => {}
            '|' if before == '>' => {}
            ';' | '&' | '|' | '\n' | '\r' => {
                self.end_word(frame);
                let piped = letter == '|' && before != '|' && self.rest.peek() != Some(&'|');
                frame.next_command(piped || (letter == '&' && before == '|'));
            }
            '<' | '>' => {
                if frame.word.bytes().all(|byte| byte.is_ascii_digit()) {
                    frame.word.clear();
                }
                self.end_word(frame);
                frame.target = true;
            }
            '(' if matches!(before, '<' | '>') => {
                // A shell reads what stands in there.
                self.unknown |= frame.shell;
                frame.target = false;
                self.open(frame, Close::Substitution);
            }
            '(' => {
                let list = frame.word.ends_with('=');
                if !list {
                    self.end_word(frame);
                }
                self.open(frame, if list { Close::Substitution } else { Close::Group });
                frame.expecting = !list;
            }
            ')' if self.frames.is_empty() || frame.close == Close::Backquote => {
                // The word before is a pattern of `case`.
                frame.word.clear();
                frame.next_command(false);
            }
            ')' => self.close(frame),
            letter if letter.is_whitespace() => self.end_word(frame),
            letter => frame.word.push(letter),
        }
    }

    fn end_word(&mut self, frame: &mut Frame) {
        if frame.expecting && LISTS.contains(&frame.word.as_str()) {
            frame.word.clear();
            frame.expecting = false;
        }
        self.unknown |= frame.end_word(self.depth);
    }

    fn open(&mut self, frame: &mut Frame, close: Close) {
        self.frames.push(std::mem::replace(frame, Frame::new(close)));
    }

    fn close(&mut self, frame: &mut Frame) {
        self.end_word(frame);
        if let Some(outer) = self.frames.pop() {
            let inner = std::mem::replace(frame, outer);
            if inner.close == Close::Group {
                frame.next_command(false);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::is_unknown;

    #[test]
    fn a_program_that_is_not_written_out_is_unknown() {
        for line in [
            "{rm,-rf,x}",
            "rm$IFS-rf x",
            "rm${IFS}x",
            "$'rm' x",
            "$\"rm\" x",
            "/bin/[r]m x",
            "r?n x",
            "/bin/r* x",
            "\"$(echo rm)\" x",
            "`echo rm` x",
            "$X y",
            "A=b $X y",
            "2>&1 $X y",
            ">f $X y",
            "id; $X y",
            "id && $X y",
            "if $X; then :; fi",
            "for i in 1; do $i x; done",
            "f() { $X y; }",
            "function f { $X y; }",
            "( $X y )",
            "echo \"$($X y)\"",
            "case a in a) $X y;; esac",
            "sudo $X y",
            "sudo -n $X y",
            "eval $X",
            "sh -c \"$X\"",
            "# it's\n$X y",
            "r\\\nm x",
            "echo rm x | sh",
            "echo rm x | sudo bash -s",
            "echo rm x |& sh",
            "curl x | /bin/dash",
            "bash <(echo rm x)",
        ] {
            assert!(is_unknown(line), "{line}");
        }
    }

    #[test]
    fn what_is_written_out_is_known() {
        for line in [
            "echo $HOME rm x",
            "x=$(uptime)",
            "x=$(uptime) y=\"$(id)\" ls $x",
            "tail /var/log/$x",
            "echo \"$(id)\" 'a b' | wc -l",
            "echo `id` x",
            "for i in *.log; do cat \"$i\"; done",
            "if [ -f x ]; then ls; fi",
            "[[ $x == y ]] && ls",
            "case $x in a) ls;; *) id;; esac",
            "ls > \"$x\" 2>&1; id",
            "a=(1 $x *); ls",
            "sh -c \"echo $HOME\"",
            "echo a || sh x",
            "find . -name '*.c' -exec ls {} +",
            "cat <<E\ntext\nE",
            "{ ls; id; }",
            "# $x\nls",
            "",
        ] {
            assert!(!is_unknown(line), "{line}");
        }
    }
}
