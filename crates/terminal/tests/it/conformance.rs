//! The screen is tmux's screen: recorded programs, drawn by both, row by row and at several places of each recording.
//!
//! Each `fixtures/NAME.bytes` is what a real program wrote to a terminal of 80 columns and 24 rows with `TERM=xterm-256color`,
//! driven by keys, cut off while its screen was full (a full-screen program that is left shows only the shell).

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use sshepherd_terminal::Emulator;

/// How much of a recording is drawn before the screens are compared, in quarters.
const QUARTERS: [usize; 4] = [1, 2, 3, 4];

/// A tmux server of this test alone; it ends with it.
struct Tmux {
    folder: tempfile::TempDir,
}

impl Tmux {
    fn start() -> Self {
        let version = Command::new("tmux").arg("-V").stdout(Stdio::null()).status();
        assert!(
            version.is_ok_and(|version| version.success()),
            "tmux is not installed; scripts/test installs it"
        );
        let tmux = Self { folder: tempfile::tempdir().unwrap() };
        std::fs::write(
            tmux.path("conf"),
            "set -g status off\nset -g default-terminal xterm-256color\n",
        )
        .unwrap();
        // A session that stays, so that the server does.
        let started = tmux.run(&["new-session", "-d", "-s", "stays", "cat"]);
        assert!(started.status.success(), "{}", String::from_utf8_lossy(&started.stderr));
        tmux
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn run(&self, arguments: &[&str]) -> Output {
        // tmux has no limit of its own for `wait-for`.
        Command::new("timeout")
            .args(["60", "tmux", "-u", "-S"])
            .arg(self.path("socket"))
            .arg("-f")
            .arg(self.path("conf"))
            .args(arguments)
            .env("LC_ALL", "C.UTF-8")
            .env("SHELL", "/bin/sh")
            .env_remove("TMUX")
            .output()
            .unwrap()
    }

    /// The rows, and the cursor's column and row, after `bytes`.
    fn draws(&self, name: &str, bytes: &[u8]) -> (Vec<String>, String) {
        std::fs::write(self.path(name), bytes).unwrap();
        // The answer to the question after the bytes says that tmux has read them all: written is not yet drawn.
        let script = format!(
            "stty raw -echo; cat '{}'; printf '\\033[5n'; bash -c 'read -r -d n'; tmux wait-for -S {name}; cat",
            self.path(name).display()
        );
        let started = self.run(&["new-session", "-d", "-s", name, "-x", "80", "-y", "24", &script]);
        assert!(started.status.success(), "{}", String::from_utf8_lossy(&started.stderr));
        assert!(self.run(&["wait-for", name]).status.success(), "{name}: tmux did not draw");
        let captured =
            String::from_utf8(self.run(&["capture-pane", "-p", "-e", "-t", name]).stdout).unwrap();
        let cursor = String::from_utf8(
            self.run(&["display-message", "-p", "-t", name, "#{cursor_x},#{cursor_y}"]).stdout,
        )
        .unwrap();
        assert!(self.run(&["kill-session", "-t", name]).status.success(), "{name}");
        (
            captured.lines().scan(false, |draws, row| Some(text(row, draws))).collect(),
            cursor.trim().to_owned(),
        )
    }
}

/// A captured row without colours. tmux stores line drawing as the letters that asked for it, and tells it apart only in this
/// form, between SO and SI.
fn text(row: &str, draws: &mut bool) -> String {
    const GRAPHICS: &str = "◆▒␉␌␍␊°±␤␋┘┐┌└┼⎺⎻─⎼⎽├┤┴┬│≤≥π≠£·";
    let mut plain = String::new();
    let mut characters = row.chars();
    while let Some(c) = characters.next() {
        match c {
            '\x1b' => drop(characters.by_ref().find(|c| c.is_ascii_alphabetic())),
            '\x0e' => *draws = true,
            '\x0f' => *draws = false,
            '`'..='~' if *draws => plain.push(GRAPHICS.chars().nth(c as usize - 0x60).unwrap()),
            _ => plain.push(c),
        }
    }
    plain.trim_end().to_owned()
}

impl Drop for Tmux {
    fn drop(&mut self) {
        self.run(&["kill-server"]);
    }
}

fn fixtures() -> Vec<(String, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/fixtures");
    let mut all: Vec<(String, Vec<u8>)> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| {
            (path.file_stem().unwrap().to_str().unwrap().to_owned(), std::fs::read(&path).unwrap())
        })
        .collect();
    all.sort();
    all
}

/// The beginning, up to the next whole character: tmux draws nothing for one that is broken off, we draw U+FFFD.
fn quarter(bytes: &[u8], quarters: usize) -> &[u8] {
    let end = (bytes.len() * quarters / 4..bytes.len())
        .find(|end| bytes[*end] & 0xc0 != 0x80)
        .unwrap_or(bytes.len());
    &bytes[..end]
}

#[test]
fn the_screen_of_every_recording_is_tmuxs() {
    let tmux = Tmux::start();
    let mut differences = Vec::new();
    let recordings = fixtures();
    assert!(recordings.len() >= 20, "{} recordings", recordings.len());
    for (name, bytes) in recordings {
        assert!(bytes.len() < 40_000, "{name} is large");
        for quarters in QUARTERS {
            let part = quarter(&bytes, quarters);
            let mut emulator = Emulator::new(80, 24);
            emulator.feed(part);
            emulator.feed(b"\x1b[5n");
            let screen = emulator.screen();
            let (rows, cursor) = tmux.draws(&format!("{name}-{quarters}"), part);
            for (at, (ours, theirs)) in screen.rows.iter().zip(&rows).enumerate() {
                if ours != theirs {
                    differences.push(format!(
                        "{name} {quarters}/4 row {at}\n  ours {ours:?}\n  tmux {theirs:?}"
                    ));
                }
            }
            let ours = format!("{},{}", screen.cursor_col, screen.cursor_row);
            let theirs = cursor.replace("80,", "79,");
            if ours != theirs {
                differences.push(format!("{name} {quarters}/4 cursor: ours {ours}, tmux {theirs}"));
            }
        }
    }
    assert!(
        differences.is_empty(),
        "{} differences\n{}",
        differences.len(),
        differences.join("\n")
    );
}
