//! The fixed text that starts an interactive program under a PTY, and the line with which it greets.
//!
//! sshd runs it as `$SHELL -c TEXT` with a controlling terminal. It exports the cookie and the variables, prints one
//! line on the terminal and is then replaced by the program, so the greeted process id is the program's own. tmux's line may
//! stand anywhere in its first drawing. Values of variables are in no argument, which other accounts on the host could
//! read: the text asks for them when it runs, and they are typed to it unseen.
//!
//! A shell is started so that it reads its own files as a login shell would, and marks its prompts: `OSC 133;D;STATUS`
//! and `A` before each prompt (the first one too), `B` after it, `C` when a line begins to run, where the shell can
//! say so (bash from 4.4, zsh, fish). Each ends with `;sshepherd=NONCE` and BEL, so output cannot forge one. The nonce is
//! handed over on a descriptor (zsh: in a folder that goes at once) and is in no environment.

use sshepherd_model::LoginShell;

use crate::launch::{COOKIE_VARIABLE, find, overlap};
use crate::words::{Script, bare, command};

#[cfg(test)]
mod shells;

const START: &str = include_str!("setup/start.sh");
const PERSIST: &str = include_str!("setup/persist.sh");
const BASH: &str = include_str!("setup/bash.sh");
const ZSH: &str = include_str!("setup/zsh.sh");
const FISH: &str = include_str!("setup/fish.fish");
const SH: &str = include_str!("setup/sh.sh");
const ECHO: &str = include_str!("setup/echo.sh");

/// Most bytes of noise (start-up files that print) that are searched for the greeting.
const MAX_NOISE: usize = 64 * 1024;

/// Longest greeting; its longest field is the name of a terminal.
const MAX_LINE: usize = 512;

/// What to start.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Program<'a> {
    /// The account's own shell as a login shell, with prompt marks where possible.
    LoginShell,
    /// A judged text, run by `sh -c` in place of a shell; no marks.
    Command(&'a str),
    /// A session of a terminal multiplexer, which outlives the connection; no marks.
    Persistent {
        /// Its name: `[A-Za-z0-9:._-]`, at most 64.
        name: &'a str,
        /// What runs inside; without it the login shell.
        command: Option<&'a str>,
        /// Go on with the session of this name, and never start one.
        resume: bool,
    },
}

/// The text for `program`. `cookie` and `nonce` hold `[A-Za-z0-9:._-]` only. With `asks`, it asks for variables first.
///
/// Where there is no shell to run it, a command is sent alone and a login shell is the empty text: ask for a shell.
/// A persistent session is sent nevertheless; without a greeting it did not come to be.
pub(crate) fn text(
    shell: LoginShell,
    program: &Program<'_>,
    asks: bool,
    cookie: &str,
    nonce: &str,
) -> String {
    let (what, line, name) = match (shell, *program) {
        (LoginShell::RawWords, Program::LoginShell) => return String::new(),
        (LoginShell::RawWords, Program::Command(line)) => return line.to_owned(),
        (_, Program::LoginShell) => ("shell", None, ""),
        (_, Program::Command(line)) => ("command", Some(line), ""),
        (_, Program::Persistent { name, command, resume: false }) => ("start", command, name),
        (_, Program::Persistent { name, command, resume: true }) => ("resume", command, name),
    };
    let cookie = format!("{COOKIE_VARIABLE}={cookie}");
    let script = Script::new().with(&cookie).with(nonce).with(what);
    let script = script.with_theirs(line.unwrap_or_default()).with(name);
    let script = script.with(if asks { "asks" } else { "-" });
    if let Program::Persistent { .. } = program {
        return script.run(&bare(&[START, PERSIST]));
    }
    let first = [BASH, ZSH, FISH, SH].map(|text| bare(&[text]));
    first.iter().fold(script, |script, text| script.with(text)).run(&bare(&[START]))
}

/// The text that tells the state of a terminal, for a second channel.
pub(crate) fn echo_state_text(tty: &str) -> String {
    let text = bare(&[ECHO]);
    command(&text, &[tty])
}

/// How a terminal treats what is typed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Echo {
    /// Whether it shows it.
    pub(crate) echo: bool,
    /// Whether it hands it on by the line.
    pub(crate) canonical: bool,
}

/// What the text of [`echo_state_text`] said, whatever start-up files say around it.
pub(crate) fn parse_echo(said: &[u8]) -> Option<Echo> {
    said.split(|byte| *byte == b'\n').find_map(|line| match line.trim_ascii_end() {
        b"sshepherd-echo on line" => Some(Echo { echo: true, canonical: true }),
        b"sshepherd-echo on raw" => Some(Echo { echo: true, canonical: false }),
        b"sshepherd-echo off line" => Some(Echo { echo: false, canonical: true }),
        b"sshepherd-echo off raw" => Some(Echo { echo: false, canonical: false }),
        _ => None,
    })
}

