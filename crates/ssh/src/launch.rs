//! The fixed prefix before each command: builtins only, so it costs no process, and it makes the command stoppable.
//!
//! sshd runs an exec request as the leader of its own session, under `$SHELL -c TEXT`. The prefix exports a cookie that
//! every child inherits, and prints the shell's process id behind a random marker on standard error. Standard error,
//! because programs there are rarely parsed; the marker is cut out again, whatever stands before it.
//!
//! The prefix stands in a `case`, which every POSIX shell runs and fish and csh cannot parse, so they run
//! nothing of the line. What follows is plain words, or in escapes (see `words`): csh goes on after the error, and others
//! part lines at signs. Variables and standard input come over the channel once the marker was seen, for whatever else
//! reads there would take them for commands; variables also because any local user can read the arguments of processes.

use bytes::Bytes;
use sshepherd_model::LoginShell;

use crate::words::{Packed, is_one_command, is_plain, quoted};

/// The variable that carries the cookie.
pub const COOKIE_VARIABLE: &str = "SSHEPHERD_TASK";

/// Most bytes of noise (start-up files that print) that are searched for the marker.
const MAX_NOISE: usize = 64 * 1024;

/// Longest piece of a variable's value on one line: a terminal takes lines of 4,095 bytes.
const MAX_PIECE: usize = 250;

/// What to send for one command.
#[derive(Debug)]
pub struct Launch {
    /// The text of the exec request.
    pub text: String,
    /// The parser for standard error, if a marker will come.
    pub marker: Option<Marker>,
}

/// Puts the prefix before `wire`. `cookie` and `nonce` hold `[A-Za-z0-9:._-]` only. With `fed`, the command starts when
/// it has read a [`feed`].
#[must_use]
pub fn launch(shell: LoginShell, wire: &str, cookie: &str, nonce: &str, fed: bool) -> Launch {
    let prefix = format!(
        "{COOKIE_VARIABLE}='{cookie}';export {COOKIE_VARIABLE};echo sshepherd-{nonce} $$ >&2"
    );
    let reader = if fed { reader(nonce) } else { String::new() };
    let text = match shell {
        LoginShell::Posix => {
            let guarded = format!("case x in x) {prefix};; esac");
            // The newline keeps prefix and text apart, whatever the text begins with.
            if fed {
                let packed = Packed::default().ours(&reader).theirs(wire);
                format!("{guarded}\neval \"$(printf %b '{}')\"", packed.escapes())
            } else if is_plain(wire) {
                format!("{guarded}\n{wire}")
            } else if is_one_command(wire) {
                let packed = Packed::default().theirs(wire);
                // The last line is a command by itself, so that shells that replace themselves by the last one do.
                format!("{guarded}\neval set -- \"$(printf %b '{}')\"\n\"$@\"", packed.escapes())
            } else {
                let packed = Packed::default().theirs(wire);
                format!("{guarded}\neval \"$(printf %b '{}')\"", packed.escapes())
            }
        }
        LoginShell::Fish | LoginShell::Csh => {
            Packed::default().ours(&format!("{prefix}\n{reader}")).theirs(wire).in_sh()
        }
        LoginShell::RawWords => return Launch { text: wire.to_owned(), marker: None },
    };
    Launch { text, marker: Some(Marker::new(nonce)) }
}

/// Reads lines of a feed up to its end, and runs them. It reads byte by byte, as `read` does, so nothing behind is lost;
/// a channel that ends before runs nothing.
fn reader(nonce: &str) -> String {
    format!(
        "__sshepherd_e=\n\
         while IFS= read -r __sshepherd_l || exit 1; [ \"$__sshepherd_l\" != {nonce} ]; do \
         __sshepherd_e=\"$__sshepherd_e$__sshepherd_l\n\"; done\n\
         eval \"unset __sshepherd_e __sshepherd_l;$__sshepherd_e\"\n"
    )
}

/// What goes over the channel to a shell that has shown that it is one: the variables, the line that ends them, and
/// standard input. `None` if there is nothing to send.
#[must_use]
pub fn feed(env: &[(String, String)], stdin: Option<Bytes>, nonce: &str) -> Option<Bytes> {
    if env.is_empty() && stdin.is_none() {
        return None;
    }
    let mut bytes = variables(env, nonce).into_bytes();
    bytes.extend_from_slice(&stdin.unwrap_or_default());
    Some(Bytes::from(bytes))
}

/// The variables as lines of a POSIX text, and the line that ends them. A variable that cannot be set ends the shell.
pub(crate) fn variables(env: &[(String, String)], nonce: &str) -> String {
    let mut text = String::new();
    for (name, value) in env {
        let characters: Vec<char> = value.chars().collect();
        let mut pieces =
            characters.chunks(MAX_PIECE).map(|piece| quoted(&String::from_iter(piece)));
        let first = pieces.next().unwrap_or_else(|| quoted(""));
        text.push_str(&format!("export {name}={first} || exit 1\n"));
        for piece in pieces {
            text.push_str(&format!("{name}=${name}{piece} || exit 1\n"));
        }
    }
    text.push_str(&format!("{nonce}\n"));
    text
}

/// The variables as they are typed on a terminal, where others might type, too: each line behind the nonce.
pub(crate) fn typed_variables(env: &[(String, String)], nonce: &str) -> String {
    let text = variables(env, nonce);
    let lines = text
        .lines()
        .map(|line| if line == nonce { format!("{nonce}\n") } else { format!("{nonce} {line}\n") });
    lines.collect()
}

/// Finds the marker line in standard error and cuts it out.
#[derive(Debug)]
pub struct Marker {
    needle: Vec<u8>,
    held: Vec<u8>,
    passed: usize,
}