/// What was started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Greeted {
    /// The program's process id.
    pub(crate) pid: u32,
    /// The terminal that the program has, if it is known.
    pub(crate) tty: Option<String>,
    /// `bash`, `zsh`, `fish`, `sh`, `none`, `tmux` or `screen`.
    pub(crate) kind: String,
    /// Whether prompts are marked.
    pub(crate) marks: bool,
}

/// Finds the line of the text in the terminal's output and cuts it out.
#[derive(Debug)]
pub(crate) struct Greeting {
    needle: Vec<u8>,
    held: Vec<u8>,
    passed: usize,
}

/// What a piece of the terminal's output came to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Fed {
    /// What others wrote.
    pub(crate) bytes: Vec<u8>,
    /// What the line said, when this piece completed it; the error is why nothing was started.
    pub(crate) greeting: Option<Result<Greeted, String>>,
    /// Whether the text asks for the variables.
    pub(crate) asks: bool,
    /// Whether the line was found or given up: no more feeding.
    pub(crate) done: bool,
}

impl Greeting {
    /// A parser for the line with this nonce.
    pub(crate) fn new(nonce: &str) -> Self {
        Self { needle: format!("sshepherd-{nonce} ").into_bytes(), held: Vec::new(), passed: 0 }
    }

    /// Takes the next piece. Bytes that may belong to the line are held back until that is known.
    pub(crate) fn feed(&mut self, piece: &[u8]) -> Fed {
        self.held.extend_from_slice(piece);
        let Some(start) = find(&self.held, &self.needle) else {
            let keep = overlap(&self.held, &self.needle);
            return self.pass(self.held.len() - keep);
        };
        let words = start + self.needle.len();
        let rest = self.held.get(words..).unwrap_or_default();
        let Some(length) = rest.iter().take(MAX_LINE).position(|byte| *byte == b'\n') else {
            // No terminal has so long a name: a line like this is not ours.
            return if rest.len() >= MAX_LINE { self.give_up() } else { self.pass(start) };
        };
        let line = rest.get(..length).unwrap_or_default();
        match std::str::from_utf8(line).ok().and_then(|line| read(line.trim_end_matches('\r'))) {
            Some(Line::Asks) => {
                self.held.drain(start..words + length + 1);
                Fed { asks: true, ..self.pass(start) }
            }
            Some(Line::Greeting(greeting)) => {
                let mut bytes = std::mem::take(&mut self.held);
                bytes.drain(start..words + length + 1);
                Fed { bytes, greeting: Some(greeting), asks: false, done: true }
            }
            None => self.give_up(),
        }
    }

    /// What was held back when the stream ended.
    pub(crate) fn finish(self) -> Vec<u8> {
        self.held
    }

    fn pass(&mut self, length: usize) -> Fed {
        let bytes: Vec<u8> = self.held.drain(..length).collect();
        self.passed += bytes.len();
        if self.passed <= MAX_NOISE {
            return Fed { bytes, greeting: None, asks: false, done: false };
        }
        let mut given_up = self.give_up();
        given_up.bytes.splice(..0, bytes);
        given_up
    }

    fn give_up(&mut self) -> Fed {
        Fed { bytes: std::mem::take(&mut self.held), greeting: None, asks: false, done: true }
    }
}

/// What a line behind the nonce says.
enum Line {
    Asks,
    Greeting(Result<Greeted, String>),
}

/// `PID TTY KIND MARKS`, `! REASON` or `?`.
fn read(line: &str) -> Option<Line> {
    if let Some(reason) = line.strip_prefix("! ") {
        return Some(Line::Greeting(Err(reason.to_owned())));
    }
    if line == "?" {
        return Some(Line::Asks);
    }
    let mut words = line.split(' ');
    let (pid, tty, kind, marks) = (words.next()?, words.next()?, words.next()?, words.next()?);
    let plain = |word: &str| {
        word.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"/._-".contains(&byte))
    };
    let known = words.next().is_none()
        && plain(tty)
        && plain(kind)
        && pid.bytes().all(|byte| byte.is_ascii_digit());
    if !known {
        return None;
    }
    let marks = match marks {
        "marks" => true,
        "plain" => false,
        _ => return None,
    };
    let tty = tty.starts_with('/').then(|| tty.to_owned());
    Some(Line::Greeting(Ok(Greeted { pid: pid.parse().ok()?, tty, kind: kind.to_owned(), marks })))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    type Said = Option<Result<Greeted, String>>;

    fn run(pieces: &[&[u8]]) -> (Vec<u8>, Said) {
        let mut greeting = Some(Greeting::new("abc"));
        let (mut out, mut said) = (Vec::new(), None);
        for piece in pieces {
            match &mut greeting {
                None => out.extend_from_slice(piece),
                Some(parser) => {
                    let fed = parser.feed(piece);
                    out.extend(fed.bytes);
                    said = said.or(fed.greeting);
                    if fed.done {
                        greeting = None;
                    }
                }
            }
        }
        out.extend(greeting.map(Greeting::finish).unwrap_or_default());
        (out, said)
    }

    fn bash() -> Said {
        let tty = Some("/dev/pts/3".to_owned());
        Some(Ok(Greeted { pid: 77, tty, kind: "bash".to_owned(), marks: true }))
    }

    #[test]
    fn a_greeting_or_a_refusal_is_cut_out() {
        let (out, said) = run(&[b"motd sshepherd-abc 77 /dev/pts/3 bash marks\r\n$ "]);
        assert_eq!((out.as_slice(), said), (b"motd $ ".as_slice(), bash()));
        let (out, said) = run(&[b"sshepherd-abc ! no-multiplexer\r\n"]);
        assert_eq!(
            (out.as_slice(), said),
            (b"".as_slice(), Some(Err("no-multiplexer".to_owned())))
        );
        let (_, said) = run(&[b"sshepherd-abc 5 - none plain\n"]);
        let none = Greeted { pid: 5, tty: None, kind: "none".to_owned(), marks: false };
        assert_eq!(said, Some(Ok(none)));
    }

    #[test]
    fn a_question_for_variables_is_cut_out_and_the_greeting_still_comes() {
        let mut greeting = Greeting::new("abc");
        let fed = greeting.feed(b"motd\r\nsshepherd-abc ?\r\n");
        assert_eq!(
            (fed.bytes.as_slice(), fed.asks, fed.done),
            (b"motd\r\n".as_slice(), true, false)
        );
        let fed = greeting.feed(b"sshepherd-abc 77 /dev/pts/3 bash marks\r\n");
        assert_eq!((fed.asks, fed.greeting), (false, bash()));
    }

    #[test]
    fn what_is_no_greeting_is_output() {
        for line in [
            "4294967296 - sh marks",
            " - sh marks",
            "+5 - sh marks",
            "5 - sh",
            "5 - sh yes",
            "5 a;b sh marks",
        ] {
            let text = format!("sshepherd-abc {line}\r\nrest");
            assert_eq!(run(&[text.as_bytes()]), (text.clone().into_bytes(), None), "{line}");
        }
        let long = [b"sshepherd-abc ".as_slice(), &[b'1'; 600]].concat();
        assert_eq!(run(&[&long, b"more"]), ([&long, b"more".as_slice()].concat(), None));
        let noise = vec![b's'; MAX_NOISE + 10];
        let (out, said) = run(&[&noise, b"sshepherd-abc 77 /dev/pts/3 bash marks\r\n"]);
        assert_eq!((out.len(), said), (noise.len() + 40, None));
    }

    #[test]
    fn without_a_shell_nothing_is_added() {
        let text = |program| text(LoginShell::RawWords, &program, false, "c", "n");
        assert_eq!(text(Program::LoginShell), "");
        assert_eq!(text(Program::Command("show version")), "show version");
    }

    #[test]
    fn only_exact_words_tell_the_state_of_a_terminal() {
        let raw = Some(Echo { echo: false, canonical: false });
        assert_eq!(parse_echo(b"motd\nsshepherd-echo off raw\n"), raw);
        for said in
            ["", "sshepherd-echo on \n", "x sshepherd-echo on raw\n", "sshepherd-echo on rawer\n"]
        {
            assert_eq!(parse_echo(said.as_bytes()), None, "{said:?}");
        }
    }

    proptest! {
        #[test]
        fn any_chunking_gives_the_same(
            noise in proptest::collection::vec(any::<u8>(), 0..40),
            after in proptest::collection::vec(any::<u8>(), 0..40),
            cuts in proptest::collection::vec(1usize..9, 0..60),
        ) {
            let line = b"sshepherd-abc 77 /dev/pts/3 bash marks\r\n".as_slice();
            let whole = [&noise, line, &after].concat();
            let mut pieces: Vec<&[u8]> = Vec::new();
            let mut rest = whole.as_slice();
            for cut in cuts {
                let (piece, next) = rest.split_at(cut.min(rest.len()));
                pieces.push(piece);
                rest = next;
            }
            pieces.push(rest);
            prop_assert_eq!(run(&pieces), ([noise, after].concat(), bash()));
        }
    }
}