/// What a piece of standard error came to.
#[derive(Debug, PartialEq, Eq)]
pub struct Fed {
    /// What the command wrote.
    pub bytes: Vec<u8>,
    /// The process id, when this piece completed the marker.
    pub pid: Option<u32>,
    /// Whether the marker was found or given up: no more feeding.
    pub done: bool,
}

impl Marker {
    /// A parser for the marker with this nonce.
    #[must_use]
    pub fn new(nonce: &str) -> Self {
        Self { needle: format!("sshepherd-{nonce} ").into_bytes(), held: Vec::new(), passed: 0 }
    }

    /// Takes the next piece. Bytes that may belong to the marker are held back until that is known.
    pub fn feed(&mut self, piece: &[u8]) -> Fed {
        self.held.extend_from_slice(piece);
        let Some(start) = find(&self.held, &self.needle) else {
            let keep = overlap(&self.held, &self.needle);
            let bytes: Vec<u8> = self.held.drain(..self.held.len() - keep).collect();
            self.passed += bytes.len();
            if self.passed > MAX_NOISE {
                let mut all = bytes;
                all.append(&mut self.held);
                return Fed { bytes: all, pid: None, done: true };
            }
            return Fed { bytes, pid: None, done: false };
        };
        let digits = start + self.needle.len();
        let rest = self.held.get(digits..).unwrap_or_default();
        let length = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        // A shell writes its process id without leading zeros, and 0 is nobody's: to `kill` it is its own group.
        let pid = std::str::from_utf8(rest.get(..length).unwrap_or_default())
            .ok()
            .filter(|text| !text.starts_with('0'))
            .and_then(|text| text.parse().ok());
        match rest.get(length) {
            Some(b'\n') if pid.is_some() => {
                let mut bytes = std::mem::take(&mut self.held);
                bytes.drain(start..digits + length + 1);
                Fed { bytes, pid, done: true }
            }
            // No process id has more digits; a line like this is not our marker.
            _ if length > 10 || rest.get(length).is_some() => {
                Fed { bytes: std::mem::take(&mut self.held), pid: None, done: true }
            }
            _ => {
                let bytes: Vec<u8> = self.held.drain(..start).collect();
                self.passed += bytes.len();
                Fed { bytes, pid: None, done: false }
            }
        }
    }

    /// What was held back when the stream ended.
    #[must_use]
    pub fn finish(self) -> Vec<u8> {
        self.held
    }
}

/// Where `needle` begins in `text`.
pub(crate) fn find(text: &[u8], needle: &[u8]) -> Option<usize> {
    text.windows(needle.len()).position(|window| window == needle)
}

/// How many bytes at the end of `text` may be the beginning of `needle`.
pub(crate) fn overlap(text: &[u8], needle: &[u8]) -> usize {
    (1..needle.len().min(text.len() + 1))
        .rev()
        .find(|length| needle.get(..*length).is_some_and(|start| text.ends_with(start)))
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Found by fuzzing: whole it was cut out as a marker without an id, in pieces it stayed.
    #[test]
    fn a_number_that_is_no_process_id_is_output_however_it_comes() {
        for digits in ["", "4294967296", "13200000000000000000", "0", "007", "00000000000000"] {
            let text = format!("sshepherd-abc {digits}\n").into_bytes();
            let bytes: Vec<&[u8]> = text.chunks(1).collect();
            assert_eq!(run(&[&text]), (text.clone(), None), "{digits}");
            assert_eq!(run(&bytes), (text.clone(), None), "{digits}");
        }
    }

    fn run(pieces: &[&[u8]]) -> (Vec<u8>, Option<u32>) {
        let mut marker = Some(Marker::new("abc"));
        let mut out = Vec::new();
        let mut pid = None;
        for piece in pieces {
            match &mut marker {
                None => out.extend_from_slice(piece),
                Some(parser) => {
                    let fed = parser.feed(piece);
                    out.extend(fed.bytes);
                    pid = pid.or(fed.pid);
                    if fed.done {
                        marker = None;
                    }
                }
            }
        }
        out.extend(marker.map(Marker::finish).unwrap_or_default());
        (out, pid)
    }

    #[test]
    fn noise_before_the_marker_is_kept() {
        let (out, pid) = run(&[b"motd\nssh", b"epherd-abc 12", b"34\nerror\n"]);
        assert_eq!((out.as_slice(), pid), (b"motd\nerror\n".as_slice(), Some(1234)));
    }

    #[test]
    fn without_a_marker_nothing_is_lost() {
        let (out, pid) = run(&[b"plain ssheph"]);
        assert_eq!((out.as_slice(), pid), (b"plain ssheph".as_slice(), None));
        let noise = vec![b'x'; MAX_NOISE + 10];
        assert_eq!(run(&[&noise, b"more"]).0.len(), MAX_NOISE + 14);
        assert_eq!(run(&[b"sshepherd-abc 12x\n"]).0, b"sshepherd-abc 12x\n");
    }

    proptest! {
        #[test]
        fn any_chunking_gives_the_same(
            noise in proptest::collection::vec(any::<u8>(), 0..40),
            after in proptest::collection::vec(any::<u8>(), 0..40),
            cuts in proptest::collection::vec(1usize..9, 0..40),
        ) {
            let mut whole = noise.clone();
            whole.extend_from_slice(b"sshepherd-abc 77\n");
            whole.extend_from_slice(&after);
            let mut pieces: Vec<&[u8]> = Vec::new();
            let mut rest = whole.as_slice();
            for cut in cuts {
                let (piece, next) = rest.split_at(cut.min(rest.len()));
                pieces.push(piece);
                rest = next;
            }
            pieces.push(rest);
            let mut expected = noise;
            expected.extend_from_slice(&after);
            prop_assert_eq!(run(&pieces), (expected, Some(77)));
        }
    }
}
